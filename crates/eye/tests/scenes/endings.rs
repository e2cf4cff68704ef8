//! How connections end.

use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::net::SendFlags;
use sockeye_engine::probe::{Direction, Operation, Role};
use sockeye_eye::kernel::SockDiag;
use sockeye_wire::tcp::State;

use crate::account::Account;
use crate::link::{Fate, Fault, Plan, What};
use crate::place::{CLIENT, Link, SERVER, settle, until};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::streams::leave;

/// The client ends what it sends, and the answer comes all the same.
pub(crate) fn half_close() -> Scene {
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("sort: c a b");
        stage.client().shutdown();
        assert_eq!(stage.server().recv(4096), Ok(11));
        stage.server().decoded(0..11, "sort: c a b");
        assert_eq!(stage.server().recv(4096), Ok(0));
        stage.server().say("a b c");
        stage.server().close();
        assert_eq!(stage.client().recv(4096), Ok(5));
        stage.client().decoded(0..5, "a b c");
        assert_eq!(stage.client().recv(4096), Ok(0));
        stage.client().close();
    }
    fn facts(client: &Account, server: &Account) {
        for end in [client, server] {
            let (states, others) = (end.states(Role::Client), end.states(Role::Server));
            assert_eq!(states[2..], ["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]);
            assert_eq!(others[2..], ["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
            assert_eq!(end.code(), "CIF");
        }
        assert_eq!(client.calls(Operation::Recv), [Ok(5), Ok(0)]);
    }
    Scene::new("half_close", play, facts)
}

/// Both FINs are on their way at one time (RFC 9293 §3.6, figure 13).
pub(crate) fn simultaneous_close() -> Scene {
    const PLAN: Plan = Plan {
        gather: 0,
        faults: &[Fault { what: What::Fin, nth: 1, fate: Fate::Late }],
        settings: &[],
    };
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("bye");
        stage.client().shutdown_now();
        stage.server().shutdown_now();
        settle();
        assert_eq!(stage.server().recv(4096), Ok(3));
        stage.server().decoded(0..3, "bye");
        for end in [Stage::server, Stage::client] {
            assert_eq!(end(stage).recv(4096), Ok(0));
            end(stage).close();
        }
    }
    fn facts(client: &Account, server: &Account) {
        for end in [client, server] {
            assert_eq!(end.own_states()[2..], ["FIN-WAIT-1", "CLOSING", "TIME-WAIT"]);
        }
        // When the other's FIN arrived there no packet tells; that it was not in CLOSE-WAIT, one does.
        for (end, other) in [(client, Role::Server), (server, Role::Client)] {
            let states = end.states(other);
            assert!(!states.contains(&"CLOSE-WAIT".to_owned()), "{states:?}");
            assert_eq!(
                (&*states[2], states.last().map(|last| &**last)),
                ("FIN-WAIT-1", Some("TIME-WAIT"))
            );
        }
    }
    Scene { link: Link::Faulty(PLAN), ..Scene::new("simultaneous_close", play, facts) }
}

/// The client lingers for no time (socket(7), `SO_LINGER`): close(2) resets.
pub(crate) fn reset_by_linger() -> Scene {
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("hello");
        assert_eq!(stage.server().recv(4096), Ok(5));
        stage.server().decoded(0..5, "hello");
        stage.client().linger_zero();
        stage.client().close();
        assert_eq!(stage.server().recv(4096), Err(Errno::CONNRESET));
        stage.server().close();
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!((client.code(), server.code()), ("CIR".into(), "CIR".into()));
        let resets = |end: &Account, way| {
            end.segments(way).into_iter().filter(|segment| segment.flags.rst()).count()
        };
        assert_eq!(resets(client, Direction::Sent), 1);
        assert_eq!(resets(server, Direction::Received), 1);
        assert_eq!(server.calls(Operation::Recv), [Ok(5), Err(libc::ECONNRESET)]);
    }
    Scene {
        found: [&["reset-abort"], &["reset-abort"]],
        ..Scene::new("reset_by_linger", play, facts)
    }
}

/// The server closes with bytes unread, and so resets (RFC 9293 §3.6.1).
pub(crate) fn reset_by_unread() -> Scene {
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("one that is read, ");
        stage.client().say("and one that is not");
        assert_eq!(stage.server().recv(18), Ok(18));
        stage.server().decoded(0..18, "one that is read, ");
        stage.arrived(SERVER, 19);
        stage.server().close();
        assert_eq!(stage.client().recv(4096), Err(Errno::CONNRESET));
        stage.client().close();
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(server.history().kernel.as_ref().and_then(|facts| facts.unread), Some(19));
        assert!(server.verdict().contains("19 B never read"), "{}", server.verdict());
        assert_eq!(client.calls(Operation::Recv), [Err(libc::ECONNRESET)]);
        for end in [client, server] {
            assert!(end.verdict().starts_with('S'), "{}", end.verdict());
            assert_eq!(&end.code()[2..], "R");
        }
    }
    Scene { found: [&["reset"], &["reset-unread"]], ..Scene::new("reset_by_unread", play, facts) }
}

