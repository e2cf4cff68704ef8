//! The same join with whose record each is known already: what was written down is drawn again.
//!
//! Told in the same order, connections keep and leave out what they did while the eye looked on.

use std::collections::HashMap;
use std::ops::Range;

use sockeye_engine::Address;
use sockeye_engine::probe::{
    Call, ConnId, Datagram, Datagrams, Direction, Opened, Reported, Role, Stamp,
};
use sockeye_wire::packet::Segment;

use super::super::item::{Item, Records};
use super::sockets::{MAX_SOCKETS, Sockets};
use super::track::{KeepLast, Track, keep, keep_last};
use crate::datagram::DatagramHistory;
use crate::record::{History, KernelFacts, KernelStamp, QueueSample, SocketEnd};
use crate::timeline::Timeline;

/// All connections and sockets of a recording that are open.
#[derive(Debug)]
pub(crate) struct Replay {
    tracks: HashMap<u64, Box<Track>>,
    sockets: Sockets,
    keep_last: KeepLast,
    /// Packets that the kernel dropped so far.
    dropped: u64,
    /// How often it had no room to tell of sockets it let go of.
    ends_lost: u64,
    /// A message on its way to its connection.
    message: Records,
}

impl Replay {
    pub(crate) fn new() -> Replay {
        Replay {
            tracks: HashMap::new(),
            sockets: Sockets::default(),
            keep_last: keep_last(0),
            dropped: 0,
            ends_lost: 0,
            message: Records::default(),
        }
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.tracks.len()
    }

    /// A connection was found; one of the same number is forgotten.
    pub(crate) fn found(
        &mut self,
        number: u64,
        role: Role,
        others: bool,
        local: Address,
        peer: Address,
    ) {
        let timeline = Timeline::new(role, local, peer, keep(self.tracks.len()));
        let timeline = if others { timeline.of_others() } else { timeline };
        self.keep_last = keep_last(self.tracks.len());
        let mut track = Track::new(None, role, timeline, self.dropped);
        track.number(number);
        track.ends_lost_before = self.ends_lost;
        self.tracks.insert(number, Box::new(track));
    }

    /// The addresses of a connection, its own and the peer's, and its role.
    pub(crate) fn ends(&self, number: u64) -> Option<(Role, &Address, &Address)> {
        let history = self.tracks.get(&number)?.timeline().history();
        Some((history.role, &history.local, &history.peer))
    }

    pub(crate) fn opened(&mut self, number: u64, opened: &Opened, peer_isn: Option<u32>) {
        if let Some(track) = self.tracks.get_mut(&number) {
            track.opened(opened, peer_isn);
        }
    }

    pub(crate) fn call(&mut self, number: u64, call: &Call) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        match Item::call(ConnId(number), call) {
            Item::Call(conn, small) => track.call(conn, small, self.keep_last),
            _ => track.large_call(*call),
        }
    }

    /// A message of a connection.
    pub(crate) fn message(
        &mut self,
        number: u64,
        at: Stamp,
        direction: Direction,
        range: &Range<u64>,
        label: &str,
    ) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        self.message.clear();
        let label = format_args!("{label}");
        self.message.message(ConnId(number), at, direction, range, label);
        if let Some(item) = self.message.items.first() {
            track.message(item, &self.message, self.keep_last);
        }
    }

    pub(crate) fn segment(
        &mut self,
        number: u64,
        at: Stamp,
        direction: Direction,
        segment: &Segment,
    ) {
        // At which interface it was seen matters no more.
        const INTERFACE: u32 = 1;
        if let Some(track) = self.tracks.get_mut(&number) {
            track.segment(at, direction, INTERFACE, segment, self.keep_last);
            track.is_news_that_it_is_over();
        }
    }

    /// What the kernel knew before close; a client's SYN is not among the bytes acknowledged.
    pub(crate) fn kernel(&mut self, number: u64, facts: KernelFacts) {
        if let Some(track) = self.tracks.get_mut(&number) {
            track.kernel(facts);
        }
    }

    pub(crate) fn stamp(&mut self, number: u64, stamp: KernelStamp) {
        if let Some(track) = self.tracks.get_mut(&number) {
            track.stamp(stamp);
        }
    }

    pub(crate) fn queue(&mut self, number: u64, sample: QueueSample) {
        if let Some(track) = self.tracks.get_mut(&number) {
            track.timeline_mut().queue(sample);
        }
    }

    /// The kernel has let go of the socket of one end.
    pub(crate) fn released(&mut self, number: u64, end: SocketEnd) {
        if let Some(track) = self.tracks.get_mut(&number) {
            let ours = end.end == track.role;
            track.let_go(end, ours);
        }
    }

    pub(crate) fn closed(&mut self, number: u64, at: Stamp) {
        if let Some(track) = self.tracks.get_mut(&number) {
            track.closed(at);
        }
    }

    /// So many records of a connection are missing.
    pub(crate) fn lost(&mut self, number: u64, records: u64) {
        if let Some(track) = self.tracks.get_mut(&number) {
            track.lost_calls = track.lost_calls.saturating_add(records);
        }
    }

    /// So many packets of whichever connection are missing.
    pub(crate) fn packets_lost(&mut self, packets: u64) {
        self.dropped = self.dropped.saturating_add(packets);
    }

    /// So many times the kernel had no room to tell of sockets it let go of.
    pub(crate) fn releases_lost(&mut self, times: u64) {
        self.ends_lost = self.ends_lost.saturating_add(times);
    }

    /// All that is known of a connection; it is followed no longer.
    pub(crate) fn over(&mut self, number: u64) -> Option<History> {
        let track = self.tracks.remove(&number)?;
        self.keep_last = keep_last(self.tracks.len());
        Some(track.into_history(self.dropped, self.ends_lost))
    }

    /// The number of some connection that is open: of all the one that was found first.
    pub(crate) fn first(&self) -> Option<u64> {
        self.tracks.keys().min().copied()
    }

    /// False if too many are open.
    pub(crate) fn socket(&mut self, socket: &Datagrams) -> bool {
        let room = self.sockets.count() < MAX_SOCKETS;
        self.sockets.open(socket);
        room
    }

    pub(crate) fn datagram(&mut self, socket: ConnId, datagram: &Datagram<'_>) {
        self.sockets.datagram(socket, datagram);
    }

    pub(crate) fn reported(&mut self, socket: ConnId, reported: &Reported<'_>) {
        self.sockets.reported(socket, reported);
    }

    pub(crate) fn dropped(&mut self, socket: ConnId, datagrams: u32) {
        self.sockets.dropped(socket, datagrams);
    }

    /// What a datagram is called.
    pub(crate) fn name(&mut self, socket: ConnId, direction: Direction, index: u64, label: &str) {
        self.message.clear();
        let range = index..index.saturating_add(1);
        self.message.message(socket, Stamp(0), direction, &range, format_args!("{label}"));
        if let Some(item) = self.message.items.first() {
            self.sockets.message(item, &self.message);
        }
    }

    pub(crate) fn socket_lost(&mut self, socket: ConnId, records: u64) {
        self.sockets.lost(socket, records);
    }

    /// The socket was closed: all that is known of it.
    pub(crate) fn socket_closed(&mut self, socket: ConnId, at: Stamp) -> Option<DatagramHistory> {
        self.sockets.close(socket, at);
        self.sockets.take_closed().pop()
    }

    /// The sockets that are open still, in their order.
    pub(crate) fn open_sockets(&mut self) -> impl Iterator<Item = Box<DatagramHistory>> {
        self.sockets.take_open()
    }
}
