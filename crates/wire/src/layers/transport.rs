//! TCP, UDP and ICMP.

use super::checksum::{Checksum, pseudo_header, right_one, sum};
use super::field::{Meaning, Name, Value};
use super::network::{ENCRYPTED, ICMP, ICMPV6, TCP, UDP};
use super::reader::Reader;
use super::{Carried, Protocol, Stop, Unit, options};
use crate::tcp::Flags;

/// Reads what a packet carries.
pub(super) fn read(
    reader: &mut Reader<'_>,
    unit: &mut Unit,
    carried: &Carried,
) -> Result<(), Stop> {
    let room = unit.room();
    let whole = reader.rest().get(..room);
    let mut said = room;
    let (protocol, read) = match carried.protocol {
        TCP => (Protocol::Tcp, tcp(reader, room)),
        UDP => (Protocol::Udp, udp(reader, room, &mut said)),
        ICMP => (Protocol::Icmpv4, icmp(reader, ICMP)),
        ICMPV6 => (Protocol::Icmpv6, icmp(reader, ICMPV6)),
        ENCRYPTED => return Err(Stop::Encrypted),
        other => return Err(Stop::UnknownProtocol(other)),
    };
    let pseudo = match protocol {
        Protocol::Icmpv4 => 0,
        _ => pseudo_header(carried.source, carried.destination, carried.protocol, said),
    };
    if let Some(stood) = reader.checksum() {
        let covered = whole.and_then(|whole| whole.get(..said));
        let found = match covered {
            _ if stood == 0 && protocol == Protocol::Udp => Checksum::None,
            _ if carried.routed => Checksum::Routed,
            _ if carried.fragment => Checksum::Fragment,
            _ if protocol != Protocol::Icmpv4 && u32::from(stood) == pseudo => Checksum::LeftToCard,
            None => Checksum::NotAllCaptured,
            Some(covered) => match right_one(sum(covered, pseudo), stood) {
                // Both are zero in ones' complement (RFC 1624), and UDP sends the latter.
                right if right == stood || (right == 0 && stood == 0xffff) => Checksum::Correct,
                right => Checksum::Wrong(right),
            },
        };
        reader.mean_of(Name::Checksum, Meaning::Checksum(found));
    }
    let length = reader.header_length();
    unit.push(protocol, reader);
    unit.claim(said.saturating_sub(length));
    read
}

fn tcp(reader: &mut Reader<'_>, room: usize) -> Result<(), Stop> {
    reader.half(Name::SourcePort)?;
    reader.half(Name::DestinationPort)?;
    reader.number(Name::SequenceNumber, 32)?;
    reader.number(Name::Acknowledgment, 32)?;
    let words = reader.number(Name::DataOffset, 4)?;
    reader.mean(Meaning::Words(words * 4));
    let header = usize::try_from(words * 4).unwrap_or(0);
    let reserved = reader.number(Name::Reserved, 4)?;
    reader.mean(if reserved == 0 { Meaning::Zero } else { Meaning::NotZero });
    let bits = u8::try_from(reader.hex(Name::ControlBits, 8)?).unwrap_or(0);
    let flags = Flags::from_bits(bits);
    reader.show(Value::Flags(flags));
    if !flags.ack() {
        reader.mean_of(Name::Acknowledgment, Meaning::Unused);
    }
    reader.number(Name::Window, 16)?;
    reader.hex(Name::Checksum, 16)?;
    reader.number(Name::UrgentPointer, 16)?;
    // URG is bit 5 (RFC 9293 §3.1).
    if bits & 0x20 == 0 {
        reader.mean(Meaning::Unused);
    }
    if header < 20 {
        reader.mean_of(Name::DataOffset, Meaning::TooShort);
        return Err(Stop::Malformed);
    }
    if header > room {
        reader.mean_of(Name::DataOffset, Meaning::TooLong);
        return Err(Stop::Malformed);
    }
    options::tcp(reader, header - 20)
}

