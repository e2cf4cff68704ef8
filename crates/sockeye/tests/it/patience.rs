//! Clients that take their time are waited for as long as was said, and no longer.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use crate::kit::client::{Client, get};
use crate::kit::eventually;
use crate::kit::folder::{noise, sparse};
use crate::kit::server::Server;

on_every_driver!(
    a_head_that_trickles_is_cut_off_however_regularly_it_does,
    a_body_that_trickles_is_not_waited_for_with_the_answer,
    a_client_that_takes_nothing_is_cut_off,
    a_client_that_takes_little_but_something_gets_it_all,
    an_idle_connection_is_closed_without_a_word,
);

/// The shortest that leaves room for a few bytes.
const TRICKLE: Duration = Duration::from_millis(250);

fn a_head_that_trickles_is_cut_off_however_regularly_it_does(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--driver", driver, "--head-timeout", "2s"]);
    let mut client = Client::connect(server.address);
    client.stream.set_read_timeout(Some(TRICKLE)).unwrap();
    client.send("GET /hello HTTP/1.1\r\nX: ");
    let mut trickled = 0;
    let answer = loop {
        client.send("x");
        trickled += 1;
        assert!(trickled < 200, "it is waited for a client that never comes to an end");
        match client.try_answer() {
            Ok(answer) => break answer,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        assert_eq!(get(server.address, "/hello").text(), "hello\n");
    };
    assert!(trickled > 1, "it was not waited at all");
    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.is_over());
    server.stop();
}

/// The answer to a GET does not depend on its body.
fn a_body_that_trickles_is_not_waited_for_with_the_answer(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--driver", driver]);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get_with("/hello", "Content-Length: 5\r\n").text(), "hello\n");
    for byte in ["1", "2", "3", "4", "5"] {
        client.send(byte);
    }
    assert_eq!(client.get("/hello").text(), "hello\n");
    drop(client);
    server.stop();
}

fn a_client_that_takes_nothing_is_cut_off(driver: &str) {
    const SIZE: usize = 100_000_000;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    sparse(&folder.path().join("big"), SIZE as u64);
    let server = Server::start(folder.path(), &["--driver", driver, "--write-timeout", "1s"]);
    let before = server.sockets();
    let mut client = Client::connect_narrow(server.address);
    client.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    let (status, _, length) = client.head();
    assert_eq!((status, length), (200, SIZE));
    // Its socket is open for as long as it is waited for.
    eventually("the connection is open", || (server.sockets() > before).then_some(()));
    assert_eq!(get(server.address, "/hello").text(), "hello\n");
    eventually("the connection is cut off", || (server.sockets() <= before).then_some(()));
    let mut rest = Vec::new();
    let end = client.stream.read_to_end(&mut rest);
    assert!(rest.len() < SIZE, "{end:?}");
    server.stop();
}

fn a_client_that_takes_little_but_something_gets_it_all(driver: &str) {
    const SIZE: usize = 10_000_000;
    let folder = tempfile::tempdir().unwrap();
    let content = noise(3, SIZE);
    fs::write(folder.path().join("big"), &content).unwrap();
    let server = Server::start(folder.path(), &["--driver", driver, "--write-timeout", "1s"]);
    let mut client = Client::connect_narrow(server.address);
    client.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    let (_, _, length) = client.head();
    assert_eq!(length, SIZE);
    // A clock that ticks: nobody ever writes into this one.
    let ticks = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    ticks.set_read_timeout(Some(TRICKLE)).unwrap();
    let mut taken = Vec::with_capacity(SIZE);
    let mut buffer = vec![0; 500_000];
    while taken.len() < SIZE {
        // In all twice as long as a client may take nothing.
        if taken.len() / 1_000_000 > 0 && taken.len() < 9_000_000 {
            ticks.recv(&mut [0]).unwrap_err();
        }
        let mut some = 0;
        while some < buffer.len() && taken.len() + some < SIZE {
            some += client.read(&mut buffer[some..]).unwrap();
        }
        taken.extend_from_slice(&buffer[..some]);
    }
    assert!(taken == content);
    drop(client);
    server.stop();
}

fn an_idle_connection_is_closed_without_a_word(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--driver", driver, "--idle-timeout", "1s"]);
    let mut silent = Client::connect(server.address);
    let mut spoke = Client::connect(server.address);
    assert_eq!(spoke.get("/hello").text(), "hello\n");
    for client in [&mut silent, &mut spoke] {
        assert!(client.is_over());
    }
    // Half a head is not idle.
    let mut begun = Client::connect(server.address);
    begun.stream.write_all(b"GET /hello HTTP/1.1\r\n").unwrap();
    let mut silent = Client::connect(server.address);
    assert!(silent.is_over());
    begun.send("Host: test\r\n\r\n");
    assert_eq!(begun.answer().text(), "hello\n");
    drop(begun);
    server.stop();
}
