//! Where the borders of messages, calls and segments lie.

use std::time::Duration;

use rustix::net::SendFlags;
use sockeye_engine::probe::{Direction, Operation};

use crate::account::Account;
use crate::place::{SERVER, settle};
use crate::scene::Scene;
use crate::stage::Stage;

/// Five messages, one read.
pub(crate) fn sticky() -> Scene {
    const MESSAGES: [&str; 5] = ["GET a;", "PUT bb;", "DEL c;", "GET dd;", "BYE;"];
    fn play(stage: &mut Stage) {
        stage.connection();
        for message in MESSAGES {
            stage.client().say(message);
        }
        stage.arrived(SERVER, 30);
        assert_eq!(stage.server().recv(4096), Ok(30));
        stage.server().decoded_together(&MESSAGES);
        leave(stage);
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(client.calls(Operation::Send), [Ok(6), Ok(7), Ok(6), Ok(7), Ok(4)]);
        assert_eq!(server.calls(Operation::Recv), [Ok(30), Ok(0)]);
        assert_eq!(client.data(Direction::Sent).len(), 5);
        assert_eq!(client.history().totals.messages, [0, 5]);
        assert_eq!(server.history().totals.messages, [5, 0]);
    }
    Scene { found: [&[], &["sticky"]], ..Scene::new("sticky", play, facts) }
}

/// One message, three reads.
pub(crate) fn torn() -> Scene {
    const LENGTH: usize = 10_000;
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().wrote(LENGTH as u64, "len=10000");
        stage.client().send(&[b'm'; LENGTH]);
        stage.arrived(SERVER, LENGTH as u64);
        for count in [4096, 4096, 1808] {
            assert_eq!(stage.server().recv(4096), Ok(count));
        }
        stage.server().decoded(0..LENGTH as u64, "len=10000");
        leave(stage);
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(client.calls(Operation::Send), [Ok(10_000)]);
        assert_eq!(server.calls(Operation::Recv), [Ok(4096), Ok(4096), Ok(1808), Ok(0)]);
        assert_eq!(server.data(Direction::Received), [(0, 10_000)]);
    }
    Scene { found: [&[], &["torn"]], ..Scene::new("torn", play, facts) }
}

/// The first calls say that more follows (send(2), `MSG_MORE`), and what they were given leaves with
/// the last one's.
pub(crate) fn msg_more() -> Scene {
    fn play(stage: &mut Stage) {
        stage.connection();
        // The kernel waits for more for a fifth of a second and no longer.
        stage.in_time(Duration::from_millis(150), |stage| {
            let client = stage.client();
            client.wrote(30, "one message");
            for (bytes, flags) in [
                (&b"head: 10.."[..], SendFlags::MORE),
                (&b"and part.."[..], SendFlags::MORE),
                (&b"and tail.."[..], SendFlags::empty()),
            ] {
                assert_eq!(client.try_send(bytes, flags), Ok(10));
            }
        });
        settle();
        stage.arrived(SERVER, 30);
        assert_eq!(stage.server().recv(4096), Ok(30));
        stage.server().decoded(0..30, "one message");
        leave(stage);
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(client.calls(Operation::Send), [Ok(10), Ok(10), Ok(10)]);
        assert_eq!(client.data(Direction::Sent), [(0, 30)]);
        assert_eq!(server.calls(Operation::Recv), [Ok(30), Ok(0)]);
    }
    Scene::new("msg_more", play, facts)
}

/// Three requests, one after another, on one connection.
pub(crate) fn keep_alive() -> Scene {
    const TALK: [(&str, &str); 3] =
        [("GET /", "200 index"), ("GET /style", "200 css"), ("GET /none", "404")];
    fn play(stage: &mut Stage) {
        stage.connection();
        let (mut asked, mut answered) = (0, 0);
        for (question, answer) in TALK {
            let [asking, answering] = [question.len() as u64, answer.len() as u64];
            stage.client().say(question);
            assert_eq!(stage.server().recv(4096), Ok(asking));
            stage.server().decoded(asked..asked + asking, question);
            stage.server().say(answer);
            assert_eq!(stage.client().recv(4096), Ok(answering));
            stage.client().decoded(answered..answered + answering, answer);
            (asked, answered) = (asked + asking, answered + answering);
        }
        leave(stage);
    }
    fn facts(client: &Account, server: &Account) {
        for end in [client, server] {
            assert_eq!(end.history().totals.messages, [3, 3]);
            assert_eq!(end.code(), "CIF");
            assert!(end.verdict().contains("after 3 requests"), "{}", end.verdict());
        }
    }
    Scene { talk: false, ..Scene::new("keep_alive", play, facts) }
}

/// Three requests in one call, and three answers in one.
pub(crate) fn pipelining() -> Scene {
    const QUESTIONS: [&str; 3] = ["GET /a;", "GET /b;", "GET /c;"];
    const ANSWERS: [&str; 3] = ["200 first;", "200 second;", "200 third;"];
    fn play(stage: &mut Stage) {
        stage.connection();
        stage.client().say_together(&QUESTIONS);
        assert_eq!(stage.server().recv(4096), Ok(21));
        stage.server().decoded_together(&QUESTIONS);
        stage.server().say_together(&ANSWERS);
        assert_eq!(stage.client().recv(4096), Ok(31));
        stage.client().decoded_together(&ANSWERS);
        leave(stage);
    }
    fn facts(client: &Account, server: &Account) {
        assert_eq!(client.calls(Operation::Send), [Ok(21)]);
        assert_eq!(client.calls(Operation::Recv), [Ok(31)]);
        assert_eq!(client.data(Direction::Received), [(0, 31)]);
        for end in [client, server] {
            assert_eq!(end.history().totals.messages, [3, 3]);
            assert_eq!(end.code(), "CIF");
        }
    }
    Scene {
        talk: false,
        found: [&["sticky"], &["sticky"]],
        ..Scene::new("pipelining", play, facts)
    }
}

/// The client closes, and then the server.
pub(crate) fn leave(stage: &mut Stage) {
    // After a second a server that did not close is found to have forgotten it.
    stage.in_time(Duration::from_millis(900), |stage| {
        stage.client().close();
        assert_eq!(stage.server().recv(4096), Ok(0));
        stage.server().close();
    });
}
