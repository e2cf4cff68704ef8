//! Ancillary data of `recvmsg(2)`, and the calls around it for which rustix has no safe form.
//!
//! The kernel's answer is copied out and read byte by byte ([`walk`]); only a descriptor in it is
//! more than a number, and each is owned from the moment it is read.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrStorage;

use crate::message::{Ancillary, Credentials, Local, Origin, QueuedError};
use crate::probe::Stamp;

/// Room for all that can be asked for, and as many descriptors as one message can carry
/// (`SCM_MAX_FD`, 253).
pub(crate) const ROOM: usize = 1536;

/// Ancillary data as the kernel writes it.
#[repr(align(8))]
pub(crate) struct Control {
    bytes: [u8; ROOM],
    len: usize,
}

/// What `recvmsg` says besides the bytes.
pub(crate) struct Header {
    /// Bytes that came; of the whole message, where the flags asked for it.
    pub(crate) len: usize,
    pub(crate) flags: i32,
    pub(crate) from: Option<SocketAddrAny>,
}

impl Control {
    /// `room` is how much the kernel may use, at most [`ROOM`].
    pub(crate) fn new(room: usize) -> Control {
        Control { bytes: [0; ROOM], len: room.min(ROOM) }
    }
}

/// `recvmsg(2)`. `control` is what it was given room for before, and what came afterwards.
pub(crate) fn recvmsg(
    fd: BorrowedFd<'_>,
    room: &mut [IoSliceMut<'_>],
    control: &mut Control,
    flags: i32,
) -> Result<Header, Errno> {
    let mut name = MaybeUninit::<SocketAddrStorage>::zeroed();
    // SAFETY: a message header of zeros is valid: no name, no vectors, no control data.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = size_of::<SocketAddrStorage>().try_into().unwrap_or(0);
    // IoSliceMut is an iovec by its documentation.
    header.msg_iov = room.as_mut_ptr().cast();
    header.msg_iovlen = room.len();
    header.msg_control = control.bytes.as_mut_ptr().cast();
    header.msg_controllen = control.len;
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: name, vectors and control data are ours for the call and as long as the header says.
    let result = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let Ok(len) = usize::try_from(result) else {
        control.len = 0;
        return Err(errno());
    };
    control.len = header.msg_controllen.min(ROOM);
    let long_enough = usize::try_from(header.msg_namelen).is_ok_and(|len| len >= 2);
    let from = long_enough.then(|| {
        let len = header.msg_namelen.min(size_of::<SocketAddrStorage>().try_into().unwrap_or(2));
        // SAFETY: the kernel wrote an address of this many bytes; the rest of it is zeros.
        unsafe { SocketAddrAny::new(name, len) }
    });
    Ok(Header { len, flags: header.msg_flags, from })
}

/// `setsockopt(2)` with a number.
pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: i32,
) -> Result<(), Errno> {
    let len = size_of::<i32>().try_into().unwrap_or(0);
    // SAFETY: the value is an int and lives for the call.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(errno()) }
}

/// `SO_PEERCRED` (unix(7)).
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    if rustix::net::sockopt::socket_domain(fd)? != rustix::net::AddressFamily::UNIX {
        return Err(Errno::OPNOTSUPP);
    }
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>().try_into().unwrap_or(0);
    // SAFETY: the kernel writes at most `len` bytes, which is the size of what `peer` has room for.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    };
    let credentials = Credentials { pid: peer.pid, uid: peer.uid, gid: peer.gid };
    if result == 0 { Ok(credentials) } else { Err(errno()) }
}

pub(crate) fn errno() -> Errno {
    let error = std::io::Error::last_os_error();
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

impl Control {
    /// What came, each thing known by its type. Called once for each call of [`recvmsg`]: the
    /// descriptors in it are handed out, at most `descriptors` of them, and the rest closed.
    pub(crate) fn take(mut self, flags: i32, descriptors: usize) -> Ancillary {
        let mut found =
            Ancillary { truncated: flags & libc::MSG_CTRUNC != 0, ..Ancillary::default() };
        let len = std::mem::take(&mut self.len);
        walk(&self.bytes[..len], |level, kind, data| match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for number in data.as_chunks().0 {
                    let number = i32::from_ne_bytes(*number);
                    // SAFETY: the kernel has just made this descriptor for us, and names it once.
                    let fd = unsafe { OwnedFd::from_raw_fd(number) };
                    if found.descriptors.len() < descriptors {
                        found.descriptors.push(fd);
                    } else {
                        found.truncated = true;
                    }
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                if let ([pid, uid, gid], _) = data.as_chunks() {
                    found.credentials = Some(Credentials {
                        pid: i32::from_ne_bytes(*pid),
                        uid: u32::from_ne_bytes(*uid),
                        gid: u32::from_ne_bytes(*gid),
                    });
                }
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => found.stamp = stamp(data),
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                if let ([index, _, to], _) = data.as_chunks() {
                    let address = IpAddr::V4(Ipv4Addr::from(*to));
                    found.local = Some(Local { address, interface: u32::from_ne_bytes(*index) });
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let Some((to, index)) = data.split_first_chunk::<16>()
                    && let Ok(index) = index.try_into()
                {
                    let address = IpAddr::V6(Ipv6Addr::from(*to));
                    found.local = Some(Local { address, interface: u32::from_ne_bytes(index) });
                }
            }
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                found.hops = int(data).and_then(|hops| u8::try_from(hops).ok());
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                found.error = error(data);
            }
            _ => {}
        });
        found
    }
}

