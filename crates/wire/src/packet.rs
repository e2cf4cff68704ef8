//! From a captured frame down to its TCP segment and that one's payload, over IP version 4 or 6.
//! What may come before the IP header is in `link`.
//!
//! Captures are cut short and segments are larger than any wire would carry, so lengths come
//! from the IP header and, where that has none, from what the capture says the frame had.

mod link;

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxIpSlice, TcpHeaderSlice, TcpOptionElement, ip_number};

pub use link::Link;

use crate::tcp::{Flags, Seq};

/// The header of one TCP segment, and how much payload followed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it.
    pub source: SocketAddr,
    /// Who is to receive it.
    pub destination: SocketAddr,
    /// The sequence number of its first byte, or of its SYN.
    pub seq: Seq,
    /// The next sequence number the sender expects; meaningless without [`Flags::ACK`].
    pub ack: Seq,
    /// Its control bits.
    pub flags: Flags,
    /// The window as it stands in the header, not scaled.
    pub window: u16,
    /// Bytes of payload on the wire, however few of them were captured.
    pub payload: u32,
    /// The shift count of the window-scale option (RFC 7323 §2.2).
    pub window_scale: Option<u8>,
    /// The maximum-segment-size option (RFC 9293 §3.7.1).
    pub mss: Option<u16>,
    /// The first block of the selective-acknowledgment option.
    pub sack: Option<Sack>,
}

/// The block of bytes that caused an acknowledgment: the first of its option (RFC 2018 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sack {
    /// The sequence number of its first byte.
    pub start: Seq,
    /// The sequence number behind its last byte.
    pub end: Seq,
    /// These bytes had arrived before (RFC 2883 §4).
    pub duplicate: bool,
}

/// Why a frame has no TCP segment to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Less was captured than the headers need.
    #[error("the capture ends inside a header")]
    Short,
    /// It carries neither IPv4 nor IPv6.
    #[error("not an IP packet")]
    NotIp,
    /// It is IP but not TCP.
    #[error("not a TCP segment")]
    NotTcp,
    /// It is one fragment of a larger packet; only the first has a TCP header.
    #[error("a fragment of an IP packet")]
    Fragment,
    /// Its lengths contradict each other.
    #[error("header lengths contradict each other")]
    Malformed,
}

/// Reads the TCP segment in `frame`, the captured part of a frame that was `wire_len` bytes long.
///
/// The payload's length comes from the IP header. Where that is 0 (a segment-offload packet
/// above 64 KiB: "BIG TCP", or an RFC 2675 jumbogram) it comes from `wire_len`.
///
/// # Errors
///
/// [`PacketError`] if the frame carries no TCP segment or its headers were cut off.
///
/// ```
/// use etherparse::PacketBuilder;
/// use sockeye_wire::packet::{Link, parse};
///
/// let builder = PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64).tcp(4000, 80, 7, 1024);
/// let mut bytes = Vec::new();
/// builder.write(&mut bytes, b"GET /").unwrap();
///
/// let segment = parse(Link::Ip, &bytes, bytes.len()).unwrap();
/// assert_eq!(segment.source, "127.0.0.1:4000".parse().unwrap());
/// assert_eq!((segment.seq.0, segment.payload), (7, 5));
/// ```
pub fn parse(link: Link, frame: &[u8], wire_len: usize) -> Result<Segment, PacketError> {
    parse_with_payload(link, frame, wire_len).map(|(segment, _)| segment)
}

/// The same, with the payload as far as it was captured; padding behind it belongs to no segment.
///
/// # Errors
///
/// As [`parse`].
///
/// ```
/// use etherparse::PacketBuilder;
/// use sockeye_wire::packet::{Link, parse_with_payload};
///
/// let builder = PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64).tcp(4000, 80, 7, 1024);
/// let mut bytes = Vec::new();
/// builder.write(&mut bytes, b"GET /").unwrap();
///
/// let (segment, payload) = parse_with_payload(Link::Ip, &bytes[..43], bytes.len()).unwrap();
/// assert_eq!((segment.payload, payload), (5, &b"GET"[..]));
/// ```
pub fn parse_with_payload(
    link: Link,
    frame: &[u8],
    wire_len: usize,
) -> Result<(Segment, &[u8]), PacketError> {
    let network = link.network_layer(frame)?;
    let link_len = frame.len() - network.len();
    let network_len = wire_len.max(frame.len()) - link_len;
    let mut padded = [0; TCP_HEADER_MAX];
    let (addresses, header, payload, captured) = match plain(network) {
        Some(plain) => plain,
        None => general(network, network_len, &mut padded)?,
    };
    let captured = &captured[..captured.len().min(payload)];
    let mut segment = Segment {
        source: SocketAddr::new(addresses[0], header.source_port()),
        destination: SocketAddr::new(addresses[1], header.destination_port()),
        seq: Seq(header.sequence_number()),
        ack: Seq(header.acknowledgment_number()),
        flags: Flags::from_bits(header.slice()[13]),
        window: header.window_size(),
        payload: u32::try_from(payload).map_err(|_| PacketError::Malformed)?,
        window_scale: None,
        mss: None,
        sack: None,
    };
    if segment.flags.syn() {
        for option in header.options_iterator().map_while(Result::ok) {
            match option {
                TcpOptionElement::WindowScale(shift) => segment.window_scale = Some(shift),
                TcpOptionElement::MaximumSegmentSize(size) => segment.mss = Some(size),
                _ => {}
            }
        }
    }
    if segment.flags.ack() && !is_plain(header.options()) {
        segment.sack = sack(&header, segment.ack);
    }
    Ok((segment, captured))
}

