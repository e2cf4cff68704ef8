//! One direction of a connection: where its bytes lie, and how far they are acknowledged.

use std::ops::Range;

use super::{AckPoint, Flags, Mark, Seq};
use crate::packet::Segment;

/// Holes remembered; a segment that fills an older one is taken for a retransmission.
const HOLES: usize = 8;

/// The largest shift a window may be scaled by (RFC 7323 §2.3).
const SCALE_MAX: u8 = 14;

/// What one end sends.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    isn: Option<Seq>,
    /// The sequence number of offset 0; absent until the first segment.
    zero: Option<Seq>,
    /// Offset behind the last byte seen.
    next: u64,
    /// Offset of the FIN, behind the last byte of all.
    fin: Option<u64>,
    /// The furthest acknowledgment seen.
    acknowledged: Option<u64>,
    fin_acknowledged: bool,
    /// Bytes passed over, which segments that come out of order may yet fill; a ring of at most
    /// [`HOLES`], and empty on most connections.
    holes: Vec<Range<u64>>,
    next_hole: usize,
    /// Flags of the SYN that was seen.
    syn: Option<Flags>,
    scale: Option<u8>,
    /// The last window this end advertised was zero.
    window_closed: bool,
}

/// Where a segment lies.
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) mark: Mark,
}

/// An acknowledgment of a stream.
#[derive(Clone, Copy)]
pub(super) struct Acknowledged {
    pub(super) point: AckPoint,
    /// It covers bytes that were never seen.
    pub(super) beyond: bool,
}

impl Stream {
    pub(super) fn isn(&self) -> Option<Seq> {
        self.isn
    }

    /// Whether this is the number before the first byte, as far as anything told.
    pub(super) fn begins_behind(&self, seq: Seq) -> bool {
        self.zero == Some(seq + 1)
    }

    /// Returns by how much offsets told so far were too small: they were counted from the first
    /// segment seen, if that was no SYN.
    pub(super) fn set_isn(&mut self, isn: Seq) -> u64 {
        if self.isn.is_some() {
            return 0;
        }
        self.isn = Some(isn);
        let Some(guessed) = self.zero.replace(isn + 1) else { return 0 };
        let shift = u64::from((guessed - 1).0.wrapping_sub(isn.0));
        self.next += shift;
        for offset in [&mut self.fin, &mut self.acknowledged].into_iter().flatten() {
            *offset += shift;
        }
        for hole in &mut self.holes {
            *hole = hole.start + shift..hole.end + shift;
        }
        shift
    }

    pub(super) fn fin(&self) -> Option<u64> {
        self.fin
    }

    pub(super) fn is_fin_acknowledged(&self) -> bool {
        self.fin_acknowledged
    }

    /// Whether any acknowledgment was seen; the least of them covers the SYN.
    pub(super) fn is_syn_acknowledged(&self) -> bool {
        self.acknowledged.is_some()
    }

    pub(super) fn is_window_closed(&self) -> bool {
        self.window_closed
    }

    pub(super) fn scales(&self) -> bool {
        self.scale.is_some()
    }

    /// Puts a segment sent in this direction in its place.
    pub(super) fn place(&mut self, segment: &Segment, peer_window_closed: bool) -> Span {
        let flags = segment.flags;
        let first = if flags.syn() { segment.seq + 1 } else { segment.seq };
        if flags.syn() {
            self.set_isn(segment.seq);
        }
        let zero = match self.zero {
            Some(zero) => zero,
            // A reset may carry any number; it is no place to count from.
            None if flags.rst() => return Span { start: 0, end: 0, mark: Mark::None },
            None => *self.zero.insert(first),
        };
        let ahead = first.distance_from(zero + low32(self.next));
        let behind_fin = ahead == 1 && self.fin == Some(self.next);
        let start = if behind_fin { self.next } else { moved(self.next, ahead) };
        // What lies before the first byte that is known of has no place on the axis.
        let behind = i64::from(ahead) + i64::from(segment.payload);
        let end = match behind_fin {
            true => start + u64::from(segment.payload),
            false => self.next.saturating_add_signed(behind).max(start),
        };
        if flags.rst() {
            return Span { start, end: start, mark: Mark::None };
        }

        let mark = if behind_fin {
            Mark::None
        } else {
            self.mark(segment, ahead, start..end, peer_window_closed)
        };
        if flags.syn() && self.syn.is_none() {
            self.syn = Some(flags);
            self.scale = segment.window_scale.map(|shift| shift.min(SCALE_MAX));
        }
        if matches!(mark, Mark::KeepAlive | Mark::WindowProbe) {
            // A probe's byte is old, or will be sent again with the data it belongs to.
            return Span { start, end: start, mark };
        }
        self.next = self.next.max(end);
        if flags.fin() {
            self.fin.get_or_insert(end);
        }
        Span { start, end, mark }
    }

