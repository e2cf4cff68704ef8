//! Headers taken apart here and by tshark: the same fields, at the same bytes, with the same values.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use sockeye_wire::layers::{Checksum, Field, Meaning, Name, Pdu, Protocol, Value, dissect};
use sockeye_wire::packet::Link;
use support::{may_capture, skip};

/// The payload of the last datagram.
const LAST: &[u8] = b"that was the last one";

/// What tshark calls a field, if it shows it at the same bytes.
fn name_of(pdu: &Pdu, field: &Field) -> Option<&'static str> {
    let ours = match (pdu.protocol, field.name) {
        (Protocol::Ethernet, Name::Destination) => "eth.dst",
        (Protocol::Ethernet, Name::Source) => "eth.src",
        (Protocol::Ethernet, Name::EtherType) => "eth.type",
        (Protocol::Ipv4, Name::Version) => "ip.version",
        (Protocol::Ipv4, Name::HeaderLength) => "ip.hdr_len",
        (Protocol::Ipv4, Name::Dscp) => "ip.dsfield.dscp",
        (Protocol::Ipv4, Name::Ecn) => "ip.dsfield.ecn",
        (Protocol::Ipv4, Name::TotalLength) => "ip.len",
        (Protocol::Ipv4, Name::Identification) => "ip.id",
        (Protocol::Ipv4, Name::IpFlags) => "ip.flags",
        (Protocol::Ipv4, Name::FragmentOffset) => "ip.frag_offset",
        (Protocol::Ipv4, Name::TimeToLive) => "ip.ttl",
        (Protocol::Ipv4, Name::Protocol) => "ip.proto",
        (Protocol::Ipv4, Name::HeaderChecksum) => "ip.checksum",
        (Protocol::Ipv4, Name::Source) => "ip.src",
        (Protocol::Ipv4, Name::Destination) => "ip.dst",
        (Protocol::Ipv6, Name::Version) => "ipv6.version",
        (Protocol::Ipv6, Name::PayloadLength) => "ipv6.plen",
        (Protocol::Ipv6, Name::NextHeader) => "ipv6.nxt",
        (Protocol::Ipv6, Name::HopLimit) => "ipv6.hlim",
        (Protocol::Ipv6, Name::Source) => "ipv6.src",
        (Protocol::Ipv6, Name::Destination) => "ipv6.dst",
        (Protocol::Tcp, Name::SourcePort) => "tcp.srcport",
        (Protocol::Tcp, Name::DestinationPort) => "tcp.dstport",
        (Protocol::Tcp, Name::SequenceNumber) => "tcp.seq",
        (Protocol::Tcp, Name::Acknowledgment) => "tcp.ack",
        (Protocol::Tcp, Name::DataOffset) => "tcp.hdr_len",
        (Protocol::Tcp, Name::Window) => "tcp.window_size_value",
        (Protocol::Tcp, Name::Checksum) => "tcp.checksum",
        (Protocol::Tcp, Name::UrgentPointer) => "tcp.urgent_pointer",
        (Protocol::Tcp, Name::SegmentSize) => "tcp.options.mss_val",
        (Protocol::Tcp, Name::ShiftCount) => "tcp.options.wscale.shift",
        (Protocol::Tcp, Name::TimestampValue) => "tcp.options.timestamp.tsval",
        (Protocol::Tcp, Name::TimestampEcho) => "tcp.options.timestamp.tsecr",
        (Protocol::Udp, Name::SourcePort) => "udp.srcport",
        (Protocol::Udp, Name::DestinationPort) => "udp.dstport",
        (Protocol::Udp, Name::Length) => "udp.length",
        (Protocol::Udp, Name::Checksum) => "udp.checksum",
        (Protocol::Icmpv4, Name::Type) => "icmp.type",
        (Protocol::Icmpv4, Name::Code) => "icmp.code",
        (Protocol::Icmpv4, Name::Checksum) => "icmp.checksum",
        (Protocol::Icmpv6, Name::Type) => "icmpv6.type",
        (Protocol::Icmpv6, Name::Code) => "icmpv6.code",
        (Protocol::Icmpv6, Name::Checksum) => "icmpv6.checksum",
        _ => return None,
    };
    Some(ours)
}

