//! Both ends of one connection, read from its segments in the order they crossed the wire.
//!
//! The segments must come from a place where sending and arriving are one moment: loopback, or
//! one of the two hosts. An end is then said to change when it sends, and the other when that
//! arrives. What this module keeps does not grow with the connection.

mod direction;

use super::{Flags, Seq, State};
use crate::packet::Segment;
use direction::Stream;

/// One end of a connection; which is called local is the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// This one.
    Local,
    /// The other one.
    Remote,
}

impl End {
    /// The end across the wire.
    #[must_use]
    pub const fn other(self) -> End {
        match self {
            End::Local => End::Remote,
            End::Remote => End::Local,
        }
    }

    const fn index(self) -> usize {
        match self {
            End::Local => 0,
            End::Remote => 1,
        }
    }
}

/// An end's step from one state to another (RFC 9293 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which end.
    pub end: End,
    /// The state it left.
    pub from: State,
    /// The state it entered.
    pub to: State,
    /// No segment showed this step; a later one could not have been sent without it.
    pub inferred: bool,
}

/// The steps one segment caused, in order; at most [`Changes::MAX`].
#[derive(Clone, Copy, Debug)]
pub struct Changes {
    steps: [Option<Change>; Changes::MAX],
}

impl Changes {
    /// Two inferred ones where the start was not seen, one for the sender, two for the receiver.
    pub const MAX: usize = 6;

    const NONE: Changes = Changes { steps: [None; Changes::MAX] };

    /// The steps in order.
    pub fn iter(&self) -> impl Iterator<Item = Change> {
        self.steps.iter().map_while(|step| *step)
    }

    fn push(&mut self, change: Change) {
        if let Some(free) = self.steps.iter_mut().find(|step| step.is_none()) {
            *free = Some(change);
        }
    }
}

/// How far an acknowledgment reaches into the opposite stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckPoint {
    /// Every byte below this offset has arrived.
    pub offset: u64,
    /// The FIN behind the last byte has arrived too.
    pub fin: bool,
    /// It says more than any acknowledgment before it.
    pub advances: bool,
}

/// What sets a segment apart from fresh data in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// All it carries had been sent before.
    Retransmission,
    /// One number below what was acknowledged, to ask whether the peer still lives
    /// (RFC 9293 §3.8.4).
    KeepAlive,
    /// The same, sent into a closed window to ask whether it has opened (RFC 9293 §3.8.6.1).
    WindowProbe,
    /// Something before it, in its own stream or the one it acknowledges, was never captured.
    Gap,
}

/// A segment put in its place.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Offset in the sender's stream of the first payload byte: `seq − ISN − 1` modulo 2³²,
    /// unwrapped. For a FIN without data this is the offset behind the last byte.
    pub start: u64,
    /// Offset behind the last payload byte.
    pub end: u64,
    /// How far it acknowledges the opposite stream.
    pub ack: Option<AckPoint>,
    /// The window in bytes, scaled where both SYNs were seen to agree on it (RFC 7323 §2.3: that
    /// of every segment but a SYN).
    pub window: u32,
    /// What sets it apart.
    pub mark: Mark,
    /// The states it changed.
    pub changes: Changes,
}

/// Follows both ends' states and both streams' offsets through a connection's segments.
///
/// Feed every segment to [`Tracker::segment`] in capture order. If the first one is not a SYN,
/// both ends are taken to be ESTABLISHED, marked inferred, and offsets count from what the first
/// segment of each direction shows.
///
/// ```
/// use sockeye_wire::packet::Segment;
/// use sockeye_wire::tcp::{End, Flags, Seq, State, Tracker};
///
/// let syn = Segment {
///     source: "127.0.0.1:40312".parse().unwrap(),
///     destination: "127.0.0.1:80".parse().unwrap(),
///     seq: Seq(99),
///     ack: Seq(0),
///     flags: Flags::SYN,
///     window: 65495,
///     payload: 0,
///     window_scale: Some(7),
///     mss: None,
///     sack: None,
/// };
/// let mut tracker = Tracker::new();
/// tracker.segment(End::Remote, &syn);
/// assert_eq!(tracker.state(End::Remote), State::SynSent);
/// assert_eq!(tracker.isn(End::Remote), Some(Seq(99)));
/// ```
#[derive(Clone, Debug)]
pub struct Tracker {
    states: [State; 2],
    streams: [Stream; 2],
    started: bool,
    reset_by: Option<End>,
}

