//! What the eye saw of one socket of datagrams: the latest of each flow, and sums of all.
//!
//! A flow is one direction of one peer. Memory is bounded: of a flow the latest [`KEPT`] are kept,
//! and beyond [`FLOWS`] flows the datagrams of others are summed up.

use std::collections::VecDeque;

use sockeye_engine::Address;
use sockeye_engine::probe::{ConnId, Datagram, Datagrams, Direction, Stamp};

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
    /// The latest of it, with calls that failed.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When the call's result was known.
    pub at: Stamp,
    /// How many that succeeded went this way before it, over all peers of the socket.
    pub index: u64,
    /// Its length in bytes as it was sent.
    pub length: u64,
    /// Bytes that were moved.
    pub taken: u64,
    /// The error number, if it failed.
    pub result: Result<(), i32>,
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
            lost: 0,
        }
    }

    /// Takes in one more.
    pub fn add(&mut self, datagram: &Datagram<'_>) {
        if let Err(errno) = datagram.result {
            match self.errors.iter().position(|(known, _)| *known == errno) {
                Some(place) => self.errors[place].1 += 1,
                None if self.errors.len() < ERRORS => self.errors.push((errno, 1)),
                None => self.other_errors += 1,
            }
        }
        let same = |flow: &Flow| {
            flow.direction == datagram.direction && flow.peer.as_ref() == datagram.peer
        };
        let place = self.flows.iter().position(same).unwrap_or(self.flows.len());
        if place == FLOWS {
            self.other_flows[index(datagram.direction)].add(datagram);
            return;
        }
        if place == self.flows.len() {
            self.flows.push(Flow {
                direction: datagram.direction,
                peer: datagram.peer.cloned(),
                tally: Tally::default(),
                latest: VecDeque::new(),
            });
        }
        let flow = &mut self.flows[place];
        flow.tally.add(datagram);
        if flow.latest.len() == KEPT {
            flow.latest.pop_front();
        }
        let &Datagram { end, index, length, taken, result, .. } = datagram;
        flow.latest.push_back(Seen { at: end, index, length, taken, result });
    }

    /// All that was received, or all that was sent.
    #[must_use]
    pub fn total(&self, direction: Direction) -> Tally {
        let flows = self.flows.iter().filter(|flow| flow.direction == direction);
        flows.map(|flow| flow.tally).fold(self.other_flows[index(direction)], Tally::plus)
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
        Datagram { direction, index, start, end, asked: 20, length: 30, taken: 20, peer, result }
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
}
