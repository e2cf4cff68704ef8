//! One connection of the pipe model: two ordered byte pipes, FIN each way, RST.
//!
//! What an end is told follows what Linux tells (`tcp_reset`, `tcp_recvmsg`): unread bytes can be
//! read after an RST; whoever asks first then gets `ECONNRESET`, the next reader the end of the
//! stream and the next writer `EPIPE`. Closing with unread bytes sends RST instead of FIN.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::fault::{CallFault, SegmentFault, Side};
use super::link::Link;
use super::model::Interest;
use super::network::{Event, World};
use super::random::{Purpose, Random};
use super::transcript::digest;
use super::trouble::CallKind;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u32,
    pub(crate) phase: Phase,
    link: Link,
    client: End,
    server: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The client waits for an answer to its SYN.
    SynSent,
    /// The client has it, or the connection ended since.
    Established,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) address: SocketAddr,
    /// The socket by which a task knows it; None for one not yet accepted.
    pub(crate) socket: Option<u32>,
    /// Not closed. The server's is open from when its kernel has answered.
    pub(crate) open: bool,
    /// An RST came, or connecting failed.
    dead: bool,
    /// What the next call is told.
    error: Option<Errno>,
    /// No room to send before this, by a fault.
    stalled: Duration,
    writes: u32,
    reads: u32,
    sends: Pipe,
}

/// One direction.
#[derive(Debug)]
struct Pipe {
    /// How much the sender may still hand over.
    room: usize,
    /// On their way, in order.
    wire: VecDeque<Segment>,
    /// There is an event for the first of them.
    moving: bool,
    unread: VecDeque<u8>,
    fin: Fin,
    busy_until: Duration,
    last_arrival: Duration,
    segments: u32,
    sent: u64,
    arrived: u64,
    read: u64,
    jitter: Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    No,
    Sent,
    Arrived,
}

#[derive(Debug)]
struct Segment {
    arrival: Duration,
    what: Carried,
}

#[derive(Debug)]
enum Carried {
    Bytes(Vec<u8>),
    Fin,
    Rst,
    /// The RST of a fault, which comes to both ends.
    RstBothWays,
}

impl Connection {
    pub(crate) fn new(
        number: u32,
        client: SocketAddr,
        server: SocketAddr,
        link: Link,
        seed: u64,
    ) -> Connection {
        let end = |address, direction| {
            let jitter = Random::new(seed, Purpose::Network(u64::from(number) << 1 | direction));
            End {
                address,
                socket: None,
                open: false,
                dead: false,
                error: None,
                stalled: Duration::ZERO,
                writes: 0,
                reads: 0,
                sends: Pipe::new(link.buffer.max(1), jitter),
            }
        };
        let (client, server) = (end(client, 0), end(server, 1));
        Connection { number, phase: Phase::SynSent, link, client, server }
    }

    pub(crate) fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(crate) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Both ends are closed and nothing is on its way.
    pub(crate) fn is_over(&self) -> bool {
        [Side::Client, Side::Server]
            .into_iter()
            .all(|side| !self.end(side).open && self.end(side).sends.wire.is_empty())
    }

    /// `AGAIN` while the client waits for the answer to its SYN.
    pub(crate) fn connected(&mut self) -> Result<(), Errno> {
        match (self.client.error.take(), self.phase) {
            (Some(error), _) => Err(error),
            (None, Phase::SynSent) => Err(Errno::AGAIN),
            (None, Phase::Established) => Ok(()),
        }
    }

    /// Connecting came to nothing.
    pub(crate) fn fail(&mut self, world: &mut World, error: Errno) {
        self.phase = Phase::Established;
        self.client.dead = true;
        self.client.error = Some(error);
        world.wake(self.client.socket, Interest::Write);
    }

