//! What every driver promises about one connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{ErrorKind, Read as _, Write as _};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::Duration;

use sockeye_engine::spawn;

use crate::{adopt, connection, engine, on_every_driver, until};

#[test]
fn received_bytes_come_in_order_and_the_end_is_an_empty_chunk() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, mut theirs) = connection();
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let writer = std::thread::spawn(move || theirs.write_all(&sent));
        let got = engine.block_on(async {
            let mut stream = adopt(ours);
            let mut got = Vec::new();
            loop {
                let chunk = stream.recv().await.expect("no error");
                if chunk.is_empty() {
                    assert!(stream.recv().await.expect("still the end").is_empty());
                    assert_eq!(stream.received(), got.len() as u64);
                    return got;
                }
                got.extend_from_slice(&chunk);
            }
        });
        writer.join().expect("the writer ends").expect("all is written");
        assert!(got == expected, "{kind}: other bytes arrived than were sent");
    });
}

#[test]
fn owned_and_shared_writes_leave_in_order_even_to_a_slow_reader() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, mut theirs) = connection();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).map(|_| all)
        });
        let expected = engine.block_on(async {
            let mut stream = adopt(ours);
            let mut expected = Vec::new();
            for round in 0..40u8 {
                let shared = vec![round; 100_000 + usize::from(round)];
                stream.write(b"head ");
                stream.write_shared(shared.clone().into());
                stream.write_with(|out| out.extend_from_slice(b" tail"));
                expected.extend_from_slice(b"head ");
                expected.extend_from_slice(&shared);
                expected.extend_from_slice(b" tail");
                if round % 3 == 0 {
                    stream.flush().await.expect("the reader lives");
                    assert_eq!(stream.unflushed(), 0);
                }
            }
            stream.flush().await.expect("the reader lives");
            assert_eq!(stream.written(), expected.len() as u64);
            expected
        });
        // The stream was dropped, so the connection is closed when the driver has run again.
        drop(engine);
        let got = reader.join().expect("the reader ends").expect("all is read");
        assert!(got == expected, "{kind}: other bytes arrived than were sent");
    });
}

#[test]
fn a_range_of_a_file_arrives_behind_what_was_written_before_it() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let content: Vec<u8> = (0..5_000_000u32).map(|n| (n % 241) as u8).collect();
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&content).expect("it is written");
        let (ours, mut theirs) = connection();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).map(|_| all)
        });
        engine.block_on(async {
            let mut stream = adopt(ours);
            stream.write(b"head");
            stream.send_file(&file, 1000..4_999_000, None).await.expect("the reader lives");
            let short = stream.send_file(&file, 4_999_999..5_000_001, None).await;
            assert_eq!(short.expect_err("the file is shorter").kind(), ErrorKind::UnexpectedEof);
        });
        drop(engine);
        let got = reader.join().expect("the reader ends").expect("all is read");
        assert_eq!(&got[..4], b"head");
        assert!(got[4..4 + 4_998_000] == content[1000..4_999_000]);
        assert_eq!(got[4 + 4_998_000..], content[4_999_999..]);
    });
}

#[test]
fn a_deadline_ends_the_wait_and_the_stream_still_works_after_it() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, mut theirs) = connection();
        engine.block_on(async {
            let mut stream = adopt(ours);
            stream.set_deadline(Some(Duration::from_millis(20)));
            let error = stream.recv().await.expect_err("nothing comes");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}");
            stream.set_deadline(None);
            theirs.write_all(b"late").expect("the connection stands");
            assert_eq!(&stream.recv().await.expect("it came")[..], b"late");
        });
    });
}

#[test]
fn a_flush_that_the_peer_never_reads_ends_at_the_deadline() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, _theirs) = connection();
        engine.block_on(async {
            let mut stream = adopt(ours);
            stream.set_deadline(Some(Duration::from_millis(50)));
            stream.write(&vec![0; 30_000_000]);
            let error = stream.flush().await.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}");
        });
        let usage = engine.usage();
        drop(engine);
        assert_eq!(usage.timers, 0);
    });
}

#[test]
fn a_task_is_woken_from_another_thread_while_another_waits_for_a_socket() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, mut theirs) = connection();
        let (send_waker, waker) = mpsc::channel::<Waker>();
        let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let set = std::sync::Arc::clone(&flag);
        let waking = std::thread::spawn(move || {
            let waker = waker.recv().expect("it is sent");
            set.store(true, std::sync::atomic::Ordering::SeqCst);
            waker.wake();
            // The socket speaks only after the wake was seen, so a thread that sleeps deaf hangs.
            theirs.write_all(b".").expect("connected");
            theirs
        });
        engine.block_on(async {
            let woken = Rc::new(Cell::new(false));
            let seen = Rc::clone(&woken);
            spawn(async move {
                let mut send_waker = Some(send_waker);
                poll_fn(|cx| {
                    if let Some(send_waker) = send_waker.take() {
                        send_waker.send(cx.waker().clone()).expect("somebody waits");
                    }
                    match flag.load(std::sync::atomic::Ordering::SeqCst) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
                .await;
                seen.set(true);
            });
            let mut stream = adopt(ours);
            assert_eq!(stream.recv().await.expect("it speaks").len(), 1);
            until(|| (woken.get()).then_some(())).await;
        });
        drop(waking.join().expect("the thread ends"));
    });
}

#[test]
fn a_task_that_panics_takes_nobody_with_it() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, mut theirs) = connection();
        engine.block_on(async {
            spawn(async {
                let _held = adopt(ours);
                panic!("this panic belongs to the test");
            });
            // Until only this one is left.
            until(|| (engine.usage().tasks == 1).then_some(())).await;
        });
        assert_eq!(engine.usage().tasks, 0);
        let mut rest = Vec::new();
        theirs.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
        drop(engine);
        theirs.read_to_end(&mut rest).expect("its connection is closed");
    });
}
