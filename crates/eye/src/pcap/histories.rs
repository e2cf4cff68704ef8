//! The connections of a capture, to be drawn or listed.

use std::collections::BTreeMap;

use sockeye_engine::Address;
use sockeye_engine::probe::{Role, Stamp};
use sockeye_wire::packet::Segment;

use super::conversations::Place;
use crate::record::History;
use crate::timeline::Timeline;

/// So many connections are drawn; if there are more, they are listed.
pub const PICTURES: usize = 4;

/// Connections of which more than a line is known at one time.
const OPEN: usize = 4096;

/// Connections that are listed at most.
const LISTED: usize = 1 << 17;

/// Events kept of each connection that may be drawn, the first and as many of the last.
const KEEP_DRAWN: usize = 4096;

/// Those of each that is only listed.
const KEEP_LISTED: usize = 8;

/// One connection of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Listed<T> {
    /// Its number, from 0.
    pub number: u64,
    /// It.
    pub connection: T,
}

/// How much is known of a capture's connections; each in the order of their numbers.
#[derive(Debug)]
pub enum Shown<T> {
    /// All, since they are at most [`PICTURES`].
    Drawn(Vec<Listed<History>>),
    /// A line of each.
    Listed {
        /// The lines.
        lines: Vec<Listed<T>>,
        /// How many more there were.
        unlisted: u64,
    },
}

/// Joins the segments of a capture to histories, of which neither end is ours.
///
/// All of a connection is kept that was chosen, or while there are few; of one among many it is what
/// its line needs. Those that ended make room for others.
#[derive(Debug)]
pub struct Histories<T> {
    chosen: Option<u64>,
    open: BTreeMap<u64, Box<Timeline>>,
    listed: Vec<Listed<T>>,
    /// How many have given way to later ones.
    unlisted: u64,
    to_line: fn(&History) -> T,
}

impl<T> Histories<T> {
    /// All of them, or a chosen one. Of those that are only listed nothing stays but what `to_line`
    /// makes of them.
    #[must_use]
    pub fn new(chosen: Option<u64>, to_line: fn(&History) -> T) -> Histories<T> {
        Histories { chosen, open: BTreeMap::new(), listed: Vec::new(), unlisted: 0, to_line }
    }

    /// Takes in a segment that has its place.
    pub fn segment(&mut self, at: Stamp, place: &Place, segment: &Segment) {
        if self.chosen.is_some_and(|chosen| chosen != place.number) {
            return;
        }
        if place.first && !self.open.contains_key(&place.number) {
            self.make_room();
            let few = self.chosen.is_some() || place.number < PICTURES as u64;
            let keep = if few { KEEP_DRAWN } else { KEEP_LISTED };
            let [local, peer] = [place.server, place.client].map(Address::from);
            let timeline = Timeline::new(Role::Server, local, peer, keep).of_others();
            self.open.insert(place.number, Box::new(timeline));
        }
        if let Some(timeline) = self.open.get_mut(&place.number) {
            timeline.segment(at, place.direction, segment);
        }
    }

    /// What is known at the end.
    #[must_use]
    pub fn finish(mut self) -> Shown<T> {
        if self.listed.is_empty() && self.open.len() <= PICTURES {
            let all = self.open.into_iter();
            let drawn = all.map(|(number, timeline)| Listed {
                number,
                connection: timeline.cut_short().into_history(),
            });
            return Shown::Drawn(drawn.collect());
        }
        while let Some((number, timeline)) = self.open.pop_first() {
            self.list(number, timeline.cut_short());
        }
        self.listed.sort_by_key(|listed| listed.number);
        Shown::Listed { lines: self.listed, unlisted: self.unlisted }
    }

    /// Makes a line of one of those that are open, the oldest that has ended, or just the oldest.
    fn make_room(&mut self) {
        if self.open.len() < OPEN {
            return;
        }
        let ended = self.open.iter().find(|(_, timeline)| timeline.finished_on_the_wire());
        let Some(number) = ended.or(self.open.first_key_value()).map(|(number, _)| *number) else {
            return;
        };
        if let Some(timeline) = self.open.remove(&number) {
            self.list(number, *timeline);
        }
    }

    fn list(&mut self, number: u64, timeline: Timeline) {
        if self.listed.len() >= LISTED {
            self.unlisted += 1;
            return;
        }
        let connection = (self.to_line)(&timeline.into_history());
        self.listed.push(Listed { number, connection });
    }
}
