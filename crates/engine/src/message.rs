//! A message as it came or is to go: bytes with borders, addresses, and ancillary data.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::address::Address;
use crate::buffer::Chunk;
use crate::probe::Stamp;

/// A message that was received (recvmsg(2)).
#[derive(Debug)]
pub struct Received {
    /// Its bytes, as many of them as there was room for; on lease from the thread.
    pub bytes: Chunk,
    /// Its length in bytes as it was sent, whatever there was room for. Of an ICMP echo socket the
    /// kernel does not tell it: then it is the length of `bytes`.
    pub len: usize,
    /// It was longer than there was room for (`MSG_TRUNC`), and the rest of it is lost.
    pub truncated: bool,
    /// Who sent it; None where the kernel does not say, as on a connected Unix socket.
    pub from: Option<Address>,
    /// What came with it.
    pub ancillary: Ancillary,
}

/// What came with a message besides its bytes: what was asked for, if it was there.
#[derive(Debug, Default)]
pub struct Ancillary {
    /// Descriptors the sender passed (`SCM_RIGHTS`, unix(7)); those that nobody takes out are
    /// closed.
    pub descriptors: Vec<OwnedFd>,
    /// Who sent it, by the kernel's word (`SCM_CREDENTIALS`).
    pub credentials: Option<Credentials>,
    /// The address of ours that it came to (`IP_PKTINFO`, `IPV6_PKTINFO`).
    pub local: Option<Local>,
    /// Its time to live, or hop limit, on arrival (`IP_RECVTTL`, `IPV6_RECVHOPLIMIT`).
    pub hops: Option<u8>,
    /// When it came to this machine, by the kernel (`SO_TIMESTAMPING`).
    pub stamp: Option<Stamp>,
    /// There was not room for all of it (`MSG_CTRUNC`), or it was not asked for: some descriptors
    /// were passed and closed.
    pub truncated: bool,
    pub(crate) error: Option<QueuedError>,
}

/// Which process sent a message or made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its number, 0 if it is in a namespace that can't be seen from here.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Where a datagram arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its destination: an address of ours, or of a group or broadcast.
    pub address: IpAddr,
    /// The index of the interface (if_nametoindex(3)).
    pub interface: u32,
}

/// Something that became of a message that was sent, from the socket's error queue (ip(7),
/// `IP_RECVERR`; recv(2), `MSG_ERRQUEUE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedError {
    /// The error's number (errno(3)); `ENOMSG` for a stamp.
    pub number: i32,
    /// Who said so.
    pub origin: Origin,
    /// The type of the ICMP message.
    pub kind: u8,
    /// The code of the ICMP message.
    pub code: u8,
    /// More about it: for `EMSGSIZE` the path's MTU in bytes; for a stamp what was stamped: 0 for
    /// the sending, 1 for the handing to the device, 2 for the acknowledgement.
    pub info: u32,
    /// More about it: for a stamp the number of the message among those sent, from 0.
    pub value: u32,
    /// The machine that said so, if it was one.
    pub offender: Option<IpAddr>,
    /// When a stamp was taken.
    pub stamp: Option<Stamp>,
    /// Where the message was sent that it is about.
    pub to: Option<Address>,
}

/// Who put something into an error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This machine.
    Local,
    /// An ICMP message.
    Icmp,
    /// An ICMPv6 message.
    Icmp6,
    /// It is no error: a message was stamped on its way (`SO_TIMESTAMPING`).
    Stamp,
    /// Something else, by its number.
    Other(u8),
}

impl QueuedError {
    /// The error as others tell it.
    #[must_use]
    pub fn to_error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.number)
    }
}

/// How a message is to be received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receive {
    /// Bytes there is room for.
    pub(crate) room: usize,
    /// It stays, to be received again (`MSG_PEEK`).
    pub(crate) peek: bool,
    /// Ancillary data was asked for.
    pub(crate) ancillary: bool,
    /// As many descriptors are taken from one message.
    pub(crate) descriptors: usize,
}

/// A message that is to go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outbound<'a> {
    /// Its bytes, in pieces.
    pub(crate) parts: &'a [IoSlice<'a>],
    /// Where; None for where the socket is connected to.
    pub(crate) to: Option<&'a Address>,
    pub(crate) descriptors: &'a [BorrowedFd<'a>],
}
