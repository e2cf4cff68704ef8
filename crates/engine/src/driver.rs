//! The contract every driver keeps: how a thread waits for its sockets.
//!
//! A driver owns the descriptors of one thread and answers operations on them. Operations are
//! completions: each either has its result now or has stored the waker and will wake it when
//! asking again is worth while. How the driver waits in between, and who makes the system call
//! when, is its own affair.
//!
//! # Kinds of calls and their order
//!
//! 1. [`Driver::attach`] takes a descriptor over and names it by a key.
//! 2. `poll_*` ask for an operation. At most one task waits for each side of a socket; a second
//!    one replaces the first one's waker.
//! 3. [`Driver::wait`] is called by the run loop when nothing is ready. Only here does a thread
//!    sleep. It wakes tasks and returns; it never runs them.
//! 4. [`Driver::detach`] closes. Nothing is asked of the key after it.
//!
//! # What holds for every driver
//!
//! - **Cancellation.** A future that asked may be dropped at any time. Bytes received for it
//!   stay for the next `poll_recv`; bytes given to `poll_flush` are sent once, by whoever asks
//!   next or by the driver itself. No buffer that the kernel may still touch is freed or reused.
//!   A descriptor that was accepted for nobody is closed.
//! - **Order.** Bytes leave in the order they were given, and arrive in the order of the stream.
//! - **EINTR** is never seen: the call is made again, or `wait` returns early.
//! - **Errors** of a socket are reported once, to the side that asked; later calls report what
//!   the kernel then says.
//! - **Fairness.** A driver makes at most a few system calls for one `poll_*`; the run loop's
//!   budget sends a task that asks too often to the end of the queue.
//! - **Shutdown.** Once the thread is stopping, [`Driver::wake_readers`] wakes every task that
//!   waits to receive or accept, so that idle ones can end.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::Shutdown;

use crate::address::{Address, UnixAddress};
use crate::buffer::{Chunk, Outgoing, Pool};
use crate::drivers;
use crate::drivers::calls;
use crate::drivers::readiness::Readiness;
use crate::fault::{self, Point};
use crate::inbox::Inbox;
use crate::message::{Outbound, Receive, Received};
use crate::probe::{Call, ConnId, Operation, Probe, Stamp};
use crate::ration::Ration;
use crate::slab::Key;

/// How a thread waits for its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum DriverKind {
    /// One thread a connection, each waiting inside its system call.
    Blocking,
    /// Non-blocking calls in a loop: it never waits, and uses a whole core to ask.
    Busy,
    /// Readiness, `select(2)`: bit maps over all descriptors, as large as the highest needs.
    Select,
    /// Readiness, `poll(2)`: a list of all descriptors, handed over for each wait.
    Poll,
    /// Readiness, level-triggered `epoll(7)`: the kernel keeps the list, and reports a socket for
    /// as long as it is ready.
    Epoll,
    /// Readiness, edge-triggered `epoll(7)`: the call is tried first, and the kernel reports
    /// only what changed since.
    #[default]
    EpollEdge,
    /// Completion, `io_uring(7)`: the kernel makes the calls and reports results.
    Uring,
    /// No kernel: a network inside the process, on a virtual clock.
    Sim,
}

impl DriverKind {
    /// Every driver that reaches a network.
    pub const ALL: [DriverKind; 7] = [
        DriverKind::Blocking,
        DriverKind::Busy,
        DriverKind::Select,
        DriverKind::Poll,
        DriverKind::Epoll,
        DriverKind::EpollEdge,
        DriverKind::Uring,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DriverKind::Blocking => "blocking",
            DriverKind::Busy => "busy",
            DriverKind::Select => "select",
            DriverKind::Poll => "poll",
            DriverKind::Epoll => "epoll",
            DriverKind::EpollEdge => "epoll-edge",
            DriverKind::Uring => "uring",
            DriverKind::Sim => "sim",
        }
    }

    pub(crate) fn make(self, env: Rc<Env>, inbox: Arc<Inbox>) -> io::Result<Box<dyn Driver>> {
        fault::ask(Point::Make)?;
        Ok(match self {
            DriverKind::Blocking => Box::new(drivers::blocking::Blocking::new(env, inbox)),
            DriverKind::Busy => Box::new(Readiness::new(drivers::busy::Busy::new(), env, inbox)?),
            DriverKind::Select => {
                Box::new(Readiness::new(drivers::select::Select::new(), env, inbox)?)
            }
            DriverKind::Poll => Box::new(Readiness::new(drivers::poll::Poll::new(), env, inbox)?),
            DriverKind::Epoll => {
                Box::new(Readiness::new(drivers::epoll::Epoll::new()?, env, inbox)?)
            }
            DriverKind::EpollEdge => {
                Box::new(Readiness::new(drivers::epoll_edge::EpollEdge::new()?, env, inbox)?)
            }
            DriverKind::Uring => Box::new(drivers::uring::Uring::new(env, inbox)?),
            DriverKind::Sim => {
                let why = "the simulated network has no way out: it can't serve anybody else";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
        })
    }
}

