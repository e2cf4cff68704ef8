//! The pipe model: hosts, listeners, connections and datagrams in one process, on a virtual clock.
//!
//! Pure: no thread, no system call, no clock but its own. What tasks may ask of it is [`Model`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;

use super::connection::{Connection, Phase};
use super::datagram::Datagrams;
use super::fault::{Fault, Side};
use super::link::{Link, Links};
use super::model::{Interest, Model, Received};
use super::plan::Plan;
use super::queue::Queue;
use super::transcript::Transcript;
use super::trouble::Troubles;

/// The first SYN is sent again after this, the next after twice as long, and so on (RFC 6298 §2).
const SYN_AGAIN: Duration = Duration::from_secs(1);

/// How often a SYN is sent again (`tcp_syn_retries`).
const SYN_RETRIES: u32 = 6;

/// The first port that is given to a socket that asks for none.
const FIRST_PORT: u16 = 32768;

#[derive(Debug)]
pub(crate) struct Network {
    pub(super) world: World,
    sockets: BTreeMap<u32, Socket>,
    next_socket: u32,
    connections: BTreeMap<u32, Connection>,
    next_connection: u32,
    next_port: u16,
    pub(super) datagrams: Datagrams,
}

/// What all parts of the network share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) queue: Queue<Event>,
    pub(crate) links: Links,
    pub(crate) troubles: Troubles,
    transcript: Transcript,
    woken: Vec<(u32, Interest)>,
}

#[derive(Debug)]
pub(crate) enum Event {
    Syn { conn: u32, attempt: u32 },
    SynAck { conn: u32 },
    HandshakeDone { conn: u32, listener: u32 },
    Refused { conn: u32 },
    GiveUp { conn: u32 },
    Arrive { conn: u32, from: Side },
    Room { conn: u32, side: Side, count: usize },
    Unstalled { conn: u32, side: Side },
    ResetFault { conn: u32, fault: usize },
    Datagram(Box<Received>),
}

#[derive(Debug)]
enum Socket {
    Listener { address: SocketAddr, backlog: usize, queue: VecDeque<u32> },
    End { conn: u32, side: Side },
    Datagram { address: SocketAddr },
}

impl World {
    pub(crate) fn say(&mut self, what: fmt::Arguments<'_>) {
        self.transcript.line(self.queue.now(), what);
    }

    pub(crate) fn wake(&mut self, socket: Option<u32>, interest: Interest) {
        self.woken.extend(socket.map(|socket| (socket, interest)));
    }
}

impl Network {
    pub(crate) fn new(seed: u64, plan: Plan) -> Network {
        let mut queue = Queue::new();
        let troubles = Troubles::new(plan);
        for (at, conn, fault) in troubles.resets() {
            queue.at(at, Event::ResetFault { conn, fault });
        }
        Network {
            datagrams: Datagrams::new(seed),
            world: World {
                seed,
                queue,
                links: Links::default(),
                troubles,
                transcript: Transcript::default(),
                woken: Vec::new(),
            },
            sockets: BTreeMap::new(),
            next_socket: 1,
            connections: BTreeMap::new(),
            next_connection: 1,
            next_port: FIRST_PORT,
        }
    }

    /// The link between hosts that have none of their own.
    pub(crate) fn set_usual_link(&mut self, link: Link) {
        self.world.links.set_usual(link);
    }

    /// The link between two hosts, for connections made from now on.
    pub(crate) fn set_link(&mut self, one: IpAddr, other: IpAddr, link: Link) {
        self.world.links.set(one, other, link);
    }

    /// The plan it was made with.
    pub(crate) fn plan(&self) -> &Plan {
        self.world.troubles.plan()
    }

    /// The number of the connection that a socket is an end of.
    pub(crate) fn number(&self, socket: u32) -> Option<u32> {
        match self.sockets.get(&socket) {
            Some(Socket::End { conn, .. }) => Some(*conn),
            _ => None,
        }
    }

    /// The faults that struck a connection so far.
    pub(crate) fn faults_of(&self, number: u32) -> Vec<Fault> {
        self.world.troubles.of(number)
    }

    /// The faults that struck datagrams between two hosts so far.
    pub(crate) fn faults_of_datagrams(&self, one: IpAddr, other: IpAddr) -> Vec<Fault> {
        self.world.troubles.of_datagrams(one, other)
    }