impl Default for Tracker {
    fn default() -> Tracker {
        Tracker::new()
    }
}

impl Tracker {
    /// A connection of which nothing has been seen; both ends CLOSED.
    #[must_use]
    pub fn new() -> Tracker {
        Tracker {
            states: [State::Closed; 2],
            streams: [Stream::default(), Stream::default()],
            started: false,
            reset_by: None,
        }
    }

    /// Takes in the next segment, sent by `from`.
    ///
    /// `None` for a SYN that begins another connection between the same addresses and ports:
    /// this one is over, and the new one needs a tracker of its own.
    pub fn segment(&mut self, from: End, segment: &Segment) -> Option<Placed> {
        let flags = segment.flags;
        if flags.syn() && !flags.ack() && self.is_another_connection(from, segment.seq) {
            return None;
        }
        let mut changes = Changes::NONE;
        self.started = true;
        self.infer_the_start(from, flags, &mut changes);

        let window_closed = self.streams[from.other().index()].is_window_closed();
        let [ours, theirs] = self.pair(from);
        let had_fin = ours.fin().is_some();
        let mut span = ours.place(segment, window_closed);
        let ack = flags.ack().then(|| theirs.acknowledge(segment.ack));
        let scaled = ours.scales() && theirs.scales();
        let window = ours.window(segment, scaled);
        if let Some(ack) = ack
            && ack.beyond
            && span.mark == Mark::None
        {
            span.mark = Mark::Gap;
        }

        if flags.rst() {
            self.reset_by.get_or_insert(from);
            self.step(from, State::Closed, &mut changes);
            self.step(from.other(), State::Closed, &mut changes);
        } else {
            self.sent(from, flags, had_fin, &mut changes);
            self.arrived(from.other(), flags, had_fin, &mut changes);
        }
        Some(Placed {
            start: span.start,
            end: span.end,
            ack: ack.map(|ack| ack.point),
            window,
            mark: span.mark,
            changes,
        })
    }

    /// The state of one end.
    #[must_use]
    pub fn state(&self, end: End) -> State {
        self.states[end.index()]
    }

    /// The initial sequence number of one end, if its SYN was seen or it was told.
    #[must_use]
    pub fn isn(&self, end: End) -> Option<Seq> {
        self.streams[end.index()].isn()
    }

    /// Tells the initial sequence number of an end whose SYN may not be seen, for instance from
    /// `TCP_SAVED_SYN`.
    ///
    /// Returns by how much the offsets of that end's stream told so far were too small, because
    /// they had been counted from the first segment seen: 0 if the SYN was seen or nothing yet.
    /// That holds while less than 4 GiB had gone by unseen.
    pub fn set_isn(&mut self, end: End, isn: Seq) -> u64 {
        self.streams[end.index()].set_isn(isn)
    }

