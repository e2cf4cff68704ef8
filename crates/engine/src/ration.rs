//! Which sends of a connection are told of in its error queue, where somebody asked for that.
//!
//! Whatever arrives there wakes the thread once more and is fetched with a call of its own, which
//! costs more than the send did. So a connection may have so many of its sends told of at once, and
//! then a few a second: of one that is quiet it is each, of a busy one a sample.

use std::cell::Cell;

use crate::probe::SENDS_TOLD;

/// One more may be told of after so long.
const EARNED_EVERY_MS: u32 = 100;

/// How many more sends of a connection may be told of, and which were.
#[derive(Debug)]
pub(crate) struct Ration {
    /// So many may be told of before one is earned again.
    left: Cell<u8>,
    /// Sends that are told of since the error queue was last emptied.
    sends: Cell<u8>,
    /// Sends are told of now.
    told: Cell<bool>,
    /// When the last one was earned, in milliseconds of a clock that comes round.
    earned: Cell<u32>,
    /// Where in the stream the last row of sends begins that all are told of.
    from: Cell<u64>,
}

impl Ration {
    /// Of a connection on which nothing was sent.
    pub(crate) fn new() -> Ration {
        Ration {
            left: Cell::new(SENDS_TOLD),
            sends: Cell::new(0),
            told: Cell::new(true),
            earned: Cell::new(0),
            from: Cell::new(0),
        }
    }

    /// Before a send of what lies at this place in the stream: whether it is told of, if that was
    /// different of the one before it.
    pub(crate) fn turns(&self, now: u32, offset: u64) -> Option<bool> {
        if self.left.get() < SENDS_TOLD {
            let earned = now.wrapping_sub(self.earned.get()) / EARNED_EVERY_MS;
            let left = u32::from(self.left.get()).saturating_add(earned);
            match u8::try_from(left).ok().filter(|left| *left < SENDS_TOLD) {
                Some(left) => {
                    self.left.set(left);
                    let passed = earned.wrapping_mul(EARNED_EVERY_MS);
                    self.earned.set(self.earned.get().wrapping_add(passed));
                }
                None => self.left.set(SENDS_TOLD),
            }
        }
        if self.left.get() == SENDS_TOLD {
            self.earned.set(now);
        }
        let told = self.left.get() > 0;
        if told == self.told.replace(told) {
            return None;
        }
        if told {
            self.from.set(offset);
        }
        Some(told)
    }

    /// After one that moved bytes; returns how many were told of since the queue was last emptied.
    pub(crate) fn sent(&self) -> u8 {
        if self.told.get() {
            self.left.set(self.left.get().saturating_sub(1));
            self.sends.set(self.sends.get().saturating_add(1));
        }
        self.sends.get()
    }

    /// How many were told of since the queue was last emptied.
    pub(crate) fn sends(&self) -> u8 {
        self.sends.get()
    }

    /// It is being emptied.
    pub(crate) fn emptied(&self) {
        self.sends.set(0);
    }

    /// Where in the stream the last row of sends begins that all are told of.
    pub(crate) fn from(&self) -> u64 {
        self.from.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends one byte at each of these times; says which of them are told of.
    fn told(ration: &Ration, times: impl IntoIterator<Item = u32>) -> Vec<bool> {
        let send = |(place, now)| {
            ration.turns(now, place);
            ration.sent();
            ration.told.get()
        };
        (0..).zip(times).map(send).collect()
    }

    #[test]
    fn of_a_quiet_connection_each_send_is_told_of() {
        for start in [0, 12_345, u32::MAX - 3000] {
            let ration = Ration::new();
            let times = (0..100).map(|round: u32| start.wrapping_add(round * EARNED_EVERY_MS));
            assert_eq!(told(&ration, times), [true; 100]);
            assert_eq!(ration.from(), 0);
        }
    }

    #[test]
    fn of_a_busy_one_the_first_and_then_as_many_as_are_earned() {
        let ration = Ration::new();
        let all = told(&ration, (0..10_000).map(|send| 7 + send / 10));
        let first = usize::from(SENDS_TOLD);
        assert!(all[..first].iter().all(|told| *told));
        assert_eq!(all[first..].iter().filter(|told| **told).count(), 9);
        // Each of these alone: the row begins anew with it.
        let last = all.iter().rposition(|told| *told).unwrap();
        assert_eq!(ration.from(), last as u64);
    }

    #[test]
    fn after_a_rest_there_are_as_many_as_at_first_and_no_more() {
        let ration = Ration::new();
        told(&ration, [5; 1000]);
        let all = told(&ration, [5 + 3_600_000; 1000]);
        assert_eq!(all.iter().filter(|told| **told).count(), usize::from(SENDS_TOLD));
    }

    #[test]
    fn it_says_when_it_turns_and_not_before_each_send() {
        let ration = Ration::new();
        let turns = (0..1000).filter_map(|place| {
            let turns = ration.turns(1 + u32::from(place >= 500) * EARNED_EVERY_MS, place);
            ration.sent();
            turns.map(|told| (place, told))
        });
        let first = u64::from(SENDS_TOLD);
        assert_eq!(turns.collect::<Vec<_>>(), [(first, false), (500, true), (501, false)]);
    }

    #[test]
    fn what_could_not_be_sent_is_not_counted() {
        let ration = Ration::new();
        for _ in 0..100 {
            assert_eq!(ration.turns(1, 0), None);
        }
        assert_eq!(ration.sent(), 1);
        ration.emptied();
        assert_eq!(ration.sends(), 0);
    }
}
