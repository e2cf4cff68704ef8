//! What the eye saw of one socket of datagrams: the latest of each flow, and sums of all.
//!
//! A flow is one direction of one peer. Memory is bounded: of a flow the latest [`KEPT`] are kept,
//! and beyond [`FLOWS`] flows the datagrams of others are summed up.

use std::collections::VecDeque;

use sockeye_engine::Address;
use sockeye_engine::probe::{ConnId, Datagram, Datagrams, Direction, Reported, Stamp};

use crate::timeline::index;

/// So many datagrams of a flow are kept, the latest ones.
pub const KEPT: usize = 64;

/// So many flows of a socket are told apart.
pub const FLOWS: usize = 32;

/// So many error numbers are told apart.
const ERRORS: usize = 8;

/// Everything kept about one socket.
#[derive(Clone, Debug)]
pub struct DatagramHistory {
    /// Its name.
    pub conn: ConnId,
    /// Its own address.
    pub local: Address,
    /// When it was made.
    pub opened: Stamp,
    /// When it was closed.
    pub closed: Option<Stamp>,
    /// In the order of their first datagrams.
    pub flows: Vec<Flow>,
    /// What came and went in other flows; index 0 received, 1 sent.
    pub other_flows: [Tally; 2],
    /// Calls that failed, by error number, for the first few numbers.
    pub errors: Vec<(i32, u64)>,
    /// Calls that failed with other numbers.
    pub other_errors: u64,
    /// What the error queue said, by error number, for the first few numbers. A call may have failed
    /// of the same cause.
    pub reports: Vec<(i32, u64)>,
    /// What it said with other numbers.
    pub other_reports: u64,
    /// Datagrams that came, and that the kernel dropped because there was no room to receive them into
    /// or because they were damaged; it tells when the socket is closed.
    pub dropped: u32,
    /// Records the eye was too slow for.
    pub lost: u64,
}

/// One direction of one peer.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Which way.
    pub direction: Direction,
    /// The other end, where calls named it.
    pub peer: Option<Address>,
    /// All of it.
    pub tally: Tally,
    /// The latest of it, with calls that failed and what the error queue said.
    pub latest: VecDeque<Seen>,
}

/// Sums of datagrams that were received or sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Bytes that were moved.
    pub bytes: u64,
    /// How many were longer than the room for them.
    pub truncated: u64,
    /// Bytes that were cut off there.
    pub cut: u64,
}

/// One datagram, or a call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When the call was made; of an error queue's word, when it was found.
    pub started: Stamp,
    /// When the call's result was known.
    pub at: Stamp,
    /// How many that succeeded went this way before it, over all peers of the socket.
    pub index: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Of its content ([`digest`](sockeye_engine::probe::digest)), where that was moved.
    pub digest: Option<u32>,
    /// What the program calls it; bytes of a peer, not yet fit for a terminal. Empty for no name.
    pub label: String,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was received or sent.
    Moved {
        /// Its length in bytes as it was sent.
        length: u64,
        /// Bytes that were moved.
        taken: u64,
    },
    /// The call failed, with this error number.
    Failed(i32),
    /// The error queue said so later, of this one or one before it.
    Reported(i32),
}

impl DatagramHistory {
    /// Begins with a socket of which nothing is known but its name and address.
    #[must_use]
    pub fn new(opened: &Datagrams) -> DatagramHistory {
        DatagramHistory {
            conn: opened.conn,
            local: opened.local.clone(),
            opened: opened.at,
            closed: None,
            flows: Vec::new(),
            other_flows: [Tally::default(); 2],
            errors: Vec::new(),
            other_errors: 0,
            reports: Vec::new(),
            other_reports: 0,
            dropped: 0,
            lost: 0,
        }
    }

    /// Takes in one more.
    pub fn add(&mut self, datagram: &Datagram<'_>) {
        if let Err(errno) = datagram.result {
            count(&mut self.errors, &mut self.other_errors, errno);
        }
        let way = datagram.direction;
        let Some(flow) = self.flow(way, datagram.peer) else {
            self.other_flows[index(way)].add(datagram);
            return;
        };
        flow.tally.add(datagram);
        let &Datagram { start, end, index, length, taken, digest, .. } = datagram;
        let outcome = match datagram.result {
            Ok(()) => Outcome::Moved { length, taken },
            Err(errno) => Outcome::Failed(errno),
        };
        flow.push(Seen { started: start, at: end, index, outcome, digest, label: String::new() });
    }

    /// Takes in what the error queue says of one that was sent.
    pub fn report(&mut self, reported: &Reported<'_>) {
        count(&mut self.reports, &mut self.other_reports, reported.errno);
        let sent = self.total(Direction::Sent).count;
        if let Some(flow) = self.flow(Direction::Sent, reported.to) {
            let (at, outcome) = (reported.at, Outcome::Reported(reported.errno));
            let label = String::new();
            flow.push(Seen { started: at, at, index: sent, outcome, digest: None, label });
        }
    }

    /// Names the datagram that went this way after so many others, if it is kept still.
    pub fn name(&mut self, direction: Direction, index: u64, label: &str) {
        let flows = self.flows.iter_mut().filter(|flow| flow.direction == direction);
        let mut latest = flows.filter_map(|flow| {
            let moved = |seen: &&mut Seen| matches!(seen.outcome, Outcome::Moved { .. });
            flow.latest.iter_mut().rev().find(moved)
        });
        // Datagrams are named before the next one goes the same way.
        if let Some(seen) = latest.find(|seen| seen.index == index) {
            label.clone_into(&mut seen.label);
        }
    }

