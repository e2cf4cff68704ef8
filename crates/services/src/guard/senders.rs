//! What each sender has sent lately.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::quality::RandomState;
use sockeye_engine::Address;

use super::bucket::Buckets;
use super::{Rate, SECOND};

/// A bucket for each of those that are told apart, and one for all others.
#[derive(Debug)]
pub(super) struct Senders {
    most: usize,
    hasher: RandomState,
    known: HashMap<u64, Sender, RandomState>,
    others: Sender,
    /// When those were last forgotten that had been silent.
    swept: Duration,
}

#[derive(Clone, Debug)]
struct Sender {
    buckets: Buckets,
    /// When it last sent something, whatever came of it.
    asked: Option<Duration>,
}

impl Sender {
    /// Whether this is its first within a second.
    fn ask(&mut self, now: Duration) -> (&mut Buckets, bool) {
        self.buckets.refill(now);
        let before = self.asked.replace(now);
        (&mut self.buckets, before.is_none_or(|before| now.saturating_sub(before) >= SECOND))
    }
}

impl Senders {
    pub(super) fn new(most: usize, datagrams: Rate, bytes: Rate) -> Senders {
        Senders {
            most,
            others: Sender { buckets: Buckets::new(datagrams, bytes), asked: None },
            hasher: RandomState::default(),
            known: HashMap::default(),
            swept: Duration::ZERO,
        }
    }

    /// A sender's buckets, and whether it has been quiet for a second.
    pub(super) fn find(&mut self, now: Duration, from: &Address) -> (&mut Buckets, bool) {
        // Two senders of one hash share a bucket; the chance is one in 2⁶⁴.
        let key = self.hasher.hash_one(from);
        if self.known.len() >= self.most && !self.known.contains_key(&key) {
            self.sweep(now);
            if self.known.len() >= self.most {
                return self.others.ask(now);
            }
        }
        // It may have been one of the others a moment ago: what these sent is held against it.
        self.known.entry(key).or_insert_with(|| self.others.clone()).ask(now)
    }

    /// Forgets those of whom there is nothing to be known. It looks at all of them, so a crowd of
    /// new ones has to wait for it.
    fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) < SECOND {
            return;
        }
        self.swept = now;
        self.known.retain(|_, sender| {
            sender.buckets.refill(now);
            let quiet = sender.asked.is_none_or(|asked| now.saturating_sub(asked) >= SECOND);
            !(quiet && sender.buckets.is_full())
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