fn udp(reader: &mut Reader<'_>, room: usize, said: &mut usize) -> Result<(), Stop> {
    reader.half(Name::SourcePort)?;
    reader.half(Name::DestinationPort)?;
    let length = usize::from(reader.half(Name::Length)?);
    let mut malformed = false;
    match length {
        // A jumbogram (RFC 2675 §4).
        0 => reader.mean(Meaning::TooLongToSay),
        1..8 => {
            reader.mean(Meaning::TooShort);
            malformed = true;
        }
        // Offload makes one of many; else it is a fragment or malformed.
        _ if length > room => reader.mean(Meaning::TooLong),
        _ => *said = length,
    }
    reader.hex(Name::Checksum, 16)?;
    if malformed { Err(Stop::Malformed) } else { Ok(()) }
}

fn icmp(reader: &mut Reader<'_>, protocol: u8) -> Result<(), Stop> {
    let kind = reader.octet(Name::Type)?;
    let name = if protocol == ICMP { v4_type(kind) } else { v6_type(kind) };
    if let Some(name) = name {
        reader.mean(Meaning::Name(name));
    }
    let code = reader.octet(Name::Code)?;
    if let Some(name) = code_name(protocol, kind, code) {
        reader.mean(Meaning::Name(name));
    }
    reader.hex(Name::Checksum, 16)?;
    match (protocol, kind) {
        (ICMP, 0 | 8) | (ICMPV6, 128 | 129) => {
            reader.number(Name::Identifier, 16)?;
            reader.number(Name::Sequence, 16)?;
        }
        // RFC 1191 §4: fragmentation needed.
        (ICMP, 3) if code == 4 => {
            reader.number(Name::Reserved, 16)?;
            reader.number(Name::Mtu, 16)?;
        }
        (ICMPV6, 2) => {
            reader.number(Name::Mtu, 32)?;
        }
        (ICMPV6, 4) => {
            reader.number(Name::Pointer, 32)?;
        }
        _ => {
            reader.bytes(Name::RestOfHeader, 4)?;
        }
    }
    Ok(())
}

/// RFC 792.
fn v4_type(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0 => "echo reply",
        3 => "destination unreachable",
        4 => "source quench",
        5 => "redirect",
        8 => "echo request",
        9 => "router advertisement",
        10 => "router solicitation",
        11 => "time exceeded",
        12 => "parameter problem",
        13 => "timestamp request",
        14 => "timestamp reply",
        _ => return None,
    })
}

/// RFC 4443, RFC 4861, RFC 3810.
fn v6_type(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "destination unreachable",
        2 => "packet too big",
        3 => "time exceeded",
        4 => "parameter problem",
        128 => "echo request",
        129 => "echo reply",
        133 => "router solicitation",
        134 => "router advertisement",
        135 => "neighbor solicitation",
        136 => "neighbor advertisement",
        137 => "redirect",
        143 => "multicast listener report",
        _ => return None,
    })
}

fn code_name(protocol: u8, kind: u8, code: u8) -> Option<&'static str> {
    Some(match (protocol, kind, code) {
        (ICMP, 3, 0) => "network unreachable",
        (ICMP, 3, 1) => "host unreachable",
        (ICMP, 3, 2) => "protocol unreachable",
        (ICMP, 3, 3) | (ICMPV6, 1, 4) => "port unreachable",
        (ICMP, 3, 4) => "fragmentation needed",
        (ICMP, 3, 9 | 10 | 13) | (ICMPV6, 1, 1) => "prohibited",
        (ICMP, 11, 0) | (ICMPV6, 3, 0) => "in transit",
        (ICMP, 11, 1) | (ICMPV6, 3, 1) => "at reassembly",
        (ICMPV6, 1, 0) => "no route",
        (ICMPV6, 1, 3) => "address unreachable",
        _ => return None,
    })
}