impl std::fmt::Display for DriverKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DriverKind {
    type Err = UnknownDriver;

    fn from_str(name: &str) -> Result<DriverKind, UnknownDriver> {
        let known = DriverKind::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| UnknownDriver { name: name.to_owned() })
    }
}

/// A name that is no driver's.
#[derive(Debug, thiserror::Error)]
#[error(
    "no driver is called {name:?} (there are blocking, busy, select, poll, epoll, epoll-edge and uring)"
)]
pub struct UnknownDriver {
    name: String,
}

/// What a driver shares with the thread it works for.
pub(crate) struct Env {
    pub(crate) pool: Rc<Pool>,
    pub(crate) probe: Option<Box<dyn Probe>>,
    /// The probe empties error queues.
    pub(crate) reads_error_queues: bool,
    /// The clock of a simulated network, in place of the machine's.
    pub(crate) clock: Option<Rc<VirtualClock>>,
}

/// Time that passes when somebody says so.
#[derive(Debug, Default)]
pub(crate) struct VirtualClock {
    /// Nanoseconds since the simulation began.
    nanos: Cell<u64>,
}

/// When simulations begin, in seconds since 1970: 2100-01-01 00:00:00 UTC, later than any stamp of a
/// real file that a simulated service reads.
const SIMULATED_START: u64 = 4_102_444_800;

impl VirtualClock {
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos.get())
    }

    pub(crate) fn set(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        debug_assert!(nanos >= self.nanos.get(), "time does not go back");
        self.nanos.set(nanos);
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp((SIMULATED_START * 1_000_000_000).saturating_add(self.nanos.get()))
    }
}

/// Milliseconds since some moment, to within a few of them, which costs no look at the hardware's
/// clock (clock_gettime(2)); it comes round after 49 days.
fn coarse_millis() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let millis = now.tv_sec.wrapping_mul(1000).wrapping_add(now.tv_nsec / 1_000_000);
    u32::try_from(millis & i64::from(u32::MAX)).unwrap_or(0)
}

/// So many sends that are told of fill an error queue before it is emptied.
const SENDS_BEFORE_LOOK: u8 = 8;

impl Env {
    pub(crate) fn new(
        pool: Rc<Pool>,
        probe: Option<Box<dyn Probe>>,
        clock: Option<Rc<VirtualClock>>,
    ) -> Env {
        let reads_error_queues = probe.as_ref().is_some_and(|probe| probe.reads_error_queues());
        Env { pool, probe, reads_error_queues, clock }
    }

    /// Has the error queue emptied, if somebody does that.
    pub(crate) fn look_at_errors(&self, socket: &Socket) {
        if self.reads_error_queues
            && !socket.unix
            && let (Some(probe), Some(conn)) = (&self.probe, socket.conn)
        {
            socket.ration.emptied();
            let (sent, from) = (socket.sent.get(), socket.ration.from());
            probe.error_queue(ConnId(conn.get()), socket.fd.as_fd(), from..sent);
        }
    }

    /// Has it emptied if a send that is told of there was made since that was last done.
    pub(crate) fn look_after_sends(&self, socket: &Socket) {
        if self.reads_error_queues && socket.ration.sends() > 0 {
            self.look_at_errors(socket);
        }
    }

    /// Before a send: says whether it is to be told of in the error queue, if that was different so far.
    pub(crate) fn ration_sends(&self, socket: &Socket) {
        if self.reads_error_queues
            && !socket.unix
            && let (Some(probe), Some(conn)) = (&self.probe, socket.conn)
            && let Some(told) = socket.ration.turns(coarse_millis(), socket.sent.get())
        {
            probe.tell_sends(ConnId(conn.get()), socket.fd.as_fd(), told);
        }
    }

