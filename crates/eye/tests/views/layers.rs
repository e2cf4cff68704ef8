//! Units in boxes, compared character by character with those in `tests/golden/layers`.

use etherparse::{PacketBuilder, TcpOptionElement};
use proptest::prelude::*;
use sockeye_engine::probe::{Direction, Role, Stamp};
use sockeye_eye::frame::Frame;
use sockeye_eye::record::{History, KernelFacts};
use sockeye_eye::timeline::Timeline;
use sockeye_eye::view::{Style, layers};
use sockeye_eye::words::Lang;
use sockeye_wire::packet::{Link, parse};
use unicode_width::UnicodeWidthStr as _;

use super::compare;
use Direction::{Received, Sent};

const EPOCH: u64 = 1_700_000_000_000_000_000;
const CLIENT: u16 = 40_312;
const SERVER: u16 = 8080;
const REQUEST: &str = "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\n\r\n";

/// What crosses `lo` when one asks and the other answers.
struct Wire {
    timeline: Timeline,
    now: u64,
    /// Next sequence numbers, received and sent.
    seq: [u32; 2],
    frames: Vec<Frame>,
}

impl Wire {
    fn new() -> Wire {
        let [server, client] =
            [SERVER, CLIENT].map(|port| std::net::SocketAddr::from(([127, 0, 0, 1], port)).into());
        let timeline = Timeline::new(Role::Server, server, client, 1 << 10);
        Wire { timeline, now: 0, seq: [0xffff_fff0, 7_000], frames: Vec::new() }
    }

    /// A segment; `syn` takes a number of its own.
    fn segment(&mut self, way: Direction, syn: bool, ack: bool, payload: &[u8]) {
        let (own, other) = if way == Received { (0, 1) } else { (1, 0) };
        let (from, to) = if way == Received { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let mut builder = PacketBuilder::ethernet2([0; 6], [0; 6])
            .ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64)
            .tcp(from, to, self.seq[own], if syn { 65_495 } else { 512 });
        if ack {
            builder = builder.ack(self.seq[other]);
        }
        if !payload.is_empty() {
            builder = builder.psh();
        }
        let stamps = TcpOptionElement::Timestamp(3_141_592_653, 2_718_281_828);
        builder = match syn {
            true => builder.syn().options(&[
                TcpOptionElement::MaximumSegmentSize(65_495),
                TcpOptionElement::SelectiveAcknowledgementPermitted,
                stamps,
                TcpOptionElement::Noop,
                TcpOptionElement::WindowScale(7),
            ]),
            false => builder.options(&[TcpOptionElement::Noop, TcpOptionElement::Noop, stamps]),
        }
        .expect("forty bytes are enough");
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).expect("a Vec takes all");
        self.seq[own] = self.seq[own]
            .wrapping_add(u32::try_from(payload.len()).expect("a short one") + u32::from(syn));
        self.take(way, bytes);
    }

    fn take(&mut self, way: Direction, bytes: Vec<u8>) {
        self.now += 12_000;
        let at = Stamp(EPOCH + self.now);
        let length = bytes.len();
        let segment = parse(Link::Ethernet, &bytes, length).expect("a segment");
        self.timeline.segment(at, way, &segment);
        self.frames.push(Frame { at, link: Link::Ethernet, bytes, length });
    }

    fn message(&mut self, way: Direction, start: usize, length: usize, label: &str) {
        let range = start as u64..(start + length) as u64;
        self.timeline.message(Stamp(EPOCH + self.now), way, range, label);
    }

    fn history(&self) -> &History {
        self.timeline.history()
    }
}

