//! Captured datagrams, and which of those that the program received or sent each of them is.
//!
//! A packet and a call are of one datagram if length, digest and both ends agree, and if there were as
//! many such packets as calls. Otherwise nothing is said of it.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use sockeye_engine::Address;
use sockeye_engine::probe::{ConnId, Datagram, Datagrams, Direction, Stamp, digest};
use sockeye_wire::layers::{Layer, Meaning, Name, Pdu, Protocol, Stop, Unit, Value, dissect};
use sockeye_wire::packet::Link;

use super::tap::Seen;
use crate::capture::Packet;

/// What a captured packet has to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Who sent the datagram.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// What of it this packet is.
    pub part: Part,
    /// Bytes of its content.
    pub length: u64,
    /// Of its content ([`digest`]); of an ICMP error, of nothing.
    pub digest: u32,
}

/// What of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The fragment with its header.
    First,
    /// A later fragment, which begins at this byte of its content.
    Rest(u64),
    /// An ICMP error that quotes it.
    Error,
}

/// Packets whose later fragments may come.
const FRAGMENTED: usize = 256;

/// Reads packets; later fragments by their first.
#[derive(Debug, Default)]
pub(super) struct Letters {
    fragmented: VecDeque<((IpAddr, IpAddr, u64), Letter)>,
}

impl Letters {
    /// `None` for what is of no datagram that is known.
    pub(super) fn read(&mut self, packet: &Packet<'_>) -> Option<Letter> {
        let length = usize::try_from(packet.length).ok()?;
        let unit = dissect(Link::Ip, packet.bytes, length);
        let network = unit.pdus.iter().find(|pdu| pdu.protocol.layer() == Layer::Network)?;
        let ends = (address(network, Name::Source)?, address(network, Name::Destination)?);
        let id = number(network, Name::Identification).unwrap_or(0);
        let key = (ends.0, ends.1, id);
        if unit.stop == Stop::Fragment {
            let offset = number(network, Name::FragmentOffset)? * 8;
            let (_, first) = self.fragmented.iter().rev().find(|(known, _)| *known == key)?;
            return Some(Letter { part: Part::Rest(offset.checked_sub(8)?), ..*first });
        }
        if unit.pdus.iter().any(|pdu| matches!(pdu.protocol, Protocol::Icmpv4 | Protocol::Icmpv6)) {
            let quoted = packet.bytes.get(unit.payload.clone())?;
            let quoted = dissect(Link::Ip, quoted, quoted.len());
            let letter = of_datagram(&quoted, &[])?;
            return Some(Letter { part: Part::Error, digest: 0, ..letter });
        }
        let letter = of_datagram(&unit, packet.bytes)?;
        if letter.part == Part::First {
            if self.fragmented.len() == FRAGMENTED {
                self.fragmented.pop_front();
            }
            self.fragmented.push_back((key, letter));
        }
        Some(letter)
    }
}

fn of_datagram(unit: &Unit, bytes: &[u8]) -> Option<Letter> {
    let network = unit.pdus.iter().find(|pdu| pdu.protocol.layer() == Layer::Network)?;
    let udp = unit.pdus.iter().find(|pdu| pdu.protocol == Protocol::Udp)?;
    let end = |ip, port| {
        let port = u16::try_from(number(udp, port)?).ok()?;
        Some(SocketAddr::new(address(network, ip)?, port))
    };
    let more = network.fields.iter().any(|field| match field.name {
        Name::IpFlags => field.meaning == Some(Meaning::MoreFragments),
        Name::MoreFragments => field.value == Value::Number(1),
        _ => false,
    });
    let length = number(udp, Name::Length)?.checked_sub(8)?;
    let content = bytes.get(unit.payload.clone()).unwrap_or_default();
    Some(Letter {
        source: end(Name::Source, Name::SourcePort)?,
        destination: end(Name::Destination, Name::DestinationPort)?,
        part: if more { Part::First } else { Part::Whole },
        length,
        digest: digest(length, [content]),
    })
}

fn number(pdu: &Pdu, name: Name) -> Option<u64> {
    match pdu.field(name)?.value {
        Value::Number(number) => Some(number),
        Value::Hex { value, .. } => Some(value),
        _ => None,
    }
}

fn address(pdu: &Pdu, name: Name) -> Option<IpAddr> {
    match pdu.field(name)?.value {
        Value::Address(address) => Some(address.to_canonical()),
        _ => None,
    }
}

/// Kinds of datagrams that are told apart at once.
const KINDS: usize = 1 << 14;

/// Alike datagrams whose names are kept, the latest.
const ALIKE: usize = 64;

/// Nothing is joined for so many nanoseconds after some were not counted.
const BLIND: u64 = 2_000_000_000;

/// A kind is forgotten when none of it was seen for so many nanoseconds.
const FORGET: u64 = 10_000_000_000;

/// Datagrams that look alike: way, port of our end, the other end, length, digest.
type Kind = (Direction, u16, SocketAddr, u64, u32);

/// What a packet is looked up by once its call is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slip {
    kind: Kind,
    /// Which one of its kind, from 0.
    place: u64,
    at: Stamp,
    part: Part,
    epoch: u64,
}

impl Slip {
    /// Which way it went, as the socket it is looked up for has it.
    pub(crate) fn direction(&self) -> Direction {
        self.kind.0
    }
}

