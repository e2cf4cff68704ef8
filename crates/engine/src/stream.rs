//! One connection, as its task sees it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown};

use crate::address::{Address, UnixAddress};
use crate::buffer::{Chunk, Outgoing};
use crate::control;
use crate::deadline::Deadline;
use crate::driver::{Accepted, Attempt, Patience, Raw, Side};
use crate::error::{self, CallError};
use crate::message::Credentials;
use crate::probe::{Call, ConnId, Direction, Opened, Operation, Role, Stamp};
use crate::reactor::Reactor;
use crate::serve::Counted;
use crate::slab::Key;

/// Bytes one `sendfile(2)` is asked to move, so that a fast reader shares the thread.
pub(crate) const SEND_FILE: u64 = 2 * 1024 * 1024;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A name that nothing has had yet.
pub(crate) fn next_conn() -> ConnId {
    ConnId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A stream connection that belongs to the task which holds it; dropping it closes it.
///
/// Reads lease: [`Stream::recv`] hands out a buffer that goes back when the chunk is dropped.
/// Writes give: [`Stream::write`] takes the bytes at once and [`Stream::flush`] waits until the
/// kernel has them.
///
/// # Cancel safety
///
/// Every future here may be dropped at any time, on every driver. Received bytes stay for the
/// next `recv`; written bytes leave exactly once, with the next `flush`. Dropping a
/// [`Stream::send_file`] loses the count of what has left, so close the connection after it.
pub struct Stream {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) key: Key,
    conn: ConnId,
    outgoing: Option<Box<Outgoing>>,
    received: u64,
    written: u64,
    /// Received, but handed to nobody yet.
    pub(crate) peeked: Option<Box<Chunk>>,
    pub(crate) deadline: Deadline,
    /// Keeps its place among the server's connections.
    _counted: Option<Counted>,
}

impl Stream {
    /// Takes over a connected stream socket on the calling thread's engine.
    ///
    /// # Errors
    ///
    /// What the driver says when it can't watch the descriptor, or the kernel when it is not a socket.
    pub fn adopt(fd: impl Into<OwnedFd>, role: Role) -> io::Result<Stream> {
        let fd: OwnedFd = fd.into();
        let peer = error::peer(fd.as_fd());
        let reactor = Reactor::current();
        let at = reactor.env.stamp();
        let unix = || rustix::net::sockopt::socket_domain(&fd) == Ok(AddressFamily::UNIX);
        let raw = if unix() { Raw::Unix(fd) } else { Raw::Fd(fd) };
        Stream::new(reactor, raw, role, at, None, None)
            .map_err(|error| CallError::naming("watch the connection to", peer, error))
    }

    /// A connection of a listener.
    pub(crate) fn accepted(
        reactor: Rc<Reactor>,
        accepted: Accepted,
        counted: Option<Counted>,
    ) -> io::Result<Stream> {
        let Accepted { raw, peer, at } = accepted;
        let told = reactor.env.probe.is_some();
        let addresses = told.then(|| reactor.driver.addresses(&raw, peer).ok()).flatten();
        Stream::new(reactor, raw, Role::Server, at, addresses, counted)
    }

    /// `addresses` are ours and the peer's, where the connection is still to be made.
    pub(crate) fn new(
        reactor: Rc<Reactor>,
        raw: Raw,
        role: Role,
        at: Stamp,
        addresses: Option<(Address, Address)>,
        counted: Option<Counted>,
    ) -> io::Result<Stream> {
        let conn = next_conn();
        let mut told = None;
        if let Some(probe) = &reactor.env.probe
            && let Ok((local, peer)) =
                addresses.map_or_else(|| reactor.driver.addresses(&raw, None), Ok)
        {
            probe.opened(raw.fd(), &Opened { conn, role, local, peer, at });
            if role == Role::Server {
                let operation = Operation::Accept;
                // How long it slept in the call is no part of the connection's story.
                let (start, end) = (at, at);
                probe.call(
                    conn,
                    &Call { operation, start, end, asked: 0, result: Ok(0), offset: 0 },
                );
            }
            told = Some(conn);
        }
        let attached = reactor.driver.attach(raw, told).inspect_err(|_| {
            if let (Some(probe), Some(conn)) = (&reactor.env.probe, told) {
                probe.closed(conn);
            }
        });
        let key = attached?;
        Ok(Stream {
            reactor,
            key,
            conn,
            outgoing: None,
            received: 0,
            written: 0,
            peeked: None,
            deadline: Deadline::never(),
            _counted: counted,
        })
    }

