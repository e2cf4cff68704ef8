//! The classic BPF program that lets only headers of our own ports' segments into the ring.
//!
//! It runs in the kernel on every packet of every interface, so it decides early. Seen by a
//! `SOCK_DGRAM` packet socket a packet begins at its network header; for a `SOCK_RAW` one, where it
//! begins depends on the interface, the kernel is asked for what lies behind `SKF_NET_OFF`. What
//! passes:
//!
//! - IPv4 with TCP, not a fragment. Of a fragmented segment no piece passes, since the first
//!   would show a wrong length and the rest no ports; TCP sets DF, so this is rare.
//! - IPv6 where TCP follows the fixed header directly; extension headers are not walked.
//! - Of our listeners' ports, what leaves this machine by its source port, what arrives by its
//!   destination port, so that our own connections to the same port of other machines stay out.
//!   On loopback either.
//! - Of the ports we connect to, what has one of them at either end.
//! - On loopback each packet once: the copy that arrives. The copy that leaves comes first but
//!   both are the same packet.
//! - Nothing on its way to another host.
//!
//! For [`Snap::Whole`] UDP of the ports of datagrams passes by the same rules, and with it every later
//! fragment of UDP, which has no ports, and ICMP errors that quote one of these ports.
//!
//! Of what passes the headers alone are kept, whatever their length, and no byte of payload; all of
//! it for [`Snap::Whole`].

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::sock_filter;

use super::Snap;
use crate::kernel::length_of;

/// The most ports one filter holds: its jumps reach 255 instructions.
pub const MAX_PORTS: usize = 64;

/// A filter, ready to be attached.
#[derive(Clone)]
pub struct Filter {
    program: Vec<sock_filter>,
}

impl Filter {
    /// A filter for listeners' ports; `None` if they are more than [`MAX_PORTS`].
    #[must_use]
    pub fn for_ports(ports: &[u16]) -> Option<Filter> {
        Filter::for_ports_and_peers(ports, &[])
    }

    /// A filter for listeners' ports and for those of peers that are connected to; `None` if they
    /// are more than [`MAX_PORTS`] together.
    #[must_use]
    pub fn for_ports_and_peers(ports: &[u16], peers: &[u16]) -> Option<Filter> {
        Filter::keeping(Snap::Headers, ports, peers)
    }

    /// The same for a socket that keeps so much of each packet.
    #[must_use]
    pub fn keeping(snap: Snap, ports: &[u16], peers: &[u16]) -> Option<Filter> {
        Filter::with_datagrams(snap, [ports, peers], [&[], &[]])
    }

    /// The same with UDP of other ports, our own and those of peers, if whole packets are kept.
    #[must_use]
    pub fn with_datagrams(
        snap: Snap,
        [ports, peers]: [&[u16]; 2],
        datagrams: [&[u16]; 2],
    ) -> Option<Filter> {
        let of_udp = datagrams.iter().map(|ports| ports.len()).sum::<usize>();
        let few = ports.len() + peers.len() + of_udp <= MAX_PORTS;
        let datagrams = (of_udp > 0 && snap == Snap::Whole).then_some(datagrams);
        few.then(|| Filter { program: assemble(&source(snap, ports, peers, datagrams)) })
    }

    /// Puts the filter on a socket, in place of a former one.
    pub(super) fn attach(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        attach_program(socket, &self.program)
    }
}

/// Puts a program on a socket of any kind, in place of a former one (socket(7), `SO_ATTACH_FILTER`).
pub(crate) fn attach_program(socket: BorrowedFd<'_>, program: &[sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(u16::MAX),
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `filter` points to `len` instructions, which are borrowed until this returns; the
    // kernel checks and copies them and writes nothing.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length_of::<libc::sock_fprog>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("instructions", &self.program.len()).finish()
    }
}

