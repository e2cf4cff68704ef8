//! A storm of signals changes nothing that a program sees: EINTR stays below it.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use sockeye_engine::{sleep, spawn};

use crate::peer::{self, LONG, byte, count_numbered};
use crate::transcript::same_on_an_engine;
use crate::{adopt, joined, until};

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(_signal: libc::c_int) {
    HANDLED.fetch_add(1, SeqCst);
}

/// Signals the thread that started it, again and again, for as long as it lives.
struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Storm {
    fn start() -> Storm {
        // SAFETY: an action of zeros is valid: no flags, so that calls are not restarted (sigaction(2)).
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: the action is whole, and its handler only adds to an atomic number.
        let set =
            unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
        assert_eq!(set, 0, "a handler of our own");
        // SAFETY: it has no preconditions.
        let target = unsafe { libc::pthread_self() };
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !ends.load(SeqCst) {
                // SAFETY: the target ends this thread, and waits for it, before it ends itself.
                unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                // Often enough to hit every call that sleeps, and seldom enough to let it get there.
                std::thread::park_timeout(Duration::from_micros(100));
            }
        });
        Storm { over, thread: Some(thread) }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
    }
}

#[test]
fn bytes_flow_in_both_directions_through_a_storm_of_signals() {
    const LEN: u64 = 1_000_000;
    let golden = "
        flush: ok
        received 1000000, in order: true
        recv: end
        peer: Ok(1000000)
        signals came: true
    ";
    same_on_an_engine(
        "bytes_flow_in_both_directions_through_a_storm_of_signals",
        golden,
        async |told, _| {
            let storm = Storm::start();
            let before = HANDLED.load(SeqCst);
            let (ours, mut theirs) = peer::narrow_connection();
            let mut stream = adopt(ours);
            let reading = count_numbered(theirs.try_clone().expect("a descriptor"), 777);
            stream.write_shared(peer::bytes(0..LEN).into());
            told.ended("flush", &stream.flush().await);
            stream.shutdown_write().expect("connected");
            let writing = std::thread::spawn(move || {
                for part in peer::bytes(0..LEN).chunks(5_000) {
                    theirs.write_all(part).expect("connected");
                    std::thread::yield_now();
                }
                theirs.shutdown(std::net::Shutdown::Write).expect("connected");
            });
            let mut right = true;
            while stream.received() < LEN {
                let before = stream.received();
                let chunk = stream.recv().await.expect("no error");
                assert!(!chunk.is_empty(), "the end before all bytes");
                right &= chunk.iter().zip(before..).all(|(got, n)| *got == byte(n));
            }
            told.say(format_args!("received {}, in order: {right}", stream.received()));
            told.recv(&mut stream).await;
            joined(writing).await;
            told.say(format_args!("peer: {:?}", joined(reading).await));
            told.say(format_args!("signals came: {}", HANDLED.load(SeqCst) > before));
            drop(storm);
        },
    );
}

#[test]
fn a_deadline_passes_though_signals_interrupt_every_wait() {
    let golden = "
        recv: TimedOut
        recv: TimedOut
        flush: TimedOut
        slept
        recv: after the storm
    ";
    same_on_an_engine(
        "a_deadline_passes_though_signals_interrupt_every_wait",
        golden,
        async |told, _| {
            let (ours, mut theirs) = peer::narrow_connection();
            let mut stream = adopt(ours);
            let storm = Storm::start();
            for _ in 0..2 {
                // A hundred signals come before this is over.
                stream.set_deadline(Some(Duration::from_millis(30)));
                told.recv(&mut stream).await;
            }
            stream.write(&[0; 1_000_000]);
            stream.set_deadline(Some(Duration::from_millis(30)));
            told.ended("flush", &stream.flush().await);
            sleep(Duration::from_millis(10)).await;
            told.say("slept");
            drop(storm);
            theirs.write_all(b"after the storm").expect("connected");
            stream.set_deadline(Some(LONG));
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn timers_and_wakes_come_through_a_storm_of_signals() {
    let golden = "
        50 sleeps
        received 50 bytes one by one
    ";
    same_on_an_engine(
        "timers_and_wakes_come_through_a_storm_of_signals",
        golden,
        async |told, _| {
            let storm = Storm::start();
            let (ours, mut theirs) = crate::connection();
            let slept = std::rc::Rc::new(std::cell::Cell::new(0));
            let sleeps = std::rc::Rc::clone(&slept);
            spawn(async move {
                for _ in 0..50 {
                    sleep(Duration::from_millis(1)).await;
                    sleeps.set(sleeps.get() + 1);
                }
            });
            let mut stream = adopt(ours);
            for _ in 0..50 {
                theirs.write_all(b".").expect("connected");
                assert_eq!(stream.recv().await.expect("no error").len(), 1);
            }
            until(|| (slept.get() == 50).then_some(())).await;
            told.say(format_args!("{} sleeps", slept.get()));
            told.say(format_args!("received {} bytes one by one", stream.received()));
            drop(storm);
        },
    );
}