    /// Has it emptied if this was one of many sends that are told of there.
    pub(crate) fn count_send(&self, socket: &Socket) {
        if self.reads_error_queues && socket.ration.sent() >= SENDS_BEFORE_LOOK {
            self.look_at_errors(socket);
        }
    }

    /// The start of a call that somebody may want to see.
    pub(crate) fn started(&self) -> Stamp {
        if self.probe.is_some() { self.stamp() } else { Stamp(0) }
    }

    /// This moment.
    pub(crate) fn stamp(&self) -> Stamp {
        self.clock.as_ref().map_or_else(Stamp::now, |clock| clock.stamp())
    }

    /// Makes a call that moves bytes, and tells of it; `offset` is where in its stream the first of
    /// them lies. With nobody looking on it is the call and one branch.
    #[inline(always)]
    pub(crate) fn telling(
        &self,
        conn: Option<NonZeroU64>,
        operation: Operation,
        offset: u64,
        asked: usize,
        make: impl FnOnce() -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        if self.probe.is_none() {
            return make();
        }
        self.watched(conn, operation, offset, asked, make)
    }

    /// Out of the way of those nobody looks at.
    #[inline(never)]
    fn watched(
        &self,
        conn: Option<NonZeroU64>,
        operation: Operation,
        offset: u64,
        asked: usize,
        make: impl FnOnce() -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let start = self.started();
        let result = make();
        self.ended(conn, operation, offset, start, asked, result);
        result
    }

    /// The end of it; `offset` is where in its stream the first byte it moved lies.
    #[inline]
    pub(crate) fn ended(
        &self,
        conn: Option<NonZeroU64>,
        operation: Operation,
        offset: u64,
        start: Stamp,
        asked: usize,
        result: Result<usize, Errno>,
    ) {
        // With nobody looking on it is this branch and no more.
        if let (Some(probe), Some(conn)) = (&self.probe, conn) {
            self.tell(&**probe, ConnId(conn.get()), operation, offset, start, asked, result);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the cold half of `ended`")]
    fn tell(
        &self,
        probe: &dyn Probe,
        conn: ConnId,
        operation: Operation,
        offset: u64,
        start: Stamp,
        asked: usize,
        result: Result<usize, Errno>,
    ) {
        let result = result.map(|count| count as u64).map_err(Errno::raw_os_error);
        let end = self.stamp();
        probe.call(conn, &Call { operation, start, end, asked: asked as u64, result, offset });
    }

    /// Closes the descriptor, and tells.
    pub(crate) fn close(&self, socket: Socket) {
        let (Some(probe), Some(conn)) = (&self.probe, socket.conn) else {
            return;
        };
        let conn = ConnId(conn.get());
        probe.closing(conn, Some(socket.fd.as_fd()));
        // Last, so that nothing is missing there of what was just told.
        self.look_at_errors(&socket);
        let start = self.stamp();
        drop(socket.fd);
        let call = Call {
            operation: Operation::Close,
            start,
            end: self.stamp(),
            asked: 0,
            result: Ok(0),
            offset: 0,
        };
        probe.call(conn, &call);
        probe.closed(conn);
    }
}

/// A socket that no driver has taken over yet.
#[derive(Debug)]
pub(crate) enum Raw {
    Fd(OwnedFd),
    /// One of a connection to a Unix socket, whose receives may be short while more waits.
    Unix(OwnedFd),
    /// One whose blocking mode stays as it is: other processes use it too, or it is set already. Only
    /// for attempts.
    Shared(OwnedFd),
    /// The number of one in a simulated network.
    Simulated(u32),
}

impl Raw {
    /// For drivers that ask the kernel.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        match self {
            Raw::Fd(fd) | Raw::Unix(fd) | Raw::Shared(fd) => Ok(fd),
            Raw::Simulated(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a simulated socket belongs to its simulation",
            )),
        }
    }
}

impl Raw {
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Raw::Fd(fd) | Raw::Unix(fd) | Raw::Shared(fd) => Some(fd.as_fd()),
            Raw::Simulated(_) => None,
        }
    }
}

impl From<OwnedFd> for Raw {
    fn from(fd: OwnedFd) -> Raw {
        Raw::Fd(fd)
    }
}

