//! Segments of our own ports, straight from the kernel (packet(7)).
//!
//! One ring for all interfaces. Which packets get in is decided in the kernel by [`filter`], how
//! they are read from shared memory in `ring`; here the socket is put together and asked.
//! Needs `CAP_NET_RAW`; without it [`Capture::open`] says so and nothing else is lost.

pub mod filter;
mod ring;

use std::env;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use thiserror::Error;

pub use ring::{Packet, Ring, RingSize, Snap, packets};

use crate::kernel::{get_option, length_of, set_option};
use filter::Filter;

/// A packet socket that sees the segments of a few ports.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
    ring: Ring,
    snap: Snap,
}

/// Whose segments are to be seen.
///
/// From a list of addresses it is listeners:
///
/// ```
/// use sockeye_eye::capture::Targets;
///
/// let address = "127.0.0.1:8080".parse().unwrap();
/// assert_eq!(Targets::from(&[address]), Targets::listeners(&[address]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets<'a> {
    /// Where connections are accepted; an address that is unspecified stands for all.
    pub listeners: &'a [SocketAddr],
    /// Where connections are made to from here. Named before the first of them is begun, so that
    /// no SYN is missed.
    pub peers: &'a [SocketAddr],
    /// Whose connections are looked on at: those of other programs, at either end of which one of
    /// these addresses is.
    pub others: &'a [SocketAddr],
    /// Where datagrams of UDP are received and sent from. Of these, packets are captured only where
    /// whole ones are.
    pub datagrams: &'a [SocketAddr],
    /// Where datagrams of UDP are sent to, likewise.
    pub datagram_peers: &'a [SocketAddr],
    /// The interface to look at, by its index; else whatever the addresses call for.
    pub interface: Option<u32>,
}

impl<'a> Targets<'a> {
    /// Those that are connected to, and nothing else.
    #[must_use]
    pub fn peers(peers: &'a [SocketAddr]) -> Targets<'a> {
        Targets { peers, ..Targets::default() }
    }

    /// Those that connections are accepted at, and nothing else.
    #[must_use]
    pub fn listeners(listeners: &'a [SocketAddr]) -> Targets<'a> {
        Targets { listeners, ..Targets::default() }
    }

    /// Those whose connections are other programs', and nothing else.
    #[must_use]
    pub fn others(others: &'a [SocketAddr]) -> Targets<'a> {
        Targets { others, ..Targets::default() }
    }

    /// Whether there is nothing of which packets of this size are captured.
    #[must_use]
    pub fn is_empty_for(&self, snap: Snap) -> bool {
        self.is_empty() && (snap == Snap::Headers || !self.has_datagrams())
    }

    /// Whether there are sockets of datagrams.
    #[must_use]
    pub fn has_datagrams(&self) -> bool {
        !self.datagrams.is_empty() || !self.datagram_peers.is_empty()
    }

    /// Whether there are no connections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.peers.is_empty() && self.others.is_empty()
    }
}

impl<'a> From<&'a [SocketAddr]> for Targets<'a> {
    fn from(listeners: &'a [SocketAddr]) -> Targets<'a> {
        Targets::listeners(listeners)
    }
}

impl<'a> From<&'a Vec<SocketAddr>> for Targets<'a> {
    fn from(listeners: &'a Vec<SocketAddr>) -> Targets<'a> {
        Targets::listeners(listeners)
    }
}

impl<'a, const N: usize> From<&'a [SocketAddr; N]> for Targets<'a> {
    fn from(listeners: &'a [SocketAddr; N]) -> Targets<'a> {
        Targets::listeners(listeners)
    }
}

/// Why segments can't be captured. The system's doing, not the peer's.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The process lacks `CAP_NET_RAW`.
    #[error("no packet capture (CAP_NET_RAW is missing)")]
    NotPermitted {
        /// This program's file, to which the capability can be given.
        program: PathBuf,
    },
    /// More ports than a filter holds.
    #[error("no packet capture: {ports} ports are more than {}", filter::MAX_PORTS)]
    TooManyPorts {
        /// How many were asked for.
        ports: usize,
    },
    /// The kernel refused something else.
    #[error("no packet capture: {operation}: {source}")]
    System {
        /// Which call.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl CaptureError {
    /// What the user can do about it, as one clause; `None` if nothing is known to help.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            CaptureError::NotPermitted { program } => Some(format!(
                "sudo setcap cap_net_raw+ep {}, or run with sudo",
                shell_quoted(&program.to_string_lossy())
            )),
            CaptureError::TooManyPorts { .. } | CaptureError::System { .. } => None,
        }
    }
}

