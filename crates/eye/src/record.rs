//! What the eye saw of one connection, in the order it saw it: the only thing the views read.
//!
//! No socket and no clock here. Offsets are bytes of a direction's stream, counted from 0 and
//! never wrapping; SYN stands before offset 0 and FIN behind the last byte.

use std::collections::VecDeque;
use std::ops::Range;

use sockeye_engine::probe::{Call, ConnId, Direction, Operation, Role, Stamp};
use sockeye_engine::{Address, UnixAddress};
use sockeye_wire::tcp::{Flags, State};

/// One message of the program, as the service named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When the service said so, to within a few milliseconds: not before the call ahead of it,
    /// and not later than it was.
    pub at: Stamp,
    /// Which way it went.
    pub direction: Direction,
    /// Its place in that direction's stream.
    pub range: Range<u64>,
    /// What to call it; bytes of a peer, not yet fit for a terminal.
    pub label: String,
}

/// One TCP segment that crossed the wire, already placed on the byte axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// When the kernel stamped it.
    pub at: Stamp,
    /// Which way it went.
    pub direction: Direction,
    /// The sequence number as it stood in the header.
    pub seq: u32,
    /// Its payload's place in the stream; empty for a bare ACK, and for a probe, whatever byte it
    /// carries.
    pub range: Range<u64>,
    /// How many bytes it carries.
    pub payload: u32,
    /// Flags of the header.
    pub flags: Flags,
    /// The acknowledgement: the offset in the opposite stream up to which bytes have arrived.
    pub ack: Option<Ack>,
    /// The window in bytes, scaled where the scale is known.
    pub window: u32,
    /// What sets it apart.
    pub mark: Mark,
    /// What it says has arrived besides what it acknowledges.
    pub sack: Option<Sack>,
}

/// A block of bytes of the opposite stream that has arrived, apart from those acknowledged or a second
/// time (RFC 2018, RFC 2883).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sack {
    /// Offset of its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub length: u32,
    /// They had arrived before.
    pub duplicate: bool,
}

/// How far an ACK reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Every byte below this offset has arrived.
    pub offset: u64,
    /// The peer's FIN has arrived too.
    pub fin: bool,
    /// No segment before it said as much.
    pub advances: bool,
}

/// What sets a segment apart from fresh data in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// All of it had been sent before.
    Retransmission,
    /// One byte below what was acknowledged, to ask whether the other end still lives.
    KeepAlive,
    /// Sent into a closed window, to ask whether it has opened.
    WindowProbe,
    /// A segment before it is missing from what was captured.
    Gap,
}

/// A step of one end's RFC 9293 §3.3.2 state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// When.
    pub at: Stamp,
    /// Which end: the role of the end that changed.
    pub end: Role,
    /// The state it left.
    pub from: State,
    /// The state it is in now.
    pub to: State,
    /// Whether a packet or the kernel showed it, or it was concluded.
    pub certainty: Certainty,
}

/// How a state is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// A segment, or the kernel's own word.
    Exact,
    /// Concluded from calls.
    Inferred,
}

/// What the kernel knew about the connection when it was about to be closed (`TCP_INFO`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelFacts {
    /// Our end's state.
    pub state: Option<State>,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: Option<u32>,
    /// Segments sent again in the connection's life.
    pub retransmits: Option<u32>,
    /// Bytes of ours the peer has acknowledged.
    pub bytes_acked: Option<u64>,
    /// Bytes received in order.
    pub bytes_received: Option<u64>,
    /// Segments sent and received.
    pub segments: Option<(u32, u32)>,
    /// Maximum segment sizes, ours to send and the peer's.
    pub mss: Option<(u32, u32)>,
    /// Bytes waiting in our receive queue that were never read.
    pub unread: Option<u32>,
    /// Bytes in our send queue the peer has not acknowledged.
    pub unacked: Option<u32>,
    /// Close resets the connection: our program wants it to linger for no time (`SO_LINGER`).
    pub resets: bool,
    /// Microseconds the sender was limited by the peer's window and by its own send buffer.
    pub limited_us: Option<(u64, u64)>,
}

impl KernelFacts {
    /// Whether close will send RST instead of FIN (RFC 9293 §3.6.1, socket(7)).
    #[must_use]
    pub fn close_resets(&self) -> bool {
        self.resets || self.unread.is_some_and(|bytes| bytes > 0)
    }
}

