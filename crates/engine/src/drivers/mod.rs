//! One file a driver: same names, same order, so that two can be read side by side.

pub(crate) mod blocking;
pub(crate) mod busy;
pub(crate) mod calls;
pub(crate) mod epoll;
pub(crate) mod epoll_edge;
pub(crate) mod poll;
pub(crate) mod readiness;
pub(crate) mod select;
pub(crate) mod sim;
mod table;
pub(crate) mod uring;

use std::io;
use std::task::{Context, Waker};

/// Stores whom to wake, without a new clone where it is the same task as before.
fn store(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

/// The key names a socket that was closed; only a mistake of the program asks for it.
pub(crate) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket is closed")
}
