//! Messages keep their borders, on UDP and on Unix datagram sockets.

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use sockeye_engine::{Address, CallError, Datagram, DriverKind, UnixAddress, Usage, spawn};

use crate::{Either, either, engine, on_every_driver, turns, until};

fn anywhere() -> Address {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A peer that is no engine of ours.
fn peer() -> (UdpSocket, Address) {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = peer.local_addr().expect("bound");
    (peer, address.into())
}

fn ip(socket: &Datagram) -> SocketAddr {
    socket.local_addr().expect("bound").ip().expect("of the internet")
}

fn number(error: &std::io::Error) -> Option<i32> {
    CallError::of(error)?.raw_os_error()
}

/// Two Unix datagram sockets that know each other; the second one is a plain one.
fn unix_pair() -> (Datagram, std::os::unix::net::UnixDatagram) {
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
    (Datagram::adopt(ours).expect("a socket"), theirs)
}

#[test]
fn datagrams_arrive_whole_and_say_who_sent_them() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (peer, address) = peer();
            let socket = Datagram::bind(&anywhere()).expect("a free port");
            for len in [0, 1, 1400, 16 * 1024, 16 * 1024 + 1, 60_000] {
                let sent: Vec<u8> = (0..251).cycle().take(len).collect();
                peer.send_to(&sent, ip(&socket)).expect("sent");
                let received = socket.recv().await.expect("received");
                assert!(received.bytes[..] == sent, "{kind}: {len} bytes");
                assert_eq!((received.len, received.truncated), (len, false), "{kind}");
                assert_eq!(received.from.as_ref(), Some(&address), "{kind}");
                socket.send_to(&received.bytes, &address).await.expect("sent");
                let mut back = vec![0; 65_536];
                let (count, from) = peer.recv_from(&mut back).expect("received");
                assert!(back[..count] == sent && from == ip(&socket), "{kind}: {len} bytes");
            }
        });
    });
}

#[test]
fn a_datagram_longer_than_a_buffer_arrives_whole() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (ours, theirs) = unix_pair();
            ours.set_room(200_000);
            for len in [65_536, 65_537, 150_000] {
                let sent: Vec<u8> = (0..251).cycle().take(len).collect();
                theirs.send(&sent).expect("sent");
                let received = ours.recv().await.expect("received");
                assert!(received.bytes[..] == sent, "{kind}: {len} bytes");
                assert_eq!((received.len, received.truncated), (len, false), "{kind}");
            }
        });
    });
}

#[test]
fn a_connected_socket_of_ipv6_talks_to_its_peer_alone() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let local = Address::from((Ipv6Addr::LOCALHOST, 0));
            let one = Datagram::bind(&local).expect("IPv6 on loopback");
            let other = Datagram::bind(&local).expect("IPv6 on loopback");
            let stranger = Datagram::bind(&local).expect("IPv6 on loopback");
            let address = other.local_addr().expect("bound");
            other.connect(&one.local_addr().expect("bound")).expect("connected");
            stranger.send_to(b"not me", &address).await.expect("sent");
            one.send_to(b"me", &address).await.expect("sent");
            assert_eq!(&other.recv().await.expect("received").bytes[..], b"me", "{kind}");
            other.send(b"you").await.expect("sent");
            assert_eq!(&one.recv().await.expect("received").bytes[..], b"you", "{kind}");
        });
    });
}

#[test]
fn what_is_longer_than_the_room_is_cut_and_says_how_long_it_was() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        engine.block_on(async {
            let (peer, _) = peer();
            let socket = Datagram::bind(&anywhere()).expect("a free port");
            for (room, len, truncated) in [(10, 100, true), (10, 10, false), (20_000, 30_000, true)]
            {
                socket.set_room(room);
                peer.send_to(&vec![7; len], ip(&socket)).expect("sent");
                let received = socket.recv().await.expect("received");
                assert_eq!(received.bytes.len(), room.min(len), "{kind}");
                assert_eq!((received.len, received.truncated), (len, truncated), "{kind}");
            }
        });
        assert_eq!(engine.usage(), Usage { sockets: engine.usage().sockets, ..Usage::default() });
    });
}

#[test]
fn a_message_that_was_peeked_at_is_received_again() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (peer, _) = peer();
            let socket = Datagram::bind(&anywhere()).expect("a free port");
            for message in [b"first", b"other"] {
                peer.send_to(message, ip(&socket)).expect("sent");
            }
            for _ in 0..3 {
                assert_eq!(&socket.peek().await.expect("it waits").bytes[..], b"first", "{kind}");
            }
            for message in [b"first", b"other"] {
                assert_eq!(&socket.recv().await.expect("it waits").bytes[..], message, "{kind}");
            }
        });
    });
}

