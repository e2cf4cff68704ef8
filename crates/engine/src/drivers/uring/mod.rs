//! Completion by `io_uring(7)`: the kernel makes the calls, the thread collects results.
//!
//! A connection that reads has one multishot receive in flight; what it brings waits in the
//! slot until somebody asks, and the receive is cancelled while too much waits. After one that
//! found no buffer in the shared ring comes a plain call, once there is something to receive. A
//! buffer that is being sent belongs to the slot until its completion is seen. A slot is freed,
//! and its descriptor closed, when its last operation has completed.

mod operation;
mod ring;
mod slot;

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode};
use rustix::io::Errno;

use super::calls;
use crate::buffer::{Chunk, Outgoing};
use crate::driver::{Accepted, Attempt, Driver, Env, Patience, Raw, Side, Socket};
use crate::fault::{self, Point};
use crate::inbox::Inbox;
use crate::probe::{ConnId, Operation};
use crate::slab::{Key, Slab};
use operation::{GENERATIONS, Kind, NO_KEY, State, parse, passes, user_data};
use ring::BufferRing;
pub(crate) use ring::RingLease;
use slot::{Reading, Sending, Slot};

/// Submissions gathered before the kernel is asked to take them.
const SUBMISSIONS: u32 = 1024;
/// Completions the kernel can hold ready; more wait inside it.
const COMPLETIONS: u32 = 4096;

/// Received bytes that may wait for their reader before the receive is cancelled.
const BACKLOG: usize = 64 * 1024;

pub(crate) struct Uring {
    env: Rc<Env>,
    inbox: Arc<Inbox>,
    state: RefCell<State>,
}

impl Uring {
    pub(crate) fn new(env: Rc<Env>, inbox: Arc<Inbox>) -> io::Result<Uring> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)
            .map_err(explain)?;
        let buffers = BufferRing::new(&uring).map_err(explain)?;
        let mut state =
            State { uring, buffers, slots: Slab::with_generations(GENERATIONS), in_flight: 0 };
        state.watch_inbox(&inbox);
        Ok(Uring { env, inbox, state: RefCell::new(state) })
    }
}

fn explain(error: io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::EINVAL) => "the kernel's io_uring is too old (Linux 6.1 is needed)",
        Some(libc::ENOSYS) => "the kernel has no io_uring",
        Some(libc::EPERM) => {
            "io_uring is not permitted here (sysctl kernel.io_uring_disabled, or a sandbox)"
        }
        Some(libc::ENOMEM) => "no memory for io_uring (see ulimit -l)",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{why}; try --driver epoll-edge"))
}

impl Driver for Uring {
    fn attach(&self, raw: Raw, conn: Option<ConnId>) -> io::Result<Key> {
        fault::ask(Point::Register)?;
        let socket = Socket::new(raw, conn)?;
        // sendfile(2) has no flag for it; the ring's own operations do not mind.
        socket.set_nonblocking(true)?;
        Ok(self.state.borrow_mut().slots.insert(Slot::new(socket)))
    }

    fn detach(&self, key: Key) {
        let mut state = self.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(key) else {
            return;
        };
        slot.closing = true;
        (slot.reader, slot.writer) = (None, None);
        let (sending, write_poll) = (slot.send_in_flight, slot.write_poll);
        if !sending && let Some(unsent) = slot.sending.take() {
            self.env.pool.give_back(unsent.into_outgoing());
        }
        state.cancel_reading(key);
        if sending {
            state.cancel(Kind::Send, key);
        }
        if write_poll {
            state.cancel(Kind::Writable, key);
        }
        let socket = state.reap(key);
        drop(state);
        if let Some(socket) = socket {
            self.env.close(socket);
        }
    }

    fn with_fd(&self, key: Key, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Some(slot) = self.state.borrow().slots.get(key) {
            look(slot.socket.fd.as_fd());
        }
    }

    fn poll_accept(&self, key: Key, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let mut state = self.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(key) else { return Poll::Ready(Err(super::gone())) };
        // A plain call: a multishot accept goes on accepting when there are as many connections
        // as may be, and what it brought can't be given back.
        match calls::accept(&self.env, &slot.socket, true) {
            Err(Errno::AGAIN) => {
                super::store(&mut slot.reader, cx);
                state.arm(key, Kind::Readable);
                Poll::Pending
            }
            result => Poll::Ready(result.map_err(Into::into)),
        }
    }

