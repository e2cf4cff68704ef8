//! Keeps the first units of each connection as they were captured, until it is drawn.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sockeye_engine::Address;
use sockeye_engine::probe::{ConnId, Direction, Stamp};

use super::letters::{Letter, Named, Part, Post, Slip};
use super::tap::{Begun, Seen, Tap};
use crate::capture::Packet;
use crate::datagram::DatagramHistory;
use crate::frame::Frame;
use crate::record::History;
use crate::timeline::index;

/// So many bytes of a unit are kept: all of most, and the headers and messages of the largest.
const BYTES_KEPT: usize = 4096;

/// So many bytes are kept of all connections that are open.
const BYTES_OF_ALL: usize = 16 << 20;

/// Connections that ended and wait to be drawn; more wait nowhere.
const WAITING: usize = 128;

/// The first units with payload of each connection, each way.
///
/// Its [`tap`](Frames::tap) is shown whole packets ([`Snap::Whole`](crate::capture::Snap)); whoever
/// draws a connection takes what there is of it.
#[derive(Clone, Default)]
pub struct Frames(Arc<Mutex<Ended>>, Arc<Mutex<Closed>>);

/// What waits to be drawn, the oldest first.
type Ended = VecDeque<(Key, Vec<Frame>)>;

/// Likewise of sockets of datagrams.
type Closed = VecDeque<(ConnId, Vec<(Frame, Option<Named>)>)>;

/// What a connection that has ended is known by.
type Key = (Address, Address, Option<Stamp>);

impl Frames {
    /// Keeps the first `units` each way of every connection.
    #[must_use]
    pub fn tap(&self, units: usize) -> Box<dyn Tap> {
        Box::new(Keeper {
            units,
            packet: None,
            open: HashMap::new(),
            kept: 0,
            refused: 0,
            ports: [HashSet::new(), HashSet::new()],
            post: Post::default(),
            letters: HashMap::new(),
            ended: self.clone(),
        })
    }

    /// What was kept of a connection that has ended, in the order of time; nothing a second time.
    #[must_use]
    pub fn take(&self, history: &History) -> Vec<Frame> {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(history);
        let place = ended.iter().position(|(other, _)| *other == key);
        place.and_then(|place| ended.remove(place)).map(|(_, frames)| frames).unwrap_or_default()
    }

    /// What was kept of a socket of datagrams that was closed, in the order of time, each with what the
    /// program knows of it; nothing a second time.
    #[must_use]
    pub fn take_datagrams(&self, history: &DatagramHistory) -> Vec<(Frame, Option<Named>)> {
        let mut closed = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let place = closed.iter().position(|(conn, _)| *conn == history.conn);
        place.and_then(|place| closed.remove(place)).map(|(_, units)| units).unwrap_or_default()
    }

    fn put(&self, history: &History, frames: Vec<Frame>) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() == WAITING {
            ended.pop_front();
        }
        ended.push_back((key(history), frames));
    }
}

fn key(history: &History) -> Key {
    let first = history.course.span.map(|(first, _)| first);
    (history.local.clone(), history.peer.clone(), first)
}

/// The tap.
struct Keeper {
    /// How many each way.
    units: usize,
    /// The packet that was seen last, if it has payload.
    packet: Option<Frame>,
    open: HashMap<u64, Open>,
    /// Bytes of all that is kept.
    kept: usize,
    /// Units there was no room for.
    refused: u64,
    /// Ports of UDP, our own and those of peers.
    ports: [HashSet<u16>; 2],
    post: Post,
    /// Packets of datagrams, by the port of the end that may be ours and the way.
    letters: HashMap<(u16, Direction), Vec<Kept>>,
    ended: Frames,
}

/// A packet of a datagram.
struct Kept {
    frame: Frame,
    letter: Letter,
    slips: Vec<Slip>,
}

/// What is kept of a connection that is open.
#[derive(Default)]
struct Open {
    frames: Vec<Frame>,
    /// How many of them were received and sent.
    count: [usize; 2],
}

