//! Text in every encoding.

use std::sync::OnceLock;

use proptest::prelude::*;
use sockeye_wire::text::{Encoding, TextDecoder};

use crate::checks::{self, decode_text};

fn encode(encoding: Encoding, text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    encoding.encode(text, &mut wire).expect("mappable");
    wire
}

/// The characters that the encoding has and that come back as they were, of all those in the Basic
/// Multilingual Plane and every seventeenth beyond; and how many come back as others.
fn repertoires() -> &'static [(Encoding, String, usize)] {
    static REPERTOIRES: OnceLock<Vec<(Encoding, String, usize)>> = OnceLock::new();
    REPERTOIRES.get_or_init(|| {
        let of = |encoding| {
            let (kept, changed) = repertoire(encoding);
            (encoding, kept, changed)
        };
        Encoding::ALL.map(of).into()
    })
}

fn repertoire(encoding: Encoding) -> (String, usize) {
    let mut kept = String::new();
    let mut changed = 0;
    let mut wire = Vec::new();
    let beyond = ('\u{10000}'..=char::MAX).step_by(17);
    for character in ('\0'..='\u{ffff}').chain(beyond) {
        wire.clear();
        if encoding.encode(character.encode_utf8(&mut [0; 4]), &mut wire).is_err() {
            continue;
        }
        let (text, malformed) = decode_text(encoding, &wire, usize::MAX);
        assert_eq!(malformed, 0, "{encoding}: {character:?}");
        if text.chars().eq([character]) {
            kept.push(character);
        } else {
            changed += 1;
        }
    }
    (kept, changed)
}

#[test]
fn every_encoding_gives_back_what_was_written_in_it() {
    for &(encoding, ref kept, changed) in repertoires() {
        // What the standard's encoders write in another character's place: the yen sign and the
        // overline (Shift_JIS, EUC-JP), halfwidth katakana and the minus sign (EUC-JP,
        // ISO-2022-JP), and what GB18030-2022 moved.
        let allowed = match encoding.name() {
            "gb18030" | "GBK" => 18,
            "EUC-JP" | "Shift_JIS" => 3,
            "ISO-2022-JP" => 64,
            _ => 0,
        };
        assert!(changed <= allowed, "{encoding}: {changed} characters come back as others");
        let least = match encoding.name() {
            "UTF-8" | "UTF-16LE" | "UTF-16BE" => 0xf800 + 0x10_0000 / 17,
            "gb18030" | "GBK" => 20_000,
            "Big5" | "EUC-JP" | "EUC-KR" | "ISO-2022-JP" | "Shift_JIS" => 6_000,
            _ => 190,
        };
        assert!(kept.chars().count() >= least, "{encoding}: {}", kept.chars().count());
        let wire = encode(encoding, kept);
        for piece in [1, 2, 3, 5, 1000, usize::MAX] {
            let (text, malformed) = decode_text(encoding, &wire, piece);
            assert!(text == *kept && malformed == 0, "{encoding} in pieces of {piece}");
        }
    }
}

