//! Timers of one thread: an ordered set of moments and whom to wake.
//!
//! Moments are milliseconds of the thread's own monotonic clock, so a jump of the wall clock
//! changes nothing. A connection keeps one entry here for its whole life and only moves it when
//! its deadline comes closer; a deadline that moves away costs nothing until the old one passes.

use std::collections::BTreeSet;
use std::task::Waker;

use crate::slab::{Key, Slab};

/// Milliseconds since the thread's reactor was made.
pub(crate) type Tick = u64;

#[derive(Debug)]
pub(crate) struct Timers {
    order: BTreeSet<(Tick, u64)>,
    entries: Slab<Entry>,
}

#[derive(Debug)]
struct Entry {
    due: Tick,
    waker: Waker,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers { order: BTreeSet::new(), entries: Slab::new() }
    }

    pub(crate) fn insert(&mut self, due: Tick, waker: Waker) -> Key {
        let key = self.entries.insert(Entry { due, waker });
        self.order.insert((due, key.pack()));
        key
    }

    /// Makes the entry fire at `due` or earlier, and says when; None if it has fired and is gone.
    pub(crate) fn at_latest(&mut self, key: Key, due: Tick, waker: &Waker) -> Option<Tick> {
        let entry = self.entries.get_mut(key)?;
        entry.waker.clone_from(waker);
        if entry.due > due {
            self.order.remove(&(entry.due, key.pack()));
            entry.due = due;
            self.order.insert((due, key.pack()));
        }
        Some(entry.due)
    }

    pub(crate) fn remove(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&(entry.due, key.pack()));
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes out one entry that is due.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<Waker> {
        let (due, key) = *self.order.first()?;
        if due > now {
            return None;
        }
        self.order.pop_first();
        let entry = self.entries.remove(Key::unpack(key)).expect("every moment has its entry");
        Some(entry.waker)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(timers: &mut Timers, now: Tick) -> usize {
        std::iter::from_fn(|| timers.pop_due(now)).count()
    }

    #[test]
    fn timers_fire_in_order_and_not_before_their_time() {
        let mut timers = Timers::new();
        for moment in [30, 10, 20] {
            timers.insert(moment, Waker::noop().clone());
        }
        assert_eq!(timers.next(), Some(10));
        assert_eq!(due(&mut timers, 9), 0);
        assert_eq!(due(&mut timers, 20), 2);
        assert_eq!(timers.next(), Some(30));
    }

    #[test]
    fn a_deadline_moves_closer_but_a_farther_one_leaves_the_entry_alone() {
        let mut timers = Timers::new();
        let key = timers.insert(100, Waker::noop().clone());
        assert_eq!(timers.at_latest(key, 500, Waker::noop()), Some(100));
        assert_eq!(timers.next(), Some(100));
        assert_eq!(timers.at_latest(key, 50, Waker::noop()), Some(50));
        assert_eq!(timers.next(), Some(50));
        assert_eq!(due(&mut timers, 50), 1);
        assert_eq!(timers.at_latest(key, 60, Waker::noop()), None);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn ten_thousand_removed_timers_leave_nothing_behind() {
        let mut timers = Timers::new();
        // Miri takes its time.
        let count = if cfg!(miri) { 100 } else { 10_000 };
        let keys: Vec<_> = (0..count).map(|n| timers.insert(n, Waker::noop().clone())).collect();
        for key in keys {
            timers.remove(key);
        }
        assert_eq!((timers.len(), timers.next()), (0, None));
    }
}
