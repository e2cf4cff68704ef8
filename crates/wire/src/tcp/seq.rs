//! Sequence numbers: 32 bits that wrap, compared by signed distance (RFC 9293 §3.4).

use std::fmt;
use std::ops::{Add, Sub};

/// A sequence number, modulo 2³² (RFC 9293 §3.4).
///
/// There is no order on a circle, so `Seq` has none; [`Seq::distance_from`] says how far one
/// lies ahead of another.
///
/// ```
/// use sockeye_wire::tcp::Seq;
///
/// let before_the_wrap = Seq(u32::MAX);
/// assert_eq!(before_the_wrap + 2, Seq(1));
/// assert_eq!(Seq(1).distance_from(before_the_wrap), 2);
/// assert_eq!(before_the_wrap.distance_from(Seq(1)), -2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// How many numbers `self` lies ahead of `earlier`; negative if it lies behind.
    ///
    /// True while the two are less than 2³¹ apart, which the window guarantees for any two
    /// numbers in flight together.
    #[must_use]
    pub fn distance_from(self, earlier: Seq) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

impl Add<u32> for Seq {
    type Output = Seq;

    fn add(self, count: u32) -> Seq {
        Seq(self.0.wrapping_add(count))
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;

    fn sub(self, count: u32) -> Seq {
        Seq(self.0.wrapping_sub(count))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distance_undoes_addition_across_the_wrap(start: u32, step in 0..=i32::MAX) {
            let there = Seq(start) + step.unsigned_abs();
            prop_assert_eq!(there.distance_from(Seq(start)), step);
            prop_assert_eq!(there - step.unsigned_abs(), Seq(start));
        }
    }
}
