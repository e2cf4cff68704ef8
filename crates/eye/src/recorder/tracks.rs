//! Which connection a record belongs to, and when a connection has ended.
//!
//! Calls name their connection. Packets have addresses only, and the same four may be used again
//! at once; they come in blocks, tens of milliseconds late, while the handshake precedes accept.
//! So a SYN to one of our listeners begins a track that waits for its accept, or joins one that
//! was accepted already, told by the peer's initial sequence number (`TCP_SAVED_SYN`). A SYN to
//! a peer we connect to begins one that waits for our program to tell of it, or joins it. Whatever
//! else comes with these addresses goes to the newest track of which a SYN was seen.
//!
//! Connections of other programs have packets alone, see [`others`].
//!
//! Pure: time is handed in, nothing is asked of the kernel.

mod address;
mod journal;
mod kernel;
mod look;
mod others;
mod replay;
mod sockets;
mod track;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::iter;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sockeye_engine::Address;
use sockeye_engine::probe::{ConnId, Direction, Opened, Role, Stamp};
use sockeye_wire::packet::Segment;

use super::item::{Item, Records};
use super::slab::{Name, Slab};
use crate::kernel::uncount_syn;
use crate::record::History;
use crate::timeline::Timeline;
use address::{Listener, Tuple};
use journal::Journal;
use kernel::ByEnds;
use sockets::Sockets;
use track::{KeepLast, Track, keep, keep_last};

pub(super) use journal::Fact;
pub(super) use kernel::is_here;
pub(crate) use replay::Replay;
pub(crate) use sockets::MAX_SOCKETS;
pub(super) use track::SmallSegment;

/// The most connections watched at once.
pub(super) const MAX_CONNECTIONS: usize = 16_384;

/// The most connections begun by a SYN and not accepted; beyond it the oldest is forgotten.
const MAX_UNACCEPTED: usize = 4096;

/// So many connections of the same addresses are told apart while their packets are on the way: a
/// peer that resets and comes again at once makes a few dozen, a flood of SYNs any number.
const SAME_ADDRESSES: usize = 64;

/// How long after close the last packets are waited for.
const GRACE: Duration = Duration::from_millis(200);

/// How long after close the kernel is asked what became of it, where no packet tells: long
/// enough for a peer nearby to answer our FIN.
const SETTLE: Duration = Duration::from_millis(20);

/// All connections that are open, not accepted yet, or closed and waiting for their last packets.
#[derive(Debug)]
pub(super) struct Tracks {
    tracks: Slab<Track>,
    by_conn: HashMap<ConnId, Name, BuildHasherDefault<IdHasher>>,
    /// The newest track of these addresses; older ones hang on it.
    by_tuple: HashMap<Tuple, Name, foldhash::fast::RandomState>,
    /// Whose record came last; the next one is most often of the same connection.
    latest: Option<(ConnId, Name)>,
    unaccepted: VecDeque<Name>,
    /// Closed and not finished on the wire, by the time at which waiting ends.
    ending: VecDeque<(Instant, Name)>,
    ended: Vec<(u64, History)>,
    journal: Journal,
    /// Those of datagrams.
    pub(super) sockets: Sockets,
    listeners: Vec<Listener>,
    /// Where connections are made to from here.
    peers: Vec<Listener>,
    /// Where connections of other programs are looked on at.
    others: Vec<Listener>,
    /// Of others, and finished on the wire since time was last told.
    over: Vec<Name>,
    capturing: bool,
    /// How many of the last records are kept of each connection now.
    keep_last: KeepLast,
    /// Packets the kernel dropped so far.
    dropped: u64,
    /// Where ends are looked for, if the kernel tells of them.
    by_ends: Option<ByEnds>,
    /// How often it had no room to tell.
    ends_lost: u64,
    unwatched: u64,
    /// A connection of others was seen.
    saw_others: bool,
}

impl Tracks {
    pub(super) fn new(capturing: bool) -> Tracks {
        Tracks {
            tracks: Slab::new(),
            by_conn: HashMap::default(),
            by_tuple: HashMap::default(),
            latest: None,
            unaccepted: VecDeque::new(),
            ending: VecDeque::new(),
            ended: Vec::new(),
            journal: Journal::default(),
            sockets: Sockets::default(),
            listeners: Vec::new(),
            peers: Vec::new(),
            others: Vec::new(),
            over: Vec::new(),
            capturing,
            keep_last: keep_last(0),
            dropped: 0,
            by_ends: None,
            ends_lost: 0,
            unwatched: 0,
            saw_others: false,
        }
    }

