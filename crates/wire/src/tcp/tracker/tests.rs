//! Connections as RFC 9293 draws them, segment by segment.

use proptest::prelude::*;

use super::*;
use End::{Local, Remote};
use State::*;

/// Sends segments of both ends through a tracker, counting offsets from each end's ISN.
#[derive(Clone)]
struct Wire {
    tracker: Tracker,
    isn: [u32; 2],
    changes: Vec<(End, State)>,
}

impl Wire {
    fn new() -> Wire {
        Wire { tracker: Tracker::new(), isn: [u32::MAX - 2, 7000], changes: Vec::new() }
    }

    /// `offset` −1 is the SYN; `ack` is an offset of the opposite stream.
    fn send(
        &mut self,
        from: End,
        flags: Flags,
        offset: i64,
        length: u32,
        ack: Option<i64>,
    ) -> Placed {
        let number = |end: End, offset: i64| {
            Seq(self.isn[end.index()]) + u32::try_from((offset + 1) & 0xffff_ffff).expect("masked")
        };
        let segment = Segment {
            source: "127.0.0.1:1".parse().expect("valid"),
            destination: "127.0.0.1:2".parse().expect("valid"),
            seq: number(from, offset),
            ack: ack.map_or(Seq(0), |ack| number(from.other(), ack)),
            flags: if ack.is_some() { flags | Flags::ACK } else { flags },
            window: 1000,
            payload: length,
            window_scale: flags.syn().then_some(7),
            mss: None,
            sack: None,
        };
        let placed = self.tracker.segment(from, &segment).expect("the same connection");
        self.changes.extend(placed.changes.iter().map(|change| (change.end, change.to)));
        placed
    }

    fn handshake(&mut self) {
        self.send(Remote, Flags::SYN, -1, 0, None);
        self.send(Local, Flags::SYN, -1, 0, Some(0));
        self.send(Remote, Flags::NONE, 0, 0, Some(0));
    }

    /// The changes since the last call.
    fn changes(&mut self) -> Vec<(End, State)> {
        std::mem::take(&mut self.changes)
    }
}

#[test]
fn the_three_way_handshake_opens_both_ends() {
    let mut wire = Wire::new();
    wire.handshake();
    assert_eq!(
        wire.changes(),
        [(Remote, SynSent), (Local, SynReceived), (Remote, Established), (Local, Established)]
    );
    assert_eq!(wire.tracker.isn(Remote), Some(Seq(7000)));
}

#[test]
fn a_passive_open_leaves_listen() {
    let mut wire = Wire::new();
    wire.send(Remote, Flags::SYN, -1, 0, None);
    let placed = wire.send(Local, Flags::SYN, -1, 0, Some(0));
    let steps: Vec<_> = placed.changes.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(steps, [(Listen, SynReceived), (SynSent, Established)]);
}

#[test]
fn a_simultaneous_open_opens_both_ends() {
    let mut wire = Wire::new();
    wire.send(Local, Flags::SYN, -1, 0, None);
    wire.send(Remote, Flags::SYN, -1, 0, None);
    assert_eq!(wire.changes(), [(Local, SynSent), (Remote, SynSent), (Local, SynReceived)]);
    wire.send(Local, Flags::SYN, -1, 0, Some(0));
    wire.send(Remote, Flags::SYN, -1, 0, Some(0));
    assert_eq!(wire.changes(), [(Remote, Established), (Local, Established)]);
}

#[test]
fn the_four_step_close_ends_in_time_wait_at_the_end_that_closed_first() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.changes();
    wire.send(Remote, Flags::FIN, 0, 0, Some(0));
    assert_eq!(wire.changes(), [(Remote, FinWait1), (Local, CloseWait)]);
    let ack = wire.send(Local, Flags::NONE, 0, 0, Some(1)).ack.expect("has an ACK");
    assert_eq!((ack.offset, ack.fin, ack.advances), (0, true, true));
    assert_eq!(wire.changes(), [(Remote, FinWait2)]);
    wire.send(Local, Flags::FIN, 0, 0, Some(1));
    assert_eq!(wire.changes(), [(Local, LastAck), (Remote, TimeWait)]);
    assert!(!wire.tracker.is_over());
    wire.send(Remote, Flags::NONE, 1, 0, Some(1));
    assert_eq!(wire.changes(), [(Local, Closed)]);
    assert!(wire.tracker.is_over());
}

