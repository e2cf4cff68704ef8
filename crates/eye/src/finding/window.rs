//! Receivers without room.

use std::ops::Range;
use std::time::Duration;

use sockeye_engine::probe::{Direction, Stamp};

use super::{Evidence, Finding, Found, Kind, Stretch, receiver};
use crate::record::{Certainty, Event, History, Mark, Segment};

/// A window closed for less is part of every fast transfer: the reader was put off the processor for
/// a moment, and nobody waited for long.
const LONG: Duration = Duration::from_millis(10);

/// Windows that were closed for long, or that had to be probed.
pub(super) fn find(history: &History, stretch: &Stretch<'_>, now: Stamp, found: &mut Found) {
    for way in [Direction::Received, Direction::Sent] {
        let mut closed: Option<Closed> = None;
        for segment in &stretch.segments {
            if segment.direction == way {
                if segment.mark == Mark::WindowProbe
                    && let Some(closed) = &mut closed
                {
                    closed.probes += 1;
                }
                continue;
            }
            closed = match (closed.take(), is_closed(segment)) {
                (None, true) => {
                    segment.ack.map(|ack| Closed { at: segment.at, offset: ack.offset, probes: 0 })
                }
                (Some(closed), false) => {
                    closed.end(history, way, segment.at, found);
                    None
                }
                (closed, _) => closed,
            };
        }
        // Nobody knows what became of it where the middle was left out.
        if let Some(closed) = closed.filter(|_| stretch.last) {
            closed.end(history, way, now, found);
        }
    }
}

/// While the peer's window was shut, by a history of which nothing was left out: in order, apart.
pub(crate) fn shut(history: &History) -> Vec<Range<Stamp>> {
    let segments = history.events.iter().filter_map(|event| match event {
        Event::Segment(segment) if segment.direction == Direction::Received => Some(segment),
        _ => None,
    });
    let mut segments: Vec<&Segment> = segments.collect();
    segments.sort_by_key(|segment| segment.at);
    let mut spans = Vec::new();
    let mut since = None;
    for segment in segments {
        since = match (since, is_closed(segment)) {
            (None, true) => Some(segment.at),
            (Some(since), false) => {
                spans.push(since..segment.at);
                None
            }
            (since, _) => since,
        };
    }
    spans.extend(since.map(|since| since..Stamp(u64::MAX)));
    spans
}

/// A window that was closed, and not opened yet.
struct Closed {
    at: Stamp,
    /// Up to here the receiver had taken all.
    offset: u64,
    probes: u64,
}

impl Closed {
    fn end(self, history: &History, way: Direction, until: Stamp, found: &mut Found) {
        let length = until.since(self.at);
        if length < LONG && self.probes == 0 {
            return;
        }
        found.add(Finding {
            kind: Kind::ZeroWindow,
            by: Some(receiver(history, way)),
            direction: way,
            range: self.offset..self.offset,
            at: self.at,
            count: 1,
            evidence: Evidence {
                nanos: until.0.saturating_sub(self.at.0),
                probes: self.probes,
                ..Evidence::default()
            },
            certainty: Certainty::Exact,
            reference: "RFC 9293 §3.8.6.1",
        });
    }
}

/// A SYN and a RST say nothing of room; nor does who expects no more.
fn is_closed(segment: &Segment) -> bool {
    let flags = segment.flags;
    segment.window == 0 && !flags.syn() && !flags.rst() && segment.ack.is_some_and(|ack| !ack.fin)
}