    /// Connections whose ends are not both closed, or that have something on its way.
    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn transcript(&self) -> String {
        self.world.transcript.text()
    }

    pub(crate) fn say(&mut self, what: fmt::Arguments<'_>) {
        self.world.say(what);
    }

    fn socket(&mut self, socket: Socket) -> u32 {
        let number = self.next_socket;
        self.next_socket += 1;
        self.sockets.insert(number, socket);
        number
    }

    /// Ports are not used again, so that an address names one socket for the whole run.
    fn port(&mut self, wanted: SocketAddr) -> Result<SocketAddr, Errno> {
        let mut address = wanted;
        if wanted.port() == 0 {
            if self.next_port == u16::MAX {
                return Err(Errno::ADDRNOTAVAIL);
            }
            address.set_port(self.next_port);
            self.next_port += 1;
        }
        Ok(address)
    }

    fn listener_at(&self, wanted: SocketAddr) -> Option<u32> {
        self.sockets.iter().find_map(|(number, socket)| match socket {
            Socket::Listener { address, .. } if *address == wanted => Some(*number),
            _ => None,
        })
    }

    fn end(&mut self, socket: u32) -> Result<(&mut World, &mut Connection, Side), Errno> {
        match self.sockets.get(&socket) {
            Some(&Socket::End { conn, side }) => {
                let connection = self.connections.get_mut(&conn).ok_or(Errno::NOTCONN)?;
                Ok((&mut self.world, connection, side))
            }
            Some(_) => Err(Errno::OPNOTSUPP),
            None => Err(Errno::BADF),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Syn { conn, attempt } => self.syn(conn, attempt),
            Event::SynAck { conn } => {
                if let Some(connection) = self.connections.get_mut(&conn)
                    && connection.end(Side::Client).open
                {
                    connection.phase = Phase::Established;
                    self.world.say(format_args!("c{conn} established"));
                    self.world.wake(connection.end(Side::Client).socket, Interest::Write);
                }
            }
            Event::HandshakeDone { conn, listener } => self.handshake_done(conn, listener),
            Event::Refused { conn } => self.fail(conn, Errno::CONNREFUSED),
            Event::GiveUp { conn } => self.fail(conn, Errno::TIMEDOUT),
            Event::Arrive { conn, from } => {
                self.with(conn, |connection, world| connection.arrive(world, from));
            }
            Event::Room { conn, side, count } => {
                self.with(conn, |connection, world| connection.room(world, side, count));
            }
            Event::Unstalled { conn, side } => self.with(conn, |connection, world| {
                world.wake(connection.end(side).socket, Interest::Write);
            }),
            Event::ResetFault { conn, fault } => self.with(conn, |connection, world| {
                if connection.phase == Phase::Established {
                    world.troubles.struck_by(conn, fault);
                    connection.reset(world);
                }
            }),
            Event::Datagram(datagram) => self.datagrams.arrive(&mut self.world, *datagram),
        }
    }

