//! What one thread has: its tasks, its timers, its driver; and the loop that runs them.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::buffer::Pool;
use crate::driver::{Driver, DriverKind, Env, VirtualClock};
use crate::engine::{Turn, Usage};
use crate::fault;
use crate::inbox::{Inbox, Place};
use crate::probe::ProbeSource;
use crate::sim::Random;
use crate::slab::{Key, Slab};
use crate::timer::{Tick, Timers};
use crate::waker::{GENERATIONS, TASKS, TaskId};

/// Operations a task may finish in one go before others get their turn.
const BUDGET: u32 = 64;

/// Tasks run between two looks at the kernel.
const RUN_AT_MOST: usize = 1024;

static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static CURRENT: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

pub(crate) struct Reactor {
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) env: Rc<Env>,
    pub(crate) kind: DriverKind,
    pub(crate) timers: RefCell<Timers>,
    tasks: RefCell<Slab<Task>>,
    ready: RefCell<VecDeque<Key>>,
    /// Tasks that woke themselves: they run again after a look at the kernel, so that one which
    /// always has something to do does not keep others from what has come for them.
    again: RefCell<Vec<Key>>,
    running: Cell<Option<Key>>,
    /// In a simulation, chance decides who runs next.
    order: OnceCell<RefCell<Order>>,
    place: Place,
    /// Never used again, unlike the worker's.
    number: u64,
    started: Instant,
    now: Cell<Tick>,
    turn: Cell<u64>,
    budget: Cell<u32>,
    /// The operation that is being polled has asked its driver before.
    pub(crate) asked: Cell<bool>,
    stopping: Cell<bool>,
    /// Who wants to know that the thread is stopping, or that a task of a stopping thread ended.
    watchers: RefCell<Vec<Waker>>,
}

struct Task {
    /// Absent while it runs.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    queued: bool,
}

impl Reactor {
    pub(crate) fn new(
        kind: DriverKind,
        probe: Option<&dyn ProbeSource>,
    ) -> io::Result<Rc<Reactor>> {
        Reactor::at(Place::take()?, kind, probe)
    }

    /// At a place that was taken before.
    pub(crate) fn at(
        place: Place,
        kind: DriverKind,
        probe: Option<&dyn ProbeSource>,
    ) -> io::Result<Rc<Reactor>> {
        Reactor::with_driver(place, kind, probe, None, |env, inbox| kind.make(env, inbox))
    }

    /// With a driver that `make` makes, and the clock it goes by where that is not the machine's.
    pub(crate) fn with_driver(
        place: Place,
        kind: DriverKind,
        probe: Option<&dyn ProbeSource>,
        clock: Option<Rc<VirtualClock>>,
        make: impl FnOnce(Rc<Env>, Arc<Inbox>) -> io::Result<Box<dyn Driver>>,
    ) -> io::Result<Rc<Reactor>> {
        let probe = probe.map(ProbeSource::probe);
        let env = Rc::new(Env::new(Rc::new(Pool::default()), probe, clock));
        let driver = make(Rc::clone(&env), Arc::clone(&place.inbox))?;
        Ok(Rc::new(Reactor {
            driver,
            env,
            kind,
            timers: RefCell::new(Timers::new()),
            tasks: RefCell::new(Slab::with_generations(GENERATIONS)),
            ready: RefCell::new(VecDeque::new()),
            again: RefCell::new(Vec::new()),
            running: Cell::new(None),
            order: OnceCell::new(),
            place,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            started: Instant::now(),
            now: Cell::new(0),
            turn: Cell::new(0),
            budget: Cell::new(BUDGET),
            asked: Cell::new(false),
            stopping: Cell::new(false),
            watchers: RefCell::new(Vec::new()),
        }))
    }

    /// The reactor of the calling thread.
    ///
    /// # Panics
    ///
    /// Outside of [`Engine::block_on`](crate::Engine::block_on), which is a mistake of the program.
    pub(crate) fn current() -> Rc<Reactor> {
        let current = CURRENT.with(|current| current.borrow().clone());
        current.expect("this is called inside Engine::block_on or a task of the engine")
    }

    pub(crate) fn try_current() -> Option<Rc<Reactor>> {
        CURRENT.with(|current| current.borrow().clone())
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.place.inbox
    }

    /// Milliseconds since the start, as of this turn.
    pub(crate) fn now(&self) -> Tick {
        self.now.get()
    }

    /// The same for a connection's deadlines: a turn of the blocking driver lasts as long as its
    /// call sleeps, so there it is this very moment.
    pub(crate) fn now_for_deadlines(&self) -> Tick {
        if self.kind.multiplexes() { self.now() } else { self.read_clock() }
    }

    /// The tick at which `duration` from now has passed in full.
    pub(crate) fn after(&self, duration: Duration) -> Tick {
        let millis = self.elapsed().saturating_add(duration).as_nanos().div_ceil(1_000_000);
        Tick::try_from(millis).unwrap_or(Tick::MAX)
    }

