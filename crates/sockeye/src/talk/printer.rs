//! Standard output, shared by all conversations of a thread.

use std::cell::{Cell, RefCell};
use std::io::{self, PipeWriter};
use std::task::{Poll, Waker};
use std::time::SystemTime;

use bytes::Bytes;
use sockeye_engine::{Backlog, Reader, RelayError, Sink};
use sockeye_wire::frame::Frame;

use super::editor::Console;
use super::flow::{Direction, Flow};
use super::input::Message;
use super::shown::{Form, Style};
use crate::args;
use crate::output;

/// So much may wait to be written before whoever shows more is held back.
const HIGH_WATER: usize = 64 * 1024;

/// Shows messages on standard output. Any number of tasks of the thread may do so at once: a message
/// is never torn by another one, and who shows is held back by a slow reader.
pub(crate) struct Printer {
    style: Cell<Style>,
    /// It goes to a terminal, as it is.
    terminal: bool,
    /// Whole messages that are to be written.
    pending: RefCell<Vec<u8>>,
    /// Out while somebody writes.
    sink: Cell<Option<Sink>>,
    backlog: Backlog,
    waiting: RefCell<Vec<Waker>>,
    failed: Cell<bool>,
    /// Dropped behind the sink, whose last bytes it shows.
    _console: Option<Console>,
}

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub(super) struct NobodyReads;

impl Printer {
    pub(super) fn stdout(args: &args::Talk) -> io::Result<Printer> {
        let sink = Sink::stdout()?;
        let style = Style::new(args, sink.is_terminal());
        Ok(Printer::new(style, sink, None))
    }

    /// Above the line that is being edited.
    pub(super) fn console(
        args: &args::Talk,
        shown: PipeWriter,
        console: Console,
    ) -> io::Result<Printer> {
        Ok(Printer::new(Style::new(args, true), Sink::adopt(shown)?, Some(console)))
    }

    fn new(style: Style, sink: Sink, console: Option<Console>) -> Printer {
        Printer {
            style: Cell::new(style),
            terminal: sink.is_terminal(),
            pending: RefCell::default(),
            backlog: sink.backlog(),
            sink: Cell::new(Some(sink)),
            waiting: RefCell::default(),
            failed: Cell::new(false),
            _console: console,
        }
    }

    /// Whether bytes go out as nothing but themselves, so that they need not be looked at.
    pub(crate) fn is_plain(&self) -> bool {
        self.style.get().plain()
    }

    /// Whether a terminal shows it as it is written, and not an editor.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// From now on each message says who sent it: there is more than one peer.
    pub(crate) fn name_peers(&self) {
        self.style.set(Style { names: true, ..self.style.get() });
    }

    /// Whether the user's own messages are shown as well.
    pub(crate) fn shows_sent(&self) -> bool {
        self.style.get().form == Form::Json
    }

    /// Takes bytes of a stream, and shows the messages that are whole now.
    ///
    /// # Errors
    ///
    /// Standard output can't be written ([`nobody_reads`](super::nobody_reads) among others); or a
    /// [`FrameError`](sockeye_wire::frame::FrameError), and nothing of the flow can be shown any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing of what was taken.
    pub(crate) async fn bytes(&self, flow: &mut Flow, bytes: &[u8]) -> anyhow::Result<()> {
        if self.is_plain() {
            self.pending.borrow_mut().extend_from_slice(bytes);
            return self.drain().await;
        }
        flow.push(Bytes::copy_from_slice(bytes));
        while let Some(frame) = flow.next()? {
            self.message(flow, &frame).await?;
        }
        Ok(())
    }

    /// Shows what a datagram holds.
    ///
    /// # Errors
    ///
    /// As [`Printer::bytes`]; a frame that is wrong spoils its datagram alone.
    pub(crate) async fn datagram(&self, flow: &mut Flow, bytes: &[u8]) -> anyhow::Result<()> {
        for frame in flow.datagram(bytes)? {
            self.message(flow, &frame).await?;
        }
        Ok(())
    }

