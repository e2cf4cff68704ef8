//! Connecting to an endpoint of any kind.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::many::is_many;
use super::race::{Failures, interleave, race};
use super::{Endpoint, EndpointKind};
use crate::address::{Address, UnixAddress};
use crate::connect::{connect_socket, connect_unix_stream, unix_socket};
use crate::control::set_option;
use crate::datagram::Datagram;
use crate::deadline::Deadline;
use crate::describe::{SocketDescription, describe};
use crate::driver::Raw;
use crate::engine::sleep;
use crate::error::words;
use crate::offload::offload;
use crate::reactor::Reactor;
use crate::seqpacket::connect_seqpacket;
use crate::socket_options::{LocalEnd, Purpose, apply};
use crate::stream::Stream;
use crate::unix::{self, SocketFile};

/// What connecting to an endpoint gives.
#[derive(Debug)]
pub enum Connected {
    /// `tcp:` and `unix:`.
    Stream(Stream),
    /// `udp:` and `unix-dgram:`: messages go to the endpoint, and only its own are received. Where the
    /// endpoint is many (a group, a broadcast address), those of everybody are received, and
    /// [`Datagram::destinations`] says where messages go.
    Datagram(Datagram),
    /// `unix-seqpacket:`; an empty message is its end.
    Seqpacket(Datagram),
    /// `-`: what the process was started with, which is the caller's to use.
    Standard,
}

impl Connected {
    /// What its socket is, with every option.
    ///
    /// # Errors
    ///
    /// As [`describe`]; `Unsupported` for standard input and output.
    pub fn describe(&self) -> io::Result<SocketDescription> {
        let mut described = Err(io::ErrorKind::Unsupported.into());
        let look = |fd: BorrowedFd<'_>| described = describe(fd);
        match self {
            Connected::Stream(stream) => stream.with_fd(look),
            Connected::Datagram(socket) | Connected::Seqpacket(socket) => socket.with_fd(look),
            Connected::Standard => {}
        }
        described
    }
}

/// Why an endpoint can't be connected to.
#[derive(Debug)]
pub struct ConnectError {
    endpoint: Box<Endpoint>,
    attempts: Failures<Address>,
    cause: Option<io::Error>,
}

impl ConnectError {
    /// Each address that was tried, in that order, and what came of it; empty where it did not come
    /// to that (a name that nobody knows).
    #[must_use]
    pub fn attempts(&self) -> &[(Address, io::Error)] {
        &self.attempts
    }

    /// What kind of failure it was: that of the last attempt.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        let last = self.attempts.last().map(|(_, error)| error);
        self.cause.as_ref().or(last).map_or(io::ErrorKind::Other, io::Error::kind)
    }

    /// The same, told of the endpoint as it was written, where options were set beside it.
    #[must_use]
    pub fn as_written(self, endpoint: &Endpoint) -> ConnectError {
        ConnectError { endpoint: Box::new(endpoint.clone()), ..self }
    }

    fn at_once(endpoint: &Endpoint, cause: io::Error) -> ConnectError {
        ConnectError {
            endpoint: Box::new(endpoint.clone()),
            attempts: Vec::new(),
            cause: Some(cause),
        }
    }
}

impl std::error::Error for ConnectError {}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.endpoint)?;
        if let Some(cause) = &self.cause {
            return write!(f, "{cause}");
        }
        f.write_str("connect: ")?;
        let mut hints: Vec<&str> = Vec::new();
        for (number, (address, error)) in self.attempts.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            f.write_str(separator)?;
            // One that is what was written need not be named again.
            if self.attempts.len() > 1
                || self
                    .endpoint
                    .host()
                    .is_some_and(|host| host.parse::<std::net::IpAddr>().is_err())
            {
                write!(f, "{address}: ")?;
            }
            write!(f, "{}", words(error))?;
            let hint = hint(&self.endpoint, error);
            if !hint.is_empty() && !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        match hints[..] {
            [] => Ok(()),
            _ => write!(f, " ({})", hints.join("; ")),
        }
    }
}