    /// The same, counted from the beginning of the turn, which costs no look at the clock.
    pub(crate) fn after_turn(&self, duration: Duration) -> Tick {
        // One more for what is cut off, another for what has passed of the present millisecond.
        let millis = duration.as_secs().saturating_mul(1000);
        self.now_for_deadlines()
            .saturating_add(millis)
            .saturating_add(u64::from(duration.subsec_millis()) + 2)
    }

    fn read_clock(&self) -> Tick {
        Tick::try_from(self.elapsed().as_millis()).unwrap_or(Tick::MAX)
    }

    /// Since the start.
    fn elapsed(&self) -> Duration {
        self.env.clock.as_ref().map_or_else(|| self.started.elapsed(), |clock| clock.elapsed())
    }

    /// Seconds since 1970, as of the kernel's last tick or by the simulated clock.
    pub(crate) fn unix_now(&self) -> Option<i64> {
        let stamp = self.env.clock.as_ref()?.stamp();
        i64::try_from(stamp.0 / 1_000_000_000).ok()
    }

    pub(crate) fn turn(&self) -> Turn {
        Turn { reactor: self.number, number: self.turn.get() }
    }

    pub(crate) fn stopping(&self) -> bool {
        // On the blocking driver the thread may have slept in a call since it last looked.
        self.stopping.get() || (!self.kind.multiplexes() && self.place.inbox.stopping())
    }

    pub(crate) fn usage(&self) -> Usage {
        let (leased, outgoing) = self.env.pool.out();
        Usage {
            tasks: self.tasks(),
            sockets: self.driver.live(),
            timers: self.timers.borrow().len(),
            read_buffers: leased + self.driver.leased(),
            write_buffers: outgoing,
        }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Takes one unit of the task's budget; pending, with the task queued again, when it is used up.
    pub(crate) fn poll_budget(&self, cx: &Context<'_>) -> Poll<()> {
        match self.budget.get() {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            left => {
                self.budget.set(left - 1);
                Poll::Ready(())
            }
        }
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Key {
        let task = Task { future: Some(Box::pin(future)), queued: true };
        let key = self.tasks.borrow_mut().insert(task);
        assert!(key.index < TASKS, "a thread has fewer than {TASKS} tasks");
        self.ready.borrow_mut().push_back(key);
        key
    }

    /// From now on tasks that are ready run in an order drawn from `random`.
    pub(crate) fn shuffle(&self, random: Random) {
        let _ = self.order.set(RefCell::new(Order { random, round: 0 }));
    }

    /// The numbers of all tasks that have not ended.
    pub(crate) fn task_numbers(&self) -> Vec<u32> {
        self.tasks.borrow().indices().collect()
    }

    /// Runs until `future` is done, tasks with it.
    pub(crate) fn block_on<F: Future>(self: &Rc<Self>, future: F) -> F::Output {
        let failed = |error, _| -> Infallible {
            // Only a broken descriptor of our own can make waiting fail, and then nothing can go on.
            panic!("{}: wait: {error}", self.kind);
        };
        match self.try_block_on(future, failed) {
            Ok(output) => output,
        }
    }

    /// The same; when waiting fails, `failed` is asked what to say of it, with the number of the task
    /// that `future` is, before `future` is dropped.
    pub(crate) fn try_block_on<F: Future, E>(
        self: &Rc<Self>,
        future: F,
        failed: impl FnOnce(io::Error, u32) -> E,
    ) -> Result<F::Output, E> {
        let mut future = std::pin::pin!(future);
        let _entered = Entered::new(self);
        // The future itself is a task without a body: waking it queues its key.
        let main = self.tasks.borrow_mut().insert(Task { future: None, queued: true });
        let counted = !self.kind.multiplexes();
        let waker = TaskId { worker: self.place.worker, key: main }.waker(counted);
        self.ready.borrow_mut().push_back(main);
        let output = loop {
            if let Poll::Ready(output) = self.run_ready(main, &waker, &mut future) {
                break Ok(output);
            }
            if let Err(error) = self.look() {
                break Err(failed(error, main.index));
            }
        };
        drop(waker);
        self.tasks.borrow_mut().remove(main);
        if let Some(probe) = &self.env.probe {
            probe.flush();
        }
        output
    }

    fn run_ready<F: Future>(
        &self,
        main: Key,
        waker: &Waker,
        future: &mut Pin<&mut F>,
    ) -> Poll<F::Output> {
        for _ in 0..RUN_AT_MOST {
            let Some(key) = self.next_ready() else {
                break;
            };
            self.budget.set(BUDGET);
            if key == main {
                if let Some(task) = self.tasks.borrow_mut().get_mut(main) {
                    task.queued = false;
                }
                self.running.set(Some(main));
                let polled = future.as_mut().poll(&mut Context::from_waker(waker));
                self.running.set(None);
                if polled.is_ready() {
                    return polled;
                }
            } else {
                self.run(key);
            }
        }
        Poll::Pending
    }

    fn next_ready(&self) -> Option<Key> {
        let mut ready = self.ready.borrow_mut();
        if let Some(order) = self.order.get() {
            order.borrow_mut().draw(&mut ready);
        }
        ready.pop_front()
    }

    fn run(&self, key: Key) {
        let body = match self.tasks.borrow_mut().get_mut(key) {
            Some(task) => {
                task.queued = false;
                task.future.take()
            }
            None => None,
        };
        let Some(mut body) = body else { return };
        let waker = TaskId { worker: self.place.worker, key }.waker(!self.kind.multiplexes());
        // A panic ends the task it happened in; its message has been printed by the hook.
        self.running.set(Some(key));
        let polled =
            catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(&mut Context::from_waker(&waker))));
        self.running.set(None);
        if let Ok(Poll::Pending) = polled {
            if let Some(task) = self.tasks.borrow_mut().get_mut(key) {
                task.future = Some(body);
            }
            return;
        }
        // Dropped before its place is free, and with nothing borrowed: it may close and wake.
        drop(body);
        self.tasks.borrow_mut().remove(key);
        if self.stopping() {
            self.wake_watchers();
        }
    }

