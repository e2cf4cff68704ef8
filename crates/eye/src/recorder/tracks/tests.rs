//! Joining, with packets late, packets early, and addresses used again.

use sockeye_engine::probe::{Call, Operation};
use sockeye_wire::tcp::{Flags, Seq, State};

use super::*;
use crate::kernel::{LetGo, SocketSeen};
use crate::record::{KernelFacts, Loss};

const LISTENER: &str = "127.0.0.1:8080";
const PEER: &str = "127.0.0.1:40000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tracks() -> Tracks {
    let mut tracks = Tracks::new(true);
    tracks.listen(address(LISTENER));
    tracks
}

/// A segment of the peer's (`true`) or ours.
fn segment(from_peer: bool, seq: u32, ack: u32, flags: Flags, payload: u32) -> Segment {
    let (peer, local) = (address(PEER), address(LISTENER));
    let (source, destination) = if from_peer { (peer, local) } else { (local, peer) };
    Segment {
        source,
        destination,
        seq: Seq(seq),
        ack: Seq(ack),
        flags,
        window: 1000,
        payload,
        window_scale: None,
        mss: None,
        sack: None,
    }
}

/// A whole connection with `bytes` bytes to us, reset by the peer.
fn conversation(isn: u32, bytes: u32) -> Vec<Segment> {
    let data = Flags::ACK | Flags::PSH;
    vec![
        segment(true, isn, 0, Flags::SYN, 0),
        segment(false, 500, isn + 1, Flags::SYN | Flags::ACK, 0),
        segment(true, isn + 1, 501, Flags::ACK, 0),
        segment(true, isn + 1, 501, data, bytes),
        segment(false, 501, isn + 1 + bytes, Flags::ACK, 0),
        segment(true, isn + 1 + bytes, 501, Flags::RST | Flags::ACK, 0),
    ]
}

fn ended(tracks: &mut Tracks) -> Vec<History> {
    tracks.take_ended().into_iter().map(|(_, history)| history).collect()
}

fn feed(tracks: &mut Tracks, segments: &[Segment]) {
    for segment in segments {
        tracks.segment(Stamp(5), 1, segment);
    }
}

fn opened(conn: u64, peer_isn: Option<u32>) -> Item {
    let (local, peer) = (address(LISTENER).into(), address(PEER).into());
    let opened = Opened { conn: ConnId(conn), role: Role::Server, local, peer, at: Stamp(4) };
    Item::Opened(Box::new((opened, peer_isn)))
}

fn closed(conn: u64) -> Item {
    Item::Closed(ConnId(conn), Stamp(9))
}

fn tell(tracks: &mut Tracks, item: Item, now: Instant) {
    tracks.records(&Records { items: vec![item], labels: String::new() }, now);
}

/// Number, and how many bytes the segments brought.
fn told(ended: &[History]) -> Vec<(Option<u64>, u64)> {
    let bytes = |history: &History| {
        let segments = history.events.iter().filter_map(|event| match event {
            crate::record::Event::Segment(segment) => Some(segment.range.end),
            _ => None,
        });
        segments.max().unwrap_or(0)
    };
    ended.iter().map(|history| (history.conn.map(|conn| conn.0), bytes(history))).collect()
}

#[test]
fn packets_before_accept_belong_to_what_is_accepted() {
    let (mut tracks, now) = (tracks(), Instant::now());
    feed(&mut tracks, &conversation(100, 7));
    tell(&mut tracks, opened(1, Some(100)), now);
    tell(&mut tracks, closed(1), now);
    assert_eq!(told(&ended(&mut tracks)), [(Some(1), 7)]);
    assert_eq!(tracks.tracks.len(), 0);
    assert!(tracks.by_tuple.is_empty() && tracks.by_conn.is_empty());
}

#[test]
fn packets_after_close_are_waited_for() {
    let (mut tracks, now) = (tracks(), Instant::now());
    tell(&mut tracks, opened(1, Some(100)), now);
    tell(&mut tracks, closed(1), now);
    assert!(tracks.is_waiting());
    tracks.expire(now + GRACE / 2);
    assert!(ended(&mut tracks).is_empty());
    feed(&mut tracks, &conversation(100, 7));
    assert_eq!(told(&ended(&mut tracks)), [(Some(1), 7)]);
    tracks.expire(now + GRACE / 2);
    assert!(!tracks.is_waiting(), "nothing is waited for twice");
}

