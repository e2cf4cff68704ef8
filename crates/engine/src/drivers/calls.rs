//! System calls as drivers make them: without SIGPIPE, again after EINTR, and reported.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sockopt,
};

use crate::address::Address;
use crate::buffer::{Chunk, LEASE, Outgoing};
use crate::control::{self, Control};
use crate::driver::{Accepted, Attempt, Env, Raw, Socket};
use crate::fault::{self, Point};
use crate::message::{Outbound, QueuedError, Receive, Received};
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

/// One call that may sleep: EINTR is EAGAIN, as a time-out is. Made again at once, it would sleep for
/// the whole time anew, and a deadline would never pass while signals come.
fn sleep<T>(point: Point, socket: &Socket, make: impl FnOnce() -> Result<T>) -> Result<T> {
    fault::ask_on(point, socket.fd.as_fd()).and_then(|()| make()).map_err(|error| match error {
        Errno::INTR => Errno::AGAIN,
        error => error,
    })
}

fn either<T>(
    now: bool,
    point: Point,
    socket: &Socket,
    make: impl FnMut() -> Result<T>,
) -> Result<T> {
    if now { call(point, socket, make) } else { sleep(point, socket, make) }
}

/// The accepted descriptor and its peer, which getpeername(2) does not tell any more where the
/// connection was reset meanwhile; one that ended while it waited is passed over.
/// With `now`, EAGAIN instead of waiting: the socket's own mode has to be that.
pub(crate) fn accept(env: &Env, listener: &Socket, now: bool) -> Result<Accepted> {
    loop {
        let accept = || rustix::net::acceptfrom_with(&listener.fd, SocketFlags::CLOEXEC);
        match either(now, Point::Accept, listener, accept) {
            Err(Errno::CONNABORTED) => {}
            result => {
                let raw = |fd| if listener.unix { Raw::Unix(fd) } else { Raw::Fd(fd) };
                return result.map(|(fd, peer)| {
                    let peer = peer.and_then(|peer| Address::decode(peer).ok());
                    Accepted { raw: raw(fd), peer, at: env.started() }
                });
            }
        }
    }
}

/// A call that somebody else makes.
pub(crate) fn attempt(socket: &Socket, attempt: &mut Attempt<'_>) -> Result<()> {
    call(Point::Attempt, socket, || attempt(socket.fd.as_fd()))
}

/// Received bytes are counted. With `now`, EAGAIN instead of waiting.
pub(crate) fn recv(env: &Env, socket: &Socket, room: &mut [u8], now: bool) -> Result<usize> {
    let flags = if now { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
    let (offset, asked) = (socket.received.get(), room.len());
    env.look_after_sends(socket);
    let count = env.telling(socket.conn, Operation::Recv, offset, asked, || {
        let recv = || rustix::net::recv(&socket.fd, &mut *room, flags);
        either(now, Point::Recv, socket, recv).map(|(count, _)| count)
    })?;
    socket.received.set(offset + count as u64);
    Ok(count)
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
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::DONTWAIT, now);
    flags.set(SendFlags::MORE, more);
    let (offered, count) = if outgoing.in_one_piece() {
        let (front, _) = outgoing.front();
        let send = || rustix::net::send(&socket.fd, front, flags);
        let make = || either(now, Point::Send, socket, send);
        (front.len(), sent(env, socket, Operation::Send, outgoing.len(), make)?)
    } else {
        let (slices, used) = outgoing.vectors::<VECTORS>();
        let slices = &slices[..used];
        let send = || {
            let mut no_ancillary = SendAncillaryBuffer::default();
            rustix::net::sendmsg(&socket.fd, slices, &mut no_ancillary, flags)
        };
        let make = || either(now, Point::Send, socket, send);
        let offered = slices.iter().map(|slice| slice.len()).sum();
        (offered, sent(env, socket, Operation::Send, outgoing.len(), make)?)
    };
    Ok(Sent { count, short: count < offered })
}

