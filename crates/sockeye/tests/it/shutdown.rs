//! SIGTERM and Ctrl-C: what is in flight finishes, within the grace that was given.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::kit::client::Client;
use crate::kit::eventually;
use crate::kit::folder::{noise, sparse};
use crate::kit::server::Server;

on_every_driver!(
    a_download_in_flight_finishes_and_nobody_else_gets_in,
    idle_connections_are_closed_at_once,
    a_client_that_is_stuck_is_cut_off_when_the_grace_is_over,
    a_second_signal_ends_it_at_once,
    with_nobody_there_it_ends_without_a_word,
);

const SIZE: usize = 100_000_000;

fn a_download_in_flight_finishes_and_nobody_else_gets_in(driver: &str) {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        sparse(&folder.path().join("big"), SIZE as u64);
        let content = fs::read(folder.path().join("big")).unwrap();
        let server = Server::start(folder.path(), &["--driver", driver, "--grace", "60s"]);
        let mut slow = Client::connect_narrow(server.address);
        slow.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
        let (status, _, length) = slow.head();
        assert_eq!((status, length), (200, SIZE));

        server.signal(signal);
        server.stderr.wait_for("sockeye: stopping; ");
        eventually("nobody is let in", || {
            let error = TcpStream::connect(server.address).err()?.kind();
            // Queued in the last moment, it is reset with the queue.
            assert!(matches!(error, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset));
            (error == ErrorKind::ConnectionRefused).then_some(())
        });
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 20];
        while taken < SIZE {
            let count = slow.read(&mut buffer).unwrap();
            assert!(count > 0, "it was cut off behind byte {taken}");
            assert!(buffer[..count] == content[taken..taken + count], "behind byte {taken}");
            taken += count;
        }
        // The answer promised nothing about it, but now nobody is there to keep it open.
        assert!(slow.is_over());
        let (status, said) = server.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!said.contains("cut off"), "{said}");
    }
}

fn idle_connections_are_closed_at_once(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    // None of these times must pass for it.
    let server = Server::start(folder.path(), &["--driver", driver, "--grace", "10m"]);
    let mut idle: Vec<Client> = (0..5).map(|_| Client::connect(server.address)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    // This one may be in the queue of a thread that has not accepted it yet: then it is reset.
    let mut silent = Client::connect(server.address);
    server.signal(Signal::TERM);
    for client in &mut idle {
        assert!(client.is_over());
    }
    let end = silent.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    let (status, said) = server.ended();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains("cut off"), "{said}");
}

fn a_client_that_is_stuck_is_cut_off_when_the_grace_is_over(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    sparse(&folder.path().join("big"), SIZE as u64);
    let server = Server::start(folder.path(), &["--driver", driver, "--grace", "1s"]);
    let mut stuck = Client::connect_narrow(server.address);
    stuck.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(stuck.head().0, 200);
    server.signal(Signal::TERM);
    let (status, said) = server.ended();
    assert_eq!(status.code(), Some(0), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let cut_off = "sockeye: 1 connection was cut off after --grace";
    assert_eq!((lines.len(), lines.last()), (2, Some(&cut_off)), "{said}");
    drop(stuck);
}

fn a_second_signal_ends_it_at_once(driver: &str) {
    for (first, second, code) in [
        (Signal::INT, Signal::INT, 130),
        (Signal::TERM, Signal::INT, 130),
        (Signal::TERM, Signal::TERM, 143),
        (Signal::HUP, Signal::HUP, 129),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("big"), noise(4, 10_000_000)).unwrap();
        let server = Server::start(folder.path(), &["--driver", driver, "--grace", "10m"]);
        let mut stuck = Client::connect_narrow(server.address);
        stuck.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(stuck.head().0, 200);
        server.signal(first);
        server.stderr.wait_for("(again to stop at once)");
        // As one does who is in a hurry: at first it is taken for the same signal come twice.
        let (status, said) = server.ended_by(second);
        assert_eq!(status.code(), Some(code), "{said}");
        drop(stuck);
    }
}

fn with_nobody_there_it_ends_without_a_word(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--driver", driver, "--grace", "10m"]);
    assert_eq!(server.stop(), "");
}
