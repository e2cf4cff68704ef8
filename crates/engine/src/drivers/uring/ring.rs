//! The ring of provided buffers that all receives of a thread share.
//!
//! The kernel fills buffers front to back; where it can (`IOU_PBUF_RING_INC`, Linux 6.12), many
//! receives share one buffer. A buffer goes back to the kernel when the kernel has let go of it
//! and the last lease of a part of it is dropped.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// The one buffer group of a thread.
pub(crate) const GROUP: u16 = 0;

/// `IOU_PBUF_RING_INC` of `io_uring_register_buf_ring(3)`: buffers may be used up in parts.
const INCREMENTAL: u16 = 2;

/// Two megabytes, cut coarse where the kernel shares buffers and fine where it does not.
const COARSE: Shape = Shape { count: 16, len: 128 * 1024 };
const FINE: Shape = Shape { count: 512, len: 4 * 1024 };

#[derive(Clone, Copy)]
struct Shape {
    /// A power of two.
    count: u16,
    len: u32,
}

pub(crate) struct BufferRing {
    entries: Map,
    memory: Map,
    shape: Shape,
    tail: Cell<u16>,
    states: RefCell<Vec<State>>,
    leased: Cell<usize>,
    /// Buffers the kernel has let go of and that are held by leases.
    held: Cell<u16>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Bytes the kernel has filled.
    filled: u32,
    /// Parts on lease.
    leases: u32,
    /// The kernel will put nothing more into it.
    full: bool,
}

/// Bytes that a completion put into the ring, not yet on lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    buffer: u16,
    offset: u32,
    len: u32,
}

/// Received bytes that wait for somebody to ask.
#[derive(Debug)]
pub(crate) enum Waiting {
    InRing(Part),
    Copied(Vec<u8>),
}

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        match self {
            Waiting::InRing(part) => part.len as usize,
            Waiting::Copied(bytes) => bytes.len(),
        }
    }
}

impl BufferRing {
    /// Registers the ring with `uring`, all buffers empty.
    pub(crate) fn new(uring: &IoUring) -> io::Result<Rc<BufferRing>> {
        BufferRing::register(uring, COARSE, INCREMENTAL)
            .or_else(|_| BufferRing::register(uring, FINE, 0))
    }

    fn register(uring: &IoUring, shape: Shape, flags: u16) -> io::Result<Rc<BufferRing>> {
        let entries = Map::new(usize::from(shape.count) * size_of::<BufRingEntry>())?;
        let memory = Map::new(usize::from(shape.count) * shape.len as usize)?;
        let address = entries.start.as_ptr().addr() as u64;
        // SAFETY: the mapping is page-aligned, as long as `count` entries, and lives until after
        // the driver has waited for all its operations (`Uring::drop`).
        unsafe {
            uring.submitter().register_buf_ring_with_flags(address, shape.count, GROUP, flags)?;
        }
        let ring = BufferRing {
            entries,
            memory,
            shape,
            tail: Cell::new(0),
            states: RefCell::new(vec![State::default(); usize::from(shape.count)]),
            leased: Cell::new(0),
            held: Cell::new(0),
        };
        (0..shape.count).for_each(|buffer| ring.provide(buffer));
        Ok(Rc::new(ring))
    }

    /// A completion says that it put `len` bytes into `buffer`, and whether it will put more.
    pub(crate) fn filled(&self, buffer: u16, len: u32, more: bool) -> Part {
        let mut states = self.states.borrow_mut();
        let state = &mut states[usize::from(buffer)];
        let offset = state.filled;
        state.filled += len;
        assert!(state.filled <= self.shape.len, "the kernel stays inside its buffer");
        if !more {
            state.full = true;
            self.held.set(self.held.get() + 1);
        }
        state.leases += 1;
        self.leased.set(self.leased.get() + 1);
        Part { buffer, offset, len }
    }

    /// What waits for its reader stays where it is, unless so much waits that the kernel may
    /// run out of buffers: then a reader who is slow must not starve the others.
    pub(crate) fn keep(self: &Rc<Self>, part: Part) -> Waiting {
        if self.held.get() < self.shape.count / 4 * 3 {
            return Waiting::InRing(part);
        }
        Waiting::Copied(self.lease(part).bytes().to_vec())
    }

    /// Puts the part on lease: this, or [`BufferRing::release`], once for each part.
    pub(crate) fn lease(self: &Rc<Self>, part: Part) -> RingLease {
        RingLease { ring: Rc::clone(self), part }
    }

    pub(crate) fn release(&self, part: Part) {
        self.leased.set(self.leased.get() - 1);
        let mut states = self.states.borrow_mut();
        let state = &mut states[usize::from(part.buffer)];
        state.leases -= 1;
        if state.full && state.leases == 0 {
            *state = State::default();
            self.held.set(self.held.get() - 1);
            drop(states);
            self.provide(part.buffer);
        }
    }

    /// Parts that nobody has given back.
    pub(crate) fn leased(&self) -> usize {
        self.leased.get()
    }

    /// Gives the whole buffer to the kernel.
    fn provide(&self, buffer: u16) {
        let tail = self.tail.get();
        let place = usize::from(tail & (self.shape.count - 1));
        let address = self.memory.start.as_ptr().addr() as u64
            + u64::from(buffer) * u64::from(self.shape.len);
        let first = self.entries.start.cast::<BufRingEntry>();
        // SAFETY: `place` is below `count`, so the entry is inside the mapping; the kernel does
        // not look at entries at or behind the tail it last saw, and this one is there.
        let entry = unsafe { &mut *first.as_ptr().wrapping_add(place) };
        entry.set_addr(address);
        entry.set_len(self.shape.len);
        entry.set_bid(buffer);
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: `first` is the start of the registered ring, whose memory is initialized.
        let place = unsafe { BufRingEntry::tail(first.as_ptr()) };
        // SAFETY: the tail is an aligned u16 inside the mapping that only this thread writes and
        // the kernel reads; release makes the entry visible before it.
        unsafe { AtomicU16::from_ptr(place.cast_mut()) }.store(tail, Ordering::Release);
    }
}

/// Received bytes that lie in the ring; dropping it lets the kernel use their place again.
pub(crate) struct RingLease {
    ring: Rc<BufferRing>,
    part: Part,
}

impl RingLease {
    pub(crate) fn bytes(&self) -> &[u8] {
        let start = usize::from(self.part.buffer) * self.ring.shape.len as usize
            + self.part.offset as usize;
        // SAFETY: `filled` checked that the part is inside its buffer, so inside the mapping.
        let first = unsafe { self.ring.memory.start.add(start) };
        // SAFETY: the kernel wrote these bytes before the completion and will not write them
        // again until the buffer is provided anew, which needs this lease to be dropped.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.part.len as usize) }
    }
}

impl Drop for RingLease {
    fn drop(&mut self) {
        self.ring.release(self.part);
    }
}

/// Zeroed memory of our own, page-aligned.
struct Map {
    start: NonNull<u8>,
    len: usize,
}

impl Map {
    fn new(len: usize) -> io::Result<Map> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new private mapping at an address of the kernel's choice disturbs nothing.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), len, access, flags)? };
        let start = NonNull::new(start.cast()).expect("a mapping is never at address 0");
        Ok(Map { start, len })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and nothing points into it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
