//! Operations put into the ring, and how their completions are told apart.

use std::os::fd::AsRawFd as _;
use std::rc::Rc;

use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::ring::{BufferRing, GROUP, Waiting};
use super::slot::{Reading, Sending, Slot};
use crate::driver::Socket;
use crate::inbox::Inbox;
use crate::slab::{Key, Slab};

pub(super) struct State {
    pub(super) uring: IoUring,
    pub(super) buffers: Rc<BufferRing>,
    pub(super) slots: Slab<Slot>,
    /// Operations in the kernel, over all slots.
    pub(super) in_flight: usize,
}

/// What a completion belongs to; the top byte of its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Receive = 1,
    Readable = 2,
    Send = 3,
    Writable = 4,
    Inbox = 5,
    /// Its result is of no interest.
    Cancel = 6,
}

pub(super) const KIND_BITS: u32 = 8;
pub(super) const GENERATIONS: u32 = 1 << (32 - KIND_BITS);

pub(super) fn user_data(kind: Kind, key: Key) -> u64 {
    (kind as u64) << (64 - KIND_BITS) | key.pack()
}

pub(super) fn parse(user_data: u64) -> (Option<Kind>, Key) {
    let kind = match user_data >> (64 - KIND_BITS) {
        1 => Some(Kind::Receive),
        2 => Some(Kind::Readable),
        3 => Some(Kind::Send),
        4 => Some(Kind::Writable),
        5 => Some(Kind::Inbox),
        _ => None,
    };
    (kind, Key::unpack(user_data & (u64::MAX >> KIND_BITS)))
}

pub(super) const NO_KEY: Key = Key { index: 0, generation: 0 };

impl State {
    /// One at a time: handling it may push submissions, which needs the ring.
    pub(super) fn next_completion(&mut self) -> Option<cqueue::Entry> {
        self.uring.completion().next()
    }

    pub(super) fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: what the entry points to is owned by a slot, which stays until the
            // operation has completed, or by the driver, whose drop waits for all operations.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return;
            }
            if let Err(error) = self.uring.submit() {
                // EBUSY and EAGAIN pass when completions are taken; nothing else can happen.
                assert!(
                    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN | libc::EINTR)),
                    "io_uring takes submissions: {error}"
                );
                std::thread::yield_now();
            }
        }
    }

    pub(super) fn watch_inbox(&mut self, inbox: &Inbox) {
        let flags = u32::try_from(libc::POLLIN).expect("a small flag");
        let entry = opcode::PollAdd::new(Fd(inbox.event().as_raw_fd()), flags).multi(true).build();
        self.push(&entry.user_data(user_data(Kind::Inbox, NO_KEY)));
        self.in_flight += 1;
    }

    pub(super) fn arm(&mut self, key: Key, kind: Kind) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        if slot.reading != Reading::Idle {
            return;
        }
        slot.reading = Reading::Armed(kind);
        let fd = slot.begin();
        self.in_flight += 1;
        let entry = match kind {
            Kind::Readable => {
                let flags = u32::try_from(libc::POLLIN).expect("a small flag");
                opcode::PollAdd::new(Fd(fd), flags).build()
            }
            _ => opcode::RecvMulti::new(Fd(fd), GROUP).build(),
        };
        self.push(&entry.user_data(user_data(kind, key)));
    }

    pub(super) fn cancel_reading(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        if let Reading::Armed(kind) = slot.reading {
            slot.reading = Reading::Cancelling;
            self.cancel(kind, key);
        }
    }

    pub(super) fn cancel(&mut self, kind: Kind, key: Key) {
        let entry = opcode::AsyncCancel::new(user_data(kind, key)).build();
        self.push(&entry.user_data(user_data(Kind::Cancel, NO_KEY)));
    }

    pub(super) fn start_send(&mut self, key: Key, more: bool) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let mut flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        if more {
            flags |= libc::MSG_MORE;
        }
        let fd = Fd(slot.socket.fd.as_raw_fd());
        let entry = match slot.sending.as_mut().expect("something to send") {
            Sending::Whole(outgoing) => {
                let (bytes, _) = outgoing.front();
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                opcode::Send::new(fd, bytes.as_ptr(), len).flags(flags).build()
            }
            Sending::Vectored(vectored) => {
                vectored.point();
                let flags = u32::try_from(flags).expect("flags are positive");
                opcode::SendMsg::new(fd, &raw const vectored.header).flags(flags).build()
            }
        };
        slot.begin();
        self.in_flight += 1;
        self.push(&entry.user_data(user_data(Kind::Send, key)));
    }

    pub(super) fn wait_writable(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        if std::mem::replace(&mut slot.write_poll, true) {
            return;
        }
        let fd = slot.begin();
        self.in_flight += 1;
        let flags = u32::try_from(libc::POLLOUT).expect("a small flag");
        let entry = opcode::PollAdd::new(Fd(fd), flags).build();
        self.push(&entry.user_data(user_data(Kind::Writable, key)));
    }

    /// Frees a slot that is closing when nothing of it is in the kernel any more.
    pub(super) fn reap(&mut self, key: Key) -> Option<Socket> {
        let slot = self.slots.get(key)?;
        if !slot.closing || slot.in_flight > 0 {
            return None;
        }
        let mut slot = self.slots.remove(key)?;
        while let Some(waiting) = slot.received.pop() {
            if let Waiting::InRing(part) = waiting {
                self.buffers.release(part);
            }
        }
        Some(slot.socket)
    }
}
