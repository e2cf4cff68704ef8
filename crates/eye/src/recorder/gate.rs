//! How much of what ended is drawn, so that a load test drowns neither terminal nor memory.

use std::time::{Duration, Instant};

/// Decides for each connection that ended.
#[derive(Debug)]
pub(super) struct Gate {
    pictures: Bucket,
    lines: Bucket,
    untold: u64,
    /// When the next count may be told.
    tell_at: Instant,
}

/// What becomes of a connection that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// All of it is drawn.
    Picture,
    /// Its verdict alone.
    Line,
    /// It is only counted.
    Count,
}

/// Counts are told at most this often.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl Gate {
    pub(super) fn new(now: Instant) -> Gate {
        Gate {
            pictures: Bucket::new(50, Duration::from_millis(500), now),
            lines: Bucket::new(200, Duration::from_millis(100), now),
            untold: 0,
            tell_at: now,
        }
    }

    /// Decides about one connection.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        if self.pictures.take(now) {
            return Admission::Picture;
        }
        if self.lines.take(now) {
            return Admission::Line;
        }
        self.count();
        Admission::Count
    }

    /// One more connection that was not drawn: it was not admitted, or the writer was too slow.
    pub(super) fn count(&mut self) {
        self.untold += 1;
    }

    /// So many were told of, but nobody listened.
    pub(super) fn count_again(&mut self, count: u64) {
        self.untold += count;
    }

    /// When [`Gate::tell`] has something to say.
    pub(super) fn tell_at(&self) -> Option<Instant> {
        (self.untold > 0).then_some(self.tell_at)
    }

    /// How many connections ended undrawn since this was last told, if it is time to say so.
    pub(super) fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.untold == 0 || now < self.tell_at {
            return None;
        }
        self.tell_at = now + TELL_EVERY;
        Some(std::mem::take(&mut self.untold))
    }

    /// The same at the end, when nothing more can be waited for.
    pub(super) fn tell_all(&mut self) -> Option<u64> {
        (self.untold > 0).then(|| std::mem::take(&mut self.untold))
    }
}

/// So many at once, then one every so often.
#[derive(Debug)]
struct Bucket {
    left: u32,
    size: u32,
    every: Duration,
    /// Up to when it was refilled.
    filled: Instant,
}

impl Bucket {
    fn new(size: u32, every: Duration, now: Instant) -> Bucket {
        Bucket { left: size, size, every, filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.left < self.size && now.saturating_duration_since(self.filled) >= self.every {
            self.left += 1;
            self.filled += self.every;
        }
        if self.left == self.size {
            // Time that passed with the bucket full refills nothing later.
            self.filled = now;
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(gate: &mut Gate, now: Instant, many: u32) -> (u32, u32, u32) {
        let mut tally = (0, 0, 0);
        for _ in 0..many {
            match gate.admit(now) {
                Admission::Picture => tally.0 += 1,
                Admission::Line => tally.1 += 1,
                Admission::Count => tally.2 += 1,
            }
        }
        tally
    }

    #[test]
    fn a_burst_is_drawn_then_told_in_lines_then_counted() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        assert_eq!(tally(&mut gate, start, 1000), (50, 200, 750));
        assert_eq!(gate.tell(start), Some(750));
        assert_eq!(gate.tell(start), None);
    }

    #[test]
    fn pictures_come_back_with_time_but_never_more_than_a_burst() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        let _ = tally(&mut gate, start, 1000);
        assert_eq!(tally(&mut gate, start + Duration::from_secs(1), 1000), (2, 10, 988));
        let much_later = start + Duration::from_secs(10_000);
        assert_eq!(tally(&mut gate, much_later, 1000), (50, 200, 750));
    }

    #[test]
    fn counts_are_told_once_a_second_and_at_the_end() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        gate.count();
        assert_eq!(gate.tell(start), Some(1));
        gate.count();
        assert_eq!(gate.tell_at(), Some(start + TELL_EVERY));
        assert_eq!(gate.tell(start + TELL_EVERY / 2), None);
        gate.count();
        assert_eq!(gate.tell(start + TELL_EVERY), Some(2));
        gate.count();
        assert_eq!(gate.tell_all(), Some(1));
        assert_eq!(gate.tell_all(), None);
    }
}
