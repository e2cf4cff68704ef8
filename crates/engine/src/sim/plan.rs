//! What goes wrong in one run: drawn from the seed, written down, read back, shortened.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::fault::{BadFault, CallFault, DatagramFault, Fault, SegmentFault, Side};
use super::random::{Purpose, Random};

/// The faults of one run. As text: one after another, `; ` between them.
///
/// ```
/// use sockeye_engine::sim::Plan;
///
/// let plan: Plan = "conn 1 refused; conn 2 client write 1 short 5".parse().unwrap();
/// let shortest = plan.shorten(|plan| plan.faults().iter().any(|f| f.connection() == Some(2)));
/// assert_eq!(shortest.to_string(), "conn 2 client write 1 short 5");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    faults: Vec<Fault>,
}

/// What faults are drawn for.
#[derive(Clone, Debug)]
pub struct Scope {
    /// At most so many faults.
    pub faults: u32,
    /// Connections that will be made, about.
    pub connections: u32,
    /// Calls and segments of each of them, about.
    pub calls: u32,
    /// Bytes one call moves, about.
    pub bytes: u32,
    /// How long the run goes on, about.
    pub lasting: Duration,
    /// The longest a fault holds something up.
    pub longest: Duration,
    /// Pairs of hosts that speak to each other.
    pub links: Vec<(IpAddr, IpAddr)>,
    /// Datagrams on each of them, about; 0 for none.
    pub datagrams: u32,
}

impl Plan {
    /// Just these.
    #[must_use]
    pub fn new(faults: Vec<Fault>) -> Plan {
        Plan { faults }
    }

    /// Faults drawn from the seed: any number up to the scope's, so that some runs have none.
    #[must_use]
    pub fn draw(seed: u64, scope: &Scope) -> Plan {
        let mut random = Random::new(seed, Purpose::Faults);
        let count = random.below(u64::from(scope.faults) + 1);
        Plan { faults: (0..count).filter_map(|_| draw(&mut random, scope)).collect() }
    }

