//! What is lost, doubled and overtaken on the way.

use std::time::Duration;

use rustix::net::SendFlags;
use sockeye_engine::probe::Direction;
use sockeye_eye::record::{Mark, Segment};

use crate::account::Account;
use crate::link::{Fate, Fault, Plan, What};
use crate::place::{Link, SERVER, settle};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::streams::leave;

/// So many bytes are in a segment.
const PIECE: usize = crate::stage::SEGMENT;

/// The client sends so many segments of data before the first of them is on its way, and no
/// retransmission timer runs out.
fn burst(stage: &mut Stage, pieces: usize) {
    stage.connection();
    let limit = Duration::from_millis(150);
    stage.in_time(limit, |stage| send_pieces(stage, pieces));
    take_pieces(stage, pieces);
}

/// With one call, so that all have left at one time: the kernel takes an earlier one that was not
/// acknowledged for lost as soon as a later one was, if that left so much later (RFC 8985 §6).
fn send_pieces(stage: &mut Stage, pieces: usize) {
    let names: Vec<String> = (1..=pieces).map(|piece| format!("piece {piece}")).collect();
    for (place, name) in names.iter().enumerate() {
        stage.client().will_write((place * PIECE) as u64, PIECE as u64, name);
    }
    let sent = stage.client().try_send(&vec![b'p'; pieces * PIECE], SendFlags::empty());
    assert_eq!(sent, Ok((pieces * PIECE) as u64));
    stage.arrived(SERVER, (pieces * PIECE) as u64);
    settle();
}

fn take_pieces(stage: &mut Stage, pieces: usize) {
    let all = (pieces * PIECE) as u64;
    assert_eq!(stage.server().recv(1 << 16), Ok(all));
    for piece in 0..pieces {
        let start = (piece * PIECE) as u64;
        stage.server().decoded(start..start + PIECE as u64, &format!("piece {}", piece + 1));
    }
    leave(stage);
}

/// Without the tail loss probe (RFC 8985 §7), which would come before the retransmission timer.
const CERTAIN: &[(&str, &str)] = &[("ipv4/tcp_early_retrans", "0")];

/// So many segments at once, and what becomes of one of them.
const fn plan(gather: usize, fault: &'static [Fault]) -> Plan {
    Plan { gather, faults: fault, settings: CERTAIN }
}

/// The only segment is lost, and lost again when it was sent once more; both times the retransmission
/// timer runs out, the second time after twice as long (RFC 6298 §5).
pub(crate) fn timeout() -> Scene {
    const PLAN: Plan = Plan {
        gather: 0,
        faults: &[
            Fault { what: What::Data, nth: 1, fate: Fate::Lost },
            Fault { what: What::Data, nth: 2, fate: Fate::Lost },
        ],
        settings: CERTAIN,
    };
    fn play(stage: &mut Stage) {
        stage.connection();
        send_pieces(stage, 1);
        take_pieces(stage, 1);
    }
    fn facts(client: &Account, server: &Account) {
        let again = client.marked(Direction::Sent, Mark::Retransmission);
        assert_eq!(again.len(), 2);
        assert!(client.silence_before(again[0]) >= Duration::from_millis(150));
        assert!(client.silence_before(again[1]) >= Duration::from_millis(350));
        assert_eq!(client.data(Direction::Sent), [(0, 1000), (0, 1000), (0, 1000)]);
        // The first two never came there.
        assert_eq!(server.data(Direction::Received), [(0, 1000)]);
        assert!(server.marked(Direction::Received, Mark::Retransmission).is_empty());
    }
    Scene {
        link: Link::Faulty(PLAN),
        pauses: after_200_ms,
        found: [&["tail-retransmission", "retransmission-timeout"], &[]],
        ..Scene::new("timeout", play, facts)
    }
}

/// The second of six segments is lost, and sent again because three later ones arrived (RFC 8985 §6).
pub(crate) fn fast_retransmission() -> Scene {
    const FAULTS: &[Fault] = &[Fault { what: What::Data, nth: 2, fate: Fate::Lost }];
    fn play(stage: &mut Stage) {
        burst(stage, 6);
    }
    fn facts(client: &Account, server: &Account) {
        let again = client.marked(Direction::Sent, Mark::Retransmission);
        let again: Vec<(u64, u64)> =
            again.iter().map(|segment| (segment.range.start, segment.range.end)).collect();
        assert_eq!(again, [(1000, 2000)]);
        assert_eq!(server.marked(Direction::Received, Mark::Gap).len(), 1);
        assert!(server.marked(Direction::Received, Mark::Retransmission).is_empty());
        // Said again and again: the server has no more of the row than the first.
        let said = client.received().into_iter().filter_map(|segment| segment.ack);
        assert!(said.filter(|ack| ack.offset == 1000).count() >= 4);
    }
    Scene {
        link: Link::Faulty(plan(6, FAULTS)),
        found: [&["fast-retransmission"], &["sticky"]],
        ..Scene::new("fast_retransmission", play, facts)
    }
}