/// One line of the program before its jumps are counted out.
#[derive(Clone, Copy)]
enum Line {
    /// Load, store or return: code and operand.
    Do(u32, u32),
    /// Compare the accumulator and jump: code, operand, where to if so; else go on.
    If(u32, u32, Label),
    /// Jump.
    Go(Label),
    /// A place to jump to.
    At(Label),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Outgoing,
    Protocol,
    V4,
    V4Tcp,
    V4Plain,
    V6,
    V6Tcp,
    Length,
    Source,
    Drop,
    Accept,
    /// Of packets that are no TCP.
    Other,
    OtherV6,
    Tcp,
    Icmp,
    Udp4,
    Udp6,
    Icmp6,
    NoQuote,
    NoUdp,
    V6Udp,
    V6Fragment,
    V6NotUdp,
    QuotedPorts,
    QuotedAccept,
    UdpPorts,
    UdpSource,
    UdpAccept,
    UdpDrop,
}

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
pub(crate) const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF_BEHIND_HEADER: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
const LOAD_BYTE_BEHIND_HEADER: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
const HEADER_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const HEADER_LENGTH_IS: u32 = libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM;
const MASK: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const SHIFT_RIGHT: u32 = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
const ADD_HEADER_LENGTH: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X;
const LOAD_NUMBER: u32 = libc::BPF_LD | libc::BPF_IMM;
const LOAD_KEPT: u32 = libc::BPF_LD | libc::BPF_MEM;
const KEEP: u32 = libc::BPF_ST;
pub(crate) const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
pub(crate) const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const ALU_XOR: u32 = libc::BPF_ALU | libc::BPF_XOR | libc::BPF_K;
const RETURN_KEPT: u32 = libc::BPF_RET | libc::BPF_A;

/// Scratch words of the program.
const SOURCE: u32 = 0;
const DESTINATION: u32 = 1;
const HEADERS: u32 = 2;

/// More than any packet has.
pub(crate) const WHOLE: u32 = 1 << 28;

