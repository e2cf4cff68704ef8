//! What a client may ask for by path, to see how it takes the answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use percent_encoding::percent_decode_str;
use sockeye_http::StatusCode;
use sockeye_http::range::{ContentRange, Multipart, Ranges, select};

use super::decoded;
use super::made::{Broken, Chunks, Drip, Pattern, Piece, Pieces};
use crate::http::asked::Asked;
use crate::http::reply::{Content, Reply};

/// The paths, and what each does.
pub(super) const PATHS: [(&str, &str); 14] = [
    ("/ANYTHING", "what arrived, as here; ?format=text, json or html"),
    ("/delay/2s", "the same after a while, at most 60s"),
    ("/status/404", "any status from 200 to 599, with what belongs to it; ?retry-after=SECONDS"),
    ("/status/103", "100, 102 or 103, then 200"),
    ("/redirect/3", "so many redirects; ?status=307"),
    ("/bytes/1m", "so many bytes, at most 1g, the same each time; takes ranges; ?seed=N"),
    ("/chunked/10k?chunk=1k", "in chunks of this size, a digest in the trailers"),
    ("/slow/2k?rate=1k", "so many bytes a second"),
    ("/drip?numbytes=5&duration=2s", "a little at a time; &delay=1s, &code=200"),
    ("/headers/20", "so many header lines, at most 1000"),
    ("/response-headers?Name=value", "these header lines"),
    ("/basic-auth/USER/PASSWORD", "401 without these credentials"),
    ("/close", "an end in the middle of the content; ?framing=chunked"),
    ("/reset", "the same by a reset"),
];

const MOST_DELAY: Duration = Duration::from_secs(60);
/// Dripping at most takes so long.
const MOST_DRIPPING: Duration = Duration::from_secs(600);
const MOST_BYTES: u64 = 1024 * 1024 * 1024;
const MOST_CHUNK: u64 = 1024 * 1024;
const MOST_REDIRECTS: u64 = 100;
const MOST_HEADERS: u64 = 1000;
/// Drips come no closer than this.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// What is to be done.
pub(super) enum Demand {
    /// Tell what arrived, after this time.
    Report(Duration),
    Reply(Reply),
    /// This interim answer, then the reply.
    Interim(String, Reply),
    /// The reply, which breaks off by a reset.
    Reset(Reply),
}

impl Demand {
    /// Reads the path; the error says what is wrong with it, for a person.
    pub(super) fn read(asked: &Asked) -> Result<Demand, String> {
        let mut segments = asked.path.split('/').skip(1);
        let name = segments.next().unwrap_or_default();
        let first = segments.next();
        let second = segments.next();
        let query = Query::new(asked);
        let report = Ok(Demand::Report(Duration::ZERO));
        if segments.next().is_some() {
            return report;
        }
        let reply = match (name, first, second) {
            ("delay", Some(time), None) => {
                return Ok(Demand::Report(duration(time, "/delay", MOST_DELAY)?));
            }
            ("status", Some(code), None) => return status(asked, &query, code),
            ("redirect", Some(left), None) => redirect(&query, left)?,
            ("bytes", Some(length), None) => bytes(
                asked,
                size(length, "/bytes", MOST_BYTES)?,
                query.number("seed", 0, u64::MAX)?,
            ),
            ("chunked", Some(length), None) => {
                let length = size(length, "/chunked", MOST_BYTES)?;
                let chunk = query.size("chunk", 1024, MOST_CHUNK)?.max(1);
                chunked(asked, length, chunk)
            }
            ("slow", Some(length), None) => {
                let length = size(length, "/slow", MOST_BYTES)?;
                let rate = query.size("rate", 1024, MOST_BYTES)?.max(1);
                let time = Duration::try_from_secs_f64(length as f64 / rate as f64);
                drip(length, time.unwrap_or(Duration::MAX), Duration::ZERO, StatusCode::OK)?
            }
            ("drip", None, None) => {
                let length = query.size("numbytes", 10, MOST_BYTES)?;
                let time = query.duration("duration", Duration::from_secs(2), MOST_DELAY)?;
                let delay = query.duration("delay", Duration::ZERO, MOST_DELAY)?;
                let code = query.number("code", 200, 599)?;
                drip(length, time, delay, final_status(code)?)?
            }
            ("headers", Some(count), None) => headers(number(count, "/headers", MOST_HEADERS)?),
            ("response-headers", None, None) => response_headers(&query)?,
            ("basic-auth", Some(user), Some(password)) => {
                match credentials(asked, user, password) {
                    Some(denied) => denied,
                    None => return report,
                }
            }
            ("close", None, None) => broken(query.get("framing").as_deref() == Some("chunked")),
            ("reset", None, None) => return Ok(Demand::Reset(broken(false))),
            _ => return report,
        };
        Ok(Demand::Reply(reply))
    }

