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
    assert!(
        said.starts_with("eye: --layers: packets of TCP and UDP are captured: there are no"),
        "{said}"
    );
}

/// A capture of one Ethernet frame with a datagram in it.
fn capture_of_a_datagram() -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 8]);
    file.extend(65_535_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0x66, 0xca]);
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x0f, 0xa0, 0, 53, 0, 12, 0, 0]);
    frame.extend(b"who?");
    file.extend([0; 8]);
    file.extend([u32::try_from(frame.len()).unwrap().to_le_bytes(); 2].concat());
    file.extend(frame);
    file
}

#[test]
fn a_frame_of_a_capture_is_shown_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.pcap");
    fs::write(&file, capture_of_a_datagram()).unwrap();
    let watch = |which: &str| {
        let ran = sockeye()
            .args(["watch", "--ascii", "--width", "80", which])
            .arg(&file)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let (code, shown, said) = watch("--layers=frame:1");
    assert_eq!((code, &*said), (Some(0), ""));
    for words in [
        "== layers: 46 bytes ===",
        "+- frame - Ethernet II - link layer, OSI 2",
        "26  0a 00 00 01  source            10.0.0.1",
        "36  00 35        destination port  53",
        "checksum          0x0000  none was made",
        "header checksum   0x66ca  correct",
        "42  77 68 6f 3f              who?",
        "preamble and FCS were not captured",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    let (code, shown, said) = watch("--layers=frame:2");
    assert_eq!((code, &*shown), (Some(1), ""));
    assert!(said.ends_with("there is no frame 2: numbers 1 to 1\n"), "{said}");
    let (code, _, said) = watch("--layers=frame:0");
    assert_eq!(code, Some(2));
    assert!(said.contains("they count from 1"), "{said}");
}
