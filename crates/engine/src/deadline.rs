//! When a socket's waits are over: stored at no cost, armed only when somebody waits.

use std::num::NonZeroUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::reactor::Reactor;
use crate::slab::Key;
use crate::timer::Tick;

/// The end of all waits, and the one timer that serves them: it is only moved when the deadline
/// has come closer, and found again when it fired too early.
pub(crate) struct Deadline {
    at: Tick,
    timer: Option<Timer>,
}

/// The entry among the thread's timers.
#[derive(Clone, Copy)]
struct Timer {
    key: Key,
    /// When it fires.
    due: Tick,
    /// Whom it wakes: one more than its waker's data, so that no timer takes no more room.
    task: NonZeroUsize,
}

/// No deadline.
const NEVER: Tick = Tick::MAX;

impl Deadline {
    pub(crate) fn never() -> Deadline {
        Deadline { at: NEVER, timer: None }
    }

    /// `patience` from now; None for never.
    pub(crate) fn set(&mut self, reactor: &Reactor, patience: Option<Duration>) {
        self.at = patience.map_or(NEVER, |patience| reactor.after_turn(patience));
    }

    /// How long until then; None for never.
    pub(crate) fn left(&self, reactor: &Reactor) -> Option<Duration> {
        let left = || Duration::from_millis(self.at.saturating_sub(reactor.now_for_deadlines()));
        (self.at != NEVER).then(left)
    }

    /// Ready when it has passed; until then the task is woken in time.
    pub(crate) fn poll(&mut self, reactor: &Reactor, cx: &Context<'_>) -> Poll<()> {
        if self.at == NEVER {
            return Poll::Pending;
        }
        let now = reactor.now_for_deadlines();
        if now >= self.at {
            return Poll::Ready(());
        }
        let due = self.at;
        let task = NonZeroUsize::MIN.saturating_add(cx.waker().data().addr());
        // One that wakes us in time is on its way already.
        let stands = |timer: Timer| timer.due > now && timer.due <= due && timer.task == task;
        if self.timer.is_some_and(stands) {
            return Poll::Pending;
        }
        let mut timers = reactor.timers.borrow_mut();
        let moved = self.timer.and_then(|timer| {
            let due = timers.at_latest(timer.key, due, cx.waker())?;
            Some(Timer { due, task, ..timer })
        });
        self.timer = Some(moved.unwrap_or_else(|| {
            let key = timers.insert(due, cx.waker().clone());
            Timer { key, due, task }
        }));
        Poll::Pending
    }

    /// Takes the timer away: nobody will wait any more.
    pub(crate) fn disarm(&mut self, reactor: &Reactor) {
        if let Some(timer) = self.timer.take() {
            reactor.timers.borrow_mut().remove(timer.key);
        }
    }
}
