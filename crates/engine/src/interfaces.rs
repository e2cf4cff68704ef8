//! The interfaces of this machine: names, numbers, and the addresses they have.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// An interface, as it was when [`interfaces`] was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `eth0` for instance. The kernel allows any bytes but zero, `/` and white space; what is no
    /// UTF-8 is replaced.
    pub name: String,
    /// Its number, which lasts as long as it does.
    pub index: u32,
    /// In the order the kernel tells them.
    pub addresses: Vec<InterfaceAddress>,
    flags: InterfaceFlags,
}

/// One of an interface's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Bits of the network it is in, 0 to 32, or to 128 with IPv6.
    pub prefix: u8,
    /// Where all in this network are reached; only IPv4 has it, and only where there can be others.
    pub broadcast: Option<Ipv4Addr>,
}

impl Interface {
    /// Somebody has switched it on (`IFF_UP`, netdevice(7)).
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags.contains(InterfaceFlags::IFF_UP)
    }

    /// It has a link, too (`IFF_RUNNING`): what is sent there leaves.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.flags.contains(InterfaceFlags::IFF_RUNNING)
    }

    /// It leads back to this machine (`IFF_LOOPBACK`).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.flags.contains(InterfaceFlags::IFF_LOOPBACK)
    }

    /// All who are connected to it can be sent to at once (`IFF_BROADCAST`).
    #[must_use]
    pub fn can_broadcast(&self) -> bool {
        self.flags.contains(InterfaceFlags::IFF_BROADCAST)
    }

    /// It knows of groups (`IFF_MULTICAST`).
    #[must_use]
    pub fn can_multicast(&self) -> bool {
        self.flags.contains(InterfaceFlags::IFF_MULTICAST)
    }

    /// There is one other end (`IFF_POINTOPOINT`).
    #[must_use]
    pub fn is_point_to_point(&self) -> bool {
        self.flags.contains(InterfaceFlags::IFF_POINTOPOINT)
    }
}

/// Every interface of this network namespace, in the order of their numbers (getifaddrs(3)).
///
/// # Errors
///
/// The kernel's word: no descriptor or no memory is left.
///
/// ```
/// let all = sockeye_engine::interfaces()?;
/// assert!(all.iter().any(|interface| interface.is_loopback()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let told: Vec<_> = getifaddrs()?.collect();
    let mut all: Vec<Interface> = Vec::new();
    // Each has an entry of its own, whether it has addresses or not.
    for link in &told {
        let Some(index) = link.address.and_then(|it| Some(it.as_link_addr()?.ifindex())) else {
            continue;
        };
        let index = u32::try_from(index).unwrap_or_default();
        let (name, flags) = (link.interface_name.clone(), link.flags);
        all.push(Interface { name, index, addresses: Vec::new(), flags });
    }
    for entry in told {
        // An address may have a label of its own: `eth0:1` is one of eth0's.
        let label = &entry.interface_name;
        let name = label.split_once(':').map_or(&**label, |(name, _)| name);
        let interface = all.iter_mut().find(|it| it.name == *label || it.name == name);
        let (Some(interface), Some(address)) = (interface, ip(entry.address)) else { continue };
        let mask = ip(entry.netmask);
        let prefix = mask.map_or(if address.is_ipv4() { 32 } else { 128 }, prefix);
        let broadcast = match (address, ip(entry.broadcast)) {
            _ if !interface.can_broadcast() => None,
            // Where none was set, the C library tells the address again.
            (IpAddr::V4(own), Some(IpAddr::V4(told))) if told != own && prefix < 31 => Some(told),
            (IpAddr::V4(own), _) => last(own, prefix),
            (IpAddr::V6(_), _) => None,
        };
        interface.addresses.push(InterfaceAddress { address, prefix, broadcast });
    }
    all.sort_by_key(|interface| interface.index);
    Ok(all)
}

fn ip(address: Option<SockaddrStorage>) -> Option<IpAddr> {
    let address = address?;
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

fn prefix(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    u8::try_from(ones).unwrap_or(u8::MAX)
}

/// The last address of the network, which the kernel takes for its broadcast address although
/// nobody has set one; networks of one or two have none (RFC 3021).
fn last(address: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    (prefix < 31).then(|| Ipv4Addr::from_bits(address.to_bits() | hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_address_and_no_broadcast() {
        let all = interfaces().unwrap();
        let found = all.iter().find(|interface| interface.is_loopback()).unwrap();
        assert!(found.index > 0 && !found.can_broadcast() && !found.name.is_empty());
        let own = IpAddr::from([127, 0, 0, 1]);
        if let Some(address) = found.addresses.iter().find(|address| address.address == own) {
            assert_eq!((address.prefix, address.broadcast), (8, None));
        } else {
            assert!(!found.is_up(), "it is up without its address");
        }
    }

    #[test]
    fn the_last_address_of_a_network_is_its_broadcast_address() {
        let last = |prefix| last(Ipv4Addr::new(10, 1, 2, 3), prefix);
        assert_eq!(last(8), Some(Ipv4Addr::new(10, 255, 255, 255)));
        assert_eq!(last(30), Some(Ipv4Addr::new(10, 1, 2, 3)));
        assert_eq!(last(0), Some(Ipv4Addr::BROADCAST));
        assert_eq!((last(31), last(32)), (None, None));
        assert_eq!(prefix([255, 255, 240, 0].into()), 20);
    }
}
