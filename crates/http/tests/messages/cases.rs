//! Raw requests and bodies from `tests/cases`, each with its outcome and the section it holds.

use std::path::Path;

use sockeye_http::{
    BodyError, BodyLimits, Framing, HeaderStorage, Limits, Progress, RequestError, RequestParser,
    parse_request,
};

use crate::checks::decode_in_pieces;

#[test]
fn every_head_has_its_outcome_however_it_arrives() {
    let limits = Limits::default();
    let mut count = 0;
    for file in ["request-line.txt", "target.txt", "headers.txt", "smuggling.txt"] {
        for case in cases(file) {
            let expected = String::from_utf8(unescape(&case.expected)).expect("UTF-8");
            assert_eq!(outcome(&case.input, &limits), expected, "{}", case.title);
            for cuts in [&[1][..], &[7], &[1, 500]] {
                let in_pieces = outcome_in_pieces(&case.input, cuts, &limits);
                assert_eq!(in_pieces, expected, "{}, {cuts:?} bytes at a time", case.title);
            }
            count += 1;
        }
    }
    assert!(count >= 150, "{count} cases were read");
}

#[test]
fn no_prefix_of_a_valid_head_is_refused() {
    let limits = Limits::default();
    for file in ["request-line.txt", "target.txt", "headers.txt", "smuggling.txt"] {
        for case in cases(file).into_iter().filter(|case| !case.expected.starts_with(['4', '5'])) {
            let head = case.input.windows(4).position(|end| end == b"\r\n\r\n");
            let end = head.map_or(case.input.len(), |at| at + 4).min(1000);
            for end in 0..end {
                let outcome = outcome(&case.input[..end], &limits);
                assert_eq!(outcome, "incomplete", "{} cut at {end}", case.title);
            }
        }
    }
}

#[test]
fn every_chunked_body_has_its_outcome_however_it_arrives() {
    for case in cases("chunked.txt") {
        for cuts in [&[usize::MAX / 2][..], &[1], &[2], &[1, 6]] {
            let limits = BodyLimits::default();
            let result = decode_in_pieces(Framing::Chunked, limits, &case.input, cuts);
            let outcome = match result {
                Err(error) => format!("{} {error:?}", error.status().as_u16()),
                Ok((content, _, false)) => {
                    format!("no end, content \"{}\"", content.escape_ascii())
                }
                Ok((content, at, true)) => format!(
                    "ends before {}, content \"{}\"",
                    case.input.len() - at,
                    content.escape_ascii()
                ),
            };
            assert_eq!(outcome, case.expected, "{}, {cuts:?} bytes at a time", case.title);
        }
    }
}

#[test]
fn limits_can_be_set() {
    let limits = Limits { head_bytes: 40, headers: 2, target_bytes: 4 };
    for (input, expected) in [
        (
            "GET /abc HTTP/1.1\\r\\nHost:h\\r\\nA:\\r\\n\\r\\n",
            "GET /abc HTTP/1.1 keep None headers=2 host=h",
        ),
        ("GET /abcd", "414 TargetTooLong"),
        ("GET / HTTP/1.1\\r\\nHost:h\\r\\nA:\\r\\nB", "431 TooManyHeaders"),
        ("GET / HTTP/1.1\\r\\nHost:h\\r\\nA:{b*13}\\r\\n\\r\\n", "431 HeadTooLarge"),
        (
            "GET / HTTP/1.1\\r\\nHost:h\\r\\nA:{b*10}\\r\\n\\r\\n",
            "GET / HTTP/1.1 keep None headers=2 host=h",
        ),
    ] {
        assert_eq!(outcome(&unescape(input), &limits), expected, "{input}");
        assert_eq!(outcome_in_pieces(&unescape(input), &[1], &limits), expected, "{input}");
    }
}

