//! What lies between two hosts, when nothing goes wrong.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// How bytes get from one host to the other; the same both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How long a segment or datagram is on its way.
    pub delay: Duration,
    /// Up to this much longer, drawn anew each time. Segments of one direction never overtake each
    /// other; datagrams do.
    pub jitter: Duration,
    /// Bytes a second each connection or datagram gets; None for as many as come.
    pub rate: Option<u64>,
    /// Bytes of one direction of a connection that may be on their way or unread; at least 1. When
    /// they are as many, `send(2)` finds no room.
    pub buffer: usize,
}

impl Default for Link {
    /// A millisecond each way, no jitter, no bound on the rate, 64 KiB.
    fn default() -> Link {
        Link { delay: Duration::from_millis(1), jitter: Duration::ZERO, rate: None, buffer: 65536 }
    }
}

impl Link {
    /// How long `len` bytes take to leave.
    pub(crate) fn time_to_send(&self, len: usize) -> Duration {
        let nanos =
            |rate: u64| (len as u128).saturating_mul(1_000_000_000) / u128::from(rate.max(1));
        let nanos = self.rate.map_or(0, nanos);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The links of all pairs of hosts.
#[derive(Debug, Default)]
pub(crate) struct Links {
    usual: Link,
    between: BTreeMap<(IpAddr, IpAddr), Link>,
}

impl Links {
    pub(crate) fn set_usual(&mut self, link: Link) {
        self.usual = link;
    }

    pub(crate) fn set(&mut self, one: IpAddr, other: IpAddr, link: Link) {
        self.between.insert(pair(one, other), link);
    }

    pub(crate) fn get(&self, one: IpAddr, other: IpAddr) -> Link {
        self.between.get(&pair(one, other)).copied().unwrap_or(self.usual)
    }
}

/// The pair, whichever is named first.
pub(crate) fn pair(one: IpAddr, other: IpAddr) -> (IpAddr, IpAddr) {
    if one <= other { (one, other) } else { (other, one) }
}
