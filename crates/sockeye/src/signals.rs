//! Ctrl-C and its like: the first one asks for an end in good order, the second one ends at once,
//! with 128 and its number.
//!
//! One signal may come twice: timeout(1) sends it to the program and then to the program's group, of
//! which it is a member, and the kernel and the shell both tell of a terminal's end. What comes within
//! [`TWICE`] of the first is that one.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// Exit status of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// So soon after the first signal no second one is meant.
const TWICE: Duration = Duration::from_millis(200);

/// The shell may be slow to tell of a terminal's end that the kernel has told of.
const HANGUP_TWICE: Duration = Duration::from_secs(1);

/// What tells of the first signal.
pub(crate) struct Signals {
    /// Becomes readable then.
    pub(crate) told: UnixStream,
    telling: UnixStream,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Whatever is written to this asks for an end, as a first signal does.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors.
    pub(crate) fn stopper(&self) -> io::Result<UnixStream> {
        self.telling.try_clone()
    }

    /// What a program exits with that such a signal ended, 128 and its number.
    pub(crate) fn status(&self) -> u8 {
        u8::try_from(128 + self.which.load(Ordering::Relaxed)).unwrap_or(INTERRUPTED)
    }
}

/// Watches from now on for SIGINT and SIGTERM, and for SIGHUP unless it is ignored (nohup(1)).
///
/// # Errors
///
/// The process is out of descriptors, or of threads.
pub(crate) fn watch() -> io::Result<Signals> {
    let again_ends = Arc::new(AtomicBool::new(false));
    let hangup_ends = Arc::new(AtomicBool::new(false));
    let which = Arc::new(AtomicUsize::new(0));
    let (telling, told) = UnixStream::pair()?;
    let (first, asked) = UnixStream::pair()?;
    let (ends, late) = (Arc::clone(&again_ends), Arc::clone(&hangup_ends));
    // Not the thread that is asked to end: that one may be stuck.
    #[expect(clippy::disallowed_methods, reason = "there is no event to wait for, only time")]
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if (&asked).read_exact(&mut [0]).is_ok() {
            thread::sleep(TWICE);
            ends.store(true, Ordering::Relaxed);
            thread::sleep(HANGUP_TWICE - TWICE);
            late.store(true, Ordering::Relaxed);
        }
    })?;
    for (signal, number) in [(SIGHUP, 1), (SIGINT, 2), (SIGTERM, 15)] {
        if signal == SIGHUP && is_ignored(number) {
            continue;
        }
        let ends = if signal == SIGHUP { &hangup_ends } else { &again_ends };
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(ends))?;
        pipe::register(signal, first.try_clone()?)?;
        flag::register_usize(signal, Arc::clone(&which), number)?;
        pipe::register(signal, telling.try_clone()?)?;
    }
    Ok(Signals { told, telling, which })
}

/// Tells here, too, of the signals that [`watch`] watches for.
///
/// # Errors
///
/// The process is out of descriptors.
pub(crate) fn tell_too(telling: &UnixStream) -> io::Result<()> {
    for (signal, number) in [(SIGHUP, 1), (SIGINT, 2), (SIGTERM, 15)] {
        if signal != SIGHUP || !is_ignored(number) {
            pipe::register(signal, telling.try_clone()?)?;
        }
    }
    Ok(())
}

/// Whether whoever started us wants this signal ignored (proc_pid_status(5), `SigIgn`).
fn is_ignored(number: usize) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}
