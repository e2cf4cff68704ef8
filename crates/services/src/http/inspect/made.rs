//! Content made on demand: the same bytes for the same question, of any length, in little memory.

use std::io;
use std::ops::Range;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::http::produce::Produce;

/// Bytes made at once.
const PART: u64 = 64 * 1024;

/// Bytes that look random and follow from their offset and a seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    pub(super) seed: u64,
}

impl Pattern {
    fn fill(self, range: Range<u64>) -> Vec<u8> {
        let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
        let skipped = usize::try_from(range.start % 8).unwrap_or(0);
        let words = (range.start / 8..range.end.div_ceil(8)).flat_map(|at| self.word(at));
        words.skip(skipped).take(count).collect()
    }

    /// SplitMix64 of the word's number.
    fn word(self, at: u64) -> [u8; 8] {
        let mut mixed =
            self.seed.wrapping_add(at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    }
}

/// A piece of content.
#[derive(Debug)]
pub(super) enum Piece {
    Made(Range<u64>),
    Ready(String),
}

/// Pieces of a pattern and text between them, one behind the other.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) pattern: Pattern,
    /// The next one is the last of the list.
    pub(super) pieces: Vec<Piece>,
}

impl Produce for Pieces {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.pieces.pop() {
            None => Ok(None),
            Some(Piece::Ready(text)) => Ok(Some(text.into())),
            Some(Piece::Made(range)) => {
                let end = range.end.min(range.start.saturating_add(PART));
                if end < range.end {
                    self.pieces.push(Piece::Made(end..range.end));
                }
                Ok(Some(self.pattern.fill(range.start..end).into()))
            }
        }
    }
}

/// Chunks of one size, and the digest of all behind them.
pub(super) struct Chunks {
    pattern: Pattern,
    left: Range<u64>,
    chunk: u64,
    digest: Sha256,
}

impl Chunks {
    pub(super) fn new(size: u64, chunk: u64) -> Chunks {
        Chunks { pattern: Pattern { seed: 0 }, left: 0..size, chunk, digest: Sha256::new() }
    }
}

impl Produce for Chunks {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let end = self.left.end.min(self.left.start.saturating_add(self.chunk));
        if end == self.left.start {
            return Ok(None);
        }
        let made = self.pattern.fill(self.left.start..end);
        self.left.start = end;
        self.digest.update(&made);
        Ok(Some(made.into()))
    }

    fn trailers(&mut self) -> HeaderMap {
        let digest = STANDARD.encode(self.digest.clone().finalize());
        let value = HeaderValue::from_str(&format!("sha-256=:{digest}:"));
        let name = HeaderName::from_static("content-digest");
        value.into_iter().map(|value| (name.clone(), value)).collect()
    }
}

/// Content that comes in drips.
#[derive(Debug)]
pub(super) struct Drip {
    /// Asterisks still to come.
    pub(super) left: u64,
    pub(super) each: u64,
    /// Before the next drip, and before those behind it.
    pub(super) first: Duration,
    pub(super) pause: Duration,
}

impl Produce for Drip {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let count = self.left.min(self.each);
        self.left -= count;
        self.first = self.pause;
        let made = vec![b'*'; usize::try_from(count).unwrap_or(0)];
        Ok((!made.is_empty()).then(|| made.into()))
    }

    fn pause(&self) -> Duration {
        if self.left == 0 { Duration::ZERO } else { self.first }
    }
}

/// Content that breaks off.
#[derive(Debug)]
pub(super) struct Broken {
    /// Asterisks that still come.
    pub(super) left: u64,
}

impl Produce for Broken {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let made = vec![b'*'; usize::try_from(self.left).unwrap_or(0)];
        self.left = 0;
        Ok(Some(made.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_of_a_pattern_has_the_bytes_of_the_whole() {
        let pattern = Pattern { seed: 7 };
        let whole = pattern.fill(0..100);
        assert_eq!(whole.len(), 100);
        for (start, end) in [(0, 0), (0, 1), (7, 9), (8, 16), (13, 100), (99, 100)] {
            let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
            assert_eq!(pattern.fill(start..end), whole[range]);
        }
        assert_ne!(whole, Pattern { seed: 8 }.fill(0..100));
    }
}
