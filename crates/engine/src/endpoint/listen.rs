//! Listening at an endpoint of any kind.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType, sockopt};

use super::{Endpoint, EndpointKind, ListenError};
use crate::address::{Address, UnixAddress};
use crate::datagram::Datagram;
use crate::describe::{SocketDescription, describe};
use crate::driver::Raw;
use crate::listener::{Listener, listen};
use crate::reactor::Reactor;
use crate::seqpacket::SeqpacketListener;
use crate::socket_options::{Purpose, SocketOptions, apply};
use crate::stream::address;
use crate::unix::{self, Failed, SocketFile};

/// A socket that others find, of any kind.
#[allow(clippy::large_enum_variant, reason = "a process has a handful of them")]
pub enum Listening {
    /// `tcp:` and `unix:`.
    Stream(Listener),
    /// `unix-seqpacket:`.
    Seqpacket(SeqpacketListener),
    /// `udp:` and `unix-dgram:`, which have no connections: answers go by the address a message
    /// came from.
    Datagram(Datagram),
}

impl Listening {
    /// Its address, with the port or name that the kernel chose.
    ///
    /// # Errors
    ///
    /// The kernel's word; none is known for a socket that is open.
    pub fn local_addr(&self) -> io::Result<Address> {
        match self {
            Listening::Stream(listener) => listener.local_addr(),
            Listening::Seqpacket(listener) => listener.local_addr(),
            Listening::Datagram(socket) => socket.local_addr(),
        }
    }

    /// What its socket is, with every option.
    ///
    /// # Errors
    ///
    /// As [`describe`].
    pub fn describe(&self) -> io::Result<SocketDescription> {
        let mut described = Err(io::ErrorKind::Unsupported.into());
        let look = |fd: BorrowedFd<'_>| described = describe(fd);
        match self {
            Listening::Stream(listener) => listener.with_fd(look),
            Listening::Seqpacket(listener) => listener.with_fd(look),
            Listening::Datagram(socket) => socket.with_fd(look),
        }
        described
    }
}

/// A socket that others find already, and that no engine has yet: bound first, so that whoever looks
/// on knows the port before anything happens. Dropping it closes it.
pub struct BoundSocket {
    kind: EndpointKind,
    local: Address,
    fd: OwnedFd,
    file: Option<SocketFile>,
}

impl BoundSocket {
    /// What kind of socket it is.
    #[must_use]
    pub fn kind(&self) -> EndpointKind {
        self.kind
    }

    /// Its address, with the port or name that the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> &Address {
        &self.local
    }

    /// Hands it to the calling thread's engine.
    ///
    /// # Errors
    ///
    /// What the driver says when it can't watch the descriptor.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub fn watch(self) -> io::Result<Listening> {
        adopt(self.kind, self.fd, self.file)
    }
}

impl Endpoint {
    /// As [`Endpoint::listen`], but outside of an engine; resolving the name, it waits.
    ///
    /// ```
    /// use sockeye_engine::{DriverKind, Endpoint, Engine, Listening};
    ///
    /// let endpoint: Endpoint = "tcp://127.0.0.1:0".parse()?;
    /// let bound = endpoint.bind()?.pop().expect("it has one address");
    /// assert_ne!(bound.local_addr().ip().map(|address| address.port()), Some(0));
    /// let engine = Engine::new(DriverKind::EpollEdge)?;
    /// let listening = engine.block_on(async { bound.watch() })?;
    /// assert!(matches!(listening, Listening::Stream(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Endpoint::listen`].
    pub fn bind(&self) -> Result<Vec<BoundSocket>, ListenError> {
        let failed = |error| ListenError::new(self, "resolve", error);
        let addresses = self.resolve().map_err(failed)?;
        let mut all = Vec::new();
        for Place { local, sockets, mut file } in bind(self, addresses, 1)? {
            for fd in sockets {
                let local = local.clone();
                all.push(BoundSocket { kind: self.kind(), local, fd, file: file.take() });
            }
        }
        Ok(all)
    }

