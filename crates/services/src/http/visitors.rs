//! Who may come: how many connections one address may have, and how fast it may ask.
//!
//! Of IPv6 a /64 counts as one address, because that is what one customer gets at least (RFC 6177).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use foldhash::quality::RandomState;
use sockeye_engine::Address;

use crate::guard::{Rate, Turnstile};

/// Addresses whose rate is told apart.
const ADDRESSES: usize = 16 * 1024;

/// What one address may have and do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections open at once; None for any number. Default 512.
    pub connections: Option<u32>,
    /// Requests; None for any number, which is the default.
    pub requests: Option<Rate>,
    /// Loopback addresses may have any number of connections: behind a reverse proxy all clients come
    /// from there. Default true.
    pub spares_loopback: bool,
}

impl Default for AddressLimits {
    fn default() -> AddressLimits {
        AddressLimits { connections: Some(512), requests: None, spares_loopback: true }
    }
}

/// Those who are here.
pub(super) struct Visitors {
    limits: AddressLimits,
    here: Mutex<HashMap<IpAddr, u32, RandomState>>,
    turnstile: Option<Mutex<Turnstile>>,
    start: Instant,
}

impl Visitors {
    pub(super) fn new(limits: AddressLimits) -> Visitors {
        Visitors {
            limits,
            here: Mutex::new(HashMap::default()),
            turnstile: limits.requests.map(|rate| Mutex::new(Turnstile::new(rate, ADDRESSES))),
            start: Instant::now(),
        }
    }

    /// One more connection of a [counted] address, which [leaves](Visitors::leave) later; false if that
    /// would be one too many.
    pub(super) fn enter(&self, address: IpAddr) -> bool {
        if self.is_spared(address) {
            return true;
        }
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let count = here.entry(address).or_insert(0);
        if self.limits.connections.is_some_and(|most| *count >= most) {
            return false;
        }
        *count = count.saturating_add(1);
        true
    }

    /// A connection that entered has ended.
    pub(super) fn leave(&self, address: IpAddr) {
        if self.is_spared(address) {
            return;
        }
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = here.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                here.remove(&address);
            }
        }
    }

    fn is_spared(&self, address: IpAddr) -> bool {
        self.limits.connections.is_none() || (self.limits.spares_loopback && address.is_loopback())
    }

    /// Whether requests are counted at all.
    pub(super) fn has_rate(&self) -> bool {
        self.turnstile.is_some()
    }

    /// Whether this address may ask once more now; if so, it has.
    pub(super) fn may_ask(&self, address: IpAddr) -> bool {
        let Some(turnstile) = &self.turnstile else {
            return true;
        };
        let now = self.start.elapsed();
        let address = Address::from((address, 0));
        turnstile.lock().unwrap_or_else(PoisonError::into_inner).lets(now, &address)
    }
}

/// What an address counts as. (Who comes over a Unix socket has none: the permissions of its file let
/// him in.)
pub(super) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let visitors =
            Visitors::new(AddressLimits { connections: Some(2), ..AddressLimits::default() });
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        assert!(visitors.enter(one) && visitors.enter(one));
        assert!(!visitors.enter(one));
        assert!(visitors.enter(other), "others are not held to it");
        visitors.leave(one);
        assert!(visitors.enter(one));
        for address in [one, one, other] {
            visitors.leave(address);
        }
        assert!(visitors.here.lock().expect("no panic").is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_an_embedded_ipv4_as_itself() {
        let counted = |text| counted(ip(text));
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:1"));
        assert_ne!(counted("2001:db8::1"), counted("2001:db8:0:1::1"));
        assert_eq!(counted("::ffff:192.0.2.1"), counted("192.0.2.1"));
    }

    #[test]
    fn loopback_has_as_many_as_it_likes_unless_it_is_not_spared() {
        let enters_twice = |spares_loopback, text| {
            let limits = AddressLimits { connections: Some(1), requests: None, spares_loopback };
            let visitors = Visitors::new(limits);
            let address = counted(ip(text));
            visitors.enter(address) && visitors.enter(address)
        };
        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(enters_twice(true, local) && !enters_twice(false, local), "{local}");
        }
        assert!(!enters_twice(true, "192.0.2.1"));
    }
}
