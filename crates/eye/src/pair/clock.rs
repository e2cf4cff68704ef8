//! How far one end's clock is ahead of the other's, bounded by what must have come first.
//!
//! What one end sent the other received later. Each such pair of moments bounds the difference of
//! the clocks from one side; all bounds together leave an interval, and the true difference lies
//! in it as long as both clocks run at one rate.

use std::cmp::Ordering;
use std::fmt::{self, Display};

use sockeye_engine::probe::Stamp;

use crate::view::scale::span;
use crate::words::Lang;
use crate::words::pair::Said;

/// Something happened at one end before something at the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// When at the client, by its clock.
    pub client: Stamp,
    /// When at the server, by its own.
    pub server: Stamp,
    /// Which of them was first.
    pub first: End,
}

/// One of two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// What is known of the server's clock against the client's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clocks {
    /// There is one clock: both ends ran on one machine, and nothing contradicts it.
    One,
    /// The server's is ahead by so many nanoseconds (behind, where negative), whichever of these.
    Apart {
        /// No less than this.
        least: i64,
        /// No more than this.
        most: i64,
    },
    /// The server's is ahead by no more than this; nothing bounds it from below.
    AtMost(i64),
    /// The server's is ahead by no less than this; nothing bounds it from above.
    AtLeast(i64),
    /// No one difference fits, but one that grows evenly does.
    Drifting(Drift),
    /// Neither fits: one of them was set meanwhile, or runs unevenly.
    Contradictory,
    /// Nothing went from one end to the other.
    Unknown,
}

/// A difference that grows evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// When it is known best how far they are apart, by the client's clock: in the beginning.
    pub from: Stamp,
    /// How far the server's was ahead then at least and at most, in nanoseconds.
    pub ahead: (i64, i64),
    /// By how much it gains at least and at most, in nanoseconds each second.
    pub gains: (f64, f64),
    /// What is drawn with: a pair of both that fits.
    drawn: (f64, f64),
}

/// No clock that is looked after by NTP is let run faster or slower than by this (adjtimex(2)).
const FASTEST: f64 = 500e-6;

/// Two captures of one interface stamp a packet one after the other, each when it looks at it (packet(7),
/// without `SO_TIMESTAMP`); on `lo` it has arrived by then. So far apart, in nanoseconds, such stamps are
/// at most: a softirq is not held up for longer.
const BESIDE: i64 = 1_000_000;

impl Clocks {
    /// The difference that fits all of these.
    ///
    /// ```
    /// use sockeye_engine::probe::Stamp;
    /// use sockeye_eye::pair::{Clocks, End, Order};
    ///
    /// let question = Order { client: Stamp(100), server: Stamp(750), first: End::Client };
    /// let answer = Order { client: Stamp(300), server: Stamp(800), first: End::Server };
    /// let clocks = Clocks::fitting(&[question, answer]);
    /// assert_eq!(clocks, Clocks::Apart { least: 500, most: 650 });
    /// ```
    #[must_use]
    pub fn fitting(orders: &[Order]) -> Clocks {
        let bounds = |first: End| orders.iter().filter(move |order| order.first == first);
        let most = bounds(End::Client).map(|order| ahead(*order)).min();
        let least = bounds(End::Server).map(|order| ahead(*order)).max();
        match (least, most) {
            (None, None) => Clocks::Unknown,
            (None, Some(most)) => Clocks::AtMost(most),
            (Some(least), None) => Clocks::AtLeast(least),
            (Some(least), Some(most)) if least <= most => Clocks::Apart { least, most },
            _ => drift(orders).map_or(Clocks::Contradictory, Clocks::Drifting),
        }
    }

    /// The same of two ends on one machine, which has one clock, unless that is far from what these
    /// say: then one of the recordings was made by another clock or is changed.
    #[must_use]
    pub fn of_one_machine(orders: &[Order]) -> Clocks {
        let fits = |order: &Order| match order.first {
            End::Client => ahead(*order) >= -BESIDE,
            End::Server => ahead(*order) <= BESIDE,
        };
        if orders.iter().all(fits) { Clocks::One } else { Clocks::fitting(orders) }
    }