    /// Whether the answer does not depend on the content, so that a client which waits for leave to send
    /// it gets the answer instead (RFC 9110 §10.1.1).
    pub(super) fn needs_no_content(&self) -> bool {
        matches!(self, Demand::Reply(reply) if reply.status.as_u16() >= 400)
    }
}

fn status(asked: &Asked, query: &Query, code: &str) -> Result<Demand, String> {
    let code = number(code, "/status", 599)?;
    let interim = match code {
        100 => "HTTP/1.1 100 Continue\r\n\r\n",
        102 => "HTTP/1.1 102 Processing\r\n\r\n",
        103 => "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n",
        _ => return Ok(Demand::Reply(final_reply(query, final_status(code)?)?)),
    };
    let reply = Reply::text(StatusCode::OK, format!("200 OK behind {code}\n"));
    // No client of HTTP/1.0 knows interim answers (RFC 9110 §15.2).
    if asked.version < Version::HTTP_11 {
        return Ok(Demand::Reply(reply));
    }
    Ok(Demand::Interim(interim.to_owned(), reply))
}

fn final_status(code: u64) -> Result<StatusCode, String> {
    let code = u16::try_from(code).ok().filter(|code| (200..600).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| "no such status (give 100, 102, 103 or 200 to 599)".to_owned())
}

