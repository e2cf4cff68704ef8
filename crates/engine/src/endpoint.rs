//! Where to listen or connect, as people write it: `tcp://127.0.0.1:8000`, `[::1]:80`, `host:http`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use crate::address::UnixAddress;

/// Where a stream can be listened for: TCP, or a Unix socket.
///
/// ```
/// use sockeye_engine::{Endpoint, UnixAddress};
///
/// let endpoint: Endpoint = "tcp://127.0.0.1:8000".parse().unwrap();
/// assert_eq!(endpoint.to_string(), "tcp://127.0.0.1:8000");
/// assert_eq!("localhost:80".parse::<Endpoint>().unwrap().port(), 80);
/// assert!("tcp://127.0.0.1".parse::<Endpoint>().is_err());
/// let endpoint: Endpoint = "unix:///run/web.sock".parse().unwrap();
/// assert_eq!(endpoint.unix(), Some(&UnixAddress::Path("/run/web.sock".into())));
/// let endpoint: Endpoint = "unix:@name".parse().unwrap();
/// assert_eq!(endpoint.unix(), Some(&UnixAddress::Abstract(b"name".to_vec())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16 },
    Unix(UnixAddress),
}

impl Endpoint {
    /// TCP at this address and port.
    #[must_use]
    pub fn tcp(address: IpAddr, port: u16) -> Endpoint {
        Endpoint { place: Place::Tcp { host: address.to_string(), port } }
    }

    /// The port; 0 lets the system choose. A Unix socket has none, which is 0 as well.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self.place {
            Place::Tcp { port, .. } => port,
            Place::Unix(_) => 0,
        }
    }

    /// The name of the Unix socket, if it is one.
    #[must_use]
    pub fn unix(&self) -> Option<&UnixAddress> {
        match &self.place {
            Place::Unix(name) => Some(name),
            Place::Tcp { .. } => None,
        }
    }

    /// Every address the host has; none of a Unix socket.
    ///
    /// # Errors
    ///
    /// The name is not known, or whoever should know it does not answer.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.place {
            Place::Tcp { host, port } => Ok((host.as_str(), *port).to_socket_addrs()?.collect()),
            Place::Unix(_) => Ok(Vec::new()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { host, port } => {
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "tcp://{open}{host}{close}:{port}")
            }
            // Made from text without control characters, and shown as that text.
            Place::Unix(UnixAddress::Path(path)) => write!(f, "unix://{}", path.display()),
            Place::Unix(UnixAddress::Abstract(name)) => {
                write!(f, "unix:@{}", String::from_utf8_lossy(name))
            }
            Place::Unix(UnixAddress::Unnamed) => f.write_str("unix:"),
        }
    }
}

/// What is wrong with a written endpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// Another transport.
    #[error(
        "{text:?}: the scheme {scheme:?} is not one that can be listened on here; use tcp://HOST:PORT or unix:///PATH"
    )]
    Scheme {
        /// The whole text.
        text: String,
        /// What stands before `://`.
        scheme: String,
    },
    /// No port.
    #[error("{text:?}: a port is missing at its end; write tcp://HOST:PORT")]
    NoPort {
        /// The whole text.
        text: String,
    },
    /// Not a port.
    #[error("{text:?}: {port:?} is no port (0 to 65535)")]
    BadPort {
        /// The whole text.
        text: String,
        /// What stands behind the last colon.
        port: String,
    },
    /// Not a name of a Unix socket.
    #[error("{text:?}: {why}; write unix:///PATH, or unix:@NAME for an abstract name")]
    BadName {
        /// The whole text.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Not a host.
    #[error("{text:?}: {why}; write tcp://HOST:PORT, an IPv6 address in brackets")]
    BadHost {
        /// The whole text.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        if let Some(name) = text.strip_prefix("unix:") {
            return match unix(name) {
                Ok(name) => Ok(Endpoint { place: Place::Unix(name) }),
                Err(why) => Err(EndpointError::BadName { text: text.into(), why }),
            };
        }
        let rest = match text.split_once("://") {
            Some(("tcp", rest)) => rest,
            Some((scheme, _)) => {
                return Err(EndpointError::Scheme { text: text.into(), scheme: scheme.into() });
            }
            None => text,
        };
        let bad_host = |why| EndpointError::BadHost { text: text.into(), why };
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, behind) =
                    bracketed.split_once(']').ok_or_else(|| bad_host("a ] is missing"))?;
                if !matches!(host.parse::<IpAddr>(), Ok(IpAddr::V6(_))) {
                    return Err(bad_host("what is in brackets is no IPv6 address"));
                }
                let port = behind.strip_prefix(':');
                (host, port.ok_or_else(|| EndpointError::NoPort { text: text.into() })?)
            }
            None => {
                let (host, port) = rest
                    .rsplit_once(':')
                    .ok_or_else(|| EndpointError::NoPort { text: text.into() })?;
                if host.contains(':') {
                    return Err(bad_host("more than one colon"));
                }
                (host, port)
            }
        };
        let fit = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(fit) {
            return Err(bad_host("the host is empty or has a character no host name has"));
        }
        // A leading sign would parse as a number.
        let digits = port.chars().all(|c| c.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits => {
                Ok(Endpoint { place: Place::Tcp { host: host.to_owned(), port } })
            }
            _ if port.is_empty() => Err(EndpointError::NoPort { text: text.into() }),
            _ => Err(EndpointError::BadPort { text: text.into(), port: port.into() }),
        }
    }
}

/// What stands behind `unix:`.
fn unix(name: &str) -> Result<UnixAddress, &'static str> {
    let (bytes, address) = match name.strip_prefix('@') {
        Some(name) => (name, UnixAddress::Abstract(name.into())),
        None => {
            let path = name.strip_prefix("//").unwrap_or(name);
            (path, UnixAddress::Path(path.into()))
        }
    };
    match bytes.len() {
        0 => Err("the name is empty"),
        _ if bytes.chars().any(char::is_control) => Err("the name has a control character"),
        1..=107 => Ok(address),
        _ => Err("the name has more than 107 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints_are_written_as_in_the_manual() {
        for (text, shown) in [
            ("tcp://127.0.0.1:8888", "tcp://127.0.0.1:8888"),
            ("0.0.0.0:0", "tcp://0.0.0.0:0"),
            ("tcp://[::1]:80", "tcp://[::1]:80"),
            ("example.org:443", "tcp://example.org:443"),
            ("unix:///run/a b.sock", "unix:///run/a b.sock"),
            ("unix:/run/web.sock", "unix:///run/web.sock"),
            ("unix:web.sock", "unix://web.sock"),
            ("unix:@web", "unix:@web"),
            ("unix://@web", "unix://@web"),
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), shown);
        }
    }

    #[test]
    fn a_bad_endpoint_is_told_apart() {
        for (text, part) in [
            ("udp://h:1", "scheme \"udp\""),
            ("tcp://127.0.0.1", "port is missing"),
            ("tcp://127.0.0.1:", "port is missing"),
            ("h:65536", "\"65536\" is no port"),
            ("h:+1", "\"+1\" is no port"),
            ("::1:80", "more than one colon"),
            ("[::1:80", "] is missing"),
            ("[h]:80", "no IPv6 address"),
            (":80", "host is empty"),
            ("a b:80", "no host name has"),
            ("unix:", "name is empty"),
            ("unix:@", "name is empty"),
            ("unix:///a\nb", "control character"),
            (&format!("unix:/{}", "x".repeat(107)), "more than 107 bytes"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_it_shows_again(text in "(unix:|tcp://)?\\PC*") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
            }
        }
    }
}
