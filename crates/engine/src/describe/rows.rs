//! The options that are read, layer by layer: how each is read, what it is without anybody's doing,
//! and what it is for.
//!
//! Sources: socket(7), ip(7), ipv6(7), tcp(7), udp(7), unix(7), and for what those do not name the
//! kernel's documentation of its settings (networking/ip-sysctl).

use std::fs;

use rustix::net::{AddressFamily, SocketType};

use super::OptionValue;

/// What kind of socket it is.
pub(super) struct Family {
    pub(super) domain: AddressFamily,
    pub(super) kind: SocketType,
    pub(super) protocol: Option<u32>,
}

impl Family {
    pub(super) fn is_tcp(&self) -> bool {
        self.is_ip() && self.protocol == u32::try_from(libc::IPPROTO_TCP).ok()
    }

    fn is_udp(&self) -> bool {
        self.is_ip() && self.protocol == u32::try_from(libc::IPPROTO_UDP).ok()
    }

    fn is_ip(&self) -> bool {
        self.domain == AddressFamily::INET || self.domain == AddressFamily::INET6
    }

    fn is_v6(&self) -> bool {
        self.domain == AddressFamily::INET6
    }
}

/// The sockets that an option is of.
#[derive(Clone, Copy)]
pub(super) enum For {
    All,
    Ip,
    V4,
    V6,
    /// Of IPv4, but no stream: those have no groups.
    GroupV4,
    GroupV6,
    Tcp,
    Udp,
    Unix,
}

impl For {
    pub(super) fn fits(self, family: &Family) -> bool {
        let stream = family.kind == SocketType::STREAM;
        match self {
            For::All => true,
            For::Ip => family.is_ip(),
            For::V4 => family.is_ip() && !family.is_v6(),
            For::V6 => family.is_v6(),
            For::GroupV4 => family.is_ip() && !family.is_v6() && !stream,
            For::GroupV6 => family.is_v6() && !stream,
            For::Tcp => family.is_tcp(),
            For::Udp => family.is_udp(),
            For::Unix => family.domain == AddressFamily::UNIX,
        }
    }
}

/// How a value lies in memory.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Switch,
    Number,
    Unsigned,
    /// Of 64 bits.
    Long,
    /// A number that has names.
    Names(&'static [&'static str]),
    Text,
    Linger,
    Time,
    AddressV4,
}

/// What a value is when nobody has asked for another.
#[derive(Clone, Copy)]
pub(super) enum Initial {
    /// It depends.
    Unknown,
    Off,
    On,
    Is(i64),
    Named(&'static str),
    /// A setting of the machine.
    Setting(&'static str),
    /// One of TCP, which has three numbers, of which this is the second; one of all others.
    Buffer {
        tcp: &'static str,
        others: &'static str,
    },
}

impl Initial {
    /// The value, and where it is from.
    pub(super) fn find(
        self,
        family: &Family,
        shape: Shape,
    ) -> (Option<OptionValue>, Option<&'static str>) {
        const MANUAL: Option<&str> = Some("the manual");
        match self {
            Unknown => (None, None),
            Off => (Some(OptionValue::Switch(false)), MANUAL),
            On => (Some(OptionValue::Switch(true)), MANUAL),
            Is(number) => (Some(OptionValue::Number(number)), MANUAL),
            Named(name) => (Some(OptionValue::Text(name.to_owned())), MANUAL),
            Setting(name) => (setting(name, 0, shape), Some(name)),
            Initial::Buffer { tcp, .. } if family.is_tcp() => (setting(tcp, 1, shape), Some(tcp)),
            Initial::Buffer { others, .. } => (setting(others, 0, shape), Some(others)),
        }
    }
}

/// Of sysctl(8).
fn setting(name: &str, field: usize, shape: Shape) -> Option<OptionValue> {
    let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    let text = text.split_whitespace().nth(field)?;
    Some(match shape {
        Switch => OptionValue::Switch(text != "0"),
        Text => OptionValue::Text(text.to_owned()),
        _ => OptionValue::Number(text.parse().ok()?),
    })
}

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) level: i32,
    pub(super) option: i32,
    pub(super) page: &'static str,
    pub(super) for_whom: For,
    pub(super) shape: Shape,
    pub(super) default: Initial,
    pub(super) unit: &'static str,
    pub(super) endpoint_option: Option<&'static str>,
    pub(super) meaning: &'static str,
}

const PMTU: Shape = Shape::Names(&["dont", "want", "do", "probe", "interface", "omit"]);
const RECEIVE: Initial =
    Initial::Buffer { tcp: "net.ipv4.tcp_rmem", others: "net.core.rmem_default" };
const SEND: Initial = Initial::Buffer { tcp: "net.ipv4.tcp_wmem", others: "net.core.wmem_default" };