    /// Does something to a connection, if it is still there, and forgets it if it is over then.
    fn with(&mut self, conn: u32, act: impl FnOnce(&mut Connection, &mut World)) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        act(connection, &mut self.world);
        if connection.is_over() {
            self.connections.remove(&conn);
        }
    }

    fn fail(&mut self, conn: u32, error: Errno) {
        self.with(conn, |connection, world| {
            world.say(format_args!("c{conn} connect fails: {}", name(error)));
            connection.fail(world, error);
        });
    }

    /// A SYN comes to its host.
    fn syn(&mut self, conn: u32, attempt: u32) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let (from, to) =
            (connection.end(Side::Client).address, connection.end(Side::Server).address);
        let delay = self.world.links.get(from.ip(), to.ip()).delay;
        let now = self.world.queue.now();
        let cut = self.world.troubles.cut(Some(conn), from.ip(), to.ip(), now).is_some();
        let listener = self.listener_at(to);
        if !cut && (self.world.troubles.refuses(conn) || listener.is_none()) {
            self.world.say(format_args!("c{conn} server> RST to the SYN"));
            return self.world.queue.after(delay, Event::Refused { conn });
        }
        let room = listener.and_then(|listener| match self.sockets.get(&listener) {
            Some(Socket::Listener { backlog, queue, .. }) => {
                (queue.len() < *backlog).then_some(listener)
            }
            _ => None,
        });
        match room {
            Some(listener) if !cut => {
                self.with(conn, |connection, _| connection.end_mut(Side::Server).open = true);
                self.world.queue.after(delay, Event::SynAck { conn });
                let done = Event::HandshakeDone { conn, listener };
                self.world.queue.after(delay.saturating_mul(2), done);
            }
            // Lost, or dropped because the backlog is full.
            _ => {
                self.world.say(format_args!("c{conn} SYN lost"));
                let wait = SYN_AGAIN.saturating_mul(1 << attempt.min(SYN_RETRIES));
                let next = if attempt < SYN_RETRIES {
                    Event::Syn { conn, attempt: attempt + 1 }
                } else {
                    Event::GiveUp { conn }
                };
                self.world.queue.after(wait, next);
            }
        }
    }

    /// The handshake is done: the connection waits to be accepted.
    fn handshake_done(&mut self, conn: u32, listener: u32) {
        let client = self.connections.get(&conn);
        if client.is_none_or(|connection| connection.phase == Phase::SynSent) {
            // The client had closed when the answer to its SYN came.
            return self.with(conn, |connection, _| connection.end_mut(Side::Server).open = false);
        }
        match self.sockets.get_mut(&listener) {
            Some(Socket::Listener { queue, .. }) => {
                queue.push_back(conn);
                self.world.wake(Some(listener), Interest::Read);
            }
            _ => self.with(conn, |connection, world| connection.abort(world)),
        }
    }
}

impl Model for Network {
    fn now(&self) -> Duration {
        self.world.queue.now()
    }

    fn next_event(&self) -> Option<Duration> {
        self.world.queue.next()
    }

    fn advance(&mut self, until: Duration) {
        while let Some(event) = self.world.queue.pop(until) {
            self.happen(event);
        }
    }

    fn take_woken(&mut self) -> Vec<(u32, Interest)> {
        std::mem::take(&mut self.world.woken)
    }

    fn listen(&mut self, address: SocketAddr, backlog: usize) -> Result<u32, Errno> {
        let address = self.port(address)?;
        if self.listener_at(address).is_some() {
            return Err(Errno::ADDRINUSE);
        }
        self.world.say(format_args!("listen {address}"));
        let backlog = backlog.max(1);
        Ok(self.socket(Socket::Listener { address, backlog, queue: VecDeque::new() }))
    }

    fn accept(&mut self, listener: u32) -> Result<u32, Errno> {
        let conn = match self.sockets.get_mut(&listener) {
            Some(Socket::Listener { queue, .. }) => queue.pop_front().ok_or(Errno::AGAIN)?,
            Some(_) => return Err(Errno::INVAL),
            None => return Err(Errno::BADF),
        };
        let socket = self.socket(Socket::End { conn, side: Side::Server });
        self.world.say(format_args!("c{conn} server accept"));
        self.with(conn, |connection, _| connection.end_mut(Side::Server).socket = Some(socket));
        Ok(socket)
    }

    fn connect(&mut self, from: IpAddr, to: SocketAddr) -> Result<u32, Errno> {
        if from.is_ipv4() != to.is_ipv4() {
            return Err(Errno::AFNOSUPPORT);
        }
        let local = self.port(SocketAddr::new(from, 0))?;
        let conn = self.next_connection;
        self.next_connection += 1;
        let link = self.world.links.get(from, to.ip());
        let mut connection = Connection::new(conn, local, to, link, self.world.seed);
        let socket = self.socket(Socket::End { conn, side: Side::Client });
        let end = connection.end_mut(Side::Client);
        (end.socket, end.open) = (Some(socket), true);
        self.connections.insert(conn, connection);
        self.world.say(format_args!("c{conn} connect {local} > {to}"));
        self.world.queue.after(link.delay, Event::Syn { conn, attempt: 0 });
        Ok(socket)
    }

    fn connected(&mut self, socket: u32) -> Result<(), Errno> {
        let (_, connection, _) = self.end(socket)?;
        connection.connected()
    }

