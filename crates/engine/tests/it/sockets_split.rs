//! A stream in two halves, and a look at what comes before it is received.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use sockeye_engine::{DriverKind, sleep, spawn};

use crate::peer::Peer;
use crate::stage::{Job, on_every_stage};
use crate::{Either, adopt, connection, either, engine, turns};

/// Sends back what comes, and ends when the other side does.
fn echoing(peer: Peer) -> Job<()> {
    peer.aside(async |mut peer: Peer| {
        loop {
            let some = peer.read_some(1 << 16).await.expect("connected");
            if some.is_empty() {
                return peer.shutdown_write();
            }
            peer.write(&some).await.expect("connected");
        }
    })
}

#[test]
fn two_tasks_receive_and_send_at_once() {
    on_every_stage(async |stage| {
        let (ours, theirs) = stage.connection().await;
        let echo = echoing(theirs);
        // Far more than both queues hold: who sent all of it before he received would wait for ever.
        let len = if stage.is_simulated() { 1_000_000 } else { 20_000_000 };
        let sent: Vec<u8> = (0..251).cycle().take(len).collect();
        let received = {
            let (mut reader, mut writer) = ours.adopt().split();
            let sending = sent.clone();
            spawn(async move {
                for part in sending.chunks(100_000) {
                    writer.write(part);
                    writer.flush().await.expect("connected");
                }
                writer.shutdown_write().expect("connected");
            });
            let mut all = Vec::new();
            loop {
                let chunk = reader.recv().await.expect("connected");
                if chunk.is_empty() {
                    break all;
                }
                all.extend_from_slice(&chunk);
            }
        };
        assert!(received == sent);
        echo.joined().await;
    });
}

#[test]
fn halves_whose_futures_are_dropped_lose_and_repeat_nothing() {
    on_every_stage(async |stage| {
        let (ours, theirs) = stage.connection().await;
        let echo = echoing(theirs);
        let sent: Vec<u8> = (0..251).cycle().take(3_000_000).collect();
        let received = {
            let (mut reader, mut writer) = ours.adopt().split();
            let (sending, there) = (sent.clone(), stage.clone());
            spawn(async move {
                let mut patience = 0;
                for part in sending.chunks(7_001) {
                    writer.write(part);
                    patience = (patience + 1) % 4;
                    let _ = either(writer.flush(), there.turns(patience)).await;
                    if writer.unflushed() > 1 << 20 {
                        writer.flush().await.expect("connected");
                    }
                }
                writer.flush().await.expect("connected");
                writer.shutdown_write().expect("connected");
            });
            let (mut all, mut patience) = (Vec::new(), 0);
            loop {
                patience = (patience + 1) % 5;
                if let Either::One(chunk) = either(reader.recv(), stage.turns(patience)).await {
                    let chunk = chunk.expect("connected");
                    if chunk.is_empty() {
                        break all;
                    }
                    all.extend_from_slice(&chunk);
                }
            }
        };
        assert!(received == sent);
        echo.joined().await;
    });
}

#[test]
fn one_half_that_is_dropped_closes_nothing_and_the_second_one_does() {
    on_every_stage(async |stage| {
        let (ours, mut theirs) = stage.connection().await;
        let (mut reader, mut writer) = ours.adopt().split();
        writer.write(b"the last words");
        writer.flush().await.expect("connected");
        drop(writer);
        assert_eq!(theirs.read(14).await, "the last words");
        assert!(theirs.is_silent().await, "it is not closed");
        theirs.write(b"heard").await.expect("connected");
        assert_eq!(&reader.recv().await.expect("connected")[..], b"heard");
        drop(reader);
        let closed = theirs.aside(async |mut theirs: Peer| theirs.rest().await);
        assert_eq!(closed.joined().await, ", end");
    });
}

#[test]
fn each_half_has_a_deadline_of_its_own() {
    on_every_stage(async |stage| {
        let (ours, theirs) = stage.connection().await;
        let (mut reader, mut writer) = ours.adopt().split();
        let ended = Rc::new(Cell::new(false));
        let done = Rc::clone(&ended);
        spawn(async move {
            writer.write(&vec![7; 9_000_000]);
            writer.set_deadline(Some(Duration::from_millis(15)));
            let error = writer.flush().await.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            done.set(true);
        });
        {
            let mut receiving = std::pin::pin!(reader.recv());
            while !ended.get() {
                let waited = either(&mut receiving, sleep(Duration::from_millis(2))).await;
                assert!(matches!(waited, Either::Other(())), "nobody sends");
            }
        }
        reader.set_deadline(Some(Duration::from_millis(2)));
        let error = reader.recv().await.expect_err("nobody sends");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(theirs);
    });
}

#[test]
fn halves_of_one_stream_are_put_together_and_others_are_not() {
    on_every_stage(async |stage| {
        let (one, mut peer) = stage.connection().await;
        let (other, _other) = stage.connection().await;
        let (reader, mut writer) = one.adopt().split();
        let (stranger, _writer) = other.adopt().split();
        writer.write(b"in two ");
        let lent = RefCell::new(&reader);
        writer.write_with(|buffer| {
            // What is written may depend on the other half.
            buffer.extend(b"halves");
            assert_eq!(lent.borrow().received(), 0);
        });
        let Err((_stranger, writer)) = stranger.unsplit(writer) else {
            panic!("of two streams");
        };
        let Ok(mut stream) = reader.unsplit(writer) else { panic!("of one stream") };
        assert_eq!((stream.written(), stream.unflushed()), (13, 13));
        stream.flush().await.expect("connected");
        assert_eq!(peer.read(13).await, "in two halves");
    });
}

#[test]
fn the_futures_of_halves_stay_small() {
    let (ours, _theirs) = connection();
    engine(DriverKind::EpollEdge).block_on(async {
        let (mut reader, mut writer) = adopt(ours).split();
        let sizes = [size_of_val(&reader.recv()), size_of_val(&writer.flush())];
        assert!(sizes.iter().all(|size| *size <= 32), "{sizes:?} bytes");
    });
}

#[test]
fn what_was_peeked_at_is_received_once_and_in_order() {
    on_every_stage(async |stage| {
        let (ours, mut theirs) = stage.connection().await;
        let mut stream = ours.adopt();
        theirs.write(b"GET").await.expect("connected");
        assert_eq!(stream.peek(1).await.expect("it came"), b"GET");
        // Not enough yet, and what has come stays through it all.
        let waited = either(stream.peek(5), turns(3)).await;
        assert!(matches!(waited, Either::Other(())));
        theirs.write(b" / HTTP/1.1\r\n").await.expect("connected");
        assert!(stream.peek(5).await.expect("it came").starts_with(b"GET /"));
        assert_eq!(stream.received(), 0);
        let mut all = Vec::new();
        while all.len() < 16 {
            all.extend_from_slice(&stream.recv().await.expect("it came"));
        }
        assert_eq!((&all[..], stream.received()), (&b"GET / HTTP/1.1\r\n"[..], 16));
        theirs.write(b"end").await.expect("connected");
        theirs.shutdown_write();
        assert_eq!(stream.peek(100).await.expect("it ended"), b"end");
        assert_eq!(stream.peek(100).await.expect("it ended"), b"end");
        assert_eq!(&stream.recv_idle().await.expect("it came").expect("no stop")[..], b"end");
        assert!(stream.peek(1).await.expect("it ended").is_empty());
        assert!(stream.recv().await.expect("it ended").is_empty());
        let error = stream.peek(65_537).await.expect_err("more than a buffer");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}
