//! Ethernet and its tags, and ARP.

use super::field::{Meaning, Name};
use super::reader::Reader;
use super::{Protocol, Stop, Unit};
use crate::packet::Link;

/// EtherTypes (IEEE registration authority).
pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const PROVIDER_BRIDGING: u16 = 0x88a8;
const DOUBLE_TAGGED: u16 = 0x9100;

/// Tags beyond this are not walked through.
const TAGS_MAX: usize = 3;

/// Below this a type is a length (IEEE 802.3 §3.2.6).
const FIRST_TYPE: u16 = 0x0600;

/// Reads a frame's header; what the frame carries.
pub(super) fn ethernet(reader: &mut Reader<'_>, unit: &mut Unit) -> Result<u16, Stop> {
    let read = header(reader);
    unit.push(Protocol::Ethernet, reader);
    let kind = read?;
    if kind < FIRST_TYPE {
        unit.claim(usize::from(kind));
    }
    Ok(kind)
}

fn header(reader: &mut Reader<'_>) -> Result<u16, Stop> {
    for name in [Name::Destination, Name::Source] {
        let mac = reader.mac(name)?;
        if let Some(meaning) = about(mac) {
            reader.mean(meaning);
        }
    }
    for _ in 0..TAGS_MAX {
        let next = reader.rest().first_chunk().map(|next| u16::from_be_bytes(*next));
        if !matches!(next, Some(VLAN | PROVIDER_BRIDGING | DOUBLE_TAGGED)) {
            break;
        }
        reader.hex(Name::VlanTag, 16)?;
        reader.mean(Meaning::Name(match next {
            Some(VLAN) => "802.1Q",
            Some(PROVIDER_BRIDGING) => "802.1ad",
            _ => "QinQ",
        }));
        reader.number(Name::VlanPriority, 3)?;
        reader.number(Name::VlanDropEligible, 1)?;
        reader.number(Name::VlanId, 12)?;
    }
    let next = reader.rest().first_chunk().map(|next| u16::from_be_bytes(*next));
    if next.is_some_and(|length| length < FIRST_TYPE) {
        return reader.half(Name::Length);
    }
    ether_type(reader)
}

fn about(mac: [u8; 6]) -> Option<Meaning> {
    match mac {
        [0, 0, 0, 0, 0, 0] => Some(Meaning::NoHardware),
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Some(Meaning::Broadcast),
        // The first bit on the wire (IEEE 802 §8.2.2).
        [first, ..] if first & 1 == 1 => Some(Meaning::Group),
        _ => None,
    }
}

/// Reads what Linux made up in place of a link header; what follows it.
pub(super) fn cooked(link: Link, reader: &mut Reader<'_>, unit: &mut Unit) -> Result<u16, Stop> {
    let read = match link {
        Link::Cooked2 => cooked_2(reader),
        _ => cooked_1(reader),
    };
    unit.push(Protocol::Cooked, reader);
    read
}

/// LINKTYPE_LINUX_SLL.
fn cooked_1(reader: &mut Reader<'_>) -> Result<u16, Stop> {
    let way = reader.number(Name::PacketType, 16)?;
    name_way(reader, way);
    reader.number(Name::HardwareType, 16)?;
    reader.number(Name::HardwareLength, 16)?;
    reader.bytes(Name::Source, 8)?;
    ether_type(reader)
}

/// LINKTYPE_LINUX_SLL2.
fn cooked_2(reader: &mut Reader<'_>) -> Result<u16, Stop> {
    let kind = ether_type(reader)?;
    reader.number(Name::Reserved, 16)?;
    reader.number(Name::Interface, 32)?;
    reader.number(Name::HardwareType, 16)?;
    let way = reader.number(Name::PacketType, 8)?;
    name_way(reader, way);
    reader.number(Name::HardwareLength, 8)?;
    reader.bytes(Name::Source, 8)?;
    Ok(kind)
}

/// packet(7), `sll_pkttype`.
fn name_way(reader: &mut Reader<'_>, way: u64) {
    let name = match way {
        0 => "to this host",
        1 => "broadcast",
        2 => "multicast",
        3 => "to another host",
        4 => "outgoing",
        _ => return,
    };
    reader.mean(Meaning::Name(name));
}

/// Reads the family of addresses, in the order of bytes of whoever captured.
pub(super) fn null(reader: &mut Reader<'_>, unit: &mut Unit) -> Result<(), Stop> {
    let read = reader.hex(Name::Family, 32);
    unit.push(Protocol::Null, reader);
    read.map(drop)
}

fn ether_type(reader: &mut Reader<'_>) -> Result<u16, Stop> {
    let kind = u16::try_from(reader.hex(Name::EtherType, 16)?).unwrap_or(0);
    if let Some(name) = type_name(kind) {
        reader.mean(Meaning::Name(name));
    }
    Ok(kind)
}

fn type_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        IPV4 => "IPv4",
        ARP => "ARP",
        IPV6 => "IPv6",
        0x8863 => "PPPoE discovery",
        0x8864 => "PPPoE session",
        0x8847 => "MPLS",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x8809 => "slow protocols",
        _ => return None,
    })
}

/// Reads an ARP message, of which all is header.
pub(super) fn arp(reader: &mut Reader<'_>, unit: &mut Unit) -> Result<(), Stop> {
    let read = message(reader);
    unit.push(Protocol::Arp, reader);
    unit.claim(0);
    read
}

fn message(reader: &mut Reader<'_>) -> Result<(), Stop> {
    let hardware = reader.half(Name::HardwareType)?;
    if hardware == 1 {
        reader.mean(Meaning::Name("Ethernet"));
    }
    let protocol = u16::try_from(reader.hex(Name::ProtocolType, 16)?).unwrap_or(0);
    if let Some(name) = type_name(protocol) {
        reader.mean(Meaning::Name(name));
    }
    let hardware_length = usize::from(reader.octet(Name::HardwareLength)?);
    let protocol_length = usize::from(reader.octet(Name::ProtocolLength)?);
    match reader.half(Name::Operation)? {
        1 => reader.mean(Meaning::Request),
        2 => reader.mean(Meaning::Reply),
        _ => {}
    }
    for (hardware_name, protocol_name) in
        [(Name::SenderHardware, Name::SenderProtocol), (Name::TargetHardware, Name::TargetProtocol)]
    {
        match hardware_length {
            6 => {
                if let Some(meaning) = about(reader.mac(hardware_name)?) {
                    // In a question the target's is not known: that is the question.
                    reader.mean(meaning);
                }
            }
            other => {
                reader.bytes(hardware_name, other)?;
            }
        }
        match (protocol, protocol_length) {
            (IPV4, 4) => {
                reader.v4(protocol_name)?;
            }
            (_, other) => {
                reader.bytes(protocol_name, other)?;
            }
        }
    }
    Ok(())
}
