//! What comes with a message besides its bytes: descriptors, credentials, addresses, stamps, errors.

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::thread::{UnshareFlags, unshare_unsafe};
use sockeye_engine::probe::Stamp;
use sockeye_engine::{Address, Datagram, DriverKind, Event, IpVersion, Origin, UnixAddress, sleep};

use crate::{Either, either, engine, on_every_driver, skip};

/// Two Unix datagram sockets of ours that know each other.
fn pair() -> (Datagram, Datagram) {
    let (one, other) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
    (Datagram::adopt(one).expect("a socket"), Datagram::adopt(other).expect("a socket"))
}

/// A pipe: its reader, which sees the end when the last copy of its writer is closed.
fn pipe() -> (File, File) {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    (reader.into(), writer.into())
}

/// Fails, and does not hang, when a copy of the writer is still open.
fn has_ended(reader: &File) -> bool {
    let mut fds = [rustix::event::PollFd::new(reader, rustix::event::PollFlags::IN)];
    let long = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&long)).expect("it is a pipe");
    fds[0].revents().contains(rustix::event::PollFlags::HUP)
}

#[test]
fn a_descriptor_that_is_passed_works_and_is_closed_with_its_last_owner() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (one, other) = pair();
            other.ask_descriptors(4).expect("a Unix socket");
            let (mut reader, writer) = pipe();
            one.send_descriptors(b"x", None, &[writer.as_fd()]).await.expect("sent");
            drop(writer);
            let mut message = other.recv().await.expect("received");
            assert!(!message.ancillary.truncated, "{kind}");
            let [fd] = &mut message.ancillary.descriptors[..] else { panic!("{kind}: one") };
            let mut copy = File::from(fd.try_clone().expect("it is open"));
            copy.write_all(b"through it").expect("it writes");
            drop((copy, message));
            let mut all = String::new();
            reader.read_to_string(&mut all).expect("a pipe");
            assert_eq!(all, "through it", "{kind}");
        });
    });
}

#[test]
fn descriptors_that_nobody_takes_are_closed() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            // Not asked for; asked for fewer; peeked at, which makes copies; never received.
            for (most, peeked, received) in [
                (None, false, true),
                (Some(1), false, true),
                (Some(9), true, true),
                (Some(9), false, false),
            ] {
                let (one, other) = pair();
                if let Some(most) = most {
                    other.ask_descriptors(most).expect("a Unix socket");
                }
                let pipes = [pipe(), pipe(), pipe()];
                let fds = pipes.each_ref().map(|(_, writer)| writer.as_fd());
                one.send_descriptors(b"x", None, &fds).await.expect("sent");
                let readers = pipes.map(|(reader, _)| reader);
                if peeked {
                    drop(other.peek().await.expect("it is there"));
                }
                if received {
                    let message = other.recv().await.expect("it is there");
                    let count = message.ancillary.descriptors.len();
                    assert_eq!(count, most.unwrap_or(0).min(3), "{kind}");
                    assert_eq!(message.ancillary.truncated, count < 3, "{kind}, {most:?}");
                }
                drop(other);
                assert!(readers.iter().all(has_ended), "{kind}, {most:?}");
            }
        });
    });
}

#[test]
fn more_descriptors_than_a_message_carries_are_refused() {
    engine(DriverKind::EpollEdge).block_on(async {
        let (one, _other) = pair();
        let (reader, _writer) = pipe();
        let many = vec![reader.as_fd(); 254];
        let error = one.send_descriptors(b"x", None, &many).await.expect_err("253 is the most");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn credentials_name_the_process_that_sent() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (one, other) = pair();
            other.ask_credentials().expect("a Unix socket");
            one.send(b"who?").await.expect("sent");
            let message = other.recv().await.expect("received");
            let sender = message.ancillary.credentials.expect("asked for");
            assert_eq!(sender.pid, i32::try_from(std::process::id()).expect("small"), "{kind}");
            assert_eq!(sender.uid, rustix::process::getuid().as_raw(), "{kind}");
            let udp = Datagram::bind(&(Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
            let error = udp.ask_credentials().expect_err("not a Unix socket");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{kind}");
        });
    });
}

