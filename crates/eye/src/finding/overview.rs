//! What shows only over many connections: ends that wait in TIME-WAIT, and SYNs that nobody answered.

use std::collections::VecDeque;

use sockeye_engine::Address;
use sockeye_engine::probe::{Direction, Role, Stamp};
use sockeye_wire::tcp::State;

use super::{Evidence, Finding, Kind, findings};
use crate::record::{Certainty, History};

/// How long TIME-WAIT lasts on Linux, in seconds (`TCP_TIMEWAIT_LEN`; twice the MSL of RFC 9293 §3.4.2
/// is four minutes).
const TIME_WAIT: u64 = 60;

/// So many at once are a pile: few enough to tell in time, and more than a program makes that keeps its
/// connections.
const PILE: u64 = 256;

/// So many listeners and peers are told apart; others are not counted.
const PLACES: usize = 64;

/// Takes in connections that have ended, and finds what they have in common. Its memory is bounded.
#[derive(Debug, Default)]
pub struct Overview {
    piles: Vec<Pile>,
}

/// Ends of ours that wait in TIME-WAIT, at one listener or towards one peer.
#[derive(Debug)]
struct Pile {
    at: Address,
    role: Role,
    /// How many began to wait in each second, the latest last.
    seconds: VecDeque<(u64, u64)>,
    /// It was told of, and has not gone down to half since.
    told: bool,
}

impl Overview {
    /// Takes in a connection that has ended.
    ///
    /// Returns a finding and the listener or the peer it is about when a pile of ends in TIME-WAIT
    /// has just become high.
    pub fn ended(&mut self, history: &History) -> Option<(Address, Finding)> {
        let certainty = waits(history)?;
        let began = history.course.span?.1;
        // A listener's port is its own; a client takes another port for each connection.
        let at = match history.role {
            Role::Server => &history.local,
            Role::Client => &history.peer,
        };
        let place = match self.piles.iter().position(|pile| pile.at == *at) {
            Some(place) => place,
            None if self.piles.len() < PLACES => {
                let (at, role) = (at.clone(), history.role);
                self.piles.push(Pile { at, role, seconds: VecDeque::new(), told: false });
                self.piles.len() - 1
            }
            None => return None,
        };
        let pile = &mut self.piles[place];
        let count = pile.add(began);
        pile.told &= count > PILE / 2;
        if pile.told || count < PILE {
            return None;
        }
        pile.told = true;
        let finding = Finding {
            kind: Kind::TimeWait,
            by: Some(pile.role),
            direction: Direction::Sent,
            range: 0..0,
            at: began,
            count: 1,
            evidence: Evidence { connections: count, ..Evidence::default() },
            certainty,
            reference: "RFC 9293 §3.6.1, RFC 6191",
        };
        Some((pile.at.clone(), finding))
    }

    /// Of connections that were never accepted, those that a full backlog held up, as one finding.
    pub fn never_accepted<'a>(histories: impl IntoIterator<Item = &'a History>) -> Option<Finding> {
        let held =
            histories.into_iter().filter(|history| history.conn.is_none()).filter_map(|history| {
                findings(history).into_iter().find(|found| found.kind == Kind::BacklogOverflow)
            });
        held.reduce(|mut all, one| {
            all.count = all.count.saturating_add(one.count);
            all.evidence.again = all.evidence.again.saturating_add(one.evidence.again);
            all.evidence.nanos = all.evidence.nanos.max(one.evidence.nanos);
            all.at = all.at.min(one.at);
            all
        })
    }
}

impl Pile {
    /// One more began to wait; how many do now.
    fn add(&mut self, at: Stamp) -> u64 {
        let second = at.0 / 1_000_000_000;
        match self.seconds.back_mut() {
            // Those that are told late, or after the clock was set back, count with the latest.
            Some((latest, count)) if second <= *latest => *count += 1,
            _ => self.seconds.push_back((second, 1)),
        }
        let latest = self.seconds.back().map_or(second, |(latest, _)| *latest);
        while self.seconds.front().is_some_and(|(first, _)| latest - first >= TIME_WAIT) {
            self.seconds.pop_front();
        }
        self.seconds.iter().map(|(_, count)| count).sum()
    }
}

/// Whether our end waits in TIME-WAIT, and how that is known.
fn waits(history: &History) -> Option<Certainty> {
    if !history.is_tcp() || history.neutral {
        return None;
    }
    if let Some(aftermath) = history.aftermath {
        return (aftermath.state == State::TimeWait).then_some(Certainty::Exact);
    }
    let course = &history.course;
    if course.reset.is_some() || course.failed.is_some() {
        return None;
    }
    match course.fin {
        [Some((_, theirs)), Some((_, ours))] => (ours < theirs).then_some(Certainty::Exact),
        _ if history.captured => None,
        _ => {
            let last = history.inferred.last()?;
            (last.to == State::TimeWait).then_some(Certainty::Inferred)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Aftermath;
    use crate::timeline::Timeline;

    /// One that ended after so many milliseconds, and waits if it was ours to close first.
    fn ended(millis: u64, port: u16, ours_first: bool) -> History {
        let local = Address::from(([127, 0, 0, 1], 8080));
        let peer = Address::from(([127, 0, 0, 1], port));
        let mut timeline = Timeline::new(Role::Server, local, peer, 8);
        let at = Stamp(1_700_000_000_000_000_000 + millis * 1_000_000);
        timeline.closed(at);
        let state = if ours_first { State::TimeWait } else { State::Closed };
        timeline.aftermath(Aftermath { at, state, remaining_ms: None });
        timeline.into_history()
    }

    #[test]
    fn a_pile_is_told_of_once_until_it_has_gone_down() {
        let mut overview = Overview::default();
        let told = |overview: &mut Overview, from: u64, every: u64, count: u64| {
            let all = (0..count).map(|n| ended(from + n * every, 40_000, true));
            all.filter_map(|history| overview.ended(&history)).collect::<Vec<_>>()
        };
        let first = told(&mut overview, 0, 10, 1000);
        assert_eq!(first.len(), 1);
        let (at, finding) = &first[0];
        assert_eq!(at.to_string(), "127.0.0.1:8080");
        assert_eq!((finding.kind, finding.evidence.connections), (Kind::TimeWait, PILE));
        // One a second is none, and later there is another one.
        assert_eq!(told(&mut overview, 100_000, 1000, 300).len(), 0);
        assert_eq!(told(&mut overview, 500_000, 10, 300).len(), 1);
        assert!(overview.piles[0].seconds.len() <= 60);
    }

    #[test]
    fn connections_the_peer_closed_first_are_no_pile() {
        let mut overview = Overview::default();
        let mut all = (0..1000).map(|n| ended(n, 40_000, false));
        assert!(all.all(|history| overview.ended(&history).is_none()));
    }

    #[test]
    fn places_are_bounded() {
        let mut overview = Overview::default();
        for port in 0..1000 {
            let mut history = ended(1, 40_000, true);
            history.local = Address::from(([127, 0, 0, 1], port));
            let _ = overview.ended(&history);
        }
        assert_eq!(overview.piles.len(), PLACES);
    }
}
