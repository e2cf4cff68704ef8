//! Connecting to many at once: `udp://broadcast:PORT`, a broadcast address, a multicast group.
//!
//! Such a socket is not connected: the kernel would then let in nothing but what comes from the very
//! address that was sent to, and nobody answers from there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{SocketType, sockopt};

use super::race::Failures;
use super::{Endpoint, EndpointKind};
use crate::address::Address;
use crate::datagram::Datagram;
use crate::driver::Raw;
use crate::interfaces::{Interface, interfaces};
use crate::reactor::Reactor;

/// The host that stands for the broadcast address of every network this machine is in.
const BROADCAST: &str = "broadcast";

impl Endpoint {
    /// Whether it is `udp://broadcast:PORT`: all in the networks of this machine. A host that really
    /// has this name is reached as `broadcast.`.
    #[must_use]
    pub fn is_broadcast(&self) -> bool {
        self.kind() == EndpointKind::Udp
            && self.host().is_some_and(|host| host.eq_ignore_ascii_case(BROADCAST))
    }

    /// Where a message to `udp://broadcast:PORT` goes: the broadcast address of each network, once.
    ///
    /// These and not 255.255.255.255: the routing table knows the interface and our address there
    /// for each of them, so one socket sends to all and hears all answers. The limited address would
    /// leave by the default route alone, or take one socket bound to each interface.
    pub(super) fn broadcast_addresses(&self, port: u16) -> io::Result<Vec<SocketAddr>> {
        let only = self.options.interface.as_deref();
        let all = interfaces()?;
        let mut found: Vec<Ipv4Addr> = Vec::new();
        for interface in all.iter().filter(|it| only.is_none_or(|only| it.name == only)) {
            for address in broadcasts(interface) {
                if !found.contains(&address) {
                    found.push(address);
                }
            }
        }
        if found.is_empty() {
            let error = |kind, why: String| Err(io::Error::new(kind, why));
            return match only {
                Some(name) if all.iter().all(|interface| interface.name != name) => {
                    error(io::ErrorKind::NotFound, format!("no interface is called {name:?} (see: ip link)"))
                }
                Some(name) => error(
                    io::ErrorKind::AddrNotAvailable,
                    format!("{name} can't broadcast: it is down, has no IPv4 address, or has one end only (see: ip addr show {name})"),
                ),
                None => error(
                    io::ErrorKind::AddrNotAvailable,
                    "no interface can broadcast: each is down, has no IPv4 address, or has one end only (see: ip addr)".to_owned(),
                ),
            };
        }
        Ok(found.into_iter().map(|address| SocketAddr::new(address.into(), port)).collect())
    }

    /// A socket that sends to all of these that can be sent to, and hears everybody.
    pub(super) fn connect_many(
        &self,
        addresses: Vec<SocketAddr>,
    ) -> Result<Datagram, Failures<SocketAddr>> {
        let mut destinations = Vec::new();
        let mut failures = Vec::new();
        for address in addresses {
            match self.probe(address) {
                Ok(()) => destinations.push(address),
                Err(error) => failures.push((address, error)),
            }
        }
        let Some(first) = destinations.first().copied() else { return Err(failures) };
        let made = self.unconnected(first).and_then(|fd| {
            let family = Address::from(first).family();
            let mut socket = Datagram::new(Reactor::current(), Raw::Fd(fd), family)?;
            socket.destinations = destinations.into_iter().map(Address::from).collect();
            Ok(socket)
        });
        made.map_err(|error| vec![(first, error)])
    }

    /// Whether there is a way there and it may be used, which connect(2) finds out without sending.
    /// By another socket: to undo it would undo SO_BINDTODEVICE with it.
    fn probe(&self, to: SocketAddr) -> io::Result<()> {
        let fd = self.open(SocketType::DGRAM, to)?;
        self.allow_broadcast(&fd)?;
        rustix::net::connect(&fd, &to)
            .map_err(|error| Address::from(to).failed("connect to", error))
    }

    fn unconnected(&self, to: SocketAddr) -> io::Result<OwnedFd> {
        let fd = self.open(SocketType::DGRAM, to)?;
        self.allow_broadcast(&fd)?;
        self.bind_own_end(&fd, to)?;
        if self.options.bind.is_none() {
            // So that it can be answered, and shown, before anything is sent.
            let any = match to {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            rustix::net::bind(&fd, &any)
                .map_err(|error| Address::from(any).failed("bind to", error))?;
        }
        Ok(fd)
    }

    /// Who writes `broadcast` for a host need not say it twice.
    fn allow_broadcast(&self, fd: &OwnedFd) -> io::Result<()> {
        if self.is_broadcast() && self.options.broadcast.is_none() {
            sockopt::set_socket_broadcast(fd, true)?;
        }
        Ok(())
    }
}

fn broadcasts(interface: &Interface) -> impl Iterator<Item = Ipv4Addr> {
    let ready = interface.is_up() && !interface.is_loopback();
    interface.addresses.iter().filter(move |_| ready).filter_map(|address| address.broadcast)
}

/// Whether an address is that of many: a group, or one where all in a network are reached. The
/// latter is for those who `allowed` it; the kernel refuses the others.
pub(super) fn is_many(address: IpAddr, allowed: bool) -> io::Result<bool> {
    match address {
        _ if address.is_multicast() => Ok(true),
        IpAddr::V4(v4) if allowed => Ok(v4.is_broadcast()
            || interfaces()?
                .iter()
                .flat_map(|interface| &interface.addresses)
                .any(|own| own.broadcast == Some(v4))),
        _ => Ok(false),
    }
}
