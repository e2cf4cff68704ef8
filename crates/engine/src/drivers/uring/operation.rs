//! Operations put into the ring, and how their completions are told apart.

use std::io;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::ring::{BufferRing, GROUP, Waiting};
use super::slot::{Reading, Sending, Slot};
use crate::buffer::Chunk;
use crate::driver::Socket;
use crate::fault::{self, Point};
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

/// Submitting or waiting failed with what passes by itself or when completions are taken.
pub(super) fn passes(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    matches!(errno, Some(libc::EAGAIN | libc::EBUSY | libc::EINTR | libc::ETIME))
}

pub(super) const NO_KEY: Key = Key { index: 0, generation: 0 };

impl State {
    /// One at a time: handling it may push submissions, which needs the ring.
    pub(super) fn next_completion(&mut self) -> Option<cqueue::Entry> {
        self.uring.completion().next()
    }

    /// Submits what has gathered, and waits for a completion or the timeout, which is `ETIME`.
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        fault::ask(Point::Enter)?;
        match timeout {
            None => self.uring.submit_and_wait(1)?,
            Some(left) => {
                let timespec = Timespec::from(left);
                let args = SubmitArgs::new().timespec(&timespec);
                self.uring.submitter().submit_with_args(1, &args)?
            }
        };
        Ok(())
    }

    /// Begins an operation whose completion is told by `kind` and `key`.
    fn begin(&mut self, kind: Kind, key: Key, entry: squeue::Entry) {
        let point = match kind {
            Kind::Receive => Point::Recv,
            Kind::Send => Point::Send,
            _ => Point::Poll,
        };
        let data = user_data(kind, key);
        let entry = match fault::ask(point) {
            Ok(()) => entry,
            Err(errno) => {
                fault::refuse(data, errno);
                opcode::Nop::new().build()
            }
        };
        self.in_flight += 1;
        self.push(&entry.user_data(data));
    }

    pub(super) fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: what the entry points to is owned by a slot, which stays until the
            // operation has completed, or by the driver, whose drop waits for all operations.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return;
            }
            let submitted = fault::ask(Point::Enter).map_err(Into::into);
            if let Err(error) = submitted.and_then(|()| self.uring.submit()) {
                assert!(passes(&error), "io_uring takes submissions: {error}");
                std::thread::yield_now();
            }
        }
    }

    pub(super) fn watch_inbox(&mut self, inbox: &Inbox) {
        let flags = u32::try_from(libc::POLLIN).expect("a small flag");
        let entry = opcode::PollAdd::new(Fd(inbox.event().as_raw_fd()), flags).multi(true).build();
        self.begin(Kind::Inbox, NO_KEY, entry);
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
        let entry = match kind {
            Kind::Readable => {
                let flags = u32::try_from(libc::POLLIN).expect("a small flag");
                opcode::PollAdd::new(Fd(fd), flags).build()
            }
            _ => opcode::RecvMulti::new(Fd(fd), GROUP).build(),
        };
        self.begin(kind, key, entry);
    }

    /// What has come and was not asked for yet, or the end behind it.
    pub(super) fn take_received(&mut self, key: Key) -> Option<io::Result<Chunk>> {
        let slot = self.slots.get_mut(key)?;
        if let Some(part) = slot.received.pop() {
            return Some(Ok(match part {
                Waiting::InRing(part) => Chunk::from_ring(self.buffers.lease(part)),
                Waiting::Copied(bytes) => Chunk::from_vec(bytes),
            }));
        }
        match slot.received.end? {
            Ok(()) => Some(Ok(Chunk::end())),
            Err(error) => {
                slot.received.end = None;
                Some(Err(error.into()))
            }
        }
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
        slot.send_in_flight = true;
        self.begin(Kind::Send, key, entry);
    }

    pub(super) fn wait_writable(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        if std::mem::replace(&mut slot.write_poll, true) {
            return;
        }
        let fd = slot.begin();
        let flags = u32::try_from(libc::POLLOUT).expect("a small flag");
        let entry = opcode::PollAdd::new(Fd(fd), flags).build();
        self.begin(Kind::Writable, key, entry);
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
