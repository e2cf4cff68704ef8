//! Captures are read as tshark reads them: as they were taken, and damaged in many ways.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod hostile;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod tshark;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use etherparse::PacketBuilder;
use sockeye_engine::probe::Direction;
use sockeye_eye::pcap::{Conversations, FileError, Follow, Histories, Reader, Shown, Told};
use sockeye_eye::verdict;
use sockeye_wire::packet::{Link, parse_with_payload};
use sockeye_wire::tcp::{End, Mark, Tracker};
use tshark::{Row, Tshark};

/// Every segment of a file as it is understood here, with the number of its frame.
fn rows(file: &Path) -> Vec<Row> {
    let mut reader = Reader::new(File::open(file).unwrap()).unwrap();
    let mut conversations = Conversations::default();
    let mut trackers: HashMap<u64, Tracker> = HashMap::new();
    let mut rows = Vec::new();
    loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(FileError::Cut { .. }) => return rows,
            Err(error) => panic!("{}: {error}", file.display()),
        };
        let Some(link) = frame.link else { continue };
        let Ok((segment, _)) = parse_with_payload(link, frame.bytes, frame.length) else {
            continue;
        };
        let place = conversations.place(&segment).unwrap();
        let from = match place.direction {
            Direction::Received => End::Remote,
            Direction::Sent => End::Local,
        };
        let tracker = trackers.entry(place.number).or_default();
        let had_fin = tracker.has_sent_fin(from);
        let placed = tracker.segment(from, &segment).unwrap();
        // The number of a SYN is 0, that of the first byte is 1, and a FIN counts.
        let seq = match segment.flags.syn() {
            true => 0,
            false => placed.start + 1,
        };
        rows.push(Row {
            frame: frame.number,
            stream: place.number,
            seq,
            len: segment.payload,
            ack: placed.ack.map(|ack| ack.offset + 1 + u64::from(ack.fin)),
            flags: segment.flags.bits(),
            again: placed.mark == Mark::Retransmission,
            gap: placed.mark == Mark::Gap,
            behind_fin: had_fin,
        });
    }
}

/// The bytes of a connection both ways, in pieces, `None` for what is missing. Seen from the server,
/// which is at this port: where no SYN was captured, that is not always known here.
fn followed(file: &Path, stream: u64, server: u16) -> Vec<(Direction, Option<Vec<u8>>)> {
    let mut reader = Reader::new(File::open(file).unwrap()).unwrap();
    let mut conversations = Conversations::default();
    let mut follow = Follow::new(stream);
    let mut swapped = false;
    let mut told = Vec::new();
    let mut take = |direction, piece: Told<'_>| match piece {
        Told::Bytes(bytes) => told.push((direction, Some(bytes.to_vec()))),
        Told::Missing { .. } => told.push((direction, None)),
    };
    while let Ok(Some(frame)) = reader.next_frame() {
        let Some(link) = frame.link else { continue };
        if let Ok((segment, payload)) = parse_with_payload(link, frame.bytes, frame.length)
            && let Some(place) = conversations.place(&segment)
        {
            swapped |= place.number == stream && place.client.port() == server;
            follow.segment(&place, &segment, payload, &mut take);
        }
    }
    follow.finish(&mut take);
    if swapped {
        for (direction, _) in &mut told {
            *direction = match direction {
                Direction::Received => Direction::Sent,
                Direction::Sent => Direction::Received,
            };
        }
    }
    told
}

fn bytes(told: &[(Direction, Option<Vec<u8>>)], way: Direction) -> Vec<u8> {
    let of_it = told.iter().filter(|(direction, _)| *direction == way);
    of_it.filter_map(|(_, bytes)| bytes.as_deref()).flatten().copied().collect()
}

