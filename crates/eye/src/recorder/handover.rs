//! How records get from the threads that serve to the thread of the eye.
//!
//! Batches go through a bounded channel that is never waited for. The eye is woken only where it
//! matters, so a busy server makes no extra call.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};

use super::batch::BATCH;
use super::item::Records;

/// So many batches may wait for the eye: some 2 MiB of records.
pub(super) const BATCHES: usize = 128;

/// The eye is woken when so many wait, while they still are in the processor's cache.
const ENOUGH: usize = 16;

/// Beside these, so many batches of a few records, and when the eye is woken for them.
const FEW_BATCHES: usize = 512;
const ENOUGH_FEW: usize = 64;

/// Beyond these, so many batches with so many records in all that must not be lost.
const RESERVE_BATCHES: usize = 1024;
const RESERVE_RECORDS: usize = 1 << 16;

/// The sending side, shared by the probes.
#[derive(Debug)]
pub(super) struct Sender {
    parcels: SyncSender<Parcel>,
    shared: Arc<Shared>,
    capacity: usize,
}

/// The receiving side: the thread of the eye.
#[derive(Debug)]
pub(super) struct Inbox {
    parcels: Receiver<Parcel>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Parcel {
    records: Records,
    room: Room,
}

/// What a batch takes of the channel's room.
#[derive(Clone, Copy, Debug)]
enum Room {
    One,
    /// One of those for a few records.
    Few,
    /// So many records of the reserve.
    Reserve(usize),
}

/// How the eye sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// For what is urgent or much it is woken; at all else it looks before long by itself.
    Sound = 1,
    /// It is woken for anything.
    Light = 2,
}

const AWAKE: u8 = 0;

#[derive(Debug)]
struct Shared {
    /// Readable when the eye shall look into its inbox.
    wake: OwnedFd,
    /// How the eye sleeps, or is about to; or that it is awake.
    asleep: AtomicU8,
    /// Batches in the channel but for those of a few.
    queued: AtomicUsize,
    /// Batches of a few records in the channel.
    few: AtomicUsize,
    /// Records lost whose connection is not known any more.
    lost: AtomicU64,
    /// Records in the channel that went beyond its capacity.
    reserved: AtomicUsize,
    /// Emptied batches, to be filled again.
    spare: Mutex<Vec<Records>>,
    closing: AtomicBool,
}

/// A channel for at most `capacity` batches.
pub(super) fn channel(capacity: usize) -> io::Result<(Sender, Inbox)> {
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared {
        wake,
        asleep: AtomicU8::new(AWAKE),
        queued: AtomicUsize::new(0),
        few: AtomicUsize::new(0),
        lost: AtomicU64::new(0),
        reserved: AtomicUsize::new(0),
        spare: Mutex::new(Vec::new()),
        closing: AtomicBool::new(false),
    });
    let (sender, receiver) = sync_channel(capacity + FEW_BATCHES + RESERVE_BATCHES);
    let sender = Sender { parcels: sender, shared: Arc::clone(&shared), capacity };
    Ok((sender, Inbox { parcels: receiver, shared }))
}

impl Sender {
    /// Hands `batch` over and leaves an empty one in its place; never blocks.
    ///
    /// False if there is no room: then `batch` is as it was.
    pub(super) fn hand_over(&self, batch: &mut Records, urgent: bool) -> bool {
        // Before it is sent, so that the eye never counts below zero.
        let queued = self.shared.queued.fetch_add(1, Ordering::Relaxed);
        if queued >= self.capacity {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            self.shared.wake(true);
            return false;
        }
        let records = mem::replace(batch, self.shared.spare());
        let parcel = Parcel { records, room: Room::One };
        let wake = urgent || queued >= ENOUGH.min(self.capacity / 2);
        self.send(parcel, batch, wake.then_some(true))
    }

    /// Hands over a few records, which somebody wants to see before long: whoever sleeps after each
    /// of them does this often, so it takes no room of whole batches, and wakes the eye only if it
    /// would not look for long.
    ///
    /// False if there is no room: the eye is awake then, and `batch` is as it was.
    pub(super) fn hand_over_few(&self, batch: &mut Records) -> bool {
        let few = self.shared.few.fetch_add(1, Ordering::Relaxed);
        if few >= FEW_BATCHES {
            self.shared.few.fetch_sub(1, Ordering::Relaxed);
            self.shared.wake(true);
            return false;
        }
        // As small as they are: the batch keeps its own room.
        let items = batch.items.drain(..).collect();
        let records = Records { items, labels: mem::take(&mut batch.labels) };
        self.send(Parcel { records, room: Room::Few }, batch, Some(few >= ENOUGH_FEW))
    }

