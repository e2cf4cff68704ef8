//! Which inbox a waker means: threads by number.

use std::sync::{Arc, PoisonError};

use super::Inbox;
use crate::sync::RwLock;

/// Names one thread's inbox; names of ended threads are used again.
pub(crate) type WorkerId = u16;

type Inboxes = RwLock<Vec<Option<Arc<Inbox>>>>;

#[cfg(not(loom))]
static INBOXES: Inboxes = Inboxes::new(Vec::new());
#[cfg(loom)]
loom::lazy_static! {
    static ref INBOXES: Inboxes = Inboxes::new(Vec::new());
}

/// An inbox that wakers can find by its name, for as long as this lives.
pub(crate) struct Place {
    pub(crate) worker: WorkerId,
    pub(crate) inbox: Arc<Inbox>,
}

impl Place {
    /// Takes a free name, and a descriptor.
    pub(crate) fn take() -> std::io::Result<Place> {
        register().map(|(worker, inbox)| Place { worker, inbox })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        unregister(self.worker);
    }
}

/// Makes an inbox that wakers can find by its name.
pub(super) fn register() -> std::io::Result<(WorkerId, Arc<Inbox>)> {
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

/// The thread ends. Its name is free when no waker is left that is counted under it: one that was
/// dropped later would be missing from the count of whoever has the name then.
pub(super) fn unregister(worker: WorkerId) {
    let mut inboxes = INBOXES.write().unwrap_or_else(PoisonError::into_inner);
    let entry = &mut inboxes[usize::from(worker)];
    if let Some(inbox) = entry {
        inbox.retire();
        if inbox.wakers() == 0 {
            *entry = None;
        }
    }
}

pub(crate) fn find(worker: WorkerId) -> Option<Arc<Inbox>> {
    let inboxes = INBOXES.read().unwrap_or_else(PoisonError::into_inner);
    inboxes.get(usize::from(worker))?.clone()
}

/// There are so many wakers more of this thread's tasks.
pub(crate) fn count_wakers(worker: WorkerId, change: isize) {
    let inboxes = INBOXES.read().unwrap_or_else(PoisonError::into_inner);
    let Some(Some(inbox)) = inboxes.get(usize::from(worker)) else {
        return;
    };
    inbox.count_wakers(change);
    // Seen under the lock that `unregister` takes: one of the two finds that it is the last.
    let last = inbox.is_retired() && inbox.wakers() == 0;
    drop(inboxes);
    if last {
        let mut inboxes = INBOXES.write().unwrap_or_else(PoisonError::into_inner);
        let entry = &mut inboxes[usize::from(worker)];
        if entry.as_ref().is_some_and(|inbox| inbox.is_retired() && inbox.wakers() == 0) {
            *entry = None;
        }
    }
}
