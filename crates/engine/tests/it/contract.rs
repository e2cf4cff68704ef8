//! What every driver promises about one connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{ErrorKind, Write as _};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::Duration;

use sockeye_engine::spawn;

use crate::peer::Peer;
use crate::stage::on_every_stage;
use crate::until;

/// All that comes until the end.
async fn to_the_end(mut theirs: Peer) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let some = theirs.read_some(1 << 16).await?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

#[test]
fn received_bytes_come_in_order_and_the_end_is_an_empty_chunk() {
    on_every_stage(async |stage| {
        let (ours, theirs) = stage.connection().await;
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let writer = theirs.aside(async move |mut theirs: Peer| theirs.write(&sent).await);
        let mut stream = ours.adopt();
        let mut got = Vec::new();
        loop {
            let chunk = stream.recv().await.expect("no error");
            if chunk.is_empty() {
                break;
            }
            got.extend_from_slice(&chunk);
        }
        assert!(stream.recv().await.expect("still the end").is_empty());
        assert_eq!(stream.received(), got.len() as u64);
        writer.joined().await.expect("all is written");
        assert!(got == expected, "other bytes arrived than were sent");
    });
}

#[test]
fn owned_and_shared_writes_leave_in_order_even_to_a_slow_reader() {
    on_every_stage(async |stage| {
        let (ours, theirs) = stage.connection().await;
        let reader = theirs.aside(to_the_end);
        let mut stream = ours.adopt();
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
        drop(stream);
        let got = reader.joined().await.expect("all is read");
        assert!(got == expected, "other bytes arrived than were sent");
    });
}

#[test]
fn a_range_of_a_file_arrives_behind_what_was_written_before_it() {
    let content: Vec<u8> = (0..5_000_000u32).map(|n| (n % 241) as u8).collect();
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&content).expect("it is written");
    on_every_stage(async |stage| {
        let (ours, theirs) = stage.connection().await;
        let reader = theirs.aside(to_the_end);
        let mut stream = ours.adopt();
        stream.write(b"head");
        stream.send_file(&file, 1000..4_999_000, None).await.expect("the reader lives");
        let short = stream.send_file(&file, 4_999_999..5_000_001, None).await;
        assert_eq!(short.expect_err("the file is shorter").kind(), ErrorKind::UnexpectedEof);
        drop(stream);
        let got = reader.joined().await.expect("all is read");
        assert_eq!(&got[..4], b"head");
        assert!(got[4..4 + 4_998_000] == content[1000..4_999_000]);
        assert_eq!(got[4 + 4_998_000..], content[4_999_999..]);
    });
}

#[test]
fn a_deadline_ends_the_wait_and_the_stream_still_works_after_it() {
    on_every_stage(async |stage| {
        let (ours, mut theirs) = stage.connection().await;
        let mut stream = ours.adopt();
        stream.set_deadline(Some(Duration::from_millis(20)));
        let error = stream.recv().await.expect_err("nothing comes");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        stream.set_deadline(None);
        theirs.write(b"late").await.expect("the connection stands");
        assert_eq!(&stream.recv().await.expect("it came")[..], b"late");
    });
}

#[test]
fn a_flush_that_the_peer_never_reads_ends_at_the_deadline() {
    on_every_stage(async |stage| {
        let (ours, _theirs) = stage.connection().await;
        let mut stream = ours.adopt();
        stream.set_deadline(Some(Duration::from_millis(50)));
        stream.write(&vec![0; 30_000_000]);
        let error = stream.flush().await.expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(stream);
        assert_eq!(sockeye_engine::usage().expect("here").timers, 0);
    });
}

#[test]
fn a_task_is_woken_from_another_thread_while_another_waits_for_a_socket() {
    on_every_stage(async |stage| {
        let (ours, theirs) = stage.connection().await;
        let (send_waker, waker) = mpsc::channel::<Waker>();
        let flag = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&flag);
        let sent = Arc::new(AtomicBool::new(false));
        let is_sent = Arc::clone(&sent);
        let waking = theirs.aside(async move |mut theirs: Peer| {
            theirs.until(&is_sent).await;
            let waker = waker.recv().expect("it was sent");
            set.store(true, Ordering::SeqCst);
            // Of a simulation as well: this wake comes from outside.
            let woken = std::thread::spawn(move || waker.wake());
            woken.join().expect("no panic");
            // The socket speaks only after the wake was seen, so a thread that sleeps deaf hangs.
            theirs.write(b".").await.expect("connected");
            theirs.rest().await
        });
        let woken = Rc::new(Cell::new(false));
        let seen = Rc::clone(&woken);
        spawn(async move {
            let mut send_waker = Some(send_waker);
            poll_fn(|cx| {
                if let Some(send_waker) = send_waker.take() {
                    send_waker.send(cx.waker().clone()).expect("somebody waits");
                    sent.store(true, Ordering::SeqCst);
                }
                match flag.load(Ordering::SeqCst) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            seen.set(true);
        });
        let mut stream = ours.adopt();
        assert_eq!(stream.recv().await.expect("it speaks").len(), 1);
        until(|| (woken.get()).then_some(())).await;
        drop(stream);
        assert_eq!(waking.joined().await, ", end");
    });
}

#[test]
fn a_task_that_panics_takes_nobody_with_it() {
    on_every_stage(async |stage| {
        let (ours, theirs) = stage.connection().await;
        let (before, ended) = (tasks(), theirs.aside(async |mut theirs: Peer| theirs.rest().await));
        spawn(async move {
            let _held = ours.adopt();
            panic!("this panic belongs to the test");
        });
        // Its connection is closed.
        assert_eq!(ended.joined().await, ", end");
        until(|| (tasks() == before).then_some(())).await;
    });
}

fn tasks() -> usize {
    sockeye_engine::usage().expect("on an engine").tasks
}
