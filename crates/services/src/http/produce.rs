//! Content that is made while it is sent.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

/// Makes content part by part, off the loop: it may read files and compute.
///
/// Parts of 16 to 256 KiB are worth their way; the next one is asked for when the kernel has taken
/// the last, so that memory stays bounded by what one part takes.
pub(super) trait Produce: Send {
    /// The next part; empty if there is none yet, and None at the end.
    ///
    /// # Errors
    ///
    /// It can't be made. The connection is closed without the end of the content, so that the client
    /// sees that it is cut short (RFC 9112 §8).
    fn next(&mut self) -> io::Result<Option<Bytes>>;

    /// How long to wait before the next part is asked for; on the loop, so that it costs no thread.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }

    /// What follows chunked content, at its end.
    fn trailers(&mut self) -> HeaderMap {
        HeaderMap::new()
    }
}
