//! What the hand-written loops share: the listening socket, and descriptors as indices.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Context;
use rustix::event::epoll::EventData;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt,
};

/// A non-blocking listener on 127.0.0.1 and where it listens; port 0 takes a free one.
pub(crate) fn listen_on(port: u16) -> anyhow::Result<(OwnedFd, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    // Accepted sockets inherit it, which spares a call a connection.
    sockopt::set_tcp_nodelay(&listener, true)?;
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("127.0.0.1:{port}: bind"))?;
    listen(&listener, 4096)?;
    let address = SocketAddr::try_from(getsockname(&listener)?)?;
    Ok((listener, address))
}

pub(crate) fn data_of(fd: &impl AsRawFd) -> EventData {
    EventData::new_u64(slot_of(fd) as u64)
}

/// The kernel hands out the lowest free number, so a table indexed by descriptors stays dense.
pub(crate) fn slot_of(fd: &impl AsRawFd) -> usize {
    fd.as_raw_fd().unsigned_abs() as usize
}