    fn poll_recv(
        &self,
        key: Key,
        _patience: Patience,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Chunk>> {
        let mut state = self.state.borrow_mut();
        if let Some(received) = state.take_received(key) {
            return Poll::Ready(received);
        }
        let Some(slot) = state.slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        let mut kind = Kind::Receive;
        if slot.found_no_buffer && slot.is_quiet() {
            match self.receive_plainly(&slot.socket) {
                Err(Errno::AGAIN) => kind = Kind::Readable,
                result => {
                    slot.found_no_buffer = false;
                    return Poll::Ready(result.map_err(Into::into));
                }
            }
        }
        super::store(&mut slot.reader, cx);
        state.arm(key, kind);
        Poll::Pending
    }

    fn poll_flush(
        &self,
        key: Key,
        outgoing: &mut Option<Box<Outgoing>>,
        more: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        if let Some(error) = slot.send_error.take() {
            return Poll::Ready(Err(error.into()));
        }
        if slot.sending.is_none() {
            match outgoing.take() {
                Some(bytes) if bytes.is_empty() => self.env.pool.give_back(bytes),
                Some(bytes) => slot.sending = Some(Sending::new(bytes)),
                None => {}
            }
        }
        if slot.sending.is_none() {
            return Poll::Ready(Ok(()));
        }
        super::store(&mut slot.writer, cx);
        self.send(&mut state, key, more);
        Poll::Pending
    }

    fn poll_send_file(
        &self,
        key: Key,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        if let Some(error) = slot.send_error.take() {
            return Poll::Ready(Err(error.into()));
        }
        if slot.sending.is_some() || slot.write_poll {
            super::store(&mut slot.writer, cx);
            self.send(&mut state, key, true);
            return Poll::Pending;
        }
        // Plain sendfile: a splice through the ring costs a pipe and two operations for each part.
        match calls::send_file(&self.env, &slot.socket, file, offset, len, true) {
            Err(Errno::AGAIN) => {
                super::store(&mut slot.writer, cx);
                state.wait_writable(key);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(slot.told_to_sender(error).into())),
            Ok(sent) => {
                if sent.short {
                    state.wait_writable(key);
                }
                Poll::Ready(Ok(sent.count))
            }
        }
    }

    fn poll_attempt(
        &self,
        key: Key,
        side: Side,
        attempt: &mut Attempt<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(key) else {
            return Poll::Ready(Err(super::gone()));
        };
        let waits = match side {
            Side::Read => slot.reading != Reading::Idle,
            Side::Write => slot.write_poll || slot.sending.is_some(),
        };
        let result = match waits {
            true => Err(Errno::AGAIN),
            false => calls::attempt(&slot.socket, attempt),
        };
        match (result, side) {
            (Err(Errno::AGAIN), Side::Read) => {
                super::store(&mut slot.reader, cx);
                state.arm(key, Kind::Readable);
                Poll::Pending
            }
            (Err(Errno::AGAIN), Side::Write) => {
                super::store(&mut slot.writer, cx);
                state.wait_writable(key);
                Poll::Pending
            }
            (result, _) => Poll::Ready(result.map_err(Into::into)),
        }
    }

    fn poll_quiet(&self, key: Key, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(key) else {
            return Poll::Ready(());
        };
        if slot.is_quiet() {
            return Poll::Ready(());
        }
        super::store(&mut slot.reader, cx);
        state.cancel_reading(key);
        Poll::Pending
    }

    fn take_received(&self, key: Key) -> Option<io::Result<Chunk>> {
        self.state.borrow_mut().take_received(key)
    }

    fn forget(&self, key: Key, side: Side) {
        if let Some(slot) = self.state.borrow_mut().slots.get_mut(key) {
            match side {
                Side::Read => slot.reader = None,
                Side::Write => slot.writer = None,
            }
        }
    }

    fn wake_readers(&self) {
        for slot in self.state.borrow_mut().slots.values_mut() {
            slot.wake_reader();
        }
    }

    fn wait(&self, timeout: Option<Duration>, _alone: bool) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        if let Err(error) = state.enter(timeout)
            && !passes(&error)
        {
            return Err(error);
        }
        loop {
            let Some(entry) = state.uring.completion().next() else {
                break;
            };
            if let Some(socket) = self.complete(&mut state, &entry) {
                self.env.close(socket);
            }
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        let mut state = self.state.borrow_mut();
        let slots = state.slots.values_mut();
        slots.map(|slot| slot.reader.iter().count() + slot.writer.iter().count()).sum()
    }

    fn live(&self) -> usize {
        self.state.borrow().slots.len()
    }

    fn leased(&self) -> usize {
        self.state.borrow().buffers.leased()
    }
}

impl Uring {
    /// Receives into a buffer of the pool.
    fn receive_plainly(&self, socket: &Socket) -> Result<Chunk, Errno> {
        let mut lease = self.env.pool.lease();
        let count = calls::recv(&self.env, socket, lease.room(), true)?;
        Ok(if count == 0 { Chunk::end() } else { lease.filled(count) })
    }