    /// Wakes once, at the next change that matters to a stop.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let mut watchers = self.watchers.borrow_mut();
        if !watchers.iter().any(|watcher| watcher.will_wake(cx.waker())) {
            watchers.push(cx.waker().clone());
        }
    }

    fn wake_watchers(&self) {
        let watchers = self.watchers.take();
        watchers.into_iter().for_each(Waker::wake);
    }

    /// Looks at the kernel, the clock and the inbox; sleeps if nothing else is to be done.
    fn look(&self) -> io::Result<()> {
        let timeout = if self.ready.borrow().is_empty() && self.again.borrow().is_empty() {
            if let Some(probe) = &self.env.probe {
                probe.flush();
            }
            self.until_next_timer()
        } else {
            Some(Duration::ZERO)
        };
        let alone = !self.kind.multiplexes()
            && self.place.inbox.wakers() <= self.driver.waiting() + self.timers.borrow().len() + 1
            // Looked at last: whoever woke before it gave its waker up has signalled by now.
            && !self.place.inbox.is_signalled();
        self.driver.wait(timeout, alone)?;
        self.turn.set(self.turn.get() + 1);
        self.now.set(self.read_clock());
        self.fire_timers();
        let mut woken = Vec::new();
        self.place.inbox.take(&mut woken);
        for key in woken {
            self.queue(key);
        }
        self.ready.borrow_mut().extend(self.again.borrow_mut().drain(..));
        if self.place.inbox.stopping() && !self.stopping.replace(true) {
            self.driver.wake_readers();
            self.wake_watchers();
        }
        Ok(())
    }

    fn until_next_timer(&self) -> Option<Duration> {
        let next = self.timers.borrow().next()?;
        // Counted from the turn's start, so that no turn reads the clock twice.
        Some(Duration::from_millis(next.saturating_sub(self.now_for_deadlines())))
    }

    fn fire_timers(&self) {
        loop {
            // Not held while waking: a wake may come back here for the queue.
            let due = self.timers.borrow_mut().pop_due(self.now());
            match due {
                Some(waker) => waker.wake(),
                None => break,
            }
        }
    }

    fn queue(&self, key: Key) {
        if let Some(task) = self.tasks.borrow_mut().get_mut(key)
            && !task.queued
        {
            task.queued = true;
            if self.running.get() == Some(key) {
                self.again.borrow_mut().push(key);
            } else {
                self.ready.borrow_mut().push_back(key);
            }
        }
    }

    /// Drops all tasks that have not ended.
    pub(crate) fn drop_tasks(self: &Rc<Self>) {
        let _entered = Entered::new(self);
        loop {
            let body = self.tasks.borrow_mut().values_mut().find_map(|task| task.future.take());
            if body.is_none() {
                break;
            }
        }
        *self.tasks.borrow_mut() = Slab::with_generations(GENERATIONS);
        self.ready.borrow_mut().clear();
        self.again.borrow_mut().clear();
        if let Some(probe) = &self.env.probe {
            probe.flush();
        }
    }
}

/// Who is ready runs in rounds, so that nobody waits for ever; chance decides within a round.
struct Order {
    random: Random,
    /// How many at the queue's front belong to the present round.
    round: usize,
}

impl Order {
    /// Brings whoever runs next to the front.
    fn draw(&mut self, ready: &mut VecDeque<Key>) {
        if ready.is_empty() {
            return;
        }
        if self.round == 0 || self.round > ready.len() {
            self.round = ready.len();
        }
        ready.swap(0, self.random.index(self.round));
        self.round -= 1;
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        fault::ended(|| self.usage());
    }
}

/// Queues the task if it is one of this thread's.
pub(crate) fn wake_here(task: TaskId) -> bool {
    let woken = CURRENT.try_with(|current| {
        let current = current.borrow();
        let Some(reactor) = current.as_ref().filter(|here| here.place.worker == task.worker) else {
            return false;
        };
        reactor.queue(task.key);
        true
    });
    woken.unwrap_or(false)
}

/// The thread's current reactor, for as long as this lives.
struct Entered {
    before: Option<Rc<Reactor>>,
}

impl Entered {
    fn new(reactor: &Rc<Reactor>) -> Entered {
        Entered { before: CURRENT.replace(Some(Rc::clone(reactor))) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}
