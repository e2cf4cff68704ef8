//! What a socket is: its kind, its addresses, and every option that can be read from it.

mod rows;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};
use serde::Serialize;

use crate::address::Address;
use crate::control::errno;
use rows::{Family, ROWS, Shape};

/// What a socket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SocketDescription {
    /// The number of the descriptor.
    pub descriptor: i32,
    /// `ipv4`, `ipv6`, `unix`, or the family's number (socket(2)).
    pub family: String,
    /// `stream`, `datagram`, `seqpacket`, `raw`, or the type's number.
    #[serde(rename = "type")]
    pub kind: String,
    /// `tcp`, `udp`, and others by number (`SO_PROTOCOL`); None where a family has only one.
    pub protocol: Option<String>,
    /// The state of a TCP socket, as RFC 9293 writes it.
    pub state: Option<&'static str>,
    /// Its own address.
    pub local: Option<String>,
    /// The peer's; None where there is none.
    pub peer: Option<String>,
    /// Every option that could be read, in the order of the layers.
    pub options: Vec<OptionRow>,
}

/// One option of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptionRow {
    /// As in the manual: `SO_RCVBUF`.
    pub name: &'static str,
    /// The manual's page: `socket(7)`.
    pub page: &'static str,
    /// What it is called behind the `?` of an endpoint, if it can be asked for there.
    pub endpoint_option: Option<&'static str>,
    /// What it is now.
    pub value: OptionValue,
    /// What it is when nobody asks; None where it depends on the connection, or the machine does not
    /// tell.
    pub default: Option<OptionValue>,
    /// Where the default is from: a page of the manual, or a setting of this machine (sysctl(8)).
    pub default_from: Option<&'static str>,
    /// `bytes`, `seconds`, `milliseconds`, `routers`; empty for what has none.
    pub unit: &'static str,
    /// What it is for, in a few words.
    pub meaning: &'static str,
}

impl OptionRow {
    /// Whether it is other than it would be if nobody had asked; false where that is not known.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.default.as_ref().is_some_and(|default| *default != self.value)
    }
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// On or off.
    Switch(bool),
    /// A number, with the unit of its row.
    Number(i64),
    /// A name.
    Text(String),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Switch(true) => f.write_str("on"),
            OptionValue::Switch(false) => f.write_str("off"),
            OptionValue::Number(number) => number.fmt(f),
            OptionValue::Text(text) => f.write_str(text),
        }
    }
}

/// Describes a socket. Nothing of it is changed: `SO_ERROR`, which reading clears, is left out. What
/// this kernel does not know is left out as well.
///
/// ```
/// use sockeye_engine::{OptionValue, describe};
///
/// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let description = describe(&socket)?;
/// assert_eq!((&*description.family, &*description.kind), ("ipv4", "datagram"));
/// let row = description.options.iter().find(|row| row.name == "SO_BROADCAST").unwrap();
/// assert_eq!((&row.value, row.is_changed()), (&OptionValue::Switch(false), false));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `ENOTSOCK`: the descriptor is no socket.
pub fn describe(fd: impl AsFd) -> io::Result<SocketDescription> {
    let fd = fd.as_fd();
    let (domain, kind) = (sockopt::socket_domain(fd)?, sockopt::socket_type(fd)?);
    let protocol = sockopt::socket_protocol(fd)?.map(|protocol| protocol.as_raw().get());
    let family = Family { domain, kind, protocol };
    let shown = |address: Address| address.to_string();
    let local = rustix::net::getsockname(fd).ok().and_then(|local| Address::decode(local).ok());
    let peer = crate::error::peer(fd).and_then(|peer| Address::decode(peer).ok());
    let options = ROWS.iter().filter(|row| row.for_whom.fits(&family)).filter_map(|row| {
        let value = read(fd, row.level, row.option, row.shape).ok()?;
        let (default, default_from) = row.default.find(&family, row.shape);
        Some(OptionRow {
            name: row.name,
            page: row.page,
            endpoint_option: row.endpoint_option,
            value,
            default_from: default.as_ref().and(default_from),
            default,
            unit: row.unit,
            meaning: row.meaning,
        })
    });
    Ok(SocketDescription {
        descriptor: fd.as_raw_fd(),
        family: match domain {
            AddressFamily::INET => "ipv4".to_owned(),
            AddressFamily::INET6 => "ipv6".to_owned(),
            AddressFamily::UNIX => "unix".to_owned(),
            other => other.as_raw().to_string(),
        },
        kind: match kind {
            SocketType::STREAM => "stream".to_owned(),
            SocketType::DGRAM => "datagram".to_owned(),
            SocketType::SEQPACKET => "seqpacket".to_owned(),
            SocketType::RAW => "raw".to_owned(),
            other => other.as_raw().to_string(),
        },
        protocol: protocol.map(|number| match i32::try_from(number) {
            Ok(libc::IPPROTO_TCP) => "tcp".to_owned(),
            Ok(libc::IPPROTO_UDP) => "udp".to_owned(),
            Ok(libc::IPPROTO_ICMP) => "icmp".to_owned(),
            Ok(libc::IPPROTO_ICMPV6) => "icmpv6".to_owned(),
            Ok(libc::IPPROTO_MPTCP) => "mptcp".to_owned(),
            _ => number.to_string(),
        }),
        state: family.is_tcp().then(|| state(fd)).flatten(),
        local: local.map(shown),
        peer: peer.map(shown),
        options: options.collect(),
    })
}

