//! Segments seen at one end and at the other: which is which, how long it took, and what was lost.

use std::collections::HashMap;
use std::ops::Range;

use sockeye_engine::probe::{Direction, Stamp};

use super::clock::Clocks;
use super::evidence::{Key, comparable, key};
use crate::record::{Event, History, Segment};
use crate::timeline::opposite;

/// A segment on its way from one end to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// As its sender's end saw it leave, or else as the other saw it arrive: the way it went is that
    /// which the client sees, its time is by the client's clock.
    pub segment: Segment,
    /// When it left, if that was seen.
    pub left: Option<Stamp>,
    /// When all of it had arrived, if that was seen. By clocks that are not known exactly it may seem
    /// to be before it left.
    pub arrived: Option<Stamp>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a segment between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It left and it arrived.
    Arrived,
    /// It left, and did not arrive though the other end looked on. Of several with the same content
    /// which one was lost is concluded from the times.
    Lost,
    /// It arrived once more than it was sent.
    Doubled,
    /// It arrived, and the end it claims to come from never sent it.
    Foreign,
    /// One end did not see enough to tell.
    Unknown,
}

impl Crossing {
    /// How long it took in nanoseconds, where both moments are known.
    #[must_use]
    pub fn took(&self) -> Option<u64> {
        Some(self.arrived?.0.saturating_sub(self.left?.0))
    }
}

/// All segments of a connection, by the time at which they left, or arrived where that is not known.
pub(super) fn crossings(client: &History, server: &History, clocks: &Clocks) -> Vec<Crossing> {
    let mut all = Vec::new();
    for way in [Direction::Sent, Direction::Received] {
        let both = comparable(client, server, way);
        let ours = segments(client, way, None);
        // What only one of them can place is drawn as that one saw it.
        if !both && client.captured {
            all.extend(ours.into_iter().map(|segment| seen_once(segment, way)));
            continue;
        }
        let theirs = segments(server, way, Some(clocks));
        if !both {
            all.extend(theirs.into_iter().map(|segment| seen_once(segment, opposite(way))));
            continue;
        }
        let (left, arrived, sender, receiver) = match way {
            Direction::Sent => (ours, theirs, client, server),
            Direction::Received => (theirs, ours, server, client),
        };
        let to_client = |at: Stamp| match way {
            Direction::Sent => clocks.at_client(at),
            Direction::Received => at,
        };
        let mut matching = Matching {
            arrivals: vec![Vec::new(); left.len()],
            used: vec![false; arrived.len()],
            tolerance: clocks.uncertainty().unwrap_or(0).saturating_mul(2).saturating_add(1000),
            left,
            arrived,
        };
        matching.same();
        matching.pieces();
        // With clocks that can't be compared nobody knows what left too late to be seen.
        let known = clocks.uncertainty().is_some();
        let looked_until = looked_until(receiver).filter(|_| known).map(to_client);
        all.extend(matching.told(looked_until, is_whole(sender)));
    }
    all.sort_by_key(|crossing| crossing.segment.at);
    all
}

/// A history's segments of one direction, as the client sees that, with their times by its clock.
fn segments(history: &History, way: Direction, server: Option<&Clocks>) -> Vec<Segment> {
    let own = if server.is_some() { opposite(way) } else { way };
    let segments = history.events.iter().filter_map(|event| match event {
        Event::Segment(segment) if segment.direction == own => Some(segment),
        _ => None,
    });
    let mut segments: Vec<Segment> = segments
        .map(|segment| Segment {
            direction: way,
            at: server.map_or(segment.at, |clocks| clocks.at_client(segment.at)),
            ..segment.clone()
        })
        .collect();
    segments.sort_by_key(|segment| segment.at);
    segments
}

/// `way` is that of the end that saw it.
fn seen_once(segment: Segment, way: Direction) -> Crossing {
    let (left, arrived) = match way {
        Direction::Sent => (Some(segment.at), None),
        Direction::Received => (None, Some(segment.at)),
    };
    Crossing { segment, left, arrived, fate: Fate::Unknown }
}

/// Until when this end saw all that arrived there, if it did, by its own clock.
fn looked_until(receiver: &History) -> Option<Stamp> {
    if !is_whole(receiver) {
        return None;
    }
    let last = receiver.events.iter().filter_map(|event| match event {
        Event::Segment(segment) => Some(segment.at),
        _ => None,
    });
    last.max().max(receiver.closed)
}

/// Whether all segments of a history are there.
fn is_whole(history: &History) -> bool {
    history.captured && history.lost.packets == 0 && history.events.left_out() == 0
}

struct Matching {
    left: Vec<Segment>,
    arrived: Vec<Segment>,
    /// When each of those that left arrived; more than once where the network doubled it.
    arrivals: Vec<Vec<Stamp>>,
    /// Which of those that arrived are accounted for.
    used: Vec<bool>,
    /// By so much an arrival may seem to be too early.
    tolerance: u64,
}