/// A connection that was accepted, and when.
pub(crate) struct Accepted {
    pub(crate) raw: Raw,
    /// As accept(2) told it; None where it told none.
    pub(crate) peer: Option<Address>,
    pub(crate) at: Stamp,
}

/// What every driver keeps of a descriptor.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) fd: OwnedFd,
    /// The [`ConnId`] that is never 0; None for what nobody looks at.
    pub(crate) conn: Option<NonZeroU64>,
    /// Bytes that arrived so far.
    pub(crate) received: Cell<u64>,
    /// Bytes the kernel took so far.
    pub(crate) sent: Cell<u64>,
    /// Which of its sends are told of in its error queue.
    pub(crate) ration: Ration,
    /// A Unix stream is received in the pieces its peer passed descriptors with, however many
    /// wait (unix(7)).
    pub(crate) unix: bool,
    /// Its blocking mode stays as it is.
    pub(crate) shared: bool,
}

impl Socket {
    /// Of what the kernel knows.
    pub(crate) fn new(raw: Raw, conn: Option<ConnId>) -> io::Result<Socket> {
        let conn = conn.and_then(|conn| NonZeroU64::new(conn.0));
        let unix = matches!(raw, Raw::Unix(_));
        let shared = matches!(raw, Raw::Shared(_));
        let (received, sent, ration) = (Cell::new(0), Cell::new(0), Ration::new());
        Ok(Socket { fd: raw.into_fd()?, conn, received, sent, ration, unix, shared })
    }

    /// Sets the blocking mode, unless others depend on it.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        if self.shared {
            return Ok(());
        }
        Ok(rustix::io::ioctl_fionbio(&self.fd, nonblocking)?)
    }
}

/// The side of a socket somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Read,
    Write,
}

/// Whether a graceful shutdown may end the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Somebody is in the middle of something.
    Busy,
    /// Nothing has been asked of us yet.
    Idle,
}

/// Makes a call on the descriptor that does not sleep (`MSG_DONTWAIT`), or says `EAGAIN`.
pub(crate) type Attempt<'a> = dyn FnMut(BorrowedFd<'_>) -> Result<(), Errno> + 'a;

pub(crate) trait Driver {
    /// Takes a socket over. Its blocking mode is set as the driver needs it.
    fn attach(&self, raw: Raw, conn: Option<ConnId>) -> io::Result<Key>;

    /// Closes it; pending operations end. Unsent bytes are dropped.
    fn detach(&self, key: Key);

