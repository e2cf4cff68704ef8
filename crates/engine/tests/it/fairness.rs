//! One connection that never pauses does not starve the others of its thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sockeye_engine::{Stream, spawn};

use crate::peer::Peer;
use crate::stage::{self, Stage};
use crate::transcript::{Told, same_on_an_engine};
use crate::{Either, either, turns, until};

const PINGERS: usize = 100;
const ROUNDS: usize = 10;

/// Answers until the peer closes.
async fn echo(mut stream: Stream) {
    while let Ok(chunk) = stream.recv().await {
        if chunk.is_empty() {
            break;
        }
        stream.write(&chunk);
        drop(chunk);
        stream.flush().await.expect("connected");
    }
}

/// A hundred pingers in rounds while `hose` runs on the same thread and `pour` at its other end, until
/// it is told to stop; tells whether each got all its answers, and whether the hose ran to the end of
/// them.
async fn ping_beside(
    told: Told,
    stage: Stage,
    hose: impl AsyncFn(&mut Stream) + 'static,
    pour: impl AsyncFnOnce(Peer, Arc<AtomicBool>) + Send + 'static,
) {
    let mut ends = Vec::new();
    for _ in 0..PINGERS {
        let (here, there) = stage.connection().await;
        ends.push(there);
        spawn(echo(here.adopt()));
    }
    let (hose_here, hose_there) = stage.connection().await;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let pouring = hose_there.aside(async move |peer| pour(peer, stopped).await);
    let ended = Rc::new(Cell::new(false));
    let end = Rc::clone(&ended);
    spawn(async move {
        hose(&mut hose_here.adopt()).await;
        end.set(true);
    });
    let pinging = stage::aside(ends, async |mut ends: Vec<Peer>| {
        for round in 0..ROUNDS {
            for end in &mut ends {
                end.write(b"?").await.expect("connected");
            }
            for (pinger, end) in ends.iter_mut().enumerate() {
                if end.read(1).await != "?" {
                    return format!("pinger {pinger} got no answer in round {round}");
                }
            }
        }
        "every pinger got every answer".to_owned()
    });
    told.say(pinging.joined().await);
    told.say(format_args!("the hose still ran: {}", !ended.get()));
    stop.store(true, Ordering::SeqCst);
    until(|| ended.get().then_some(())).await;
    pouring.joined().await;
}

const GOLDEN: &str = "
    every pinger got every answer
    the hose still ran: true
";

#[test]
fn a_connection_that_always_has_more_to_receive_starves_nobody() {
    same_on_an_engine(
        "a_connection_that_always_has_more_to_receive_starves_nobody",
        GOLDEN,
        async |told, stage| {
            let hose = async |stream: &mut Stream| {
                let mut sum = 0u64;
                while let Ok(chunk) = stream.recv().await {
                    if chunk.is_empty() {
                        break;
                    }
                    // Slower than the other end writes, so that the queue never runs dry.
                    sum += chunk.iter().step_by(8).map(|byte| u64::from(*byte)).sum::<u64>();
                }
                assert!(sum > 0, "the hose has run");
            };
            ping_beside(told, stage, hose, async |mut there, stop| {
                let goes_on = || !stop.load(Ordering::SeqCst);
                while goes_on() && there.write(&[1; 65_536]).await.is_ok() {}
            })
            .await;
        },
    );
}

#[test]
fn a_connection_that_always_may_send_more_starves_nobody() {
    same_on_an_engine(
        "a_connection_that_always_may_send_more_starves_nobody",
        GOLDEN,
        async |told, stage| {
            let hose = async |stream: &mut Stream| {
                let mut flushed = Ok(());
                while flushed.is_ok() {
                    // Less than the other end reads, so that there is always room.
                    stream.write(&[0; 32]);
                    flushed = stream.flush().await;
                }
            };
            ping_beside(told, stage, hose, async |mut there, stop| {
                let goes_on = || !stop.load(Ordering::SeqCst);
                while goes_on() && there.read_some(1 << 20).await.is_ok_and(|got| !got.is_empty()) {
                }
            })
            .await;
        },
    );
}

#[test]
fn a_task_that_wakes_itself_all_the_time_starves_nobody() {
    same_on_an_engine(
        "a_task_that_wakes_itself_all_the_time_starves_nobody",
        GOLDEN,
        async |told, stage| {
            let hose = async |stream: &mut Stream| {
                while matches!(either(stream.recv(), turns(100)).await, Either::Other(())) {}
            };
            ping_beside(told, stage, hose, async |there, stop| there.until(&stop).await).await;
        },
    );
}

#[test]
fn a_pinger_waits_for_few_operations_of_a_connection_that_never_pauses() {
    // What a task may do in one go, and once more.
    const AT_MOST: u64 = 128;
    let golden = "
        recv: ?
        at most 128 operations of the hose before it: true
    ";
    same_on_an_engine(
        "a_pinger_waits_for_few_operations_of_a_connection_that_never_pauses",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let (hose, hose_end) = stage.connection().await;
            let look = ours.look();
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = Arc::clone(&stop);
            let pouring = hose_end.aside(async move |mut peer: Peer| {
                let goes_on = || !stopped.load(Ordering::SeqCst);
                while goes_on() && peer.read_some(1 << 20).await.is_ok_and(|got| !got.is_empty()) {}
            });
            let operations = Rc::new(Cell::new(0));
            let counted = Rc::clone(&operations);
            let ended = Rc::new(Cell::new(false));
            let end = Rc::clone(&ended);
            spawn(async move {
                let mut hose = hose.adopt();
                loop {
                    // So little that there is always room for it.
                    hose.write(b".");
                    if hose.flush().await.is_err() {
                        break;
                    }
                    if counted.get() == 0 {
                        // From here on the pinger has its byte, and only has to be let at it.
                        theirs.write(b"?").await.expect("connected");
                        look.until_readable().await;
                    }
                    counted.set(counted.get() + 1);
                }
                end.set(true);
            });
            let mut stream = ours.adopt();
            told.recv(&mut stream).await;
            let few = operations.get() <= AT_MOST;
            told.say(format_args!("at most {AT_MOST} operations of the hose before it: {few}"));
            stop.store(true, Ordering::SeqCst);
            until(|| ended.get().then_some(())).await;
            pouring.joined().await;
        },
    );
}
