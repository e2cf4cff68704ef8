//! Why nobody can listen at an endpoint, by whom it is taken, and the way out.

use std::io;

use super::Endpoint;
use crate::address::Address;
use crate::error::words;
use crate::holder;

/// Why nobody can listen there: one line that names the endpoint, the call and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{endpoint}: {operation}: {}{hint}", words(.error))]
pub struct ListenError {
    endpoint: Box<Endpoint>,
    operation: &'static str,
    /// Part of the message, so that it need not be told as a source once more.
    error: io::Error,
    hint: String,
}

impl ListenError {
    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    pub(crate) fn new(
        endpoint: &Endpoint,
        operation: &'static str,
        error: io::Error,
    ) -> ListenError {
        let address = match (endpoint.unix(), endpoint.host().map(str::parse::<std::net::IpAddr>)) {
            (Some(name), _) => Some(Address::Unix(name.clone())),
            (None, Some(Ok(address))) => Some((address, endpoint.port()).into()),
            (None, _) => None,
        };
        ListenError::at(endpoint, operation, error, address.as_ref())
    }

    /// Where it is known which of the endpoint's addresses it was.
    pub(crate) fn at(
        endpoint: &Endpoint,
        operation: &'static str,
        error: io::Error,
        address: Option<&Address>,
    ) -> ListenError {
        // What is said of an option or a name has its way out in it.
        let hint = match operation {
            "bind" | "listen" => hint(endpoint, &error, address),
            _ => String::new(),
        };
        ListenError { endpoint: Box::new(endpoint.clone()), operation, error, hint }
    }
}

fn hint(endpoint: &Endpoint, error: &io::Error, address: Option<&Address>) -> String {
    let port = endpoint.port();
    let is_unix = endpoint.unix().is_some();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let other = if is_unix { "choose another name" } else { "try port 0 for a free one" };
            match address.and_then(|address| holder::of(endpoint.kind(), address)) {
                Some(holder) => format!(" ({holder}; stop it, or {other})"),
                None if is_unix => {
                    format!(" (another program has it; see which: ss -xap; or {other})")
                }
                None => format!(
                    " (another program has it; see which: ss -tuap 'sport = :{port}'; or {other})"
                ),
            }
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound if is_unix => {
            " (its folder must be there and may be written)".to_owned()
        }
        io::ErrorKind::PermissionDenied if port < 1024 && port > 0 => {
            let other = if port == 80 || port == 443 { 8000 + port } else { 8000 };
            format!(" (ports below 1024 need CAP_NET_BIND_SERVICE; try port {other})")
        }
        io::ErrorKind::AddrNotAvailable => {
            " (no interface of this machine has this address; see: ip addr)".to_owned()
        }
        io::ErrorKind::AlreadyExists if is_unix => {
            " (remove it, or choose another name)".to_owned()
        }
        _ => String::new(),
    }
}