#[test]
fn packets_that_never_come_are_given_up_after_a_grace() {
    let (mut tracks, now) = (tracks(), Instant::now());
    tell(&mut tracks, opened(1, Some(100)), now);
    tell(&mut tracks, closed(1), now);
    assert_eq!(tracks.expires_at(), Some(now + GRACE));
    tracks.expire(now + GRACE);
    let ended = ended(&mut tracks);
    assert_eq!(told(&ended), [(Some(1), 0)]);
    assert!(!ended[0].captured);
}

#[test]
fn three_connections_of_one_address_stay_apart_however_packets_and_calls_interleave() {
    let all: Vec<Vec<Segment>> =
        vec![conversation(100, 7), conversation(9000, 8), conversation(50, 9)];
    for isn_known in [true, false] {
        // How many connections' packets come before any call, and how many calls before the rest.
        for packets_first in 0..=3 {
            let (mut tracks, now) = (tracks(), Instant::now());
            for segments in &all[..packets_first] {
                feed(&mut tracks, segments);
            }
            for (conn, isn) in [(1, 100), (2, 9000), (3, 50)] {
                tell(&mut tracks, opened(conn, isn_known.then_some(isn)), now);
                tell(&mut tracks, closed(conn), now);
            }
            for segments in &all[packets_first..] {
                feed(&mut tracks, segments);
            }
            let mut ended = told(&ended(&mut tracks));
            ended.sort_unstable();
            assert_eq!(
                ended,
                [(Some(1), 7), (Some(2), 8), (Some(3), 9)],
                "ISN known: {isn_known}, packets of {packets_first} first"
            );
        }
    }
}

#[test]
fn a_packet_that_crosses_a_bridge_is_taken_once() {
    let (mut tracks, now) = (tracks(), Instant::now());
    for segment in conversation(100, 7) {
        tracks.segment(Stamp(5), 3, &segment);
        tracks.segment(Stamp(6), 4, &segment);
    }
    tell(&mut tracks, opened(1, Some(100)), now);
    tell(&mut tracks, closed(1), now);
    let ended = ended(&mut tracks);
    assert_eq!(ended[0].totals.segments, [4, 2]);
    assert_eq!(ended[0].totals.retransmissions, [0, 0]);
}

#[test]
fn segments_of_other_addresses_on_the_same_port_are_nobodys() {
    let mut tracks = tracks();
    let mut syn = segment(true, 1, 0, Flags::SYN, 0);
    syn.destination = address("127.0.0.2:8080");
    tracks.segment(Stamp(5), 1, &syn);
    assert_eq!(tracks.tracks.len(), 0);
    tracks.listen(address("[::]:8080"));
    tracks.segment(Stamp(5), 1, &syn);
    assert_eq!(tracks.tracks.len(), 1);
}

#[test]
fn segments_without_a_syn_begin_nothing_that_was_not_accepted() {
    let mut tracks = tracks();
    feed(&mut tracks, &conversation(100, 7)[1..]);
    assert_eq!(tracks.tracks.len(), 0);
}

#[test]
fn a_flood_of_syns_is_bounded_and_the_oldest_are_forgotten() {
    let (mut tracks, now) = (tracks(), Instant::now());
    for isn in 0..1_000 {
        tracks.segment(Stamp(5), 1, &segment(true, isn, 0, Flags::SYN, 0));
    }
    assert_eq!(tracks.tracks.len(), SAME_ADDRESSES, "from one port");
    for isn in 0..10_000_u32 {
        let mut syn = segment(true, isn, 0, Flags::SYN, 0);
        syn.source.set_port(u16::try_from(isn + 1).unwrap());
        tracks.segment(Stamp(5), 1, &syn);
    }
    assert!(tracks.tracks.len() <= MAX_UNACCEPTED, "{}", tracks.tracks.len());
    assert_eq!(tracks.by_tuple.len(), tracks.tracks.len());
    let before = tracks.tracks.len();
    tell(&mut tracks, opened(1, Some(999)), now);
    assert_eq!(tracks.tracks.len(), before + 1, "its SYN is forgotten");
}

#[test]
fn connections_beyond_the_bound_are_counted_not_watched() {
    let (mut tracks, now) = (Tracks::new(false), Instant::now());
    let many = MAX_CONNECTIONS as u64;
    for conn in 0..many + 5 {
        tell(&mut tracks, opened(conn, None), now);
    }
    assert_eq!((tracks.tracks.len(), tracks.unwatched()), (MAX_CONNECTIONS, 5));
    tell(&mut tracks, closed(many + 1), now);
    assert!(!tracks.is_waiting());
    // One that ends makes room for another.
    tell(&mut tracks, closed(3), now);
    tracks.expire(now + SETTLE);
    tell(&mut tracks, opened(many + 10, None), now);
    assert_eq!(tracks.unwatched(), 5);
}

