//! Options on their way into a socket, before it is bound or connected.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, netdevice, sockopt};

use super::{Keepalive, SocketOptions};
use crate::control::set_option;
use crate::endpoint::EndpointKind;
use crate::error::words;

/// What a socket is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To begin a connection, or to send datagrams to one place.
    Connect,
    /// To be found by others.
    Listen,
}

/// An option that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{option}: {refused}{}", hint(.option, .refused))]
pub struct OptionFailed {
    /// With its value, as it was written.
    option: String,
    refused: Refused,
}

/// Why.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{}", words(&io::Error::from(*.0)))]
    System(Errno),
    /// The kernel took less than it was asked for, without a word.
    #[error("the system allows {got} bytes here")]
    Less { got: usize },
    #[error("{0}")]
    Other(&'static str),
}

impl OptionFailed {
    /// The option and its value, as they were written.
    #[must_use]
    pub fn option(&self) -> &str {
        &self.option
    }

    /// As an error of a call.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self.refused {
            Refused::System(error) => io::Error::from(error).kind(),
            Refused::Less { .. } => io::ErrorKind::QuotaExceeded,
            Refused::Other(_) => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, self)
    }
}

/// The way out, where one is known.
fn hint(option: &str, refused: &Refused) -> &'static str {
    let name = option.split('=').next().unwrap_or_default();
    match (name, refused) {
        ("mark", Refused::System(Errno::PERM)) => {
            " (it needs CAP_NET_ADMIN or CAP_NET_RAW; run it as root)"
        }
        ("interface", Refused::System(Errno::PERM)) => {
            " (it needs CAP_NET_RAW; run it as root, or bind to the interface's address)"
        }
        ("interface" | "join", Refused::System(Errno::NODEV)) => {
            " (no interface has this name, or none leads there; see: ip link; name one: interface=NAME)"
        }
        ("join", Refused::System(Errno::NOBUFS)) => {
            " (net.ipv4.igmp_max_memberships bounds groups)"
        }
        ("congestion", Refused::System(Errno::NOENT)) => {
            " (see those there are: sysctl net.ipv4.tcp_available_congestion_control)"
        }
        ("congestion", Refused::System(Errno::PERM)) => {
            " (see those allowed: sysctl net.ipv4.tcp_allowed_congestion_control; others need CAP_NET_ADMIN)"
        }
        ("rcvbuf", Refused::Less { .. }) => " (net.core.rmem_max; ask for less, or run it as root)",
        ("sndbuf", Refused::Less { .. }) => " (net.core.wmem_max; ask for less, or run it as root)",
        ("owner", Refused::System(Errno::PERM)) => " (it needs CAP_CHOWN; run it as root)",
        _ => "",
    }
}

/// The options and the socket they go to.
struct Applied<'a> {
    fd: BorrowedFd<'a>,
    options: &'a SocketOptions,
}

/// Sets on a socket that is neither bound nor connected all that is asked for, and what is ours by
/// default: `nodelay` on TCP, because what is flushed is to leave at once and what should wait says so;
/// `reuseaddr` on TCP listeners. `remote` is the peer, or the address to listen at.
pub(crate) fn apply(
    fd: impl AsFd,
    kind: EndpointKind,
    options: &SocketOptions,
    purpose: Purpose,
    remote: Option<SocketAddr>,
) -> Result<(), OptionFailed> {
    let applied = Applied { fd: fd.as_fd(), options };
    if kind == EndpointKind::Tcp {
        applied.tcp(purpose)?;
    }
    applied.buffers()?;
    if kind.is_ip() {
        let v6 = applied.try_to("", sockopt::socket_domain(fd.as_fd()))? == AddressFamily::INET6;
        applied.internet(v6, remote.map(|remote| remote.ip()))?;
        if kind == EndpointKind::Udp {
            applied.groups(v6, purpose, remote)?;
        }
    }
    Ok(())
}

impl SocketOptions {
    /// An option that the kernel refused.
    pub(crate) fn failed(&self, name: &str, error: Errno) -> OptionFailed {
        OptionFailed { option: self.shown(name), refused: Refused::System(error) }
    }
}

