//! The peer resets the connection at each step: who is told, in which words, and what comes after.
//!
//! The kernel reports a reset once (`ECONNRESET`), to whichever call comes first; a send after that
//! gets `EPIPE`, a receive the end of the stream.

use std::future::pending;
use std::io::Write as _;

use sockeye_engine::{Stream, spawn};

use crate::peer::{self, LONG, reset, until_readable, until_reset};
use crate::transcript::{Told, same_on_an_engine};
use crate::{Either, adopt, connection, either, turns};

/// A connection whose peer has reset it, or more than that.
async fn after_reset(before: impl AsyncFnOnce(&mut Stream)) -> Stream {
    let (ours, theirs) = peer::narrow_connection();
    let look = ours.try_clone().expect("a descriptor");
    let mut stream = adopt(ours);
    before(&mut stream).await;
    reset(theirs);
    until_reset(&look);
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
    same_on_an_engine("a_reset_before_a_receive_is_told_to_it", golden, async |told| {
        let mut stream = after_reset(async |_| ()).await;
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
    same_on_an_engine("a_reset_before_a_send_is_told_to_it", golden, async |told| {
        let mut stream = after_reset(async |_| ()).await;
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
    same_on_an_engine("a_reset_before_a_file_is_told_to_it", golden, async |told| {
        let file = peer::file(100);
        let mut stream = after_reset(async |_| ()).await;
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
        async |told| {
            let (ours, mut theirs) = connection();
            let look = ours.try_clone().expect("a descriptor");
            let mut stream = adopt(ours);
            theirs.write_all(b"last words").expect("connected");
            until_readable(&look);
            reset(theirs);
            until_reset(&look);
            drop(look);
            told.recv(&mut stream).await;
            told.recv(&mut stream).await;
            told.recv(&mut stream).await;
            told.send(&mut stream, "x").await;
        },
    );
}

/// Runs `operation`, and resets the connection when it has been waiting for a few turns.
async fn reset_in_the_middle<T>(
    operation: impl Future<Output = T>,
    theirs: std::net::TcpStream,
) -> T {
    let resetting = async {
        turns(3).await;
        reset(theirs);
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
    same_on_an_engine("a_reset_in_the_middle_of_a_receive_is_told_to_it", golden, async |told| {
        let (ours, theirs) = connection();
        let mut stream = adopt(ours);
        let result = reset_in_the_middle(stream.recv(), theirs).await;
        told.received(&result);
        told.recv(&mut stream).await;
        told.send(&mut stream, "x").await;
        flush(&told, &mut stream).await;
    });
}

#[test]
fn a_reset_in_the_middle_of_a_send_is_told_to_it() {
    let golden = "
        flush: ConnectionReset
        flush: BrokenPipe
        recv: end
        send more: BrokenPipe
    ";
    same_on_an_engine("a_reset_in_the_middle_of_a_send_is_told_to_it", golden, async |told| {
        let (ours, theirs) = peer::narrow_connection();
        let mut stream = adopt(ours);
        stream.write_shared(peer::bytes(0..2_000_000).into());
        told.ended("flush", &reset_in_the_middle(stream.flush(), theirs).await);
        flush(&told, &mut stream).await;
        told.recv(&mut stream).await;
        told.send(&mut stream, "more").await;
    });
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
        async |told| {
            let (ours, theirs) = peer::narrow_connection();
            let mut stream = adopt(ours);
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
    same_on_an_engine("a_reset_in_the_middle_of_a_file_is_told_to_it", golden, async |told| {
        let (ours, theirs) = peer::narrow_connection();
        let file = peer::file(2_000_000);
        let mut stream = adopt(ours);
        let sending = stream.send_file(&file, 0..2_000_000, Some(LONG));
        told.ended("send_file", &reset_in_the_middle(sending, theirs).await);
        told.recv(&mut stream).await;
        told.send(&mut stream, "x").await;
    });
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
        async |told| {
            let mut stream = after_reset(async |stream| {
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
        async |told| {
            let file = peer::file(100);
            let mut stream = after_reset(async |stream| {
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
        async |told| {
            let mut stream = after_reset(async |stream| {
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
    same_on_an_engine("a_peer_that_closes_with_bytes_unread_resets", golden, async |told| {
        let (ours, theirs) = connection();
        let mut stream = adopt(ours);
        told.send(&mut stream, "unread").await;
        until_readable(&theirs);
        drop(theirs);
        told.recv(&mut stream).await;
        told.send(&mut stream, "x").await;
    });
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
        async |told| {
            let (ours, theirs) = connection();
            let look = ours.try_clone().expect("a descriptor");
            let mut stream = adopt(ours);
            drop(theirs);
            told.recv(&mut stream).await;
            told.send(&mut stream, "x").await;
            until_reset(&look);
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
    same_on_an_engine("a_reset_of_one_connection_is_no_affair_of_another", golden, async |told| {
        let (ours, theirs) = connection();
        let mut stream = adopt(ours);
        let (other, mut other_end) = connection();
        spawn(async move {
            let mut other = adopt(other);
            while let Ok(chunk) = other.recv().await {
                if chunk.is_empty() {
                    break;
                }
                other.write(&chunk);
                other.flush().await.expect("connected");
            }
        });
        let pinging = std::thread::spawn(move || {
            let mut answered = 0;
            let mut resetting = Some(theirs);
            for round in 0..100 {
                other_end.write_all(b"?").expect("connected");
                if peer::read(&other_end, 1) == "?" {
                    answered += 1;
                }
                if round == 50 {
                    reset(resetting.take().expect("once"));
                }
            }
            answered
        });
        told.recv(&mut stream).await;
        let answered = crate::joined(pinging).await;
        told.say(format_args!("the other one answered {answered} times"));
    });
}
