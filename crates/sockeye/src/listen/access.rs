//! Who may come in: `--allow` and `--deny`.

use std::net::IpAddr;

use ipnet::IpNet;
use sockeye_engine::Address;

/// Networks that are let in, and those that are not.
#[derive(Debug)]
pub(super) struct Access {
    /// All, where it is empty.
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl Access {
    pub(super) fn new(allow: &[IpNet], deny: &[IpNet]) -> Access {
        Access { allow: allow.to_vec(), deny: deny.to_vec() }
    }

    /// Whether this peer may come in. Peers of Unix sockets are of no network; files have modes.
    pub(super) fn lets_in(&self, peer: Option<&Address>) -> bool {
        let address: IpAddr = match peer {
            // An IPv4 peer of an IPv6 socket is of its IPv4 network.
            Some(Address::Ip(peer)) => peer.ip().to_canonical(),
            Some(Address::Unix(_)) => return true,
            // It is gone already: nobody can tell whence it came.
            None => return self.allow.is_empty() && self.deny.is_empty(),
        };
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets_in(allow: &[&str], deny: &[&str], peer: &str) -> bool {
        let networks = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().expect("a network")).collect()
        };
        let peer = Address::Ip(peer.parse().expect("an address"));
        Access::new(&networks(allow), &networks(deny)).lets_in(Some(&peer))
    }

    #[test]
    fn what_is_denied_stays_out_even_if_it_is_allowed() {
        assert!(lets_in(&[], &[], "10.0.0.1:1"));
        assert!(lets_in(&["10.0.0.0/8"], &[], "10.0.0.1:1"));
        assert!(!lets_in(&["10.0.0.0/8"], &[], "11.0.0.1:1"));
        assert!(!lets_in(&["10.0.0.0/8"], &["10.0.0.1/32"], "10.0.0.1:1"));
        assert!(!lets_in(&[], &["::1/128"], "[::1]:1"));
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_of_its_ipv4_network() {
        assert!(lets_in(&["127.0.0.0/8"], &[], "[::ffff:127.0.0.1]:1"));
        assert!(!lets_in(&[], &["127.0.0.0/8"], "[::ffff:127.0.0.1]:1"));
    }
}
