//! Listening sockets: bound before anything runs, so that a failure is told at once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::task::Poll;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::address::{Address, UnixAddress};
use crate::driver::{Accepted, Raw, Side};
use crate::endpoint::Endpoint;
use crate::error::CallError;
use crate::reactor::Reactor;
use crate::serve::Counted;
use crate::slab::Key;
use crate::stream::{Stream, address};
use crate::unix::{self, SocketFile};

/// Connections the kernel holds ready for accept; `net.core.somaxconn` bounds it further.
pub const BACKLOG: u32 = 4096;

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
#[error("{endpoint}: {operation}: {source}{hint}")]
pub struct ListenError {
    endpoint: Endpoint,
    operation: &'static str,
    source: Reason,
    hint: String,
}

/// The kernel's reason in lower-case words, without its number.
#[derive(Debug, thiserror::Error)]
#[error("{}", words(.0))]
struct Reason(io::Error);

fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

impl ListenError {
    fn new(endpoint: &Endpoint, operation: &'static str, source: io::Error) -> ListenError {
        let port = endpoint.port();
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse if endpoint.unix().is_some() => {
                " (another program listens there; see which: ss -xlp)".to_owned()
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
                if endpoint.unix().is_some() =>
            {
                " (its folder must be there and may be written)".to_owned()
            }
            io::ErrorKind::AddrInUse => format!(
                " (another program listens there; see which: ss -ltnp 'sport = :{port}'; or try --port 0 for a free one)"
            ),
            io::ErrorKind::PermissionDenied if port < 1024 && port > 0 => {
                let other = if port == 80 || port == 443 { 8000 + port } else { 8000 };
                format!(" (ports below 1024 need CAP_NET_BIND_SERVICE; try --port {other})")
            }
            io::ErrorKind::AddrNotAvailable => {
                " (no interface of this machine has this address; see: ip addr)".to_owned()
            }
            _ if operation == "resolve" => {
                " (write an address, or check the name: getent hosts NAME)".to_owned()
            }
            _ => String::new(),
        };
        ListenError { endpoint: endpoint.clone(), operation, source: Reason(source), hint }
    }
}

/// Where somebody listens.
pub(crate) struct Place {
    pub(crate) local: Address,
    /// One for each thread.
    pub(crate) sockets: Vec<OwnedFd>,
    /// What a Unix socket has in a folder.
    pub(crate) file: Option<SocketFile>,
}

/// Binds `copies` sockets to each address of the endpoint, so that as many threads may accept
/// without sharing a queue (`SO_REUSEPORT`). A Unix socket has one queue for all of them.
pub(crate) fn bind(endpoint: &Endpoint, copies: usize) -> Result<Vec<Place>, ListenError> {
    let failed = |operation, error| ListenError::new(endpoint, operation, error);
    if let Some(name) = endpoint.unix() {
        let place = bind_unix(name, copies);
        return place
            .map(|place| vec![place])
            .map_err(|(operation, error)| failed(operation, error));
    }
    let mut addresses = endpoint.resolve().map_err(|error| failed("resolve", error))?;
    addresses.dedup();
    let mut bound = Vec::new();
    let mut skipped = None;
    for mut wanted in addresses {
        // Alone first: a socket that shares its port would quietly join another server of ours.
        let first = match socket(wanted, false) {
            Ok(first) => first,
            // A name may stand for addresses this machine does not have (::1 without IPv6).
            Err((operation, error)) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                skipped = Some(failed(operation, error));
                continue;
            }
            Err((operation, error)) => return Err(failed(operation, error)),
        };
        let local = address(rustix::net::getsockname(&first));
        let local = local.map_err(|error| failed("getsockname", error))?;
        let mut sockets = vec![first];
        if copies > 1 {
            sockets.clear();
            wanted.set_port(local.port());
            for _ in 0..copies {
                let copy = socket(wanted, true);
                sockets.push(copy.map_err(|(operation, error)| failed(operation, error))?);
            }
        }
        for socket in &sockets {
            listen(socket).map_err(|error| failed("listen", error.into()))?;
        }
        bound.push(Place { local: Address::Ip(local), sockets, file: None });
    }
    match (bound.is_empty(), skipped) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(failed(
            "resolve",
            io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        )),
        (false, _) => Ok(bound),
    }
}

fn bind_unix(name: &UnixAddress, copies: usize) -> Result<Place, unix::Failed> {
    let (socket, file) = unix::bind(name, SocketType::STREAM)?;
    listen(&socket).map_err(|error| ("listen", error.into()))?;
    let local = rustix::net::getsockname(&socket).and_then(Address::decode);
    let local = local.map_err(|error| ("getsockname", error.into()))?;
    let mut sockets = Vec::new();
    for _ in 1..copies {
        sockets.push(socket.try_clone().map_err(|error| ("dup", error))?);
    }
    sockets.push(socket);
    Ok(Place { local, sockets, file })
}

pub(crate) fn listen(socket: &OwnedFd) -> Result<(), Errno> {
    rustix::net::listen(socket, i32::try_from(BACKLOG).unwrap_or(i32::MAX))
}