    /// The faults, in order.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The plan without what does not matter: parts are left out while `fails` still says true, until
    /// no single fault can be left out (delta debugging). Itself if nothing can, or if a plan
    /// without faults fails as well, the empty plan.
    #[must_use]
    pub fn shorten(&self, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
        let mut plan = self.clone();
        if !plan.faults.is_empty() && fails(&Plan::default()) {
            return Plan::default();
        }
        let mut part = plan.faults.len().div_ceil(2);
        while part > 0 {
            let before = plan.faults.len();
            let mut start = 0;
            while start < plan.faults.len() {
                let end = (start + part).min(plan.faults.len());
                let mut less = plan.clone();
                less.faults.drain(start..end);
                if !less.faults.is_empty() && fails(&less) {
                    plan = less;
                } else {
                    start = end;
                }
            }
            // One fault may only have become needless when another went.
            if part > 1 || plan.faults.len() == before {
                part /= 2;
            }
        }
        plan
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Plan, BadFault> {
        let faults = text.split([';', '\n']).filter(|part| !part.trim().is_empty());
        Ok(Plan { faults: faults.map(str::parse).collect::<Result<_, _>>()? })
    }
}

fn draw(random: &mut Random, scope: &Scope) -> Option<Fault> {
    let link = if scope.links.is_empty() {
        None
    } else {
        Some(scope.links[random.index(scope.links.len())])
    };
    if scope.datagrams > 0 && (scope.connections == 0 || random.one_in(2)) {
        let (one, other) = link?;
        let (from, to) = if random.one_in(2) { (one, other) } else { (other, one) };
        let number = count(random, scope.datagrams);
        let what = match random.below(4) {
            0 => DatagramFault::Lost,
            1 => DatagramFault::Twice,
            2 => DatagramFault::Late(time(random, scope)),
            _ => DatagramFault::Truncated(count(random, scope.bytes)),
        };
        return Some(Fault::Datagram { from, to, number, what });
    }
    let conn = count(random, scope.connections);
    let side = if random.one_in(2) { Side::Client } else { Side::Server };
    let number = count(random, scope.calls);
    let call = |what| Fault::Call { conn, side, what, number };
    let segment = |what| Fault::Segment { conn, from: side, number, what };
    Some(match random.below(16) {
        0 => Fault::Refused { conn },
        1 => Fault::Reset { conn, at: random.micros(scope.lasting) },
        2 => segment(SegmentFault::Reset),
        3 | 4 => {
            let from = random.micros(scope.lasting);
            Fault::Cut { between: link?, from, lasting: time(random, scope) }
        }
        5..=7 => segment(SegmentFault::Late(time(random, scope))),
        8..=10 => call(CallFault::ShortWrite(bytes(random, scope))),
        11 | 12 => call(CallFault::StalledWrite(time(random, scope))),
        _ => call(CallFault::ShortRead(bytes(random, scope))),
    })
}

/// From 1 up to `most`, small numbers more often: few connections get far.
fn count(random: &mut Random, most: u32) -> u32 {
    let most = u64::from(most.max(1));
    let highest = random.range(1..most + 1);
    u32::try_from(random.range(1..highest + 1)).unwrap_or(u32::MAX)
}

/// A single byte, which is the hardest, as often as all other numbers.
fn bytes(random: &mut Random, scope: &Scope) -> u32 {
    if random.one_in(2) { 1 } else { count(random, scope.bytes) }
}

/// Some microseconds as often as some seconds.
fn time(random: &mut Random, scope: &Scope) -> Duration {
    let mut longest = scope.longest;
    for _ in 0..random.below(5) {
        longest /= 10;
    }
    random.micros(longest).max(Duration::from_micros(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope() -> Scope {
        Scope {
            faults: 12,
            connections: 5,
            calls: 20,
            bytes: 2000,
            lasting: Duration::from_secs(3),
            longest: Duration::from_secs(30),
            links: vec![([10, 0, 0, 1].into(), [10, 0, 0, 2].into())],
            datagrams: 5,
        }
    }

    proptest! {
        #[test]
        fn a_plan_that_is_written_down_comes_back_whole(seed: u64) {
            let plan = Plan::draw(seed, &scope());
            prop_assert!(plan.faults().len() <= 12);
            prop_assert_eq!(plan.to_string().parse::<Plan>(), Ok(plan.clone()));
            prop_assert_eq!(Plan::draw(seed, &scope()), plan);
        }

        #[test]
        fn shortening_keeps_the_failure_and_leaves_nothing_needless(
            seed: u64,
            needed in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        ) {
            let plan = Plan::draw(seed, &scope());
            prop_assume!(!plan.faults().is_empty());
            let needed: Vec<Fault> =
                needed.iter().map(|index| *index.get(plan.faults())).collect();
            let fails = |plan: &Plan| needed.iter().all(|fault| plan.faults().contains(fault));
            let shortest = plan.shorten(fails);
            prop_assert!(fails(&shortest));
            for index in 0..shortest.faults().len() {
                let mut less = shortest.clone();
                less.faults.remove(index);
                prop_assert!(!fails(&less), "{} could go from {}", shortest.faults()[index], shortest);
            }
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..300 {
            for fault in Plan::draw(seed, &scope()).faults() {
                let line = fault.to_string();
                let words = line.split_whitespace();
                let words: Vec<_> = words.filter(|word| word.parse::<u32>().is_err()).collect();
                kinds.insert(words.join(" ").replace(|c: char| c.is_ascii_digit(), ""));
            }
        }
        // Twelve, with the sides and the two ways of a link told apart.
        for kind in [
            "refused",
            "reset at",
            "segment reset",
            "segment late",
            "write short",
            "write stalled",
            "read short",
            "cut",
            "lost",
            "twice",
            "datagram late",
            "truncated",
        ] {
            assert!(kinds.iter().any(|line| line.contains(kind)), "{kind}: {kinds:?}");
        }
    }

    #[test]
    fn what_fails_without_any_fault_is_shortened_to_none() {
        let plan: Plan = "conn 1 refused; conn 2 refused".parse().expect("a plan");
        assert_eq!(plan.shorten(|_| true), Plan::default());
        assert_eq!(plan.shorten(|less| less == &plan), plan);
    }
}
