//! Buffers: leased to read into, pooled to write from, given back when dropped.
//!
//! A thread has one [`Pool`]. A connection that waits holds none of its buffers.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

use bytes::Bytes;

/// Room of one leased read buffer, in bytes.
pub(crate) const LEASE: usize = 64 * 1024;

/// Free buffers a thread keeps for later; the rest goes back to the allocator.
const KEPT_FREE: usize = 64;

/// Shared bytes below this size are copied: one more piece costs the kernel more than the copy.
const COPY_BELOW: usize = 2 * 1024;

/// An outgoing buffer that grew past this is not kept for others.
const KEPT_CAPACITY: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: RefCell<Vec<Box<[u8]>>>,
    // Boxes move between the pool, streams and drivers without moving what they hold.
    #[allow(clippy::vec_box)]
    outgoing: RefCell<Vec<Box<Outgoing>>>,
    leased: Cell<usize>,
    lent_out: Cell<usize>,
    /// Where what does not fit a lease is put for the time of one call.
    rest: RefCell<Vec<u8>>,
}

impl Pool {
    /// A buffer of [`LEASE`] bytes to read into.
    pub(crate) fn lease(self: &Rc<Pool>) -> Lease {
        self.leased.set(self.leased.get() + 1);
        let bytes =
            self.free.borrow_mut().pop().unwrap_or_else(|| vec![0; LEASE].into_boxed_slice());
        Lease { bytes, pool: Rc::clone(self) }
    }

    /// Room for `len` bytes that a lease has no room for, to be used up at once.
    pub(crate) fn rest(&self, len: usize) -> RefMut<'_, [u8]> {
        RefMut::map(self.rest.borrow_mut(), |rest| {
            if rest.len() < len {
                rest.resize(len, 0);
            }
            &mut rest[..len]
        })
    }

    pub(crate) fn outgoing(&self) -> Box<Outgoing> {
        self.lent_out.set(self.lent_out.get() + 1);
        self.outgoing.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut outgoing: Box<Outgoing>) {
        self.lent_out.set(self.lent_out.get() - 1);
        outgoing.clear();
        let mut kept = self.outgoing.borrow_mut();
        if kept.len() < KEPT_FREE && outgoing.owned.capacity() <= KEPT_CAPACITY {
            kept.push(outgoing);
        }
    }

    /// Buffers that are out: leases to read into, and outgoing ones.
    pub(crate) fn out(&self) -> (usize, usize) {
        (self.leased.get(), self.lent_out.get())
    }
}

/// A whole read buffer, back in its pool when dropped.
pub(crate) struct Lease {
    bytes: Box<[u8]>,
    pool: Rc<Pool>,
}

