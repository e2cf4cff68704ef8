//! Bodies of messages: delivered or skipped, from pieces cut anywhere (RFC 9112 §6, §7).

use http::StatusCode;

use crate::fields::{Framing, is_token};
use crate::trailers::Trailers;

/// Bounds on the body of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of content, chunk framing not counted. No bound by default; a longer body is
    /// [`BodyError::TooLarge`], with Content-Length already at the first call.
    pub content_bytes: u64,
    /// Bytes of one chunk-size line up to its CRLF, extensions included. Default 256.
    pub chunk_line_bytes: u32,
    /// Bytes of all chunk extensions of one body. Default 16 KiB: many small chunks with long
    /// extensions make a small body cost a lot of traffic.
    pub extension_bytes: u32,
    /// Bytes of the trailer section. Default 8 KiB.
    pub trailer_bytes: u32,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            content_bytes: u64::MAX,
            chunk_line_bytes: 256,
            extension_bytes: 16 * 1024,
            trailer_bytes: 8 * 1024,
        }
    }
}

/// Why a body is refused. Always the peer's fault; the connection can't be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BodyError {
    /// What follows the data of a chunk is not CRLF.
    #[error("chunk data not followed by CRLF (RFC 9112 §7.1)")]
    ChunkDataEnd,
    /// A chunk-size line or all extensions are longer than allowed.
    #[error("the chunk extensions are too long (RFC 9112 §7.1.1)")]
    ExtensionsTooLong,
    /// A chunk extension that is not `;name`, `;name=token` or `;name="string"`.
    #[error("invalid chunk extension (RFC 9112 §7.1.1)")]
    InvalidExtension,
    /// No hexadecimal digits, whitespace, a sign, or above 2⁶⁴−1.
    #[error("invalid chunk size (RFC 9112 §7.1)")]
    InvalidSize,
    /// A trailer line that is no header line.
    #[error("invalid trailer (RFC 9112 §7.1.2)")]
    InvalidTrailer,
    /// A CR without LF, or an LF without CR, in the framing.
    #[error("a line of the chunked framing does not end with CRLF (RFC 9112 §2.2)")]
    LineEnd,
    /// More content than [`BodyLimits::content_bytes`].
    #[error("the body is too large (RFC 9110 §15.5.14)")]
    TooLarge,
    /// A trailer section longer than [`BodyLimits::trailer_bytes`].
    #[error("the trailers are too long (RFC 6585 §5)")]
    TrailersTooLong,
    /// The connection ended before the body did ([`BodyDecoder::finish`]).
    #[error("the connection ended in the middle of the body (RFC 9112 §8)")]
    Truncated,
}

impl BodyError {
    /// The status code to answer with, before closing the connection.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// One step of [`BodyDecoder::decode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'b> {
    /// Bytes of the input that are dealt with, `content` included.
    pub consumed: usize,
    /// Content found, a part of the input; may be empty.
    pub content: &'b [u8],
    /// The body ends here; the rest of the input is the next request.
    pub done: bool,
}

/// What came of [`BodyDecoder::skip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Bytes of the input that belong to the body.
    pub consumed: usize,
    /// Bytes of content among them.
    pub content: u64,
    /// The body ends here.
    pub done: bool,
}

/// Finds the end of one body, and its content on the way.
///
/// It holds no content: that is handed out as parts of the input. Chunk extensions are checked and
/// dropped, none is defined (RFC 9112 §7.1.1); so are trailers, unless they are asked for by
/// [`with_trailers`](Self::with_trailers). Framing is read strictly: sizes are hexadecimal digits
/// alone, lines end with CRLF, no whitespace stands around a size or an extension.
///
/// When the connection ends before the body is done, [`finish`](Self::finish) says whether that is
/// its end ([`Framing::UntilClose`]) or a part is missing.
///
/// ```
/// use sockeye_http::{BodyDecoder, BodyLimits, Framing};
/// let mut decoder = BodyDecoder::new(Framing::Chunked, BodyLimits::default());
/// let mut input: &[u8] = b"5\r\nhello\r\n0\r\n\r\nGET / ...";
/// let mut content = Vec::new();
/// loop {
///     let step = decoder.decode(input)?;
///     content.extend_from_slice(step.content);
///     input = &input[step.consumed..];
///     if step.done || input.is_empty() {
///         break;
///     }
/// }
/// assert_eq!((&content[..], input), (&b"hello"[..], &b"GET / ..."[..]));
/// # Ok::<(), sockeye_http::BodyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    state: State,
    /// Content that may still come.
    allowance: u64,
    extension_allowance: u32,
    trailer_allowance: u32,
    /// Bytes of the current chunk-size line.
    line: u32,
    limits: BodyLimits,
    /// The trailer section as it came, if somebody wants it.
    trailers: Option<Vec<u8>>,
}

