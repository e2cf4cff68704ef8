//! Connections that begin here.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use crate::driver::{Raw, Side};
use crate::error::CallError;
use crate::probe::{Operation, Role};
use crate::reactor::Reactor;
use crate::stream::{Operate, Stream};

impl Stream {
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
        let reactor = Reactor::current();
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(family, SocketType::STREAM, flags, None)?;
        // What is flushed leaves at once, and what should wait says so.
        sockopt::set_tcp_nodelay(&fd, true)?;
        let start = reactor.env.stamp();
        let mut begun = rustix::net::connect(&fd, &address);
        if let Err(Errno::INPROGRESS | Errno::INTR) = begun {
            begun = Ok(());
        }
        begun
            .map_err(|error| CallError::naming("connect to", Some(address.into()), error.into()))?;
        let local = SocketAddr::try_from(rustix::net::getsockname(&fd)?)?;
        let addresses = (local, address);
        let mut stream =
            Stream::new(reactor, Raw::Fd(fd), Role::Client, start, Some(addresses), None)?;
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
}