impl Lease {
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `len` bytes as what was read.
    pub(crate) fn filled(self, len: usize) -> Chunk {
        debug_assert!(len <= self.bytes.len());
        Chunk { range: 0..len, store: Store::Lease(self) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.leased.set(self.pool.leased.get() - 1);
        let mut free = self.pool.free.borrow_mut();
        if free.len() < KEPT_FREE {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Bytes a peer sent, in a buffer on lease from the thread; dropping it gives the buffer back.
///
/// An empty chunk means that the peer will send no more (`recv` returned 0).
///
/// Hold it only as long as the bytes are needed: on io_uring the buffer belongs to a ring that
/// all connections of the thread read into.
pub struct Chunk {
    range: Range<usize>,
    store: Store,
}

enum Store {
    Nothing,
    Lease(Lease),
    Own(Vec<u8>),
    Ring(crate::drivers::uring::RingLease),
}

impl Chunk {
    /// The end of the stream.
    pub(crate) fn end() -> Chunk {
        Chunk { range: 0..0, store: Store::Nothing }
    }

    pub(crate) fn from_ring(lease: crate::drivers::uring::RingLease) -> Chunk {
        Chunk { range: 0..lease.bytes().len(), store: Store::Ring(lease) }
    }

    /// A chunk of bytes that were not received, for tests of code that takes chunks.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Chunk {
        Chunk { range: 0..bytes.len(), store: Store::Own(bytes) }
    }

    /// Drops the first `count` bytes, or all if there are fewer.
    pub fn consume(&mut self, count: usize) {
        self.range.start = (self.range.start.saturating_add(count)).min(self.range.end);
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole = match &self.store {
            Store::Nothing => &[],
            Store::Lease(lease) => &lease.bytes[..],
            Store::Own(bytes) => bytes,
            Store::Ring(lease) => lease.bytes(),
        };
        &whole[self.range.clone()]
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What a connection is about to send: owned bytes, with shared ones between them.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Owned bytes of all owned pieces, one after another; those before `start` have been sent.
    owned: Vec<u8>,
    start: usize,
    /// Order of pieces; empty means that everything is owned.
    pieces: VecDeque<Piece>,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    Owned(usize),
    Shared(Bytes),
}

impl Outgoing {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.owned.extend_from_slice(bytes);
        self.pushed_owned(bytes.len());
    }

    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        // Alone they need no vectored call, and the copy would be for nothing.
        if bytes.len() < COPY_BELOW && !self.is_empty() {
            return self.push(&bytes);
        }
        if bytes.is_empty() {
            return;
        }
        if self.pieces.is_empty() && self.len > 0 {
            self.pieces.push_back(Piece::Owned(self.len));
        }
        self.len += bytes.len();
        self.pieces.push_back(Piece::Shared(bytes));
    }

    /// Lets `write` append to the owned bytes in place.
    pub(crate) fn push_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.owned.len();
        let result = write(&mut self.owned);
        debug_assert!(self.owned.len() >= before, "write only appends");
        self.pushed_owned(self.owned.len().saturating_sub(before));
        result
    }

    /// The next bytes that lie in one piece, and whether others follow.
    pub(crate) fn front(&self) -> (&[u8], bool) {
        match self.pieces.front() {
            None => (&self.owned[self.start..], false),
            Some(Piece::Owned(len)) => {
                (&self.owned[self.start..self.start + len], self.pieces.len() > 1)
            }
            Some(Piece::Shared(bytes)) => (bytes, self.pieces.len() > 1),
        }
    }

    /// The first `count` bytes are sent.
    pub(crate) fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.len);
        self.len -= count;
        if self.pieces.is_empty() {
            self.start += count;
            return;
        }
        while count > 0 {
            match self.pieces.front_mut().expect("no more is sent than was there") {
                Piece::Owned(len) => {
                    let step = count.min(*len);
                    self.start += step;
                    *len -= step;
                    count -= step;
                    if *len > 0 {
                        return;
                    }
                }
                Piece::Shared(bytes) => {
                    let step = count.min(bytes.len());
                    bytes::Buf::advance(bytes, step);
                    count -= step;
                    if !bytes.is_empty() {
                        return;
                    }
                }
            }
            self.pieces.pop_front();
        }
    }

    /// Up to `N` pieces from the front, for a vectored call.
    pub(crate) fn vectors<const N: usize>(&self) -> ([std::io::IoSlice<'_>; N], usize) {
        let mut slices = [std::io::IoSlice::new(&[]); N];
        let mut used = 0;
        let mut start = self.start;
        if self.pieces.is_empty() {
            slices[0] = std::io::IoSlice::new(&self.owned[start..]);
            return (slices, 1);
        }
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            *slot = match piece {
                Piece::Owned(len) => {
                    start += len;
                    std::io::IoSlice::new(&self.owned[start - len..start])
                }
                Piece::Shared(bytes) => std::io::IoSlice::new(bytes),
            };
            used += 1;
        }
        (slices, used)
    }

    pub(crate) fn in_one_piece(&self) -> bool {
        self.pieces.len() < 2
    }

    fn pushed_owned(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.len += count;
        match self.pieces.back_mut() {
            None => {}
            Some(Piece::Owned(len)) => *len += count,
            Some(Piece::Shared(_)) => self.pieces.push_back(Piece::Owned(count)),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.owned.clear();
        self.start = 0;
        self.pieces.clear();
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(outgoing: &Outgoing) -> Vec<u8> {
        let (slices, used) = outgoing.vectors::<64>();
        slices[..used].iter().map(|slice| &**slice).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_dropped_chunk_gives_its_buffer_back() {
        let pool = Rc::new(Pool::default());
        let mut lease = pool.lease();
        lease.room()[..5].copy_from_slice(b"hello");
        let mut chunk = lease.filled(5);
        assert_eq!((&chunk[..], pool.out().0), (&b"hello"[..], 1));
        chunk.consume(3);
        assert_eq!(&chunk[..], b"lo");
        chunk.consume(99);
        assert!(chunk.is_empty());
        drop(chunk);
        assert_eq!((pool.out().0, pool.free.borrow().len()), (0, 1));
    }

    /// Miri takes its time for bytes.
    const PUSHES: usize = if cfg!(miri) { 4 } else { 12 };

    proptest! {
        #[test]
        fn pieces_leave_in_the_order_they_came_however_they_are_cut(
            pushes in proptest::collection::vec((any::<bool>(), 0usize..6000), 0..PUSHES),
            cuts in proptest::collection::vec(1usize..5000, 0..40),
        ) {
            let mut outgoing = Outgoing::default();
            let mut expected = Vec::new();
            for (index, (shared, len)) in pushes.into_iter().enumerate() {
                let bytes = vec![u8::try_from(index).expect("few pushes"); len];
                expected.extend_from_slice(&bytes);
                if shared { outgoing.push_shared(bytes.into()) } else { outgoing.push(&bytes) }
            }
            prop_assert_eq!(outgoing.len(), expected.len());
            prop_assert_eq!(&all(&outgoing), &expected);
            let mut sent = Vec::new();
            for cut in cuts {
                if outgoing.is_empty() { break }
                let (front, _) = outgoing.front();
                let step = cut.min(front.len());
                sent.extend_from_slice(&front[..step]);
                outgoing.advance(step);
                prop_assert_eq!(outgoing.len(), expected.len() - sent.len());
            }
            sent.extend(all(&outgoing));
            prop_assert_eq!(sent, expected);
        }
    }
}
