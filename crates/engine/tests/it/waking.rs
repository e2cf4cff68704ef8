//! Wakes from other threads: none is lost, however they fall.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, TryRecvError};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use sockeye_engine::{sleep, spawn};

use crate::joined;
use crate::stage::Stage;
use crate::transcript::same_on_an_engine;

/// Wakes every waker it is sent, counting before it does and when it has.
struct Waking {
    send: mpsc::Sender<Waker>,
    count: Arc<AtomicU64>,
    woken: Arc<AtomicU64>,
    /// None where a task does it.
    thread: Option<JoinHandle<()>>,
}

impl Waking {
    /// Wakes from a thread of its own; in a simulation, which waits for no thread, from another task.
    fn start(stage: &Stage) -> Waking {
        let (send, wakers) = mpsc::channel::<Waker>();
        let count = Arc::new(AtomicU64::new(0));
        let woken = Arc::new(AtomicU64::new(0));
        let (counted, told) = (Arc::clone(&count), Arc::clone(&woken));
        let wake = move |waker: Waker| {
            counted.fetch_add(1, SeqCst);
            waker.wake();
            told.fetch_add(1, SeqCst);
        };
        if stage.is_simulated() {
            spawn(async move {
                loop {
                    match wakers.try_recv() {
                        Ok(waker) => wake(waker),
                        Err(TryRecvError::Empty) => sleep(Duration::from_millis(1)).await,
                        Err(TryRecvError::Disconnected) => break,
                    }
                }
            });
            return Waking { send, count, woken, thread: None };
        }
        let thread = std::thread::spawn(move || {
            loop {
                // Without sleeping: the wake comes while the thread is still about to sleep.
                match wakers.try_recv() {
                    Ok(waker) => wake(waker),
                    Err(TryRecvError::Empty) => std::thread::yield_now(),
                    Err(TryRecvError::Disconnected) => break,
                }
            }
        });
        Waking { send, count, woken, thread: Some(thread) }
    }

    /// Waits `rounds` times for one wake, which is asked for when nobody else would wake this task.
    /// In every second round it comes, for certain, before the thread can have gone to sleep, unless it
    /// comes from a task.
    async fn wait(&self, rounds: u64) {
        for round in 1..=rounds {
            let mut asked = false;
            poll_fn(|cx| {
                if !std::mem::replace(&mut asked, true) {
                    self.send.send(cx.waker().clone()).expect("the thread waits");
                    if round % 2 == 0 && self.thread.is_some() {
                        while self.woken.load(SeqCst) < round {
                            std::thread::yield_now();
                        }
                        return Poll::Pending;
                    }
                }
                match self.count.load(SeqCst) >= round {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
    }
}

#[test]
fn ten_thousand_wakes_of_a_thread_that_has_nothing_else_all_arrive() {
    let golden = "10000 wakes";
    same_on_an_engine(
        "ten_thousand_wakes_of_a_thread_that_has_nothing_else_all_arrive",
        golden,
        async |told, stage| {
            let waking = Waking::start(&stage);
            waking.wait(10_000).await;
            told.say(format_args!("{} wakes", waking.count.load(SeqCst)));
            drop(waking.send);
            if let Some(thread) = waking.thread {
                joined(thread).await;
            }
        },
    );
}

#[test]
fn ten_thousand_wakes_arrive_while_another_task_waits_for_a_socket_that_is_silent() {
    let golden = "
        recv: all wakes seen
        10000 wakes
    ";
    same_on_an_engine(
        "ten_thousand_wakes_arrive_while_another_task_waits_for_a_socket_that_is_silent",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let waking = Waking::start(&stage);
            let count = Arc::clone(&waking.count);
            spawn(async move {
                waking.wait(10_000).await;
                // Only now: a thread that sleeps in its receive while a wake waits never hears this.
                theirs.write(b"all wakes seen").await.expect("connected");
            });
            let mut stream = ours.adopt();
            told.recv(&mut stream).await;
            told.say(format_args!("{} wakes", count.load(SeqCst)));
        },
    );
}

#[test]
fn wakes_of_several_threads_at_once_are_all_seen() {
    const THREADS: u64 = 3;
    const WAKES: u64 = 10_000;
    let golden = "30000 seen";
    same_on_an_engine("wakes_of_several_threads_at_once_are_all_seen", golden, async |told, _| {
        let count = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        poll_fn(|cx| {
            if threads.is_empty() {
                for _ in 0..THREADS {
                    let (waker, count) = (cx.waker().clone(), Arc::clone(&count));
                    threads.push(std::thread::spawn(move || {
                        for _ in 0..WAKES {
                            count.fetch_add(1, SeqCst);
                            waker.wake_by_ref();
                        }
                    }));
                }
            }
            // Whoever counts last wakes last: a wake that is lost leaves this waiting.
            match count.load(SeqCst) == THREADS * WAKES {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        told.say(format_args!("{} seen", count.load(SeqCst)));
        for thread in threads {
            joined(thread).await;
        }
    });
}

#[test]
fn a_waker_that_outlives_its_task_wakes_nobody() {
    let golden = "
        1 poll of another task
        recv: alive
    ";
    same_on_an_engine(
        "a_waker_that_outlives_its_task_wakes_nobody",
        golden,
        async |told, stage| {
            let (send, stale) = mpsc::channel::<Waker>();
            let (ours, mut theirs) = stage.connection().await;
            spawn(poll_fn(move |cx| {
                send.send(cx.waker().clone()).expect("somebody waits");
                Poll::Ready(())
            }));
            crate::turns(2).await;
            let stale = stale.recv().expect("it was sent");
            // This one takes the place of the task that has ended.
            let polls = Arc::new(AtomicU64::new(0));
            let (counted, (keep, kept)) = (Arc::clone(&polls), mpsc::channel::<Waker>());
            spawn(poll_fn(move |cx| {
                keep.send(cx.waker().clone()).expect("somebody waits");
                match counted.fetch_add(1, SeqCst) {
                    0 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            }));
            crate::turns(2).await;
            std::thread::spawn(move || stale.wake()).join().expect("no panic");
            crate::turns(2).await;
            told.say(format_args!("{} poll of another task", polls.load(SeqCst)));
            theirs.write(b"alive").await.expect("connected");
            told.recv(&mut ours.adopt()).await;
            kept.recv().expect("it was sent").wake();
            crate::turns(2).await;
        },
    );
}
