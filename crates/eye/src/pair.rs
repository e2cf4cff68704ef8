//! Two ends, one picture: joins what was recorded at both ends of connections.
//!
//! Pure: histories in, histories out. [`join`] finds out which belong together and never guesses;
//! the clocks of the two ends are aligned by what must have come first; segments seen at both ends
//! are matched, so that it is known how long each took and which were lost.

pub(crate) mod clock;
mod crossing;
mod datagrams;
mod evidence;
mod joint;
mod matching;

use sockeye_engine::probe::{Call, Direction, Role, Stamp};

use crate::datagram::DatagramHistory;
use crate::record::History;

pub use clock::{Clocks, Drift, End, Order};
pub use crossing::{Crossing, Fate};
pub use datagrams::{DatagramFate, DatagramPair, DatagramWay};
use matching::Matches;
pub use matching::{Alone, KnownBy};

/// One connection, seen from both its ends.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What its client's end recorded.
    pub client: History,
    /// What its server's end recorded, by that end's clock.
    pub server: History,
    /// How it is known that these are two ends of one connection.
    pub known_by: KnownBy,
    /// How far the clocks are apart.
    pub clocks: Clocks,
    /// Its segments, by the time at which they left.
    pub crossings: Vec<Crossing>,
    /// All but the segments and the server's calls, by the client's clock.
    pub(crate) joint: History,
    /// The server's calls by the client's clock.
    pub(crate) calls: Vec<Call>,
}

fn clocks(orders: &[Order], one_machine: bool) -> Clocks {
    if one_machine { Clocks::of_one_machine(orders) } else { Clocks::fitting(orders) }
}

/// In less than this a packet goes from one process to another on one machine, in nanoseconds.
const FLIGHT_TOLD: u64 = 10_000;

/// What two recordings have in common.
#[derive(Debug, Default)]
pub struct Joined {
    /// The connections both have recorded, in the order of the first recording.
    pub pairs: Vec<Pair>,
    /// Those of the first and of the second that were not joined, and why.
    pub alone: [Vec<(History, Alone)>; 2],
}

/// Joins two recordings. Which of them is of clients and which of servers the histories tell: it may
/// be both. `one_machine` says that the same kernel, and so the same clock, stamped both.
///
/// ```
/// use sockeye_engine::Address;
/// use sockeye_engine::probe::Role;
/// use sockeye_eye::pair;
/// use sockeye_eye::timeline::Timeline;
///
/// let [client, server] = [40312, 80].map(|port| Address::from(([127, 0, 0, 1], port)));
/// let there = Timeline::new(Role::Server, server.clone(), client.clone(), 64).into_history();
/// let here = Timeline::new(Role::Client, client, server, 64).into_history();
/// let joined = pair::join(vec![there], vec![here], true);
/// assert_eq!(joined.pairs.len(), 1);
/// assert_eq!(joined.pairs[0].known_by, pair::KnownBy::Addresses);
/// ```
#[must_use]
pub fn join(one: Vec<History>, other: Vec<History>, one_machine: bool) -> Joined {
    let [here, there]: [Vec<&History>; 2] = [one.iter().collect(), other.iter().collect()];
    let Matches { pairs, alone } = matching::matches(&here, &there);
    let mut rest = [one, other].map(|all| all.into_iter().map(Some).collect::<Vec<_>>());
    let mut take = |side: usize, place: usize| rest[side].get_mut(place).and_then(Option::take);
    let mut joined = Joined::default();
    for (here, there, known_by) in pairs {
        let (Some(here), Some(there)) = (take(0, here), take(1, there)) else { continue };
        let (client, server) =
            if here.role == Role::Client { (here, there) } else { (there, here) };
        joined.pairs.push(Pair::new(client, server, known_by, one_machine));
    }
    for (side, alone) in alone.into_iter().enumerate() {
        let left = alone.into_iter().filter_map(|(place, why)| Some((take(side, place)?, why)));
        joined.alone[side] = left.collect();
    }
    joined
}

/// Joins the sockets of datagrams of two recordings: the pairs that talked to each other, and the
/// places of all others in each recording.
#[must_use]
pub fn join_datagrams(
    one: &[DatagramHistory],
    other: &[DatagramHistory],
    one_machine: bool,
) -> (Vec<DatagramPair>, [Vec<usize>; 2]) {
    datagrams::join(one, other, one_machine)
}

impl Pair {
    /// Joins both ends of a connection that are known to be that.
    #[must_use]
    pub fn new(client: History, server: History, known_by: KnownBy, one_machine: bool) -> Pair {
        let clocks = clocks(&evidence::orders(&client, &server), one_machine);
        let crossings = crossing::crossings(&client, &server, &clocks);
        let joint = joint::joint(&client, &server, &clocks, &crossings);
        let calls = joint::calls(&server, &clocks);
        Pair { client, server, known_by, clocks, crossings, joint, calls }
    }

    /// When it all began, by this end's clock.
    pub(crate) fn start_at(&self, end: Role) -> Stamp {
        let start = self.joint.course.span.map_or(Stamp(0), |(first, _)| first);
        match (end, self.server.course.span) {
            (Role::Server, Some((at, _))) => {
                let since = self.clocks.at_client(at).0.saturating_sub(start.0);
                Stamp(at.0.saturating_sub(since))
            }
            _ => start,
        }
    }

    /// The shortest and the longest time in flight that went this way, in nanoseconds, as far as the
    /// clocks tell.
    #[must_use]
    pub fn flights(&self, way: Direction) -> Option<(u64, u64)> {
        self.clocks.uncertainty()?;
        let way = self.crossings.iter().filter(|crossing| crossing.segment.direction == way);
        let took: Vec<u64> = way.filter_map(Crossing::took).collect();
        took.iter().min().copied().zip(took.iter().max().copied())
    }

    /// Whether a segment's time in flight is known well enough to be told: it is longer than all that
    /// the clocks leave open.
    pub(crate) fn shows_flight(&self, crossing: Option<&Crossing>) -> bool {
        let took = crossing.and_then(Crossing::took);
        let unsure = self.clocks.uncertainty().map(|unsure| unsure.saturating_mul(2));
        took.zip(unsure).is_some_and(|(took, unsure)| took > unsure.max(FLIGHT_TOLD))
    }

    /// How many segments met this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.crossings.iter().filter(|crossing| crossing.fate == fate).count() as u64
    }
}
