//! Telnet between a stream and a user (RFC 854): what is negotiated stays out of what is shown.

use std::cell::RefCell;
use std::task::{Poll, Waker};

use sockeye_wire::telnet::{Event, Telnet};

/// One Telnet connection, shared by the direction that receives and the one that answers.
pub(super) struct Session {
    telnet: RefCell<Telnet>,
    /// Whom to wake when an answer is due.
    answering: RefCell<Option<Waker>>,
}

impl Session {
    pub(super) fn new() -> Session {
        Session { telnet: RefCell::new(Telnet::client()), answering: RefCell::default() }
    }

    /// The data among what was received.
    pub(super) fn data(&self, mut received: &[u8]) -> Vec<u8> {
        let mut telnet = self.telnet.borrow_mut();
        let mut data = Vec::with_capacity(received.len());
        while let Some(event) = telnet.next(&mut received) {
            if let Event::Data(bytes) = event {
                data.extend_from_slice(bytes);
            }
        }
        if let Some(waker) = self.answering.take() {
            waker.wake();
        }
        data
    }

    /// What the negotiation wants sent, once there is something.
    pub(super) async fn answer(&self) -> Vec<u8> {
        std::future::poll_fn(|cx| {
            let reply = self.telnet.borrow_mut().take_reply();
            if reply.is_empty() {
                *self.answering.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(reply)
        })
        .await
    }

    /// Data as it is sent: lines end with CR LF, and what would be a command is escaped.
    pub(super) fn encoded(&self, data: &[u8]) -> Vec<u8> {
        let mut lines = Vec::with_capacity(data.len() + 16);
        let mut before = 0;
        for &byte in data {
            if byte == b'\n' && before != b'\r' {
                lines.push(b'\r');
            }
            lines.push(byte);
            before = byte;
        }
        let mut wire = Vec::with_capacity(lines.len() + 16);
        self.telnet.borrow().encode(&lines, &mut wire);
        wire
    }
}
