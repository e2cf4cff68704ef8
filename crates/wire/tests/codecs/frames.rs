//! Cutting streams into frames, and writing frames.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use sockeye_wire::frame::{
    DEFAULT_MAX_FRAME, Decoder, EncodeError, Frame, FrameError, FrameErrorKind, Framing,
};

use crate::checks::{self, decode};

fn framing(text: &str) -> Framing {
    text.parse().expect(text)
}

fn payloads(frames: &[Frame]) -> Vec<&[u8]> {
    frames.iter().map(|frame| &frame.payload[..]).collect()
}

#[test]
fn a_line_ends_with_lf_and_takes_one_cr_with_it() {
    for piece in 1..20 {
        let (frames, end) = decode(&framing("line"), 10, b"a\r\n\n\r\r\nb\rc\nd\r", piece);
        assert_eq!(payloads(&frames), [&b"a"[..], b"", b"\r", b"b\rc", b"d\r"]);
        let ranges: Vec<_> = frames.iter().map(|frame| frame.range.clone()).collect();
        assert_eq!(ranges, [0..3, 3..4, 4..7, 7..11, 11..13]);
        assert_eq!(frames[0].payload_range, 0..1);
        assert_eq!(frames.iter().filter(|frame| frame.unterminated).count(), 1);
        assert!(frames[4].unterminated);
        assert_eq!(end, Ok(()));
    }
}

#[test]
fn a_delimiter_that_overlaps_itself_is_found_at_its_first_place() {
    for piece in 1..12 {
        let (frames, _) = decode(&framing("delimiter=aab"), 10, b"aaabaabxaa", piece);
        assert_eq!(payloads(&frames), [&b"a"[..], b"", b"xaa"]);
        assert!(frames[2].unterminated);
    }
}

#[test]
fn a_limit_is_the_longest_payload_whatever_marks_its_end() {
    for (form, fits, too_long, offset) in [
        ("line", &b"abcd\n"[..], &b"abcde\n"[..], 4),
        ("line", b"abcd\r\n", b"abcde\r\n", 4),
        ("line", b"abcd", b"abcde", 4),
        ("delimiter=;;", b"abcd;;", b"abcde;;", 4),
        ("delimiter=;;", b"abc;", b"abcd;", 4),
        ("gap=1s", b"abcd", b"abcde", 4),
        ("length=u8", b"\x04abcd", b"\x05", 0),
        ("length=u16", b"\0\x04abcd", b"\0\x05", 0),
        ("length=u64le", b"\x04\0\0\0\0\0\0\0abcd", b"\xff\xff\xff\xff\xff\xff\xff\xff", 0),
        ("length=varint", b"\x04abcd", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0),
        ("netstring", b"4:abcd,", b"5:", 0),
        ("netstring", b"0:,", b"18446744073709551615:", 0),
    ] {
        for piece in 1..10 {
            let framing = framing(form);
            let (frames, end) = decode(&framing, 4, fits, piece);
            assert_eq!((frames.len(), end), (1, Ok(())), "{form}");
            let (frames, end) = decode(&framing, 4, too_long, piece);
            let error = end.expect_err(form);
            assert_eq!((frames.len(), error.offset), (0, offset), "{form}");
            assert!(
                matches!(
                    error.kind,
                    FrameErrorKind::Announced { max: 4, .. } | FrameErrorKind::NoBorder { max: 4 }
                ),
                "{form}: {error}"
            );
        }
    }
}

#[test]
fn a_length_is_refused_at_its_header_by_default_above_16_mib() {
    let mut decoder = Decoder::new(framing("length=u32"));
    decoder.push_slice(b"\x01\0\0\0");
    assert_eq!(decoder.next(), Ok(None));
    let mut decoder = Decoder::new(framing("length=u32"));
    decoder.push_slice(b"\x01\0\0\x01");
    let kind = FrameErrorKind::Announced { length: (1 << 24) + 1, max: DEFAULT_MAX_FRAME };
    assert_eq!(decoder.next(), Err(FrameError { offset: 0, kind }));
}

