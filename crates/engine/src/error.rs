//! What a call that failed says: the operation, the endpoint and the reason.
//!
//! Nothing is prepared for it while all goes well: the peer's address is asked for when it is needed,
//! which Linux answers even after a reset (`SO_PEERNAME`; getpeername(2) does not).

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::net::{AddressFamily, SocketAddrAny};

/// Why an operation on a socket failed: the inner error of the [`io::Error`]s of a
/// [`Stream`](crate::Stream) and of [`Notice::Accept`](crate::Notice::Accept).
///
/// `recv from 127.0.0.1:5000: Connection reset by peer (os error 104)`
///
/// The outer error keeps the [`kind`](io::Error::kind). The number of the system's error is here,
/// because [`io::Error::raw_os_error`] knows it of plain errors only.
#[derive(Debug)]
pub struct CallError {
    operation: &'static str,
    /// Empty where nobody knows.
    endpoint: String,
    source: io::Error,
}

impl CallError {
    /// The inner error of `error`, if it came from a socket's operation.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&CallError> {
        error.get_ref()?.downcast_ref()
    }

    /// What was asked, as the message says it: `recv from`, `send to`, `accept on`.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.operation
    }

    /// The peer's address, or a listener's own; None if it can't be told any more.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        Some(&*self.endpoint).filter(|endpoint| !endpoint.is_empty())
    }

    /// The system's error number; None where it was not the system that refused (a deadline).
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// Names the operation on the socket itself, which listens.
    #[cold]
    pub(crate) fn with_local(
        operation: &'static str,
        fd: BorrowedFd<'_>,
        source: io::Error,
    ) -> io::Error {
        CallError::naming(operation, rustix::net::getsockname(fd).ok(), source)
    }

    /// Names the operation on an endpoint that was asked for before.
    #[cold]
    pub(crate) fn naming(
        operation: &'static str,
        endpoint: Option<SocketAddrAny>,
        source: io::Error,
    ) -> io::Error {
        CallError::at(operation, endpoint.map(name).unwrap_or_default(), source)
    }

    /// The same, where the endpoint's name is known.
    #[cold]
    pub(crate) fn at(operation: &'static str, endpoint: String, source: io::Error) -> io::Error {
        io::Error::new(source.kind(), CallError { operation, endpoint, source })
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint().unwrap_or("a peer that has no address any more");
        write!(f, "{} {endpoint}: {}", self.operation, self.source)
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The reason alone: in lower-case words, without the call, the address and the number.
pub(crate) fn words(error: &io::Error) -> String {
    let inner = CallError::of(error).map(|call| &call.source);
    let text = inner.unwrap_or(error).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn name(address: SocketAddrAny) -> String {
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return address.to_string();
    }
    match rustix::net::SocketAddrUnix::try_from(address) {
        Ok(unix) => match (unix.path_bytes(), unix.abstract_name()) {
            (Some(path), _) => format!("unix:{}", path.escape_ascii()),
            (None, Some(name)) if !name.is_empty() => format!("unix:@{}", name.escape_ascii()),
            _ => "an unnamed local peer".to_owned(),
        },
        Err(_) => String::new(),
    }
}

/// The peer's address, of a connection that was reset too.
pub(crate) fn peer(fd: BorrowedFd<'_>) -> Option<SocketAddrAny> {
    if let Ok(Some(peer)) = rustix::net::getpeername(fd) {
        return Some(peer);
    }
    let local = rustix::net::getsockname(fd).ok()?;
    let address = match local.address_family() {
        AddressFamily::INET => {
            let peer: libc::sockaddr_in = peer_name(fd)?;
            let ip = Ipv4Addr::from(u32::from_be(peer.sin_addr.s_addr));
            SocketAddr::from((ip, u16::from_be(peer.sin_port)))
        }
        AddressFamily::INET6 => {
            let peer: libc::sockaddr_in6 = peer_name(fd)?;
            SocketAddr::from((Ipv6Addr::from(peer.sin6_addr.s6_addr), u16::from_be(peer.sin6_port)))
        }
        _ => return None,
    };
    Some(address.into())
}

/// What `SO_PEERNAME` says, as an address of the family's own shape.
trait Name: Copy {}
impl Name for libc::sockaddr_in {}
impl Name for libc::sockaddr_in6 {}

fn peer_name<T: Name>(fd: BorrowedFd<'_>) -> Option<T> {
    let mut address = MaybeUninit::<T>::zeroed();
    let mut len = libc::socklen_t::try_from(size_of::<T>()).ok()?;
    // SAFETY: the kernel writes at most `len` bytes, which is the size of what `address` has room for.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERNAME,
            address.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 || len as usize != size_of::<T>() {
        return None;
    }
    // SAFETY: socket addresses are plain integers, for which zeros are as valid as what was written.
    Some(unsafe { address.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use super::*;

    fn reset(any: &str) -> (TcpStream, SocketAddr) {
        let listener = TcpListener::bind(any).expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (mut ours, peer) = listener.accept().expect("it was connected");
        // A linger of zero sends RST (socket(7)).
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("an option");
        drop(client);
        ours.read(&mut [0]).expect_err("reset");
        ours.peer_addr().expect_err("getpeername does not know it any more");
        (ours, peer)
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn the_peer_of_a_connection_that_was_reset_is_named() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let (ours, peer) = reset(any);
            let source = io::Error::from_raw_os_error(libc::ECONNRESET);
            let error = CallError::naming("recv from", super::peer(ours.as_fd()), source);
            let expected = format!("recv from {peer}: Connection reset by peer (os error 104)");
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            let inner = CallError::of(&error).expect("it is one");
            assert_eq!(inner.raw_os_error(), Some(libc::ECONNRESET));
            assert_eq!(inner.endpoint(), Some(peer.to_string().as_str()));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn a_peer_without_a_name_is_not_invented() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let error =
            CallError::naming("recv from", peer(one.as_fd()), io::ErrorKind::TimedOut.into());
        assert_eq!(error.to_string(), "recv from an unnamed local peer: timed out");
        assert_eq!(CallError::of(&error).expect("it is one").raw_os_error(), None);
    }
}
