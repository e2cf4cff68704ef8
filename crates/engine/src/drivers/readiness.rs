//! What all readiness drivers share: try the call, and wait for readiness only on EAGAIN.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;

use super::calls;
use crate::buffer::{Chunk, Outgoing};
use crate::driver::{Accepted, Driver, Env, Patience, Side, Socket};
use crate::inbox::Inbox;
use crate::slab::{Key, Slab};

/// How readiness is learnt from the kernel.
pub(crate) trait Selector {
    /// Reports readiness of `fd` under `token` from now on, whenever it changes.
    fn add(&mut self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()>;
    /// No more reports; the descriptor is about to be closed.
    fn remove(&mut self, fd: BorrowedFd<'_>);
    /// Waits for at least one report, a signal or the timeout.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        report: &mut dyn FnMut(u64, Ready),
    ) -> io::Result<()>;
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Nothing more will come from the peer, or an error waits.
    pub(crate) ended: bool,
}

pub(crate) struct Readiness<S> {
    env: Rc<Env>,
    /// Keeps the descriptor alive that the selector watches.
    _inbox: Arc<Inbox>,
    selector: RefCell<S>,
    slots: RefCell<Slab<Slot>>,
}

struct Slot {
    socket: Socket,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// What the last report, less what has been used up since, says.
    ready: Ready,
}

/// The token of the inbox; no key packs to it.
const INBOX: u64 = u64::MAX;

impl<S: Selector> Readiness<S> {
    pub(crate) fn new(mut selector: S, env: Rc<Env>, inbox: Arc<Inbox>) -> io::Result<Self> {
        selector.add(inbox.event(), INBOX)?;
        let (selector, slots) = (RefCell::new(selector), RefCell::new(Slab::new()));
        Ok(Readiness { env, _inbox: inbox, selector, slots })
    }
}

impl Slot {
    /// Stores the waker of a task that must wait, and says so.
    fn wait_to_read<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        super::store(&mut self.reader, cx);
        Poll::Pending
    }

    fn wait_to_write<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        super::store(&mut self.writer, cx);
        Poll::Pending
    }
}

impl<S: Selector> Driver for Readiness<S> {
    fn attach(&self, socket: Socket) -> io::Result<Key> {
        rustix::io::ioctl_fionbio(&socket.fd, true)?;
        // Everything is worth a try at first; the kernel's first report may come before or after.
        let ready = Ready { read: true, write: true, ended: false };
        let key =
            self.slots.borrow_mut().insert(Slot { socket, reader: None, writer: None, ready });
        let slots = self.slots.borrow();
        let slot = slots.get(key).expect("it was just put in");
        let added = self.selector.borrow_mut().add(slot.socket.fd.as_fd(), key.pack());
        drop(slots);
        if let Err(error) = added {
            self.slots.borrow_mut().remove(key);
            return Err(error);
        }
        Ok(key)
    }

    fn detach(&self, key: Key) {
        let Some(slot) = self.slots.borrow_mut().remove(key) else {
            return;
        };
        self.selector.borrow_mut().remove(slot.socket.fd.as_fd());
        self.env.close(slot.socket);
    }

    fn with_fd(&self, key: Key, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Some(slot) = self.slots.borrow().get(key) {
            look(slot.socket.fd.as_fd());
        }
    }

    fn poll_accept(&self, key: Key, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        if !slot.ready.read {
            return slot.wait_to_read(cx);
        }
        match calls::accept(&self.env, &slot.socket) {
            Err(Errno::AGAIN) => {
                slot.ready.read = false;
                slot.wait_to_read(cx)
            }
            result => Poll::Ready(result.map_err(Into::into)),
        }
    }

    fn poll_recv(
        &self,
        key: Key,
        _patience: Patience,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Chunk>> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        if !slot.ready.read {
            return slot.wait_to_read(cx);
        }
        let mut lease = self.env.pool.lease();
        let room = lease.room();
        let asked = room.len();
        match calls::recv(&self.env, &slot.socket, room, true) {
            Err(Errno::AGAIN) => {
                slot.ready.read = slot.ready.ended;
                slot.wait_to_read(cx)
            }
            Err(error) => Poll::Ready(Err(error.into())),
            Ok(0) => Poll::Ready(Ok(Chunk::end())),
            Ok(count) => {
                // Less than there was room for: the queue is empty, and what comes later is a
                // new edge (epoll(7), question 9). A FIN that came along was reported as ended.
                slot.ready.read = count == asked || slot.ready.ended;
                Poll::Ready(Ok(lease.filled(count)))
            }
        }
    }

    fn poll_flush(
        &self,
        key: Key,
        outgoing: &mut Option<Box<Outgoing>>,
        more: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(bytes) = outgoing else {
            return Poll::Ready(Ok(()));
        };
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        while !bytes.is_empty() {
            if !slot.ready.write {
                return slot.wait_to_write(cx);
            }
            match calls::send(&self.env, &slot.socket, bytes, more, true) {
                Err(Errno::AGAIN) => slot.ready.write = false,
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok(sent) => {
                    bytes.advance(sent.count);
                    // A short send has filled the queue, and room in it will be a new edge.
                    slot.ready.write = !sent.short;
                }
            }
        }
        self.env.pool.give_back(outgoing.take().expect("it is there"));
        Poll::Ready(Ok(()))
    }

    fn poll_send_file(
        &self,
        key: Key,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        if !slot.ready.write {
            return slot.wait_to_write(cx);
        }
        match calls::send_file(&self.env, &slot.socket, file, offset, len) {
            Err(Errno::AGAIN) => {
                slot.ready.write = false;
                slot.wait_to_write(cx)
            }
            Err(error) => Poll::Ready(Err(error.into())),
            Ok(sent) => {
                // Asked again at once, a queue that drains takes a segment or two at a time; by the
                // next edge a third of it is free.
                slot.ready.write = !sent.short;
                Poll::Ready(Ok(sent.count))
            }
        }
    }

    fn forget(&self, key: Key, side: Side) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
            match side {
                Side::Read => slot.reader = None,
                Side::Write => slot.writer = None,
            }
        }
    }

    fn wake_readers(&self) {
        for slot in self.slots.borrow_mut().values_mut() {
            if let Some(waker) = slot.reader.take() {
                waker.wake();
            }
        }
    }

    fn wait(&self, timeout: Option<Duration>, _alone: bool) -> io::Result<()> {
        let mut slots = self.slots.borrow_mut();
        self.selector.borrow_mut().wait(timeout, &mut |token, ready| {
            // The inbox is read by the run loop; a key of a socket that is gone finds nothing.
            let Some(slot) = slots.get_mut(Key::unpack(token)) else {
                return;
            };
            slot.ready.ended |= ready.ended;
            if ready.read {
                slot.ready.read = true;
                if let Some(waker) = slot.reader.take() {
                    waker.wake();
                }
            }
            if ready.write {
                slot.ready.write = true;
                if let Some(waker) = slot.writer.take() {
                    waker.wake();
                }
            }
        })
    }

    fn waiting(&self) -> usize {
        let mut slots = self.slots.borrow_mut();
        slots.values_mut().map(|slot| slot.reader.iter().count() + slot.writer.iter().count()).sum()
    }

    fn live(&self) -> usize {
        self.slots.borrow().len()
    }
}
