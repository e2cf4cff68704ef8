//! Half-close in both directions: one side has said all it will, the other goes on.

use crate::peer::{self, Peer};
use crate::transcript::same_on_an_engine;

#[test]
fn we_go_on_sending_to_a_peer_that_has_shut_down_writing() {
    let golden = "
        recv: question
        recv: end
        recv: end
        send answer: ok
        peer: answer
        send and more: ok
        recv: end
        peer: and more, end
    ";
    same_on_an_engine(
        "we_go_on_sending_to_a_peer_that_has_shut_down_writing",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let mut stream = ours.adopt();
            theirs.write(b"question").await.expect("connected");
            told.recv(&mut stream).await;
            theirs.shutdown_write();
            told.recv(&mut stream).await;
            told.recv(&mut stream).await;
            told.send(&mut stream, "answer").await;
            told.say(format_args!("peer: {}", theirs.read(6).await));
            told.send(&mut stream, "and more").await;
            told.recv(&mut stream).await;
            drop(stream);
            let reading = theirs.aside(async |mut theirs: Peer| theirs.rest().await);
            told.say(format_args!("peer: {}", reading.joined().await));
        },
    );
}

#[test]
fn the_end_comes_behind_all_bytes_even_when_both_are_there_already() {
    let golden = "
        received 200000 of 200000, in order
        recv: end
        recv: end
    ";
    same_on_an_engine(
        "the_end_comes_behind_all_bytes_even_when_both_are_there_already",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.connection().await;
            let writing = theirs.aside(async |mut theirs: Peer| {
                theirs.write(&peer::bytes(0..200_000)).await.expect("connected");
            });
            let mut stream = ours.adopt();
            let mut got = Vec::new();
            while got.len() < 200_000 {
                got.extend_from_slice(&stream.recv().await.expect("connected"));
            }
            writing.joined().await;
            let order = if got == peer::bytes(0..200_000) { "in order" } else { "in disorder" };
            told.say(format_args!("received {} of 200000, {order}", stream.received()));
            told.recv(&mut stream).await;
            told.recv(&mut stream).await;
        },
    );
}

#[test]
fn we_go_on_receiving_after_we_have_shut_down_writing() {
    let golden = "
        send question: ok
        shutdown: ok
        peer: question, end
        recv: answer
        send too late: BrokenPipe
        recv: more
        recv: end
        shutdown: NotConnected
    ";
    same_on_an_engine(
        "we_go_on_receiving_after_we_have_shut_down_writing",
        golden,
        async |told, stage| {
            let (ours, mut theirs) = stage.connection().await;
            let mut stream = ours.adopt();
            told.send(&mut stream, "question").await;
            told.ended("shutdown", &stream.shutdown_write());
            told.say(format_args!("peer: {}", theirs.rest().await));
            theirs.write(b"answer").await.expect("the other half is open");
            told.recv(&mut stream).await;
            told.send(&mut stream, "too late").await;
            theirs.write(b"more").await.expect("the other half is open");
            told.recv(&mut stream).await;
            drop(theirs);
            told.recv(&mut stream).await;
            told.ended("shutdown", &stream.shutdown_write());
        },
    );
}

#[test]
fn closing_sends_what_was_flushed_and_then_the_end() {
    let golden = "flush: ok
        peer: Ok(3000000)";
    same_on_an_engine(
        "closing_sends_what_was_flushed_and_then_the_end",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.connection().await;
            let reading = theirs.count_numbered(70_000);
            let mut stream = ours.adopt();
            stream.write_shared(peer::bytes(0..3_000_000).into());
            told.ended("flush", &stream.flush().await);
            drop(stream);
            told.say(format_args!("peer: {:?}", reading.joined().await));
        },
    );
}

#[test]
fn lingering_lets_the_peer_read_all_though_it_goes_on_sending() {
    let golden = "peer: Ok(500000)";
    same_on_an_engine(
        "lingering_lets_the_peer_read_all_though_it_goes_on_sending",
        golden,
        async |told, stage| {
            let (ours, theirs) = stage.connection().await;
            let (reads, writes) = theirs.split();
            let reading = reads.count_numbered(5_000);
            let writing = writes.aside(async |mut theirs: Peer| {
                theirs.write(&[0; 100_000]).await.expect("somebody reads on");
                theirs.shutdown_write();
            });
            let mut stream = ours.adopt();
            stream.write(&peer::bytes(0..500_000));
            stream.close_lingering(1 << 20).await;
            writing.joined().await;
            told.say(format_args!("peer: {:?}", reading.joined().await));
        },
    );
}
