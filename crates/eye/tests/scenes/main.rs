//! What networks do, on real sockets: each scene is played by a client and a server, seen by an eye at
//! both ends, and compared with what is to be true of it and with how it was drawn before.
//!
//! Once with all privileges, and once by `nobody`, whose drawing shows what the kernel tells anyone;
//! `golden/differences.txt` lists what that lacks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod datagrams;
mod end;
mod endings;
mod link;
mod loss;
mod place;
mod retimed;
mod scene;
mod stage;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod waits;

/// Two tests for each scene.
macro_rules! scenes {
    ($($place:ident :: $name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn as_root() {
                crate::$place::$name().as_root();
            }

            #[test]
            fn as_nobody() {
                crate::$place::$name().as_nobody();
            }
        }
    )*};
}

scenes!(
    streams::sticky,
    streams::torn,
    streams::msg_more,
    streams::keep_alive,
    streams::pipelining,
    endings::ordinary,
    endings::half_close,
    endings::simultaneous_close,
    endings::reset_by_linger,
    endings::reset_by_unread,
    endings::refused,
    endings::write_after_reset,
    endings::write_after_a_read_was_reset,
    endings::time_wait,
    waits::nagle_and_delayed_ack,
    waits::zero_window,
    waits::full_backlog,
    loss::timeout,
    loss::fast_retransmission,
    loss::lost_syn,
    loss::lost_fin,
    loss::reordering,
    loss::duplication,
    datagrams::truncation,
    datagrams::broadcast,
);
