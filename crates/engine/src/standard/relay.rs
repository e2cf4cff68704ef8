//! Standard input and output joined to a stream without a copy through this process: splice(2) for
//! pipes, sendfile(2) for files, and a copy for what knows neither.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::ready;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags, SeekFrom};
use rustix::io::{Errno, ioctl_fionread, retry_on_intr};
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};

use super::{End, Sink, Source, Way, What, copied};
use crate::driver::Side;
use crate::offload::offload;
use crate::splice::{AT_ONCE, Pipe, poll_waiting, without_sleep};
use crate::split::{Reader, Writer};

/// Bytes of a file that one step sends.
const OF_A_FILE: u64 = 1024 * 1024;

/// Which end of a relay failed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Standard input or output.
    #[error(transparent)]
    Here(io::Error),
    /// The connection.
    #[error(transparent)]
    There(io::Error),
}

use RelayError::{Here, There};

/// What one attempt came to.
enum Step {
    Moved(usize),
    /// The end that is not the socket has to be waited for.
    Wait,
}

impl Source {
    /// Sends some bytes on to `to`, and says how many; 0 at the end. They are not copied through this
    /// process where they come from a pipe or a file, and nobody who looks on is told of them then.
    ///
    /// # Errors
    ///
    /// As [`Source::read`] and [`Writer::flush`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing as long as `to` is flushed later; of a file some bytes may
    /// have been sent that the next call sends again, so drop it only for good.
    pub async fn relay(&mut self, to: &mut Writer) -> Result<usize, RelayError> {
        if to.unflushed() > 0 {
            to.flush().await.map_err(There)?;
        }
        match &self.end.way {
            Way::Polled { what: What::Pipe, .. } => {
                let pipe = self.end.pipe().map_err(Here)?;
                return self.end.splice_to(&pipe, to).await;
            }
            Way::Beside(file) if self.is_idle() => {
                let file = Arc::clone(file);
                if let Some(range) = rest_of(&file) {
                    let end = range.end;
                    let count = usize::try_from(end - range.start).unwrap_or(usize::MAX);
                    to.send_file(&*file, range, None).await.map_err(There)?;
                    let moved = rustix::fs::seek(&*file, SeekFrom::Start(end));
                    moved.map_err(|error| Here(error.into()))?;
                    return Ok(count);
                }
            }
            _ => {}
        }
        let chunk = self.read().await.map_err(Here)?;
        to.write(&chunk);
        to.flush().await.map_err(There)?;
        Ok(chunk.len())
    }
}

impl Sink {
    /// Writes some bytes that `from` receives, and says how many; 0 at the end of the stream. They are
    /// not copied through this process where they go to a pipe or a file, and nobody who looks on is
    /// told of them then.
    ///
    /// # Errors
    ///
    /// As [`Reader::recv`] and [`Sink::flush`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing as long as the same sink is used, or flushed, later.
    pub async fn relay(&mut self, from: &mut Reader) -> Result<usize, RelayError> {
        self.flush().await.map_err(Here)?;
        let spliced = match &self.end.way {
            Way::Polled { what, .. } => *what == What::Pipe,
            Way::Direct(_) => true,
            Way::Beside(file) => takes_splices(file.as_fd()),
        };
        if !spliced {
            let chunk = from.recv().await.map_err(There)?;
            self.write(&chunk);
            self.flush().await.map_err(Here)?;
            return Ok(chunk.len());
        }
        // What the driver has received on its own comes first.
        if let Some(chunk) = from.half.operate(Side::Read, poll_waiting).await.map_err(There)? {
            self.write(&chunk);
            self.flush().await.map_err(Here)?;
            return Ok(chunk.len());
        }
        match &self.end.way {
            Way::Polled { .. } => {
                let pipe = self.end.pipe().map_err(Here)?;
                self.end.splice_from(from, &pipe).await
            }
            _ => self.fill_and_drain(from).await,
        }
    }

