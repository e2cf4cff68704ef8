//! When the kernel passed on what we sent: `SO_TIMESTAMPING` and the error queue it tells by.
//!
//! A stamp names a byte by its 32-bit distance from where numbering began (`OPT_ID`), so it comes
//! round every 4 GiB and has to be placed on the stream's own offsets.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use sockeye_engine::probe::Stamp;

use super::set_option;
use crate::record::{KernelStamp, Point};

/// So many entries are taken with one call.
const AT_ONCE: usize = 16;

/// Room for the control data of one: three times (64 bytes with their header), and the extended
/// error with an address of IPv6 behind it (60).
const ROOM: usize = 160;

/// Asks for stamps of all that is sent from now on, until [`pause_stamps`]. At first nothing may have
/// been sent before.
///
/// It is stamped when it is handed to the device and when it is acknowledged. Numbers count from the first byte whether the connection is made already or still being made
/// (`OPT_ID_TCP`); nothing but the number comes back, so none of the bytes (`OPT_TSONLY`), and no
/// privilege is needed.
///
/// # Errors
/// Whatever `setsockopt(2)` says: `EINVAL` before Linux 6.2, and of a socket that is not connected.
pub fn ask_stamps(fd: BorrowedFd<'_>) -> io::Result<()> {
    let points = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_TX_ACK;
    let flags = NUMBERED | points;
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags.cast_signed())
}

/// Asks for no stamps of what is sent from now on; those of what was sent before still come. What is
/// sent meanwhile is counted, so that [`ask_stamps`] may be called again.
///
/// # Errors
/// As [`ask_stamps`].
pub fn pause_stamps(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &NUMBERED.cast_signed())
}

/// How stamps are reported, and that bytes are counted. As long as these stay, so does the count.
const NUMBERED: u32 = libc::SOF_TIMESTAMPING_SOFTWARE
    | libc::SOF_TIMESTAMPING_OPT_ID
    | libc::SOF_TIMESTAMPING_OPT_TSONLY
    | OPT_ID_TCP;

/// Counts from the first byte that was not written yet, not from the first unacknowledged one
/// (include/uapi/linux/net_tstamp.h, Linux 6.2).
const OPT_ID_TCP: u32 = 1 << 16;

/// Takes all stamps out of the error queue, and whatever else is there. The kernel has taken the bytes
/// up to `sent.end` so far; those from `sent.start` on are the last for which stamps were asked.
pub fn take_stamps(fd: BorrowedFd<'_>, sent: Range<u64>, mut take: impl FnMut(KernelStamp)) {
    let mut rooms = [Room([0; ROOM]); AT_ONCE];
    loop {
        let (count, lengths) = receive(fd, &mut rooms);
        for (room, length) in rooms.iter().zip(lengths).take(count) {
            let found = read(room.0.get(..length).unwrap_or_default());
            if let Some((at, point, id)) = found {
                let end = place(id, sent.end);
                // Of what was asked before that it is not known here where it began.
                take(KernelStamp { at, point, from: sent.start.min(end), end });
            }
        }
        if count < AT_ONCE {
            return;
        }
    }
}

/// Control data as the kernel writes it.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Room([u8; ROOM]);

/// How many entries came, and how long the control data of each is.
fn receive(fd: BorrowedFd<'_>, rooms: &mut [Room; AT_ONCE]) -> (usize, [usize; AT_ONCE]) {
    // SAFETY: a message header of zeros is valid: no name, no vectors, no control data.
    let mut headers: [libc::mmsghdr; AT_ONCE] = unsafe { std::mem::zeroed() };
    for (header, room) in headers.iter_mut().zip(rooms) {
        header.msg_hdr.msg_control = room.0.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = ROOM;
    }
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    let most = u32::try_from(AT_ONCE).unwrap_or(0);
    // SAFETY: there are as many headers as is said, and the room each of them names is as long as it
    // says, ours, and used by no other header.
    let count = unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            most,
            flags.cast_unsigned() as _,
            std::ptr::null_mut(),
        )
    };
    // It fails when nothing waits; what else it may say, the next call on the socket says as well.
    let count = usize::try_from(count).unwrap_or(0);
    (count, headers.map(|header| header.msg_hdr.msg_controllen))
}

/// The time, the place and the number of one stamp; `None` of what is none.
fn read(mut control: &[u8]) -> Option<(Stamp, Point, u32)> {
    const WORD: usize = size_of::<usize>();
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let (mut at, mut named) = (None, None);
    while let Some((length, rest)) = control.split_first_chunk::<WORD>()
        && let ([level, kind], _) = rest.get(..8).unwrap_or_default().as_chunks()
        && let Some(data) = control.get(HEADER..usize::from_ne_bytes(*length))
    {
        match (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => at = time(data),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                named = name(data);
            }
            _ => {}
        }
        let next = usize::from_ne_bytes(*length).next_multiple_of(WORD);
        control = control.get(next..).unwrap_or_default();
    }
    let (point, id) = named?;
    Some((at?, point, id))
}

