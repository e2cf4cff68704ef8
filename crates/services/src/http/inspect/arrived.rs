//! A request taken apart: where each part of it lies, and what it is for.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use sockeye_http::Framing;

use super::chunks::{self, ChunkSeen};
use super::decoded::{self, Pair, PartSeen};
use super::fields;

/// Bytes that a peer sent. In JSON they are a string if they are UTF-8, else `{"base64": "…"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown(pub(super) Vec<u8>);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(&self.0))?;
                map.end()
            }
        }
    }
}

/// Where a part lies: its first byte and the one behind its last, from the start of the request.
pub(super) type Place = (u64, u64);

/// A request as it arrived. Its serialised form is the JSON answer.
#[derive(Debug, Serialize)]
pub(super) struct Arrived {
    pub(super) connection: Facts,
    pub(super) request_line: RequestLine,
    pub(super) query: Vec<Pair>,
    pub(super) headers: Vec<Line>,
    pub(super) blank_line: BlankLine,
    pub(super) cookies: Vec<Pair>,
    pub(super) body: Body,
    /// A urlencoded form.
    pub(super) form: Option<Vec<Pair>>,
    /// A form with files.
    pub(super) parts: Option<Vec<PartSeen>>,
    pub(super) json: Option<serde_json::Value>,
    #[serde(skip)]
    pub(super) pretty: Option<String>,
    /// Why the content is not what its type says.
    pub(super) fault: Option<String>,
    /// Pairs that are not listed, behind the first thousand of a list.
    pub(super) left_off: usize,
}

/// What is known of the connection.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Facts {
    pub(super) client: String,
    pub(super) server: String,
    /// The number of the request on this connection, from 1.
    pub(super) request: u32,
    /// Where on the connection the request began.
    pub(super) start: u64,
    /// Bytes of the request, framing included.
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct RequestLine {
    pub(super) bytes: Place,
    pub(super) method: Shown,
    pub(super) is: &'static str,
    pub(super) section: &'static str,
    pub(super) target: Shown,
    /// `origin`, `absolute` or `asterisk`.
    pub(super) form: &'static str,
    pub(super) path: Shown,
    pub(super) version: Shown,
}

/// A header line.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) bytes: Place,
    pub(super) name: Shown,
    pub(super) value: Shown,
    pub(super) is: &'static str,
    pub(super) section: &'static str,
    /// Between colon and value, and behind it, as sent.
    #[serde(skip)]
    pub(super) blanks: (Vec<u8>, Vec<u8>),
}

#[derive(Debug, Serialize)]
pub(super) struct BlankLine {
    pub(super) bytes: Place,
}

#[derive(Debug, Serialize)]
pub(super) struct Body {
    pub(super) bytes: Place,
    /// `none`, `length` or `chunked`.
    pub(super) framing: &'static str,
    pub(super) section: &'static str,
    /// Bytes of content, framing not counted.
    pub(super) length: u64,
    pub(super) sha256: Option<String>,
    /// Coding that the content is still in.
    pub(super) encoding: Option<Shown>,
    /// The content, at most its first 64 KiB.
    pub(super) content: Shown,
    /// Content or chunks are not shown to their end.
    pub(super) cut: bool,
    pub(super) chunks: Vec<ChunkSeen>,
    pub(super) trailers: Vec<Pair>,
}

/// The body as it was received.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The first bytes of the content.
    pub(super) content: Vec<u8>,
    /// Bytes of all of it.
    pub(super) length: u64,
    pub(super) sha256: Option<String>,
    /// The first bytes with their framing.
    pub(super) raw: Vec<u8>,
    pub(super) raw_length: u64,
    pub(super) trailers: Vec<(String, Vec<u8>)>,
}

impl Arrived {
    /// Takes a head, through its empty line, and what followed it.
    pub(super) fn new(head: &[u8], framing: Framing, received: Received, facts: Facts) -> Arrived {
        // One empty line may come before a request (RFC 9112 §2.2).
        let mut at = if head.starts_with(b"\r\n") { 2 } else { 0 };
        let mut rest = head.get(at..).unwrap_or_default();
        let mut next = || {
            let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
            let (line, behind) = rest.split_at(end);
            rest = behind.get(2..).unwrap_or_default();
            let place = (at as u64, (head.len() - rest.len()) as u64);
            at = head.len() - rest.len();
            (line, place)
        };
        let (line, bytes) = next();
        let request_line = RequestLine::new(line, bytes);
        let mut headers = Vec::new();
        let blank = loop {
            let (line, bytes) = next();
            if line.is_empty() {
                break bytes;
            }
            headers.push(Line::new(line, bytes));
        };
        let named = |name: &'static str| {
            let is = move |line: &&Line| line.name.0.eq_ignore_ascii_case(name.as_bytes());
            headers.iter().filter(is).map(|line: &Line| &line.value.0[..])
        };
        let (cookies, mut left_off) = decoded::cookies(named("cookie"));
        let (query, more) = match split(&request_line.target.0, b'?') {
            (_, Some(query)) => decoded::urlencoded(query),
            (_, None) => (Vec::new(), 0),
        };
        left_off += more;
        let encoding = named("content-encoding").next().map(|value| Shown(value.to_vec()));
        let is_whole = received.length == received.content.len() as u64;
        let kind = named("content-type").next().unwrap_or_default();
        let decoded = match encoding {
            None => decoded::content(kind, &received.content, is_whole),
            Some(_) => decoded::Decoded::default(),
        };
        Arrived {
            connection: facts,
            request_line,
            query,
            headers,
            blank_line: BlankLine { bytes: blank },
            cookies,
            body: Body::new(head.len() as u64, framing, encoding, received),
            form: decoded.form,
            parts: decoded.parts,
            json: decoded.json,
            pretty: decoded.pretty,
            fault: decoded.fault,
            left_off: left_off + decoded.left_off,
        }
    }
}