/// Both say the same of every segment; how many they were.
fn agree_on_segments(tshark: &Tshark, file: &Path) -> usize {
    let (ours, theirs) = (rows(file), tshark.rows(file));
    assert_eq!(ours.len(), theirs.len(), "{}: segments", file.display());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(ours.agrees(theirs), "{}:\n ours {ours:?}\n tshark {theirs:?}", file.display());
    }
    // Where segments came in another order tshark may call one a retransmission that is none: it goes
    // by times. What is called so here was sent before for certain, and so was every copy.
    let mut sent = HashSet::new();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(!ours.again || theirs.again, "{}: {ours:?}", file.display());
        let copy = !sent.insert((ours.stream, ours.seq, ours.len, ours.ack, ours.flags));
        let data = ours.len > 0 && !ours.behind_fin;
        assert!(ours.again || !copy || !data, "{}: {ours:?}", file.display());
    }
    let with_gaps = |rows: &[Row]| -> BTreeSet<u64> {
        rows.iter().filter(|row| row.gap).map(|row| row.stream).collect()
    };
    // A segment that overtook others leaves a gap for a moment, which tshark does not always tell.
    assert!(with_gaps(&ours).is_superset(&with_gaps(&theirs)), "{}", file.display());
    ours.len()
}

#[test]
fn every_segment_of_web_traffic_is_placed_as_tshark_places_it() {
    let name = "every_segment_of_web_traffic_is_placed_as_tshark_places_it";
    let Some((tshark, traffic)) = Tshark::there_is(name).zip(traffic::web(name)) else { return };
    let count = agree_on_segments(&tshark, traffic.file());
    assert!(count > 60, "{count} segments");
}

#[test]
fn streams_of_web_traffic_are_those_that_tshark_follows() {
    let name = "streams_of_web_traffic_are_those_that_tshark_follows";
    let Some((tshark, traffic)) = Tshark::there_is(name).zip(traffic::web(name)) else { return };
    let streams = rows(traffic.file()).iter().map(|row| row.stream).max().unwrap() + 1;
    assert!(streams >= 3);
    let mut answered = 0;
    for stream in 0..streams {
        let ours = followed(traffic.file(), stream, traffic.port());
        let theirs = tshark.follow(traffic.file(), stream, traffic.port());
        assert!(ours.iter().all(|(_, bytes)| bytes.is_some()), "nothing is missing");
        // In the same order, too: each turn of one side, whatever it was cut into.
        assert_eq!(turns(&ours), turns(&theirs), "stream {stream}");
        answered += bytes(&ours, Direction::Sent).len();
    }
    assert!(answered > 1_000_000, "{answered} bytes were answered");
}

/// What each side said until the other one spoke.
fn turns(told: &[(Direction, Option<Vec<u8>>)]) -> Vec<(Direction, Vec<u8>)> {
    let mut turns: Vec<(Direction, Vec<u8>)> = Vec::new();
    for (way, bytes) in told {
        let bytes = bytes.as_deref().unwrap_or_default();
        match turns.last_mut() {
            Some((last, said)) if last == way => said.extend_from_slice(bytes),
            _ => turns.push((*way, bytes.to_vec())),
        }
    }
    turns
}

#[test]
fn damaged_captures_are_placed_as_tshark_places_them_where_it_is_certain() {
    let name = "damaged_captures_are_placed_as_tshark_places_them_where_it_is_certain";
    let Some((tshark, traffic)) = Tshark::there_is(name).zip(traffic::web(name)) else { return };
    let mut count = 0;
    for seed in 0..16 {
        let damaged = damage::of(traffic.file(), seed);
        count += agree_on_segments(&tshark, damaged.path());
    }
    assert!(count > 500, "{count} segments");
}

