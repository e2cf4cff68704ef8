//! `--layers`: the units of a real connection in boxes, down to the bytes of its messages.

use std::fs;

use crate::kit::client::Client;
use crate::kit::need_root;
use crate::kit::server::{Server, sockeye};

const REQUEST: &str = "GET /small HTTP/1.1\r\nHost: layers\r\nConnection: close\r\n\r\n";

/// The bytes that the dumps of messages show, one dump after another.
fn dumped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut within = false;
    for line in text.lines() {
        if line.contains("- message ") {
            within = true;
        } else if !line.starts_with("| | | |") {
            within = false;
        }
        let Some(row) = line.strip_prefix("| | | |").filter(|_| within) else { continue };
        let mut words = row.split_whitespace();
        if words.next().is_none_or(|place| place.parse::<usize>().is_err()) {
            continue;
        }
        // Sixteen pairs of digits, then the letters two blanks behind them.
        let digits = row.trim_start().split_once("  ").map_or("", |(_, rest)| rest);
        let digits = digits.split("  ").next().unwrap_or_default();
        bytes.extend(digits.split(' ').map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    }
    bytes
}

#[test]
fn the_first_unit_each_way_is_shown_from_its_frame_to_its_message() {
    if !need_root("the_first_unit_each_way_is_shown_from_its_frame_to_its_message") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), "0123456789").unwrap();
    let server = Server::start(folder.path(), &["--layers", "--ascii", "--width", "120"]);
    let mut client = Client::connect(server.address);
    client.send(REQUEST);
    let answer = client.answer();
    assert_eq!(answer.body, b"0123456789");
    let (ours, theirs) = (client.stream.local_addr().unwrap().port(), server.address.port());
    drop(client);
    let said = server.stop();

    let shown: Vec<&str> = said.lines().filter(|line| line.starts_with("== layers: ")).collect();
    let [asked, answered] = shown[..] else { panic!("{said}") };
    assert!(asked.starts_with("== layers: client -> server, "), "{asked}");
    assert!(answered.starts_with("== layers: server -> client, "), "{answered}");
    for port in [format!("{ours}  client"), format!("{theirs}  server")] {
        assert_eq!(said.matches(&port).count(), 2, "{port}\n{said}");
    }
    for words in [
        "+- frame - Ethernet II - link layer, OSI 2",
        "+- packet - IPv4 - network layer, OSI 3",
        "+- segment - TCP - transport layer, OSI 4",
        "byte 0 of this direction",
        "on lo there is no wire",
    ] {
        assert_eq!(said.matches(words).count(), 2, "{words}\n{said}");
    }
    let named = "+- message 1 of 1 - GET /small - application layer, OSI 7 -";
    assert!(said.contains(named), "{said}");
    let (question, reply) = said.split_once(answered).unwrap();
    assert_eq!(dumped(question), REQUEST.as_bytes(), "{said}");
    assert!(dumped(reply).starts_with(b"HTTP/1.1 200 OK\r\n"), "{said}");
}

#[test]
fn of_sockets_without_packets_it_is_said_that_there_are_none() {
    // Nobody is there, which is told after it.
    let name = format!("unix:@layers-{}", std::process::id());
    let ran = sockeye().args(["connect", &name, "--layers"]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.starts_with("eye: --layers: only TCP's packets are captured here"), "{said}");
}
