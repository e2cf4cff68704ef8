//! A stream in two halves, for two tasks: one that receives and one that sends.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::buffer::Chunk;
use crate::deadline::Deadline;
use crate::driver::Side;
use crate::probe::Direction;
use crate::stream::{SEND_FILE, Stream, file_ends};

impl Stream {
    /// Two halves, which two tasks of this thread may use at once. The connection is closed when
    /// both are dropped; dropping one says nothing to the peer ([`Writer::shutdown_write`] does).
    ///
    /// ```
    /// # use sockeye_engine::{DriverKind, Engine, Stream, probe::Role, spawn};
    /// # fn main() -> std::io::Result<()> {
    /// # let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// Engine::new(DriverKind::EpollEdge)?.block_on(async {
    ///     let (mut reader, mut writer) = Stream::adopt(ours, Role::Client)?.split();
    ///     spawn(async move {
    ///         writer.write(b"a question");
    ///         let _ = writer.flush().await;
    ///     });
    /// #   let mut peer = Stream::adopt(theirs, Role::Server)?;
    /// #   let question = peer.recv().await?;
    /// #   peer.write(&question);
    /// #   peer.flush().await?;
    ///     assert_eq!(&reader.recv().await?[..], b"a question");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn split(self) -> (Reader, Writer) {
        let stream = Rc::new(RefCell::new(self));
        let half = || Half { stream: Rc::clone(&stream), deadline: Deadline::never() };
        (Reader { half: half() }, Writer { half: half() })
    }
}

/// The half of a stream that receives.
///
/// # Cancel safety
///
/// As that of [`Stream`].
pub struct Reader {
    pub(crate) half: Half,
}

/// The half of a stream that sends.
///
/// # Cancel safety
///
/// As that of [`Stream`].
pub struct Writer {
    pub(crate) half: Half,
}

impl Reader {
    /// As [`Stream::recv`].
    ///
    /// # Errors
    ///
    /// As [`Stream::recv`].
    pub fn recv(&mut self) -> impl Future<Output = io::Result<Chunk>> {
        self.half.operate(Side::Read, Stream::poll_recv_busy)
    }

    /// As [`Stream::recv_idle`].
    ///
    /// # Errors
    ///
    /// As [`Stream::recv`].
    pub fn recv_idle(&mut self) -> impl Future<Output = io::Result<Option<Chunk>>> {
        self.half.operate(Side::Read, Stream::poll_recv_idle)
    }

    /// As [`Stream::received`].
    #[must_use]
    pub fn received(&self) -> u64 {
        self.half.stream.borrow().received()
    }

    /// As [`Stream::set_deadline`], for this half alone.
    pub fn set_deadline(&mut self, patience: Option<Duration>) {
        self.half.set_deadline(patience);
    }

    /// As [`Stream::mark`].
    pub fn mark(&self, direction: Direction, range: Range<u64>, label: fmt::Arguments<'_>) {
        self.half.stream.borrow().mark(direction, range, label);
    }

    /// Puts the halves together again; the deadline is none.
    ///
    /// # Errors
    ///
    /// Gives them back if they are of two streams.
    pub fn unsplit(self, writer: Writer) -> Result<Stream, (Reader, Writer)> {
        if !Rc::ptr_eq(&self.half.stream, &writer.half.stream) {
            return Err((self, writer));
        }
        let stream = Rc::clone(&self.half.stream);
        drop((self, writer));
        let stream = Rc::into_inner(stream).expect("there were two halves");
        Ok(stream.into_inner())
    }
}

impl Writer {
    /// As [`Stream::write`].
    pub fn write(&mut self, bytes: &[u8]) {
        self.half.stream.borrow_mut().write(bytes);
    }

    /// As [`Stream::write_shared`].
    pub fn write_shared(&mut self, bytes: Bytes) {
        self.half.stream.borrow_mut().write_shared(bytes);
    }

