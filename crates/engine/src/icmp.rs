//! Sockets for ICMP: echo without privileges, and everything with them.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto, socket_with};

use crate::datagram::Datagram;
use crate::driver::Raw;
use crate::reactor::Reactor;

/// Which of the two internet protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4, and ICMP (RFC 792).
    V4,
    /// IPv6, and ICMPv6 (RFC 4443).
    V6,
}

impl Datagram {
    /// An ICMP echo socket, for which no privilege is needed (icmp(7), `ping_group_range`): what is
    /// sent are echo requests from their type on, whose identifier and checksum the kernel sets;
    /// what is received are the replies to them. The identifier is the port of
    /// [`Datagram::local_addr`] once something was sent.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` where the group of the process is not in `net.ipv4.ping_group_range`.
    pub fn echo(version: IpVersion) -> io::Result<Datagram> {
        let hint = "sysctl net.ipv4.ping_group_range says which groups may; see icmp(7)";
        open(version, SocketType::DGRAM, hint)
    }

    /// A raw ICMP socket, which receives all ICMP messages of the machine (raw(7)). Of IPv4 they
    /// begin with their IP header. The kernel sets the checksum of ICMPv6 alone.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without `CAP_NET_RAW`.
    pub fn raw_icmp(version: IpVersion) -> io::Result<Datagram> {
        open(version, SocketType::RAW, "CAP_NET_RAW is needed; see raw(7)")
    }
}

fn open(version: IpVersion, kind: SocketType, hint: &str) -> io::Result<Datagram> {
    let (family, protocol) = match version {
        IpVersion::V4 => (AddressFamily::INET, ipproto::ICMP),
        IpVersion::V6 => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let fd = socket(family, kind, protocol).map_err(|error| {
        let hint = match error {
            Errno::ACCESS | Errno::PERM => format!(" ({hint})"),
            _ => String::new(),
        };
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("socket for ICMP: {error}{hint}"))
    })?;
    Datagram::new(Reactor::current(), Raw::Fd(fd), family)
}

fn socket(family: AddressFamily, kind: SocketType, protocol: Protocol) -> Result<OwnedFd, Errno> {
    socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))
}
