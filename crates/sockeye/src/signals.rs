//! Ctrl-C and its like: the first one asks for an end in good order, the second one ends at once.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// Exit status of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// What tells of the first signal.
pub(crate) struct Signals {
    /// Becomes readable then.
    pub(crate) told: UnixStream,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// What a program exits with that such a signal ended, 128 and its number.
    pub(crate) fn status(&self) -> u8 {
        u8::try_from(128 + self.which.load(Ordering::Relaxed)).unwrap_or(INTERRUPTED)
    }
}

/// Watches from now on for SIGINT and SIGTERM, and for SIGHUP unless it is ignored (nohup(1)).
///
/// # Errors
///
/// The process is out of descriptors.
pub(crate) fn watch() -> io::Result<Signals> {
    let asked = Arc::new(AtomicBool::new(false));
    let which = Arc::new(AtomicUsize::new(0));
    let (telling, told) = UnixStream::pair()?;
    for (signal, number) in [(SIGHUP, 1), (SIGINT, 2), (SIGTERM, 15)] {
        if signal == SIGHUP && is_ignored(number) {
            continue;
        }
        // In this order: the flag is down when the first signal looks at it. SIGHUP never ends at once:
        // the end of a terminal is told twice, by the kernel and by the shell.
        if signal != SIGHUP {
            flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&asked))?;
        }
        flag::register(signal, Arc::clone(&asked))?;
        flag::register_usize(signal, Arc::clone(&which), number)?;
        pipe::register(signal, telling.try_clone()?)?;
    }
    Ok(Signals { told, which })
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
