//! Properties that hold for any bytes; the fuzz targets and the replay of their corpora share them.

use sockeye_http::multipart::{Event, MultipartDecoder, MultipartError, MultipartLimits, Part};
use sockeye_http::{
    AcceptEncoding, BodyDecoder, BodyError, BodyLimits, Coding, EntityTag, FileStamp, Framing,
    HeaderStorage, Limits, Method, Precondition, Progress, Ranges, RequestParser, ResponseParser,
    ResponseProgress, Target, conditional, decode_path, encode_segment, parse_request, range,
};

/// Small enough that a fuzzer reaches them.
const LIMITS: Limits = Limits { head_bytes: 512, headers: 8, target_bytes: 64 };

/// The answer does not depend on how the bytes arrive, and a prefix of a valid head is incomplete.
pub(crate) fn head(data: &[u8]) {
    for limits in [LIMITS, Limits::default()] {
        let mut storage = HeaderStorage::new();
        let whole = parse_request(data, &limits, &mut storage);
        let mut parser = RequestParser::new();
        for end in 0..=data.len() {
            let mut storage = HeaderStorage::new();
            let so_far = parser.parse(&data[..end], &limits, &mut storage);
            match (&whole, so_far) {
                (_, Ok(Progress::Incomplete)) if end < data.len() => continue,
                (Ok(Progress::Incomplete), Ok(Progress::Incomplete)) => {}
                (Err(whole), Err(so_far)) => assert_eq!(*whole, so_far),
                // Not every error is looked for at every byte, but once the buffer has doubled it is.
                (Err(whole), Ok(Progress::Incomplete)) => {
                    let padded = [data, &vec![b'a'; data.len()]].concat();
                    let mut storage = HeaderStorage::new();
                    let later = parser.parse(&padded, &limits, &mut storage);
                    assert_eq!(*whole, later.expect_err("an error does not go away"));
                }
                (
                    Ok(Progress::Complete { request, consumed }),
                    Ok(Progress::Complete { request: again, consumed: end_of_head }),
                ) => {
                    assert_eq!((*consumed, end_of_head), (end, end));
                    assert_eq!(request.target(), again.target());
                    assert_eq!(request.body(), again.body());
                    assert!(request.headers().eq(again.headers()));
                    valid(data, *consumed, &limits);
                }
                (whole, so_far) => panic!("{whole:?} as a whole, {so_far:?} at {end}"),
            }
            break;
        }
    }
}

/// What a head that was accepted never holds.
fn valid(data: &[u8], consumed: usize, limits: &Limits) {
    let head = &data[..consumed];
    assert!(consumed <= limits.head_bytes);
    assert!(head.ends_with(b"\r\n\r\n"));
    assert_eq!(
        head.iter().filter(|&&b| b == b'\n').count(),
        head.iter().filter(|&&b| b == b'\r').count()
    );
    assert!(head.windows(2).all(|pair| (pair[0] == b'\r') == (pair[1] == b'\n')));
    assert!(!head.contains(&0));
    for end in 0..consumed {
        let mut storage = HeaderStorage::new();
        let prefix = parse_request(&head[..end], limits, &mut storage);
        assert!(matches!(prefix, Ok(Progress::Incomplete)), "{prefix:?} at {end}");
    }
}

/// The answer to a response does not depend on how the bytes arrive; the first byte chooses the method
/// of the request.
pub(crate) fn response(data: &[u8]) {
    let [first, data @ ..] = data else { return };
    let method = match first {
        b'H' => Method::HEAD,
        b'C' => Method::CONNECT,
        _ => Method::GET,
    };
    for limits in [LIMITS, Limits::default()] {
        let mut storage = HeaderStorage::new();
        let whole = ResponseParser::new().parse(data, &method, &limits, &mut storage);
        let mut parser = ResponseParser::new();
        for end in 0..=data.len() {
            let mut storage = HeaderStorage::new();
            let so_far = parser.parse(&data[..end], &method, &limits, &mut storage);
            match (&whole, so_far) {
                (_, Ok(ResponseProgress::Incomplete)) if end < data.len() => continue,
                (Ok(ResponseProgress::Incomplete), Ok(ResponseProgress::Incomplete)) => {}
                (Err(whole), Err(so_far)) => assert_eq!(*whole, so_far),
                (Err(whole), Ok(ResponseProgress::Incomplete)) => {
                    let padded = [data, &vec![b'a'; data.len()]].concat();
                    let mut storage = HeaderStorage::new();
                    let later = parser.parse(&padded, &method, &limits, &mut storage);
                    assert_eq!(*whole, later.expect_err("an error does not go away"));
                }
                (
                    Ok(ResponseProgress::Complete { response, consumed }),
                    Ok(ResponseProgress::Complete { response: again, consumed: end_of_head }),
                ) => {
                    assert_eq!((*consumed, end_of_head), (end, end));
                    assert_eq!(response.follows(), again.follows());
                    assert_eq!(response.keep_alive(), again.keep_alive());
                    assert!(response.headers().eq(again.headers()));
                    assert!(end <= limits.head_bytes && data[..end].ends_with(b"\r\n\r\n"));
                }
                (whole, so_far) => panic!("{whole:?} as a whole, {so_far:?} at {end}"),
            }
            break;
        }
    }
}

