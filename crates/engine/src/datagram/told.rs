//! What a socket of messages tells whoever looks on.
//!
//! One without a connection tells of datagrams, which have an index; one of sequenced packets is
//! told as the connection that it is, whose calls happen to move one message each.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::net::{SocketType, sockopt};

use super::Datagram;
use crate::address::{Address, UnixAddress};
use crate::driver::{Raw, Side};
use crate::message::{Origin, Outbound, QueuedError, Received};
use crate::probe::{
    self, Call, ConnId, DIGESTED, Direction, Opened, Operation, Probe, Role, Stamp, digest,
};
use crate::reactor::Reactor;
use crate::stream::next_conn;

/// What one socket has told.
pub(crate) struct Told {
    conn: ConnId,
    /// It is one of sequenced packets.
    connection: bool,
    /// Where messages go that are sent to no address.
    peer: RefCell<Option<Address>>,
    /// Received and sent.
    ways: [Way; 2],
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Messages so far.
    count: Cell<u64>,
    /// Where the last of them begins and the next one will, in bytes of all of them.
    last: Cell<(u64, u64)>,
}

impl Told {
    /// Of a socket nobody has heard of yet; None where nobody looks on. Sequenced packets of which nobody says who began them
    /// are taken for a client's.
    pub(super) fn new(reactor: &Reactor, raw: &Raw, role: Role, at: Stamp) -> Option<Box<Told>> {
        let probe = reactor.env.probe.as_ref()?;
        let (conn, peer, ways) = (next_conn(), RefCell::default(), Default::default());
        let mut told = Box::new(Told { conn, connection: false, peer, ways });
        told.connection =
            raw.fd().is_some_and(|fd| sockopt::socket_type(fd) == Ok(SocketType::SEQPACKET));
        if told.connection {
            let unnamed = || Address::Unix(UnixAddress::Unnamed);
            let addresses = reactor.driver.addresses(raw, None);
            let (local, peer) = addresses.unwrap_or_else(|_| (unnamed(), unnamed()));
            probe.opened(raw.fd(), &Opened { conn, role, local, peer, at });
            let operation = match role {
                Role::Server => Operation::Accept,
                Role::Client => Operation::Connect,
            };
            let end = if role == Role::Server { at } else { reactor.env.stamp() };
            let call = Call { operation, start: at, end, asked: 0, result: Ok(0), offset: 0 };
            probe.call(conn, &call);
        } else if let Some(fd) = raw.fd() {
            *told.peer.get_mut() = connected_to(fd);
        }
        Some(told)
    }

    /// Its name.
    pub(super) fn name(&self) -> ConnId {
        self.conn
    }

    /// A driver watches it now, or nobody does.
    pub(super) fn attached(&self, probe: &dyn Probe, made: Result<Address, ()>, at: Stamp) {
        match made {
            Err(()) if self.connection => probe.closed(self.conn),
            Err(()) => {}
            Ok(_) if self.connection => {}
            Ok(local) => {
                let conn = self.conn;
                probe.datagrams(&probe::Datagrams { conn, local, at });
            }
        }
    }

    /// Messages that are sent to no address go there from now on.
    pub(super) fn connected(&self, peer: &Address) {
        *self.peer.borrow_mut() = Some(peer.clone());
    }
}

impl Datagram {
    /// Tells whoever looks on what to call the message that was received or sent last.
    pub fn mark(&self, direction: Direction, label: fmt::Arguments<'_>) {
        let (Some(probe), Some(told)) = (&self.reactor.env.probe, &self.told) else { return };
        let way = &told.ways[usize::from(direction == Direction::Sent)];
        let count = way.count.get();
        let (start, end) = way.last.get();
        let range = if told.connection { start..end } else { count.saturating_sub(1)..count };
        if count > 0 {
            probe.message(told.conn, direction, range, label);
        }
    }

