//! Blocking calls: a thread waits inside the call it needs.
//!
//! An operation that is asked for is only noted; when the thread has nothing else to run, `wait`
//! lets the task make its call and sleep inside it. That is right while one operation is all
//! that anybody of this thread waits for. Where a task waits for two things at once (a reader
//! and a room), the thread sleeps in `poll(2)` over all of them and its inbox instead, and the
//! call that is ready is made without sleeping.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::calls;
use crate::buffer::{Chunk, Outgoing};
use crate::driver::{Accepted, Attempt, Driver, Env, Patience, Raw, Side, Socket};
use crate::fault::{self, Point};
use crate::inbox::Inbox;
use crate::probe::ConnId;
use crate::slab::{Key, Slab};

/// One thread at a time looks whether somebody is to be accepted. Threads that take connections in
/// turn share their listener and with it its blocking mode: one that set it back while another is
/// about to accept would let that one fall asleep where no stop finds it.
static LOOK: Mutex<()> = Mutex::new(());

pub(crate) struct Blocking {
    env: Rc<Env>,
    inbox: Arc<Inbox>,
    slots: RefCell<Slab<Slot>>,
    /// How long the next call may sleep: until the thread's next timer.
    limit: Cell<Option<Duration>>,
}

struct Slot {
    socket: Socket,
    read: Half,
    write: Half,
    /// A stop came while a receive slept idle, and may have shut the receiving half down.
    cut_short: bool,
    /// A listener that other processes may have too: it is waited for by poll(2), because a stop ends
    /// an accept(2) only by shutting the listener down, for all who have it.
    shared: bool,
}

/// One side of a socket.
#[derive(Default)]
struct Half {
    waker: Option<Waker>,
    turn: Turn,
    /// The call that is wanted does not sleep: `poll(2)` does it instead.
    polls: bool,
    /// The time-out set on the socket at present; None for none.
    timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Nobody,
    /// Somebody waits for it.
    Wanted,
    /// The call may be made, and may sleep.
    Sleep,
    /// The call may be made, but must not sleep.
    Try,
}

impl Blocking {
    pub(crate) fn new(env: Rc<Env>, inbox: Arc<Inbox>) -> Blocking {
        Blocking { env, inbox, slots: RefCell::new(Slab::new()), limit: Cell::new(None) }
    }
}

impl Half {
    /// Whether the call is to be made now, and whether it may sleep; otherwise notes the wish.
    fn begin(&mut self, cx: &Context<'_>) -> Poll<bool> {
        match std::mem::replace(&mut self.turn, Turn::Wanted) {
            Turn::Nobody | Turn::Wanted => {
                super::store(&mut self.waker, cx);
                Poll::Pending
            }
            turn => {
                self.turn = Turn::Nobody;
                Poll::Ready(turn == Turn::Sleep)
            }
        }
    }

    /// The call found nothing to do after all.
    fn again<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.turn = Turn::Wanted;
        super::store(&mut self.waker, cx);
        Poll::Pending
    }

    fn go(&mut self, turn: Turn) {
        self.turn = turn;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Sets how long the kernel may keep us in the call, unless what is set is near enough.
    fn limit(&mut self, fd: BorrowedFd<'_>, which: Timeout, limit: Option<Duration>) {
        let limit = limit.map(|limit| limit.max(Duration::from_millis(1)));
        let near = match (self.timeout, limit) {
            (None, None) => true,
            // Waking too early costs a call; too late by an eighth is what "coarse" means.
            (Some(set), None) => set >= Duration::from_secs(1),
            (Some(set), Some(limit)) => set >= limit / 2 && set <= limit + limit / 8,
            (None, Some(_)) => false,
        };
        if !near && set_socket_timeout(fd, which, limit).is_ok() {
            self.timeout = limit;
        }
    }
}

