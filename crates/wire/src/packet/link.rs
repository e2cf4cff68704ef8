//! What a captured frame begins with, and where behind it the IP header stands.

use etherparse::{EtherType, Ethernet2HeaderSlice, SingleVlanHeaderSlice, ether_type};

use super::PacketError;

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet II header, as on `lo` and most interfaces; VLAN tags may follow it.
    Ethernet,
    /// The IP header itself, as on `tun`.
    Ip,
    /// A word that names the family, in the order of bytes of the machine that captured: loopback
    /// of BSD and macOS.
    Null,
    /// The header that libpcap makes up for the interface `any`, 16 bytes.
    Cooked,
    /// The second version of that one, 20 bytes.
    Cooked2,
}

impl Link {
    /// The link behind a number of libpcap's list, as capture files have it; `None` for those whose
    /// frames are not read here.
    ///
    /// ```
    /// use sockeye_wire::packet::Link;
    ///
    /// assert_eq!(Link::of_linktype(1), Some(Link::Ethernet));
    /// assert_eq!(Link::of_linktype(105), None); // IEEE 802.11
    /// ```
    #[must_use]
    pub const fn of_linktype(number: u32) -> Option<Link> {
        Some(match number {
            // LINKTYPE_NULL, LINKTYPE_LOOP
            0 | 108 => Link::Null,
            1 => Link::Ethernet,
            // What DLT_RAW is on Linux and on OpenBSD, LINKTYPE_RAW, _IPV4, _IPV6
            12 | 14 | 101 | 228 | 229 => Link::Ip,
            // LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2
            113 => Link::Cooked,
            276 => Link::Cooked2,
            _ => return None,
        })
    }

    /// Its number in that list.
    #[must_use]
    pub const fn linktype(self) -> u16 {
        match self {
            Link::Null => 0,
            Link::Ethernet => 1,
            Link::Ip => 101,
            Link::Cooked => 113,
            Link::Cooked2 => 276,
        }
    }

    /// What follows the link's header in a captured frame: a packet that is IP as far as the link
    /// tells.
    ///
    /// # Errors
    ///
    /// [`PacketError::Short`] or [`PacketError::NotIp`].
    pub fn network_layer(self, frame: &[u8]) -> Result<&[u8], PacketError> {
        match self {
            Link::Ip => Ok(frame),
            Link::Ethernet => {
                let header =
                    Ethernet2HeaderSlice::from_slice(frame).map_err(|_| PacketError::Short)?;
                behind_tags(header.ether_type(), &frame[header.slice().len()..])
            }
            // What it holds differs from system to system; the IP header says it once more.
            Link::Null => frame.get(4..).ok_or(PacketError::Short),
            Link::Cooked => cooked(frame, 14, 16),
            Link::Cooked2 => cooked(frame, 0, 20),
        }
    }
}

/// Behind a header of so many bytes with the protocol at one place in it.
fn cooked(frame: &[u8], protocol: usize, header: usize) -> Result<&[u8], PacketError> {
    let (Some(&[high, low]), Some(rest)) = (frame.get(protocol..protocol + 2), frame.get(header..))
    else {
        return Err(PacketError::Short);
    };
    behind_tags(EtherType(u16::from_be_bytes([high, low])), rest)
}

/// Stacked VLAN tags beyond this are not walked through.
const VLAN_TAGS_MAX: usize = 3;

/// What follows any VLAN tags, if it is IP.
fn behind_tags(mut ether_type: EtherType, mut rest: &[u8]) -> Result<&[u8], PacketError> {
    for _ in 0..VLAN_TAGS_MAX {
        match ether_type {
            ether_type::VLAN_TAGGED_FRAME
            | ether_type::PROVIDER_BRIDGING
            | ether_type::VLAN_DOUBLE_TAGGED_FRAME => {
                let tag =
                    SingleVlanHeaderSlice::from_slice(rest).map_err(|_| PacketError::Short)?;
                ether_type = tag.ether_type();
                rest = &rest[tag.slice().len()..];
            }
            _ => break,
        }
    }
    match ether_type {
        ether_type::IPV4 | ether_type::IPV6 => Ok(rest),
        _ => Err(PacketError::NotIp),
    }
}
