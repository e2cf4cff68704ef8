//! Request heads, written into a byte buffer.

use http::Method;
use http::header::{CONTENT_LENGTH, HeaderName};

use crate::lines;
use crate::response::InvalidValue;
use crate::target::{Target, TargetError};

/// A request head in the making, at the end of a buffer.
///
/// Dropped before [`finish`](Self::finish), it takes back what it wrote.
///
/// ```
/// use sockeye_http::{Method, RequestHead, header};
/// let mut out = Vec::new();
/// let mut head = RequestHead::new(&mut out, &Method::GET, "/a?b", "example.com")?;
/// head.header(&header::ACCEPT, "*/*")?;
/// head.finish();
/// assert_eq!(out, b"GET /a?b HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n");
/// # Ok::<(), sockeye_http::InvalidRequest>(())
/// ```
#[derive(Debug)]
#[must_use = "a head is taken back unless it is finished"]
pub struct RequestHead<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

/// What can't be written into a request. The caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The target is malformed, or of the wrong form for the method.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A control character in the value of a header.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

impl<'o> RequestHead<'o> {
    /// Writes the request-line and Host, which every request has, the first of its fields
    /// (RFC 9110 §7.2): the authority of the target URI, without userinfo; empty if it has none.
    ///
    /// # Errors
    /// See [`InvalidRequest`]; nothing is written.
    pub fn new(
        out: &'o mut Vec<u8>,
        method: &Method,
        target: &str,
        host: &str,
    ) -> Result<Self, InvalidRequest> {
        Target::parse(method, target)?;
        crate::Authority::parse(host.as_bytes()).ok_or(TargetError::InvalidAuthority)?;
        let start = out.len();
        for part in [method.as_str(), " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        Ok(Self { out, start })
    }

    /// Writes a header line.
    ///
    /// # Errors
    /// [`InvalidValue`] if the value holds a control character other than tab; nothing is written.
    pub fn header(
        &mut self,
        name: &HeaderName,
        value: impl AsRef<[u8]>,
    ) -> Result<&mut Self, InvalidValue> {
        lines::header(self.out, name, value.as_ref())?;
        Ok(self)
    }

    /// Writes Content-Length, in bytes.
    pub fn content_length(&mut self, bytes: u64) -> &mut Self {
        lines::line(self.out, &CONTENT_LENGTH, bytes.to_string().as_bytes());
        self
    }

    /// Ends the head with the empty line.
    pub fn finish(mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.start = self.out.len();
    }
}

impl Drop for RequestHead<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;

    #[test]
    fn what_could_be_read_as_more_than_one_request_is_not_written() {
        let mut out = b"before".to_vec();
        for (target, host) in [
            ("/a b", "h"),
            ("/a\r\nX: y", "h"),
            ("", "h"),
            ("*", "h"),
            ("/a#b", "h"),
            ("/", "h\r\nX: y"),
            ("/", "user@h"),
            ("/", "h h"),
        ] {
            let head = RequestHead::new(&mut out, &Method::GET, target, host);
            assert!(matches!(head, Err(InvalidRequest::Target(_))), "{target} {host}");
        }
        let mut head = RequestHead::new(&mut out, &Method::GET, "/", "h").expect("valid");
        for value in ["a\rb", "a\nb", "a\0b"] {
            assert_eq!(head.header(&ACCEPT, value).err(), Some(InvalidValue));
        }
        drop(head);
        assert_eq!(out, b"before");
    }
}
