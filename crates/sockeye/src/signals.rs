//! Ctrl-C and its like: the first one asks for an end in good order, the second one ends at once.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
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

/// Watches for SIGINT and SIGTERM from now on.
///
/// # Errors
///
/// The process is out of descriptors.
pub(crate) fn watch() -> io::Result<Signals> {
    let asked = Arc::new(AtomicBool::new(false));
    let which = Arc::new(AtomicUsize::new(0));
    let (telling, told) = UnixStream::pair()?;
    for (signal, number) in [(SIGINT, 2), (SIGTERM, 15)] {
        // In this order: the flag is down when the first signal looks at it.
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
        flag::register_usize(signal, Arc::clone(&which), number)?;
        pipe::register(signal, telling.try_clone()?)?;
    }
    Ok(Signals { told, which })
}
