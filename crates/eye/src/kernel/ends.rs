//! The kernel's last word on TCP sockets that it lets go of (sock_diag(7), `SKNLGRP_INET_TCP_DESTROY`
//! and `SKNLGRP_INET6_TCP_DESTROY`). Needs no privilege.
//!
//! A socket is let go of when nobody holds it any more and the wire has nothing more to say to it. One
//! that goes to TIME-WAIT is, too: what waits there is a smaller thing in its place.
//!
//! The kernel tells of every socket of the network namespace. A classic BPF program on the netlink
//! socket lets through those that have a watched port at either end, so that the eye sleeps while
//! others come and go.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libc::sock_filter;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink, sockopt};

use super::aftermath::DiagError;
use super::facts::last_counts;
use super::sockets::{NLMSG_ERROR, each, socket};
use crate::capture::Targets;
use crate::capture::filter::{
    EQUAL, LOAD_HALF, MAX_PORTS, RETURN, WHOLE, attach_program, instruction,
};
use crate::record::KernelFacts;

/// The groups of TCP over IPv4 and over IPv6, 1 and 3, as bits (include/uapi/linux/sock_diag.h).
const GROUPS: u32 = 1 << 0 | 1 << 2;

/// What waits in the kernel until the eye comes; more than this the kernel permits to few.
const ROOM: usize = 1 << 20;

/// One message is a few hundred bytes long.
const BUFFER: usize = 8192;

/// Where the ports stand in a message: `idiag_sport` and `idiag_dport`, four and six bytes into the
/// `inet_diag_msg` (linux/inet_diag.h) behind a `nlmsghdr` of sixteen (netlink(7)).
const PORTS: [u32; 2] = [20, 22];

/// Hears of the TCP sockets of this network namespace that are let go of and have a watched port.
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
    /// Begins to listen for sockets with a port of these targets at either end, whichever their
    /// addresses; of more than [`MAX_PORTS`] ports, for all sockets.
    ///
    /// # Errors
    /// [`DiagError::Call`] if the kernel does not permit it, or has no such groups.
    pub fn open<'a>(targets: impl Into<Targets<'a>>) -> Result<Ends, DiagError> {
        let failed =
            |operation| move |errno: Errno| DiagError::Call { operation, source: errno.into() };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)
                .map_err(failed("socket"))?;
        // With less there would be more to count as lost.
        let _ = sockopt::set_socket_recv_buffer_size(&socket, ROOM);
        let ends = Ends { socket, buffer: vec![0; BUFFER], lost: 0 };
        // Before the first message may come.
        ends.watch(targets)?;
        let groups = SocketAddrNetlink::new(0, GROUPS);
        rustix::net::bind(&ends.socket, &groups).map_err(failed("bind"))?;
        Ok(ends)
    }

    /// Listens for these targets instead, from now on.
    ///
    /// # Errors
    /// [`DiagError::Call`] if the kernel has no memory for it; then it listens for the former ones.
    pub fn watch<'a>(&self, targets: impl Into<Targets<'a>>) -> Result<(), DiagError> {
        let targets = targets.into();
        let all = [targets.listeners, targets.peers, targets.others].concat();
        let mut ports: Vec<u16> = all.iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        attach_program(self.socket.as_fd(), &program(&ports))
            .map_err(|source| DiagError::Call { operation: "SO_ATTACH_FILTER", source })
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

/// Passes messages with one of these ports at either end; all of them if the ports are too many.
fn program(ports: &[u16]) -> Vec<sock_filter> {
    if ports.len() > MAX_PORTS {
        return vec![instruction(RETURN, 0, WHOLE)];
    }
    let pass = PORTS.len() * (1 + ports.len()) + 1;
    let mut program = Vec::with_capacity(pass + 1);
    for place in PORTS {
        program.push(instruction(LOAD_HALF, 0, place));
        for &port in ports {
            let distance = u8::try_from(pass - program.len() - 1)
                .expect("MAX_PORTS keeps every jump within 255 instructions");
            program.push(instruction(EQUAL, distance, u32::from(port)));
        }
    }
    program.extend([instruction(RETURN, 0, 0), instruction(RETURN, 0, WHOLE)]);
    program
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
            let listener = TcpListener::bind(address).unwrap();
            let mut ends = Ends::open(&[listener.local_addr().unwrap()]).unwrap();
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
            let mut ends = Ends::open(&[listener.local_addr().unwrap()]).unwrap();
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut ends = Ends::open(&[address]).unwrap();
        sockopt::set_socket_recv_buffer_size(&ends.socket, 1).unwrap();
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

    /// A connection that was made and is no more at either end; the client's address.
    fn come_and_gone(listener: &TcpListener) -> SocketAddr {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let local = client.local_addr().unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        local
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn whatever_ends_at_other_ports_leaves_it_asleep() {
        let ((ours, our_address), (others, _)) = (listener(), listener());
        for targets in [
            Targets::listeners(&[our_address]),
            Targets::peers(&[our_address]),
            Targets::others(&[our_address]),
        ] {
            let mut ends = Ends::open(targets).unwrap();
            for _ in 0..2000 {
                come_and_gone(&others);
            }
            let local = come_and_gone(&ours);
            // The first message that is there at all is of ours, with its port at this end or that.
            poll(&mut [PollFd::new(&ends, PollFlags::IN)], None).unwrap();
            let mut told = Vec::new();
            ends.drain(|end| told.push(end));
            assert!(!told.is_empty());
            for end in &told {
                assert!([end.local, end.peer].contains(&local), "{end:?}");
            }
            assert_eq!(ends.take_lost(), 0);
            if !told.iter().any(|end| end.local == our_address) {
                assert_eq!(gone(&mut ends, our_address).peer, local);
            }
        }
    }

    #[test]
    fn a_listener_that_joins_is_heard_of_beside_the_first_one() {
        let ((one, first), (other, second)) = (listener(), listener());
        let mut ends = Ends::open(&[first]).unwrap();
        ends.watch(&[first, second]).unwrap();
        for listener in [&one, &other] {
            let local = come_and_gone(listener);
            assert_eq!(gone(&mut ends, local).peer, listener.local_addr().unwrap());
        }
    }

    #[test]
    fn of_more_ports_than_a_program_holds_all_are_heard_of() {
        let (listener, _) = listener();
        for ports in [64, 65] {
            // None of them is the listener's or the client's: the kernel chooses from 32768 on.
            let targets: Vec<SocketAddr> = (20_000..20_000 + ports)
                .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
                .collect();
            let mut ends = Ends::open(&targets).unwrap();
            let local = come_and_gone(&listener);
            if ports == 65 {
                gone(&mut ends, local);
            } else {
                ends.drain(|end| panic!("{end:?}"));
            }
        }
    }
}
