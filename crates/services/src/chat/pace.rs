//! How fast one person may talk: a token bucket without a clock.

use std::time::Duration;

/// Lines a person may send.
#[derive(Clone, Copy, Debug)]
pub struct PaceLimits {
    /// In a second, on and on. Default 5.
    pub per_second: u32,
    /// At once, after a silence; and as many more are overlooked before the person is dropped.
    /// Default 20.
    pub burst: u32,
}

impl Default for PaceLimits {
    fn default() -> PaceLimits {
        PaceLimits { per_second: 5, burst: 20 }
    }
}

/// What is to be done with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It may pass.
    Fine,
    /// It is not passed on, and its sender is to be told.
    Warn,
    /// It is not passed on; its sender was told.
    Ignore,
    /// Its sender does not stop.
    Drop,
}

/// A bucket of tokens, of which each line takes one.
#[derive(Debug)]
pub(super) struct Bucket {
    limits: PaceLimits,
    /// Thousandths of a token.
    tokens: u64,
    /// When it was last filled.
    at: Duration,
    /// Lines that found no token since the last one that did.
    refused: u32,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(limits: PaceLimits, now: Duration) -> Bucket {
        let tokens = u64::from(limits.burst).saturating_mul(1000);
        Bucket { limits, tokens, at: now, refused: 0 }
    }

    /// For a line that comes now.
    pub(super) fn line(&mut self, now: Duration) -> Pace {
        let passed = now.saturating_sub(self.at).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let more = passed.saturating_mul(u64::from(self.limits.per_second));
        let most = u64::from(self.limits.burst).saturating_mul(1000);
        self.tokens = self.tokens.saturating_add(more).min(most);
        self.at = self.at.max(now);
        if self.tokens >= 1000 {
            self.tokens -= 1000;
            self.refused = 0;
            return Pace::Fine;
        }
        self.refused = self.refused.saturating_add(1);
        match self.refused {
            1 => Pace::Warn,
            refused if refused > self.limits.burst => Pace::Drop,
            _ => Pace::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: PaceLimits = PaceLimits { per_second: 2, burst: 3 };

    fn lines(bucket: &mut Bucket, millis: u64, count: usize) -> Vec<Pace> {
        (0..count).map(|_| bucket.line(Duration::from_millis(millis))).collect()
    }

    #[test]
    fn who_does_not_stop_is_warned_and_then_dropped() {
        let mut bucket = Bucket::new(LIMITS, Duration::ZERO);
        let expected = [
            Pace::Fine,
            Pace::Fine,
            Pace::Fine,
            Pace::Warn,
            Pace::Ignore,
            Pace::Ignore,
            Pace::Drop,
        ];
        assert_eq!(lines(&mut bucket, 0, 7), expected);
    }

    #[test]
    fn who_slows_down_is_forgiven() {
        let mut bucket = Bucket::new(LIMITS, Duration::ZERO);
        lines(&mut bucket, 0, 5);
        assert_eq!(lines(&mut bucket, 500, 2), [Pace::Fine, Pace::Warn]);
        assert_eq!(lines(&mut bucket, 60_000, 4), [Pace::Fine, Pace::Fine, Pace::Fine, Pace::Warn]);
    }

    proptest! {
        #[test]
        fn no_more_lines_pass_than_burst_and_time_allow(
            pauses in prop::collection::vec(0u64..400, 1..200),
        ) {
            let mut bucket = Bucket::new(LIMITS, Duration::ZERO);
            let (mut now, mut fine) = (0, 0);
            for pause in pauses {
                now += pause;
                let pace = bucket.line(Duration::from_millis(now));
                fine += u64::from(pace == Pace::Fine);
                prop_assert!(fine <= 3 + now * 2 / 1000);
            }
        }
    }
}
