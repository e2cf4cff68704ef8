//! The whole eye on real connections, with the probe driven as the engine drives it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::net::{AddressFamily, SocketType, sockopt};
use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Operation, Probe, Role, Stamp};
use sockeye_eye::record::{Event, History, IsnSource, Segment};
use sockeye_eye::recorder::{Eye, Options, Sink};
use sockeye_eye::view::Style;
use sockeye_wire::tcp::State;
use support::served::Served;
use support::{drop_net_raw, may_capture};

/// What the eye told.
#[derive(Debug)]
enum Told {
    Ended(Box<Seen>),
    InShort,
    Said(String),
}

/// What these tests look at; a history itself can't be copied out of the sink.
#[derive(Debug)]
struct Seen {
    conn: Option<ConnId>,
    peer: SocketAddr,
    captured: bool,
    segments: Vec<Segment>,
    calls: Vec<Call>,
    labels: Vec<String>,
    lost_calls: u64,
    text: String,
    isn: Option<(u32, IsnSource)>,
    bytes: Option<(u64, u64)>,
    aftermath: Option<(State, Option<u32>)>,
    peer_aftermath: Option<(State, Option<u32>)>,
}

struct Collect(Sender<Told>);

impl Sink for Collect {
    fn ended(&mut self, history: &History) {
        let _ = self.0.send(Told::Ended(Box::new(seen(history))));
    }

    fn ended_in_short(&mut self, _: &History) {
        let _ = self.0.send(Told::InShort);
    }

    fn say(&mut self, line: &str) {
        let _ = self.0.send(Told::Said(line.to_owned()));
    }
}

fn seen(history: &History) -> Seen {
    let segments = history.events.iter().filter_map(|event| match event {
        Event::Segment(segment) => Some(segment.clone()),
        Event::Call(_) | Event::State(_) => None,
    });
    let calls = history.events.iter().filter_map(|event| match event {
        Event::Call(call) => Some(*call),
        Event::Segment(_) | Event::State(_) => None,
    });
    let kernel = history.kernel.as_ref();
    Seen {
        conn: history.conn,
        peer: history.peer.ip().expect("they are of the internet"),
        captured: history.captured,
        segments: segments.collect(),
        calls: calls.collect(),
        labels: history.messages.iter().map(|message| message.label.to_string()).collect(),
        lost_calls: history.lost.calls,
        text: format!("{history:?}"),
        isn: history.isn[0],
        bytes: kernel.and_then(|kernel| kernel.bytes_received.zip(kernel.bytes_acked)),
        aftermath: history.aftermath.map(|after| (after.state, after.remaining_ms)),
        peer_aftermath: history.peer_aftermath.map(|after| (after.state, after.remaining_ms)),
    }
}

fn open(listeners: &[SocketAddr], capture: bool) -> (Eye, Receiver<Told>) {
    let (sender, told) = channel();
    let eye = Eye::open(listeners, Options { capture, ..Options::to(Collect(sender)) }).unwrap();
    (eye, told)
}

/// The next connection that ended; waits for it.
fn next_ended(told: &Receiver<Told>) -> Box<Seen> {
    loop {
        match told.recv().unwrap() {
            Told::Ended(seen) => return seen,
            Told::InShort | Told::Said(_) => {}
        }
    }
}

/// A request of 16 bytes and its reply of 5, after which the client closes first.
fn request_and_reply(probe: &dyn Probe, listener: &TcpListener, conn: u64) -> SocketAddr {
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut served = Served::accept(probe, listener, conn);
    client.write_all(b"GET / HTTP/1.0\r\n").unwrap();
    assert_eq!(served.recv(), 16);
    probe.message(served.conn, Direction::Received, 0..16, format_args!("GET {}", "/"));
    served.send(b"hello");
    client.read_exact(&mut [0; 5]).unwrap();
    let address = client.local_addr().unwrap();
    drop(client);
    assert_eq!(served.recv(), 0);
    served.close();
    address
}

#[test]
fn calls_messages_and_the_kernels_facts_need_no_capture() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (eye, told) = open(&[listener.local_addr().unwrap()], false);
    assert_eq!(eye.missing(), None, "nothing that was asked for");
    let probe = eye.source().probe();
    probe.listening(Some(listener.as_fd()), listener.local_addr().unwrap());
    let client = request_and_reply(&*probe, &listener, 1);

    let seen = next_ended(&told);
    assert_eq!((seen.conn, seen.peer), (Some(ConnId(1)), client));
    assert!(!seen.captured && seen.segments.is_empty());
    let calls: Vec<_> = seen.calls.iter().map(|call| (call.operation, call.result)).collect();
    assert_eq!(
        calls,
        [
            (Operation::Recv, Ok(16)),
            (Operation::Send, Ok(5)),
            (Operation::Recv, Ok(0)),
            (Operation::Close, Ok(0))
        ]
    );
    assert_eq!(seen.labels, ["GET /"]);
    assert_eq!(seen.bytes, Some((16, 5)), "{}", seen.text);
    assert!(matches!(seen.isn, Some((_, IsnSource::SavedSyn))), "{:?}", seen.isn);
    // The client closed first, so TIME-WAIT is its own.
    assert_eq!(seen.aftermath, Some((State::Closed, None)));
    let (state, remaining) = seen.peer_aftermath.unwrap();
    assert_eq!(state, State::TimeWait);
    assert!(remaining.is_some_and(|ms| (1..=60_000).contains(&ms)), "{remaining:?}");
    eye.close();
}

