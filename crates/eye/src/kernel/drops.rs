//! Datagrams the kernel dropped before anybody could receive them (`SO_MEMINFO`).

use std::os::fd::BorrowedFd;

use super::get_option;

/// The place of the count among the numbers of `SO_MEMINFO` (include/uapi/linux/sock_diag.h).
const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;

/// How many datagrams this socket has lost in its life because the buffer it receives into was full,
/// or because they had come damaged; the kernel counts both as one. Of a Unix socket it is 0: there
/// the sender waits.
///
/// None where the kernel does not say.
#[must_use]
pub fn dropped_datagrams(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut numbers = [0; (DROPS + 1) * size_of::<u32>()];
    let length = get_option(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut numbers).ok()?;
    let number = numbers.get(..length)?.chunks_exact(size_of::<u32>()).nth(DROPS)?;
    Some(u32::from_ne_bytes(number.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn what_is_neither_received_nor_held_was_dropped() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&receiver, 4096).unwrap();
        receiver.set_nonblocking(true).unwrap();
        assert_eq!(dropped_datagrams(receiver.as_fd()), Some(0));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        for _ in 0..100 {
            sender.send_to(&[7; 1000], to).unwrap();
        }
        let mut received = 0;
        while receiver.recv(&mut [0; 1000]).is_ok() {
            received += 1;
        }
        assert!(received < 100, "there was no such room");
        assert_eq!(dropped_datagrams(receiver.as_fd()), Some(100 - received));
    }
}