#[test]
fn pieces_leave_as_one_message() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (peer, address) = peer();
            let socket = Datagram::bind(&anywhere()).expect("a free port");
            let parts = [b"one ", b"and ", b"two."].map(|part| IoSlice::new(part));
            socket.send_parts(&parts, Some(&address)).await.expect("sent");
            let mut back = [0; 100];
            let count = peer.recv(&mut back).expect("received");
            assert_eq!(&back[..count], b"one and two.", "{kind}");
        });
    });
}

#[test]
fn errors_of_datagrams_name_their_reason() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (peer, address) = peer();
            let socket = Datagram::bind(&anywhere()).expect("a free port");
            let error = socket.send_to(&[0; 70_000], &address).await.expect_err("too long for UDP");
            assert_eq!(number(&error), Some(libc::EMSGSIZE), "{kind}");
            assert!(error.to_string().starts_with(&format!("send to {address}: ")), "{error}");
            let error = Datagram::bind(&address).expect_err("it is taken");
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{kind}");
            assert!(error.to_string().starts_with(&format!("bind to {address}: ")), "{error}");
            socket.connect(&address).expect("connected");
            drop(peer);
            socket.send(b"to nobody").await.expect("sent");
            let error = socket.recv().await.expect_err("ICMP says so");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{kind}");
            let error = socket.send_to(b"", &Address::path("/")).await.expect_err("another family");
            assert_eq!(number(&error), Some(libc::EAFNOSUPPORT), "{kind}");
        });
    });
}

#[test]
fn a_deadline_ends_the_wait_and_the_socket_goes_on() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        engine.block_on(async {
            let (peer, _) = peer();
            let socket = Datagram::bind(&anywhere()).expect("a free port");
            for _ in 0..2 {
                socket.set_deadline(Some(Duration::from_millis(5)));
                let error = socket.recv().await.expect_err("nobody sends");
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}");
            }
            socket.set_deadline(None);
            peer.send_to(b"late", ip(&socket)).expect("sent");
            assert_eq!(&socket.recv().await.expect("it came").bytes[..], b"late", "{kind}");
        });
        assert_eq!(engine.usage().timers, 0, "{kind}");
    });
}

#[test]
fn a_stop_ends_the_wait_for_requests_but_loses_none_that_came() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (stopper, (peer, _)) = (engine.stopper(), peer());
        engine.block_on(async {
            let socket = Datagram::bind(&anywhere()).expect("a free port");
            peer.send_to(b"before", ip(&socket)).expect("sent");
            let first = socket.recv_idle().await.expect("it came").expect("nobody stops us");
            assert_eq!(&first.bytes[..], b"before", "{kind}");
            let address = ip(&socket);
            let stopping = std::thread::spawn(move || {
                stopper.stop();
                peer.send_to(b"after", address).expect("sent");
            });
            // Either the stop is seen first, and the message afterwards, or both at once.
            let waited = socket.recv_idle().await.expect("no error");
            stopping.join().expect("it ends");
            if waited.is_none() {
                let last = socket.recv_idle().await.expect("no error").expect("it came");
                assert_eq!(&last.bytes[..], b"after", "{kind}");
            }
            assert!(socket.recv_idle().await.expect("no error").is_none(), "{kind}");
        });
    });
}

#[test]
fn one_task_receives_while_another_sends_and_a_second_receiver_is_refused() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (peer, address) = peer();
            let socket = Rc::new(Datagram::bind(&anywhere()).expect("a free port"));
            let received = Rc::new(Cell::new(0));
            let (receiver, count) = (Rc::clone(&socket), Rc::clone(&received));
            spawn(async move {
                while count.get() < 20 {
                    receiver.recv().await.expect("it comes");
                    count.set(count.get() + 1);
                }
            });
            // It waits by now.
            turns(2).await;
            let error = socket.recv().await.expect_err("the task waits");
            assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{kind}");
            for n in 0..20u8 {
                socket.send_to(&[n], &address).await.expect("sent");
                let mut back = [0; 1];
                assert_eq!((peer.recv(&mut back).expect("it came"), back[0]), (1, n), "{kind}");
                peer.send_to(b"back", ip(&socket)).expect("sent");
            }
            until(|| (received.get() == 20).then_some(())).await;
        });
    });
}