/// What the next byte must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Content, up to the end of the connection.
    UntilClose,
    /// Content-Length, with what is left of it.
    Length(u64),
    /// The first digit of a chunk size.
    SizeStart,
    /// Another digit, or the end of the size.
    Size(u64),
    /// The first character of an extension's name.
    ExtensionStart(u64),
    ExtensionName(u64),
    /// Behind `=`.
    ValueStart(u64),
    ValueToken(u64),
    ValueQuoted(u64),
    /// Behind a backslash in a quoted string.
    ValueEscaped(u64),
    /// Behind the closing quote.
    ValueEnd(u64),
    /// Behind the CR of a chunk-size line.
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    /// Behind the CR of the last line.
    EndLf,
    Done,
}

impl BodyDecoder {
    /// A decoder at the start of a body. With [`Framing::None`] it is done at once.
    #[must_use]
    pub fn new(framing: Framing, limits: BodyLimits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::SizeStart,
            Framing::UntilClose => State::UntilClose,
        };
        Self {
            state,
            allowance: limits.content_bytes,
            extension_allowance: limits.extension_bytes,
            trailer_allowance: limits.trailer_bytes,
            line: 0,
            limits,
            trailers: None,
        }
    }

    /// The same, but the trailer section is kept for [`trailers`](Self::trailers), in at most
    /// [`BodyLimits::trailer_bytes`].
    #[must_use]
    pub fn with_trailers(mut self) -> Self {
        self.trailers = Some(Vec::new());
        self
    }

    /// The trailer section, as far as it was seen; empty unless
    /// [`with_trailers`](Self::with_trailers) asked for it. Use it when the body is done: before, its
    /// last line may be cut.
    #[must_use]
    pub fn trailers(&self) -> Trailers<'_> {
        Trailers::new(self.trailers.as_deref().unwrap_or_default())
    }

    /// What the end of the connection means for the body: its own end, or that a part is missing
    /// (RFC 9112 §8).
    ///
    /// # Errors
    /// [`BodyError::Truncated`] if more of it was announced.
    pub fn finish(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    /// Whether the whole body was seen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next bytes of the body. It stops behind each piece of content and at the end of the
    /// body, so call it again with the rest until all is consumed or it is done. Then, unless it is
    /// done, receive more.
    ///
    /// # Errors
    /// See [`BodyError`]; after one, all that follows is undefined.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Decoded<'b>, BodyError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let (left, done_after, chunked) = match self.state {
                State::Length(left) => (left, State::Done, false),
                State::Data(left) => (left, State::DataCr, true),
                State::UntilClose => return self.until_close(rest),
                State::Done => return Ok(self.decoded(at, &[])),
                _ => {
                    let Some(&b) = rest.first() else {
                        return Ok(self.decoded(at, &[]));
                    };
                    self.state = self.framing(b)?;
                    at += 1;
                    continue;
                }
            };
            // Checked before the content comes: a length says what it is going to be.
            if left > self.allowance {
                return Err(BodyError::TooLarge);
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let content = rest.get(..take).unwrap_or_default();
            let taken = u64::try_from(take).unwrap_or(left);
            self.allowance = self.allowance.saturating_sub(taken);
            self.state = match left.saturating_sub(taken) {
                0 => done_after,
                left if chunked => State::Data(left),
                left => State::Length(left),
            };
            return Ok(self.decoded(at + take, content));
        }
    }

    /// Takes the next bytes and drops their content: [`decode`](Self::decode) until the input is
    /// used up or the body is done.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn skip(&mut self, input: &[u8]) -> Result<Skipped, BodyError> {
        let mut skipped = Skipped { consumed: 0, content: 0, done: self.is_done() };
        while !skipped.done && skipped.consumed < input.len() {
            let step = self.decode(input.get(skipped.consumed..).unwrap_or_default())?;
            skipped.consumed += step.consumed;
            skipped.content += u64::try_from(step.content.len()).unwrap_or(u64::MAX);
            skipped.done = step.done;
        }
        Ok(skipped)
    }

    /// All of the input: nothing but the end of the connection ends it.
    fn until_close<'b>(&mut self, input: &'b [u8]) -> Result<Decoded<'b>, BodyError> {
        let len = u64::try_from(input.len()).unwrap_or(u64::MAX);
        self.allowance = self.allowance.checked_sub(len).ok_or(BodyError::TooLarge)?;
        Ok(self.decoded(input.len(), input))
    }

    fn decoded<'b>(&self, consumed: usize, content: &'b [u8]) -> Decoded<'b> {
        Decoded { consumed, content, done: self.is_done() }
    }

    /// One byte of the chunked framing.
    fn framing(&mut self, b: u8) -> Result<State, BodyError> {
        Ok(match self.state {
            State::SizeStart => {
                self.line = 0;
                self.count_line(b)?;
                State::Size(digit(0, b)?)
            }
            State::Size(size) => {
                self.count_line(b)?;
                match b {
                    b'\r' => State::SizeLf(size),
                    b';' => State::ExtensionStart(size),
                    b'\n' => return Err(BodyError::LineEnd),
                    _ => State::Size(digit(size, b)?),
                }
            }
            State::ExtensionStart(_)
            | State::ExtensionName(_)
            | State::ValueStart(_)
            | State::ValueToken(_)
            | State::ValueQuoted(_)
            | State::ValueEscaped(_)
            | State::ValueEnd(_) => self.extension(b)?,
            State::SizeLf(size) => {
                expect(b, b'\n', BodyError::LineEnd)?;
                match size {
                    0 => State::TrailerStart,
                    size => State::Data(size),
                }
            }
            State::DataCr => {
                expect(b, b'\r', BodyError::ChunkDataEnd)?;
                State::DataLf
            }
            State::DataLf => {
                expect(b, b'\n', BodyError::ChunkDataEnd)?;
                State::SizeStart
            }
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf => {
                self.trailer(b)?
            }
            State::EndLf => {
                expect(b, b'\n', BodyError::LineEnd)?;
                State::Done
            }
            state @ (State::UntilClose | State::Length(_) | State::Data(_) | State::Done) => state,
        })
    }

    /// `*( ";" token [ "=" ( token / quoted-string ) ] )`, without the whitespace that §7.1.1 calls
    /// bad.
    fn extension(&mut self, b: u8) -> Result<State, BodyError> {
        self.count_line(b)?;
        if b != b'\r' {
            let allowance = self.extension_allowance.checked_sub(1);
            self.extension_allowance = allowance.ok_or(BodyError::ExtensionsTooLong)?;
        }
        Ok(match (self.state, b) {
            (State::ExtensionStart(size) | State::ExtensionName(size), b) if is_token(b) => {
                State::ExtensionName(size)
            }
            (State::ExtensionName(size), b'=') => State::ValueStart(size),
            (State::ValueStart(size), b'"') => State::ValueQuoted(size),
            (State::ValueStart(size) | State::ValueToken(size), b) if is_token(b) => {
                State::ValueToken(size)
            }
            (State::ValueQuoted(size), b'"') => State::ValueEnd(size),
            (State::ValueQuoted(size), b'\\') => State::ValueEscaped(size),
            (
                State::ValueQuoted(size) | State::ValueEscaped(size),
                b'\t' | b' '..=0x7e | 0x80..,
            ) => State::ValueQuoted(size),
            (
                State::ExtensionName(size) | State::ValueToken(size) | State::ValueEnd(size),
                b';',
            ) => State::ExtensionStart(size),
            (
                State::ExtensionName(size) | State::ValueToken(size) | State::ValueEnd(size),
                b'\r',
            ) => State::SizeLf(size),
            (_, b'\n') => return Err(BodyError::LineEnd),
            _ => return Err(BodyError::InvalidExtension),
        })
    }

    /// Header lines as in a head.
    fn trailer(&mut self, b: u8) -> Result<State, BodyError> {
        if (self.state, b) == (State::TrailerStart, b'\r') {
            return Ok(State::EndLf);
        }
        let allowance = self.trailer_allowance.checked_sub(1);
        self.trailer_allowance = allowance.ok_or(BodyError::TrailersTooLong)?;
        if let Some(trailers) = &mut self.trailers {
            trailers.push(b);
        }
        Ok(match (self.state, b) {
            (State::TrailerStart | State::TrailerName, b) if is_token(b) => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\t' | b' '..=0x7e | 0x80..) => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::TrailerLf, _) | (_, b'\n') => return Err(BodyError::LineEnd),
            _ => return Err(BodyError::InvalidTrailer),
        })
    }

    /// Counts the bytes of a chunk-size line up to its CRLF.
    fn count_line(&mut self, b: u8) -> Result<(), BodyError> {
        self.line = self.line.saturating_add(u32::from(b != b'\r'));
        if self.line > self.limits.chunk_line_bytes {
            return Err(BodyError::ExtensionsTooLong);
        }
        Ok(())
    }
}

/// The size with one more hexadecimal digit.
fn digit(size: u64, b: u8) -> Result<u64, BodyError> {
    let digit = char::from(b).to_digit(16).ok_or(BodyError::InvalidSize)?;
    size.checked_mul(16).map(|size| size | u64::from(digit)).ok_or(BodyError::InvalidSize)
}

fn expect(b: u8, expected: u8, error: BodyError) -> Result<(), BodyError> {
    if b == expected { Ok(()) } else { Err(error) }
}
