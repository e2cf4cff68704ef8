//! A stream in two halves, and a look at what comes before it is received.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use sockeye_engine::{DriverKind, Engine, Usage, sleep, spawn};

use crate::{Either, adopt, connection, either, engine, on_every_driver, turns, until_closed};

/// Sends back what comes, and ends when the other side does.
fn echoing(mut peer: TcpStream) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = peer.try_clone().expect("a descriptor");
        std::io::copy(&mut reader, &mut peer).expect("connected");
        peer.shutdown(std::net::Shutdown::Write).expect("connected");
    })
}

fn is_clean(engine: &Engine, kind: DriverKind) {
    engine.block_on(until_closed(engine));
    assert_eq!(engine.usage(), Usage::default(), "{kind}");
}

#[test]
fn two_tasks_receive_and_send_at_once() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, theirs) = connection();
        let peer = echoing(theirs);
        // Far more than both queues hold: who sent all of it before he received would wait for ever.
        let sent: Vec<u8> = (0..251).cycle().take(20_000_000).collect();
        let received = engine.block_on(async {
            let (mut reader, mut writer) = adopt(ours).split();
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
        });
        assert!(received == sent, "{kind}");
        peer.join().expect("it ends");
        is_clean(&engine, kind);
    });
}

#[test]
fn halves_whose_futures_are_dropped_lose_and_repeat_nothing() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, theirs) = connection();
        let peer = echoing(theirs);
        let sent: Vec<u8> = (0..251).cycle().take(3_000_000).collect();
        let received = engine.block_on(async {
            let (mut reader, mut writer) = adopt(ours).split();
            let sending = sent.clone();
            spawn(async move {
                let mut patience = 0;
                for part in sending.chunks(7_001) {
                    writer.write(part);
                    patience = (patience + 1) % 4;
                    let _ = either(writer.flush(), turns(patience)).await;
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
                if let Either::One(chunk) = either(reader.recv(), turns(patience)).await {
                    let chunk = chunk.expect("connected");
                    if chunk.is_empty() {
                        break all;
                    }
                    all.extend_from_slice(&chunk);
                }
            }
        });
        assert!(received == sent, "{kind}");
        peer.join().expect("it ends");
        is_clean(&engine, kind);
    });
}

#[test]
fn one_half_that_is_dropped_closes_nothing_and_the_second_one_does() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, mut theirs) = connection();
        engine.block_on(async {
            let (mut reader, mut writer) = adopt(ours).split();
            writer.write(b"the last words");
            writer.flush().await.expect("connected");
            drop(writer);
            theirs.read_exact(&mut [0; 14]).expect("they came");
            theirs.set_nonblocking(true).expect("a flag");
            let error = theirs.read(&mut [0]).expect_err("it is not closed");
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{kind}");
            theirs.set_nonblocking(false).expect("a flag");
            theirs.write_all(b"heard").expect("connected");
            assert_eq!(&reader.recv().await.expect("connected")[..], b"heard", "{kind}");
        });
        engine.block_on(until_closed(&engine));
        assert_eq!(theirs.read(&mut [0]).expect("closed in peace"), 0, "{kind}");
        assert_eq!(engine.usage(), Usage::default(), "{kind}");
    });
}

#[test]
fn each_half_has_a_deadline_of_its_own() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, theirs) = connection();
        engine.block_on(async {
            let (mut reader, mut writer) = adopt(ours).split();
            let ended = Rc::new(Cell::new(false));
            let done = Rc::clone(&ended);
            spawn(async move {
                writer.write(&vec![7; 9_000_000]);
                writer.set_deadline(Some(Duration::from_millis(15)));
                let error = writer.flush().await.expect_err("nobody reads");
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}");
                done.set(true);
            });
            {
                let mut receiving = std::pin::pin!(reader.recv());
                while !ended.get() {
                    let waited = either(&mut receiving, sleep(Duration::from_millis(2))).await;
                    assert!(matches!(waited, Either::Other(())), "{kind}: nobody sends");
                }
            }
            reader.set_deadline(Some(Duration::from_millis(2)));
            let error = reader.recv().await.expect_err("nobody sends");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}");
        });
        drop(theirs);
        is_clean(&engine, kind);
    });
}

#[test]
fn halves_of_one_stream_are_put_together_and_others_are_not() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let ((one, mut peer), (other, _other)) = (connection(), connection());
        engine.block_on(async {
            let (reader, mut writer) = adopt(one).split();
            let (stranger, _writer) = adopt(other).split();
            writer.write(b"in two ");
            let lent = RefCell::new(&reader);
            writer.write_with(|buffer| {
                // What is written may depend on the other half.
                buffer.extend(b"halves");
                assert_eq!(lent.borrow().received(), 0);
            });
            let Err((_stranger, writer)) = stranger.unsplit(writer) else {
                panic!("{kind}: of two streams");
            };
            let Ok(mut stream) = reader.unsplit(writer) else { panic!("{kind}: of one stream") };
            assert_eq!((stream.written(), stream.unflushed()), (13, 13), "{kind}");
            stream.flush().await.expect("connected");
            let mut got = [0; 13];
            peer.read_exact(&mut got).expect("it came");
            assert_eq!(&got, b"in two halves", "{kind}");
        });
        is_clean(&engine, kind);
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
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, mut theirs) = connection();
        engine.block_on(async {
            let mut stream = adopt(ours);
            theirs.write_all(b"GET").expect("connected");
            assert_eq!(stream.peek(1).await.expect("it came"), b"GET", "{kind}");
            // Not enough yet, and what has come stays through it all.
            let waited = either(stream.peek(5), turns(3)).await;
            assert!(matches!(waited, Either::Other(())), "{kind}");
            theirs.write_all(b" / HTTP/1.1\r\n").expect("connected");
            assert!(stream.peek(5).await.expect("it came").starts_with(b"GET /"), "{kind}");
            assert_eq!(stream.received(), 0, "{kind}");
            let mut all = Vec::new();
            while all.len() < 16 {
                all.extend_from_slice(&stream.recv().await.expect("it came"));
            }
            assert_eq!((&all[..], stream.received()), (&b"GET / HTTP/1.1\r\n"[..], 16), "{kind}");
            theirs.write_all(b"end").expect("connected");
            theirs.shutdown(std::net::Shutdown::Write).expect("connected");
            assert_eq!(stream.peek(100).await.expect("it ended"), b"end", "{kind}");
            assert_eq!(stream.peek(100).await.expect("it ended"), b"end", "{kind}");
            assert_eq!(&stream.recv_idle().await.expect("it came").expect("no stop")[..], b"end");
            assert!(stream.peek(1).await.expect("it ended").is_empty(), "{kind}");
            assert!(stream.recv().await.expect("it ended").is_empty(), "{kind}");
            let error = stream.peek(65_537).await.expect_err("more than a buffer");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{kind}");
        });
        is_clean(&engine, kind);
    });
}
