//! What went otherwise than somebody may have expected, found in what is kept of a connection.
//!
//! Pure: a function of a [`History`]. True before clever: what the records don't show is not
//! found, and what they only suggest is marked [`Certainty::Inferred`].

mod datagrams;
mod ending;
pub(crate) mod loss;
mod messages;
pub(crate) mod nagle;
mod overview;
pub(crate) mod window;

pub use datagrams::findings_of_datagrams;
pub use overview::Overview;

use std::ops::Range;

use sockeye_engine::probe::{Call, Direction, Role, Stamp};

use crate::record::{Certainty, Event, History, Segment};

/// One thing that was found, or several of a kind in one direction.
///
/// Where they are several, [`Finding::range`], [`Finding::at`] and the evidence are those of the one
/// that shows it most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The end whose doing it is: who reads, who sends again, who resets, whose window it is. None
    /// for a socket of datagrams.
    pub by: Option<Role>,
    /// Which way the bytes go that it is about.
    pub direction: Direction,
    /// Which bytes of that direction; empty where it is a place between two of them. A datagram is
    /// one index.
    pub range: Range<u64>,
    /// When it began.
    pub at: Stamp,
    /// How many of the kind there were.
    pub count: u64,
    /// The numbers it rests on.
    pub evidence: Evidence,
    /// Whether the records show it, or only suggest it.
    pub certainty: Certainty,
    /// Where it is explained: a section of an RFC, or a man page.
    pub reference: &'static str,
}

/// Numbers a finding rests on; 0 where they have no meaning for its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Messages.
    pub messages: u64,
    /// Calls.
    pub calls: u64,
    /// Bytes.
    pub bytes: u64,
    /// How long it took, in nanoseconds.
    pub nanos: u64,
    /// How long all of the kind took together, in nanoseconds.
    pub all_nanos: u64,
    /// ACKs that said once more what another had said (RFC 5681 §2).
    pub duplicate_acks: u64,
    /// Segments that asked whether the other end is there: of a closed window, or keep-alives.
    pub probes: u64,
    /// Segments that were sent again.
    pub again: u64,
    /// Connections.
    pub connections: u64,
    /// Error numbers of calls, in their order.
    pub errors: [Option<i32>; 2],
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Several messages came with one read.
    Sticky,
    /// One message took several reads.
    Torn,
    /// A receiver had no room, and the sender had to wait.
    ZeroWindow,
    /// Bytes were sent again; why is not certain.
    Retransmission,
    /// Bytes were sent again because the receiver showed that they were missing.
    FastRetransmission,
    /// Bytes were sent again because nothing was heard of them for so long.
    RetransmissionTimeout,
    /// The last bytes sent were sent again: behind them nothing came that could show them missing.
    TailRetransmission,
    /// Bytes were sent again that had arrived.
    SpuriousRetransmission,
    /// A SYN was not answered in time, and sent again.
    SynRetried,
    /// A listener dropped connections because too many waited to be accepted.
    BacklogOverflow,
    /// A SYN was answered by a reset: nobody listens at that port.
    Refused,
    /// A connection was reset; why is not certain.
    Reset,
    /// A program ended its connection by an abort: `SO_LINGER` with a time of 0.
    ResetByAbort,
    /// A program closed while bytes lay unread, and its kernel told the other end by a reset.
    ResetUnread,
    /// Data came for a socket that had been closed.
    ResetAfterClose,
    /// A segment came for a connection its receiver knew nothing of.
    ResetUnknown,
    /// A program wrote to a connection that its peer had ended.
    WriteAfterClose,
    /// A program wrote after it had ended its own half.
    WriteAfterShutdown,
    /// A peer is gone without a word.
    HalfOpen,
    /// A peer closed long ago, and our program has not.
    CloseWait,
    /// Many connections wait in TIME-WAIT because their end here closed first.
    TimeWait,
    /// A small segment was held back until an ACK that was held back as well.
    NagleDelayedAck,
    /// A datagram was longer than the room to receive it.
    DatagramTruncated,
    /// Datagrams came and found no room.
    DatagramDropped,
    /// A datagram was sent to a port nobody has bound.
    DatagramRefused,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 25] = [
        Kind::Sticky,
        Kind::Torn,
        Kind::ZeroWindow,
        Kind::Retransmission,
        Kind::FastRetransmission,
        Kind::RetransmissionTimeout,
        Kind::TailRetransmission,
        Kind::SpuriousRetransmission,
        Kind::SynRetried,
        Kind::BacklogOverflow,
        Kind::Refused,
        Kind::Reset,
        Kind::ResetByAbort,
        Kind::ResetUnread,
        Kind::ResetAfterClose,
        Kind::ResetUnknown,
        Kind::WriteAfterClose,
        Kind::WriteAfterShutdown,
        Kind::HalfOpen,
        Kind::CloseWait,
        Kind::TimeWait,
        Kind::NagleDelayedAck,
        Kind::DatagramTruncated,
        Kind::DatagramDropped,
        Kind::DatagramRefused,
    ];

    /// Whether it only tells how a stream came to be read, and nothing is amiss: messages are known
    /// where our program decoded them, so that it coped.
    #[must_use]
    pub const fn is_note(self) -> bool {
        matches!(self, Kind::Sticky | Kind::Torn)
    }

    /// Its name, which stays the same from version to version: letters and hyphens.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Kind::Sticky => "sticky",
            Kind::Torn => "torn",
            Kind::ZeroWindow => "zero-window",
            Kind::Retransmission => "retransmission",
            Kind::FastRetransmission => "fast-retransmission",
            Kind::RetransmissionTimeout => "retransmission-timeout",
            Kind::TailRetransmission => "tail-retransmission",
            Kind::SpuriousRetransmission => "spurious-retransmission",
            Kind::SynRetried => "syn-retried",
            Kind::BacklogOverflow => "backlog-overflow",
            Kind::Refused => "connection-refused",
            Kind::Reset => "reset",
            Kind::ResetByAbort => "reset-abort",
            Kind::ResetUnread => "reset-unread",
            Kind::ResetAfterClose => "reset-after-close",
            Kind::ResetUnknown => "reset-half-open",
            Kind::WriteAfterClose => "write-after-close",
            Kind::WriteAfterShutdown => "write-after-shutdown",
            Kind::HalfOpen => "half-open",
            Kind::CloseWait => "close-wait",
            Kind::TimeWait => "time-wait",
            Kind::NagleDelayedAck => "nagle-delayed-ack",
            Kind::DatagramTruncated => "datagram-truncated",
            Kind::DatagramDropped => "datagram-dropped",
            Kind::DatagramRefused => "datagram-refused",
        }
    }
}

