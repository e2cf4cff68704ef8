//! Who is shown everything that the eye takes in: what is written to a file, not drawn.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use sockeye_engine::Address;
use sockeye_engine::probe::{
    Call, ConnId, Datagram, Datagrams, Direction, Opened, Reported, Role, Stamp,
};
use sockeye_wire::packet::Segment;

use super::item::{Item, Records};
use super::letters::Letter;
use super::tracks::Fact;
use crate::capture::Packet;
use crate::datagram::DatagramHistory;
use crate::record::{History, KernelFacts, KernelStamp, QueueSample, SocketEnd};

/// Is shown what the eye takes in, in the order in which it does, before it is joined.
///
/// Records of calls and packets come in batches from different queues: each kind is in its order of
/// time, all together are not. A tap is called on the eye's own thread. While it is busy nothing is
/// taken in, and what then finds no room is dropped and counted as always: whom the eye watches never
/// waits for a tap.
pub trait Tap: Send {
    /// One more thing was seen.
    fn sees(&mut self, seen: &Seen<'_>);

    /// The eye is about to wait, or has been busy for a second: what was held back may be written.
    /// What went wrong since, on one line, is said at once.
    fn pause(&mut self) -> Option<String> {
        None
    }

    /// How long from now it can wait for its next pause; for ever, if nothing is held back for a time.
    fn waits(&self) -> Option<Duration> {
        None
    }

    /// Nothing more will come. The last chance to write what was held back, and to say what went
    /// wrong, on one line.
    fn finish(&mut self) -> Option<String> {
        None
    }
}

/// One thing that the eye took in.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The eye opened: always the first.
    Begun(&'a Begun<'a>),
    /// A connection that was not known, by a packet or by our program.
    Found {
        /// The number it has from now on.
        track: u64,
        /// Our role.
        role: Role,
        /// It is one of other programs: what is called ours is the server's.
        neutral: bool,
        /// Our address.
        local: &'a Address,
        /// The peer's.
        peer: &'a Address,
    },
    /// A connection that was found is the one that our program calls so; [`Seen::Opened`] is next. Of
    /// a connection that is opened without it nothing more is looked at: too many are open.
    Joined {
        /// The number it was found with.
        track: u64,
        /// What the program calls it.
        conn: ConnId,
    },
    /// The segment of the packet before is one of this connection's.
    Segment {
        /// The number it was found with.
        track: u64,
        /// When the kernel stamped it.
        at: Stamp,
        /// Which way it went.
        direction: Direction,
        /// The segment.
        segment: &'a Segment,
    },
    /// Nothing more is waited for of this connection: it has ended, or it was never accepted and is
    /// forgotten.
    Over {
        /// The number it was found with.
        track: u64,
        /// It is forgotten: [`Seen::Ended`] will not come.
        forgotten: bool,
    },
    /// A listener is bound.
    Listening(SocketAddr),
    /// A connection exists; with the peer's initial sequence number, where the kernel saved its SYN.
    Opened(&'a Opened, Option<u32>),
    /// A call of our program ended.
    Call(ConnId, &'a Call),
    /// Our program meant this part of a stream, or this datagram by its index, as one message.
    Message {
        /// Whose.
        conn: ConnId,
        /// When the program said so.
        at: Stamp,
        /// Which way it went.
        direction: Direction,
        /// Its place in that direction's stream.
        range: (u64, u64),
        /// What to call it; bytes of a peer.
        label: &'a str,
    },
    /// A socket of datagrams exists.
    Datagrams(&'a Datagrams),
    /// A datagram was received or sent, or a call for one failed.
    Datagram(ConnId, &'a Datagram<'a>),
    /// An error queue said something.
    Reported(ConnId, &'a Reported<'a>),
    /// So many datagrams the kernel dropped before they could be received.
    Dropped(ConnId, u32),
    /// A packet was captured; with its segment, where it is a whole one of TCP.
    Packet(&'a Packet<'a>, Option<&'a Segment>),
    /// A packet of a datagram of UDP was captured; only where whole packets are.
    Unit(&'a Packet<'a>, &'a Letter),
    /// The kernel stamped bytes we sent.
    Stamp(ConnId, &'a KernelStamp),
    /// How full the queues of an end of a connection were, ours or the peer's.
    Queue {
        /// The number it was found with.
        track: u64,
        /// The sample.
        sample: &'a QueueSample,
    },
    /// The kernel has let go of the socket of an end of a connection, ours or the peer's. It comes
    /// after [`Seen::Closed`] most often, but not always, and never after [`Seen::Ended`].
    End {
        /// The number it was found with.
        track: u64,
        /// The kernel's last word.
        end: &'a SocketEnd,
    },
    /// What the kernel knew when a connection was about to be closed.
    Closing(ConnId, &'a KernelFacts),
    /// Our descriptor is closed.
    Closed(ConnId, Stamp),
    /// So many records of this connection the eye was too slow for.
    Lost(ConnId, u64),
    /// So many packets the kernel had no room for.
    PacketsLost(u64),
    /// So many records the eye was too slow for, of connections that are not known any more.
    RecordsLost(u64),
    /// So many times the kernel had no room to tell of sockets it let go of.
    EndsLost(u64),
    /// A connection is over, for the program and on the wire. What is known of it tells what became of
    /// both ends too, unless too many connections ended at once to ask the kernel about each.
    Ended {
        /// The number it was found with.
        track: u64,
        /// All that is known of it.
        history: &'a History,
    },
    /// A socket of datagrams was closed.
    SocketEnded(&'a DatagramHistory),
}

/// How the eye opened.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// When.
    pub at: Stamp,
    /// Messages are those of two who talk as they please.
    pub talk: bool,
    /// Where connections are accepted.
    pub listeners: &'a [SocketAddr],
    /// Where connections are made to.
    pub peers: &'a [SocketAddr],
    /// Where datagrams of UDP are received.
    pub datagrams: &'a [SocketAddr],
    /// Where datagrams of UDP are sent to.
    pub datagram_peers: &'a [SocketAddr],
    /// Packets are captured.
    pub capture: bool,
    /// The kernel is asked what becomes of connections that were closed.
    pub diag: bool,
    /// Queues are sampled.
    pub queues: bool,
    /// The kernel says when it lets go of sockets.
    pub ends: bool,
    /// The kernel stamps what is sent.
    pub stamps: bool,
    /// What can't be seen and how to see it, as the user was told.
    pub missing: Option<&'a str>,
}

/// All taps of an eye.
#[derive(Default)]
pub(super) struct Taps(Vec<Box<dyn Tap>>);

impl Taps {
    pub(super) fn new(taps: Vec<Box<dyn Tap>>) -> Taps {
        Taps(taps)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Shows it to all.
    pub(super) fn see(&mut self, seen: &Seen<'_>) {
        for tap in &mut self.0 {
            tap.sees(seen);
        }
    }

    /// Shows what was found out, the last part of it about this segment.
    pub(super) fn facts(&mut self, facts: Vec<Fact>, segment: Option<(Stamp, &Segment)>) {
        for fact in &facts {
            match (fact, segment) {
                (&Fact::Found { track, role, neutral, ref local, ref peer }, _) => {
                    self.see(&Seen::Found { track, role, neutral, local, peer });
                }
                (&Fact::Joined { track, conn }, _) => self.see(&Seen::Joined { track, conn }),
                (&Fact::Placed { track, direction }, Some((at, segment))) => {
                    self.see(&Seen::Segment { track, at, direction, segment });
                }
                (Fact::Placed { .. }, None) => {}
                (&Fact::Over { track, forgotten }, _) => {
                    self.see(&Seen::Over { track, forgotten });
                }
            }
        }
    }

    /// Lets all write what they held back; what they have to say.
    pub(super) fn pause(&mut self) -> impl Iterator<Item = String> {
        self.0.iter_mut().filter_map(|tap| tap.pause())
    }

    /// How long all of them can wait for their next pause.
    pub(super) fn waits(&self) -> Option<Duration> {
        self.0.iter().filter_map(|tap| tap.waits()).min()
    }

    /// Lets all finish; what they have to say.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.0.iter_mut().filter_map(|tap| tap.finish()).collect()
    }

    /// Shows one of these records.
    pub(super) fn item(&mut self, item: &Item, records: &Records) {
        match item {
            Item::Listening(local) => self.see(&Seen::Listening(**local)),
            Item::Opened(opened) => self.see(&Seen::Opened(&opened.0, opened.1)),
            Item::Call(conn, call) => self.see(&Seen::Call(*conn, &call.call())),
            Item::LargeCall(conn, call) => self.see(&Seen::Call(*conn, call)),
            &Item::Message { conn, at, start, length, direction, label, label_length } => {
                let Range { start, end } = start..start.saturating_add(length);
                let label = records.label(label, label_length);
                self.see(&Seen::Message { conn, at, direction, range: (start, end), label });
            }
            Item::Datagrams(opened) => self.see(&Seen::Datagrams(opened)),
            Item::Datagram(conn, datagram) => {
                self.see(&Seen::Datagram(*conn, &datagram.datagram()));
            }
            Item::Reported(conn, reported) => {
                self.see(&Seen::Reported(*conn, &reported.reported()));
            }
            Item::Dropped(conn, datagrams) => self.see(&Seen::Dropped(*conn, *datagrams)),
            // Packets don't come this way.
            Item::Segment(_) => {}
            Item::Stamp(conn, stamp) => self.see(&Seen::Stamp(*conn, stamp)),
            Item::Closing(conn, facts) => self.see(&Seen::Closing(*conn, facts)),
            Item::Closed(conn, at) => self.see(&Seen::Closed(*conn, *at)),
            Item::Lost(conn, records) => self.see(&Seen::Lost(*conn, *records)),
        }
    }
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Taps").field(&self.0.len()).finish()
    }
}