#[test]
fn the_end_that_closed_first_is_left_in_time_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (eye, told) = open(&[listener.local_addr().unwrap()], true);
    let probe = eye.source().probe();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let served = Served::accept(&*probe, &listener, 1);
    served.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    served.close();
    let seen = next_ended(&told);
    assert_eq!(seen.peer_aftermath, Some((State::Closed, None)));
    let (state, remaining) = seen.aftermath.unwrap();
    assert_eq!(state, State::TimeWait);
    assert!(remaining.is_some_and(|ms| ms <= 60_000), "{remaining:?}");
    eye.close();
}

#[test]
fn a_connection_is_shown_with_its_handshake_though_that_precedes_accept() {
    if !may_capture("a_connection_is_shown_with_its_handshake_though_that_precedes_accept") {
        return;
    }
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(host).unwrap();
        let (eye, told) = open(&[listener.local_addr().unwrap()], true);
        let probe = eye.source().probe();
        probe.listening(Some(listener.as_fd()), listener.local_addr().unwrap());
        let _ = request_and_reply(&*probe, &listener, 1);
        let seen = next_ended(&told);
        assert!(seen.captured);
        let first = &seen.segments[0];
        assert!(first.flags.syn() && !first.flags.ack(), "{}", seen.text);
        assert_eq!(seen.isn.map(|(isn, _)| isn), Some(first.seq));
        let last = &seen.segments[seen.segments.len() - 1];
        assert!(last.ack.is_some_and(|ack| ack.fin && ack.offset == 5), "{}", seen.text);
        assert_eq!(seen.calls.len(), 4);
        eye.close();
    }
}

#[test]
fn a_port_used_again_at_once_is_another_connection() {
    if !may_capture("a_port_used_again_at_once_is_another_connection") {
        return;
    }
    const ROUNDS: u64 = 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (eye, told) = open(&[listener.local_addr().unwrap()], true);
    let probe = eye.source().probe();
    probe.listening(Some(listener.as_fd()), listener.local_addr().unwrap());
    let mut own = 0;
    for round in 1..=ROUNDS {
        let mut client = connect_from(own, listener.local_addr().unwrap());
        own = client.local_addr().unwrap().port();
        let mut served = Served::accept(&*probe, &listener, round);
        let bytes = vec![7; usize::try_from(round).unwrap() * 10];
        client.write_all(&bytes).unwrap();
        assert_eq!(served.recv(), round * 10);
        // An RST leaves no TIME-WAIT, so the same four numbers are free at once.
        sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        while served.recv() > 0 {}
        served.close();
    }
    for round in 1..=ROUNDS {
        let seen = next_ended(&told);
        assert_eq!(seen.conn, Some(ConnId(round)));
        let syns = seen.segments.iter().filter(|s| s.flags.syn() && !s.flags.ack()).count();
        let resets = seen.segments.iter().filter(|s| s.flags.rst()).count();
        assert_eq!((syns, resets), (1, 1), "{}", seen.text);
        let furthest = seen.segments.iter().map(|s| s.range.end).max();
        assert_eq!(furthest, Some(round * 10), "{}", seen.text);
        assert_eq!(seen.isn.map(|(isn, _)| isn), Some(seen.segments[0].seq));
    }
    eye.close();
}

/// Connects from a chosen port, or any for 0.
fn connect_from(port: u16, to: SocketAddr) -> TcpStream {
    let socket: OwnedFd =
        rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    socket.into()
}

#[test]
fn a_listener_the_probe_reports_later_is_captured_from_then_on() {
    if !may_capture("a_listener_the_probe_reports_later_is_captured_from_then_on") {
        return;
    }
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let (eye, told) = open(&[first.local_addr().unwrap()], true);
    let probe = eye.source().probe();
    let later = TcpListener::bind("127.0.0.1:0").unwrap();
    probe.listening(Some(later.as_fd()), later.local_addr().unwrap());
    // The first connections may be over before the eye has taken that in.
    let captured = (1..).any(|conn| {
        let _ = request_and_reply(&*probe, &later, conn);
        next_ended(&told).captured
    });
    assert!(captured);
    eye.close();
}