/// The way out.
fn hint(endpoint: &Endpoint, error: &io::Error) -> &'static str {
    let to_group = endpoint
        .host()
        .and_then(|host| host.split('%').next()?.parse::<std::net::IpAddr>().ok())
        .is_some_and(|address| address.is_multicast());
    match error.kind() {
        io::ErrorKind::ConnectionRefused if endpoint.kind() == EndpointKind::Tcp => {
            "nobody listens there: check the port, or start the server"
        }
        io::ErrorKind::ConnectionRefused => "nobody is behind it any more: start the server",
        io::ErrorKind::NotFound if endpoint.kind().is_unix() => {
            "there is no such socket: check the name, or start the server"
        }
        io::ErrorKind::TimedOut => {
            "no answer: a firewall may drop it; allow more with connect-timeout="
        }
        io::ErrorKind::NetworkUnreachable if endpoint.options.interface.is_none() && to_group => {
            "no way leads to this group; name an interface: interface=NAME (see: ip link)"
        }
        io::ErrorKind::NetworkUnreachable if endpoint.host() == Some("255.255.255.255") => {
            "name an interface: interface=NAME; or send to every network: udp://broadcast:PORT"
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "no way leads there; see: ip route"
        }
        io::ErrorKind::AddrNotAvailable => "no interface has our address; see: ip addr",
        io::ErrorKind::AddrInUse => "our own end is taken; bind= another port",
        io::ErrorKind::InvalidInput if to_group && endpoint.options.interface.is_none() => {
            "a link-local group needs its interface: [ff02::1%eth0]:80, or interface=NAME"
        }
        io::ErrorKind::InvalidInput
            if endpoint
                .host()
                .is_some_and(|host| host.starts_with("fe80") && !host.contains('%')) =>
        {
            "a link-local address needs its interface: [fe80::1%eth0]:80"
        }
        io::ErrorKind::PermissionDenied if endpoint.kind() == EndpointKind::Udp => {
            "a broadcast address needs the option broadcast"
        }
        io::ErrorKind::PermissionDenied if endpoint.kind().is_unix() => {
            "its file may not be written by this user"
        }
        _ => "",
    }
}

