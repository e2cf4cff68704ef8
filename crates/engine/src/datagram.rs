//! Sockets whose messages keep their borders: UDP, Unix datagrams and sequenced packets, ICMP.

mod told;
mod wait;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::AddressFamily;

use crate::address::{Address, UnixAddress};
use crate::deadline::Deadline;
use crate::driver::{Raw, Side};
use crate::engine::sleep;
use crate::error::CallError;
use crate::error_queue::ErrorQueue;
use crate::message::{Outbound, Receive, Received};
use crate::probe::{Role, Stamp};
use crate::reactor::Reactor;
use crate::slab::Key;
use crate::unix::SocketFile;
use told::{Told, number_of};
use wait::Wait;

/// Bytes there is room for in a message unless more is asked for: the longest UDP datagram.
const ROOM: usize = 65_535;

/// Bytes that can be asked for.
const MOST_ROOM: usize = 1 << 20;

/// The first and the longest pause before a full receiver is tried again, where the kernel does
/// not tell when it has room.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(32));

/// A socket that sends and receives messages with borders; dropping it closes it.
///
/// One task receives and one task sends at a time, and these may be two: put it into an
/// [`Rc`] for that. [`Datagram::try_send_to`] is for any number of tasks.
///
/// ```
/// use sockeye_engine::{Address, Datagram, DriverKind, Engine};
///
/// # fn main() -> std::io::Result<()> {
/// Engine::new(DriverKind::EpollEdge)?.block_on(async {
///     let server = Datagram::bind(&Address::from(([127, 0, 0, 1], 0)))?;
///     let client = Datagram::bind(&Address::from(([127, 0, 0, 1], 0)))?;
///     client.connect(&server.local_addr()?)?;
///     client.send(b"a question").await?;
///     let question = server.recv().await?;
///     assert_eq!(&question.bytes[..], b"a question");
///     server.send_to(b"an answer", &question.from.expect("UDP tells")).await?;
///     assert_eq!(&client.recv().await?.bytes[..], b"an answer");
///     Ok(())
/// })
/// # }
/// ```
///
/// # Cancel safety
///
/// Every future here may be dropped at any time, on every driver: a message is received by a
/// future that completes or stays in the socket, and is sent once or not at all.
pub struct Datagram {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) key: Key,
    pub(crate) family: AddressFamily,
    deadlines: RefCell<[Deadline; 2]>,
    /// Somebody waits for this side.
    waits: [Cell<bool>; 2],
    room: Cell<usize>,
    /// Ancillary data was asked for.
    pub(crate) ancillary: Cell<bool>,
    pub(crate) descriptors: Cell<usize>,
    /// Where something was asked for that arrives there.
    pub(crate) errors: ErrorQueue,
    /// Where somebody looks on.
    told: Option<Box<Told>>,
    /// What a Unix socket has in a folder, removed with it.
    pub(crate) file: Option<SocketFile>,
    /// Where messages go that are not sent to an address; empty where the socket is connected.
    pub(crate) destinations: Vec<Address>,
}

impl Datagram {
    /// A UDP (udp(7)) or Unix datagram (unix(7)) socket at this address. Port 0, and a Unix socket
    /// without a name, get one from the kernel. An IPv6 socket has no part in IPv4.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` (a port below 1024, a folder that may not be
    /// written); `InvalidInput` or `InvalidFilename` for a name that no Unix socket can have.
    ///
    /// # Panics
    ///
    /// Outside of an engine, as all that makes sockets.
    pub fn bind(local: &Address) -> io::Result<Datagram> {
        let reactor = Reactor::current();
        let raw = reactor.driver.bind_datagram(local);
        let raw = raw.map_err(|error| local.failed("bind to", error))?;
        Datagram::new(reactor, raw, local.family())
    }

    /// Takes over a socket of messages.
    ///
    /// # Errors
    ///
    /// What the driver says when it can't watch the descriptor, or the kernel when it is no socket.
    pub fn adopt(fd: impl Into<OwnedFd>) -> io::Result<Datagram> {
        let fd = fd.into();
        let family = rustix::net::sockopt::socket_domain(&fd)?;
        Datagram::new(Reactor::current(), Raw::Fd(fd), family)
    }

