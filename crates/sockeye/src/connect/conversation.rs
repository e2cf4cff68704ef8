//! What every kind of conversation shares: who it is with, how much was said, and how it fails.

use std::cell::Cell;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sockeye_engine::{Address, CallError, sleep};
use sockeye_wire::frame::Frame;

use super::watch::Watch;
use crate::args;
use crate::output::say;
use crate::talk::{Direction, Flow, Printer};
use sockeye_engine::{Either, first};

/// One conversation with one peer.
pub(super) struct Conversation<'a> {
    pub(super) args: &'a args::Connect,
    pub(super) printer: Rc<Printer>,
    /// As it is shown.
    pub(super) peer: String,
    received: Cell<u64>,
    sent: Cell<u64>,
    /// A message was longer than there was room for, and that was told.
    cut: Cell<bool>,
    moved: Cell<Instant>,
}

/// How a direction ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing more is to come.
    Over,
    /// What was waited for has come.
    Seen,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        args: &'a args::Connect,
        printer: Rc<Printer>,
        peer: String,
    ) -> Conversation<'a> {
        let (received, sent, cut) = (Cell::new(0), Cell::new(0), Cell::new(false));
        let moved = Cell::new(Instant::now());
        Conversation { args, printer, peer, received, sent, cut, moved }
    }

    pub(super) fn flow(&self, direction: Direction) -> Flow {
        Flow::new(&self.args.talk, &self.peer, direction)
    }

    /// What one of many peers says.
    pub(super) fn flow_from(&self, peer: &Address) -> Flow {
        Flow::new(&self.args.talk, &peer.to_string(), Direction::In)
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
        self.moved.set(Instant::now());
    }

    pub(super) fn count_sent(&self, bytes: u64) {
        self.sent.set(self.sent.get() + bytes);
        self.moved.set(Instant::now());
    }

    /// Shows a message, and says whether it was the one that was waited for.
    pub(super) async fn show(
        &self,
        flow: &mut Flow,
        watch: &mut Watch,
        frame: &Frame,
    ) -> anyhow::Result<bool> {
        let done = watch.takes(&frame.payload);
        self.printer.message(flow, frame).await?;
        Ok(done)
    }

    /// Both directions: `up` sends and `down` receives, until both have ended or one of them ends the
    /// whole.
    pub(super) async fn both(
        &self,
        typed: bool,
        linger: Option<Duration>,
        up: impl Future<Output = anyhow::Result<()>>,
        down: impl Future<Output = anyhow::Result<Ended>>,
    ) -> anyhow::Result<Option<Ended>> {
        let ended = self.until_over(typed, linger, up, down).await;
        // One direction may have been cut off while it wrote what both had shown.
        let flushed = self.printer.flush().await;
        let ended = ended?;
        flushed?;
        Ok(ended)
    }

    async fn until_over(
        &self,
        typed: bool,
        linger: Option<Duration>,
        up: impl Future<Output = anyhow::Result<()>>,
        down: impl Future<Output = anyhow::Result<Ended>>,
    ) -> anyhow::Result<Option<Ended>> {
        let talk = async {
            let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
            match first(up.as_mut(), down.as_mut()).await {
                Either::One(Ok(())) => super::wait::within(linger, down).await.transpose(),
                Either::One(Err(error)) if peer_is_gone(&error) => {
                    // What the peer said before is still to be had.
                    match super::wait::within(linger, down).await {
                        Some(Ok(Ended::Seen)) => Ok(Some(Ended::Seen)),
                        _ => Err(error),
                    }
                }
                Either::One(Err(error)) => Err(error),
                // Who types should not have to say that he has noticed.
                Either::Other(Ok(Ended::Over)) if !typed => {
                    match super::wait::within(linger, up).await {
                        Some(Err(error)) => Err(error),
                        Some(Ok(())) | None => Ok(Some(Ended::Over)),
                    }
                }
                Either::Other(ended) => ended.map(Some),
            }
        };
        let Some(patience) = self.args.idle_timeout else { return talk.await };
        match first(talk, self.idle(patience)).await {
            Either::One(ended) => ended,
            Either::Other(()) => anyhow::bail!(
                "{}: nothing was sent or received for {} ({}; allow more with --idle-timeout)",
                self.args.endpoint,
                humantime::format_duration(patience),
                self.so_far(),
            ),
        }
    }

    /// Ends when nothing has moved for so long.
    async fn idle(&self, patience: Duration) {
        loop {
            let left = patience.saturating_sub(self.moved.get().elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }

    /// Tells of a message of which there was room for so many bytes only.
    pub(super) fn tell_cut(&self, len: usize, taken: usize) {
        self.cut.set(true);
        let way_out = match taken < self.args.talk.max_frame {
            true => "there is room for no more",
            false => "allow more with --max-frame",
        };
        let endpoint = &self.args.endpoint;
        say(format_args!(
            "sockeye: {endpoint}: a message of {len} B was cut to {taken} B ({way_out})"
        ));
    }

    /// How it ended: with what the user is told if something is missing.
    pub(super) fn conclude(&self, watch: &Watch) -> anyhow::Result<ExitCode> {
        match watch.missing() {
            Some(missing) => {
                anyhow::bail!("{}: {missing} ({})", self.args.endpoint, self.so_far())
            }
            None if self.cut.get() => Ok(ExitCode::FAILURE),
            None => Ok(ExitCode::SUCCESS),
        }
    }

    /// An error of the socket, in a line that names the endpoint, the cause and the way out.
    pub(super) fn failed(&self, error: io::Error) -> anyhow::Error {
        let (endpoint, so_far) = (&self.args.endpoint, self.so_far());
        let kind = error.kind();
        let told = match kind {
            io::ErrorKind::ConnectionReset => format!(
                "{endpoint}: the peer reset the connection ({so_far}; it closed without reading all, \
                 or crashed: see what it says)"
            ),
            io::ErrorKind::BrokenPipe => format!(
                "{endpoint}: the peer takes nothing more ({so_far}; it has closed, or crashed: see what \
                 it says)"
            ),
            io::ErrorKind::ConnectionRefused => format!(
                "{endpoint}: connection refused (an ICMP message says that nobody listens there: check \
                 the port, or start the server)"
            ),
            io::ErrorKind::TimedOut => format!(
                "{endpoint}: the peer does not acknowledge any more ({so_far}; the network is broken, or \
                 its machine is gone)"
            ),
            _ => format!("{endpoint}: {} ({so_far})", reason(&error)),
        };
        anyhow::Error::new(Failed { told, gone: is_gone(kind) })
    }

    fn so_far(&self) -> String {
        format!("{} B received, {} B sent", self.received.get(), self.sent.get())
    }
}

/// The socket failed.
#[derive(Debug, thiserror::Error)]
#[error("{told}")]
struct Failed {
    told: String,
    /// The peer is not there any more.
    gone: bool,
}

fn is_gone(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn peer_is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failed>().is_some_and(|failed| failed.gone)
}

/// The kernel's words without the call and the address, which the endpoint names.
fn reason(error: &io::Error) -> String {
    let inner = CallError::of(error).and_then(std::error::Error::source);
    inner.map_or_else(|| error.to_string(), ToString::to_string)
}
