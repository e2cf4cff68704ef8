//! One connection, and what was told of it lately.
//!
//! Where hundreds of connections are busy, the history of each is long out of the processor's
//! cache when the next record comes. So records are put down as they come, which touches one line
//! or two, and taken in together. What is put down still when the connection ends is the last of
//! it; what came before, and is not among the first, is only summed up.

use std::mem;

use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Role, Stamp};
use sockeye_wire::packet::{Sack, Segment};
use sockeye_wire::tcp::{Flags, Seq};

use super::super::item::{Item, Records, SmallCall};
use super::super::slab::Name;
use super::Tuple;
use crate::record::{History, KernelFacts, KernelStamp, Loss, QueueSample, SocketEnd};
use crate::timeline::Timeline;

/// So many records are taken in together; up to twice as many are put down.
const TOGETHER: usize = 32;

/// How many of the last records are kept of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepLast {
    /// Few connections are open.
    AsManyAsFirst,
    /// Those put down: 32 to 64.
    Few,
}

/// One connection. What every record touches stands first, on one line of the cache.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Track {
    /// Put down lately, and not taken in yet.
    told: Records,
    /// Where each direction was first seen, received and sent; 0 is no interface.
    interfaces: [u32; 2],
    /// Segments of it were captured.
    pub(super) seen: bool,
    pub(super) closed: bool,
    /// Neither end is ours; what is closed then is the wire, and not a descriptor.
    pub(super) neutral: bool,
    /// A FIN was seen: whether it has ended may be asked after each segment.
    fin: bool,
    /// Of others, and one before it with its addresses was over only when this one began: of sockets
    /// the kernel lets go of, that one's may still be told.
    pub(super) succeeds: bool,
    /// How the kernel lists the sockets of others.
    pub(super) listed: Listed,
    pub(super) role: Role,
    /// Its addresses, where its packets are looked for.
    pub(super) tuple: Option<Tuple>,
    /// The next older one with the same addresses.
    pub(super) older: Option<Name>,
    pub(super) conn: Option<ConnId>,
    /// The initial sequence number of whoever began it.
    pub(super) client_isn: Option<u32>,
    pub(super) lost_calls: u64,
    /// The kernel will say when it lets go of our socket, and has not yet.
    pub(super) expects_end: bool,
    /// It has.
    let_go: bool,
    /// The last samples of both ends, ours first, and whether those before said the same.
    sampled: [Option<(QueueSample, bool)>; 2],
    /// How often the kernel had no room to tell of sockets it let go of, when this one began.
    pub(super) ends_lost_before: u64,
    /// What the kernel had dropped when it began.
    dropped_before: u64,
    /// What was put down before that.
    earlier: Records,
    /// How many findings there were, among so many events.
    pub(super) found: u32,
    pub(super) found_in: u64,
    timeline: Timeline,
}

/// How the kernel lists the sockets of a connection of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// It did not, so far: both may be elsewhere.
    NotYet,
    /// At least one of them was in the last list.
    Now,
    /// None was in the last list, but one was before.
    NoMore,
}

/// A segment that is no SYN, without its addresses.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct SmallSegment {
    at: Stamp,
    seq: u32,
    ack: u32,
    payload: u32,
    window: u16,
    flags: Flags,
    direction: Direction,
    sack: Option<Sack>,
}

impl Track {
    pub(super) fn new(
        tuple: Option<Tuple>,
        role: Role,
        timeline: Timeline,
        dropped_before: u64,
    ) -> Track {
        Track {
            tuple,
            older: None,
            conn: None,
            role,
            client_isn: None,
            seen: false,
            closed: false,
            neutral: timeline.history().neutral,
            fin: false,
            succeeds: false,
            listed: Listed::NotYet,
            interfaces: [0; 2],
            lost_calls: 0,
            expects_end: false,
            let_go: false,
            sampled: [None; 2],
            ends_lost_before: 0,
            dropped_before,
            told: Records::default(),
            earlier: Records::default(),
            found: 0,
            found_in: 0,
            timeline,
        }
    }