/// One field as tshark shows it.
#[derive(Debug)]
struct Theirs {
    name: String,
    at: usize,
    size: usize,
    show: String,
}

/// The fields of each packet.
fn explained(file: &std::path::Path) -> Option<Vec<Vec<Theirs>>> {
    let output = Command::new("tshark")
        .args(["-n", "-T", "pdml", "-o", "tcp.relative_sequence_numbers:FALSE"])
        .args(["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"])
        .args(["-o", "udp.check_checksum:TRUE", "-r"])
        .arg(file)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let attribute = |line: &str, name: &str| -> Option<String> {
        let (_, rest) = line.split_once(&format!(" {name}=\""))?;
        Some(rest.split('"').next()?.to_owned())
    };
    let mut packets = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("<packet>") {
            packets.push(Vec::new());
        }
        let Some(packet) = packets.last_mut().filter(|_| line.starts_with("<field ")) else {
            continue;
        };
        let field = || -> Option<Theirs> {
            Some(Theirs {
                name: attribute(line, "name")?,
                at: attribute(line, "pos")?.parse().ok()?,
                size: attribute(line, "size")?.parse().ok()?,
                show: attribute(line, "show")?,
            })
        };
        packet.extend(field());
    }
    Some(packets)
}

/// What tshark shows for a value of ours.
fn same(field: &Field, show: &str) -> bool {
    let number = || match show.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => show.parse().ok(),
    };
    match field.value {
        // It counts bytes where the header counts words.
        Value::Number(words) if matches!(field.name, Name::HeaderLength | Name::DataOffset) => {
            number() == Some(words * 4)
        }
        Value::Number(value) | Value::Hex { value, .. } => number() == Some(value),
        _ => field.value.to_string() == show,
    }
}

/// The next record of a pcap file, its bytes added to `file`.
fn record(input: &mut BufReader<ChildStdout>, file: &mut Vec<u8>) -> Vec<u8> {
    if input.buffer().is_empty() {
        let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut fds = [PollFd::new(input.get_ref(), PollFlags::IN)];
        assert_eq!(
            poll(&mut fds, Some(&patience)).unwrap(),
            1,
            "the last datagram was not captured"
        );
    }
    let mut header = [0; 16];
    input.read_exact(&mut header).unwrap();
    let length = u32::from_le_bytes(header[8..12].try_into().unwrap());
    let mut frame = vec![0; length.try_into().unwrap()];
    input.read_exact(&mut frame).unwrap();
    file.extend(header);
    file.extend(&frame);
    frame
}

/// Frames that crossed `lo`, and the file of them; `None` if there is no tcpdump.
fn captured(traffic: impl FnOnce(SocketAddr)) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    let last = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = last.local_addr().unwrap().port();
    let mut tcpdump = Command::new("tcpdump")
        .args(["-i", "lo", "-U", "--immediate-mode", "-w", "-"])
        // More than any of these units has, and not so much that its ring has room for few.
        .args(["-s", "9000", "-B", "16384"])
        // What an ICMP error is about stands in it, 28 or 48 bytes from its start.
        .arg(format!("port {port} or icmp[28:2] = {port} or icmp[30:2] = {port} or icmp6"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut said = BufReader::new(tcpdump.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended before it listened");
    }
    traffic(last.local_addr().unwrap());
    last.send_to(LAST, last.local_addr().unwrap()).unwrap();
    let mut input = BufReader::new(tcpdump.stdout.take().unwrap());
    let mut file = vec![0; 24];
    input.read_exact(&mut file).unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = record(&mut input, &mut file);
        let is_last = frame.ends_with(LAST);
        frames.push(frame);
        if is_last {
            break;
        }
    }
    tcpdump.kill().unwrap();
    tcpdump.wait().unwrap();
    Some((frames, file))
}