impl Applied<'_> {
    fn try_to<T>(&self, name: &str, result: Result<T, Errno>) -> Result<T, OptionFailed> {
        result.map_err(|error| self.failed(name, Refused::System(error)))
    }

    fn failed(&self, name: &str, refused: Refused) -> OptionFailed {
        OptionFailed { option: self.options.shown(name), refused }
    }

    fn tcp(&self, purpose: Purpose) -> Result<(), OptionFailed> {
        let (fd, options) = (self.fd, self.options);
        // Accepted sockets inherit all of these from their listener.
        let nodelay = sockopt::set_tcp_nodelay(fd, options.nodelay.unwrap_or(true));
        self.try_to("nodelay", nodelay)?;
        if purpose == Purpose::Listen && options.reuse_address.is_none() {
            self.try_to("reuseaddr", sockopt::set_socket_reuseaddr(fd, true))?;
        }
        if let Some(keepalive) = options.keepalive {
            self.try_to("keepalive", self.keepalive(keepalive))?;
        }
        if let Some(linger) = options.linger {
            self.try_to("linger", sockopt::set_socket_linger(fd, Some(linger)))?;
        }
        if let Some(mss) = options.mss {
            let set = set_option(fd, libc::IPPROTO_TCP, libc::TCP_MAXSEG, i32::from(mss));
            self.try_to("mss", set)?;
        }
        if let Some(name) = &options.congestion {
            self.try_to("congestion", sockopt::set_tcp_congestion(fd, name))?;
        }
        if let Some(time) = options.user_timeout {
            let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            self.try_to("user-timeout", sockopt::set_tcp_user_timeout(fd, millis))?;
        }
        Ok(())
    }

    fn keepalive(&self, keepalive: Keepalive) -> Result<(), Errno> {
        let Keepalive::On { idle, then } = keepalive else {
            return sockopt::set_socket_keepalive(self.fd, false);
        };
        if let Some(idle) = idle {
            sockopt::set_tcp_keepidle(self.fd, idle)?;
        }
        if let Some((interval, count)) = then {
            sockopt::set_tcp_keepintvl(self.fd, interval)?;
            sockopt::set_tcp_keepcnt(self.fd, count.into())?;
        }
        sockopt::set_socket_keepalive(self.fd, true)
    }

    /// The kernel doubles the size, and cuts it to what the system allows without saying so.
    fn buffers(&self) -> Result<(), OptionFailed> {
        if let Some(bytes) = self.options.receive_buffer {
            let bytes = bytes as usize;
            self.buffer(
                "rcvbuf",
                bytes,
                [
                    |fd, bytes| sockopt::set_socket_recv_buffer_size(fd, bytes),
                    |fd, bytes| sockopt::set_socket_recv_buffer_size_force(fd, bytes),
                ],
                |fd| sockopt::socket_recv_buffer_size(fd),
            )?;
        }
        if let Some(bytes) = self.options.send_buffer {
            let bytes = bytes as usize;
            self.buffer(
                "sndbuf",
                bytes,
                [
                    |fd, bytes| sockopt::set_socket_send_buffer_size(fd, bytes),
                    |fd, bytes| sockopt::set_socket_send_buffer_size_force(fd, bytes),
                ],
                |fd| sockopt::socket_send_buffer_size(fd),
            )?;
        }
        Ok(())
    }

    fn buffer(
        &self,
        name: &str,
        bytes: usize,
        [set, force]: [SetSize; 2],
        get: fn(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Result<(), OptionFailed> {
        self.try_to(name, set(self.fd, bytes))?;
        let mut got = self.try_to(name, get(self.fd))?;
        // Who may pass the system's limit is not held to it.
        if got / 2 < bytes && force(self.fd, bytes).is_ok() {
            got = self.try_to(name, get(self.fd))?;
        }
        if got / 2 < bytes {
            Err(self.failed(name, Refused::Less { got: got / 2 }))
        } else {
            Ok(())
        }
    }

    fn internet(&self, v6: bool, remote: Option<IpAddr>) -> Result<(), OptionFailed> {
        let (fd, options) = (self.fd, self.options);
        if let Some(on) = options.reuse_address {
            self.try_to("reuseaddr", sockopt::set_socket_reuseaddr(fd, on))?;
        }
        if let Some(on) = options.reuse_port {
            self.try_to("reuseport", sockopt::set_socket_reuseport(fd, on))?;
        }
        if let Some(hops) = options.ttl {
            // An IPv6 socket may carry IPv4 too.
            if v6 {
                self.try_to("ttl", sockopt::set_ipv6_unicast_hops(fd, Some(hops)))?;
            }
            self.try_to("ttl", sockopt::set_ip_ttl(fd, hops.into()))?;
        }
        if let Some(byte) = options.tos {
            if v6 {
                self.try_to("tos", sockopt::set_ipv6_tclass(fd, byte.into()))?;
            }
            self.try_to("tos", sockopt::set_ip_tos(fd, byte))?;
        }
        if let Some(mark) = options.mark {
            // The same 32 bits.
            let set = set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed());
            self.try_to("mark", set)?;
        }
        if let Some(name) = &options.interface
            && !self.multicasts(remote)
        {
            self.try_to("interface", bind_to_device(fd, name))?;
        }
        Ok(())
    }

    /// Whether the interface is that of a group.
    fn multicasts(&self, remote: Option<IpAddr>) -> bool {
        !self.options.join.is_empty() || remote.is_some_and(|remote| remote.is_multicast())
    }

    /// A group that is listened at is joined without being asked for.
    fn groups(
        &self,
        v6: bool,
        purpose: Purpose,
        remote: Option<SocketAddr>,
    ) -> Result<(), OptionFailed> {
        let (fd, options) = (self.fd, self.options);
        let at = remote.map(|remote| remote.ip());
        let mut join = options.join.clone();
        if let (Purpose::Listen, Some(group)) = (purpose, at.filter(IpAddr::is_multicast)) {
            if !join.contains(&group) {
                join.push(group);
            }
            if options.reuse_address.is_none() {
                // Several may hear a group; each gets its own copy.
                self.try_to("reuseaddr", sockopt::set_socket_reuseaddr(fd, true))?;
            }
        }
        if let Some(on) = options.broadcast {
            self.try_to("broadcast", sockopt::set_socket_broadcast(fd, on))?;
        }
        if let Some(hops) = options.ttl {
            let set = match v6 {
                true => sockopt::set_ipv6_multicast_hops(fd, hops.into()),
                false => sockopt::set_ip_multicast_ttl(fd, hops.into()),
            };
            self.try_to("ttl", set)?;
        }
        if let Some(on) = options.multicast_loop {
            let set = match v6 {
                true => sockopt::set_ipv6_multicast_loop(fd, on),
                false => sockopt::set_ip_multicast_loop(fd, on),
            };
            self.try_to("loop", set)?;
        }
        let any = Ipv4Addr::UNSPECIFIED;
        let mut interface = 0;
        if let Some(SocketAddr::V6(at)) = remote.filter(|at| at.ip().is_multicast()) {
            interface = at.scope_id();
        }
        if let Some(name) = options.interface.as_ref().filter(|_| self.multicasts(at)) {
            interface = self.try_to("interface", netdevice::name_to_index(fd, name))?;
            let set = match v6 {
                true => sockopt::set_ipv6_multicast_if(fd, interface),
                false => sockopt::set_ip_multicast_if_with_ifindex(fd, &any, &any, interface),
            };
            self.try_to("interface", set)?;
        }
        if purpose == Purpose::Listen && !join.is_empty() {
            // Without this it would hear every group that any program here has joined (ip(7)).
            let (level, name) = match v6 {
                true => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL),
                false => (libc::IPPROTO_IP, libc::IP_MULTICAST_ALL),
            };
            self.try_to("join", set_option(fd, level, name, 0))?;
        }
        for group in &join {
            match (group, v6) {
                (IpAddr::V4(group), false) => {
                    let set =
                        sockopt::set_ip_add_membership_with_ifindex(fd, group, &any, interface);
                    self.try_to("join", set)?;
                }
                (IpAddr::V6(group), true) => {
                    self.try_to("join", sockopt::set_ipv6_add_membership(fd, group, interface))?;
                }
                _ => {
                    let why = "the group and the socket are of different IP versions";
                    return Err(self.failed("join", Refused::Other(why)));
                }
            }
        }
        Ok(())
    }
}

type SetSize = fn(BorrowedFd<'_>, usize) -> Result<(), Errno>;

/// `SO_BINDTODEVICE` (socket(7)).
fn bind_to_device(fd: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let len = libc::socklen_t::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
    // SAFETY: the name lives for the call, and is as long as is said.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_ptr().cast(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(crate::control::errno()) }
}
