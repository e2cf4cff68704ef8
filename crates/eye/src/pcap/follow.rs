//! The bytes of one connection of a capture, both ways.

use sockeye_engine::probe::Direction;
use sockeye_wire::packet::Segment;
use sockeye_wire::tcp::{End, Mark, Piece, Reassembly, Tracker};

use super::conversations::Place;
use crate::timeline::{index, opposite};

/// The most bytes of one direction that wait for those before them.
const WAITING: usize = 16 << 20;

/// What came next in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// From this offset on, so many bytes are not in the capture.
    Missing {
        /// Where the first of them lies in the stream.
        offset: u64,
        /// How many they are.
        count: u64,
    },
}

/// Puts the streams of one connection together, each in its order, and both in the order in which
/// that became known.
///
/// Of bytes that were sent twice the first copy counts. What is missing is told once the peer
/// acknowledged what lies behind it, or at the end.
#[derive(Debug)]
pub struct Follow {
    number: u64,
    tracker: Tracker,
    streams: [Reassembly; 2],
    /// Where each stream begins: a byte below the first one seen was never told of.
    begun: [bool; 2],
}

impl Follow {
    /// The connection with this number.
    #[must_use]
    pub fn new(number: u64) -> Follow {
        let stream = || Reassembly::new(WAITING);
        Follow { number, tracker: Tracker::new(), streams: [stream(), stream()], begun: [false; 2] }
    }

    /// Takes in a segment with what was captured of its payload; `take` is given what became known.
    /// Directions are those seen from the server.
    pub fn segment(
        &mut self,
        place: &Place,
        segment: &Segment,
        payload: &[u8],
        take: &mut impl FnMut(Direction, Told<'_>),
    ) {
        if place.number != self.number {
            return;
        }
        let from = match place.direction {
            Direction::Received => End::Remote,
            Direction::Sent => End::Local,
        };
        let Some(placed) = self.tracker.segment(from, segment) else { return };
        let other = opposite(place.direction);
        if let Some(ack) = placed.ack
            && self.begun[index(other)]
        {
            let stream = &mut self.streams[index(other)];
            let mut from = stream.next();
            stream.acknowledged(ack.offset, &mut |piece| tell(&mut from, other, piece, take));
        }
        let length = u64::from(segment.payload);
        let in_order = placed.start <= self.streams[index(place.direction)].next();
        // What a reset carries is a note for people (RFC 9293 §3.5.3) and told like data, but its
        // number may be any: one beyond the stream is no sign that bytes are missing.
        if length > 0 && (in_order || !segment.flags.rst()) {
            self.begun[index(place.direction)] = true;
            let stream = &mut self.streams[index(place.direction)];
            let mut from = stream.next();
            // Of a segment that begins before all that is known of, the rest counts. A probe's byte
            // is no data yet, and so has no range.
            let before = match placed.mark {
                Mark::KeepAlive | Mark::WindowProbe => 0,
                // The tracker gives it no range, since no stream goes on behind it.
                _ if segment.flags.rst() => 0,
                _ => length - (placed.end - placed.start),
            };
            let skipped = usize::try_from(before).unwrap_or(usize::MAX).min(payload.len());
            stream.segment(placed.start, length - before, &payload[skipped..], &mut |piece| {
                tell(&mut from, place.direction, piece, take);
            });
        }
    }

    /// Nothing more comes: all that waits is told.
    pub fn finish(mut self, take: &mut impl FnMut(Direction, Told<'_>)) {
        for way in [Direction::Received, Direction::Sent] {
            let stream = &mut self.streams[index(way)];
            let mut from = stream.next();
            stream.finish(&mut |piece| tell(&mut from, way, piece, take));
        }
    }
}

fn tell(
    from: &mut u64,
    way: Direction,
    piece: Piece<'_>,
    take: &mut impl FnMut(Direction, Told<'_>),
) {
    match piece {
        Piece::Bytes(bytes) => {
            *from += bytes.len() as u64;
            take(way, Told::Bytes(bytes));
        }
        Piece::Missing(count) => {
            take(way, Told::Missing { offset: *from, count });
            *from += count;
        }
    }
}
