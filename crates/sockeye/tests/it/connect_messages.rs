//! `sockeye connect` with messages: framings, encodings, dumps, JSON, patterns, Telnet.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::kit::talk::{Running, connect};

on_every_driver!(
    messages_are_cut_and_marked_in_both_directions,
    a_pattern_ends_it_when_it_is_seen,
    telnet_is_negotiated_and_kept_out,
);

/// Connects with these arguments and this input, to a peer that reads all and then says this; all
/// that the peer read, and what was printed.
#[track_caller]
fn exchange(arguments: &[&str], input: &[u8], answer: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut running = Running::start(&mut connect(&address, arguments));
    let (mut peer, _) = listener.accept().unwrap();
    running.type_in(input);
    running.end_input();
    let mut said = Vec::new();
    peer.read_to_end(&mut said).unwrap();
    peer.write_all(answer).unwrap();
    drop(peer);
    let outcome = running.ended();
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    (said, outcome.stdout)
}

fn messages_are_cut_and_marked_in_both_directions(driver: &str) {
    let framings: [(&str, &[u8]); 8] = [
        ("line", b"one\n\nthree\n"),
        ("delimiter=\\0", b"one\0\0three\0"),
        ("length=u8", b"\x03one\x00\x05three"),
        ("length=u16le", b"\x03\x00one\x00\x00\x05\x00three"),
        ("length=u32", b"\0\0\0\x03one\0\0\0\0\0\0\0\x05three"),
        ("length=u64", b"\0\0\0\0\0\0\0\x03one\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05three"),
        ("length=varint", b"\x03one\x00\x05three"),
        ("netstring", b"3:one,0:,5:three,"),
    ];
    for (framing, wire) in framings {
        let arguments = ["--driver", driver, "--frame", framing];
        let (said, shown) = exchange(&arguments, b"one\n\nthree\n", wire);
        assert_eq!(said, wire, "{framing}");
        assert_eq!(shown, b"one\n\nthree\n", "{framing}");
    }
}

fn a_pattern_ends_it_when_it_is_seen(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let arguments = ["--driver", driver, "--send", "x", "--expect", "220 .* ready"];
    let running = Running::start(&mut connect(&address, &arguments));
    let (mut peer, _) = listener.accept().unwrap();
    // Cut in the middle of what is looked for.
    peer.write_all(b"220 mail").unwrap();
    peer.read_to_end(&mut Vec::new()).unwrap();
    peer.write_all(b" is ready\r\n").unwrap();
    // The peer stays: what was seen is the end.
    running.ended().printed("220 mail is ready\r\n");
}

fn telnet_is_negotiated_and_kept_out(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut running = Running::start(&mut connect(&address, &["--driver", driver, "--telnet"]));
    let (mut peer, _) = listener.accept().unwrap();
    // DO TERMINAL-TYPE, WILL ECHO; an escaped 255 in the data.
    peer.write_all(b"login\xff\xfd\x18: \xff\xfb\x01\xff\xff").unwrap();
    let mut answer = [0; 6];
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"\xff\xfc\x18\xff\xfd\x01", "WONT TERMINAL-TYPE, DO ECHO");
    running.type_in(b"me\xff\n");
    let mut line = [0; 6];
    peer.read_exact(&mut line).unwrap();
    assert_eq!(line, *b"me\xff\xff\r\n");
    running.end_input();
    drop(peer);
    running.ended().printed(b"login: \xff");
}

#[test]
fn json_lines_tell_of_both_directions() {
    let arguments = ["--frame", "line", "--json"];
    let (said, shown) = exchange(&arguments, "hi 文\n".as_bytes(), b"one\n\xff\xfe\nlast");
    assert_eq!(said, "hi 文\n".as_bytes());
    let lines: Vec<serde_json::Value> = shown
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let fields = |line: &serde_json::Value| {
        let text = line["text"].as_str().or(line["base64"].as_str()).unwrap().to_owned();
        (line["direction"].as_str().unwrap().to_owned(), line["offset"].as_u64().unwrap(), text)
    };
    let expected = [("out", 0, "hi 文"), ("in", 0, "one"), ("in", 4, "//4="), ("in", 7, "last")];
    let expected = expected.map(|(way, offset, text)| (way.to_owned(), offset, text.to_owned()));
    assert_eq!(lines.iter().map(fields).collect::<Vec<_>>(), expected);
    assert!(lines[2].get("text").is_none(), "{}", lines[2]);
    assert_eq!(lines[3]["unterminated"], true);
    for line in &lines {
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        let time = line["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{line}");
    }
}

#[test]
fn text_is_sent_and_shown_in_the_encoding_of_the_wire() {
    let (said, shown) =
        exchange(&["--encoding", "gb18030"], "文件\n".as_bytes(), b"\xce\xc4\xff\n");
    assert_eq!(said, b"\xce\xc4\xbc\xfe\n");
    assert_eq!(String::from_utf8(shown).unwrap(), "文\\xff\n");
    let arguments = ["--encoding", "utf-16le", "--frame", "length=u16"];
    let (said, shown) = exchange(&arguments, b"hi\n", b"\x00\x04o\0k\0");
    assert_eq!(said, b"\x00\x04h\0i\0");
    assert_eq!(shown, b"ok\n");
}

#[test]
fn digits_are_sent_as_bytes_and_bytes_shown_as_a_dump() {
    let (said, shown) = exchange(&["--hex"], b"de ad be ef\n0x00\n", b"\x00\x1bHi");
    assert_eq!(said, b"\xde\xad\xbe\xef\x00");
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.starts_with("00000000  00 1b 48 69 "), "{shown}");
    assert!(shown.ends_with("|..Hi|\n"), "{shown}");
}

#[test]
fn a_stamp_stands_ahead_of_each_message() {
    let (_, shown) = exchange(&["--frame", "line", "--timestamps"], b"", b"one\ntwo\n");
    let shown = String::from_utf8(shown).unwrap();
    let ends: Vec<&str> = shown.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert_eq!(ends, ["one", "two"], "{shown}");
}

#[test]
fn so_many_messages_are_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let running = Running::start(&mut connect(&address, &["--frame", "line", "--count", "2"]));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"one\ntwo\nthree\n").unwrap();
    // Neither the peer nor the input has ended.
    running.ended().printed("one\ntwo\n");
}

#[test]
fn a_silence_is_a_border() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let arguments = ["--frame", "gap=100ms", "--count", "1", "--json"];
    let running = Running::start(&mut connect(&address, &arguments));
    let (mut peer, _): (TcpStream, _) = listener.accept().unwrap();
    peer.write_all(b"all of this").unwrap();
    let outcome = running.ended();
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    let line: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(line["text"], "all of this");
}
