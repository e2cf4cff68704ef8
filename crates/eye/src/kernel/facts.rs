//! The kernel's counters of one connection: `TCP_INFO` and the lengths of its two queues.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use libc::c_int;
use rustix::ioctl::{Getter, Opcode, ioctl};
use rustix::net::sockopt;
use sockeye_engine::probe::Role;
use sockeye_wire::tcp::State;

use super::{get_option, state_of};
use crate::record::KernelFacts;

/// Asks the kernel about a connection whose descriptor is still open.
///
/// What the kernel does not tell stays `None`. See [`parse_tcp_info`] for the counts.
#[must_use]
pub fn kernel_facts(fd: BorrowedFd<'_>) -> KernelFacts {
    // `struct tcp_info` only ever grows at its end: the returned length says what is there.
    let mut info = [0; 256];
    let length = get_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info).unwrap_or(0);
    let mut facts = parse_tcp_info(info.get(..length).unwrap_or_default());
    // A receive queue that holds only a FIN counts as empty (tcp_inq in the kernel).
    facts.unread = rustix::io::ioctl_fionread(fd).ok().and_then(|bytes| bytes.try_into().ok());
    facts.unacked = send_queue(fd).map(|bytes| {
        let fin = u32::from(facts.state.is_some_and(our_fin_is_unacknowledged));
        bytes.saturating_sub(fin)
    });
    facts.resets = sockopt::socket_linger(fd).is_ok_and(|time| time == Some(Duration::ZERO));
    facts
}

/// Reads the kernel's `struct tcp_info`, however much of it there is.
///
/// The kernel counts a FIN as a byte in `tcpi_bytes_acked` and `tcpi_bytes_received`. It is taken
/// out here by the state; in CLOSED it can't be told whether one is among them, so there both
/// counts are left out. A client's SYN is still among the bytes acknowledged: the structure does
/// not say who began, see [`uncount_syn`].
#[must_use]
pub fn parse_tcp_info(info: &[u8]) -> KernelFacts {
    // Offsets of include/uapi/linux/tcp.h, which never change.
    let state = info.first().and_then(|&number| state_of(number));
    let pair = |first, second| Some((word(info, first)?, word(info, second)?));
    let without_fin = |count: Option<u64>, fin: fn(State) -> bool| {
        let state = state.filter(|&state| state != State::Closed)?;
        Some(count?.saturating_sub(u64::from(fin(state))))
    };
    KernelFacts {
        state,
        rtt_us: word(info, 68).filter(|&rtt| rtt > 0),
        retransmits: word(info, 100),
        bytes_acked: without_fin(long(info, 120), our_fin_is_acknowledged),
        bytes_received: without_fin(long(info, 128), their_fin_has_arrived),
        segments: pair(136, 140),
        mss: pair(16, 20),
        unread: None,
        unacked: None,
        resets: false,
        limited_us: long(info, 176).zip(long(info, 184)),
    }
}

/// Takes the SYN of an end that connected out of its count of acknowledged bytes.
///
/// An accepted connection's count begins behind its SYN.
pub fn uncount_syn(facts: &mut KernelFacts, role: Role) {
    if role == Role::Client {
        facts.bytes_acked = facts.bytes_acked.map(|bytes| bytes.saturating_sub(1));
    }
}

/// The bytes acknowledged and received of a socket that was let go of: with a SYN and a FIN among
/// them, where there was one, because in CLOSED it can't be told.
pub(super) fn last_counts(info: &[u8]) -> (Option<u64>, Option<u64>) {
    (long(info, 120), long(info, 128))
}

fn our_fin_is_acknowledged(state: State) -> bool {
    matches!(state, State::FinWait2 | State::TimeWait)
}

pub(super) fn our_fin_is_unacknowledged(state: State) -> bool {
    matches!(state, State::FinWait1 | State::Closing | State::LastAck)
}

pub(super) fn their_fin_has_arrived(state: State) -> bool {
    matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
}

/// Bytes written that the peer has not acknowledged, a FIN among them (`SIOCOUTQ`, tcp(7)).
fn send_queue(fd: BorrowedFd<'_>) -> Option<u32> {
    /// Has the number of TIOCOUTQ on every architecture but the value is a `c_ulong` there.
    #[expect(clippy::cast_possible_truncation, reason = "ioctl numbers are 32 bits wide")]
    const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;
    // SAFETY: SIOCOUTQ stores one int.
    let question = unsafe { Getter::<SIOCOUTQ, c_int>::new() };
    // SAFETY: the question is the one made above, and the descriptor is open.
    let answer = unsafe { ioctl(fd, question) };
    answer.ok()?.try_into().ok()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn counts_bytes_without_syn_and_fin_at_both_ends() {
        let (mut client, mut server) = pair();
        client.write_all(&[7; 1000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        server.write_all(&[8; 300]).unwrap();
        let mut reply = [0; 300];
        client.read_exact(&mut reply).unwrap();

        let facts = kernel_facts(server.as_fd());
        assert_eq!(facts.state, Some(State::CloseWait));
        assert_eq!(facts.bytes_received, Some(1000));
        assert_eq!((facts.unread, facts.retransmits), (Some(0), Some(0)));
        assert!(facts.rtt_us.is_some());

        let mut facts = kernel_facts(client.as_fd());
        uncount_syn(&mut facts, Role::Client);
        assert_eq!(facts.state, Some(State::FinWait2));
        assert_eq!(facts.bytes_acked, Some(1000));
        assert_eq!(facts.bytes_received, Some(300));
        assert_eq!(facts.unacked, Some(0));
    }

    #[test]
    fn unread_and_unacknowledged_bytes_are_the_lengths_of_the_queues() {
        let (mut client, mut server) = pair();
        client.write_all(&[1; 500]).unwrap();
        let mut first = [0; 200];
        server.read_exact(&mut first).unwrap();
        assert_eq!(kernel_facts(server.as_fd()).unread, Some(300));

        // Nobody reads at the client: once both buffers are full, some bytes must be unacked.
        server.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(count) = server.write(&[2; 65536]) {
            written += count as u64;
        }
        let facts = kernel_facts(server.as_fd());
        let (acked, unacked) = (facts.bytes_acked.unwrap(), facts.unacked.unwrap());
        assert!(unacked > 0);
        assert!(acked <= written, "{acked} of {written}");
    }

    #[test]
    fn a_shorter_structure_of_an_older_kernel_leaves_facts_out() {
        let (_client, server) = pair();
        let mut info = [0; 256];
        let length =
            get_option(server.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, &mut info).unwrap();
        assert!(length >= 192, "{length}");
        // Linux 2.6.32 ended with tcpi_total_retrans.
        let old = parse_tcp_info(&info[..104]);
        assert_eq!(old.state, Some(State::Established));
        assert_eq!(old.retransmits, Some(0));
        assert_eq!((old.bytes_acked, old.segments, old.limited_us), (None, None, None));
        for cut in 0..length {
            let _ = parse_tcp_info(&info[..cut]);
        }
        assert_eq!(parse_tcp_info(&[]), KernelFacts::default());
    }
}
