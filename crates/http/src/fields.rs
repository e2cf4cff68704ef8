//! What the header fields of a whole head mean for the message itself: host, framing, persistence.

use httparse::Header;

use crate::authority::Authority;
use crate::error::RequestError;

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Transfer-Encoding: chunked.
    Chunked,
    /// Content-Length, in bytes; may be 0.
    Length(u64),
    /// There is no body: nothing announces one, or none can follow.
    None,
    /// The end of the connection is the end of the body. Of responses alone.
    UntilClose,
}

/// Everything the framing of a connection depends on, from one pass over the fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'b> {
    pub(crate) host: Option<Authority<'b>>,
    pub(crate) framing: Framing,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expect_continue: bool,
    /// Some name begins like those of conditional requests (RFC 9110 §13.1).
    pub(crate) conditional: bool,
    /// There is a Range (RFC 9110 §14.2).
    pub(crate) range: bool,
    /// There is an Accept-Encoding (RFC 9110 §12.5.3).
    pub(crate) encodings: bool,
}

impl<'b> Fields<'b> {
    /// `http11` is false for HTTP/1.0 alone.
    pub(crate) fn read(headers: &[Header<'b>], http11: bool) -> Result<Self, RequestError> {
        let mut host = None;
        let mut length: Option<u64> = None;
        let mut codings = Codings::default();
        let (mut close, mut keep_alive, mut expects) = (false, false, false);
        let (mut conditional, mut range, mut encodings) = (false, false, false);
        for header in headers {
            conditional |= matches!(header.name.as_bytes(), [b'i' | b'I', b'f' | b'F', b'-', ..]);
            // The length tells nearly all names apart before a byte is compared.
            match header.name.len() {
                4 if is(header, "host") => {
                    let authority =
                        Authority::parse(header.value).ok_or(RequestError::InvalidHost)?;
                    if host.replace(authority).is_some() {
                        return Err(RequestError::DuplicateHost);
                    }
                }
                5 => range |= is(header, "range"),
                6 if is(header, "expect") => {
                    for member in members(header.value).filter(|member| !member.is_empty()) {
                        if member.eq_ignore_ascii_case(b"100-continue") {
                            expects = true;
                        } else if http11 {
                            return Err(RequestError::UnknownExpectation);
                        }
                    }
                }
                10 if is(header, "connection") => {
                    for member in members(header.value) {
                        close |= member.eq_ignore_ascii_case(b"close");
                        keep_alive |= member.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is(header, "content-length") => {
                    if length.is_some() || header.value.contains(&b',') {
                        return Err(RequestError::DuplicateContentLength);
                    }
                    let parsed =
                        parse_length(header.value).ok_or(RequestError::InvalidContentLength)?;
                    length = Some(parsed);
                }
                15 => encodings |= is(header, "accept-encoding"),
                17 if is(header, "transfer-encoding") => codings.read(header.value)?,
                _ => {}
            }
        }
        if http11 && host.is_none() {
            return Err(RequestError::MissingHost);
        }
        let framing = match (codings.any, length) {
            (false, None) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (true, _) if !http11 => return Err(RequestError::TransferEncodingInHttp10),
            (true, Some(_)) => return Err(RequestError::ContentLengthWithTransferEncoding),
            (true, None) => codings.finish()?,
        };
        Ok(Self {
            host,
            framing,
            close,
            keep_alive,
            conditional,
            range,
            encodings,
            // An HTTP/1.0 client can't wait for it, and without a body nobody does (RFC 9110 §10.1.1).
            expect_continue: expects
                && http11
                && !matches!(framing, Framing::None | Framing::Length(0)),
        })
    }
}

pub(crate) fn is(header: &Header<'_>, name: &str) -> bool {
    header.name.eq_ignore_ascii_case(name)
}

/// The members of a comma-separated list, without the whitespace around them (RFC 9110 §5.6.1).
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim_ows)
}

/// Takes spaces and tabs off both ends: OWS is those two alone (RFC 9110 §5.6.3).
pub(crate) fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `1*DIGIT` and nothing else; `str::parse` would take a plus sign.
pub(crate) fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |length, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// The transfer codings of all Transfer-Encoding lines, in order.
#[derive(Default)]
pub(crate) struct Codings {
    pub(crate) any: bool,
    unknown: bool,
    chunked: u32,
    chunked_is_last: bool,
}

impl Codings {
    pub(crate) fn read(&mut self, value: &[u8]) -> Result<(), RequestError> {
        self.any = true;
        for member in members(value) {
            let end = member.iter().position(|&b| !is_token(b)).unwrap_or(member.len());
            let (name, parameters) = member.split_at(end);
            let parameters = trim_ows(parameters);
            if name.is_empty() || !matches!(parameters, [] | [b';', ..]) {
                return Err(RequestError::InvalidTransferEncoding);
            }
            self.chunked_is_last = name.eq_ignore_ascii_case(b"chunked");
            if self.chunked_is_last {
                // chunked has no parameters (RFC 9112 §7.1).
                if !parameters.is_empty() {
                    return Err(RequestError::InvalidTransferEncoding);
                }
                self.chunked = self.chunked.saturating_add(1);
            } else {
                self.unknown = true;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Framing, RequestError> {
        if !self.chunked_is_last {
            Err(RequestError::ChunkedNotFinal)
        } else if self.chunked > 1 {
            Err(RequestError::DuplicateChunked)
        } else if self.unknown {
            // No coding but chunked is decoded here, gzip and deflate included.
            Err(RequestError::UnknownTransferCoding)
        } else {
            Ok(Framing::Chunked)
        }
    }
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