/// The first byte of `TCP_INFO`.
fn state(fd: BorrowedFd<'_>) -> Option<&'static str> {
    let mut room = [0; 8];
    get(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut room).ok()?;
    // net/tcp_states.h; a socket that is new is CLOSED.
    const STATES: [&str; 13] = [
        "?",
        "ESTABLISHED",
        "SYN-SENT",
        "SYN-RECEIVED",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "CLOSED",
        "CLOSE-WAIT",
        "LAST-ACK",
        "LISTEN",
        "CLOSING",
        "SYN-RECEIVED",
    ];
    STATES.get(usize::from(room[0])).copied()
}

fn read(fd: BorrowedFd<'_>, level: i32, option: i32, shape: Shape) -> Result<OptionValue, Errno> {
    let mut room = [0; 32];
    let len = get(fd, level, option, &mut room)?;
    let int = |at: usize| {
        let bytes = room.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        i32::from_ne_bytes(bytes.unwrap_or_default())
    };
    let long = |at: usize| {
        let bytes = room.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        i64::from_ne_bytes(bytes.unwrap_or_default())
    };
    // Some of IP's are a single byte where the room allows it.
    let number = if len == 1 { i32::from(room[0]) } else { int(0) };
    Ok(match shape {
        Shape::Switch => OptionValue::Switch(number != 0),
        Shape::Number => OptionValue::Number(number.into()),
        Shape::Unsigned => OptionValue::Number(number.cast_unsigned().into()),
        Shape::Long => OptionValue::Number(long(0)),
        Shape::Names(names) => usize::try_from(number)
            .ok()
            .and_then(|number| names.get(number))
            .map_or(OptionValue::Number(number.into()), |name| OptionValue::Text((*name).into())),
        Shape::Text => {
            let text = room.get(..len).unwrap_or_default();
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            OptionValue::Text(text.escape_ascii().to_string())
        }
        // On or off, and seconds.
        Shape::Linger if int(0) == 0 => OptionValue::Switch(false),
        Shape::Linger => OptionValue::Number(int(4).into()),
        // Seconds and microseconds; none is for ever.
        Shape::Time => match long(0).saturating_mul(1000).saturating_add(long(8) / 1000) {
            0 => OptionValue::Switch(false),
            millis => OptionValue::Number(millis),
        },
        Shape::AddressV4 => OptionValue::Text(
            std::net::Ipv4Addr::from([room[0], room[1], room[2], room[3]]).to_string(),
        ),
    })
}

/// getsockopt(2): the bytes that were written.
fn get(fd: BorrowedFd<'_>, level: i32, option: i32, room: &mut [u8]) -> Result<usize, Errno> {
    let mut len = libc::socklen_t::try_from(room.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the kernel writes at most `len` bytes, which is the size of the room.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, option, room.as_mut_ptr().cast(), &raw mut len)
    };
    if result == 0 { Ok((len as usize).min(room.len())) } else { Err(errno()) }
}