/// What the program knows of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which one of its socket and direction, from 1.
    pub number: u64,
    /// Bytes of its content.
    pub length: u64,
    /// What the program calls it; bytes of a peer.
    pub label: String,
    /// What of it the packet is.
    pub part: Part,
}

#[derive(Debug)]
struct Told {
    conn: ConnId,
    index: u64,
    start: Stamp,
    end: Stamp,
    label: String,
}

#[derive(Debug, Default)]
struct Alike {
    packets: u64,
    calls: u64,
    latest: VecDeque<Told>,
    last: u64,
}

/// Joins packets with the calls that moved them.
#[derive(Debug, Default)]
pub(crate) struct Post {
    ports: HashMap<ConnId, u16>,
    kinds: HashMap<Kind, Alike>,
    /// The kind of the datagram that was told last, of each socket and way.
    last: HashMap<(ConnId, Direction), Kind>,
    epoch: u64,
    blind_until: u64,
}

impl Post {
    /// Takes in what the program tells.
    pub(crate) fn sees(&mut self, seen: &Seen<'_>) {
        match *seen {
            Seen::Datagrams(&Datagrams { conn, ref local, .. }) => {
                self.ports.extend(local.ip().map(|local| (conn, local.port())));
            }
            Seen::Datagram(conn, datagram) => self.told(conn, datagram),
            Seen::Message { conn, direction, range, label, .. } => {
                let Some(kind) = self.last.get(&(conn, direction)) else { return };
                let alike = self.kinds.get_mut(kind);
                let told = alike.and_then(|alike| alike.latest.back_mut());
                if let Some(told) = told.filter(|told| told.conn == conn && told.index == range.0) {
                    label.clone_into(&mut told.label);
                }
            }
            Seen::PacketsLost(_) => self.forget(Stamp::now()),
            Seen::SocketEnded(history) => {
                self.ports.remove(&history.conn);
                self.last.retain(|(conn, _), _| *conn != history.conn);
            }
            _ => {}
        }
    }

    fn told(&mut self, conn: ConnId, datagram: &Datagram<'_>) {
        let &Datagram { direction, index, start, end, length, digest, peer, result, .. } = datagram;
        let Some(peer) = peer.and_then(Address::ip).map(canonical) else {
            return;
        };
        let (Some(&port), Some(digest), Ok(())) = (self.ports.get(&conn), digest, result) else {
            return;
        };
        let kind = (direction, port, peer, length, digest);
        if let Some(alike) = self.alike(kind, start) {
            alike.calls += 1;
            if alike.latest.len() == ALIKE {
                alike.latest.pop_front();
            }
            alike.latest.push_back(Told { conn, index, start, end, label: String::new() });
            self.last.insert((conn, direction), kind);
        }
    }

    /// Takes in a packet: as one that was sent from an end that may be ours, or received there.
    pub(crate) fn packet(&mut self, at: Stamp, letter: &Letter) -> Vec<Slip> {
        let Letter { source, destination, part, length, digest } = *letter;
        if part == Part::Error {
            return Vec::new();
        }
        let sent = (Direction::Sent, source.port(), destination, length, digest);
        let received = (Direction::Received, destination.port(), source, length, digest);
        let epoch = self.epoch;
        let mut slips = Vec::new();
        for kind in [sent, received] {
            let Some(alike) = self.alike(kind, at) else { continue };
            // A later fragment is of the datagram whose first one came last.
            if !matches!(part, Part::Rest(_)) {
                alike.packets += 1;
            }
            let place = alike.packets.saturating_sub(1);
            slips.push(Slip { kind, place, at, part, epoch });
        }
        slips.retain(|slip| slip.epoch == self.epoch);
        slips
    }

    /// What is known for certain of the datagram that a packet was of.
    pub(crate) fn name(&self, slip: &Slip) -> Option<Named> {
        let alike = self.kinds.get(&slip.kind).filter(|_| slip.epoch == self.epoch)?;
        let first = alike.calls.checked_sub(alike.latest.len() as u64)?;
        let place = usize::try_from(slip.place.checked_sub(first)?).ok()?;
        let told = alike.latest.get(place)?;
        let in_time = match slip.kind.0 {
            Direction::Sent => told.start <= slip.at,
            Direction::Received => slip.at <= told.end,
        };
        let certain = alike.packets == alike.calls
            && alike.latest.iter().all(|other| other.conn == told.conn)
            && in_time;
        certain.then(|| Named {
            number: told.index + 1,
            length: slip.kind.3,
            label: told.label.clone(),
            part: slip.part,
        })
    }

    fn alike(&mut self, kind: Kind, at: Stamp) -> Option<&mut Alike> {
        if at.0 < self.blind_until {
            return None;
        }
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind) {
            self.kinds.retain(|_, alike| at.0.saturating_sub(alike.last) < FORGET);
            if self.kinds.len() >= KINDS {
                self.forget(at);
                return None;
            }
        }
        let alike = self.kinds.entry(kind).or_default();
        alike.last = alike.last.max(at.0);
        Some(alike)
    }

    /// Some were not counted: what is counted from then on is joined again.
    fn forget(&mut self, at: Stamp) {
        self.kinds.clear();
        self.last.clear();
        self.epoch += 1;
        self.blind_until = at.0.saturating_add(BLIND);
    }
}

/// The end of an IPv4 host as such, and without a zone, which no packet carries.
fn canonical(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip().to_canonical(), end.port())
}