/// What became of an end after close, asked of `sock_diag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aftermath {
    /// When it was asked.
    pub at: Stamp,
    /// The end's state; `Closed` if the kernel has forgotten it.
    pub state: State,
    /// Milliseconds until TIME-WAIT ends, where it is in TIME-WAIT.
    pub remaining_ms: Option<u32>,
}

/// A moment the kernel stamped on its way with bytes of ours (`SO_TIMESTAMPING`).
///
/// It covers every byte from the end of the one before it at the same point: of sends that were
/// joined the kernel stamps the last alone, so for an earlier one it is an upper bound. A connection that
/// sends often has only some of its sends stamped: what went before them has no stamp of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelStamp {
    /// When the kernel stamped it.
    pub at: Stamp,
    /// Where it did.
    pub point: Point,
    /// Where the sends began that were all to be stamped, up to this one: what lies before was not, or
    /// that is not known of it. 0 where each send was.
    pub from: u64,
    /// The end of the bytes it covers, in the stream we send.
    pub end: u64,
}

/// Where the kernel stamps what is sent (Documentation/networking/timestamping.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Handed to the queue in front of the network device (`SCM_TSTAMP_SCHED`). The eye does not ask
    /// for it.
    Scheduled,
    /// Handed to the device (`SCM_TSTAMP_SND`).
    Sent,
    /// All of it acknowledged by the peer (`SCM_TSTAMP_ACK`).
    Acked,
}

impl Point {
    /// All of them, in the order in which bytes pass.
    pub const ALL: [Point; 3] = [Point::Scheduled, Point::Sent, Point::Acked];
}

/// How full the queues of one end were at one moment, as `sock_diag` told without its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSample {
    /// When it was asked.
    pub at: Stamp,
    /// Which end: its role.
    pub end: Role,
    /// The state it was in; the kernel's own word.
    pub state: State,
    /// Bytes that had come in order and that its program had not read.
    pub receive: u32,
    /// Bytes its program had sent and the other end had not acknowledged.
    pub send: u32,
    /// Those of them that had not left yet.
    pub unsent: Option<u32>,
    /// How many bytes the other end would take, from the last one it acknowledged; since Linux 5.18.
    pub send_window: Option<u32>,
    /// How many bytes it would take itself; since Linux 6.1.
    pub receive_window: Option<u32>,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: Option<u32>,
    /// The congestion window in segments.
    pub congestion_window: Option<u32>,
    /// Segments it sent again in its life.
    pub retransmits: Option<u32>,
}

/// What all samples of one end come to; true when most of them had to be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuePeaks {
    /// How many samples.
    pub samples: u64,
    /// The most bytes that waited to be read.
    pub receive: u32,
    /// The most bytes that waited to be acknowledged.
    pub send: u32,
    /// The most bytes that had not left.
    pub unsent: u32,
    /// Nanoseconds between samples that both found its receive window too small to be of use while
    /// bytes waited to be read: to within the pace of the samples.
    pub shut: u64,
    /// Nanoseconds between samples that both found bytes waiting to be acknowledged. To within the
    /// pace of the samples.
    pub waiting: u64,
    /// Nanoseconds between samples that both found bytes waiting to be read: its program was slower
    /// than its peer. To within the pace of the samples.
    pub unread: u64,
}

/// The kernel's last word on an end, from the moment it let go of the socket: later than close, and
/// after all that went over the wire since (`SKNLGRP_INET_TCP_DESTROY`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketEnd {
    /// When the eye was told.
    pub at: Stamp,
    /// Which end: its role.
    pub end: Role,
    /// The counters. The state is no state of the connection: a socket that goes to TIME-WAIT is let
    /// go of, too.
    pub facts: KernelFacts,
}

/// Where an initial sequence number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsnSource {
    /// From the captured SYN.
    Packet,
    /// From `TCP_SAVED_SYN`.
    SavedSyn,
}

/// One thing that happened on a connection.
#[derive(Clone, Debug)]
pub enum Event {
    /// A call of this process.
    Call(Call),
    /// A segment on the wire.
    Segment(Segment),
    /// An end changed its state.
    State(StateChange),
}

