//! Standard input and output, whatever they are, beside the sockets of a thread.
//!
//! A descriptor that a process was started with is shared: the shell and other processes hold the
//! same open file description, and `O_NONBLOCK` set on it would hit them all (fcntl(2)). So it is
//! never set there. A pipe or a terminal is opened a second time through `/proc/self/fd`, which
//! gives a description of our own; a socket, which can't be, is asked with `MSG_DONTWAIT`; what
//! poll(2) can't tell about (files), and what may not be opened again, is read and written on
//! threads beside the loop.

mod inherited;
mod relay;
mod sink;
mod source;

use std::cell::OnceCell;
use std::fs;
use std::future::Future;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fs::{Mode, OFlags};

pub use inherited::stdout_was_open;
pub use relay::RelayError;
pub use sink::{Backlog, Sink};
pub use source::Source;

use crate::buffer::Outgoing;
use crate::driver::{Raw, Side};
use crate::reactor::Reactor;
use crate::slab::Key;

/// The major number of memory devices (`/dev/null`, `/dev/zero`), whose calls never wait.
const MEMORY: u32 = 1;

/// How a descriptor is read or written without keeping the thread.
enum Way {
    /// The driver tells when.
    Polled { key: Key, what: What },
    /// At once: it never waits.
    Direct(OwnedFd),
    /// On another thread.
    Beside(Arc<fs::File>),
}

/// What a descriptor is that the driver watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Pipe,
    Socket,
    Terminal,
}

/// What the halves share: a descriptor, and what became of it.
struct End {
    reactor: Rc<Reactor>,
    way: Way,
    terminal: bool,
    /// The pipe once more, for calls that are made on a socket of the same driver.
    besides: OnceCell<Arc<OwnedFd>>,
    /// As errors name it.
    name: &'static str,
}

impl End {
    fn new(fd: OwnedFd, side: Side, name: &'static str) -> io::Result<End> {
        let reactor = Reactor::current();
        let file = fs::File::from(fd);
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        let terminal = file.is_terminal();
        let way = if kind.is_fifo() || terminal {
            let what = if terminal { What::Terminal } else { What::Pipe };
            match reopen(file.as_fd(), side) {
                // Never to sleep in, whatever the driver does with its sockets.
                Ok(own) => watched(&reactor, Raw::Shared(own), what)?,
                Err(_) => Way::Beside(Arc::new(file)),
            }
        } else if kind.is_socket() {
            watched(&reactor, Raw::Shared(file.into()), What::Socket)?
        } else if kind.is_char_device() && major(&metadata) == MEMORY {
            Way::Direct(file.into())
        } else {
            Way::Beside(Arc::new(file))
        };
        Ok(End { reactor, way, terminal, besides: OnceCell::new(), name })
    }

    /// A copy of the descriptor, for the time of one operation on another end.
    fn key(&self) -> Option<(Key, What)> {
        match self.way {
            Way::Polled { key, what } => Some((key, what)),
            Way::Direct(_) | Way::Beside(_) => None,
        }
    }

    #[cold]
    fn failed(&self, operation: &'static str, error: io::Error) -> io::Error {
        crate::error::CallError::at(operation, self.name.to_owned(), error)
    }

    /// Asks the driver until there is an answer.
    fn ask<T, F>(&self, side: Side, poll: F) -> Ask<'_, F>
    where
        F: FnMut(&mut Context<'_>) -> Poll<io::Result<T>> + Unpin,
    {
        let key = self.key().map(|(key, _)| key);
        Ask { reactor: &self.reactor, key, side, poll, waits: false }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Way::Polled { key, .. } = self.way {
            self.reactor.driver.detach(key);
        }
    }
}

fn watched(reactor: &Reactor, raw: Raw, what: What) -> io::Result<Way> {
    Ok(Way::Polled { key: reactor.driver.attach(raw, None)?, what })
}

/// The same pipe or terminal by a description of our own (proc_pid_fd(5)).
fn reopen(fd: BorrowedFd<'_>, side: Side) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let access = match side {
        Side::Read => OFlags::RDONLY,
        Side::Write => OFlags::WRONLY,
    };
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn major(metadata: &fs::Metadata) -> u32 {
    rustix::fs::major(std::os::unix::fs::MetadataExt::rdev(metadata))
}

/// A second descriptor of the same description.
fn copied(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// One operation on a watched end; dropping it half-way leaves no waker behind.
struct Ask<'a, F> {
    reactor: &'a Rc<Reactor>,
    key: Option<Key>,
    side: Side,
    poll: F,
    waits: bool,
}

impl<T, F> Future for Ask<'_, F>
where
    F: FnMut(&mut Context<'_>) -> Poll<io::Result<T>> + Unpin,
{
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        this.reactor.asked.set(this.waits);
        let result = match this.reactor.poll_budget(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => (this.poll)(cx),
        };
        this.waits = result.is_pending();
        result
    }
}

impl<F> Drop for Ask<'_, F> {
    fn drop(&mut self) {
        if let (true, Some(key)) = (self.waits, self.key) {
            self.reactor.driver.forget(key, self.side);
        }
    }
}
