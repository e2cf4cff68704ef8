//! `--layers` and `--pcap` of datagrams: what the kernel made of them, and which of ours they are.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cast;
use crate::kit::listener::Listener;
use crate::kit::net::Net;
use crate::kit::server::{run, sockeye};
use crate::kit::{need, need_root};

const DRAWN: [&str; 4] = ["--layers=3", "--ascii", "--width", "120"];

/// The comments in a capture file, of one packet after another.
fn comments(file: &Path) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-T", "fields", "-e", "frame.comment"]);
    let told = tshark.stderr(Stdio::null()).output().unwrap();
    String::from_utf8(told.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_datagram_is_shown_from_its_frame_to_what_the_program_calls_it() {
    if !need_root("a_datagram_is_shown_from_its_frame_to_what_the_program_calls_it") {
        return;
    }
    for (host, packet) in [("127.0.0.1", "IPv4"), ("[::1]", "IPv6")] {
        let endpoint = format!("udp://{host}:0");
        let mut arguments = vec![&endpoint[..], "--echo"];
        arguments.extend(DRAWN);
        let listener = Listener::start(&arguments);
        let mut client = sockeye();
        client.args(["connect", &listener.endpoints[0], "--send", "hello", "--count", "1"]);
        let (code, answer, theirs) = run(client.args(DRAWN));
        assert_eq!((code, answer.trim_end()), (Some(0), "hello"), "{theirs}");
        let ours = listener.stop();
        // The service calls it nothing.
        for (said, named) in [(&theirs, "datagram 1 - hello"), (&ours, "datagram 1")] {
            assert_eq!(said.matches("== layers: ").count(), 2, "{said}");
            for words in [
                &format!("+- packet - {packet} - network layer, OSI 3"),
                "+- datagram - UDP - transport layer, OSI 4",
                &format!("+- {named} - application layer, OSI 7"),
                "68 65 6c 6c 6f  ",
            ] {
                assert_eq!(said.matches(words).count(), 2, "{words}\n{said}");
            }
        }
    }
}

#[test]
fn each_packet_of_a_datagram_is_commented_with_it() {
    let name = "each_packet_of_a_datagram_is_commented_with_it";
    if !need_root(name) || !need(name, &["tshark"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.pcapng");
    let listener = Listener::start(&["udp://127.0.0.1:0", "--echo"]);
    let mut client = sockeye();
    client.args(["connect", &listener.endpoints[0], "--count", "3", "--pcap"]).arg(&file);
    // Two are alike.
    for message in ["hello", "hello", "hello world"] {
        client.args(["--send", message]);
    }
    let (code, _, said) = run(&mut client);
    assert_eq!((code, &*said), (Some(0), ""));
    listener.stop();
    let mut told = comments(&file);
    told.sort();
    let expected = [
        "datagram 1, 5 bytes: hello",
        "datagram 2, 5 bytes: hello",
        "datagram 3, 11 bytes: hello world",
    ];
    // On their way, and back.
    assert_eq!(told, expected.map(|comment| [comment; 2]).concat());
}

#[test]
fn an_error_that_quotes_a_datagram_is_shown() {
    if !need_root("an_error_that_quotes_a_datagram_is_shown") {
        return;
    }
    for (host, protocol) in [("127.0.0.1", "ICMP"), ("[::1]", "ICMPv6")] {
        // Nobody is there once it is dropped.
        let port = UdpSocket::bind(format!("{host}:0")).unwrap().local_addr().unwrap().port();
        let mut client = sockeye();
        client.args(["connect", &format!("udp://{host}:{port}"), "--send", "hello"]);
        let (_, _, said) = run(client.args(DRAWN));
        assert!(said.contains(&format!("- {protocol} - network layer, OSI 3")), "{said}");
        assert!(said.contains("port unreachable"), "{said}");
    }
}

#[test]
fn fragments_of_a_datagram_are_drawn_as_what_they_are() {
    let name = "fragments_of_a_datagram_are_drawn_as_what_they_are";
    if !need(name, &["tshark"]) {
        return;
    }
    let Some(net) = Net::of(name, 2) else { return };
    for (number, host) in net.hosts().iter().enumerate() {
        host.configure(&format!("ip addr add fd00::{}/64 dev eth0 nodad", number + 1));
    }
    let folder = tempfile::tempdir().unwrap();
    for (from, to, packet) in
        [("10.9.0.1:0", "10.9.0.2:5999", "IPv4"), ("[fd00::1]:0", "[fd00::2]:5999", "IPv6")]
    {
        let file = folder.path().join(packet);
        let endpoint = format!("udp://{to}");
        let mut arguments = vec![&endpoint[..], "--pcap", file.to_str().unwrap()];
        arguments.extend(DRAWN);
        let listener = cast::Listener::start(net.host(1), &arguments);
        let sent = net.host(0).spawn(move || {
            let socket = UdpSocket::bind(from).unwrap();
            // Of nobody who is watched: its later fragment is no business of ours.
            socket
                .send_to(&[b'y'; 2000], (to.parse::<std::net::SocketAddr>().unwrap().ip(), 9))
                .unwrap();
            socket.send_to(&[b'x'; 3000], to).unwrap()
        });
        assert_eq!(sent.join().unwrap(), 3000);
        listener.stdout.wait("the datagram", |text| text.contains("xxx").then_some(()));
        let said = listener.stop();
        // 1,480 bytes of a packet are behind the header of IPv4, and 1,448 behind those of IPv6.
        let (places, contents) = match packet {
            "IPv4" => {
                (["units of 8 bytes: byte 1,480", "units of 8 bytes: byte 2,960"], [1472, 2952])
            }
            _ => (["units of 8 bytes: byte 1,448", "units of 8 bytes: byte 2,896"], [1440, 2888]),
        };
        assert_eq!(said.matches("== layers: ").count(), 3, "{said}");
        assert_eq!(said.matches("+- datagram - UDP").count(), 1, "{said}");
        let named = format!("bytes [0..{}) of [0..3000)", contents[0]);
        assert_eq!(said.matches(&named).count(), 1, "{named}\n{said}");
        for place in places {
            assert_eq!(said.matches(place).count(), 1, "{place}\n{said}");
        }
        let told = comments(&file);
        let starts = [0, contents[0], contents[1]];
        for (comment, start) in told.iter().zip(starts) {
            let expected = format!("datagram 1, 3,000 bytes (here from byte {start} on): xxx");
            assert!(comment.starts_with(&expected), "{told:?}");
        }
        assert_eq!(told.len(), 3, "{told:?}");
    }
}
