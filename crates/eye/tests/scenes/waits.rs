//! What makes an end wait: the peer's window, its ACK, its backlog.

use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::net::sockopt::set_tcp_quickack;
use sockeye_engine::probe::{Direction, Operation, Role};
use sockeye_eye::record::{Mark, Segment};

use crate::account::Account;
use crate::place::{CLIENT, Link, SERVER, counter, end_at, listed, settle, until};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::streams::leave;

/// A small write waits for the ACK of the one before it (RFC 9293 §3.7.4), and that ACK is delayed
/// (§3.8.6.3).
pub(crate) fn nagle_and_delayed_ack() -> Scene {
    const DELAY: Duration = Duration::from_millis(40);
    fn play(stage: &mut Stage) {
        stage.connection();
        // It answers what it is asked, so its kernel delays ACKs.
        set_tcp_quickack(stage.server().fd(), false).unwrap();
        stage.client().wrote(12, "head, body");
        stage.in_time(DELAY * 3 / 4, |stage| {
            for part in [&b"head, "[..], b"body; "] {
                assert_eq!(stage.client().try_send(part, SendFlags::empty()), Ok(6));
            }
            let taken = stage.server().recv(4096);
            stage.disturbed |= taken != Ok(6);
        });
        if stage.disturbed {
            return;
        }
        assert_eq!(stage.server().recv(4096), Ok(6));
        stage.server().decoded(0..12, "head, body");
        settle();
        stage.server().say("done");
        assert_eq!(stage.client().recv(4096), Ok(4));
        stage.client().decoded(0..4, "done");
        leave(stage);
    }
    fn pauses(segment: &Segment, _: usize) -> Option<Duration> {
        let bare = segment.range.is_empty() && !segment.flags.fin() && !segment.flags.syn();
        let first = segment.ack.is_some_and(|ack| ack.offset == 6);
        (bare && first).then_some(DELAY)
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(client.data(Direction::Sent), [(0, 6), (6, 12)]);
        for (end, way) in [(client, Direction::Received), (server, Direction::Sent)] {
            let ack = end.segments(way).into_iter().find(|segment| pauses(segment, 0).is_some());
            let waited = end.silence_before(ack.expect("the delayed ACK"));
            assert!(waited >= DELAY * 3 / 4, "{waited:?}");
        }
    }
    Scene {
        link: Link::Delayed,
        pauses,
        golden: false,
        talk: false,
        found: [&["nagle-delayed-ack"], &["nagle-delayed-ack", "torn"]],
        ..Scene::new("nagle_and_delayed_ack", play, facts)
    }
}

/// The server reads nothing until its window is shut and the client has asked whether it is open
/// again (RFC 9293 §3.8.6.1); then it reads all.
pub(crate) fn zero_window() -> Scene {
    fn play(stage: &mut Stage) {
        stage.listen(16, Some(8192));
        stage.connect();
        stage.accept();
        stage.client().nonblocking();
        let mut sent = 0;
        loop {
            match stage.client().try_send(&[b'z'; 16_384], SendFlags::empty()) {
                Ok(count) => sent += count,
                Err(errno) => {
                    assert_eq!(errno, Errno::AGAIN);
                    break;
                }
            }
        }
        until("a window probe", || end_at(CLIENT).is_some_and(|end| end.probes > 0));
        let full = end_at(SERVER).expect("it is open").unread;
        stage.sampled(Role::Server, full);
        stage.server().drain(sent, 4096);
        settle();
        leave(stage);
    }
    fn facts(client: &Account, server: &Account) {
        for (end, way) in [(client, Direction::Received), (server, Direction::Sent)] {
            let windows = end.segments(way).into_iter().filter(|segment| !segment.flags.syn());
            let windows: Vec<u32> = windows.map(|segment| segment.window).collect();
            let shut = windows.iter().position(|window| *window == 0).expect("a shut window");
            assert!(windows[shut..].iter().any(|window| *window > 0), "{windows:?}");
        }
        assert!(!client.marked(Direction::Sent, Mark::WindowProbe).is_empty());
        assert!(!server.marked(Direction::Received, Mark::WindowProbe).is_empty());
        assert_eq!(client.history().totals.bytes[1], server.history().totals.bytes[0]);
        // All that came before it was read was in its receive queue, as each end's account has it.
        let read = server.first(Operation::Recv);
        let before = server.received().into_iter().filter(|segment| segment.at < read);
        let full = before.map(|segment| segment.range.end).max().unwrap_or(0);
        for peaks in [&server.history().peaks[0], &client.history().peaks[1]] {
            assert!(peaks.samples > 0 && u64::from(peaks.receive) == full, "{peaks:?}");
        }
        assert!(client.calls(Operation::Send).contains(&Err(libc::EAGAIN)));
        assert_eq!(client.history().course.reached[1], client.history().totals.bytes[1]);
    }
    Scene {
        golden: false,
        found: [&["zero-window"], &["zero-window"]],
        queues: true,
        ..Scene::new("zero_window", play, facts)
    }
}

/// There is no room for one more connection that waits to be accepted (listen(2)): its SYN is
/// dropped, and sent again after a second (RFC 6298 §2).
pub(crate) fn full_backlog() -> Scene {
    fn play(stage: &mut Stage) {
        stage.listen(0, None);
        let other = stage.connect_other();
        until("a full backlog", || listed().iter().any(|end| end.unread == 1));
        stage.begin_to_connect();
        until("a SYN that is dropped", || counter("ListenOverflows") > 0);
        stage.accept_other();
        stage.finish_connecting().unwrap();
        drop(other);
        settle();
        stage.accept();
        stage.client().say("at last");
        assert_eq!(stage.server().recv(4096), Ok(7));
        stage.server().decoded(0..7, "at last");
        leave(stage);
    }
    fn pauses(segment: &Segment, _: usize) -> Option<Duration> {
        (segment.mark == Mark::Retransmission).then_some(Duration::from_secs(1))
    }
    fn facts(client: &Account, server: &Account) {
        for (end, way) in [(client, Direction::Sent), (server, Direction::Received)] {
            let syns = end.segments(way).into_iter().filter(|segment| segment.flags.syn());
            let syns: Vec<&Segment> = syns.collect();
            assert!(syns.len() >= 2, "{syns:?}");
            assert!(end.silence_before(syns[1]) >= Duration::from_millis(900));
        }
        assert_eq!(client.calls(Operation::Connect), [Ok(0)]);
    }
    Scene {
        pauses,
        found: [&["syn-retried"], &["backlog-overflow"]],
        ..Scene::new("full_backlog", play, facts)
    }
}
