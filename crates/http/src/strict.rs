//! The slow, exact reading of a head: which error comes first, or whether it is merely incomplete.
//!
//! The fast path in `head` only ever accepts. Whatever it does not accept is walked
//! here byte by byte, so this file alone decides what is an error, and the decision for a prefix is
//! the decision for every longer input that begins with it.

use http::Method;

use crate::error::RequestError;
use crate::fields::is_token;
use crate::limits::Limits;
use crate::received::ResponseError;
use crate::target::{Target, check_bytes};

/// Longer tokens are no method of ours before their end is seen.
const METHOD_MAX: usize = 32;

/// How an HTTP/2 client with prior knowledge begins (RFC 9113 §3.4); PRI is no method.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What a head without an error is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Walked<'b> {
    /// It has no end yet.
    Incomplete {
        /// The request-line is whole.
        line_done: bool,
    },
    /// It is whole and its syntax is right.
    Complete {
        method: Method,
        target: Target<'b>,
        /// The version's second digit.
        minor: u8,
        /// Where the header lines begin.
        headers_at: usize,
        /// Where the head ends.
        len: usize,
    },
}

/// Reads as far as `head_bytes` allows.
pub(crate) fn walk<'b>(
    buf: &'b [u8],
    limits: &Limits,
    max_headers: usize,
) -> Result<Walked<'b>, RequestError> {
    let bounded = buf.get(..limits.head_bytes).unwrap_or(buf);
    let mut walker = Walker { buf: bounded, at: 0, line_done: false };
    let ended = walker.head(limits, max_headers);
    match ended {
        Ok(complete) => Ok(complete),
        Err(Stop::Error(error)) => Err(error),
        // Nothing that follows could end the head within its bound.
        Err(Stop::NeedMore) if bounded.len() == limits.head_bytes => {
            Err(RequestError::HeadTooLarge)
        }
        Err(Stop::NeedMore) => Ok(Walked::Incomplete { line_done: walker.line_done }),
    }
}

/// A response head whose syntax is right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WalkedResponse<'b> {
    /// The version's second digit.
    pub(crate) minor: u8,
    pub(crate) status: u16,
    pub(crate) reason: &'b [u8],
    /// Where the header lines begin.
    pub(crate) headers_at: usize,
    /// Where the head ends.
    pub(crate) len: usize,
}

/// Reads a response head as far as `head_bytes` allows; None if it has no end yet.
pub(crate) fn walk_response<'b>(
    buf: &'b [u8],
    limits: &Limits,
    max_headers: usize,
) -> Result<Option<WalkedResponse<'b>>, ResponseError> {
    let bounded = buf.get(..limits.head_bytes).unwrap_or(buf);
    let mut walker = Walker { buf: bounded, at: 0, line_done: false };
    match walker.response(max_headers) {
        Ok(complete) => Ok(Some(complete)),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::NeedMore) if bounded.len() == limits.head_bytes => {
            Err(RequestError::HeadTooLarge.into())
        }
        Err(Stop::NeedMore) => Ok(None),
    }
}

/// The methods this crate has a meaning for, compared by case (RFC 9110 §9.1), without allocating.
pub(crate) fn known_method(token: &[u8]) -> Option<Method> {
    Some(match token {
        b"GET" => Method::GET,
        b"HEAD" => Method::HEAD,
        b"POST" => Method::POST,
        b"PUT" => Method::PUT,
        b"DELETE" => Method::DELETE,
        b"OPTIONS" => Method::OPTIONS,
        b"PATCH" => Method::PATCH,
        b"CONNECT" => Method::CONNECT,
        b"TRACE" => Method::TRACE,
        b"QUERY" => Method::QUERY,
        // RFC 4918 §9.3
        b"MKCOL" => return Method::from_bytes(token).ok(),
        _ => return None,
    })
}

/// Why the walk ends before the head does.
enum Stop<E = RequestError> {
    NeedMore,
    Error(E),
}

impl<E: Into<RequestError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl From<Stop> for Stop<ResponseError> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::NeedMore => Self::NeedMore,
            Stop::Error(error) => Self::Error(ResponseError::Head(error)),
        }
    }
}

