//! One connection that never pauses does not starve the others of its thread.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;

use sockeye_engine::{Stream, spawn};

use crate::peer::until_readable;
use crate::transcript::{Told, same_on_an_engine};
use crate::{Either, adopt, connection, either, joined, peer, turns, until};

const PINGERS: usize = 100;
const ROUNDS: usize = 10;

/// Answers until the peer closes.
async fn echo(socket: TcpStream) {
    let mut stream = adopt(socket);
    while let Ok(chunk) = stream.recv().await {
        if chunk.is_empty() {
            break;
        }
        stream.write(&chunk);
        drop(chunk);
        stream.flush().await.expect("connected");
    }
}

/// A hundred pingers in rounds while `hose` runs on the same thread and `pour` at its other end;
/// tells whether each got all its answers, and whether the hose ran to the end of them.
async fn ping_beside(told: Told, hose: impl AsyncFn(&mut Stream) + 'static, pour: fn(TcpStream)) {
    let (hose_here, hose_there) = connection();
    let stop = hose_there.try_clone().expect("a descriptor");
    let pouring = std::thread::spawn(move || pour(hose_there));
    let ended = Rc::new(Cell::new(false));
    let end = Rc::clone(&ended);
    spawn(async move {
        hose(&mut adopt(hose_here)).await;
        end.set(true);
    });
    let mut ends = Vec::new();
    for _ in 0..PINGERS {
        let (here, there) = connection();
        there.set_read_timeout(Some(peer::LONG)).expect("an option");
        ends.push(there);
        spawn(echo(here));
    }
    let pinging = std::thread::spawn(move || {
        for round in 0..ROUNDS {
            for end in &mut ends {
                end.write_all(b"?").expect("connected");
            }
            for (pinger, end) in ends.iter_mut().enumerate() {
                if end.read_exact(&mut [0]).is_err() {
                    return format!("pinger {pinger} got no answer in round {round}");
                }
            }
        }
        "every pinger got every answer".to_owned()
    });
    told.say(joined(pinging).await);
    told.say(format_args!("the hose still ran: {}", !ended.get()));
    stop.shutdown(Shutdown::Both).expect("connected");
    until(|| ended.get().then_some(())).await;
    joined(pouring).await;
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
        async |told| {
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
            ping_beside(told, hose, |mut there| while there.write_all(&[1; 65_536]).is_ok() {})
                .await;
        },
    );
}

#[test]
fn a_connection_that_always_may_send_more_starves_nobody() {
    same_on_an_engine(
        "a_connection_that_always_may_send_more_starves_nobody",
        GOLDEN,
        async |told| {
            let hose = async |stream: &mut Stream| {
                let mut flushed = Ok(());
                while flushed.is_ok() {
                    // Less than the other end reads, so that there is always room.
                    stream.write(b"drop");
                    flushed = stream.flush().await;
                }
            };
            ping_beside(told, hose, |mut there| {
                let mut room = vec![0; 1 << 20];
                while there.read(&mut room).is_ok_and(|count| count > 0) {}
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
        async |told| {
            let hose = async |stream: &mut Stream| {
                while matches!(either(stream.recv(), turns(100)).await, Either::Other(())) {}
            };
            ping_beside(told, hose, drop_at_the_end).await;
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
        async |told| {
            let (ours, mut theirs) = connection();
            let (hose, mut hose_end) = connection();
            let look = ours.try_clone().expect("a descriptor");
            let stop = hose_end.try_clone().expect("a descriptor");
            let pouring = std::thread::spawn(move || {
                let mut room = vec![0; 1 << 20];
                while hose_end.read(&mut room).is_ok_and(|count| count > 0) {}
            });
            let operations = Rc::new(Cell::new(0));
            let counted = Rc::clone(&operations);
            let ended = Rc::new(Cell::new(false));
            let end = Rc::clone(&ended);
            spawn(async move {
                let mut hose = adopt(hose);
                loop {
                    // So little that there is always room for it.
                    hose.write(b".");
                    if hose.flush().await.is_err() {
                        break;
                    }
                    if counted.get() == 0 {
                        // From here on the pinger has its byte, and only has to be let at it.
                        theirs.write_all(b"?").expect("connected");
                        until_readable(&look);
                    }
                    counted.set(counted.get() + 1);
                }
                end.set(true);
            });
            let mut stream = adopt(ours);
            told.recv(&mut stream).await;
            let few = operations.get() <= AT_MOST;
            told.say(format_args!("at most {AT_MOST} operations of the hose before it: {few}"));
            stop.shutdown(Shutdown::Both).expect("connected");
            until(|| ended.get().then_some(())).await;
            joined(pouring).await;
        },
    );
}

/// Says nothing until the connection is shut down.
fn drop_at_the_end(mut there: TcpStream) {
    let _ = there.read(&mut [0]);
}
