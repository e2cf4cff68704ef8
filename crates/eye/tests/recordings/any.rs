//! Any records in any order: read as they were written, and played back without harm.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sockeye_eye::recording::{
    Acked, Aftermath, Both, Call, Close, Conn, Dgram, DgramDropped, DgramError, Direction, End,
    Facts, Finish, FlagNames, Kernel, Limited, Listen, Loss, Mark, Msg, Op, Open, Over, Point,
    Queue, Record, Released, Role, Sack, Seg, Socket, Stamp, State, StateName,
};
use sockeye_wire::tcp;

use crate::checks;

const HEADER: &str = r#"{"format":"sockeye-records","version":1,"program":"any","epoch":1700000000,"at":0,"clock":"CLOCK_REALTIME","sources":["calls"]}"#;

/// Small enough that records meet, or anything.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..200, 1 => any::<u64>(), 1 => Just(1 << 53), 1 => 0_u64..1 << 33]
}

fn at() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0_i64..10_000_000, 1 => any::<i64>(), 1 => -1_000_i64..1_000]
}

fn word() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..300, any::<u32>()]
}

fn conn() -> impl Strategy<Value = u64> {
    0_u64..3
}

fn range() -> impl Strategy<Value = [u64; 2]> {
    prop_oneof![
        4 => (0_u64..200, 0_u64..50).prop_map(|(start, length)| [start, start + length]),
        1 => (number(), number()).prop_map(|(start, end)| [start, end]),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,10}", "[\\x00-\\x1f\\x7f\"\\\\é文]{0,80}"]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop_oneof![Just("127.0.0.1:80"), Just("127.0.0.1:40000"), Just("[::1]:80")]
            .prop_map(str::to_owned),
        1 => prop_oneof![Just("unix:"), Just("unix:@a\\x00b"), Just("unix:///run/x")]
            .prop_map(str::to_owned),
        1 => text(),
    ]
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Received), Just(Direction::Sent)]
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

fn state() -> impl Strategy<Value = StateName> {
    use tcp::State::{Closed, Established, FinWait1, Listen, SynSent, TimeWait};
    proptest::sample::select(vec![Closed, Established, FinWait1, Listen, SynSent, TimeWait])
        .prop_map(StateName)
}

fn both<T: Copy + std::fmt::Debug>(
    each: impl Fn() -> BoxedStrategy<T>,
) -> impl Strategy<Value = Both<T>> {
    (each(), each()).prop_map(|(received, sent)| Both { received, sent })
}

fn facts() -> impl Strategy<Value = Facts> {
    let words = || both(|| word().boxed());
    (
        (option::of(state()), option::of(word()), option::of(word())),
        (option::of(number()), option::of(number()), option::of(words()), option::of(words())),
        (option::of(word()), option::of(word()), option::of((number(), number())), any::<bool>()),
    )
        .prop_map(|(first, second, third)| Facts {
            state: first.0,
            rtt_us: first.1,
            retransmits: first.2,
            bytes_acked: second.0,
            bytes_received: second.1,
            segments: second.2,
            mss: second.3,
            unread: third.0,
            unacked: third.1,
            resets: third.3,
            limited_us: third.2.map(|(window, buffer)| Limited { window, buffer }),
        })
}

fn call() -> impl Strategy<Value = Record> {
    let ops = vec![
        Op::Accept,
        Op::Connect,
        Op::Recv,
        Op::Send,
        Op::Sendfile,
        Op::Shutdown,
        Op::Close,
        Op::GaveUp,
    ];
    let result = prop_oneof![
        4 => number().prop_map(|returned| (Some(returned), None)),
        2 => (0_i32..140).prop_map(|errno| (None, Some(errno))),
        1 => Just((None, None)),
    ];
    let op = proptest::sample::select(ops);
    (
        conn(),
        (at(), at()),
        op,
        option::of(direction()),
        number(),
        result,
        number(),
        option::of(range()),
    )
        .prop_map(
            |(conn, (at, end), op, direction, asked, (returned, errno), offset, range)| {
                Record::Call(Call {
                    conn,
                    at,
                    end,
                    op,
                    direction,
                    asked,
                    returned,
                    errno,
                    offset,
                    range,
                })
            },
        )
}