/// A status with the header lines that its section asks for.
fn final_reply(query: &Query, status: StatusCode) -> Result<Reply, String> {
    let text = format!("{} {}\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    let length = text.len() as u64;
    let value = HeaderValue::from_static;
    let reply = match status.as_u16() {
        204 | 205 | 304 => Reply::new(status),
        _ => Reply::text(status, text),
    };
    Ok(match status.as_u16() {
        206 => reply.header(header::CONTENT_RANGE, shown(ContentRange::Part(&(0..length), length))),
        301 | 302 | 303 | 307 | 308 => reply.header(header::LOCATION, value("/redirected")),
        304 => reply.header(header::ETAG, value("\"sockeye\"")),
        401 => reply.header(header::WWW_AUTHENTICATE, value("Basic realm=\"sockeye\"")),
        405 => reply.header(header::ALLOW, value("GET, HEAD")),
        407 => reply.header(header::PROXY_AUTHENTICATE, value("Basic realm=\"sockeye\"")),
        416 => reply.header(header::CONTENT_RANGE, shown(ContentRange::Unsatisfied(0))),
        426 => reply.header(header::UPGRADE, value("HTTP/2.0")),
        413 | 429 | 503 => {
            let seconds = query.number("retry-after", 1, 86_400)?;
            reply.header(header::RETRY_AFTER, HeaderValue::from(seconds))
        }
        _ => reply,
    })
}

fn redirect(query: &Query, left: &str) -> Result<Reply, String> {
    let left = number(left, "/redirect", MOST_REDIRECTS)?;
    let status = query.number("status", 302, 308)?;
    if ![301, 302, 303, 307, 308].contains(&status) {
        return Err("?status: no redirect (give 301, 302, 303, 307 or 308)".to_owned());
    }
    let next = match left {
        0 | 1 => "/redirected".to_owned(),
        _ => format!("/redirect/{}?status={status}", left - 1),
    };
    let status = final_status(status)?;
    Ok(Reply::text(status, format!("{} to {next}\n", status.as_str()))
        .header(header::LOCATION, shown(next)))
}

fn bytes(asked: &Asked, length: u64, seed: u64) -> Reply {
    let pattern = Pattern { seed };
    let tag = format!("\"{length}-{seed}\"");
    let mut ranges = asked.headers.get_all(header::RANGE).iter();
    let condition = asked.headers.get(header::IF_RANGE);
    let is_current = condition.is_none_or(|condition| condition.as_bytes() == tag.as_bytes());
    let wanted = match (ranges.next(), ranges.next()) {
        (Some(value), None) if asked.method == Method::GET && is_current => {
            select(value.as_bytes(), length)
        }
        _ => Ranges::Whole,
    };
    let kind = "application/octet-stream";
    let typed = |status: StatusCode, kind: HeaderValue| {
        Reply::new(status)
            .header(header::CONTENT_TYPE, kind)
            .header(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
            .header(header::ETAG, shown(&tag))
    };
    let made = |pieces: Vec<Piece>, length| {
        Content::Produced(Box::new(Pieces { pattern, pieces }), length)
    };
    match wanted {
        Ranges::Whole => typed(StatusCode::OK, HeaderValue::from_static(kind))
            .content(made(vec![Piece::Made(0..length)], Some(length))),
        Ranges::Unsatisfiable => Reply::failure(StatusCode::RANGE_NOT_SATISFIABLE, "not in it")
            .header(header::CONTENT_RANGE, shown(ContentRange::Unsatisfied(length))),
        Ranges::One(range) => typed(StatusCode::PARTIAL_CONTENT, HeaderValue::from_static(kind))
            .header(header::CONTENT_RANGE, shown(ContentRange::Part(&range, length)))
            .content(made(vec![Piece::Made(range.clone())], Some(range.end - range.start))),
        Ranges::Many(ranges) => {
            // Whoever asked chose all of the content but the bytes, which are ours: the boundary need
            // not be secret, and the same question has the same answer.
            let parts = Multipart::new(kind, length, u128::from(seed) << 64 | u128::from(length));
            let mut pieces = Vec::new();
            for (number, range) in ranges.iter().enumerate() {
                pieces.push(Piece::Ready(parts.before(range, number == 0)));
                pieces.push(Piece::Made(range.clone()));
            }
            pieces.push(Piece::Ready(parts.end()));
            pieces.reverse();
            typed(StatusCode::PARTIAL_CONTENT, shown(parts.content_type()))
                .content(made(pieces, parts.content_length(&ranges)))
        }
    }
}

fn chunked(asked: &Asked, length: u64, chunk: u64) -> Reply {
    let reply = Reply::new(StatusCode::OK)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
        .content(Content::Produced(Box::new(Chunks::new(length, chunk)), None));
    // HTTP/1.0 has neither chunks nor trailers.
    if asked.version < Version::HTTP_11 {
        return reply;
    }
    reply.header(header::TRAILER, HeaderValue::from_static("Content-Digest"))
}

fn drip(length: u64, time: Duration, delay: Duration, status: StatusCode) -> Result<Reply, String> {
    if time > MOST_DRIPPING {
        return Err(format!("it would take {} s (600 at most)", time.as_secs()));
    }
    // As many drips as there are bytes or, if these were too close, fewer and larger ones.
    let room = u64::try_from(time.as_millis() / LEAST_PAUSE.as_millis()).unwrap_or(u64::MAX);
    let drips = length.min(room).max(1);
    let each = length.div_ceil(drips).max(1);
    let pause = time / u32::try_from(length.div_ceil(each).max(1)).unwrap_or(u32::MAX);
    let produce = Drip { left: length, each, first: delay.saturating_add(pause), pause };
    Ok(Reply::new(status)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
        .content(Content::Produced(Box::new(produce), Some(length))))
}

fn headers(count: u64) -> Reply {
    let mut reply =
        Reply::text(StatusCode::OK, format!("{count} header lines, X-Header-1 and on\n"));
    for number in 1..=count {
        let Ok(name) = HeaderName::try_from(format!("x-header-{number}")) else { break };
        reply = reply.header(name, HeaderValue::from(number));
    }
    reply
}

fn response_headers(query: &Query) -> Result<Reply, String> {
    // These are of the connection, or of the framing, and not the client's to choose.
    const OURS: [HeaderName; 7] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::DATE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let mut lines = HeaderMap::new();
    for (name, value) in &query.pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| {
            !OURS.contains(name) && name != "keep-alive" && name != "content-encoding"
        });
        let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) else {
            return Err("a header line that can't be chosen".to_owned());
        };
        lines.append(name, value);
    }
    let mut reply = Reply::text(StatusCode::OK, "see the head\n");
    reply.headers.extend(lines);
    Ok(reply)
}