#[test]
fn a_fin_that_acknowledges_a_fin_skips_fin_wait_2() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.changes();
    wire.send(Local, Flags::FIN, 0, 0, Some(0));
    wire.send(Remote, Flags::FIN, 0, 0, Some(1));
    wire.send(Local, Flags::NONE, 1, 0, Some(1));
    assert_eq!(
        wire.changes(),
        [
            (Local, FinWait1),
            (Remote, CloseWait),
            (Remote, LastAck),
            (Local, TimeWait),
            (Remote, Closed)
        ]
    );
}

#[test]
fn an_end_whose_fin_crossed_the_others_was_never_in_close_wait() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.changes();
    wire.send(Local, Flags::FIN, 0, 0, Some(0));
    wire.send(Remote, Flags::FIN, 0, 0, Some(0));
    assert_eq!(
        wire.changes(),
        [(Local, FinWait1), (Remote, CloseWait), (Remote, FinWait1), (Local, Closing)]
    );
    let mut other = wire.clone();
    wire.send(Local, Flags::NONE, 1, 0, Some(1));
    wire.send(Remote, Flags::NONE, 1, 0, Some(1));
    assert_eq!(wire.changes(), [(Remote, TimeWait), (Local, TimeWait)]);
    assert!(wire.tracker.is_over());
    // The same ACKs in the other order.
    other.send(Remote, Flags::NONE, 1, 0, Some(1));
    other.send(Local, Flags::NONE, 1, 0, Some(1));
    assert_eq!(other.changes(), [(Remote, Closing), (Local, TimeWait), (Remote, TimeWait)]);
    assert!(other.tracker.is_over());
}

#[test]
fn a_reset_closes_both_ends_at_once() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.changes();
    wire.send(Remote, Flags::RST, 0, 0, None);
    assert_eq!(wire.changes(), [(Remote, Closed), (Local, Closed)]);
    assert_eq!(wire.tracker.reset_by(), Some(Remote));
    assert!(wire.tracker.is_over());
}

#[test]
fn a_refused_connect_returns_to_closed() {
    let mut wire = Wire::new();
    wire.send(Remote, Flags::SYN, -1, 0, None);
    wire.send(Local, Flags::RST, -1, 0, Some(0));
    assert_eq!(wire.changes(), [(Remote, SynSent), (Remote, Closed)]);
    assert!(wire.tracker.is_over());
}

#[test]
fn a_start_in_midstream_is_inferred() {
    let mut wire = Wire::new();
    let placed = wire.send(Remote, Flags::NONE, 5000, 10, Some(900));
    assert!(placed.changes.iter().all(|change| change.inferred && change.to == Established));
    assert_eq!(placed.changes.iter().count(), 2);
    assert_eq!((placed.start, placed.end, placed.mark), (0, 10, Mark::None));
    let reply = wire.send(Local, Flags::NONE, 900, 5, Some(5010));
    assert_eq!((reply.start, reply.end), (0, 5));
    assert_eq!(reply.ack.expect("has an ACK").offset, 10);
}

#[test]
fn an_isn_told_beforehand_gives_midstream_segments_their_true_offset() {
    let mut wire = Wire::new();
    wire.tracker.set_isn(Remote, Seq(7000));
    assert_eq!(wire.send(Remote, Flags::NONE, 50, 10, Some(0)).start, 50);
}

#[test]
fn an_isn_told_later_says_how_far_the_offsets_were_off() {
    let mut wire = Wire::new();
    assert_eq!(wire.send(Remote, Flags::NONE, 50, 10, Some(0)).start, 0);
    assert_eq!(wire.tracker.set_isn(Remote, Seq(7000)), 50);
    assert_eq!(wire.tracker.set_isn(Remote, Seq(7000)), 0);
    assert_eq!(wire.send(Remote, Flags::NONE, 60, 10, Some(0)).start, 60);
    assert_eq!(wire.send(Local, Flags::NONE, 0, 0, Some(70)).ack.expect("has an ACK").offset, 70);
}

