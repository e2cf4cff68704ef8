//! Tasks, timers and wakers without a socket: what Miri can run of an engine
//! (`cargo +nightly miri test -p sockeye-engine --test it executor`).

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;

use sockeye_engine::{DriverKind, Usage, sleep, spawn};

use crate::{engine, turns, until};

/// Miri knows little of what drivers ask the kernel; the one that never waits asks nothing.
fn on_drivers(script: impl Fn(DriverKind)) {
    let all = DriverKind::ALL.into_iter().filter(|kind| !cfg!(miri) || *kind == DriverKind::Busy);
    all.for_each(script);
}

#[test]
fn tasks_and_timers_come_and_go_in_any_order() {
    on_drivers(|kind| {
        let engine = engine(kind);
        let ended = Rc::new(RefCell::new(Vec::new()));
        engine.block_on(async {
            for number in 0..20u64 {
                let ended = Rc::clone(&ended);
                spawn(async move {
                    // A sleep that is dropped before it is due leaves no timer behind.
                    drop(sleep(Duration::from_secs(100)));
                    sleep(Duration::from_millis(number * 7 % 5)).await;
                    ended.borrow_mut().push(number);
                });
            }
            until(|| (ended.borrow().len() == 20).then_some(())).await;
        });
        ended.borrow_mut().sort_unstable();
        assert!(ended.borrow().iter().copied().eq(0..20));
        assert_eq!(engine.usage(), Usage::default(), "{kind}");
    });
}

#[test]
fn wakers_cross_threads_outlive_their_task_and_are_dropped_anywhere() {
    on_drivers(|kind| {
        let engine = engine(kind);
        let (hand, wakers) = mpsc::channel::<Waker>();
        let turns = Arc::new(AtomicU32::new(0));
        let advanced = Arc::clone(&turns);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let other = std::thread::spawn(move || {
            for waker in wakers {
                advanced.fetch_add(1, Ordering::SeqCst);
                waker.wake_by_ref();
                keep.lock().expect("no panic").push(waker);
            }
        });
        engine.block_on(async {
            for turn in 0..30 {
                poll_fn(|cx| {
                    if turns.load(Ordering::SeqCst) > turn {
                        return Poll::Ready(());
                    }
                    // More than one for a turn does no harm.
                    hand.send(cx.waker().clone()).expect("somebody listens");
                    Poll::Pending
                })
                .await;
            }
        });
        drop((hand, engine));
        other.join().expect("no panic");
        // The task is gone, and its thread's engine too.
        for waker in kept.lock().expect("no panic").drain(..) {
            waker.wake();
        }
    });
}

#[test]
fn an_engine_that_is_dropped_drops_what_its_tasks_held() {
    on_drivers(|kind| {
        let held = Rc::new(());
        let engine = engine(kind);
        engine.block_on(async {
            for _ in 0..5 {
                let held = Rc::clone(&held);
                spawn(async move {
                    std::future::pending::<()>().await;
                    drop(held);
                });
            }
            turns(2).await;
        });
        assert_eq!(Rc::strong_count(&held), 6);
        drop(engine);
        assert_eq!(Rc::strong_count(&held), 1, "{kind}");
    });
}
