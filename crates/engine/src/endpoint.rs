//! Where to listen or connect, as people write it: `tcp://127.0.0.1:8000?nodelay`, `[::1]:80`,
//! `host:http`, `unix:///run/x.sock`, `-`.

mod connect;
mod error;
mod grammar;
mod listen;
mod listen_error;
mod many;
mod race;
mod resolve;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;

pub use connect::{ConnectError, Connected};
pub use error::EndpointError;
pub(crate) use grammar::{Encoded, nearest};
pub use listen::{BoundSocket, Listening};
pub(crate) use listen::{bind_streams, ip_socket};
pub use listen_error::ListenError;

use crate::address::UnixAddress;
use crate::socket_options::SocketOptions;

/// Where a socket is to be, of any kind, and with which options.
///
/// What is written is `SCHEME://HOST:PORT?OPTIONS`. Without a scheme it is TCP. A host is a name, an
/// IPv4 address, or an IPv6 address in brackets, with a zone where it is link-local
/// (`[fe80::1%eth0]:80`, RFC 4007 §11). A port is a number or the name of a service
/// (services(5)). A Unix socket is `unix:PATH`, `unix://PATH` or `unix:@NAME` for an abstract name
/// (unix(7)); what a path can't hold as it is (`?`, `%`, control characters) is percent-encoded
/// (RFC 3986 §2.1). `-` is standard input and output. For options, see [`SocketOptions`].
///
/// Datagrams may go to many at once: `udp://239.1.2.3:9999?interface=eth0` is a multicast group, and
/// `udp://broadcast:9999` all in the networks of this machine, or with `?interface=eth0` in those of
/// one interface. What is sent there is answered from everywhere.
///
/// ```
/// use sockeye_engine::{Endpoint, EndpointKind, UnixAddress};
///
/// let endpoint: Endpoint = "tcp://127.0.0.1:8000?nodelay&rcvbuf=64k".parse().unwrap();
/// assert_eq!(endpoint.to_string(), "tcp://127.0.0.1:8000?nodelay&rcvbuf=64k");
/// assert_eq!(endpoint.options().receive_buffer, Some(65_536));
/// assert_eq!("localhost:80".parse::<Endpoint>().unwrap().port(), 80);
/// assert_eq!("udp://[::1]:53".parse::<Endpoint>().unwrap().kind(), EndpointKind::Udp);
/// let endpoint: Endpoint = "unix:///run/web.sock".parse().unwrap();
/// assert_eq!(endpoint.unix(), Some(&UnixAddress::Path("/run/web.sock".into())));
/// let endpoint: Endpoint = "unix:@name".parse().unwrap();
/// assert_eq!(endpoint.unix(), Some(&UnixAddress::Abstract(b"name".to_vec())));
///
/// let error = "tcp://127.0.0.1:99999".parse::<Endpoint>().unwrap_err();
/// assert!(error.caret().ends_with("\n                ^^^^^ 99999 is no port (0 to 65535)"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    place: Place,
    options: SocketOptions,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Without brackets, with its zone.
    Ip {
        kind: EndpointKind,
        host: String,
        port: Port,
    },
    Unix {
        kind: EndpointKind,
        name: UnixAddress,
    },
    Standard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Port {
    Number(u16),
    Service(String),
}

/// What kind of socket an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointKind {
    /// A stream over the internet (tcp(7)).
    Tcp,
    /// Datagrams over the internet (udp(7)).
    Udp,
    /// A stream within this machine (unix(7), `SOCK_STREAM`).
    Unix,
    /// Datagrams within this machine (unix(7), `SOCK_DGRAM`).
    UnixDatagram,
    /// Connections of messages within this machine (unix(7), `SOCK_SEQPACKET`).
    UnixSeqpacket,
    /// Standard input and output: no socket of ours, and nothing is known of what it is.
    Standard,
}

impl EndpointKind {
    /// Every kind.
    pub const ALL: [EndpointKind; 6] = [
        EndpointKind::Tcp,
        EndpointKind::Udp,
        EndpointKind::Unix,
        EndpointKind::UnixDatagram,
        EndpointKind::UnixSeqpacket,
        EndpointKind::Standard,
    ];

