//! Events of the virtual clock, in the order of (time, sequence).

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

/// What will happen, and the present moment.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    now: Duration,
    sequence: u64,
    heap: BinaryHeap<Reverse<Entry<E>>>,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Queue<E> {
        Queue { now: Duration::ZERO, sequence: 0, heap: BinaryHeap::new() }
    }

    /// Since the start of the simulation.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Lets `event` happen at `at`, or now if that has passed; after all that were put in before
    /// for the same moment.
    pub(crate) fn at(&mut self, at: Duration, event: E) {
        let entry = Entry { at: at.max(self.now), sequence: self.sequence, event };
        self.sequence += 1;
        self.heap.push(Reverse(entry));
    }

    pub(crate) fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// When the next one happens.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Moves the clock to the next event up to `until` and takes it out; with none left, moves the
    /// clock to `until`.
    pub(crate) fn pop(&mut self, until: Duration) -> Option<E> {
        if self.next().is_none_or(|next| next > until) {
            self.now = self.now.max(until);
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

#[derive(Debug)]
struct Entry<E> {
    at: Duration,
    sequence: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_happen_by_time_and_at_one_time_in_the_order_they_were_put_in() {
        let ms = Duration::from_millis;
        let mut queue = Queue::new();
        for (at, name) in [(5, 'c'), (2, 'a'), (5, 'd'), (2, 'b'), (9, 'e')] {
            queue.at(ms(at), name);
        }
        let mut happened = String::new();
        while let Some(name) = queue.pop(ms(7)) {
            happened.push(name);
        }
        assert_eq!((happened.as_str(), queue.now(), queue.next()), ("abcd", ms(7), Some(ms(9))));
        // What is late happens now: the clock never goes back.
        queue.at(ms(1), 'f');
        assert_eq!((queue.pop(ms(7)), queue.now()), (Some('f'), ms(7)));
    }
}