#[test]
fn a_datagram_says_where_it_came_to_and_over_how_many_hops() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            // Any of 127/8 is ours: the one it was sent to is the one that is told.
            let cases: [(IpAddr, IpAddr); 2] = [
                (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(127, 1, 2, 3).into()),
                (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()),
            ];
            for (any, to) in cases {
                let socket = Datagram::bind(&(any, 0).into()).expect("a free port");
                socket.ask_local().expect("of the internet");
                socket.ask_hops().expect("of the internet");
                let port = socket.local_addr().expect("bound").ip().expect("an IP").port();
                let sender = Datagram::bind(&(any, 0).into()).expect("a free port");
                sender.with_fd(|fd| match any {
                    IpAddr::V4(_) => rustix::net::sockopt::set_ip_ttl(fd, 33).expect("an option"),
                    IpAddr::V6(_) => rustix::net::sockopt::set_ipv6_unicast_hops(fd, Some(33))
                        .expect("an option"),
                });
                sender.send_to(b"x", &(to, port).into()).await.expect("sent");
                let message = socket.recv().await.expect("received");
                let local = message.ancillary.local.expect("asked for");
                assert_eq!(local.address, to, "{kind}");
                assert!(local.interface > 0, "{kind}");
                assert_eq!(message.ancillary.hops, Some(33), "{kind}");
            }
        });
    });
}

#[test]
fn stamps_say_when_a_datagram_came_and_when_one_left() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let local = (Ipv4Addr::LOCALHOST, 0).into();
            let receiver = Datagram::bind(&local).expect("a free port");
            receiver.ask_stamps(false).expect("UDP has them");
            let sender = Datagram::bind(&local).expect("a free port");
            sender.ask_stamps(true).expect("UDP has them");
            let to = receiver.local_addr().expect("bound");
            let before = Stamp::now();
            // The kernel begins to stamp what comes a moment after it was asked to, off the call
            // (net_enable_timestamp): the first datagrams may have none.
            let (mut number, mut stamped) = (0, 0);
            while stamped < 3 {
                assert!(number < 100_000, "{kind}: no stamp comes");
                sender.send_to(b"x", &to).await.expect("sent");
                let message = receiver.recv().await.expect("received");
                let came = message.ancillary.stamp;
                let Event::Error(left) = sender.recv_event().await.expect("a stamp") else {
                    panic!("{kind}: nobody sent to the sender");
                };
                assert_eq!((left.origin, left.value), (Origin::Stamp, number), "{kind}");
                let left = left.stamp.expect("it is one");
                let after = Stamp::now();
                assert!(before <= left && left <= after, "{kind}: {before:?} {left:?} {after:?}");
                number += 1;
                let Some(came) = came else {
                    assert_eq!(stamped, 0, "{kind}: a stamp is missing");
                    continue;
                };
                assert!(before <= came && came <= after, "{kind}: {before:?} {came:?} {after:?}");
                stamped += 1;
            }
            assert_eq!(sender.take_error(), None, "{kind}");
        });
    });
}

#[test]
fn an_error_queue_with_something_in_it_does_not_keep_a_waiting_thread_awake() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let local = (Ipv4Addr::LOCALHOST, 0).into();
            let receiver = Datagram::bind(&local).expect("a free port");
            let sender = Datagram::bind(&local).expect("a free port");
            sender.ask_stamps(true).expect("UDP has them");
            let to = receiver.local_addr().expect("bound");
            for _ in 0..200 {
                sender.send_to(b"x", &to).await.expect("sent");
                receiver.recv().await.expect("received");
            }
            let polls = Cell::new(0);
            let mut waiting = std::pin::pin!(sender.recv());
            let waiting = std::future::poll_fn(|cx| {
                polls.set(polls.get() + 1);
                waiting.as_mut().poll(cx)
            });
            let waited = either(waiting, sleep(Duration::from_millis(30))).await;
            assert!(matches!(waited, Either::Other(())), "{kind}: nobody sends");
            assert!(polls.get() < 50 || kind == DriverKind::Busy, "{kind}: {} polls", polls.get());
            let mut stamps = 0;
            while sender.take_error().is_some() {
                stamps += 1;
            }
            assert_eq!(stamps, 200, "{kind}");
        });
    });
}

#[test]
fn an_icmp_error_is_told_in_full() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
                let closed = UdpSocket::bind((ip, 0)).expect("a free port");
                let to: Address = closed.local_addr().expect("bound").into();
                drop(closed);
                let socket = Datagram::bind(&(ip, 0).into()).expect("a free port");
                socket.ask_errors().expect("of the internet");
                socket.send_to(b"to nobody", &to).await.expect("sent");
                let Event::Error(error) = socket.recv_event().await.expect("it is told") else {
                    panic!("{kind}: nobody answers");
                };
                assert_eq!(error.to_error().kind(), ErrorKind::ConnectionRefused, "{kind}");
                let origin = if ip.is_ipv4() { Origin::Icmp } else { Origin::Icmp6 };
                // Port unreachable: RFC 792, RFC 4443 §3.1.
                let told = if ip.is_ipv4() { (3, 3) } else { (1, 4) };
                assert_eq!(
                    (error.origin, error.kind, error.code),
                    (origin, told.0, told.1),
                    "{kind}"
                );
                assert_eq!((error.offender, error.to), (Some(ip), Some(to)), "{kind}");
            }
        });
    });
}

