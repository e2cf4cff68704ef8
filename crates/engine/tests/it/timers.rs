//! Timers: in the order of their time, none early, dropped ones never.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sockeye_engine::{sleep, spawn};

use crate::transcript::same_on_an_engine;
use crate::{Either, either, turns, until};

const TIMERS: u64 = 10_000;

/// One timer that fired: between which moments it was due, and when it was.
struct Fired {
    earliest: Duration,
    latest: Duration,
    at: Duration,
}

#[test]
fn ten_thousand_timers_fire_in_order_and_none_early() {
    let golden = "
        10000 fired, 0 early, 0 before one that was due earlier
        5000 were dropped, 0 of them fired
    ";
    same_on_an_engine(
        "ten_thousand_timers_fire_in_order_and_none_early",
        golden,
        async |told, stage| {
            let fired = Rc::new(RefCell::new(Vec::new()));
            let (dropped, wrong) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            for n in 0..TIMERS {
                // Neither in the order of their start nor far apart.
                let delay = Duration::from_millis(20 + (n * 7919) % 40);
                let (fired, stage) = (Rc::clone(&fired), stage.clone());
                spawn(async move {
                    let earliest = stage.now() + delay;
                    let timer = sleep(delay);
                    // Rounded up to a millisecond.
                    let latest = stage.now() + delay + Duration::from_millis(1);
                    timer.await;
                    let at = stage.now();
                    fired.borrow_mut().push(Fired { earliest, latest, at });
                });
                if n % 2 == 0 {
                    let (dropped, wrong) = (Rc::clone(&dropped), Rc::clone(&wrong));
                    spawn(async move {
                        // Due among the others, but dropped after a few turns.
                        match either(sleep(delay + Duration::from_secs(5)), turns(n % 5)).await {
                            Either::One(()) => wrong.set(wrong.get() + 1),
                            Either::Other(()) => dropped.set(dropped.get() + 1),
                        }
                    });
                }
            }
            let all = || fired.borrow().len() as u64 == TIMERS && dropped.get() == TIMERS / 2;
            until(|| all().then_some(())).await;
            let fired = fired.borrow();
            let early = fired.iter().filter(|timer| timer.at < timer.earliest).count();
            let (mut due, mut disorder) = (Duration::ZERO, 0);
            for timer in fired.iter() {
                due = due.max(timer.earliest);
                disorder += usize::from(due > timer.latest);
            }
            told.say(format_args!(
                "{} fired, {early} early, {disorder} before one that was due earlier",
                fired.len()
            ));
            let (dropped, wrong) = (dropped.get(), wrong.get());
            told.say(format_args!("{dropped} were dropped, {wrong} of them fired"));
        },
    );
}

#[test]
fn a_dropped_timer_neither_fires_nor_wakes_its_task() {
    let golden = "
        woken 0 times by timers that were dropped
        woken by the one that was kept
    ";
    same_on_an_engine(
        "a_dropped_timer_neither_fires_nor_wakes_its_task",
        golden,
        async |told, _| {
            let (polls, over) = (Rc::new(Cell::new(0u32)), Rc::new(Cell::new(false)));
            let (counted, ended) = (Rc::clone(&polls), Rc::clone(&over));
            spawn(async move {
                for n in 0..100 {
                    either(sleep(Duration::from_millis(1 + n % 10)), turns(0)).await;
                }
                let mut kept = std::pin::pin!(sleep(Duration::from_millis(60)));
                std::future::poll_fn(|cx| {
                    counted.set(counted.get() + 1);
                    kept.as_mut().poll(cx)
                })
                .await;
                ended.set(true);
            });
            until(|| over.get().then_some(())).await;
            // Once when it began to wait and once when it was over.
            told.say(format_args!(
                "woken {} times by timers that were dropped",
                polls.get().saturating_sub(2)
            ));
            told.say("woken by the one that was kept");
        },
    );
}

#[test]
fn a_timer_that_is_due_at_once_and_one_that_never_is_do_no_harm() {
    let golden = "
        zero is over
        for ever was dropped
    ";
    same_on_an_engine(
        "a_timer_that_is_due_at_once_and_one_that_never_is_do_no_harm",
        golden,
        async |told, _| {
            sleep(Duration::ZERO).await;
            told.say("zero is over");
            let waited = either(sleep(Duration::MAX), sleep(Duration::from_millis(5))).await;
            assert!(matches!(waited, Either::Other(())), "it takes longer than the universe");
            told.say("for ever was dropped");
        },
    );
}
