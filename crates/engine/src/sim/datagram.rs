//! Datagrams of the pipe model: each on its own, as the link and the plan will have it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::fault::DatagramFault;
use super::model::{Interest, Received};
use super::network::{Event, World};
use super::random::{Purpose, Random};
use super::transcript::digest;

/// The longest content of a datagram, in bytes (IPv4, RFC 768).
const LONGEST: usize = 65_507;

/// Bytes that wait unread at one socket; what comes then is dropped (`SO_RCVBUF`).
const QUEUE: usize = 212_992;

#[derive(Debug)]
pub(crate) struct Datagrams {
    bound: BTreeMap<SocketAddr, Bound>,
    /// How many went each way.
    counts: BTreeMap<(IpAddr, IpAddr), u32>,
    jitter: Random,
}

#[derive(Debug)]
struct Bound {
    socket: u32,
    /// Whose datagrams alone are taken.
    peer: Option<SocketAddr>,
    queue: VecDeque<Received>,
    unread: usize,
}

impl Datagrams {
    pub(crate) fn new(seed: u64) -> Datagrams {
        let jitter = Random::new(seed, Purpose::Network(0));
        Datagrams { bound: BTreeMap::new(), counts: BTreeMap::new(), jitter }
    }

    pub(crate) fn is_bound(&self, address: SocketAddr) -> bool {
        self.bound.contains_key(&address)
    }

    pub(crate) fn bind(&mut self, address: SocketAddr, socket: u32) {
        self.bound.insert(address, Bound { socket, peer: None, queue: VecDeque::new(), unread: 0 });
    }

    pub(crate) fn connect(&mut self, address: SocketAddr, peer: SocketAddr) {
        if let Some(bound) = self.bound.get_mut(&address) {
            bound.peer = Some(peer);
        }
    }

    pub(crate) fn peer(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.bound.get(&address)?.peer
    }

    pub(crate) fn close(&mut self, address: SocketAddr) {
        self.bound.remove(&address);
    }

    pub(crate) fn send(
        &mut self,
        world: &mut World,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        if bytes.len() > LONGEST {
            return Err(Errno::MSGSIZE);
        }
        let count = self.counts.entry((from.ip(), to.ip())).or_default();
        *count += 1;
        let number = *count;
        let (len, hash) = (bytes.len(), digest(bytes));
        world.say(format_args!("datagram {number} {from} > {to} {len} #{hash:08x}"));
        let fault = world.troubles.datagram(from.ip(), to.ip(), number);
        let cut = world.troubles.cut(None, from.ip(), to.ip(), world.queue.now()).is_some();
        if cut || fault == Some(DatagramFault::Lost) {
            world.say(format_args!("datagram {number} {from} > {to} lost"));
            return Ok(len);
        }
        let link = world.links.get(from.ip(), to.ip());
        let mut delay = link.delay.saturating_add(link.time_to_send(len));
        let mut datagram = Received { from, to, bytes: bytes.to_vec(), len };
        match fault {
            Some(DatagramFault::Late(time)) => delay = delay.saturating_add(time),
            Some(DatagramFault::Truncated(most)) => datagram.bytes.truncate(most as usize),
            _ => {}
        }
        let copies = if fault == Some(DatagramFault::Twice) { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = self.jitter.micros(link.jitter);
            let event = Event::Datagram(Box::new(datagram.clone()));
            world.queue.after(delay.saturating_add(jitter), event);
        }
        Ok(len)
    }

    pub(crate) fn arrive(&mut self, world: &mut World, datagram: Received) {
        let (from, to, len) = (datagram.from, datagram.to, datagram.bytes.len());
        let bound = self.bound.get_mut(&to);
        let Some(bound) = bound.filter(|bound| bound.peer.is_none_or(|peer| peer == from)) else {
            return world.say(format_args!("datagram {from} > {to} {len} to nobody"));
        };
        if bound.unread + len > QUEUE {
            return world.say(format_args!("datagram {from} > {to} {len} dropped: no room"));
        }
        world.say(format_args!("datagram {from} > {to} {len} came"));
        bound.unread += len;
        bound.queue.push_back(datagram);
        world.wake(Some(bound.socket), Interest::Read);
    }

    pub(crate) fn recv(
        &mut self,
        world: &mut World,
        address: SocketAddr,
        room: usize,
        peek: bool,
    ) -> Option<Received> {
        let bound = self.bound.get_mut(&address)?;
        let mut datagram = match peek {
            true => bound.queue.front()?.clone(),
            false => bound.queue.pop_front()?,
        };
        if !peek {
            bound.unread -= datagram.bytes.len();
            let (from, len) = (datagram.from, datagram.bytes.len());
            world.say(format_args!("datagram {from} > {address} {len} read"));
        }
        datagram.bytes.truncate(room);
        Some(datagram)
    }
}
