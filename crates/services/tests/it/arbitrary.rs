//! Bytes without sense: nothing panics, nothing hangs, and the next client is served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Folder, Server, on_every_driver};

const SEEDS: [&str; 5] = [
    "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: t\r\n\r\n",
    "GET /big.bin HTTP/1.0\r\nIf-None-Match: \"a\", W/\"b\"\r\nConnection: keep-alive\r\n\r\n",
    "HEAD /a%20b/?q HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
];

/// Requests with bytes changed, put in and left out, one after another, or anything at all.
fn nonsense() -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![prop::sample::select(&b"\r\n \t:/%.0123456789abcGHET\0\xff"[..]), any::<u8>(),];
    let change = (any::<prop::sample::Index>(), byte, 0..3u8);
    let mutated = (vec(prop::sample::select(&SEEDS[..]), 1..6), vec(change, 0..6)).prop_map(
        |(seeds, changes)| {
            let mut bytes = seeds.concat().into_bytes();
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            bytes
        },
    );
    prop_oneof![4 => mutated, 1 => vec(any::<u8>(), 0..300)]
}

/// Sends all, ends its side, and reads until the server ends the connection in some way.
fn exchange(server: &Server, bytes: &[u8], cut: usize) {
    let mut socket = TcpStream::connect(server.address).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
    // A server that has closed already may answer with RST; that is for the other tests.
    let _ = socket.write_all(&bytes[..cut]).and_then(|()| socket.write_all(&bytes[cut..]));
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut buffer = [0; 65536];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it hangs");
                return;
            }
        }
    }
}

#[test]
fn arbitrary_bytes_end_and_the_next_client_is_served() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let config =
            ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(bytes in nonsense(), cut in any::<prop::sample::Index>())| {
            exchange(&server, &bytes, cut.index(bytes.len() + 1));
            let honest = server.get("/hello.txt");
            prop_assert_eq!(honest.text(), "hello\n");
        });
    });
}

#[test]
fn a_client_that_goes_away_at_any_moment_takes_nobody_with_it() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let requests = "GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3);
        for read in [0, 1, 300, 100_000, 300_300, 600_000] {
            for sent in [0, 1, 30, requests.len()] {
                let mut client = server.connect();
                client.send(&requests[..sent]);
                if sent == requests.len() {
                    client.exactly(read);
                }
                // Unread answers make this an RST.
                drop(client);
            }
            assert_eq!(server.get("/hello.txt").text(), "hello\n");
        }
    });
}