    /// The flow of this peer; None if there are too many.
    fn flow(&mut self, direction: Direction, peer: Option<&Address>) -> Option<&mut Flow> {
        let same = |flow: &Flow| flow.direction == direction && flow.peer.as_ref() == peer;
        let place = self.flows.iter().position(same).unwrap_or(self.flows.len());
        if place == self.flows.len() && place < FLOWS {
            self.flows.push(Flow {
                direction,
                peer: peer.cloned(),
                tally: Tally::default(),
                latest: VecDeque::new(),
            });
        }
        self.flows.get_mut(place)
    }

    /// All that was received, or all that was sent.
    #[must_use]
    pub fn total(&self, direction: Direction) -> Tally {
        let flows = self.flows.iter().filter(|flow| flow.direction == direction);
        flows.map(|flow| flow.tally).fold(self.other_flows[index(direction)], Tally::plus)
    }
}

impl Flow {
    fn push(&mut self, seen: Seen) {
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(seen);
    }
}

/// Counts an error by its number, if there are not too many of them.
fn count(known: &mut Vec<(i32, u64)>, others: &mut u64, errno: i32) {
    match known.iter().position(|(number, _)| *number == errno) {
        Some(place) => known[place].1 += 1,
        None if known.len() < ERRORS => known.push((errno, 1)),
        None => *others += 1,
    }
}

impl Tally {
    fn add(&mut self, datagram: &Datagram<'_>) {
        if datagram.result.is_err() {
            return;
        }
        let cut = datagram.length.saturating_sub(datagram.taken);
        let truncated = u64::from(cut > 0);
        *self = self.plus(Tally { count: 1, bytes: datagram.taken, truncated, cut });
    }

    fn plus(self, other: Tally) -> Tally {
        Tally {
            count: self.count + other.count,
            bytes: self.bytes.saturating_add(other.bytes),
            truncated: self.truncated + other.truncated,
            cut: self.cut.saturating_add(other.cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(peer: &Address, index: u64, result: Result<(), i32>) -> Datagram<'_> {
        let direction = Direction::Received;
        let (start, end, peer) = (Stamp(index), Stamp(index + 1), Some(peer));
        Datagram {
            direction,
            index,
            start,
            end,
            asked: 20,
            length: 30,
            taken: 20,
            digest: None,
            peer,
            result,
        }
    }

    #[test]
    fn memory_is_bounded_and_the_sums_stay_true() {
        let local = Address::from(([127, 0, 0, 1], 9));
        let opened = Datagrams { conn: ConnId(1), local, at: Stamp(0) };
        let mut history = DatagramHistory::new(&opened);
        for peer in 0..100 {
            let address = Address::from(([127, 0, 0, 1], 1000 + peer));
            for index in 0..100 {
                history.add(&datagram(&address, index, Ok(())));
            }
            history.add(&datagram(&address, 100, Err(i32::from(peer))));
        }
        assert_eq!(history.flows.len(), FLOWS);
        assert!(history.flows.iter().all(|flow| flow.latest.len() == KEPT));
        let (count, bytes) = (100 * 100, 100 * 100 * 20);
        let all = Tally { count, bytes, truncated: count, cut: count * 10 };
        assert_eq!(history.total(Direction::Received), all);
        assert_eq!(history.total(Direction::Sent), Tally::default());
        assert_eq!((history.errors.len(), history.other_errors), (ERRORS, 92));
    }

    #[test]
    fn a_name_goes_to_its_datagram_and_to_no_other() {
        let local = Address::from(([127, 0, 0, 1], 9));
        let mut history = DatagramHistory::new(&Datagrams { conn: ConnId(1), local, at: Stamp(0) });
        let peers = [1, 2].map(|port| Address::from(([127, 0, 0, 1], port)));
        history.add(&datagram(&peers[0], 0, Ok(())));
        history.name(Direction::Received, 0, "first");
        history.add(&datagram(&peers[1], 1, Ok(())));
        history.name(Direction::Received, 1, "second");
        history.name(Direction::Sent, 1, "of the other direction");
        history.name(Direction::Received, 7, "of none");
        let labels = history.flows.iter().flat_map(|flow| &flow.latest).map(|seen| &*seen.label);
        assert_eq!(labels.collect::<Vec<_>>(), ["first", "second"]);
    }

    #[test]
    fn what_the_error_queue_says_is_counted_apart_from_calls() {
        let local = Address::from(([127, 0, 0, 1], 9));
        let mut history = DatagramHistory::new(&Datagrams { conn: ConnId(1), local, at: Stamp(0) });
        let to = Address::from(([127, 0, 0, 1], 10));
        for errno in 0..20 {
            let (at, to, offender) = (Stamp(1), Some(&to), None);
            history.report(&Reported { at, errno, to, offender });
        }
        assert_eq!((history.reports.len(), history.other_reports), (ERRORS, 12));
        assert!(history.errors.is_empty());
        assert_eq!(history.total(Direction::Sent), Tally::default());
        assert_eq!(history.flows[0].latest[3].outcome, Outcome::Reported(3));
    }
}