impl Matching {
    /// Those with the same content.
    fn same(&mut self) {
        let mut by_key: HashMap<Key, [Vec<usize>; 2]> = HashMap::new();
        for (side, segments) in [&self.left, &self.arrived].into_iter().enumerate() {
            for (place, segment) in segments.iter().enumerate() {
                by_key.entry(key(segment)).or_default()[side].push(place);
            }
        }
        for [left, arrived] in by_key.into_values() {
            let mut free = left.clone();
            if arrived.len() >= left.len() {
                let Some(last) = left.last() else { continue };
                for (nth, place) in arrived.into_iter().enumerate() {
                    self.meet(*left.get(nth).unwrap_or(last), place);
                }
                continue;
            }
            // Some were lost. Each that arrived is taken for the last that had left by then, and for
            // a copy of it where none else is left.
            let mut chosen = left[0];
            for place in arrived.into_iter().rev() {
                let until = self.arrived[place].at.0.saturating_add(self.tolerance);
                let by_then = free.iter().rposition(|left| self.left[*left].at.0 <= until);
                free.truncate(by_then.map_or(1, |last| last + 1));
                chosen = free.pop().unwrap_or(chosen);
                self.meet(chosen, place);
            }
        }
        self.arrivals.iter_mut().for_each(|arrivals| arrivals.sort_unstable());
    }

    fn meet(&mut self, left: usize, arrived: usize) {
        self.arrivals[left].push(self.arrived[arrived].at);
        self.used[arrived] = true;
    }

    /// Those that were cut or put together on their way, as network cards do: one has arrived when
    /// the last of its bytes has.
    fn pieces(&mut self) {
        let mut free: Vec<usize> =
            (0..self.arrived.len()).filter(|place| !self.used[*place]).collect();
        free.retain(|place| !self.arrived[*place].range.is_empty());
        free.sort_by_key(|place| self.arrived[*place].range.start);
        for left in 0..self.left.len() {
            let segment = &self.left[left];
            if !self.arrivals[left].is_empty() || segment.range.is_empty() {
                continue;
            }
            let from = free.partition_point(|place| {
                self.arrived[*place].range.start.saturating_add(LONGEST) < segment.range.start
            });
            let to =
                free.partition_point(|place| self.arrived[*place].range.start < segment.range.end);
            let earliest = segment.at.0.saturating_sub(self.tolerance);
            let mut parts: Vec<usize> = free[from..to].to_vec();
            parts.retain(|place| self.arrived[*place].at.0 >= earliest);
            if let Some(at) = covered(&segment.range, &parts, &self.arrived) {
                self.arrivals[left].push(at);
                parts.iter().for_each(|place| self.used[*place] = true);
            }
        }
    }

    fn told(self, looked_until: Option<Stamp>, sender_is_whole: bool) -> Vec<Crossing> {
        let mut told = Vec::with_capacity(self.left.len());
        for (segment, arrivals) in self.left.into_iter().zip(self.arrivals) {
            let left = Some(segment.at);
            let fate = match arrivals.is_empty() {
                false => Fate::Arrived,
                true if looked_until.is_some_and(|until| segment.at <= until) => Fate::Lost,
                true => Fate::Unknown,
            };
            let mut again = arrivals.iter().skip(1).copied();
            let doubled: Vec<Crossing> = again
                .by_ref()
                .map(|at| Crossing {
                    segment: Segment { at, ..segment.clone() },
                    left: None,
                    arrived: Some(at),
                    fate: Fate::Doubled,
                })
                .collect();
            told.push(Crossing { segment, left, arrived: arrivals.first().copied(), fate });
            told.extend(doubled);
        }
        let fate = if sender_is_whole { Fate::Foreign } else { Fate::Unknown };
        let strange = self.arrived.into_iter().zip(self.used).filter(|(_, used)| !used);
        told.extend(strange.map(|(segment, _)| {
            let arrived = Some(segment.at);
            Crossing { segment, left: None, arrived, fate }
        }));
        told
    }
}

/// No segment is longer, offload-sized ones included.
const LONGEST: u64 = 1 << 19;

/// When the last byte of a range had come, if all had.
fn covered(range: &Range<u64>, parts: &[usize], arrived: &[Segment]) -> Option<Stamp> {
    // In the order of their beginnings; of those that overlap the earlier one counts.
    let (mut end, mut at) = (range.start, None);
    for part in parts.iter().map(|place| &arrived[*place]) {
        if part.range.start > end {
            return None;
        }
        if part.range.end > end {
            end = part.range.end;
            at = at.max(Some(part.at));
        }
    }
    at.filter(|_| end >= range.end)
}