/// Everything kept about one connection.
#[derive(Clone, Debug)]
pub struct History {
    /// Its number among all connections that an eye found, from 1; 0 where nobody counted.
    pub number: u64,
    /// Its name; absent if only packets were seen (it was never accepted).
    pub conn: Option<ConnId>,
    /// Our role; the role of `local`, where neither end is ours.
    pub role: Role,
    /// Neither end is this program: others talk, and the eye looks on.
    pub neutral: bool,
    /// What it is drawn from ended before it did: a capture file.
    pub cut_short: bool,
    /// Our address.
    pub local: Address,
    /// The peer's; a client of a Unix socket has no name.
    pub peer: Address,
    /// When accept or connect returned.
    pub opened: Option<Stamp>,
    /// When our close returned.
    pub closed: Option<Stamp>,
    /// Calls, segments and state changes in the order in which they were told. Calls and
    /// packets come from different queues, so that is not strictly the order of time.
    pub events: Kept<Event>,
    /// Messages are those of two who talk as they please: no questions and their answers.
    pub talk: bool,
    /// Messages in the order in which they were told.
    pub messages: Kept<Message>,
    /// What became of the events and messages there was no room for.
    pub left_out: LeftOut,
    /// States of our end concluded from its calls, at most [`INFERRED_MAX`] of them, and once the
    /// history is whole those that samples told of both ends; for want of packets.
    pub inferred: Vec<StateChange>,
    /// How it began and how it ended.
    pub course: Course,
    /// Where the time went.
    pub spent: Spent,
    /// Initial sequence numbers, received direction and sent direction.
    pub isn: [Option<(u32, IsnSource)>; 2],
    /// The kernel's last word before close.
    pub kernel: Option<KernelFacts>,
    /// What became of our end after it.
    pub aftermath: Option<Aftermath>,
    /// What became of the peer's end; asked only where that is on this machine too.
    pub peer_aftermath: Option<Aftermath>,
    /// What the kernel stamped of the bytes we sent, in the order in which it told; empty unless
    /// stamps were asked for.
    pub stamps: Kept<KernelStamp>,
    /// Samples of both ends' queues, in order of time; of the peer's end only where that is on this
    /// machine.
    pub queues: Kept<QueueSample>,
    /// What the samples come to, of our end and of the peer's.
    pub peaks: [QueuePeaks; 2],
    /// The kernel's last word on our end and on the peer's, where it told in time.
    pub ends: [Option<SocketEnd>; 2],
    /// Whether segments were captured at all.
    pub captured: bool,
    /// Records known to be lost: calls dropped because the eye was too slow, packets the kernel dropped.
    pub lost: Loss,
    /// Totals that stay true when `events` had to leave something out.
    pub totals: Totals,
}

impl History {
    /// Whether TCP carries it, which has states and segments; else it is of a Unix socket.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.local.ip().is_some()
    }

    /// Whether a socket is connected to its own address: both ends are that one socket, and whatever
    /// is told of either is of both (RFC 9293 §3.5, simultaneous open).
    #[must_use]
    pub fn is_of_one_socket(&self) -> bool {
        self.local.ip().is_some() && self.local == self.peer
    }

    /// Whether the other end sends this way, and is on another machine as far as addresses tell.
    pub(crate) fn is_from_afar(&self, way: Direction) -> bool {
        let [local, peer] = [&self.local, &self.peer].map(|address| address.ip());
        way == Direction::Received
            && local.zip(peer).is_some_and(|(local, peer)| {
                peer.ip() != local.ip() && !peer.ip().to_canonical().is_loopback()
            })
    }

    /// Whether both ends were seen: on the wire, or by asking the kernel about others, or about a peer
    /// on this machine whose state it saw change.
    #[must_use]
    pub fn is_two_sided(&self) -> bool {
        let of_peer = |change: &StateChange| change.end != self.role && change.from != change.to;
        self.captured || self.neutral || self.inferred.iter().any(of_peer)
    }

    /// The address that says most about the other end: the peer's, or ours where the peer has no
    /// name.
    #[must_use]
    pub fn other_end(&self) -> &Address {
        match &self.peer {
            Address::Unix(UnixAddress::Unnamed) => &self.local,
            peer => peer,
        }
    }
}

impl Sack {
    /// Where the block lies in its stream.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.length.into())
    }
}

/// What the eye itself missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Records of calls and messages.
    pub calls: u64,
    /// Packets, over all connections of the capture while this one was open.
    pub packets: u64,
    /// Ends of the stream we sent that were acknowledged and have no stamp though each send was to be
    /// stamped: the error queue had no room for it. 0 or 1; how many more are missing before it nobody
    /// knows.
    pub stamps: u64,
    /// Times the kernel had no room to tell of sockets it let go of, of whatever connection, while
    /// this one was open.
    pub ends: u64,
}

