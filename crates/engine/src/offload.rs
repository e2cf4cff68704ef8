//! Work that may block, on a few threads beside the loop.
//!
//! Files, and names that must be looked up, have no readiness to wait for (open(2), read(2),
//! getaddrinfo(3)). They are handed to threads that all engines of the process share; the result
//! wakes its task through the inbox like any wake from another thread.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::driver::DriverKind;
use crate::reactor::Reactor;

/// Threads of the process that do such work at most.
const THREADS: usize = 4;

/// How long a thread waits for more before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// Does work that may block on one of at most four threads, while the tasks of this thread go on. In
/// a simulation it is done here and now, because its time must not depend on threads.
///
/// ```
/// use sockeye_engine::{DriverKind, Engine, offload};
/// use std::net::ToSocketAddrs as _;
///
/// # fn main() -> std::io::Result<()> {
/// let addresses = Engine::new(DriverKind::EpollEdge)?.block_on(async {
///     offload(|| ("localhost", 80).to_socket_addrs()).await?
/// })?;
/// assert!(addresses.count() > 0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// No thread could be started, and the work was not done.
///
/// # Cancel safety
///
/// Work whose future is dropped is not begun, or goes on to its end if it has; its result is dropped.
///
/// # Panics
///
/// Outside of an engine; and a panic of the work goes on here.
pub async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if Reactor::current().kind == DriverKind::Sim {
        return Ok(work());
    }
    let shared = Arc::new(Mutex::new(State::Waits(None)));
    let result = Arc::clone(&shared);
    let job = Box::new(move || {
        let done = catch_unwind(AssertUnwindSafe(work));
        let before = std::mem::replace(&mut *lock(&result), State::Done(done));
        if let State::Waits(Some(waker)) = before {
            waker.wake();
        }
    });
    let number = QUEUE.push(job)?;
    Ok(Offloaded { number, shared }.await)
}

enum State<T> {
    Waits(Option<Waker>),
    Done(thread::Result<T>),
    Taken,
}

struct Offloaded<T> {
    number: u64,
    shared: Arc<Mutex<State<T>>>,
}

impl<T> Future for Offloaded<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = lock(&self.shared);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(Ok(result)) => Poll::Ready(result),
            State::Done(Err(panic)) => {
                drop(state);
                resume_unwind(panic)
            }
            State::Waits(_) | State::Taken => {
                *state = State::Waits(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Offloaded<T> {
    fn drop(&mut self) {
        let waker = match &mut *lock(&self.shared) {
            State::Waits(waker) => waker.take(),
            State::Done(_) | State::Taken => return,
        };
        drop(waker);
        QUEUE.remove(self.number);
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// What the threads share.
struct Queue {
    inner: Mutex<Inner>,
    more: Condvar,
}

struct Inner {
    /// Bounded by the tasks that wait: one job each, taken out when its future is dropped.
    jobs: VecDeque<(u64, Job)>,
    next: u64,
    threads: usize,
    idle: usize,
}

static QUEUE: Queue = Queue {
    inner: Mutex::new(Inner { jobs: VecDeque::new(), next: 0, threads: 0, idle: 0 }),
    more: Condvar::new(),
};

impl Queue {
    fn push(&'static self, job: Job) -> io::Result<u64> {
        let mut inner = lock(&self.inner);
        if inner.idle <= inner.jobs.len() && inner.threads < THREADS {
            let thread = thread::Builder::new().name("offload".to_owned());
            match thread.spawn(|| self.work()) {
                Ok(_) => inner.threads += 1,
                // Those that there are will come to it.
                Err(_) if inner.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        let number = inner.next;
        inner.next += 1;
        inner.jobs.push_back((number, job));
        self.more.notify_one();
        Ok(number)
    }

    fn remove(&self, number: u64) {
        let mut inner = lock(&self.inner);
        let place = inner.jobs.iter().position(|(job, _)| *job == number);
        let job = place.and_then(|place| inner.jobs.remove(place));
        // What it holds may take its time to be dropped.
        drop(inner);
        drop(job);
    }

    /// The body of a thread.
    fn work(&self) {
        let mut inner = lock(&self.inner);
        loop {
            if let Some((_, job)) = inner.jobs.pop_front() {
                drop(inner);
                job();
                inner = lock(&self.inner);
                continue;
            }
            inner.idle += 1;
            let waited = self.more.wait_timeout_while(inner, IDLE, |inner| inner.jobs.is_empty());
            let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            inner = woken;
            inner.idle -= 1;
            if waited.timed_out() {
                inner.threads -= 1;
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