#[test]
fn several_holes_are_filled_in_any_order() {
    let mut wire = Wire::new();
    wire.handshake();
    for offset in [0, 20, 40, 60] {
        let mark = if offset == 0 { Mark::None } else { Mark::Gap };
        assert_eq!(wire.send(Remote, Flags::NONE, offset, 10, Some(0)).mark, mark);
    }
    for offset in [30, 50, 10] {
        assert_eq!(wire.send(Remote, Flags::NONE, offset + 3, 4, Some(0)).mark, Mark::None);
        assert_eq!(wire.send(Remote, Flags::NONE, offset + 7, 3, Some(0)).mark, Mark::None);
        assert_eq!(wire.send(Remote, Flags::NONE, offset, 3, Some(0)).mark, Mark::None);
        assert_eq!(wire.send(Remote, Flags::NONE, offset, 10, Some(0)).mark, Mark::Retransmission);
    }
}

#[test]
fn sent_again_is_told_from_sent() {
    let mut wire = Wire::new();
    wire.handshake();
    assert_eq!(wire.send(Remote, Flags::NONE, 0, 10, Some(0)).mark, Mark::None);
    assert_eq!(wire.send(Remote, Flags::NONE, 10, 10, Some(0)).mark, Mark::None);
    assert_eq!(wire.send(Remote, Flags::NONE, 0, 10, Some(0)).mark, Mark::Retransmission);
    assert_eq!(wire.send(Remote, Flags::NONE, 15, 10, Some(0)).mark, Mark::None);
    assert_eq!(wire.send(Remote, Flags::FIN, 25, 0, Some(0)).mark, Mark::None);
    assert_eq!(wire.send(Remote, Flags::FIN, 25, 0, Some(0)).mark, Mark::Retransmission);
}

#[test]
fn a_syn_sent_again_is_a_retransmission() {
    let mut wire = Wire::new();
    assert_eq!(wire.send(Remote, Flags::SYN, -1, 0, None).mark, Mark::None);
    assert_eq!(wire.send(Remote, Flags::SYN, -1, 0, None).mark, Mark::Retransmission);
    assert_eq!(wire.tracker.state(Remote), SynSent);
}

#[test]
fn a_keep_alive_is_no_data() {
    let mut wire = Wire::new();
    wire.handshake();
    assert_eq!(wire.send(Remote, Flags::NONE, -1, 0, Some(0)).mark, Mark::KeepAlive);
    wire.send(Remote, Flags::NONE, 0, 10, Some(0));
    wire.send(Local, Flags::NONE, 0, 0, Some(10));
    assert_eq!(wire.send(Remote, Flags::NONE, 9, 1, Some(0)).mark, Mark::KeepAlive);
    assert_eq!(wire.send(Remote, Flags::NONE, 10, 10, Some(0)).mark, Mark::None);
}

#[test]
fn a_single_byte_seen_after_its_ack_is_data_and_no_keep_alive() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.send(Remote, Flags::PSH, 0, 3, Some(0));
    // Each end's processor hands its packets over by itself.
    wire.send(Local, Flags::NONE, 0, 0, Some(4));
    let placed = wire.send(Remote, Flags::PSH, 3, 1, Some(0));
    assert_eq!((placed.start, placed.end, placed.mark), (3, 4, Mark::None));
    // Once more, it is one below what was acknowledged.
    let placed = wire.send(Remote, Flags::PSH, 3, 1, Some(0));
    assert_eq!(placed.mark, Mark::KeepAlive);
}

#[test]
fn a_single_byte_not_acknowledged_yet_is_sent_again() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.send(Remote, Flags::PSH, 0, 1, Some(0));
    let placed = wire.send(Remote, Flags::PSH, 0, 1, Some(0));
    assert_eq!((placed.start, placed.end, placed.mark), (0, 1, Mark::Retransmission));
}

#[test]
fn a_probe_into_a_closed_window_is_a_window_probe() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.send(Remote, Flags::NONE, 0, 10, Some(0));
    let closed = Segment {
        source: "127.0.0.1:1".parse().expect("valid"),
        destination: "127.0.0.1:2".parse().expect("valid"),
        seq: Seq(u32::MAX - 1),
        ack: Seq(7011),
        flags: Flags::ACK,
        window: 0,
        payload: 0,
        window_scale: None,
        mss: None,
        sack: None,
    };
    wire.tracker.segment(Local, &closed).expect("the same connection");
    assert_eq!(wire.send(Remote, Flags::NONE, 9, 0, Some(0)).mark, Mark::WindowProbe);
}