fn socket(address: SocketAddr, share: bool) -> Result<OwnedFd, (&'static str, io::Error)> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
    let at = |operation| move |error: Errno| (operation, io::Error::from(error));
    let socket = rustix::net::socket_with(family, kind, flags, None).map_err(at("socket"))?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(at("setsockopt"))?;
    if share {
        sockopt::set_socket_reuseport(&socket, true).map_err(at("setsockopt"))?;
    }
    // Accepted sockets inherit it: what is flushed leaves at once, and what should wait says so.
    sockopt::set_tcp_nodelay(&socket, true).map_err(at("setsockopt"))?;
    rustix::net::bind(&socket, &address).map_err(at("bind"))?;
    Ok(socket)
}

/// A listening socket of one thread, TCP (tcp(7)) or Unix (unix(7)); dropping it closes it.
///
/// One task accepts at a time. To serve with several threads, limits and a graceful end, use
/// [`Bound`](crate::Bound).
///
/// ```
/// use sockeye_engine::{Address, DriverKind, Engine, Listener, Stream};
///
/// # fn main() -> std::io::Result<()> {
/// Engine::new(DriverKind::EpollEdge)?.block_on(async {
///     let name = Address::abstract_name(format!("example-{}", std::process::id()));
///     let listener = Listener::bind(&name)?;
///     let mut client = Stream::connect_to(&name, None).await?;
///     let mut server = listener.accept().await.expect("nobody stops this thread")?;
///     client.write(b"hello");
///     client.flush().await?;
///     assert_eq!(&server.recv().await?[..], b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct Listener {
    pub(crate) reactor: Rc<Reactor>,
    key: Key,
    _file: Option<SocketFile>,
}

impl Listener {
    /// Listens at the address. Port 0, and a Unix socket without a name, get one from the kernel. A
    /// file that a Unix socket left behind is replaced if nobody listens on it any more; our own is
    /// removed with the listener.
    ///
    /// # Errors
    ///
    /// `AddrInUse` when somebody listens there, `AlreadyExists` when a file of the name is no socket;
    /// what else bind(2) says.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub fn bind(local: &Address) -> io::Result<Listener> {
        let (fd, file) = match local {
            Address::Ip(address) => socket(*address, false).map(|fd| (fd, None)),
            Address::Unix(name) => unix::bind(name, SocketType::STREAM),
        }
        .and_then(|(fd, file)| {
            listen(&fd).map_err(|error| ("listen on", error.into()))?;
            Ok((fd, file))
        })
        .map_err(|(operation, error)| local.explain(operation, error))?;
        Listener::new(fd, file)
    }

    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Listener> {
        Listener::new(fd, None)
    }

    pub(crate) fn new(fd: OwnedFd, file: Option<SocketFile>) -> io::Result<Listener> {
        let reactor = Reactor::current();
        let local = rustix::net::getsockname(&fd)?;
        if let Some(probe) = &reactor.env.probe
            && let Ok(local) = SocketAddr::try_from(local.clone())
        {
            probe.listening(Some(fd.as_fd()), local);
        }
        let raw = match local.address_family() {
            AddressFamily::UNIX => Raw::Unix(fd),
            _ => Raw::Fd(fd),
        };
        let attached = reactor.driver.attach(raw, None);
        let key = attached.map_err(|error| CallError::naming("watch", Some(local), error))?;
        Ok(Listener { reactor, key, _file: file })
    }

    /// Its address, with the port or name that the kernel chose.
    ///
    /// # Errors
    ///
    /// The kernel's word; none is known for a socket that is open.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.reactor.driver.local(self.key)
    }

    /// The next connection (accept(2)); None when the thread is asked to stop and nobody waits.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors or the machine out of memory: pause before trying again.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: a connection that was accepted for nobody is closed, others stay
    /// in the queue.
    pub async fn accept(&self) -> Option<io::Result<Stream>> {
        let accepted = self.accept_raw().await?;
        Some(accepted.and_then(|accepted| self.stream(accepted, None)))
    }

    /// The next connection; None when the thread is asked to stop and nobody waits any more.
    pub(crate) async fn accept_raw(&self) -> Option<io::Result<Accepted>> {
        std::future::poll_fn(|cx| {
            if self.reactor.poll_budget(cx).is_pending() {
                return Poll::Pending;
            }
            match self.reactor.driver.poll_accept(self.key, cx) {
                Poll::Pending if self.reactor.stopping() => Poll::Ready(None),
                Poll::Ready(Err(error)) => Poll::Ready(Some(Err(self.explain("accept on", error)))),
                result => result.map(Some),
            }
        })
        .await
    }

    pub(crate) fn stream(
        &self,
        accepted: Accepted,
        counted: Option<Counted>,
    ) -> io::Result<Stream> {
        Stream::accepted(Rc::clone(&self.reactor), accepted, counted)
            .map_err(|error| self.explain("watch a connection accepted on", error))
    }

    /// What a user is told: the operation and where it was besides the reason.
    #[cold]
    pub(crate) fn explain(&self, operation: &'static str, error: io::Error) -> io::Error {
        let mut error = Some(error);
        self.reactor.driver.with_fd(self.key, &mut |fd| {
            error = error.take().map(|source| CallError::with_local(operation, fd, source));
        });
        error.unwrap_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reactor.driver.forget(self.key, Side::Read);
        self.reactor.driver.detach(self.key);
    }
}