/// Both versions of IP, both protocols, and an error.
fn traffic(last: SocketAddr) {
    let port = last.port();
    for host in ["127.0.0.1", "[::1]"] {
        let listener = TcpListener::bind(format!("{host}:{port}"));
        // Without IPv6 the rest is enough.
        let Ok(listener) = listener else { continue };
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"question").unwrap();
        server.read_exact(&mut [0; 8]).unwrap();
        server.write_all(&[b'.'; 5000]).unwrap();
        drop(server);
        client.read_to_end(&mut Vec::new()).unwrap();
    }
    for host in ["127.0.0.2", "::1"] {
        let own = if host.contains(':') { "[::1]:0" } else { "127.0.0.1:0" };
        let Ok(socket) = UdpSocket::bind(own) else { continue };
        // Nobody is there, which an ICMP error says.
        socket.connect((host, port)).unwrap();
        socket.send(b"anybody?").unwrap();
        assert!(socket.recv(&mut [0; 8]).is_err());
    }
}

#[test]
fn every_field_lies_where_tshark_sees_it_and_says_the_same() {
    let test = "every_field_lies_where_tshark_sees_it_and_says_the_same";
    if !may_capture(test) {
        return;
    }
    let Some((frames, file)) = captured(traffic) else { return skip(test, "tcpdump is missing") };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcap");
    fs::write(&path, file).unwrap();
    let Some(packets) = explained(&path) else { return skip(test, "tshark is missing") };
    assert_eq!(packets.len(), frames.len());

    let mut compared = std::collections::BTreeSet::new();
    let mut protocols = Vec::new();
    for (frame, theirs) in frames.iter().zip(&packets) {
        let unit = dissect(Link::Ethernet, frame, frame.len());
        for pdu in &unit.pdus {
            protocols.push(pdu.protocol);
            for field in &pdu.fields {
                let Some(name) = name_of(pdu, field) else { continue };
                let place = field.bytes();
                let found = theirs
                    .iter()
                    .find(|other| other.name == name && other.at == place.start)
                    .unwrap_or_else(|| panic!("tshark shows no {name} at {place:?}: {theirs:#?}"));
                assert_eq!(found.size, place.len(), "{name}");
                assert!(same(field, &found.show), "{field:?}, {found:?}");
                compared.insert(name);
            }
            checksums_agree(pdu, theirs);
            flags_agree(pdu, theirs);
        }
        let length = theirs.iter().find(|field| field.name == "tcp.len");
        if let Some(length) = length {
            assert_eq!(length.show, unit.payload_length.to_string());
        }
    }
    for protocol in [Protocol::Ethernet, Protocol::Ipv4, Protocol::Tcp, Protocol::Udp] {
        assert!(protocols.contains(&protocol), "{protocols:?}");
    }
    assert!(protocols.contains(&Protocol::Icmpv4), "{protocols:?}");
    assert!(compared.len() >= 35, "{compared:?}");
}

/// tshark says of a checksum that it is right (1), wrong (0), or that it does not know (2).
fn checksums_agree(pdu: &Pdu, theirs: &[Theirs]) {
    let name = match pdu.protocol {
        Protocol::Ipv4 => "ip.checksum.status",
        Protocol::Tcp => "tcp.checksum.status",
        Protocol::Udp => "udp.checksum.status",
        Protocol::Icmpv4 => "icmp.checksum.status",
        Protocol::Icmpv6 => "icmpv6.checksum.status",
        _ => return,
    };
    let field = pdu.field(Name::HeaderChecksum).or(pdu.field(Name::Checksum)).unwrap();
    let found = theirs.iter().find(|other| other.name == name && other.at == field.bytes().start);
    let Some(found) = found else { return };
    let right = match found.show.as_str() {
        "1" => true,
        "0" => false,
        _ => return,
    };
    match field.meaning {
        Some(Meaning::Checksum(Checksum::Correct)) => assert!(right, "{field:?}"),
        Some(Meaning::Checksum(Checksum::Wrong(_) | Checksum::LeftToCard)) => {
            assert!(!right, "{field:?}");
        }
        other => panic!("{other:?}, and tshark says {found:?}"),
    }
}

fn flags_agree(pdu: &Pdu, theirs: &[Theirs]) {
    let Some(Value::Flags(flags)) = pdu.field(Name::ControlBits).map(|field| field.value) else {
        return;
    };
    let found = theirs.iter().find(|other| other.name == "tcp.flags").unwrap();
    let bits = u32::from_str_radix(found.show.trim_start_matches("0x"), 16).unwrap();
    assert_eq!(u32::from(flags.bits()), bits & 0xff);
}
