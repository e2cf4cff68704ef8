//! What the driver keeps of one socket: what came, what is being sent, what is in the kernel.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd as _, RawFd};
use std::task::Waker;

use rustix::io::Errno;

use super::operation::Kind;
use super::ring::Waiting;
use crate::buffer::Outgoing;
use crate::driver::Socket;
use crate::probe::Stamp;

/// Pieces handed to one vectored send.
pub(super) const VECTORS: usize = 8;

pub(super) struct Slot {
    pub(super) socket: Socket,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    pub(super) received: Received,
    /// What is being sent, or could not be sent.
    pub(super) sending: Option<Sending>,
    /// The kernel has it now.
    pub(super) send_in_flight: bool,
    /// Not told yet.
    pub(super) send_error: Option<Errno>,
    /// When the send in flight was submitted, where somebody looks on.
    pub(super) send_start: Stamp,
    pub(super) reading: Reading,
    /// The last receive ended because the ring had no buffer: the next one is a plain call.
    pub(super) found_no_buffer: bool,
    /// A poll for room to write is in flight.
    pub(super) write_poll: bool,
    pub(super) closing: bool,
    pub(super) in_flight: u8,
}

/// The multishot receive of a slot, or the poll of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Idle,
    Armed(Kind),
    Cancelling,
}

/// What came and was not asked for yet. Most often that is nothing or one part.
#[derive(Default)]
pub(super) struct Received {
    pub(super) first: Option<Waiting>,
    pub(super) rest: VecDeque<Waiting>,
    pub(super) len: usize,
    /// How the stream ended, behind all parts.
    pub(super) end: Option<Result<(), Errno>>,
}

pub(super) enum Sending {
    Whole(Box<Outgoing>),
    Vectored(Box<Vectored>),
}

/// The kernel reads these until the completion, so they must not move.
pub(super) struct Vectored {
    pub(super) outgoing: Box<Outgoing>,
    pub(super) header: libc::msghdr,
    pub(super) vectors: [libc::iovec; VECTORS],
}

impl Slot {
    pub(super) fn new(socket: Socket) -> Slot {
        Slot {
            socket,
            reader: None,
            writer: None,
            received: Received::default(),
            sending: None,
            send_in_flight: false,
            send_error: None,
            send_start: Stamp(0),
            reading: Reading::Idle,
            found_no_buffer: false,
            write_poll: false,
            closing: false,
            in_flight: 0,
        }
    }

    /// Counts one more operation in the kernel.
    pub(super) fn begin(&mut self) -> RawFd {
        self.in_flight += 1;
        self.socket.fd.as_raw_fd()
    }

    /// Whether the kernel receives nothing by itself.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.reading, Reading::Idle | Reading::Armed(Kind::Readable))
    }

    /// The error of a send. The kernel tells a reset once, and a receive that is armed may have
    /// heard it though nobody asked: then it belongs to the sender who asks first.
    pub(super) fn told_to_sender(&mut self, error: Errno) -> Errno {
        match (error, self.received.end) {
            (Errno::PIPE, Some(Err(heard))) => {
                self.received.end = Some(Ok(()));
                heard
            }
            _ => error,
        }
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

impl Received {
    pub(super) fn push(&mut self, part: Waiting) {
        self.len += part.len();
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(part);
        } else {
            self.rest.push_back(part);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let part = match self.first.take() {
            Some(part) => part,
            None => {
                let part = self.rest.pop_front();
                if self.rest.is_empty() {
                    // An idle connection keeps no room.
                    self.rest = VecDeque::new();
                }
                part?
            }
        };
        self.len -= part.len();
        Some(part)
    }
}

impl Sending {
    pub(super) fn new(outgoing: Box<Outgoing>) -> Sending {
        if outgoing.in_one_piece() {
            return Sending::Whole(outgoing);
        }
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: a message header of zeros is valid: no name, no vectors, no control data.
        let header = unsafe { std::mem::zeroed() };
        Sending::Vectored(Box::new(Vectored { outgoing, header, vectors: [vector; VECTORS] }))
    }

    pub(super) fn outgoing(&mut self) -> &mut Outgoing {
        match self {
            Sending::Whole(outgoing) => outgoing,
            Sending::Vectored(vectored) => &mut vectored.outgoing,
        }
    }

    pub(super) fn into_outgoing(self) -> Box<Outgoing> {
        match self {
            Sending::Whole(outgoing) => outgoing,
            Sending::Vectored(vectored) => vectored.outgoing,
        }
    }
}

impl Vectored {
    /// Points the header at what is still to be sent.
    pub(super) fn point(&mut self) {
        let (slices, used) = self.outgoing.vectors::<VECTORS>();
        for (vector, slice) in self.vectors.iter_mut().zip(&slices[..used]) {
            vector.iov_base = slice.as_ptr().cast_mut().cast();
            vector.iov_len = slice.len();
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = used;
    }
}
