//! The one place where somebody may look on: calls and messages arrive here.
//!
//! The engine reports what it asked the kernel, services report where their messages begin and
//! end. Neither knows who listens. With nobody listening each report costs one branch.
//!
//! Order of calls, for one connection: [`Probe::opened`] first; then any number of
//! [`Probe::call`] and [`Probe::message`]; [`Probe::closing`] while the descriptor is still
//! open; [`Probe::closed`] last, and nothing after it that matters. For a socket of datagrams it is
//! [`Probe::datagrams`] first, and then [`Probe::datagram`], [`Probe::message`] and
//! [`Probe::reported`] any number of times. Sequenced packets are connections, whose calls move one
//! message each. [`Probe::listening`] comes before the first connection of its listener,
//! [`Probe::flush`] whenever the thread is about to wait.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::address::Address;
use crate::fault;

/// Makes one [`Probe`] for each thread that drives connections.
pub trait ProbeSource: Send + Sync {
    /// A probe for the calling thread.
    fn probe(&self) -> Box<dyn Probe>;
}

/// What is told to the one who looks on. One a thread; it must not block.
pub trait Probe {
    /// A listener is bound and accepts from now on. The descriptor, which a simulated socket does
    /// not have, may be given socket options.
    fn listening(&self, fd: Option<BorrowedFd<'_>>, local: SocketAddr);
    /// A connection exists, or is being made from here: then a call of `connect(2)` follows.
    fn opened(&self, fd: Option<BorrowedFd<'_>>, connection: &Opened);
    /// A call to the kernel ended.
    fn call(&self, conn: ConnId, call: &Call);
    /// The program meant `range` of its stream, in bytes from the stream's start, as one message.
    /// Where messages are datagrams it is one index of them.
    fn message(
        &self,
        conn: ConnId,
        direction: Direction,
        range: Range<u64>,
        label: fmt::Arguments<'_>,
    );
    /// A socket for messages with borders but without a connection exists: UDP, Unix datagrams, ICMP.
    fn datagrams(&self, _socket: &Datagrams) {}
    /// A message was received or sent by such a socket, or an attempt failed for good.
    fn datagram(&self, _conn: ConnId, _datagram: &Datagram<'_>) {}
    /// The socket's error queue had something about a datagram that was sent. A call may have failed
    /// of the same cause.
    fn reported(&self, _conn: ConnId, _reported: &Reported<'_>) {}
    /// Whether [`Probe::error_queue`] is to be called; asked once.
    fn reads_error_queues(&self) -> bool {
        false
    }
    /// The error queue of a connection is to be emptied, where something was asked for that arrives
    /// there (recv(2), `MSG_ERRQUEUE`): as long as it is not, a thread that waits for the socket may be
    /// woken again and again. The kernel has taken the bytes up to `sent.end` so far; those from
    /// `sent.start` on up to where [`Probe::tell_sends`] was last told `false`, if it was after that,
    /// went with sends that were all to be told of.
    ///
    /// It is called after every few sends that are told of, before a receive that comes after one, when a
    /// wait found an error, and between [`Probe::closing`] and the close; never for a Unix socket.
    fn error_queue(&self, _conn: ConnId, _fd: BorrowedFd<'_>, _sent: Range<u64>) {}
    /// Whether the sends of this connection that come now are to be told of in its error queue, until
    /// this is called again. At first they are; for [`SENDS_TOLD`] at once, and ten a second, they stay
    /// so. Only where error queues are read; never for a Unix socket.
    fn tell_sends(&self, _conn: ConnId, _fd: BorrowedFd<'_>, _told: bool) {}
    /// The connection is about to be closed: the last moment to ask the kernel about it.
    fn closing(&self, conn: ConnId, fd: Option<BorrowedFd<'_>>);
    /// The descriptor is closed; nothing more comes for this connection.
    fn closed(&self, conn: ConnId);
    /// The thread is about to wait: hand on what was gathered.
    fn flush(&self);
}

/// So many sends of a connection at once may be told of in its error queue, see
/// [`Probe::tell_sends`]; while it sends no more than ten times a second, each is.
pub const SENDS_TOLD: u8 = 16;

/// Names one connection for the life of the process; numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// Who began the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It was accepted here.
    Server,
    /// It was connected from here.
    Client,
}

/// A new connection.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its name from now on.
    pub conn: ConnId,
    /// Who began it.
    pub role: Role,
    /// Our address.
    pub local: Address,
    /// The peer's address; a client of a Unix socket is unnamed.
    pub peer: Address,
    /// When accept or connect returned.
    pub at: Stamp,
}

/// A new socket for messages with borders.
#[derive(Clone, Debug)]
pub struct Datagrams {
    /// Its name from now on; numbers of connections and of such sockets are the same row.
    pub conn: ConnId,
    /// Its own address.
    pub local: Address,
    /// When it was made.
    pub at: Stamp,
}

/// A message with borders that was received or sent, or was to be.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Which way.
    pub direction: Direction,
    /// How many that succeeded went this way before it.
    pub index: u64,
    /// When the call was made.
    pub start: Stamp,
    /// When its result was known.
    pub end: Stamp,
    /// Bytes there was room for, or that were to be sent.
    pub asked: u64,
    /// Its length in bytes as it was sent.
    pub length: u64,
    /// Bytes that were moved: fewer than its length if the rest was cut off and lost.
    pub taken: u64,
    /// A [`digest`] of its content, by which the two ends of its way can tell it from others; None
    /// where it failed, or where less than a digest looks at was moved.
    pub digest: Option<u32>,
    /// Who sent it, or to whom it went; None where the call did not say.
    pub peer: Option<&'a Address>,
    /// The error number, if it failed. An error of an earlier message may come with a later call:
    /// `ECONNREFUSED` after an ICMP message that nobody listens at the port (udp(7)).
    pub result: Result<(), i32>,
}

/// So many bytes of a message, the first ones, its [`digest`] looks at.
pub const DIGESTED: usize = 64;

/// Thirty-two bits for the length of a message and its first [`DIGESTED`] bytes, which lie in `parts`
/// one behind the other: the same on every machine, and different for different messages but for one
/// pair in four thousand million. Not fit to keep an adversary out.
///
/// ```
/// use sockeye_engine::probe::digest;
///
/// assert_eq!(digest(6, [&b"GET"[..], b" a\n"]), digest(6, [&b"GET a\n"[..]]));
/// assert_ne!(digest(6, [&b"GET a\n"[..]]), digest(6, [&b"GET b\n"[..]]));
/// ```
#[must_use]
pub fn digest<'a>(length: u64, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut first = [0; DIGESTED];
    let mut filled = 0;
    for part in parts {
        let room = &mut first[filled..];
        let taken = part.len().min(room.len());
        room[..taken].copy_from_slice(&part[..taken]);
        filled += taken;
    }
    // An odd factor without pattern, as multiplicative hashing wants (Knuth 6.4).
    let mix = |state: u64, word: u64| {
        let product = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ (product >> 32)
    };
    let (words, _) = first.as_chunks::<8>();
    let all =
        words.iter().fold(mix(0, length), |state, word| mix(state, u64::from_le_bytes(*word)));
    u32::try_from(all >> 32).unwrap_or_default()
        ^ u32::try_from(all & 0xffff_ffff).unwrap_or_default()
}

/// What an error queue says about a datagram that was sent (ip(7), `IP_RECVERR`).
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// When it was found there.
    pub at: Stamp,
    /// The error's number (errno(3)).
    pub errno: i32,
    /// Where the datagram was sent.
    pub to: Option<&'a Address>,
    /// The machine that said so, if it was another one.
    pub offender: Option<IpAddr>,
}

/// Which way bytes flow, seen from this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the peer to us.
    Received,
    /// From us to the peer.
    Sent,
}

/// What was asked of the kernel. The name is that of the call a C program would make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `accept(2)`
    Accept,
    /// `connect(2)`
    Connect,
    /// `recv(2)`
    Recv,
    /// `send(2)`
    Send,
    /// `sendfile(2)`
    SendFile,
    /// `shutdown(2)` of our sending half
    ShutdownWrite,
    /// `close(2)`
    Close,
    /// No call: a deadline of ours passed while the program waited for this direction. It moves
    /// nothing and takes no time.
    GaveUp(Direction),
}

/// One call to the kernel that ended.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// When it was asked.
    pub start: Stamp,
    /// When its result was known.
    pub end: Stamp,
    /// How many bytes the call offered or had room for; 0 where that has no meaning.
    pub asked: u64,
    /// How many bytes it moved, or the error number.
    pub result: Result<u64, i32>,
    /// The offset in the stream, in that call's direction, of the first byte it moved.
    pub offset: u64,
}

/// A moment: nanoseconds of `CLOCK_REALTIME` since 1970, the clock the kernel stamps packets with.
///
/// Wall-clock time, so that calls and packets share one axis; nothing waits by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

impl Stamp {
    /// This moment.
    #[must_use]
    pub fn now() -> Stamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let seconds = u64::try_from(now.tv_sec.saturating_add(fault::wall_offset())).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        Stamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// How long after `earlier` this is; zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Stamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