    /// Sends what the slot holds, if it holds something and that is not in the kernel already.
    fn send(&self, state: &mut State, key: Key, more: bool) {
        let waits = |slot: &&mut Slot| slot.sending.is_some() && !slot.send_in_flight;
        if let Some(slot) = state.slots.get_mut(key).filter(waits) {
            self.env.ration_sends(&slot.socket);
            slot.send_start = self.env.started();
            state.start_send(key, more);
        }
    }

    /// Books one completion; a socket that is now free of operations is handed out to be closed.
    fn complete(&self, state: &mut State, entry: &cqueue::Entry) -> Option<Socket> {
        let (kind, key) = parse(entry.user_data());
        let more = cqueue::more(entry.flags());
        let kind = kind?;
        if !more {
            state.in_flight -= 1;
        }
        let moved = u32::try_from(entry.result()).unwrap_or(0);
        let mut result = match entry.result() {
            error if error < 0 => Err(Errno::from_raw_os_error(-error)),
            count => Ok(count.unsigned_abs()),
        };
        if let Some(errno) = fault::refused(entry.user_data()) {
            result = Err(errno);
        } else if kind == Kind::Receive
            && moved > 0
            && let Err(errno) = fault::ask(Point::Completion)
        {
            result = Err(errno);
            // The kernel would have ended the receive with it.
            state.cancel_reading(key);
        }
        match kind {
            Kind::Inbox => {
                if !more {
                    state.watch_inbox(&self.inbox);
                }
                return None;
            }
            Kind::Receive => self.received(state, key, entry.flags(), moved, result),
            Kind::Readable => {
                if let Some(slot) = state.slots.get_mut(key) {
                    self.env.look_at_errors(&slot.socket);
                    slot.wake_reader();
                }
            }
            Kind::Send => self.sent(state, key, result),
            Kind::Writable | Kind::Cancel => {
                if let Some(slot) = state.slots.get_mut(key) {
                    self.env.look_at_errors(&slot.socket);
                    slot.write_poll = false;
                    slot.wake_writer();
                }
            }
        }
        if !more && let Some(slot) = state.slots.get_mut(key) {
            slot.in_flight -= 1;
            if matches!(kind, Kind::Receive | Kind::Readable) {
                slot.reading = Reading::Idle;
                // Cancelled because too much waited, and asked again meanwhile.
                if slot.reader.is_some() && !slot.closing {
                    state.arm(key, kind);
                }
            } else if kind == Kind::Send {
                self.after_send(state, key);
            }
        }
        state.reap(key)
    }