#[test]
fn receives_that_are_dropped_lose_no_message() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        engine.block_on(async {
            let (ours, theirs) = unix_pair();
            let sender = std::thread::spawn(move || {
                for n in 0..2000u32 {
                    theirs.send(&n.to_ne_bytes()).expect("sent");
                }
                theirs
            });
            let (mut next, mut dropped) = (0, 0u32);
            while next < 2000 {
                let patience = u64::from(dropped % 3);
                match either(ours.recv(), turns(patience)).await {
                    Either::One(message) => {
                        let message = message.expect("connected");
                        assert_eq!(message.bytes[..], u32::to_ne_bytes(next), "{kind}");
                        next += 1;
                    }
                    Either::Other(()) => dropped += 1,
                }
                dropped = dropped.wrapping_add(1);
            }
            drop(sender.join().expect("it ends"));
        });
        assert_eq!(engine.usage().read_buffers, 0, "{kind}");
    });
}

#[test]
fn a_full_receiver_makes_the_sender_wait_and_not_spin() {
    on_every_driver(|kind| {
        // Connected, where poll(2) tells of room, and by address, where it does not.
        for connected in [true, false] {
            engine(kind).block_on(full_receiver(kind, connected));
        }
    });
}

async fn full_receiver(kind: DriverKind, connected: bool) {
    let slow = Datagram::bind(&UnixAddress::Unnamed.into()).expect("a name is found");
    let address = slow.local_addr().expect("bound");
    let sender = Datagram::bind(&UnixAddress::Unnamed.into()).expect("a name is found");
    let to = if connected {
        sender.connect(&address).expect("it is there");
        None
    } else {
        Some(&address)
    };
    let mut queued = 0u32;
    let error = loop {
        match sender.try_send_to(&queued.to_ne_bytes(), to) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{kind}");
    sender.set_deadline(Some(Duration::from_millis(40)));
    let last = queued.to_ne_bytes();
    let parts = [IoSlice::new(&last)];
    let polls = Cell::new(0);
    let sent = counted(sender.send_parts(&parts, to), &polls).await;
    assert_eq!(sent.expect_err("nobody reads").kind(), ErrorKind::TimedOut, "{kind}");
    // The busy driver asks without end, and for that one it is right.
    assert!(polls.get() < 60 || kind == DriverKind::Busy, "{kind}: asked {} times", polls.get());
    sender.set_deadline(None);
    let reading = async {
        // The sender has been refused by then.
        turns(3).await;
        for n in 0..=queued {
            let message = slow.recv().await.expect("it waits");
            assert_eq!(message.bytes[..], n.to_ne_bytes(), "{kind}");
            assert_eq!(message.from, sender.local_addr().ok(), "{kind}");
        }
    };
    let sending = sender.send_parts(&parts, to);
    let (mut reading, mut sending) = (std::pin::pin!(reading), std::pin::pin!(sending));
    match either(&mut reading, &mut sending).await {
        Either::Other(sent) => {
            sent.expect("there is room");
            reading.await;
        }
        Either::One(()) => panic!("the last message was read before it was sent"),
    }
}

/// Counts how often the future is asked.
async fn counted<T>(future: impl Future<Output = T>, polls: &Cell<u32>) -> T {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        polls.set(polls.get() + 1);
        future.as_mut().poll(cx)
    })
    .await
}

#[test]
fn unix_datagrams_go_to_paths_and_abstract_names() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("socket");
            let name = format!("sockeye-{kind}-{}", std::process::id());
            for address in [Address::path(&path), Address::abstract_name(name)] {
                let server = Datagram::bind(&address).expect("free");
                assert_eq!(server.local_addr().expect("bound"), address, "{kind}");
                let error = Datagram::bind(&address).expect_err("it is taken");
                assert_eq!(error.kind(), ErrorKind::AddrInUse, "{kind}");
                let client = Datagram::bind(&UnixAddress::Unnamed.into()).expect("a name");
                client.send_to(b"hello", &address).await.expect("sent");
                let message = server.recv().await.expect("received");
                assert_eq!(&message.bytes[..], b"hello", "{kind}");
                assert_eq!(message.from, client.local_addr().ok(), "{kind}");
            }
            let long = Address::path(folder.path().join("x".repeat(108)));
            let error = Datagram::bind(&long).expect_err("too long");
            assert!(error.to_string().contains("at most 107 bytes"), "{error}");
            let gone = Datagram::bind(&UnixAddress::Unnamed.into()).expect("a name");
            let error = gone.connect(&Address::path(&path)).expect_err("nobody is behind it");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{kind}");
        });
    });
}