    /// Whether nothing more can be expected: a reset, or both FINs acknowledged.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reset_by.is_some() || self.streams.iter().all(Stream::is_fin_acknowledged)
    }

    /// Who sent the first RST.
    #[must_use]
    pub fn reset_by(&self) -> Option<End> {
        self.reset_by
    }

    /// Whether the end has sent its FIN.
    #[must_use]
    pub fn has_sent_fin(&self, end: End) -> bool {
        self.streams[end.index()].fin().is_some()
    }

    fn is_another_connection(&self, from: End, seq: Seq) -> bool {
        self.started && self.is_over() && !self.streams[from.index()].begins_behind(seq)
    }

    fn pair(&mut self, from: End) -> [&mut Stream; 2] {
        let [local, remote] = &mut self.streams;
        match from {
            End::Local => [local, remote],
            End::Remote => [remote, local],
        }
    }

    /// Steps nobody saw but without which this segment could not have been sent.
    fn infer_the_start(&mut self, from: End, flags: Flags, changes: &mut Changes) {
        if flags.syn() || flags.rst() || self.is_over() {
            return;
        }
        let (sender, receiver) = (self.state(from), self.state(from.other()));
        if !matches!(sender, State::Closed | State::SynSent | State::SynReceived) {
            return;
        }
        self.infer(from, changes);
        if matches!(receiver, State::Closed | State::SynSent) {
            self.infer(from.other(), changes);
        }
    }

    fn infer(&mut self, end: End, changes: &mut Changes) {
        let from = self.state(end);
        self.states[end.index()] = State::Established;
        changes.push(Change { end, from, to: State::Established, inferred: true });
    }

    /// What sending a segment does to its sender.
    fn sent(&mut self, end: End, flags: Flags, had_fin: bool, changes: &mut Changes) {
        let state = self.state(end);
        if flags.syn() {
            match (state, flags.ack()) {
                (State::Closed, false) => self.step(end, State::SynSent, changes),
                (State::Closed, true) => {
                    // A passive open: it was listening, which no segment shows.
                    self.states[end.index()] = State::Listen;
                    self.step(end, State::SynReceived, changes);
                }
                (State::SynSent, true) => self.step(end, State::SynReceived, changes),
                _ => {}
            }
        }
        // Of two FINs that crossed, the other's has arrived: it is acknowledged.
        if state == State::FinWait1 && self.streams[end.other().index()].is_fin_acknowledged() {
            self.step(end, State::Closing, changes);
        }
        if flags.fin() && !had_fin {
            let crossed = !self.streams[end.other().index()].is_fin_acknowledged();
            match state {
                State::SynReceived | State::Established => {
                    self.step(end, State::FinWait1, changes);
                }
                // Its FIN does not acknowledge the one that was on its way there: the two
                // crossed, and it was never in CLOSE-WAIT, as was said when the other's left.
                State::CloseWait if crossed => self.step(end, State::FinWait1, changes),
                State::CloseWait => self.step(end, State::LastAck, changes),
                _ => {}
            }
        }
    }

    /// What the segment does to the end it arrives at (RFC 9293 §3.10.7).
    fn arrived(&mut self, end: End, flags: Flags, had_fin: bool, changes: &mut Changes) {
        let stream = &self.streams[end.index()];
        let syn_acknowledged = flags.ack() && stream.is_syn_acknowledged();
        let fin_acknowledged = stream.is_fin_acknowledged();
        match self.state(end) {
            State::SynSent if flags.syn() && !flags.ack() => {
                self.step(end, State::SynReceived, changes);
            }
            State::SynSent if flags.syn() && syn_acknowledged => {
                self.step(end, State::Established, changes);
            }
            State::SynReceived if syn_acknowledged => self.step(end, State::Established, changes),
            State::FinWait1 if fin_acknowledged => {
                // A FIN that crossed its own has arrived before what was sent later.
                let has_theirs = self.streams[end.other().index()].fin().is_some();
                let next = if has_theirs { State::TimeWait } else { State::FinWait2 };
                self.step(end, next, changes);
            }
            State::Closing if fin_acknowledged => self.step(end, State::TimeWait, changes),
            State::LastAck if fin_acknowledged => self.step(end, State::Closed, changes),
            _ => {}
        }
        if flags.fin() && !had_fin {
            match self.state(end) {
                State::SynReceived | State::Established => {
                    self.step(end, State::CloseWait, changes);
                }
                State::FinWait1 => self.step(end, State::Closing, changes),
                State::FinWait2 => self.step(end, State::TimeWait, changes),
                _ => {}
            }
        }
    }

    fn step(&mut self, end: End, to: State, changes: &mut Changes) {
        let from = self.state(end);
        if from != to {
            self.states[end.index()] = to;
            changes.push(Change { end, from, to, inferred: false });
        }
    }
}

#[cfg(test)]
mod tests;