    /// Through a pipe of our own, for what is no pipe.
    async fn fill_and_drain(&mut self, from: &mut Reader) -> Result<usize, RelayError> {
        if self.between.is_none() {
            self.between = Some(Pipe::new().map_err(Here)?);
        }
        let Some(pipe) = &mut self.between else { return Ok(0) };
        let filled = from.half.operate(Side::Read, |stream, cx| pipe.poll_fill(stream, cx)).await;
        let count = filled.map_err(There)?;
        let held = pipe.take_held();
        let reader = copied(pipe.reader()).map_err(Here)?;
        match &self.end.way {
            Way::Direct(fd) => {
                let drained = drain(&reader, fd.as_fd(), held);
                drained.map_err(|error| Here(self.end.failed("write", error.into())))?;
            }
            Way::Beside(file) => {
                let file = Arc::clone(file);
                let work = move || drain(&reader, file.as_fd(), held).map_err(io::Error::from);
                // Kept by the sink, so that the bytes are written even if nobody waits for it.
                self.writing = Some(Box::pin(async move {
                    let drained = offload(work).await.and_then(|drained| drained);
                    (super::Outgoing::default(), drained)
                }));
                self.flush().await.map_err(Here)?;
            }
            Way::Polled { .. } => {}
        }
        Ok(count)
    }
}

impl End {
    /// The pipe itself, besides the driver.
    fn pipe(&self) -> io::Result<Arc<OwnedFd>> {
        if let Some(pipe) = self.besides.get() {
            return Ok(Arc::clone(pipe));
        }
        let mut pipe = Err(Errno::BADF);
        if let Some((key, _)) = self.key() {
            self.reactor
                .driver
                .with_fd(key, &mut |fd| pipe = rustix::io::fcntl_dupfd_cloexec(fd, 3));
        }
        let pipe = pipe?;
        // A longer pipe wakes both ends less often; a shorter one does as well.
        let _ = fcntl_setpipe_size(&pipe, AT_ONCE);
        Ok(Arc::clone(self.besides.get_or_init(|| Arc::new(pipe))))
    }

    async fn splice_to(&self, pipe: &OwnedFd, to: &mut Writer) -> Result<usize, RelayError> {
        let sleeps = !self.reactor.kind.multiplexes();
        loop {
            let step = to.half.operate(Side::Write, |stream, cx| {
                let mut step = Step::Wait;
                let polled = stream.poll_attempt(Side::Write, cx, &mut |socket| {
                    step = attempt(
                        || {
                            without_sleep(socket, sleeps, || {
                                splice(pipe, None, socket, None, AT_ONCE, SpliceFlags::NONBLOCK)
                            })
                        },
                        || Ok(ioctl_fionread(pipe)? > 0),
                    )?;
                    Ok(())
                });
                let moved = ready!(polled).map_err(|error| stream.explain("splice to", error));
                if let Step::Moved(count) = step {
                    stream.count_written(count);
                }
                std::task::Poll::Ready(moved.map(|()| step))
            });
            match step.await.map_err(There)? {
                Step::Moved(count) => return Ok(count),
                Step::Wait => self.ready(Side::Read, PollFlags::IN).await.map_err(Here)?,
            }
        }
    }

