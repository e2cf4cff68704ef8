//! How full the queues of connections are, without their descriptors (sock_diag(7)).
//!
//! Each is asked for by its addresses, many in one datagram: that costs a few microseconds a socket,
//! where a list of all sockets at a port walks the kernel's whole table.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use netlink_packet_sock_diag::inet::ExtensionFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use sockeye_engine::probe::{Role, Stamp};
use sockeye_wire::tcp::State;

use super::aftermath::{DiagError, question};
use super::facts::{our_fin_is_unacknowledged, their_fin_has_arrived};
use super::sockets::{NLMSG_ERROR, SocketSeen, each, socket};
use crate::record::QueueSample;

/// So many are asked for at once; the kernel has room for their answers.
const AT_ONCE: usize = 32;

/// An answer is a few hundred bytes long.
const BUFFER: usize = 4096;

/// A netlink socket that asks about connections.
#[derive(Debug)]
pub struct Queues {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Queues {
    /// Opens the netlink socket; needs no privilege.
    ///
    /// # Errors
    /// [`DiagError::Call`] if there is no netlink here.
    pub fn open() -> Result<Queues, DiagError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)
                .map_err(|errno| DiagError::Call { operation: "socket", source: errno.into() })?;
        Ok(Queues { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Asks about these ends, each given by its own address and its peer's, and shows the place and
    /// the answer of each that the kernel knows.
    ///
    /// # Errors
    /// [`DiagError::Call`] if a question could not be put.
    pub fn ask(
        &mut self,
        ends: &[(SocketAddr, SocketAddr)],
        mut found: impl FnMut(usize, SocketSeen),
    ) -> Result<(), DiagError> {
        for (group, ends) in ends.chunks(AT_ONCE).enumerate() {
            self.ask_some(ends, |place, socket| found(group * AT_ONCE + place, socket))?;
        }
        Ok(())
    }

    fn ask_some(
        &mut self,
        ends: &[(SocketAddr, SocketAddr)],
        mut found: impl FnMut(usize, SocketSeen),
    ) -> Result<(), DiagError> {
        let failed =
            |operation| move |errno: Errno| DiagError::Call { operation, source: errno.into() };
        let first = self.sequence.wrapping_add(1);
        let mut questions = Vec::new();
        for &(local, peer) in ends {
            self.sequence = self.sequence.wrapping_add(1);
            questions.extend(question(self.sequence, local, peer, ExtensionFlags::INFO));
        }
        rustix::net::send(&self.socket, &questions, SendFlags::empty()).map_err(failed("send"))?;
        // The kernel has answered all of them inside send.
        loop {
            let fd = self.socket.as_fd();
            let length = match rustix::net::recv(fd, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => return Ok(()),
                // Some answers found no room; the next sample will do.
                Err(Errno::NOBUFS) => continue,
                Err(errno) => return Err(failed("recv")(errno)),
            };
            each(self.buffer.get(..length).unwrap_or_default(), |kind, sequence, body| {
                let place = usize::try_from(sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                if kind != NLMSG_ERROR
                    && place < ends.len()
                    && let Some((socket, _)) = socket(body)
                    // Where no connection matches, the kernel's look-up falls back to a listener.
                    && socket.state != State::Listen
                {
                    found(place, socket);
                }
            });
        }
    }
}

impl SocketSeen {
    /// What this says about the queues of a connection's end. SYN and FIN, which the kernel counts as
    /// bytes, are none.
    #[must_use]
    pub fn sample(&self, at: Stamp, end: Role) -> QueueSample {
        let state = self.state;
        let fin_unread = u32::from(their_fin_has_arrived(state));
        let flag_sent = u32::from(our_fin_is_unacknowledged(state) || state == State::SynSent);
        let send = self.send_queue.saturating_sub(flag_sent);
        QueueSample {
            at,
            end,
            state,
            receive: self.receive_queue.saturating_sub(fin_unread),
            send,
            unsent: self.unsent.map(|unsent| unsent.min(send)),
            send_window: self.send_window,
            receive_window: self.receive_window,
            rtt_us: self.facts.rtt_us,
            congestion_window: self.congestion_window,
            retransmits: self.facts.retransmits,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn ends(stream: &TcpStream) -> (SocketAddr, SocketAddr) {
        (stream.local_addr().unwrap(), stream.peer_addr().unwrap())
    }

    fn sample(queues: &mut Queues, stream: &TcpStream, end: Role) -> QueueSample {
        let mut found = None;
        let seen = |_, socket: SocketSeen| found = Some(socket.sample(Stamp::now(), end));
        queues.ask(&[ends(stream)], seen).unwrap();
        found.expect("it is there")
    }

    #[test]
    fn bytes_that_nobody_reads_and_a_fin_behind_them_are_told_apart() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let mut queues = Queues::open().unwrap();
            let (mut client, mut server) = pair(address);
            client.write_all(&[1; 1000]).unwrap();
            let there = sample(&mut queues, &server, Role::Server);
            assert_eq!((there.state, there.receive, there.send), (State::Established, 1000, 0));
            client.shutdown(Shutdown::Write).unwrap();
            let there = sample(&mut queues, &server, Role::Server);
            assert_eq!((there.state, there.receive), (State::CloseWait, 1000));
            server.read_exact(&mut [0; 1000]).unwrap();
            assert_eq!(sample(&mut queues, &server, Role::Server).receive, 0);
            let here = sample(&mut queues, &client, Role::Client);
            assert!(matches!(here.state, State::FinWait1 | State::FinWait2), "{here:?}");
            assert_eq!((here.end, here.send, here.unsent), (Role::Client, 0, Some(0)));
        }
    }

    #[test]
    fn a_window_that_is_full_shows_at_both_ends() {
        let mut queues = Queues::open().unwrap();
        let (mut client, server) = pair("127.0.0.1:0");
        client.set_nonblocking(true).unwrap();
        while client.write(&[1; 65_536]).is_ok() {}
        // The last segment that fits may still be on its way.
        loop {
            let (here, there) = (
                sample(&mut queues, &client, Role::Client),
                sample(&mut queues, &server, Role::Server),
            );
            assert!(here.congestion_window > Some(0) && here.rtt_us > Some(0));
            if here.unsent > Some(0) && there.receive_window == Some(0) {
                assert!(there.receive > 0 && here.send > 0, "{here:?} {there:?}");
                break;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn more_than_are_asked_for_at_once_are_answered_each_in_its_place() {
        let mut queues = Queues::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pairs: Vec<_> = (0..70)
            .map(|_| {
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                (client, listener.accept().unwrap().0)
            })
            .collect();
        let mut asked: Vec<_> = pairs.iter().map(|(client, _)| ends(client)).collect();
        // Of one that is not there nothing is shown.
        asked[40].1.set_port(1);
        let mut found = Vec::new();
        queues.ask(&asked, |place, socket| found.push((place, socket.local))).unwrap();
        let expected: Vec<_> =
            asked.iter().map(|ends| ends.0).enumerate().filter(|(place, _)| *place != 40).collect();
        assert_eq!(found, expected);
    }
}
