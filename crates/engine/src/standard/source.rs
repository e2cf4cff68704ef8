//! Bytes from standard input.

use std::fmt;
use std::fs;
use std::future::Future;
use std::io::{self, Read as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::RecvFlags;

use super::{End, Way, What, copied};
use crate::buffer::Chunk;
use crate::driver::Side;
use crate::offload::offload;

/// Bytes of one read on another thread, which costs a hand-over each.
const AT_ONCE: usize = 256 * 1024;

type Reading = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>>>>;

/// Where bytes come from that is no connection: standard input, be it a pipe, a terminal, a file or
/// a socket. The blocking mode of the descriptor, which others share, stays as it is.
///
/// ```
/// use std::io::Write as _;
/// use sockeye_engine::{DriverKind, Engine, Source};
///
/// # fn main() -> std::io::Result<()> {
/// let (reader, mut writer) = std::io::pipe()?;
/// Engine::new(DriverKind::EpollEdge)?.block_on(async {
///     let mut source = Source::adopt(reader)?;
///     writer.write_all(b"a line\n")?;
///     assert_eq!(&source.read().await?[..], b"a line\n");
///     drop(writer);
///     assert!(source.read().await?.is_empty());
///     Ok(())
/// })
/// # }
/// ```
pub struct Source {
    pub(super) end: End,
    /// A read that another thread has begun.
    reading: Option<Reading>,
}

impl Source {
    /// Standard input. Nothing else of the process should read it from now on.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors, or the driver can't watch it.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub fn stdin() -> io::Result<Source> {
        let fd = copied(io::stdin())?;
        Ok(Source { end: End::new(fd, Side::Read, "standard input")?, reading: None })
    }

    /// Any other descriptor that can be read.
    ///
    /// # Errors
    ///
    /// As [`Source::stdin`].
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub fn adopt(fd: impl Into<OwnedFd>) -> io::Result<Source> {
        Ok(Source { end: End::new(fd.into(), Side::Read, "a descriptor")?, reading: None })
    }

    /// Whether it is a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.end.terminal
    }

    /// Nothing is being read that a relay would overtake.
    pub(super) fn is_idle(&self) -> bool {
        self.reading.is_none()
    }

    /// The next bytes; the empty chunk at the end, and from then on.
    ///
    /// # Errors
    ///
    /// What read(2) says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a read that goes on without it is kept for the next one.
    pub async fn read(&mut self) -> io::Result<Chunk> {
        let read = match &self.end.way {
            Way::Polled { what, .. } => {
                let what = *what;
                self.end.ask(Side::Read, |cx| self.end.poll_read(what, cx)).await
            }
            Way::Direct(fd) => {
                let mut lease = self.end.reactor.env.pool.lease();
                let count = retry_on_intr(|| rustix::io::read(fd, lease.room()));
                // One that never waits would never let others run.
                std::future::poll_fn(|cx| self.end.reactor.poll_budget(cx)).await;
                count.map(|count| lease.filled(count)).map_err(Into::into)
            }
            Way::Beside(file) => {
                let file = Arc::clone(file);
                let reading = self.reading.get_or_insert_with(|| begin(file));
                let read = reading.await;
                self.reading = None;
                read.map(Chunk::from_vec)
            }
        };
        match read {
            // A terminal whose other end is gone.
            Err(error) if self.end.terminal && error.raw_os_error() == Some(libc::EIO) => {
                Ok(Chunk::end())
            }
            read => read.map_err(|error| self.end.failed("read", error)),
        }
    }
}

impl End {
    fn poll_read(&self, what: What, cx: &mut Context<'_>) -> Poll<io::Result<Chunk>> {
        let Some((key, _)) = self.key() else { return Poll::Pending };
        let mut lease = Some(self.reactor.env.pool.lease());
        let mut chunk = Chunk::end();
        let mut attempt = |fd: BorrowedFd<'_>| {
            let Some(mut leased) = lease.take() else { return Ok(()) };
            match read_now(fd, what, leased.room()) {
                Ok(count) => {
                    chunk = leased.filled(count);
                    Ok(())
                }
                Err(error) => {
                    lease = Some(leased);
                    Err(error)
                }
            }
        };
        if !self.reactor.kind.multiplexes() {
            // That driver asks poll(2) first, which does not tell of an end that came before the pipe
            // was opened again.
            let mut tried = Err(Errno::AGAIN);
            self.reactor.driver.with_fd(key, &mut |fd| tried = attempt(fd));
            match tried {
                Err(Errno::AGAIN) => {}
                Ok(()) => return Poll::Ready(Ok(chunk)),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        self.reactor.driver.poll_attempt(key, Side::Read, &mut attempt, cx).map_ok(|()| chunk)
    }
}

fn read_now(fd: BorrowedFd<'_>, what: What, room: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| match what {
        What::Socket => {
            rustix::net::recv(fd, &mut *room, RecvFlags::DONTWAIT).map(|(count, _)| count)
        }
        What::Pipe | What::Terminal => rustix::io::read(fd, &mut *room),
    })
}

fn begin(file: Arc<fs::File>) -> Reading {
    Box::pin(async move {
        offload(move || {
            let mut bytes = vec![0; AT_ONCE];
            loop {
                match (&*file).read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                    Ok(count) => {
                        bytes.truncate(count);
                        return Ok(bytes);
                    }
                }
            }
        })
        .await?
    })
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.end.name).finish_non_exhaustive()
    }
}
