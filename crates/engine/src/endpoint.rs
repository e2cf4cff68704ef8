//! Where to listen or connect, as people write it: `tcp://127.0.0.1:8000`, `[::1]:80`, `host:http`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A TCP endpoint.
///
/// ```
/// use sockeye_engine::Endpoint;
///
/// let endpoint: Endpoint = "tcp://127.0.0.1:8000".parse().unwrap();
/// assert_eq!(endpoint.to_string(), "tcp://127.0.0.1:8000");
/// assert_eq!("localhost:80".parse::<Endpoint>().unwrap().port(), 80);
/// assert!("tcp://127.0.0.1".parse::<Endpoint>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// TCP at this address and port.
    #[must_use]
    pub fn tcp(address: IpAddr, port: u16) -> Endpoint {
        Endpoint { host: address.to_string(), port }
    }

    /// The port; 0 lets the system choose.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every address the host has.
    ///
    /// # Errors
    ///
    /// The name is not known, or whoever should know it does not answer.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "tcp://{open}{}{close}:{}", self.host, self.port)
    }
}

/// What is wrong with a written endpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// Another transport.
    #[error(
        "{text:?}: the scheme {scheme:?} is not one that can be listened on here; use tcp://HOST:PORT"
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
            Ok(port) if digits => Ok(Endpoint { host: host.to_owned(), port }),
            _ if port.is_empty() => Err(EndpointError::NoPort { text: text.into() }),
            _ => Err(EndpointError::BadPort { text: text.into(), port: port.into() }),
        }
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
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_it_shows_again(text in "\\PC*") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
            }
        }
    }
}