    /// As [`Stream::write_with`].
    pub fn write_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        // Nothing is borrowed while it writes: it may ask the other half for something.
        let mut outgoing = self.half.stream.borrow_mut().take_outgoing();
        let result = outgoing.push_with(write);
        self.half.stream.borrow_mut().put_outgoing(outgoing);
        result
    }

    /// As [`Stream::written`].
    #[must_use]
    pub fn written(&self) -> u64 {
        self.half.stream.borrow().written()
    }

    /// As [`Stream::unflushed`].
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.half.stream.borrow().unflushed()
    }

    /// As [`Stream::flush`].
    ///
    /// # Errors
    ///
    /// As [`Stream::flush`].
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        self.half.operate(Side::Write, |stream, cx| stream.poll_flush(false, cx))
    }

    /// As [`Stream::flush_more`].
    ///
    /// # Errors
    ///
    /// As [`Stream::flush`].
    pub fn flush_more(&mut self) -> impl Future<Output = io::Result<()>> {
        self.half.operate(Side::Write, |stream, cx| stream.poll_flush(true, cx))
    }

    /// As [`Stream::send_file`].
    ///
    /// # Errors
    ///
    /// As [`Stream::send_file`].
    pub async fn send_file(
        &mut self,
        file: &impl AsFd,
        range: Range<u64>,
        patience: Option<Duration>,
    ) -> io::Result<()> {
        self.set_deadline(patience);
        if self.unflushed() > 0 {
            self.flush_more().await?;
        }
        let mut offset = range.start;
        while offset < range.end {
            let len = usize::try_from((range.end - offset).min(SEND_FILE)).unwrap_or(usize::MAX);
            let file = file.as_fd();
            let sent = self
                .half
                .operate(Side::Write, |stream, cx| stream.poll_send_file(file, offset, len, cx));
            let count = sent.await?;
            let mut stream = self.half.stream.borrow_mut();
            if count == 0 {
                return Err(stream.explain("sendfile to", file_ends(offset, range.end)));
            }
            offset += count as u64;
            stream.count_written(count);
            drop(stream);
            self.set_deadline(patience);
        }
        Ok(())
    }

    /// As [`Stream::shutdown_write`].
    ///
    /// # Errors
    ///
    /// As [`Stream::shutdown_write`].
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.half.stream.borrow_mut().shutdown_write()
    }

    /// As [`Stream::set_deadline`], for this half alone.
    pub fn set_deadline(&mut self, patience: Option<Duration>) {
        self.half.set_deadline(patience);
    }

    /// As [`Stream::mark`].
    pub fn mark(&self, direction: Direction, range: Range<u64>, label: fmt::Arguments<'_>) {
        self.half.stream.borrow().mark(direction, range, label);
    }
}

/// What both halves have. Nothing of the stream stays borrowed across an await.
pub(crate) struct Half {
    stream: Rc<RefCell<Stream>>,
    /// Takes the place of the stream's own while this half asks.
    deadline: Deadline,
}

impl Half {
    fn set_deadline(&mut self, patience: Option<Duration>) {
        self.deadline.set(&self.stream.borrow().reactor, patience);
    }

    pub(crate) fn operate<T, F>(&mut self, side: Side, poll: F) -> OperateHalf<'_, F>
    where
        F: FnMut(&mut Stream, &mut Context<'_>) -> Poll<T> + Unpin,
    {
        OperateHalf { half: self, side, poll, waits: false }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.deadline.disarm(&self.stream.borrow().reactor);
    }
}

/// One operation of a half; dropping it half-way leaves no waker behind.
pub(crate) struct OperateHalf<'a, F> {
    half: &'a mut Half,
    side: Side,
    poll: F,
    waits: bool,
}

impl<T, F> Future for OperateHalf<'_, F>
where
    F: FnMut(&mut Stream, &mut Context<'_>) -> Poll<T> + Unpin,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let mut stream = this.half.stream.borrow_mut();
        std::mem::swap(&mut stream.deadline, &mut this.half.deadline);
        stream.reactor.asked.set(this.waits);
        let result = (this.poll)(&mut stream, cx);
        std::mem::swap(&mut stream.deadline, &mut this.half.deadline);
        this.waits = result.is_pending();
        result
    }
}

impl<F> Drop for OperateHalf<'_, F> {
    fn drop(&mut self) {
        if self.waits {
            let stream = self.half.stream.borrow();
            stream.reactor.driver.forget(stream.key, self.side);
        }
    }
}