#[test]
fn a_character_cut_over_two_pieces_comes_out_whole() {
    for &(encoding, ref kept, _) in repertoires() {
        // Some from all over the repertoire, the last ones being the longest.
        let step = (kept.chars().count() / 40).max(1);
        let some: String = kept.chars().step_by(step).chain(kept.chars().next_back()).collect();
        let wire = encode(encoding, &some);
        for cut in 0..=wire.len() {
            let mut decoder = TextDecoder::new(encoding);
            let mut text = String::new();
            decoder.decode(&wire[..cut], &mut text);
            decoder.decode(&wire[cut..], &mut text);
            decoder.finish(&mut text);
            assert_eq!(text, some, "{encoding} cut at {cut}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_shown_each() {
    for (label, bytes, shown) in [
        (
            "utf-8",
            &b"a\xf0\x9f\x98b\xc0\xaf\xed\xa0\x80"[..],
            r"a\xf0\x9f\x98b\xc0\xaf\xed\xa0\x80",
        ),
        ("utf-16le", b"a\0\0\xd8b\0\0\xdc", r"a\x00\xd8b\x00\xdc"),
        ("utf-16be", b"\0a\xd8\0\xd8\x3d\xde\0\0", "a\\xd8\\x00\u{1f600}\\x00"),
        ("gbk", b"\xce\xc4\xff\xbc", r"文\xff\xbc"),
        ("gb18030", b"\x81\x30\x81 a\x81", r"\x810\x81 a\x81"),
        ("shift_jis", b"\x83\x65\x83\x20\xfd", r"テ\x83 \xfd"),
        ("euc-jp", b"\x8f\xa1a", r"\x8f\xa1a"),
        ("big5", b"\xa4\xa4\xa4\x20", r"中\xa4 "),
        ("iso-2022-jp", b"\x1bab\x1b$a\x1b", r"\x1bab\x1b$a\x1b"),
        ("iso-2022-jp", b"\x1b$BJ\x1b(BJ\x1b$BJ8J", r"\x4aJ文\x4a"),
        ("euc-kr", b"\xb1 \xb1\xfft", r"\xb1 \xb1\xfft"),
        ("windows-1253", b"\xe1\xaa", r"α\xaa"),
        // A byte order mark is a character like others.
        ("utf-8", b"\xef\xbb\xbfa", "\u{feff}a"),
    ] {
        let encoding: Encoding = label.parse().expect(label);
        for piece in 1..10 {
            assert_eq!(decode_text(encoding, bytes, piece).0, shown, "{label}, {piece}");
        }
    }
}

#[test]
fn a_character_the_encoding_lacks_is_named_with_its_place() {
    for (label, text, offset, character) in [
        ("latin1", "naïve 文件", 7, '文'),
        ("iso-2022-jp", "文件\u{1b}[", 6, '\u{1b}'),
        ("iso-2022-jp", "文件é", 6, 'é'),
        ("gbk", "\u{1f600}", 0, '\u{1f600}'),
    ] {
        let encoding: Encoding = label.parse().expect(label);
        let mut out = b"before".to_vec();
        let error = encoding.encode(text, &mut out).expect_err(label);
        assert_eq!((error.offset, error.character), (offset, character), "{label}");
        assert_eq!(out, b"before");
    }
    let error = "latin1".parse::<Encoding>().expect("known").encode("é\u{202e}", &mut vec![]);
    assert_eq!(
        error.expect_err("no such character").to_string(),
        r"byte 2 of the text: windows-1252 has no `\u{202e}` (U+202E); leave it out, or take utf-8"
    );
}

#[test]
fn every_name_is_read_back_and_an_unknown_one_brings_near_ones() {
    for encoding in Encoding::ALL {
        assert_eq!(encoding.to_string().parse(), Ok(encoding));
        assert_eq!(format!(" {}\n", encoding.name().to_uppercase()).parse(), Ok(encoding));
    }
    for (label, near) in [("utf-88", "utf-8"), ("shift-jiss", "shift_jis"), ("gb2321", "gb2312")] {
        let error = label.parse::<Encoding>().expect_err(label).to_string();
        assert!(error.contains(near), "{error}");
    }
    // The standard maps it to an encoding that decodes nothing.
    assert!("iso-2022-kr".parse::<Encoding>().is_err());
}

#[test]
fn a_decoder_can_begin_another_stream() {
    let mut decoder = TextDecoder::new("iso-2022-jp".parse().expect("known"));
    let mut text = String::new();
    decoder.decode(b"\x1b$BJ8", &mut text);
    decoder.finish(&mut text);
    decoder.decode(b"J8", &mut text);
    decoder.finish(&mut text);
    assert_eq!(text, "文J8");
}

proptest! {
    /// In encodings that write each character in one way, the bytes can be had back.
    #[test]
    fn no_byte_is_lost_among_those_that_are_no_text(
        label in prop::sample::select(
            &["euc-kr", "ibm866", "utf-8", "utf-16be", "utf-16le", "windows-1253"][..],
        ),
        bytes in prop::collection::vec(
            any::<u8>().prop_filter("no backslash of the sender's own", |&byte| byte != b'\\'),
            0..60,
        ),
        piece in 1..60_usize,
    ) {
        let encoding: Encoding = label.parse().expect("known");
        let (text, malformed) = decode_text(encoding, &bytes, piece);
        let mut pieces = text.split('\\');
        let mut again = encode(encoding, pieces.next().expect("there is always one"));
        let mut unreadable = 0;
        for piece in pieces {
            again.push(u8::from_str_radix(&piece[1..3], 16).expect("two digits"));
            again.extend(encode(encoding, &piece[3..]));
            unreadable += 1;
        }
        prop_assert_eq!(again, bytes);
        prop_assert_eq!(unreadable, malformed);
    }

    #[test]
    fn any_bytes_are_one_text_however_they_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 2..200),
    ) {
        checks::text(&bytes);
    }

    #[test]
    fn what_looks_like_escape_sequences_is_too(
        which in any::<u8>(), cut in any::<u8>(),
        rest in prop::collection::vec(prop::sample::select(&b"\x1b$(BJI@\x81\x30\x8f\xfe\xd8\xdc\0"[..]), 0..40),
    ) {
        checks::text(&[&[which, cut], &rest[..]].concat());
    }
}