/// Nobody listens.
pub(crate) fn refused() -> Scene {
    fn play(stage: &mut Stage) {
        stage.open_eye();
        stage.begin_to_connect();
        assert_eq!(stage.finish_connecting(), Err(Errno::CONNREFUSED));
        stage.client().close();
    }
    fn facts(client: &Account, server: &Account) {
        assert!(server.is_absent());
        assert_eq!(client.code(), "SHR");
        assert_eq!(client.calls(Operation::Connect), [Err(libc::ECONNREFUSED)]);
        assert!(client.verdict().contains("the server refused it"), "{}", client.verdict());
    }
    Scene { found: [&["connection-refused"], &[]], ..Scene::new("refused", play, facts) }
}

/// The peer has reset: the first write is told so, and the next one that there is nobody to write to.
pub(crate) fn write_after_reset() -> Scene {
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("hello");
        assert_eq!(stage.server().recv(4096), Ok(5));
        stage.server().linger_zero();
        stage.server().close();
        for errno in [Errno::CONNRESET, Errno::PIPE] {
            let sent = stage.client().try_send(b"are you there?", SendFlags::empty());
            assert_eq!(sent, Err(errno));
        }
        stage.client().close();
    }
    fn facts(client: &Account, _: &Account) {
        let sent = [Ok(5), Err(libc::ECONNRESET), Err(libc::EPIPE)];
        assert_eq!(client.calls(Operation::Send), sent);
        assert_eq!(client.states(Role::Client).last().map(String::as_str), Some("CLOSED"));
        assert!(client.verdict().contains("the server reset it"), "{}", client.verdict());
    }
    Scene {
        found: [&["reset", "write-after-close"], &["reset-abort"]],
        ..Scene::new("write_after_reset", play, facts)
    }
}

/// The same, but a read was told of the reset first.
pub(crate) fn write_after_a_read_was_reset() -> Scene {
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("hello");
        assert_eq!(stage.server().recv(4096), Ok(5));
        stage.server().linger_zero();
        stage.server().close();
        assert_eq!(stage.client().recv(4096), Err(Errno::CONNRESET));
        let sent = stage.client().try_send(b"are you there?", SendFlags::empty());
        assert_eq!(sent, Err(Errno::PIPE));
        stage.client().close();
    }
    fn facts(client: &Account, _: &Account) {
        assert_eq!(client.calls(Operation::Recv), [Err(libc::ECONNRESET)]);
        assert_eq!(client.calls(Operation::Send), [Ok(5), Err(libc::EPIPE)]);
    }
    Scene {
        found: [&["reset", "write-after-close"], &["reset-abort"]],
        ..Scene::new("write_after_a_read_was_reset", play, facts)
    }
}

/// The server closes first, and its TIME-WAIT counts down.
pub(crate) fn time_wait() -> Scene {
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("hello");
        assert_eq!(stage.server().recv(4096), Ok(5));
        stage.server().decoded(0..5, "hello");
        stage.server().close();
        assert_eq!(stage.client().recv(4096), Ok(0));
        stage.client().close();
        let [server, client]: [SocketAddr; 2] =
            [SERVER, CLIENT].map(|port| ([127, 0, 0, 1], port).into());
        let mut diag = SockDiag::open(server).unwrap();
        let mut left = || {
            let after = diag.aftermath(server, client).unwrap();
            assert_eq!(after.state, State::TimeWait);
            after.remaining_ms.unwrap()
        };
        let first = left();
        assert!((1..=60_000).contains(&first), "{first} ms");
        until("TIME-WAIT that counts down", || left() + 20 <= first);
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(server.history().aftermath.map(|after| after.state), Some(State::TimeWait));
        assert_eq!(client.history().aftermath.map(|after| after.state), Some(State::Closed));
        for end in [client, server] {
            assert_eq!(end.code(), "SIF");
            assert_eq!(end.states(Role::Server).last().map(String::as_str), Some("TIME-WAIT"));
        }
        let left = server.history().aftermath.and_then(|after| after.remaining_ms);
        assert!(left.is_some_and(|ms| (1..=60_000).contains(&ms)), "{left:?}");
        assert!(server.verdict().contains("TIME-WAIT here, "), "{}", server.verdict());
        assert!(client.verdict().contains("TIME-WAIT at the peer, "), "{}", client.verdict());
    }
    Scene::new("time_wait", play, facts)
}

/// An ordinary exchange, in which there is nothing to find.
pub(crate) fn ordinary() -> Scene {
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say("GET /");
        assert_eq!(stage.server().recv(4096), Ok(5));
        stage.server().decoded(0..5, "GET /");
        stage.server().say("200 hello");
        assert_eq!(stage.client().recv(4096), Ok(9));
        stage.client().decoded(0..9, "200 hello");
        leave(stage);
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!((client.code(), server.code()), ("CIF".into(), "CIF".into()));
    }
    Scene { talk: false, ..Scene::new("ordinary", play, facts) }
}