#[test]
fn without_the_capability_one_line_says_what_is_missing_and_the_rest_is_shown() {
    let text = Arc::new(Mutex::new(Vec::new()));
    let out = Shared(Arc::clone(&text));
    let missing = thread::spawn(move || {
        drop_net_raw();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = Options::drawing(Style::default(), out);
        let eye = Eye::open(&[listener.local_addr().unwrap()], options).unwrap();
        let missing = eye.missing();
        let probe = eye.source().probe();
        let _ = request_and_reply(&*probe, &listener, 1);
        eye.close();
        missing
    });
    let missing = missing.join().unwrap().unwrap();
    assert!(missing.starts_with("eye: no packet capture (CAP_NET_RAW is missing): "), "{missing}");
    assert!(missing.contains("sudo setcap cap_net_raw+ep /"), "{missing}");
    assert_eq!(missing.lines().count(), 1);
    let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
    assert!(text.contains("127.0.0.1"), "{text}");
}

struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_still_open_is_said_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (eye, told) = open(&[listener.local_addr().unwrap()], false);
    let probe = eye.source().probe();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let served = Served::accept(&*probe, &listener, 1);
    probe.flush();
    eye.close();
    let said: Vec<Told> = told.iter().collect();
    let expected = format!("eye: 1 connection is still open: {}", client.local_addr().unwrap());
    assert!(matches!(&said[..], [Told::Said(line)] if *line == expected), "{said:?}");
    // With the eye shut the server goes on unseen.
    served.close();
}

/// A sink that draws nothing before it is told to.
struct Stuck {
    go: Receiver<()>,
    told: Sender<Told>,
    gone: bool,
}

impl Stuck {
    fn wait(&mut self) {
        if !self.gone {
            self.go.recv().unwrap();
            self.gone = true;
        }
    }
}

impl Sink for Stuck {
    fn ended(&mut self, history: &History) {
        self.wait();
        let _ = self.told.send(Told::Ended(Box::new(seen(history))));
    }

    fn ended_in_short(&mut self, _: &History) {
        self.wait();
        let _ = self.told.send(Told::InShort);
    }

    fn say(&mut self, line: &str) {
        self.wait();
        let _ = self.told.send(Told::Said(line.to_owned()));
    }
}

#[test]
fn a_writer_that_is_stuck_costs_pictures_but_no_connection_is_uncounted() {
    const MANY: u64 = 1500;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (go, stuck) = channel();
    let (sender, told) = channel();
    let sink = Stuck { go: stuck, told: sender, gone: false };
    let eye = Eye::open(
        &[listener.local_addr().unwrap()],
        Options { capture: false, ..Options::to(sink) },
    )
    .unwrap();
    let probe = eye.source().probe();
    // The server goes on although nothing is drawn.
    for conn in 1..=MANY {
        let _ = request_and_reply(&*probe, &listener, conn);
    }
    drop(probe);
    go.send(()).unwrap();
    eye.close();
    let (mut pictures, mut lines, mut counted) = (HashSet::new(), 0, 0);
    for told in told {
        match told {
            Told::Ended(seen) => assert!(pictures.insert(seen.conn), "{:?} twice", seen.conn),
            Told::InShort => lines += 1,
            Told::Said(line) => {
                let count = line.strip_prefix("eye: ").unwrap().split(' ').next().unwrap();
                assert!(line.ends_with("ended; not drawn"), "{line}");
                counted += count.parse::<u64>().unwrap();
            }
        }
    }
    assert_eq!(pictures.len() as u64 + lines + counted, MANY);
    assert!(counted > 1000, "{counted}");
}

#[test]
fn a_flood_of_records_never_blocks_and_what_is_lost_is_counted_for_its_connection() {
    const CALLS: u64 = 300_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (eye, told) = open(&[listener.local_addr().unwrap()], false);
    let source = eye.source();
    let threads: Vec<_> = (1..=4)
        .map(|conn| {
            let source = Arc::clone(&source);
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, peer) = listener.accept().unwrap();
            thread::spawn(move || {
                let probe = source.probe();
                let (local, peer) = (stream.local_addr().unwrap().into(), peer.into());
                let conn = ConnId(conn);
                let at = Stamp::now();
                probe.opened(
                    Some(stream.as_fd()),
                    &Opened { conn, role: Role::Server, local, peer, at },
                );
                let call = Call {
                    operation: Operation::Recv,
                    start: at,
                    end: at,
                    asked: 1,
                    result: Ok(1),
                    offset: 0,
                };
                for offset in 0..CALLS {
                    probe.call(conn, &Call { offset, ..call });
                }
                drop((stream, client));
                probe.closed(conn);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for _ in 1..=4 {
        let seen = next_ended(&told);
        // The text tells how many calls the history was given, kept or not.
        let given = seen.calls.len() as u64 + left_out(&seen.text);
        assert_eq!(given + seen.lost_calls, CALLS);
    }
    eye.close();
}

/// How many events a history says it left out.
fn left_out(text: &str) -> u64 {
    let events = text.split("messages: ").next().unwrap();
    let count = events.rsplit("left_out: ").next().unwrap();
    count.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}