/// Everything found in what is kept of a connection, in order of time: at most one of each kind and
/// direction.
///
/// What is still going on is judged as of [`History::closed`], or of the last thing that happened.
#[must_use]
pub fn findings(history: &History) -> Vec<Finding> {
    let last = history.course.span.map_or(Stamp(0), |(_, last)| last);
    findings_until(history, history.closed.unwrap_or(last))
}

/// As [`findings`], of a connection that is still open at `now`.
#[must_use]
pub fn findings_until(history: &History, now: Stamp) -> Vec<Finding> {
    let mut found = Found::default();
    if history.is_of_one_socket() {
        // Whatever its segments look like, they are of one end alone.
        return found.into_findings();
    }
    let stretches = stretches(history);
    for stretch in &stretches {
        messages::find(history, stretch, &mut found);
        window::find(history, stretch, now, &mut found);
        loss::find(history, stretch, &mut found);
        nagle::find(history, stretch, &mut found);
    }
    if let Some(first) = stretches.first() {
        loss::find_syns(history, first, &mut found);
    }
    ending::find(history, &stretches, now, &mut found);
    found.into_findings()
}

/// Calls and segments between which nothing was left out.
struct Stretch<'a> {
    calls: Vec<&'a Call>,
    segments: Vec<&'a Segment>,
    /// It reaches to the latest event.
    last: bool,
}

/// The whole of a history, or what is kept of its beginning and of its end.
fn stretches(history: &History) -> Vec<Stretch<'_>> {
    let events = &history.events;
    if events.left_out() == 0 {
        return vec![Stretch::of(events.iter(), true)];
    }
    vec![Stretch::of(events.head(), false), Stretch::of(events.tail(), true)]
}

impl<'a> Stretch<'a> {
    fn of(events: impl Iterator<Item = &'a Event>, last: bool) -> Stretch<'a> {
        let mut stretch = Stretch { calls: Vec::new(), segments: Vec::new(), last };
        for event in events {
            match event {
                Event::Call(call) => stretch.calls.push(call),
                Event::Segment(segment) => stretch.segments.push(segment),
                _ => {}
            }
        }
        stretch
    }
}

/// Like findings folded into one.
#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    /// Adds one more, or counts it with those like it.
    fn add(&mut self, mut finding: Finding) {
        finding.evidence.all_nanos = finding.evidence.nanos;
        let like = |known: &&mut Finding| {
            known.kind == finding.kind
                && known.direction == finding.direction
                && known.by == finding.by
        };
        let Some(known) = self.0.iter_mut().find(like) else {
            self.0.push(finding);
            return;
        };
        let count = known.count.saturating_add(finding.count);
        let all_nanos = known.evidence.all_nanos.saturating_add(finding.evidence.nanos);
        if finding.evidence.weight() > known.evidence.weight() {
            *known = finding;
        }
        known.count = count;
        known.evidence.all_nanos = all_nanos;
    }

    fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    fn into_findings(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| (finding.at, finding.kind));
        self.0
    }
}

impl Evidence {
    /// The more, the more it shows what it is evidence of.
    fn weight(&self) -> impl Ord + use<> {
        (self.messages, self.calls, self.nanos, self.duplicate_acks, self.bytes)
    }
}

/// Spans of time in their order, those that touch made one.
pub(crate) fn apart(mut spans: Vec<Range<Stamp>>) -> Vec<Range<Stamp>> {
    spans.sort_by_key(|span| span.start);
    let mut apart: Vec<Range<Stamp>> = Vec::with_capacity(spans.len());
    for span in spans {
        match apart.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => apart.push(span),
        }
    }
    apart
}

/// Whose end bytes of this direction come from, and go to.
fn sender(history: &History, direction: Direction) -> Role {
    match direction {
        Direction::Sent => history.role,
        Direction::Received => crate::timeline::other(history.role),
    }
}

fn receiver(history: &History, direction: Direction) -> Role {
    crate::timeline::other(sender(history, direction))
}
