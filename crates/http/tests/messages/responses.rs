//! Responses as a client reads them: cases with their sections, and what was written comes back.

use http::HeaderMap;
use proptest::collection::vec;
use proptest::prelude::*;
use sockeye_http::chunked::{LastChunk, write_chunk};
use sockeye_http::header::{CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use sockeye_http::{
    BodyDecoder, BodyError, BodyLimits, Follows, Framing, HeaderStorage, Limits, Method, Progress,
    RequestHead, ResponseError, ResponseHead, ResponseParser, ResponseProgress, StatusCode,
    parse_request,
};

use crate::cases::cases;
use crate::checks;

#[test]
fn every_response_has_its_outcome_however_it_arrives() {
    let cases = cases("response.txt");
    assert!(cases.len() >= 50, "{} cases were read", cases.len());
    for case in cases {
        let (method, expected) = case.expected.split_once(' ').expect("a method");
        let method: Method = method.parse().expect("a method");
        assert_eq!(outcome(&case.input, &method), expected, "{}", case.title);
        for cut in [1, 7] {
            let mut parser = ResponseParser::new();
            let mut pieces = "incomplete".to_owned();
            let mut end = 0;
            while end < case.input.len() && pieces == "incomplete" {
                end = case.input.len().min(end + cut);
                let mut storage = HeaderStorage::new();
                let limits = Limits::default();
                let result = parser.parse(&case.input[..end], &method, &limits, &mut storage);
                pieces = describe(result);
            }
            assert_eq!(pieces, expected, "{}, {cut} bytes at a time", case.title);
        }
        checks::response(&case.input);
    }
}

fn outcome(input: &[u8], method: &Method) -> String {
    let mut storage = HeaderStorage::new();
    describe(ResponseParser::new().parse(input, method, &Limits::default(), &mut storage))
}

fn describe(result: Result<ResponseProgress<'_, '_>, ResponseError>) -> String {
    match result {
        Err(error) => format!("{error:?}"),
        Ok(ResponseProgress::Incomplete) => "incomplete".to_owned(),
        Ok(ResponseProgress::Complete { response, .. }) => format!(
            "{} {} {:?} {} {:?} headers={}",
            response.status().as_u16(),
            response.reason().escape_ascii(),
            response.version(),
            if response.keep_alive() { "keep" } else { "close" },
            response.follows(),
            response.headers().count(),
        ),
    }
}

#[test]
fn the_end_of_the_connection_ends_only_what_it_may_end() {
    for (framing, input, expected) in [
        (Framing::UntilClose, "", Ok(())),
        (Framing::UntilClose, "hello", Ok(())),
        (Framing::None, "", Ok(())),
        (Framing::Length(5), "hello", Ok(())),
        (Framing::Length(5), "hell", Err(BodyError::Truncated)),
        (Framing::Chunked, "5\r\nhello\r\n", Err(BodyError::Truncated)),
        (Framing::Chunked, "0\r\n", Err(BodyError::Truncated)),
        (Framing::Chunked, "0\r\n\r\n", Ok(())),
    ] {
        let mut decoder = BodyDecoder::new(framing, BodyLimits::default());
        decoder.skip(input.as_bytes()).expect("valid so far");
        assert_eq!(decoder.finish(), expected, "{framing:?} {input:?}");
        assert_eq!(decoder.is_done(), expected.is_ok());
    }
}

#[test]
fn content_without_an_announced_end_is_bounded_too() {
    let limits = BodyLimits { content_bytes: 5, ..BodyLimits::default() };
    let mut decoder = BodyDecoder::new(Framing::UntilClose, limits);
    assert_eq!(decoder.skip(b"hello").map(|skipped| skipped.content), Ok(5));
    assert_eq!(decoder.skip(b"!"), Err(BodyError::TooLarge));
}

#[test]
fn sizes_of_chunks_are_read_up_to_their_last_bit_and_not_beyond() {
    for (size, expected) in [
        ("fffffffffffffffe", Ok(())),
        ("ffffffffffffffff", Ok(())),
        ("10000000000000000", Err(BodyError::InvalidSize)),
        ("10000000000000001", Err(BodyError::InvalidSize)),
        ("10000000000000005", Err(BodyError::InvalidSize)),
        ("000000000000000000005", Ok(())),
    ] {
        let mut decoder = BodyDecoder::new(Framing::Chunked, BodyLimits::default());
        let line = format!("{size}\r\nhello");
        assert_eq!(decoder.skip(line.as_bytes()).map(drop), expected, "{size}");
    }
}

#[test]
fn a_request_says_what_it_wants_of_the_connection() {
    let head = b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, x ,\r\nconnection: TE\r\n\
        Upgrade: h2c, websocket\r\nTE: trailers\r\nMax-Forwards: 0\r\n\r\n";
    let mut storage = HeaderStorage::new();
    let Ok(Progress::Complete { request, .. }) =
        parse_request(head, &Limits::default(), &mut storage)
    else {
        panic!("a whole head");
    };
    let options: Vec<_> = request.connection_options().collect();
    assert_eq!(options, [&b"Upgrade"[..], b"x", b"TE"]);
    assert_eq!(request.upgrades().collect::<Vec<_>>(), [&b"h2c"[..], b"websocket"]);
    assert_eq!(request.max_forwards(), Some(0));
    assert!(request.accepts_trailers());
}

#[test]
fn an_upgrade_that_connection_does_not_name_or_in_http_1_0_is_none() {
    for head in [
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ] {
        let mut storage = HeaderStorage::new();
        let Ok(Progress::Complete { request, .. }) =
            parse_request(head.as_bytes(), &Limits::default(), &mut storage)
        else {
            panic!("a whole head");
        };
        assert_eq!(request.upgrades().count(), 0, "{head}");
        assert_eq!(request.max_forwards(), None);
        assert!(!request.accepts_trailers());
    }
}

#[test]
fn content_in_connect_is_refused() {
    for lines in ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 0"] {
        let head = format!("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n{lines}\r\n\r\n");
        let mut storage = HeaderStorage::new();
        let result = parse_request(head.as_bytes(), &Limits::default(), &mut storage);
        assert_eq!(result.expect_err(lines), sockeye_http::RequestError::ContentInConnect);
    }
}

