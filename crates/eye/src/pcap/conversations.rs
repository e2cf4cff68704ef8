//! Which connection a captured segment is of, and which end sent it.

use std::collections::HashMap;
use std::net::SocketAddr;

use sockeye_engine::probe::Direction;
use sockeye_wire::packet::Segment;
use sockeye_wire::tcp::Seq;

/// More connections than this at different addresses are not told apart.
pub const MAX_CONVERSATIONS: usize = 1 << 18;

/// Numbers the connections of a capture in the order of their first segments, from 0, as Wireshark
/// does (`tcp.stream`).
///
/// A SYN that does not repeat the number of the connection's first one begins another connection
/// between the same ports. The client is whoever sent the SYN; of a connection that was open before
/// the capture began, the end with the higher port.
///
/// ```
/// use sockeye_eye::pcap::Conversations;
/// use sockeye_wire::packet::Segment;
/// use sockeye_wire::tcp::{Flags, Seq};
///
/// let syn = Segment {
///     source: "10.0.0.1:40312".parse().unwrap(),
///     destination: "10.0.0.2:80".parse().unwrap(),
///     seq: Seq(99),
///     ack: Seq(0),
///     flags: Flags::SYN,
///     window: 65495,
///     payload: 0,
///     window_scale: Some(7),
///     mss: None,
///     sack: None,
/// };
/// let mut conversations = Conversations::default();
/// let place = conversations.place(&syn).unwrap();
/// assert_eq!((place.number, place.client), (0, syn.source));
/// let again = Segment { seq: Seq(7000), ..syn };
/// assert_eq!(conversations.place(&again).unwrap().number, 1);
/// ```
#[derive(Debug, Default)]
pub struct Conversations {
    newest: HashMap<(SocketAddr, SocketAddr), Newest, foldhash::fast::RandomState>,
    count: u64,
    untold: u64,
}

/// The newest connection of two addresses.
#[derive(Clone, Copy, Debug)]
struct Newest {
    number: u64,
    client: SocketAddr,
    /// The number before the first byte of each end, the client's and the server's, once a segment
    /// told.
    isn: [Option<Seq>; 2],
}

/// Where a segment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The connection's number.
    pub number: u64,
    /// It is the connection's first.
    pub first: bool,
    /// Who began the connection, as far as is known.
    pub client: SocketAddr,
    /// Who was asked.
    pub server: SocketAddr,
    /// Which way it went, seen from the server.
    pub direction: Direction,
}

impl Conversations {
    /// Where the segment belongs; `None` if there are too many connections.
    pub fn place(&mut self, segment: &Segment) -> Option<Place> {
        let (source, destination, flags) = (segment.source, segment.destination, segment.flags);
        let key = (source.min(destination), source.max(destination));
        let known = self.newest.get(&key).copied().filter(|newest| !newest.is_over(segment));
        let newest = match known {
            Some(newest) => newest,
            None if self.newest.len() >= MAX_CONVERSATIONS && !self.newest.contains_key(&key) => {
                self.untold += 1;
                return None;
            }
            None => {
                let from_client = match (flags.syn(), flags.ack()) {
                    (true, ack) => !ack,
                    (false, _) => source.port() >= destination.port(),
                };
                let number = self.count;
                self.count += 1;
                let client = if from_client { source } else { destination };
                Newest { number, client, isn: [None; 2] }
            }
        };
        let newest = newest.seen(segment);
        self.newest.insert(key, newest);
        let from_client = newest.client == source;
        let (direction, server) = match from_client {
            true => (Direction::Received, destination),
            false => (Direction::Sent, source),
        };
        let first = known.is_none();
        Some(Place { number: newest.number, first, client: newest.client, server, direction })
    }

    /// How many connections there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many segments belong to none of them, because they were too many.
    #[must_use]
    pub fn untold(&self) -> u64 {
        self.untold
    }
}

impl Newest {
    fn end_of(&self, address: SocketAddr) -> usize {
        usize::from(address != self.client)
    }

    /// Whether the segment begins another connection.
    fn is_over(&self, segment: &Segment) -> bool {
        let begins = segment.flags.syn() && !segment.flags.ack();
        let isn = self.isn[self.end_of(segment.source)];
        begins && isn.is_some_and(|isn| isn != segment.seq)
    }

    fn seen(mut self, segment: &Segment) -> Newest {
        let (from, to) = (self.end_of(segment.source), self.end_of(segment.destination));
        self.isn[from].get_or_insert(match segment.flags.syn() {
            true => segment.seq,
            false => segment.seq - 1,
        });
        if segment.flags.ack() {
            self.isn[to].get_or_insert(segment.ack - 1);
        }
        self
    }
}
