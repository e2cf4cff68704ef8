//! A captured unit taken apart layer by layer: each header with all its fields, to the bit.
//!
//! Where [`packet`](crate::packet) reads what a connection needs, and fast, this reads everything
//! there is to show. What was cut off or contradicts itself ends the dissection where certainty
//! ends, and [`Stop`] says why.

mod checksum;
mod field;
mod link;
mod network;
mod options;
mod reader;
mod transport;

use std::net::IpAddr;
use std::ops::Range;

pub use checksum::Checksum;
pub use field::{Field, Meaning, Name, Value};

use crate::packet::Link;
use reader::Reader;

/// A unit as it was captured, taken apart.
///
/// All places are byte or bit offsets from the first captured byte. The headers follow each other
/// without a gap, and behind the last of them lies the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Bytes it had on the wire, or in the kernel where it never was on one.
    pub length: usize,
    /// Bytes of it that were captured.
    pub captured: usize,
    /// Its protocol data units, the outermost first; each lies in the payload of the one before.
    pub pdus: Vec<Pdu>,
    /// What the innermost carries, as far as it was captured.
    pub payload: Range<usize>,
    /// Bytes of it on the wire.
    pub payload_length: usize,
    /// What was captured behind the packet: the padding of a short Ethernet frame.
    pub trailer: Range<usize>,
    /// Why it was taken apart no further.
    pub stop: Stop,
}

/// One protocol data unit: a header and what it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Pdu {
    /// What it is.
    pub protocol: Protocol,
    /// Where its header lies, as far as it was captured.
    pub header: Range<usize>,
    /// Bytes of its payload, by its own account or that of the unit around it.
    pub payload_length: usize,
    /// What its header says; the fields cover the header exactly once, in order.
    pub fields: Vec<Field>,
}

/// The protocols whose headers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Ethernet II, with its VLAN tags (IEEE 802.3, 802.1Q).
    Ethernet,
    /// What Linux writes in place of a link header where interfaces of all kinds are captured at
    /// once: LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2.
    Cooked,
    /// The family of addresses in place of a link header: LINKTYPE_NULL and LINKTYPE_LOOP.
    Null,
    /// Address resolution (RFC 826).
    Arp,
    /// IPv4 (RFC 791).
    Ipv4,
    /// IPv6 with its extension headers (RFC 8200).
    Ipv6,
    /// ICMP for IPv4 (RFC 792).
    Icmpv4,
    /// ICMP for IPv6 (RFC 4443).
    Icmpv6,
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
}

impl Protocol {
    /// The layer it belongs to.
    ///
    /// ARP is of the link layer (RFC 1122 §2.3.2), ICMP is part of IP (RFC 792).
    #[must_use]
    pub fn layer(self) -> Layer {
        match self {
            Protocol::Ethernet | Protocol::Cooked | Protocol::Null | Protocol::Arp => Layer::Link,
            Protocol::Ipv4 | Protocol::Ipv6 | Protocol::Icmpv4 | Protocol::Icmpv6 => Layer::Network,
            Protocol::Tcp | Protocol::Udp => Layer::Transport,
        }
    }

    /// Its name, the same in all languages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Ethernet => "Ethernet II",
            Protocol::Cooked => "Linux cooked",
            Protocol::Null => "loopback",
            Protocol::Arp => "ARP",
            Protocol::Ipv4 => "IPv4",
            Protocol::Ipv6 => "IPv6",
            Protocol::Icmpv4 => "ICMP",
            Protocol::Icmpv6 => "ICMPv6",
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        }
    }
}

/// The layers of the five-layer model, from the wire up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Bits on a medium.
    Physical,
    /// Frames between neighbours.
    Link,
    /// Packets between hosts.
    Network,
    /// Segments and datagrams between programs.
    Transport,
    /// Messages of programs.
    Application,
}

impl Layer {
    /// Its number in the five-layer model, 1 to 5.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Layer::Physical => 1,
            Layer::Link => 2,
            Layer::Network => 3,
            Layer::Transport => 4,
            Layer::Application => 5,
        }
    }

    /// Its number in the OSI model (ISO/IEC 7498-1); the application layer takes the place of 5 to
    /// 7 there.
    #[must_use]
    pub fn osi(self) -> u8 {
        match self {
            Layer::Application => 7,
            other => other.number(),
        }
    }
}

/// Why a unit was taken apart no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All headers were read; the rest is the program's.
    Payload,
    /// The capture ends inside a header.
    Cut,
    /// A fragment behind the first: the rest of it belongs into the middle of a packet.
    Fragment,
    /// Its network layer is none that is read here: an EtherType, or a length below 1536.
    UnknownType(u16),
    /// It carries neither of the protocols that are read here.
    UnknownProtocol(u8),
    /// Encrypted from here on (RFC 4303).
    Encrypted,
    /// The packet begins with a version that is neither 4 nor 6.
    Version(u8),
    /// A header claims to be shorter than one can be, or longer than what holds it.
    Malformed,
}