struct Walker<'b> {
    buf: &'b [u8],
    at: usize,
    line_done: bool,
}

impl<'b> Walker<'b> {
    fn head(&mut self, limits: &Limits, max_headers: usize) -> Result<Walked<'b>, Stop> {
        // One empty line is forgiven, for clients that send CRLF after a POST body (§2.2).
        if matches!(self.peek()?, b'\r' | b'\n') {
            self.line_end()?;
            if matches!(self.peek()?, b'\r' | b'\n') {
                return Err(RequestError::LeadingEmptyLines.into());
            }
        }
        let method = self.method()?;
        let target = self.target(&method, limits)?;
        let minor = self.version()?;
        self.line_end()?;
        self.line_done = true;
        let headers_at = self.at;
        let mut count = 0;
        while !matches!(self.peek()?, b'\r' | b'\n') {
            self.header(count, max_headers)?;
            count += 1;
        }
        self.line_end()?;
        Ok(Walked::Complete { method, target, minor, headers_at, len: self.at })
    }

    fn response(&mut self, max_headers: usize) -> Result<WalkedResponse<'b>, Stop<ResponseError>> {
        let (minor, status) = self.status_line()?;
        let start = self.at;
        while matches!(self.peek()?, b'\t' | b' '..=0x7e | 0x80..) {
            self.at += 1;
        }
        let reason = self.buf.get(start..self.at).unwrap_or_default();
        if !matches!(self.peek()?, b'\r' | b'\n') {
            return Err(Stop::Error(ResponseError::InvalidReason));
        }
        self.line_end()?;
        self.line_done = true;
        let headers_at = self.at;
        let mut count = 0;
        while !matches!(self.peek()?, b'\r' | b'\n') {
            self.header(count, max_headers)?;
            count += 1;
        }
        self.line_end()?;
        Ok(WalkedResponse { minor, status, reason, headers_at, len: self.at })
    }

    /// `HTTP/1.` DIGIT SP 3DIGIT, and the SP behind it, which some servers leave out before an empty
    /// reason (RFC 9112 §4).
    fn status_line(&mut self) -> Result<(u8, u16), Stop<ResponseError>> {
        let rest = self.rest();
        for (expected, &b) in b"HTTP/d.d ddd".iter().zip(rest) {
            let fits = match expected {
                b'd' => b.is_ascii_digit(),
                _ => b == *expected,
            };
            if !fits {
                return Err(match b {
                    b'\n' => Stop::from(RequestError::BareLf).into(),
                    _ => Stop::Error(ResponseError::InvalidStatusLine),
                });
            }
        }
        if rest.get(5).is_some_and(|major| *major != b'1') {
            return Err(Stop::Error(ResponseError::UnsupportedVersion));
        }
        let [minor, _, digits @ ..] = rest.get(7..12).unwrap_or_default() else {
            return Err(Stop::NeedMore);
        };
        let status = digits.iter().fold(0, |status, b| status * 10 + u16::from(b - b'0'));
        if !(100..600).contains(&status) {
            return Err(Stop::Error(ResponseError::InvalidStatus));
        }
        self.at += 12;
        match self.peek()? {
            b' ' => self.at += 1,
            b'\r' | b'\n' => {}
            _ => return Err(Stop::Error(ResponseError::InvalidStatusLine)),
        }
        Ok((minor - b'0', status))
    }

    fn method(&mut self) -> Result<Method, Stop> {
        let rest = self.rest();
        let end = rest.iter().position(|&b| !is_token(b));
        let token = match end {
            Some(0) => return Err(RequestError::InvalidMethod.into()),
            Some(end) if end <= METHOD_MAX => rest.get(..end).unwrap_or_default(),
            None if rest.len() <= METHOD_MAX => return Err(Stop::NeedMore),
            _ => return Err(RequestError::UnknownMethod.into()),
        };
        match rest.get(token.len()) {
            Some(b' ') => {}
            // "GET" alone on a line.
            Some(b'\n') => return Err(RequestError::BareLf.into()),
            _ => return Err(RequestError::InvalidMethod.into()),
        }
        if token == b"PRI" {
            return Err(if rest.starts_with(HTTP2_PREFACE) {
                RequestError::UnsupportedVersion.into()
            } else if HTTP2_PREFACE.starts_with(rest) {
                Stop::NeedMore
            } else {
                RequestError::UnknownMethod.into()
            });
        }
        let method = known_method(token).ok_or(RequestError::UnknownMethod)?;
        self.at += token.len() + 1;
        Ok(method)
    }

    fn target(&mut self, method: &Method, limits: &Limits) -> Result<Target<'b>, Stop> {
        let rest = self.rest();
        let end = rest.iter().position(|&b| matches!(b, b' ' | b'\r' | b'\n'));
        let bytes = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        check_bytes(bytes.get(..limits.target_bytes).unwrap_or(bytes))?;
        if bytes.len() > limits.target_bytes {
            return Err(RequestError::TargetTooLong.into());
        }
        let end = end.ok_or(Stop::NeedMore)?;
        let text = str::from_utf8(bytes).map_err(|_| crate::TargetError::InvalidCharacter)?;
        let target = Target::parse(method, text)?;
        self.at += end;
        if self.peek()? == b' ' {
            self.at += 1;
            return Ok(target);
        }
        self.line_end()?;
        Err(RequestError::MissingVersion.into())
    }

    /// `HTTP/` DIGIT `.` DIGIT, upper case (§2.3).
    fn version(&mut self) -> Result<u8, Stop> {
        let rest = self.rest();
        for (expected, &b) in b"HTTP/d.d".iter().zip(rest) {
            let fits = match expected {
                b'd' => b.is_ascii_digit(),
                _ => b == *expected,
            };
            if !fits {
                return Err(match b {
                    b'\n' => RequestError::BareLf.into(),
                    _ => RequestError::InvalidVersion.into(),
                });
            }
        }
        let (major, minor) = match rest {
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, ..] => (major, minor - b'0'),
            _ => return Err(Stop::NeedMore),
        };
        if *major != b'1' {
            return Err(RequestError::UnsupportedVersion.into());
        }
        self.at += 8;
        match self.peek()? {
            b'\r' | b'\n' => Ok(minor),
            _ => Err(RequestError::InvalidVersion.into()),
        }
    }

    /// One header line, whose first byte is there and no line end; `before` came before it.
    fn header(&mut self, before: usize, max_headers: usize) -> Result<(), Stop> {
        match self.peek()? {
            b' ' | b'\t' if before == 0 => return Err(RequestError::WhitespaceBeforeHeaders.into()),
            b' ' | b'\t' => return Err(RequestError::ObsFold.into()),
            _ if before == max_headers => return Err(RequestError::TooManyHeaders.into()),
            b':' => return Err(RequestError::EmptyHeaderName.into()),
            _ => {}
        }
        while is_token(self.peek()?) {
            self.at += 1;
        }
        match self.peek()? {
            b':' => self.at += 1,
            b' ' | b'\t' => return Err(RequestError::SpaceBeforeColon.into()),
            b'\r' | b'\n' => {
                self.line_end()?;
                return Err(RequestError::MissingColon.into());
            }
            _ => return Err(RequestError::InvalidHeaderName.into()),
        }
        while matches!(self.peek()?, b'\t' | b' '..=0x7e | 0x80..) {
            self.at += 1;
        }
        match self.peek()? {
            b'\r' | b'\n' => self.line_end(),
            _ => Err(RequestError::InvalidHeaderValue.into()),
        }
    }

    /// CRLF, where a CR or an LF stands.
    fn line_end(&mut self) -> Result<(), Stop> {
        match self.rest() {
            [b'\r', b'\n', ..] => {
                self.at += 2;
                Ok(())
            }
            [b'\r'] => Err(Stop::NeedMore),
            [b'\n', ..] => Err(RequestError::BareLf.into()),
            _ => Err(RequestError::BareCr.into()),
        }
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.buf.get(self.at).copied().ok_or(Stop::NeedMore)
    }

    fn rest(&self) -> &'b [u8] {
        self.buf.get(self.at..).unwrap_or_default()
    }
}
