//! When the bytes of the peer's stream could be read: once all before them had come.

use std::ops::Range;

use sockeye_engine::probe::{Direction, Stamp};

use crate::finding;
use crate::record::{Event, History, Segment};

/// So many pieces behind a hole are remembered; of what comes behind them it is not known when it
/// could be read until our end acknowledges it.
const BEHIND_MAX: usize = 256;

/// What had come of the peer's stream, and when.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Up to which offset all was there, and since when; both grow. The FIN counts as a byte, and a
    /// reset ends everything.
    known: Vec<(u64, Stamp)>,
    /// While later bytes were there and earlier ones were missing.
    holes: Vec<Range<Stamp>>,
}

impl Arrivals {
    /// Reads the segments of a history of which nothing was left out.
    pub(super) fn of(history: &History) -> Arrivals {
        let segments = history.events.iter().filter_map(|event| match event {
            Event::Segment(segment) => Some(segment),
            _ => None,
        });
        let mut segments: Vec<&Segment> = segments.collect();
        segments.sort_by_key(|segment| segment.at);
        let mut arrivals = Arrivals::default();
        // Seen from its beginning, the first byte is known to be the first.
        let next = history.isn[0].map(|_| 0);
        let mut stream = Stream { next, behind: Vec::new(), since: Stamp(0) };
        for segment in segments {
            let before = (stream.next, stream.behind.is_empty());
            stream.take(segment);
            match (before.1, stream.behind.is_empty()) {
                (true, false) => stream.since = segment.at,
                (false, true) => arrivals.holes.push(stream.since..segment.at),
                _ => {}
            }
            if stream.next != before.0 {
                arrivals.known.extend(stream.next.map(|next| (next, segment.at)));
            }
        }
        arrivals.holes = finding::apart(arrivals.holes);
        arrivals
    }

    /// When the byte at this offset, or what stands behind the last one, could be read.
    pub(super) fn of_offset(&self, offset: u64) -> Option<Stamp> {
        let first = self.known.partition_point(|(end, _)| *end <= offset);
        self.known.get(first).map(|(_, at)| *at)
    }

    /// While later bytes were there and earlier ones were missing: in order, apart from one another.
    pub(super) fn holes(self) -> Vec<Range<Stamp>> {
        self.holes
    }
}

/// The peer's stream as it comes.
struct Stream {
    /// Behind the last byte before which all is there; None while that is not known.
    next: Option<u64>,
    /// What came behind a hole.
    behind: Vec<Range<u64>>,
    /// When the first of it did.
    since: Stamp,
}

impl Stream {
    fn take(&mut self, segment: &Segment) {
        if segment.direction == Direction::Sent {
            // What our end acknowledges has come, whether it was captured or not.
            if let Some(ack) = segment.ack.filter(|_| !segment.flags.rst())
                && self.next.is_some_and(|next| next < ack.offset)
            {
                self.reach(ack.offset);
            }
            return;
        }
        if segment.flags.rst() {
            self.behind.clear();
            self.next = Some(u64::MAX);
            return;
        }
        let fin = u64::from(segment.flags.fin());
        let range = segment.range.start..segment.range.end.saturating_add(fin);
        if range.is_empty() {
            return;
        }
        if self.next.is_none_or(|next| range.start <= next) {
            self.reach(range.end);
        } else if self.behind.len() < BEHIND_MAX {
            self.behind.push(range);
        }
    }

    fn reach(&mut self, end: u64) {
        let mut next = self.next.map_or(end, |next| next.max(end));
        while let Some(place) = self.behind.iter().position(|range| range.start <= next) {
            next = next.max(self.behind.swap_remove(place).end);
        }
        self.next = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Ack, Mark};
    use sockeye_wire::tcp::Flags;

    fn segment(direction: Direction, range: Range<u64>, ack: u64, at: u64) -> Segment {
        Segment {
            at: Stamp(at),
            direction,
            seq: 0,
            payload: u32::try_from(range.end - range.start).unwrap(),
            range,
            flags: Flags::ACK,
            ack: Some(Ack { offset: ack, fin: false, advances: true }),
            window: 9,
            mark: Mark::None,
            sack: None,
        }
    }

    fn stream(pieces: &[(Range<u64>, u64)]) -> Stream {
        let mut stream = Stream { next: Some(0), behind: Vec::new(), since: Stamp(0) };
        for (range, at) in pieces {
            stream.take(&segment(Direction::Received, range.clone(), 0, *at));
        }
        stream
    }

    #[test]
    fn what_comes_behind_a_hole_can_be_read_once_the_hole_is_filled() {
        let early = stream(&[(0..10, 1), (20..30, 2), (40..50, 3), (30..40, 4)]);
        assert_eq!((early.next, early.behind.len()), (Some(10), 3));
        let filled = stream(&[(0..10, 1), (20..30, 2), (40..50, 3), (30..40, 4), (10..20, 5)]);
        assert_eq!((filled.next, filled.behind.len()), (Some(50), 0));
    }

    #[test]
    fn what_our_end_acknowledges_has_come_though_nobody_saw_it() {
        let mut stream = stream(&[(0..10, 1), (20..30, 2)]);
        stream.take(&segment(Direction::Sent, 0..0, 20, 3));
        assert_eq!((stream.next, stream.behind.len()), (Some(30), 0));
    }

    #[test]
    fn pieces_behind_a_hole_are_remembered_within_bounds() {
        let pieces: Vec<_> = (1..1000).map(|piece| (piece * 20..piece * 20 + 10, piece)).collect();
        assert_eq!(stream(&pieces).behind.len(), BEHIND_MAX);
    }
}
