//! What went lately, so that it does not go again.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::quality::RandomState;
use sockeye_engine::Address;

/// What went within the window, by its hash. Only what went is remembered, so what bounds that
/// bounds this.
#[derive(Debug)]
pub(super) struct Memory {
    window: Duration,
    copies: u32,
    hasher: RandomState,
    went: HashMap<u64, u32, RandomState>,
    /// When each first went; in order of time.
    order: VecDeque<(Duration, u64)>,
}

impl Memory {
    pub(super) fn new(window: Duration, copies: u32) -> Memory {
        let hasher = RandomState::default();
        let (went, order) = (HashMap::default(), VecDeque::new());
        Memory { window, copies, hasher, went, order }
    }

    /// Two datagrams with one key are taken for the same; for different ones the chance is one in
    /// 2⁶⁴, and the seed is not known outside.
    pub(super) fn key(&self, from: &Address, payload: &[u8]) -> u64 {
        self.hasher.hash_one((from, payload))
    }

    /// Lets go of what is no repeat any more.
    pub(super) fn forget(&mut self, now: Duration) {
        while let Some((at, key)) = self.order.front().copied()
            && now.saturating_sub(at) >= self.window
        {
            self.order.pop_front();
            self.went.remove(&key);
        }
    }

    /// Whether it went as often as it may.
    pub(super) fn is_repeat(&self, key: u64) -> bool {
        self.went.get(&key).copied().unwrap_or(0) >= self.copies
    }

    /// It goes.
    pub(super) fn note(&mut self, now: Duration, key: u64) {
        let times = self.went.entry(key).or_default();
        *times = times.saturating_add(1);
        if *times == 1 {
            self.order.push_back((now, key));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}
