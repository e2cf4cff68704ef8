//! One line of the access log, in each of its formats. Whatever a peer sent is escaped: a line is one
//! line, of printable ASCII, whoever made up its words.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr;
use std::time::Duration;

use sockeye_http::ImfFixdate;

/// How lines of the access log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// The format of NCSA's server, which every tool reads: address, `-`, user, time, request line,
    /// status, bytes of content sent.
    Common,
    /// The same with `Referer` and `User-Agent` behind it.
    #[default]
    Combined,
    /// An object a line, with all that is known.
    Json,
}

impl LogFormat {
    /// Every format.
    pub const ALL: [LogFormat; 3] = [LogFormat::Common, LogFormat::Combined, LogFormat::Json];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Common => "common",
            LogFormat::Combined => "combined",
            LogFormat::Json => "json",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no format of this name.
#[derive(Debug, thiserror::Error)]
#[error("{0}: no format of the access log (common, combined or json)")]
pub struct UnknownFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<LogFormat, UnknownFormat> {
        let known = LogFormat::ALL.into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// Bytes of one thing that a peer sent (a request line, an agent) that are written at most.
const LONGEST: usize = 4096;

/// What a peer said of itself and wants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words<'a> {
    /// The request line, without its end; nothing where there was none.
    pub(crate) request: &'a [u8],
    pub(crate) referer: Option<&'a [u8]>,
    pub(crate) agent: Option<&'a [u8]>,
    /// Who it is, if that was proven.
    pub(crate) user: Option<&'a str>,
}

/// The same, written already: a client that stays says the same again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    /// Between address and time.
    user: Box<[u8]>,
    /// Between time and numbers.
    request: Box<[u8]>,
    /// Behind the numbers, with the end of the line.
    behind: Box<[u8]>,
}

impl Written {
    pub(crate) fn new(format: LogFormat, words: &Words<'_>) -> Written {
        let part = |write: fn(LogFormat, &Words<'_>, &mut Vec<u8>)| {
            let mut part = Vec::new();
            write(format, words, &mut part);
            part.into_boxed_slice()
        };
        Written { user: part(user), request: part(request), behind: part(behind) }
    }
}

/// What a line is made of besides its words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// The peer's address, which is our own text.
    pub(crate) peer: &'a str,
    pub(crate) status: u16,
    /// Bytes of content that were sent.
    pub(crate) sent: u64,
    /// Bytes of the request, with its content.
    pub(crate) received: u64,
    pub(crate) duration: Duration,
    /// It ended before all was sent.
    pub(crate) cut: bool,
}

/// Appends a line with words that were written before.
pub(crate) fn again(
    format: LogFormat,
    time: &Time,
    facts: &Facts<'_>,
    words: &Written,
    out: &mut Vec<u8>,
) {
    address(format, facts.peer, out);
    out.extend_from_slice(&words.user);
    out.extend_from_slice(&time.text);
    out.extend_from_slice(&words.request);
    numbers(format, facts, out);
    out.extend_from_slice(&words.behind);
}