/// Sums over the whole connection; index 0 received, 1 sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes moved by calls.
    pub bytes: [u64; 2],
    /// Calls that moved bytes.
    pub calls: [u64; 2],
    /// Messages.
    pub messages: [u64; 2],
    /// Segments.
    pub segments: [u64; 2],
    /// Retransmissions.
    pub retransmissions: [u64; 2],
    /// Calls that said `EAGAIN` where the one before them had said so already; they are no events.
    pub in_vain: [u64; 2],
}

/// More steps than this no end can take.
pub const INFERRED_MAX: usize = 8;

/// The turning points of a connection, kept whatever else had to be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// When the first and the last thing happened that is known of.
    pub span: Option<(Stamp, Stamp)>,
    /// When the first SYN was captured.
    pub syn: Option<Stamp>,
    /// When the handshake's last ACK was captured.
    pub established: Option<Stamp>,
    /// How far segments reached, received and sent.
    pub reached: [u64; 2],
    /// Offset and time of the FIN, received and sent.
    pub fin: [Option<(u64, Stamp)>; 2],
    /// Which way the first RST went, and when.
    pub reset: Option<(Direction, Stamp)>,
    /// When `recv` first returned 0.
    pub end_of_stream: Option<Stamp>,
    /// When our program asked for the end, by `shutdown` or `close`.
    pub ended_by_us: Option<Stamp>,
    /// Which way our program waited when its deadline first passed, and when that was.
    pub gave_up: Option<(Direction, Stamp)>,
    /// The first call that failed for good.
    pub failed: Option<(Operation, i32)>,
    /// When the last byte was moved by a call, received and sent.
    pub last_moved: [Option<Stamp>; 2],
}

/// What the time of a connection was spent on, in nanoseconds: from the end of its handshake where
/// that was captured, else from accept (or from the beginning of connect), to close.
///
/// Once it is closed, the parts add up to all of it, provided that calls were told in their order
/// of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In the backlog: established, and not accepted yet by our program (listen(2)).
    pub backlog: u64,
    /// Nothing to read: the peer's turn. Without packets, all the time until `recv` returned.
    pub peer: u64,
    /// Something to send and no room in the socket's buffer: the peer has not taken what it has.
    pub window: u64,
    /// Bytes had come, and our program had not read them yet; known from packets.
    pub reading: u64,
    /// Something small to send, held back by Nagle's algorithm until a delayed ACK came; known from
    /// packets.
    pub nagle: u64,
    /// Waiting while something was lost on its way: of what we had sent, from its first sending until
    /// its repair was acknowledged; of what the peer had, while later bytes were there and earlier
    /// ones were not. Known from packets.
    pub repair: u64,
    /// In `send` and `sendfile` while there was room: the kernel's work, and on a busy machine
    /// the time others, the peer not least, had the processor meanwhile.
    pub sending: u64,
    /// Everything else: computing, other calls, waiting for the processor.
    pub program: u64,
}

/// Sums of what `events` and `messages` left out; index 0 received, 1 sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Calls that moved bytes.
    pub calls: [Fold; 2],
    /// How many of them were `sendfile`.
    pub sendfiles: u64,
    /// Segments with payload.
    pub data: [Fold; 2],
    /// Segments without payload that acknowledge; the range is in the opposite stream.
    pub acks: [Fold; 2],
    /// Messages.
    pub messages: [Fold; 2],
    /// Everything else.
    pub others: u64,
    /// When the first and the last of them happened.
    pub span: Option<(Stamp, Stamp)>,
}

/// A number of intervals of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// How many.
    pub count: u64,
    /// From the lowest offset to the highest.
    pub range: Range<u64>,
}

impl Spent {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Spent { backlog, peer, window, reading, nagle, repair, sending, program } = self;
        backlog + peer + window + reading + nagle + repair + sending + program
    }
}

impl Fold {
    /// Adds one more.
    pub fn add(&mut self, range: &Range<u64>) {
        self.range = match self.count {
            0 => range.clone(),
            _ => self.range.start.min(range.start)..self.range.end.max(range.end),
        };
        self.count += 1;
    }
}

