//! Many requests in a row, however they are cut.

use proptest::prelude::*;
use sockeye_engine::DriverKind;

use crate::support::{Client, Folder, Server, Setup, dateless, on_every_driver, pattern, text};

/// A request of each kind that changes how the next one is found.
const SCRIPT: &str = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n\
    HEAD /big.bin HTTP/1.1\r\nHost: h\r\n\r\n\
    POST /hello.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nGET / H\
    \r\nGET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n\
    PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nT: t\r\n\r\n\
    GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

fn one_thread() -> Setup {
    Setup { threads: Some(1), ..Setup::default() }
}

/// One thread where it can hold two connections, so that one that was served shows that the other
/// one's bytes have been seen.
fn served(driver: DriverKind, folder: &Folder) -> Server {
    match driver.multiplexes() {
        true => Server::with(driver, folder, one_thread()),
        false => Server::start(driver, folder),
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        for number in 0..10 {
            folder.file(format!("{number}"), format!("number {number}").as_bytes());
        }
        let server = served(driver, &folder);
        for count in [1, 2, 100, 5000] {
            let mut client = server.connect();
            let get = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", n % 10);
            let requests: String = (0..count).map(get).collect();
            let mut sender = client.socket.try_clone().expect("a descriptor");
            let send = std::thread::spawn(move || {
                std::io::Write::write_all(&mut sender, requests.as_bytes()).expect("read");
            });
            for number in 0..count {
                let response = client.response();
                assert_eq!(response.status(), "200");
                assert_eq!(
                    response.text(),
                    format!("number {}", number % 10),
                    "{number} of {count}"
                );
            }
            send.join().expect("all was sent");
            client.end();
            assert_eq!(client.rest(), b"");
        }
    });
}

#[test]
fn large_files_and_heads_stand_between_small_answers_in_their_order() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = served(driver, &folder);
        let mut client = server.connect();
        let round = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\nGET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n\
            HEAD /big.bin HTTP/1.1\r\nHost: h\r\n\r\nHEAD /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n\
            GET /none HTTP/1.1\r\nHost: h\r\n\r\n";
        client.send(round.repeat(20));
        let big_head = folder.head("big.bin", "application/octet-stream", "");
        let small_head = folder.head("hello.txt", "text/plain; charset=utf-8", "");
        for _ in 0..20 {
            let small = client.response();
            assert_eq!((&small.head, small.text()), (&small_head, "hello\n"));
            let big = client.response();
            assert_eq!(big.head, big_head);
            assert!(big.body == pattern(300_000));
            assert_eq!(client.head(), big_head);
            assert_eq!(client.head(), small_head);
            assert_eq!(client.response().text(), "404 Not Found\n");
        }
        client.end();
        assert_eq!(client.rest(), b"");
    });
}

#[test]
fn the_answers_are_the_same_wherever_the_requests_are_cut() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("hello.txt", b"hello\n");
        folder.file("big.bin", &pattern(70_000));
        let server = served(driver, &folder);
        let whole = server.ask(SCRIPT);
        assert_eq!(whole.matches("HTTP/1.1 ").count(), 6, "{whole}");
        let mut other = server.connect();
        for cut in 1..SCRIPT.len() {
            let mut client = server.connect();
            client.send(&SCRIPT[..cut]);
            // The first part has been dealt with before this is answered.
            other.get("/hello.txt");
            client.send(&SCRIPT[cut..]);
            assert!(dateless(&client.rest()) == whole, "cut at {cut}");
        }
    });
}

#[test]
fn requests_that_come_byte_by_byte_are_answered_the_same() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = served(driver, &folder);
        let whole = server.ask(SCRIPT);
        let mut other = server.connect();
        let mut client = server.connect();
        for byte in SCRIPT.bytes() {
            client.send([byte]);
            other.get("/none");
        }
        assert!(dateless(&client.rest()) == whole);
    });
}

#[test]
fn the_answers_are_the_same_whatever_parts_the_requests_come_in() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = served(driver, &folder);
        let whole = server.ask(SCRIPT);
        let config =
            ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
        let cuts = proptest::collection::vec(0..SCRIPT.len(), 0..12);
        proptest!(config, |(mut cuts in cuts)| {
            cuts.sort_unstable();
            let mut client = server.connect();
            let mut start = 0;
            for cut in cuts {
                client.send(&SCRIPT[start..cut]);
                Client::get(&mut server.connect(), "/hello.txt");
                start = cut;
            }
            client.send(&SCRIPT[start..]);
            prop_assert!(dateless(&client.rest()) == whole);
        });
    });
}

#[test]
fn an_empty_line_before_a_request_is_passed_over() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = served(driver, &folder);
        let mut client = server.connect();
        for _ in 0..3 {
            client.send("\r\nGET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n\r\n");
            assert_eq!(client.response().text(), "hello\n");
            client.send("GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().text(), "hello\n");
        }
        client.end();
        assert_eq!(text(&client.rest()), "");
    });
}