/// Whether these are no options, or a timestamp alone, which nearly every segment carries
/// (RFC 7323, appendix A).
fn is_plain(options: &[u8]) -> bool {
    match options {
        [] => true,
        [1, 1, 8, 10, rest @ ..] => rest.len() == 8,
        _ => false,
    }
}

fn sack(header: &TcpHeaderSlice<'_>, ack: Seq) -> Option<Sack> {
    let mut options = header.options_iterator().map_while(Result::ok);
    let (first, second) = options.find_map(|option| match option {
        TcpOptionElement::SelectiveAcknowledgement(first, [second, ..]) => Some((first, second)),
        _ => None,
    })?;
    let (start, end) = (Seq(first.0), Seq(first.1));
    // RFC 2883 §4: below what is acknowledged, or part of the block behind it.
    let within = second.is_some_and(|(from, to)| {
        start.distance_from(Seq(from)) >= 0 && Seq(to).distance_from(end) >= 0
    });
    Some(Sack { start, end, duplicate: ack.distance_from(start) > 0 || within })
}

/// Source and destination, the TCP header, how many bytes follow it, and those of them that were
/// captured.
type Parts<'a, 'p> = ([IpAddr; 2], TcpHeaderSlice<'p>, usize, &'a [u8]);

/// What nearly every packet is, read in a fraction of the time: IPv4 without options, no
/// fragment, with a length and a whole TCP header.
fn plain(network: &[u8]) -> Option<Parts<'_, '_>> {
    let (ip, tcp) = network.split_first_chunk::<20>()?;
    let [0x45, _, total_high, total_low, _, _, flags, offset, _, 6, ..] = *ip else { return None };
    let total = usize::from(u16::from_be_bytes([total_high, total_low]));
    if u16::from_be_bytes([flags, offset]) & 0x3fff != 0 || total == 0 || total < network.len() {
        return None;
    }
    let header = TcpHeaderSlice::from_slice(tcp).ok()?;
    let payload = total.checked_sub(20 + header.slice().len())?;
    let captured = tcp.get(header.slice().len()..)?;
    let [.., a, b, c, d, e, f, g, h] = *ip;
    Some(([IpAddr::from([a, b, c, d]), IpAddr::from([e, f, g, h])], header, payload, captured))
}

/// All the rest.
fn general<'a: 'p, 'p>(
    network: &'a [u8],
    network_len: usize,
    padded: &'p mut [u8; TCP_HEADER_MAX],
) -> Result<Parts<'a, 'p>, PacketError> {
    let (ip, stopped) = LaxIpSlice::from_slice(network).map_err(|error| match error {
        etherparse::err::ip::LaxHeaderSliceError::Len(_) => PacketError::Short,
        etherparse::err::ip::LaxHeaderSliceError::Content(_) => PacketError::NotIp,
    })?;
    if stopped.is_some() {
        return Err(PacketError::Malformed);
    }
    if ip.is_fragmenting_payload() {
        return Err(PacketError::Fragment);
    }
    if ip.payload_ip_number() != ip_number::TCP {
        return Err(PacketError::NotTcp);
    }
    let (ip_headers, total) = lengths(&ip, network_len);
    let header = tcp_header(ip.payload().payload, padded)?;
    let payload = total
        .checked_sub(ip_headers)
        .and_then(|rest| rest.checked_sub(header.slice().len()))
        .ok_or(PacketError::Malformed)?;
    let captured = ip.payload().payload.get(header.slice().len()..).unwrap_or(&[]);
    Ok(([ip.source_addr(), ip.destination_addr()], header, payload, captured))
}

/// Sixty bytes: the four bits of the data offset count words (RFC 9293 §3.1).
const TCP_HEADER_MAX: usize = 60;

/// Bytes of the IP headers with their extensions, and of the whole packet.
fn lengths(ip: &LaxIpSlice<'_>, network_len: usize) -> (usize, usize) {
    let (headers, total) = match ip {
        LaxIpSlice::Ipv4(v4) => {
            let auth = v4.extensions().auth.as_ref().map_or(0, |auth| auth.slice().len());
            (v4.header().slice().len() + auth, usize::from(v4.header().total_len()))
        }
        LaxIpSlice::Ipv6(v6) => {
            let fixed = v6.header().slice().len();
            let following = usize::from(v6.header().payload_length());
            let total = if following == 0 { 0 } else { fixed + following };
            (fixed + v6.extensions().slice().len(), total)
        }
    };
    (headers, if total == 0 { network_len } else { total })
}

/// The TCP header, its options filled up with end-of-options where the capture cut them off.
fn tcp_header<'p>(
    captured: &'p [u8],
    padded: &'p mut [u8; TCP_HEADER_MAX],
) -> Result<TcpHeaderSlice<'p>, PacketError> {
    const FIXED: usize = 20;
    let offset = captured.get(12).ok_or(PacketError::Short)?;
    let length = usize::from(offset >> 4) * 4;
    if captured.len() < FIXED {
        return Err(PacketError::Short);
    }
    let whole = if captured.len() >= length {
        captured
    } else {
        padded[..captured.len()].copy_from_slice(captured);
        padded.as_slice()
    };
    TcpHeaderSlice::from_slice(whole).map_err(|_| PacketError::Malformed)
}

#[cfg(test)]
mod tests;
