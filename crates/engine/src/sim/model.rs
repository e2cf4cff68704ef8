//! What the driver asks of a simulated network: the seam at which another model can stand.
//!
//! The one that is here, [`Network`](super::network::Network), moves bytes through ordered pipes.
//! A model with a TCP of its own underneath, which carries real segments, answers the same questions
//! and brings its segments to whoever looks on; driver, plans, transcripts and tests stay as they are.
//!
//! # Kinds of calls and their order
//!
//! 1. [`Model::listen`], [`Model::connect`], [`Model::bind_datagram`] and [`Model::accept`] give
//!    numbers to sockets, which are never used again; [`Model::close`] ends each.
//! 2. Operations answer at once or with `EAGAIN`. After that the model reports the socket once it
//!    is worth while to ask again; a report too many does no harm.
//! 3. [`Model::advance`] lets time pass, up to the [`Model::next_event`] as a rule; then
//!    [`Model::take_woken`] says which sockets changed. Nothing else moves the clock.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;

pub(crate) trait Model {
    /// Since the start.
    fn now(&self) -> Duration;

    /// When something happens next by itself.
    fn next_event(&self) -> Option<Duration>;

    /// Lets everything happen that happens up to `until`, which is then the present.
    fn advance(&mut self, until: Duration);

    /// The sockets at which something changed since this was asked last, in order.
    fn take_woken(&mut self) -> Vec<(u32, Interest)>;

    /// A listening socket; port 0 for one that is free. `EADDRINUSE`.
    fn listen(&mut self, address: SocketAddr, backlog: usize) -> Result<u32, Errno>;

    /// The next connection that waits at a listener.
    fn accept(&mut self, listener: u32) -> Result<u32, Errno>;

    /// A socket that begins to connect from a host.
    fn connect(&mut self, from: IpAddr, to: SocketAddr) -> Result<u32, Errno>;

    /// How connecting went. `ECONNREFUSED`, `ETIMEDOUT`.
    fn connected(&mut self, socket: u32) -> Result<(), Errno>;

    /// `send(2)`: how many bytes were taken.
    fn send(&mut self, socket: u32, bytes: &[u8]) -> Result<usize, Errno>;

    /// `recv(2)`: how many bytes came; 0 at the end of the stream.
    fn recv(&mut self, socket: u32, room: &mut [u8]) -> Result<usize, Errno>;

    /// `shutdown(2)` of the sending half.
    fn shutdown_write(&mut self, socket: u32) -> Result<(), Errno>;

    /// A socket for datagrams; port 0 for one that is free. `EADDRINUSE`.
    fn bind_datagram(&mut self, address: SocketAddr) -> Result<u32, Errno>;

    /// `sendto(2)`. `EMSGSIZE`.
    fn send_to(&mut self, socket: u32, bytes: &[u8], to: SocketAddr) -> Result<usize, Errno>;

    /// Datagrams come from `peer` alone from now on.
    fn connect_datagram(&mut self, socket: u32, peer: SocketAddr) -> Result<(), Errno>;

    /// The next datagram, cut off at `room` bytes; with `peek`, it stays.
    fn recv_from(&mut self, socket: u32, room: usize, peek: bool) -> Result<Received, Errno>;

    /// RST to the peer, and nothing more either way: `close(2)` with a linger of zero (socket(7)), but
    /// for the closing.
    fn reset(&mut self, socket: u32) -> Result<(), Errno>;

    /// `close(2)`.
    fn close(&mut self, socket: u32);

    /// Our address, and the peer's.
    fn addresses(&self, socket: u32) -> Result<(SocketAddr, Option<SocketAddr>), Errno>;

    /// A few words for whoever wants to know who waits.
    fn describe(&self, socket: u32) -> String;
}

/// What a task waits for at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

/// A datagram that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
    /// Its length as it was sent.
    pub(crate) len: usize,
}