    pub(super) fn opened(&mut self, opened: &Opened, peer_isn: Option<u32>) {
        self.take_in();
        self.conn = Some(opened.conn);
        self.timeline.opened(opened);
        if let Some(isn) = peer_isn {
            self.timeline.saved_syn(isn);
        }
    }

    pub(super) fn call(&mut self, conn: ConnId, call: SmallCall, keep: KeepLast) {
        self.told.items.push(Item::Call(conn, call));
        self.take_in_if_many(keep);
    }

    pub(super) fn large_call(&mut self, call: Call) {
        self.take_in();
        self.timeline.call(call);
    }

    pub(super) fn message(&mut self, message: &Item, from: &Records, keep: KeepLast) {
        self.told.copy_message(message, from);
        self.take_in_if_many(keep);
    }

    /// The kernel stamped bytes we sent.
    pub(super) fn stamp(&mut self, stamp: KernelStamp) {
        self.timeline.stamp(stamp);
    }

    /// A segment seen at this interface; false if it was seen at another one already.
    pub(super) fn segment(
        &mut self,
        at: Stamp,
        direction: Direction,
        interface: u32,
        segment: &Segment,
        keep: KeepLast,
    ) -> bool {
        // A packet that crosses a bridge is seen at each of its interfaces.
        let [received, sent] = &mut self.interfaces;
        let first_seen = match direction {
            Direction::Received => received,
            Direction::Sent => sent,
        };
        if *first_seen == 0 {
            *first_seen = interface;
        } else if *first_seen != interface {
            return false;
        }
        self.seen = true;
        let flags = segment.flags;
        // Whether it has ended may be asked after each of these.
        self.fin |= flags.fin();
        if self.closed || (self.neutral && self.fin) || flags.syn() || flags.fin() || flags.rst() {
            self.take_in();
            self.timeline.segment(at, direction, segment);
            return true;
        }
        self.told.items.push(Item::Segment(SmallSegment {
            at,
            seq: segment.seq.0,
            ack: segment.ack.0,
            payload: segment.payload,
            window: segment.window,
            flags,
            direction,
            sack: segment.sack,
        }));
        self.take_in_if_many(keep);
        true
    }

    /// What the kernel knew before close; a client's SYN is not among the bytes acknowledged.
    pub(super) fn kernel(&mut self, facts: KernelFacts) {
        self.take_in();
        self.timeline.kernel(facts);
    }

    pub(super) fn closed(&mut self, at: Stamp) {
        self.take_in();
        self.closed = true;
        self.timeline.closed(at);
    }

    /// Whether the wire of others has nothing more to say, and that is news.
    pub(super) fn is_news_that_it_is_over(&mut self) -> bool {
        let news = self.neutral && !self.closed && self.timeline.finished_on_the_wire();
        self.closed |= news;
        news
    }

    /// The sockets of others are gone.
    pub(super) fn gone(&mut self, at: Stamp) {
        self.take_in();
        self.closed = true;
        self.timeline.closed(at);
    }

    /// Whether the wire has nothing more to say, once it is closed.
    pub(super) fn is_finished(&self) -> bool {
        self.closed && !self.expects_end && self.timeline.finished_on_the_wire()
    }

    /// Whether all is told that will be, once it is closed: the wire has nothing more to say, or was
    /// not seen and the kernel has let go of our socket.
    pub(super) fn is_told(&self) -> bool {
        self.is_finished() || (self.closed && self.let_go && self.tuple.is_none())
    }