    fn send(&mut self, socket: u32, bytes: &[u8]) -> Result<usize, Errno> {
        let (world, connection, side) = self.end(socket)?;
        connection.send(world, side, bytes)
    }

    fn recv(&mut self, socket: u32, room: &mut [u8]) -> Result<usize, Errno> {
        let (world, connection, side) = self.end(socket)?;
        connection.recv(world, side, room)
    }

    fn shutdown_write(&mut self, socket: u32) -> Result<(), Errno> {
        let (world, connection, side) = self.end(socket)?;
        connection.shutdown_write(world, side)
    }

    fn reset(&mut self, socket: u32) -> Result<(), Errno> {
        let (world, connection, side) = self.end(socket)?;
        connection.reset_by(world, side);
        Ok(())
    }

    fn bind_datagram(&mut self, address: SocketAddr) -> Result<u32, Errno> {
        let address = self.port(address)?;
        if self.datagrams.is_bound(address) {
            return Err(Errno::ADDRINUSE);
        }
        let socket = self.socket(Socket::Datagram { address });
        self.datagrams.bind(address, socket);
        self.world.say(format_args!("bind {address}"));
        Ok(socket)
    }

    fn connect_datagram(&mut self, socket: u32, peer: SocketAddr) -> Result<(), Errno> {
        match self.sockets.get(&socket) {
            Some(Socket::Datagram { address }) => {
                self.datagrams.connect(*address, peer);
                Ok(())
            }
            Some(_) => Err(Errno::OPNOTSUPP),
            None => Err(Errno::BADF),
        }
    }

    fn send_to(&mut self, socket: u32, bytes: &[u8], to: SocketAddr) -> Result<usize, Errno> {
        match self.sockets.get(&socket) {
            Some(Socket::Datagram { address }) => {
                self.datagrams.send(&mut self.world, *address, to, bytes)
            }
            Some(_) => Err(Errno::OPNOTSUPP),
            None => Err(Errno::BADF),
        }
    }

    fn recv_from(&mut self, socket: u32, room: usize, peek: bool) -> Result<Received, Errno> {
        match self.sockets.get(&socket) {
            Some(Socket::Datagram { address }) => {
                let received = self.datagrams.recv(&mut self.world, *address, room, peek);
                received.ok_or(Errno::AGAIN)
            }
            Some(_) => Err(Errno::OPNOTSUPP),
            None => Err(Errno::BADF),
        }
    }

    fn close(&mut self, socket: u32) {
        match self.sockets.remove(&socket) {
            Some(Socket::End { conn, side }) => {
                self.with(conn, |connection, world| connection.close(world, side));
            }
            Some(Socket::Listener { address, queue, .. }) => {
                self.world.say(format_args!("close {address}"));
                for conn in queue {
                    self.with(conn, |connection, world| connection.abort(world));
                }
            }
            Some(Socket::Datagram { address }) => {
                self.world.say(format_args!("close {address}"));
                self.datagrams.close(address);
            }
            None => {}
        }
    }

    fn addresses(&self, socket: u32) -> Result<(SocketAddr, Option<SocketAddr>), Errno> {
        match self.sockets.get(&socket) {
            Some(Socket::End { conn, side }) => {
                let connection = self.connections.get(conn).ok_or(Errno::NOTCONN)?;
                let of = |side| connection.end(side).address;
                Ok((of(*side), Some(of(side.other()))))
            }
            Some(Socket::Listener { address, .. }) => Ok((*address, None)),
            Some(Socket::Datagram { address }) => Ok((*address, self.datagrams.peer(*address))),
            None => Err(Errno::BADF),
        }
    }

    fn describe(&self, socket: u32) -> String {
        match self.sockets.get(&socket) {
            Some(Socket::End { conn, side }) => format!("c{conn} {side}"),
            Some(Socket::Listener { address, .. }) => format!("listener {address}"),
            Some(Socket::Datagram { address }) => format!("datagrams {address}"),
            None => "a closed socket".to_owned(),
        }
    }
}

fn name(error: Errno) -> &'static str {
    match error {
        Errno::CONNREFUSED => "ECONNREFUSED",
        Errno::TIMEDOUT => "ETIMEDOUT",
        _ => "an error",
    }
}