fn source(snap: Snap, ports: &[u16], peers: &[u16], datagrams: Option<[&[u16]; 2]>) -> Vec<Line> {
    use Line::{At, Do, Go, If};
    // What the kernel knows about a packet is loaded from beyond SKF_AD_OFF (linux/filter.h).
    let about = |what: libc::c_int| (libc::SKF_AD_OFF + what).cast_unsigned();
    let ip = |offset: u32| match snap {
        Snap::Headers => offset,
        Snap::Whole => libc::SKF_NET_OFF.cast_unsigned() + offset,
    };
    let tcp = libc::IPPROTO_TCP.cast_unsigned();
    let to_another_host = u32::from(libc::PACKET_OTHERHOST);
    let outgoing = u32::from(libc::PACKET_OUTGOING);
    let loopback = u32::from(libc::ARPHRD_LOOPBACK);
    let one_of = |ports: &[u16]| -> Vec<Line> {
        ports.iter().map(|&port| If(EQUAL, u32::from(port), Label::Accept)).collect()
    };

    let mut lines = vec![
        Do(LOAD_WORD, about(libc::SKF_AD_PKTTYPE)),
        If(EQUAL, to_another_host, Label::Drop),
        If(EQUAL, outgoing, Label::Outgoing),
        Go(Label::Protocol),
        At(Label::Outgoing),
        Do(LOAD_WORD, about(libc::SKF_AD_HATYPE)),
        If(EQUAL, loopback, Label::Drop),
        At(Label::Protocol),
    ];
    if datagrams.is_some() {
        lines.extend([
            Do(LOAD_BYTE, ip(0)),
            Do(SHIFT_RIGHT, 4),
            If(EQUAL, 6, Label::OtherV6),
            Do(LOAD_BYTE, ip(9)),
            If(EQUAL, tcp, Label::Tcp),
            Go(Label::Other),
            At(Label::OtherV6),
            Do(LOAD_BYTE, ip(6)),
            If(EQUAL, tcp, Label::Tcp),
            Go(Label::Other),
            At(Label::Tcp),
        ]);
    }
    lines.extend([
        Do(LOAD_WORD, about(libc::SKF_AD_PROTOCOL)),
        If(EQUAL, libc::ETH_P_IP.cast_unsigned(), Label::V4),
        If(EQUAL, libc::ETH_P_IPV6.cast_unsigned(), Label::V6),
        Go(Label::Drop),
        At(Label::V4),
        // RFC 791 §3.1: more-fragments flag and fragment offset.
        Do(LOAD_HALF, ip(6)),
        If(ANY_BIT, 0x3fff, Label::Drop),
        Do(LOAD_BYTE, ip(9)),
        If(EQUAL, tcp, Label::V4Tcp),
        Go(Label::Drop),
        At(Label::V4Tcp),
        // Version 4 and five words of header: no options, as nearly always. The kernel reads at
        // a place it knows in a few instructions, but at any other through a call.
        Do(LOAD_BYTE, ip(0)),
        If(EQUAL, 0x45, Label::V4Plain),
        Do(HEADER_LENGTH, ip(0)),
        Do(LOAD_HALF_BEHIND_HEADER, ip(0)),
        Do(KEEP, SOURCE),
        Do(LOAD_HALF_BEHIND_HEADER, ip(2)),
        Do(KEEP, DESTINATION),
        Do(LOAD_BYTE_BEHIND_HEADER, ip(12)),
        Go(Label::Length),
        At(Label::V4Plain),
        Do(HEADER_LENGTH_IS, 20),
        Do(LOAD_HALF, ip(20)),
        Do(KEEP, SOURCE),
        Do(LOAD_HALF, ip(22)),
        Do(KEEP, DESTINATION),
        Do(LOAD_BYTE, ip(32)),
        Go(Label::Length),
        At(Label::V6),
        Do(LOAD_BYTE, ip(6)),
        If(EQUAL, tcp, Label::V6Tcp),
        Go(Label::Drop),
        At(Label::V6Tcp),
        Do(HEADER_LENGTH_IS, 40),
        Do(LOAD_HALF, ip(40)),
        Do(KEEP, SOURCE),
        Do(LOAD_HALF, ip(42)),
        Do(KEEP, DESTINATION),
        Do(LOAD_BYTE, ip(52)),
        At(Label::Length),
        // RFC 9293 §3.1: the upper four bits count the TCP header's words of four bytes.
        Do(MASK, 0xf0),
        Do(SHIFT_RIGHT, 2),
        Do(ADD_HEADER_LENGTH, 0),
        Do(KEEP, HEADERS),
    ]);
    if !peers.is_empty() {
        for place in [DESTINATION, SOURCE] {
            lines.push(Do(LOAD_KEPT, place));
            lines.extend(one_of(peers));
        }
    }
    lines.extend([
        Do(LOAD_WORD, about(libc::SKF_AD_PKTTYPE)),
        If(EQUAL, outgoing, Label::Source),
        Do(LOAD_KEPT, DESTINATION),
    ]);
    lines.extend(one_of(ports));
    lines.extend([
        Do(LOAD_WORD, about(libc::SKF_AD_HATYPE)),
        If(EQUAL, loopback, Label::Source),
        Go(Label::Drop),
        At(Label::Source),
        Do(LOAD_KEPT, SOURCE),
    ]);
    lines.extend(one_of(ports));
    lines.extend([
        Go(Label::Drop),
        // Ahead of the other return: the kernel's check takes one return to lead to the next line,
        // where it would miss the word kept.
        At(Label::Accept),
        match snap {
            Snap::Headers => Do(LOAD_KEPT, HEADERS),
            Snap::Whole => Do(LOAD_NUMBER, WHOLE),
        },
        Do(RETURN_KEPT, 0),
        At(Label::Drop),
        Do(RETURN, 0),
    ]);
    if let Some(datagrams) = datagrams {
        lines.extend(of_datagrams(datagrams, about, ip));
    }
    lines
}

