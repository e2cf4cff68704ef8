//! Each operation's future is dropped at its first, second … poll, and the program goes on.

use std::pin::pin;
use std::time::Duration;

use sockeye_engine::sleep;

use crate::peer;
use crate::transcript::same_on_an_engine;
use crate::{Either, either, turns};

/// Polls `future` in each of `polls` turns of the thread and drops it; whether it was still waiting.
async fn dropped_at(polls: u64, future: impl Future) -> bool {
    matches!(either(future, turns(polls - 1)).await, Either::Other(()))
}

#[test]
fn a_receive_dropped_at_any_poll_leaves_the_bytes_for_the_next_one() {
    let golden = "
        dropped at poll 1: true
        recv: part 1
        dropped at poll 2: true
        recv: part 2
        dropped at poll 3: true
        recv: part 3
        dropped at poll 4: true
        recv: part 4
        recv: end
    ";
    same_on_an_engine(
        "a_receive_dropped_at_any_poll_leaves_the_bytes_for_the_next_one",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let mut stream = ours.adopt();
            for poll in 1..=4 {
                let waits = dropped_at(poll, stream.recv()).await;
                told.say(format_args!("dropped at poll {poll}: {waits}"));
                theirs.write(format!("part {poll}").as_bytes()).await.expect("connected");
                told.recv(&mut stream).await;
            }
            drop(theirs);
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn what_came_for_a_receive_that_was_dropped_comes_to_the_next_one() {
    let golden = "
        recv: part 0
        recv: part 1
        recv: part 2
        recv: part 3
        recv: end
    ";
    same_on_an_engine(
        "what_came_for_a_receive_that_was_dropped_comes_to_the_next_one",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let look = ours.look();
            let mut stream = ours.adopt();
            for polls in 0..4 {
                {
                    let mut receive = pin!(stream.recv());
                    let waiting = either(receive.as_mut(), std::future::ready(())).await;
                    assert!(matches!(waiting, Either::Other(())), "nothing has come yet");
                    theirs.write(format!("part {polls}").as_bytes()).await.expect("connected");
                    look.until_readable().await;
                    // The driver may fetch it for this future, which then goes away.
                    turns(polls).await;
                }
                told.recv(&mut stream).await;
            }
            drop((theirs, look));
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn the_end_that_came_for_a_dropped_receive_is_told_to_the_next_one() {
    let golden = "
        recv: end
        send: ok
        recv: end
    ";
    same_on_an_engine(
        "the_end_that_came_for_a_dropped_receive_is_told_to_the_next_one",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let look = ours.look();
            let mut stream = ours.adopt();
            assert!(dropped_at(1, stream.recv()).await);
            theirs.shutdown_write();
            look.until_readable().await;
            drop(look);
            turns(3).await;
            told.recv(&mut stream).await;
            stream.write(b"still open");
            told.ended("send", &stream.flush().await);
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn a_flush_dropped_at_any_poll_sends_every_byte_once() {
    let golden = "
        dropped at poll 1: true
        dropped at poll 2: true
        dropped at poll 3: true
        dropped at poll 4: true
        flush: ok
        written 2100000, unflushed 0
        peer: Ok(2100000)
    ";
    same_on_an_engine(
        "a_flush_dropped_at_any_poll_sends_every_byte_once",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.narrow_connection().await;
            let mut stream = ours.adopt();
            stream.write_shared(peer::bytes(0..1_700_000).into());
            for poll in 1..=4 {
                stream.write(&peer::bytes(1_600_000 + poll * 100_000..1_700_000 + poll * 100_000));
                let waits = dropped_at(poll, stream.flush()).await;
                told.say(format_args!("dropped at poll {poll}: {waits}"));
            }
            let reading = theirs.count_numbered(100_000);
            told.ended("flush", &stream.flush().await);
            told.say(format_args!(
                "written {}, unflushed {}",
                stream.written(),
                stream.unflushed()
            ));
            drop(stream);
            told.say(format_args!("peer: {:?}", reading.joined().await));
        },
    );
}

#[test]
fn a_file_dropped_at_any_poll_sends_a_part_of_it_and_nothing_else() {
    let golden = "
        dropped at poll 1: true, the peer has a part of it and the end: true
        dropped at poll 2: true, the peer has a part of it and the end: true
        dropped at poll 3: true, the peer has a part of it and the end: true
        dropped at poll 4: true, the peer has a part of it and the end: true
    ";
    same_on_an_engine(
        "a_file_dropped_at_any_poll_sends_a_part_of_it_and_nothing_else",
        golden,
        async |told, stage| {
            let file = peer::file(2_000_000);
            for poll in 1..=4 {
                let (ours, theirs) = stage.narrow_connection().await;
                let mut stream = ours.adopt();
                stream.write(&peer::bytes(0..100));
                let sending = stream.send_file(&file, 100..2_000_000, None);
                let waits = dropped_at(poll, sending).await;
                drop(stream);
                let part = theirs.count_numbered(100_000).joined().await;
                let part = part.is_ok_and(|part| part < 2_000_000);
                told.say(format_args!(
                    "dropped at poll {poll}: {waits}, the peer has a part of it and the end: {part}"
                ));
            }
        },
    );
}

#[test]
fn a_sleep_dropped_at_any_poll_leaves_no_timer_and_wakes_nobody() {
    let golden = "
        dropped at poll 1: true
        dropped at poll 2: true
        dropped at poll 3: true
        dropped at poll 4: true
        another one is over
    ";
    same_on_an_engine(
        "a_sleep_dropped_at_any_poll_leaves_no_timer_and_wakes_nobody",
        golden,
        async |told, _| {
            for poll in 1..=4 {
                let waits = dropped_at(poll, sleep(Duration::from_secs(600))).await;
                told.say(format_args!("dropped at poll {poll}: {waits}"));
            }
            sleep(Duration::from_millis(2)).await;
            told.say("another one is over");
        },
    );
}

#[test]
fn a_connection_dropped_with_everything_in_flight_is_closed() {
    let golden = "
        closed at poll 1, the peer's next reads end: true
        closed at poll 2, the peer's next reads end: true
        closed at poll 3, the peer's next reads end: true
    ";
    same_on_an_engine(
        "a_connection_dropped_with_everything_in_flight_is_closed",
        golden,
        async |told, stage| {
            for poll in 1..=3 {
                let (ours, theirs) = stage.narrow_connection().await;
                let mut stream = ours.adopt();
                assert!(dropped_at(poll, stream.recv()).await);
                stream.write_shared(peer::bytes(0..2_000_000).into());
                assert!(dropped_at(poll, stream.flush()).await);
                drop(stream);
                let ended = theirs.count_numbered(100_000).joined().await.is_ok();
                told.say(format_args!("closed at poll {poll}, the peer's next reads end: {ended}"));
            }
        },
    );
}
