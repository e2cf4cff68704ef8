//! What can be wrong with a request head, each with its section of the RFC and its status code.

use http::StatusCode;

use crate::target::TargetError;

/// Why a request head is refused. Every variant is the peer's fault.
///
/// The first error in the order of the bytes is the one reported, and it does not depend on how the
/// bytes were cut when they arrived. The text is fixed and holds nothing the peer sent, so it may be
/// shown on a terminal or sent back. The connection can't be used for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RequestError {
    /// CR without LF.
    #[error("bare CR in the head (RFC 9112 §2.2)")]
    BareCr,
    /// LF without CR.
    #[error("bare LF in the head: lines end with CRLF (RFC 9112 §2.2)")]
    BareLf,
    /// The last transfer coding of a message is not chunked, so its length is unknown.
    #[error("chunked is not the final transfer coding (RFC 9112 §6.3)")]
    ChunkedNotFinal,
    /// Content in a CONNECT request: what follows its head belongs to the tunnel, if there is one.
    #[error("content in a CONNECT request (RFC 9110 §9.3.6)")]
    ContentInConnect,
    /// Transfer-Encoding and Content-Length in one message.
    #[error("both Transfer-Encoding and Content-Length (RFC 9112 §6.1)")]
    ContentLengthWithTransferEncoding,
    /// chunked applied twice.
    #[error("chunked applied more than once (RFC 9112 §6.1)")]
    DuplicateChunked,
    /// More than one Content-Length, be they equal or not, as lines or as a list.
    #[error("more than one Content-Length (RFC 9112 §6.3)")]
    DuplicateContentLength,
    /// More than one Host.
    #[error("more than one Host (RFC 9112 §3.2)")]
    DuplicateHost,
    /// A header line that begins with a colon.
    #[error("empty header name (RFC 9112 §5)")]
    EmptyHeaderName,
    /// The head is longer than [`Limits::head_bytes`](crate::Limits::head_bytes).
    #[error("the head is too long (RFC 6585 §5)")]
    HeadTooLarge,
    /// Not digits alone, or above 2⁶⁴−1.
    #[error("invalid Content-Length (RFC 9110 §8.6)")]
    InvalidContentLength,
    /// A byte that is no token character in a header name.
    #[error("invalid character in a header name (RFC 9110 §5.1)")]
    InvalidHeaderName,
    /// NUL, DEL or another control character in a header value.
    #[error("control character in a header value (RFC 9110 §5.5)")]
    InvalidHeaderValue,
    /// Host is no uri-host with an optional port.
    #[error("invalid Host (RFC 9110 §7.2)")]
    InvalidHost,
    /// The method is no token.
    #[error("invalid method (RFC 9110 §9.1)")]
    InvalidMethod,
    /// The request-target is malformed, or of the wrong form for the method.
    #[error(transparent)]
    InvalidTarget(#[from] TargetError),
    /// Transfer-Encoding is no list of transfer codings: empty members, parameters on chunked.
    #[error("invalid Transfer-Encoding (RFC 9112 §6.1)")]
    InvalidTransferEncoding,
    /// What follows the target is no HTTP version.
    #[error("invalid HTTP version (RFC 9112 §2.3)")]
    InvalidVersion,
    /// More than one empty line before the request-line.
    #[error("empty lines before the request-line (RFC 9112 §2.2)")]
    LeadingEmptyLines,
    /// A header line without a colon.
    #[error("header line without a colon (RFC 9112 §5)")]
    MissingColon,
    /// HTTP/1.1 without Host.
    #[error("no Host (RFC 9112 §3.2)")]
    MissingHost,
    /// A request-line of method and target alone, as in HTTP/0.9.
    #[error("no HTTP version in the request-line (RFC 9112 §3)")]
    MissingVersion,
    /// A header value continued on the next line.
    #[error("folded header line (RFC 9112 §5.2)")]
    ObsFold,
    /// Whitespace in a header name, or between it and the colon.
    #[error("whitespace before the colon of a header line (RFC 9112 §5.1)")]
    SpaceBeforeColon,
    /// The target is longer than [`Limits::target_bytes`](crate::Limits::target_bytes).
    #[error("the request-target is too long (RFC 9110 §15.5.15)")]
    TargetTooLong,
    /// More header lines than [`Limits::headers`](crate::Limits::headers).
    #[error("too many header lines (RFC 6585 §5)")]
    TooManyHeaders,
    /// Transfer-Encoding in HTTP/1.0.
    #[error("Transfer-Encoding in an HTTP/1.0 request (RFC 9112 §6.1)")]
    TransferEncodingInHttp10,
    /// An expectation other than 100-continue.
    #[error("unknown expectation (RFC 9110 §10.1.1)")]
    UnknownExpectation,
    /// A method that is a token, but none we know.
    #[error("unknown method (RFC 9110 §9.1)")]
    UnknownMethod,
    /// A transfer coding below chunked that we don't decode.
    #[error("unsupported transfer coding (RFC 9112 §6.1)")]
    UnknownTransferCoding,
    /// A version whose major number is not 1.
    #[error("unsupported HTTP version (RFC 9110 §15.6.6)")]
    UnsupportedVersion,
    /// Whitespace between the request-line and the first header.
    #[error("whitespace before the first header line (RFC 9112 §2.2)")]
    WhitespaceBeforeHeaders,
}

impl RequestError {
    /// The status code to answer with, before closing the connection.
    ///
    /// ```
    /// use sockeye_http::{RequestError, StatusCode};
    /// assert_eq!(RequestError::TargetTooLong.status(), StatusCode::URI_TOO_LONG);
    /// ```
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::UnknownExpectation => StatusCode::EXPECTATION_FAILED,
            Self::UnknownMethod | Self::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::UnsupportedVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