    /// Lends the descriptor, for socket options and addresses.
    fn with_fd(&self, key: Key, look: &mut dyn FnMut(BorrowedFd<'_>));

    /// Our address and the peer's, of a connected socket that was not taken over yet. Where the peer's
    /// is known it is not asked for: getpeername(2) fails once a connection was reset.
    fn addresses(&self, raw: &Raw, peer: Option<Address>) -> io::Result<(Address, Address)> {
        match raw {
            Raw::Shared(_) => Err(io::ErrorKind::Unsupported.into()),
            Raw::Unix(fd) | Raw::Fd(fd) => {
                let unnamed = || Ok(Address::Unix(UnixAddress::Unnamed));
                let peer = match peer {
                    Some(peer) => peer,
                    None => rustix::net::getpeername(fd)?.map_or_else(unnamed, Address::decode)?,
                };
                Ok((Address::decode(rustix::net::getsockname(fd)?)?, peer))
            }
            Raw::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The peer's address.
    fn peer(&self, key: Key) -> io::Result<SocketAddr> {
        let mut address = Err(drivers::gone());
        self.with_fd(key, &mut |fd| address = peer(fd));
        address
    }

    /// `shutdown(2)`.
    fn shutdown(&self, key: Key, how: Shutdown) -> Result<(), Errno> {
        let mut result = Err(Errno::NOTCONN);
        self.with_fd(key, &mut |fd| result = rustix::net::shutdown(fd, how));
        result
    }

    /// This listener is shared with other processes, or may be: what ends its use here must not end
    /// it there.
    fn share(&self, _key: Key) -> io::Result<()> {
        Ok(())
    }

    /// A new connection from a listener.
    fn poll_accept(&self, key: Key, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>>;

    /// Some bytes, or the empty chunk at the end of the stream.
    fn poll_recv(
        &self,
        key: Key,
        patience: Patience,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Chunk>>;

    /// Ready when the kernel has taken all of `outgoing` and all that was given before. The
    /// driver may take the buffer out, and then keeps it until that is done. With `more`, the
    /// last segment may wait for what follows at once (`MSG_MORE`).
    fn poll_flush(
        &self,
        key: Key,
        outgoing: &mut Option<Box<Outgoing>>,
        more: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>;

    /// One `sendfile(2)` of at most `len` bytes from `offset`; 0 at the end of the file.
    fn poll_send_file(
        &self,
        key: Key,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>;

    /// A call that has no operation of its own here, on a side of the socket: `attempt` makes it,
    /// and after `EAGAIN` is asked again when it may have more success. Nothing of the caller's is
    /// with the kernel meanwhile, so it is as safe to drop as any. Not on a stream's read side
    /// beside `poll_recv`.
    fn poll_attempt(
        &self,
        key: Key,
        side: Side,
        attempt: &mut Attempt<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>;

    /// The address of the socket itself (`getsockname(2)`).
    fn local(&self, key: Key) -> io::Result<Address> {
        let mut address = Err(Errno::NOTCONN);
        self.with_fd(key, &mut |fd| {
            address = rustix::net::getsockname(fd).and_then(Address::decode);
        });
        Ok(address?)
    }

    /// A socket for datagrams, bound to `local`.
    fn bind_datagram(&self, local: &Address) -> Result<Raw, Errno> {
        calls::bind_datagram(local).map(Raw::Fd)
    }

    /// Where the messages of a socket go from now on, and where they come from.
    fn connect_datagram(&self, key: Key, to: &Address) -> Result<(), Errno> {
        let mut result = Err(Errno::NOTCONN);
        let to = to.encode()?;
        self.with_fd(key, &mut |fd| {
            result = retry_on_intr(|| rustix::net::connect(fd, &to));
        });
        result
    }

    /// A message, with its borders.
    fn poll_recv_message(
        &self,
        env: &Env,
        key: Key,
        how: Receive,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Received>> {
        let mut received = None;
        let mut attempt = |fd: BorrowedFd<'_>| {
            received = Some(calls::recv_message(env, fd, how)?);
            Ok(())
        };
        let result = self.poll_attempt(key, Side::Read, &mut attempt, cx);
        result.map_ok(|()| received.expect("the attempt succeeded"))
    }

    /// Sends a message, whole; its bytes are copied before this returns.
    fn poll_send_message(
        &self,
        key: Key,
        message: &Outbound<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut attempt = |fd: BorrowedFd<'_>| calls::send_message(fd, message).map(drop);
        self.poll_attempt(key, Side::Write, &mut attempt, cx)
    }

    /// The same, now or not at all: `EAGAIN` where there is no room for it.
    fn send_message(&self, key: Key, message: &Outbound<'_>) -> Result<(), Errno> {
        let mut result = Err(Errno::NOTCONN);
        self.with_fd(key, &mut |fd| {
            result = retry_on_intr(|| calls::send_message(fd, message)).map(drop);
        });
        result
    }

    /// Ready when no receive of the driver's own is under way on this socket, so that attempts may be
    /// made on its read side. What it has brought comes out of [`Driver::take_received`] first.
    fn poll_quiet(&self, _key: Key, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// What was received before anybody asked, or the end that was.
    fn take_received(&self, _key: Key) -> Option<io::Result<Chunk>> {
        None
    }

    /// Nobody waits for this side any more: the future was dropped.
    fn forget(&self, key: Key, side: Side);

    /// Wakes all who wait to receive or to accept.
    fn wake_readers(&self);

    /// Waits for completions, the inbox or the timeout, and wakes. `alone` says that, besides
    /// the wakers which this driver holds, nobody could wake a task of this thread.
    fn wait(&self, timeout: Option<Duration>, alone: bool) -> io::Result<()>;

    /// How many wakers the driver holds.
    fn waiting(&self) -> usize;

    /// Sockets that are attached or not yet closed.
    fn live(&self) -> usize;

    /// Received parts on lease from the driver's own buffers, where it has some.
    fn leased(&self) -> usize {
        0
    }
}

fn peer(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let peer = rustix::net::getpeername(fd)?;
    let peer = peer.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
    Ok(SocketAddr::try_from(peer)?)
}
