//! An answer off the hot path: a status, header lines and content of any kind.
#![allow(dead_code, reason = "uploads, ranges and archives are built on it next")]

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sockeye_http::StatusCode;

use super::produce::Produce;
use super::root::Opened;

/// An answer as a whole. Date, Content-Length, Transfer-Encoding and Connection are added when it is
/// sent.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
}

/// What follows the head.
pub(super) enum Content {
    /// Nothing: a length of 0, where the status lets content be at all.
    Empty,
    Bytes(Bytes),
    /// A range of a file, which leaves without passing through here.
    File(Opened, Range<u64>),
    /// One behind the other.
    Parts(Vec<Part>),
    /// Made while it is sent; with its length, if that is known.
    Produced(Box<dyn Produce>, Option<u64>),
}

/// A part of the content.
pub(super) enum Part {
    Bytes(Bytes),
    File(Arc<Opened>, Range<u64>),
}

impl Reply {
    /// Without content.
    pub(super) fn new(status: StatusCode) -> Reply {
        Reply { status, headers: HeaderMap::new(), content: Content::Empty }
    }

    /// One more line of this name.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.append(name, value);
        self
    }

    pub(super) fn content(mut self, content: Content) -> Reply {
        self.content = content;
        self
    }

    /// Content of this media type.
    pub(super) fn typed(self, media_type: &'static str, content: impl Into<Bytes>) -> Reply {
        self.header(header::CONTENT_TYPE, HeaderValue::from_static(media_type))
            .content(Content::Bytes(content.into()))
    }

    pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Reply {
        Reply::new(status).typed("text/plain; charset=utf-8", text.into())
    }

    /// Why it can't be done: the status, and a line for a person.
    pub(super) fn failure(status: StatusCode, detail: &str) -> Reply {
        let reason = status.canonical_reason().unwrap_or_default();
        // Told as plain text; what a peer sent may be a part of it.
        let shown = detail.replace(char::is_control, "?");
        Reply::text(status, format!("{} {reason}\n{shown}\n", status.as_str()))
            .header(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
    }
}

impl Content {
    /// Bytes, if that is known before it is sent.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Content::Empty => Some(0),
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::File(_, range) => Some(range.end - range.start),
            Content::Parts(parts) => Some(parts.iter().map(Part::length).sum()),
            Content::Produced(_, length) => *length,
        }
    }
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File(_, range) => range.end - range.start,
        }
    }
}
