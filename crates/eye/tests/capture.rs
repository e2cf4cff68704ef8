//! The packet socket against real connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use sockeye_eye::capture::{Capture, CaptureError, RingSize, Snap};
use sockeye_eye::kernel::{save_syn, saved_isn};
use sockeye_wire::packet::{Link, parse};
use support::{drop_net_raw, may_capture, wait_readable};

/// What these tests read of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    source: SocketAddr,
    destination: SocketAddr,
    sequence: u32,
    flags: u8,
    length: u32,
    outgoing: bool,
}

const FIN: u8 = 1;
const SYN: u8 = 2;

fn read(bytes: &[u8], length: u32, outgoing: bool) -> Seen {
    let v6 = bytes[0] >> 4 == 6;
    let (tcp, source, destination): (usize, IpAddr, IpAddr) = if v6 {
        let address = |at: usize| <[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap();
        (40, address(8).into(), address(24).into())
    } else {
        let address = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap();
        (usize::from(bytes[0] & 15) * 4, address(12).into(), address(16).into())
    };
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Seen {
        source: (source, port(tcp)).into(),
        destination: (destination, port(tcp + 2)).into(),
        sequence: u32::from_be_bytes(bytes[tcp + 4..tcp + 8].try_into().unwrap()),
        flags: bytes[tcp + 13],
        length,
        outgoing,
    }
}

/// Reads until both FINs of `client`'s connection were seen.
fn until_both_fins(capture: &mut Capture, client: SocketAddr) -> Vec<Seen> {
    let mut seen = Vec::new();
    let fins = |seen: &[Seen]| {
        let ours = seen.iter().filter(|s| s.source == client || s.destination == client);
        ours.filter(|s| s.flags & FIN != 0).count()
    };
    while fins(&seen) < 2 {
        wait_readable(&*capture);
        capture.drain(|packet| seen.push(read(packet.bytes, packet.length, packet.outgoing)));
    }
    seen
}

/// One connection with ten bytes, closed by the client first.
fn converse(listener: &TcpListener, address: SocketAddr) -> (TcpStream, SocketAddr) {
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    client.write_all(b"ten bytes!").unwrap();
    server.read_exact(&mut [0; 10]).unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    (server, peer)
}

#[test]
fn sees_each_segment_of_a_loopback_connection_once_and_nothing_foreign() {
    if !may_capture("sees_each_segment_of_a_loopback_connection_once_and_nothing_foreign") {
        return;
    }
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let ours = TcpListener::bind(host).unwrap();
        let foreign = TcpListener::bind(host).unwrap();
        save_syn(ours.as_fd()).unwrap();
        let address = ours.local_addr().unwrap();
        let mut capture = Capture::open(&[address], RingSize::default()).unwrap();

        let _ = converse(&foreign, foreign.local_addr().unwrap());
        let (server, peer) = converse(&ours, address);
        let isn = saved_isn(server.as_fd());
        drop(server);
        let seen = until_both_fins(&mut capture, peer);

        assert!(seen.iter().all(|s| s.source == address || s.destination == address), "{seen:?}");
        assert!(seen.iter().all(|s| !s.outgoing), "the copy that leaves is dropped");
        let syns: Vec<&Seen> = seen.iter().filter(|s| s.flags & SYN != 0).collect();
        assert_eq!(syns.len(), 2, "{syns:?}");
        assert_eq!(Some(syns[0].sequence), isn, "the saved SYN is the captured one");
        let data: Vec<&Seen> =
            seen.iter().filter(|s| s.source == peer && s.flags & (SYN | FIN | 8) == 8).collect();
        assert_eq!(data.len(), 1, "{seen:?}");
        assert_eq!(capture.take_dropped(), 0);
    }
}

#[test]
fn whole_packets_come_with_their_link_header_and_their_payload() {
    if !may_capture("whole_packets_come_with_their_link_header_and_their_payload") {
        return;
    }
    // On every interface, and on `lo` alone: that one is bound to otherwise.
    for (host, target) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "::1")] {
        let listener = TcpListener::bind(host).unwrap();
        let address = listener.local_addr().unwrap();
        let mut capture = Capture::open(&[address], Snap::Whole.into()).unwrap();
        let target = SocketAddr::new(target.parse().unwrap(), address.port());
        let (server, peer) = converse(&listener, target);
        drop(server);
        let (mut seen, mut told) = (Vec::new(), Vec::new());
        let fins = |seen: &[Seen]| seen.iter().filter(|s| s.flags & FIN != 0).count();
        while fins(&seen) < 2 {
            wait_readable(&capture);
            capture.drain(|packet| {
                assert_eq!(packet.link, Link::Ethernet);
                assert_eq!(packet.frame.len(), 14 + packet.bytes.len());
                assert_eq!(&packet.frame[14..], packet.bytes);
                assert_eq!(packet.bytes.len(), packet.length as usize);
                let length = packet.length as usize;
                let segment = parse(Link::Ethernet, packet.frame, length + 14).unwrap();
                assert_eq!(parse(Link::Ip, packet.bytes, length).unwrap(), segment);
                if segment.source == peer && segment.payload > 0 {
                    told.extend_from_slice(&packet.bytes[length - segment.payload as usize..]);
                }
                seen.push(read(packet.bytes, packet.length, packet.outgoing));
            });
        }
        assert_eq!(told, b"ten bytes!");
        assert!(seen.iter().all(|s| s.source == peer || s.destination == peer), "{seen:?}");
    }
}