/// The SYN is lost, and sent again after a second (RFC 6298 §2).
pub(crate) fn lost_syn() -> Scene {
    const FAULTS: &[Fault] = &[Fault { what: What::Syn, nth: 1, fate: Fate::Lost }];
    fn play(stage: &mut Stage) {
        burst(stage, 1);
    }
    fn pauses(segment: &Segment, _: usize) -> Option<Duration> {
        after_200_ms(segment, 0).map(|_| Duration::from_secs(1))
    }
    fn facts(client: &Account, server: &Account) {
        let syns = |end: &Account, way| {
            end.segments(way).into_iter().filter(|segment| segment.flags.syn()).count()
        };
        assert_eq!(syns(client, Direction::Sent), 2);
        assert_eq!(syns(server, Direction::Received), 1);
        let again = client.marked(Direction::Sent, Mark::Retransmission);
        assert!(client.silence_before(again[0]) >= Duration::from_millis(900));
    }
    Scene {
        link: Link::Faulty(plan(0, FAULTS)),
        pauses,
        found: [&["syn-retried"], &[]],
        ..Scene::new("lost_syn", play, facts)
    }
}

/// The client's FIN is lost, and sent again.
pub(crate) fn lost_fin() -> Scene {
    const PLAN: Plan = Plan {
        gather: 0,
        faults: &[Fault { what: What::Fin, nth: 1, fate: Fate::Lost }],
        settings: CERTAIN,
    };
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("the last word");
        assert_eq!(stage.server().recv(4096), Ok(13));
        stage.server().decoded(0..13, "the last word");
        stage.client().shutdown();
        assert_eq!(stage.server().recv(4096), Ok(0));
        stage.server().close();
        assert_eq!(stage.client().recv(4096), Ok(0));
        stage.client().close();
    }
    fn facts(client: &Account, server: &Account) {
        let fins = |end: &Account, way| {
            end.segments(way).into_iter().filter(|segment| segment.flags.fin()).count()
        };
        assert_eq!(fins(client, Direction::Sent), 2);
        assert_eq!(fins(server, Direction::Received), 1);
        assert_eq!(client.marked(Direction::Sent, Mark::Retransmission).len(), 1);
    }
    Scene {
        link: Link::Faulty(PLAN),
        pauses: after_200_ms,
        found: [&["tail-retransmission"], &[]],
        ..Scene::new("lost_fin", play, facts)
    }
}

/// The second of three segments comes behind the third.
pub(crate) fn reordering() -> Scene {
    const FAULTS: &[Fault] = &[Fault { what: What::Data, nth: 2, fate: Fate::Late }];
    fn play(stage: &mut Stage) {
        burst(stage, 3);
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(client.data(Direction::Sent), [(0, 1000), (1000, 2000), (2000, 3000)]);
        let came = server.data(Direction::Received);
        assert_eq!(came, [(0, 1000), (2000, 3000), (1000, 2000)]);
        for end in [client, server] {
            assert_eq!(end.history().totals.retransmissions, [0, 0]);
        }
    }
    Scene {
        link: Link::Faulty(plan(3, FAULTS)),
        found: [&[], &["sticky"]],
        ..Scene::new("reordering", play, facts)
    }
}

/// The second of three segments comes twice.
pub(crate) fn duplication() -> Scene {
    const FAULTS: &[Fault] = &[Fault { what: What::Data, nth: 2, fate: Fate::Doubled }];
    fn play(stage: &mut Stage) {
        burst(stage, 3);
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(client.data(Direction::Sent), [(0, 1000), (1000, 2000), (2000, 3000)]);
        let came = server.data(Direction::Received);
        assert_eq!(came, [(0, 1000), (1000, 2000), (1000, 2000), (2000, 3000)]);
        assert_eq!(client.history().totals.retransmissions, [0, 0]);
    }
    Scene {
        link: Link::Faulty(plan(3, FAULTS)),
        found: [&[], &["spurious-retransmission", "sticky"]],
        ..Scene::new("duplication", play, facts)
    }
}

/// The least a retransmission timer waits on Linux, and twice as long each time; RFC 6298 §2.4 asks for
/// a second.
fn after_200_ms(segment: &Segment, waited: usize) -> Option<Duration> {
    let again = segment.mark == Mark::Retransmission && segment.direction == Direction::Sent;
    again.then_some(Duration::from_millis(200) * (1 << waited))
}
