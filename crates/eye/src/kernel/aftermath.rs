//! What became of a connection nobody holds a descriptor of any more (sock_diag(7)).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SOCK_DIAG_BY_FAMILY, SockDiagMessage};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use sockeye_engine::probe::Stamp;
use sockeye_wire::tcp::State;
use thiserror::Error;

use super::state_of;
use crate::record::Aftermath;

/// A netlink socket that answers questions about single TCP sockets; needs no privilege.
#[derive(Debug)]
pub struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
}

/// Why `sock_diag` gave no answer. Always the system's doing.
#[derive(Debug, Error)]
pub enum DiagError {
    /// A call on the netlink socket failed.
    #[error("sock_diag: {operation}: {source}")]
    Call {
        /// `socket`, `send` or `recv`.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not know a socket that is certainly there.
    #[error("sock_diag: the kernel has no TCP diagnostics (module tcp_diag)")]
    NoTcp,
}

impl SockDiag {
    /// Opens the netlink socket.
    ///
    /// `witness` is the local address of a listener that exists: the kernel answers `ENOENT` both
    /// for a socket it has forgotten and for diagnostics it was built without, and only a socket
    /// known to exist tells one from the other.
    ///
    /// # Errors
    /// [`DiagError::Call`] if there is no netlink here, [`DiagError::NoTcp`] if the kernel does
    /// not know the witness.
    pub fn open(witness: SocketAddr) -> Result<SockDiag, DiagError> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )
        .map_err(|errno| DiagError::Call { operation: "socket", source: errno.into() })?;
        let mut diag = SockDiag { socket, sequence: 0 };
        let nobody = match witness {
            SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
        };
        match diag.ask(witness, nobody)? {
            Some(_) => Ok(diag),
            None => Err(DiagError::NoTcp),
        }
    }

    /// The state of the socket with these two addresses, seen from the end at `local`.
    ///
    /// A socket the kernel has forgotten is [`State::Closed`].
    ///
    /// # Errors
    /// [`DiagError::Call`] if the question could not be put.
    pub fn aftermath(
        &mut self,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<Aftermath, DiagError> {
        let found = self.ask(local, peer)?;
        let at = Stamp::now();
        // Where no connection matches, the kernel's look-up falls back to a listener.
        let found = found.filter(|found| found.state != State::Listen);
        Ok(match found {
            Some(Found { state, expires_ms }) => Aftermath {
                at,
                state,
                remaining_ms: (state == State::TimeWait).then_some(expires_ms),
            },
            None => Aftermath { at, state: State::Closed, remaining_ms: None },
        })
    }

    fn ask(&mut self, local: SocketAddr, peer: SocketAddr) -> Result<Option<Found>, DiagError> {
        let failed = |operation| {
            move |errno: rustix::io::Errno| DiagError::Call { operation, source: errno.into() }
        };
        self.sequence = self.sequence.wrapping_add(1);
        let question = question(self.sequence, local, peer, ExtensionFlags::empty());
        rustix::net::send(&self.socket, &question, SendFlags::empty()).map_err(failed("send"))?;
        // The kernel answers inside send, so the answer is there; DONTWAIT keeps a kernel that
        // answers nothing from stopping the eye.
        let mut answer = [0; 1024];
        loop {
            let (_, length) =
                rustix::net::recv(self.socket.as_fd(), &mut answer, RecvFlags::DONTWAIT)
                    .map_err(failed("recv"))?;
            let bytes = answer.get(..length).unwrap_or_default();
            if let Some(found) = read_answer(bytes, self.sequence) {
                return found.map_err(|source| DiagError::Call { operation: "recv", source });
            }
        }
    }
}

/// What the kernel said about one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    state: State,
    expires_ms: u32,
}

/// Asks for the one socket with these addresses, and for so much of what the kernel knows of it.
pub(super) fn question(
    sequence: u32,
    local: SocketAddr,
    peer: SocketAddr,
    extensions: ExtensionFlags,
) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    header.sequence_number = sequence;
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions,
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: local.port(),
            destination_port: peer.port(),
            source_address: local.ip(),
            destination_address: peer.ip(),
            interface_id: scope(local).or(scope(peer)).unwrap_or(0),
            // INET_DIAG_NOCOOKIE: whichever socket has these addresses.
            cookie: [0xff; 8],
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The interface of a link-local address; the kernel looks such a socket up by it.
fn scope(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
        _ => None,
    }
}

/// Reads one netlink datagram; `None` if it answers another question.
fn read_answer(bytes: &[u8], sequence: u32) -> Option<io::Result<Option<Found>>> {
    let Ok(message) = NetlinkMessage::<SockDiagMessage>::deserialize(bytes) else {
        return Some(Err(io::ErrorKind::InvalidData.into()));
    };
    if message.header.sequence_number != sequence {
        return None;
    }
    Some(match message.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
            debug_assert_eq!(message.header.message_type, SOCK_DIAG_BY_FAMILY);
            // The library keeps no expiry of the TIME-WAIT timer. In `struct inet_diag_msg` it
            // stands behind four bytes and the 48 of the socket's identity.
            const EXPIRES: usize = 16 + 4 + 48;
            let expires_ms = bytes
                .get(EXPIRES..EXPIRES + 4)
                .and_then(|word| word.try_into().ok())
                .map_or(0, u32::from_ne_bytes);
            Ok(state_of(response.header.state).map(|state| Found { state, expires_ms }))
        }
        NetlinkPayload::Error(error) if error.raw_code() == -libc::ENOENT => Ok(None),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn time_wait_sits_with_the_end_that_closed_first() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let mut diag = SockDiag::open(listener.local_addr().unwrap()).unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let local = server.local_addr().unwrap();
            assert_eq!(diag.aftermath(local, peer).unwrap().state, State::Established);

            drop(server);
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            // The peer's ACK of our FIN may be delayed.
            let ours = diag.aftermath(local, peer).unwrap().state;
            assert!(matches!(ours, State::FinWait1 | State::FinWait2), "{ours}");
            assert_eq!(diag.aftermath(peer, local).unwrap().state, State::CloseWait);
            drop(client);
            let ours = diag.aftermath(local, peer).unwrap();
            assert_eq!(ours.state, State::TimeWait);
            let remaining = ours.remaining_ms.unwrap();
            assert!((1..=60_000).contains(&remaining), "{remaining}");
            let theirs = diag.aftermath(peer, local).unwrap();
            assert_eq!((theirs.state, theirs.remaining_ms), (State::Closed, None));
        }
    }

    #[test]
    fn a_witness_that_is_not_there_means_no_diagnostics() {
        let nobody = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        assert!(matches!(SockDiag::open(nobody), Err(DiagError::NoTcp)));
    }

    #[test]
    fn a_listener_on_every_address_is_a_witness_too() {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            SockDiag::open(listener.local_addr().unwrap()).unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_answer(&bytes, 1);
        }
    }
}
