//! Whatever is told, in whatever order: no panic, no line too wide, nothing a terminal obeys.

use std::net::SocketAddr;

use proptest::prelude::*;
use sockeye_engine::Address;
use sockeye_engine::probe::{Call, Direction, Operation, Role, Stamp};
use sockeye_eye::finding::{Kind, findings};
use sockeye_eye::pair::{Clocks, KnownBy, Pair};
use sockeye_eye::record::{Aftermath, KernelFacts, KernelStamp, Loss, Point, QueueSample};
use sockeye_eye::timeline::Timeline;
use sockeye_eye::view::{self, Style};
use sockeye_eye::words::Lang;
use sockeye_wire::packet::{Sack, Segment};
use sockeye_wire::tcp::{Flags, Seq, State};
use unicode_width::UnicodeWidthStr;

#[derive(Clone, Debug)]
enum Input {
    Call { operation: usize, at: u64, took: u64, asked: u64, result: Result<u64, i32>, offset: u64 },
    Message { sent: bool, at: u64, start: u64, length: u64, label: String },
    Segment { sent: bool, at: u64, seq: u32, ack: u32, flags: u8, window: u16, payload: u32 },
    Aftermath { remaining_ms: u32 },
    Closed { at: u64 },
    Lost { calls: u64, packets: u64 },
    Stamp { at: u64, point: usize, end: u64 },
    Queue { at: u64, server: bool, state: usize, receive: u32, send: u32, window: u32 },
}

/// Mostly small, so that things meet; now and then larger than any connection.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..2000_u64, 1 => 0..1_u64 << 33, 1 => 0..1_u64 << 56]
}

fn sequence() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..3000_u32, 1 => any::<u32>()]
}

fn input() -> impl Strategy<Value = Input> {
    let result = prop_oneof![4 => number().prop_map(Ok), 1 => (1..130_i32).prop_map(Err)];
    prop_oneof![
        4 => (0..7_usize, number(), number(), number(), result, number()).prop_map(
            |(operation, at, took, asked, result, offset)| Input::Call {
                operation, at, took, asked, result, offset,
            }
        ),
        2 => (any::<bool>(), number(), number(), number(), any::<String>()).prop_map(
            |(sent, at, start, length, label)| Input::Message { sent, at, start, length, label }
        ),
        8 => (any::<bool>(), number(), sequence(), sequence(), 0..64_u8, any::<u16>(), 0..3000_u32)
            .prop_map(|(sent, at, seq, ack, flags, window, payload)| Input::Segment {
                sent, at, seq, ack, flags, window, payload,
            }),
        1 => any::<u32>().prop_map(|remaining_ms| Input::Aftermath { remaining_ms }),
        1 => number().prop_map(|at| Input::Closed { at }),
        1 => (number(), number()).prop_map(|(calls, packets)| Input::Lost {
            calls: calls >> 8, packets: packets >> 8,
        }),
        1 => (number(), 0..3_usize, number()).prop_map(|(at, point, end)| Input::Stamp { at, point, end }),
        1 => (number(), any::<bool>(), 0..4_usize, sequence(), sequence(), 0..2_u32).prop_map(
            |(at, server, state, receive, send, window)| Input::Queue {
                at, server, state, receive, send, window,
            }
        ),
    ]
}

fn tell(timeline: &mut Timeline, input: Input) {
    const OPERATIONS: [Operation; 7] = [
        Operation::Accept,
        Operation::Connect,
        Operation::Recv,
        Operation::Send,
        Operation::SendFile,
        Operation::ShutdownWrite,
        Operation::Close,
    ];
    let way = |sent| if sent { Direction::Sent } else { Direction::Received };
    match input {
        Input::Call { operation, at, took, asked, result, offset } => timeline.call(Call {
            operation: OPERATIONS[operation],
            start: Stamp(at),
            end: Stamp(at.saturating_add(took)),
            asked,
            result,
            offset,
        }),
        Input::Message { sent, at, start, length, label } => {
            timeline.message(Stamp(at), way(sent), start..start.saturating_add(length), &label);
        }
        Input::Segment { sent, at, seq, ack, flags, window, payload } => timeline.segment(
            Stamp(at),
            way(sent),
            &Segment {
                source: "[::1]:1".parse().expect("an address"),
                destination: "[::1]:2".parse().expect("an address"),
                seq: Seq(seq),
                ack: Seq(ack),
                flags: Flags::from_bits(flags),
                window,
                payload,
                window_scale: Some(7),
                mss: None,
                sack: (seq % 5 == 0).then(|| Sack {
                    start: Seq(ack.wrapping_add(u32::from(window % 9))),
                    end: Seq(seq),
                    duplicate: window % 2 == 0,
                }),
            },
        ),
        Input::Aftermath { remaining_ms } => {
            let (at, state) = (Stamp(5000), State::TimeWait);
            timeline.aftermath(Aftermath { at, state, remaining_ms: Some(remaining_ms) });
            timeline.peer_aftermath(Aftermath { at, state, remaining_ms: Some(remaining_ms / 2) });
        }
        Input::Closed { at } => {
            timeline
                .kernel(KernelFacts { state: Some(State::CloseWait), ..KernelFacts::default() });
            timeline.closed(Stamp(at));
        }
        Input::Stamp { at, point, end } => {
            let (at, point, from) = (Stamp(at), Point::ALL[point], end / 2 * (end % 2));
            timeline.stamp(KernelStamp { at, point, from, end });
        }
        Input::Queue { at, server, state, receive, send, window } => {
            timeline.queue(QueueSample {
                at: Stamp(at),
                end: if server { Role::Server } else { Role::Client },
                state: [State::Established, State::CloseWait, State::FinWait2, State::Closed]
                    [state],
                receive,
                send,
                unsent: send.checked_sub(9),
                send_window: None,
                receive_window: Some(window),
                rtt_us: None,
                congestion_window: None,
                retransmits: None,
            });
        }
        Input::Lost { calls, packets } => timeline.lost(Loss { calls, packets, ..Loss::default() }),
    }
}

