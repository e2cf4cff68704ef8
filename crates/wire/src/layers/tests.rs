use etherparse::{IcmpEchoHeader, Icmpv4Type, PacketBuilder, TcpOptionElement};
use proptest::prelude::*;

use super::*;

const HERE: [u8; 4] = [127, 0, 0, 1];

/// A whole Ethernet frame with a TCP segment, its checksums right.
fn segment() -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(40_000, 80, 7, 1024)
        .ack(9)
        .psh()
        .options(&[
            TcpOptionElement::Noop,
            TcpOptionElement::Noop,
            TcpOptionElement::Timestamp(5, 6),
            TcpOptionElement::MaximumSegmentSize(1460),
            TcpOptionElement::WindowScale(7),
            TcpOptionElement::SelectiveAcknowledgement((1, 2), [None; 3]),
        ])
        .unwrap();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, b"GET / HTTP/1.1\r\n").unwrap();
    bytes
}

fn shown(pdu: &Pdu, name: Name) -> String {
    pdu.field(name).map_or(String::from("absent"), |field| field.value.to_string())
}

#[test]
fn every_header_of_a_segment_is_read_to_the_last_option() {
    let frame = segment();
    let unit = dissect(Link::Ethernet, &frame, frame.len());
    assert_eq!(unit.stop, Stop::Payload);
    let [ethernet, ip, tcp] = &unit.pdus[..] else { panic!("{unit:?}") };
    assert_eq!(shown(ethernet, Name::Source), "02:00:00:00:00:01");
    assert_eq!(ethernet.field(Name::EtherType).unwrap().meaning, Some(Meaning::Name("IPv4")));
    assert_eq!((ip.header.clone(), shown(ip, Name::TimeToLive)), (14..34, "64".to_owned()));
    let right = Some(Meaning::Checksum(Checksum::Correct));
    assert_eq!(ip.field(Name::HeaderChecksum).unwrap().meaning, right);
    assert_eq!(tcp.field(Name::Checksum).unwrap().meaning, right);
    assert_eq!(shown(tcp, Name::ControlBits), "ACK PSH");
    assert_eq!(shown(tcp, Name::TimestampEcho), "6");
    assert_eq!(shown(tcp, Name::SegmentSize), "1460");
    assert_eq!(tcp.field(Name::ShiftCount).unwrap().meaning, Some(Meaning::Shift(128)));
    assert_eq!((shown(tcp, Name::SackLeft), shown(tcp, Name::SackRight)), ("1".into(), "2".into()));
    assert_eq!(&frame[unit.payload.clone()], b"GET / HTTP/1.1\r\n");
    assert_eq!((unit.payload_length, tcp.payload_length), (16, 16));
    assert_eq!(ip.payload_length, tcp.header.len() + 16);
}

#[test]
fn a_checksum_is_right_wrong_left_to_the_card_or_not_known() {
    let found = |frame: &[u8], wire| {
        let unit = dissect(Link::Ethernet, frame, wire);
        match unit.pdus.last().unwrap().field(Name::Checksum).unwrap().meaning {
            Some(Meaning::Checksum(found)) => found,
            other => panic!("{other:?}"),
        }
    };
    let mut frame = segment();
    let length = frame.len();
    assert_eq!(found(&frame[..length - 1], length), Checksum::NotAllCaptured);
    let right = u16::from_be_bytes([frame[50], frame[51]]);
    frame[51] ^= 1;
    assert_eq!(found(&frame, length), Checksum::Wrong(right));
    // What Linux leaves there for the card: the folded sum of the pseudo-header.
    let [source, destination] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
    let pseudo = checksum::pseudo_header(source, destination, 6, length - 34);
    frame[50..52].copy_from_slice(&u16::try_from(pseudo).unwrap().to_be_bytes());
    assert_eq!(found(&frame, length), Checksum::LeftToCard);
    assert_eq!(found(&frame[..60], length), Checksum::LeftToCard);
}

#[test]
fn a_udp_datagram_without_a_checksum_says_so() {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(HERE, HERE, 64).udp(1, 2).write(&mut bytes, b"odd").unwrap();
    let udp = |bytes: &[u8]| dissect(Link::Ip, bytes, bytes.len()).pdus[1].clone();
    let found = |pdu: &Pdu| pdu.field(Name::Checksum).unwrap().meaning;
    assert_eq!(found(&udp(&bytes)), Some(Meaning::Checksum(Checksum::Correct)));
    bytes[26..28].fill(0);
    assert_eq!(found(&udp(&bytes)), Some(Meaning::Checksum(Checksum::None)));
}

#[test]
fn the_padding_of_a_short_frame_is_no_payload() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(1, 2)
        .write(&mut frame, b"abc")
        .unwrap();
    let length = frame.len();
    frame.resize(60, 0);
    let unit = dissect(Link::Ethernet, &frame, 60);
    assert_eq!((&frame[unit.payload.clone()], unit.trailer), (&b"abc"[..], length..60));
}

