//! An `eventfd(2)` as a flag that ends a thread's wait.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

#[derive(Debug)]
pub(super) struct Event {
    fd: OwnedFd,
    /// What the kernel would count, where loom looks on: it can't try the orders of system calls.
    #[cfg(loom)]
    count: loom::sync::atomic::AtomicU64,
}

impl Event {
    pub(super) fn new() -> rustix::io::Result<Event> {
        Ok(Event {
            fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            #[cfg(loom)]
            count: loom::sync::atomic::AtomicU64::new(0),
        })
    }

    /// Readable while the flag is up.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(not(loom))]
impl Event {
    pub(super) fn raise(&self) {
        // The counter can't overflow: it is written at most once between two reads.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Takes the flag down; whether it was up.
    pub(super) fn lower(&self) -> bool {
        rustix::io::read(&self.fd, &mut [0; 8]).is_ok()
    }
}

#[cfg(loom)]
impl Event {
    pub(super) fn raise(&self) {
        self.count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn lower(&self) -> bool {
        self.count.swap(0, std::sync::atomic::Ordering::SeqCst) > 0
    }

    #[cfg(test)]
    pub(super) fn is_up(&self) -> bool {
        self.count.load(std::sync::atomic::Ordering::SeqCst) > 0
    }
}
