//! The error queue of a socket (ip(7), `IP_RECVERR`; recv(2), `MSG_ERRQUEUE`): ICMP errors in full,
//! and stamps of what was sent.
//!
//! As long as it is not empty, every look at the socket finds an error (`EPOLLERR`), whatever was
//! asked for: a thread that waits for a message would be woken for ever. So whoever must wait
//! empties it first, into a bounded one of our own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::task::{Context, Poll, Waker};

use crate::datagram::Datagram;
use crate::driver::Side;
use crate::drivers::calls;
use crate::message::{QueuedError, Received};

/// Entries that wait for somebody to take them; when there are more, the oldest go.
const KEPT: usize = 256;

/// Entries taken from the kernel at once.
const AT_ONCE: usize = 64;

/// What was taken from the kernel's queue.
#[derive(Default)]
pub(crate) struct ErrorQueue {
    /// Something was asked for that arrives there.
    pub(crate) used: Cell<bool>,
    entries: RefCell<VecDeque<QueuedError>>,
    /// Who waits in [`Datagram::recv_event`].
    waiter: RefCell<Option<Waker>>,
}

impl ErrorQueue {
    /// Nobody waits any more.
    pub(crate) fn forget(&self) {
        self.waiter.take();
    }
}

/// What a socket has to tell.
#[derive(Debug)]
pub enum Event {
    /// A message came.
    Message(Received),
    /// Something is known of a message that was sent.
    Error(QueuedError),
}

impl Datagram {
    /// The next entry of the error queue, if there is one now. At most 256 are kept for this call;
    /// then the oldest are dropped. Needs [`Datagram::ask_errors`] or [`Datagram::ask_stamps`].
    pub fn take_error(&self) -> Option<QueuedError> {
        self.drain_errors();
        self.errors.entries.borrow_mut().pop_front()
    }

    /// Like [`Datagram::recv`], but also ends when there is something in the error queue, which
    /// comes first.
    ///
    /// # Errors
    ///
    /// As [`Datagram::recv`].
    pub fn recv_event(&self) -> impl Future<Output = io::Result<Event>> {
        self.receive(|socket, cx| socket.poll_event(cx))
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<io::Result<Event>> {
        if let Some(error) = self.take_error() {
            return Poll::Ready(Ok(Event::Error(error)));
        }
        let message = self.poll_recv(false, cx);
        // Waiting has emptied the kernel's queue once more.
        let error = self.errors.entries.borrow_mut().pop_front();
        match (message, error) {
            (Poll::Pending, Some(error)) => {
                self.reactor.driver.forget(self.key, Side::Read);
                Poll::Ready(Ok(Event::Error(error)))
            }
            (Poll::Pending, None) => {
                *self.errors.waiter.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            (message, error) => {
                if let Some(error) = error {
                    self.errors.entries.borrow_mut().push_front(error);
                }
                message.map_ok(Event::Message)
            }
        }
    }

    /// Empties the kernel's queue into ours.
    pub(crate) fn drain_errors(&self) {
        if !self.errors.used.get() {
            return;
        }
        let mut entries = self.errors.entries.borrow_mut();
        let before = entries.len();
        self.with_fd(|fd| {
            for _ in 0..AT_ONCE {
                match calls::recv_error(fd) {
                    Ok(Some(error)) => {
                        self.tell_queued(&error);
                        entries.push_back(error);
                    }
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
        });
        let more = entries.len() > before;
        while entries.len() > KEPT {
            entries.pop_front();
        }
        drop(entries);
        if more && let Some(waiter) = self.errors.waiter.take() {
            waiter.wake();
        }
    }
}
