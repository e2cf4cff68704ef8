//! Work that blocks, beside a loop that goes on.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

use sockeye_engine::{DriverKind, File, offload, spawn};

use crate::{Either, either, engine, on_every_driver, turns, until};

#[test]
fn files_are_written_and_read_at_offsets() {
    on_every_driver(|kind| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        engine(kind).block_on(async {
            let mut options = File::options();
            let options = options.read(true).write(true).create(true);
            let file = File::open(&path, options).await.expect("it may be made");
            let all: Vec<u8> = (0..251).cycle().take(700_000).collect();
            file.write_at(0, all[..400_000].to_vec()).await.expect("room");
            file.write_at(400_000, all[400_000..].to_vec()).await.expect("room");
            file.sync().await.expect("a disk");
            assert!(file.read_at(0, 700_000).await.expect("written") == all, "{kind}");
            let tail = file.read_at(699_990, 100).await.expect("written");
            assert_eq!(tail, all[699_990..], "{kind}");
            assert!(file.read_at(u64::from(u32::MAX), 1).await.expect("behind it").is_empty());
            assert_eq!(file.metadata().await.expect("open").len(), 700_000, "{kind}");
            let missing = folder.path().join("missing");
            let error = File::open(&missing, File::options().read(true)).await;
            let error = error.expect_err("it is not there");
            assert_eq!(error.kind(), ErrorKind::NotFound, "{kind}");
            assert!(error.to_string().contains("missing"), "{error}");
        });
    });
}

/// Opening a FIFO for reading blocks until somebody opens it for writing (fifo(7)): were it done on
/// the loop, nobody ever would.
#[test]
fn a_call_that_blocks_does_not_keep_the_loop_from_going_on() {
    on_every_driver(|kind| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .expect("a fifo");
        engine(kind).block_on(async {
            let opened = Rc::new(Cell::new(false));
            let (done, reader) = (Rc::clone(&opened), path.clone());
            spawn(async move {
                offload(move || std::fs::File::open(reader))
                    .await
                    .expect("a thread")
                    .expect("it is");
                done.set(true);
            });
            turns(3).await;
            assert!(!opened.get(), "{kind}: nobody writes yet");
            let writing = offload(move || std::fs::File::options().write(true).open(path));
            let _writer = writing.await.expect("a thread").expect("somebody reads");
            until(|| (opened.get()).then_some(())).await;
        });
    });
}

#[test]
fn more_work_than_threads_is_all_done_and_what_was_dropped_holds_nothing() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (held, done) = (Arc::new(()), Rc::new(Cell::new(0)));
            for number in 0..300u64 {
                let (held, done) = (Arc::clone(&held), Rc::clone(&done));
                spawn(async move {
                    let work = offload(move || drop(held));
                    let _ = either(work, turns(number % 5)).await;
                    done.set(done.get() + 1);
                });
            }
            until(|| (done.get() == 300 && Arc::strong_count(&held) == 1).then_some(())).await;
            let dropped = either(offload(std::thread::yield_now), std::future::ready(())).await;
            assert!(matches!(dropped, Either::Other(()) | Either::One(Ok(()))), "{kind}");
        });
    });
}

#[test]
fn a_panic_of_the_work_ends_the_task_that_waits_for_it() {
    let engine = engine(DriverKind::EpollEdge);
    let ended = engine.block_on(async {
        let before = Rc::new(());
        let held = Rc::clone(&before);
        spawn(async move {
            let _held = held;
            let _ = offload(|| panic!("on purpose, in offloaded work")).await;
        });
        until(|| (Rc::strong_count(&before) == 1).then_some(())).await;
        offload(|| 42).await.expect("threads go on")
    });
    assert_eq!(ended, 42);
}
