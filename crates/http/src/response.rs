//! Response heads, written into a byte buffer.

use std::fmt;
use std::io::Write;

use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};

use crate::date::ImfFixdate;
use crate::lines;

/// A response head in the making, at the end of a buffer.
///
/// Dropped before [`finish`](Self::finish), it takes back what it wrote: half a head never stays.
///
/// ```
/// use sockeye_http::{ResponseHead, StatusCode, header};
/// let mut out = Vec::new();
/// let mut head = ResponseHead::new(&mut out, StatusCode::OK);
/// head.content_length(5);
/// head.header(&header::CONTENT_TYPE, "text/plain")?;
/// head.finish();
/// assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\n");
/// # Ok::<(), sockeye_http::InvalidValue>(())
/// ```
#[derive(Debug)]
#[must_use = "a head is taken back unless it is finished"]
pub struct ResponseHead<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

/// A control character in the value of a header or a trailer: CR and LF would end the line early, and
/// the rest could pass for another header or a body (RFC 9110 §5.5). The caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("control character in the value of a header (RFC 9110 §5.5)")]
pub struct InvalidValue;

/// What a response says about the connection after it (RFC 9112 §9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// `Connection: close`.
    Close,
    /// `Connection: keep-alive`, which an HTTP/1.0 client needs to hear.
    KeepAlive,
    /// Nothing, which in HTTP/1.1 means that it stays.
    Unstated,
}

impl<'o> ResponseHead<'o> {
    /// Writes the status-line. The version is HTTP/1.1 whatever the request's was (RFC 9110 §2.5).
    pub fn new(out: &'o mut Vec<u8>, status: StatusCode) -> Self {
        let start = out.len();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out, start }
    }

    /// Writes a header line. The name goes out with capitals (`Content-Type`), for clients that
    /// compare its case.
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

    /// Writes a header line with a value that is formatted, such as
    /// [`RelativePath::location`](crate::RelativePath::location), without a string in between.
    ///
    /// # Errors
    /// As [`header`](Self::header).
    pub fn header_display(
        &mut self,
        name: &HeaderName,
        value: impl fmt::Display,
    ) -> Result<&mut Self, InvalidValue> {
        let before = self.out.len();
        self.name(name);
        let at = self.out.len();
        let written = write!(self.out, "{value}");
        let bytes = self.out.get(at..).unwrap_or_default();
        if written.is_err() || lines::check(bytes).is_err() {
            self.out.truncate(before);
            return Err(InvalidValue);
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(self)
    }

    /// Writes Content-Length, in bytes. Not for 1xx, 204 (RFC 9110 §8.6).
    pub fn content_length(&mut self, bytes: u64) -> &mut Self {
        self.name(&CONTENT_LENGTH);
        let written = write!(self.out, "{bytes}\r\n");
        debug_assert!(written.is_ok(), "a Vec takes every write");
        self
    }

    /// Writes Date.
    pub fn date(&mut self, date: &ImfFixdate) -> &mut Self {
        self.line(&DATE, date.as_bytes())
    }

    /// Writes Connection, if there is something to say.
    pub fn persistence(&mut self, persistence: Persistence) -> &mut Self {
        match persistence {
            Persistence::Close => self.line(&CONNECTION, b"close"),
            Persistence::KeepAlive => self.line(&CONNECTION, b"keep-alive"),
            Persistence::Unstated => self,
        }
    }

    /// Ends the head with the empty line.
    pub fn finish(mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.start = self.out.len();
    }

    fn line(&mut self, name: &HeaderName, value: &[u8]) -> &mut Self {
        lines::line(self.out, name, value);
        self
    }

    fn name(&mut self, name: &HeaderName) {
        lines::name(self.out, name);
    }
}

impl Drop for ResponseHead<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

/// A short response of a status and one line of text, for errors and redirects.
///
/// ```
/// use sockeye_http::{ErrorResponse, Persistence, StatusCode};
/// let mut out = Vec::new();
/// ErrorResponse::new(StatusCode::NOT_FOUND).write(&mut out);
/// assert!(out.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
/// assert!(out.ends_with(b"\r\n\r\n404 Not Found\n"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ErrorResponse<'a> {
    /// The status; 4xx, 5xx, or 3xx with `location`.
    pub status: StatusCode,
    /// Date, if the caller has a clock.
    pub date: Option<&'a ImfFixdate>,
    /// What to say about the connection.
    pub persistence: Persistence,
    /// One more line of text for the body, such as the text of a
    /// [`RequestError`](crate::RequestError). It goes out as plain text, control characters as `?`.
    pub detail: Option<&'a str>,
    /// The methods for Allow, which 405 must have (RFC 9110 §15.5.6).
    pub allow: &'a [Method],
    /// Leave the body out, as for HEAD; Content-Length stays (RFC 9110 §9.3.2).
    pub head_only: bool,
}