fn seg() -> impl Strategy<Value = Record> {
    let sack = (any::<[u32; 2]>(), option::of(range()), any::<bool>())
        .prop_map(|(seq, range, duplicate)| Sack { seq, range, duplicate });
    let acked = (number(), any::<bool>(), any::<bool>())
        .prop_map(|(offset, fin, advances)| Acked { offset, fin, advances });
    let marks = vec![Mark::Retransmission, Mark::KeepAlive, Mark::WindowProbe, Mark::Gap];
    (
        (
            conn(),
            at(),
            direction(),
            prop_oneof![any::<u8>(), Just(2), Just(18), Just(16), Just(17)],
        ),
        (word(), option::of(word()), any::<u16>(), prop_oneof![0_u32..50, any::<u32>()]),
        (option::of(any::<u8>()), option::of(any::<u16>()), option::of(sack)),
        (range(), option::of(acked), word(), option::of(proptest::sample::select(marks))),
    )
        .prop_map(|(first, second, third, fourth)| {
            Record::Seg(Seg {
                conn: first.0,
                at: first.1,
                direction: first.2,
                flags: FlagNames(tcp::Flags::from_bits(first.3)),
                seq: second.0,
                ack: second.1,
                window: second.2,
                payload: second.3,
                wscale: third.0,
                mss: third.1,
                sack: third.2,
                range: fourth.0,
                acked: fourth.1,
                window_bytes: fourth.2,
                mark: fourth.3,
            })
        })
}

fn queue() -> impl Strategy<Value = Record> {
    let some = || option::of(word());
    (
        (conn(), at(), role(), state()),
        (word(), word(), some(), some()),
        (some(), some(), some(), some()),
    )
        .prop_map(|(first, second, third)| {
            Record::Queue(Queue {
                conn: first.0,
                at: first.1,
                end: first.2,
                state: first.3,
                receive: second.0,
                send: second.1,
                unsent: second.2,
                send_window: second.3,
                receive_window: third.0,
                rtt_us: third.1,
                congestion_window: third.2,
                retransmits: third.3,
            })
        })
}

fn end() -> impl Strategy<Value = Record> {
    let aftermath =
        || {
            option::of(
                (at(), state(), option::of(word()))
                    .prop_map(|(at, state, remaining_ms)| Aftermath { at, state, remaining_ms }),
            )
        };
    let sum = || both(|| number().boxed());
    (
        (option::of(conn()), option::of(conn()), option::of(text()), option::of(role())),
        (sum(), sum(), option::of(sum()), option::of(sum()), option::of(sum())),
        (aftermath(), aftermath()),
    )
        .prop_map(|(first, second, third)| {
            Record::End(Box::new(End {
                conn: first.0,
                socket: first.1,
                code: first.2,
                closed_first: first.3,
                bytes: second.0,
                calls: second.1,
                messages: second.2,
                segments: second.3,
                retransmissions: second.4,
                aftermath: third.0,
                peer_aftermath: third.1,
            }))
        })
}

