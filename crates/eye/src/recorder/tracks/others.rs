//! Connections of other programs: nobody tells of them but packets and the kernel.
//!
//! Which end is the server is told by the SYN. Of a connection that was open before anybody looked
//! it is taken to be the end that was asked for; if both ends were, the one with the lower port.
//!
//! The kernel's list of sockets (sock_diag(7)) tells which are open already, and which are gone
//! though no packet said so. Without packets it is the only source.

use std::collections::HashSet;
use std::net::SocketAddr;

use sockeye_engine::probe::{Direction, Role, Stamp};
use sockeye_wire::packet::Segment;
use sockeye_wire::tcp::State;

use super::super::slab::Name;
use super::address::{Listener, Tuple};
use super::track::{Listed, Track};
use super::{MAX_CONNECTIONS, Tracks};
use crate::kernel::{SocketSeen, uncount_syn};

impl Tracks {
    /// Takes packets to and from this address for those of other programs' connections.
    pub(in super::super) fn look_on(&mut self, address: SocketAddr) {
        let other = Listener::of(address);
        if !self.others.contains(&other) {
            self.others.push(other);
        }
    }

    /// Takes in a segment if it is of a connection that is looked on at.
    pub(super) fn segment_of_others(&mut self, at: Stamp, interface: u32, segment: &Segment) {
        let Some((server, client)) = self.ends_of_others(segment) else { return };
        let direction = match segment.destination == server {
            true => Direction::Received,
            false => Direction::Sent,
        };
        let tuple = Tuple::new(server, client);
        let begins = segment.flags.syn() && !segment.flags.ack();
        let known = self.by_tuple.get(&tuple).copied();
        let name = match known {
            Some(name) if begins && direction == Direction::Received => {
                let isn = Some(segment.seq.0);
                let track = self.tracks.get(name);
                // Listed before its SYN came out of the ring, it has no number yet.
                let same = track.is_some_and(|track| !track.seen || track.client_isn == isn);
                if same {
                    Some(name)
                } else {
                    // The ports are used again, so the former connection is over for both.
                    self.end(name);
                    let name = self.begin_of_others(server, client);
                    if let Some(track) = name.and_then(|name| self.tracks.get_mut(name)) {
                        track.succeeds = true;
                    }
                    name
                }
            }
            Some(name) => Some(name),
            // Answered with RST, or the last word on a connection that nobody saw.
            None if segment.flags.rst() => return,
            None => self.begin_of_others(server, client),
        };
        let keep = self.keep_last;
        let Some(name) = name else {
            self.unwatched += u64::from(begins);
            return;
        };
        let Some(track) = self.tracks.get_mut(name) else { return };
        if begins && direction == Direction::Received {
            track.client_isn = Some(segment.seq.0);
        }
        if track.segment(at, direction, interface, segment, keep) {
            self.journal.placed(name.serial(), direction);
        }
        if track.is_news_that_it_is_over() {
            self.over.push(name);
        }
    }

    /// The server's address and the client's; `None` if it is of none that are looked on at.
    fn ends_of_others(&self, segment: &Segment) -> Option<(SocketAddr, SocketAddr)> {
        let (source, destination) = (segment.source, segment.destination);
        let asked = |address| self.others.iter().any(|other| other.is_at(address));
        let (from, to) = (asked(source), asked(destination));
        if !from && !to {
            return None;
        }
        let (arriving, leaving) = ((destination, source), (source, destination));
        let known = |(server, client)| self.by_tuple.contains_key(&Tuple::new(server, client));
        let flags = segment.flags;
        // Of two ends that open at once, the second SYN belongs to what the first one began.
        if known(leaving) && !self.is_over(leaving) {
            return Some(leaving);
        }
        if known(arriving) && !self.is_over(arriving) {
            return Some(arriving);
        }
        match (flags.syn(), flags.ack()) {
            (true, false) => return Some(arriving),
            (true, true) => return Some(leaving),
            _ if known(leaving) => return Some(leaving),
            _ if known(arriving) => return Some(arriving),
            _ => {}
        }
        Some(self.guessed(source, destination))
    }

