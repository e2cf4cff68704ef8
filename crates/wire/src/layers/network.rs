//! The headers of IPv4 and IPv6.

use super::checksum::{Checksum, right_one, sum};
use super::field::{Meaning, Name};
use super::reader::Reader;
use super::{Carried, Protocol, Stop, Unit, options};

/// Protocol numbers (IANA).
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
pub(super) const ENCRYPTED: u8 = 50;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;

/// Extension headers beyond this are not walked through.
const EXTENSIONS_MAX: usize = 8;

/// Reads a packet of IPv4 with its options, and an authentication header behind it.
pub(super) fn v4(reader: &mut Reader<'_>, unit: &mut Unit) -> Result<Carried, Stop> {
    let mut total = None;
    let read = v4_header(reader, unit.room(), &mut total);
    let length = reader.header_length();
    unit.push(Protocol::Ipv4, reader);
    if let Some(total) = total {
        unit.claim(total.saturating_sub(length));
    }
    read
}

fn v4_header(
    reader: &mut Reader<'_>,
    room: usize,
    total: &mut Option<usize>,
) -> Result<Carried, Stop> {
    reader.number(Name::Version, 4)?;
    let words = reader.number(Name::HeaderLength, 4)?;
    reader.mean(Meaning::Words(words * 4));
    let header = usize::try_from(words * 4).unwrap_or(0);
    class(reader)?;
    let said = usize::from(reader.half(Name::TotalLength)?);
    match said {
        // More than 65,535 bytes, put together by the kernel: "BIG TCP".
        0 => reader.mean(Meaning::TooLongToSay),
        _ if said < header => reader.mean(Meaning::TooShort),
        _ if said > room => reader.mean(Meaning::TooLong),
        _ => *total = Some(said),
    }
    reader.hex(Name::Identification, 16)?;
    let flags = reader.hex(Name::IpFlags, 3)?;
    // RFC 791 §3.1: reserved, DF, MF.
    reader.mean(match (flags & 2, flags & 1) {
        (0, 0) => Meaning::NoFlags,
        (_, 0) => Meaning::DontFragment,
        _ => Meaning::MoreFragments,
    });
    let offset = reader.number(Name::FragmentOffset, 13)?;
    if offset > 0 {
        reader.mean(Meaning::FragmentAt(offset * 8));
    }
    reader.number(Name::TimeToLive, 8)?;
    let protocol = reader.octet(Name::Protocol)?;
    name_protocol(reader, protocol);
    let checksum = u16::try_from(reader.hex(Name::HeaderChecksum, 16)?).unwrap_or(0);
    let source = reader.v4(Name::Source)?;
    let destination = reader.v4(Name::Destination)?;
    if header < 20 {
        reader.mean_of(Name::HeaderLength, Meaning::TooShort);
        return Err(Stop::Malformed);
    }
    options::ipv4(reader, header - 20)?;
    let found = match right_one(sum(reader.header(), 0), checksum) {
        right if right == checksum => Checksum::Correct,
        right => Checksum::Wrong(right),
    };
    reader.mean_of(Name::HeaderChecksum, Meaning::Checksum(found));
    if said != 0 && said < header {
        return Err(Stop::Malformed);
    }
    let routed = ["loose source route", "strict source route"]
        .into_iter()
        .any(|route| reader.has(Name::Option(route)));
    let fragment = flags & 1 == 1 || offset > 0;
    let mut carried = Carried { protocol, source, destination, fragment, routed };
    if offset > 0 {
        return Err(Stop::Fragment);
    }
    if protocol == AUTHENTICATION {
        carried.protocol = extension(reader, AUTHENTICATION, &mut carried.fragment)?;
    }
    Ok(carried)
}

/// Reads a packet of IPv6 with its extension headers.
pub(super) fn v6(reader: &mut Reader<'_>, unit: &mut Unit) -> Result<Carried, Stop> {
    let mut total = None;
    let read = v6_header(reader, unit.room(), &mut total);
    let length = reader.header_length();
    unit.push(Protocol::Ipv6, reader);
    if let Some(total) = total {
        unit.claim(total.saturating_sub(length));
    }
    read
}

