//! Waiting for one side of a socket of messages, no longer than its deadline.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Datagram;
use crate::driver::Side;

/// One operation; dropping it half-way leaves no waker behind.
pub(super) struct Wait<'a, F> {
    pub(super) socket: &'a Datagram,
    pub(super) side: Side,
    pub(super) poll: F,
    pub(super) waits: bool,
}

impl<T, F> Future for Wait<'_, F>
where
    F: FnMut(&Datagram, &mut Context<'_>) -> Poll<io::Result<T>> + Unpin,
{
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let (socket, side) = (this.socket, this.side);
        // Two wakers for one side would be one too many for every driver.
        if !this.waits && socket.waits[side as usize].get() {
            return Poll::Ready(Err(io::ErrorKind::ResourceBusy.into()));
        }
        socket.reactor.asked.set(this.waits);
        let result = if socket.reactor.poll_budget(cx).is_pending() {
            Poll::Pending
        } else {
            (this.poll)(socket, cx)
        };
        let asked = std::mem::replace(&mut this.waits, result.is_pending());
        socket.waits[side as usize].set(this.waits);
        if !this.waits {
            return result;
        }
        let over = socket.deadlines.borrow_mut()[side as usize].poll(&socket.reactor, cx);
        if over.is_ready() && asked {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if over.is_ready() {
            // Some drivers know only after a look at the kernel whether something has come.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        if self.waits {
            self.socket.waits[self.side as usize].set(false);
            if self.side == Side::Read {
                self.socket.errors.forget();
            }
            self.socket.reactor.driver.forget(self.socket.key, self.side);
        }
    }
}
