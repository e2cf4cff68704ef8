//! What must have come first: moments at one end that cannot be later than others at the other end.
//!
//! A byte is not received before it was sent, nor an acknowledgment before what it acknowledges is
//! there, which its own sender has seen arrive. Only what is certain is used: of what was sent more
//! than once the first time, and only where it is known to be the first.

use std::collections::HashMap;

use sockeye_engine::probe::{Call, Direction, Operation, Stamp};
use sockeye_wire::tcp::Flags;

use super::clock::{End, Order};
use crate::record::{Event, History, Mark, Segment};
use crate::timeline::{index, moved};

/// All that is known of one connection, seen by its client and by its server.
pub(super) fn orders(client: &History, server: &History) -> Vec<Order> {
    let mut orders = Vec::new();
    for first in [End::Client, End::Server] {
        let (sender, receiver) = match first {
            End::Client => (client, server),
            End::Server => (server, client),
        };
        let mut add = |sent: Stamp, received: Stamp| {
            let (client, server) = match first {
                End::Client => (sent, received),
                End::Server => (received, sent),
            };
            orders.push(Order { client, server, first });
        };
        let sent = Sent::of(sender, receiver);
        for event in receiver.events.iter() {
            match event {
                Event::Call(call) => {
                    for at in sent.before_call(call, first).into_iter().flatten() {
                        add(at, call.end);
                    }
                }
                Event::Segment(segment) if segment.direction == Direction::Received => {
                    for at in sent.before_segment(segment).into_iter().flatten() {
                        add(at, segment.at);
                    }
                }
                _ => {}
            }
        }
    }
    orders
}

/// What tells segments with the same content from all others, whoever sees them. The window is no
/// part of it: its scale may not be known.
pub(super) type Key = (u64, u64, u8, Option<(u64, bool)>);

/// The key of a segment.
pub(super) fn key(segment: &Segment) -> Key {
    let flags = [Flags::SYN, Flags::FIN, Flags::RST, Flags::ACK];
    let told = flags.into_iter().filter(|flag| segment.flags.contains(*flag));
    let bits = told.fold(0, |bits, flag| bits | flag.bits());
    let ack = segment.ack.map(|ack| (ack.offset, ack.fin));
    (segment.range.start, segment.range.end, bits, ack)
}

/// Whether both ends count the bytes of a direction from the same place; it is given as the client
/// sees it.
pub(super) fn comparable(client: &History, server: &History, way: Direction) -> bool {
    let here = client.isn[index(way)];
    let there = server.isn[1 - index(way)];
    client.captured && server.captured && here.is_some() && there.is_some()
}

/// When what one end sent can have left at the earliest.
struct Sent {
    /// Of bytes, by segments and by calls: their end, their beginning and when they left, in order.
    segments: Vec<(u64, u64, Stamp)>,
    calls: Vec<(u64, u64, Stamp)>,
    /// Of segments without bytes.
    bare: HashMap<Key, Stamp>,
    /// The first call that asked for the end.
    ended: Option<Stamp>,
    /// When it began to connect.
    connecting: Option<Stamp>,
}

impl Sent {
    fn of(sender: &History, receiver: &History) -> Sent {
        let mut sent = Sent {
            segments: Vec::new(),
            calls: Vec::new(),
            bare: HashMap::new(),
            ended: sender.course.ended_by_us.filter(|_| sender.lost.calls == 0),
            connecting: None,
        };
        // What seems to be the first time may be the second where packets are missing.
        let whole = sender.captured
            && sender.lost.packets == 0
            && sender.isn[index(Direction::Sent)].is_some()
            && (!receiver.captured || receiver.isn[index(Direction::Received)].is_some());
        for event in sender.events.iter() {
            match event {
                Event::Call(call) => {
                    if call.operation == Operation::Connect {
                        sent.connecting.get_or_insert(call.start);
                    }
                    if let Some((Direction::Sent, range)) = moved(call) {
                        sent.calls.push((range.end, range.start, call.start));
                    }
                }
                Event::Segment(segment)
                    if whole && segment.direction == Direction::Sent && is_first(segment) =>
                {
                    if segment.range.is_empty() {
                        let at = sent.bare.entry(key(segment)).or_insert(segment.at);
                        *at = segment.at.min(*at);
                    } else {
                        sent.segments.push((segment.range.end, segment.range.start, segment.at));
                    }
                }
                _ => {}
            }
        }
        sent.segments.sort_unstable();
        sent.calls.sort_unstable();
        sent
    }

    /// What must have happened before this call of the other end returned.
    fn before_call(&self, call: &Call, sender: End) -> [Option<Stamp>; 2] {
        match (call.operation, call.result) {
            (Operation::Accept, Ok(_)) if sender == End::Client => [self.connecting, None],
            (Operation::Recv, Ok(0)) => [self.ended, None],
            (Operation::Recv, Ok(_)) => match moved(call) {
                Some((_, range)) => self.before_byte(range.end),
                None => [None; 2],
            },
            _ => [None; 2],
        }
    }

    /// What must have happened before this segment arrived.
    fn before_segment(&self, segment: &Segment) -> [Option<Stamp>; 2] {
        match segment.range.is_empty() {
            true => [self.bare.get(&key(segment)).copied(), None],
            false => self.before_byte(segment.range.end),
        }
    }

    /// When the byte before this offset can have left at the earliest.
    fn before_byte(&self, end: u64) -> [Option<Stamp>; 2] {
        [&self.segments, &self.calls].map(|sent| {
            let place = sent.partition_point(|(sent, ..)| *sent < end);
            let (_, start, at) = sent.get(place)?;
            (*start < end).then_some(*at)
        })
    }
}

/// Whether nothing with its content was sent before.
fn is_first(segment: &Segment) -> bool {
    let flags = segment.flags;
    let fresh = matches!(segment.mark, Mark::None | Mark::Gap);
    let told = !segment.range.is_empty() || flags.syn() || flags.fin() || flags.rst();
    fresh && (told || segment.ack.is_some_and(|ack| ack.advances))
}