    /// Listens on every address of the endpoint, with its options: a name may have several, and
    /// `localhost` has one of each family. They share a port where the system chooses it. Addresses
    /// that this machine does not have are left out, as long as it has one.
    ///
    /// # Errors
    ///
    /// Names the endpoint, the call that failed and the way out; where an address is in use, by whom.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what it has bound.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub async fn listen(&self) -> Result<Vec<Listening>, ListenError> {
        let failed = |operation, error| ListenError::new(self, operation, error);
        if self.is_broadcast() {
            let why = "broadcast stands for all others; listen at udp://0.0.0.0:PORT to hear them";
            return Err(failed("listen", io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let addresses = match self.kind().is_ip() {
            true => self.addresses(None).await.map_err(|error| failed("resolve", error))?,
            false => Vec::new(),
        };
        let mut all = Vec::new();
        for place in bind(self, addresses, 1)? {
            let Place { sockets, mut file, .. } = place;
            for fd in sockets {
                let adopted = adopt(self.kind(), fd, file.take());
                all.push(adopted.map_err(|error| failed("watch", error))?);
            }
        }
        Ok(all)
    }
}

fn adopt(kind: EndpointKind, fd: OwnedFd, file: Option<SocketFile>) -> io::Result<Listening> {
    Ok(match kind {
        EndpointKind::UnixSeqpacket => Listening::Seqpacket(SeqpacketListener::new(fd, file)?),
        EndpointKind::Udp | EndpointKind::UnixDatagram => {
            let family = sockopt::socket_domain(&fd)?;
            let mut socket = Datagram::new(Reactor::current(), Raw::Fd(fd), family)?;
            socket.file = file;
            Listening::Datagram(socket)
        }
        _ => Listening::Stream(Listener::new(fd, file)?),
    })
}

/// Where somebody listens.
pub(crate) struct Place {
    pub(crate) local: Address,
    /// One for each thread.
    pub(crate) sockets: Vec<OwnedFd>,
    /// What a Unix socket has in a folder.
    pub(crate) file: Option<SocketFile>,
}

/// Binds `copies` stream sockets to each address of the endpoint, so that as many threads may accept
/// without sharing a queue (`SO_REUSEPORT`). A Unix socket has one queue for all of them.
pub(crate) fn bind_streams(endpoint: &Endpoint, copies: usize) -> Result<Vec<Place>, ListenError> {
    let failed = |operation, error| ListenError::new(endpoint, operation, error);
    if !matches!(endpoint.kind(), EndpointKind::Tcp | EndpointKind::Unix) {
        let why =
            "a server of connections can't listen there; write tcp://HOST:PORT or unix:///PATH";
        return Err(failed("listen", io::Error::new(io::ErrorKind::InvalidInput, why)));
    }
    let addresses = endpoint.resolve().map_err(|error| failed("resolve", error))?;
    bind(endpoint, addresses, copies)
}

fn bind(
    endpoint: &Endpoint,
    addresses: Vec<SocketAddr>,
    copies: usize,
) -> Result<Vec<Place>, ListenError> {
    let failed = |(operation, error)| ListenError::new(endpoint, operation, error);
    if let Some(option) = endpoint.options.unfit(endpoint.kind(), Purpose::Listen) {
        let why = format!("{option} is for connecting; leave it out to listen");
        return Err(failed(("listen", io::Error::new(io::ErrorKind::InvalidInput, why))));
    }
    match endpoint.kind() {
        EndpointKind::Standard => {
            let why = "standard input and output can't be listened on; connect to it";
            Err(failed(("listen", io::Error::new(io::ErrorKind::InvalidInput, why))))
        }
        EndpointKind::Tcp | EndpointKind::Udp => bind_ip(endpoint, &addresses, copies),
        EndpointKind::Unix | EndpointKind::UnixDatagram | EndpointKind::UnixSeqpacket => {
            let name = endpoint.unix().unwrap_or(&UnixAddress::Unnamed);
            let place = bind_unix(endpoint.kind(), name, &endpoint.options, copies);
            place.map(|place| vec![place]).map_err(failed)
        }
    }
}

/// How often a port is looked for that is free on all addresses of a name.
const TRIES: usize = 16;

fn bind_ip(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    copies: usize,
) -> Result<Vec<Place>, ListenError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match bind_addresses(endpoint, addresses, copies) {
            // The port that the kernel chose on the first address is taken on another.
            Err(InUse { chosen: true, .. }) if tries < TRIES => {}
            result => return result.map_err(|failed| failed.error),
        }
    }
}

/// An address could not be had.
struct InUse {
    error: ListenError,
    /// Another try may have more luck.
    chosen: bool,
}

