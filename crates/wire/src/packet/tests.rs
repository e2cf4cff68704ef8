//! Frames as Linux hands them to a packet socket, whole, cut, oversized and broken.

use etherparse::{PacketBuilder, TcpOptionElement};
use proptest::prelude::*;

use super::*;

/// An Ethernet frame with a SYN+ACK that carries options.
fn syn_ack_v4() -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([0; 6], [0; 6])
        .ipv4([127, 0, 0, 1], [127, 0, 0, 2], 64)
        .tcp(8080, 40312, 0xffff_fff0, 65483)
        .syn()
        .ack(77)
        .options(&[TcpOptionElement::MaximumSegmentSize(65495), TcpOptionElement::WindowScale(7)])
        .expect("options fit")
        .write(&mut bytes, &[])
        .expect("a vector takes any length");
    bytes
}

fn data_v6(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([0; 6], [0; 6])
        .ipv6([0xfe; 16], [0xfd; 16], 64)
        .tcp(1, 2, 1000, 512)
        .ack(2000)
        .psh()
        .write(&mut bytes, payload)
        .expect("a vector takes any length");
    bytes
}

#[test]
fn a_syn_ack_shows_addresses_numbers_and_options() {
    let frame = syn_ack_v4();
    let segment = parse(Link::Ethernet, &frame, frame.len()).expect("valid");
    assert_eq!(segment.source.to_string(), "127.0.0.1:8080");
    assert_eq!(segment.destination.to_string(), "127.0.0.2:40312");
    assert_eq!(segment.seq, Seq(0xffff_fff0));
    assert_eq!(segment.ack, Seq(77));
    assert_eq!(segment.flags, Flags::SYN | Flags::ACK);
    assert_eq!((segment.window, segment.payload), (65483, 0));
    assert_eq!((segment.window_scale, segment.mss), (Some(7), Some(65495)));
}

#[test]
fn the_payload_length_is_that_of_the_wire_when_the_capture_is_cut() {
    let frame = data_v6(&[7; 5000]);
    let cut = &frame[..14 + 40 + 20];
    let segment = parse(Link::Ethernet, cut, frame.len()).expect("headers are whole");
    assert_eq!(segment.payload, 5000);
}

/// An ACK of 5000 with these options.
fn ack_with(options: &[TcpOptionElement]) -> Segment {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64)
        .tcp(1, 2, 1000, 512)
        .ack(5000)
        .options(options)
        .expect("they fit")
        .write(&mut bytes, &[])
        .expect("a vector takes any length");
    parse(Link::Ip, &bytes, bytes.len()).expect("valid")
}

/// The block kept of an ACK with these, the first of which caused it.
fn sack(first: (u32, u32), second: Option<(u32, u32)>) -> Option<Sack> {
    let option = TcpOptionElement::SelectiveAcknowledgement(first, [second, None, None]);
    let stamped = ack_with(&[TcpOptionElement::Timestamp(7, 8), option.clone()]).sack;
    assert_eq!(ack_with(&[option]).sack, stamped);
    stamped
}

#[test]
fn the_first_block_of_a_selective_acknowledgment_is_kept() {
    let expected = Sack { start: Seq(6000), end: Seq(6100), duplicate: false };
    assert_eq!(sack((6000, 6100), None), Some(expected));
    assert_eq!(sack((6000, 6100), Some((7000, 7100))), Some(expected));
    assert_eq!(ack_with(&[TcpOptionElement::Timestamp(7, 8)]).sack, None);
    assert_eq!(ack_with(&[]).sack, None);
}

#[test]
fn bytes_that_arrived_twice_are_told_from_those_that_arrived_early() {
    let duplicate = |first, second| sack(first, second).is_some_and(|sack| sack.duplicate);
    // RFC 2883 §4.1: below the acknowledgment; §4.2: within the block behind it.
    assert!(duplicate((4000, 4500), None));
    assert!(duplicate((6000, 6100), Some((6000, 6500))));
    assert!(!duplicate((6000, 6100), Some((6200, 6500))));
}

#[test]
fn padding_of_a_short_frame_is_not_payload() {
    let mut frame = syn_ack_v4();
    frame.extend([0; 8]);
    assert_eq!(parse(Link::Ethernet, &frame, frame.len()).expect("valid").payload, 0);
}

#[test]
fn options_cut_off_by_the_capture_leave_the_fixed_header_readable() {
    let frame = syn_ack_v4();
    let cut = &frame[..14 + 20 + 24];
    let segment = parse(Link::Ethernet, cut, frame.len()).expect("the fixed header is whole");
    assert_eq!((segment.mss, segment.window_scale), (Some(65495), None));
    assert_eq!(segment.payload, 0);
}

#[test]
fn big_tcp_without_a_length_in_the_ip_header_takes_the_frame_length() {
    let mut v6 = data_v6(&[1; 100]);
    v6[14 + 4..14 + 6].copy_from_slice(&[0, 0]);
    let frame_len = 14 + 40 + 20 + 180_000;
    assert_eq!(parse(Link::Ethernet, &v6, frame_len).expect("valid").payload, 180_000);

    let mut v4 = syn_ack_v4();
    v4[14 + 2..14 + 4].copy_from_slice(&[0, 0]);
    let headers = v4.len();
    assert_eq!(parse(Link::Ethernet, &v4, headers + 99_000).expect("valid").payload, 99_000);
}

#[test]
fn a_vlan_tag_is_walked_through() {
    let frame = data_v6(b"tagged");
    let mut tagged = frame[..12].to_vec();
    tagged.extend([0x81, 0x00, 0x00, 0x05]);
    tagged.extend(&frame[12..]);
    assert_eq!(parse(Link::Ethernet, &tagged, tagged.len()).expect("valid").payload, 6);
}

