//! How records get from the threads that serve to the thread of the eye.
//!
//! Batches go through a bounded channel that is never waited for. The eye is woken only where it
//! matters, so a busy server makes no extra call.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};

use super::batch::{BATCH, Item};

/// So many batches may wait for the eye: some 3 MiB of records.
pub(super) const BATCHES: usize = 128;

/// The sending side, shared by the probes.
#[derive(Debug)]
pub(super) struct Sender {
    batches: SyncSender<Vec<Item>>,
    shared: Arc<Shared>,
    capacity: usize,
}

/// The receiving side: the thread of the eye.
#[derive(Debug)]
pub(super) struct Inbox {
    batches: Receiver<Vec<Item>>,
    shared: Arc<Shared>,
    /// Batches left behind, to be looked at when the channel is empty.
    left_behind: Vec<Vec<Item>>,
}

#[derive(Debug)]
struct Shared {
    /// Readable when the eye shall look into its inbox.
    wake: OwnedFd,
    /// The eye waits, or is about to.
    asleep: AtomicBool,
    /// Batches in the channel.
    queued: AtomicUsize,
    /// Records lost whose connection is not known any more.
    lost: AtomicU64,
    /// Last batches of threads that ended while the channel was full.
    left_behind: Mutex<Vec<Vec<Item>>>,
    /// Emptied batches, to be filled again.
    spare: Mutex<Vec<Vec<Item>>>,
    closing: AtomicBool,
}

/// A channel for at most `capacity` batches.
pub(super) fn channel(capacity: usize) -> io::Result<(Sender, Inbox)> {
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared {
        wake,
        asleep: AtomicBool::new(false),
        queued: AtomicUsize::new(0),
        lost: AtomicU64::new(0),
        left_behind: Mutex::new(Vec::new()),
        spare: Mutex::new(Vec::new()),
        closing: AtomicBool::new(false),
    });
    let (sender, receiver) = sync_channel(capacity);
    Ok((
        Sender { batches: sender, shared: Arc::clone(&shared), capacity },
        Inbox { batches: receiver, shared, left_behind: Vec::new() },
    ))
}

impl Sender {
    /// Hands `batch` over and leaves an empty one in its place; never blocks.
    ///
    /// False if there is no room: then `batch` is as it was.
    pub(super) fn hand_over(&self, batch: &mut Vec<Item>, urgent: bool) -> bool {
        // Before it is sent, so that the eye never counts below zero.
        let queued = self.shared.queued.fetch_add(1, Ordering::Relaxed);
        if queued >= self.capacity {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            self.shared.wake();
            return false;
        }
        let full = mem::replace(batch, self.shared.spare());
        match self.batches.try_send(full) {
            Ok(()) => {
                if urgent || queued >= self.capacity / 2 {
                    self.shared.wake();
                }
                true
            }
            Err(TrySendError::Full(full)) => {
                self.shared.queued.fetch_sub(1, Ordering::Relaxed);
                *batch = full;
                false
            }
            // The eye is shut: nobody looks.
            Err(TrySendError::Disconnected(_)) => true,
        }
    }

    /// Leaves a last batch for which there was no room, from a thread that can't try again.
    ///
    /// A lock, but one the eye holds only as long as it takes to move a pointer.
    pub(super) fn leave_behind(&self, batch: Vec<Item>) {
        if let Ok(mut left_behind) = self.shared.left_behind.lock() {
            left_behind.push(batch);
        }
        self.shared.wake();
    }

    /// Counts records that are lost and can't be told of their connection.
    pub(super) fn lose(&self, records: u64) {
        self.shared.lost.fetch_add(records, Ordering::Relaxed);
    }

    /// Tells the eye to finish.
    pub(super) fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.ring();
    }
}

impl Clone for Sender {
    fn clone(&self) -> Sender {
        Sender {
            batches: self.batches.clone(),
            shared: Arc::clone(&self.shared),
            capacity: self.capacity,
        }
    }
}

impl Inbox {
    /// The next batch, if there is one. Give it back with [`Inbox::recycle`].
    pub(super) fn next(&mut self) -> Option<Vec<Item>> {
        if let Ok(batch) = self.batches.try_recv() {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            return Some(batch);
        }
        if self.left_behind.is_empty() {
            self.left_behind = mem::take(&mut *self.shared.left_behind.lock().ok()?);
            if self.left_behind.is_empty() {
                return None;
            }
            // What the same thread had sent before stands in the channel and comes first.
            return self.next();
        }
        self.left_behind.pop()
    }

