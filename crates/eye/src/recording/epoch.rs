//! Moments as numbers that every reader of JSON has.

use serde::{Deserialize, Serialize};
use sockeye_engine::probe::Stamp;

/// From when a recording counts its nanoseconds: whole seconds since 1970.
///
/// Nanoseconds since 1970 themselves need 61 bits, and what reads JSON into floating-point numbers (jq
/// among others) has 53. Since the recording began it takes 104 days to come to that.
///
/// ```
/// use sockeye_engine::probe::Stamp;
/// use sockeye_eye::recording::Epoch;
///
/// let epoch = Epoch::of(Stamp(1_700_000_000_250_000_000));
/// assert_eq!(epoch, Epoch(1_700_000_000));
/// assert_eq!(epoch.nanos(Stamp(1_700_000_001_000_000_007)), 1_000_000_007);
/// assert_eq!(epoch.stamp(-1), Some(Stamp(1_699_999_999_999_999_999)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

const SECOND: i128 = 1_000_000_000;

impl Epoch {
    /// The whole second that this moment lies in.
    #[must_use]
    pub fn of(at: Stamp) -> Epoch {
        Epoch(at.0 / 1_000_000_000)
    }

    /// Nanoseconds from here to this moment; less than nothing if it came before.
    #[must_use]
    pub fn nanos(self, at: Stamp) -> i64 {
        let nanos = i128::from(at.0) - i128::from(self.0) * SECOND;
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// The moment so many nanoseconds after this; `None` before 1970 and after 2262.
    #[must_use]
    pub fn stamp(self, nanos: i64) -> Option<Stamp> {
        let nanos = i128::from(self.0) * SECOND + i128::from(nanos);
        i64::try_from(nanos).ok()?.try_into().ok().map(Stamp)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_moment_comes_out_as_it_went_in(
            begun in 0..i64::MAX.cast_unsigned(),
            at in 0..i64::MAX.cast_unsigned(),
        ) {
            let epoch = Epoch::of(Stamp(begun));
            prop_assert_eq!(epoch.stamp(epoch.nanos(Stamp(at))), Some(Stamp(at)));
        }

        #[test]
        fn no_number_of_a_file_is_too_much(epoch: u64, nanos: i64) {
            if let Some(at) = Epoch(epoch).stamp(nanos) {
                prop_assert_eq!(Epoch(epoch).nanos(at), nanos);
            }
        }
    }
}