    #[cold]
    pub(super) fn tell_received(
        &self,
        probe: &dyn Probe,
        start: Stamp,
        room: usize,
        result: &io::Result<Received>,
    ) {
        let (length, taken, peer) = match result {
            Ok(received) => (received.len, received.bytes.len(), received.from.as_ref()),
            Err(_) => (0, 0, None),
        };
        let whole = taken >= length.min(DIGESTED);
        let content = result.as_ref().ok().filter(|_| whole).map(|received| &*received.bytes);
        let digest = content.map(|bytes| digest(length as u64, [bytes]));
        let result = result.as_ref().map(|_| ()).map_err(number_of);
        let sizes = [room, length, taken];
        self.tell(probe, Direction::Received, start, sizes, digest, peer, result);
    }

    #[cold]
    pub(super) fn tell_sent(
        &self,
        probe: &dyn Probe,
        start: Stamp,
        message: &Outbound<'_>,
        result: Result<(), i32>,
    ) {
        let length = message.parts.iter().map(|part| part.len()).sum();
        let taken = if result.is_ok() { length } else { 0 };
        let content = message.parts.iter().map(|part| &**part);
        let digest = result.is_ok().then(|| digest(length as u64, content));
        let sizes = [length, length, taken];
        self.tell(probe, Direction::Sent, start, sizes, digest, message.to, result);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one place that knows of a datagram all there is"
    )]
    fn tell(
        &self,
        probe: &dyn Probe,
        direction: Direction,
        start: Stamp,
        [asked, length, taken]: [usize; 3],
        digest: Option<u32>,
        peer: Option<&Address>,
        result: Result<(), i32>,
    ) {
        let end = self.reactor.env.stamp();
        let Some(told) = &self.told else { return };
        let way = &told.ways[usize::from(direction == Direction::Sent)];
        let [asked, length, taken] = [asked, length, taken].map(|bytes| bytes as u64);
        let (_, offset) = way.last.get();
        let index = way.count.get();
        // An empty packet is the end of what the peer sends.
        if result.is_ok() && (length > 0 || !told.connection) {
            way.count.set(index + 1);
            way.last.set((offset, offset.saturating_add(length)));
        }
        if told.connection {
            let operation = match direction {
                Direction::Received => Operation::Recv,
                Direction::Sent => Operation::Send,
            };
            let result = result.map(|()| taken);
            probe.call(told.conn, &Call { operation, start, end, asked, result, offset });
            return;
        }
        let connected = told.peer.borrow();
        let peer = peer.or(connected.as_ref());
        let datagram = probe::Datagram {
            direction,
            index,
            start,
            end,
            asked,
            length,
            taken,
            digest,
            peer,
            result,
        };
        probe.datagram(told.conn, &datagram);
    }

    /// Something was found in the error queue.
    pub(crate) fn tell_queued(&self, error: &QueuedError) {
        if let (Some(probe), Some(told)) = (&self.reactor.env.probe, &self.told)
            && error.origin != Origin::Stamp
        {
            let (errno, to, offender) = (error.number, error.to.as_ref(), error.offender);
            let at = self.reactor.env.stamp();
            probe.reported(told.conn, &probe::Reported { at, errno, to, offender });
        }
    }

    /// Ends our half of a connection of sequenced packets: the peer gets an empty message once it
    /// has received all others (shutdown(2)).
    ///
    /// # Errors
    ///
    /// `NotConnected` where there is no connection, or none any more.
    pub fn shutdown_write(&self) -> io::Result<()> {
        let start = self.reactor.env.started();
        let mut ended = Ok(());
        self.with_fd(|fd| ended = rustix::net::shutdown(fd, rustix::net::Shutdown::Write));
        if let (Some(probe), Some(told)) = (&self.reactor.env.probe, &self.told)
            && told.connection
        {
            let (operation, end) = (Operation::ShutdownWrite, self.reactor.env.stamp());
            let result = ended.map(|()| 0).map_err(rustix::io::Errno::raw_os_error);
            let (_, offset) = told.ways[1].last.get();
            probe.call(told.conn, &Call { operation, start, end, asked: 0, result, offset });
        }
        ended.map_err(|errno| self.explain(Side::Write, None, errno.into()))
    }
}

pub(super) fn number_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_default()
}

fn connected_to(fd: impl AsFd) -> Option<Address> {
    let peer = Address::decode(rustix::net::getpeername(fd).ok()??).ok();
    peer.filter(|peer| *peer != Address::Unix(UnixAddress::Unnamed))
}