#[test]
fn what_was_lost_is_told_of_the_connection_that_lost_it() {
    let (mut tracks, now) = (tracks(), Instant::now());
    tracks.dropped(10);
    tell(&mut tracks, opened(1, Some(100)), now);
    tell(&mut tracks, Item::Lost(ConnId(1), 3), now);
    tracks.dropped(4);
    tell(&mut tracks, closed(1), now);
    tracks.expire(now + GRACE);
    let ended = ended(&mut tracks);
    assert_eq!(ended[0].lost, Loss { calls: 3, packets: 4, ..Loss::default() });
}

#[test]
fn a_connection_made_from_here_has_calls_alone() {
    let (mut tracks, now) = (tracks(), Instant::now());
    let (local, peer) = (address(LISTENER).into(), address(PEER).into());
    let opened = Opened { conn: ConnId(1), role: Role::Client, local, peer, at: Stamp(4) };
    tell(&mut tracks, Item::Opened(Box::new((opened, None))), now);
    let call = Call {
        operation: Operation::Connect,
        start: Stamp(1),
        end: Stamp(2),
        asked: 0,
        result: Ok(0),
        offset: 0,
    };
    tell(&mut tracks, Item::call(ConnId(1), &call), now);
    tell(&mut tracks, closed(1), now);
    assert_eq!(tracks.expires_at(), Some(now + SETTLE));
    tracks.expire(now + SETTLE);
    assert_eq!(told(&ended(&mut tracks)), [(Some(1), 0)]);
}

#[test]
fn memory_for_all_is_bounded_whatever_the_number_of_connections() {
    assert_eq!(keep(1), 1024);
    assert!((MAX_CONNECTIONS + MAX_UNACCEPTED) * keep(MAX_CONNECTIONS) <= 1 << 20);
}

#[test]
fn among_many_the_first_and_last_records_are_kept_and_the_rest_is_summed_up() {
    let now = Instant::now();
    let mut tracks = Tracks::new(false);
    for conn in 1..=20 {
        tell(&mut tracks, opened(conn, None), now);
    }
    const CALLS: u64 = 5_000;
    for index in 0..CALLS {
        let (start, end) = (Stamp(10 + index), Stamp(11 + index));
        let (asked, result, offset) = (64, Ok(10), index * 10);
        let call = Call { operation: Operation::Recv, start, end, asked, result, offset };
        tell(&mut tracks, Item::call(ConnId(7), &call), now);
        let mut records = Records::default();
        let range = offset..offset + 10;
        let text = format_args!("number {index}");
        records.message(ConnId(7), end, Direction::Received, &range, text);
        tracks.records(&records, now);
    }
    tell(&mut tracks, closed(7), now);
    tracks.expire(now + GRACE);
    let history = ended(&mut tracks).pop().unwrap();

    assert_eq!(history.totals.calls, [CALLS, 0]);
    assert_eq!(history.totals.messages, [CALLS, 0]);
    assert_eq!((history.events.total(), history.messages.total()), (CALLS, CALLS));
    let (head, tail) = (history.events.head().count(), history.events.tail().count());
    assert!((16..=32).contains(&tail), "half of those put down last: {tail}");
    let fold = &history.left_out.calls[0];
    assert_eq!(fold.count, CALLS - head as u64 - tail as u64);
    assert_eq!(fold.range, head as u64 * 10..(CALLS - tail as u64) * 10);
    let last = history.messages.tail().last().unwrap();
    assert_eq!(last.label, format!("number {}", CALLS - 1));
}

/// The same segments seen by somebody who looks on.
fn onlooker() -> Tracks {
    let mut tracks = Tracks::new(true);
    tracks.look_on(address("0.0.0.0:8080"));
    tracks
}

fn ended_after_grace(tracks: &mut Tracks) -> Vec<History> {
    let now = Instant::now();
    tracks.expire(now);
    assert!(ended(tracks).is_empty(), "late packets are waited for");
    tracks.expire(now + GRACE);
    ended(tracks)
}

#[test]
fn a_connection_of_others_begins_with_its_syn_and_ends_on_the_wire() {
    let mut tracks = onlooker();
    assert!(tracks.saw_none());
    feed(&mut tracks, &conversation(10, 7));
    assert!(!tracks.saw_none());
    let ended = ended_after_grace(&mut tracks);
    let [history] = &ended[..] else { panic!("{ended:?}") };
    assert!(history.neutral && history.conn.is_none());
    assert_eq!(history.role, Role::Server);
    assert_eq!(history.local, address(LISTENER).into());
    assert_eq!(history.course.reached, [7, 0]);
    assert_eq!(history.totals.segments, [4, 2]);
    assert!(!tracks.is_waiting());
}

