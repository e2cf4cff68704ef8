//! Sequenced packets (unix(7), `SOCK_SEQPACKET`): connections whose messages keep their borders.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};

use crate::address::{Address, UnixAddress};
use crate::connect::{connect_unix_socket, unix_socket};
use crate::datagram::Datagram;
use crate::driver::{Accepted, Raw};
use crate::listener::Listener;
use crate::probe::Role;
use crate::reactor::Reactor;
use crate::socket_options::SocketOptions;
use crate::unix::{self, SocketFile};

/// A listening Unix socket of sequenced packets; dropping it closes it.
///
/// ```
/// use sockeye_engine::{Datagram, DriverKind, Engine, SeqpacketListener, UnixAddress};
///
/// # fn main() -> std::io::Result<()> {
/// Engine::new(DriverKind::EpollEdge)?.block_on(async {
///     let listener = SeqpacketListener::bind(&UnixAddress::Unnamed)?;
///     let client = Datagram::connect_seqpacket(&listener.local_addr()?, None).await?;
///     let server = listener.accept().await.expect("nobody stops this thread")?;
///     client.send(b"one").await?;
///     client.send(b"two").await?;
///     assert_eq!(&server.recv().await?.bytes[..], b"one");
///     assert_eq!(&server.recv().await?.bytes[..], b"two");
///     drop(client);
///     assert!(server.recv().await?.bytes.is_empty(), "the end");
///     Ok(())
/// })
/// # }
/// ```
pub struct SeqpacketListener {
    listener: Listener,
}

impl SeqpacketListener {
    /// Listens at the name, as [`Listener::bind`] does.
    ///
    /// # Errors
    ///
    /// As [`Listener::bind`].
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub fn bind(name: &UnixAddress) -> io::Result<SeqpacketListener> {
        let options = SocketOptions::default();
        let (fd, file) = unix::bind(name, SocketType::SEQPACKET, &options)
            .map_err(|(operation, error)| Address::Unix(name.clone()).explain(operation, error))?;
        SeqpacketListener::new(fd, file)
    }

    /// Of a socket that listens.
    pub(crate) fn new(fd: OwnedFd, file: Option<SocketFile>) -> io::Result<SeqpacketListener> {
        Ok(SeqpacketListener { listener: Listener::new(fd, file)? })
    }

    /// Its name, where the kernel chose it too.
    ///
    /// # Errors
    ///
    /// As [`Listener::local_addr`].
    pub fn local_addr(&self) -> io::Result<Address> {
        self.listener.local_addr()
    }

    /// Lends the descriptor, for socket options.
    pub fn with_fd(&self, look: impl FnOnce(BorrowedFd<'_>)) {
        self.listener.with_fd(look);
    }

    /// The next connection; None when the thread is asked to stop and nobody waits. As safe to drop
    /// as [`Listener::accept`].
    ///
    /// # Errors
    ///
    /// As [`Listener::accept`].
    pub async fn accept(&self) -> Option<io::Result<Datagram>> {
        let accepted = self.listener.accept_raw().await?;
        let reactor = Rc::clone(&self.listener.reactor);
        Some(accepted.and_then(|Accepted { raw, at, .. }| {
            Datagram::begun(reactor, raw, AddressFamily::UNIX, Role::Server, at)
        }))
    }
}

impl Datagram {
    /// Connects to a socket of sequenced packets, and waits for it no longer than `patience`.
    ///
    /// # Errors
    ///
    /// `NotFound` when it is not there, `ConnectionRefused` when nobody listens, `TimedOut` when
    /// its backlog stays full.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub async fn connect_seqpacket(
        address: &Address,
        patience: Option<Duration>,
    ) -> io::Result<Datagram> {
        let fd = unix_socket(SocketType::SEQPACKET)
            .map_err(|error| address.failed("connect to", error))?;
        connect_seqpacket(fd, address, patience).await
    }
}

/// Connects a socket of sequenced packets that does not block, and tells who looks on.
pub(crate) async fn connect_seqpacket(
    fd: OwnedFd,
    address: &Address,
    patience: Option<Duration>,
) -> io::Result<Datagram> {
    let reactor = Reactor::current();
    let start = reactor.env.started();
    connect_unix_socket(&fd, address, patience).await?;
    Datagram::begun(reactor, Raw::Unix(fd), AddressFamily::UNIX, Role::Client, start)
}
