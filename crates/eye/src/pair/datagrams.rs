//! Two sockets of datagrams that talked to each other: which of those sent arrived, and how.
//!
//! A datagram is known again by its length and its digest. Where several that were sent have both in
//! common, and not as many arrived, nobody knows which were lost: they are counted alone.

use std::collections::{BTreeMap, HashMap};

use sockeye_engine::Address;
use sockeye_engine::probe::{Direction, Stamp};

use super::clock::{Clocks, End, Order};
use crate::datagram::{DatagramHistory, Flow, Outcome, Seen, Tally};

/// Two sockets of two recordings.
#[derive(Clone, Debug)]
pub struct DatagramPair {
    /// That of the first recording.
    pub one: DatagramHistory,
    /// That of the second, by its own clock.
    pub other: DatagramHistory,
    /// How far the second one's clock (here called the server's) is ahead.
    pub clocks: Clocks,
    /// What went from the one to the other, and back; without what never was.
    pub ways: Vec<DatagramWay>,
}

/// What one socket sent to the other.
#[derive(Clone, Debug)]
pub struct DatagramWay {
    /// Who sent: the first, here called the client, or the second.
    pub sender: End,
    /// The sender's side of it.
    pub sent: Flow,
    /// All that arrived.
    pub arrived: Tally,
    /// What became of each of those of [`Flow::latest`] of the sender's.
    pub fates: Vec<DatagramFate>,
    /// How many did not arrive; None where the receiver's eye missed something, or did not look on until
    /// its socket was closed. It may be more where not all are kept.
    pub lost: Option<u64>,
    /// Every datagram is kept still at both ends, not the latest alone.
    pub whole: bool,
    /// How often one arrived once more than it was sent, of those that are kept.
    pub doubled: u64,
    /// How many arrived after one that was sent later (RFC 4737), of those that are kept.
    pub late: u64,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramFate {
    /// It arrived.
    Arrived {
        /// When it was received the first time, by the first one's clock.
        at: Stamp,
        /// Bytes that were received.
        taken: u64,
        /// How many times it arrived.
        times: u64,
        /// One that was sent later had arrived before it.
        late: bool,
    },
    /// It did not arrive.
    Lost,
    /// It is one of several alike of which not all arrived, or is too long ago to be found again; or
    /// it was no datagram but a call that failed.
    Unknown,
}

/// All pairs of sockets that two recordings have, and the places of the sockets in no pair.
pub(super) fn join(
    one: &[DatagramHistory],
    other: &[DatagramHistory],
    one_machine: bool,
) -> (Vec<DatagramPair>, [Vec<usize>; 2]) {
    let mut pairs = Vec::new();
    let mut met = [vec![false; one.len()], vec![false; other.len()]];
    for (here, first) in one.iter().enumerate() {
        for (there, second) in other.iter().enumerate() {
            // Where two sockets have one address, which of them received is not known.
            let alone = |all: &[DatagramHistory], this: &DatagramHistory| {
                all.iter().filter(|socket| socket.local == this.local).count() == 1
            };
            if !alone(one, first) || !alone(other, second) {
                continue;
            }
            if let Some(mut pair) = DatagramPair::new(first, second, one_machine) {
                // Who spoke first stands first, whichever recording comes first.
                if pair.first_sender() == Some(End::Server) {
                    pair = DatagramPair::new(second, first, one_machine).unwrap_or(pair);
                }
                (met[0][here], met[1][there]) = (true, true);
                pairs.push(pair);
            }
        }
    }
    let alone = met.map(|met| {
        met.iter().enumerate().filter(|(_, met)| !**met).map(|(place, _)| place).collect()
    });
    (pairs, alone)
}

impl DatagramPair {
    /// Joins two sockets; None if they did not talk to each other.
    #[must_use]
    pub fn new(
        one: &DatagramHistory,
        other: &DatagramHistory,
        one_machine: bool,
    ) -> Option<DatagramPair> {
        let found: Vec<Found<'_>> = [(End::Client, one, other), (End::Server, other, one)]
            .into_iter()
            .filter_map(|(sender, from, to)| Found::between(sender, from, to))
            .collect();
        if found.is_empty() {
            return None;
        }
        let orders: Vec<Order> = found.iter().flat_map(Found::orders).collect();
        let clocks = super::clocks(&orders, one_machine);
        let ways = found.iter().map(|found| found.way(&clocks)).collect();
        Some(DatagramPair { one: one.clone(), other: other.clone(), clocks, ways })
    }
}

impl DatagramPair {
    /// Who sent the first datagram that is known of.
    fn first_sender(&self) -> Option<End> {
        let first = self.ways.iter().filter_map(|way| {
            let at = way.sent.latest.front()?.at;
            let by_one = way.sender == End::Client;
            Some((if by_one { at } else { self.clocks.at_client(at) }, way.sender))
        });
        first.min_by_key(|(at, _)| *at).map(|(_, sender)| sender)
    }
}

/// A flow at its sender, and what is known of it at its receiver.
struct Found<'a> {
    sender: End,
    sent: &'a Flow,
    received: Option<&'a Flow>,
    /// Nothing of the receiver's is missing, and nothing of the sender's.
    certain: bool,
    all_sent: bool,
    /// Until when the receiver's eye is known to have looked on, by its own clock.
    looked_until: Option<Stamp>,
    /// That was until its socket was closed.
    to_the_end: bool,
    /// For each of the sender's latest, which of the receiver's latest it is.
    matches: Vec<Vec<usize>>,
    /// Those of the sender's that may be among the ones which arrived.
    unsure: Vec<bool>,
    /// Those that no other is like.
    alone: Vec<bool>,
}