    /// How it is written in front of `:`; `-` for standard input and output.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            EndpointKind::Tcp => "tcp",
            EndpointKind::Udp => "udp",
            EndpointKind::Unix => "unix",
            EndpointKind::UnixDatagram => "unix-dgram",
            EndpointKind::UnixSeqpacket => "unix-seqpacket",
            EndpointKind::Standard => "-",
        }
    }

    /// Whether it has a host and a port.
    #[must_use]
    pub fn is_ip(self) -> bool {
        matches!(self, EndpointKind::Tcp | EndpointKind::Udp)
    }

    /// Whether it is a Unix socket.
    #[must_use]
    pub fn is_unix(self) -> bool {
        use EndpointKind::{Unix, UnixDatagram, UnixSeqpacket};
        matches!(self, Unix | UnixDatagram | UnixSeqpacket)
    }
}

impl fmt::Display for EndpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

impl Endpoint {
    /// TCP at this address and port.
    #[must_use]
    pub fn tcp(address: IpAddr, port: u16) -> Endpoint {
        Endpoint::ip(EndpointKind::Tcp, address, port)
    }

    /// UDP at this address and port.
    #[must_use]
    pub fn udp(address: IpAddr, port: u16) -> Endpoint {
        Endpoint::ip(EndpointKind::Udp, address, port)
    }

    fn ip(kind: EndpointKind, address: IpAddr, port: u16) -> Endpoint {
        let place = Place::Ip { kind, host: address.to_string(), port: Port::Number(port) };
        Endpoint { place, options: SocketOptions::default() }
    }

    /// What kind of socket it is.
    #[must_use]
    pub fn kind(&self) -> EndpointKind {
        match self.place {
            Place::Ip { kind, .. } | Place::Unix { kind, .. } => kind,
            Place::Standard => EndpointKind::Standard,
        }
    }

    /// The host as it was written, without brackets; None where there is none.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Ip { host, .. } => Some(host),
            Place::Unix { .. } | Place::Standard => None,
        }
    }

    /// The port; 0 lets the system choose. What has no port, or a service's name in its place, has 0
    /// here as well: [`Endpoint::resolve`] finds the number.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self.place {
            Place::Ip { port: Port::Number(port), .. } => port,
            _ => 0,
        }
    }

    /// The name of the Unix socket, if it is one.
    #[must_use]
    pub fn unix(&self) -> Option<&UnixAddress> {
        match &self.place {
            Place::Unix { name, .. } => Some(name),
            Place::Ip { .. } | Place::Standard => None,
        }
    }

    /// What is asked of its sockets.
    #[must_use]
    pub fn options(&self) -> &SocketOptions {
        &self.options
    }

    /// The same, to change it. An option that has no meaning for this kind is ignored.
    pub fn options_mut(&mut self) -> &mut SocketOptions {
        &mut self.options
    }

    /// Every address the host has, in the order the system prefers (getaddrinfo(3), RFC 6724); none
    /// of what has no host. Asks others, and waits for them. Of [`udp://broadcast`](Self::is_broadcast)
    /// it is the broadcast address of each network this machine is in.
    ///
    /// # Errors
    ///
    /// The name, the service or the zone is not known, or whoever should know it does not answer; no
    /// interface can broadcast.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.place {
            Place::Ip { kind, port, .. } if self.is_broadcast() => {
                let any = resolve::resolve(*kind, "0.0.0.0", port)?;
                self.broadcast_addresses(any.first().map_or(0, SocketAddr::port))
            }
            Place::Ip { kind, host, port } => resolve::resolve(*kind, host, port),
            Place::Unix { .. } | Place::Standard => Ok(Vec::new()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match &self.place {
            Place::Ip { host, port, .. } => {
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "{kind}://{open}{host}{close}:")?;
                match port {
                    Port::Number(port) => write!(f, "{port}")?,
                    Port::Service(name) => f.write_str(name)?,
                }
            }
            Place::Unix { name: UnixAddress::Path(path), .. } => {
                write!(f, "{kind}://{}", Encoded(path.as_os_str().as_bytes()))?;
            }
            Place::Unix { name: UnixAddress::Abstract(name), .. } => {
                write!(f, "{kind}:@{}", Encoded(name))?;
            }
            Place::Unix { name: UnixAddress::Unnamed, .. } => write!(f, "{kind}:")?,
            Place::Standard => f.write_str("-")?,
        }
        self.options.fmt(f)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        grammar::parse(text)
    }
}
