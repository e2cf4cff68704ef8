//! The peer resets the connection at each step: who is told, in which words, and what comes after.
//!
//! The kernel reports a reset once (`ECONNRESET`), to whichever call comes first; a send after that
//! gets `EPIPE`, a receive the end of the stream.

use std::future::pending;

use sockeye_engine::{Stream, spawn};

use crate::peer::{self, LONG, Peer};
use crate::stage::{self, Stage};
use crate::transcript::{Told, same_on_an_engine};
use crate::{Either, either, turns};

/// A connection whose peer has reset it, or more than that.
async fn after_reset(stage: &Stage, before: impl AsyncFnOnce(&mut Stream)) -> Stream {
    let (ours, theirs) = stage.narrow_connection().await;
    let look = ours.look();
    let mut stream = ours.adopt();
    before(&mut stream).await;
    theirs.reset();
    look.until_reset().await;
    stream
}

async fn flush(told: &Told, stream: &mut Stream) {
    told.ended("flush", &stream.flush().await);
}

#[test]
fn a_reset_before_a_receive_is_told_to_it() {
    let golden = "
        recv: ConnectionReset
        recv: end
        send x: BrokenPipe
        flush: BrokenPipe
        recv: end
    ";
    same_on_an_engine("a_reset_before_a_receive_is_told_to_it", golden, async |told, stage| {
        let mut stream = after_reset(&stage, async |_| ()).await;
        told.recv(&mut stream).await;
        told.recv(&mut stream).await;
        told.send(&mut stream, "x").await;
        flush(&told, &mut stream).await;
        told.recv(&mut stream).await;
    });
}

#[test]
fn a_reset_before_a_send_is_told_to_it() {
    let golden = "
        send x: ConnectionReset
        flush: BrokenPipe
        send y: BrokenPipe
        recv: end
    ";
    same_on_an_engine("a_reset_before_a_send_is_told_to_it", golden, async |told, stage| {
        let mut stream = after_reset(&stage, async |_| ()).await;
        told.send(&mut stream, "x").await;
        flush(&told, &mut stream).await;
        told.send(&mut stream, "y").await;
        told.recv(&mut stream).await;
    });
}

#[test]
fn a_reset_before_a_file_is_told_to_it() {
    let golden = "
        send_file: ConnectionReset
        send_file: BrokenPipe
        recv: end
        send x: BrokenPipe
    ";
    same_on_an_engine("a_reset_before_a_file_is_told_to_it", golden, async |told, stage| {
        let file = peer::file(100);
        let mut stream = after_reset(&stage, async |_| ()).await;
        told.ended("send_file", &stream.send_file(&file, 0..100, None).await);
        told.ended("send_file", &stream.send_file(&file, 0..100, None).await);
        told.recv(&mut stream).await;
        told.send(&mut stream, "x").await;
    });
}

#[test]
fn a_reset_behind_bytes_that_nobody_received_yet_leaves_them_readable() {
    let golden = "
        recv: last words
        recv: ConnectionReset
        recv: end
        send x: BrokenPipe
    ";
    same_on_an_engine(
        "a_reset_behind_bytes_that_nobody_received_yet_leaves_them_readable",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let look = ours.look();
            let mut stream = ours.adopt();
            theirs.write(b"last words").await.expect("connected");
            look.until_readable().await;
            theirs.reset();
            look.until_reset().await;
            drop(look);
            told.recv(&mut stream).await;
            told.recv(&mut stream).await;
            told.recv(&mut stream).await;
            told.send(&mut stream, "x").await;
        },
    );
}

/// Runs `operation`, and resets the connection when it has been waiting for a few turns.
async fn reset_in_the_middle<T>(operation: impl Future<Output = T>, theirs: Peer) -> T {
    let resetting = async {
        turns(3).await;
        theirs.reset();
        pending::<()>().await;
    };
    match either(operation, resetting).await {
        Either::One(result) => result,
        Either::Other(()) => unreachable!("it is pending"),
    }
}

#[test]
fn a_reset_in_the_middle_of_a_receive_is_told_to_it() {
    let golden = "
        recv: ConnectionReset
        recv: end
        send x: BrokenPipe
        flush: BrokenPipe
    ";
    same_on_an_engine(
        "a_reset_in_the_middle_of_a_receive_is_told_to_it",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.connection().await;
            let mut stream = ours.adopt();
            let result = reset_in_the_middle(stream.recv(), theirs).await;
            told.received(&result);
            told.recv(&mut stream).await;
            told.send(&mut stream, "x").await;
            flush(&told, &mut stream).await;
        },
    );
}

#[test]
fn a_reset_in_the_middle_of_a_send_is_told_to_it() {
    let golden = "
        flush: ConnectionReset
        flush: BrokenPipe
        recv: end
        send more: BrokenPipe
    ";
    same_on_an_engine(
        "a_reset_in_the_middle_of_a_send_is_told_to_it",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.narrow_connection().await;
            let mut stream = ours.adopt();
            stream.write_shared(peer::bytes(0..2_000_000).into());
            told.ended("flush", &reset_in_the_middle(stream.flush(), theirs).await);
            flush(&told, &mut stream).await;
            told.recv(&mut stream).await;
            told.send(&mut stream, "more").await;
        },
    );
}