#[test]
fn what_a_hostile_sender_does_is_reported_at_the_byte_that_shows_it() {
    // No power of two, so that the doubling of the buffer does not hide the limit.
    let limits = Limits { head_bytes: 60_000, ..Limits::default() };
    for (input, expected) in [
        ("GET /{a*8192}", "414 TargetTooLong"),
        ("GET / HTTP/1.1\\r\\nA: {b*59981}", "431 HeadTooLarge"),
        ("GET /\\r\\n", "400 MissingVersion"),
        ("GET / HTTP/2.0\\r\\n", "505 UnsupportedVersion"),
        ("GET / HTTP/1.1\\n", "400 BareLf"),
        ("GET / HTTP/1.1\\r\\nA: b\\n", "400 BareLf"),
        ("GET / HTTP/1.1\\r\\nA: b\\rc", "400 BareCr"),
        ("GET / HTTP/1.1\\r\\nA: b\\0", "400 InvalidHeaderValue"),
        ("GET / HTTP/1.1\\r\\nA: b\\x7f", "400 InvalidHeaderValue"),
        ("GET / HTTP/1.1\\r\\nA: b\\r\\n\\r\\n", "400 MissingHost"),
    ] {
        let input = unescape(input);
        let mut parser = RequestParser::new();
        for end in 1..=input.len() {
            let mut storage = HeaderStorage::new();
            let result = parser.parse(&input[..end], &limits, &mut storage);
            if end == input.len() || result.is_err() {
                let outcome = describe(end, result);
                assert_eq!((end, &outcome[..]), (input.len(), expected));
            }
        }
    }
}

#[test]
fn a_body_above_its_bound_is_refused_before_it_comes() {
    let limits = BodyLimits { content_bytes: 10, ..BodyLimits::default() };
    for (framing, input, expected) in [
        (Framing::Length(10), "0123456789", Ok(10)),
        (Framing::Length(11), "", Err(BodyError::TooLarge)),
        (Framing::Chunked, "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", Ok(10)),
        (Framing::Chunked, "5\r\nhello\r\n6\r\n", Err(BodyError::TooLarge)),
        (Framing::Chunked, "b\r\n", Err(BodyError::TooLarge)),
    ] {
        for cuts in [&[1][..], &[usize::MAX / 2]] {
            let decoded = decode_in_pieces(framing, limits, input.as_bytes(), cuts);
            assert_eq!(decoded.map(|(content, ..)| content.len()), expected, "{input}");
        }
    }
    assert_eq!(BodyError::TooLarge.status().as_u16(), 413);
}

#[test]
fn more_header_lines_than_usual_need_more_room() {
    let input = unescape("GET / HTTP/1.1\\r\\nHost: h\\r\\n{A: b\\r\\n*200}\\r\\n");
    let limits = Limits { headers: 300, ..Limits::default() };
    let mut storage = HeaderStorage::<256>::default();
    let Ok(Progress::Complete { request, .. }) = parse_request(&input, &limits, &mut storage)
    else {
        panic!("201 lines fit into 256");
    };
    assert_eq!(request.headers().count(), 201);
    assert_eq!(outcome(&input, &limits), "431 TooManyHeaders");
}

