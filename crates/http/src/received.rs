//! Response heads, read as a client receives them.

use http::{Method, StatusCode, Version};
use httparse::{Header, Status};

use crate::error::RequestError;
use crate::fields::{self, Codings, Framing, members};
use crate::head::{HeaderStorage, RequestParser, list};
use crate::limits::Limits;
use crate::strict;

/// Reads response heads from a buffer that grows while the server is slow, as
/// [`RequestParser`] does with requests: linear work, and one answer however the bytes arrive.
///
/// ```
/// use sockeye_http::{
///     Follows, Framing, HeaderStorage, Limits, Method, ResponseParser, ResponseProgress,
/// };
/// let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// let (mut parser, mut storage) = (ResponseParser::new(), HeaderStorage::new());
/// match parser.parse(bytes, &Method::GET, &Limits::default(), &mut storage)? {
///     ResponseProgress::Incomplete => unreachable!("the head is whole"),
///     ResponseProgress::Complete { response, consumed } => {
///         assert_eq!(response.status(), 200);
///         assert_eq!(response.follows(), Follows::Body(Framing::Length(5)));
///         assert_eq!(&bytes[consumed..], b"hello");
///     }
/// }
/// # Ok::<(), sockeye_http::ResponseError>(())
/// ```
#[derive(Debug, Default, Clone, Copy)]
pub struct ResponseParser {
    seen: RequestParser,
}

/// What came of [`ResponseParser::parse`].
#[derive(Debug)]
pub enum ResponseProgress<'h, 'b> {
    /// The head has no end yet, and so far nothing is wrong with it: receive more.
    Incomplete,
    /// A whole, valid head.
    Complete {
        /// What it says.
        response: Response<'h, 'b>,
        /// The bytes of the head; what [follows](Response::follows) it begins there.
        consumed: usize,
    },
}

/// Why a response head is refused. Every variant is the server's fault; close the connection and take
/// nothing of what it said for an answer.
///
/// As with requests, the first error in the order of the bytes is the one reported, and the text is
/// fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ResponseError {
    /// Something in a header line, or in what header lines say together, that is wrong in requests
    /// too.
    #[error(transparent)]
    Head(#[from] RequestError),
    /// A control character in the reason phrase.
    #[error("control character in the reason phrase (RFC 9112 §4)")]
    InvalidReason,
    /// Below 100 or above 599.
    #[error("invalid status code (RFC 9110 §15)")]
    InvalidStatus,
    /// The first line does not begin with a version and a status code of three digits.
    #[error("invalid status-line (RFC 9112 §4)")]
    InvalidStatusLine,
    /// Transfer-Encoding in HTTP/1.0.
    #[error("Transfer-Encoding in an HTTP/1.0 response (RFC 9112 §6.1)")]
    TransferEncodingInHttp10,
    /// 101 to a request that asked for no other protocol can't be; nor can it without saying which.
    #[error("101 without the protocol that follows (RFC 9110 §7.8)")]
    UpgradeToNothing,
    /// A version whose major number is not 1.
    #[error("unsupported HTTP version (RFC 9110 §15.6.6)")]
    UnsupportedVersion,
}

/// What the bytes behind a response head are (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// The content, ended as the framing says; behind it the next response.
    Body(Framing),
    /// Another response to the same request: this one was interim (1xx but 101).
    Response,
    /// No HTTP any more: another protocol after 101, or the far end of a tunnel after a 2xx to CONNECT.
    Tunnel,
}

impl ResponseParser {
    /// A parser at the start of a response.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: RequestParser::new() }
    }

    /// Reads `buf`: everything received since the end of the last message. Until the head is
    /// complete, each call must bring the same bytes again, with new ones at the end. `method` is that
    /// of the request, on which the framing depends.
    ///
    /// Of `limits`, those of the head and its lines hold; their defaults are as for requests.
    ///
    /// # Errors
    /// The first thing wrong with the head, never reported on a prefix of a valid one.
    pub fn parse<'h, 'b, const N: usize>(
        &mut self,
        buf: &'b [u8],
        method: &Method,
        limits: &Limits,
        storage: &'h mut HeaderStorage<'b, N>,
    ) -> Result<ResponseProgress<'h, 'b>, ResponseError> {
        let bounds = Limits { target_bytes: usize::MAX, ..*limits };
        if self.seen.seen > 0 && !self.seen.worth_reading(buf, &bounds) {
            self.seen.seen = buf.len();
            return Ok(ResponseProgress::Incomplete);
        }
        let max_headers = limits.headers.min(N);
        let Some(head) = strict::walk_response(buf, limits, max_headers)? else {
            // Each line end is looked at while the first line is open; there is one.
            let line_done = buf.contains(&b'\n');
            self.seen = RequestParser { seen: buf.len(), read: buf.len(), line_done };
            return Ok(ResponseProgress::Incomplete);
        };
        let spare = storage.spare(max_headers);
        let lines = buf.get(head.headers_at..head.len).unwrap_or_default();
        let Ok(Status::Complete((_, headers))) = httparse::parse_headers(lines, spare) else {
            // The walk accepts no line that httparse refuses.
            return Err(RequestError::InvalidHeaderName.into());
        };
        let status = StatusCode::from_u16(head.status).map_err(|_| ResponseError::InvalidStatus)?;
        let fields = ResponseFields::read(headers, method, status, head.minor > 0)?;
        *self = Self::new();
        let response =
            Response { status, reason: head.reason, headers, fields, http11: head.minor > 0 };
        Ok(ResponseProgress::Complete { response, consumed: head.len })
    }
}