/// A target is split without loss; a decoded path stays beneath the root and finds its way back.
pub(crate) fn target(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        for method in [Method::GET, Method::OPTIONS, Method::CONNECT] {
            let Ok(target) = Target::parse(&method, text) else { continue };
            let query = target.query().map_or(String::new(), |query| format!("?{query}"));
            if let Target::Origin { path, .. } = target {
                assert_eq!(format!("{path}{query}"), text);
            }
            if let Some(path) = target.path() {
                assert!(path.starts_with('/') && !path.contains(['?', '#']));
            }
        }
    }
    if let Ok(path) = decode_path(data) {
        for segment in path.segments() {
            assert!(!matches!(segment, b"" | b"." | b".."));
            assert!(!segment.contains(&0) && !segment.contains(&b'/'));
        }
        let joined: Vec<&[u8]> = path.segments().collect();
        assert_eq!(joined.join(&b'/'), path.as_bytes());
        let location = path.location(path.has_trailing_slash()).to_string();
        assert!(location.starts_with('/') && !location.starts_with("//"));
        assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'));
        let again = decode_path(&location).expect("encoded here");
        assert_eq!(again.as_bytes(), path.as_bytes());
        assert_eq!(again.has_trailing_slash(), path.has_trailing_slash());
    }
    let encoded = format!("/{}", encode_segment(data));
    if let Ok(path) = decode_path(&encoded) {
        assert_eq!(path.as_bytes(), if data == b"." { b"" } else { data });
    }
}

/// A body is the same in one piece, byte by byte, and cut in two; the first byte chooses its framing.
pub(crate) fn body(data: &[u8]) {
    let [first, input @ ..] = data else { return };
    let framing = match *first {
        ..128 => Framing::Chunked,
        255 => Framing::UntilClose,
        length => Framing::Length(u64::from(length - 128)),
    };
    let limits = BodyLimits {
        content_bytes: 1 << 16,
        chunk_line_bytes: 32,
        extension_bytes: 64,
        trailer_bytes: 64,
    };
    let decode = |cuts: &[usize]| decode_in_pieces(framing, limits, input, cuts);
    let whole = decode(&[usize::MAX / 2]);
    assert_eq!(decode(&[1]), whole);
    assert_eq!(decode(&[usize::from(*first), usize::MAX / 2]), whole);
    assert_eq!(
        trailers_in_pieces(framing, limits, input, 1),
        trailers_in_pieces(framing, limits, input, input.len())
    );
    let skipped = BodyDecoder::new(framing, limits).skip(input);
    match (whole, skipped) {
        (Ok((content, consumed, done)), Ok(skipped)) => {
            assert_eq!((consumed, done), (skipped.consumed, skipped.done));
            assert_eq!(u64::try_from(content.len()), Ok(skipped.content));
        }
        (Err(whole), Err(skipped)) => assert_eq!(whole, skipped),
        (whole, skipped) => panic!("{whole:?} decoded, {skipped:?} skipped"),
    }
}

/// What is sent of a representation lies within it, no byte twice, and is announced as what it is; the
/// first eight bytes are its length.
pub(crate) fn range(data: &[u8]) {
    let Some((length, value)) = data.split_first_chunk::<8>() else { return };
    let length = u64::from_le_bytes(*length);
    for length in [length, length % 1000] {
        let parts = match range::select(value, length) {
            Ranges::Whole | Ranges::Unsatisfiable => Vec::new(),
            Ranges::One(one) => vec![one],
            Ranges::Many(many) => {
                assert!(many.len() > 1 && many.len() <= range::MOST_RANGES);
                many
            }
        };
        let mut sorted = parts.clone();
        sorted.sort_by_key(|part| part.start);
        assert!(sorted.iter().all(|part| part.start < part.end && part.end <= length));
        assert!(sorted.windows(2).all(|two| two[0].end + range::GAP < two[1].start));
        for part in &parts {
            let text = range::ContentRange::Part(part, length).to_string();
            let read = range::read_content_range(text.as_bytes());
            assert_eq!(read, Some((Some(part.clone()), Some(length))));
        }
        let lines: u64 = 300 * parts.len() as u64 + 100;
        let multipart = range::Multipart::new("text/plain", length, 1);
        let sent: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let whole = multipart.content_length(&parts);
        assert!(whole.is_none_or(|whole| whole >= sent && whole - sent < lines));
    }
    let _ = range::read_content_range(value);
}

