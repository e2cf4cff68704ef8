//! The other end: plain sockets, and knowing when the kernel has told ours something; in a simulation,
//! a stream of another host.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{self, set_socket_linger};
use sockeye_engine::sim::Net;
use sockeye_engine::{Reader, Stream, Writer, sleep};

use crate::stage::{self, Job};
use crate::{Either, either};

/// Nothing in these tests waits so long unless it is broken.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The other end of a connection. Dropping it closes it.
///
/// On loopback its calls block, and its futures never wait for a task; so they may be used beside ours
/// where it is known that there is something to be had, and else in [`Peer::aside`].
pub(crate) struct Peer {
    end: End,
}

enum End {
    Near(TcpStream),
    Far(Far),
}

/// A task's stream on another host, or a half of it.
struct Far {
    net: Net,
    address: SocketAddr,
    reader: Option<Reader>,
    writer: Option<Writer>,
    /// What was received and not yet read.
    ahead: Vec<u8>,
}

impl Peer {
    pub(crate) fn near(socket: TcpStream) -> Peer {
        socket.set_read_timeout(Some(LONG)).expect("an option");
        Peer { end: End::Near(socket) }
    }

    pub(crate) fn far(net: Net, stream: Stream) -> Peer {
        let address = net.local_addr(&stream).expect("it is of this network");
        let (reader, writer) = stream.split();
        let (reader, writer) = (Some(reader), Some(writer));
        Peer { end: End::Far(Far { net, address, reader, writer, ahead: Vec::new() }) }
    }

    pub(crate) fn is_far(&self) -> bool {
        matches!(self.end, End::Far(..))
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        match self.end {
            End::Near(socket) => socket,
            End::Far(..) => unreachable!("it has none"),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.end {
            End::Near(socket) => socket.local_addr().expect("bound"),
            End::Far(far) => far.address,
        }
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.end {
            End::Near(socket) => socket.write_all(bytes),
            End::Far(far) => {
                let writer = far.writer.as_mut().expect("this half writes");
                writer.write(bytes);
                writer.flush().await
            }
        }
    }

    /// Some bytes, at most `room`; none at the end.
    pub(crate) async fn read_some(&mut self, room: usize) -> io::Result<Vec<u8>> {
        match &mut self.end {
            End::Near(socket) => {
                let mut some = vec![0; room];
                let count = socket.read(&mut some)?;
                some.truncate(count);
                Ok(some)
            }
            End::Far(far) => {
                if far.ahead.is_empty() {
                    let reader = far.reader.as_mut().expect("this half reads");
                    reader.set_deadline(Some(LONG));
                    far.ahead = reader.recv().await?.to_vec();
                }
                let rest = far.ahead.split_off(room.min(far.ahead.len()));
                Ok(std::mem::replace(&mut far.ahead, rest))
            }
        }
    }

    /// `len` bytes as text, or why not.
    pub(crate) async fn read(&mut self, len: usize) -> String {
        let mut all = Vec::new();
        while all.len() < len {
            match self.read_some(len - all.len()).await {
                Ok(some) if some.is_empty() => return format!("{:?}", ErrorKind::UnexpectedEof),
                Ok(some) => all.extend(some),
                Err(error) => return format!("{:?}", error.kind()),
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// What else there is until the end.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let end = loop {
            match self.read_some(1 << 16).await {
                Ok(some) if some.is_empty() => break "end".to_owned(),
                Ok(some) => all.extend(some),
                Err(error) => break format!("{:?}", error.kind()),
            }
        };
        format!("{}, {end}", String::from_utf8_lossy(&all))
    }

    /// Whether nothing has come, not even the end.
    pub(crate) async fn is_silent(&mut self) -> bool {
        match &mut self.end {
            End::Near(socket) => {
                socket.set_nonblocking(true).expect("a flag");
                let read = socket.peek(&mut [0]).map_err(|error| error.kind());
                socket.set_nonblocking(false).expect("a flag");
                read == Err(ErrorKind::WouldBlock)
            }
            End::Far(far) => {
                settle().await;
                let reader = far.reader.as_mut().expect("this half reads");
                let come = either(reader.recv(), std::future::ready(())).await;
                far.ahead.is_empty() && matches!(come, Either::Other(()))
            }
        }
    }

    /// Waits until there is something to read.
    pub(crate) async fn until_readable(&self) {
        match &self.end {
            End::Near(socket) => until_readable(socket),
            End::Far(..) => settle().await,
        }
    }

    pub(crate) fn shutdown_write(&mut self) {
        match &mut self.end {
            End::Near(socket) => socket.shutdown(Shutdown::Write),
            End::Far(far) => far.writer.as_mut().expect("this half writes").shutdown_write(),
        }
        .expect("connected");
    }

    /// Closes with RST.
    pub(crate) fn reset(self) {
        match self.end {
            End::Near(socket) => reset(socket),
            End::Far(Far { net, reader: Some(reader), writer: Some(writer), .. }) => {
                let Ok(stream) = reader.unsplit(writer) else { unreachable!("of one stream") };
                net.reset(stream).expect("it is of this network");
            }
            End::Far(_) => unreachable!("half of it can't be closed"),
        }
    }

    /// One that reads, and one that writes.
    pub(crate) fn split(self) -> (Peer, Peer) {
        match self.end {
            End::Near(socket) => {
                (Peer::near(socket.try_clone().expect("a descriptor")), Peer::near(socket))
            }
            End::Far(mut far) => {
                let writer = far.writer.take();
                let (net, address) = (far.net.clone(), far.address);
                let writes = Far { net, address, reader: None, writer, ahead: Vec::new() };
                (Peer { end: End::Far(far) }, Peer { end: End::Far(writes) })
            }
        }
    }

    /// Waits until somebody has set it.
    pub(crate) async fn until(&self, set: &AtomicBool) {
        while !set.load(Ordering::SeqCst) {
            match &self.end {
                End::Near(_) => std::thread::yield_now(),
                End::Far(_) => settle().await,
            }
        }
    }

    /// Lets it do something beside our tasks.
    pub(crate) fn aside<T: Send + 'static>(
        self,
        act: impl AsyncFnOnce(Peer) -> T + Send + 'static,
    ) -> Job<T> {
        stage::aside(vec![self], async move |mut peers: Vec<Peer>| {
            act(peers.pop().expect("one was given")).await
        })
    }

    /// Reads to the end, `at_once` bytes at a time; how many there were, or which byte was wrong.
    pub(crate) fn count_numbered(self, at_once: usize) -> Job<Result<u64, String>> {
        self.aside(async move |mut peer: Peer| peer.numbered(at_once).await)
    }

    /// The same, here and now.
    pub(crate) async fn numbered(&mut self, at_once: usize) -> Result<u64, String> {
        let mut count = 0;
        loop {
            let some = self.read_some(at_once).await;
            let some = some.map_err(|error| format!("{:?}", error.kind()))?;
            if some.is_empty() {
                return Ok(count);
            }
            for got in some {
                if got != byte(count) {
                    return Err(format!("byte {count} is not what was sent"));
                }
                count += 1;
            }
        }
    }
}

/// Longer than anything is on its way between simulated hosts and back, by the simulated clock: what
/// was sent before has come.
pub(crate) async fn settle() {
    sleep(Duration::from_millis(2)).await;
}

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