/// `sendfile(2)`; the file's own position is not used. A count below `len` is called short only if
/// the file goes on: then the socket's queue is full. `now` as with [`accept`].
pub(crate) fn send_file(
    env: &Env,
    socket: &Socket,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
    now: bool,
) -> Result<Sent> {
    let make = || {
        either(now, Point::SendFile, socket, || {
            let mut offset = offset;
            rustix::fs::sendfile(socket.fd.as_fd(), file, Some(&mut offset), len)
        })
    };
    let count = sent(env, socket, Operation::SendFile, len, make)?;
    let ends = offset.saturating_add(count as u64);
    let goes_on = || {
        let stat = rustix::fs::fstat(file).ok();
        stat.is_some_and(|stat| u64::try_from(stat.st_size).is_ok_and(|size| size > ends))
    };
    Ok(Sent { count, short: count < len && goes_on() })
}

/// A socket for datagrams of the address's family, bound to it.
pub(crate) fn bind_datagram(local: &Address) -> Result<OwnedFd> {
    let local_form = local.encode()?;
    let (kind, flags) = (SocketType::DGRAM, SocketFlags::CLOEXEC);
    let fd = rustix::net::socket_with(local.family(), kind, flags, None)?;
    if let Address::Ip(SocketAddr::V6(_)) = local {
        // What it is bound to is what was written: [::] is not 0.0.0.0 too.
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    rustix::net::bind(&fd, &local_form)?;
    Ok(fd)
}

/// One message, without waiting for it (`recvmsg(2)`).
pub(crate) fn recv_message(env: &Env, fd: BorrowedFd<'_>, how: Receive) -> Result<Received> {
    let mut flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    if how.peek {
        flags |= libc::MSG_PEEK;
    }
    let mut control = Control::new(if how.ancillary { control::ROOM } else { 0 });
    let mut lease = env.pool.lease();
    // Few messages are longer than a lease: their rest goes where all such rests of the thread go.
    let mut rest = env.pool.rest(how.room.saturating_sub(LEASE));
    let first = how.room.min(LEASE);
    let mut room = [IoSliceMut::new(&mut lease.room()[..first]), IoSliceMut::new(&mut rest)];
    let header = control::recvmsg(fd, &mut room, &mut control, flags)?;
    let count = header.len.min(how.room);
    let bytes = match count.checked_sub(LEASE) {
        Some(more) if more > 0 => {
            let mut all = Vec::with_capacity(count);
            all.extend_from_slice(lease.room());
            all.extend_from_slice(&rest[..more]);
            Chunk::from_vec(all)
        }
        _ => lease.filled(count),
    };
    Ok(Received {
        bytes,
        len: header.len,
        truncated: header.flags & libc::MSG_TRUNC != 0,
        from: header.from.map(Address::decode).transpose()?,
        ancillary: control.take(header.flags, how.descriptors),
    })
}

/// The next entry of the error queue (recv(2), `MSG_ERRQUEUE`); `EAGAIN` when it is empty.
pub(crate) fn recv_error(fd: BorrowedFd<'_>) -> Result<Option<QueuedError>> {
    let mut control = Control::new(control::ROOM);
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    let header = retry_on_intr(|| control::recvmsg(fd, &mut [], &mut control, flags))?;
    let mut found = control.take(header.flags, 0);
    let to = header.from.and_then(|to| Address::decode(to).ok());
    Ok(found.error.take().map(|error| QueuedError { stamp: found.stamp, to, ..error }))
}

/// One message, whole or not at all, without waiting for room (`sendmsg(2)`).
pub(crate) fn send_message(fd: BorrowedFd<'_>, message: &Outbound<'_>) -> Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let mut space = Vec::new();
    let rights = SendAncillaryMessage::ScmRights(message.descriptors);
    if !message.descriptors.is_empty() {
        space.resize(rights.size(), MaybeUninit::uninit());
    }
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !message.descriptors.is_empty() && !ancillary.push(rights) {
        return Err(Errno::INVAL);
    }
    match message.to {
        None => rustix::net::sendmsg(fd, message.parts, &mut ancillary, flags),
        Some(to) => {
            rustix::net::sendmsg_addr(fd, &to.encode()?, message.parts, &mut ancillary, flags)
        }
    }
}

/// What the call sent is counted.
#[inline(always)]
fn sent(
    env: &Env,
    socket: &Socket,
    operation: Operation,
    asked: usize,
    make: impl FnOnce() -> Result<usize>,
) -> Result<usize> {
    let offset = socket.sent.get();
    env.ration_sends(socket);
    let count = env.telling(socket.conn, operation, offset, asked, make)?;
    socket.sent.set(offset + count as u64);
    env.count_send(socket);
    Ok(count)
}
