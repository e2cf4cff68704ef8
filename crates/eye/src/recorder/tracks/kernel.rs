//! What the kernel tells of connections without their descriptors: samples of queues while they are
//! open, and its last word when it lets go of a socket.

use std::collections::HashMap;
use std::net::SocketAddr;

use sockeye_engine::probe::{Role, Stamp};

use super::super::slab::Name;
use super::Tracks;
use super::address::Tuple;
use super::track::Track;
use crate::kernel::{LetGo, uncount_syn};
use crate::record::{QueueSample, SocketEnd};
use crate::timeline::other;

/// Which connection has these addresses; none where several that are watched have.
pub(super) type ByEnds = HashMap<Tuple, Option<Name>, foldhash::fast::RandomState>;

/// One end of a connection that is open.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct OpenEnd {
    pub(in super::super) name: Name,
    pub(in super::super) role: Role,
    /// Its own address, and the other end's.
    pub(in super::super) addresses: (SocketAddr, SocketAddr),
}

impl Tracks {
    /// The kernel's last words will be told from now on.
    pub(in super::super) fn expect_ends(&mut self) {
        self.by_ends.get_or_insert_default();
    }

    /// Whether a connection is open that has queues.
    pub(in super::super) fn has_open(&self) -> bool {
        self.tracks.iter().any(|track| is_open(track).is_some())
    }

    /// Ends of the connections that are open, ours and those of peers on this machine; of more than
    /// `most` connections those that come after the first `skip`.
    pub(in super::super) fn open_ends(&self, skip: usize, most: usize) -> Vec<OpenEnd> {
        let open = self.tracks.named().filter_map(|(name, track)| {
            let (local, peer) = is_open(track)?;
            Some((name, track.role, local, peer))
        });
        let mut ends = Vec::new();
        for (name, role, local, peer) in open.skip(skip).take(most) {
            ends.push(OpenEnd { name, role, addresses: (local, peer) });
            if is_here(local, peer) {
                ends.push(OpenEnd { name, role: other(role), addresses: (peer, local) });
            }
        }
        ends
    }

    /// Takes in a sample; the connection's number and whether it says something new, unless it says
    /// nothing worth keeping.
    pub(in super::super) fn queue(
        &mut self,
        name: Name,
        sample: QueueSample,
    ) -> Option<(u64, bool)> {
        let track = self.tracks.get_mut(name)?;
        track.queue(sample).map(|new| (name.serial(), new))
    }

    /// Takes in that the kernel has let go of a socket; once for each connection it is an end of.
    pub(in super::super) fn let_go(&mut self, at: Stamp, gone: &LetGo) -> Vec<(u64, SocketEnd)> {
        let find = |local, peer| {
            let tuple = Tuple::new(local, peer);
            let known = self.by_ends.as_ref().and_then(|by_ends| *by_ends.get(&tuple)?);
            known.or_else(|| {
                let name = *self.by_tuple.get(&tuple)?;
                let track = self.tracks.get(name).filter(|track| track.neutral)?;
                // While it is open, it is the end of the one before it that is told.
                (track.closed || !track.succeeds).then_some(name)
            })
        };
        let (ours, theirs) = (find(gone.local, gone.peer), find(gone.peer, gone.local));
        let mut told = Vec::new();
        for (name, is_ours) in [(ours, true), (theirs, false)] {
            let Some(name) = name else { continue };
            let Some(track) = self.tracks.get_mut(name) else { continue };
            let end = if is_ours { track.role } else { other(track.role) };
            let mut facts = gone.facts.clone();
            uncount_syn(&mut facts, end);
            let end = SocketEnd { at, end, facts };
            track.let_go(end.clone(), is_ours);
            told.push((name.serial(), end));
            if track.is_told() && is_ours {
                self.end(name);
            }
        }
        told
    }

    /// The kernel had no room to tell of so many.
    pub(in super::super) fn ends_lost(&mut self, times: u64) {
        self.ends_lost += times;
        if times > 0 {
            // Whose they were is not known: nobody waits for them any more.
            for (_, track) in self.tracks.iter_mut() {
                track.expects_end = false;
            }
        }
    }

    /// A connection has these addresses from now on.
    pub(super) fn enter_ends(&mut self, name: Name, local: SocketAddr, peer: SocketAddr) {
        let Some(by_ends) = &mut self.by_ends else { return };
        let tuple = Tuple::new(local, peer);
        let before = by_ends.get(&tuple).copied();
        by_ends.insert(tuple, before.is_none().then_some(name));
        if let Some(track) = self.tracks.get_mut(name) {
            track.expects_end = before.is_none();
        }
        // Whose the next word is can't be told any more: nobody waits for it.
        if let Some(Some(before)) = before
            && let Some(track) = self.tracks.get_mut(before)
        {
            track.expects_end = false;
            if track.is_told() {
                self.end(before);
            }
        }
    }

    /// It has them no more.
    pub(super) fn leave_ends(&mut self, name: Name, track: &Track) {
        let Some(by_ends) = &mut self.by_ends else { return };
        let history = track.timeline().history();
        if let (Some(local), Some(peer)) = (history.local.ip(), history.peer.ip()) {
            let tuple = Tuple::new(local, peer);
            if by_ends.get(&tuple).is_some_and(|named| named.is_none_or(|named| named == name)) {
                by_ends.remove(&tuple);
            }
        }
    }
}

/// The addresses of one that is open for us to ask about.
fn is_open(track: &Track) -> Option<(SocketAddr, SocketAddr)> {
    if track.closed || (track.conn.is_none() && !track.neutral) {
        return None;
    }
    let history = track.timeline().history();
    Some((history.local.ip()?, history.peer.ip()?))
}

/// Whether the peer's end is on this machine, as far as addresses tell. Elsewhere it is another
/// kernel's, of which this one knows nothing.
pub(in super::super) fn is_here(local: SocketAddr, peer: SocketAddr) -> bool {
    peer.ip() == local.ip() || peer.ip().to_canonical().is_loopback()
}