    fn received(
        &self,
        state: &mut State,
        key: Key,
        flags: u32,
        moved: u32,
        result: Result<u32, Errno>,
    ) {
        let part = cqueue::buffer_select(flags)
            .map(|buffer| state.buffers.filled(buffer, moved, cqueue::buffer_more(flags)));
        let Some(slot) = state.slots.get_mut(key) else {
            if let Some(part) = part {
                state.buffers.release(part);
            }
            return;
        };
        // Another connection that always has more may take all buffers each time anew: a receive
        // that was only armed again might find none for ever.
        slot.found_no_buffer |= result == Err(Errno::NOBUFS);
        // Cancelled, or no buffer was free just now: begun again when the reader asks. And nothing
        // comes behind the end.
        let passes =
            matches!(result, Err(Errno::AGAIN | Errno::CANCELED | Errno::INTR | Errno::NOBUFS));
        if passes || slot.received.end.is_some() {
            slot.wake_reader();
            if let Some(part) = part {
                state.buffers.release(part);
            }
            return;
        }
        if !slot.closing {
            let (at, count) = (self.env.started(), result.map(|len| len as usize));
            let offset = slot.socket.received.get();
            self.env.look_after_sends(&slot.socket);
            self.env.ended(slot.socket.conn, Operation::Recv, offset, at, 0, count);
        }
        match (result, part) {
            (Ok(len), Some(part)) if len > 0 => {
                slot.socket.received.set(slot.socket.received.get() + u64::from(len));
                slot.received.push(state.buffers.keep(part));
            }
            (result, part) => {
                slot.received.end = Some(result.map(|_| ()));
                if let Some(part) = part {
                    state.buffers.release(part);
                }
            }
        }
        let Some(slot) = state.slots.get_mut(key) else {
            return;
        };
        slot.wake_reader();
        if slot.received.len > BACKLOG {
            state.cancel_reading(key);
        }
    }

    fn sent(&self, state: &mut State, key: Key, result: Result<u32, Errno>) {
        let Some(slot) = state.slots.get_mut(key) else {
            return;
        };
        let Some(sending) = slot.sending.as_mut() else {
            return;
        };
        let asked = sending.outgoing().len();
        let (start, count) = (slot.send_start, result.map(|count| count as usize));
        let offset = slot.socket.sent.get();
        self.env.ended(slot.socket.conn, Operation::Send, offset, start, asked, count);
        match result {
            Ok(count) => {
                slot.socket.sent.set(slot.socket.sent.get() + u64::from(count));
                self.env.count_send(&slot.socket);
                sending.outgoing().advance(count as usize);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // What was not sent stays, and is tried again by whoever flushes next.
            Err(error) => slot.send_error = Some(slot.told_to_sender(error)),
        }
    }

    /// Sends what is left, or ends.
    fn after_send(&self, state: &mut State, key: Key) {
        let Some(slot) = state.slots.get_mut(key) else {
            return;
        };
        slot.send_in_flight = false;
        let left = slot.sending.as_mut().is_some_and(|sending| !sending.outgoing().is_empty());
        if left && !slot.closing && slot.send_error.is_none() {
            return self.send(state, key, false);
        }
        if (!left || slot.closing)
            && let Some(sending) = slot.sending.take()
        {
            self.env.pool.give_back(sending.into_outgoing());
        }
        slot.wake_writer();
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let entry = opcode::AsyncCancel2::new(io_uring::types::CancelBuilder::any()).build();
        state.push(&entry.user_data(user_data(Kind::Cancel, NO_KEY)));
        // Nothing that the kernel may still touch is freed before the kernel is done with it.
        while state.in_flight > 0 {
            let waited = state.enter(Some(Duration::from_secs(1)));
            // A second is long for the kernel to say nothing; a signal does not tell how long it was.
            let silent = waited
                .is_err_and(|error| !passes(&error) || error.raw_os_error() == Some(libc::ETIME));
            let mut seen = false;
            while let Some(entry) = state.next_completion() {
                seen = true;
                let (kind, _) = parse(entry.user_data());
                if kind.is_some() && !cqueue::more(entry.flags()) {
                    state.in_flight -= 1;
                }
            }
            if !seen && silent {
                break;
            }
        }
        let slots = std::mem::replace(&mut state.slots, Slab::new());
        if state.in_flight > 0 {
            // Better to keep the memory for ever than to let the kernel write into a stranger's.
            std::mem::forget(Rc::clone(&state.buffers));
            std::mem::forget(slots);
            return;
        }
        // Their last operations were waited for: now they are closed, which whoever looks on is told.
        for slot in slots.into_values().filter(|slot| slot.closing) {
            self.env.close(slot.socket);
        }
    }
}
