//! What the tests share: the server as a child process, a plain HTTP client, and what may be missing.

pub(crate) mod client;
pub(crate) mod folder;
pub(crate) mod ladder;
pub(crate) mod listener;
pub(crate) mod net;
pub(crate) mod said;
pub(crate) mod server;
pub(crate) mod talk;
pub(crate) mod terminal;
pub(crate) mod usage;
pub(crate) mod wire;

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::poll;
use rustix::time::Timespec;

/// So long a test waits for what must happen before it fails. No test takes it as a measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One test a driver, so that the name of a failed one says which it was.
macro_rules! on_every_driver {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn blocking() {
                super::$name("blocking");
            }
            #[test]
            fn busy() {
                super::$name("busy");
            }
            #[test]
            fn select() {
                super::$name("select");
            }
            #[test]
            fn poll() {
                super::$name("poll");
            }
            #[test]
            fn epoll() {
                super::$name("epoll");
            }
            #[test]
            fn epoll_edge() {
                super::$name("epoll-edge");
            }
            #[test]
            fn uring() {
                super::$name("uring");
            }
        }
    )*};
}

/// All that can be chosen by `--driver`.
pub(crate) const DRIVERS: [&str; 7] =
    ["blocking", "busy", "select", "poll", "epoll", "epoll-edge", "uring"];

/// Says that a test was not run, past the test harness, or fails if that is not allowed.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(env::var_os("SOCKEYE_NO_SKIP").is_none(), "{test} may not be skipped: {reason}");
    // Written directly: the harness would swallow what print macros write.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Whether these programs are here; says so if not.
pub(crate) fn need(test: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| program_path(program).is_none());
    if let Some(missing) = missing {
        skip(test, &format!("{missing} is missing"));
    }
    missing.is_none()
}

/// Where a program is; system programs are found with a user's path, too.
pub(crate) fn program_path(program: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/local/sbin", "/usr/sbin", "/sbin"]);
    folders.map(|folder| PathBuf::from(folder).join(program)).find(|file| {
        fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 1 > 0)
    })
}

/// Whether this is root; says so if not.
pub(crate) fn need_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "it takes root");
    }
    root
}

/// Asks until there is an answer. For states that no event announces, of another process mostly.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let pause = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        poll(&mut [], Some(&pause)).unwrap();
    }
}