/// What becomes of packets that are no TCP.
fn of_datagrams(
    [ports, peers]: [&[u16]; 2],
    about: impl Fn(libc::c_int) -> u32,
    ip: impl Fn(u32) -> u32,
) -> Vec<Line> {
    use Line::{At, Do, Go, If};
    let udp = libc::IPPROTO_UDP.cast_unsigned();
    let one_of = |ports: &[u16], then: Label| -> Vec<Line> {
        ports.iter().map(|&port| If(EQUAL, u32::from(port), then)).collect()
    };
    let ports_at = |load: u32, source: u32, then: Label| {
        let destination = source + 2;
        [Do(load, ip(source)), Do(KEEP, SOURCE), Do(load, ip(destination)), Do(KEEP, DESTINATION)]
            .into_iter()
            .chain([Go(then)])
    };
    let mut lines = vec![
        At(Label::Other),
        Do(LOAD_WORD, about(libc::SKF_AD_PROTOCOL)),
        If(EQUAL, libc::ETH_P_IPV6.cast_unsigned(), Label::Udp6),
        If(EQUAL, libc::ETH_P_IP.cast_unsigned(), Label::Udp4),
        Go(Label::UdpDrop),
        At(Label::Udp4),
        Do(HEADER_LENGTH, ip(0)),
        Do(LOAD_BYTE, ip(9)),
        If(EQUAL, libc::IPPROTO_ICMP.cast_unsigned(), Label::Icmp),
        // It may be of one of ours; who reads the packets knows the first fragment.
        Do(LOAD_BYTE, ip(9)),
        Do(ALU_XOR, udp),
        If(ANY_BIT, 0xff, Label::NoUdp),
        Do(LOAD_HALF, ip(6)),
        If(ANY_BIT, 0x1fff, Label::QuotedAccept),
    ];
    lines.extend(ports_at(LOAD_HALF_BEHIND_HEADER, 0, Label::UdpPorts));
    lines.extend([
        At(Label::NoUdp),
        Go(Label::UdpDrop),
        At(Label::Icmp),
        // RFC 792: errors quote the header and eight bytes of what caused them, behind eight of theirs.
        Do(LOAD_BYTE_BEHIND_HEADER, ip(8)),
        Do(ALU_XOR, 0x45),
        If(ANY_BIT, 0xff, Label::NoQuote),
        Do(LOAD_BYTE_BEHIND_HEADER, ip(17)),
        Do(ALU_XOR, udp),
        If(ANY_BIT, 0xff, Label::NoQuote),
    ]);
    lines.extend(ports_at(LOAD_HALF_BEHIND_HEADER, 28, Label::QuotedPorts));
    lines.extend([
        At(Label::NoQuote),
        Go(Label::UdpDrop),
        At(Label::Udp6),
        Do(LOAD_BYTE, ip(6)),
        If(EQUAL, libc::IPPROTO_ICMPV6.cast_unsigned(), Label::Icmp6),
        If(EQUAL, libc::IPPROTO_FRAGMENT.cast_unsigned(), Label::V6Fragment),
        If(EQUAL, udp, Label::V6Udp),
        Go(Label::UdpDrop),
        At(Label::V6Udp),
    ]);
    lines.extend(ports_at(LOAD_HALF, 40, Label::UdpPorts));
    lines.extend([
        At(Label::V6Fragment),
        Do(LOAD_BYTE, ip(40)),
        Do(ALU_XOR, udp),
        If(ANY_BIT, 0xff, Label::V6NotUdp),
        // RFC 8200 §4.5: thirteen bits of offset.
        Do(LOAD_HALF, ip(42)),
        If(ANY_BIT, 0xfff8, Label::QuotedAccept),
    ]);
    lines.extend(ports_at(LOAD_HALF, 48, Label::UdpPorts));
    lines.extend([
        At(Label::Icmp6),
        // RFC 4443 §2.1: types of errors are below 128.
        Do(LOAD_BYTE, ip(40)),
        If(ANY_BIT, 0x80, Label::V6NotUdp),
        Do(LOAD_BYTE, ip(54)),
        Do(ALU_XOR, udp),
        If(ANY_BIT, 0xff, Label::V6NotUdp),
    ]);
    lines.extend(ports_at(LOAD_HALF, 88, Label::QuotedPorts));
    lines.extend([At(Label::V6NotUdp), Go(Label::UdpDrop), At(Label::QuotedPorts)]);
    for place in [SOURCE, DESTINATION] {
        lines.push(Do(LOAD_KEPT, place));
        lines.extend(one_of(ports, Label::QuotedAccept));
        lines.extend(one_of(peers, Label::QuotedAccept));
    }
    lines.extend([
        Go(Label::UdpDrop),
        At(Label::QuotedAccept),
        Do(RETURN, WHOLE),
        // Never come to: the kernel's check, for which a return leads on, forgets here what was not kept.
        Go(Label::UdpDrop),
        At(Label::UdpPorts),
    ]);
    for place in [DESTINATION, SOURCE] {
        lines.push(Do(LOAD_KEPT, place));
        lines.extend(one_of(peers, Label::UdpAccept));
    }
    lines.extend([
        Do(LOAD_WORD, about(libc::SKF_AD_PKTTYPE)),
        If(EQUAL, u32::from(libc::PACKET_OUTGOING), Label::UdpSource),
        Do(LOAD_KEPT, DESTINATION),
    ]);
    lines.extend(one_of(ports, Label::UdpAccept));
    lines.extend([
        Do(LOAD_WORD, about(libc::SKF_AD_HATYPE)),
        If(EQUAL, u32::from(libc::ARPHRD_LOOPBACK), Label::UdpSource),
        Go(Label::UdpDrop),
        At(Label::UdpSource),
        Do(LOAD_KEPT, SOURCE),
    ]);
    lines.extend(one_of(ports, Label::UdpAccept));
    lines.extend([
        Go(Label::UdpDrop),
        At(Label::UdpAccept),
        Do(RETURN, WHOLE),
        At(Label::UdpDrop),
        Do(RETURN, 0),
    ]);
    lines
}

