//! One thread's engine: what a program starts, and the small operations that need no socket.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::driver::DriverKind;
use crate::fault;
use crate::probe::ProbeSource;
use crate::reactor::Reactor;
use crate::slab::Key;
use crate::timer::Tick;

/// Drives tasks and sockets on the thread that made it.
///
/// ```
/// use std::time::Duration;
/// use sockeye_engine::{DriverKind, Engine, sleep, spawn};
///
/// # fn main() -> std::io::Result<()> {
/// let engine = Engine::new(DriverKind::EpollEdge)?;
/// let answer = engine.block_on(async {
///     spawn(async { sleep(Duration::from_millis(1)).await });
///     42
/// });
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
pub struct Engine {
    reactor: Rc<Reactor>,
}

impl Engine {
    /// An engine that waits as `kind` says.
    ///
    /// # Errors
    ///
    /// The kernel does not offer what the driver needs (an old kernel, a sandbox), or is out of
    /// descriptors.
    pub fn new(kind: DriverKind) -> io::Result<Engine> {
        Ok(Engine { reactor: Reactor::new(kind, None)? })
    }

    /// The same, with somebody looking on.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_probe(kind: DriverKind, probe: &dyn ProbeSource) -> io::Result<Engine> {
        Ok(Engine { reactor: Reactor::new(kind, Some(probe))? })
    }

    pub(crate) fn of(reactor: Rc<Reactor>) -> Engine {
        Engine { reactor }
    }

    pub(crate) fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    /// Runs `future`, and all tasks beside it, until `future` is done. Tasks that are not done
    /// stay for the next call, or are dropped with the engine.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.reactor.block_on(future)
    }

    /// Lets another thread ask this one to stop; idle waits then end.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper { inbox: self.reactor.inbox().clone() }
    }

    /// What is in use: for tests, and for whoever watches a server's memory.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.reactor.usage()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.reactor.drop_tasks();
    }
}

/// Counts of what an engine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Sockets that are open, those about to be closed included.
    pub sockets: usize,
    /// Timers that have not fired.
    pub timers: usize,
    /// Leased read buffers.
    pub read_buffers: usize,
    /// Buffers being filled or sent.
    pub write_buffers: usize,
}

/// Asks one thread to stop gracefully.
#[derive(Clone, Debug)]
pub struct Stopper {
    pub(crate) inbox: std::sync::Arc<crate::inbox::Inbox>,
}

impl Stopper {
    /// Idle waits on that thread end from now on; what is in the middle of something goes on.
    pub fn stop(&self) {
        self.inbox.stop();
    }
}

/// Starts a task beside the calling one, on the same thread for as long as it lives.
///
/// A task that panics ends; the thread and its other tasks go on.
///
/// # Panics
///
/// Outside of an engine.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    Reactor::current().spawn(future);
}

/// The time between two looks at the kernel, on one thread: what was received before it ended can't
/// have been sent after something seen later. Two equal turns are the same turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    pub(crate) reactor: u64,
    pub(crate) number: u64,
}

/// The calling thread's turn; None outside of an engine.
#[must_use]
pub fn turn() -> Option<Turn> {
    Reactor::try_current().map(|reactor| reactor.turn())
}

/// The wall clock: seconds since 1970 as of the kernel's last tick (`CLOCK_REALTIME_COARSE`, a few
/// milliseconds late at most), or by the clock of the simulation that the calling thread is in.
///
/// For stamps that people read, the `Date` of an answer say; nothing waits by it.
#[must_use]
pub fn unix_now() -> i64 {
    let simulated = Reactor::try_current().and_then(|reactor| reactor.unix_now());
    simulated.unwrap_or_else(|| {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        now.tv_sec.saturating_add(fault::wall_offset())
    })
}

/// What the calling thread's engine holds, the calling task included; None outside of an engine.
#[must_use]
pub fn usage() -> Option<Usage> {
    Reactor::try_current().map(|reactor| reactor.usage())
}

/// Since the calling thread's engine began, in whole milliseconds as of its last look at the clock;
/// nothing outside of an engine. In a simulation, by its clock.
#[must_use]
pub fn elapsed() -> Duration {
    let reactor = Reactor::try_current();
    reactor.map_or(Duration::ZERO, |reactor| Duration::from_millis(reactor.now_for_deadlines()))
}

/// Whether this thread was asked to stop.
#[must_use]
pub fn stopping() -> bool {
    Reactor::try_current().is_some_and(|reactor| reactor.stopping())
}

/// Waits until this thread is asked to stop. May be dropped at any time.
///
/// # Panics
///
/// Outside of an engine.
pub async fn stopped() {
    let reactor = Reactor::current();
    std::future::poll_fn(|cx| {
        if reactor.stopping() {
            return Poll::Ready(());
        }
        reactor.watch(cx);
        Poll::Pending
    })
    .await;
}

/// Waits until `duration` has passed, or a little longer (milliseconds). May be dropped at any time.
///
/// # Panics
///
/// Outside of an engine.
pub fn sleep(duration: Duration) -> Sleep {
    let reactor = Reactor::current();
    let due = reactor.after(duration);
    Sleep { reactor, due, timer: None }
}

/// The future of [`sleep`].
pub struct Sleep {
    reactor: Rc<Reactor>,
    due: Tick,
    timer: Option<Key>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.reactor.now() >= self.due {
            return Poll::Ready(());
        }
        let this = &mut *self;
        let mut timers = this.reactor.timers.borrow_mut();
        let stands =
            this.timer.and_then(|timer| timers.at_latest(timer, this.due, cx.waker())).is_some();
        if !stands {
            this.timer = Some(timers.insert(this.due, cx.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.reactor.timers.borrow_mut().remove(timer);
        }
    }
}