#[test]
fn a_stream_that_ends_within_a_frame_says_what_is_missing() {
    // The frame ahead of the truncated one has `ahead` bytes.
    for (form, stream, ahead, missing) in [
        ("length=u8", &b"\0\x05ab"[..], 1, 3),
        ("length=u16", b"\0\0\0", 2, 1),
        ("length=u32", b"\0\0\0\0\0", 4, 3),
        ("length=u64", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02a", 8, 1),
        ("length=varint", b"\0\x80", 1, 1),
        ("length=varint", b"\0\x02", 1, 2),
        ("netstring", b"0:,1", 3, 1),
        ("netstring", b"0:,3:a", 3, 3),
        ("netstring", b"0:,3:abc", 3, 1),
        ("fixed=4", b"abcdef", 4, 2),
    ] {
        for piece in 1..20 {
            let (frames, end) = decode(&framing(form), 10, stream, piece);
            let kind = FrameErrorKind::Truncated { start: ahead, missing };
            let offset = stream.len() as u64;
            assert_eq!(end, Err(FrameError { offset, kind }), "{form}");
            assert_eq!(frames.len(), 1, "{form}");
        }
    }
}

#[test]
fn what_no_peer_that_frames_so_would_write_is_an_error_where_it_stands() {
    use FrameErrorKind as Kind;
    for (form, stream, offset, kind) in [
        ("netstring", &b"1:a;"[..], 3, Kind::NetstringEnd { found: b';' }),
        ("netstring", b"1:a,01:b,", 5, Kind::NetstringLength { found: b'1' }),
        ("netstring", b"1:a,:b,", 4, Kind::NetstringLength { found: b':' }),
        ("netstring", b"GET / HTTP/1.1", 0, Kind::NetstringLength { found: b'G' }),
        ("netstring", b"12 :", 2, Kind::NetstringLength { found: b' ' }),
        ("netstring", b"18446744073709551616:", 0, Kind::NetstringOverflow),
        ("netstring", b"111111111111111111111111111", 0, Kind::NetstringOverflow),
        ("length=varint", b"\x01a\x80\x00", 3, Kind::VarintOverlong),
        ("length=varint", b"\x81\x80\x00", 2, Kind::VarintOverlong),
        ("length=varint", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 9, Kind::VarintOverflow),
        ("length=varint", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 9, Kind::VarintOverflow),
    ] {
        for piece in 1..30 {
            let (_, end) = decode(&framing(form), 10, stream, piece);
            assert_eq!(end, Err(FrameError { offset, kind }), "{form} in pieces of {piece}");
        }
    }
}

#[test]
fn a_payload_that_would_not_come_back_is_refused_and_nothing_is_written() {
    let long = vec![0; 65536];
    for (form, payload, error) in [
        ("line", &b"ab\nc"[..], EncodeError::Border { offset: 2 }),
        ("line", b"ab\r", EncodeError::Border { offset: 2 }),
        ("delimiter=;;", b"a;;b", EncodeError::Border { offset: 1 }),
        ("delimiter=;;", b"ab;", EncodeError::Border { offset: 2 }),
        ("fixed=3", b"ab", EncodeError::Size { size: 3, got: 2 }),
        ("length=u8", &long[..256], EncodeError::TooLong { max: 255, got: 256 }),
        ("length=u16le", &long, EncodeError::TooLong { max: 65535, got: 65536 }),
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(framing(form).encode(payload, &mut out), Err(error), "{form}");
        assert_eq!(out, b"before", "{form}");
    }
}

#[test]
fn headers_and_borders_are_those_of_their_sources() {
    let payload = [b'x'; 300];
    for (form, head, border) in [
        ("length=u16", &b"\x01\x2c"[..], &b""[..]),
        ("length=u16le", b"\x2c\x01", b""),
        ("length=u32", b"\0\0\x01\x2c", b""),
        ("length=u32le", b"\x2c\x01\0\0", b""),
        ("length=u64", b"\0\0\0\0\0\0\x01\x2c", b""),
        ("length=u64le", b"\x2c\x01\0\0\0\0\0\0", b""),
        // Protocol Buffers, "Encoding": 300 is 0xac 0x02 less its type; see there for 150.
        ("length=varint", b"\xac\x02", b""),
        ("netstring", b"300:", b","),
        ("line", b"", b"\n"),
    ] {
        let mut wire = Vec::new();
        framing(form).encode(&payload, &mut wire).expect(form);
        assert_eq!(wire, [head, &payload, border].concat(), "{form}");
    }
}

#[test]
fn raw_is_what_arrived_at_once() {
    let mut decoder = Decoder::new(Framing::Raw);
    for (bytes, range) in [(&b"abc"[..], 0..3), (b"d", 3..4)] {
        decoder.push_slice(bytes);
        let frame = decoder.next().expect("raw").expect("a frame");
        assert_eq!((&frame.payload[..], frame.range), (bytes, range));
        assert_eq!(decoder.next(), Ok(None));
    }
    decoder.push_slice(b"");
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.finish(), Ok(None));
}