    /// The server's address and the client's, where nothing shows which is which.
    fn guessed(&self, one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
        let asked = |address| self.others.iter().any(|other| other.is_at(address));
        match (asked(one), asked(other)) {
            (true, false) => (one, other),
            (false, true) => (other, one),
            _ if one.port() < other.port() => (one, other),
            _ => (other, one),
        }
    }

    /// Takes in a list of all sockets at the addresses that are looked on at.
    pub(in super::super) fn listed(&mut self, at: Stamp, sockets: &[SocketSeen]) {
        // What is in this list is told so; what is still as it was after it is in it no more.
        let mut there = HashSet::new();
        for socket in sockets {
            let (local, peer) = (socket.local, socket.peer);
            let ours = [local, peer];
            if socket.state == State::Listen
                || !ours.iter().any(|end| self.others.iter().any(|other| other.is_at(*end)))
            {
                continue;
            }
            let known = |ends: (SocketAddr, SocketAddr)| {
                self.by_tuple.get(&Tuple::new(ends.0, ends.1)).copied()
            };
            let (name, server) = match (known((local, peer)), known((peer, local))) {
                (Some(name), _) => (Some(name), local),
                (None, Some(name)) => (Some(name), peer),
                // What only waits for its end to be forgotten was over before.
                (None, None) if matches!(socket.state, State::TimeWait | State::Closed) => continue,
                (None, None) => {
                    let (server, client) = self.guessed(local, peer);
                    (self.begin_of_others(server, client), server)
                }
            };
            let Some(name) = name else { continue };
            let capturing = self.capturing;
            let Some(track) = self.tracks.get_mut(name).filter(|track| !track.closed) else {
                continue;
            };
            let end = if local == server { Role::Server } else { Role::Client };
            track.take_in();
            let timeline = track.timeline_mut();
            if !capturing {
                timeline.without_packets();
            }
            let mut facts = socket.facts.clone();
            uncount_syn(&mut facts, end);
            let received = facts.bytes_received.unwrap_or(0);
            timeline.told(end, socket.state, at, received, facts.bytes_acked.unwrap_or(0));
            if socket.state != State::TimeWait {
                there.insert(name);
            }
        }
        let mut gone = Vec::new();
        for (name, track) in self.tracks.iter_mut().filter(|(_, track)| track.neutral) {
            track.listed = match track.listed {
                _ if there.contains(&name) => Listed::Now,
                Listed::Now => Listed::NoMore,
                // Twice not there: by now its last packets would have come.
                Listed::NoMore if !track.closed => {
                    gone.push(name);
                    Listed::NotYet
                }
                before => before,
            };
        }
        for name in gone {
            if let Some(track) = self.tracks.get_mut(name) {
                track.gone(at);
                self.over.push(name);
            }
        }
    }

    /// Nobody looks on any more: what is open is told as far as it came.
    pub(in super::super) fn end_of_looking_on(&mut self, at: Stamp) {
        let open = self.tracks.iter_mut().filter(|(_, track)| track.neutral);
        let open: Vec<Name> = open.map(|(name, _)| name).collect();
        for name in open {
            if let Some(track) = self.tracks.get_mut(name) {
                track.take_in();
                track.timeline_mut().looked_at(at);
            }
            self.end(name);
        }
    }

    fn is_over(&self, (server, client): (SocketAddr, SocketAddr)) -> bool {
        let name = self.by_tuple.get(&Tuple::new(server, client));
        name.and_then(|name| self.tracks.get(*name)).is_none_or(|track| track.closed)
    }

    /// `None` if too many are open.
    fn begin_of_others(&mut self, server: SocketAddr, client: SocketAddr) -> Option<Name> {
        if self.tracks.len() >= MAX_CONNECTIONS {
            return None;
        }
        self.saw_others = true;
        let timeline = self.timeline(Role::Server, server.into(), client.into()).of_others();
        let tuple = Tuple::new(server, client);
        let name = self.insert(Track::new(Some(tuple), Role::Server, timeline, self.dropped));
        self.make_newest(name, tuple);
        Some(name)
    }
}