    async fn splice_from(&self, from: &mut Reader, pipe: &OwnedFd) -> Result<usize, RelayError> {
        let sleeps = !self.reactor.kind.multiplexes();
        loop {
            let mut closed = false;
            let step = from.half.operate(Side::Read, |stream, cx| {
                let mut step = Step::Wait;
                let polled = stream.poll_attempt(Side::Read, cx, &mut |socket| {
                    let moved = attempt(
                        || {
                            without_sleep(socket, sleeps, || {
                                splice(socket, None, pipe, None, AT_ONCE, SpliceFlags::NONBLOCK)
                            })
                        },
                        || Ok(is_ready(pipe.as_fd(), PollFlags::OUT)),
                    );
                    step = moved.inspect_err(|error| closed = *error == Errno::PIPE)?;
                    Ok(())
                });
                let moved = ready!(polled).map_err(|error| stream.explain("splice from", error));
                if let Step::Moved(count) = step {
                    stream.count_received(count);
                }
                std::task::Poll::Ready(moved.map(|()| step))
            });
            let step = step.await;
            match step {
                Ok(Step::Moved(count)) => return Ok(count),
                Ok(Step::Wait) => self.ready(Side::Write, PollFlags::OUT).await.map_err(Here)?,
                Err(_) if closed => {
                    return Err(Here(self.failed("write", Errno::PIPE.into())));
                }
                Err(error) => return Err(There(error)),
            }
        }
    }

    /// Waits until poll(2) says so of this end.
    async fn ready(&self, side: Side, flags: PollFlags) -> io::Result<()> {
        let Some((key, _)) = self.key() else { return Ok(()) };
        self.ask(side, |cx| {
            let mut attempt = |fd: BorrowedFd<'_>| match is_ready(fd, flags) {
                true => Ok(()),
                false => Err(Errno::AGAIN),
            };
            self.reactor.driver.poll_attempt(key, side, &mut attempt, cx)
        })
        .await
    }
}

/// Moves bytes between a socket and another end. EAGAIN can be about either of them: it is the
/// socket's if the other end was ready before and after it.
fn attempt(
    mut splice: impl FnMut() -> Result<usize, Errno>,
    mut other_is_ready: impl FnMut() -> Result<bool, Errno>,
) -> Result<Step, Errno> {
    for _ in 0..2 {
        match retry_on_intr(&mut splice) {
            Ok(count) => return Ok(Step::Moved(count)),
            Err(Errno::AGAIN) if other_is_ready()? => {}
            Err(Errno::AGAIN) => return Ok(Step::Wait),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::AGAIN)
}

fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry_on_intr(|| rustix::event::poll(&mut fds, Some(&now))) != Ok(0)
}

/// What of a regular file is sent next; None for what is none, and at its end.
fn rest_of(file: &std::fs::File) -> Option<std::ops::Range<u64>> {
    let found = rustix::fs::fstat(file).ok()?;
    if !FileType::from_raw_mode(found.st_mode).is_file() {
        return None;
    }
    let size = u64::try_from(found.st_size).ok()?;
    let at = rustix::fs::tell(file).ok()?;
    (at < size).then(|| at..size.min(at.saturating_add(OF_A_FILE)))
}

/// Whether splice(2) can write there: not to what is appended to.
fn takes_splices(fd: BorrowedFd<'_>) -> bool {
    let regular =
        rustix::fs::fstat(fd).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file());
    regular && rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| !flags.contains(OFlags::APPEND))
}

/// Empties a pipe of ours.
fn drain(pipe: &OwnedFd, to: BorrowedFd<'_>, mut held: usize) -> Result<(), Errno> {
    while held > 0 {
        match retry_on_intr(|| splice(pipe, None, to, None, held, SpliceFlags::empty())) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => held -= count,
            // Some devices and file systems have no method for it (`/dev/full`, `/proc`).
            Err(Errno::INVAL) => return copy(pipe, to, held),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The same by way of this process.
fn copy(pipe: &OwnedFd, to: BorrowedFd<'_>, mut held: usize) -> Result<(), Errno> {
    let mut room = vec![0; held];
    while held > 0 {
        let count = retry_on_intr(|| rustix::io::read(pipe, &mut room[..held]))?;
        let mut rest = &room[..count];
        while !rest.is_empty() {
            match retry_on_intr(|| rustix::io::write(to, rest))? {
                0 => return Err(Errno::IO),
                written => rest = &rest[written..],
            }
        }
        held = held.checked_sub(count).filter(|_| count > 0).ok_or(Errno::IO)?;
    }
    Ok(())
}
