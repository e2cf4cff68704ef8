//! `multipart/form-data` (RFC 7578, RFC 2046 §5.1), from pieces cut anywhere: the parts of a form,
//! and the bytes of each.
//!
//! Read strictly: the body begins with its boundary, every line ends with CRLF, a line that begins
//! with the boundary and goes on otherwise is no content but an error. What is ambiguous is refused,
//! because two readers that guess in different ways disagree on which file a byte is of.

use http::StatusCode;
use memchr::memmem;

use crate::fields::{is_token, trim_ows};

/// `70` by RFC 2046 §5.1.1.
const LONGEST_BOUNDARY: usize = 70;

/// Blanks behind a boundary that are taken for padding (RFC 2046 §5.1.1).
const LONGEST_PADDING: usize = 16;

/// Header lines of one part at most; three are known.
const MOST_LINES: usize = 16;

/// Bounds on a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultipartLimits {
    /// Bytes of the head of one part, its empty line included. Default 8 KiB.
    pub head_bytes: usize,
    /// Number of parts. Default 1,000.
    pub parts: usize,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self { head_bytes: 8 * 1024, parts: 1000 }
    }
}

/// Why a form is refused. Always the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MultipartError {
    /// The Content-Type is `multipart/form-data` without a boundary of 1 to 70 characters.
    #[error("multipart/form-data without a valid boundary (RFC 2046 §5.1.1)")]
    InvalidBoundary,
    /// The body does not begin with the boundary.
    #[error("the form does not begin with its boundary (RFC 2046 §5.1.1)")]
    NoBoundary,
    /// A boundary is followed by neither a line end nor `--`.
    #[error("a boundary is followed by something else than a line end (RFC 2046 §5.1.1)")]
    InvalidDelimiter,
    /// The header lines of a part are none.
    #[error("invalid header lines of a part (RFC 7578 §4.8)")]
    InvalidHead,
    /// The header lines of a part are longer than allowed.
    #[error("the header lines of a part are too long")]
    HeadTooLong,
    /// A part without `Content-Disposition: form-data; name="…"`, or with two of any of these.
    #[error("a part without a Content-Disposition of its own (RFC 7578 §4.2)")]
    InvalidDisposition,
    /// A part that is base64 or quoted-printable; nobody has sent such for decades.
    #[error("a part with a transfer encoding (RFC 7578 §4.7)")]
    Encoded,
    /// More parts than allowed.
    #[error("too many parts")]
    TooManyParts,
    /// The content ends before the last boundary.
    #[error("the form ends before its last boundary (RFC 2046 §5.1.1)")]
    Truncated,
}

impl MultipartError {
    /// The status code to answer with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooManyParts => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// What a part says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name of the field.
    pub name: Vec<u8>,
    /// The name of the file, as the client wrote it: it may hold slashes or be empty, and names
    /// nothing on this side. None for a field that is no file.
    pub filename: Option<Vec<u8>>,
}

/// What was found in a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'b> {
    /// A part begins; the one before it has ended.
    Part(Part),
    /// Bytes of the part, never empty.
    Content(&'b [u8]),
    /// The form has ended. What comes behind it is to be ignored (RFC 2046 §5.1.1).
    End,
}

/// One step of [`MultipartDecoder::decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'b> {
    /// Bytes of the input that are dealt with.
    pub consumed: usize,
    /// What was found; None says that more bytes are needed behind those that were not consumed.
    pub event: Option<Event<'b>>,
}

/// Reads one form.
///
/// It holds no bytes: give it what was not consumed again, with more behind it. What it leaves is never
/// more than [`MultipartLimits::head_bytes`] or the length of a boundary.
///
/// ```
/// use sockeye_http::multipart::{self, Event, MultipartDecoder, MultipartLimits};
/// let boundary = multipart::boundary(b"multipart/form-data; boundary=x")?;
/// let mut decoder = MultipartDecoder::new(boundary, MultipartLimits::default());
/// let mut input: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n\
///     hello\r\n--x--\r\n";
/// let mut content = Vec::new();
/// while !decoder.is_done() {
///     let step = decoder.decode(input)?;
///     input = &input[step.consumed..];
///     if let Some(Event::Content(bytes)) = step.event {
///         content.extend_from_slice(bytes);
///     }
/// }
/// assert_eq!(content, b"hello");
/// # Ok::<(), multipart::MultipartError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MultipartDecoder {
    state: State,
    limits: MultipartLimits,
    /// CRLF, two dashes, boundary.
    delimiter: memmem::Finder<'static>,
    parts: usize,
    /// Bytes of the head that were looked through for its end.
    seen: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// Behind a boundary.
    Delimited,
    Head,
    Content,
    Done,
}