#[test]
fn requests_in_one_buffer_are_read_one_after_another() {
    let input = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTT";
    let mut parser = RequestParser::new();
    let (mut at, mut paths) = (0, Vec::new());
    loop {
        let mut storage = HeaderStorage::new();
        match parser.parse(&input[at..], &Limits::default(), &mut storage) {
            Ok(Progress::Complete { request, consumed }) => {
                paths.extend(request.target().path());
                at += consumed;
            }
            Ok(Progress::Incomplete) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(paths, ["/a", "/b"]);
    assert_eq!(&input[at..], b"GET /c HTT");
}

#[test]
fn header_lines_are_found_by_name_in_any_case_and_in_their_order() {
    let input = b"GET / HTTP/1.1\r\nHOST: h\r\nAccept: a\r\nX: \xff\r\naccept: b\r\n\r\n";
    let mut storage = HeaderStorage::new();
    let Ok(Progress::Complete { request, .. }) =
        parse_request(input, &Limits::default(), &mut storage)
    else {
        panic!("a whole head");
    };
    assert_eq!(request.get("accept"), Some(&b"a"[..]));
    assert_eq!(request.get(sockeye_http::header::HOST), Some(&b"h"[..]));
    assert_eq!(request.get("Range"), None);
    let all: Vec<_> = request.get_all("ACCEPT").collect();
    assert_eq!(all, [b"a", b"b"]);
    let names: Vec<_> = request.headers().map(|(name, _)| name).collect();
    assert_eq!(names, ["HOST", "Accept", "X", "accept"]);
}

/// One case of a file in `tests/cases`.
pub(crate) struct Case {
    /// Says which section of which RFC it holds.
    pub(crate) title: String,
    pub(crate) input: Vec<u8>,
    pub(crate) expected: String,
}

/// Reads a file of cases: `#` a title, `<` bytes with escapes (several lines are joined), `>` the
/// outcome.
pub(crate) fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(file);
    let text = std::fs::read_to_string(&path).expect("the file of cases");
    let mut cases = Vec::new();
    let (mut title, mut input) = (String::new(), Vec::new());
    for line in text.lines() {
        match line.split_at_checked(2) {
            Some(("# ", rest)) => {
                assert!(rest.starts_with("RFC ") && rest.contains('§'), "no section: {rest}");
                title = rest.to_owned();
            }
            Some(("< ", rest)) => input.extend(unescape(rest)),
            Some(("> ", rest)) => cases.push(Case {
                title: title.clone(),
                input: std::mem::take(&mut input),
                expected: rest.to_owned(),
            }),
            _ => assert!(line.is_empty(), "not part of a case: {line}"),
        }
    }
    cases
}

/// `\r \n \t \0 \\ \xHH`, and `{abc*100}` for repetition.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '{' => {
                let (repeated, after) = rest.split_once('}').expect("a closing brace");
                let (what, times) = repeated.rsplit_once('*').expect("{what*times}");
                let times = times.parse().expect("a number");
                out.extend(unescape(what).repeat(times));
                rest = after;
            }
            '\\' => {
                let escape = rest.chars().next().expect("an escape");
                rest = &rest[1..];
                out.push(match escape {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    '0' => 0,
                    'x' => {
                        let (digits, after) = rest.split_at(2);
                        rest = after;
                        u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
                    }
                    other => u8::try_from(other).expect("ASCII"),
                });
            }
            _ => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    out
}

/// A head parsed in one go, as one line of text.
fn outcome(input: &[u8], limits: &Limits) -> String {
    let mut storage = HeaderStorage::new();
    describe(input.len(), parse_request(input, limits, &mut storage))
}

/// The same for a head of which `cuts` more bytes arrive at a time, over and over, up to the first
/// answer. An error in a head without an end may wait until the buffer has doubled.
fn outcome_in_pieces(input: &[u8], cuts: &[usize], limits: &Limits) -> String {
    let mut parser = RequestParser::new();
    let mut end = 0;
    for &cut in cuts.iter().cycle() {
        end = input.len().min(end + cut.max(1));
        let mut storage = HeaderStorage::new();
        let result = parser.parse(&input[..end], limits, &mut storage);
        if !matches!(result, Ok(Progress::Incomplete)) {
            return describe(input.len(), result);
        }
        if end == input.len() {
            let padded = [input, &vec![b'a'; input.len()]].concat();
            let mut storage = HeaderStorage::new();
            return match parser.parse(&padded, limits, &mut storage) {
                Err(error) if outcome(input, limits) != "incomplete" => describe(end, Err(error)),
                _ => "incomplete".to_owned(),
            };
        }
    }
    unreachable!("there is at least one cut")
}

fn describe(len: usize, result: Result<Progress<'_, '_>, RequestError>) -> String {
    match result {
        Err(error) => format!("{} {error:?}", error.status().as_u16()),
        Ok(Progress::Incomplete) => "incomplete".to_owned(),
        Ok(Progress::Complete { request, consumed }) => {
            let query = request.target().query().map_or(String::new(), |query| format!("?{query}"));
            let mut text = format!(
                "{} {}{query} {:?} {} {:?} headers={}",
                request.method(),
                request.target().path().unwrap_or("-"),
                request.version(),
                if request.keep_alive() { "keep" } else { "close" },
                request.body(),
                request.headers().count(),
            );
            if let Some(host) = request.host() {
                text += &format!(" host={}", host.host());
            }
            if let Some(port) = request.host().and_then(|host| host.port()) {
                text += &format!(" port={port}");
            }
            if request.expect_continue() {
                text += " continue";
            }
            // In pieces the next request may not have arrived yet.
            if consumed > len {
                text += " consumed too much";
            }
            text
        }
    }
}
