//! Sends that the kernel takes in parts, and both directions of one connection at once.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sockeye_engine::{Reader, spawn};

use crate::peer::{self, Peer};
use crate::transcript::same_on_an_engine;
use crate::until;

#[test]
fn a_slow_reader_behind_tiny_buffer_gets_every_byte_once_and_in_order() {
    let golden = "
        flush 0: ok
        flush 1: ok
        flush 2: ok
        flush 3: ok
        written 160000, unflushed 0
        peer: Ok(160000)
    ";
    same_on_an_engine(
        "a_slow_reader_behind_tiny_buffer_gets_every_byte_once_and_in_order",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.tiny_connection().await;
            let reading = theirs.count_numbered(777);
            let mut stream = ours.adopt();
            for round in 0..4 {
                // Copied, shared and again copied bytes, so that the send is of several pieces.
                let start = round * 40_000;
                stream.write(&peer::bytes(start..start + 9_000));
                stream.write_shared(peer::bytes(start + 9_000..start + 31_000).into());
                stream.write_shared(peer::bytes(start + 31_000..start + 39_000).into());
                stream.write(&peer::bytes(start + 39_000..start + 40_000));
                told.ended(&format!("flush {round}"), &stream.flush().await);
            }
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
fn a_file_goes_through_tiny_buffer_behind_a_head() {
    let golden = "
        send_file: ok
        written 100000
        send_file past the end: UnexpectedEof
        peer: Ok(100000)
    ";
    same_on_an_engine(
        "a_file_goes_through_tiny_buffer_behind_a_head",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.tiny_connection().await;
            let reading = theirs.count_numbered(999);
            let file = peer::file(100_000);
            let mut stream = ours.adopt();
            stream.write(&peer::bytes(0..1_000));
            told.ended("send_file", &stream.send_file(&file, 1_000..100_000, None).await);
            told.say(format_args!("written {}", stream.written()));
            let beyond = stream.send_file(&file, 100_000..100_001, None).await;
            told.ended("send_file past the end", &beyond);
            drop(stream);
            told.say(format_args!("peer: {:?}", reading.joined().await));
        },
    );
}

/// Receives `len` numbered bytes; whether they were right.
async fn receive_numbered(stream: &mut Reader, len: u64) -> bool {
    let mut right = true;
    while stream.received() < len {
        let before = stream.received();
        let chunk = stream.recv().await.expect("connected");
        if chunk.is_empty() {
            return false;
        }
        right &= chunk.iter().zip(before..).all(|(got, n)| *got == peer::byte(n));
    }
    right
}

#[test]
fn one_task_receives_while_another_sends_on_the_same_connection() {
    // The peer reads nothing until it has written everything, and so would we: whoever does one
    // thing after the other hangs.
    const LEN: u64 = 1_200_000;
    let golden = "
        received 1200000, in order: true
        flush: ok
        peer: Ok(1200000)
    ";
    same_on_an_engine(
        "one_task_receives_while_another_sends_on_the_same_connection",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.narrow_connection().await;
            let sends = Arc::new(AtomicBool::new(false));
            let at_first = Arc::clone(&sends);
            let peer = theirs.aside(async move |mut theirs: Peer| {
                theirs.write(&peer::bytes(0..LEN)).await.expect("connected");
                theirs.until(&sends).await;
                theirs.numbered(10_000).await
            });
            let (mut receiving, mut sending) = ours.adopt().split();
            let flushed = Rc::new(Cell::new(None));
            let sent = Rc::clone(&flushed);
            spawn(async move {
                sending.write_shared(peer::bytes(0..LEN).into());
                at_first.store(true, Ordering::SeqCst);
                let result = sending.flush().await;
                sending.shutdown_write().expect("connected");
                sent.set(Some(result));
            });
            let right = receive_numbered(&mut receiving, LEN).await;
            told.say(format_args!("received {}, in order: {right}", receiving.received()));
            let result = until(|| flushed.take()).await;
            told.ended("flush", &result);
            told.say(format_args!("peer: {:?}", peer.joined().await));
        },
    );
}