#[test]
fn a_silence_ends_a_frame_of_gap_and_of_nothing_else() {
    let mut decoder = Decoder::new(framing("gap=1s"));
    assert_eq!(decoder.silence(), Ok(None));
    decoder.push_slice(b"ab");
    assert_eq!(decoder.next(), Ok(None));
    decoder.push_slice(b"c");
    let frame = decoder.silence().expect("gap").expect("a frame");
    assert_eq!((&frame.payload[..], frame.range), (&b"abc"[..], 0..3));
    assert_eq!(decoder.silence(), Ok(None));
    decoder.push_slice(b"d");
    let last = decoder.finish().expect("gap").expect("a frame");
    assert_eq!((last.range, last.unterminated), (3..4, false));

    let mut decoder = Decoder::new(Framing::Line);
    decoder.push_slice(b"ab");
    assert_eq!(decoder.silence(), Ok(None));
    decoder.push_slice(b"c\n");
    assert_eq!(decoder.next().expect("line").expect("a line").payload, "abc");
}

#[test]
fn frames_within_one_push_are_parts_of_it() {
    for form in ["line", "delimiter=;;", "length=u8", "length=varint", "netstring", "fixed=3"] {
        let framing = framing(form);
        let mut wire = Vec::new();
        for _ in 0..1000 {
            framing.encode(b"abc", &mut wire).expect(form);
        }
        let pushed = Bytes::from(wire);
        let mut decoder = Decoder::new(framing);
        decoder.push(pushed.clone());
        let mut count = 0;
        while let Some(frame) = decoder.next().expect(form) {
            assert!(pushed.as_ptr_range().contains(&frame.payload.as_ptr()), "{form}");
            count += 1;
        }
        assert_eq!(count, 1000, "{form}");
    }
}

#[test]
fn pushes_that_nobody_asked_about_are_not_lost() {
    let mut decoder = Decoder::new(Framing::Line);
    for piece in [&b"a\nb"[..], b"c\nd", b"e", b"\n"] {
        decoder.push_slice(piece);
    }
    let mut lines = Vec::new();
    while let Some(frame) = decoder.finish().expect("lines") {
        lines.push(frame.payload);
    }
    assert_eq!(lines, ["a", "bc", "de"]);
    assert_eq!(decoder.offset(), 8);
}

proptest! {
    #[test]
    fn frames_come_back_wherever_the_stream_is_cut(
        form in prop::sample::select(&checks::FRAMINGS[..]),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
    ) {
        let framing = framing(form);
        let mut stream = Vec::new();
        let mut written = Vec::new();
        for message in messages {
            // Silences can't be written: `a_silence_ends_a_frame…` is about them.
            if matches!(framing, Framing::Gap(_)) {
                continue;
            }
            let message = match framing {
                Framing::Fixed(size) => message.iter().copied().cycle().take(size.get()).collect(),
                _ => message,
            };
            if framing.encode(&message, &mut stream).is_ok() {
                written.push(message);
            }
        }
        let whole = decode(&framing, 1000, &stream, usize::MAX);
        prop_assert_eq!(&whole.1, &Ok(()));
        prop_assert!(whole.0.iter().all(|frame| !frame.unterminated));
        prop_assert_eq!(payloads(&whole.0), written);
        // In two pieces, cut at every byte.
        for cut in 0..=stream.len() {
            let mut decoder = Decoder::with_max_frame(framing.clone(), 1000);
            let mut frames = Vec::new();
            for piece in [&stream[..cut], &stream[cut..]] {
                decoder.push_slice(piece);
                while let Some(frame) = decoder.next().expect("as written") {
                    frames.push(frame);
                }
            }
            prop_assert_eq!(decoder.finish(), Ok(None));
            prop_assert_eq!(&frames, &whole.0);
        }
    }

    #[test]
    fn any_stream_has_one_reading(
        mut bytes in prop::collection::vec(any::<u8>(), 2..200), which in 0..checks::FRAMINGS.len(),
        seldom in prop::collection::vec(prop::sample::select(&b"\r\n;a0123:,\0\x80"[..]), 0..200),
    ) {
        bytes[0] = u8::try_from(which).expect("few");
        checks::frame(&bytes);
        bytes.truncate(2);
        bytes.extend(seldom);
        checks::frame(&bytes);
    }
}

#[test]
fn errors_are_one_line_each_and_differ() {
    let mut seen = BTreeSet::new();
    for (form, stream) in [
        ("length=u8", &b"\xff"[..]),
        ("line", b"aaaaa"),
        ("netstring", b"1:aa"),
        ("netstring", b"x"),
        ("netstring", b"111111111111111111111111111"),
        ("length=u8", b"\x02"),
        ("length=varint", b"\x80\0"),
        ("length=varint", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    ] {
        let error = decode(&framing(form), 4, stream, 100).1.expect_err(form).to_string();
        assert!(error.starts_with("byte ") && !error.contains(['\n', '\t']), "{error}");
        assert!(!error.contains("  "), "{error}");
        assert!(seen.insert(error));
    }
}