#[test]
fn a_reset_in_the_middle_of_a_send_of_many_pieces_is_told_to_it() {
    let golden = "
        flush: ConnectionReset
        flush: BrokenPipe
        recv: end
    ";
    same_on_an_engine(
        "a_reset_in_the_middle_of_a_send_of_many_pieces_is_told_to_it",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.narrow_connection().await;
            let mut stream = ours.adopt();
            for start in 0..20 {
                let start = start * 100_000;
                stream.write_shared(peer::bytes(start..start + 100_000).into());
            }
            told.ended("flush", &reset_in_the_middle(stream.flush(), theirs).await);
            flush(&told, &mut stream).await;
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn a_reset_in_the_middle_of_a_file_is_told_to_it() {
    let golden = "
        send_file: ConnectionReset
        recv: end
        send x: BrokenPipe
    ";
    same_on_an_engine(
        "a_reset_in_the_middle_of_a_file_is_told_to_it",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.narrow_connection().await;
            let file = peer::file(2_000_000);
            let mut stream = ours.adopt();
            let sending = stream.send_file(&file, 0..2_000_000, Some(LONG));
            told.ended("send_file", &reset_in_the_middle(sending, theirs).await);
            told.recv(&mut stream).await;
            told.send(&mut stream, "x").await;
        },
    );
}

#[test]
fn a_reset_while_nobody_receives_any_more_is_told_to_the_next_send() {
    let golden = "
        send x: ConnectionReset
        send y: BrokenPipe
        recv: end
    ";
    same_on_an_engine(
        "a_reset_while_nobody_receives_any_more_is_told_to_the_next_send",
        golden,
        async |told, stage| {
            let mut stream = after_reset(&stage, async |stream| {
                let waited = either(stream.recv(), turns(3)).await;
                assert!(matches!(waited, Either::Other(())), "nothing comes");
            })
            .await;
            // The driver looks at the kernel, and may hear of it.
            turns(3).await;
            told.send(&mut stream, "x").await;
            told.send(&mut stream, "y").await;
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn a_reset_while_nobody_receives_any_more_is_told_to_the_next_file() {
    let golden = "
        send_file: ConnectionReset
        send y: BrokenPipe
        recv: end
    ";
    same_on_an_engine(
        "a_reset_while_nobody_receives_any_more_is_told_to_the_next_file",
        golden,
        async |told, stage| {
            let file = peer::file(100);
            let mut stream = after_reset(&stage, async |stream| {
                let waited = either(stream.recv(), turns(3)).await;
                assert!(matches!(waited, Either::Other(())), "nothing comes");
            })
            .await;
            turns(3).await;
            told.ended("send_file", &stream.send_file(&file, 0..100, None).await);
            told.send(&mut stream, "y").await;
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn a_reset_after_a_flush_was_dropped_is_told_to_the_next_one() {
    let golden = "
        flush: ConnectionReset
        flush: BrokenPipe
        recv: end
    ";
    same_on_an_engine(
        "a_reset_after_a_flush_was_dropped_is_told_to_the_next_one",
        golden,
        async |told, stage| {
            let mut stream = after_reset(&stage, async |stream| {
                stream.write_shared(peer::bytes(0..2_000_000).into());
                let waited = either(stream.flush(), turns(3)).await;
                assert!(matches!(waited, Either::Other(())), "nobody reads");
            })
            .await;
            turns(3).await;
            flush(&told, &mut stream).await;
            flush(&told, &mut stream).await;
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn a_peer_that_closes_with_bytes_unread_resets() {
    let golden = "
        send unread: ok
        recv: ConnectionReset
        send x: BrokenPipe
    ";
    same_on_an_engine(
        "a_peer_that_closes_with_bytes_unread_resets",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.connection().await;
            let mut stream = ours.adopt();
            told.send(&mut stream, "unread").await;
            theirs.until_readable().await;
            drop(theirs);
            told.recv(&mut stream).await;
            told.send(&mut stream, "x").await;
        },
    );
}

#[test]
fn a_send_to_a_peer_that_closed_is_answered_by_a_reset() {
    let golden = "
        recv: end
        send x: ok
        send y: BrokenPipe
        recv: end
    ";
    same_on_an_engine(
        "a_send_to_a_peer_that_closed_is_answered_by_a_reset",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.connection().await;
            let look = ours.look();
            let mut stream = ours.adopt();
            drop(theirs);
            told.recv(&mut stream).await;
            told.send(&mut stream, "x").await;
            look.until_reset().await;
            drop(look);
            told.send(&mut stream, "y").await;
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn a_reset_of_one_connection_is_no_affair_of_another() {
    let golden = "
        recv: ConnectionReset
        the other one answered 100 times
    ";
    same_on_an_engine(
        "a_reset_of_one_connection_is_no_affair_of_another",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.connection().await;
            let mut stream = ours.adopt();
            let (other, other_end) = stage.connection().await;
            spawn(async move {
                let mut other = other.adopt();
                while let Ok(chunk) = other.recv().await {
                    if chunk.is_empty() {
                        break;
                    }
                    other.write(&chunk);
                    other.flush().await.expect("connected");
                }
            });
            let pinging =
                stage::aside(vec![theirs, other_end], async move |mut ends: Vec<Peer>| {
                    let mut other_end = ends.pop().expect("two");
                    let mut answered = 0;
                    let mut resetting = ends.pop();
                    for round in 0..100 {
                        other_end.write(b"?").await.expect("connected");
                        if other_end.read(1).await == "?" {
                            answered += 1;
                        }
                        if round == 50 {
                            resetting.take().expect("once").reset();
                        }
                    }
                    answered
                });
            told.recv(&mut stream).await;
            let answered = pinging.joined().await;
            told.say(format_args!("the other one answered {answered} times"));
        },
    );
}
