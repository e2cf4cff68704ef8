//! What is sent: a stream in which every byte lost, doubled, swapped or taken from another
//! connection shows, and which costs nothing to make.

use std::sync::LazyLock;

/// A prime, so that no length of message or buffer lines up with it; small, so that the messages
/// of many connections stay in the first-level cache.
const PERIOD: u64 = 4093;

/// Bytes that can be had at once.
pub(crate) const LONGEST: usize = 128 * 1024;

/// [`PERIOD`] random bytes, repeated so that any piece of the stream is one slice.
static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(0x00ec_0ec0);
    let period: Vec<u8> = (0..PERIOD).map(|_| random.u8(..)).collect();
    period.iter().copied().cycle().take(period.len() + LONGEST).collect()
});

/// The stream of one connection.
#[derive(Clone, Copy)]
pub(crate) struct Pattern {
    start: u64,
}

impl Pattern {
    /// Neighbouring connections start at places far from each other.
    pub(crate) fn of(connection: u32) -> Self {
        Self { start: u64::from(connection) * 1597 % PERIOD }
    }

    /// `len` bytes from `offset` on, at most [`LONGEST`].
    pub(crate) fn at(self, offset: u64, len: usize) -> &'static [u8] {
        let from = (self.start + offset % PERIOD) % PERIOD;
        // Below PERIOD, so it fits.
        let from = usize::try_from(from).unwrap_or(0);
        &TABLE[from..from + len.min(LONGEST)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_one_stream() {
        let pattern = Pattern::of(7);
        let whole = pattern.at(0, LONGEST);
        for offset in [0, 1, 64, 4092, 4093, 5000, 60_000] {
            let from = usize::try_from(offset).expect("small");
            assert_eq!(pattern.at(offset, 640), &whole[from..from + 640]);
        }
    }

    #[test]
    fn a_shift_or_a_stranger_shows_within_one_message() {
        let own = Pattern::of(3).at(6400, 64);
        assert!((1..PERIOD).all(|shift| Pattern::of(3).at(6400 + shift, 64) != own));
        assert!((0..512).filter(|&other| other != 3).all(|c| Pattern::of(c).at(6400, 64) != own));
    }
}