/// The boundary in a Content-Type of `multipart/form-data`.
///
/// # Errors
///
/// [`MultipartError::InvalidBoundary`] if there is none, or one that RFC 2046 does not allow.
pub fn boundary(content_type: &[u8]) -> Result<Vec<u8>, MultipartError> {
    let (kind, rest) = split_value(content_type);
    if !kind.eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(MultipartError::InvalidBoundary);
    }
    let mut found = None;
    let well_formed = parameters(rest, |name, value| {
        if name.eq_ignore_ascii_case(b"boundary") && found.replace(value).is_some() {
            return false;
        }
        true
    });
    // bcharsnospace; a space inside is allowed by the RFC and used by nobody.
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(b);
    found
        .filter(|found| well_formed && (1..=LONGEST_BOUNDARY).contains(&found.len()))
        .filter(|found| found.iter().all(allowed))
        .ok_or(MultipartError::InvalidBoundary)
}

/// Whether a Content-Type is that of a form with files, whatever its parameters.
#[must_use]
pub fn is_form(content_type: &[u8]) -> bool {
    split_value(content_type).0.eq_ignore_ascii_case(b"multipart/form-data")
}

impl MultipartDecoder {
    /// A decoder at the start of a form, with the boundary that its Content-Type names.
    #[must_use]
    pub fn new(boundary: Vec<u8>, limits: MultipartLimits) -> Self {
        let delimiter = [b"\r\n--", &boundary[..]].concat();
        let delimiter = memmem::Finder::new(&delimiter).into_owned();
        Self { state: State::Start, limits, delimiter, parts: 0, seen: 0 }
    }

    /// Whether the last boundary was seen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The end of the content has come.
    ///
    /// # Errors
    ///
    /// [`MultipartError::Truncated`] if the form has not ended.
    pub fn finish(&self) -> Result<(), MultipartError> {
        if self.is_done() { Ok(()) } else { Err(MultipartError::Truncated) }
    }

    /// Takes the next bytes, those that were not consumed before at their start.
    ///
    /// # Errors
    ///
    /// See [`MultipartError`]; after one, all that follows is undefined.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, MultipartError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let found = match self.state {
                State::Start => self.start(rest)?,
                State::Delimited => self.delimited(rest)?,
                State::Head => self.head(rest)?,
                State::Content => self.content(rest),
                State::Done => return Ok(Step { consumed: input.len(), event: None }),
            };
            match found {
                Found::More => return Ok(Step { consumed: at, event: None }),
                Found::Skip(count) => at += count,
                Found::Event(count, event) => {
                    return Ok(Step { consumed: at + count, event: Some(event) });
                }
            }
        }
    }

    /// The first boundary, which nothing precedes but perhaps the CRLF of its own.
    fn start<'b>(&mut self, input: &'b [u8]) -> Result<Found<'b>, MultipartError> {
        let whole = self.delimiter.needle();
        let bare = whole.get(2..).unwrap_or_default();
        let expected = if input.first() == Some(&b'\r') { whole } else { bare };
        if input.starts_with(expected) {
            let count = expected.len();
            self.state = State::Delimited;
            return Ok(Found::Skip(count));
        }
        if expected.starts_with(input) { Ok(Found::More) } else { Err(MultipartError::NoBoundary) }
    }

    fn delimited<'b>(&mut self, input: &'b [u8]) -> Result<Found<'b>, MultipartError> {
        if input.starts_with(b"--") {
            self.state = State::Done;
            return Ok(Found::Event(2, Event::End));
        }
        let blank = |b: &&u8| matches!(**b, b' ' | b'\t');
        let padding = input.iter().take(LONGEST_PADDING).take_while(blank).count();
        match input.get(padding..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {
                self.state = State::Head;
                // Its line end is left: a part may have no header lines (and is refused then).
                Ok(Found::Skip(padding))
            }
            [] | [b'\r'] => Ok(Found::More),
            [b'-'] if padding == 0 => Ok(Found::More),
            _ => Err(MultipartError::InvalidDelimiter),
        }
    }

    /// The header lines, from the line end before them to the empty line.
    fn head<'b>(&mut self, input: &'b [u8]) -> Result<Found<'b>, MultipartError> {
        let within = input.get(..input.len().min(self.limits.head_bytes)).unwrap_or_default();
        let from = self.seen.min(within.len());
        let end = memmem::find(within.get(from..).unwrap_or_default(), b"\r\n\r\n");
        let Some(end) = end.map(|end| from + end) else {
            if input.len() >= self.limits.head_bytes {
                return Err(MultipartError::HeadTooLong);
            }
            self.seen = within.len().saturating_sub(3);
            return Ok(Found::More);
        };
        let part = read_head(within.get(2..end + 4).unwrap_or_default())?;
        self.parts += 1;
        if self.parts > self.limits.parts {
            return Err(MultipartError::TooManyParts);
        }
        self.seen = 0;
        self.state = State::Content;
        Ok(Found::Event(end + 4, Event::Part(part)))
    }

    fn content<'b>(&mut self, input: &'b [u8]) -> Found<'b> {
        let delimiter = self.delimiter.needle();
        let end = match self.delimiter.find(input) {
            Some(0) => {
                let count = delimiter.len();
                self.state = State::Delimited;
                return Found::Skip(count);
            }
            Some(end) => end,
            // What may be the start of a boundary waits for the rest of it.
            None => {
                let first = (input.len() + 1).saturating_sub(delimiter.len());
                let may_begin = |at: &usize| {
                    input.get(*at..).is_some_and(|suffix| delimiter.starts_with(suffix))
                };
                (first..input.len()).find(may_begin).unwrap_or(input.len())
            }
        };
        match input.get(..end) {
            None | Some([]) => Found::More,
            Some(content) => Found::Event(end, Event::Content(content)),
        }
    }
}