    /// Takes packets to and from this address for ours.
    pub(super) fn listen(&mut self, local: SocketAddr) {
        let listener = Listener::of(local);
        if !self.listeners.contains(&listener) {
            self.listeners.push(listener);
        }
    }

    /// Takes packets to and from this address for those of a peer we connect to.
    pub(super) fn connect_to(&mut self, peer: SocketAddr) {
        let peer = Listener::of(peer);
        if !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
    }

    /// From now on, notes what is found out about which connection is which.
    pub(super) fn keep_journal(&mut self) {
        self.journal.begin();
    }

    /// What was noted since this was last asked, in order.
    pub(super) fn take_facts(&mut self) -> Vec<Fact> {
        self.journal.take()
    }

    /// The kernel dropped so many packets.
    pub(super) fn dropped(&mut self, packets: u64) {
        self.dropped += packets;
    }

    /// Takes in a captured segment.
    pub(super) fn segment(&mut self, at: Stamp, interface: u32, segment: &Segment) {
        // Where both ends are ours, each has its own account.
        for place in [self.of_a_listener(segment), self.of_a_peer(segment)].into_iter().flatten() {
            self.placed(at, interface, segment, place);
        }
        if !self.others.is_empty() {
            self.segment_of_others(at, interface, segment);
        }
    }

    fn placed(
        &mut self,
        at: Stamp,
        interface: u32,
        segment: &Segment,
        (role, tuple, direction): (Role, Tuple, Direction),
    ) {
        let from_client = (role == Role::Server) == (direction == Direction::Received);
        let name = match segment.flags.syn() && !segment.flags.ack() && from_client {
            true => Some(self.track_of_syn(role, tuple, segment)),
            false => self.track_of_segment(tuple),
        };
        let Some(name) = name else { return };
        let Some(track) = self.tracks.get_mut(name) else { return };
        if track.segment(at, direction, interface, segment, self.keep_last) {
            self.journal.placed(name.serial(), direction);
        }
        if track.is_finished() {
            self.end(name);
        }
    }

    /// Takes in the records of a thread that serves.
    pub(super) fn records(&mut self, records: &Records, now: Instant) {
        for item in &records.items {
            self.item(item, records, now);
        }
    }

    /// Takes in one of them.
    pub(super) fn item(&mut self, item: &Item, records: &Records, now: Instant) {
        match item {
            Item::Listening(local) => self.listen(**local),
            Item::Opened(opened) => self.open(&opened.0, opened.1),
            Item::Call(conn, call) => {
                let keep = self.keep_last;
                if let Some(track) = self.of(*conn) {
                    track.call(*conn, *call, keep);
                }
            }
            Item::LargeCall(conn, call) => {
                if let Some(track) = self.of(*conn) {
                    track.large_call(**call);
                }
            }
            Item::Message { conn, .. } => {
                let keep = self.keep_last;
                if let Some(track) = self.of(*conn) {
                    track.message(item, records, keep);
                } else {
                    self.sockets.message(item, records);
                }
            }
            Item::Datagrams(opened) => self.sockets.open(opened),
            Item::Datagram(conn, datagram) => self.sockets.datagram(*conn, &datagram.datagram()),
            Item::Reported(conn, reported) => self.sockets.reported(*conn, &reported.reported()),
            Item::Dropped(conn, datagrams) => self.sockets.dropped(*conn, *datagrams),
            // Packets don't come this way.
            Item::Segment(_) => {}
            Item::Stamp(conn, stamp) => {
                if let Some(track) = self.of(*conn) {
                    track.stamp(*stamp);
                }
            }
            Item::Closing(conn, facts) => {
                if let Some(track) = self.of(*conn) {
                    let mut facts = (**facts).clone();
                    uncount_syn(&mut facts, track.role);
                    track.kernel(facts);
                }
            }
            Item::Closed(conn, at) => self.close(*conn, *at, now),
            Item::Lost(conn, records) => {
                self.sockets.lost(*conn, *records);
                if let Some(track) = self.of(*conn) {
                    track.lost_calls += records;
                }
            }
        }
    }

    /// Ends what has waited long enough for its last packets.
    pub(super) fn expire(&mut self, now: Instant) {
        for name in self.over.drain(..) {
            self.ending.push_back((now + GRACE, name));
        }
        while let Some(&(at, name)) = self.ending.front() {
            let waiting = self.tracks.get(name).is_some();
            if waiting && at > now {
                return;
            }
            self.ending.pop_front();
            if waiting {
                self.end(name);
            }
        }
    }