#[test]
fn a_hole_in_the_capture_is_said_once() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.send(Remote, Flags::NONE, 0, 10, Some(0));
    assert_eq!(wire.send(Remote, Flags::NONE, 20, 10, Some(0)).mark, Mark::Gap);
    assert_eq!(wire.send(Remote, Flags::NONE, 10, 10, Some(0)).mark, Mark::None);
    assert_eq!(wire.send(Local, Flags::NONE, 0, 0, Some(50)).mark, Mark::Gap);
    assert_eq!(wire.send(Remote, Flags::NONE, 50, 10, Some(0)).mark, Mark::None);
}

#[test]
fn windows_are_scaled_once_both_ends_agreed() {
    let mut wire = Wire::new();
    assert_eq!(wire.send(Remote, Flags::SYN, -1, 0, None).window, 1000);
    assert_eq!(wire.send(Local, Flags::SYN, -1, 0, Some(0)).window, 1000);
    assert_eq!(wire.send(Remote, Flags::NONE, 0, 0, Some(0)).window, 128_000);
    // RFC 7323 §2.3 leaves out SYN segments alone.
    assert_eq!(wire.send(Local, Flags::RST, 0, 0, Some(0)).window, 128_000);
}

#[test]
fn a_new_connection_on_the_same_ports_is_turned_away() {
    let mut wire = Wire::new();
    wire.handshake();
    wire.send(Remote, Flags::RST, 0, 0, None);
    let mut syn = Segment {
        source: "127.0.0.1:1".parse().expect("valid"),
        destination: "127.0.0.1:2".parse().expect("valid"),
        seq: Seq(1),
        ack: Seq(0),
        flags: Flags::SYN,
        window: 1,
        payload: 0,
        window_scale: None,
        mss: None,
        sack: None,
    };
    assert!(wire.tracker.segment(Remote, &syn).is_none());
    syn.seq = Seq(7000);
    assert!(wire.tracker.segment(Remote, &syn).is_some());
}

#[test]
fn offsets_go_on_past_four_gib() {
    const STEP: u32 = 1 << 20;
    let mut wire = Wire::new();
    wire.handshake();
    let mut offset = 0;
    while offset < 5 << 30 {
        let placed = wire.send(Local, Flags::NONE, offset, STEP, Some(0));
        assert_eq!(placed.start, offset.unsigned_abs());
        offset += i64::from(STEP);
        let ack = wire.send(Remote, Flags::NONE, 0, 0, Some(offset)).ack.expect("has an ACK");
        assert_eq!(ack.offset, offset.unsigned_abs());
    }
    wire.send(Local, Flags::FIN, offset, 0, Some(0));
    assert!(wire.send(Remote, Flags::NONE, 0, 0, Some(offset + 1)).ack.expect("has an ACK").fin);
}

proptest! {
    #[test]
    fn any_segments_in_any_order_leave_the_tracker_standing(
        segments in prop::collection::vec(
            (any::<bool>(), any::<u8>(), any::<u32>(), any::<u32>(), any::<u16>(), 0..100_000u32), 0..60),
    ) {
        let mut tracker = Tracker::new();
        let mut before = [Closed; 2];
        for (local, bits, seq, ack, window, payload) in segments {
            let segment = Segment {
                source: "127.0.0.1:1".parse().expect("valid"),
                destination: "127.0.0.1:2".parse().expect("valid"),
                seq: Seq(seq),
                ack: Seq(ack),
                flags: Flags::from_bits(bits),
                window,
                payload,
                window_scale: Some(bits),
                mss: None,
                sack: None,
            };
            let Some(placed) = tracker.segment(if local { Local } else { Remote }, &segment) else {
                continue;
            };
            prop_assert!(placed.start <= placed.end);
            for change in placed.changes.iter() {
                let listening = change.from == Listen && before[change.end.index()] == Closed;
                prop_assert!(listening || before[change.end.index()] == change.from);
                before[change.end.index()] = change.to;
            }
        }
        prop_assert_eq!(before, [tracker.state(Local), tracker.state(Remote)]);
    }
}