impl RequestLine {
    fn new(line: &[u8], bytes: Place) -> RequestLine {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let mut next = || words.next().unwrap_or_default().to_vec();
        let (method, target, version) = (next(), next(), next());
        let known = fields::method(&String::from_utf8_lossy(&method));
        let before = split(&target, b'?').0;
        let (form, path) = match target.first() {
            Some(b'/') => ("origin", before),
            Some(b'*') => ("asterisk", &b""[..]),
            _ => {
                let host = memchr::memmem::find(before, b"://").map_or(0, |at| at + 3);
                let slash = memchr::memchr(b'/', before.get(host..).unwrap_or_default());
                (
                    "absolute",
                    slash.map_or(&b"/"[..], |at| before.get(host + at..).unwrap_or_default()),
                )
            }
        };
        RequestLine {
            bytes,
            is: known.map_or("", |known| known.is),
            section: known.map_or("", |known| known.section),
            form,
            path: Shown(path.to_vec()),
            method: Shown(method),
            target: Shown(target),
            version: Shown(version),
        }
    }

    /// The form of the target in words, and its section.
    pub(super) fn form_is(&self) -> (&'static str, &'static str) {
        match self.form {
            "origin" => ("origin form: path and query", "RFC 9112 §3.2.1"),
            "asterisk" => ("asterisk form: the server as a whole", "RFC 9112 §3.2.4"),
            _ => ("absolute form, as to a proxy: its host goes before Host", "RFC 9112 §3.2.2"),
        }
    }
}

impl Line {
    fn new(line: &[u8], bytes: Place) -> Line {
        let (name, rest) = split(line, b':');
        let rest = rest.unwrap_or_default();
        let value = rest.trim_ascii();
        let before = rest.len() - rest.trim_ascii_start().len();
        let blanks = match value.is_empty() {
            true => (rest.to_vec(), Vec::new()),
            false => {
                let end = before + value.len();
                let of = |range: Range<usize>| rest.get(range).unwrap_or_default().to_vec();
                (of(0..before), of(end..rest.len()))
            }
        };
        let known = fields::field(&String::from_utf8_lossy(name));
        Line {
            bytes,
            name: Shown(name.to_vec()),
            value: Shown(value.to_vec()),
            is: known.map_or("", |known| known.is),
            section: known.map_or("", |known| known.section),
            blanks,
        }
    }
}

impl Body {
    fn new(start: u64, framing: Framing, encoding: Option<Shown>, received: Received) -> Body {
        let (framing, section) = match framing {
            Framing::Length(_) => ("length", "RFC 9112 §6.2"),
            Framing::Chunked => ("chunked", "RFC 9112 §7.1"),
            Framing::None | Framing::UntilClose => ("none", "RFC 9112 §6.3"),
        };
        let mut cut = received.length > received.content.len() as u64;
        let chunks = if framing == "chunked" {
            let (chunks, is_whole) = chunks::list(&received.raw, start);
            cut |= !is_whole;
            chunks
        } else {
            Vec::new()
        };
        let trailers = received.trailers.into_iter();
        Body {
            bytes: (start, start.saturating_add(received.raw_length)),
            framing,
            section,
            length: received.length,
            sha256: received.sha256,
            encoding,
            content: Shown(received.content),
            cut,
            chunks,
            trailers: trailers
                .map(|(name, value)| Pair { name: Shown(name.into_bytes()), value: Shown(value) })
                .collect(),
        }
    }

    /// How its end was found, in words.
    pub(super) fn end_is(&self) -> &'static str {
        match self.framing {
            "length" => "as many bytes as Content-Length says",
            "chunked" => "chunks, up to one of size 0",
            _ => "neither Content-Length nor Transfer-Encoding: there is none",
        }
    }
}

/// What stands before the first `byte`, and behind it.
fn split(bytes: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(byte, bytes) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
        None => (bytes, None),
    }
}
