//! What the process was started with, as it was before `main`.
//!
//! Rust opens `/dev/null` in the place of each standard descriptor that is closed, before `main`. That
//! can't be told later from a `/dev/null` that was asked for: other programs open theirs for reading
//! and writing, too. So it is looked at earlier, where the dynamic linker calls what a program has
//! in `.init_array` (System V ABI, "Initialization and Termination Functions").

use std::sync::atomic::{AtomicBool, Ordering};

static STDOUT: AtomicBool = AtomicBool::new(true);

#[cfg_attr(not(miri), used)]
// SAFETY: what lies in that section is called as a C function, which this is; it makes one call to
// the kernel, and asks nothing of a runtime that has not begun.
#[cfg_attr(not(miri), unsafe(link_section = ".init_array"))]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    STDOUT.store(rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_ok(), Ordering::Relaxed);
}

/// Whether the process was started with a standard output, be it `/dev/null`. If it was closed
/// (`>&-`), whatever is written there is lost, and no write fails.
#[must_use]
pub fn stdout_was_open() -> bool {
    STDOUT.load(Ordering::Relaxed)
}