    /// When [`Tracks::expire`] has something to do.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.ending.front().map(|&(at, _)| at)
    }

    /// Whether some connection is closed and waits for its last packets.
    pub(super) fn is_waiting(&self) -> bool {
        !self.ending.is_empty() || !self.over.is_empty()
    }

    /// What has ended since this was last asked, each with its number.
    pub(super) fn take_ended(&mut self) -> Vec<(u64, History)> {
        std::mem::take(&mut self.ended)
    }

    /// Of each of these that ended, whether a newer one is known that has its addresses.
    pub(super) fn used_again(&self, ended: &[(u64, History)]) -> Vec<bool> {
        let tuple = |history: &History| {
            let serves = history.role == Role::Server;
            Some((serves, Tuple::new(history.local.ip()?, history.peer.ip()?)))
        };
        let mut newest: HashMap<(bool, Tuple), u64> = HashMap::new();
        for (number, history) in ended {
            let Some(tuple) = tuple(history) else { continue };
            let newest = newest.entry(tuple).or_default();
            *newest = (*newest).max(*number);
        }
        let is_newer = |(serves, tuple): (bool, Tuple), number| {
            let open = [
                self.by_tuple.get(&tuple).copied(),
                self.by_ends.as_ref().and_then(|by_ends| *by_ends.get(&tuple)?),
            ];
            let mut open = open.into_iter().flatten().filter(|name| name.serial() > number);
            open.any(|name| {
                self.tracks.get(name).is_some_and(|track| (track.role == Role::Server) == serves)
            }) || newest.get(&(serves, tuple)).is_some_and(|newest| *newest > number)
        };
        let used = |(number, history): &(u64, History)| {
            tuple(history).is_some_and(|tuple| is_newer(tuple, *number))
        };
        ended.iter().map(used).collect()
    }

    /// How many connections were not watched because too many were open.
    pub(super) fn unwatched(&self) -> u64 {
        self.unwatched
    }

    /// Whether connections of others are looked on at, and none was seen.
    pub(super) fn saw_none(&self) -> bool {
        !self.others.is_empty() && !self.saw_others
    }

    /// The peers of the connections that are open.
    pub(super) fn open_peers(&self) -> impl Iterator<Item = &Address> {
        let open = self.tracks.iter().filter(|track| track.conn.is_some() && !track.closed);
        open.map(|track| track.timeline().history().other_end())
    }

    /// Those that began with a SYN to a listener of ours and were not accepted.
    pub(super) fn unaccepted(&self) -> impl Iterator<Item = &History> {
        let waiting = self.unaccepted.iter().filter_map(|name| self.tracks.get(*name));
        let histories = waiting.map(|track| track.timeline().history());
        histories.filter(|history| history.conn.is_none() && history.role == Role::Server)
    }

    fn of(&mut self, conn: ConnId) -> Option<&mut Track> {
        let name = match self.latest {
            Some((latest, name)) if latest == conn => name,
            _ => *self.by_conn.get(&conn)?,
        };
        self.latest = Some((conn, name));
        self.tracks.get_mut(name)
    }

    fn open(&mut self, opened: &Opened, peer_isn: Option<u32>) {
        if self.by_conn.len() >= MAX_CONNECTIONS {
            self.unwatched += 1;
            return;
        }
        let tuple = match (opened.local.ip(), opened.peer.ip()) {
            (Some(local), Some(peer)) => Some((Tuple::new(local, peer), peer)),
            _ => None,
        };
        let captured = self.capturing
            && match opened.role {
                Role::Server => tuple.is_some(),
                Role::Client => tuple.is_some_and(|(_, peer)| self.is_peer(peer)),
            };
        let tuple = tuple.map(|(tuple, _)| tuple).filter(|_| captured);
        let waiting = tuple.and_then(|tuple| self.unaccepted_of(tuple, peer_isn));
        let name = match waiting {
            Some(name) => name,
            None => {
                let (local, peer) = (opened.local.clone(), opened.peer.clone());
                let timeline = self.timeline(opened.role, local, peer);
                let mut track = Track::new(tuple, opened.role, timeline, self.dropped);
                track.client_isn = peer_isn;
                let name = self.insert(track);
                if let Some(tuple) = tuple {
                    self.make_newest(name, tuple);
                }
                name
            }
        };
        self.by_conn.insert(opened.conn, name);
        if let (Some(local), Some(peer)) = (opened.local.ip(), opened.peer.ip()) {
            self.enter_ends(name, local, peer);
        }
        self.journal.joined(name.serial(), opened.conn);
        if let Some(track) = self.tracks.get_mut(name) {
            track.opened(opened, peer_isn);
        }
    }

    fn close(&mut self, conn: ConnId, at: Stamp, now: Instant) {
        if self.sockets.close(conn, at) {
            return;
        }
        let Some(&name) = self.by_conn.get(&conn) else { return };
        let Some(track) = self.tracks.get_mut(name) else { return };
        track.closed(at);
        let captured = track.tuple.is_some();
        if track.is_told() {
            self.end(name);
        } else {
            // Both waits differ, but all connections of a kind wait in order; a queue with both
            // kinds would only let some wait a little longer.
            let wait = if captured { GRACE } else { SETTLE };
            self.ending.push_back((now + wait, name));
        }
    }

    /// Whose segment it is; `None` if it is of none of the peers we connect to.
    fn of_a_peer(&self, segment: &Segment) -> Option<(Role, Tuple, Direction)> {
        let (source, destination) = (segment.source, segment.destination);
        let received = (Role::Client, Tuple::new(destination, source), Direction::Received);
        let sent = (Role::Client, Tuple::new(source, destination), Direction::Sent);
        match (self.is_peer(source), self.is_peer(destination)) {
            (true, false) => Some(received),
            (false, true) => Some(sent),
            (false, false) => None,
            // From one peer's port to another's: what we told of, or began with a SYN.
            (true, true) if self.by_tuple.contains_key(&received.1) => Some(received),
            (true, true) => Some(sent),
        }
    }

    fn is_peer(&self, address: SocketAddr) -> bool {
        self.peers.iter().any(|peer| peer.is_at(address))
    }

    /// Whose segment it is; `None` if it belongs to none of our listeners.
    fn of_a_listener(&self, segment: &Segment) -> Option<(Role, Tuple, Direction)> {
        let (source, destination) = (segment.source, segment.destination);
        let received = (Role::Server, Tuple::new(destination, source), Direction::Received);
        let sent = (Role::Server, Tuple::new(source, destination), Direction::Sent);
        let to_us = self.listeners.iter().any(|listener| listener.is_at(destination));
        let from_us = self.listeners.iter().any(|listener| listener.is_at(source));
        match (to_us, from_us) {
            (true, false) => Some(received),
            (false, true) => Some(sent),
            (false, false) => None,
            // From one listener's port to another's: the end that is known accepted it.
            (true, true) if self.by_tuple.contains_key(&sent.1) => Some(sent),
            (true, true) => Some(received),
        }
    }

    /// The track that this SYN begins, or that began with it.
    fn track_of_syn(&mut self, role: Role, tuple: Tuple, segment: &Segment) -> Name {
        let isn = segment.seq.0;
        // The same SYN once more, or one whose connection was accepted before it came here.
        let known = self.find(tuple, |track| track.client_isn == Some(isn));
        let unknown = || self.find_last(tuple, |track| !track.seen && track.client_isn.is_none());
        if let Some(name) = known.or_else(unknown) {
            if let Some(track) = self.tracks.get_mut(name) {
                track.client_isn = Some(isn);
            }
            return name;
        }
        let (local, peer) = match role {
            Role::Server => (segment.destination, segment.source),
            Role::Client => (segment.source, segment.destination),
        };
        let timeline = self.timeline(role, local.into(), peer.into());
        let mut track = Track::new(Some(tuple), role, timeline, self.dropped);
        track.client_isn = Some(isn);
        let name = self.insert(track);
        self.make_newest(name, tuple);
        self.unaccepted.push_back(name);
        let too_old = self.chain(tuple).nth(SAME_ADDRESSES);
        if let Some((name, _)) = too_old.filter(|(_, track)| track.conn.is_none()) {
            self.forget(name);
        }
        self.forget_the_oldest_unaccepted();
        name
    }

    /// The newest track of which packets were seen, else the newest.
    fn track_of_segment(&self, tuple: Tuple) -> Option<Name> {
        self.find(tuple, |track| track.seen).or_else(|| self.by_tuple.get(&tuple).copied())
    }

    /// The track that waits for this accept.
    fn unaccepted_of(&self, tuple: Tuple, peer_isn: Option<u32>) -> Option<Name> {
        match peer_isn {
            Some(isn) => {
                self.find(tuple, |track| track.conn.is_none() && track.client_isn == Some(isn))
            }
            // The oldest: connections are accepted in the order in which they came.
            None => self.find_last(tuple, |track| track.conn.is_none()),
        }
    }

    /// The newest track of these addresses that is so.
    fn find(&self, tuple: Tuple, so: impl Fn(&Track) -> bool) -> Option<Name> {
        self.recent(tuple).find(|(_, track)| so(track)).map(|(name, _)| name)
    }

    /// The oldest.
    fn find_last(&self, tuple: Tuple, so: impl Fn(&Track) -> bool) -> Option<Name> {
        self.recent(tuple).filter(|(_, track)| so(track)).last().map(|(name, _)| name)
    }

    /// The newest tracks of these addresses.
    fn recent(&self, tuple: Tuple) -> impl Iterator<Item = (Name, &Track)> {
        self.chain(tuple).take(SAME_ADDRESSES)
    }

    /// All tracks of these addresses, the newest first.
    fn chain(&self, tuple: Tuple) -> impl Iterator<Item = (Name, &Track)> {
        let mut newest = self.by_tuple.get(&tuple).copied();
        let mut before: Option<&Track> = None;
        iter::from_fn(move || {
            let name = match before {
                Some(track) => track.older?,
                None => newest.take()?,
            };
            let track = self.tracks.get(name)?;
            before = Some(track);
            Some((name, track))
        })
    }

    fn make_newest(&mut self, name: Name, tuple: Tuple) {
        let older = self.by_tuple.insert(tuple, name);
        if let Some(track) = self.tracks.get_mut(name) {
            track.older = older;
        }
    }

    fn forget_the_oldest_unaccepted(&mut self) {
        while self.unaccepted.len() > MAX_UNACCEPTED {
            let Some(name) = self.unaccepted.pop_front() else { return };
            // Most were accepted meanwhile, or are gone.
            if self.tracks.get(name).is_some_and(|track| track.conn.is_none()) {
                self.forget(name);
            }
        }
    }

    fn end(&mut self, name: Name) {
        let Some(track) = self.remove(name) else { return };
        self.journal.over(name.serial(), false);
        let history = track.into_history(self.dropped, self.ends_lost);
        self.ended.push((name.serial(), history));
    }

    fn forget(&mut self, name: Name) {
        if self.remove(name).is_some() {
            self.journal.over(name.serial(), true);
        }
    }

    /// Takes a track out of everything that leads to it.
    fn remove(&mut self, name: Name) -> Option<Box<Track>> {
        let track = self.tracks.remove(name)?;
        self.keep_last = keep_last(self.tracks.len());
        if let Some(conn) = track.conn {
            self.by_conn.remove(&conn);
            self.leave_ends(name, &track);
        }
        let Some(tuple) = track.tuple else { return Some(track) };
        let newer = self.newer_than(name, tuple);
        match (newer.and_then(|newer| self.tracks.get_mut(newer)), track.older) {
            (Some(newer), older) => newer.older = older,
            (None, _) if self.by_tuple.get(&tuple) != Some(&name) => {}
            (None, Some(older)) => {
                self.by_tuple.insert(tuple, older);
            }
            (None, None) => {
                self.by_tuple.remove(&tuple);
            }
        }
        Some(track)
    }

    fn newer_than(&self, name: Name, tuple: Tuple) -> Option<Name> {
        self.chain(tuple).find(|(_, track)| track.older == Some(name)).map(|(name, _)| name)
    }

    /// Enters a connection; every other one is kept the less of.
    fn insert(&mut self, mut track: Track) -> Name {
        track.ends_lost_before = self.ends_lost;
        self.keep_last = keep_last(self.tracks.len());
        let addresses = self.journal.is_kept().then(|| {
            let history = track.timeline().history();
            (history.local.clone(), history.peer.clone())
        });
        let (role, neutral) = (track.role, track.neutral);
        let name = self.tracks.insert(track);
        if let Some(track) = self.tracks.get_mut(name) {
            track.number(name.serial());
        }
        if let Some((local, peer)) = addresses {
            self.journal.found(name.serial(), role, neutral, local, peer);
        }
        name
    }

    fn timeline(&self, role: Role, local: Address, peer: Address) -> Timeline {
        Timeline::new(role, local, peer, keep(self.tracks.len()))
    }
}

/// Spreads numbers we give out ourselves; what a peer can choose is hashed with a secret.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // 2⁶⁴ divided by the golden ratio (Knuth, The Art of Computer Programming 3, §6.4).
        let spread = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