fn of_datagrams() -> impl Strategy<Value = Record> {
    let dgram = (
        (conn(), at(), at(), direction(), number()),
        (number(), number(), number(), option::of(word())),
        (option::of(address()), option::of(0_i32..140)),
    )
        .prop_map(|(first, second, third)| {
            Record::Dgram(Dgram {
                socket: first.0,
                at: first.1,
                end: first.2,
                direction: first.3,
                index: first.4,
                asked: second.0,
                length: second.1,
                taken: second.2,
                digest: second.3,
                peer: third.0,
                errno: third.1,
            })
        });
    let error = (conn(), at(), any::<i32>(), option::of(address()), option::of(text()));
    prop_oneof![
        (conn(), at(), address()).prop_map(|(socket, at, local)| Record::Socket(Socket {
            socket,
            at,
            local
        })),
        dgram,
        error.prop_map(|(socket, at, errno, to, offender)| {
            Record::DgramError(DgramError { socket, at, errno, to, offender })
        }),
        (conn(), any::<u32>()).prop_map(|(socket, datagrams)| {
            Record::DgramDropped(DgramDropped { socket, datagrams })
        }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let whose = || (option::of(conn()), option::of(conn()));
    let points = vec![Point::Scheduled, Point::Sent, Point::Acked];
    prop_oneof![
        1 => address().prop_map(|local| Record::Listen(Listen { local })),
        1 => (conn(), role(), address(), address(), any::<bool>()).prop_map(
            |(conn, role, local, peer, others)| {
                Record::Conn(Conn { conn, role, local, peer, others })
            }
        ),
        1 => (conn(), at(), number(), option::of(word()), option::of(number())).prop_map(
            |(conn, at, number, peer_isn, shift)| {
                Record::Open(Open { conn, at, number, peer_isn, shift })
            }
        ),
        4 => call(),
        2 => (whose(), at(), direction(), range(), text()).prop_map(
            |((conn, socket), at, direction, range, label)| {
                Record::Msg(Msg { conn, socket, at, direction, range, label })
            }
        ),
        6 => seg(),
        1 => (conn(), at(), role(), state(), state(), any::<bool>()).prop_map(
            |(conn, at, end, from, to, exact)| {
                Record::State(State { conn, at, end, from, to, exact })
            }
        ),
        1 => (conn(), facts()).prop_map(|(conn, facts)| Record::Kernel(Kernel { conn, facts })),
        1 => (conn(), at(), proptest::sample::select(points), number(), number()).prop_map(
            |(conn, at, point, from, end)| Record::Stamp(Stamp { conn, at, point, from, end })
        ),
        1 => queue(),
        1 => (conn(), at(), role(), facts()).prop_map(|(conn, at, end, facts)| {
            Record::Released(Released { conn, at, end, facts })
        }),
        1 => (whose(), at()).prop_map(|((conn, socket), at)| Record::Close(Close { conn, socket, at })),
        1 => (conn(), any::<bool>())
            .prop_map(|(conn, forgotten)| Record::Over(Over { conn, forgotten })),
        1 => end(),
        3 => of_datagrams(),
        1 => (whose(), (number(), number(), number(), number())).prop_map(
            |((conn, socket), (records, packets, releases, connections))| {
                Record::Loss(Loss { conn, socket, records, packets, releases, connections })
            }
        ),
        1 => at().prop_map(|at| Record::Finish(Finish { at })),
    ]
}

/// As a file, behind connections and a socket that records may be of.
fn file(records: &[Record]) -> String {
    let mut file = format!("{HEADER}\n");
    for (conn, role) in [(0, "server"), (1, "client")] {
        file += &format!(
            "{{\"kind\":\"conn\",\"conn\":{conn},\"role\":\"{role}\",\"local\":\"127.0.0.1:80\",\
             \"peer\":\"127.0.0.1:4000{conn}\"}}\n{{\"kind\":\"open\",\"conn\":{conn},\"at\":5,\
             \"number\":{conn}}}\n"
        );
    }
    file += "{\"kind\":\"socket\",\"socket\":2,\"at\":5,\"local\":\"127.0.0.1:9\"}\n";
    for record in records {
        file += &serde_json::to_string(record).unwrap();
        file.push('\n');
    }
    file
}

proptest! {
    #[test]
    fn a_record_comes_out_as_it_went_in(record in record()) {
        let line = serde_json::to_string(&record).unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }

    #[test]
    fn any_records_in_any_order_do_no_harm(records in vec(record(), 0..60)) {
        checks::recording(file(&records).as_bytes());
        // One that is refused would hide those behind it.
        for record in &records {
            checks::recording(file(std::slice::from_ref(record)).as_bytes());
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200), behind: bool) {
        let mut file = if behind { format!("{HEADER}\n").into_bytes() } else { Vec::new() };
        file.extend_from_slice(&bytes);
        checks::recording(&file);
    }
}