    /// Hands over what must not be lost where [`Sender::hand_over`] had no room.
    ///
    /// False if that is full too: then `batch` is as it was.
    pub(super) fn hand_over_reserved(&self, batch: &mut Records) -> bool {
        let count = batch.len();
        if self.shared.reserved.fetch_add(count, Ordering::Relaxed) + count > RESERVE_RECORDS {
            self.shared.reserved.fetch_sub(count, Ordering::Relaxed);
            return false;
        }
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let mut records = mem::replace(batch, self.shared.spare());
        records.items.shrink_to_fit();
        let parcel = Parcel { records, room: Room::Reserve(count) };
        self.send(parcel, batch, Some(true))
    }

    /// With `wake` the eye is woken, if it sleeps lightly or that is true.
    fn send(&self, parcel: Parcel, batch: &mut Records, wake: Option<bool>) -> bool {
        match self.parcels.try_send(parcel) {
            Ok(()) => {
                if let Some(urgent) = wake {
                    self.shared.wake(urgent);
                }
                true
            }
            Err(TrySendError::Full(parcel)) => {
                self.shared.taken(parcel.room);
                *batch = parcel.records;
                false
            }
            // The eye is shut: nobody looks.
            Err(TrySendError::Disconnected(_)) => true,
        }
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
            parcels: self.parcels.clone(),
            shared: Arc::clone(&self.shared),
            capacity: self.capacity,
        }
    }
}

impl Inbox {
    /// The next batch, if there is one. Give it back with [`Inbox::recycle`].
    pub(super) fn next(&self) -> Option<Records> {
        let Parcel { records, room } = self.parcels.try_recv().ok()?;
        self.shared.taken(room);
        Some(records)
    }

    /// Whether no batch is there or on its way.
    pub(super) fn is_empty(&self) -> bool {
        [&self.shared.queued, &self.shared.few].iter().all(|many| many.load(Ordering::Relaxed) == 0)
    }

    /// Lets an emptied batch be filled again.
    pub(super) fn recycle(&self, mut batch: Records) {
        batch.clear();
        if (BATCH..=2 * BATCH).contains(&batch.items.capacity())
            && let Ok(mut spare) = self.shared.spare.try_lock()
            && spare.len() < 16
        {
            spare.push(batch);
        }
    }

    /// Says that the eye is about to wait: from now on it is woken through its descriptor.
    ///
    /// Ask [`Inbox::is_empty`] after this and before waiting.
    pub(super) fn fall_asleep(&self, how: Sleep) {
        self.shared.asleep.store(how as u8, Ordering::Relaxed);
        // Either the sender sees `asleep`, or the look into the inbox after this sees its batch.
        fence(Ordering::SeqCst);
    }

