//! What somebody who looks on is told of requests and responses.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye_engine::DriverKind;
use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Operation, Probe, ProbeSource};
use sockeye_services::http::SiteOptions;

use crate::support::{Folder, Server, Setup, on_every_driver};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    conn: ConnId,
    direction: Direction,
    range: Range<u64>,
    label: String,
}

#[derive(Clone, Default)]
struct Listener {
    told: Arc<Mutex<Vec<Message>>>,
    gave_up: Arc<Mutex<Vec<(Direction, u64)>>>,
}

impl ProbeSource for Listener {
    fn probe(&self) -> Box<dyn Probe> {
        Box::new(self.clone())
    }
}

impl Probe for Listener {
    fn listening(&self, _: Option<BorrowedFd<'_>>, _: SocketAddr) {}
    fn opened(&self, _: Option<BorrowedFd<'_>>, _: &Opened) {}
    fn call(&self, _: ConnId, call: &Call) {
        if let Operation::GaveUp(direction) = call.operation {
            self.gave_up.lock().expect("no panic").push((direction, call.offset));
        }
    }
    fn message(
        &self,
        conn: ConnId,
        direction: Direction,
        range: Range<u64>,
        label: fmt::Arguments<'_>,
    ) {
        let label = label.to_string();
        self.told.lock().expect("no panic").push(Message { conn, direction, range, label });
    }
    fn closing(&self, _: ConnId, _: Option<BorrowedFd<'_>>) {}
    fn closed(&self, _: ConnId) {}
    fn flush(&self) {}
}

/// What is told of one connection that sends these parts, each when the one before was answered,
/// with all bytes that went either way.
fn told(driver: DriverKind, folder: &Folder, parts: &[&str]) -> (Vec<Message>, usize, usize) {
    let listener = Listener::default();
    let probe: Arc<dyn ProbeSource> = Arc::new(listener.clone());
    let setup = Setup { probe: Some(probe), ..Setup::default() };
    let server = Server::with(driver, folder, setup);
    let mut client = server.connect();
    let mut sent = 0;
    for part in parts {
        client.send(part);
        server.wait_until_read(&client);
        sent += part.len();
    }
    client.end();
    let received = client.rest().len();
    drop(client);
    server.stop();
    let told = listener.told.lock().expect("no panic").clone();
    assert!(told.iter().all(|message| message.conn == told[0].conn));
    (told, sent, received)
}

/// The labels of one direction, whose ranges follow on one another from 0 to `end`.
fn tiles(told: &[Message], direction: Direction, end: usize) -> Vec<(u64, &str)> {
    let mut at = 0;
    let tiles = told.iter().filter(|message| message.direction == direction).map(|message| {
        assert_eq!(message.range.start, at, "{told:?}");
        at = message.range.end;
        (message.range.end - message.range.start, &*message.label)
    });
    let tiles = tiles.collect();
    assert_eq!(at, end as u64, "{told:?}");
    tiles
}

#[test]
fn requests_and_responses_tile_both_directions() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = "HEAD /big.bin HTTP/1.1\r\nHost: h\r\n\r\n";
        let post = "POST /p?q HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
        let chunked = "PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let conditional = "GET /hello.txt HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n";
        let absolute = "GET http://x/hello.txt HTTP/1.1\r\nHost: h\r\n\r\n";
        let one = [&get("/hello.txt"), head, &get("/big.bin"), post, "0123456"].concat();
        let two = ["789", chunked, "3\r\nabc\r\n0\r\n\r\n", conditional].concat();
        let three = [&get("/"), &get("/none%20"), absolute, "GET /a"].concat();
        let four = " HTTP/1.1\r\nHost: h\r\n\r\n";
        let (told, sent, received) = told(driver, &folder, &[&one, &two, &three, four]);
        let plain = |path: &str| get(path).len() as u64;
        let expected = [
            (plain("/hello.txt"), "GET /hello.txt"),
            (head.len() as u64, "HEAD /big.bin"),
            (plain("/big.bin"), "GET /big.bin"),
            // One message with its body.
            (post.len() as u64 + 10, "POST /p?q"),
            (chunked.len() as u64 + 13, "PUT /p"),
            (conditional.len() as u64, "GET /hello.txt"),
            (plain("/"), "GET /"),
            (plain("/none%20"), "GET /none%20"),
            (absolute.len() as u64, "GET http://x/hello.txt"),
            (plain("/a"), "GET /a"),
        ];
        assert_eq!(tiles(&told, Direction::Received, sent), expected, "{driver}");
        let answers = tiles(&told, Direction::Sent, received);
        let labels: Vec<_> = answers.iter().map(|(_, label)| *label).collect();
        let length = server_listing_length(driver, &folder);
        let listing = match (length / 1000, length % 1000) {
            (0, ones) => format!("200 OK {ones} B"),
            (thousands, ones) => format!("200 OK {thousands},{ones:03} B"),
        };
        let expected = [
            "200 OK 6 B",
            "200 OK 300,000 B",
            "200 OK 300,000 B",
            "405 Method Not Allowed",
            "405 Method Not Allowed",
            "304 Not Modified 0 B",
            &listing,
            "404 Not Found",
            "200 OK 6 B",
            "404 Not Found",
        ];
        assert_eq!(labels, expected, "{driver}");
        assert!(answers[1].0 < 400 && answers[2].0 > 300_000, "HEAD has no body: {answers:?}");
    });
}

#[test]
fn a_deadline_that_passed_is_told_with_the_way_that_was_waited_for() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let listener = Listener::default();
        let probe: Arc<dyn ProbeSource> = Arc::new(listener.clone());
        let site = SiteOptions { head: Duration::from_millis(20), ..SiteOptions::default() };
        let setup = Setup { probe: Some(probe), site, ..Setup::default() };
        let server = Server::with(driver, &folder, setup);
        let mut client = server.connect();
        client.send("GET / HT");
        assert!(client.head().starts_with("HTTP/1.1 408 "), "{driver}");
        client.end();
        client.rest();
        server.stop();
        let gave_up = listener.gave_up.lock().expect("no panic").clone();
        assert_eq!(gave_up, [(Direction::Received, 8)], "{driver}");
    });
}

fn server_listing_length(driver: DriverKind, folder: &Folder) -> usize {
    Server::start(driver, folder).get("/").body.len()
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let (told, sent, received) = told(
            driver,
            &folder,
            &["GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n\r\n"],
        );
        let requests = tiles(&told, Direction::Received, sent);
        let labels: Vec<_> = requests.into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["GET /hello.txt", "refused: no Host (RFC 9112 §3.2)"], "{driver}");
        let answers = tiles(&told, Direction::Sent, received);
        let labels: Vec<_> = answers.into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["200 OK 6 B", "400 Bad Request"], "{driver}");
    });
}
