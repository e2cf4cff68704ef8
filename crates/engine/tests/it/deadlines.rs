//! A deadline that passes ends one wait, and loses nothing for the next.

use std::time::Duration;

use crate::peer::{self, LONG};
use crate::transcript::same_on_an_engine;

const SHORT: Option<Duration> = Some(Duration::from_millis(5));

#[test]
fn a_receive_that_timed_out_is_tried_again_and_gets_what_came_meanwhile() {
    let golden = "
        recv: TimedOut
        recv: TimedOut
        recv: TimedOut
        recv: late
        recv: TimedOut
        recv: later
        recv: TimedOut
        recv: end
    ";
    same_on_an_engine(
        "a_receive_that_timed_out_is_tried_again_and_gets_what_came_meanwhile",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let look = ours.look();
            let mut stream = ours.adopt();
            for _ in 0..3 {
                stream.set_deadline(SHORT);
                told.recv(&mut stream).await;
            }
            theirs.write(b"late").await.expect("connected");
            stream.set_deadline(Some(LONG));
            told.recv(&mut stream).await;
            stream.set_deadline(SHORT);
            told.recv(&mut stream).await;
            theirs.write(b"later").await.expect("connected");
            look.until_readable().await;
            drop(look);
            stream.set_deadline(None);
            told.recv(&mut stream).await;
            stream.set_deadline(SHORT);
            told.recv(&mut stream).await;
            drop(theirs);
            stream.set_deadline(Some(LONG));
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn a_deadline_that_passed_before_anybody_asked_does_not_hide_what_is_there() {
    let golden = "
        recv: here
        flush: ok
        recv: TimedOut
    ";
    same_on_an_engine(
        "a_deadline_that_passed_before_anybody_asked_does_not_hide_what_is_there",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let look = ours.look();
            let mut stream = ours.adopt();
            theirs.write(b"here").await.expect("connected");
            look.until_readable().await;
            drop(look);
            stream.set_deadline(SHORT);
            stage.until_passed(SHORT).await;
            told.recv(&mut stream).await;
            stream.write(b"room enough");
            told.ended("flush", &stream.flush().await);
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn a_flush_that_timed_out_goes_on_where_it_stopped() {
    let golden = "
        flush: TimedOut
        flush: TimedOut
        flush: ok
        peer: Ok(2000000)
    ";
    same_on_an_engine(
        "a_flush_that_timed_out_goes_on_where_it_stopped",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.narrow_connection().await;
            let mut stream = ours.adopt();
            stream.write(&peer::bytes(0..500_000));
            stream.write_shared(peer::bytes(500_000..1_900_000).into());
            for _ in 0..2 {
                stream.set_deadline(SHORT);
                told.ended("flush", &stream.flush().await);
            }
            stream.write(&peer::bytes(1_900_000..2_000_000));
            let reading = theirs.count_numbered(100_000);
            stream.set_deadline(Some(LONG));
            told.ended("flush", &stream.flush().await);
            drop(stream);
            told.say(format_args!("peer: {:?}", reading.joined().await));
        },
    );
}

#[test]
fn a_file_that_nobody_reads_ends_at_its_patience() {
    let golden = "
        send_file: TimedOut
        recv: still heard
        the peer has a part of it and no more: true
    ";
    same_on_an_engine(
        "a_file_that_nobody_reads_ends_at_its_patience",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.narrow_connection().await;
            let file = peer::file(2_000_000);
            let mut stream = ours.adopt();
            told.ended("send_file", &stream.send_file(&file, 0..2_000_000, SHORT).await);
            stream.set_deadline(Some(LONG));
            theirs.write(b"still heard").await.expect("connected");
            told.recv(&mut stream).await;
            let (written, reading) = (stream.written(), theirs.count_numbered(100_000));
            drop(stream);
            let count = reading.joined().await.expect("numbered bytes");
            let same = count == written && written < 2_000_000;
            told.say(format_args!("the peer has a part of it and no more: {same}"));
        },
    );
}

#[test]
fn a_deadline_that_passed_does_not_hide_a_datagram_that_is_there() {
    let golden = "
        recv: here
        recv: TimedOut
    ";
    same_on_an_engine(
        "a_deadline_that_passed_does_not_hide_a_datagram_that_is_there",
        golden,
        async |told, stage| {
            let socket = stage.datagram_with(b"here").await;
            socket.set_deadline(SHORT);
            stage.until_passed(SHORT).await;
            for _ in 0..2 {
                match socket.recv().await {
                    Ok(got) => {
                        told.say(format_args!("recv: {}", String::from_utf8_lossy(&got.bytes)))
                    }
                    Err(error) => told.ended::<()>("recv", &Err(error)),
                }
            }
        },
    );
}