impl Keeper {
    fn keep(&mut self, track: u64, direction: Direction) {
        let Some(frame) = self.packet.take() else { return };
        let open = self.open.entry(track).or_default();
        let count = &mut open.count[index(direction)];
        if *count == self.units {
            return;
        }
        if self.kept + frame.bytes.len() > BYTES_OF_ALL {
            self.refused += 1;
            return;
        }
        *count += 1;
        self.kept += frame.bytes.len();
        open.frames.push(frame);
    }

    fn begun(&mut self, begun: &Begun<'_>) {
        let ports = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::port).collect();
        self.ports = [ports(begun.datagrams), ports(begun.datagram_peers)];
    }

    fn unit(&mut self, packet: &Packet<'_>, letter: &Letter) {
        let slips = self.post.packet(packet.at, letter);
        let [ours, theirs] = &self.ports;
        let (from, to) = (letter.source.port(), letter.destination.port());
        let mut sent = ours.contains(&from) || theirs.contains(&to);
        let mut received = ours.contains(&to) || theirs.contains(&from);
        if letter.part == Part::Error {
            // It goes the other way than what it quotes, but belongs to the socket that sent that.
            (sent, received) = (sent, received && !sent);
        }
        for (is, way, port) in [(sent, Direction::Sent, from), (received, Direction::Received, to)]
        {
            let kept = self.letters.entry((port, way)).or_default();
            let same_kind = |one: &&Kept| match letter.part {
                Part::Error => one.letter.part == Part::Error,
                _ => matches!(one.letter.part, Part::Whole | Part::First),
            };
            let wanted = match letter.part {
                Part::Rest(_) => {
                    let first = Letter { part: Part::First, ..*letter };
                    kept.iter().any(|one| one.letter == first)
                }
                _ => kept.iter().filter(same_kind).count() < self.units,
            };
            if !is || !wanted {
                if kept.is_empty() {
                    self.letters.remove(&(port, way));
                }
                continue;
            }
            let frame = frame(packet);
            if self.kept + frame.bytes.len() > BYTES_OF_ALL {
                self.refused += 1;
                continue;
            }
            self.kept += frame.bytes.len();
            kept.push(Kept { frame, letter: *letter, slips: slips.clone() });
        }
    }

    fn socket_ended(&mut self, history: &DatagramHistory) {
        let Some(local) = history.local.ip() else { return };
        let mut units = Vec::new();
        for way in [Direction::Received, Direction::Sent] {
            let kept = self.letters.remove(&(local.port(), way)).unwrap_or_default();
            self.kept -= kept.iter().map(|one| one.frame.bytes.len()).sum::<usize>();
            let of_it = kept.into_iter().filter(|one| {
                let end = match way {
                    Direction::Received => one.letter.destination.ip(),
                    Direction::Sent => one.letter.source.ip(),
                };
                let local = local.ip().to_canonical();
                local.is_unspecified() || local == end || end.is_multicast()
            });
            units.extend(of_it.map(|one| {
                let named = one.slips.iter().filter(|slip| slip.direction() == way);
                let named = named.filter_map(|slip| self.post.name(slip)).next();
                (one.frame, named)
            }));
        }
        units.sort_by_key(|(frame, _)| frame.at);
        let mut closed = self.ended.1.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.len() == WAITING {
            closed.pop_front();
        }
        closed.push_back((history.conn, units));
    }

    fn remove(&mut self, track: u64) -> Vec<Frame> {
        let frames = self.open.remove(&track).unwrap_or_default().frames;
        self.kept -= frames.iter().map(|frame| frame.bytes.len()).sum::<usize>();
        frames
    }
}

