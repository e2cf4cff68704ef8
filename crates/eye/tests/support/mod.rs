//! What the tests with real sockets share.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod served;

use std::env;
use std::io::Write;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{CapabilitySet, capabilities};

/// Says that a test was not run, past the test harness, or fails if that is not allowed.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(env::var_os("SOCKEYE_NO_SKIP").is_none(), "{test} may not be skipped: {reason}");
    // Written directly and at once: the harness would swallow what print macros write.
    let line = format!("SKIPPED {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Whether this thread may capture; says so if not.
pub(crate) fn may_capture(test: &str) -> bool {
    let may = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_RAW));
    if !may {
        skip(test, "CAP_NET_RAW is missing");
    }
    may
}

/// Whether this process is root's, who may make networks; says so if not.
pub(crate) fn may_make_networks(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "it takes root");
    }
    root
}

/// Takes `CAP_NET_RAW` from the calling thread; threads it starts afterwards lack it too.
pub(crate) fn drop_net_raw() {
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::NET_RAW);
    sets.permitted.remove(CapabilitySet::NET_RAW);
    sets.inheritable.remove(CapabilitySet::NET_RAW);
    rustix::thread::set_capabilities(None, sets).unwrap();
}

/// Waits until the descriptor is readable.
pub(crate) fn wait_readable(fd: impl AsFd) {
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
}