#[test]
fn what_is_not_tcp_says_what_it_is() {
    let mut udp = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 1)
        .udp(1, 2)
        .write(&mut udp, b"x")
        .expect("a vector takes any length");
    assert_eq!(parse(Link::Ip, &udp, udp.len()), Err(PacketError::NotTcp));

    let mut fragment = syn_ack_v4();
    fragment[14 + 6] = 0x20;
    assert_eq!(parse(Link::Ethernet, &fragment, 99), Err(PacketError::Fragment));

    let mut arp = syn_ack_v4();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(parse(Link::Ethernet, &arp, 99), Err(PacketError::NotIp));
    assert_eq!(parse(Link::Ethernet, &arp[..9], 99), Err(PacketError::Short));
    assert_eq!(parse(Link::Ip, &[], 0), Err(PacketError::Short));
}

#[test]
fn a_total_length_below_the_headers_is_malformed() {
    let mut frame = syn_ack_v4();
    frame[14 + 2..14 + 4].copy_from_slice(&[0, 45]);
    assert_eq!(parse(Link::Ethernet, &frame, frame.len()), Err(PacketError::Malformed));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        wire_len in 0..200_000usize,
    ) {
        let _ = parse(Link::Ethernet, &bytes, wire_len);
        let _ = parse(Link::Ip, &bytes, wire_len);
    }

    #[test]
    fn mutated_packets_never_panic_and_never_claim_more_than_the_wire_could_carry(
        v6: bool,
        edits in prop::collection::vec((0..110usize, any::<u8>()), 0..6),
        cut in 0..140usize,
        wire_len in 0..200_000usize,
    ) {
        let mut frame = if v6 { data_v6(&[9; 40]) } else { syn_ack_v4() };
        for (place, value) in edits {
            if let Some(byte) = frame.get_mut(place) {
                *byte = value;
            }
        }
        frame.truncate(cut);
        if let Ok(segment) = parse(Link::Ethernet, &frame, wire_len) {
            prop_assert!(segment.payload as usize <= wire_len.max(65_575));
        }
    }

    #[test]
    fn any_built_segment_reads_back(seq: u32, ack: u32, window: u16, length in 0..3000usize) {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([1, 2, 3, 4], [5, 6, 7, 8], 64)
            .tcp(9, 10, seq, window)
            .ack(ack)
            .write(&mut bytes, &vec![0; length])
            .expect("a vector takes any length");
        let segment = parse(Link::Ip, &bytes, bytes.len()).expect("valid");
        prop_assert_eq!(segment.seq, Seq(seq));
        prop_assert_eq!(segment.ack, Seq(ack));
        prop_assert_eq!(segment.window, window);
        prop_assert_eq!(segment.payload as usize, length);
    }
}

/// How many bytes a change stands from the start of the network header, and what it becomes.
fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    proptest::collection::vec((0_usize..60, any::<u8>()), 0..4)
}

proptest! {
    #[test]
    fn the_short_way_reads_what_the_long_one_does(
        payload in 0_usize..50,
        cut in 0_usize..50,
        changes in changes(),
    ) {
        let mut packet = syn_ack_v4().split_off(14);
        packet.extend(vec![0; payload]);
        let total = u16::try_from(packet.len()).expect("short");
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        let wire_len = packet.len();
        for (at, byte) in changes {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        packet.truncate(wire_len - cut.min(wire_len));
        if let Some((addresses, header, payload, captured)) = plain(&packet) {
            let mut padded = [0; TCP_HEADER_MAX];
            let long = general(&packet, wire_len, &mut padded).expect("a short way is a way");
            prop_assert_eq!(addresses, long.0);
            prop_assert_eq!(header.slice(), long.1.slice());
            prop_assert_eq!(payload, long.2);
            prop_assert_eq!(captured, long.3);
        }
    }
}

#[test]
fn an_ordinary_packet_goes_the_short_way() {
    let packet = syn_ack_v4().split_off(14);
    assert!(plain(&packet).is_some());
}

#[test]
fn every_link_leads_to_the_same_segment() {
    let ethernet = syn_ack_v4();
    let packet = &ethernet[14..];
    let expected = parse(Link::Ip, packet, packet.len()).expect("valid");
    let cooked: [&[u8]; 2] = [&[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0], &[8, 0]];
    for (link, header) in [
        (Link::Ethernet, &ethernet[..14]),
        (Link::Ip, &[]),
        // AF_INET, as a machine with the other order of bytes wrote it
        (Link::Null, &[0, 0, 0, 2]),
        (Link::Cooked, cooked[0]),
        (Link::Cooked2, &[cooked[1], &[0; 18]].concat()),
    ] {
        let frame = [header, packet].concat();
        assert_eq!(parse(link, &frame, frame.len()), Ok(expected), "{link:?}");
        assert_eq!(Link::of_linktype(link.linktype().into()), Some(link));
        for cut in 0..header.len() {
            assert_eq!(parse(link, &frame[..cut], frame.len()), Err(PacketError::Short));
        }
    }
}

#[test]
fn padding_is_no_payload() {
    let mut frame = syn_ack_v4();
    let length = frame.len();
    frame.extend([0; 6]);
    let (segment, payload) =
        parse_with_payload(Link::Ethernet, &frame, frame.len()).expect("valid");
    assert_eq!(segment, parse(Link::Ethernet, &frame[..length], length).expect("valid"));
    assert_eq!(payload.len(), segment.payload as usize);
}