    pub(crate) fn new(
        reactor: Rc<Reactor>,
        raw: Raw,
        family: AddressFamily,
    ) -> io::Result<Datagram> {
        let at = reactor.env.started();
        Datagram::begun(reactor, raw, family, Role::Client, at)
    }

    /// Of a connection that somebody began then, if it is one.
    pub(crate) fn begun(
        reactor: Rc<Reactor>,
        raw: Raw,
        family: AddressFamily,
        role: Role,
        at: Stamp,
    ) -> io::Result<Datagram> {
        let told = Told::new(&reactor, &raw, role, at);
        let key = reactor.driver.attach(raw, told.as_ref().map(|told| told.name()));
        if let (Some(probe), Some(told)) = (&reactor.env.probe, &told) {
            let local = key.as_ref().map_err(drop).map(|key| {
                let local = reactor.driver.local(*key);
                local.unwrap_or(Address::Unix(UnixAddress::Unnamed))
            });
            told.attached(&**probe, local, at);
        }
        let key = key?;
        Ok(Datagram {
            reactor,
            key,
            family,
            deadlines: RefCell::new([Deadline::never(), Deadline::never()]),
            waits: [Cell::new(false), Cell::new(false)],
            room: Cell::new(ROOM),
            ancillary: Cell::new(false),
            descriptors: Cell::new(0),
            errors: ErrorQueue::default(),
            told,
            file: None,
            destinations: Vec::new(),
        })
    }

