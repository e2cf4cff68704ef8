//! No kernel: sockets of a simulated network, and a clock that jumps to the next event.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::address::Address;
use crate::buffer::{Chunk, Outgoing};
use crate::driver::{Accepted, Attempt, Driver, Env, Patience, Raw, Side, VirtualClock};
use crate::inbox::Inbox;
use crate::message::{self, Outbound, Receive};
use crate::probe::{Call, ConnId, Operation};
use crate::sim::Stuck;
use crate::sim::model::{Interest, Model};
use crate::slab::{Key, Slab};
use crate::waker;

/// Bytes of a file that one `sendfile(2)` moves at most.
const FILE_PART: usize = 64 * 1024;

/// Turns in which no time passes, before that is called endless.
const TURNS: u32 = 5_000;

/// The driver of one simulation; whoever sets the simulation up shares it.
pub(crate) struct Sim<M> {
    env: Rc<Env>,
    inbox: Arc<Inbox>,
    clock: Rc<VirtualClock>,
    pub(crate) model: RefCell<M>,
    slots: RefCell<Slab<Slot>>,
    /// Which slot a socket of the model has.
    keys: RefCell<BTreeMap<u32, Key>>,
    limits: RefCell<Limits>,
}

struct Slot {
    socket: u32,
    conn: Option<NonZeroU64>,
    received: u64,
    sent: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// When a simulation has gone on for too long.
struct Limits {
    /// In virtual time.
    longest: Duration,
    /// Turns since time passed.
    turns: u32,
}

impl<M: Model> Sim<M> {
    pub(crate) fn new(
        model: M,
        env: Rc<Env>,
        inbox: Arc<Inbox>,
        clock: Rc<VirtualClock>,
        longest: Duration,
    ) -> Sim<M> {
        Sim {
            env,
            inbox,
            clock,
            model: RefCell::new(model),
            slots: RefCell::new(Slab::new()),
            keys: RefCell::default(),
            limits: RefCell::new(Limits { longest, turns: 0 }),
        }
    }

    pub(crate) fn set_longest(&self, longest: Duration) {
        self.limits.borrow_mut().longest = longest;
    }

    /// A listening socket, taken over.
    pub(crate) fn listen(self: &Rc<Self>, address: SocketAddr, backlog: usize) -> io::Result<Key> {
        let socket = self.model.borrow_mut().listen(address, backlog)?;
        if let Some(probe) = &self.env.probe {
            let (local, _) = self.model.borrow().addresses(socket)?;
            probe.listening(None, local);
        }
        self.attach(Raw::Simulated(socket), None)
    }

    pub(crate) fn connect(&self, from: IpAddr, to: SocketAddr) -> io::Result<u32> {
        Ok(self.model.borrow_mut().connect(from, to)?)
    }

    pub(crate) fn poll_connected(&self, socket: u32, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let Some(key) = self.keys.borrow().get(&socket).copied() else {
            return Poll::Ready(Err(super::gone()));
        };
        let connected = self.model.borrow_mut().connected(socket);
        self.answer(key, Side::Write, cx, connected)
    }

    /// RST from this end, which is then to be closed.
    pub(crate) fn reset(&self, key: Key) -> io::Result<()> {
        let socket = self.socket(key)?;
        Ok(self.model.borrow_mut().reset(socket)?)
    }

    pub(crate) fn local_addr(&self, key: Key) -> io::Result<SocketAddr> {
        Ok(self.model.borrow().addresses(self.socket(key)?)?.0)
    }

    /// Who waits for what, as far as sockets go: the task's number and the socket's name.
    pub(crate) fn who_waits(&self) -> Vec<(u32, String)> {
        let (slots, model) = (self.slots.borrow(), self.model.borrow());
        let mut waiting = Vec::new();
        for slot in slots.values() {
            let name = model.describe(slot.socket);
            for (waker, what) in [(&slot.reader, "read"), (&slot.writer, "write")] {
                if let Some(waker) = waker {
                    waiting.push((waker::task_of(waker), format!("{name} to {what}")));
                }
            }
        }
        waiting
    }

    fn socket(&self, key: Key) -> io::Result<u32> {
        self.slots.borrow().get(key).map(|slot| slot.socket).ok_or_else(super::gone)
    }