/// A response head that was read, borrowed from the buffer.
#[derive(Debug)]
pub struct Response<'h, 'b> {
    status: StatusCode,
    reason: &'b [u8],
    headers: &'h [Header<'b>],
    fields: ResponseFields,
    http11: bool,
}

impl<'h, 'b> Response<'h, 'b> {
    /// The status code, 100 to 599. One that is not known means what the first of its class does
    /// (RFC 9110 §15).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase as it came, without meaning (RFC 9112 §4); may be empty, in any charset.
    #[must_use]
    pub fn reason(&self) -> &'b [u8] {
        self.reason
    }

    /// HTTP/1.0 or HTTP/1.1; higher minor versions are read as 1.1 (RFC 9110 §2.5).
    #[must_use]
    pub fn version(&self) -> Version {
        if self.http11 { Version::HTTP_11 } else { Version::HTTP_10 }
    }

    /// The header lines in their order, names as sent, values without surrounding whitespace.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'h, 'b> {
        self.headers.iter().map(|header| (header.name, header.value))
    }

    /// The value of the first line with this name, in any case.
    #[must_use]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&'b [u8]> {
        self.get_all(name).next()
    }

    /// The values of all lines with this name, in their order.
    pub fn get_all<N: AsRef<str>>(
        &self,
        name: N,
    ) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b, N> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name.as_ref()))
            .map(|header| header.value)
    }

    /// The options of the connection, as [`Request::connection_options`](crate::Request::connection_options).
    pub fn connection_options(&self) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        list(self.headers, "connection")
    }

    /// What the bytes behind the head are.
    #[must_use]
    pub fn follows(&self) -> Follows {
        self.fields.follows
    }

    /// Whether another request may be sent on the connection, once the body was read to its end
    /// (RFC 9112 §9.3). Never after content that only the end of the connection ends, or in a tunnel.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        let ends = matches!(self.follows(), Follows::Body(Framing::UntilClose) | Follows::Tunnel);
        !ends && !self.fields.close && (self.http11 || self.fields.keep_alive)
    }
}

/// What the header fields mean for the connection.
#[derive(Debug, Clone, Copy)]
struct ResponseFields {
    follows: Follows,
    close: bool,
    keep_alive: bool,
}

impl ResponseFields {
    fn read(
        headers: &[Header<'_>],
        method: &Method,
        status: StatusCode,
        http11: bool,
    ) -> Result<Self, ResponseError> {
        let (mut close, mut keep_alive) = (false, false);
        for option in list(headers, "connection") {
            close |= option.eq_ignore_ascii_case(b"close");
            keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        let follows = match status.as_u16() {
            101 if list(headers, "upgrade").next().is_none() => {
                return Err(ResponseError::UpgradeToNothing);
            }
            101 => Follows::Tunnel,
            100..=199 => Follows::Response,
            // Whatever framing it claims to have is ignored (RFC 9110 §9.3.6).
            200..=299 if *method == Method::CONNECT => Follows::Tunnel,
            // The head ends them, whatever it says (RFC 9112 §6.3, first case).
            204 | 304 => Follows::Body(Framing::None),
            _ if *method == Method::HEAD => Follows::Body(Framing::None),
            _ => Follows::Body(framing(headers, http11)?),
        };
        Ok(Self { follows, close, keep_alive })
    }
}

/// The framing of a response that may have content (RFC 9112 §6.3, third case and on).
fn framing(headers: &[Header<'_>], http11: bool) -> Result<Framing, ResponseError> {
    let mut codings = Codings::default();
    let mut length = None;
    for header in headers {
        if fields::is(header, "transfer-encoding") {
            codings.read(header.value)?;
        } else if fields::is(header, "content-length") {
            if length.is_some() || members(header.value).nth(1).is_some() {
                return Err(RequestError::DuplicateContentLength.into());
            }
            let parsed = fields::parse_length(header.value);
            length = Some(parsed.ok_or(RequestError::InvalidContentLength)?);
        }
    }
    match (codings.any, length) {
        (false, None) => Ok(Framing::UntilClose),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (true, _) if !http11 => Err(ResponseError::TransferEncodingInHttp10),
        (true, Some(_)) => Err(RequestError::ContentLengthWithTransferEncoding.into()),
        // One that does not end in chunked is ended by the close, but holds codings that are not
        // decoded here.
        (true, None) => Ok(codings.finish()?),
    }
}