fn v6_header(
    reader: &mut Reader<'_>,
    room: usize,
    total: &mut Option<usize>,
) -> Result<Carried, Stop> {
    reader.number(Name::Version, 4)?;
    class(reader)?;
    reader.hex(Name::FlowLabel, 20)?;
    let said = usize::from(reader.half(Name::PayloadLength)?);
    match said {
        // A jumbogram (RFC 2675), or one put together by the kernel.
        0 if room > 40 => reader.mean(Meaning::TooLongToSay),
        _ if said + 40 > room => reader.mean(Meaning::TooLong),
        _ => *total = Some(said + 40),
    }
    let mut next = reader.octet(Name::NextHeader)?;
    name_protocol(reader, next);
    reader.number(Name::HopLimit, 8)?;
    let source = reader.v6(Name::Source)?;
    let destination = reader.v6(Name::Destination)?;
    let (mut fragment, mut routed) = (false, false);
    for _ in 0..EXTENSIONS_MAX {
        match next {
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS => {
                routed |= next == ROUTING;
                next = extension(reader, next, &mut fragment)?;
            }
            _ => break,
        }
    }
    Ok(Carried { protocol: next, source, destination, fragment, routed })
}

/// One extension header; the number of what comes behind it.
fn extension(reader: &mut Reader<'_>, kind: u8, fragment: &mut bool) -> Result<u8, Stop> {
    let next = reader.octet(Name::NextHeader)?;
    name_protocol(reader, next);
    if kind == FRAGMENT {
        // RFC 8200 §4.5
        reader.number(Name::Reserved, 8)?;
        let offset = reader.number(Name::FragmentOffset, 13)?;
        reader.mean(Meaning::FragmentAt(offset * 8));
        reader.number(Name::Reserved, 2)?;
        let more = reader.number(Name::MoreFragments, 1)?;
        reader.hex(Name::Identification, 32)?;
        *fragment = more == 1 || offset > 0;
        return if offset > 0 { Err(Stop::Fragment) } else { Ok(next) };
    }
    let count = usize::from(reader.octet(Name::ExtensionLength)?);
    // RFC 4302 §2.2 counts words of four bytes and two less, RFC 8200 §4.3 words of eight and one less.
    let length = match kind {
        AUTHENTICATION => (count + 2) * 4,
        _ => (count + 1) * 8,
    };
    reader.mean(Meaning::Bytes(length as u64));
    reader.bytes(Name::ExtensionData, length.saturating_sub(2))?;
    Ok(next)
}

/// The traffic class (RFC 2474 §3, RFC 3168 §5).
fn class(reader: &mut Reader<'_>) -> Result<(), Stop> {
    let class = reader.number(Name::Dscp, 6)?;
    if let Some(name) = class_name(class) {
        reader.mean(Meaning::Name(name));
    }
    let mark = reader.number(Name::Ecn, 2)?;
    reader.mean(Meaning::Name(match mark {
        0 => "Not-ECT",
        1 => "ECT(1)",
        2 => "ECT(0)",
        _ => "CE",
    }));
    Ok(())
}

fn class_name(class: u64) -> Option<&'static str> {
    Some(match class {
        0 => "CS0",
        8 => "CS1",
        10 => "AF11",
        16 => "CS2",
        18 => "AF21",
        24 => "CS3",
        26 => "AF31",
        32 => "CS4",
        34 => "AF41",
        40 => "CS5",
        46 => "EF",
        48 => "CS6",
        56 => "CS7",
        _ => return None,
    })
}

fn name_protocol(reader: &mut Reader<'_>, protocol: u8) {
    if let Some(name) = protocol_name(protocol) {
        reader.mean(Meaning::Name(name));
    }
}

/// What a protocol number stands for, as far as it is met often.
#[must_use]
pub(super) fn protocol_name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        HOP_BY_HOP => "hop-by-hop options",
        ICMP => "ICMP",
        2 => "IGMP",
        4 => "IPv4",
        TCP => "TCP",
        UDP => "UDP",
        41 => "IPv6",
        ROUTING => "routing",
        FRAGMENT => "fragment",
        47 => "GRE",
        ENCRYPTED => "ESP",
        AUTHENTICATION => "AH",
        ICMPV6 => "ICMPv6",
        NO_NEXT_HEADER => "no next header",
        DESTINATION_OPTIONS => "destination options",
        89 => "OSPF",
        132 => "SCTP",
        136 => "UDP-Lite",
        _ => return None,
    })
}
