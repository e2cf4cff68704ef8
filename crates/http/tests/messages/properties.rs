//! Properties of generated messages, and of messages damaged in one place.

use proptest::collection::vec;
use proptest::prelude::*;
use sockeye_http::{BodyLimits, Framing, HeaderStorage, Limits, Progress, parse_request};

use crate::checks::{self, decode_in_pieces};

/// A valid head, with what it should be read as.
#[derive(Debug, Clone)]
struct Head {
    bytes: Vec<u8>,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    framing: Framing,
}

prop_compose! {
    fn head()(
        method in prop::sample::select(&["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"]),
        path in "(/[a-zA-Z0-9%._~!$&'()*+,;=:@|é-]{0,6}){1,4}",
        query in "(\\?[a-z=&?/]{0,8})?",
        minor in 1..=3u8,
        host in "[a-z][a-z0-9.-]{0,12}(:[0-9]{1,4})?",
        framing in prop_oneof![
            Just(Framing::None),
            Just(Framing::Chunked),
            any::<u64>().prop_map(Framing::Length),
        ],
        others in vec(("X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,8}", value(), "[ \t]{0,2}", "[ \t]{0,2}"), 0..6),
        at in any::<prop::sample::Index>(),
        empty_line: bool,
    ) -> Head {
        let mut headers = others;
        let place = |headers: &Vec<_>| at.index(headers.len() + 1);
        let mut insert = |name: &str, value: String| {
            let i = place(&headers);
            headers.insert(i, (name.to_owned(), value.into_bytes(), " ".to_owned(), String::new()));
        };
        insert("Host", host);
        match framing {
            Framing::None | Framing::UntilClose => {}
            Framing::Chunked => insert("Transfer-Encoding", "chunked".to_owned()),
            Framing::Length(length) => insert("Content-Length", length.to_string()),
        }
        let start = if empty_line { "\r\n" } else { "" };
        let mut bytes = format!("{start}{method} {path}{query} HTTP/1.{minor}\r\n").into_bytes();
        for (name, value, before, after) in &headers {
            bytes.extend(format!("{name}:{before}").bytes());
            bytes.extend(value);
            bytes.extend(format!("{after}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        let headers = headers.into_iter().map(|(name, value, ..)| (name, value)).collect();
        Head { bytes, path, headers, framing }
    }
}

/// A header value without whitespace at its ends.
fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'\t'), b' '..=0x7e, 0x80..=0xffu8], 0..12).prop_map(|mut value| {
        let ows = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        while ows(value.last()) {
            value.pop();
        }
        while ows(value.first()) {
            value.remove(0);
        }
        value
    })
}

/// A valid head with a byte changed, put in or taken out, some of them bytes that matter.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![prop::sample::select(&b"\r\n \t:,;\0\x7f#/*H1.2"[..]), any::<u8>(),];
    (head(), vec((any::<prop::sample::Index>(), byte, 0..4u8), 1..3)).prop_map(|(head, changes)| {
        let mut bytes = head.bytes;
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at + 1),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                bytes.push(byte);
            }
        }
        bytes
    })
}

/// A chunked body, with its content.
fn chunked() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let extension = "(;[a-z]{1,3}(=([a-z]{1,3}|\"[a-z ;\\t]{0,4}\"))?){0,2}";
    let chunk = (vec(any::<u8>(), 1..40), extension, any::<bool>());
    (vec(chunk, 0..6), extension, "([A-Za-z]{1,4}:[ a-z]{0,6}\r\n){0,2}").prop_map(
        |(chunks, last, trailers)| {
            let (mut bytes, mut content) = (Vec::new(), Vec::new());
            for (data, extension, upper) in chunks {
                let len = data.len();
                let size = if upper { format!("{len:X}") } else { format!("0{len:x}") };
                bytes.extend(format!("{size}{extension}\r\n").bytes());
                bytes.extend(&data);
                bytes.extend(b"\r\n");
                content.extend(data);
            }
            bytes.extend(format!("0{last}\r\n{trailers}\r\n").bytes());
            (bytes, content)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_valid_head_is_read_as_it_was_meant(head in head(), rest: Vec<u8>) {
        let bytes = [&head.bytes[..], &rest].concat();
        let mut storage = HeaderStorage::new();
        match parse_request(&bytes, &Limits::default(), &mut storage) {
            Ok(Progress::Complete { request, consumed }) => {
                prop_assert_eq!(consumed, head.bytes.len());
                prop_assert_eq!(request.target().path(), Some(&head.path[..]));
                prop_assert_eq!(request.body(), head.framing);
                let headers: Vec<_> =
                    request.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
                prop_assert_eq!(headers, head.headers);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_valid_head_is_incomplete_until_its_last_byte(head in head()) {
        for end in 0..head.bytes.len() {
            let mut storage = HeaderStorage::new();
            let prefix = parse_request(&head.bytes[..end], &Limits::default(), &mut storage);
            prop_assert!(matches!(prefix, Ok(Progress::Incomplete)), "{:?} at {}", prefix, end);
        }
        checks::head(&head.bytes);
    }

    #[test]
    fn a_damaged_head_has_one_answer_however_it_arrives(bytes in damaged()) {
        checks::head(&bytes);
    }

    #[test]
    fn any_bytes_have_one_answer_as_a_head(bytes: Vec<u8>) {
        checks::head(&bytes);
    }

    #[test]
    fn any_bytes_hold_the_properties_of_a_target(bytes in vec(prop_oneof![
        prop::sample::select(&b"/%.2eEfF05c?#:@[]\\"[..]), any::<u8>()
    ], 0..40)) {
        checks::target(&bytes);
    }

    #[test]
    fn a_chunked_body_gives_its_content_wherever_it_is_cut(
        (bytes, content) in chunked(),
        cuts in vec(1..50usize, 1..8),
        rest: Vec<u8>,
    ) {
        let input = [&bytes[..], &rest].concat();
        let decoded = decode_in_pieces(Framing::Chunked, BodyLimits::default(), &input, &cuts);
        prop_assert_eq!(decoded, Ok((content, bytes.len(), true)));
        for end in 0..bytes.len() {
            let prefix = decode_in_pieces(Framing::Chunked, BodyLimits::default(), &bytes[..end], &cuts);
            prop_assert!(matches!(prefix, Ok((_, at, false)) if at == end), "{:?} at {}", prefix, end);
        }
    }

    #[test]
    fn a_damaged_chunked_body_has_one_answer_wherever_it_is_cut(
        (mut bytes, _) in chunked(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![prop::sample::select(&b"\r\n \t;=\"0gf:"[..]), any::<u8>()],
        first in 0..128u8,
    ) {
        let i = at.index(bytes.len());
        bytes[i] = byte;
        bytes.insert(0, first);
        checks::body(&bytes);
    }

    #[test]
    fn any_bytes_have_one_answer_as_a_body(bytes: Vec<u8>) {
        checks::body(&bytes);
    }

    #[test]
    fn a_body_of_a_length_ends_there(
        content: Vec<u8>,
        rest: Vec<u8>,
        cuts in vec(1..50usize, 1..8),
    ) {
        let input = [&content[..], &rest].concat();
        let len = content.len();
        let framing = Framing::Length(u64::try_from(len).expect("small"));
        let decoded = decode_in_pieces(framing, BodyLimits::default(), &input, &cuts);
        prop_assert_eq!(decoded, Ok((content, len, true)));
    }
}