#[test]
fn tags_extension_headers_echo_and_arp_are_read() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [0xff; 6])
        .single_vlan(42.try_into().unwrap())
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .icmpv4(Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 3, seq: 4 }))
        .write(&mut frame, b"ping")
        .unwrap();
    let unit = dissect(Link::Ethernet, &frame, frame.len());
    let [ethernet, _, icmp] = &unit.pdus[..] else { panic!("{unit:?}") };
    assert_eq!(shown(ethernet, Name::VlanId), "42");
    assert_eq!(ethernet.field(Name::Destination).unwrap().meaning, Some(Meaning::Broadcast));
    assert_eq!((shown(icmp, Name::Sequence), unit.payload_length), ("4".to_owned(), 4));

    // A hop-by-hop header of 8 bytes in front of UDP.
    let mut packet = vec![0x60, 0, 0, 0, 0, 19, 0, 64];
    packet.extend([0; 31]);
    packet.push(1);
    packet.extend([0; 15]);
    packet.push(2);
    packet.truncate(40);
    packet.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend([0, 53, 0, 99, 0, 11, 0, 1, b'a', b'b', b'c']);
    let unit = dissect(Link::Ip, &packet, packet.len());
    let [ip, udp] = &unit.pdus[..] else { panic!("{unit:?}") };
    assert_eq!((ip.header.clone(), udp.protocol, unit.payload_length), (0..48, Protocol::Udp, 3));

    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
    arp.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    let unit = dissect(Link::Ethernet, &arp, arp.len());
    assert_eq!(unit.pdus[1].field(Name::Operation).unwrap().meaning, Some(Meaning::Request));
    assert_eq!(shown(&unit.pdus[1], Name::TargetProtocol), "10.0.0.2");
    assert_eq!((unit.stop, unit.payload_length), (Stop::Payload, 0));
}

#[test]
fn headers_made_up_by_a_capture_are_read_over() {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(HERE, HERE, 64).udp(1, 2).write(&mut packet, b"abc").unwrap();
    let cooked = [&[0, 4, 3, 4, 0, 6][..], &[0; 8], &[8, 0]].concat();
    let cooked_2 = [&[8, 0][..], &[0; 18]].concat();
    for (link, header) in
        [(Link::Cooked, cooked), (Link::Cooked2, cooked_2), (Link::Null, vec![2, 0, 0, 0])]
    {
        let frame = [&header[..], &packet].concat();
        let unit = dissect(link, &frame, frame.len());
        assert_eq!(unit.pdus.len(), 3, "{unit:?}");
        assert_eq!((unit.pdus[0].header.len(), unit.payload_length), (header.len(), 3));
        holds_together(&frame, frame.len(), &unit);
    }
}

#[test]
fn what_is_cut_off_or_contradicts_itself_is_said() {
    let frame = segment();
    for captured in 0..frame.len() {
        let unit = dissect(Link::Ethernet, &frame[..captured], frame.len());
        let whole = captured >= frame.len() - 16;
        assert_eq!(unit.stop == Stop::Payload, whole, "{captured}: {:?}", unit.stop);
        assert!(whole || unit.stop == Stop::Cut);
    }
    let stop = |at: usize, byte: u8| {
        let mut frame = segment();
        frame[at] = byte;
        dissect(Link::Ethernet, &frame, frame.len()).stop
    };
    assert_eq!(stop(12, 0x99), Stop::UnknownType(0x9900));
    assert_eq!(stop(14, 0x65), Stop::Version(6));
    assert_eq!(stop(14, 0x44), Stop::Malformed);
    assert_eq!(stop(21, 1), Stop::Fragment);
    assert_eq!(stop(23, 132), Stop::UnknownProtocol(132));
    assert_eq!(stop(46, 0x40), Stop::Malformed);
}

/// Headers and payload follow each other, and each header's fields cover it exactly once.
fn holds_together(frame: &[u8], wire: usize, unit: &Unit) {
    let mut at = 0;
    for pdu in &unit.pdus {
        assert_eq!(pdu.header.start, at);
        let mut bit = at * 8;
        for field in &pdu.fields {
            assert_eq!(field.bits.start, bit, "{pdu:?}");
            assert!(field.bits.end > bit);
            bit = field.bits.end;
        }
        assert_eq!(bit, pdu.header.end * 8, "{pdu:?}");
        at = pdu.header.end;
        assert!(pdu.header.len() + pdu.payload_length <= wire.max(frame.len()));
    }
    assert_eq!(unit.payload.start, at);
    assert_eq!(unit.payload.end, unit.trailer.start);
    assert_eq!(unit.trailer.end, frame.len());
    assert!(unit.payload.len() <= unit.payload_length);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_the_fields_cover_each_header_once(
        bytes in proptest::collection::vec(any::<u8>(), 0..160),
        more in 0_usize..100_000,
        link in prop_oneof![
            Just(Link::Ethernet), Just(Link::Ip), Just(Link::Cooked), Just(Link::Cooked2),
            Just(Link::Null)],
        kind in prop_oneof![Just(None), prop_oneof![
            Just([8_u8, 0]), Just([8, 6]), Just([0x86, 0xdd]), Just([0x81, 0])].prop_map(Some)],
    ) {
        let mut bytes = bytes;
        if let (Some(kind), Some(place)) = (kind, bytes.get_mut(12..14)) {
            place.copy_from_slice(&kind);
        }
        let wire = bytes.len() + more;
        holds_together(&bytes, wire, &dissect(link, &bytes, wire));
    }

    #[test]
    fn a_segment_with_bytes_changed_and_cut_holds_together(
        changes in proptest::collection::vec((0_usize..98, any::<u8>()), 0..6),
        captured in 0_usize..=98,
        wire in 0_usize..200,
    ) {
        let mut frame = segment();
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(captured);
        holds_together(&frame, wire, &dissect(Link::Ethernet, &frame, wire));
    }
}
