//! Wakers that fit into one word: (worker, generation, slot) of a task.
//!
//! Cloning, waking and dropping touch no memory of the task, so a waker may outlive it, its
//! thread and the process's interest in it: a stale one finds another generation and does
//! nothing, or at worst wakes a stranger for nothing.

use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::inbox::{self, WorkerId};
use crate::reactor;
use crate::slab::Key;

/// Tasks a thread can have at once.
pub(crate) const TASKS: u32 = 1 << SLOT_BITS;
/// Generations of one slot before a number comes again.
pub(crate) const GENERATIONS: u32 = 1 << GENERATION_BITS;

const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 24;

/// A task of some thread, as a waker carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskId {
    pub(crate) worker: WorkerId,
    pub(crate) key: Key,
}

impl TaskId {
    pub(crate) fn waker(self, counted: bool) -> Waker {
        let vtable = if counted { &COUNTED } else { &PLAIN };
        if counted {
            count(self.pack(), 1);
        }
        // SAFETY: the data is a number in a pointer's clothes and is never dereferenced; all
        // functions of both tables are thread-safe and accept every number.
        unsafe { Waker::from_raw(RawWaker::new(self.pack(), vtable)) }
    }

    fn pack(self) -> *const () {
        debug_assert!(self.key.index < TASKS && self.key.generation < GENERATIONS);
        let word = usize::from(self.worker) << (SLOT_BITS + GENERATION_BITS)
            | (self.key.generation as usize) << SLOT_BITS
            | self.key.index as usize;
        std::ptr::without_provenance(word)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn unpack(data: *const ()) -> TaskId {
        let word = data.addr();
        let key = Key {
            index: word as u32 & (TASKS - 1),
            generation: (word >> SLOT_BITS) as u32 & (GENERATIONS - 1),
        };
        TaskId { worker: (word >> (SLOT_BITS + GENERATION_BITS)) as WorkerId, key }
    }
}

/// The number of the task that a waker of the engine wakes.
pub(crate) fn task_of(waker: &Waker) -> u32 {
    TaskId::unpack(waker.data()).key.index
}

/// Nobody needs to know how many there are.
static PLAIN: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &PLAIN), wake, wake, |_| ());

/// The thread asks how many there are, to know whether it may wait inside a system call.
static COUNTED: RawWakerVTable = RawWakerVTable::new(
    |data| {
        count(data, 1);
        RawWaker::new(data, &COUNTED)
    },
    |data| {
        wake(data);
        count(data, -1);
    },
    wake,
    |data| count(data, -1),
);

fn wake(data: *const ()) {
    let task = TaskId::unpack(data);
    if reactor::wake_here(task) {
        return;
    }
    if let Some(inbox) = inbox::find(task.worker) {
        inbox.wake(task.key);
    }
}

fn count(data: *const (), change: isize) {
    inbox::count_wakers(TaskId::unpack(data).worker, change);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_packed_task_comes_back_whole(
            worker: u16, index in 0..TASKS, generation in 0..GENERATIONS,
        ) {
            let task = TaskId { worker, key: Key { index, generation } };
            prop_assert_eq!(TaskId::unpack(task.pack()), task);
        }
    }

    #[test]
    fn a_waker_of_a_thread_that_never_was_does_nothing() {
        let task = TaskId { worker: 65_535, key: Key { index: 9, generation: 9 } };
        let waker = task.waker(true);
        let other = waker.clone();
        other.wake();
        waker.wake_by_ref();
    }
}