enum Found<'b> {
    More,
    Skip(usize),
    Event(usize, Event<'b>),
}

/// The lines of a part's head, the empty one included.
fn read_head(lines: &[u8]) -> Result<Part, MultipartError> {
    // httparse takes LF for CRLF.
    let before = |at: usize| at.checked_sub(1).and_then(|before| lines.get(before));
    if memchr::memchr_iter(b'\n', lines).any(|at| before(at) != Some(&b'\r')) {
        return Err(MultipartError::InvalidHead);
    }
    let mut headers = [httparse::EMPTY_HEADER; MOST_LINES];
    let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(lines, &mut headers)
    else {
        return Err(MultipartError::InvalidHead);
    };
    let mut part = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-disposition") {
            let read = read_disposition(header.value).ok_or(MultipartError::InvalidDisposition)?;
            if part.replace(read).is_some() {
                return Err(MultipartError::InvalidDisposition);
            }
        } else if header.name.eq_ignore_ascii_case("content-transfer-encoding") {
            let plain = [b"7bit".as_slice(), b"8bit", b"binary"];
            if !plain.iter().any(|plain| header.value.eq_ignore_ascii_case(plain)) {
                return Err(MultipartError::Encoded);
            }
        }
    }
    part.ok_or(MultipartError::InvalidDisposition)
}

/// `form-data; name="…"; filename="…"`. `filename*` is not for forms (RFC 7578 §4.2) and is not
/// looked at.
fn read_disposition(value: &[u8]) -> Option<Part> {
    let (kind, rest) = split_value(value);
    if !kind.eq_ignore_ascii_case(b"form-data") {
        return None;
    }
    let (mut name, mut filename) = (None, None);
    let well_formed = parameters(rest, |parameter, value| {
        let place = if parameter.eq_ignore_ascii_case(b"name") {
            &mut name
        } else if parameter.eq_ignore_ascii_case(b"filename") {
            &mut filename
        } else {
            return true;
        };
        place.replace(unescaped(&value)).is_none()
    });
    Some(Part { name: name.filter(|_| well_formed)?, filename })
}

/// Browsers write these three, and only these, with a percent sign (HTML, "multipart form data").
fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    loop {
        rest = match rest {
            [] => return plain,
            [b'%', b'2', b'2', rest @ ..] => {
                plain.push(b'"');
                rest
            }
            [b'%', b'0', b'D' | b'd', rest @ ..] => {
                plain.push(b'\r');
                rest
            }
            [b'%', b'0', b'A' | b'a', rest @ ..] => {
                plain.push(b'\n');
                rest
            }
            [byte, rest @ ..] => {
                plain.push(*byte);
                rest
            }
        };
    }
}

/// A value in front of its parameters, and these with their first semicolon.
fn split_value(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
    let (kind, rest) = value.split_at(end);
    (trim_ows(kind), rest)
}

/// Hands out each `;name=value`, until `each` says that it is enough. Whether all were well formed and
/// `each` content.
fn parameters(mut rest: &[u8], mut each: impl FnMut(&[u8], Vec<u8>) -> bool) -> bool {
    loop {
        rest = match trim_ows(rest) {
            [] => return true,
            [b';', rest @ ..] => trim_ows(rest),
            _ => return false,
        };
        // A semicolon at the end is common enough and means nothing.
        if rest.is_empty() {
            return true;
        }
        // `*` is a token character, so `filename*` is another name than `filename`.
        let end = rest.iter().position(|&b| !is_token(b)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let [b'=', value @ ..] = behind else { return false };
        if name.is_empty() {
            return false;
        }
        let Some((value, behind)) = read_value(value) else { return false };
        if !each(name, value) {
            return false;
        }
        rest = behind;
    }
}

/// A token or a quoted string. A backslash in one escapes a quote or itself alone: browsers have sent
/// paths of Windows in here, with backslashes that mean themselves.
fn read_value(input: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [b'"', inside @ ..] = input else {
        let end = input.iter().position(|b| matches!(b, b';' | b' ' | b'\t' | b'"'));
        let (value, rest) = input.split_at(end.unwrap_or(input.len()));
        return (!value.is_empty()).then(|| (value.to_vec(), rest));
    };
    let mut value = Vec::new();
    let mut rest = inside;
    loop {
        rest = match rest {
            [] => return None,
            [b'"', rest @ ..] => return Some((value, rest)),
            [b'\\', escaped @ (b'"' | b'\\'), rest @ ..] => {
                value.push(*escaped);
                rest
            }
            [byte, rest @ ..] => {
                value.push(*byte);
                rest
            }
        };
    }
}