/// An echo request as it is written to an echo socket, or to a raw one (RFC 792, RFC 4443 §4.1).
fn request(version: IpVersion, identifier: u16) -> Vec<u8> {
    let kind = if version == IpVersion::V4 { 8 } else { 128 };
    let mut request = vec![kind, 0, 0, 0];
    request.extend(identifier.to_be_bytes());
    request.extend([0, 7]);
    request.extend(b"are you there?");
    let sum: u32 = request.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
    request[2..4].copy_from_slice(&(!sum).to_be_bytes());
    request
}

/// Whether the kernel lets us have such a socket; says so if not.
fn allowed(test: &str, hint: &str, make: impl Fn() -> std::io::Result<Datagram>) -> bool {
    match engine(DriverKind::EpollEdge).block_on(async { make().map(drop) }) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            assert!(error.to_string().contains(hint), "{error}");
            skip(test, &error.to_string());
            false
        }
        made => made.is_ok(),
    }
}

/// Gives the calling thread a network of its own in which every group may have echo sockets. It
/// takes root; without it the thread keeps the network it has, and what that allows.
fn own_network() {
    // SAFETY: no memory and no table of descriptors is unshared, only the network.
    let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    if unshared.is_ok() {
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").expect("it is ours");
        let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("iproute2").success());
    }
}

#[test]
fn an_echo_socket_is_answered() {
    let answered = std::thread::spawn(|| {
        own_network();
        each_echo_socket_is_answered();
    });
    answered.join().expect("it is");
}

fn each_echo_socket_is_answered() {
    let echo = || Datagram::echo(IpVersion::V4);
    if !allowed("an_echo_socket_is_answered", "ping_group_range", echo) {
        return;
    }
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            for (version, ip, reply) in [
                (IpVersion::V4, IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
                (IpVersion::V6, IpAddr::V6(Ipv6Addr::LOCALHOST), 129),
            ] {
                let socket = Datagram::echo(version).expect("allowed");
                socket.ask_hops().expect("of the internet");
                let request = request(version, 0);
                socket.send_to(&request, &(ip, 0).into()).await.expect("sent");
                let message = socket.recv().await.expect("answered");
                let (kind_of_icmp, rest) = (message.bytes[0], &message.bytes[6..]);
                assert_eq!((kind_of_icmp, rest), (reply, &request[6..]), "{kind}");
                assert!(message.ancillary.hops.is_some(), "{kind}");
                let identifier = socket.local_addr().expect("bound").ip().expect("an IP").port();
                assert_eq!(message.bytes[4..6], identifier.to_be_bytes(), "{kind}");
            }
        });
    });
}

#[test]
fn a_raw_socket_sees_its_echo_answered() {
    let raw = || Datagram::raw_icmp(IpVersion::V4);
    if !allowed("a_raw_socket_sees_its_echo_answered", "CAP_NET_RAW", raw) {
        return;
    }
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let socket = raw().unwrap_or_else(|error| panic!("{kind}: {error}"));
            let identifier = u16::try_from(std::process::id() & 0xffff).expect("16 bits");
            let request = request(IpVersion::V4, identifier);
            socket.send_to(&request, &(Ipv4Addr::LOCALHOST, 0).into()).await.expect("sent");
            // Others' messages come too, and our own request.
            loop {
                let message = socket.recv().await.expect("answered");
                let header = usize::from(message.bytes[0] & 0xf) * 4;
                let icmp = &message.bytes[header..];
                if icmp[0] == 0 && icmp[4..] == request[4..] {
                    break;
                }
            }
        });
    });
}

#[test]
fn a_message_on_an_unnamed_socket_has_no_sender() {
    engine(DriverKind::EpollEdge).block_on(async {
        let server = Datagram::bind(&UnixAddress::Unnamed.into()).expect("a name");
        let address = server.local_addr().expect("bound");
        let client = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
        let client = Datagram::adopt(client).expect("a socket");
        client.send_to(b"guess who", &address).await.expect("sent");
        let message = server.recv().await.expect("received");
        assert!(matches!(message.from, None | Some(Address::Unix(UnixAddress::Unnamed))));
    });
}