    /// When it was at the client, while the server's clock said this. A bound on one side is taken
    /// for the difference, as if nothing took any time; where nothing is known the clocks are taken
    /// for equal.
    #[must_use]
    pub fn at_client(&self, server: Stamp) -> Stamp {
        let ahead = match *self {
            Clocks::One | Clocks::Unknown | Clocks::Contradictory => 0,
            Clocks::Apart { least, most } => middle(least, most),
            Clocks::AtMost(ahead) | Clocks::AtLeast(ahead) => ahead,
            Clocks::Drifting(Drift { from, drawn: (ahead, rate), .. }) => {
                let passed = (difference(server, from) as f64 - ahead) / (1.0 + rate);
                return shifted(from, whole(passed.round()));
            }
        };
        shifted(server, ahead.saturating_neg())
    }

    /// By how many nanoseconds [`Clocks::at_client`] may be wrong; None where that is not known.
    #[must_use]
    pub fn uncertainty(&self) -> Option<u64> {
        match *self {
            Clocks::One => Some(0),
            Clocks::Apart { least, most } => Some(most.abs_diff(least).div_ceil(2)),
            Clocks::Drifting(Drift { ahead: (least, most), .. }) => {
                Some(most.abs_diff(least).div_ceil(2))
            }
            _ => None,
        }
    }
}

impl Display for Clocks {
    /// One line of English without its end, as it stands under a picture.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Lang::En.words().pair(&Said::Clocks(self, None)))
    }
}

/// A difference of clocks as it is shown: the interval that is shown holds the one that is known.
pub(crate) struct Between {
    /// The other clock is ahead, behind, or as far as can be shown the same.
    pub(crate) way: Ordering,
    /// By so many milliseconds, and by how many that may be wrong.
    pub(crate) millis: String,
    pub(crate) off: String,
}

impl Between {
    /// With two digits of the uncertainty, and the difference to the same place.
    pub(crate) fn of(least: i64, most: i64) -> Between {
        let half = most.abs_diff(least).div_ceil(2);
        let mut unit = 1000_u64;
        while half / unit >= 100 {
            unit *= 10;
        }
        let centre = middle(least, most);
        let shown = centre.unsigned_abs().saturating_add(unit / 2) / unit * unit;
        let off = centre.unsigned_abs().abs_diff(shown).saturating_add(half);
        let off = off.div_ceil(unit) * unit;
        let way = if shown == 0 { Ordering::Equal } else { centre.cmp(&0) };
        Between { way, millis: fixed(shown, unit), off: fixed(off, unit) }
    }
}

/// A bound on one side without its sign, rounded away from what it holds.
pub(crate) fn bound(ahead: i64, most: bool) -> String {
    let up = (ahead >= 0) == most;
    let nanos = ahead.unsigned_abs();
    let micros = if up { nanos.div_ceil(1000) } else { nanos / 1000 };
    span(micros * 1000)
}

/// Milliseconds with as many decimals as `unit`, a power of ten in nanoseconds, has.
fn fixed(nanos: u64, unit: u64) -> String {
    let decimals = 6_u32.saturating_sub(unit.ilog10());
    crate::view::scale::millis_fixed(nanos, decimals)
}

/// How far the server's clock would be ahead if both were at one moment.
fn ahead(order: Order) -> i64 {
    difference(order.server, order.client)
}

fn difference(later: Stamp, earlier: Stamp) -> i64 {
    let apart = i128::from(later.0) - i128::from(earlier.0);
    i64::try_from(apart).unwrap_or(if apart < 0 { i64::MIN } else { i64::MAX })
}

#[expect(clippy::cast_possible_truncation, reason = "what does not fit saturates")]
fn whole(nanos: f64) -> i64 {
    nanos as i64
}

fn shifted(stamp: Stamp, by: i64) -> Stamp {
    Stamp(stamp.0.saturating_add_signed(by))
}

fn middle(least: i64, most: i64) -> i64 {
    i64::try_from(i128::midpoint(least.into(), most.into())).unwrap_or(least)
}

