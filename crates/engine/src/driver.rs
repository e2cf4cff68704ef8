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
use std::num::NonZeroU64;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::buffer::{Chunk, Outgoing, Pool};
use crate::drivers;
use crate::inbox::Inbox;
use crate::probe::{Call, ConnId, Operation, Probe, Stamp};
use crate::slab::Key;

/// How a thread waits for its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum DriverKind {
    /// Readiness, edge-triggered `epoll(7)`: the call is tried first, and the kernel reports
    /// only what changed since.
    #[default]
    EpollEdge,
    /// Completion, `io_uring(7)`: the kernel makes the calls and reports results.
    Uring,
    /// One thread a connection, each waiting inside its system call.
    Blocking,
}

impl DriverKind {
    /// Every driver there is.
    pub const ALL: [DriverKind; 3] =
        [DriverKind::EpollEdge, DriverKind::Uring, DriverKind::Blocking];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DriverKind::EpollEdge => "epoll-edge",
            DriverKind::Uring => "uring",
            DriverKind::Blocking => "blocking",
        }
    }

    /// Whether one thread can hold many connections.
    #[must_use]
    pub fn multiplexes(self) -> bool {
        self != DriverKind::Blocking
    }

    pub(crate) fn make(self, env: Rc<Env>, inbox: Arc<Inbox>) -> io::Result<Box<dyn Driver>> {
        Ok(match self {
            DriverKind::EpollEdge => {
                let selector = drivers::epoll_edge::EpollEdge::new()?;
                Box::new(drivers::readiness::Readiness::new(selector, env, inbox)?)
            }
            DriverKind::Uring => Box::new(drivers::uring::Uring::new(env, inbox)?),
            DriverKind::Blocking => Box::new(drivers::blocking::Blocking::new(env, inbox)),
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
#[error("no driver is called {name:?} (there are epoll-edge, uring and blocking)")]
pub struct UnknownDriver {
    name: String,
}

/// What a driver shares with the thread it works for.
pub(crate) struct Env {
    pub(crate) pool: Rc<Pool>,
    pub(crate) probe: Option<Box<dyn Probe>>,
}

impl Env {
    /// The start of a call that somebody may want to see.
    pub(crate) fn started(&self) -> Stamp {
        if self.probe.is_some() { Stamp::now() } else { Stamp(0) }
    }

    /// The end of it; `offset` is where in its stream the first byte it moved lies.
    pub(crate) fn ended(
        &self,
        conn: Option<NonZeroU64>,
        operation: Operation,
        offset: u64,
        start: Stamp,
        asked: usize,
        result: Result<usize, rustix::io::Errno>,
    ) {
        let (Some(probe), Some(conn)) = (&self.probe, conn) else {
            return;
        };
        let conn = ConnId(conn.get());
        let result = result.map(|count| count as u64).map_err(rustix::io::Errno::raw_os_error);
        let end = Stamp::now();
        probe.call(conn, &Call { operation, start, end, asked: asked as u64, result, offset });
    }

    /// Closes the descriptor, and tells.
    pub(crate) fn close(&self, socket: Socket) {
        let (Some(probe), Some(conn)) = (&self.probe, socket.conn) else {
            return;
        };
        let conn = ConnId(conn.get());
        probe.closing(conn, socket.fd.as_fd());
        let start = Stamp::now();
        drop(socket.fd);
        let call = Call {
            operation: Operation::Close,
            start,
            end: Stamp::now(),
            asked: 0,
            result: Ok(0),
            offset: 0,
        };
        probe.call(conn, &call);
        probe.closed(conn);
    }
}

/// A connection that was accepted, and when.
pub(crate) struct Accepted {
    pub(crate) fd: OwnedFd,
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
}

impl Socket {
    pub(crate) fn new(fd: OwnedFd, conn: Option<ConnId>) -> Socket {
        let conn = conn.and_then(|conn| NonZeroU64::new(conn.0));
        Socket { fd, conn, received: Cell::new(0), sent: Cell::new(0) }
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

pub(crate) trait Driver {
    /// Takes a socket over. Its blocking mode is set as the driver needs it.
    fn attach(&self, socket: Socket) -> io::Result<Key>;

    /// Closes it; pending operations end. Unsent bytes are dropped.
    fn detach(&self, key: Key);

    /// Lends the descriptor, for socket options and addresses.
    fn with_fd(&self, key: Key, look: &mut dyn FnMut(BorrowedFd<'_>));

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