#[test]
fn both_fins_acknowledged_end_it_too_and_a_late_segment_begins_nothing() {
    let mut tracks = onlooker();
    let fin = Flags::ACK | Flags::FIN;
    let mut segments = conversation(10, 7);
    segments.pop();
    segments.push(segment(true, 18, 501, fin, 0));
    segments.push(segment(false, 501, 19, fin, 0));
    segments.push(segment(true, 19, 502, Flags::ACK, 0));
    // The last ACK again, as if the FIN had come twice.
    segments.push(segment(true, 19, 502, Flags::ACK, 0));
    feed(&mut tracks, &segments);
    assert_eq!(ended_after_grace(&mut tracks).len(), 1);
    assert_eq!(tracks.open_peers().count(), 0);
}

#[test]
fn a_connection_that_was_open_before_is_followed_from_the_middle() {
    let mut tracks = onlooker();
    feed(&mut tracks, &conversation(10, 7)[3..]);
    let ended = ended_after_grace(&mut tracks);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].local, address(LISTENER).into());
    assert_eq!(ended[0].course.reached, [7, 0]);
    assert_eq!(ended[0].course.syn, None);
}

#[test]
fn ports_used_again_are_another_connection_of_others() {
    let mut tracks = onlooker();
    feed(&mut tracks, &conversation(10, 7));
    feed(&mut tracks, &conversation(90_000, 3));
    let now = Instant::now();
    tracks.expire(now);
    tracks.expire(now + GRACE);
    let ended = ended(&mut tracks);
    let reached: Vec<_> = ended.iter().map(|history| history.course.reached[0]).collect();
    assert_eq!(reached, [7, 3]);
}

#[test]
fn of_those_that_ended_it_is_known_whose_addresses_are_used_again() {
    let mut tracks = onlooker();
    feed(&mut tracks, &conversation(10, 7));
    feed(&mut tracks, &conversation(90_000, 3));
    let next = conversation(50, 2);
    feed(&mut tracks, &next[..4]);
    let former = tracks.take_ended();
    assert_eq!(tracks.used_again(&former), [true, true]);
    // Nobody knows of a newer one than the last.
    feed(&mut tracks, &next[4..]);
    let now = Instant::now();
    tracks.expire(now);
    tracks.expire(now + GRACE);
    let last = tracks.take_ended();
    assert_eq!(tracks.used_again(&last), [false]);
    let together: Vec<_> = former.into_iter().chain(last).collect();
    assert_eq!(tracks.used_again(&together), [true, true, false]);
}

#[test]
fn the_end_of_a_former_socket_is_none_of_the_one_that_uses_its_addresses_again() {
    for again in [false, true] {
        let mut tracks = onlooker();
        if again {
            feed(&mut tracks, &conversation(10, 7));
        }
        let open = conversation(90_000, 3);
        feed(&mut tracks, &open[..4]);
        let gone =
            LetGo { local: address(LISTENER), peer: address(PEER), facts: KernelFacts::default() };
        assert_eq!(tracks.let_go(Stamp(6), &gone).len(), usize::from(!again));
        feed(&mut tracks, &open[4..]);
        assert_eq!(tracks.let_go(Stamp(7), &gone).len(), 1);
    }
}

#[test]
fn segments_between_others_ports_are_passed_over() {
    let mut tracks = Tracks::new(true);
    tracks.look_on(address("127.0.0.1:81"));
    tracks.look_on(address("10.0.0.1:8080"));
    feed(&mut tracks, &conversation(10, 7));
    tracks.expire(Instant::now() + GRACE);
    assert!(ended(&mut tracks).is_empty() && !tracks.is_waiting());
}

#[test]
fn the_journal_tells_packets_of_the_next_connection_from_those_of_the_last() {
    let mut tracks = tracks();
    tracks.keep_journal();
    feed(&mut tracks, &conversation(100, 7));
    tell(&mut tracks, opened(1, Some(100)), Instant::now());
    tell(&mut tracks, closed(1), Instant::now());
    feed(&mut tracks, &conversation(900, 9)[..1]);
    let (mut first, mut second) = (0, 0);
    let facts = tracks.take_facts();
    let [Fact::Found { track: one, .. }, .., Fact::Found { track: other, .. }, _] = facts[..]
    else {
        panic!("{facts:?}")
    };
    for fact in &facts {
        match fact {
            Fact::Placed { track, .. } if *track == one => first += 1,
            Fact::Placed { track, .. } if *track == other => second += 1,
            _ => {}
        }
    }
    assert_eq!((first, second), (6, 1));
    assert!(facts.contains(&Fact::Joined { track: one, conn: ConnId(1) }));
    assert!(facts.contains(&Fact::Over { track: one, forgotten: false }));
    assert!(tracks.take_facts().is_empty());
}

