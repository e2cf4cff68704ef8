//! The peer's SYN, kept by the kernel for a listener's accepted connections (tcp(7), Linux 4.3).

use std::io;
use std::os::fd::BorrowedFd;

use super::{get_option, set_option};

/// Asks the kernel to keep the SYN of every connection this listener accepts from now on.
///
/// # Errors
/// Whatever `setsockopt(2)` says; `ENOPROTOOPT` before Linux 4.3.
pub fn save_syn(listener: BorrowedFd<'_>) -> io::Result<()> {
    // 1: the network and TCP headers, without the link header (2).
    set_option(listener, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, &1)
}

/// The peer's initial sequence number, from the SYN that opened this accepted connection.
///
/// The kernel forgets the SYN once it was read, so this answers once. `None` if none was kept:
/// the listener was not asked to, or the connection came by a SYN cookie.
#[must_use]
pub fn saved_isn(accepted: BorrowedFd<'_>) -> Option<u32> {
    // An IPv6 header with extensions may be longer than this; then the kernel refuses (EINVAL).
    let mut headers = [0; 512];
    let length = get_option(accepted, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, &mut headers).ok()?;
    isn_in(headers.get(..length)?)
}

/// The sequence number in a network header followed by a TCP header.
fn isn_in(headers: &[u8]) -> Option<u32> {
    let network_header = match headers.first()? >> 4 {
        4 => usize::from(headers.first()? & 0x0f) * 4,
        // What lies between the fixed IPv6 header and TCP is not skipped: better no ISN than
        // a wrong one (RFC 8200 §4: next header 6 is TCP).
        6 if headers.get(6) == Some(&6) => 40,
        _ => return None,
    };
    let sequence = headers.get(network_header + 4..network_header + 8)?;
    Some(u32::from_be_bytes(sequence.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_listener_that_keeps_syns_yields_an_isn_once() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            save_syn(listener.as_fd()).unwrap();
            let port = listener.local_addr().unwrap().port();
            let target = if address.starts_with("[::1") { "::1" } else { "127.0.0.1" };
            let _client = TcpStream::connect((target, port)).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert!(saved_isn(accepted.as_fd()).is_some(), "{address}");
            assert_eq!(saved_isn(accepted.as_fd()), None, "{address}: read once");
        }
    }

    #[test]
    fn a_listener_that_was_not_asked_yields_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(saved_isn(accepted.as_fd()), None);
    }

    #[test]
    fn the_isn_stands_behind_the_network_header() {
        let mut v4 = vec![0; 44];
        v4[0] = 0x46;
        v4[28..32].copy_from_slice(&0xdead_beef_u32.to_be_bytes());
        assert_eq!(isn_in(&v4), Some(0xdead_beef));
        let mut v6 = vec![0; 60];
        v6[0] = 0x60;
        v6[6] = 6;
        v6[44..48].copy_from_slice(&7_u32.to_be_bytes());
        assert_eq!(isn_in(&v6), Some(7));
        v6[6] = 0;
        assert_eq!(isn_in(&v6), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = isn_in(&bytes);
        }
    }
}