/// Header lines of any kind have one outcome, which a client without them would not be harmed by, and
/// only what the RFC says can be had from which method.
pub(crate) fn conditional(data: &[u8]) {
    const METHODS: [&[u8]; 3] = [b"GET", b"HEAD", b"PUT"];
    for method in METHODS {
        let head = [method, b" / HTTP/1.1\r\nHost: h\r\n", data, b"\r\n\r\n"].concat();
        let mut storage = HeaderStorage::new();
        let parsed = parse_request(&head, &Limits::default(), &mut storage);
        let Ok(Progress::Complete { request, .. }) = parsed else { continue };
        let stamp = FileStamp { modified_seconds: 784_111_777, size: 10, ..FileStamp::default() };
        let tag = EntityTag::of_file(&stamp, i64::MAX);
        let accepted = AcceptEncoding::read(request.get_all("accept-encoding"));
        assert!(accepted.choose(&[]).is_none_or(|coding| coding == Coding::Identity));
        for (tag, modified) in [(None, None), (Some(&tag), None), (Some(&tag), Some(784_111_777))] {
            let outcome = conditional::evaluate(&request, tag, modified);
            let safe = method != b"PUT";
            assert!(outcome != Precondition::NotModified || safe);
            assert!(outcome == Precondition::Proceed || request.may_be_conditional());
            // A weaker validator never makes a condition hold that a strong one does not.
            let ranges = range::evaluate(&request, tag, modified, 10);
            assert!(ranges == Ranges::Whole || (method == b"GET" && request.may_have_range()));
            let weak = tag.map(|tag| tag.coded(Coding::Gzip));
            if request.get("if-range").is_some() {
                let date = request.get("if-range").is_some_and(|value| !value.contains(&b'"'));
                let of_weak = range::evaluate(&request, weak.as_ref(), modified, 10);
                assert!(of_weak == Ranges::Whole || (date && modified.is_some()));
            }
        }
    }
}

/// The trailers of a body that comes in pieces of this size; None if it has no end.
fn trailers_in_pieces(
    framing: Framing,
    limits: BodyLimits,
    input: &[u8],
    size: usize,
) -> Option<Vec<(String, Vec<u8>)>> {
    let mut decoder = BodyDecoder::new(framing, limits).with_trailers();
    for piece in input.chunks(size.max(1)) {
        decoder.skip(piece).ok()?;
    }
    let trailers = decoder.trailers();
    let all: Vec<_> =
        trailers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    assert!(all.iter().all(|(name, _)| !name.is_empty()));
    assert!(all.iter().all(|(_, value)| !value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))));
    decoder.is_done().then_some(all)
}

/// A body decoded from pieces of the given sizes, over and over: what is left over, whether it ended,
/// and its content; or the error.
pub(crate) fn decode_in_pieces(
    framing: Framing,
    limits: BodyLimits,
    input: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, usize, bool), BodyError> {
    let mut decoder = BodyDecoder::new(framing, limits);
    let (mut content, mut at, mut end) = (Vec::new(), 0, 0);
    for &cut in cuts.iter().cycle() {
        end = input.len().min(end + cut.max(1));
        loop {
            let step = decoder.decode(&input[at..end])?;
            content.extend_from_slice(step.content);
            at += step.consumed;
            assert!(at <= end, "consumed more than there was");
            assert!(step.done || !step.content.is_empty() || at == end, "stopped for no reason");
            if step.done {
                return Ok((content, at, true));
            }
            if at == end {
                break;
            }
        }
        if end == input.len() {
            break;
        }
    }
    Ok((content, at, false))
}

/// The parts of a form, each with its bytes, do not depend on how the form arrives.
pub(crate) fn multipart(data: &[u8]) {
    // The first byte says where the cuts are.
    let Some((&cut, form)) = data.split_first() else { return };
    let whole = parts(form, form.len().max(1));
    for size in [1, usize::from(cut) + 1] {
        assert_eq!(parts(form, size), whole, "in pieces of {size}");
    }
}

/// Each part with its bytes.
type Parts = Vec<(Part, Vec<u8>)>;

/// All parts of a form with the boundary `x`, up to its end or to what is wrong with it.
fn parts(form: &[u8], size: usize) -> (Parts, Result<(), MultipartError>) {
    let limits = MultipartLimits { head_bytes: 128, parts: 4 };
    let mut decoder = MultipartDecoder::new(b"x".to_vec(), limits);
    let mut parts = Parts::new();
    let mut waiting = Vec::new();
    for piece in form.chunks(size) {
        waiting.extend_from_slice(piece);
        loop {
            let step = match decoder.decode(&waiting) {
                Ok(step) => step,
                Err(error) => return (parts, Err(error)),
            };
            assert!(step.consumed <= waiting.len());
            match step.event {
                Some(Event::Part(part)) => parts.push((part, Vec::new())),
                Some(Event::Content(content)) => {
                    assert!(!content.is_empty());
                    let part = parts.last_mut().expect("content is of a part");
                    part.1.extend_from_slice(content);
                }
                Some(Event::End) => assert!(decoder.is_done()),
                None => {
                    waiting.drain(..step.consumed);
                    assert!(waiting.len() < limits.head_bytes);
                    break;
                }
            }
            waiting.drain(..step.consumed);
        }
    }
    (parts, decoder.finish())
}