/// The differences that grow evenly and fit: a convex set of pairs (at the beginning, rate), whose
/// borders are lines. For one rate, what fits lies between the highest lower bound, which is a
/// convex function of the rate, and the lowest upper one, a concave one.
fn drift(orders: &[Order]) -> Option<Drift> {
    let from = orders.iter().map(|order| order.client).min()?;
    let bounds: Vec<(f64, f64, End)> = orders
        .iter()
        .map(|order| (difference(order.client, from) as f64, ahead(*order) as f64, order.first))
        .collect();
    let least = |rate: f64| {
        let lower = bounds.iter().filter(|(_, _, first)| *first == End::Server);
        lower.map(|(at, ahead, _)| ahead - rate * at).fold(f64::NEG_INFINITY, f64::max)
    };
    let most = |rate: f64| {
        let upper = bounds.iter().filter(|(_, _, first)| *first == End::Client);
        upper.map(|(at, ahead, _)| ahead - rate * at).fold(f64::INFINITY, f64::min)
    };
    // Negative where something fits.
    let misfit = |rate: f64| least(rate) - most(rate);
    let best = lowest(misfit, -FASTEST, FASTEST);
    if misfit(best) > 0.0 {
        return None;
    }
    let slow = border(misfit, best, -FASTEST);
    let fast = border(misfit, best, FASTEST);
    let rate = f64::midpoint(slow, fast);
    let drawn = (f64::midpoint(least(rate), most(rate)), rate);
    let lower = least(lowest(least, slow, fast));
    let upper = most(lowest(|rate| -most(rate), slow, fast));
    let ahead = (whole(lower.floor()), whole(upper.ceil()));
    Some(Drift { from, ahead, gains: (slow * 1e9, fast * 1e9), drawn })
}

/// Where a convex function is lowest.
fn lowest(function: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..100 {
        let (left, right) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if function(left) <= function(right) { high = right } else { low = left }
    }
    f64::midpoint(low, high)
}

