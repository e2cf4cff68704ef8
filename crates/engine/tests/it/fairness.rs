//! One connection that never pauses does not starve the others of its thread.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sockeye_engine::{Chunk, Stream, spawn};

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

/// Pings a task of ours again and again while `operate` runs over and over on another connection, at
/// whose other end is `pour`, until it is told to stop; tells the pings, and whether few enough
/// operations were made before each was received.
async fn ping_between(
    told: Told,
    stage: Stage,
    operate: impl AsyncFn(&mut Stream) -> io::Result<()> + 'static,
    pour: impl AsyncFnOnce(Peer, Arc<AtomicBool>) + Send + 'static,
) {
    let (ours, mut theirs) = stage.connection().await;
    let (hose, hose_end) = stage.connection().await;
    let look = ours.look();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let pouring = hose_end.aside(async move |peer| pour(peer, stopped).await);
    // Operations since the last ping; None when it has been received.
    let since = Rc::new(Cell::new(None));
    let counted = Rc::clone(&since);
    let ended = Rc::new(Cell::new(false));
    let end = Rc::clone(&ended);
    spawn(async move {
        let mut hose = hose.adopt();
        while operate(&mut hose).await.is_ok() {
            if let Some(count) = counted.get() {
                counted.set(Some(count + 1));
                continue;
            }
            counted.set(Some(0));
            theirs.write(b"?").await.expect("connected");
            // From here on the pinger has its byte, and only has to be let at it.
            look.until_readable().await;
        }
        end.set(true);
    });
    let mut stream = ours.adopt();
    let (mut pings, mut most) = (String::new(), 0);
    for _ in 0..ROUNDS {
        let chunk = stream.recv().await.expect("connected");
        pings += &String::from_utf8_lossy(&chunk);
        most = most.max(since.take().unwrap_or(0));
    }
    told.say(format_args!("pings: {pings}"));
    let few = most <= AT_MOST;
    told.say(format_args!("at most {AT_MOST} operations before each: {few}"));
    stop.store(true, Ordering::SeqCst);
    until(|| ended.get().then_some(())).await;
    pouring.joined().await;
}

/// What a task may do in one go, and once more.
const AT_MOST: u64 = 128;

const FEW: &str = "
    pings: ??????????
    at most 128 operations before each: true
";

#[test]
fn a_pinger_waits_for_few_operations_of_a_connection_that_never_pauses() {
    same_on_an_engine(
        "a_pinger_waits_for_few_operations_of_a_connection_that_never_pauses",
        FEW,
        async |told, stage| {
            let operate = async |hose: &mut Stream| {
                // So little that there is always room for it.
                hose.write(b".");
                hose.flush().await
            };
            ping_between(told, stage, operate, async |mut there, stop| {
                let goes_on = || !stop.load(Ordering::SeqCst);
                while goes_on() && there.read_some(1 << 20).await.is_ok_and(|got| !got.is_empty()) {
                }
            })
            .await;
        },
    );
}

#[test]
fn a_pinger_waits_for_few_operations_of_a_connection_that_takes_every_buffer() {
    same_on_an_engine(
        "a_pinger_waits_for_few_operations_of_a_connection_that_takes_every_buffer",
        FEW,
        async |told, stage| {
            // As much as all connections of a thread may receive into on io_uring: with most of that
            // gone for good, the rest is soon gone whenever the kernel is asked.
            const KEPT: usize = 2 << 20;
            let kept = RefCell::new(Vec::new());
            let operate = async move |hose: &mut Stream| {
                loop {
                    let chunk = hose.recv().await?;
                    if chunk.is_empty() {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    let mut kept = kept.borrow_mut();
                    if kept.iter().map(|chunk: &Chunk| chunk.len()).sum::<usize>() >= KEPT {
                        return Ok(());
                    }
                    kept.push(chunk);
                }
            };
            ping_between(told, stage, operate, async |mut there, stop| {
                let goes_on = || !stop.load(Ordering::SeqCst);
                while goes_on() && there.write(&[1; 65_536]).await.is_ok() {}
            })
            .await;
        },
    );
}
