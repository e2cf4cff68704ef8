//! Wakes from other threads: a queue, and an eventfd that ends the thread's wait.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::Shutdown;

use crate::fault::{self, Point};
use crate::slab::Key;

/// One a thread; everybody else may hold it.
#[derive(Debug)]
pub(crate) struct Inbox {
    woken: Mutex<Vec<Key>>,
    event: OwnedFd,
    /// The eventfd holds a count that the thread has not yet taken.
    signalled: AtomicBool,
    stopping: AtomicBool,
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
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            signalled: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            wakers: AtomicIsize::new(0),
            asleep: Mutex::new(None),
        })
    }

    /// Becomes readable when there is something to take.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    pub(crate) fn wake(&self, task: Key) {
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
        // Order matters: whoever pushes after the flag is down signals again.
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.event, &mut count);
        self.signalled.store(false, Ordering::SeqCst);
        into.append(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn count_wakers(&self, change: isize) {
        self.wakers.fetch_add(change, Ordering::SeqCst);
    }

    pub(crate) fn wakers(&self) -> usize {
        usize::try_from(self.wakers.load(Ordering::SeqCst)).unwrap_or(0)
    }

    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::SeqCst) {
            // The counter can't overflow: it is written at most once between two reads.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
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

/// Names one thread's inbox; names of ended threads are used again.
pub(crate) type WorkerId = u16;

static INBOXES: RwLock<Vec<Option<Arc<Inbox>>>> = RwLock::new(Vec::new());

/// Makes an inbox that wakers can find by its name.
pub(crate) fn register() -> std::io::Result<(WorkerId, Arc<Inbox>)> {
    let inbox = Arc::new(Inbox::new()?);
    let mut inboxes = INBOXES.write().unwrap_or_else(PoisonError::into_inner);
    let free = inboxes.iter().position(Option::is_none).unwrap_or(inboxes.len());
    let worker = WorkerId::try_from(free)
        .map_err(|_| std::io::Error::other("more than 65,536 threads wait at once"))?;
    let entry = Some(Arc::clone(&inbox));
    if free == inboxes.len() {
        inboxes.push(entry);
    } else {
        inboxes[free] = entry;
    }
    Ok((worker, inbox))
}

pub(crate) fn unregister(worker: WorkerId) {
    let mut inboxes = INBOXES.write().unwrap_or_else(PoisonError::into_inner);
    inboxes[usize::from(worker)] = None;
}

pub(crate) fn find(worker: WorkerId) -> Option<Arc<Inbox>> {
    let inboxes = INBOXES.read().unwrap_or_else(PoisonError::into_inner);
    inboxes.get(usize::from(worker))?.clone()
}