macro_rules! rows {
    ($($level:ident $page:literal { $(
        $option:ident $for_whom:ident $shape:expr, $default:expr, $unit:literal, $endpoint:expr, $meaning:literal;
    )* })*) => {
        pub(super) const ROWS: &[Row] = &[$($(Row {
            name: stringify!($option),
            level: libc::$level,
            option: libc::$option,
            page: $page,
            for_whom: For::$for_whom,
            shape: $shape,
            default: $default,
            unit: $unit,
            endpoint_option: $endpoint,
            meaning: $meaning,
        },)*)*];
    };
}

use Initial::{Is, Named, Off, On, Setting, Unknown};
use Shape::{AddressV4, Linger, Long, Number, Switch, Text, Time, Unsigned};

rows! {
    SOL_SOCKET "socket(7)" {
        SO_ACCEPTCONN All Switch, Unknown, "", None, "it listens";
        SO_REUSEADDR All Switch, Off, "", Some("reuseaddr"), "bind although old connections linger there";
        SO_REUSEPORT Ip Switch, Off, "", Some("reuseport"), "share the port with other sockets of the same user";
        SO_BINDTODEVICE Ip Text, Named(""), "", Some("interface"), "the only interface packets come and go by";
        SO_RCVBUF All Number, RECEIVE, "bytes", Some("rcvbuf"), "room to receive into, doubled for book-keeping";
        SO_SNDBUF All Number, SEND, "bytes", Some("sndbuf"), "what may wait to be sent, doubled as well";
        SO_RCVLOWAT All Number, Is(1), "bytes", None, "what must have come before a receive returns";
        SO_RCVTIMEO All Time, Off, "milliseconds", None, "how long a receive may sleep";
        SO_SNDTIMEO All Time, Off, "milliseconds", None, "how long a send may sleep";
        SO_LINGER All Linger, Off, "seconds", Some("linger"), "how long close waits for what is not acknowledged";
        SO_KEEPALIVE Tcp Switch, Off, "", Some("keepalive"), "ask a silent peer whether it is still there";
        SO_OOBINLINE Tcp Switch, Off, "", None, "urgent data comes with the rest";
        SO_BROADCAST Udp Switch, Off, "", Some("broadcast"), "datagrams may go to broadcast addresses";
        SO_DONTROUTE Ip Switch, Off, "", None, "only to neighbours, past no router";
        SO_PRIORITY Ip Number, Unknown, "", None, "the queue of the interface";
        SO_MARK Ip Unsigned, Is(0), "", Some("mark"), "for rules of routing and firewall";
        SO_MAX_PACING_RATE Ip Long, Is(-1), "bytes/s", None, "never sends faster; -1 for no bound";
        SO_BUSY_POLL Ip Number, Setting("net.core.busy_read"), "microseconds", None, "ask the interface in a loop before sleeping";
        SO_INCOMING_CPU Ip Number, Unknown, "", None, "the processor that received last";
        SO_ZEROCOPY Ip Switch, Off, "", None, "MSG_ZEROCOPY may be used to send";
        SO_RXQ_OVFL Udp Switch, Off, "", None, "tell with each message how many were dropped";
        SO_TIMESTAMP All Switch, Off, "", None, "tell when each message came";
        SO_COOKIE All Long, Unknown, "", None, "the kernel's own number of the socket";
        SO_PASSCRED Unix Switch, Off, "", None, "tell who sent a message";
        SO_PEEK_OFF Unix Number, Is(-1), "bytes", None, "where MSG_PEEK looks; -1 for the beginning";
    }
    IPPROTO_IP "ip(7)" {
        IP_TTL V4 Number, Setting("net.ipv4.ip_default_ttl"), "routers", Some("ttl"), "routers a packet may pass";
        IP_TOS V4 Number, Is(0), "", Some("tos"), "differentiated services and ECN";
        IP_MTU V4 Number, Unknown, "bytes", None, "the longest packet to the peer, as far as is known";
        IP_MTU_DISCOVER V4 PMTU, Unknown, "", None, "finding the longest packet of the path";
        IP_MINTTL V4 Number, Is(0), "routers", None, "packets with less left are dropped";
        IP_FREEBIND V4 Switch, Off, "", None, "bind to addresses that are not there yet";
        IP_TRANSPARENT V4 Switch, Off, "", None, "bind to addresses of others";
        IP_BIND_ADDRESS_NO_PORT V4 Switch, Off, "", None, "choose the port when connecting";
        IP_RECVERR V4 Switch, Off, "", None, "ICMP errors in full";
        IP_PKTINFO GroupV4 Switch, Off, "", None, "tell which address a datagram came to";
        IP_RECVTTL GroupV4 Switch, Off, "", None, "tell what is left of a datagram's time to live";
        IP_RECVTOS GroupV4 Switch, Off, "", None, "tell a datagram's differentiated services";
        IP_MULTICAST_TTL GroupV4 Number, Is(1), "routers", Some("ttl"), "routers a datagram to a group may pass";
        IP_MULTICAST_LOOP GroupV4 Switch, On, "", Some("loop"), "own datagrams to a group come back";
        IP_MULTICAST_ALL GroupV4 Switch, On, "", None, "also from groups that others here have joined";
        IP_MULTICAST_IF GroupV4 AddressV4, Named("0.0.0.0"), "", Some("interface"), "the address of the interface to groups";
    }
    IPPROTO_IPV6 "ipv6(7)" {
        IPV6_V6ONLY V6 Switch, Setting("net.ipv6.bindv6only"), "", None, "no part in IPv4, as of all that is bound to an address of IPv6";
        IPV6_UNICAST_HOPS V6 Number, Setting("net.ipv6.conf.default.hop_limit"), "routers", Some("ttl"), "routers a packet may pass";
        IPV6_TCLASS V6 Number, Is(0), "", Some("tos"), "differentiated services and ECN";
        IPV6_MTU V6 Number, Unknown, "bytes", None, "the longest packet to the peer, as far as is known";
        IPV6_MTU_DISCOVER V6 PMTU, Unknown, "", None, "finding the longest packet of the path";
        IPV6_FREEBIND V6 Switch, Off, "", None, "bind to addresses that are not there yet";
        IPV6_TRANSPARENT V6 Switch, Off, "", None, "bind to addresses of others";
        IPV6_RECVERR V6 Switch, Off, "", None, "ICMP errors in full";
        IPV6_RECVPKTINFO GroupV6 Switch, Off, "", None, "tell which address a datagram came to";
        IPV6_RECVHOPLIMIT GroupV6 Switch, Off, "", None, "tell what is left of a datagram's hops";
        IPV6_MULTICAST_HOPS GroupV6 Number, Is(1), "routers", Some("ttl"), "routers a datagram to a group may pass";
        IPV6_MULTICAST_LOOP GroupV6 Switch, On, "", Some("loop"), "own datagrams to a group come back";
        IPV6_MULTICAST_IF GroupV6 Number, Is(0), "", Some("interface"), "the number of the interface to groups";
    }
    IPPROTO_TCP "tcp(7)" {
        TCP_NODELAY Tcp Switch, Off, "", Some("nodelay"), "small segments leave at once";
        TCP_CORK Tcp Switch, Off, "", None, "only full segments leave";
        TCP_MAXSEG Tcp Number, Unknown, "bytes", Some("mss"), "the longest segment";
        TCP_CONGESTION Tcp Text, Setting("net.ipv4.tcp_congestion_control"), "", Some("congestion"), "the congestion control";
        TCP_QUICKACK Tcp Switch, Unknown, "", None, "acknowledgements leave at once, for now";
        TCP_NOTSENT_LOWAT Tcp Unsigned, Is(0), "bytes", None, "what may wait unsent while there is room; 0 for the machine's";
        TCP_WINDOW_CLAMP Tcp Number, Unknown, "bytes", None, "the largest window to offer";
        TCP_KEEPIDLE Tcp Number, Setting("net.ipv4.tcp_keepalive_time"), "seconds", Some("keepalive"), "silence before a keepalive question";
        TCP_KEEPINTVL Tcp Number, Setting("net.ipv4.tcp_keepalive_intvl"), "seconds", Some("keepalive"), "time between questions";
        TCP_KEEPCNT Tcp Number, Setting("net.ipv4.tcp_keepalive_probes"), "", Some("keepalive"), "questions before the connection is given up";
        TCP_USER_TIMEOUT Tcp Number, Is(0), "milliseconds", Some("user-timeout"), "how long data may stay unacknowledged; 0 for the machine's";
        TCP_SYNCNT Tcp Number, Setting("net.ipv4.tcp_syn_retries"), "", None, "how often a SYN is sent again";
        TCP_LINGER2 Tcp Number, Setting("net.ipv4.tcp_fin_timeout"), "seconds", None, "how long an orphan stays in FIN-WAIT-2";
        TCP_DEFER_ACCEPT Tcp Number, Is(0), "seconds", None, "accept only connections on which data has come";
        TCP_FASTOPEN Tcp Number, Is(0), "", None, "queue of connections that bring data in their SYN";
        TCP_FASTOPEN_CONNECT Tcp Switch, Off, "", None, "send data in our SYN";
        TCP_SAVE_SYN Tcp Switch, Off, "", None, "keep the peer's SYN";
        TCP_INQ Tcp Switch, Off, "", None, "tell with each receive what is left";
        TCP_ULP Tcp Text, Named(""), "", None, "what lies above, such as tls";
    }
    IPPROTO_UDP "udp(7)" {
        UDP_CORK Udp Switch, Off, "", None, "gather writes into one datagram";
        UDP_SEGMENT Udp Number, Is(0), "bytes", None, "cut one send into datagrams of this length";
        UDP_GRO Udp Switch, Off, "", None, "hand over several datagrams at once";
    }
}
