//! Chance from a seed: the same numbers on every machine and with every later version.
//!
//! PCG64 with the seed as its state and the purpose as its stream. Who draws more numbers for one
//! purpose does not change those drawn for another, so that a fault left out of a plan leaves the
//! rest of the run as like as can be.

use std::ops::Range;
use std::time::Duration;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng as _;

/// A stream of numbers.
///
/// ```
/// use sockeye_engine::sim::{Purpose, Random};
///
/// let mut one = Random::new(7, Purpose::Application(1));
/// let mut same = Random::new(7, Purpose::Application(1));
/// assert_eq!(one.below(1_000_000), same.below(1_000_000));
/// ```
#[derive(Clone, Debug)]
pub struct Random(Pcg64);

/// What numbers are drawn for: each has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// In which order tasks that are ready run.
    Scheduler,
    /// The fault plan.
    Faults,
    /// The jitter of one direction of one connection, or of datagrams; numbered by the model.
    Network(u64),
    /// What clients and services do; numbered as they like.
    Application(u64),
}

impl Random {
    /// The stream of `purpose` from `seed`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose) -> Random {
        let (kind, number) = match purpose {
            Purpose::Scheduler => (0, 0),
            Purpose::Faults => (1, 0),
            Purpose::Network(number) => (2, number),
            Purpose::Application(number) => (3, number),
        };
        // Seeds are small numbers next to one another: spread over the whole state.
        let state = u128::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mut random = Random(Pcg64::new(state, kind << 64 | u128::from(number)));
        for _ in 0..4 {
            random.0.next_u64();
        }
        random
    }

    /// A number from 0 to `bound` - 1; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product; a bias of bound / 2^64 is nothing to a test.
        #[allow(clippy::cast_possible_truncation)]
        let high = ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64;
        high
    }

    /// A number of the range; its start if it is empty.
    pub fn range(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// True once in `times`, on average.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A whole number of microseconds below `longest`.
    pub fn micros(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(longest))
    }

    /// An index into something of `len` elements.
    ///
    /// # Panics
    ///
    /// `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        assert!(len > 0, "there is something to choose from");
        usize::try_from(self.below(len as u64)).expect("it is below a usize")
    }

    /// `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        let mut random = Random::new(1, Purpose::Scheduler);
        let drawn: Vec<_> = (0..4).map(|_| random.below(1000)).collect();
        assert_eq!(drawn, [281, 499, 298, 273]);
    }

    #[test]
    fn purposes_and_seeds_draw_apart() {
        let purposes =
            [Purpose::Scheduler, Purpose::Faults, Purpose::Network(0), Purpose::Application(0)];
        let mut all = std::collections::BTreeSet::new();
        for seed in 0..100 {
            for purpose in purposes {
                all.insert(Random::new(seed, purpose).below(u64::MAX));
            }
        }
        assert_eq!(all.len(), 400);
    }

    #[test]
    fn every_number_of_a_range_comes_and_none_beside_it() {
        let mut random = Random::new(3, Purpose::Faults);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[usize::try_from(random.range(10..17) - 10).expect("small")] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!((random.range(5..5), random.below(0)), (5, 0));
    }
}
