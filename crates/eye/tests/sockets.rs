//! Sockets that are not of TCP, through the engine: Unix streams, and datagrams.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, IoSlice, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye_engine::probe::{Direction, digest};
use sockeye_engine::{
    Address, Datagram, DriverKind, Engine, Event, Listener, SeqpacketListener, Stream, UnixAddress,
};
use sockeye_eye::recorder::{Eye, Options, Seen, Tap};
use sockeye_eye::view::Style;

/// What was drawn.
#[derive(Clone, Default)]
struct Drawn(Arc<Mutex<Vec<u8>>>);

impl Write for Drawn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drawn {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Opens an eye for no TCP socket at all, and lets `job` be seen by it on a driver.
fn drawn<F: Future<Output = io::Result<()>>>(driver: DriverKind, job: F) -> String {
    let drawn = Drawn::default();
    let out = Box::new(drawn.clone());
    let eye = Eye::open(&[], Options::drawing(Style::default(), out)).unwrap();
    assert_eq!(eye.missing(), None, "there is nothing to capture");
    let engine = Engine::with_probe(driver, &*eye.source()).unwrap();
    engine.block_on(job).unwrap();
    drop(engine);
    eye.close();
    drawn.text()
}

#[test]
fn both_ends_of_a_unix_stream_are_drawn_with_their_calls_and_messages() {
    let drivers = [DriverKind::Epoll, DriverKind::EpollEdge, DriverKind::Poll, DriverKind::Busy];
    for driver in drivers {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::path(folder.path().join("socket"));
        let text = drawn(driver, async {
            let listener = Listener::bind(&address)?;
            let mut client = Stream::connect_to(&address, None).await?;
            let mut server = listener.accept().await.unwrap()?;
            client.mark(Direction::Sent, 0..10, format_args!("a question"));
            client.write(b"a question");
            client.flush().await?;
            assert_eq!(&server.recv().await?[..], b"a question");
            server.write(b"an answer");
            server.flush().await?;
            assert_eq!(&client.recv().await?[..], b"an answer");
            client.mark(Direction::Received, 0..9, format_args!("an answer"));
            drop(client);
            assert!(server.recv().await?.is_empty());
            Ok(())
        });
        assert_eq!(text.matches("connection ").count(), 2, "{driver} {text}");
        for (shown, times) in [
            (format!("unnamed ─▶ {address} "), 2),
            ("connect()".into(), 1),
            ("accept()".into(), 1),
            ("│ send() = 10 [0..10) a question".into(), 1),
            ("│ recv() = 10 [0..10)".into(), 1),
            ("│ recv() = 0 EOF".into(), 1),
            ("─ a question ─".into(), 1),
            ("─ an answer ─".into(), 1),
            (format!("CIF  {address}  we closed first, gracefully, after 1 request"), 1),
            (format!("CDF  {address}  the client closed first, gracefully"), 1),
            ("10 B in, 9 B out".into(), 1),
            ("9 B in, 10 B out".into(), 1),
        ] {
            assert_eq!(text.matches(&shown).count(), times, "{driver}: {shown}\n{text}");
        }
        for unfit in ["ESTABLISHED", "segment", "ack ", "concluded", "capture"] {
            assert!(!text.contains(unfit), "{driver}: {unfit}\n{text}");
        }
    }
}

#[test]
fn datagrams_are_drawn_by_peer_and_direction_with_what_was_cut_and_refused() {
    for driver in [DriverKind::Epoll, DriverKind::Uring, DriverKind::Blocking] {
        let here = Address::from(([127, 0, 0, 1], 0));
        let mut server_address = None;
        let mut client_address = None;
        let text = drawn(driver, async {
            let server = Datagram::bind(&here)?;
            let client = Datagram::bind(&here)?;
            server.set_room(20);
            let to = server.local_addr()?;
            for length in [5, 20, 1000] {
                client.send_to(&vec![7; length], &to).await?;
                assert_eq!(server.recv().await?.len, length);
                if length == 5 {
                    server.mark(Direction::Received, format_args!("hello"));
                }
            }
            server.send_to(b"an answer", &client.local_addr()?).await?;
            server.mark(Direction::Sent, format_args!("an answer"));
            assert_eq!(client.recv().await?.len, 9);
            server_address = Some(to.clone());
            client_address = Some(client.local_addr()?);
            drop(server);
            // Nobody listens there any more, and the kernel says so with the next call.
            client.connect(&to)?;
            client.send(b"lost").await?;
            let refused = client.recv().await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            Ok(())
        });
        let [server, client] = [server_address, client_address].map(Option::unwrap);
        for shown in [
            format!("{client} ─▶ here  3 datagrams, 45 B\n"),
            String::from("├─ 5: hello ─┤"),
            String::from("├─ 20 ─┤"),
            String::from("├─ 20 of 1,000 ─┤"),
            format!("here ─▶ {client}  1 datagram, 9 B\n"),
            String::from(" 0 ├─ 9: an answer ─┤\n"),
            format!("UDP  {server}  3 datagrams, 45 B in · 1 datagram, 9 B out ·"),
            String::from("1 truncated, 980 B lost"),
            format!("here ─▶ {server}  4 datagrams, 1,029 B\n"),
            String::from("├─ 4 ─┤"),
            String::from("├─ ECONNREFUSED ─┤"),
            String::from("1 call failed with ECONNREFUSED: nobody listens there"),
        ] {
            assert!(text.contains(&shown), "{driver}: {shown}\n{text}");
        }
        assert_eq!(text.matches("══ datagrams ").count(), 2, "{driver} {text}");
    }
}

#[test]
fn datagrams_that_the_kernel_had_no_room_for_are_told() {
    for driver in [DriverKind::EpollEdge, DriverKind::Uring, DriverKind::Blocking] {
        let here = Address::from(([127, 0, 0, 1], 0));
        let mut received = 0;
        let text = drawn(driver, async {
            let server = Datagram::bind(&here)?;
            server.with_fd(|fd| {
                rustix::net::sockopt::set_socket_recv_buffer_size(fd, 4096).unwrap();
            });
            let to = server.local_addr()?;
            let client = Datagram::bind(&here)?;
            for _ in 0..100 {
                client.send_to(&[7; 1000], &to).await?;
            }
            // The length of the next one (udp(7), FIONREAD).
            let next = || {
                let mut length = Ok(0);
                server.with_fd(|fd| length = rustix::io::ioctl_fionread(fd));
                length.unwrap()
            };
            while next() > 0 {
                server.recv().await?;
                received += 1;
            }
            Ok(())
        });
        assert!(received < 100, "{driver}: there was no such room");
        let told = format!(" · {} datagrams dropped by the kernel: no room ", 100 - received);
        let verdicts = text.replace("\n       ", " ");
        assert_eq!(verdicts.matches(&told).count(), 1, "{driver}: {told}\n{text}");
        assert_eq!(
            text.matches("dropped by").count(),
            1,
            "{driver}: the client's has none: {text}"
        );
    }
}

#[test]
fn a_socket_that_was_closed_while_it_waited_is_told_to_be_closed() {
    for driver in [DriverKind::EpollEdge, DriverKind::Uring, DriverKind::Blocking] {
        let text = drawn(driver, async {
            let socket = Datagram::bind(&Address::from(([127, 0, 0, 1], 0)))?;
            socket.send_to(b"x", &socket.local_addr()?).await?;
            assert_eq!(socket.recv().await?.len, 1);
            socket.set_deadline(Some(Duration::from_millis(1)));
            assert_eq!(socket.recv().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            Ok(())
        });
        assert!(text.contains(" · open for "), "{driver}: {text}");
    }
}

#[test]
fn rows_of_datagrams_are_no_wider_than_the_picture_and_only_the_latest_are_drawn() {
    let here = Address::from(([127, 0, 0, 1], 0));
    let text = drawn(DriverKind::Epoll, async {
        let server = Datagram::bind(&here)?;
        for length in 0..200 {
            server.send_to(&vec![7; length], &server.local_addr()?).await?;
            assert_eq!(server.recv().await?.len, length);
        }
        Ok(())
    });
    assert_eq!(text.matches(" 136 datagrams earlier\n").count(), 2, "{text}");
    // And once in the note.
    assert_eq!(text.matches("├─ ").count(), 2 * 64 + 1, "{text}");
    assert!(text.contains(" 136 ├─ 136 ─┤"), "{text}");
    assert!(text.contains("200 datagrams, 19,900 B in · 200 datagrams, 19,900 B out"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn both_ends_of_sequenced_packets_are_drawn_as_connections_with_their_borders() {
    for driver in [DriverKind::EpollEdge, DriverKind::Uring, DriverKind::Blocking] {
        let folder = tempfile::tempdir().unwrap();
        let name = UnixAddress::Path(folder.path().join("socket"));
        let address = Address::Unix(name.clone());
        let text = drawn(driver, async {
            let listener = SeqpacketListener::bind(&name)?;
            let client = Datagram::connect_seqpacket(&address, None).await?;
            let server = listener.accept().await.unwrap()?;
            server.set_room(8);
            for message in [&b"one"[..], b"and two"] {
                client.send(message).await?;
                client.mark(Direction::Sent, format_args!("{}", message.escape_ascii()));
            }
            assert_eq!(&server.recv().await?.bytes[..], b"one");
            server.mark(Direction::Received, format_args!("one"));
            assert_eq!(&server.recv().await?.bytes[..], b"and two");
            client.send(b"longer than its room").await?;
            assert!(server.recv().await?.truncated);
            client.shutdown_write()?;
            assert!(server.recv().await?.bytes.is_empty());
            drop(server);
            assert!(client.recv().await?.bytes.is_empty());
            Ok(())
        });
        assert_eq!(text.matches("connection ").count(), 2, "{driver} {text}");
        assert!(!text.contains("datagram"), "{driver} {text}");
        for (shown, times) in [
            (format!("unnamed ─▶ {address} "), 2),
            ("connect()".into(), 1),
            ("accept()".into(), 1),
            ("│ send() = 3 [0..3) one".into(), 1),
            ("│ send() = 7 [3..10) and two".into(), 1),
            ("│ recv() = 3 [0..3) one".into(), 1),
            // What was cut off has its place all the same.
            ("│ recv() = 8 [10..18)".into(), 1),
            ("│ recv() = 0 EOF".into(), 2),
            ("│ shutdown(WR)".into(), 1),
            (format!("{address}  we closed first, gracefully"), 1),
            (format!("{address}  the client closed first, gracefully"), 1),
        ] {
            assert_eq!(text.matches(&shown).count(), times, "{driver}: {shown}\n{text}");
        }
    }
}

#[test]
fn what_the_error_queue_says_is_told_and_a_socket_still_open_is_drawn() {
    let here = Address::from(([127, 0, 0, 1], 0));
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let drawn = Drawn::default();
    let out = Box::new(drawn.clone());
    let eye = Eye::open(&[], Options::drawing(Style::default(), out)).unwrap();
    let engine = Engine::with_probe(DriverKind::EpollEdge, &*eye.source()).unwrap();
    let socket = engine.block_on(async {
        let socket = Datagram::bind(&here).unwrap();
        socket.ask_errors().unwrap();
        socket.send_to(b"to nobody", &gone.into()).await.unwrap();
        let Event::Error(_) = socket.recv_event().await.unwrap() else { panic!("nobody answers") };
        socket
    });
    // Nothing that follows is told.
    std::mem::forget(socket);
    drop(engine);
    eye.close();
    let text = drawn.text();
    for shown in [
        format!("here ─▶ {gone}  1 datagram, 9 B"),
        String::from("├─ later ECONNREFUSED ─┤"),
        String::from("1 error reported later, ECONNREFUSED: nobody listens there"),
        String::from("still open"),
    ] {
        assert!(text.contains(&shown), "{shown}\n{text}");
    }
}

/// Way, length, bytes taken and digest of a datagram.
type Told = (Direction, u64, u64, Option<u32>);

/// Of each datagram, in the order in which the eye was told.
#[derive(Clone, Default)]
struct Digests(Arc<Mutex<Vec<Told>>>);

impl Tap for Digests {
    fn sees(&mut self, seen: &Seen<'_>) {
        if let Seen::Datagram(_, datagram) = seen {
            let told = (datagram.direction, datagram.length, datagram.taken, datagram.digest);
            self.0.lock().unwrap().push(told);
        }
    }
}

#[test]
fn a_datagram_has_the_same_digest_at_both_ends_and_none_where_too_little_of_it_was_received() {
    for driver in [DriverKind::Epoll, DriverKind::Uring, DriverKind::Blocking] {
        let digests = Digests::default();
        let mut options = Options::drawing(Style::default(), io::sink());
        options.taps.push(Box::new(digests.clone()));
        let eye = Eye::open(&[], options).unwrap();
        let engine = Engine::with_probe(driver, &*eye.source()).unwrap();
        let job = async {
            let here = Address::from(([127, 0, 0, 1], 0));
            let (server, client) = (Datagram::bind(&here)?, Datagram::bind(&here)?);
            let to = server.local_addr()?;
            let long = [vec![7; 100], vec![8; 900]].concat();
            let parts = [IoSlice::new(&long[..10]), IoSlice::new(&long[10..])];
            for room in [2000, 64, 63] {
                server.set_room(room);
                client.send_parts(&parts, Some(&to)).await?;
                server.recv().await?;
            }
            server.set_room(2000);
            client.send_to(b"", &to).await?;
            server.recv().await?;
            io::Result::Ok(())
        };
        engine.block_on(job).unwrap();
        drop(engine);
        eye.close();
        let long = Some(digest(1000, [&[7; 64][..]]));
        let empty = Some(digest(0, []));
        let of = |way| {
            let told = digests.0.lock().unwrap().clone();
            told.into_iter().filter(move |told| told.0 == way).collect::<Vec<_>>()
        };
        let [received, sent] = [Direction::Received, Direction::Sent].map(of);
        let whole = (Direction::Sent, 1000, 1000, long);
        assert_eq!(sent, [whole, whole, whole, (Direction::Sent, 0, 0, empty)], "{driver}");
        let cut = |taken, digest| (Direction::Received, 1000, taken, digest);
        let end = (Direction::Received, 0, 0, empty);
        assert_eq!(received, [cut(1000, long), cut(64, long), cut(63, None), end], "{driver}");
    }
}