impl Drop for Control {
    /// Closes descriptors that nobody took.
    fn drop(&mut self) {
        if self.len > 0 {
            drop(Control { bytes: self.bytes, len: std::mem::take(&mut self.len) }.take(0, 0));
        }
    }
}

/// Shows each ancillary message (cmsg(3)) as its level, type and data. What is cut short ends it.
fn walk(mut control: &[u8], mut show: impl FnMut(i32, i32, &[u8])) {
    const WORD: usize = size_of::<usize>();
    const HEADER: usize = size_of::<libc::cmsghdr>();
    while let Some((len, rest)) = control.split_first_chunk::<WORD>()
        && let ([level, kind], _) = rest.get(..8).unwrap_or_default().as_chunks()
        && let Some(data) = control.get(HEADER..usize::from_ne_bytes(*len))
    {
        show(i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind), data);
        let next = usize::from_ne_bytes(*len).next_multiple_of(WORD);
        control = control.get(next..).unwrap_or_default();
    }
}

fn int(data: &[u8]) -> Option<i32> {
    data.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

/// `struct scm_timestamping`: three times, of which the first is the software's; zero for none.
fn stamp(data: &[u8]) -> Option<Stamp> {
    let ([seconds, nanos, ..], _) = data.as_chunks::<8>() else {
        return None;
    };
    let seconds = u64::try_from(i64::from_ne_bytes(*seconds)).ok()?;
    let nanos = u64::try_from(i64::from_ne_bytes(*nanos)).ok()?;
    let stamp = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    (stamp > 0).then_some(Stamp(stamp))
}

/// `struct sock_extended_err` (ip(7)) and the address behind it.
fn error(data: &[u8]) -> Option<QueuedError> {
    let (number, rest) = data.split_first_chunk()?;
    let ([origin, kind, code, _], rest) = rest.split_first_chunk()?;
    let (info, rest) = rest.split_first_chunk()?;
    let (value, offender) = rest.split_first_chunk()?;
    let origin = match origin {
        1 => Origin::Local,
        2 => Origin::Icmp,
        3 => Origin::Icmp6,
        4 => Origin::Stamp,
        other => Origin::Other(*other),
    };
    Some(QueuedError {
        number: i32::from_ne_bytes(*number),
        origin,
        kind: *kind,
        code: *code,
        info: u32::from_ne_bytes(*info),
        value: u32::from_ne_bytes(*value),
        offender: address(offender),
        stamp: None,
        to: None,
    })
}

/// `struct sockaddr_in` or `sockaddr_in6`, without its port.
fn address(data: &[u8]) -> Option<IpAddr> {
    let (family, rest) = data.split_first_chunk()?;
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => Some(IpAddr::from(*rest.get(2..)?.first_chunk::<4>()?)),
        libc::AF_INET6 => Some(IpAddr::from(*rest.get(6..)?.first_chunk::<16>()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The kernel is trusted with descriptors, so the type that carries them stays out.
        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            kinds in proptest::collection::vec((0usize..64, 0i32..60, 2i32..80), 0..4),
        ) {
            walk(&bytes, |_, _, data| drop((stamp(data), error(data), int(data))));
            let mut control = Control::new(0);
            for (len, level, kind) in kinds {
                let at = control.len;
                let data = bytes.get(..len).unwrap_or(&bytes);
                control.bytes[at..at + 8].copy_from_slice(&(16 + data.len()).to_ne_bytes());
                control.bytes[at + 8..at + 12].copy_from_slice(&level.to_ne_bytes());
                control.bytes[at + 12..at + 16].copy_from_slice(&kind.to_ne_bytes());
                control.bytes[at + 16..at + 16 + data.len()].copy_from_slice(data);
                control.len += (16 + data.len()).next_multiple_of(8);
            }
            let found = control.take(0, 9);
            prop_assert!(found.descriptors.is_empty());
        }
    }

    #[test]
    fn messages_are_walked_in_order_and_a_broken_one_ends_it() {
        let mut control = Vec::new();
        for (kind, data) in [(7, &b"first"[..]), (8, b""), (9, b"the third one")] {
            control.extend((16 + data.len()).to_ne_bytes());
            control.extend(1i32.to_ne_bytes());
            control.extend(i32::to_ne_bytes(kind));
            control.extend(data);
            control.resize(control.len().next_multiple_of(8), 0xaa);
        }
        let mut seen = Vec::new();
        walk(&control, |level, kind, data| seen.push((level, kind, data.to_vec())));
        let expected =
            vec![(1, 7, b"first".to_vec()), (1, 8, vec![]), (1, 9, b"the third one".to_vec())];
        assert_eq!(seen, expected);
        seen.clear();
        walk(&control[..control.len() - 8], |level, kind, data| {
            seen.push((level, kind, data.to_vec()));
        });
        assert_eq!(seen, expected[..2]);
    }
}