#[test]
fn a_listener_on_every_address_is_seen_on_all_interfaces() {
    if !may_capture("a_listener_on_every_address_is_seen_on_all_interfaces") {
        return;
    }
    for (host, target) in [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let listener = TcpListener::bind(host).unwrap();
        let address = listener.local_addr().unwrap();
        let mut capture = Capture::open(&[address], RingSize::default()).unwrap();
        let target = SocketAddr::new(target.parse().unwrap(), address.port());
        let (server, peer) = converse(&listener, target);
        drop(server);
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let seen = until_both_fins(&mut capture, peer);
        let syns = seen.iter().filter(|s| s.flags & SYN != 0).count();
        assert_eq!(syns, 2, "{seen:?}");
    }
}

#[test]
fn only_headers_are_kept_but_the_length_is_the_whole() {
    if !may_capture("only_headers_are_kept_but_the_length_is_the_whole") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut capture = Capture::open(&[address], RingSize::default()).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    client.write_all(&[7; 5000]).unwrap();
    server.read_exact(&mut [0; 5000]).unwrap();
    drop(client);
    drop(server);
    let mut longest = 0;
    let mut fins = 0;
    while fins < 2 {
        wait_readable(&capture);
        capture.drain(|packet| {
            let tcp = usize::from(packet.bytes[20 + 12] >> 4) * 4;
            assert_eq!(packet.bytes.len(), 20 + tcp, "both headers whole and nothing more");
            longest = longest.max(packet.length);
            fins += usize::from(read(packet.bytes, 0, false).flags & FIN != 0);
        });
    }
    assert!(longest >= 5040, "{longest} from {peer}");
}

#[test]
fn a_ring_that_is_full_counts_what_it_could_not_take() {
    if !may_capture("a_ring_that_is_full_counts_what_it_could_not_take") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let size = RingSize { block_bytes: 4096, blocks: 2, ..RingSize::default() };
    let mut capture = Capture::open(&[address], size).unwrap();
    // Two blocks of a page hold some thirty headers; nobody takes them out.
    for _ in 0..20 {
        let (server, _) = converse(&listener, address);
        drop(server);
    }
    let mut taken = 0;
    wait_readable(&capture);
    capture.drain(|_| taken += 1);
    let dropped = capture.take_dropped();
    assert!(taken > 0 && taken < 60, "{taken}");
    assert!(dropped > 0);
    assert_eq!(capture.take_dropped(), 0, "each drop is told once");
}

#[test]
fn other_listeners_can_be_watched_from_then_on() {
    if !may_capture("other_listeners_can_be_watched_from_then_on") {
        return;
    }
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = TcpListener::bind("0.0.0.0:0").unwrap();
    let addresses = [first.local_addr().unwrap(), second.local_addr().unwrap()];
    let mut capture = Capture::open(&addresses[..1], RingSize::default()).unwrap();
    capture.watch(&addresses).unwrap();
    let target = SocketAddr::from(([127, 0, 0, 1], addresses[1].port()));
    let (server, peer) = converse(&second, target);
    drop(server);
    assert!(until_both_fins(&mut capture, peer).len() >= 6);
}

#[test]
fn without_the_capability_the_error_names_it_and_the_way_out() {
    let error = std::thread::spawn(|| {
        drop_net_raw();
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        Capture::open(&[address], RingSize::default()).map(|_| ()).unwrap_err()
    })
    .join()
    .unwrap();
    assert!(matches!(error, CaptureError::NotPermitted { .. }), "{error:?}");
    assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
    let remedy = error.remedy().unwrap();
    let program = std::env::current_exe().unwrap();
    let expected = format!("sudo setcap cap_net_raw+ep {}", program.display());
    assert!(remedy.starts_with(&expected), "{remedy}");
}

#[test]
fn more_ports_than_a_filter_holds_are_refused() {
    if !may_capture("more_ports_than_a_filter_holds_are_refused") {
        return;
    }
    let listeners: Vec<SocketAddr> = (1..=65).map(|port| ([127, 0, 0, 1], port).into()).collect();
    let error = Capture::open(&listeners, RingSize::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, CaptureError::TooManyPorts { ports: 65 }), "{error:?}");
}