/// The last place between `inside` and `outside` at which a convex function is not positive.
fn border(function: impl Fn(f64) -> f64, mut inside: f64, mut outside: f64) -> f64 {
    if function(outside) <= 0.0 {
        return outside;
    }
    for _ in 0..60 {
        let between = f64::midpoint(inside, outside);
        if function(between) <= 0.0 { inside = between } else { outside = between }
    }
    inside
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_700_000_000_000_000_000;

    fn order(first: End, client: u64, server: i64) -> Order {
        let server = Stamp(START.saturating_add_signed(server));
        Order { client: Stamp(START + client), server, first }
    }

    #[test]
    fn what_is_shown_holds_what_is_known_in_few_digits() {
        let shown = [
            (12_350_000, 12_450_000),
            (-3_700_050_000, -3_699_950_000),
            (-20, 30),
            (0, 900_000_000),
            (999, 1001),
        ]
        .map(|(least, most)| Clocks::Apart { least, most }.to_string());
        assert_eq!(
            shown,
            [
                "the server's is 12.400 ms ahead, ± 0.050 ms",
                "the server's is 3,700.000 ms behind, ± 0.050 ms",
                "the same at both ends, ± 0.001 ms",
                "the server's is 450 ms ahead, ± 450 ms",
                "the server's is 0.001 ms ahead, ± 0.001 ms",
            ]
        );
    }

    #[test]
    fn one_machine_has_one_clock_unless_that_is_impossible() {
        let (there, back) = (order(End::Client, 500, 507), order(End::Server, 600, 595));
        assert_eq!(Clocks::of_one_machine(&[there, back]), Clocks::One);
        assert_eq!(Clocks::of_one_machine(&[]), Clocks::One);
        // Two captures on one interface, the second of which was the first to look.
        let stamped_late = order(End::Client, 500, -2000);
        assert_eq!(Clocks::of_one_machine(&[stamped_late, back]), Clocks::One);
        let beside = [order(End::Client, 0, 3_700_000_900), order(End::Server, 0, 3_700_000_000)];
        let apart = Clocks::Apart { least: 3_700_000_000, most: 3_700_000_900 };
        assert_eq!(Clocks::of_one_machine(&beside), apart);
    }

    #[test]
    fn a_clock_that_was_set_is_not_smoothed_over() {
        let orders = [
            order(End::Client, 0, 100),
            order(End::Server, 200, 150),
            order(End::Client, 1_000_000, 5_001_000_100),
            order(End::Server, 1_000_200, 5_001_000_150),
            order(End::Client, 2_000_000, 2_000_100),
            order(End::Server, 2_000_200, 2_000_150),
        ];
        assert_eq!(Clocks::fitting(&orders), Clocks::Contradictory);
        let text = Clocks::Contradictory.to_string();
        assert!(text.contains("can't be compared"), "{text}");
    }

    #[test]
    fn what_went_one_way_alone_bounds_on_one_side() {
        let clocks = Clocks::fitting(&[order(End::Client, 50, 70), order(End::Client, 90, 100)]);
        assert_eq!(clocks, Clocks::AtMost(10));
        assert_eq!(clocks.at_client(Stamp(START + 100)), Stamp(START + 90));
        let text = clocks.to_string();
        assert!(text.starts_with("the server's is 0.001 ms ahead at most; "), "{text}");
    }

    /// What crossed: when it left, how long it took, whether it arrived, and whether from the client.
    fn crossings() -> impl Strategy<Value = Vec<(u64, u64, bool, bool)>> {
        let one = (0..3_600_000_000_000_u64, 1..50_000_000_u64, any::<bool>(), any::<bool>());
        prop::collection::vec(one, 1..60)
    }

    proptest! {
        #[test]
        fn the_true_difference_is_always_in_the_interval_that_is_printed(
            crossed in crossings(),
            truth in -10_000_000_000_000_i64..10_000_000_000_000,
        ) {
            let mut orders = Vec::new();
            for (left, took, arrived, from_client) in crossed {
                let there = left + took;
                let server = |at: u64| i64::try_from(at).expect("small") + truth;
                if arrived {
                    orders.push(match from_client {
                        true => order(End::Client, left, server(there)),
                        false => order(End::Server, there, server(left)),
                    });
                }
            }
            let clocks = Clocks::fitting(&orders);
            match clocks {
                Clocks::Apart { least, most } => {
                    prop_assert!((least..=most).contains(&truth));
                    let shown = clocks.to_string().replace(',', "");
                    let numbers: Vec<f64> =
                        shown.split(' ').filter_map(|word| word.parse().ok()).collect();
                    let (centre, off) = match numbers[..] {
                        [centre, off] if shown.contains("behind") => (-centre, off),
                        [centre, off] => (centre, off),
                        [off] => (0.0, off),
                        _ => panic!("{shown}"),
                    };
                    let truth = truth as f64 / 1e6;
                    prop_assert!((truth - centre).abs() <= off + 1e-7, "{} {}", truth, shown);
                }
                Clocks::AtMost(most) => prop_assert!(truth <= most),
                Clocks::AtLeast(least) => prop_assert!(truth >= least),
                Clocks::Unknown => prop_assert!(orders.is_empty()),
                other => prop_assert!(false, "{:?}", other),
            }
            for Order { client, server, first } in orders {
                let (there, here) = (clocks.at_client(server), client);
                let in_order = if first == End::Client { here <= there } else { there <= here };
                prop_assert!(in_order, "{:?} {:?}", clocks, first);
            }
        }

        #[test]
        fn a_drift_is_found_and_the_true_one_lies_in_what_is_told(
            crossed in crossings(),
            truth in -10_000_000_000_i64..10_000_000_000,
            rate in -400e-6..400e-6_f64,
        ) {
            let mut orders = Vec::new();
            let server = |at: u64| at as i64 + truth + whole(at as f64 * rate);
            for (left, took, _, from_client) in crossed {
                let there = left + took;
                orders.push(match from_client {
                    true => order(End::Client, left, server(there)),
                    false => order(End::Server, there, server(left)),
                });
            }
            let clocks = Clocks::fitting(&orders);
            prop_assert!(clocks != Clocks::Contradictory);
            if let Clocks::Drifting(drift) = clocks {
                let at_first = truth as f64 + difference(drift.from, Stamp(START)) as f64 * rate;
                let (least, most) = drift.ahead;
                prop_assert!(at_first >= least as f64 - 2000.0 && at_first <= most as f64 + 2000.0);
                let (slow, fast) = drift.gains;
                prop_assert!(rate * 1e9 >= slow - 1.0 && rate * 1e9 <= fast + 1.0);
            }
        }
    }
}