    /// The answer of a call, or a task that waits after `EAGAIN`.
    fn answer<T>(
        &self,
        key: Key,
        side: Side,
        cx: &Context<'_>,
        result: Result<T, Errno>,
    ) -> Poll<io::Result<T>> {
        if let Err(Errno::AGAIN) = result {
            if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
                let place = match side {
                    Side::Read => &mut slot.reader,
                    Side::Write => &mut slot.writer,
                };
                super::store(place, cx);
            }
            return Poll::Pending;
        }
        Poll::Ready(result.map_err(Into::into))
    }

    /// One `send(2)`, counted and reported.
    fn send(&self, key: Key, operation: Operation, bytes: &[u8]) -> Result<usize, Errno> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(key).ok_or(Errno::BADF)?;
        let start = self.env.started();
        let result = self.model.borrow_mut().send(slot.socket, bytes);
        self.env.ended(slot.conn, operation, slot.sent, start, bytes.len(), result);
        slot.sent += result.unwrap_or(0) as u64;
        result
    }

    /// Wakes the tasks at whose sockets something changed.
    fn report(&self) {
        let woken = self.model.borrow_mut().take_woken();
        let (keys, mut slots) = (self.keys.borrow(), self.slots.borrow_mut());
        for (socket, interest) in woken {
            let slot = keys.get(&socket).and_then(|key| slots.get_mut(*key));
            let waker = slot.and_then(|slot| match interest {
                Interest::Read => slot.reader.take(),
                Interest::Write => slot.writer.take(),
            });
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Until when time may pass now.
    fn next(&self, timeout: Option<Duration>) -> Result<Duration, Stuck> {
        let (now, event) = {
            let model = self.model.borrow();
            (model.now(), model.next_event())
        };
        if self.inbox.is_signalled() {
            return Ok(now);
        }
        let timer = timeout.map(|timeout| now.saturating_add(timeout));
        let until = match (event, timer) {
            (Some(event), Some(timer)) => event.min(timer),
            (one, other) => {
                one.or(other).ok_or(Stuck::Deadlock { at: now, waiting: Vec::new() })?
            }
        };
        let mut limits = self.limits.borrow_mut();
        if until > limits.longest {
            return Err(Stuck::TooLong { at: now, waiting: Vec::new() });
        }
        limits.turns = if until > now { 0 } else { limits.turns + 1 };
        if limits.turns > TURNS {
            return Err(Stuck::Endless { at: now });
        }
        Ok(until)
    }
}

impl<M: Model> Driver for Rc<Sim<M>> {
    fn attach(&self, raw: Raw, conn: Option<ConnId>) -> io::Result<Key> {
        let Raw::Simulated(socket) = raw else {
            let why = "a real socket can't take part in a simulation";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        };
        let conn = conn.and_then(|conn| NonZeroU64::new(conn.0));
        let slot = Slot { socket, conn, received: 0, sent: 0, reader: None, writer: None };
        let key = self.slots.borrow_mut().insert(slot);
        self.keys.borrow_mut().insert(socket, key);
        Ok(key)
    }

    fn detach(&self, key: Key) {
        let Some(slot) = self.slots.borrow_mut().remove(key) else {
            return;
        };
        self.keys.borrow_mut().remove(&slot.socket);
        let told = self.env.probe.as_ref().zip(slot.conn);
        if let Some((probe, conn)) = told {
            probe.closing(ConnId(conn.get()), None);
        }
        self.model.borrow_mut().close(slot.socket);
        if let Some((probe, conn)) = told {
            let (at, operation) = (self.env.stamp(), Operation::Close);
            let call = Call { operation, start: at, end: at, asked: 0, result: Ok(0), offset: 0 };
            probe.call(ConnId(conn.get()), &call);
            probe.closed(ConnId(conn.get()));
        }
    }

    fn with_fd(&self, _key: Key, _look: &mut dyn FnMut(BorrowedFd<'_>)) {
        // There is none.
    }

    fn addresses(&self, raw: &Raw, _: Option<Address>) -> io::Result<(Address, Address)> {
        let Raw::Simulated(socket) = raw else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let (local, peer) = self.model.borrow().addresses(*socket)?;
        Ok((local.into(), peer.ok_or(io::ErrorKind::NotConnected)?.into()))
    }

    fn peer(&self, key: Key) -> io::Result<SocketAddr> {
        let (_, peer) = self.model.borrow().addresses(self.socket(key)?)?;
        Ok(peer.ok_or(io::ErrorKind::NotConnected)?)
    }

    fn shutdown(&self, key: Key, how: Shutdown) -> Result<(), Errno> {
        let socket = self.socket(key).map_err(|_| Errno::NOTCONN)?;
        match how {
            Shutdown::Write => self.model.borrow_mut().shutdown_write(socket),
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    fn poll_accept(&self, key: Key, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let socket = self.socket(key)?;
        let accepted = self.model.borrow_mut().accept(socket);
        let accepted = accepted.map(|socket| Accepted {
            raw: Raw::Simulated(socket),
            peer: None,
            at: self.env.started(),
        });
        self.answer(key, Side::Read, cx, accepted)
    }

    fn poll_recv(
        &self,
        key: Key,
        _patience: Patience,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Chunk>> {
        let mut lease = self.env.pool.lease();
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(key).ok_or_else(super::gone)?;
        let room = lease.room();
        let (start, asked) = (self.env.started(), room.len());
        let result = self.model.borrow_mut().recv(slot.socket, room);
        self.env.ended(slot.conn, Operation::Recv, slot.received, start, asked, result);
        slot.received += result.unwrap_or(0) as u64;
        drop(slots);
        let chunk = result.map(|count| if count == 0 { Chunk::end() } else { lease.filled(count) });
        self.answer(key, Side::Read, cx, chunk)
    }

    fn poll_flush(
        &self,
        key: Key,
        outgoing: &mut Option<Box<Outgoing>>,
        _more: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(bytes) = outgoing else {
            return Poll::Ready(Ok(()));
        };
        while !bytes.is_empty() {
            match self.send(key, Operation::Send, bytes.front().0) {
                Ok(count) => bytes.advance(count),
                Err(error) => return self.answer(key, Side::Write, cx, Err(error)),
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
        let mut part = vec![0; len.min(FILE_PART)];
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut part[..], offset))?;
        let sent = self.send(key, Operation::SendFile, &part[..count]);
        self.answer(key, Side::Write, cx, sent)
    }

    fn poll_attempt(
        &self,
        _key: Key,
        _side: Side,
        _attempt: &mut Attempt<'_>,
        _cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let why = "this call needs a descriptor, and simulated sockets have none";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, why)))
    }

    fn local(&self, key: Key) -> io::Result<Address> {
        Ok(self.local_addr(key)?.into())
    }

    fn bind_datagram(&self, local: &Address) -> Result<Raw, Errno> {
        let local = local.ip().ok_or(Errno::AFNOSUPPORT)?;
        Ok(Raw::Simulated(self.model.borrow_mut().bind_datagram(local)?))
    }

    fn connect_datagram(&self, key: Key, to: &Address) -> Result<(), Errno> {
        let socket = self.socket(key).map_err(|_| Errno::NOTCONN)?;
        let to = to.ip().ok_or(Errno::AFNOSUPPORT)?;
        self.model.borrow_mut().connect_datagram(socket, to)
    }

    fn poll_recv_message(
        &self,
        _env: &Env,
        key: Key,
        how: Receive,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<message::Received>> {
        let socket = self.socket(key)?;
        let received = self.model.borrow_mut().recv_from(socket, how.room, how.peek);
        let received = received.map(|received| message::Received {
            truncated: received.bytes.len() < received.len,
            bytes: Chunk::from_vec(received.bytes),
            len: received.len,
            from: Some(received.from.into()),
            ancillary: message::Ancillary::default(),
        });
        self.answer(key, Side::Read, cx, received)
    }

    fn poll_send_message(
        &self,
        key: Key,
        message: &Outbound<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let sent = self.send_message(key, message);
        self.answer(key, Side::Write, cx, sent)
    }

    fn send_message(&self, key: Key, message: &Outbound<'_>) -> Result<(), Errno> {
        let socket = self.socket(key).map_err(|_| Errno::NOTCONN)?;
        let mut model = self.model.borrow_mut();
        let to = match message.to {
            Some(to) => to.ip().ok_or(Errno::AFNOSUPPORT)?,
            None => model.addresses(socket)?.1.ok_or(Errno::DESTADDRREQ)?,
        };
        if !message.descriptors.is_empty() {
            return Err(Errno::INVAL);
        }
        let bytes: Vec<u8> = message.parts.iter().flat_map(|part| part.iter().copied()).collect();
        model.send_to(socket, &bytes, to).map(drop)
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
        let until = self.next(timeout).map_err(io::Error::other)?;
        self.model.borrow_mut().advance(until);
        self.clock.set(until);
        self.report();
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