    /// Shows one message.
    ///
    /// # Errors
    ///
    /// Standard output can't be written.
    pub(crate) async fn message(&self, flow: &mut Flow, frame: &Frame) -> anyhow::Result<()> {
        if flow.direction == Direction::In || self.shows_sent() {
            let style = self.style.get();
            style.show(flow, frame, SystemTime::now(), &mut self.pending.borrow_mut());
        }
        self.drain().await
    }

    /// Shows a message of the user's own, if such are shown.
    ///
    /// # Errors
    ///
    /// Standard output can't be written.
    pub(crate) async fn sent(&self, flow: &mut Flow, message: &Message) -> anyhow::Result<()> {
        if !self.shows_sent() {
            return Ok(());
        }
        let frame = flow.sent(message);
        self.message(flow, &frame).await
    }

    /// At the end of a stream: shows what is left of it.
    ///
    /// # Errors
    ///
    /// As [`Printer::bytes`]; the stream may have ended within a message.
    pub(crate) async fn finish(&self, flow: &mut Flow) -> anyhow::Result<()> {
        while let Some(frame) = flow.finish()? {
            self.message(flow, &frame).await?;
        }
        self.style.get().end(flow, &mut self.pending.borrow_mut());
        self.drain().await
    }

    /// Waits until everything is written that was shown.
    ///
    /// # Errors
    ///
    /// Standard output can't be written.
    pub(crate) async fn flush(&self) -> anyhow::Result<()> {
        self.write(0).await
    }

    /// Bytes that were received and are not written yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.pending.borrow().len() + self.backlog.bytes()
    }

    /// Lends standard output itself, for bytes that go from socket to pipe without being looked at;
    /// None while somebody writes.
    pub(crate) fn lend(&self) -> Option<Lent<'_>> {
        if !self.pending.borrow().is_empty() {
            return None;
        }
        self.sink.take().map(|sink| Lent { printer: self, sink: Some(sink) })
    }

    /// What a failed write comes to.
    pub(crate) fn failed(&self, error: io::Error) -> anyhow::Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                self.failed.set(true);
                NobodyReads.into()
            }
            _ => error.into(),
        }
    }

    async fn drain(&self) -> anyhow::Result<()> {
        self.write(HIGH_WATER).await
    }

    /// Writes what waits, or sees that somebody else does and no more than `enough` is left.
    async fn write(&self, enough: usize) -> anyhow::Result<()> {
        loop {
            if self.failed.get() {
                return Err(NobodyReads.into());
            }
            if let Some(sink) = self.sink.take() {
                let mut writing = Lent { printer: self, sink: Some(sink) };
                let written = writing.all().await;
                drop(writing);
                return written.map_err(|error| self.failed(error));
            }
            if enough > 0 && self.pending.borrow().len() <= enough {
                return Ok(());
            }
            let mut asked = false;
            std::future::poll_fn(|cx| {
                if std::mem::replace(&mut asked, true) {
                    return Poll::Ready(());
                }
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            })
            .await;
        }
    }
}

/// The turn of whoever writes; it ends even when the task is dropped, and others go on then.
pub(crate) struct Lent<'a> {
    printer: &'a Printer,
    sink: Option<Sink>,
}

impl Lent<'_> {
    /// Writes what a stream receives as it is, some bytes at a time ([`Sink::relay`]).
    pub(crate) async fn relay(&mut self, from: &mut Reader) -> Result<usize, RelayError> {
        match &mut self.sink {
            Some(sink) => sink.relay(from).await,
            None => Ok(0),
        }
    }

    async fn all(&mut self) -> io::Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        loop {
            let pending = std::mem::take(&mut *self.printer.pending.borrow_mut());
            if pending.is_empty() && sink.unflushed() == 0 {
                return Ok(());
            }
            if self.printer.terminal {
                output::shown(&pending);
            }
            sink.write_shared(pending.into());
            sink.flush().await?;
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.printer.sink.set(self.sink.take());
        self.printer.waiting.take().into_iter().for_each(Waker::wake);
    }
}
