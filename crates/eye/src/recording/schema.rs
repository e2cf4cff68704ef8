//! The lines of a recording as they stand in the file (`docs/records.md`).
//!
//! Times are nanoseconds since the header's epoch ([`Epoch`]), offsets bytes of a direction's stream
//! from 0, ranges `[a, b]` the bytes from a up to but without b. A field without a value is left out.

use serde::{Deserialize, Serialize};

use super::epoch::Epoch;
use super::names::{Direction, FlagNames, Mark, Op, Point, Role, StateName};

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`](super::FORMAT).
    pub format: String,
    /// [`VERSION`](super::VERSION) of whoever wrote it.
    pub version: u32,
    /// The program that wrote it, and its version.
    pub program: String,
    /// From when all times are counted, in seconds since 1970.
    pub epoch: Epoch,
    /// When the eye opened.
    pub at: i64,
    /// The clock that told the times; always `CLOCK_REALTIME`.
    pub clock: String,
    /// The boot of the machine (`/proc/sys/kernel/random/boot_id`): of two recordings with the same one,
    /// the times are of the same clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// What was looked at: `calls`, `packets` (a capture), `stamps`, `queues`, `releases` (of sockets),
    /// `sock_diag` (what became of an end).
    pub sources: Vec<String>,
    /// What could not be looked at and why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Messages are those of two who talk as they please: no questions and their answers.
    #[serde(default)]
    pub talk: bool,
}

/// Each line after the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is documented at its type")]
pub enum Record {
    Listen(Listen),
    Conn(Conn),
    Open(Open),
    Call(Call),
    Msg(Msg),
    Seg(Seg),
    State(State),
    Kernel(Kernel),
    Stamp(Stamp),
    Queue(Queue),
    Released(Released),
    Close(Close),
    Over(Over),
    End(Box<End>),
    Socket(Socket),
    Dgram(Dgram),
    DgramError(DgramError),
    DgramDropped(DgramDropped),
    Loss(Loss),
    Finish(Finish),
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A listener is bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// Where.
    pub local: String,
}

/// A connection was found, by its first packet or because the program told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conn {
    /// The number by which all records of this connection name it.
    pub conn: u64,
    /// Who `local` is.
    pub role: Role,
    /// The address of the program that was watched.
    pub local: String,
    /// The other end's.
    pub peer: String,
    /// Neither end is of the program that looked on; `local` is then the server's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub others: bool,
}

/// The program that is watched has the connection: accept returned, or connect is about to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Which connection.
    pub conn: u64,
    /// When.
    pub at: i64,
    /// Its number in pictures.
    pub number: u64,
    /// The peer's initial sequence number, where the kernel had saved its SYN (`TCP_SAVED_SYN`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_isn: Option<u32>,
    /// Ranges of received segments before this line are so many bytes too low: the capture had begun
    /// in midstream, which shows only now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<u64>,
}

/// A call to the kernel ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Of which connection.
    pub conn: u64,
    /// When it was made.
    pub at: i64,
    /// When its result was known.
    pub end: i64,
    /// Which call.
    pub op: Op,
    /// Which way it moves bytes, or for which way a deadline passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Bytes it offered or had room for; 0 where that has no meaning.
    pub asked: u64,
    /// What it returned; left out if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<u64>,
    /// The error number, if it failed (errno(3)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Where in the stream it began.
    pub offset: u64,
    /// The bytes it moved, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[u64; 2]>,
}

/// The program meant this part of a stream, or this datagram, as one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msg {
    /// Of which connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<u64>,
    /// Of which socket of datagrams, where it is of no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<u64>,
    /// When the program said so, to within a few milliseconds.
    pub at: i64,
    /// Which way it went.
    pub direction: Direction,
    /// Its bytes; of a datagram its index and the next one.
    pub range: [u64; 2],
    /// What to call it: bytes of a peer, not fit for a terminal.
    pub label: String,
}

/// A TCP segment was captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seg {
    /// Of which connection.
    pub conn: u64,
    /// When the kernel stamped it.
    pub at: i64,
    /// Which way it went.
    pub direction: Direction,
    /// Its control bits.
    pub flags: FlagNames,
    /// The sequence number in the header.
    pub seq: u32,
    /// The acknowledgment number in the header, where ACK is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<u32>,
    /// The window in the header, not scaled.
    pub window: u16,
    /// Bytes of payload.
    pub payload: u32,
    /// The shift count of a SYN's window-scale option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wscale: Option<u8>,
    /// The maximum segment size of a SYN's option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mss: Option<u16>,
    /// The first block of its selective acknowledgment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sack: Option<Sack>,
    /// Where its payload lies in the stream.
    pub range: [u64; 2],
    /// How far it acknowledges the opposite stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acked: Option<Acked>,
    /// The window in bytes, scaled where both SYNs were seen.
    pub window_bytes: u32,
    /// What sets it apart, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// Bytes of the opposite stream that have arrived apart from what is acknowledged, or once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sack {
    /// The sequence numbers of its first byte and of the one behind its last (RFC 2018).
    pub seq: [u32; 2],
    /// Where these bytes lie in the opposite stream, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[u64; 2]>,
    /// They had arrived before (RFC 2883).
    pub duplicate: bool,
}

/// How far an ACK reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// Every byte of the opposite stream below this offset has arrived.
    pub offset: u64,
    /// Its FIN too.
    pub fin: bool,
    /// No segment before said as much.
    pub advances: bool,
}

/// One end went from a state to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Of which connection.
    pub conn: u64,
    /// When.
    pub at: i64,
    /// Which end.
    pub end: Role,
    /// The state it left.
    pub from: StateName,
    /// The state it is in now.
    pub to: StateName,
    /// A segment showed it; else it was concluded.
    pub exact: bool,
}

/// What the kernel knew when the connection was about to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Of which connection.
    pub conn: u64,
    /// What it said.
    #[serde(flatten)]
    pub facts: Facts,
}

/// The kernel has let go of the socket of one end: its last word (`SKNLGRP_INET_TCP_DESTROY`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Of which connection.
    pub conn: u64,
    /// When the eye was told.
    pub at: i64,
    /// Which end.
    pub end: Role,
    /// What it said; the state is the socket's and not the connection's, which may be in TIME-WAIT.
    #[serde(flatten)]
    pub facts: Facts,
}

/// The kernel's counters of one end (`TCP_INFO`, `SIOCINQ`, `SIOCOUTQ`). What it did not say is left
/// out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The state of this end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateName>,
    /// Smoothed round-trip time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u32>,
    /// Segments sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u32>,
    /// Bytes that the other end has acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_acked: Option<u64>,
    /// Bytes received in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    /// Segments received and sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments: Option<Both<u32>>,
    /// Maximum segment sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<Both<u32>>,
    /// Bytes in the receive queue that were never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<u32>,
    /// Bytes in the send queue that the other end has not acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unacked: Option<u32>,
    /// The program wants it to linger for no time (`SO_LINGER`): close resets the connection.
    #[serde(skip_serializing_if = "is_false")]
    pub resets: bool,
    /// Microseconds in which the other end's window held up what was to be sent, and those in which the
    /// own send buffer did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_us: Option<Limited>,
}

/// What held up what was to be sent, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limited {
    /// The other end's window.
    pub window: u64,
    /// The own send buffer.
    pub buffer: u64,
}

/// The kernel stamped bytes that the watched program sent (`SO_TIMESTAMPING`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Of which connection.
    pub conn: u64,
    /// When.
    pub at: i64,
    /// Where on their way.
    pub point: Point,
    /// Where the sends began that were all to be stamped, up to this one: what lies before was not, or
    /// that is not known. Left out if it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub from: u64,
    /// The end of the bytes it covers, from where the one before it at the same point ended: of those
    /// sent earlier in them it is an upper bound.
    pub end: u64,
}

/// How full the queues of one end were (sock_diag(7)). What the kernel did not say is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Of which connection.
    pub conn: u64,
    /// When it was asked.
    pub at: i64,
    /// Which end.
    pub end: Role,
    /// Its state.
    pub state: StateName,
    /// Bytes that had come in order and that its program had not read.
    pub receive: u32,
    /// Bytes sent and not acknowledged.
    pub send: u32,
    /// Those of them that had not left yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsent: Option<u32>,
    /// Bytes that the other end would take, from the last one it acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_window: Option<u32>,
    /// Bytes that it would take itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_window: Option<u32>,
    /// Smoothed round-trip time in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u32>,
    /// The congestion window in segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion_window: Option<u32>,
    /// Segments sent again so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u32>,
}

/// The program's descriptor is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Of which connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<u64>,
    /// Of which socket of datagrams, where it is of no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<u64>,
    /// When.
    pub at: i64,
}

/// Nothing more comes of a connection but its `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// Which connection.
    pub conn: u64,
    /// It was never accepted, and there was no room to wait longer; then no `end` follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forgotten: bool,
}

