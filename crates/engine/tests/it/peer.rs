//! The other end: plain sockets, and knowing when the kernel has told ours something.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{self, set_socket_linger};

/// Nothing in these tests waits so long unless it is broken.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Closes with RST: a linger of zero (socket(7)).
pub(crate) fn reset(socket: TcpStream) {
    set_socket_linger(&socket, Some(Duration::ZERO)).expect("an option");
    drop(socket);
}

/// Waits until a reset has come in at this descriptor: it may take the kernel a moment even on
/// loopback.
pub(crate) fn until_reset(ours: impl AsFd) {
    let mut fds = [PollFd::from_borrowed_fd(ours.as_fd(), PollFlags::empty())];
    retry_on_intr(|| poll(&mut fds, None)).expect("one descriptor");
    assert!(fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP));
}

/// Waits until there is something to receive at this descriptor.
pub(crate) fn until_readable(ours: impl AsFd) {
    let mut fds = [PollFd::from_borrowed_fd(ours.as_fd(), PollFlags::IN)];
    retry_on_intr(|| poll(&mut fds, None)).expect("one descriptor");
}

/// The smallest send buffer the kernel gives, so that sends are cut short all the time.
pub(crate) fn tiny_buffer(ours: &TcpStream) {
    sockopt::set_socket_send_buffer_size(ours, 1).expect("an option");
}

/// Byte `n` of the streams that tests send: no two neighbourhoods look the same soon.
pub(crate) fn byte(n: u64) -> u8 {
    (n % 251) as u8 ^ (n / 251 % 241) as u8
}

pub(crate) fn bytes(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(byte).collect()
}

/// A connection through which few bytes fit while nobody reads: a hundred kilobytes, say.
pub(crate) fn narrow_connection() -> (TcpStream, TcpStream) {
    let (ours, theirs) = crate::connection();
    sockopt::set_socket_send_buffer_size(&ours, 32 * 1024).expect("an option");
    sockopt::set_socket_recv_buffer_size(&theirs, 32 * 1024).expect("an option");
    (ours, theirs)
}

/// A file of `len` numbered bytes.
pub(crate) fn file(len: u64) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&bytes(0..len)).expect("it is written");
    file
}

/// Reads to the end, `at_once` bytes at a time; how many there were, or which byte was wrong.
pub(crate) fn count_numbered(
    mut theirs: TcpStream,
    at_once: usize,
) -> JoinHandle<Result<u64, String>> {
    theirs.set_read_timeout(Some(LONG)).expect("an option");
    std::thread::spawn(move || {
        let (mut count, mut buffer) = (0, vec![0; at_once]);
        loop {
            let got = theirs.read(&mut buffer).map_err(|error| format!("{:?}", error.kind()))?;
            if got == 0 {
                return Ok(count);
            }
            for got in &buffer[..got] {
                if *got != byte(count) {
                    return Err(format!("byte {count} is not what was sent"));
                }
                count += 1;
            }
        }
    })
}

/// What the peer reads now: `len` bytes as text.
pub(crate) fn read(mut theirs: &TcpStream, len: usize) -> String {
    theirs.set_read_timeout(Some(LONG)).expect("an option");
    let mut text = vec![0; len];
    match theirs.read_exact(&mut text) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// What else the peer reads until the end.
pub(crate) fn rest(mut theirs: &TcpStream) -> String {
    theirs.set_read_timeout(Some(LONG)).expect("an option");
    let mut rest = Vec::new();
    match theirs.read_to_end(&mut rest) {
        Ok(_) => format!("{}, end", String::from_utf8_lossy(&rest)),
        Err(error) => format!("{}, {:?}", String::from_utf8_lossy(&rest), error.kind()),
    }
}
