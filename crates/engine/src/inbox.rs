//! Wakes from other threads: a queue, and an eventfd that ends the thread's wait.

mod directory;
mod event;
#[cfg(all(test, loom))]
mod orders;

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rustix::net::Shutdown;

use crate::fault::{self, Point};
use crate::slab::Key;
use crate::sync::{AtomicBool, AtomicIsize, Mutex};
pub(crate) use directory::{Place, WorkerId, count_wakers, find};
use event::Event;

/// One a thread; everybody else may hold it.
#[derive(Debug)]
pub(crate) struct Inbox {
    woken: Mutex<Vec<Key>>,
    event: Event,
    /// The event is up, or about to be, and the thread has not seen it yet.
    signalled: AtomicBool,
    stopping: AtomicBool,
    /// The thread has ended.
    retired: AtomicBool,
    /// Wakers of this thread's tasks that exist, where they are counted.
    wakers: AtomicIsize,
    /// The socket in whose call the thread sleeps, idle.
    asleep: Mutex<Option<RawFd>>,
}

impl Inbox {
    fn new() -> rustix::io::Result<Inbox> {
        fault::ask(Point::Make)?;
        Ok(Inbox {
            woken: Mutex::new(Vec::new()),
            event: Event::new()?,
            signalled: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            wakers: AtomicIsize::new(0),
            asleep: Mutex::new(None),
        })
    }

    /// Becomes readable when there is something to take.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.event.fd()
    }

    pub(crate) fn wake(&self, task: Key) {
        if self.is_retired() {
            return;
        }
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        self.signal();
    }

    /// Asks the thread to end gracefully.
    pub(crate) fn stop(&self) {
        let asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(fd) = *asleep {
            // SAFETY: while the lock is held and the descriptor noted, the thread is inside
            // `Asleep`, which borrows the descriptor: it is open.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            // The call returns at once: a receive with 0, an accept with EINVAL.
            let _ = rustix::net::shutdown(fd, Shutdown::Read);
        }
        drop(asleep);
        self.signal();
    }

    /// The same, but a call that sleeps idle goes on until something comes: who is answered by it then
    /// can't find that he came too late. Until then the thread does not end.
    pub(crate) fn stop_gently(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.signal();
    }

    /// The thread is about to sleep idle in a call on `fd`, and wants [`Inbox::stop`] to end it;
    /// None if it is stopping already.
    pub(crate) fn fall_asleep<'a>(&'a self, fd: BorrowedFd<'a>) -> Option<Asleep<'a>> {
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopping() {
            return None;
        }
        *asleep = Some(fd.as_raw_fd());
        Some(Asleep { inbox: self, _fd: fd })
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Whether there is something to take.
    pub(crate) fn is_signalled(&self) -> bool {
        self.signalled.load(Ordering::SeqCst)
    }

    /// Takes what came; only the thread itself calls this.
    pub(crate) fn take(&self, into: &mut Vec<Key>) {
        if !self.is_signalled() {
            return;
        }
        // Whoever comes first says that it is signalled and then raises the event. Between the two
        // the word stands: taken back, it would leave an event behind that nobody lowers.
        if self.event.lower() {
            // Order matters: whoever pushes after this signals again. (A swap for loom's sake, which
            // does not know that no store comes between two swaps of others.)
            self.signalled.swap(false, Ordering::SeqCst);
        }
        into.append(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    fn count_wakers(&self, change: isize) {
        self.wakers.fetch_add(change, Ordering::SeqCst);
    }

    pub(crate) fn wakers(&self) -> usize {
        usize::try_from(self.wakers.load(Ordering::SeqCst)).unwrap_or(0)
    }

    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::SeqCst) {
            self.event.raise();
        }
    }
}

/// As long as this lives, stopping the thread ends the call it is in.
pub(crate) struct Asleep<'a> {
    inbox: &'a Inbox,
    _fd: BorrowedFd<'a>,
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        *self.inbox.asleep.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
