//! What all readiness drivers share: try the call, and wait for readiness only on EAGAIN.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::calls;
use crate::buffer::{Chunk, Outgoing};
use crate::driver::{Accepted, Attempt, Driver, Env, Patience, Raw, Side, Socket};
use crate::fault::{self, Point};
use crate::inbox::Inbox;
use crate::probe::ConnId;
use crate::slab::{Key, Slab};

/// How readiness is learnt from the kernel.
pub(crate) trait Selector {
    /// Whether it reports changes, of both sides from [`Selector::add`] on, and needs not be told
    /// what is of interest. Otherwise it reports what is ready for as long as it is.
    const EDGE: bool;

    /// Knows `fd` under `token` from now on; of interest is nothing yet.
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()>;
    /// Reports these sides of `fd` from now on, and no other ones. Never called where `EDGE`.
    fn interest(&mut self, fd: BorrowedFd<'_>, token: Token, sides: Sides) -> io::Result<()>;
    /// No more reports; the descriptor is about to be closed.
    fn remove(&mut self, fd: BorrowedFd<'_>, token: Token);
    /// Waits for at least one report, a signal or the timeout.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        report: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()>;
}

/// The longest time the kernel takes, in place of a longer one.
pub(crate) const LONGEST: Timespec = Timespec { tv_sec: i32::MAX as i64, tv_nsec: 0 };

/// What a descriptor is reported under: a packed key, or the inbox.
pub(crate) type Token = u64;

/// Sides of a socket that are of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Nothing more will come from the peer, or an error waits. Only where changes are reported:
    /// elsewhere it is reported again.
    pub(crate) ended: bool,
    /// It may be reported for no more than what waits in its error queue.
    pub(crate) error: bool,
}

impl Ready {
    /// What poll(2) says.
    pub(crate) fn polled(flags: PollFlags) -> Ready {
        let broken = flags.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        let ended = broken || flags.contains(PollFlags::RDHUP);
        Ready {
            read: ended || flags.contains(PollFlags::IN),
            write: broken || flags.contains(PollFlags::OUT),
            ended,
            error: flags.contains(PollFlags::ERR),
        }
    }
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
    /// What the selector was told.
    told: Sides,
}

/// The token of the inbox; no key packs to it.
pub(crate) const INBOX: Token = Token::MAX;

impl<S: Selector> Readiness<S> {
    pub(crate) fn new(mut selector: S, env: Rc<Env>, inbox: Arc<Inbox>) -> io::Result<Self> {
        selector.add(inbox.event(), INBOX)?;
        if !S::EDGE {
            selector.interest(inbox.event(), INBOX, Sides { read: true, write: false })?;
        }
        let (selector, slots) = (RefCell::new(selector), RefCell::new(Slab::new()));
        Ok(Readiness { env, _inbox: inbox, selector, slots })
    }
}

impl Slot {
    /// Stores the waker of a task that must wait, and makes sure that the report will come.
    fn wait<S: Selector, T>(
        &mut self,
        selector: &RefCell<S>,
        key: Key,
        side: Side,
        cx: &Context<'_>,
    ) -> Poll<io::Result<T>> {
        match side {
            Side::Read => super::store(&mut self.reader, cx),
            Side::Write => super::store(&mut self.writer, cx),
        }
        if S::EDGE {
            return Poll::Pending;
        }
        let mut sides = self.told;
        match side {
            Side::Read => sides.read = true,
            Side::Write => sides.write = true,
        }
        match self.tell(&mut *selector.borrow_mut(), key.pack(), sides) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn tell<S: Selector>(&mut self, to: &mut S, token: Token, sides: Sides) -> io::Result<()> {
        if sides != self.told {
            to.interest(self.socket.fd.as_fd(), token, sides)?;
            self.told = sides;
        }
        Ok(())
    }

    fn is_ready(&self, side: Side) -> bool {
        match side {
            Side::Read => self.ready.read,
            Side::Write => self.ready.write,
        }
    }

    /// It was said not to be ready by somebody else than the kernel, which sees no change to report.
    fn try_again_if(&mut self, owed: &[RawFd]) {
        if owed.contains(&self.socket.fd.as_raw_fd()) {
            (self.ready.read, self.ready.write) = (true, true);
            self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
        }
    }

    /// Has its error queue emptied, and asks what else there is to report.
    fn past_errors(&self, env: &Env) -> Ready {
        env.look_at_errors(&self.socket);
        let flags = PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP;
        let mut asked = [PollFd::new(&self.socket.fd, flags)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let found = rustix::event::poll(&mut asked, Some(&at_once));
        // If it can't be asked, the calls themselves will tell.
        found.map_or(Ready { read: true, write: true, ..Ready::default() }, |_| {
            Ready::polled(asked[0].revents())
        })
    }

    /// The call on this side said EAGAIN.
    fn used_up(&mut self, side: Side) {
        match side {
            Side::Read => self.ready.read = false,
            Side::Write => self.ready.write = false,
        }
    }
}

impl<S: Selector> Driver for Readiness<S> {
    fn attach(&self, raw: Raw, conn: Option<ConnId>) -> io::Result<Key> {
        let socket = Socket::new(raw, conn)?;
        socket.set_nonblocking(true)?;
        // Everything is worth a try at first; the kernel's first report may come before or after.
        let ready = Ready { read: true, write: true, ..Ready::default() };
        let told = Sides::default();
        let slot = Slot { socket, reader: None, writer: None, ready, told };
        let key = self.slots.borrow_mut().insert(slot);
        let slots = self.slots.borrow();
        let slot = slots.get(key).expect("it was just put in");
        let added = fault::ask(Point::Register)
            .map_err(Into::into)
            .and_then(|()| self.selector.borrow_mut().add(slot.socket.fd.as_fd(), key.pack()));
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
        self.selector.borrow_mut().remove(slot.socket.fd.as_fd(), key.pack());
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
            return slot.wait(&self.selector, key, Side::Read, cx);
        }
        match calls::accept(&self.env, &slot.socket, true) {
            Err(Errno::AGAIN) => {
                slot.ready.read = false;
                slot.wait(&self.selector, key, Side::Read, cx)
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
            return slot.wait(&self.selector, key, Side::Read, cx);
        }
        let mut lease = self.env.pool.lease();
        let room = lease.room();
        let asked = room.len();
        match calls::recv(&self.env, &slot.socket, room, true) {
            Err(Errno::AGAIN) => {
                slot.ready.read = false;
                slot.wait(&self.selector, key, Side::Read, cx)
            }
            Err(error) => Poll::Ready(Err(error.into())),
            Ok(0) => Poll::Ready(Ok(Chunk::end())),
            Ok(count) => {
                // Less than there was room for: the queue is empty, and what comes later is a
                // new edge (epoll(7), question 9). A FIN that came along was reported as ended, and
                // a Unix stream may stop where descriptors were passed.
                slot.ready.read = count == asked || slot.ready.ended || slot.socket.unix;
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
                return slot.wait(&self.selector, key, Side::Write, cx);
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
            return slot.wait(&self.selector, key, Side::Write, cx);
        }
        match calls::send_file(&self.env, &slot.socket, file, offset, len, true) {
            Err(Errno::AGAIN) => {
                slot.ready.write = false;
                slot.wait(&self.selector, key, Side::Write, cx)
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

    fn poll_attempt(
        &self,
        key: Key,
        side: Side,
        attempt: &mut Attempt<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        if !slot.is_ready(side) {
            return slot.wait(&self.selector, key, side, cx);
        }
        match calls::attempt(&slot.socket, attempt) {
            Err(Errno::AGAIN) => {
                slot.used_up(side);
                slot.wait(&self.selector, key, side, cx)
            }
            result => Poll::Ready(result.map_err(Into::into)),
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
        let owed = fault::owed();
        if S::EDGE && !owed.is_empty() {
            slots.values_mut().for_each(|slot| slot.try_again_if(&owed));
            return Ok(());
        }
        if fault::ask(Point::Wait).is_err() {
            return Ok(());
        }
        let mut ignored = Vec::new();
        self.selector.borrow_mut().wait(timeout, &mut |token, ready| {
            // The inbox is read by the run loop; a key of a socket that is gone finds nothing.
            let Some(slot) = slots.get_mut(Key::unpack(token)) else {
                return;
            };
            let ready = match ready.error && self.env.reads_error_queues {
                true => slot.past_errors(&self.env),
                false => ready,
            };
            if S::EDGE {
                slot.ready.ended |= ready.ended;
            }
            if ready.read {
                slot.ready.read = true;
                match slot.reader.take() {
                    Some(waker) => waker.wake(),
                    None if S::EDGE => {}
                    None => ignored.push((token, Side::Read)),
                }
            }
            if ready.write {
                slot.ready.write = true;
                if let Some(waker) = slot.writer.take() {
                    waker.wake();
                }
                // Nearly always there is room to send, and nobody wants to hear of it twice.
                if !S::EDGE {
                    ignored.push((token, Side::Write));
                }
            }
        })?;
        // What nobody waits for would be reported for ever.
        for (token, side) in ignored {
            let Some(slot) = slots.get_mut(Key::unpack(token)) else {
                continue;
            };
            let mut sides = slot.told;
            match side {
                Side::Read => sides.read = false,
                Side::Write => sides.write = false,
            }
            slot.tell(&mut *self.selector.borrow_mut(), token, sides)?;
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        let mut slots = self.slots.borrow_mut();
        slots.values_mut().map(|slot| slot.reader.iter().count() + slot.writer.iter().count()).sum()
    }

    fn live(&self) -> usize {
        self.slots.borrow().len()
    }
}