impl Endpoint {
    /// Connects, with the endpoint's options. A host's addresses are tried one after another, a new one
    /// every 250 ms or as soon as one has failed, in turns one of each family, until one
    /// is connected (RFC 8305). Names are looked up beside the loop.
    ///
    /// A Unix datagram socket gets a name of its own, without which nobody could answer it.
    ///
    /// # Errors
    ///
    /// Names the endpoint, every address that was tried and its reason, and the way out.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all sockets it has begun.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        let kind = self.kind();
        if let Some(option) = self.options.unfit(kind, Purpose::Connect) {
            let why = format!("{option} is for listening; leave it out to connect");
            let cause = io::Error::new(io::ErrorKind::InvalidInput, why);
            return Err(ConnectError::at_once(self, cause));
        }
        let patience = self.options.connect_timeout;
        let failed = |cause| ConnectError::at_once(self, cause);
        let Some(name) = self.unix() else {
            if kind == EndpointKind::Standard {
                return Ok(Connected::Standard);
            }
            return self.connect_ip(patience).await;
        };
        let address = Address::Unix(name.clone());
        let attempted = |error| ConnectError {
            endpoint: Box::new(self.clone()),
            attempts: vec![(address.clone(), error)],
            cause: None,
        };
        let socket = |kind| unix_socket(kind).map_err(|error| failed(error.into()));
        let with_options = |fd: &OwnedFd| {
            apply(fd, kind, &self.options, Purpose::Connect, None)
                .map_err(|error| failed(error.into_io()))
        };
        match kind {
            EndpointKind::UnixDatagram => self.connect_unix_datagram(&address).map_err(attempted),
            EndpointKind::UnixSeqpacket => {
                let fd = socket(SocketType::SEQPACKET)?;
                with_options(&fd)?;
                let made = connect_seqpacket(fd, &address, patience).await;
                Ok(Connected::Seqpacket(made.map_err(attempted)?))
            }
            _ => {
                let fd = socket(SocketType::STREAM)?;
                with_options(&fd)?;
                let made = connect_unix_stream(fd, &address, patience).await;
                Ok(Connected::Stream(made.map_err(attempted)?))
            }
        }
    }

    async fn connect_ip(&self, patience: Option<Duration>) -> Result<Connected, ConnectError> {
        let reactor = Reactor::current();
        let mut deadline = Deadline::never();
        deadline.set(&reactor, patience);
        let failed = |cause| ConnectError::at_once(self, cause);
        let mut addresses = self.addresses(patience).await.map_err(failed)?;
        if let Some(LocalEnd::Ip(Some(local), _)) = self.options.bind {
            // One family can't reach the other.
            addresses.retain(|address| address.is_ipv4() == local.is_ipv4());
            if addresses.is_empty() {
                let why = format!("the host has no address of the family of bind={local}");
                return Err(failed(io::Error::new(io::ErrorKind::AddrNotAvailable, why)));
            }
        }
        let result = if self.is_broadcast() {
            self.connect_many(addresses).map(Connected::Datagram)
        } else if self.kind() == EndpointKind::Udp {
            let mut failures = Vec::new();
            let mut made = None;
            // Connecting sends nothing: the first address that has a route is it.
            for address in addresses {
                match self.connect_udp(address) {
                    Ok(socket) => {
                        made = Some(Connected::Datagram(socket));
                        break;
                    }
                    Err(error) => failures.push((address, error)),
                }
            }
            made.ok_or(failures)
        } else {
            let (reactor, deadline) = (&reactor, &deadline);
            let attempt = |address: &SocketAddr| {
                let address = *address;
                async move {
                    let fd = self.socket(SocketType::STREAM, address)?;
                    connect_socket(fd, address, deadline.left(reactor)).await
                }
            };
            race(interleave(addresses), attempt).await.map(Connected::Stream)
        };
        deadline.disarm(&reactor);
        result.map_err(|failures| {
            let attempts = failures.into_iter().map(|(address, error)| (address.into(), error));
            ConnectError {
                endpoint: Box::new(self.clone()),
                attempts: attempts.collect(),
                cause: None,
            }
        })
    }

    /// The host's addresses, looked up beside the loop.
    pub(super) async fn addresses(
        &self,
        patience: Option<Duration>,
    ) -> io::Result<Vec<SocketAddr>> {
        let none = || {
            let why = format!("the name {} has no address", self.host().unwrap_or_default());
            io::Error::new(io::ErrorKind::NotFound, why)
        };
        let literal = self.host().is_some_and(|host| host.parse::<std::net::IpAddr>().is_ok());
        let found = if (literal || self.is_broadcast()) && self.port() != 0 {
            self.resolve()?
        } else {
            let endpoint = self.clone();
            let mut asking = std::pin::pin!(offload(move || endpoint.resolve()));
            let mut over = patience.map(sleep);
            std::future::poll_fn(|cx| {
                use std::future::Future as _;
                use std::task::Poll;
                if let Poll::Ready(found) = asking.as_mut().poll(cx) {
                    return Poll::Ready(found?);
                }
                match &mut over {
                    Some(over) => std::pin::Pin::new(over).poll(cx).map(|()| {
                        let why =
                            "the name was not found in time; allow more with connect-timeout=";
                        Err(io::Error::new(io::ErrorKind::TimedOut, why))
                    }),
                    None => Poll::Pending,
                }
            })
            .await?
        };
        if found.is_empty() { Err(none()) } else { Ok(found) }
    }

    /// A socket that is ready to connect, at its own end of the connection.
    fn socket(&self, socket: SocketType, to: SocketAddr) -> io::Result<OwnedFd> {
        let fd = self.open(socket, to)?;
        self.bind_own_end(&fd, to)?;
        Ok(fd)
    }

    /// With its options, at no place yet.
    pub(super) fn open(&self, socket: SocketType, to: SocketAddr) -> io::Result<OwnedFd> {
        let family = Address::from(to).family();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(family, socket, flags, None)?;
        apply(&fd, self.kind(), &self.options, Purpose::Connect, Some(to))
            .map_err(|error| error.into_io())?;
        Ok(fd)
    }

    /// Where `bind=` says.
    pub(super) fn bind_own_end(&self, fd: &OwnedFd, to: SocketAddr) -> io::Result<()> {
        if let Some(LocalEnd::Ip(address, port)) = &self.options.bind {
            let any = || match to {
                SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
            };
            let local = SocketAddr::new(address.unwrap_or_else(any), *port);
            if *port == 0 {
                // The port is chosen when the peer is known, so that it need not be free for others.
                let level = libc::IPPROTO_IP;
                set_option(std::os::fd::AsFd::as_fd(fd), level, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
            }
            rustix::net::bind(fd, &local)
                .map_err(|error| Address::from(local).failed("bind to", error))?;
        }
        Ok(())
    }

    fn connect_udp(&self, to: SocketAddr) -> io::Result<Datagram> {
        if is_many(to.ip(), self.options.broadcast == Some(true))? {
            return self.connect_many(vec![to]).map_err(|failures| {
                let failure = failures.into_iter().next().map(|(_, error)| error);
                failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())
            });
        }
        let fd = self.socket(SocketType::DGRAM, to)?;
        let address = Address::from(to);
        rustix::net::connect(&fd, &to).map_err(|error| address.failed("connect to", error))?;
        Datagram::new(Reactor::current(), Raw::Fd(fd), address.family())
    }

    fn connect_unix_datagram(&self, to: &Address) -> io::Result<Connected> {
        let own = match &self.options.bind {
            Some(LocalEnd::Unix(name)) => name.clone(),
            _ => UnixAddress::Unnamed,
        };
        let (fd, file): (OwnedFd, Option<SocketFile>) =
            unix::bind(&own, SocketType::DGRAM, &self.options).map_err(|(operation, error)| {
                Address::Unix(own.clone()).explain(operation, error)
            })?;
        let failed = |error: Errno| to.failed("connect to", error);
        let encoded = to.encode().map_err(failed)?;
        retry_on_intr(|| rustix::net::connect(&fd, &encoded)).map_err(failed)?;
        let mut made = Datagram::new(Reactor::current(), Raw::Fd(fd), AddressFamily::UNIX)?;
        made.file = file;
        Ok(Connected::Datagram(made))
    }
}
