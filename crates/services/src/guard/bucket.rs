//! Token buckets: what may go at a pace, and at once after silence.

use std::time::Duration;

use super::Rate;

/// Parts of a token, so that no time however short is lost: a rate is a number of these each
/// nanosecond.
const PARTS: u128 = 1_000_000_000;

/// What datagrams cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    datagrams: u64,
    bytes: u64,
}

impl Price {
    pub(super) fn of(datagrams: usize, bytes: usize) -> Price {
        let whole = |count| u64::try_from(count).unwrap_or(u64::MAX);
        Price { datagrams: whole(datagrams), bytes: whole(bytes) }
    }
}

/// A bucket for datagrams and one for their bytes.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    datagrams: Bucket,
    bytes: Bucket,
    filled: Duration,
}

impl Buckets {
    /// Full ones.
    pub(super) fn new(datagrams: Rate, bytes: Rate) -> Buckets {
        let (datagrams, bytes) = (Bucket::new(datagrams), Bucket::new(bytes));
        Buckets { datagrams, bytes, filled: Duration::ZERO }
    }

    pub(super) fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled).as_nanos();
        self.filled = self.filled.max(now);
        self.datagrams.refill(passed);
        self.bytes.refill(passed);
    }

    pub(super) fn has(&self, price: Price) -> bool {
        self.datagrams.has(price.datagrams, 0) && self.bytes.has(price.bytes, 0)
    }

    /// The same, if the last quarter is to be left.
    pub(super) fn has_beside_reserve(&self, price: Price) -> bool {
        self.datagrams.has(price.datagrams, self.datagrams.burst / 4)
            && self.bytes.has(price.bytes, self.bytes.burst / 4)
    }

    /// Takes all of it, or nothing.
    pub(super) fn take(&mut self, price: Price) -> bool {
        let has = self.has(price);
        if has {
            self.datagrams.level -= u128::from(price.datagrams) * PARTS;
            self.bytes.level -= u128::from(price.bytes) * PARTS;
        }
        has
    }

    /// Whether nothing would be lost by making it anew.
    pub(super) fn is_full(&self) -> bool {
        self.datagrams.is_full() && self.bytes.is_full()
    }
}

#[derive(Clone, Debug)]
struct Bucket {
    /// In parts each nanosecond, as in tokens a second.
    rate: u64,
    /// In parts.
    burst: u128,
    level: u128,
}

impl Bucket {
    fn new(rate: Rate) -> Bucket {
        let burst = u128::from(rate.burst) * PARTS;
        Bucket { rate: rate.per_second, burst, level: burst }
    }

    fn refill(&mut self, nanoseconds: u128) {
        let more = nanoseconds.saturating_mul(u128::from(self.rate));
        self.level = self.level.saturating_add(more).min(self.burst);
    }

    /// A full bucket has what it ever has, even if that leaves less than the reserve.
    fn has(&self, count: u64, reserve: u128) -> bool {
        let count = u128::from(count) * PARTS;
        count <= self.level && (count + reserve).min(self.burst) <= self.level
    }

    fn is_full(&self) -> bool {
        self.level == self.burst
    }
}
