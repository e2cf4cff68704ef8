//! Where a socket is or what it talks to: an address of the internet, or a name of this machine.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg as _;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use crate::error::CallError;

/// An address of a socket of any kind.
///
/// Shown, it is what people write, with nothing that could upset a terminal.
///
/// ```
/// use sockeye_engine::{Address, UnixAddress};
///
/// let address = Address::from(([127, 0, 0, 1], 53));
/// assert_eq!(address.to_string(), "127.0.0.1:53");
/// let address = Address::Unix(UnixAddress::Path("/run/a\nb".into()));
/// assert_eq!(address.to_string(), "unix:///run/a\\nb");
/// let address = Address::Unix(UnixAddress::Abstract(b"name".to_vec()));
/// assert_eq!(address.to_string(), "unix:@name");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6 with a port; for ICMP, the port is the identifier of the echo (icmp(7)).
    Ip(SocketAddr),
    /// A socket of this machine (unix(7)).
    Unix(UnixAddress),
}

/// The name of a Unix socket (unix(7), "Address format").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixAddress {
    /// A file; at most 107 bytes.
    Path(PathBuf),
    /// A name that no file stands for, and that goes with its socket; at most 107 bytes, of which
    /// any may be zero.
    Abstract(Vec<u8>),
    /// No name: a socket that was not bound. Binding to it lets the kernel choose an abstract name.
    Unnamed,
}

impl Address {
    /// The Unix socket at this path.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Address {
        Address::Unix(UnixAddress::Path(path.into()))
    }

    /// The Unix socket of this abstract name.
    #[must_use]
    pub fn abstract_name(name: impl Into<Vec<u8>>) -> Address {
        Address::Unix(UnixAddress::Abstract(name.into()))
    }

    /// The address and port, if it is one of the internet.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    pub(crate) fn family(&self) -> AddressFamily {
        match self {
            Address::Ip(SocketAddr::V4(_)) => AddressFamily::INET,
            Address::Ip(SocketAddr::V6(_)) => AddressFamily::INET6,
            Address::Unix(_) => AddressFamily::UNIX,
        }
    }

    /// As the kernel takes it. `NAMETOOLONG` and `INVAL` are the user's mistakes.
    pub(crate) fn encode(&self) -> Result<SocketAddrAny, Errno> {
        Ok(match self {
            Address::Ip(address) => address.as_any(),
            Address::Unix(UnixAddress::Unnamed) => SocketAddrUnix::new_unnamed().as_any(),
            Address::Unix(UnixAddress::Abstract(name)) => {
                SocketAddrUnix::new_abstract_name(name)?.as_any()
            }
            Address::Unix(UnixAddress::Path(path)) => {
                // An empty path would be an unnamed socket, and one of 108 bytes has no end for
                // most programs.
                match path.as_os_str().len() {
                    0 => return Err(Errno::INVAL),
                    1..=PATH_MAX => SocketAddrUnix::new(path)?.as_any(),
                    _ => return Err(Errno::NAMETOOLONG),
                }
            }
        })
    }

    /// As the kernel gives it. `AFNOSUPPORT` for a family that is none of ours.
    pub(crate) fn decode(address: SocketAddrAny) -> Result<Address, Errno> {
        if let Ok(address) = SocketAddr::try_from(address.clone()) {
            return Ok(Address::Ip(address));
        }
        // The family alone, without even the zero that an abstract name begins with.
        let no_name = address.addr_len() as usize <= size_of::<libc::sa_family_t>();
        let unix = SocketAddrUnix::try_from(address)?;
        if no_name {
            return Ok(Address::Unix(UnixAddress::Unnamed));
        }
        let address = if let Some(name) = unix.abstract_name() {
            UnixAddress::Abstract(name.to_vec())
        } else {
            match unix.path_bytes() {
                // rustix takes one of 107 bytes for one without its final zero.
                Some(path) => {
                    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
                    UnixAddress::Path(Path::new(OsStr::from_bytes(path)).into())
                }
                None => UnixAddress::Unnamed,
            }
        };
        Ok(Address::Unix(address))
    }

    /// An error that names the call and the address, and what to do where that is known.
    #[cold]
    pub(crate) fn failed(&self, operation: &'static str, error: Errno) -> io::Error {
        let mut error = io::Error::from(error);
        if error.raw_os_error() == Some(libc::ENAMETOOLONG) {
            let why = "the name of a Unix socket has at most 107 bytes";
            error = io::Error::new(error.kind(), why);
        }
        self.explain(operation, error)
    }

    #[cold]
    pub(crate) fn explain(&self, operation: &'static str, error: io::Error) -> io::Error {
        CallError::at(operation, self.to_string(), error)
    }
}

/// Bytes of a path: `sun_path` without its final zero.
pub(crate) const PATH_MAX: usize = 107;

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Address {
    fn from(address: (I, u16)) -> Address {
        Address::Ip(address.into())
    }
}

impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Address {
        Address::Unix(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnixAddress::Path(path) => {
                f.write_str("unix://")?;
                escape(path.as_os_str().as_bytes(), f)
            }
            UnixAddress::Abstract(name) => {
                f.write_str("unix:@")?;
                escape(name, f)
            }
            UnixAddress::Unnamed => f.write_str("unix:"),
        }
    }
}

/// Text as it is; what no line of text may hold, and what is no UTF-8, as Rust writes it.
fn escape(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            if matches!(letter, '"' | '\'') {
                write!(f, "{letter}")?;
            } else {
                write!(f, "{}", letter.escape_debug())?;
            }
        }
        write!(f, "{}", part.invalid().escape_ascii())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_comes_back_from_the_form_the_kernel_takes(
            ip in any::<IpAddr>(),
            port: u16,
            name in proptest::collection::vec(any::<u8>(), 0..=107),
            path in proptest::collection::vec(1u8.., 1..=107),
        ) {
            let path = Path::new(OsStr::from_bytes(&path));
            for address in [
                Address::Ip((ip, port).into()),
                Address::abstract_name(name),
                Address::path(path),
                Address::Unix(UnixAddress::Unnamed),
            ] {
                let encoded = address.encode().expect("it fits");
                prop_assert_eq!(Address::decode(encoded), Ok(address));
            }
        }

        #[test]
        fn what_is_shown_has_no_control_characters(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let shown = Address::abstract_name(name).to_string();
            prop_assert!(!shown.chars().any(char::is_control), "{:?}", shown);
        }
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let long = "x".repeat(108);
        assert_eq!(Address::path(&long).encode(), Err(Errno::NAMETOOLONG));
        assert_eq!(Address::abstract_name(long).encode(), Err(Errno::NAMETOOLONG));
        assert_eq!(Address::path("").encode(), Err(Errno::INVAL));
        assert_eq!(Address::path("a\0b").encode(), Err(Errno::INVAL));
    }
}