/// The first of the three times of `struct scm_timestamping`, which is the software's.
fn time(data: &[u8]) -> Option<Stamp> {
    let ([seconds, nanos, ..], _) = data.as_chunks::<8>() else { return None };
    let seconds = u64::try_from(i64::from_ne_bytes(*seconds)).ok()?;
    let nanos = u64::try_from(i64::from_ne_bytes(*nanos)).ok()?;
    Some(Stamp(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

/// Of `struct sock_extended_err`: where it was stamped (`ee_info`) and what (`ee_data`), if its
/// origin is a stamp and not an error of the network.
fn name(data: &[u8]) -> Option<(Point, u32)> {
    let word = |place: usize| {
        Some(u32::from_ne_bytes(data.get(place..place + 4)?.first_chunk().copied()?))
    };
    if word(0)? != libc::ENOMSG.unsigned_abs() || *data.get(4)? != libc::SO_EE_ORIGIN_TIMESTAMPING {
        return None;
    }
    let point = match word(8)? {
        0 => Point::Sent,
        1 => Point::Scheduled,
        2 => Point::Acked,
        _ => return None,
    };
    Some((point, word(12)?))
}

/// The end of the bytes up to the one with this number, where `sent` bytes were handed over: the
/// last place the number fits.
fn place(id: u32, sent: u64) -> u64 {
    const ROUND: u64 = 1 << 32;
    let end = u64::from(id) + 1;
    // The numbers of what was sent since the last round end begin anew.
    let rounds = sent.saturating_sub(end) / ROUND;
    end + rounds * ROUND
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;

    use proptest::prelude::*;
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    /// Waits for more, until the acknowledgment of the byte before `end` is among them.
    fn stamps_until(stream: &TcpStream, end: u64) -> Vec<KernelStamp> {
        let mut all: Vec<KernelStamp> = Vec::new();
        while !all.iter().any(|stamp| stamp.point == Point::Acked && stamp.end == end) {
            poll(&mut [PollFd::new(stream, PollFlags::empty())], None).unwrap();
            take_stamps(stream.as_fd(), 0..end, |stamp| all.push(stamp));
        }
        all
    }

    #[test]
    fn what_is_sent_is_stamped_at_two_points_in_the_order_in_which_it_passes() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            ask_stamps(client.as_fd()).unwrap();
            let before = Stamp::now();
            client.set_nodelay(true).unwrap();
            client.write_all(&[7; 5]).unwrap();
            client.write_all(&[7; 10]).unwrap();
            server.read_exact(&mut [0; 15]).unwrap();
            server.write_all(b"!").unwrap();
            let stamps = stamps_until(&client, 15);
            let after = Stamp::now();
            for point in [Point::Sent, Point::Acked] {
                let ends = stamps.iter().filter(|stamp| stamp.point == point);
                let ends: Vec<u64> = ends.map(|stamp| stamp.end).collect();
                assert!(ends == [5, 15] || ends == [15], "{address}: {point:?}: {ends:?}");
            }
            let of_last = |point| {
                stamps.iter().find(|stamp| stamp.point == point && stamp.end == 15).unwrap().at
            };
            let passed = [before, of_last(Point::Sent), of_last(Point::Acked), after];
            assert!(passed.is_sorted(), "{address}: {passed:?}");
            let mut none = true;
            take_stamps(client.as_fd(), 0..15, |_| none = false);
            assert!(none, "they are taken once");
        }
    }

    #[test]
    fn what_is_sent_while_no_stamps_are_asked_for_has_none_and_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        ask_stamps(client.as_fd()).unwrap();
        client.set_nodelay(true).unwrap();
        let mut send = |asked: bool, bytes: &[u8]| {
            let ask = if asked { ask_stamps } else { pause_stamps };
            ask(client.as_fd()).unwrap();
            (&client).write_all(bytes).unwrap();
            server.read_exact(&mut vec![0; bytes.len()]).unwrap();
        };
        send(true, &[7; 3]);
        send(false, &[7; 4]);
        send(true, &[7; 5]);
        send(false, &[7; 6]);
        server.write_all(b"!").unwrap();
        let stamps = stamps_until(&client, 12);
        let ends = stamps.iter().filter(|stamp| stamp.point == Point::Sent).map(|stamp| stamp.end);
        assert_eq!(ends.collect::<Vec<_>>(), [3, 12]);
    }

    #[test]
    fn more_stamps_than_are_taken_at_once_come_all() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        ask_stamps(client.as_fd()).unwrap();
        client.set_nodelay(true).unwrap();
        for _ in 0..50 {
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0]).unwrap();
        }
        server.write_all(b"!").unwrap();
        let stamps = stamps_until(&client, 50);
        let sent = stamps.iter().filter(|stamp| stamp.point == Point::Sent);
        assert_eq!(sent.map(|stamp| stamp.end).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_that_came_round_are_placed_behind_those_before() {
        let round = 1_u64 << 32;
        for (id, sent, end) in [
            (0, 1, 1),
            (4, 5, 5),
            (4, 900, 5),
            (u32::MAX, round, round),
            (0, round + 1, round + 1),
            (u32::MAX, round + 1, round),
            (9, 3 * round + 10, 3 * round + 10),
            (9, 3 * round + 9, 2 * round + 10),
        ] {
            assert_eq!(place(id, sent), end, "{id} of {sent}");
        }
    }

    proptest! {
        #[test]
        fn a_number_fits_its_place_and_none_that_was_not_sent(id: u32, sent in 1_u64..1 << 40) {
            let end = place(id, sent);
            prop_assert_eq!((end - 1) % (1 << 32), u64::from(id));
            prop_assert!(end <= sent || end == u64::from(id) + 1);
            prop_assert!(end + (1 << 32) > sent);
        }

        #[test]
        fn any_control_data_is_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            lengths in proptest::collection::vec((0_usize..80, 0_i32..60, 0_i32..60), 0..4),
        ) {
            let _ = (read(&bytes), time(&bytes), name(&bytes));
            let mut control = Vec::new();
            for (length, level, kind) in lengths {
                control.extend((16 + length).to_ne_bytes());
                control.extend(level.to_ne_bytes());
                control.extend(kind.to_ne_bytes());
                control.extend(bytes.iter().chain(&[0; 80]).take(length));
                control.resize(control.len().next_multiple_of(8), 0);
            }
            let _ = read(&control);
        }
    }
}
