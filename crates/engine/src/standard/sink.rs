//! Bytes to standard output.

use std::fmt;
use std::fs;
use std::future::Future;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::{End, Outgoing, Way, What, copied};
use crate::driver::Side;
use crate::offload::offload;
use crate::splice::Pipe;

/// Most pieces of one vectored call.
const PIECES: usize = 16;

/// What another thread writes: comes back with what could not be written.
type Writing = Pin<Box<dyn Future<Output = (Outgoing, io::Result<()>)>>>;

/// Where bytes go that is no connection: standard output, be it a pipe, a terminal, a file or a
/// socket. The blocking mode of the descriptor, which others share, stays as it is.
///
/// As with a [`Stream`](crate::Stream), `write` takes the bytes at once and `flush` waits until they
/// are taken: who flushes each time is held back by a slow reader.
///
/// ```
/// use std::io::Read as _;
/// use sockeye_engine::{DriverKind, Engine, Sink};
///
/// # fn main() -> std::io::Result<()> {
/// let (mut reader, writer) = std::io::pipe()?;
/// Engine::new(DriverKind::EpollEdge)?.block_on(async {
///     let mut sink = Sink::adopt(writer)?;
///     sink.write(b"a line\n");
///     sink.flush().await
/// })?;
/// let mut all = String::new();
/// reader.read_to_string(&mut all)?;
/// assert_eq!(all, "a line\n");
/// # Ok(())
/// # }
/// ```
pub struct Sink {
    pub(super) end: End,
    outgoing: Outgoing,
    backlog: Backlog,
    pub(super) writing: Option<Writing>,
    /// Between a socket and what is no pipe.
    pub(super) between: Option<Pipe>,
}

/// How much a [`Sink`] was given that is not written yet, told to whoever does not have the sink.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// In bytes. What [`Sink::relay`] moves is never among them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn given(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn written(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Sink {
    /// Standard output. Nothing else of the process should write there from now on.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors, or the driver can't watch it.
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub fn stdout() -> io::Result<Sink> {
        let end = End::new(copied(io::stdout())?, Side::Write, "standard output")?;
        Ok(Sink::new(end))
    }

    /// Any other descriptor that can be written.
    ///
    /// # Errors
    ///
    /// As [`Sink::stdout`].
    ///
    /// # Panics
    ///
    /// Outside of an engine.
    pub fn adopt(fd: impl Into<OwnedFd>) -> io::Result<Sink> {
        let end = End::new(fd.into(), Side::Write, "a descriptor")?;
        Ok(Sink::new(end))
    }

    fn new(end: End) -> Sink {
        let (outgoing, backlog) = (Outgoing::default(), Backlog::default());
        Sink { end, outgoing, backlog, writing: None, between: None }
    }

    /// Whether it is a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.end.terminal
    }

    /// Takes `bytes` to be written; they leave with the next flush.
    pub fn write(&mut self, bytes: &[u8]) {
        self.backlog.given(bytes.len());
        self.outgoing.push(bytes);
    }

    /// Takes shared bytes to be written, without a copy where that pays.
    pub fn write_shared(&mut self, bytes: Bytes) {
        self.backlog.given(bytes.len());
        self.outgoing.push_shared(bytes);
    }

    /// Bytes written that no flush has taken yet.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.outgoing.len()
    }

    /// Tells how much is still to be written, while a flush is under way too.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    /// Waits until everything that was written is taken.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` when nobody reads any more, `StorageFull`, and what else write(2) says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what was not taken leaves with the next flush.
    pub async fn flush(&mut self) -> io::Result<()> {
        while self.writing.is_some() || !self.outgoing.is_empty() {
            let Sink { end, outgoing, backlog, writing, .. } = self;
            let written = match &end.way {
                Way::Polled { what, .. } => {
                    let what = *what;
                    let poll = |cx: &mut Context<'_>| end.poll_write(what, outgoing, backlog, cx);
                    end.ask(Side::Write, poll).await
                }
                Way::Direct(fd) => {
                    // One that never waits would never let others run.
                    std::future::poll_fn(|cx| end.reactor.poll_budget(cx)).await;
                    write_now(fd.as_fd(), What::Pipe, outgoing, backlog).map_err(Into::into)
                }
                Way::Beside(file) => {
                    let work = writing.get_or_insert_with(|| {
                        begin(Arc::clone(file), std::mem::take(outgoing), backlog.clone())
                    });
                    let (left, written) = work.await;
                    *writing = None;
                    if written.is_err() {
                        // Nothing that came later may take its place.
                        *outgoing = left;
                    }
                    written
                }
            };
            written.map_err(|error| self.end.failed("write", error))?;
        }
        self.outgoing.clear();
        Ok(())
    }
}

impl End {
    fn poll_write(
        &self,
        what: What,
        outgoing: &mut Outgoing,
        backlog: &Backlog,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some((key, _)) = self.key() else { return Poll::Pending };
        let mut attempt = |fd: BorrowedFd<'_>| write_now(fd, what, outgoing, backlog);
        self.reactor.driver.poll_attempt(key, Side::Write, &mut attempt, cx)
    }
}

/// One call, which may write a part of it.
fn write_now(
    fd: BorrowedFd<'_>,
    what: What,
    outgoing: &mut Outgoing,
    backlog: &Backlog,
) -> Result<(), Errno> {
    let count = {
        let (pieces, used) = outgoing.vectors::<PIECES>();
        let pieces = &pieces[..used];
        retry_on_intr(|| match what {
            What::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                rustix::net::sendmsg(fd, pieces, &mut SendAncillaryBuffer::default(), flags)
            }
            What::Pipe | What::Terminal => rustix::io::writev(fd, pieces),
        })?
    };
    outgoing.advance(count);
    backlog.written(count);
    Ok(())
}

fn begin(file: Arc<fs::File>, mut outgoing: Outgoing, backlog: Backlog) -> Writing {
    Box::pin(async move {
        let work = move || {
            while !outgoing.is_empty() {
                let (pieces, used) = outgoing.vectors::<PIECES>();
                match (&*file).write_vectored(&pieces[..used]) {
                    Ok(0) => return (outgoing, Err(io::ErrorKind::WriteZero.into())),
                    Ok(count) => {
                        outgoing.advance(count);
                        backlog.written(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return (outgoing, Err(error)),
                }
            }
            (outgoing, Ok(()))
        };
        offload(work).await.unwrap_or_else(|error| (Outgoing::default(), Err(error)))
    })
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("unflushed", &self.unflushed()).finish_non_exhaustive()
    }
}