impl ErrorResponse<'_> {
    /// A response that closes the connection and has no detail.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            date: None,
            persistence: Persistence::Close,
            detail: None,
            allow: &[],
            head_only: false,
        }
    }

    /// Appends the whole response, head and body.
    pub fn write(&self, out: &mut Vec<u8>) {
        let detail = self.detail.map_or(0, |detail| detail.len() + 1);
        let reason = self.status.canonical_reason().unwrap_or_default();
        let body = "404 ".len() + reason.len() + 1 + detail;
        let mut head = ResponseHead::new(out, self.status);
        if let Some(date) = self.date {
            head.date(date);
        }
        head.line(&CONTENT_TYPE, b"text/plain; charset=utf-8");
        head.line(&X_CONTENT_TYPE_OPTIONS, b"nosniff");
        head.content_length(u64::try_from(body).unwrap_or(u64::MAX));
        if !self.allow.is_empty() {
            head.name(&ALLOW);
            for (i, method) in self.allow.iter().enumerate() {
                let separator: &[u8] = if i == 0 { b"" } else { b", " };
                head.out.extend_from_slice(separator);
                head.out.extend_from_slice(method.as_str().as_bytes());
            }
            head.out.extend_from_slice(b"\r\n");
        }
        head.persistence(self.persistence);
        head.finish();
        if self.head_only {
            return;
        }
        out.extend_from_slice(self.status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
        out.push(b'\n');
        if let Some(detail) = self.detail {
            let shown = detail.bytes().map(|b| match b {
                b' '..=0x7e | 0x80.. => b,
                _ => b'?',
            });
            out.extend(shown);
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{LAST_MODIFIED, LOCATION};

    use super::*;

    fn text(bytes: &[u8]) -> &str {
        str::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_value_that_could_split_the_response_is_refused_and_leaves_no_trace() {
        for value in ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0b", "a\x7fb", "\x1b[0m"] {
            let mut out = b"before".to_vec();
            let mut head = ResponseHead::new(&mut out, StatusCode::FOUND);
            assert_eq!(head.header(&LOCATION, value).err(), Some(InvalidValue));
            assert_eq!(head.header_display(&LOCATION, value).err(), Some(InvalidValue));
            head.finish();
            assert_eq!(text(&out), "beforeHTTP/1.1 302 Found\r\n\r\n");
        }
    }

    #[test]
    fn a_head_that_is_not_finished_is_taken_back() {
        let mut out = b"before".to_vec();
        let mut head = ResponseHead::new(&mut out, StatusCode::OK);
        head.content_length(u64::MAX);
        drop(head);
        assert_eq!(text(&out), "before");
    }

    #[test]
    fn lines_stand_in_the_order_they_were_written() {
        let mut out = Vec::new();
        let date = ImfFixdate::from_unix(0);
        let mut head = ResponseHead::new(&mut out, StatusCode::NOT_MODIFIED);
        head.date(&date)
            .persistence(Persistence::Unstated)
            .persistence(Persistence::KeepAlive)
            .header_display(&LAST_MODIFIED, date)
            .expect("valid")
            .header(&X_CONTENT_TYPE_OPTIONS, "é\t")
            .expect("valid");
        head.finish();
        assert_eq!(
            text(&out),
            "HTTP/1.1 304 Not Modified\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Connection: keep-alive\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             X-Content-Type-Options: é\t\r\n\r\n"
        );
    }

    #[test]
    fn the_length_of_an_error_is_that_of_its_body() {
        for detail in [None, Some("why é"), Some("")] {
            for status in [400, 404, 405, 431, 500, 599] {
                let mut response =
                    ErrorResponse::new(StatusCode::from_u16(status).expect("in range"));
                response.detail = detail;
                let mut out = Vec::new();
                response.write(&mut out);
                let (head, body) = text(&out).split_once("\r\n\r\n").expect("a head");
                assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
                assert!(body.starts_with(&status.to_string()));
                response.head_only = true;
                let mut head_only = Vec::new();
                response.write(&mut head_only);
                assert_eq!(text(&head_only), format!("{head}\r\n\r\n"));
            }
        }
    }

    #[test]
    fn a_405_names_the_methods_and_a_detail_is_made_harmless() {
        let response = ErrorResponse {
            persistence: Persistence::KeepAlive,
            allow: &[Method::GET, Method::HEAD],
            detail: Some("a\x1b[2Jb\r\n"),
            ..ErrorResponse::new(StatusCode::METHOD_NOT_ALLOWED)
        };
        let mut out = Vec::new();
        response.write(&mut out);
        assert_eq!(
            text(&out),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: 32\r\nAllow: GET, HEAD\r\n\
             Connection: keep-alive\r\n\r\n405 Method Not Allowed\na?[2Jb??\n"
        );
    }
}