impl Tap for Keeper {
    fn sees(&mut self, seen: &Seen<'_>) {
        if let Seen::SocketEnded(history) = *seen {
            self.socket_ended(history);
        }
        self.post.sees(seen);
        match *seen {
            Seen::Begun(begun) => self.begun(begun),
            Seen::Unit(packet, letter) => self.unit(packet, letter),
            Seen::Packet(packet, segment) => {
                let carries = segment.is_some_and(|segment| segment.payload > 0);
                self.packet = carries.then(|| frame(packet));
            }
            Seen::Segment { track, direction, .. } => self.keep(track, direction),
            Seen::Over { track, forgotten: true } => drop(self.remove(track)),
            Seen::Ended { track, history } => {
                let frames = self.remove(track);
                if !frames.is_empty() {
                    self.ended.put(history, frames);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self) -> Option<String> {
        let units = self.refused;
        (units > 0).then(|| {
            format!(
                "eye: --layers: {units} units were not kept: more than 16 MiB of them were open"
            )
        })
    }
}

fn frame(packet: &Packet<'_>) -> Frame {
    let link_header = packet.frame.len().saturating_sub(packet.bytes.len());
    Frame {
        at: packet.at,
        link: packet.link,
        bytes: packet.frame[..packet.frame.len().min(BYTES_KEPT)].to_vec(),
        length: usize::try_from(packet.length).unwrap_or(usize::MAX).saturating_add(link_header),
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Frames").field("ended", &ended.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use sockeye_engine::probe::Role;
    use sockeye_wire::packet::{Link, Segment};
    use sockeye_wire::tcp::{Flags, Seq};

    use super::*;
    use crate::timeline::Timeline;

    fn see(tap: &mut dyn Tap, track: u64, direction: Direction, payload: u32, at: u64) {
        let bytes = [7; 5000];
        let address = ([127, 0, 0, 1], 1).into();
        let packet = Packet {
            at: Stamp(at),
            interface: 1,
            outgoing: false,
            length: 4986,
            bytes: &bytes[14..],
            frame: &bytes,
            link: Link::Ethernet,
        };
        let segment = Segment {
            source: address,
            destination: address,
            seq: Seq(0),
            ack: Seq(0),
            flags: Flags::ACK,
            window: 0,
            payload,
            window_scale: None,
            mss: None,
            sack: None,
        };
        tap.sees(&Seen::Packet(&packet, Some(&segment)));
        tap.sees(&Seen::Segment { track, at: Stamp(at), direction, segment: &segment });
    }

    fn history() -> History {
        let [local, peer] = [1, 2].map(|port| ([127, 0, 0, 1], port).into());
        Timeline::new(Role::Server, local, peer, 8).into_history()
    }

    #[test]
    fn the_first_units_with_payload_are_kept_each_way_until_they_are_taken() {
        let frames = Frames::default();
        let mut tap = frames.tap(2);
        for at in 0..9 {
            let direction = if at % 3 == 0 { Direction::Sent } else { Direction::Received };
            see(&mut *tap, 7, direction, u32::from(at > 1), at);
        }
        see(&mut *tap, 8, Direction::Sent, 1, 99);
        tap.sees(&Seen::Over { track: 7, forgotten: false });
        let history = history();
        tap.sees(&Seen::Ended { track: 7, history: &history });
        let taken = frames.take(&history);
        let stamps: Vec<u64> = taken.iter().map(|frame| frame.at.0).collect();
        assert_eq!(stamps, [2, 3, 4, 6]);
        assert_eq!((taken[0].bytes.len(), taken[0].length), (BYTES_KEPT, 5000));
        assert!(frames.take(&history).is_empty());
    }

    #[test]
    fn what_is_forgotten_or_never_drawn_takes_no_room() {
        let frames = Frames::default();
        let mut tap = frames.tap(1);
        let room = u64::try_from(BYTES_OF_ALL / BYTES_KEPT).unwrap();
        for track in 0..room + 3 {
            see(&mut *tap, track, Direction::Sent, 1, 0);
        }
        for track in 0..room {
            tap.sees(&Seen::Over { track, forgotten: true });
        }
        see(&mut *tap, room + 9, Direction::Sent, 1, 0);
        let history = history();
        for _ in 0..2 * WAITING {
            see(&mut *tap, 1, Direction::Sent, 1, 0);
            tap.sees(&Seen::Ended { track: 1, history: &history });
        }
        assert_eq!(frames.0.lock().unwrap().len(), WAITING);
        let said = tap.finish().unwrap();
        assert!(said.starts_with("eye: --layers: 3 units were not kept"), "{said}");
    }
}
