//! Cutting a stream into frames.

use std::ops::Range;

use bytes::Bytes;

use super::measure::{Found, Measure, Wrong};
use super::{FrameError, FrameErrorKind, Framing};

/// The longest payload unless another limit is set: 16 MiB.
pub const DEFAULT_MAX_FRAME: usize = 16 << 20;

/// One message, and where it lay on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The message without header and border. A part of what was pushed, not a copy, if it lay in
    /// one push, which stays in memory as long as any of its frames.
    pub payload: Bytes,
    /// Where header, payload and border lie, in bytes from the beginning of the stream.
    pub range: Range<u64>,
    /// Where the payload lies, within `range`.
    pub payload_range: Range<u64>,
    /// The stream ended where a border was due (`line` and `delimiter`).
    pub unterminated: bool,
}

/// Cuts a stream into frames: [`push`](Decoder::push) what arrived, then [`next`](Decoder::next)
/// until it has none, and at the end of the stream [`finish`](Decoder::finish) until it has none.
///
/// Frames do not depend on how the stream was cut into pushes, but for `raw`, where the cuts are
/// the frames, and `gap`, where the silences are. Time is linear in the bytes pushed.
/// Memory is bounded by one frame and one push, if `next` is asked until it has none.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    measure: Measure,
    /// The last push, of which the first `at` bytes are done with.
    pushed: Bytes,
    at: usize,
    /// The beginning of a frame whose end was not among the pushes it came with.
    partial: Vec<u8>,
    /// How far `partial` has been searched for a border.
    scanned: usize,
    /// Where the next frame begins on the stream.
    offset: u64,
    failed: Option<FrameError>,
}

impl Decoder {
    /// A decoder at the beginning of a stream, with frames of at most [`DEFAULT_MAX_FRAME`].
    #[must_use]
    pub fn new(framing: Framing) -> Decoder {
        Decoder::with_max_frame(framing, DEFAULT_MAX_FRAME)
    }

    /// A decoder at the beginning of a stream, whose payloads have at most `max_frame` bytes.
    ///
    /// An announced length above it is an error at its header, before any memory is taken; bytes
    /// without a border are one as soon as there are more. `fixed` has its limit in itself, and
    /// `raw` holds nothing back: both know no other.
    #[must_use]
    pub fn with_max_frame(framing: Framing, max_frame: usize) -> Decoder {
        // No vector is longer than isize::MAX; half of that leaves room for every sum.
        let measure = Measure::new(&framing, max_frame.min(usize::MAX / 4));
        Decoder {
            framing,
            measure,
            pushed: Bytes::new(),
            at: 0,
            partial: Vec::new(),
            scanned: 0,
            offset: 0,
            failed: None,
        }
    }

