//! What went otherwise than somebody may have expected, found in what is kept of a connection.
//!
//! Pure: a function of a [`History`]. True before clever: what the records don't show is not
//! found, and what they only suggest is marked [`Certainty::Inferred`].

mod messages;
mod window;

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
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Sticky, Kind::Torn, Kind::ZeroWindow];

    /// Its name, which stays the same from version to version: letters and hyphens.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Kind::Sticky => "sticky",
            Kind::Torn => "torn",
            Kind::ZeroWindow => "zero-window",
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
    for stretch in stretches(history) {
        messages::find(history, &stretch, &mut found);
        window::find(history, &stretch, now, &mut found);
    }
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
