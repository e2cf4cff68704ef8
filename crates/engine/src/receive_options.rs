//! What a socket of messages is to be told besides their bytes.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};

use crate::control::set_option;
use crate::datagram::Datagram;

/// Most descriptors that one message can carry (`SCM_MAX_FD`).
const MOST_DESCRIPTORS: usize = 253;

impl Datagram {
    /// From now on [`Ancillary::local`](crate::Ancillary::local) says which address and interface a
    /// datagram came to (`IP_PKTINFO`, ip(7); `IPV6_RECVPKTINFO`, ipv6(7)).
    ///
    /// # Errors
    ///
    /// `Unsupported` on a socket that is not of the internet.
    pub fn ask_local(&self) -> io::Result<()> {
        self.ask(|fd| match self.version()? {
            Version::V4 => set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
            Version::V6 => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
        })
    }

    /// From now on [`Ancillary::hops`](crate::Ancillary::hops) says what was left of a datagram's
    /// time to live (`IP_RECVTTL`, ip(7); `IPV6_RECVHOPLIMIT`, ipv6(7)).
    ///
    /// # Errors
    ///
    /// As [`Datagram::ask_local`].
    pub fn ask_hops(&self) -> io::Result<()> {
        self.ask(|fd| match self.version()? {
            Version::V4 => set_option(fd, libc::IPPROTO_IP, libc::IP_RECVTTL, 1),
            Version::V6 => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1),
        })
    }

    /// From now on [`Ancillary::credentials`](crate::Ancillary::credentials) says who sent a message
    /// (`SO_PASSCRED`, unix(7)).
    ///
    /// # Errors
    ///
    /// `Unsupported` on a socket that is not a Unix one.
    pub fn ask_credentials(&self) -> io::Result<()> {
        self.ask(|fd| {
            self.unix()?;
            sockopt::set_socket_passcred(fd, true)
        })
    }

    /// From now on at most `most` descriptors are taken from a message (`SCM_RIGHTS`, unix(7)), up
    /// to 253. Others, and all of them before this is called, are closed.
    ///
    /// # Errors
    ///
    /// As [`Datagram::ask_credentials`].
    pub fn ask_descriptors(&self, most: usize) -> io::Result<()> {
        self.descriptors.set(most.min(MOST_DESCRIPTORS));
        self.ask(|_| self.unix())
    }

    /// From now on ICMP errors come in full through [`Datagram::take_error`], those that are about
    /// a socket that is not connected too (`IP_RECVERR`, ip(7); `IPV6_RECVERR`, ipv6(7)). They still
    /// end a wait to receive.
    ///
    /// # Errors
    ///
    /// As [`Datagram::ask_local`].
    pub fn ask_errors(&self) -> io::Result<()> {
        self.errors.used.set(true);
        self.ask(|fd| match self.version()? {
            Version::V4 => set_option(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
            Version::V6 => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
        })
    }

    /// From now on the kernel notes when messages come
    /// ([`Ancillary::stamp`](crate::Ancillary::stamp)), and, with `sent`, when each one that is sent
    /// reaches the device, which comes through [`Datagram::take_error`] (`SO_TIMESTAMPING`; the
    /// kernel's documentation on timestamping). Stamping of what comes begins a moment later: the
    /// first messages may have none.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the protocol has no stamps.
    pub fn ask_stamps(&self, sent: bool) -> io::Result<()> {
        let mut flags = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        if sent {
            self.errors.used.set(true);
            // Each numbered, and without the bytes it had.
            flags |= libc::SOF_TIMESTAMPING_TX_SOFTWARE
                | libc::SOF_TIMESTAMPING_OPT_ID
                | libc::SOF_TIMESTAMPING_OPT_TSONLY;
        }
        let flags = i32::try_from(flags).unwrap_or(0);
        self.ask(|fd| set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags))
    }

    fn ask(&self, set: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>) -> io::Result<()> {
        self.ancillary.set(true);
        let mut result = Err(Errno::NOTCONN);
        self.with_fd(|fd| result = set(fd));
        Ok(result?)
    }

    fn version(&self) -> Result<Version, Errno> {
        match self.family {
            AddressFamily::INET => Ok(Version::V4),
            AddressFamily::INET6 => Ok(Version::V6),
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    fn unix(&self) -> Result<(), Errno> {
        if self.family == AddressFamily::UNIX { Ok(()) } else { Err(Errno::OPNOTSUPP) }
    }
}

enum Version {
    V4,
    V6,
}
