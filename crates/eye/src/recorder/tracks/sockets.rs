//! Sockets of datagrams: what is open, and what was closed and is to be drawn.

use std::collections::BTreeMap;

use sockeye_engine::probe::{ConnId, Datagram, Datagrams, Reported, Stamp};

use super::super::item::{Item, Records};
use crate::datagram::DatagramHistory;

/// The most sockets of datagrams watched at once.
pub(crate) const MAX_SOCKETS: usize = 256;

/// All of them.
#[derive(Debug, Default)]
pub(in super::super) struct Sockets {
    open: BTreeMap<ConnId, Box<DatagramHistory>>,
    closed: Vec<DatagramHistory>,
    unwatched: u64,
}

impl Sockets {
    pub(super) fn open(&mut self, opened: &Datagrams) {
        if self.open.len() < MAX_SOCKETS {
            self.open.insert(opened.conn, Box::new(DatagramHistory::new(opened)));
        } else {
            self.unwatched += 1;
        }
    }

    pub(super) fn datagram(&mut self, conn: ConnId, datagram: &Datagram<'_>) {
        if let Some(socket) = self.open.get_mut(&conn) {
            socket.add(datagram);
        }
    }

    pub(super) fn reported(&mut self, conn: ConnId, reported: &Reported<'_>) {
        if let Some(socket) = self.open.get_mut(&conn) {
            socket.report(reported);
        }
    }

    pub(super) fn dropped(&mut self, conn: ConnId, datagrams: u32) {
        if let Some(socket) = self.open.get_mut(&conn) {
            socket.dropped = datagrams;
        }
    }

    /// What to call a datagram.
    pub(super) fn message(&mut self, message: &Item, from: &Records) {
        if let &Item::Message { conn, start, direction, label, label_length, .. } = message
            && let Some(socket) = self.open.get_mut(&conn)
        {
            socket.name(direction, start, from.label(label, label_length));
        }
    }

    pub(super) fn lost(&mut self, conn: ConnId, records: u64) {
        if let Some(socket) = self.open.get_mut(&conn) {
            socket.lost += records;
        }
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// False if there is no such socket.
    pub(super) fn close(&mut self, conn: ConnId, at: Stamp) -> bool {
        let Some(mut socket) = self.open.remove(&conn) else { return false };
        socket.closed = Some(at);
        self.closed.push(*socket);
        true
    }

    /// What was closed since this was last asked.
    pub(in super::super) fn take_closed(&mut self) -> Vec<DatagramHistory> {
        std::mem::take(&mut self.closed)
    }

    /// What is open still, in the order in which it was opened.
    pub(in super::super) fn take_open(&mut self) -> impl Iterator<Item = Box<DatagramHistory>> {
        std::mem::take(&mut self.open).into_values()
    }

    /// How many were not watched because too many were open.
    pub(in super::super) fn unwatched(&self) -> u64 {
        self.unwatched
    }
}