fn bind_addresses(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    copies: usize,
) -> Result<Vec<Place>, InUse> {
    let failed_at = |(operation, error), address: Option<SocketAddr>| {
        let address = address.map(Address::Ip);
        let error = ListenError::at(endpoint, operation, error, address.as_ref());
        InUse { error, chosen: false }
    };
    let mut bound: Vec<Place> = Vec::new();
    let mut skipped = None;
    for wanted in addresses {
        let mut wanted = *wanted;
        let failed = move |failure| failed_at(failure, Some(wanted));
        let chosen = match (wanted.port(), bound.first().and_then(|place| place.local.ip())) {
            (0, Some(first)) => {
                wanted.set_port(first.port());
                true
            }
            _ => false,
        };
        // Alone first: a socket that shares its port would quietly join another server of ours.
        let first = match ip_socket(endpoint.kind(), wanted, &endpoint.options, false) {
            Ok(first) => first,
            // A name may stand for addresses this machine does not have (::1 without IPv6).
            Err((operation, error))
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)
                ) =>
            {
                skipped = Some(failed((operation, error)));
                continue;
            }
            Err((operation, error)) => {
                let chosen = chosen && error.kind() == io::ErrorKind::AddrInUse;
                return Err(InUse { chosen, ..failed((operation, error)) });
            }
        };
        let local = address(rustix::net::getsockname(&first));
        let local = local.map_err(|error| failed(("getsockname", error)))?;
        let mut sockets = vec![first];
        if copies > 1 {
            sockets.clear();
            wanted.set_port(local.port());
            for _ in 0..copies {
                let copy = ip_socket(endpoint.kind(), wanted, &endpoint.options, true);
                sockets.push(copy.map_err(failed)?);
            }
        }
        if endpoint.kind() == EndpointKind::Tcp {
            for socket in &sockets {
                listen(socket, &endpoint.options)
                    .map_err(|error| failed(("listen", error.into())))?;
            }
        }
        bound.push(Place { local: Address::Ip(local), sockets, file: None });
    }
    match (bound.is_empty(), skipped) {
        (true, Some(error)) => Err(error),
        (true, None) => {
            let why = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            Err(failed_at(("resolve", why), None))
        }
        (false, _) => Ok(bound),
    }
}

fn bind_unix(
    kind: EndpointKind,
    name: &UnixAddress,
    options: &SocketOptions,
    copies: usize,
) -> Result<Place, Failed> {
    let socket = match kind {
        EndpointKind::UnixDatagram => SocketType::DGRAM,
        EndpointKind::UnixSeqpacket => SocketType::SEQPACKET,
        _ => SocketType::STREAM,
    };
    let (socket, file) = unix::bind(name, socket, options)?;
    let local = rustix::net::getsockname(&socket).and_then(Address::decode);
    let local = local.map_err(|error| ("getsockname", error.into()))?;
    let mut sockets = Vec::new();
    for _ in 1..copies {
        sockets.push(socket.try_clone().map_err(|error| ("dup", error))?);
    }
    sockets.push(socket);
    Ok(Place { local, sockets, file })
}

/// A socket that is bound and does not listen yet.
pub(crate) fn ip_socket(
    kind: EndpointKind,
    local: SocketAddr,
    options: &SocketOptions,
    share: bool,
) -> Result<OwnedFd, Failed> {
    let at = |operation| move |error: Errno| (operation, io::Error::from(error));
    let family = Address::from(local).family();
    let socket = match kind {
        EndpointKind::Udp => SocketType::DGRAM,
        _ => SocketType::STREAM,
    };
    let socket = rustix::net::socket_with(family, socket, SocketFlags::CLOEXEC, None)
        .map_err(at("socket"))?;
    apply(&socket, kind, options, Purpose::Listen, Some(local))
        .map_err(|error| ("setsockopt", error.into_io()))?;
    if share {
        sockopt::set_socket_reuseport(&socket, true).map_err(at("setsockopt"))?;
    }
    if kind == EndpointKind::Udp && local.is_ipv6() {
        // What it is bound to is what was written: [::] is not 0.0.0.0 too.
        sockopt::set_ipv6_v6only(&socket, true).map_err(at("setsockopt"))?;
    }
    rustix::net::bind(&socket, &local).map_err(at("bind"))?;
    Ok(socket)
}