    /// How full the queues of an end are; what is empty as before is told once more, which shows that
    /// it lasted, and then not again. Else, whether it says anything new.
    pub(super) fn queue(&mut self, sample: QueueSample) -> Option<bool> {
        let whose = usize::from(sample.end != self.role);
        let said = |sample: QueueSample| {
            let QueueSample { state, receive, send, unsent, send_window, receive_window, .. } =
                sample;
            (state, receive, send, unsent, send_window == Some(0), receive_window == Some(0))
        };
        let before = self.sampled[whose];
        let same = before.is_some_and(|(before, _)| said(before) == said(sample));
        self.sampled[whose] = Some((sample, same));
        let empty = sample.receive == 0 && sample.send == 0;
        if empty && same && before.is_some_and(|(_, twice)| twice) {
            return None;
        }
        self.timeline.queue(sample);
        Some(!same)
    }

    /// The kernel has let go of an end's socket.
    pub(super) fn let_go(&mut self, end: SocketEnd, ours: bool) {
        if ours {
            (self.expects_end, self.let_go) = (false, true);
        }
        self.timeline.ended(end);
    }

    pub(super) fn number(&mut self, number: u64) {
        self.timeline.number(number);
    }

    pub(super) fn timeline_mut(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    pub(super) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// All that is known at the end; the kernel has dropped so many packets by now, and so often had no
    /// room to tell of a socket.
    pub(super) fn into_history(mut self, dropped: u64, ends_lost: u64) -> History {
        self.take_in();
        let packets = dropped - self.dropped_before;
        let ends = if self.let_go { 0 } else { ends_lost - self.ends_lost_before };
        self.timeline.lost(Loss { calls: self.lost_calls, packets, stamps: 0, ends });
        self.timeline.into_history()
    }

    fn take_in_if_many(&mut self, keep: KeepLast) {
        if self.told.len() < TOGETHER {
            return;
        }
        match keep {
            KeepLast::AsManyAsFirst => self.take_in(),
            KeepLast::Few => {
                self.timeline.keep_last(0);
                self.take_in_earlier();
                self.timeline.keep_last(2 * TOGETHER);
                mem::swap(&mut self.told, &mut self.earlier);
            }
        }
    }

    pub(super) fn take_in(&mut self) {
        self.take_in_earlier();
        mem::swap(&mut self.told, &mut self.earlier);
        self.take_in_earlier();
    }

    fn take_in_earlier(&mut self) {
        let mut told = mem::take(&mut self.earlier);
        let history = self.timeline.history();
        let (local, peer) = (history.local.ip(), history.peer.ip());
        for item in &told.items {
            match item {
                Item::Call(_, call) => self.timeline.call(call.call()),
                &Item::Message { at, start, length, direction, label, label_length, .. } => {
                    let range = start..start.saturating_add(length);
                    let label = told.label(label, label_length);
                    self.timeline.message(at, direction, range, label);
                }
                Item::Segment(small) => {
                    let (Some(source), Some(destination)) = (match small.direction {
                        Direction::Received => (peer, local),
                        Direction::Sent => (local, peer),
                    }) else {
                        continue;
                    };
                    let segment = Segment {
                        source,
                        destination,
                        seq: Seq(small.seq),
                        ack: Seq(small.ack),
                        flags: small.flags,
                        window: small.window,
                        payload: small.payload,
                        window_scale: None,
                        mss: None,
                        sack: small.sack,
                    };
                    self.timeline.segment(small.at, small.direction, &segment);
                }
                // Nothing else is put down here.
                _ => {}
            }
        }
        told.clear();
        self.earlier = told;
    }
}

/// How many of the first records are kept of a connection, if so many are open: a few connections
/// in all detail, or many in little, within the same memory.
pub(super) fn keep(open: usize) -> usize {
    const IN_ALL: usize = 1 << 16;
    (IN_ALL / (open + 1)).clamp(32, 1024)
}

/// How many of the last: they are written over and over, and those of all connections shall stay
/// in the processor's cache.
pub(super) fn keep_last(open: usize) -> KeepLast {
    if open < 16 { KeepLast::AsManyAsFirst } else { KeepLast::Few }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_record_touches_stands_on_one_line_of_the_cache() {
        assert_eq!(align_of::<Track>(), 64);
        assert!(mem::offset_of!(Track, role) < 64);
    }
}