/// What the network layer hands to the one above it.
struct Carried {
    /// The number of its protocol (IANA protocol numbers).
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    /// A part of a packet that was sent in several.
    fragment: bool,
    /// It names the hosts to be passed, and the destination is the next of them.
    routed: bool,
}

/// Takes apart what was captured of a unit that had `wire_length` bytes.
///
/// Never fails: whatever was certain is in it.
///
/// ```
/// use etherparse::PacketBuilder;
/// use sockeye_wire::layers::{Protocol, Stop, dissect};
/// use sockeye_wire::packet::Link;
///
/// let builder = PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64).udp(4000, 53);
/// let mut bytes = Vec::new();
/// builder.write(&mut bytes, b"who?").unwrap();
///
/// let unit = dissect(Link::Ip, &bytes, bytes.len());
/// let protocols: Vec<Protocol> = unit.pdus.iter().map(|pdu| pdu.protocol).collect();
/// assert_eq!(protocols, [Protocol::Ipv4, Protocol::Udp]);
/// assert_eq!((&bytes[unit.payload], unit.stop), (&b"who?"[..], Stop::Payload));
/// ```
#[must_use]
pub fn dissect(link: Link, frame: &[u8], wire_length: usize) -> Unit {
    let length = wire_length.max(frame.len());
    let mut unit = Unit {
        length,
        captured: frame.len(),
        pdus: Vec::new(),
        payload: 0..0,
        payload_length: 0,
        trailer: frame.len()..frame.len(),
        stop: Stop::Payload,
    };
    let mut reader = Reader::new(frame);
    let end = read(link, &mut reader, &mut unit);
    let place = reader.byte().min(frame.len());
    // What the innermost carries ends with it, padding and all that is captured too much aside.
    let inner = unit.pdus.last().map_or(length, |pdu| pdu.payload_length);
    let end_of_payload = place.saturating_add(inner).min(frame.len());
    unit.payload = place..end_of_payload;
    unit.payload_length = inner;
    unit.trailer = end_of_payload..frame.len();
    if let Err(stop) = end {
        unit.stop = stop;
    }
    unit
}

fn read(link: Link, reader: &mut Reader<'_>, unit: &mut Unit) -> Result<(), Stop> {
    let kind = match link {
        Link::Ethernet => Some(link::ethernet(reader, unit)?),
        Link::Ip => None,
        Link::Cooked | Link::Cooked2 => Some(link::cooked(link, reader, unit)?),
        Link::Null => {
            link::null(reader, unit)?;
            None
        }
    };
    if kind == Some(link::ARP) {
        return link::arp(reader, unit);
    }
    let version = reader.peek().ok_or(Stop::Cut)? >> 4;
    let carried = match (kind, version) {
        (None | Some(link::IPV4), 4) => network::v4(reader, unit)?,
        (None | Some(link::IPV6), 6) => network::v6(reader, unit)?,
        (None | Some(link::IPV4 | link::IPV6), other) => return Err(Stop::Version(other)),
        (Some(other), _) => return Err(Stop::UnknownType(other)),
    };
    transport::read(reader, unit, &carried)
}

impl Unit {
    /// Bytes on the wire behind this place, by the account of what was read so far.
    fn room(&self) -> usize {
        self.pdus.last().map_or(self.length, |pdu| pdu.payload_length)
    }

    /// Adds a PDU whose header was read, with all that is left as its payload.
    fn push(&mut self, protocol: Protocol, reader: &mut Reader<'_>) {
        let (header, fields) = reader.take_fields();
        let payload_length = self.room().saturating_sub(header.len());
        self.pdus.push(Pdu { protocol, header, payload_length, fields });
    }

    /// The payload of the innermost is this long, unless the unit around it holds less.
    fn claim(&mut self, payload_length: usize) {
        if let Some(pdu) = self.pdus.last_mut() {
            pdu.payload_length = payload_length.min(pdu.payload_length);
        }
    }

    /// The PDU of a layer, if there is one.
    #[must_use]
    pub fn pdu(&self, layer: Layer) -> Option<&Pdu> {
        self.pdus.iter().find(|pdu| pdu.protocol.layer() == layer)
    }

    /// Whether the capture lacks some of its bytes.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.captured < self.length
    }
}

impl Pdu {
    /// The first field of this name.
    #[must_use]
    pub fn field(&self, name: Name) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

#[cfg(test)]
mod tests;
