//! What can be asked of a socket before it is used, one field an option.

mod apply;
mod owner;
mod table;
mod value;

use std::net::IpAddr;
use std::time::Duration;

pub(crate) use apply::apply;
pub use apply::{OptionFailed, Purpose};
pub(crate) use owner::Ids;
pub(crate) use table::OptionError;
pub use table::{OptionHelp, option_help};

use crate::address::UnixAddress;

/// What is asked of the sockets of an [`Endpoint`](crate::Endpoint); None is the system's own way.
///
/// In text they ride behind `?`: `tcp://host:1?nodelay&rcvbuf=64k`. Sizes are in bytes and take `k`,
/// `M` and `G` (powers of 1024); times are written `100ms`, `15s`, `2m`; what is on or off is on when
/// it is only named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// `nodelay`: small segments leave at once (`TCP_NODELAY`, tcp(7)); ours do unless it is off.
    pub nodelay: Option<bool>,
    /// `keepalive`, `keepalive=IDLE`, `keepalive=IDLE,INTERVAL,COUNT`: a silent peer is asked whether
    /// it is still there (`SO_KEEPALIVE`, tcp(7)).
    pub keepalive: Option<Keepalive>,
    /// `rcvbuf`: bytes of room to receive into (`SO_RCVBUF`, socket(7)); the kernel doubles it for its
    /// own book-keeping. Without it, TCP finds the size itself.
    pub receive_buffer: Option<u32>,
    /// `sndbuf`: bytes that may wait to be sent (`SO_SNDBUF`, socket(7)); doubled as well.
    pub send_buffer: Option<u32>,
    /// `reuseaddr`: bind although old connections linger there (`SO_REUSEADDR`, socket(7)). TCP
    /// listeners have it unless it is off; on UDP it lets several bind to one port.
    pub reuse_address: Option<bool>,
    /// `reuseport`: several sockets of one user share the port (`SO_REUSEPORT`, socket(7)).
    pub reuse_port: Option<bool>,
    /// `linger`: how long close waits for what is not yet acknowledged; none of it is a reset
    /// (`SO_LINGER`, socket(7)). Whole seconds.
    pub linger: Option<Duration>,
    /// `broadcast`: datagrams may go to broadcast addresses (`SO_BROADCAST`, socket(7)). To
    /// `udp://broadcast:PORT`, which is the broadcast address of each network, they may without it.
    pub broadcast: Option<bool>,
    /// `ttl`: routers a packet may pass, 1 to 255 (`IP_TTL`, ip(7); `IPV6_UNICAST_HOPS`, ipv6(7));
    /// to groups too (`IP_MULTICAST_TTL`).
    pub ttl: Option<u8>,
    /// `tos`: the whole byte of differentiated services and ECN (`IP_TOS`, ip(7); `IPV6_TCLASS`).
    pub tos: Option<u8>,
    /// `mark`: a number that rules of routing and firewall may ask for (`SO_MARK`, socket(7)).
    pub mark: Option<u32>,
    /// `interface`: the only interface packets come and go by (`SO_BINDTODEVICE`, socket(7)). On a
    /// socket of a multicast group, the one to join and to send on.
    pub interface: Option<String>,
    /// `bind`: our own end of a connection, `ADDRESS`, `ADDRESS:PORT`, `:PORT`, or for Unix
    /// datagrams `PATH` or `@NAME` (bind(2)).
    pub bind: Option<LocalEnd>,
    /// `mss`: the longest segment, in bytes of data, 88 to 32767 (`TCP_MAXSEG`, tcp(7)).
    pub mss: Option<u16>,
    /// `congestion`: the algorithm, `cubic` for instance (`TCP_CONGESTION`, tcp(7)).
    pub congestion: Option<String>,
    /// `user-timeout`: how long sent data may stay unacknowledged before the connection is given up,
    /// in milliseconds (`TCP_USER_TIMEOUT`, RFC 5482).
    pub user_timeout: Option<Duration>,
    /// `backlog`: connections that may wait for accept (listen(2)); `net.core.somaxconn` bounds it.
    pub backlog: Option<u32>,
    /// `connect-timeout`: how long connecting may take, over all addresses.
    pub connect_timeout: Option<Duration>,
    /// `join`: multicast groups to receive from (`IP_ADD_MEMBERSHIP`, ip(7)); may be given several
    /// times. Who listens at a group has joined it without this, and shares its port with others that
    /// do unless `reuseaddr` is off.
    pub join: Vec<IpAddr>,
    /// `loop`: our own datagrams to a group come back to this machine (`IP_MULTICAST_LOOP`, ip(7)).
    pub multicast_loop: Option<bool>,
    /// `mode`: who may use the file of a Unix socket, in octal, from before anybody can.
    pub mode: Option<u32>,
    /// `owner`: whose the file of a Unix socket is, `USER`, `USER:GROUP` or `:GROUP`, by name or
    /// number.
    pub owner: Option<Owner>,
}

/// When a silent peer is asked whether it is still there (tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// Never.
    Off,
    /// With the system's times, where they are not given.
    On {
        /// Silence before the first question, 1 to 32767 whole seconds (`TCP_KEEPIDLE`).
        idle: Option<Duration>,
        /// Time between questions, as long (`TCP_KEEPINTVL`), and how many go unanswered, 1 to 127,
        /// before the connection is given up (`TCP_KEEPCNT`).
        then: Option<(Duration, u8)>,
    },
}

/// Our own end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalEnd {
    /// An address of the internet, any if there is none, and a port, any if it is 0.
    Ip(Option<IpAddr>, u16),
    /// A Unix socket's name.
    Unix(UnixAddress),
}

/// Whose a file is. Names are looked up when the socket is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// A name or a number; None leaves it to the process's own.
    pub user: Option<String>,
    /// A name or a number; None leaves it to the process's own.
    pub group: Option<String>,
}