    /// The framing it was made with.
    #[must_use]
    pub fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Where the next frame begins, in bytes from the beginning of the stream.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes were pushed that belong to no frame yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.partial.len() + self.pushed.len() - self.at
    }

    /// Takes the next bytes of the stream.
    ///
    /// If `next` was not asked until it had none, what is left of the last push is copied in front
    /// of this one. After an error nothing is taken.
    pub fn push(&mut self, bytes: Bytes) {
        if self.failed.is_some() {
            return;
        }
        self.pushed = if self.at < self.pushed.len() {
            [&self.pushed[self.at..], &bytes].concat().into()
        } else {
            bytes
        };
        self.at = 0;
    }

    /// Copies the next bytes of the stream; otherwise as [`push`](Decoder::push).
    pub fn push_slice(&mut self, bytes: &[u8]) {
        self.push(Bytes::copy_from_slice(bytes));
    }

    /// The next frame that is whole, `None` if there is none among what was pushed.
    ///
    /// # Errors
    ///
    /// If the stream does not hold to the framing, or a frame is longer than allowed; and then the
    /// same error whenever it is asked again.
    #[expect(clippy::should_implement_trait, reason = "None is not the end, and there are errors")]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let found = if self.partial.is_empty() { self.cut() } else { self.complete() };
        found.map_err(|wrong| self.fail(wrong))
    }

    /// The next frame, given that nothing more will be pushed; `None` if all are out.
    ///
    /// Frames that `next` has not been asked for come first. What is left without its border is a
    /// frame that says so for `line` and `delimiter`, and simply the last one for `gap`.
    ///
    /// # Errors
    ///
    /// As `next`, and if the stream ends within a frame of known length.
    pub fn finish(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(frame) = self.next()? {
            return Ok(Some(frame));
        }
        self.take_partial()
    }

    /// Tells that the stream was silent for as long as [`Framing::Gap`] asks, and takes the frame
    /// that ends so: `None` if nothing arrived since the last one, and with all other framings.
    ///
    /// # Errors
    ///
    /// As `next`.
    pub fn silence(&mut self) -> Result<Option<Frame>, FrameError> {
        match self.framing {
            Framing::Gap(_) => self.finish(),
            _ => Ok(None),
        }
    }

    /// Cuts a frame off what was pushed last; if it is not whole, keeps what there is of it.
    fn cut(&mut self) -> Result<Option<Frame>, Wrong> {
        let rest = &self.pushed[self.at..];
        if rest.is_empty() {
            self.pushed = Bytes::new();
            self.at = 0;
            return Ok(None);
        }
        match self.measure.look(rest, 0)? {
            Found::Frame { header, payload, border } => {
                let begin = self.at + header;
                let payload_bytes = self.pushed.slice(begin..begin + payload);
                self.at += header + payload + border;
                Ok(Some(self.frame(payload_bytes, header, border)))
            }
            Found::More { scanned, .. } => {
                self.partial.extend_from_slice(rest);
                self.scanned = scanned;
                self.pushed = Bytes::new();
                self.at = 0;
                Ok(None)
            }
        }
    }

    /// Adds to the frame that has begun what it still wants, and no more.
    fn complete(&mut self) -> Result<Option<Frame>, Wrong> {
        loop {
            match self.measure.look(&self.partial, self.scanned)? {
                Found::Frame { header, payload, border } => {
                    let mut bytes = std::mem::take(&mut self.partial);
                    self.scanned = 0;
                    self.at -= bytes.len() - (header + payload + border);
                    bytes.truncate(header + payload);
                    let payload_bytes = Bytes::from(bytes).slice(header..);
                    return Ok(Some(self.frame(payload_bytes, header, border)));
                }
                Found::More { wanted, scanned } => {
                    self.scanned = scanned;
                    let rest = &self.pushed[self.at..];
                    if rest.is_empty() {
                        self.pushed = Bytes::new();
                        self.at = 0;
                        return Ok(None);
                    }
                    let taken = wanted.min(rest.len());
                    self.partial.extend_from_slice(&rest[..taken]);
                    self.at += taken;
                }
            }
        }
    }

    /// Ends the frame that has begun, because the stream or a silence does.
    fn take_partial(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.partial.is_empty() {
            return Ok(None);
        }
        let unterminated = match self.measure.at_end(&self.partial) {
            Ok(unterminated) => unterminated,
            Err(wrong) => return Err(self.fail(wrong)),
        };
        self.scanned = 0;
        let payload = Bytes::from(std::mem::take(&mut self.partial));
        Ok(Some(Frame { unterminated, ..self.frame(payload, 0, 0) }))
    }

    /// Places a payload on the stream and goes on behind it.
    fn frame(&mut self, payload: Bytes, header: usize, border: usize) -> Frame {
        let start = self.offset;
        let begin = start + long(header);
        let end = begin + long(payload.len());
        self.offset = end + long(border);
        Frame { payload, range: start..self.offset, payload_range: begin..end, unterminated: false }
    }

    /// Gives all memory back: nothing behind an error can be cut.
    fn fail(&mut self, (distance, kind): Wrong) -> FrameError {
        let kind = match kind {
            FrameErrorKind::Truncated { missing, .. } => {
                FrameErrorKind::Truncated { start: self.offset, missing }
            }
            kind => kind,
        };
        let error = FrameError { offset: self.offset + long(distance), kind };
        self.failed = Some(error);
        self.pushed = Bytes::new();
        self.at = 0;
        self.partial = Vec::new();
        error
    }
}

/// A count of bytes in memory as a distance on the stream.
fn long(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("usize has at most 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_searched_twice_for_a_border_but_those_it_may_have_begun_with() {
        for (framing, again) in [("line", 0), ("delimiter=;;;", 2)] {
            let mut decoder = Decoder::new(framing.parse().expect(framing));
            for pushed in 1..1000 {
                decoder.push_slice(b"a");
                assert_eq!(decoder.next(), Ok(None));
                assert_eq!(decoder.scanned, usize::saturating_sub(pushed, again));
            }
        }
    }

    #[test]
    fn an_announced_length_takes_no_memory_before_its_bytes_arrive() {
        for header in [("length=u32", &b"\0\xff\xff\xffabc"[..]), ("netstring", b"16000000:abc")] {
            let mut decoder = Decoder::new(header.0.parse().expect(header.0));
            decoder.push_slice(header.1);
            assert_eq!(decoder.next(), Ok(None));
            decoder.push_slice(b"def");
            assert_eq!(decoder.next(), Ok(None));
            assert!(decoder.partial.capacity() < 1000, "{}", decoder.partial.capacity());
        }
    }
}
