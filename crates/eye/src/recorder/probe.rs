//! The eye's ears in each thread that serves.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use sockeye_engine::probe::{
    Call, ConnId, Datagram, Datagrams, Direction, Opened, Probe, ProbeSource, Reported, Role, Stamp,
};

use super::batch::{Batch, Wanted};
use super::handover::Sender;
use super::item::{Item, OwnDatagram, OwnReported};
use crate::kernel::{
    ask_stamps, dropped_datagrams, kernel_facts, pause_stamps, save_syn, saved_isn, take_stamps,
};

/// Makes the probes.
#[derive(Debug)]
pub(super) struct Source {
    sender: Sender,
    how: How,
}

/// What probes do beyond handing on what they are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// They ask the kernel to stamp what is sent.
    pub(super) stamps: bool,
    /// What the eye wants of them before a connection has ended.
    pub(super) wanted: Wanted,
}

impl Source {
    pub(super) fn new(sender: Sender, how: How) -> Source {
        Source { sender, how }
    }
}

impl ProbeSource for Source {
    fn probe(&self) -> Box<dyn Probe> {
        let How { stamps, wanted } = self.how;
        let batch = RefCell::new(Batch::new(wanted));
        Box::new(Recorder { sender: self.sender.clone(), stamps, batch })
    }
}

/// Gathers one thread's records.
#[derive(Debug)]
struct Recorder {
    sender: Sender,
    stamps: bool,
    batch: RefCell<Batch>,
}

impl Recorder {
    fn push(&self, item: Item) {
        self.batch.borrow_mut().push(item, &self.sender);
    }
}

impl Probe for Recorder {
    fn listening(&self, fd: Option<BorrowedFd<'_>>, local: SocketAddr) {
        // Without it the peer's ISN is known from packets alone, or not at all.
        if let Some(fd) = fd {
            let _ = save_syn(fd);
        }
        self.batch.borrow_mut().push_urgent(Item::Listening(Box::new(local)), &self.sender);
    }

    fn opened(&self, fd: Option<BorrowedFd<'_>>, connection: &Opened) {
        let peer_isn = match connection.role {
            Role::Server => fd.and_then(saved_isn),
            Role::Client => None,
        };
        if self.stamps
            && connection.local.ip().is_some()
            && let Some(fd) = fd
        {
            // Whether the kernel has them was tried when the eye opened.
            let _ = ask_stamps(fd);
        }
        self.push(Item::Opened(Box::new((connection.clone(), peer_isn))));
    }

    fn call(&self, conn: ConnId, call: &Call) {
        self.push(Item::call(conn, call));
    }

    fn message(
        &self,
        conn: ConnId,
        direction: Direction,
        range: Range<u64>,
        label: fmt::Arguments<'_>,
    ) {
        self.batch.borrow_mut().message(conn, direction, &range, label, &self.sender);
    }

    fn datagrams(&self, socket: &Datagrams) {
        self.push(Item::Datagrams(Box::new(socket.clone())));
    }

    fn datagram(&self, conn: ConnId, datagram: &Datagram<'_>) {
        self.push(Item::Datagram(conn, Box::new(OwnDatagram::new(datagram))));
    }

    fn reported(&self, conn: ConnId, reported: &Reported<'_>) {
        self.push(Item::Reported(conn, Box::new(OwnReported::new(reported))));
    }

    fn reads_error_queues(&self) -> bool {
        self.stamps
    }

    fn error_queue(&self, conn: ConnId, fd: BorrowedFd<'_>, sent: Range<u64>) {
        take_stamps(fd, sent, |stamp| self.push(Item::Stamp(conn, stamp)));
    }

    fn tell_sends(&self, _conn: ConnId, fd: BorrowedFd<'_>, told: bool) {
        let ask = if told { ask_stamps } else { pause_stamps };
        // As in `opened`; of a connection that is over there is nothing more to stamp.
        let _ = ask(fd);
    }

    fn closing(&self, conn: ConnId, fd: Option<BorrowedFd<'_>>) {
        let facts = fd.map(kernel_facts).unwrap_or_default();
        // What has no state of TCP may be a socket of datagrams.
        if facts.state.is_none()
            && let Some(dropped @ 1..) = fd.and_then(dropped_datagrams)
        {
            self.push(Item::Dropped(conn, dropped));
        }
        self.push(Item::Closing(conn, Box::new(facts)));
    }

    fn closed(&self, conn: ConnId) {
        let end = Item::Closed(conn, Stamp::now());
        self.batch.borrow_mut().push_urgent(end, &self.sender);
    }

    fn flush(&self) {
        self.batch.borrow_mut().flush(&self.sender);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.batch.borrow_mut().finish(&self.sender);
    }
}