/// The times at the rows of a picture's ladder, as they are printed.
pub(crate) fn printed_times(picture: &str) -> Vec<f64> {
    // A title, an empty line, the ladder, another empty line.
    let ladder = picture.split("\n\n").nth(1).unwrap_or_default();
    // They end where their unit in the header ends.
    let unit = ladder.split_whitespace().next().unwrap_or_default();
    let width = ladder.find(unit).unwrap_or_default() + unit.len();
    let time = |line: &str| line.get(..width)?.trim().replace(',', "").parse().ok();
    ladder.lines().filter_map(time).collect()
}

proptest! {
    #[test]
    fn any_story_is_drawn_within_its_width(
        inputs in prop::collection::vec(input(), 0..80),
        width in prop_oneof![30..80_usize, 80..240_usize],
        keep in 0..40_usize,
        rows in 0..60_usize,
        client: bool,
        ascii: bool,
        chinese: bool,
        whole: bool,
    ) {
        let role = if client { Role::Client } else { Role::Server };
        let [local, peer] = ["[::1]:8080", "[fe80:1234:5678:9abc:def0:1234:5678:9abc]:40312"]
            .map(|address| address.parse::<SocketAddr>().expect("an address").into());
        let mut timeline = Timeline::new(role, local, peer, keep);
        for input in inputs {
            tell(&mut timeline, input);
        }
        let lang = if chinese { Lang::Zh } else { Lang::En };
        let style = Style { width, rows, ascii, lang, ..Style::default() };
        let history = if whole { &timeline.into_history() } else { timeline.history() };
        let found = findings(history);
        prop_assert!(found.len() <= 2 * Kind::ALL.len());
        prop_assert!(found.is_sorted_by_key(|finding| finding.at), "{:?}", found);
        let picture = view::picture(history, &style);
        prop_assert!(printed_times(&picture).is_sorted(), "{}", picture);
        for line in picture.lines() {
            let columns = line.width();
            prop_assert!(width < 40 || columns <= width, "{} > {}: {}", columns, width, line);
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        }
    }
}

proptest! {
    #[test]
    fn any_two_stories_are_drawn_as_two_ends_within_the_width(
        inputs in prop::array::uniform2(prop::collection::vec(input(), 0..60)),
        isn in prop::collection::vec((any::<bool>(), sequence()), 4),
        width in prop_oneof![30..80_usize, 80..240_usize],
        keep in 0..40_usize,
        one_machine: bool,
        ascii: bool,
        chinese: bool,
    ) {
        let [local, peer] = ["[::1]:8080", "[fe80:1234:5678:9abc:def0:1234:5678:9abc]:40312"]
            .map(|address| Address::from(address.parse::<SocketAddr>().expect("an address")));
        let mut isn = isn.into_iter();
        let ends = [Role::Client, Role::Server].into_iter().zip(inputs).map(|(role, inputs)| {
            let mut timeline = Timeline::new(role, local.clone(), peer.clone(), keep);
            for (sent, seq) in isn.by_ref().take(2) {
                let syn = Input::Segment {
                    sent, at: 1, seq, ack: 0, flags: Flags::SYN.bits(), window: 1, payload: 0,
                };
                tell(&mut timeline, syn);
            }
            for input in inputs {
                tell(&mut timeline, input);
            }
            timeline.into_history()
        });
        let [client, server]: [_; 2] = ends.collect::<Vec<_>>().try_into().expect("two");
        let pair = Pair::new(client, server, KnownBy::Addresses, one_machine);
        let style = Style { width, ascii, ..Style::default() };
        let picture = view::pair(&pair, &style);
        if pair.clocks != Clocks::Contradictory {
            prop_assert!(printed_times(&picture).is_sorted(), "{}", picture);
        }
        for line in picture.lines() {
            let columns = line.width();
            prop_assert!(width < 40 || columns <= width, "{} > {}: {}", columns, width, line);
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        }
    }
}
