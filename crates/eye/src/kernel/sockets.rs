//! Which TCP sockets the kernel has at certain ports, whoever's they are (sock_diag(7)).
//!
//! Needs no privilege: states, queues and `TCP_INFO` of other people's sockets are told to everybody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use sockeye_wire::tcp::State;

use super::aftermath::DiagError;
use super::facts::parse_tcp_info;
use super::state_of;
use crate::record::KernelFacts;

/// A netlink socket that lists TCP sockets.
#[derive(Debug)]
pub struct SocketList {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One TCP socket of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSeen {
    /// Its address; IPv4 where IPv4 is spoken.
    pub local: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
    /// Its state.
    pub state: State,
    /// Milliseconds until TIME-WAIT ends, where it is in TIME-WAIT.
    pub remaining_ms: Option<u32>,
    /// Bytes received that its program has not read; of a listener, connections not accepted.
    pub receive_queue: u32,
    /// Bytes written that the peer has not acknowledged; of a listener, the longest its queue may be.
    pub send_queue: u32,
    /// Bytes of the send queue that have not left.
    pub unsent: Option<u32>,
    /// Bytes the peer would take, from the last one it acknowledged.
    pub send_window: Option<u32>,
    /// Bytes it would take itself, as it last told its peer.
    pub receive_window: Option<u32>,
    /// The congestion window in segments.
    pub congestion_window: Option<u32>,
    /// What `TCP_INFO` says. A client's SYN is among its acknowledged bytes.
    pub facts: KernelFacts,
}

/// Offsets of `struct tcp_info` (include/uapi/linux/tcp.h), which only ever grows at its end.
const SND_CWND: usize = 80;
const NOTSENT_BYTES: usize = 144;
const SND_WND: usize = 228;
const RCV_WND: usize = 232;

/// The kernel fills at most so much of a buffer for one answer (`NLMSG_GOODSIZE` and its growth).
const BUFFER: usize = 32 << 10;

impl SocketList {
    /// Opens the netlink socket.
    ///
    /// # Errors
    /// [`DiagError::Call`] if there is no netlink here.
    pub fn open() -> Result<SocketList, DiagError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)
                .map_err(|errno| DiagError::Call { operation: "socket", source: errno.into() })?;
        Ok(SocketList { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// All sockets one end of which is at this port, listeners among them; a socket of which both
    /// are comes twice.
    ///
    /// # Errors
    /// [`DiagError::Call`] if the question could not be put or was not answered to its end.
    pub fn at_port(&mut self, port: u16) -> Result<Vec<SocketSeen>, DiagError> {
        let mut found = Vec::new();
        for family in [AF_INET, AF_INET6] {
            self.ask(family, port, 0, &mut found)?;
            self.ask(family, 0, port, &mut found)?;
        }
        Ok(found)
    }

    fn ask(
        &mut self,
        family: u8,
        local: u16,
        peer: u16,
        found: &mut Vec<SocketSeen>,
    ) -> Result<(), DiagError> {
        let failed = |operation| {
            move |errno: rustix::io::Errno| DiagError::Call { operation, source: errno.into() }
        };
        self.sequence = self.sequence.wrapping_add(1);
        let question = question(self.sequence, family, local, peer);
        rustix::net::send(&self.socket, &question, SendFlags::empty()).map_err(failed("send"))?;
        loop {
            // The kernel fills the next part of its answer inside recv.
            let fd = self.socket.as_fd();
            let (_, length) = rustix::net::recv(fd, &mut self.buffer, RecvFlags::DONTWAIT)
                .map_err(failed("recv"))?;
            let bytes = self.buffer.get(..length).unwrap_or_default();
            let end = read(bytes, self.sequence, found)
                .map_err(|source| DiagError::Call { operation: "recv", source })?;
            if end {
                return Ok(());
            }
        }
    }
}

fn question(sequence: u32, family: u8, local: u16, peer: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut socket_id = match family {
        AF_INET => SocketId::new_v4(),
        _ => SocketId::new_v6(),
    };
    (socket_id.source_port, socket_id.destination_port) = (local, peer);
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::all(),
        socket_id,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Message types of netlink(7).
pub(super) const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Reads one netlink datagram; true where the answer ends with it.
fn read(bytes: &[u8], sequence: u32, found: &mut Vec<SocketSeen>) -> io::Result<bool> {
    let mut end = Ok(false);
    let whole = each(bytes, |kind, of, body| {
        if of == sequence && matches!(end, Ok(false)) {
            match kind {
                NLMSG_DONE => end = Ok(true),
                NLMSG_ERROR => end = Err(io::Error::from_raw_os_error(errno(body))),
                _ => found.extend(socket(body).map(|(socket, _)| socket)),
            }
        }
    });
    match whole {
        true => end,
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The error number of an `NLMSG_ERROR`; 0 where it only says that all is well.
pub(super) fn errno(body: &[u8]) -> i32 {
    word(body, 0).unwrap_or(0).cast_signed().saturating_neg()
}

/// Shows the type, the sequence number and the body of each netlink message; false if one is cut
/// short.
pub(super) fn each(bytes: &[u8], mut show: impl FnMut(u16, u32, &[u8])) -> bool {
    let mut rest = bytes;
    // netlink(7): length, type, flags, sequence, port; each message aligned to four bytes.
    while let (Some(length), Some(kind), Some(of)) = (word(rest, 0), half(rest, 4), word(rest, 8)) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = rest.get(16..length) else { return false };
        show(kind, of, body);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    true
}

/// `struct inet_diag_msg` (linux/inet_diag.h), and the attribute behind it that holds `TCP_INFO`.
pub(super) fn socket(body: &[u8]) -> Option<(SocketSeen, &[u8])> {
    const ATTRIBUTES: usize = 72;
    const INET_DIAG_INFO: u16 = 2;
    let family = *body.first()?;
    let state = state_of(*body.get(1)?)?;
    let address = |at: usize, port: usize| -> Option<SocketAddr> {
        let port = u16::from_be_bytes(body.get(port..port + 2)?.try_into().ok()?);
        let ip: IpAddr = match family {
            AF_INET => {
                let bytes: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
                Ipv4Addr::from(bytes).into()
            }
            _ => {
                let bytes: [u8; 16] = body.get(at..at + 16)?.try_into().ok()?;
                IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
            }
        };
        Some(SocketAddr::new(ip, port))
    };
    let mut info: &[u8] = &[];
    let mut rest = body.get(ATTRIBUTES..).unwrap_or_default();
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let Some(value) = rest.get(4..length) else { break };
        if kind == INET_DIAG_INFO {
            info = value;
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let seen = SocketSeen {
        local: address(8, 4)?,
        peer: address(24, 6)?,
        state,
        remaining_ms: (state == State::TimeWait).then(|| word(body, 52)).flatten(),
        receive_queue: word(body, 56)?,
        send_queue: word(body, 60)?,
        unsent: word(info, NOTSENT_BYTES),
        send_window: word(info, SND_WND),
        receive_window: word(info, RCV_WND),
        congestion_window: word(info, SND_CWND),
        facts: parse_tcp_info(info),
    };
    Some((seen, info))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ends_and_the_listener_are_listed_with_what_the_kernel_counts() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let to = match address {
                "[::]:0" => SocketAddr::from(([127, 0, 0, 1], port)),
                _ => listener.local_addr().unwrap(),
            };
            let mut client = TcpStream::connect(to).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            client.write_all(b"hello").unwrap();
            server.read_exact(&mut [0; 2]).unwrap();
            let found = SocketList::open().unwrap().at_port(port).unwrap();
            let at = |local: SocketAddr| found.iter().find(|socket| socket.local == local);
            let ours = at(client.local_addr().unwrap()).unwrap();
            assert_eq!((ours.state, ours.peer), (State::Established, to));
            // The SYN is among them.
            assert_eq!(ours.facts.bytes_acked, Some(6));
            let theirs =
                found.iter().find(|socket| socket.local == to && socket.peer == ours.local);
            let theirs = theirs.unwrap();
            assert_eq!((theirs.state, theirs.receive_queue), (State::Established, 3));
            assert_eq!(theirs.facts.bytes_received, Some(5));
            assert!(found.iter().any(|socket| socket.state == State::Listen));
            drop((client, server));
        }
    }

    #[test]
    fn a_long_list_comes_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pairs: Vec<_> = (0..100)
            .map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap()))
            .collect();
        let found = SocketList::open().unwrap().at_port(address.port()).unwrap();
        for (client, _) in &pairs {
            let local = client.local_addr().unwrap();
            assert_eq!(found.iter().filter(|socket| socket.local == local).count(), 1);
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            length in 0_u32..120,
        ) {
            let mut found = Vec::new();
            let _ = read(&bytes, 1, &mut found);
            let mut message = length.to_ne_bytes().to_vec();
            message.extend([20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
            message.extend(&bytes);
            let _ = read(&message, 1, &mut found);
            let _ = socket(&bytes);
        }
    }
}