fn socket(from_peer: bool, state: State) -> SocketSeen {
    let (peer, local) = (address(PEER), address(LISTENER));
    let (local, peer) = if from_peer { (peer, local) } else { (local, peer) };
    let facts = KernelFacts {
        bytes_received: Some(if from_peer { 0 } else { 7 }),
        bytes_acked: Some(if from_peer { 8 } else { 0 }),
        ..KernelFacts::default()
    };
    let (receive_queue, send_queue, remaining_ms) = (0, 0, None);
    SocketSeen {
        local,
        peer,
        state,
        remaining_ms,
        receive_queue,
        send_queue,
        unsent: None,
        send_window: None,
        receive_window: None,
        congestion_window: None,
        facts,
    }
}

#[test]
fn without_packets_the_kernels_list_tells_of_states_and_bytes_and_of_the_end() {
    let mut tracks = Tracks::new(false);
    tracks.look_on(address(LISTENER));
    use State::{CloseWait, Established, FinWait2, Listen, TimeWait};
    let list = |client, server| [socket(true, client), socket(false, server)];
    tracks.listed(Stamp(10), &[socket(false, Listen)]);
    assert_eq!(tracks.look(None).rows, []);
    tracks.listed(Stamp(20), &list(Established, Established));
    let open = tracks.look(None).rows;
    assert_eq!(open[0].states, [Some(Established); 2]);
    assert_eq!(open[0].bytes, [7, 0], "its SYN is no byte");
    tracks.listed(Stamp(30), &list(FinWait2, CloseWait));
    // In TIME-WAIT it has ended for everybody but the kernel.
    tracks.listed(Stamp(40), &[socket(true, TimeWait)]);
    tracks.listed(Stamp(50), &[socket(true, TimeWait)]);
    let ended = ended_after_grace(&mut tracks);
    let [history] = &ended[..] else { panic!("{ended:?}") };
    let line = crate::verdict::line(history);
    assert!(
        line.starts_with("CDF  127.0.0.1:40000 -> 127.0.0.1:8080  the client closed"),
        "{line}"
    );
    assert!(line.contains("7 B from the client, 0 B from the server"), "{line}");
    tracks.listed(Stamp(60), &[socket(true, TimeWait)]);
    assert_eq!(tracks.look(None).rows, [], "what has ended is not found again");
}

#[test]
fn of_others_that_were_listed_first_packets_tell_from_their_syn_on() {
    let mut tracks = onlooker();
    let both = [socket(true, State::Established), socket(false, State::Established)];
    tracks.listed(Stamp(10), &both);
    feed(&mut tracks, &conversation(10, 7));
    let ended = ended_after_grace(&mut tracks);
    let [history] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((history.number, history.course.reached), (1, [7, 0]));
    assert!(history.course.syn.is_some());
}

#[test]
fn what_is_selected_is_handed_out_whole_and_the_rest_as_rows() {
    let mut tracks = onlooker();
    feed(&mut tracks, &conversation(10, 7)[..4]);
    let snapshot = tracks.look(Some(1));
    let [row] = &snapshot.rows[..] else { panic!("{snapshot:?}") };
    assert_eq!(row.ends, [address(PEER).into(), address(LISTENER).into()]);
    assert_eq!((row.bytes, row.code.to_string().as_str()), ([7, 0], "-D-"));
    assert_eq!(snapshot.selected.map(|history| history.totals.segments), Some([3, 1]));
    assert!(tracks.look(Some(2)).selected.is_none());
}

#[test]
fn those_still_open_at_the_end_of_looking_on_are_told_as_open() {
    let mut tracks = onlooker();
    feed(&mut tracks, &conversation(10, 7)[..4]);
    let until = Stamp(7_000_000_000_000_000_000);
    tracks.end_of_looking_on(until);
    let ended = ended(&mut tracks);
    assert_eq!(ended[0].course.span.map(|(_, last)| last), Some(until));
    assert!(crate::verdict::line(&ended[0]).contains("is still open"));
}
