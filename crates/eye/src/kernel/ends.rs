//! The kernel's last word on TCP sockets that it lets go of (sock_diag(7), `SKNLGRP_INET_TCP_DESTROY`
//! and `SKNLGRP_INET6_TCP_DESTROY`). Needs no privilege.
//!
//! A socket is let go of when nobody holds it any more and the wire has nothing more to say to it. One
//! that goes to TIME-WAIT is, too: what waits there is a smaller thing in its place.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink, sockopt};

use super::aftermath::DiagError;
use super::facts::last_counts;
use super::sockets::{NLMSG_ERROR, each, socket};
use crate::record::KernelFacts;

/// The groups of TCP over IPv4 and over IPv6, 1 and 3, as bits (include/uapi/linux/sock_diag.h).
const GROUPS: u32 = 1 << 0 | 1 << 2;

/// What waits in the kernel until the eye comes; more than this the kernel permits to few.
const ROOM: usize = 1 << 20;

/// One message is a few hundred bytes long.
const BUFFER: usize = 8192;

/// Hears of every TCP socket of this network namespace that is let go of.
#[derive(Debug)]
pub struct Ends {
    socket: OwnedFd,
    buffer: Vec<u8>,
    lost: u64,
}

/// A socket that was let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetGo {
    /// Its address; IPv4 where IPv4 is spoken.
    pub local: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
    /// Its last counters. Its bytes acknowledged and received have a SYN and a FIN among them, where
    /// there was one.
    pub facts: KernelFacts,
}

impl Ends {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`DiagError::Call`] if the kernel does not permit it, or has no such groups.
    pub fn open() -> Result<Ends, DiagError> {
        let failed =
            |operation| move |errno: Errno| DiagError::Call { operation, source: errno.into() };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)
                .map_err(failed("socket"))?;
        // With less there would be more to count as lost.
        let _ = sockopt::set_socket_recv_buffer_size(&socket, ROOM);
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS)).map_err(failed("bind"))?;
        Ok(Ends { socket, buffer: vec![0; BUFFER], lost: 0 })
    }

    /// Shows all that were let go of since this was last asked.
    pub fn drain(&mut self, mut show: impl FnMut(LetGo)) {
        loop {
            let fd = self.socket.as_fd();
            let length = match rustix::net::recv(fd, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) => length,
                // netlink(7): some were dropped, how many is not known.
                Err(Errno::NOBUFS) => {
                    self.lost += 1;
                    continue;
                }
                // It is empty, or it never says anything again.
                Err(_) => return,
            };
            each(self.buffer.get(..length).unwrap_or_default(), |kind, _, body| {
                if kind != NLMSG_ERROR
                    && let Some((socket, info)) = socket(body)
                {
                    let (local, peer, mut facts) = (socket.local, socket.peer, socket.facts);
                    (facts.bytes_acked, facts.bytes_received) = last_counts(info);
                    show(LetGo { local, peer, facts });
                }
            });
        }
    }

    /// How many times the kernel had no room since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

impl AsFd for Ends {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    /// The socket with this address, once it was let go of.
    fn gone(ends: &mut Ends, local: SocketAddr) -> LetGo {
        loop {
            let mut found = None;
            ends.drain(|end| found = found.take().or((end.local == local).then_some(end)));
            if let Some(found) = found {
                return found;
            }
            poll(&mut [PollFd::new(&*ends, PollFlags::IN)], None).unwrap();
        }
    }

    #[test]
    fn both_ends_are_told_of_with_their_last_counters() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let mut ends = Ends::open().unwrap();
            let listener = TcpListener::bind(address).unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            client.write_all(b"hello").unwrap();
            server.read_exact(&mut [0; 5]).unwrap();
            let (local, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            drop(client);
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
            drop(server);
            // The one that closed first, on its way to TIME-WAIT: SYN, five bytes, FIN.
            let first = gone(&mut ends, local);
            assert_eq!((first.peer, first.facts.bytes_acked), (peer, Some(7)));
            assert_eq!(first.facts.retransmits, Some(0));
            let mut ends = Ends::open().unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            let local = client.local_addr().unwrap();
            drop(server);
            drop(client);
            let last = gone(&mut ends, local);
            assert_eq!(last.facts.bytes_received, Some(1), "the FIN of the other one");
        }
    }

    #[test]
    fn what_found_no_room_is_counted() {
        let mut ends = Ends::open().unwrap();
        sockopt::set_socket_recv_buffer_size(&ends.socket, 1).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut lost = 0;
        while lost == 0 {
            for _ in 0..50 {
                drop(TcpStream::connect(address).unwrap());
                drop(listener.accept().unwrap());
            }
            ends.drain(|_| ());
            lost = ends.take_lost();
        }
        assert_eq!(ends.take_lost(), 0, "it was told");
    }
}