    pub(crate) fn send(
        &mut self,
        world: &mut World,
        side: Side,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let (number, delay) = (self.number, self.link.delay);
        if self.phase == Phase::SynSent {
            return Err(Errno::AGAIN);
        }
        let now = world.queue.now();
        let end = self.end_mut(side);
        if let Some(error) = end.error.take() {
            return Err(error);
        }
        if end.dead || end.sends.fin != Fin::No {
            return Err(Errno::PIPE);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        if end.stalled > now || end.sends.room == 0 {
            return Err(Errno::AGAIN);
        }
        end.writes += 1;
        let mut count = bytes.len().min(end.sends.room);
        match world.troubles.call(number, side, CallKind::Write, end.writes) {
            Some(CallFault::StalledWrite(time)) => {
                end.stalled = now.saturating_add(time);
                world.queue.at(end.stalled, Event::Unstalled { conn: number, side });
                world.say(format_args!("c{number} {side} write {} finds no room", bytes.len()));
                return Err(Errno::AGAIN);
            }
            Some(CallFault::ShortWrite(most)) if (most as usize) < count => {
                count = most.max(1) as usize;
                end.stalled = now.saturating_add(delay.saturating_mul(2));
                world.queue.at(end.stalled, Event::Unstalled { conn: number, side });
            }
            _ => {}
        }
        let bytes = &bytes[..count];
        let start = end.sends.sent;
        end.sends.sent += count as u64;
        end.sends.room -= count;
        world.say(format_args!(
            "c{number} {side} write {count} [{start}..{}) #{:08x}",
            start + count as u64,
            digest(bytes)
        ));
        let carried = Carried::Bytes(bytes.to_vec());
        self.push(world, side, carried);
        Ok(count)
    }

    pub(crate) fn recv(
        &mut self,
        world: &mut World,
        side: Side,
        room: &mut [u8],
    ) -> Result<usize, Errno> {
        let (number, delay) = (self.number, self.link.delay);
        let from = side.other();
        if self.end(from).sends.unread.is_empty() {
            let fin = self.end(from).sends.fin == Fin::Arrived;
            let end = self.end_mut(side);
            return match end.error {
                _ if fin => Ok(0),
                Some(error) => {
                    end.error = None;
                    Err(error)
                }
                None if end.dead => Ok(0),
                None => Err(Errno::AGAIN),
            };
        }
        let end = self.end_mut(side);
        end.reads += 1;
        let mut most = room.len();
        let short = world.troubles.call(number, side, CallKind::Read, end.reads);
        if let Some(CallFault::ShortRead(short)) = short {
            most = most.min(short.max(1) as usize);
        }
        let pipe = &mut self.end_mut(from).sends;
        let count = pipe.unread.len().min(most);
        for (place, byte) in room.iter_mut().zip(pipe.unread.drain(..count)) {
            *place = byte;
        }
        let start = pipe.read;
        pipe.read += count as u64;
        world.say(format_args!("c{number} {side} read {count} [{start}..{})", pipe.read));
        world.queue.after(delay, Event::Room { conn: number, side: from, count });
        Ok(count)
    }

    pub(crate) fn shutdown_write(&mut self, world: &mut World, side: Side) -> Result<(), Errno> {
        // Both ends have said all: the socket is CLOSED for its owner, TIME-WAIT or not (tcp_shutdown).
        let over = [side, side.other()].into_iter().all(|s| self.end(s).sends.fin == Fin::Arrived);
        if self.phase == Phase::SynSent || self.end(side).dead || over {
            return Err(Errno::NOTCONN);
        }
        if self.end(side).sends.fin == Fin::No {
            world.say(format_args!("c{} {side} shutdown", self.number));
            self.push(world, side, Carried::Fin);
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, world: &mut World, side: Side) {
        let number = self.number;
        let unread = !self.end(side.other()).sends.unread.is_empty();
        let never = self.phase == Phase::SynSent;
        self.end_mut(side.other()).sends.unread.clear();
        let end = self.end_mut(side);
        end.open = false;
        end.socket = None;
        if end.dead || never {
            world.say(format_args!("c{number} {side} close"));
        } else if unread {
            world.say(format_args!("c{number} {side} close with unread bytes"));
            end.dead = true;
            self.push_rst(world, side);
        } else {
            world.say(format_args!("c{number} {side} close"));
            if end.sends.fin == Fin::No {
                self.push(world, side, Carried::Fin);
            }
        }
    }

    /// This end wants no more of it.
    pub(crate) fn reset_by(&mut self, world: &mut World, side: Side) {
        if self.end(side).dead || self.phase == Phase::SynSent {
            return;
        }
        world.say(format_args!("c{} {side} reset", self.number));
        self.end_mut(side).dead = true;
        self.end_mut(side.other()).sends.unread.clear();
        self.push_rst(world, side);
    }

    /// Nobody will accept it: the listener is closed.
    pub(crate) fn abort(&mut self, world: &mut World) {
        world.say(format_args!("c{} nobody accepts it", self.number));
        (self.server.open, self.server.dead) = (false, true);
        self.push_rst(world, Side::Server);
    }

    /// The first segment of what `from` sent may be there.
    pub(crate) fn arrive(&mut self, world: &mut World, from: Side) {
        let (number, delay) = (self.number, self.link.delay);
        let now = world.queue.now();
        let hosts = (self.client.address.ip(), self.server.address.ip());
        let pipe = &mut self.end_mut(from).sends;
        let Some(first) = pipe.wire.front() else {
            pipe.moving = false;
            return;
        };
        let event = Event::Arrive { conn: number, from };
        if first.arrival > now {
            return world.queue.at(first.arrival, event);
        }
        if let Some(until) = world.troubles.cut(Some(number), hosts.0, hosts.1, now) {
            return world.queue.at(until.saturating_add(delay), event);
        }
        let Some(segment) = pipe.wire.pop_front() else { return };
        match pipe.wire.front() {
            Some(next) => world.queue.at(next.arrival, event),
            None => pipe.moving = false,
        }
        self.take_in(world, from, segment.what);
    }

    fn take_in(&mut self, world: &mut World, from: Side, what: Carried) {
        let (number, to) = (self.number, from.other());
        match what {
            Carried::RstBothWays => self.reset(world),
            Carried::Rst => {
                world.say(format_args!("c{number} {from}> RST"));
                self.kill(world, to);
            }
            // Whoever has had an RST hears nothing any more.
            _ if self.end(to).dead && self.end(to).open => {}
            Carried::Bytes(bytes) if !self.end(to).open => {
                world.say(format_args!("c{number} {from}> {} to nobody", bytes.len()));
                // Not once more for what follows it.
                self.end_mut(from).sends.wire.clear();
                if !self.end(to).dead {
                    self.end_mut(to).dead = true;
                    self.push_rst(world, to);
                }
            }
            Carried::Bytes(bytes) => {
                let socket = self.end(to).socket;
                let pipe = &mut self.end_mut(from).sends;
                let start = pipe.arrived;
                pipe.arrived += bytes.len() as u64;
                pipe.unread.extend(&bytes);
                world.say(format_args!("c{number} {from}> [{start}..{})", pipe.arrived));
                world.wake(socket, Interest::Read);
            }
            Carried::Fin => {
                self.end_mut(from).sends.fin = Fin::Arrived;
                world.say(format_args!("c{number} {from}> FIN"));
                world.wake(self.end(to).socket, Interest::Read);
            }
        }
    }

    /// The peer has read, and the sender knows.
    pub(crate) fn room(&mut self, world: &mut World, side: Side, count: usize) {
        let (number, delay) = (self.number, self.link.delay);
        let (one, other) = (self.client.address.ip(), self.server.address.ip());
        let now = world.queue.now();
        if let Some(until) = world.troubles.cut(Some(number), one, other, now) {
            let event = Event::Room { conn: number, side, count };
            return world.queue.at(until.saturating_add(delay), event);
        }
        let end = self.end_mut(side);
        end.sends.room += count;
        world.wake(end.socket, Interest::Write);
    }

    /// An RST out of nowhere, to both ends.
    pub(crate) fn reset(&mut self, world: &mut World) {
        world.say(format_args!("c{} RST both ways, a fault", self.number));
        for side in [Side::Client, Side::Server] {
            self.kill(world, side);
        }
    }

    /// An RST came to this end.
    fn kill(&mut self, world: &mut World, side: Side) {
        let peer_ended = self.end(side.other()).sends.fin == Fin::Arrived;
        let end = self.end_mut(side);
        end.sends.wire.clear();
        if !end.dead && end.open {
            end.error = Some(if peer_ended { Errno::PIPE } else { Errno::CONNRESET });
        }
        end.dead = true;
        world.wake(end.socket, Interest::Read);
        world.wake(end.socket, Interest::Write);
    }

    /// Sends RST. What would come after it, because it was lost or has not left, never comes.
    fn push_rst(&mut self, world: &mut World, from: Side) {
        let (number, link) = (self.number, self.link);
        let pipe = &mut self.end_mut(from).sends;
        let late = pipe.jitter.micros(link.jitter);
        let arrival = world.queue.now().saturating_add(link.delay).saturating_add(late);
        let before = pipe.wire.len();
        pipe.wire.retain(|segment| segment.arrival <= arrival);
        let lost = before - pipe.wire.len();
        if lost > 0 {
            world.say(format_args!("c{number} {from} loses {lost} segments by its RST"));
        }
        pipe.wire.push_back(Segment { arrival, what: Carried::Rst });
        // An event for a segment that is lost now may come later than this.
        pipe.moving = true;
        world.queue.at(arrival, Event::Arrive { conn: number, from });
    }

    fn push(&mut self, world: &mut World, from: Side, mut what: Carried) {
        let (number, link) = (self.number, self.link);
        let pipe = &mut self.end_mut(from).sends;
        let len = match &what {
            Carried::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        if matches!(what, Carried::Fin) {
            pipe.fin = Fin::Sent;
        }
        let mut late = pipe.jitter.micros(link.jitter);
        pipe.segments += 1;
        match world.troubles.segment(number, from, pipe.segments) {
            Some(SegmentFault::Reset) => what = Carried::RstBothWays,
            Some(SegmentFault::Late(time)) => late = late.saturating_add(time),
            None => {}
        }
        pipe.busy_until = pipe.busy_until.max(world.queue.now()) + link.time_to_send(len);
        let arrival = pipe.busy_until.saturating_add(link.delay).saturating_add(late);
        pipe.last_arrival = pipe.last_arrival.max(arrival);
        let arrival = pipe.last_arrival;
        pipe.wire.push_back(Segment { arrival, what });
        if !pipe.moving {
            pipe.moving = true;
            world.queue.at(arrival, Event::Arrive { conn: number, from });
        }
    }
}

impl Pipe {
    fn new(room: usize, jitter: Random) -> Pipe {
        Pipe {
            room,
            wire: VecDeque::new(),
            moving: false,
            unread: VecDeque::new(),
            fin: Fin::No,
            busy_until: Duration::ZERO,
            last_arrival: Duration::ZERO,
            segments: 0,
            sent: 0,
            arrived: 0,
            read: 0,
            jitter,
        }
    }
}
