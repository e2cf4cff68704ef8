//! A file that is written whole or not at all, while each call on it fails once.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use sockeye_engine::fault::Plan;
use sockeye_engine::{CallError, File, Usage};

use crate::{engine, on_every_driver, until_closed};

const PARTS: u64 = 3;
const PART: u64 = 10_000;

/// Writes beside the name it is to have, and gives it the name when all of it is on the disk.
async fn save(folder: &Path) -> io::Result<()> {
    let part = folder.join("whole.part");
    let written = write(&part).await;
    match written {
        Ok(()) => std::fs::rename(part, folder.join("whole")),
        Err(error) => {
            // There is none if it was the open that failed.
            let _ = std::fs::remove_file(part);
            Err(error)
        }
    }
}

async fn write(path: &Path) -> io::Result<()> {
    let file = File::open(path, File::options().write(true).create_new(true)).await?;
    for part in 0..PARTS {
        let bytes = crate::peer::bytes(part * PART..(part + 1) * PART);
        file.write_at(part * PART, bytes).await?;
    }
    file.sync().await?;
    let len = file.metadata().await?.len();
    assert_eq!(len, PARTS * PART);
    Ok(())
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    entries.map(|entry| entry.expect("an entry").file_name()).collect()
}

#[test]
fn a_file_call_that_fails_leaves_nothing_half_written() {
    on_every_driver(|kind| {
        for (errno, calls) in [(Errno::NOSPC, PARTS + 1), (Errno::IO, PARTS + 3)] {
            for nth in 1..=calls + 1 {
                let what = format!("{kind}: {errno} at call {nth}");
                let folder = tempfile::tempdir().expect("a folder");
                let (plan, engine) = (Plan::new(errno, nth), engine(kind));
                plan.join();
                let saved = engine.block_on(save(folder.path()));
                Plan::leave();
                engine.block_on(until_closed(&engine));
                assert_eq!(engine.usage(), Usage::default(), "{what}");
                assert_eq!(plan.hit().is_some(), nth <= calls, "{what}: {:?}", plan.hit());
                if nth > calls {
                    saved.expect("nothing failed");
                    let whole = std::fs::read(folder.path().join("whole")).expect("it is there");
                    assert!(whole == crate::peer::bytes(0..PARTS * PART), "{what}");
                    assert_eq!(names(folder.path()), ["whole"], "{what}");
                    continue;
                }
                let error = saved.expect_err("a call failed");
                let call = CallError::of(&error).expect("it says what was asked");
                assert_eq!(call.raw_os_error(), Some(errno.raw_os_error()), "{what}: {error}");
                assert!(error.to_string().contains("whole.part"), "{what}: {error}");
                assert!(names(folder.path()).is_empty(), "{what}");
            }
        }
    });
}