/// Turns labels into distances; a label itself takes no instruction.
fn assemble(lines: &[Line]) -> Vec<sock_filter> {
    let takes_one = |line: &&Line| !matches!(line, Line::At(_));
    let place_of = |label: Label| {
        let index = lines.iter().position(|line| matches!(line, Line::At(at) if *at == label));
        let index = index.expect("every label that is jumped to stands in the program");
        lines.iter().take(index).filter(takes_one).count()
    };
    lines
        .iter()
        .filter(takes_one)
        .enumerate()
        .map(|(here, line)| match *line {
            Line::Do(code, operand) => instruction(code, 0, operand),
            Line::If(code, operand, label) => {
                let distance = u8::try_from(place_of(label) - here - 1)
                    .expect("MAX_PORTS keeps every jump within 255 instructions");
                instruction(code, distance, operand)
            }
            Line::Go(label) => {
                let distance = u32::try_from(place_of(label) - here - 1)
                    .expect("a program is shorter than 4096 instructions");
                instruction(libc::BPF_JMP | libc::BPF_JA, 0, distance)
            }
            Line::At(_) => unreachable!("labels were left out above"),
        })
        .collect()
}

/// One instruction; where it compares, how many are skipped if so.
pub(crate) fn instruction(code: u32, if_so: u8, operand: u32) -> sock_filter {
    let code = u16::try_from(code).expect("BPF codes are 16 bits wide");
    sock_filter { code, jt: if_so, jf: 0, k: operand }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_filter_is_within_the_kernels_limits() {
        let ports: Vec<u16> = (1..=64).collect();
        let filter = Filter::for_ports(&ports).unwrap();
        assert!(filter.program.len() < 200, "{}", filter.program.len());
        let too_many: Vec<u16> = (1..=65).collect();
        assert!(Filter::for_ports(&too_many).is_none());
    }

    #[test]
    fn the_kernel_accepts_the_filter_for_any_number_of_ports() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for count in [0, 1, 2, 63, 64] {
            let ports: Vec<u16> = (1..=count).collect();
            use std::os::fd::AsFd;
            Filter::for_ports(&ports).unwrap().attach(socket.as_fd()).unwrap();
            for peers in 0..=ports.len() {
                let (peers, ports) = ports.split_at(peers);
                for snap in [Snap::Headers, Snap::Whole] {
                    let filter = Filter::keeping(snap, ports, peers).unwrap();
                    filter.attach(socket.as_fd()).unwrap();
                    let [of_tcp, of_udp] = [[&[][..], peers], [ports, &[]]];
                    let filter = Filter::with_datagrams(snap, of_tcp, of_udp).unwrap();
                    filter.attach(socket.as_fd()).unwrap();
                    let filter = Filter::with_datagrams(snap, of_udp, of_tcp).unwrap();
                    filter.attach(socket.as_fd()).unwrap();
                }
            }
        }
    }
}
