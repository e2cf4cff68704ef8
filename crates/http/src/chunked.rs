//! The chunked coding, written: content whose length is not known when the head goes out
//! (RFC 9112 §7.1).

use http::header::HeaderName;

use crate::lines;
use crate::response::InvalidValue;
use crate::trailers::NEVER;

/// The line before a chunk: its size and CRLF. Behind the chunk's data comes another CRLF.
///
/// For content that is not copied together; [`write_chunk`] writes a whole chunk.
///
/// ```
/// use sockeye_http::chunked::ChunkHead;
/// assert_eq!(ChunkHead::new(255).map(|head| head.as_bytes().to_vec()), Some(b"ff\r\n".to_vec()));
/// assert!(ChunkHead::new(0).is_none(), "a chunk of nothing would end the body");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHead {
    /// Sixteen digits and CRLF, to the right.
    bytes: [u8; 18],
    start: usize,
}

impl ChunkHead {
    /// The line before a chunk of `size` bytes; none for 0, which is the mark of the body's end.
    #[must_use]
    pub fn new(size: u64) -> Option<Self> {
        if size == 0 {
            return None;
        }
        let mut head = Self { bytes: [b'\r'; 18], start: 16 };
        head.bytes[17] = b'\n';
        let mut left = size;
        for (at, place) in head.bytes.iter_mut().enumerate().take(16).rev() {
            if left == 0 {
                break;
            }
            *place = b"0123456789abcdef"[usize::from(u8::try_from(left % 16).unwrap_or(0))];
            head.start = at;
            left /= 16;
        }
        Some(head)
    }

    /// The line, CRLF included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// Appends one chunk; nothing for empty `data`, because a chunk of nothing would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
    if let Some(head) = ChunkHead::new(size) {
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// What ends a chunked body that has no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The end of a chunked body with trailers: the last chunk, and fields behind it.
///
/// Send trailers only to those who asked by `TE: trailers`, and announce them by `Trailer`
/// (RFC 9110 §6.5). Dropped before [`finish`](Self::finish), it takes back what it wrote.
///
/// ```
/// use sockeye_http::chunked::{LastChunk, write_chunk};
/// use sockeye_http::header::HeaderName;
/// let mut out = Vec::new();
/// write_chunk(&mut out, b"hello");
/// let mut last = LastChunk::new(&mut out);
/// last.trailer(&HeaderName::from_static("digest"), "x")?;
/// last.finish();
/// assert_eq!(out, b"5\r\nhello\r\n0\r\nDigest: x\r\n\r\n");
/// # Ok::<(), sockeye_http::chunked::InvalidTrailer>(())
/// ```
#[derive(Debug)]
#[must_use = "the end is taken back unless it is finished"]
pub struct LastChunk<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

/// Why a trailer is not written. The caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrailer {
    /// A field that frames, routes, authenticates or describes a message.
    #[error("a field that may not be a trailer (RFC 9110 §6.5.1)")]
    Forbidden,
    /// A control character in the value.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

impl<'o> LastChunk<'o> {
    /// Writes the last chunk.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(b"0\r\n");
        Self { out, start }
    }

    /// Writes a trailer.
    ///
    /// # Errors
    /// See [`InvalidTrailer`]; nothing is written.
    pub fn trailer(
        &mut self,
        name: &HeaderName,
        value: impl AsRef<[u8]>,
    ) -> Result<&mut Self, InvalidTrailer> {
        if NEVER.contains(name) {
            return Err(InvalidTrailer::Forbidden);
        }
        lines::header(self.out, name, value.as_ref())?;
        Ok(self)
    }

    /// Ends the body.
    pub fn finish(mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.start = self.out.len();
    }
}

impl Drop for LastChunk<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LENGTH, ETAG, HOST};

    use super::*;

    #[test]
    fn a_chunk_says_its_size_in_hexadecimal_digits() {
        for (size, line) in [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (0xabc_def0, "abcdef0\r\n"),
            (u64::MAX - 1, "fffffffffffffffe\r\n"),
            (u64::MAX, "ffffffffffffffff\r\n"),
        ] {
            let head = ChunkHead::new(size).expect("not empty");
            assert_eq!(head.as_bytes(), line.as_bytes());
        }
    }

    #[test]
    fn nothing_is_no_chunk() {
        let mut out = Vec::new();
        write_chunk(&mut out, b"");
        assert_eq!(out, b"");
    }

    #[test]
    fn a_trailer_that_would_change_the_message_is_not_written() {
        let mut out = b"before".to_vec();
        let mut last = LastChunk::new(&mut out);
        for name in [CONTENT_LENGTH, HOST] {
            assert_eq!(last.trailer(&name, "1").err(), Some(InvalidTrailer::Forbidden));
        }
        let split = last.trailer(&ETAG, "a\r\n\r\nHTTP/1.1 200 OK");
        assert_eq!(split.err(), Some(InvalidTrailer::Value(InvalidValue)));
        drop(last);
        assert_eq!(out, b"before");
    }
}