    /// The connection's name in records.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.conn
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// `getpeername(2)`: the connection is gone already, or is not of the internet.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.reactor.driver.peer(self.key)
    }

    /// The peer's address of whatever kind (`getpeername(2)`); a client of a Unix socket is unnamed.
    ///
    /// # Errors
    ///
    /// As [`Stream::peer_addr`].
    pub fn peer(&self) -> io::Result<Address> {
        if let Ok(ip) = self.peer_addr() {
            return Ok(Address::Ip(ip));
        }
        let mut peer = Err(Errno::NOTCONN);
        self.with_fd(|fd| peer = rustix::net::getpeername(fd));
        match peer? {
            Some(peer) => Ok(Address::decode(peer)?),
            None => Ok(Address::Unix(UnixAddress::Unnamed)),
        }
    }

    /// Its own address of whatever kind (`getsockname(2)`).
    ///
    /// # Errors
    ///
    /// The kernel's word; none is known for a connection that is open.
    pub fn local(&self) -> io::Result<Address> {
        self.reactor.driver.local(self.key)
    }

    /// Which process made the connection, or accepts it, by the kernel's word (`SO_PEERCRED`,
    /// unix(7)).
    ///
    /// # Errors
    ///
    /// `Unsupported` where the peer is not on this machine's Unix sockets.
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        let mut credentials = Err(Errno::NOTCONN);
        self.with_fd(|fd| credentials = control::peer_credentials(fd));
        credentials.map_err(|error| self.explain("ask for the process of", error.into()))
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

    /// Receives some bytes; the empty chunk when the peer will send no more (`recv(2)` = 0).
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) once the deadline has passed; otherwise the
    /// kernel's word, `ConnectionReset` above all.
    pub fn recv(&mut self) -> impl Future<Output = io::Result<Chunk>> {
        Operate::new(self, Side::Read, Stream::poll_recv_busy)
    }

    /// Like [`Stream::recv`], but None when the thread is asked to stop and nothing has come:
    /// for the wait between two exchanges.
    ///
    /// # Errors
    ///
    /// As [`Stream::recv`].
    pub fn recv_idle(&mut self) -> impl Future<Output = io::Result<Option<Chunk>>> {
        Operate::new(self, Side::Read, Stream::poll_recv_idle)
    }

    /// Bytes received so far: the offset in the stream of the next byte.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes `bytes` to be sent; they leave with the next flush.
    pub fn write(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        self.outgoing().push(bytes);
    }

    /// Takes shared bytes to be sent, without a copy where that pays.
    pub fn write_shared(&mut self, bytes: Bytes) {
        self.written += bytes.len() as u64;
        self.outgoing().push_shared(bytes);
    }

    /// Lets `write` append what is to be sent to the pooled buffer itself.
    pub fn write_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let outgoing = self.outgoing();
        let before = outgoing.len();
        let result = outgoing.push_with(write);
        let count = outgoing.len() - before;
        self.written += count as u64;
        result
    }

    /// Bytes given to be sent so far: the offset in the stream of the next one.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes written but not yet taken by a flush. A service that writes without end flushes
    /// when this passes its high-water mark.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.outgoing.as_ref().map_or(0, |outgoing| outgoing.len())
    }

    /// Waits until the kernel has taken everything that was written.
    ///
    /// # Errors
    ///
    /// `TimedOut` once the deadline has passed (what was taken until then is sent); `BrokenPipe`
    /// or `ConnectionReset` when the peer is gone.
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        Operate::new(self, Side::Write, |stream, cx| stream.poll_flush(false, cx))
    }

    /// Like [`Stream::flush`], when more is sent at once: the last segment may wait for it (`MSG_MORE`).
    ///
    /// # Errors
    ///
    /// As [`Stream::flush`].
    pub fn flush_more(&mut self) -> impl Future<Output = io::Result<()>> {
        Operate::new(self, Side::Write, |stream, cx| stream.poll_flush(true, cx))
    }

    /// Flushes, and then sends `range` of a file without copying it through this process
    /// (`sendfile(2)`). The file's own position stays. Each part of it has the deadline anew,
    /// `patience` from when the part before it was taken.
    ///
    /// # Errors
    ///
    /// As [`Stream::flush`]; `UnexpectedEof` when the file is shorter than the range's end.
    pub async fn send_file(
        &mut self,
        file: &impl AsFd,
        range: Range<u64>,
        patience: Option<Duration>,
    ) -> io::Result<()> {
        self.set_deadline(patience);
        if self.unflushed() > 0 {
            self.flush_more().await?;
        }
        let mut offset = range.start;
        while offset < range.end {
            let len = usize::try_from((range.end - offset).min(SEND_FILE)).unwrap_or(usize::MAX);
            let file = file.as_fd();
            let count = Operate::new(self, Side::Write, |stream: &mut Stream, cx| {
                stream.poll_send_file(file, offset, len, cx)
            })
            .await?;
            if count == 0 {
                return Err(self.explain("sendfile to", file_ends(offset, range.end)));
            }
            offset += count as u64;
            self.count_written(count);
            self.set_deadline(patience);
        }
        Ok(())
    }

    /// Says that nothing more will be sent (FIN); receiving goes on. Flush first.
    ///
    /// # Errors
    ///
    /// `shutdown(2)`: the connection is gone already.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        let start = self.reactor.env.started();
        let result = self.reactor.driver.shutdown(self.key, Shutdown::Write);
        self.tell(Operation::ShutdownWrite, start, result.map(|()| 0));
        result.map_err(|errno| self.explain("shutdown of the connection to", errno.into()))
    }

    /// Tells whoever looks on that a call ended, one that moves no bytes.
    pub(crate) fn tell(&self, operation: Operation, start: Stamp, result: Result<usize, Errno>) {
        let conn = NonZeroU64::new(self.conn.0);
        self.reactor.env.ended(conn, operation, self.written, start, 0, result);
    }

    /// Closes so that the peer still gets everything: flushes, ends our side, and reads on until
    /// the peer closes, `limit` bytes have come or the deadline passes. A plain close with unread
    /// bytes would answer with RST, and the peer might lose what we sent (RFC 9112 §9.6).
    pub async fn close_lingering(mut self, limit: u64) {
        if self.flush().await.is_err() || self.shutdown_write().is_err() {
            return;
        }
        let end = self.received.saturating_add(limit);
        while self.received < end {
            // Not idle, even while the thread is stopping: the peer has yet to get what we sent.
            match self.recv().await {
                Ok(chunk) if !chunk.is_empty() => {}
                _ => return,
            }
        }
    }

    /// From `patience` from now on, every wait on this connection ends with `TimedOut`; None for
    /// never. Accurate to a few milliseconds: `patience` counts from the last look at the kernel.
    pub fn set_deadline(&mut self, patience: Option<Duration>) {
        self.deadline.set(&self.reactor, patience);
    }

    /// Tells whoever looks on that `range` of a direction's stream is one message.
    pub fn mark(&self, direction: Direction, range: Range<u64>, label: fmt::Arguments<'_>) {
        if let Some(probe) = &self.reactor.env.probe {
            probe.message(self.conn, direction, range, label);
        }
    }

    fn outgoing(&mut self) -> &mut Outgoing {
        self.outgoing.get_or_insert_with(|| self.reactor.env.pool.outgoing())
    }

    /// What is to be sent next, for who puts it back.
    pub(crate) fn take_outgoing(&mut self) -> Box<Outgoing> {
        let outgoing = self.outgoing.take().unwrap_or_else(|| self.reactor.env.pool.outgoing());
        self.written -= outgoing.len() as u64;
        outgoing
    }

    pub(crate) fn put_outgoing(&mut self, outgoing: Box<Outgoing>) {
        self.written += outgoing.len() as u64;
        self.outgoing = Some(outgoing);
    }

    pub(crate) fn count_received(&mut self, count: usize) {
        self.received += count as u64;
    }

    pub(crate) fn count_written(&mut self, count: usize) {
        self.written += count as u64;
    }

    pub(crate) fn poll_recv_busy(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Chunk>> {
        self.poll_recv(Patience::Busy, cx)
    }

    pub(crate) fn poll_recv_idle(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Chunk>>> {
        let stopping = self.reactor.stopping();
        match self.poll_recv(Patience::Idle, cx) {
            // Some drivers know only after a look at the kernel whether something has come.
            Poll::Pending if stopping && !self.reactor.asked.get() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending if stopping => {
                self.reactor.driver.forget(self.key, Side::Read);
                Poll::Ready(Ok(None))
            }
            result => result.map_ok(Some),
        }
    }

    // Inlined into one another: a chunk that is handed through moves each time.
    #[inline]
    fn poll_recv(&mut self, patience: Patience, cx: &mut Context<'_>) -> Poll<io::Result<Chunk>> {
        if self.peeked.is_none() {
            let result = self.poll_recv_more(patience, cx);
            if let Poll::Ready(Ok(chunk)) = &result {
                self.received += chunk.len() as u64;
            }
            return result;
        }
        self.take_peeked()
    }

    /// What has been peeked at, which is still to be received.
    #[cold]
    fn take_peeked(&mut self) -> Poll<io::Result<Chunk>> {
        let chunk = self.peeked.take().map_or_else(Chunk::end, |chunk| *chunk);
        self.received += chunk.len() as u64;
        Poll::Ready(Ok(chunk))
    }

    /// What has not even been peeked at.
    #[inline]
    pub(crate) fn poll_recv_more(
        &mut self,
        patience: Patience,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Chunk>> {
        if self.reactor.poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        let result = self.reactor.driver.poll_recv(self.key, patience, cx);
        let late = match &result {
            Poll::Ready(Ok(_)) => return result,
            Poll::Ready(Err(_)) => result,
            Poll::Pending => self.poll_deadline(Side::Read, cx),
        };
        late.map_err(|error| self.explain("recv from", error))
    }

    pub(crate) fn poll_flush(&mut self, more: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reactor.poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        let result = match self.reactor.driver.poll_flush(self.key, &mut self.outgoing, more, cx) {
            Poll::Pending => self.poll_deadline(Side::Write, cx),
            ready => ready,
        };
        result.map_err(|error| self.explain("send to", error))
    }

    pub(crate) fn poll_send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.reactor.poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        let result = match self.reactor.driver.poll_send_file(self.key, file, offset, len, cx) {
            Poll::Pending => self.poll_deadline(Side::Write, cx),
            ready => ready,
        };
        result.map_err(|error| self.explain("sendfile to", error))
    }

    fn tell_deadline(&self, side: Side) {
        let (direction, offset) = match side {
            Side::Read => (Direction::Received, self.received),
            Side::Write => (Direction::Sent, self.written),
        };
        let (conn, at) = (NonZeroU64::new(self.conn.0), self.reactor.env.started());
        self.reactor.env.ended(conn, Operation::GaveUp(direction), offset, at, 0, Ok(0));
    }

    /// A call that has no operation of its own ([`Driver::poll_attempt`](crate::driver::Driver)). What
    /// its error says is the kernel's reason alone: [`Stream::explain`] it.
    pub(crate) fn poll_attempt(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        attempt: &mut Attempt<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reactor.poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        match self.reactor.driver.poll_attempt(self.key, side, attempt, cx) {
            Poll::Pending => self.poll_deadline(side, cx),
            ready => ready,
        }
    }

    /// What a user is told: the operation and the peer besides the reason.
    #[cold]
    pub(crate) fn explain(&self, operation: &'static str, error: io::Error) -> io::Error {
        let mut peer = None;
        self.with_fd(|fd| peer = error::peer(fd));
        let peer = peer.or_else(|| self.peer_addr().ok().map(Into::into));
        CallError::naming(operation, peer, error)
    }

    /// The wait goes on until the deadline. Even one that has passed leaves the driver one look at
    /// the kernel: some know only then whether there is something to be had.
    pub(crate) fn poll_deadline<T>(&mut self, side: Side, cx: &Context<'_>) -> Poll<io::Result<T>> {
        match self.deadline.poll(&self.reactor, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if !self.reactor.asked.get() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(()) => {
                self.reactor.driver.forget(self.key, side);
                self.tell_deadline(side);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.deadline.disarm(&self.reactor);
        if let Some(outgoing) = self.outgoing.take() {
            self.reactor.env.pool.give_back(outgoing);
        }
        self.reactor.driver.detach(self.key);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("conn", &self.conn).finish_non_exhaustive()
    }
}

/// One operation of a stream; dropping it half-way leaves no waker behind.
pub(crate) struct Operate<'a, F> {
    stream: &'a mut Stream,
    side: Side,
    poll: F,
    waits: bool,
}

impl<'a, F> Operate<'a, F> {
    pub(crate) fn new<T>(stream: &'a mut Stream, side: Side, poll: F) -> Operate<'a, F>
    where
        F: FnMut(&mut Stream, &mut Context<'_>) -> Poll<T> + Unpin,
    {
        Operate { stream, side, poll, waits: false }
    }
}

impl<T, F> Future for Operate<'_, F>
where
    F: FnMut(&mut Stream, &mut Context<'_>) -> Poll<T> + Unpin,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        this.stream.reactor.asked.set(this.waits);
        let result = (this.poll)(this.stream, cx);
        this.waits = result.is_pending();
        result
    }
}

impl<F> Drop for Operate<'_, F> {
    fn drop(&mut self) {
        if self.waits {
            self.stream.reactor.driver.forget(self.stream.key, self.side);
        }
    }
}

/// The file of a [`Stream::send_file`] is shorter than it was said to be.
#[cold]
pub(crate) fn file_ends(offset: u64, end: u64) -> io::Error {
    let short = format!("the file ends at {offset}, before {end}");
    io::Error::new(io::ErrorKind::UnexpectedEof, short)
}

pub(crate) fn address(
    address: rustix::io::Result<rustix::net::SocketAddrAny>,
) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(address?)?)
}