#[test]
fn what_is_left_of_streams_in_damaged_captures_is_what_tshark_follows() {
    let name = "what_is_left_of_streams_in_damaged_captures_is_what_tshark_follows";
    let Some((tshark, traffic)) = Tshark::there_is(name).zip(traffic::web(name)) else { return };
    let (mut whole, mut torn) = (0, 0);
    for seed in 0..6 {
        let damaged = damage::of(traffic.file(), seed);
        let streams = rows(damaged.path()).iter().map(|row| row.stream).max().unwrap() + 1;
        for stream in 0..streams {
            let ours = followed(damaged.path(), stream, traffic.port());
            let theirs = tshark.follow(damaged.path(), stream, traffic.port());
            for way in [Direction::Received, Direction::Sent] {
                let missing = |told: &[(Direction, Option<Vec<u8>>)]| {
                    told.iter().filter(|(from, bytes)| *from == way && bytes.is_none()).count()
                };
                let (ours_bytes, theirs_bytes) = (bytes(&ours, way), bytes(&theirs, way));
                if missing(&theirs) == 0 && missing(&ours) == 0 {
                    whole += usize::from(!ours_bytes.is_empty());
                    let same = ours_bytes == theirs_bytes;
                    assert!(same, "seed {seed}, stream {stream}, {way:?}");
                } else {
                    // What waits behind a hole at the end is told here, and not by tshark.
                    torn += 1;
                    let same = ours_bytes.starts_with(&theirs_bytes);
                    assert!(same, "seed {seed}, stream {stream}, {way:?}");
                }
            }
        }
    }
    assert!(whole > 5 && torn > 2, "{whole} whole and {torn} torn streams");
}

/// A capture of a client's "hello", and of a reset that carries a word: the server's, or one whose number
/// lies beyond the stream.
fn with_reset(file: &Path, number: u32) {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let from_client = |seq: u32| PacketBuilder::ipv4(client, server, 64).tcp(4000, 80, seq, 8192);
    let from_server = |seq: u32| PacketBuilder::ipv4(server, client, 64).tcp(80, 4000, seq, 8192);
    let packets = [
        (from_client(100).syn(), &b""[..]),
        (from_server(500).syn().ack(101), b""),
        (from_client(101).ack(501), b"hello"),
        (from_server(number).rst().ack(106), b"go away"),
        (from_client(106).ack(501), b"more"),
    ];
    let mut capture = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    capture.extend([0; 8]);
    capture.extend([65_535_u32.to_le_bytes(), 101_u32.to_le_bytes()].concat());
    for (second, (packet, payload)) in (1_u32..).zip(packets) {
        let mut bytes = Vec::new();
        packet.write(&mut bytes, payload).unwrap();
        let length = u32::try_from(bytes.len()).unwrap();
        capture.extend([second, 0, length, length].map(u32::to_le_bytes).concat());
        capture.extend(bytes);
    }
    std::fs::write(file, capture).unwrap();
}

#[test]
fn what_a_reset_carries_is_followed_as_tshark_follows_it() {
    let name = "what_a_reset_carries_is_followed_as_tshark_follows_it";
    let Some(tshark) = Tshark::there_is(name) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reset.pcap");
    for (number, said) in [(501, &b"go away"[..]), (777, b"")] {
        with_reset(&file, number);
        let ours = followed(&file, 0, 80);
        assert_eq!(turns(&ours), turns(&tshark.follow(&file, 0, 80)));
        assert_eq!(bytes(&ours, Direction::Received), b"hellomore");
        assert_eq!(bytes(&ours, Direction::Sent), said);
        assert!(ours.iter().all(|(_, bytes)| bytes.is_some()), "nothing is missing");
    }
}

#[test]
fn a_connection_that_outlasts_its_capture_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("open.pcap");
    with_reset(&file, 501);
    let whole = std::fs::read(&file).unwrap();
    // Three packets of 40, 40 and 45 bytes.
    std::fs::write(&file, &whole[..24 + 3 * 16 + 125]).unwrap();
    let mut reader = Reader::new(File::open(&file).unwrap()).unwrap();
    let mut conversations = Conversations::default();
    let mut histories = Histories::new(None, verdict::line);
    while let Some(frame) = reader.next_frame().unwrap() {
        let (segment, _) = parse_with_payload(Link::Ip, frame.bytes, frame.length).unwrap();
        let place = conversations.place(&segment).unwrap();
        histories.segment(frame.at, &place, &segment);
    }
    let Shown::Drawn(drawn) = histories.finish() else { panic!("one is drawn") };
    let line = verdict::line(&drawn[0].connection);
    assert!(line.contains("was still open when the capture ended"), "{line}");
}