/// Appends a line.
pub(crate) fn line(
    format: LogFormat,
    time: &Time,
    facts: &Facts<'_>,
    words: &Words<'_>,
    out: &mut Vec<u8>,
) {
    address(format, facts.peer, out);
    user(format, words, out);
    out.extend_from_slice(&time.text);
    request(format, words, out);
    numbers(format, facts, out);
    behind(format, words, out);
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A second as it is written.
#[derive(Debug)]
pub(crate) struct Time {
    second: i64,
    format: LogFormat,
    text: Vec<u8>,
}

impl Time {
    pub(crate) fn new(format: LogFormat) -> Time {
        let mut time = Time { second: 0, format, text: Vec::new() };
        time.write();
        time
    }

    /// Of this second, counted from 1970.
    pub(crate) fn at(&mut self, second: i64) -> &Time {
        if self.second != second {
            self.second = second;
            self.write();
        }
        self
    }

    fn write(&mut self) {
        let date = ImfFixdate::from_unix(self.second);
        // `Sun, 06 Nov 1994 08:49:37 GMT`
        let (day, name) = (&date.as_str()[5..7], &date.as_str()[8..11]);
        let (year, clock) = (&date.as_str()[12..16], &date.as_str()[17..25]);
        self.text.clear();
        let written = if self.format == LogFormat::Json {
            let month = MONTHS.iter().position(|month| *month == name).unwrap_or_default() + 1;
            write!(self.text, "{year}-{month:02}-{day}T{clock}Z")
        } else {
            write!(self.text, "{day}/{name}/{year}:{clock} +0000")
        };
        debug_assert!(written.is_ok(), "memory takes all");
    }
}

fn address(format: LogFormat, peer: &str, out: &mut Vec<u8>) {
    if format == LogFormat::Json {
        out.extend_from_slice(b"{\"address\":");
        json(peer.as_bytes(), out);
    } else {
        out.extend_from_slice(peer.as_bytes());
    }
}

fn user(format: LogFormat, words: &Words<'_>, out: &mut Vec<u8>) {
    match (format, words.user) {
        (LogFormat::Json, user) => {
            out.extend_from_slice(b",\"user\":");
            json_or_null(user.map(str::as_bytes), out);
            out.extend_from_slice(b",\"time\":\"");
        }
        (_, None) => out.extend_from_slice(b" - - ["),
        (_, Some(user)) => {
            out.extend_from_slice(b" - ");
            // Spaces part what stands there, and no quotes are around a user.
            quoted(user.as_bytes(), true, out);
            out.extend_from_slice(b" [");
        }
    }
}

fn request(format: LogFormat, words: &Words<'_>, out: &mut Vec<u8>) {
    match format {
        LogFormat::Json => {
            out.extend_from_slice(b"\",\"request\":");
            json(words.request, out);
        }
        _ if words.request.is_empty() => out.extend_from_slice(b"] \"-\""),
        _ => {
            out.extend_from_slice(b"] \"");
            quoted(words.request, false, out);
            out.push(b'"');
        }
    }
}

fn numbers(format: LogFormat, facts: &Facts<'_>, out: &mut Vec<u8>) {
    if format == LogFormat::Json {
        out.extend_from_slice(b",\"status\":");
        number(facts.status.into(), out);
        out.extend_from_slice(b",\"sent\":");
        number(facts.sent, out);
        out.extend_from_slice(b",\"received\":");
        number(facts.received, out);
        out.extend_from_slice(b",\"duration_us\":");
        number(u64::try_from(facts.duration.as_micros()).unwrap_or(u64::MAX), out);
        out.extend_from_slice(if facts.cut { b",\"cut\":true" } else { b",\"cut\":false" });
        return;
    }
    out.push(b' ');
    number(facts.status.into(), out);
    out.push(b' ');
    number(facts.sent, out);
}

fn behind(format: LogFormat, words: &Words<'_>, out: &mut Vec<u8>) {
    match format {
        LogFormat::Common => {}
        LogFormat::Combined => {
            for word in [words.referer, words.agent] {
                out.extend_from_slice(b" \"");
                match word {
                    Some(word) => quoted(word, false, out),
                    None => out.push(b'-'),
                }
                out.push(b'"');
            }
        }
        LogFormat::Json => {
            out.extend_from_slice(b",\"referer\":");
            json_or_null(words.referer, out);
            out.extend_from_slice(b",\"agent\":");
            json_or_null(words.agent, out);
            out.extend_from_slice(b",\"tls\":null}");
        }
    }
    out.push(b'\n');
}

fn number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        // Below ten.
        digits[first] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Within quotes: those, backslashes and whatever is no printable ASCII leave as `\xNN`, as nginx and
/// Apache write them.
fn quoted(bytes: &[u8], spaces_too: bool, out: &mut Vec<u8>) {
    for byte in &bytes[..bytes.len().min(LONGEST)] {
        match byte {
            b' ' if spaces_too => out.extend_from_slice(b"\\x20"),
            b'"' | b'\\' | 0..b' ' | 0x7f.. => {
                let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value & 15)];
                out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(*byte)]);
            }
            byte => out.push(*byte),
        }
    }
    if bytes.len() > LONGEST {
        out.extend_from_slice(b"...");
    }
}