/// A handshake, a request, and its answer.
fn exchange() -> Wire {
    let mut wire = Wire::new();
    wire.segment(Received, true, false, b"");
    wire.segment(Sent, true, true, b"");
    wire.segment(Received, false, true, b"");
    wire.segment(Received, false, true, REQUEST.as_bytes());
    wire.message(Received, 0, REQUEST.len(), "GET /index.html");
    let answer = [&b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n"[..], &[b'x'; 300]].concat();
    wire.message(Sent, 0, answer.len(), "200 300 bytes");
    wire.segment(Sent, false, true, &answer);
    wire
}

fn check(name: &str, wire: &Wire, place: usize, style: &Style) {
    let drawn = layers(&wire.frames[place], Some(wire.history()), style);
    let widest = drawn.lines().map(|line| line.width()).max().unwrap_or(0);
    assert!(widest <= style.width, "{widest} columns\n{drawn}");
    compare(&format!("layers/{name}"), &drawn);
}

fn style(width: usize) -> Style {
    Style { width, ..Style::default() }
}

#[test]
fn a_request_from_its_message_to_its_frame() {
    let wire = exchange();
    check("request_80", &wire, 3, &style(80));
    check("request_120", &wire, 3, &style(120));
    check("request_40", &wire, 3, &style(40));
    check("request_60", &wire, 3, &style(60));
    check("request_80_ascii", &wire, 3, &Style { ascii: true, ..style(80) });
    check("request_40_ascii", &wire, 3, &Style { ascii: true, ..style(40) });
}

#[test]
fn the_same_in_chinese() {
    let chinese = |width| Style { lang: Lang::Zh, ..style(width) };
    check("request_80_zh", &exchange(), 3, &chinese(80));
    check("request_40_zh", &exchange(), 3, &chinese(40));
    check("request_120_zh", &exchange(), 3, &chinese(120));
    let ascii = Style { ascii: true, ..chinese(80) };
    let wire = exchange();
    let drawn = layers(&wire.frames[3], Some(wire.history()), &ascii);
    assert!(drawn.is_ascii() && drawn.contains("network layer"), "{drawn}");
}

#[test]
fn a_syn_and_its_options() {
    check("syn_80", &exchange(), 0, &style(80));
}

#[test]
fn an_answer_longer_than_is_shown() {
    check("answer_100", &exchange(), 4, &style(100));
}

#[test]
fn two_messages_in_one_segment_and_one_in_two() {
    let mut wire = Wire::new();
    wire.segment(Received, true, false, b"");
    wire.segment(Sent, true, true, b"");
    wire.segment(Received, false, true, b"PING\r\nSET a 1\r\nGET");
    wire.segment(Received, false, true, b" a\r\n");
    wire.message(Received, 0, 6, "PING");
    wire.message(Received, 6, 9, "SET a 1");
    wire.message(Received, 15, 7, "GET a \u{1b}[31m");
    check("sticky_80", &wire, 2, &style(80));
    check("torn_80", &wire, 3, &style(80));
}

#[test]
fn a_unit_larger_than_the_segment_size_is_offload_sized() {
    let mut wire = Wire::new();
    wire.segment(Received, true, false, b"");
    wire.segment(Sent, true, true, b"");
    wire.segment(Sent, false, true, &[b'.'; 3000]);
    wire.timeline.kernel(KernelFacts { mss: Some((1448, 1448)), ..KernelFacts::default() });
    let drawn = layers(&wire.frames[2], Some(wire.history()), &style(100));
    assert!(drawn.contains("offload-sized: 3,000 bytes of payload, MSS 1,448"), "{drawn}");
    // Only the beginning of it was kept.
    wire.frames[2].bytes.truncate(80);
    let drawn = layers(&wire.frames[2], Some(wire.history()), &style(100));
    assert!(drawn.contains("2,986 more bytes, not kept"), "{drawn}");
    assert!(drawn.contains("not verified: not all bytes are here"), "{drawn}");
}

#[test]
fn what_is_no_segment_is_drawn_without_a_connection() {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0xff; 16], 1)
        .udp(5353, 5353)
        .write(&mut bytes, b"\0\0\x84\0who")
        .expect("a Vec takes all");
    let frame = Frame { at: Stamp(0), link: Link::Ethernet, length: bytes.len(), bytes };
    compare("layers/udp_80", &layers(&frame, None, &style(80)));
    let cut = Frame { bytes: frame.bytes[..60].to_vec(), ..frame.clone() };
    compare("layers/udp_cut_80", &layers(&cut, None, &style(80)));
    let narrow = layers(&frame, None, &style(39));
    assert_eq!(narrow, "layers: 69 bytes\n");
}

proptest! {
    #[test]
    fn any_bytes_are_drawn_within_the_width_and_nothing_raw_reaches_the_terminal(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        more in 0_usize..70_000,
        width in 40_usize..200,
        ascii in any::<bool>(),
        chinese in any::<bool>(),
        from_segment in any::<bool>(),
    ) {
        let mut wire = exchange();
        let mut frame = Frame { at: Stamp(0), link: Link::Ethernet, length: bytes.len() + more, bytes };
        if from_segment {
            // Nearly what it was.
            let mut whole = wire.frames.remove(3);
            for (place, byte) in frame.bytes.iter().enumerate().step_by(17) {
                if let Some(old) = whole.bytes.get_mut(place) {
                    *old = *byte;
                }
            }
            frame = whole;
        }
        let lang = if chinese { Lang::Zh } else { Lang::En };
        let style = Style { width, ascii, lang, ..Style::default() };
        let drawn = layers(&frame, Some(wire.history()), &style);
        for line in drawn.lines() {
            prop_assert!(line.width() <= width, "{line}\n{drawn}");
            prop_assert!(!line.chars().any(char::is_control));
        }
        prop_assert!(!ascii || drawn.is_ascii());
    }
}