/// A connection, or a socket of datagrams, has ended: what it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// Which connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conn: Option<u64>,
    /// Which socket of datagrams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<u64>,
    /// Who ended the connection, in which phase and how: the three letters of the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Who ended it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_first: Option<Role>,
    /// Bytes that calls moved.
    pub bytes: Both<u64>,
    /// Calls that moved bytes; of a socket of datagrams, how many came and went.
    pub calls: Both<u64>,
    /// Messages; of a connection, as what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Both<u64>>,
    /// Segments that were captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments: Option<Both<u64>>,
    /// Segments among them that were sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmissions: Option<Both<u64>>,
    /// What had become of the watched program's end, where the kernel was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aftermath: Option<Aftermath>,
    /// What had become of the peer's end, where it was on the same machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_aftermath: Option<Aftermath>,
}

/// What had become of an end after close (sock_diag(7)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aftermath {
    /// When the kernel was asked.
    pub at: i64,
    /// The end's state; CLOSED if the kernel had forgotten it.
    pub state: StateName,
    /// Milliseconds until TIME-WAIT ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u32>,
}

/// A number for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are the directions")]
pub struct Both<T> {
    pub received: T,
    pub sent: T,
}

/// A socket of datagrams was made: UDP, Unix datagrams, ICMP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The number by which all records of this socket name it, and its number in pictures.
    pub socket: u64,
    /// When.
    pub at: i64,
    /// Its own address.
    pub local: String,
}