/// The first and the last of a sequence that may be longer than memory allows.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    head: Vec<T>,
    tail: VecDeque<T>,
    /// How many of the first are kept.
    keep: usize,
    /// How many of the last.
    keep_last: usize,
    left_out: u64,
}

impl<T> Kept<T> {
    /// Keeps the first `keep` and the last `keep`.
    #[must_use]
    pub fn new(keep: usize) -> Kept<T> {
        Kept { head: Vec::new(), tail: VecDeque::new(), keep, keep_last: keep, left_out: 0 }
    }

    /// Adds one at the end; returns the one that had to give way.
    pub fn push(&mut self, item: T) -> Option<T> {
        if self.head.len() < self.keep {
            self.head.push(item);
            return None;
        }
        if self.keep_last == 0 {
            self.left_out += 1;
            return Some(item);
        }
        let full = self.tail.len() >= self.keep_last;
        let gone = if full { self.tail.pop_front() } else { None };
        self.left_out += u64::from(gone.is_some());
        self.tail.push_back(item);
        gone
    }

    /// Keeps the last `keep` from now on, though never more than of the first.
    ///
    /// Those that have to give way are handed to `gone`, the oldest first.
    pub fn keep_last(&mut self, keep: usize, mut gone: impl FnMut(T)) {
        let keep = keep.min(self.keep);
        if keep == self.keep_last {
            return;
        }
        self.keep_last = keep;
        let surplus = self.tail.len().saturating_sub(keep);
        self.left_out += surplus as u64;
        self.tail.drain(..surplus).for_each(&mut gone);
        // What is left is written over and over, and should be as small as it can be.
        self.tail.shrink_to(keep);
    }

    /// The first ones kept.
    pub fn head(&self) -> impl Iterator<Item = &T> {
        self.head.iter()
    }

    /// How many between the first and the last were left out.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The last ones kept, after those left out.
    pub fn tail(&self) -> impl Iterator<Item = &T> {
        self.tail.iter()
    }

    /// All that is kept, in order, over the hole if there is one.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.head.iter().chain(self.tail.iter())
    }

    /// Takes out the last one of a kind, if it is as it has to be.
    pub(crate) fn take_last(
        &mut self,
        kind: impl Fn(&T) -> bool,
        so: impl Fn(&T) -> bool,
    ) -> Option<T> {
        if let Some(place) = self.tail.iter().rposition(&kind) {
            return if so(&self.tail[place]) { self.tail.remove(place) } else { None };
        }
        let place = self.head.iter().rposition(kind)?;
        if !so(&self.head[place]) {
            return None;
        }
        let taken = self.head.remove(place);
        // What follows the first ones stays behind them.
        self.head.extend(self.tail.pop_front());
        Some(taken)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.head.iter_mut().chain(self.tail.iter_mut())
    }

    /// How many were ever pushed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.head.len() as u64 + self.tail.len() as u64 + self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_cut_short_gives_the_oldest_away_and_counts_them() {
        let mut kept = Kept::new(4);
        let mut gone: Vec<u32> = (0..10).filter_map(|item| kept.push(item)).collect();
        assert_eq!(gone, [4, 5]);
        kept.keep_last(1, |item| gone.push(item));
        assert_eq!(gone, [4, 5, 6, 7, 8]);
        kept.keep_last(0, |item| gone.push(item));
        gone.extend(kept.push(10));
        kept.keep_last(9, |item| gone.push(item));
        gone.extend(kept.push(11));
        assert_eq!(gone, [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(kept.iter().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 11]);
        assert_eq!((kept.left_out(), kept.total()), (7, 12));
    }

    #[test]
    fn the_last_of_a_kind_is_taken_out_and_the_order_stays() {
        let mut kept = Kept::new(3);
        for item in 0..6 {
            assert_eq!(kept.push(item), None);
        }
        assert_eq!(kept.take_last(|item| *item < 2, |item| *item == 0), None);
        assert_eq!(kept.take_last(|item| *item < 2, |item| *item == 1), Some(1));
        assert_eq!(kept.take_last(|item| *item < 6, |item| *item == 5), Some(5));
        assert_eq!(kept.push(7), None);
        assert_eq!(kept.iter().copied().collect::<Vec<_>>(), [0, 2, 3, 4, 7]);
        assert_eq!(kept.take_last(|item| *item > 7, |_| true), None);
    }
}