/// Responses, each behind a letter for the method of its request.
const SEEDS: [&[u8]; 3] = [
    b"GHTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
    b"HHTTP/1.0 204 \r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n",
    b"CHTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
];

fn fields() -> impl Strategy<Value = Vec<(HeaderName, String)>> {
    vec(("x-[a-z0-9-]{1,8}", "[!-~é]{0,3}( [!-~]{1,3})?"), 0..6).prop_map(|fields| {
        let named = |(name, value): (String, String)| {
            (name.parse().expect("a name"), value.trim().to_owned())
        };
        fields.into_iter().map(named).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_response_that_was_written_is_read_as_it_was_meant(
        status in 100..600u16,
        fields in fields(),
        chunks in vec(vec(any::<u8>(), 0..40), 0..5),
        trailers in fields(),
        chunked: bool,
        rest: Vec<u8>,
        cuts in vec(1..50usize, 1..6),
    ) {
        prop_assume!(status != 101);
        let status = StatusCode::from_u16(status).expect("in range");
        let mut out = Vec::new();
        let content = chunks.concat();
        let mut head = ResponseHead::new(&mut out, status);
        for (name, value) in &fields {
            head.header(name, value).expect("no control characters");
        }
        let none = status.is_informational() || matches!(status.as_u16(), 204 | 304);
        if !none && chunked {
            head.header(&TRANSFER_ENCODING, "chunked").expect("a constant");
        } else if !none {
            head.content_length(u64::try_from(content.len()).expect("small"));
        }
        head.finish();
        let head_len = out.len();
        if !none && chunked {
            for chunk in &chunks {
                write_chunk(&mut out, chunk);
            }
            let mut last = LastChunk::new(&mut out);
            for (name, value) in &trailers {
                last.trailer(name, value).expect("no control characters");
            }
            last.finish();
        } else if !none {
            out.extend_from_slice(&content);
        }
        let end = out.len();
        out.extend_from_slice(&rest);

        let mut storage = HeaderStorage::new();
        let parsed = ResponseParser::new().parse(&out, &Method::GET, &Limits::default(), &mut storage);
        let Ok(ResponseProgress::Complete { response, consumed }) = parsed else {
            return Err(TestCaseError::fail(format!("{parsed:?}")));
        };
        prop_assert_eq!(consumed, head_len);
        prop_assert_eq!(response.status(), status);
        for (at, (name, value)) in response.headers().take(fields.len()).enumerate() {
            prop_assert!(name.eq_ignore_ascii_case(fields[at].0.as_str()));
            prop_assert_eq!(value, fields[at].1.as_bytes());
        }
        let framing = match response.follows() {
            Follows::Response => { prop_assert!(status.is_informational()); return Ok(()) }
            Follows::Tunnel => return Err(TestCaseError::fail("no tunnel was asked for")),
            Follows::Body(framing) => framing,
        };
        let mut decoder = BodyDecoder::new(framing, BodyLimits::default()).with_trailers();
        let (mut at, mut until, mut read) = (head_len, head_len, Vec::new());
        for cut in cuts.iter().cycle() {
            until = out.len().min(until + cut);
            while at < until && !decoder.is_done() {
                let step = decoder.decode(&out[at..until]).expect("written here");
                read.extend_from_slice(step.content);
                at += step.consumed;
            }
            if decoder.is_done() || until == out.len() {
                break;
            }
        }
        prop_assert_eq!(at, end);
        prop_assert!(decoder.finish().is_ok());
        if !none {
            prop_assert_eq!(read, content);
        }
        if !none && chunked {
            let seen: Vec<_> = decoder.trailers().iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect();
            let meant: Vec<_> = trailers.iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.clone().into_bytes())).collect();
            prop_assert_eq!(seen, meant);
            let mut merged = HeaderMap::new();
            decoder.trailers().merge(&[CONTENT_LENGTH], &mut merged);
            prop_assert!(merged.is_empty());
        }
    }

    #[test]
    fn a_request_that_was_written_is_read_as_it_was_meant(
        path in "(/[a-z%20.é]{0,6}){1,3}",
        fields in fields(),
        length in any::<Option<u64>>(),
    ) {
        let mut out = Vec::new();
        let mut head = RequestHead::new(&mut out, &Method::POST, &path, "h:80").expect("valid");
        for (name, value) in &fields {
            head.header(name, value).expect("no control characters");
        }
        if let Some(length) = length {
            head.content_length(length);
        }
        head.finish();
        let mut storage = HeaderStorage::new();
        let Ok(Progress::Complete { request, consumed }) =
            parse_request(&out, &Limits::default(), &mut storage)
        else {
            return Err(TestCaseError::fail("it was written here"));
        };
        prop_assert_eq!(consumed, out.len());
        prop_assert_eq!(request.target().path(), Some(&path[..]));
        prop_assert_eq!(request.body(), length.map_or(Framing::None, Framing::Length));
        prop_assert_eq!(request.headers().count(), 1 + fields.len() + usize::from(length.is_some()));
    }

    #[test]
    fn any_bytes_have_one_answer_as_a_response(bytes: Vec<u8>) {
        checks::response(&bytes);
    }

    #[test]
    fn a_damaged_response_has_one_answer_however_it_arrives(
        seed in prop::sample::select(&SEEDS[..]),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![prop::sample::select(&b"\r\n \t:,\0/H1029."[..]), any::<u8>()],
        insert: bool,
    ) {
        let mut bytes = seed.to_vec();
        let at = at.index(bytes.len());
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        checks::response(&bytes);
    }
}