    /// Whether no batch is there or on its way.
    pub(super) fn is_empty(&self) -> bool {
        let none_left = || self.shared.left_behind.lock().is_ok_and(|left| left.is_empty());
        self.shared.queued.load(Ordering::Relaxed) == 0
            && self.left_behind.is_empty()
            && none_left()
    }

    /// Lets an emptied batch be filled again.
    pub(super) fn recycle(&self, mut batch: Vec<Item>) {
        batch.clear();
        if batch.capacity() <= 2 * BATCH
            && let Ok(mut spare) = self.shared.spare.try_lock()
            && spare.len() < 16
        {
            spare.push(batch);
        }
    }

    /// Says that the eye is about to wait: from now on it is woken through its descriptor.
    ///
    /// Ask [`Inbox::is_empty`] after this and before waiting.
    pub(super) fn fall_asleep(&self) {
        self.shared.asleep.store(true, Ordering::Relaxed);
        // Either the sender sees `asleep`, or the look into the inbox after this sees its batch.
        fence(Ordering::SeqCst);
    }

    /// Says that the eye looks into its inbox by itself again.
    pub(super) fn wake_up(&self) {
        self.shared.asleep.store(false, Ordering::Relaxed);
        let mut count = [0; 8];
        // Nothing to read means nobody rang.
        let _ = rustix::io::read(&self.shared.wake, &mut count);
    }

    /// Whether the eye was told to finish.
    pub(super) fn closing(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    /// How many records were lost that no connection could be told of, ever.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }
}

impl Shared {
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    fn ring(&self) {
        // It fails only where the counter is full, and then the eye is woken anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn spare(&self) -> Vec<Item> {
        // try_lock: a thread that serves waits for nobody here.
        let spare = self.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(BATCH))
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::time::Timespec;
    use sockeye_engine::probe::{ConnId, Stamp};

    use super::*;

    fn closed(conn: u64) -> Item {
        Item::Closed { conn: ConnId(conn), at: Stamp(3) }
    }

    #[test]
    fn a_full_channel_leaves_the_batch_as_it_was() {
        let (sender, mut inbox) = channel(1).unwrap();
        assert!(sender.hand_over(&mut vec![closed(1)], false));
        let mut batch = vec![closed(2), closed(3)];
        // Nobody takes the first batch, yet this returns.
        assert!(!sender.hand_over(&mut batch, true));
        assert_eq!(batch.len(), 2);
        assert_eq!(inbox.next().map(|batch| batch.len()), Some(1));
        assert!(sender.hand_over(&mut batch, true));
        assert!(batch.is_empty());
        assert_eq!(inbox.next().map(|batch| batch.len()), Some(2));
    }

    #[test]
    fn a_sleeping_eye_is_rung_for_what_is_urgent_only() {
        let (sender, inbox) = channel(8).unwrap();
        let rung = || {
            let mut fds = [PollFd::new(&inbox, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
        };
        sender.hand_over(&mut vec![closed(1)], true);
        assert!(!rung(), "the eye was awake");
        inbox.fall_asleep();
        sender.hand_over(&mut vec![closed(1)], false);
        assert!(!rung(), "it may wait");
        sender.hand_over(&mut vec![closed(1)], true);
        assert!(rung());
        inbox.wake_up();
        assert!(!rung());
    }

    #[test]
    fn a_channel_half_full_wakes_the_eye() {
        let (sender, inbox) = channel(4).unwrap();
        inbox.fall_asleep();
        for _ in 0..3 {
            sender.hand_over(&mut vec![closed(1)], false);
        }
        let mut count = [0; 8];
        assert_eq!(rustix::io::read(&inbox, &mut count), Ok(8));
    }

    #[test]
    fn with_the_eye_shut_records_go_nowhere() {
        let (sender, inbox) = channel(1).unwrap();
        drop(inbox);
        let mut batch = vec![closed(1)];
        sender.hand_over(&mut batch, true);
        assert!(batch.is_empty());
    }
}
