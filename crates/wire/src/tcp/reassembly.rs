//! The bytes of one direction of a connection, put in order again.
//!
//! Where bytes lie is decided by the [`Tracker`](super::Tracker); here they wait until all before
//! them have come, or until it is plain that those never will.

use std::collections::BTreeMap;
use std::ops::Range;

/// What comes out of a [`Reassembly`], in the order of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes.
    Bytes(&'a [u8]),
    /// So many bytes that were never captured come next.
    Missing(u64),
}

/// Puts segments' payloads in order; of what was sent twice, the first copy is kept.
///
/// Each method hands out, in order, whatever that made known. Bytes ahead of a hole wait, at most
/// as many as were allowed; the hole is given up when the peer acknowledged what lies in it, so that
/// it did arrive and was only not captured, when too much waits behind it, and at the end.
///
/// ```
/// use sockeye_wire::tcp::{Piece, Reassembly};
///
/// let mut text = String::new();
/// let mut take = |piece: Piece<'_>| match piece {
///     Piece::Bytes(bytes) => text.push_str(std::str::from_utf8(bytes).unwrap()),
///     Piece::Missing(count) => text.push_str(&format!("[{count} missing]")),
/// };
/// let mut stream = Reassembly::new(1 << 20);
/// stream.segment(6, 2, b"ee", &mut take);
/// stream.segment(0, 4, b"Do I", &mut take);
/// stream.segment(2, 4, b" I s", &mut take);
/// stream.segment(9, 1, b"?", &mut take);
/// stream.finish(&mut take);
/// assert_eq!(text, "Do I see[1 missing]?");
/// ```
#[derive(Clone, Debug)]
pub struct Reassembly {
    /// Everything below this offset was handed out.
    next: u64,
    /// Pieces beyond it by their offsets; none overlaps another, and each is at most as long as its
    /// segment was captured.
    waiting: BTreeMap<u64, Waiting>,
    /// Bytes that wait, with [`OVERHEAD`] for each piece.
    held: usize,
    most: usize,
}

/// A part of the stream: the bytes that were captured, and how many it really had.
#[derive(Clone, Debug)]
struct Waiting {
    bytes: Vec<u8>,
    len: u64,
}

/// What a waiting piece takes beside its bytes, roughly; so that pieces without any count too.
const OVERHEAD: usize = 64;

impl Reassembly {
    /// A stream of which nothing was seen. At most `most` bytes wait; less than one segment is
    /// allowed and means that nothing does.
    #[must_use]
    pub fn new(most: usize) -> Reassembly {
        Reassembly { next: 0, waiting: BTreeMap::new(), held: 0, most }
    }