/// A datagram was received or sent, or a call for one failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dgram {
    /// Of which socket.
    pub socket: u64,
    /// When the call was made.
    pub at: i64,
    /// When its result was known.
    pub end: i64,
    /// Which way.
    pub direction: Direction,
    /// How many that succeeded went this way before it.
    pub index: u64,
    /// Bytes there was room for, or that were to be sent.
    pub asked: u64,
    /// Its length in bytes as it was sent.
    pub length: u64,
    /// Bytes that were moved; what is longer was truncated.
    pub taken: u64,
    /// Of its length and its first 64 bytes: the same at both ends of its way, and different for
    /// different datagrams most often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u32>,
    /// The other end, where the call named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The error number, if the call failed (errno(3)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// The error queue said something about a datagram that was sent (ip(7), `IP_RECVERR`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DgramError {
    /// Of which socket.
    pub socket: u64,
    /// When it was found there.
    pub at: i64,
    /// The error number (errno(3)).
    pub errno: i32,
    /// Where the datagram was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The machine that said so, if it was another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offender: Option<String>,
}

/// The kernel dropped datagrams before they could be received; told when the socket is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DgramDropped {
    /// Of which socket.
    pub socket: u64,
    /// How many in its life.
    pub datagrams: u32,
}

/// The eye itself missed something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Loss {
    /// Of which connection, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conn: Option<u64>,
    /// Of which socket of datagrams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<u64>,
    /// Records of calls, messages and datagrams that the eye was too slow for.
    #[serde(skip_serializing_if = "is_zero")]
    pub records: u64,
    /// Packets that the kernel had no room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub packets: u64,
    /// Times the kernel had no room to tell of sockets it let go of.
    #[serde(skip_serializing_if = "is_zero")]
    pub releases: u64,
    /// Connections that were not looked at, because too many were open.
    #[serde(skip_serializing_if = "is_zero")]
    pub connections: u64,
}

/// The eye was closed: the last line, unless the program was killed or the disk was full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// When.
    pub at: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Header {
    /// What stands for a header until one was read.
    pub(super) fn nobodys() -> Header {
        Header {
            format: String::new(),
            version: 0,
            program: String::new(),
            epoch: Epoch(0),
            at: 0,
            clock: String::new(),
            boot: None,
            sources: Vec::new(),
            missing: None,
            talk: false,
        }
    }
}

impl<T: Copy> Both<T> {
    /// From the number received and the number sent.
    pub(super) fn of([received, sent]: [T; 2]) -> Both<T> {
        Both { received, sent }
    }
}