fn json_or_null(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => json(bytes, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// A string of JSON (RFC 8259 §7) of ASCII alone: what is beyond it leaves as `\uNNNN`, and what is no
/// UTF-8 as U+FFFD.
fn json(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes[..bytes.len().min(LONGEST)].utf8_chunks() {
        for shown in chunk.valid().chars() {
            match shown {
                '"' | '\\' => out.extend_from_slice(&[b'\\', u8::try_from(shown).unwrap_or(b'?')]),
                ' '..='~' => out.push(u8::try_from(shown).unwrap_or(b'?')),
                _ => {
                    for unit in shown.encode_utf16(&mut [0; 2]) {
                        let written = write!(out, "\\u{unit:04x}");
                        debug_assert!(written.is_ok(), "memory takes all");
                    }
                }
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    if bytes.len() > LONGEST {
        out.extend_from_slice(b"...");
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACTS: Facts<'_> = Facts {
        peer: "192.0.2.7",
        status: 200,
        sent: 1234,
        received: 80,
        duration: Duration::from_micros(567),
        cut: false,
    };

    fn written(format: LogFormat, facts: &Facts<'_>, words: &Words<'_>) -> String {
        let mut time = Time::new(format);
        let time = time.at(784_111_777);
        let (mut fresh, mut known) = (Vec::new(), Vec::new());
        line(format, time, facts, words, &mut fresh);
        again(format, time, facts, &Written::new(format, words), &mut known);
        assert_eq!(fresh, known, "with words that were written before it is the same line");
        String::from_utf8(fresh).expect("ASCII")
    }

    #[test]
    fn each_format_says_what_it_is_known_to_say() {
        let words = Words {
            request: b"GET /a?b=c HTTP/1.1",
            referer: None,
            agent: Some(b"curl/8"),
            user: Some("ann"),
        };
        let common =
            "192.0.2.7 - ann [06/Nov/1994:08:49:37 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234";
        assert_eq!(written(LogFormat::Common, &FACTS, &words), format!("{common}\n"));
        let combined = format!("{common} \"-\" \"curl/8\"\n");
        assert_eq!(written(LogFormat::Combined, &FACTS, &words), combined);
        assert_eq!(
            written(LogFormat::Json, &Facts { cut: true, ..FACTS }, &words),
            "{\"address\":\"192.0.2.7\",\"user\":\"ann\",\"time\":\"1994-11-06T08:49:37Z\",\
             \"request\":\"GET /a?b=c HTTP/1.1\",\"status\":200,\"sent\":1234,\"received\":80,\
             \"duration_us\":567,\"cut\":true,\"referer\":null,\"agent\":\"curl/8\",\"tls\":null}\n"
        );
    }

    #[test]
    fn nothing_a_peer_says_forges_a_line_or_reaches_a_terminal() {
        let evil = b"GET /\"\r\n127.0.0.1 - - \x1b[2J\\ \xff\xe2\x80\xae";
        let words =
            Words { request: evil, agent: Some(evil), user: Some("a b\n"), ..Words::default() };
        assert_eq!(
            written(LogFormat::Common, &FACTS, &words),
            "192.0.2.7 - a\\x20b\\x0A [06/Nov/1994:08:49:37 +0000] \
             \"GET /\\x22\\x0D\\x0A127.0.0.1 - - \\x1B[2J\\x5C \\xFF\\xE2\\x80\\xAE\" 200 1234\n"
        );
        let json = written(LogFormat::Json, &FACTS, &words);
        assert!(
            json.contains(r#""GET /\"\u000d\u000a127.0.0.1 - - \u001b[2J\\ \ufffd\u202e""#),
            "{json}"
        );
    }

    #[test]
    fn without_a_request_line_a_dash_stands_there() {
        assert!(written(LogFormat::Common, &FACTS, &Words::default()).contains("] \"-\" 200"));
    }

    #[test]
    fn formats_are_found_by_their_names() {
        for format in LogFormat::ALL {
            assert_eq!(format.to_string().parse::<LogFormat>().expect("its own name"), format);
        }
        assert!("xml".parse::<LogFormat>().is_err());
    }

    proptest! {
        #[test]
        fn any_words_make_one_line_of_printable_ascii(
            request in proptest::collection::vec(any::<u8>(), 0..200),
            agent in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
            user in proptest::option::of(any::<String>()),
        ) {
            let words = Words {
                request: &request,
                referer: agent.as_deref(),
                agent: agent.as_deref(),
                user: user.as_deref(),
            };
            for format in LogFormat::ALL {
                let line = written(format, &FACTS, &words);
                let (line, end) = line.split_at(line.len() - 1);
                prop_assert_eq!(end, "\n");
                prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", line);
            }
        }
    }
}