impl Driver for Blocking {
    fn attach(&self, raw: Raw, conn: Option<ConnId>) -> io::Result<Key> {
        fault::ask(Point::Register)?;
        let socket = Socket::new(raw, conn)?;
        socket.set_nonblocking(false)?;
        let (read, write) = (Half::default(), Half::default());
        let slot = Slot { socket, read, write, cut_short: false, shared: false };
        Ok(self.slots.borrow_mut().insert(slot))
    }

    fn detach(&self, key: Key) {
        let Some(slot) = self.slots.borrow_mut().remove(key) else {
            return;
        };
        self.env.close(slot.socket);
    }

    fn with_fd(&self, key: Key, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Some(slot) = self.slots.borrow().get(key) {
            look(slot.socket.fd.as_fd());
        }
    }

    fn share(&self, key: Key) -> io::Result<()> {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
            slot.socket.set_nonblocking(true)?;
            slot.shared = true;
        }
        Ok(())
    }

    fn poll_accept(&self, key: Key, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        slot.read.polls = slot.shared;
        let Poll::Ready(sleep) = slot.read.begin(cx) else {
            return Poll::Pending;
        };
        if slot.shared {
            // It does not block, in no process, and so needs no setting back and forth.
            return match calls::accept(&self.env, &slot.socket, true) {
                Err(Errno::AGAIN) => slot.read.again(cx),
                result => Poll::Ready(result.map_err(Into::into)),
            };
        }
        if !sleep {
            // accept(2) has no flag for it, and others may have been quicker.
            let look = LOOK.lock().unwrap_or_else(PoisonError::into_inner);
            rustix::io::ioctl_fionbio(&slot.socket.fd, true)?;
            let result = calls::accept(&self.env, &slot.socket, true);
            rustix::io::ioctl_fionbio(&slot.socket.fd, false)?;
            drop(look);
            return match result {
                Err(Errno::AGAIN) => slot.read.again(cx),
                result => Poll::Ready(result.map_err(Into::into)),
            };
        }
        slot.read.limit(slot.socket.fd.as_fd(), Timeout::Recv, self.limit.get());
        let Some(asleep) = self.inbox.fall_asleep(slot.socket.fd.as_fd()) else {
            return slot.read.again(cx);
        };
        let result = calls::accept(&self.env, &slot.socket, false);
        drop(asleep);
        match result {
            Err(Errno::AGAIN) => slot.read.again(cx),
            Err(Errno::INVAL) if self.inbox.stopping() => slot.read.again(cx),
            result => Poll::Ready(result.map_err(Into::into)),
        }
    }

    fn poll_recv(
        &self,
        key: Key,
        patience: Patience,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Chunk>> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        let Poll::Ready(mut sleep) = slot.read.begin(cx) else {
            return Poll::Pending;
        };
        let mut lease = self.env.pool.lease();
        let mut asleep = None;
        if sleep {
            slot.read.limit(slot.socket.fd.as_fd(), Timeout::Recv, self.limit.get());
            if patience == Patience::Idle {
                asleep = self.inbox.fall_asleep(slot.socket.fd.as_fd());
                // Stopping: what has come is still taken.
                sleep = asleep.is_some();
            }
        }
        let result = calls::recv(&self.env, &slot.socket, lease.room(), !sleep);
        slot.cut_short |= asleep.is_some() && self.inbox.stopping();
        drop(asleep);
        match result {
            Err(Errno::AGAIN) => slot.read.again(cx),
            Err(error) => Poll::Ready(Err(error.into())),
            // Our own shutdown of the receiving half woke us; the peer has not closed.
            Ok(0) if patience == Patience::Idle && slot.cut_short => slot.read.again(cx),
            Ok(0) => Poll::Ready(Ok(Chunk::end())),
            Ok(count) => Poll::Ready(Ok(lease.filled(count))),
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
            let Poll::Ready(sleep) = slot.write.begin(cx) else {
                return Poll::Pending;
            };
            if sleep {
                slot.write.limit(slot.socket.fd.as_fd(), Timeout::Send, self.limit.get());
            }
            match calls::send(&self.env, &slot.socket, bytes, more, !sleep) {
                Err(Errno::AGAIN) => return slot.write.again(cx),
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok(sent) => bytes.advance(sent.count),
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
        let Poll::Ready(sleep) = slot.write.begin(cx) else {
            return Poll::Pending;
        };
        if sleep {
            slot.write.limit(slot.socket.fd.as_fd(), Timeout::Send, self.limit.get());
        } else {
            // sendfile(2) has no flag for it.
            rustix::io::ioctl_fionbio(&slot.socket.fd, true)?;
        }
        let result = calls::send_file(&self.env, &slot.socket, file, offset, len, !sleep);
        if !sleep {
            rustix::io::ioctl_fionbio(&slot.socket.fd, false)?;
        }
        match result {
            Err(Errno::AGAIN) => slot.write.again(cx),
            result => Poll::Ready(result.map(|sent| sent.count).map_err(Into::into)),
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
        let half = match side {
            Side::Read => &mut slot.read,
            Side::Write => &mut slot.write,
        };
        half.polls = true;
        if half.begin(cx).is_pending() {
            return Poll::Pending;
        }
        match calls::attempt(&slot.socket, attempt) {
            Err(Errno::AGAIN) => half.again(cx),
            result => {
                half.polls = false;
                Poll::Ready(result.map_err(Into::into))
            }
        }
    }

    fn forget(&self, key: Key, side: Side) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
            let half = match side {
                Side::Read => &mut slot.read,
                Side::Write => &mut slot.write,
            };
            half.waker = None;
            half.polls = false;
            half.turn = Turn::Nobody;
        }
    }

    fn wake_readers(&self) {
        for slot in self.slots.borrow_mut().values_mut() {
            if slot.read.turn == Turn::Wanted {
                slot.read.go(Turn::Try);
            }
        }
    }

    fn wait(&self, timeout: Option<Duration>, alone: bool) -> io::Result<()> {
        let mut slots = self.slots.borrow_mut();
        let mut wanted: Vec<(&mut Half, &Socket)> = Vec::new();
        let mut fds = vec![PollFd::from_borrowed_fd(self.inbox.event(), PollFlags::IN)];
        for slot in slots.values_mut() {
            let Slot { socket, read, write, .. } = slot;
            for (half, flags) in [(read, PollFlags::IN), (write, PollFlags::OUT)] {
                if half.turn == Turn::Wanted {
                    let socket: &Socket = socket;
                    wanted.push((half, socket));
                    fds.push(PollFd::from_borrowed_fd(socket.fd.as_fd(), flags));
                }
            }
        }
        if let ([(only, _)], true, false) =
            (&mut wanted[..], alone && !self.inbox.stopping(), timeout == Some(Duration::ZERO))
            && !only.polls
        {
            self.limit.set(timeout);
            only.go(Turn::Sleep);
            return Ok(());
        }
        let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
        let poll = |()| rustix::event::poll(&mut fds, timeout.as_ref());
        match fault::ask(Point::Wait).and_then(poll) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for ((half, socket), fd) in wanted.into_iter().zip(&fds[1..]) {
            let mut found = fd.revents();
            if self.env.reads_error_queues && found == PollFlags::ERR {
                // What waits in the error queue is no reason to try the call.
                self.env.look_at_errors(socket);
                let mut again = [PollFd::new(&socket.fd, PollFlags::empty())];
                let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
                if rustix::event::poll(&mut again, Some(&at_once)).is_ok() {
                    found = again[0].revents();
                }
            }
            if !found.is_empty() {
                half.go(Turn::Try);
            }
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        let mut slots = self.slots.borrow_mut();
        let halves = slots.values_mut().flat_map(|slot| [&slot.read, &slot.write]);
        halves.filter(|half| half.waker.is_some()).count()
    }

    fn live(&self) -> usize {
        self.slots.borrow().len()
    }
}