/// The refusal, unless the request has these credentials (RFC 7617).
fn credentials(asked: &Asked, user: &str, password: &str) -> Option<Reply> {
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let expected = [decoded(user), decoded(password)].join(&b':');
    let given = asked.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    if given.and_then(|(_, text)| STANDARD.decode(text.trim()).ok()) == Some(expected) {
        return None;
    }
    let realm = HeaderValue::from_static("Basic realm=\"sockeye\"");
    let denied = Reply::failure(StatusCode::UNAUTHORIZED, "other credentials are asked for");
    Some(denied.header(header::WWW_AUTHENTICATE, realm))
}

/// Half of what is announced, or of what would have come.
fn broken(chunked: bool) -> Reply {
    let length = if chunked { None } else { Some(1024) };
    Reply::new(StatusCode::OK)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
        .content(Content::Produced(Box::new(Broken { left: 512 }), length))
}

/// The query, decoded.
struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    fn new(asked: &Asked) -> Query {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (pairs, _) = decoded::urlencoded(asked.query.as_deref().unwrap_or_default().as_bytes());
        let pairs = pairs.into_iter().map(|pair| (text(pair.name.0), text(pair.value.0)));
        Query { pairs: pairs.collect() }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn number(&self, name: &str, default: u64, most: u64) -> Result<u64, String> {
        self.get(name).map_or(Ok(default), |text| number(&text, &format!("?{name}"), most))
    }

    fn size(&self, name: &str, default: u64, most: u64) -> Result<u64, String> {
        self.get(name).map_or(Ok(default), |text| size(&text, &format!("?{name}"), most))
    }

    fn duration(&self, name: &str, default: Duration, most: Duration) -> Result<Duration, String> {
        self.get(name).map_or(Ok(default), |text| duration(&text, &format!("?{name}"), most))
    }
}

fn number(text: &str, of: &str, most: u64) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number <= most);
    number.ok_or_else(|| format!("{of}: no number up to {most}"))
}

/// `500`, `64k`, `1m`, `1g`.
fn size(text: &str, of: &str, most: u64) -> Result<u64, String> {
    let unit = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'k') => 1 << 10,
        Some(b'm') => 1 << 20,
        Some(b'g') => 1 << 30,
        _ => 1,
    };
    let digits = if unit == 1 { text } else { &text[..text.len() - 1] };
    let size = number(digits, of, u64::MAX).ok().and_then(|count| count.checked_mul(unit));
    size.filter(|size| *size <= most)
        .ok_or_else(|| format!("{of}: no size up to {most} bytes (give 500, 64k or 1m)"))
}

/// `2`, `0.5` (seconds), `500ms`, `2s`.
fn duration(text: &str, of: &str, most: Duration) -> Result<Duration, String> {
    let (digits, thousandths) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1.0),
        (None, Some(digits)) => (digits, 1000.0),
        (None, None) => (text, 1000.0),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = digits.parse::<f64>().ok().filter(|_| plain);
    let time = number.map(|number| Duration::try_from_secs_f64(number * thousandths / 1000.0));
    time.and_then(Result::ok)
        .filter(|time| *time <= most)
        .ok_or_else(|| format!("{of}: no time up to {} s (give 2, 1.5s or 300ms)", most.as_secs()))
}

/// What we wrote ourselves as the value of a header.
fn shown(value: impl std::fmt::Display) -> HeaderValue {
    HeaderValue::try_from(value.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_bounded() {
        assert_eq!(size("64k", "x", MOST_BYTES), Ok(65536));
        assert_eq!(size("1g", "x", MOST_BYTES), Ok(MOST_BYTES));
        for text in
            ["", "k", "2g", "-1", "+1", "1x", "99999999999999999999", "18446744073709551615k", "1é"]
        {
            assert!(size(text, "x", MOST_BYTES).is_err(), "{text}");
        }
        let time = |text| duration(text, "x", MOST_DELAY);
        assert_eq!(time("2"), Ok(Duration::from_secs(2)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("300ms"), Ok(Duration::from_millis(300)));
        for text in ["", "s", "ms", "61", "-1", "inf", "nan", "1e9", "1..2", "1h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