    /// Where the next byte to be handed out lies.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes in a payload of `len` bytes that begins at `start`, of which `captured` was captured.
    ///
    /// What was cut off is missing, unless another segment brings it.
    pub fn segment(
        &mut self,
        start: u64,
        len: u64,
        captured: &[u8],
        take: &mut impl FnMut(Piece<'_>),
    ) {
        let captured = &captured[..captured.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        let Some(end) = start.checked_add(len) else { return };
        if start <= self.next && self.waiting.is_empty() && captured.len() as u64 == len {
            // As nearly always: it is what comes next.
            if let Some(new) =
                usize::try_from(self.next - start).ok().and_then(|old| captured.get(old..))
                && !new.is_empty()
            {
                take(Piece::Bytes(new));
                self.next = end;
            }
            return;
        }
        self.keep(start.max(self.next)..end, start, captured);
        self.hand_out(take);
        while self.held > self.most {
            self.give_up_the_first_hole(take);
        }
    }

    /// Takes in that the peer has everything below `offset`.
    ///
    /// A hole is given up once that reaches into what waits behind it: an acknowledgment of the hole
    /// alone may have been captured ahead of the segment that it is for.
    pub fn acknowledged(&mut self, offset: u64, take: &mut impl FnMut(Piece<'_>)) {
        while let Some((&first, _)) = self.waiting.first_key_value()
            && offset > first
        {
            self.give_up_the_first_hole(take);
        }
    }

    /// Nothing more comes: all that waits is handed out.
    pub fn finish(&mut self, take: &mut impl FnMut(Piece<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up_the_first_hole(take);
        }
    }

    /// Keeps of a segment what none before it brought.
    fn keep(&mut self, new: Range<u64>, start: u64, captured: &[u8]) {
        let mut from = new.start;
        let before = self.waiting.range(..=from).next_back();
        if let Some((&at, piece)) = before {
            from = from.max(at + piece.len);
        }
        while from < new.end {
            let until =
                self.waiting.range(from..).next().map_or(new.end, |(&at, _)| at.min(new.end));
            if from < until {
                let place = |offset: u64| {
                    usize::try_from(offset - start)
                        .map_or(captured.len(), |at| at.min(captured.len()))
                };
                let bytes = captured[place(from)..place(until)].to_vec();
                self.held += bytes.len() + OVERHEAD;
                self.waiting.insert(from, Waiting { bytes, len: until - from });
            }
            from = match self.waiting.get(&until) {
                Some(known) => until + known.len,
                None => until,
            };
        }
    }

    /// Hands out what has nothing missing before it.
    fn hand_out(&mut self, take: &mut impl FnMut(Piece<'_>)) {
        while let Some(piece) = self.waiting.remove(&self.next) {
            let Waiting { bytes, len } = piece;
            self.held -= bytes.len() + OVERHEAD;
            if !bytes.is_empty() {
                take(Piece::Bytes(&bytes));
            }
            if bytes.len() as u64 != len {
                take(Piece::Missing(len - bytes.len() as u64));
            }
            self.next += len;
        }
    }

    fn give_up_the_first_hole(&mut self, take: &mut impl FnMut(Piece<'_>)) {
        let Some((&first, _)) = self.waiting.first_key_value() else { return };
        if first > self.next {
            take(Piece::Missing(first - self.next));
            self.next = first;
        }
        self.hand_out(take);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What came out: bytes, and `None` for each that is missing.
    #[derive(Default)]
    struct Out(Vec<Option<u8>>);

    impl Out {
        fn take(&mut self) -> impl FnMut(Piece<'_>) {
            |piece| match piece {
                Piece::Bytes(bytes) => self.0.extend(bytes.iter().copied().map(Some)),
                Piece::Missing(count) => {
                    self.0.extend(std::iter::repeat_n(None, usize::try_from(count).unwrap()));
                }
            }
        }
    }

    #[test]
    fn of_bytes_sent_twice_the_first_copy_is_kept() {
        let mut out = Out::default();
        let mut stream = Reassembly::new(1000);
        stream.segment(4, 4, b"EFGH", &mut out.take());
        stream.segment(2, 8, b"cdefghij", &mut out.take());
        stream.segment(0, 3, b"ABC", &mut out.take());
        stream.finish(&mut out.take());
        let bytes: Vec<u8> = out.0.into_iter().flatten().collect();
        assert_eq!(bytes, b"ABcdEFGHij".map(|byte| byte));
    }

    #[test]
    fn a_hole_that_was_acknowledged_is_given_up() {
        let mut out = Out::default();
        let mut stream = Reassembly::new(1000);
        stream.segment(0, 2, b"ab", &mut out.take());
        stream.segment(4, 2, b"ef", &mut out.take());
        stream.acknowledged(2, &mut out.take());
        assert_eq!(stream.next(), 2);
        stream.acknowledged(6, &mut out.take());
        assert_eq!(stream.next(), 6);
        stream.segment(2, 2, b"cd", &mut out.take());
        assert_eq!(out.0, [Some(b'a'), Some(b'b'), None, None, Some(b'e'), Some(b'f')]);
    }

    #[test]
    fn what_was_cut_off_is_missing() {
        let mut out = Out::default();
        let mut stream = Reassembly::new(1000);
        stream.segment(0, 4, b"a", &mut out.take());
        stream.segment(4, 1, b"e", &mut out.take());
        assert_eq!(out.0, [Some(b'a'), None, None, None, Some(b'e')]);
    }

    #[test]
    fn no_more_waits_than_was_allowed() {
        let mut out = Out::default();
        let mut stream = Reassembly::new(10_000);
        for start in (1..1_000_000).step_by(1000) {
            stream.segment(start, 900, &[7; 900], &mut out.take());
            assert!(stream.held <= 10_000);
        }
        // Empty pieces take room as well.
        for start in (1_000_000..2_000_000).step_by(2) {
            stream.segment(start, 1, b"", &mut out.take());
            assert!(stream.held <= 10_000);
        }
    }

    proptest! {
        #[test]
        fn any_order_of_overlapping_cuts_gives_the_stream_back(
            cuts in proptest::collection::vec((0_usize..200, 1_usize..40), 1..60),
        ) {
            let stream: Vec<u8> = (0..250).map(|at: u8| at.wrapping_mul(7)).collect();
            let mut out = Out::default();
            let mut reassembly = Reassembly::new(1 << 20);
            let mut come = vec![false; stream.len()];
            for &(start, len) in &cuts {
                reassembly.segment(start as u64, len as u64, &stream[start..start + len], &mut out.take());
                come[start..start + len].fill(true);
                let in_order = come.iter().take_while(|come| **come).count();
                prop_assert_eq!(reassembly.next(), in_order as u64);
            }
            reassembly.finish(&mut out.take());
            let expected = stream.iter().zip(&come).map(|(byte, come)| come.then_some(*byte));
            let last = come.iter().rposition(|come| *come).map_or(0, |at| at + 1);
            prop_assert_eq!(out.0, expected.take(last).collect::<Vec<_>>());
        }

        #[test]
        fn any_segments_keep_the_order_and_the_bound(
            segments in proptest::collection::vec(
                (any::<u64>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..50), any::<bool>()),
                0..40,
            ),
        ) {
            let mut reassembly = Reassembly::new(500);
            let mut end = 0;
            for (start, len, bytes, acknowledges) in segments {
                let mut count = |piece: Piece<'_>| end += match piece {
                    Piece::Bytes(bytes) => bytes.len() as u64,
                    Piece::Missing(count) => count,
                };
                reassembly.segment(start, u64::from(len), &bytes, &mut count);
                if acknowledges {
                    reassembly.acknowledged(start, &mut count);
                }
                prop_assert_eq!(end, reassembly.next());
                prop_assert!(reassembly.held <= 500);
            }
        }
    }
}