    /// Its own address (getsockname(2)).
    ///
    /// # Errors
    ///
    /// The kernel's word; none is known for a socket that is open.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.reactor.driver.local(self.key)
    }

    /// From now on messages go to `peer`, and only its own are received (connect(2)). No message is
    /// sent by it.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` and `NotFound` for a Unix socket that is not there, `NetworkUnreachable`
    /// without a route.
    pub fn connect(&self, peer: &Address) -> io::Result<()> {
        let connected = self.fits(Some(peer));
        let connected =
            connected.and_then(|()| self.reactor.driver.connect_datagram(self.key, peer));
        connected.map_err(|error| peer.failed("connect to", error))?;
        self.told.iter().for_each(|told| told.connected(peer));
        Ok(())
    }

    /// The next message (recvmsg(2)). On a socket of sequenced packets an empty one means that the
    /// peer will send no more.
    ///
    /// # Errors
    ///
    /// `TimedOut` once the deadline has passed; `ConnectionRefused` and others when an ICMP message
    /// says that an earlier one did not arrive; `ResourceBusy` while another task receives.
    pub fn recv(&self) -> impl Future<Output = io::Result<Received>> {
        self.receive(|socket, cx| socket.poll_recv(false, cx))
    }

    /// Like [`Datagram::recv`], but None when the thread is asked to stop and nothing has come: for a
    /// server that waits for requests.
    ///
    /// # Errors
    ///
    /// As [`Datagram::recv`].
    pub fn recv_idle(&self) -> impl Future<Output = io::Result<Option<Received>>> {
        self.receive(|socket, cx| {
            let stopping = socket.reactor.stopping();
            match socket.poll_recv(false, cx) {
                // Some drivers know only after a look at the kernel whether something has come.
                Poll::Pending if stopping && !socket.reactor.asked.get() => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Pending if stopping => {
                    socket.reactor.driver.forget(socket.key, Side::Read);
                    Poll::Ready(Ok(None))
                }
                result => result.map_ok(Some),
            }
        })
    }

    /// The next message, which stays to be received again (`MSG_PEEK`). Descriptors that come with
    /// it are new ones each time.
    ///
    /// # Errors
    ///
    /// As [`Datagram::recv`].
    pub fn peek(&self) -> impl Future<Output = io::Result<Received>> {
        self.receive(|socket, cx| socket.poll_recv(true, cx))
    }

    /// Where [`Datagram::send`] sends to, if that is not the one the socket is connected to but many:
    /// a group, or the broadcast address of each network. What is received came from anybody.
    #[must_use]
    pub fn destinations(&self) -> &[Address] {
        &self.destinations
    }

    /// Sends a message to where the socket is connected (sendmsg(2)), or to each of its
    /// [destinations](Datagram::destinations), which is done when one of them could be sent to; waits
    /// for room if there is none.
    ///
    /// # Errors
    ///
    /// `TimedOut` once the deadline has passed; `EMSGSIZE` when it is too long to be sent whole;
    /// `ENOBUFS` when a device drops it; `ConnectionRefused` as for [`Datagram::recv`];
    /// `ResourceBusy` while another task waits to send.
    pub async fn send(&self, message: &[u8]) -> io::Result<()> {
        self.send_parts(&[IoSlice::new(message)], None).await
    }

    /// Sends a message to an address.
    ///
    /// # Errors
    ///
    /// As [`Datagram::send`]; and what [`Datagram::connect`] says.
    pub async fn send_to(&self, message: &[u8], to: &Address) -> io::Result<()> {
        self.send_parts(&[IoSlice::new(message)], Some(to)).await
    }

    /// Sends one message that lies in several pieces, without putting them together first.
    ///
    /// # Errors
    ///
    /// As [`Datagram::send`]; `EMSGSIZE` for more than 1024 pieces (`IOV_MAX`).
    pub async fn send_parts(&self, parts: &[IoSlice<'_>], to: Option<&Address>) -> io::Result<()> {
        if to.is_some() || self.destinations.is_empty() {
            return self.send_message(Outbound { parts, to, descriptors: &[] }).await;
        }
        let mut sent = Ok(());
        for (index, to) in self.destinations.iter().enumerate() {
            let to = Some(to);
            let result = self.send_message(Outbound { parts, to, descriptors: &[] }).await;
            sent = if index == 0 { result } else { sent.or(result) };
        }
        sent
    }

    /// Sends a message with descriptors (`SCM_RIGHTS`, unix(7)): the receiver gets copies. They need
    /// at least one byte beside them to be noticed by all receivers.
    ///
    /// # Errors
    ///
    /// As [`Datagram::send`]; `InvalidInput` for more than 253 of them or on a socket that is not
    /// a Unix one.
    pub async fn send_descriptors(
        &self,
        message: &[u8],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.send_message(Outbound { parts: &[IoSlice::new(message)], to, descriptors }).await
    }

    /// Sends a message now or not at all.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is no room; otherwise as [`Datagram::send`], as the kernel says it.
    pub fn try_send_to(&self, message: &[u8], to: Option<&Address>) -> io::Result<()> {
        let parts = &[IoSlice::new(message)];
        let send = |to| {
            self.fits(to)?;
            let message = Outbound { parts, to, descriptors: &[] };
            Ok(self.send_now(&message)?)
        };
        if to.is_some() || self.destinations.is_empty() {
            return send(to);
        }
        let all: Vec<_> = self.destinations.iter().map(|to| send(Some(to))).collect();
        all.into_iter().reduce(Result::or).unwrap_or(Ok(()))
    }

    /// From `patience` from now on, every wait on this socket ends with `TimedOut`; None for never.
    /// Accurate to a few milliseconds.
    pub fn set_deadline(&self, patience: Option<Duration>) {
        for deadline in &mut *self.deadlines.borrow_mut() {
            deadline.set(&self.reactor, patience);
        }
    }

    /// Bytes there is room for in a message, 1 to 1,048,576; at first 65,535. What is longer is
    /// received [`truncated`](Received::truncated).
    pub fn set_room(&self, bytes: usize) {
        self.room.set(bytes.clamp(1, MOST_ROOM));
    }

    /// Lends the descriptor, for socket options.
    pub fn with_fd(&self, look: impl FnOnce(BorrowedFd<'_>)) {
        let mut look = Some(look);
        self.reactor.driver.with_fd(self.key, &mut |fd| {
            if let Some(look) = look.take() {
                look(fd);
            }
        });
    }

    async fn send_message(&self, message: Outbound<'_>) -> io::Result<()> {
        let sent = match self.fits(message.to) {
            Err(error) => Err(error.into()),
            Ok(()) if self.family == AddressFamily::UNIX && message.to.is_some() => {
                self.send_by_name(&message).await
            }
            Ok(()) => self.wait(Side::Write, |socket, cx| socket.poll_send(&message, cx)).await,
        };
        sent.map_err(|error| self.explain(Side::Write, message.to, error))
    }

    /// It is the receiver's queue that may be full, and of a socket that is not connected poll(2)
    /// knows only its own.
    async fn send_by_name(&self, message: &Outbound<'_>) -> io::Result<()> {
        let (mut pause, longest) = PAUSES;
        loop {
            match self.send_now(message) {
                Err(Errno::AGAIN) => {}
                result => return Ok(result?),
            }
            let left = self.deadlines.borrow()[Side::Write as usize].left(&self.reactor);
            if left == Some(Duration::ZERO) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sleep(left.map_or(pause, |left| left.min(pause))).await;
            pause = (pause * 2).min(longest);
        }
    }

    fn send_now(&self, message: &Outbound<'_>) -> Result<(), Errno> {
        let start = self.reactor.env.started();
        let result = self.reactor.driver.send_message(self.key, message);
        if let Some(probe) = &self.reactor.env.probe
            && result != Err(Errno::AGAIN)
        {
            self.tell_sent(&**probe, start, message, result.map_err(Errno::raw_os_error));
        }
        result
    }

    /// The kernel may take an address of another family for a broken one of its own.
    fn fits(&self, to: Option<&Address>) -> Result<(), Errno> {
        let unix = |family| family == AddressFamily::UNIX;
        match to {
            Some(to) if unix(to.family()) != unix(self.family) => Err(Errno::AFNOSUPPORT),
            _ => Ok(()),
        }
    }

    /// What a user is told: the operation and the endpoint besides the reason.
    #[cold]
    fn explain(&self, side: Side, to: Option<&Address>, source: io::Error) -> io::Error {
        let (operation, endpoint) = match (side, to) {
            (Side::Read, _) => ("receive on", self.local_addr().ok()),
            (Side::Write, Some(to)) => ("send to", Some(to.clone())),
            (Side::Write, None) => ("send from", self.local_addr().ok()),
        };
        let endpoint = endpoint.map_or_else(String::new, |endpoint| endpoint.to_string());
        CallError::at(operation, endpoint, source)
    }

    pub(crate) fn poll_recv(&self, peek: bool, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        let how = Receive {
            room: self.room.get(),
            peek,
            ancillary: self.ancillary.get(),
            descriptors: self.descriptors.get(),
        };
        let (driver, env) = (&self.reactor.driver, &self.reactor.env);
        let start = env.started();
        let result = driver.poll_recv_message(env, self.key, how, cx);
        if let (Some(probe), Poll::Ready(result)) = (&env.probe, &result)
            && !peek
        {
            self.tell_received(&**probe, start, how.room, result);
        }
        if result.is_pending() {
            self.drain_errors();
        }
        result
    }

    fn poll_send(&self, message: &Outbound<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let start = self.reactor.env.started();
        let result = self.reactor.driver.poll_send_message(self.key, message, cx);
        if let (Some(probe), Poll::Ready(result)) = (&self.reactor.env.probe, &result) {
            let result = result.as_ref().copied().map_err(number_of);
            self.tell_sent(&**probe, start, message, result);
        }
        if result.is_pending() {
            self.drain_errors();
        }
        result
    }

    pub(crate) async fn receive<T, F>(&self, poll: F) -> io::Result<T>
    where
        F: FnMut(&Datagram, &mut Context<'_>) -> Poll<io::Result<T>> + Unpin,
    {
        self.wait(Side::Read, poll).await.map_err(|error| self.explain(Side::Read, None, error))
    }

    fn wait<T, F>(&self, side: Side, poll: F) -> Wait<'_, F>
    where
        F: FnMut(&Datagram, &mut Context<'_>) -> Poll<io::Result<T>> + Unpin,
    {
        Wait { socket: self, side, poll, waits: false }
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        for deadline in self.deadlines.get_mut() {
            deadline.disarm(&self.reactor);
        }
        self.reactor.driver.detach(self.key);
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram").field("local", &self.local_addr().ok()).finish_non_exhaustive()
    }
}