impl Capture {
    /// Starts to capture the segments to and from these ports.
    ///
    /// If all addresses are of loopback, only `lo` is looked at. Only ports are compared here: a
    /// packet of another program on the same port but another address comes too.
    ///
    /// # Errors
    /// [`CaptureError::NotPermitted`] without `CAP_NET_RAW`; [`CaptureError::System`] if the
    /// kernel has no packet sockets or no memory for the ring.
    pub fn open<'a>(
        targets: impl Into<Targets<'a>>,
        size: RingSize,
    ) -> Result<Capture, CaptureError> {
        let targets = targets.into();
        let snap = size.snap;
        let kind = match snap {
            // The link header is cut off, whatever the interface, so a packet begins at its
            // network header.
            Snap::Headers => SocketType::DGRAM,
            Snap::Whole => SocketType::RAW,
        };
        // Protocol 0: nothing comes in before the filter stands.
        let socket = rustix::net::socket_with(
            AddressFamily::PACKET,
            kind,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .map_err(|errno| match errno {
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => CaptureError::NotPermitted {
                program: env::current_exe().unwrap_or_else(|_| PathBuf::from("sockeye")),
            },
            errno => CaptureError::System { operation: "socket", source: errno.into() },
        })?;
        attach(socket.as_fd(), targets, snap)?;
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_VERSION, &version)
            .map_err(system("PACKET_VERSION"))?;
        let ring = Ring::map(socket.as_fd(), size).map_err(system("PACKET_RX_RING"))?;
        bind(socket.as_fd(), targets)?;
        Ok(Capture { socket, ring, snap })
    }

    /// Captures these ports instead, from now on; what is in the ring stays there.
    ///
    /// # Errors
    /// As [`Capture::open`]; then the former ports are captured still.
    pub fn watch<'a>(&mut self, targets: impl Into<Targets<'a>>) -> Result<(), CaptureError> {
        let targets = targets.into();
        attach(self.socket.as_fd(), targets, self.snap)?;
        bind(self.socket.as_fd(), targets)
    }

    /// Calls `each` for all packets of the blocks the kernel has handed over; never blocks.
    pub fn drain(&mut self, mut each: impl FnMut(Packet<'_>)) {
        self.ring.drain(&mut each);
    }

    /// How many packets the kernel had no room for since this was last asked.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        let mut statistics = [0; size_of::<libc::tpacket_stats_v3>()];
        let read = get_option(
            self.socket.as_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            &mut statistics,
        );
        // tp_packets, tp_drops, tp_freeze_q_cnt
        match (read, statistics.get(4..8).and_then(|drops| drops.try_into().ok())) {
            (Ok(8..), Some(drops)) => u64::from(u32::from_ne_bytes(drops)),
            _ => 0,
        }
    }
}

impl Capture {
    /// The error the socket holds, after which it is readable again only for packets.
    ///
    /// `ENETDOWN` when the interface goes down.
    #[must_use]
    pub fn take_error(&self) -> io::Error {
        match rustix::net::sockopt::socket_error(&self.socket) {
            Ok(Err(errno)) | Err(errno) => errno.into(),
            Ok(Ok(())) => io::ErrorKind::Other.into(),
        }
    }
}

impl AsFd for Capture {
    /// Readable when the kernel has handed over a block.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn system(operation: &'static str) -> impl Fn(io::Error) -> CaptureError {
    move |source| CaptureError::System { operation, source }
}

fn attach(socket: BorrowedFd<'_>, targets: Targets<'_>, snap: Snap) -> Result<(), CaptureError> {
    let ports = |addresses: [&[SocketAddr]; 2]| {
        let mut ports: Vec<u16> = addresses.concat().iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    };
    // Of others', too, a port may be that of either end.
    let ours = ports([targets.listeners, &[]]);
    let theirs = ports([targets.peers, targets.others]);
    let of_udp = [ports([targets.datagrams, &[]]), ports([targets.datagram_peers, &[]])];
    let [own, peers] = &of_udp;
    let count = ours.len() + theirs.len() + own.len() + peers.len();
    let filter = Filter::with_datagrams(snap, [&ours, &theirs], [own, peers])
        .ok_or(CaptureError::TooManyPorts { ports: count })?;
    filter.attach(socket).map_err(system("SO_ATTACH_FILTER"))
}

/// Binds to `lo` if nothing else can carry the packets, else to all interfaces.
fn bind(socket: BorrowedFd<'_>, targets: Targets<'_>) -> Result<(), CaptureError> {
    let mut addresses = targets.listeners.iter().chain(targets.peers).chain(targets.others);
    let mut of_udp = targets.datagrams.iter().chain(targets.datagram_peers);
    let only_loopback = addresses.all(|address| is_loopback(address.ip()))
        && of_udp.all(|address| is_loopback(address.ip()));
    let lo = rustix::net::netdevice::name_to_index(socket, "lo").unwrap_or(0);
    let interface = match targets.interface {
        Some(interface) => interface,
        None if only_loopback => lo,
        None => 0,
    };
    // On `lo` every packet comes back as one that arrives, so that the tap on what leaves costs
    // each packet a clone for nothing. A kernel before 4.20 has no such option, but the filter.
    let arriving_only = libc::c_int::from(interface != 0 && interface == lo);
    let _ = set_option(socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &arriving_only);
    // SAFETY: `sockaddr_ll` is made of integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = AF_PACKET;
    // Taps for one protocol don't get what leaves this machine; only those for all do.
    address.sll_protocol = ETH_P_ALL.to_be();
    address.sll_ifindex = interface.try_into().unwrap_or(0);
    // SAFETY: the pointer and length are those of `address`, which the kernel only reads.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length_of::<libc::sockaddr_ll>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(system("bind")(io::Error::last_os_error())),
    }
}

/// As wide as they are in `sockaddr_ll`.
const AF_PACKET: u16 = 17;
const ETH_P_ALL: u16 = 3;

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// A path as one word of a shell's command line.
fn shell_quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}
