//! Addresses as packets and calls both have them, and which of them are ours to look at.

use std::net::{IpAddr, SocketAddr};

/// Our address and the peer's in one form: IPv4 as mapped IPv6, without scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    local: u128,
    peer: u128,
    ports: u32,
}

/// Where connections are accepted, or made to; no address means all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    address: Option<IpAddr>,
    port: u16,
}

impl Tuple {
    pub(super) fn new(local: SocketAddr, peer: SocketAddr) -> Tuple {
        let bits = |address: SocketAddr| match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let ports = u32::from(local.port()) << 16 | u32::from(peer.port());
        Tuple { local: bits(local), peer: bits(peer), ports }
    }
}

impl Listener {
    pub(super) fn of(address: SocketAddr) -> Listener {
        let ip = address.ip().to_canonical();
        Listener { address: (!ip.is_unspecified()).then_some(ip), port: address.port() }
    }

    pub(super) fn is_at(self, address: SocketAddr) -> bool {
        self.port == address.port()
            && self.address.is_none_or(|own| own == address.ip().to_canonical())
    }
}
