//! Sizes, numbers and times as they are written.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// The last second of the year 9999, Unix seconds.
const LAST_SECOND: u64 = 253_402_300_799;

/// A size in bytes as people read it: `812 B`, `1.4 KiB`, `96 MiB`.
#[derive(Clone, Copy)]
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        // In tenths of the unit, rounded; what rounds up to 1024 is one of the next unit.
        let mut unit = 0;
        let mut tenths = tenths(self.0, unit);
        while tenths >= 10_235 && unit + 1 < UNITS.len() {
            unit += 1;
            tenths = self::tenths(self.0, unit);
        }
        let name = UNITS[unit];
        if tenths < 100 {
            f.pad(&format!("{}.{} {name}", tenths / 10, tenths % 10))
        } else {
            f.pad(&format!("{} {name}", (tenths + 5) / 10))
        }
    }
}

fn tenths(size: u64, unit: usize) -> u128 {
    let scale = 1024_u128.pow(u32::try_from(unit).unwrap_or(0) + 1);
    (u128::from(size) * 10 + scale / 2) / scale
}

/// `2026-11-21T20:27:05Z`. What lies before 1970 or after 9999 is moved to that bound.
pub(super) fn rfc3339(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// The day of an RFC 3339 time.
pub(super) fn day(time: &str) -> &str {
    time.get(..10).unwrap_or_default()
}

/// Hours and minutes of an RFC 3339 time.
pub(super) fn minute(time: &str) -> &str {
    time.get(11..16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_two_or_more_digits() {
        for (size, shown) in [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10_189, "10 KiB"),
            (10_240, "10 KiB"),
            (1_048_000, "1023 KiB"),
            (1_048_200, "1.0 MiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (5 << 40, "5.0 TiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(Size(size).to_string(), shown, "{size}");
        }
        assert_eq!(format!("{:>9}", Size(2048)), "  2.0 KiB");
    }

    #[test]
    fn times_are_written_whatever_the_stamp_says() {
        let time = rfc3339(784_111_777);
        assert_eq!(
            (&*time, day(&time), minute(&time)),
            ("1994-11-06T08:49:37Z", "1994-11-06", "08:49")
        );
        assert_eq!(rfc3339(i64::MIN), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