    /// Takes in an acknowledgment of this stream.
    pub(super) fn acknowledge(&mut self, ack: Seq) -> Acknowledged {
        let zero = *self.zero.get_or_insert(ack);
        let ahead = ack.distance_from(zero + low32(self.next));
        let fin = ahead == 1 && self.fin == Some(self.next);
        let beyond = ahead > 0 && !fin;
        let offset = if fin { self.next } else { moved(self.next, ahead) };
        if beyond {
            self.open_hole(self.next..offset);
            self.next = offset;
        }
        let advances = self.acknowledged.is_none_or(|before| offset > before)
            || (fin && !self.fin_acknowledged);
        if advances {
            self.acknowledged = Some(offset);
        }
        self.fin_acknowledged |= fin;
        Acknowledged { point: AckPoint { offset, fin, advances }, beyond }
    }

    /// The window a segment of this end advertises, in bytes.
    pub(super) fn window(&mut self, segment: &Segment, scaled: bool) -> u32 {
        let plain = u32::from(segment.window);
        // RFC 7323 §2.3: of all segments only a SYN's window is never scaled.
        if segment.flags.syn() {
            return plain;
        }
        // Behind a reset nothing waits for room any more.
        if !segment.flags.rst() {
            self.window_closed = plain == 0;
        }
        let shift = if scaled { self.scale.unwrap_or(0) } else { 0 };
        plain << shift
    }

    fn mark(
        &mut self,
        segment: &Segment,
        ahead: i32,
        range: Range<u64>,
        peer_window_closed: bool,
    ) -> Mark {
        let flags = segment.flags;
        if flags.syn() && segment.payload == 0 {
            let again = self.syn == Some(flags);
            return if again { Mark::Retransmission } else { Mark::None };
        }
        let bare = !flags.syn() && !flags.fin();
        // Of two processors the one with the ACK may be seen first: then a byte on its own that is
        // below what was acknowledged was never seen, and is no probe.
        if self.fills_a_hole(&range) {
            return Mark::None;
        }
        // Linux probes with an empty segment one below; the RFC's own probe is one new byte.
        // What was not acknowledged yet is sent again.
        let acknowledged = self.acknowledged.is_some_and(|acknowledged| acknowledged >= range.end);
        let below = ahead == -1 && segment.payload <= 1 && (range.is_empty() || acknowledged);
        let one_into_closed = ahead == 0 && segment.payload == 1 && peer_window_closed;
        if bare && self.fin.is_none() && (below || one_into_closed) {
            return if peer_window_closed { Mark::WindowProbe } else { Mark::KeepAlive };
        }
        if ahead > 0 {
            self.open_hole(self.next..range.start);
            return Mark::Gap;
        }
        let old_data = !range.is_empty() && range.end <= self.next;
        let old_fin = flags.fin() && self.fin.is_some();
        if old_fin || (old_data && !flags.fin()) { Mark::Retransmission } else { Mark::None }
    }
}

impl Stream {
    fn open_hole(&mut self, hole: Range<u64>) {
        if self.holes.len() < HOLES {
            self.holes.push(hole);
            return;
        }
        if let Some(oldest) = self.holes.get_mut(self.next_hole) {
            *oldest = hole;
        }
        self.next_hole = (self.next_hole + 1) % HOLES;
    }

    /// Whether the bytes were passed over before; from then on they were not.
    fn fills_a_hole(&mut self, range: &Range<u64>) -> bool {
        if range.is_empty() {
            return false;
        }
        let within = |hole: &&mut Range<u64>| hole.start <= range.start && range.end <= hole.end;
        let Some(hole) = self.holes.iter_mut().find(within) else { return false };
        let before = hole.start..range.start;
        let behind = range.end..hole.end;
        *hole = if before.is_empty() { behind.clone() } else { before.clone() };
        if !before.is_empty() && !behind.is_empty() {
            self.open_hole(behind);
        }
        true
    }
}

/// `offset` moved by a signed distance; never below 0.
fn moved(offset: u64, distance: i32) -> u64 {
    offset.saturating_add_signed(i64::from(distance))
}

/// The part of an offset that shows in a sequence number.
#[expect(clippy::cast_possible_truncation, reason = "sequence numbers are offsets modulo 2³²")]
fn low32(offset: u64) -> u32 {
    offset as u32
}
