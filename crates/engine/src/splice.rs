//! Relaying a stream through a pipe, so that its bytes are never copied into this process.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::buffer::Chunk;
use crate::driver::{DriverKind, Side};
use crate::split::{Reader, Writer};
use crate::stream::Stream;

/// Bytes asked for at once, and what the pipe is to hold; an unprivileged process has limits
/// (pipe(7), `pipe-user-pages-soft`), and then it holds less.
pub(crate) const AT_ONCE: usize = 256 * 1024;

/// A pipe between two streams (splice(2)).
///
/// ```
/// # use std::io::{Read as _, Write as _};
/// # use std::os::unix::net::UnixStream;
/// # use sockeye_engine::{DriverKind, Engine, Pipe, Stream, probe::Role};
/// # fn main() -> std::io::Result<()> {
/// # let ((client, mut outside), (server, mut inside)) = (UnixStream::pair()?, UnixStream::pair()?);
/// # outside.write_all(b"as it is")?;
/// # outside.shutdown(std::net::Shutdown::Write)?;
/// Engine::new(DriverKind::EpollEdge)?.block_on(async {
///     let (mut from_client, _to_client) = Stream::adopt(client, Role::Server)?.split();
///     let (_from_server, mut to_server) = Stream::adopt(server, Role::Client)?.split();
///     let count = Pipe::new()?.relay(&mut from_client, &mut to_server, None).await?;
///     assert_eq!(count, 8);
///     to_server.shutdown_write()
/// })?;
/// # let mut all = String::new();
/// # inside.read_to_string(&mut all)?;
/// # assert_eq!(all, "as it is");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Bytes in it.
    held: usize,
}

impl Pipe {
    /// An empty pipe (pipe2(2)).
    ///
    /// # Errors
    ///
    /// The process is out of descriptors, which are two.
    pub fn new() -> io::Result<Pipe> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller one does as well.
        let _ = fcntl_setpipe_size(&writer, AT_ONCE);
        Ok(Pipe { reader, writer, held: 0 })
    }

    /// Sends on to `to` all that `from` receives, until `from` ends, and says how many bytes that
    /// were. Each wait ends with `TimedOut` after `patience`. `to` is not ended: shut it down, or
    /// don't.
    ///
    /// Whoever looks on is not told of these bytes: they are nobody's message here.
    ///
    /// # Errors
    ///
    /// As [`Stream::recv`] and [`Stream::flush`]; which of the two it was, the error says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing as long as the same pipe and the same `to` are used
    /// again: bytes on their way are in the pipe, or written to `to` and not yet flushed.
    pub async fn relay(
        &mut self,
        from: &mut Reader,
        to: &mut Writer,
        patience: Option<Duration>,
    ) -> io::Result<u64> {
        let mut count = 0;
        loop {
            self.empty(to, patience).await?;
            from.set_deadline(patience);
            // What the driver has received on its own comes first.
            let Some(chunk) = from.half.operate(Side::Read, poll_waiting).await? else {
                break;
            };
            if chunk.is_empty() {
                return Ok(count);
            }
            count += chunk.len() as u64;
            to.write(&chunk);
        }
        loop {
            from.set_deadline(patience);
            let pipe = &mut *self;
            match from.half.operate(Side::Read, |stream, cx| pipe.poll_fill(stream, cx)).await? {
                0 => return Ok(count),
                more => count += more as u64,
            }
            self.empty(to, patience).await?;
        }
    }

    /// How many bytes are in it, which the caller takes out.
    pub(crate) fn take_held(&mut self) -> usize {
        std::mem::take(&mut self.held)
    }

    /// Where they are taken out.
    pub(crate) fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// Sends on what is on its way.
    async fn empty(&mut self, to: &mut Writer, patience: Option<Duration>) -> io::Result<()> {
        to.set_deadline(patience);
        if to.unflushed() > 0 {
            to.flush().await?;
        }
        while self.held > 0 {
            to.set_deadline(patience);
            let pipe = &mut *self;
            to.half.operate(Side::Write, |stream, cx| pipe.poll_drain(stream, cx)).await?;
        }
        Ok(())
    }

    pub(crate) fn poll_fill(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let (mut count, sleeps) = (0, !stream.reactor.kind.multiplexes());
        let polled = stream.poll_attempt(Side::Read, cx, &mut |fd| {
            count = without_sleep(fd, sleeps, || {
                splice(fd, None, &self.writer, None, AT_ONCE, SpliceFlags::NONBLOCK)
            })?;
            Ok(())
        });
        let result = ready!(polled).map_err(|error| stream.explain("splice from", error));
        self.held += count;
        stream.count_received(count);
        Poll::Ready(result.map(|()| count))
    }

    fn poll_drain(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (mut count, sleeps) = (0, !stream.reactor.kind.multiplexes());
        let polled = stream.poll_attempt(Side::Write, cx, &mut |fd| {
            count = without_sleep(fd, sleeps, || {
                splice(self.reader.as_fd(), None, fd, None, self.held, SpliceFlags::NONBLOCK)
            })?;
            Ok(())
        });
        let result = ready!(polled).map_err(|error| stream.explain("splice to", error));
        self.held -= count;
        stream.count_written(count);
        Poll::Ready(result)
    }
}

/// What was received before the pipe came; None when there is no more of it, and the socket itself
/// can be asked. A simulated one never can.
pub(crate) fn poll_waiting(
    stream: &mut Stream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Option<Chunk>>> {
    if stream.peeked.is_some() || stream.reactor.kind == DriverKind::Sim {
        return stream.poll_recv_busy(cx).map_ok(Some);
    }
    if stream.reactor.driver.poll_quiet(stream.key, cx).is_pending() {
        return stream.poll_deadline(Side::Read, cx);
    }
    let waiting = stream.reactor.driver.take_received(stream.key).transpose();
    if let Ok(Some(chunk)) = &waiting {
        stream.count_received(chunk.len());
    }
    Poll::Ready(waiting.map_err(|error| stream.explain("recv from", error)))
}

/// The flag of splice(2) is about the pipe; the socket has its own.
pub(crate) fn without_sleep<T>(
    fd: BorrowedFd<'_>,
    sleeps: bool,
    call: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    if !sleeps {
        return call();
    }
    rustix::io::ioctl_fionbio(fd, true)?;
    let result = call();
    rustix::io::ioctl_fionbio(fd, false)?;
    result
}
