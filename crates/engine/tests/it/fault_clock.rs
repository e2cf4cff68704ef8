//! The wall clock may jump: somebody sets it, or a machine wakes up. Nothing waits by it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sockeye_engine::fault::move_wall_clock;
use sockeye_engine::probe::Stamp;
use sockeye_engine::{sleep, unix_now};

use crate::{Either, adopt, connection, either, engine, on_every_driver};

const HOUR: i64 = 3600;

#[test]
fn a_jump_of_an_hour_ends_no_wait_early_and_none_late() {
    // The clock is the process's, and other tests look at it.
    const ALONE: &str = "SOCKEYE_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = Command::new(std::env::current_exe().expect("this program"));
        let name = "fault_clock::a_jump_of_an_hour_ends_no_wait_early_and_none_late";
        let output = alone.args([name, "--exact"]).env(ALONE, "1").output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    on_every_driver(|kind| {
        let engine = engine(kind);
        let (ours, _theirs) = connection();
        engine.block_on(async {
            let mut stream = adopt(ours);
            for jump in [HOUR, -2 * HOUR, HOUR] {
                let (stamp, seconds) = (Stamp::now(), unix_now());
                stream.set_deadline(Some(Duration::from_secs(600)));
                let long = sleep(Duration::from_secs(600));
                let waiting = either(stream.recv(), long);
                // A short sleep that begins before the jump and ends after it.
                let short = sleep(Duration::from_millis(20));
                move_wall_clock(jump);
                let jumped = unix_now() - seconds;
                assert!((jumped - jump).abs() < HOUR / 2, "the clock has jumped by {jumped}");
                assert_ne!(Stamp::now().since(stamp) > Duration::from_secs(3000), jump < 0);
                match either(waiting, short).await {
                    Either::Other(()) => {}
                    Either::One(ended) => panic!("{kind}: {ended:?} though nothing was due"),
                }
                // And what was too long for the clock is not too long for a deadline.
                stream.set_deadline(Some(Duration::from_millis(20)));
                move_wall_clock(-jump);
                let error = stream.recv().await.expect_err("nothing comes");
                assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{kind}");
            }
        });
    });
}

/// Lines of code that ask for the wall clock, in the crates that wait.
fn looks(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            looks(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            let asks = |line: &&str| {
                let code = line.trim_start();
                // `UNIX_EPOCH + …` writes a time down and asks for none.
                let words = ["SystemTime::", "clock_gettime(", "gettimeofday", "UNIX_EPOCH."];
                // Asked for in the same way, but never set.
                let monotonic = code.contains("ClockId::Monotonic");
                !code.starts_with("//")
                    && !monotonic
                    && words.iter().any(|word| code.contains(word))
            };
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            found.extend(text.lines().filter(asks).map(|_| name.clone()));
        }
    }
}

#[test]
fn the_wall_clock_is_asked_for_stamps_alone() {
    let mut found = Vec::new();
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    looks(&engine.join("src"), &mut found);
    looks(&engine.join("../services/src"), &mut found);
    found.sort();
    // `unix_now` and `Stamp::now`, which the test above moves.
    assert_eq!(found, ["engine.rs", "probe.rs"]);
}
