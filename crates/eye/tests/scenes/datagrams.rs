//! Datagrams, which have borders and nothing else: those cut off, and those for everybody.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};

use rustix::net::sockopt::{set_socket_broadcast, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use sockeye_engine::probe::{ConnId, Direction, Stamp};
use sockeye_engine::{Address, Datagram, DriverKind, Engine};
use sockeye_eye::datagram::DatagramHistory;
use sockeye_eye::finding::findings_of_datagrams;
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Eye, Options, Sink};
use sockeye_eye::view::{self, Style};

use crate::place::{self, CLIENT, SERVER, no_process_starts};
use crate::scene::{compare, is_player, on_a_thread, played_by_nobody, print_as_player};

/// A scene of sockets of datagrams.
pub(crate) struct Scene {
    name: &'static str,
    play: fn() -> Vec<DatagramHistory>,
    facts: fn(&[DatagramHistory]),
    /// What is found at each socket, in the order in which they are closed.
    found: &'static [&'static [&'static str]],
}

impl Scene {
    pub(crate) fn as_root(&self) {
        if !crate::support::may_make_networks(self.name) {
            return;
        }
        on_a_thread(|| {
            enter();
            let sockets = (self.play)();
            compare(self.name, &drawn(&sockets));
            let found: Vec<Vec<&str>> = sockets
                .iter()
                .map(|socket| {
                    findings_of_datagrams(socket).iter().map(|found| found.kind.id()).collect()
                })
                .collect();
            assert_eq!(found, self.found);
            (self.facts)(&sockets);
        });
    }

    /// All there is to see of datagrams is seen by anyone.
    pub(crate) fn as_nobody(&self) {
        if is_player() {
            return print_as_player(&drawn(&(self.play)()));
        }
        if !crate::support::may_make_networks(self.name) {
            return;
        }
        let drawing = on_a_thread(|| {
            enter();
            played_by_nobody(self.name)
        });
        compare(self.name, &drawing.expect("a drawing"));
    }
}

/// A network with loopback and an Ethernet with nobody else on it, 10.7.0.1/24.
fn enter() {
    drop(place::enter(place::Link::Loopback));
    place::run("ip link add alone type veth peer name nobody");
    place::run("ip link set nobody up");
    place::run("ip addr add 10.7.0.1/24 brd + dev alone");
    place::run("ip link set alone up");
}

/// All of them, at times of our own and with numbers of this scene.
fn drawn(sockets: &[DatagramHistory]) -> String {
    let drawn = sockets.iter().enumerate().map(|(number, socket)| {
        let mut socket = socket.clone();
        socket.conn = ConnId(number as u64 + 1);
        let latest = socket.flows.iter_mut().flat_map(|flow| &mut flow.latest);
        for (step, seen) in latest.enumerate() {
            seen.at = Stamp(socket.opened.0 + 10_000 * (step as u64 + 1));
        }
        socket.closed = Some(Stamp(socket.opened.0 + 1_000_000));
        view::datagrams(&socket, &Style::default())
    });
    drawn.collect::<Vec<_>>().join("\n")
}

/// Of three datagrams the last is longer than the room for it (recv(2), `MSG_TRUNC`).
pub(crate) fn truncation() -> Scene {
    fn play() -> Vec<DatagramHistory> {
        watched(async || {
            let server = socket([127, 0, 0, 1], SERVER)?;
            let client = socket([127, 0, 0, 1], CLIENT)?;
            server.set_room(20);
            let to = server.local_addr()?;
            for (message, label) in [
                (&b"hello"[..], "hello"),
                (b"as long as the room.", "as long as the room."),
                (&[b'm'; 1000], "len=1000"),
            ] {
                client.send_to(message, &to).await?;
                client.mark(Direction::Sent, format_args!("{label}"));
                let received = server.recv().await?;
                assert_eq!(received.len, message.len());
                server.mark(Direction::Received, format_args!("{label}"));
            }
            Ok(vec![client, server])
        })
    }
    fn facts(sockets: &[DatagramHistory]) {
        let [client, server] = sockets else { panic!("{sockets:?}") };
        let [sent, received] = [client.total(Direction::Sent), server.total(Direction::Received)];
        assert_eq!((sent.count, sent.bytes, sent.truncated), (3, 1025, 0));
        assert_eq!((received.count, received.bytes), (3, 45));
        assert_eq!((received.truncated, received.cut), (1, 980));
    }
    Scene { name: "truncation", play, facts, found: &[&[], &["datagram-truncated"]] }
}

/// One datagram for all on the network, of which there are two.
pub(crate) fn broadcast() -> Scene {
    fn play() -> Vec<DatagramHistory> {
        watched(async || {
            let listeners = [socket([0, 0, 0, 0], SERVER)?, socket([0, 0, 0, 0], SERVER)?];
            let client = socket([10, 7, 0, 1], CLIENT)?;
            let to = Address::from(([10, 7, 0, 255], SERVER));
            client.send_to(b"who is there?", &to).await?;
            client.mark(Direction::Sent, format_args!("who is there?"));
            for (listener, answer) in listeners.iter().zip(["I am", "and I"]) {
                let received = listener.recv().await?;
                listener.mark(Direction::Received, format_args!("who is there?"));
                let from = received.from.expect("it says who sent it");
                listener.send_to(answer.as_bytes(), &from).await?;
                listener.mark(Direction::Sent, format_args!("{answer}"));
                assert_eq!(client.recv().await?.len, answer.len());
                client.mark(Direction::Received, format_args!("{answer}"));
            }
            let [first, second] = listeners;
            Ok(vec![client, first, second])
        })
    }
    fn facts(sockets: &[DatagramHistory]) {
        let counts = sockets.iter().map(|socket| {
            [Direction::Received, Direction::Sent].map(|way| socket.total(way).count)
        });
        // Sent once, it came twice.
        assert_eq!(counts.collect::<Vec<_>>(), [[2, 1], [1, 1], [1, 1]]);
    }
    Scene { name: "broadcast", play, facts, found: &[&[], &[], &[]] }
}

fn socket(ip: [u8; 4], port: u16) -> io::Result<Datagram> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    set_socket_broadcast(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::from((ip, port)))?;
    Datagram::adopt(socket)
}

struct Collect(Sender<DatagramHistory>);

impl Sink for Collect {
    fn ended(&mut self, _: &History) {}

    fn ended_in_short(&mut self, _: &History) {}

    fn datagrams(&mut self, history: &DatagramHistory) {
        let _ = self.0.send(history.clone());
    }

    fn say(&mut self, _: &str) {}
}

/// What the eye sees of the sockets this makes; they are closed in their order.
fn watched(play: impl AsyncFnOnce() -> io::Result<Vec<Datagram>>) -> Vec<DatagramHistory> {
    let _alone = no_process_starts();
    let (sender, told) = channel();
    let eye = Eye::open(&[], Options::to(Collect(sender))).unwrap();
    let engine = Engine::with_probe(DriverKind::default(), &*eye.source()).unwrap();
    engine
        .block_on(async { play().await.map(|sockets| sockets.into_iter().for_each(drop)) })
        .unwrap();
    drop(engine);
    eye.close();
    told.iter().collect()
}
