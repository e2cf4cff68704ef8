//! Connections that begin here.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use crate::address::Address;
use crate::deadline::Deadline;
use crate::driver::{Raw, Side};
use crate::engine::sleep;
use crate::error::CallError;
use crate::probe::{Operation, Role};
use crate::reactor::Reactor;
use crate::stream::{Operate, Stream};

/// The first and the longest pause before a listener whose backlog is full is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(32));

impl Stream {
    /// Connects to an address of either kind, and waits for it no longer than `patience`. While the
    /// backlog of a Unix socket is full, which poll(2) does not tell, it is tried again.
    ///
    /// # Errors
    ///
    /// As [`Stream::connect`]; `NotFound` when there is no such Unix socket, `ConnectionRefused` when
    /// nobody listens on it any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub async fn connect_to(address: &Address, patience: Option<Duration>) -> io::Result<Stream> {
        match address {
            Address::Ip(address) => Stream::connect(*address, patience).await,
            Address::Unix(_) => {
                let fd = unix_socket(SocketType::STREAM)
                    .map_err(|error| address.failed("connect to", error))?;
                connect_unix_stream(fd, address, patience).await
            }
        }
    }

    /// Connects to a TCP address (`connect(2)`), and waits for it no longer than `patience`.
    ///
    /// # Errors
    ///
    /// `TimedOut` when `patience` is over; `ConnectionRefused` when nobody listens there, and what
    /// else connect(2) says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub async fn connect(address: SocketAddr, patience: Option<Duration>) -> io::Result<Stream> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(family, SocketType::STREAM, flags, None)?;
        // What is flushed leaves at once, and what should wait says so.
        sockopt::set_tcp_nodelay(&fd, true)?;
        connect_socket(fd, address, patience).await
    }
}

/// Connects a TCP socket that does not block, as [`Stream::connect`] does.
pub(crate) async fn connect_socket(
    fd: OwnedFd,
    address: SocketAddr,
    patience: Option<Duration>,
) -> io::Result<Stream> {
    let reactor = Reactor::current();
    let start = reactor.env.stamp();
    let mut begun = rustix::net::connect(&fd, &address);
    if let Err(Errno::INPROGRESS | Errno::INTR) = begun {
        begun = Ok(());
    }
    begun.map_err(|error| CallError::naming("connect to", Some(address.into()), error.into()))?;
    let local = SocketAddr::try_from(rustix::net::getsockname(&fd)?)?;
    let addresses = (local.into(), address.into());
    let watched = Stream::new(reactor, Raw::Fd(fd), Role::Client, start, Some(addresses), None);
    let mut stream = watched.map_err(|error| {
        CallError::naming("watch the connection to", Some(address.into()), error)
    })?;
    stream.set_deadline(patience);
    let made = Operate::new(&mut stream, Side::Write, |stream, cx| {
        stream.poll_attempt(Side::Write, cx, &mut |fd| match sockopt::socket_error(fd) {
            Ok(Ok(())) => match rustix::net::getpeername(fd) {
                Err(Errno::NOTCONN) => Err(Errno::AGAIN),
                named => named.map(drop),
            },
            Ok(Err(error)) | Err(error) => Err(error),
        })
    })
    .await;
    let told = match &made {
        Ok(()) => Ok(0),
        Err(error) => Err(Errno::from_io_error(error).unwrap_or(Errno::TIMEDOUT)),
    };
    stream.tell(Operation::Connect, start, told);
    stream.set_deadline(None);
    match made {
        Ok(()) => Ok(stream),
        Err(error) => Err(stream.explain("connect to", error)),
    }
}

/// A Unix socket that does not block.
pub(crate) fn unix_socket(kind: SocketType) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, kind, flags, None)
}

/// Connects a Unix stream socket that does not block, and tells who looks on.
pub(crate) async fn connect_unix_stream(
    fd: OwnedFd,
    address: &Address,
    patience: Option<Duration>,
) -> io::Result<Stream> {
    let reactor = Reactor::current();
    let start = reactor.env.started();
    connect_unix_socket(&fd, address, patience).await?;
    let watched = Stream::new(reactor, Raw::Unix(fd), Role::Client, start, None, None);
    let stream = watched.map_err(|error| address.explain("watch the connection to", error))?;
    stream.tell(Operation::Connect, start, Ok(0));
    Ok(stream)
}

/// Connects a Unix socket that does not block.
pub(crate) async fn connect_unix_socket(
    fd: &OwnedFd,
    address: &Address,
    patience: Option<Duration>,
) -> io::Result<()> {
    let reactor = Reactor::current();
    let failed = |error| address.failed("connect to", error);
    if address.ip().is_some() {
        return Err(failed(Errno::AFNOSUPPORT));
    }
    let encoded = address.encode().map_err(failed)?;
    let mut deadline = Deadline::never();
    deadline.set(&reactor, patience);
    let (mut pause, longest) = PAUSES;
    loop {
        match retry_on_intr(|| rustix::net::connect(fd, &encoded)) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(failed(error)),
        }
        let left = deadline.left(&reactor);
        if left == Some(Duration::ZERO) {
            return Err(address.explain("connect to", io::ErrorKind::TimedOut.into()));
        }
        sleep(left.map_or(pause, |left| left.min(pause))).await;
        pause = (pause * 2).min(longest);
    }
}
