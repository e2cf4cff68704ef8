//! System calls as drivers make them: without SIGPIPE, again after EINTR, and reported.

use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};

use crate::buffer::Outgoing;
use crate::driver::{Accepted, Attempt, Env, Socket};
use crate::fault::{self, Point};
use crate::probe::Operation;

/// Pieces handed to one vectored send.
const VECTORS: usize = 16;

type Result<T> = std::result::Result<T, Errno>;

/// One call on a socket: made again after EINTR, and not made at all where a test says how it fails.
fn call<T>(point: Point, socket: &Socket, mut make: impl FnMut() -> Result<T>) -> Result<T> {
    retry_on_intr(|| {
        fault::ask_on(point, socket.fd.as_fd())?;
        make()
    })
}

/// The accepted descriptor; a connection that ended while it waited is passed over.
pub(crate) fn accept(env: &Env, listener: &Socket) -> Result<Accepted> {
    loop {
        let accept = || rustix::net::accept_with(&listener.fd, SocketFlags::CLOEXEC);
        match call(Point::Accept, listener, accept) {
            Err(Errno::CONNABORTED) => {}
            result => return result.map(|fd| Accepted { raw: fd.into(), at: env.started() }),
        }
    }
}

/// A call that somebody else makes.
pub(crate) fn attempt(socket: &Socket, attempt: &mut Attempt<'_>) -> Result<()> {
    call(Point::Attempt, socket, || attempt(socket.fd.as_fd()))
}

/// Received bytes are counted. With `now`, EAGAIN instead of waiting.
pub(crate) fn recv(env: &Env, socket: &Socket, room: &mut [u8], now: bool) -> Result<usize> {
    let start = env.started();
    let asked = room.len();
    let flags = if now { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
    let result = call(Point::Recv, socket, || rustix::net::recv(&socket.fd, &mut *room, flags));
    let result = result.map(|(count, _)| count);
    env.ended(socket.conn, Operation::Recv, socket.received.get(), start, asked, result);
    if let Ok(count) = result {
        socket.received.set(socket.received.get() + count as u64);
    }
    result
}

/// What became of a send.
pub(crate) struct Sent {
    /// Bytes the kernel took.
    pub(crate) count: usize,
    /// It took less than it was offered.
    pub(crate) short: bool,
}

/// What the kernel took is counted, but stays in `outgoing` until the caller advances it.
pub(crate) fn send(
    env: &Env,
    socket: &Socket,
    outgoing: &Outgoing,
    more: bool,
    now: bool,
) -> Result<Sent> {
    let start = env.started();
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::DONTWAIT, now);
    flags.set(SendFlags::MORE, more);
    let (offered, result) = if outgoing.in_one_piece() {
        let (front, _) = outgoing.front();
        let send = || rustix::net::send(&socket.fd, front, flags);
        (front.len(), call(Point::Send, socket, send))
    } else {
        let (slices, used) = outgoing.vectors::<VECTORS>();
        let slices = &slices[..used];
        let result = call(Point::Send, socket, || {
            let mut no_ancillary = SendAncillaryBuffer::default();
            rustix::net::sendmsg(&socket.fd, slices, &mut no_ancillary, flags)
        });
        (slices.iter().map(|slice| slice.len()).sum(), result)
    };
    let count = sent(env, socket, Operation::Send, start, outgoing.len(), result)?;
    Ok(Sent { count, short: count < offered })
}

/// `sendfile(2)`; the file's own position is not used. A count below `len` is called short only if
/// the file goes on: then the socket's queue is full.
pub(crate) fn send_file(
    env: &Env,
    socket: &Socket,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> Result<Sent> {
    let start = env.started();
    let result = call(Point::SendFile, socket, || {
        let mut offset = offset;
        rustix::fs::sendfile(socket.fd.as_fd(), file, Some(&mut offset), len)
    });
    let count = sent(env, socket, Operation::SendFile, start, len, result)?;
    let ends = offset.saturating_add(count as u64);
    let goes_on = || {
        let stat = rustix::fs::fstat(file).ok();
        stat.is_some_and(|stat| u64::try_from(stat.st_size).is_ok_and(|size| size > ends))
    };
    Ok(Sent { count, short: count < len && goes_on() })
}

fn sent(
    env: &Env,
    socket: &Socket,
    operation: Operation,
    start: crate::probe::Stamp,
    asked: usize,
    result: Result<usize>,
) -> Result<usize> {
    env.ended(socket.conn, operation, socket.sent.get(), start, asked, result);
    if let Ok(count) = result {
        socket.sent.set(socket.sent.get() + count as u64);
    }
    result
}