impl<'a> Found<'a> {
    fn between(
        sender: End,
        from: &'a DatagramHistory,
        to: &'a DatagramHistory,
    ) -> Option<Found<'a>> {
        let flow = |socket: &'a DatagramHistory, way: Direction, peer: &DatagramHistory| {
            let to_peer = |flow: &&Flow| {
                let reaches = |address: &Address| is_at(address, &peer.local);
                flow.direction == way && flow.peer.as_ref().is_some_and(reaches)
            };
            let mut flows = socket.flows.iter().filter(to_peer);
            let first = flows.next()?;
            flows.next().is_none().then_some(first)
        };
        let sent = flow(from, Direction::Sent, to)?;
        let received = flow(to, Direction::Received, from);
        let mut found = Found {
            sender,
            sent,
            received,
            certain: to.lost == 0 && to.other_flows[0].count == 0,
            all_sent: from.lost == 0 && Found::is_whole(sent),
            looked_until: to.closed.or_else(|| {
                let latest = to.flows.iter().filter_map(|flow| flow.latest.back());
                latest.map(|seen| seen.at).max()
            }),
            to_the_end: to.closed.is_some(),
            matches: vec![Vec::new(); sent.latest.len()],
            unsure: vec![false; sent.latest.len()],
            alone: vec![false; sent.latest.len()],
        };
        found.find();
        Some(found)
    }

    /// Finds those that arrived, by their length and digest.
    fn find(&mut self) {
        let moved = |seen: &Seen| match seen.outcome {
            Outcome::Moved { length, .. } => Some(length),
            _ => None,
        };
        type Key = (u64, Option<u32>);
        let mut groups: HashMap<Key, [Vec<usize>; 2]> = HashMap::new();
        for (place, seen) in self.sent.latest.iter().enumerate() {
            if let Some(length) = moved(seen) {
                groups.entry((length, seen.digest)).or_default()[0].push(place);
            }
        }
        let latest = self.received.iter().flat_map(|flow| &flow.latest).enumerate();
        // Of those that were cut too short for a digest the length alone is known.
        let mut short: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (place, seen) in latest {
            match (moved(seen), seen.digest) {
                (Some(length), Some(_)) => {
                    groups.entry((length, seen.digest)).or_default()[1].push(place);
                }
                (Some(length), None) => short.entry(length).or_default().push(place),
                (None, _) => {}
            }
        }
        let mut left: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for ((length, _), [sent, arrived]) in groups {
            match (sent.len(), arrived.len()) {
                // Sent so long ago that they are not kept any more.
                (0, _) => {}
                (_, 0) => left.entry(length).or_default().extend(sent),
                (1, _) => {
                    self.matches[sent[0]] = arrived;
                    self.alone[sent[0]] = true;
                }
                (n, m) if m >= n => {
                    for (nth, place) in arrived.into_iter().enumerate() {
                        self.matches[sent[nth.min(n - 1)]].push(place);
                    }
                }
                _ => sent.into_iter().for_each(|place| self.unsure[place] = true),
            }
        }
        for (length, mut sent) in left {
            sent.sort_unstable();
            match short.get(&length) {
                None => {}
                Some(arrived) if arrived.len() == sent.len() => {
                    for (sent, arrived) in sent.into_iter().zip(arrived) {
                        self.matches[sent].push(*arrived);
                    }
                }
                Some(_) => sent.into_iter().for_each(|place| self.unsure[place] = true),
            }
        }
    }

    /// Whether all that was ever moved is among the latest.
    fn is_whole(flow: &Flow) -> bool {
        let moved = |seen: &&Seen| matches!(seen.outcome, Outcome::Moved { .. });
        flow.latest.iter().filter(moved).count() as u64 == flow.tally.count
    }

    /// What was sent before it arrived, of those that no other is like.
    fn orders(&self) -> Vec<Order> {
        let Some(received) = self.received.filter(|_| self.all_sent) else { return Vec::new() };
        let pairs = self.sent.latest.iter().zip(&self.matches).zip(&self.alone);
        let pairs = pairs.filter(|(_, alone)| **alone).filter_map(|((sent, arrived), _)| {
            // The call may return after the datagram has arrived.
            Some((sent.started, received.latest.get(*arrived.first()?)?.at))
        });
        pairs
            .map(|(sent, arrived)| match self.sender {
                End::Client => Order { client: sent, server: arrived, first: End::Client },
                End::Server => Order { client: arrived, server: sent, first: End::Server },
            })
            .collect()
    }

    fn way(&self, clocks: &Clocks) -> DatagramWay {
        let arrived = self.received.map_or(Tally::default(), |flow| flow.tally);
        let at = |place: usize| {
            let seen = self.received.and_then(|flow| flow.latest.get(place))?;
            let at = match self.sender {
                End::Client => clocks.at_client(seen.at),
                End::Server => seen.at,
            };
            let taken = match seen.outcome {
                Outcome::Moved { taken, .. } => taken,
                _ => 0,
            };
            Some((at, taken))
        };
        let all_kept = self.received.is_none_or(Found::is_whole);
        // Places of the receiver's in the order in which they were sent.
        let mut order: Vec<(usize, usize)> = Vec::new();
        for (sent, places) in self.matches.iter().enumerate() {
            order.extend(places.first().map(|place| (*place, sent)));
        }
        order.sort_unstable();
        let mut latest_sent = 0;
        let mut late = vec![false; self.matches.len()];
        for (_, sent) in order {
            late[sent] = sent < latest_sent;
            latest_sent = latest_sent.max(sent);
        }
        let looked_until = self.looked_until.map(|at| match self.sender {
            End::Client => clocks.at_client(at),
            End::Server => at,
        });
        let mut some_before = all_kept;
        let mut fates = Vec::with_capacity(self.matches.len());
        for (place, seen) in self.sent.latest.iter().enumerate() {
            let moved = matches!(seen.outcome, Outcome::Moved { .. });
            let first = self.matches[place].first().and_then(|arrived| at(*arrived));
            some_before |= first.is_some();
            let left = match self.sender {
                End::Client => seen.at,
                End::Server => clocks.at_client(seen.at),
            };
            let in_time = looked_until.is_some_and(|until| left <= until);
            fates.push(match first {
                Some((at, taken)) => DatagramFate::Arrived {
                    at,
                    taken,
                    times: self.matches[place].len() as u64,
                    late: late[place],
                },
                None if moved && self.certain && some_before && !self.unsure[place] && in_time => {
                    DatagramFate::Lost
                }
                None => DatagramFate::Unknown,
            });
        }
        let doubled = fates.iter().map(|fate| match fate {
            DatagramFate::Arrived { times, .. } => times - 1,
            _ => 0,
        });
        let doubled: u64 = doubled.sum();
        let known = self.certain && self.to_the_end;
        let lost = known.then(|| (self.sent.tally.count + doubled).saturating_sub(arrived.count));
        DatagramWay {
            sender: self.sender,
            sent: self.sent.clone(),
            arrived,
            fates,
            lost,
            whole: all_kept && Found::is_whole(self.sent),
            doubled,
            late: late.into_iter().filter(|late| *late).count() as u64,
        }
    }
}

/// Whether what is sent to this address comes to a socket with that address of its own, which may be
/// that of all interfaces.
fn is_at(address: &Address, local: &Address) -> bool {
    match (address.ip(), local.ip()) {
        (Some(to), Some(local)) => {
            let (to_ip, own) = (to.ip().to_canonical(), local.ip().to_canonical());
            to.port() == local.port() && (own.is_unspecified() || own == to_ip)
        }
        _ => address == local,
    }
}
