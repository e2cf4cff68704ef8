//! Raw input cut into pieces that fit into a datagram each.

use bytes::{Bytes, BytesMut};

/// Cuts what is read, piece by piece.
pub(super) struct Pieces {
    longest: usize,
    /// What is no whole piece yet, where pieces don't depend on what is read at once.
    kept: Option<BytesMut>,
}

impl Pieces {
    /// Pieces of `longest` bytes at most, which is more than 0. Those of a `file` have as many bytes but
    /// for the last one; elsewhere what is read at once is cut by itself, so that what fits stays whole.
    pub(super) fn new(longest: usize, file: bool) -> Pieces {
        Pieces { longest: longest.max(1), kept: file.then(BytesMut::new) }
    }

    /// Cuts the next bytes, and hands out the pieces that are whole.
    pub(super) fn push(&mut self, bytes: Bytes, mut take: impl FnMut(Bytes)) {
        let mut rest = match &mut self.kept {
            None => bytes,
            Some(kept) => {
                kept.extend_from_slice(&bytes);
                kept.split().freeze()
            }
        };
        while rest.len() >= self.longest {
            take(rest.split_to(self.longest));
        }
        match &mut self.kept {
            Some(kept) => kept.extend_from_slice(&rest),
            None if rest.is_empty() => {}
            None => take(rest),
        }
    }

    /// What is left at the end.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        let kept = self.kept.as_mut()?;
        (!kept.is_empty()).then(|| kept.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(longest: usize, file: bool, reads: &[usize]) -> Vec<usize> {
        let (mut pieces, mut cut) = (Pieces::new(longest, file), Vec::new());
        let mut next = 0_u8;
        let mut take = |piece: Bytes| {
            for byte in &piece {
                assert_eq!(*byte, next, "in order");
                next = next.wrapping_add(1);
            }
            cut.push(piece.len());
        };
        let mut bytes = (0..=u8::MAX).cycle();
        for read in reads {
            pieces.push(bytes.by_ref().take(*read).collect::<Vec<u8>>().into(), &mut take);
        }
        pieces.finish().into_iter().for_each(take);
        cut
    }

    #[test]
    fn of_a_file_all_but_the_last_have_one_length_however_it_is_read() {
        for reads in [&[2500][..], &[1000, 1000, 500], &[1, 2499], &[2400, 100], &[0, 2500, 0]] {
            assert_eq!(cut(1000, true, reads), [1000, 1000, 500], "{reads:?}");
        }
        assert_eq!(cut(1000, true, &[2000]), [1000, 1000]);
        assert!(cut(1000, true, &[0]).is_empty());
    }

    #[test]
    fn elsewhere_what_is_read_at_once_and_fits_stays_whole() {
        assert_eq!(cut(1000, false, &[5, 1000, 7]), [5, 1000, 7]);
        assert_eq!(cut(1000, false, &[2500, 5]), [1000, 1000, 500, 5]);
        assert_eq!(cut(1, false, &[3]), [1, 1, 1]);
    }
}