    /// Says that the eye looks into its inbox by itself again.
    pub(super) fn wake_up(&self) {
        self.shared.asleep.store(AWAKE, Ordering::Relaxed);
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
    /// Out of light sleep; if this is urgent, out of any.
    fn wake(&self, urgent: bool) {
        fence(Ordering::SeqCst);
        let asleep = self.asleep.load(Ordering::Relaxed);
        if (asleep == Sleep::Light as u8 || (urgent && asleep == Sleep::Sound as u8))
            && self.asleep.swap(AWAKE, Ordering::Relaxed) != AWAKE
        {
            self.ring();
        }
    }

    /// There is room again that a batch took.
    fn taken(&self, room: Room) {
        match room {
            Room::Few => &self.few,
            Room::One | Room::Reserve(_) => &self.queued,
        }
        .fetch_sub(1, Ordering::Relaxed);
        if let Room::Reserve(records) = room {
            self.reserved.fetch_sub(records, Ordering::Relaxed);
        }
    }

    fn ring(&self) {
        // It fails only where the counter is full, and then the eye is woken anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn spare(&self) -> Records {
        // try_lock: a thread that serves waits for nobody here.
        let spare = self.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        spare.unwrap_or_else(|| Records::with_capacity(BATCH))
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::time::Timespec;
    use sockeye_engine::probe::{ConnId, Stamp};

    use super::super::item::Item;
    use super::*;

    fn closed(conn: u64) -> Item {
        Item::Closed(ConnId(conn), Stamp(3))
    }

    fn of(items: impl IntoIterator<Item = Item>) -> Records {
        Records { items: items.into_iter().collect(), labels: String::new() }
    }

    #[test]
    fn a_full_channel_leaves_the_batch_as_it_was() {
        let (sender, inbox) = channel(1).unwrap();
        assert!(sender.hand_over(&mut of([closed(1)]), false));
        let mut batch = of([closed(2), closed(3)]);
        // Nobody takes the first batch, yet this returns.
        assert!(!sender.hand_over(&mut batch, true));
        assert_eq!(batch.len(), 2);
        assert_eq!(inbox.next().map(|batch| batch.len()), Some(1));
        assert!(sender.hand_over(&mut batch, true));
        assert!(batch.is_empty());
        assert_eq!(inbox.next().map(|batch| batch.len()), Some(2));
    }

    #[test]
    fn the_reserve_is_bounded_and_freed_when_taken() {
        let (sender, inbox) = channel(1).unwrap();
        let many = || of((0..RESERVE_RECORDS as u64 / 2).map(closed));
        assert!(sender.hand_over(&mut of([closed(1)]), false));
        assert!(sender.hand_over_reserved(&mut many()));
        assert!(sender.hand_over_reserved(&mut many()));
        let mut batch = of([closed(2)]);
        assert!(!sender.hand_over_reserved(&mut batch));
        assert_eq!(batch.len(), 1);
        assert_eq!(inbox.next().map(|batch| batch.len()), Some(1));
        assert_eq!(inbox.next().map(|batch| batch.len()), Some(RESERVE_RECORDS / 2));
        assert!(sender.hand_over_reserved(&mut batch));
        assert!(inbox.next().is_some() && inbox.next().is_some() && inbox.is_empty());
    }

    #[test]
    fn a_sleeping_eye_is_rung_for_what_is_urgent_only() {
        let (sender, inbox) = channel(8).unwrap();
        let rung = || {
            let mut fds = [PollFd::new(&inbox, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
        };
        sender.hand_over(&mut of([closed(1)]), true);
        assert!(!rung(), "the eye was awake");
        inbox.fall_asleep(Sleep::Light);
        sender.hand_over(&mut of([closed(1)]), false);
        assert!(!rung(), "it may wait");
        sender.hand_over(&mut of([closed(1)]), true);
        assert!(rung());
        inbox.wake_up();
        assert!(!rung());
    }

    #[test]
    fn for_a_few_the_eye_is_rung_only_if_it_would_not_look_before_long() {
        let (sender, inbox) = channel(8).unwrap();
        let rung = || rustix::io::read(&inbox, &mut [0; 8]).is_ok();
        inbox.fall_asleep(Sleep::Sound);
        assert!(sender.hand_over_few(&mut of([closed(1)])));
        assert!(!rung());
        assert!(!inbox.is_empty(), "and so it looks by itself");
        inbox.fall_asleep(Sleep::Light);
        assert!(sender.hand_over_few(&mut of([closed(2)])));
        assert!(rung());
        inbox.fall_asleep(Sleep::Sound);
        for _ in 0..ENOUGH_FEW {
            assert!(sender.hand_over_few(&mut of([closed(3)])));
        }
        assert!(rung(), "many few are much");
    }

    #[test]
    fn batches_of_a_few_are_bounded_and_leave_room_for_whole_ones() {
        let (sender, inbox) = channel(1).unwrap();
        let mut batch = Records::with_capacity(BATCH);
        for conn in 0..FEW_BATCHES as u64 {
            batch.items.push(closed(conn));
            assert!(sender.hand_over_few(&mut batch));
        }
        batch.items.push(closed(7));
        assert!(!sender.hand_over_few(&mut batch));
        assert_eq!((batch.len(), batch.items.capacity()), (1, BATCH));
        assert!(sender.hand_over(&mut of([closed(8)]), false));
        assert!(sender.hand_over_reserved(&mut of([closed(9)])));
        assert_eq!(std::iter::from_fn(|| inbox.next()).count(), FEW_BATCHES + 2);
        assert!(inbox.is_empty());
        assert!(sender.hand_over_few(&mut batch));
    }

    #[test]
    fn a_channel_half_full_wakes_the_eye() {
        let (sender, inbox) = channel(4).unwrap();
        inbox.fall_asleep(Sleep::Sound);
        for _ in 0..3 {
            sender.hand_over(&mut of([closed(1)]), false);
        }
        let mut count = [0; 8];
        assert_eq!(rustix::io::read(&inbox, &mut count), Ok(8));
    }

    #[test]
    fn with_the_eye_shut_records_go_nowhere() {
        let (sender, inbox) = channel(1).unwrap();
        drop(inbox);
        let mut batch = of([closed(1)]);
        sender.hand_over(&mut batch, true);
        assert!(batch.is_empty());
    }
}
