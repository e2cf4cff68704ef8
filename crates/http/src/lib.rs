//! HTTP/1.1 messages as pure functions of bytes: no socket, no clock, no thread.
//!
//! ```text
//!   bytes ──> head::RequestParser ──> Request ──> target::Target ──> path::RelativePath
//!     │                                  │
//!     │                                  ├──────> conditional::evaluate ──> 304, 412 or go on
//!     │                                  ├──────> range::evaluate ──> 206, 416 or all of it
//!     │                                  ├──────> negotiate::AcceptEncoding ──> br, zstd, gzip or as it is
//!     └────> body::BodyDecoder <── Framing
//!                    └──────────> multipart::MultipartDecoder ──> the files of a form
//!
//!   bytes <── response::ResponseHead <── date::ImfFixdate, etag::EntityTag
//!     └────── chunked::{write_chunk, LastChunk}
//! ```
//! and the other way round for a client: [`RequestHead`] writes, [`ResponseParser`] reads.
//!
//! The order of calls for a connection: [`RequestParser::parse`] with everything received since the
//! end of the last message, until it is [`Progress::Complete`]; then, when [`Request::body`] is not
//! [`Framing::None`], feed the bytes after the head to a [`BodyDecoder`] until it is done; then the
//! next request starts. After a [`RequestError`] or a [`BodyError`] the border between messages is
//! lost: answer with its `status()` and close.
//!
//! Whatever this crate accepts has one reading only. Where RFC 9112 lets a recipient be lenient (bare
//! LF, folded lines, repeated Content-Length, several empty lines before a request), it is not,
//! because two programs in a chain that are lenient in different ways can be made to disagree on
//! where a request ends.
//!
//! ```
//! use sockeye_http::{Framing, HeaderStorage, Limits, Progress, RequestParser};
//!
//! let bytes = b"GET /notes.txt?x=1 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
//! let mut parser = RequestParser::new();
//! let mut storage = HeaderStorage::new();
//! match parser.parse(bytes, &Limits::default(), &mut storage)? {
//!     Progress::Incomplete => unreachable!("the head is whole"),
//!     Progress::Complete { request, consumed } => {
//!         assert_eq!(consumed, bytes.len());
//!         assert_eq!(request.target().path(), Some("/notes.txt"));
//!         assert_eq!(request.body(), Framing::None);
//!         assert!(request.keep_alive());
//!     }
//! }
//! # Ok::<(), sockeye_http::RequestError>(())
//! ```
#![forbid(unsafe_code)]

pub mod authority;
pub mod body;
pub mod chunked;
pub mod conditional;
pub mod date;
pub mod error;
pub mod etag;
mod fields;
pub mod head;
pub mod limits;
mod lines;
pub mod multipart;
pub mod negotiate;
pub mod path;
pub mod range;
pub mod received;
pub mod request;
pub mod response;
mod strict;
pub mod target;
pub mod trailers;

pub use authority::Authority;
pub use body::{BodyDecoder, BodyError, BodyLimits, Decoded, Skipped};
pub use conditional::Precondition;
pub use date::{DateCache, ImfFixdate};
pub use error::RequestError;
pub use etag::{EntityTag, FileStamp};
pub use fields::Framing;
pub use head::{HeaderStorage, Progress, Request, RequestParser, parse_request};
pub use limits::Limits;
pub use negotiate::{AcceptEncoding, Coding};
pub use path::{PathError, RelativePath, decode_path, encode_segment};
pub use range::{ContentRange, Ranges};
pub use received::{Follows, Response, ResponseError, ResponseParser, ResponseProgress};
pub use request::{InvalidRequest, RequestHead};
pub use response::{ErrorResponse, InvalidValue, Persistence, ResponseHead};
pub use target::{Target, TargetError};
pub use trailers::Trailers;

pub use http::{Method, StatusCode, Version, header};

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
