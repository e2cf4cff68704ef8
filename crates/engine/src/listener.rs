//! Listening sockets: bound before anything runs, so that a failure is told at once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::Poll;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

use crate::address::Address;
use crate::driver::{Accepted, Raw, Side};
use crate::endpoint::{EndpointKind, ip_socket};
use crate::error::CallError;
use crate::reactor::Reactor;
use crate::serve::Counted;
use crate::slab::Key;
use crate::socket_options::SocketOptions;
use crate::stream::Stream;
use crate::unix::{self, SocketFile};

/// Connections the kernel holds ready for accept; `net.core.somaxconn` bounds it further.
pub const BACKLOG: u32 = 4096;

/// listen(2).
pub(crate) fn listen(socket: &OwnedFd, options: &SocketOptions) -> Result<(), Errno> {
    let backlog = options.backlog.unwrap_or(BACKLOG);
    rustix::net::listen(socket, i32::try_from(backlog).unwrap_or(i32::MAX))
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
        let options = SocketOptions::default();
        let (fd, file) = match local {
            Address::Ip(address) => ip_socket(EndpointKind::Tcp, *address, &options, false)
                .and_then(|fd| {
                    listen(&fd, &options).map_err(|error| ("listen on", error.into()))?;
                    Ok((fd, None))
                }),
            Address::Unix(name) => unix::bind(name, SocketType::STREAM, &options),
        }
        .map_err(|(operation, error)| local.explain(operation, error))?;
        Listener::new(fd, file)
    }

    /// Of a server, which may pass it on to its successor.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Listener> {
        let listener = Listener::new(fd, None)?;
        listener.reactor.driver.share(listener.key)?;
        Ok(listener)
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

    /// Lends the descriptor, for socket options.
    pub fn with_fd(&self, look: impl FnOnce(BorrowedFd<'_>)) {
        let mut look = Some(look);
        self.reactor.driver.with_fd(self.key, &mut |fd| {
            if let Some(look) = look.take() {
                look(fd);
            }
        });
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
