//! One connection under load: what it has yet to send, and what it waits for.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use anyhow::{Context, bail, ensure};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::pattern::{LONGEST, Pattern};

/// One connection, and the two places in its stream: how far it sent and how far it received.
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    pub(crate) number: u32,
    pattern: Pattern,
    /// Where messages start to count.
    base: u64,
    /// Bytes to be sent, those that were included.
    asked: u64,
    sent: u64,
    received: u64,
    /// For each message on its way, from when on its time counts, in nanoseconds.
    since: VecDeque<u64>,
    /// Messages to be sent next in a closed loop, their time counting from that moment.
    pub(crate) wanted: u32,
    /// The kernel's buffer is full, and OUT will tell when it no longer is.
    pub(crate) full: bool,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, number: u32) -> Self {
        let pattern = Pattern::of(number);
        let since = VecDeque::new();
        let (base, asked, sent, received) = (0, 0, 0, 0);
        let (wanted, full) = (0, false);
        Self { socket, number, pattern, base, asked, sent, received, since, wanted, full }
    }

    /// So many bytes went there and back unseen.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.base += bytes;
        self.asked += bytes;
        self.sent += bytes;
        self.received += bytes;
    }

    /// Messages on their way or about to be.
    pub(crate) fn outstanding(&self) -> usize {
        self.since.len()
    }

    /// One more message is to be sent, its time counting from `since`.
    pub(crate) fn ask(&mut self, size: u64, since: u64) {
        self.asked += size;
        self.since.push_back(since);
    }

    /// The messages that are wanted are to be sent now.
    pub(crate) fn ask_what_is_wanted(&mut self, size: u64, now: u64) {
        for _ in 0..std::mem::take(&mut self.wanted) {
            self.ask(size, now);
        }
    }

    /// Sends what was asked for, until all is taken or the kernel's buffer is full.
    pub(crate) fn send(&mut self) -> anyhow::Result<()> {
        while self.sent < self.asked && !self.full {
            let left = usize::try_from(self.asked - self.sent).unwrap_or(usize::MAX);
            self.send_once(left)?;
        }
        Ok(())
    }

    /// Sends up to [`LONGEST`] bytes more; how many the kernel took.
    pub(crate) fn send_once(&mut self, len: usize) -> anyhow::Result<usize> {
        let bytes = self.pattern.at(self.sent, len.min(LONGEST));
        match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                self.sent += sent as u64;
                Ok(sent)
            }
            Err(Errno::AGAIN) => {
                self.full = true;
                Ok(0)
            }
            Err(Errno::INTR) => Ok(0),
            Err(error) => {
                Err(error).with_context(|| format!("connection {}: send", self.number + 1))
            }
        }
    }

    /// Receives all there is, compares it with what was sent, and hands the start of each message
    /// that is complete to `done`. Bytes received.
    pub(crate) fn receive(
        &mut self,
        size: u64,
        buffer: &mut [u8],
        mut done: impl FnMut(u64),
    ) -> anyhow::Result<u64> {
        let mut total = 0;
        loop {
            let got = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => bail!("connection {}: closed by the server", self.number + 1),
                Ok((_, got)) => got,
                Err(Errno::AGAIN) => return Ok(total),
                Err(Errno::INTR) => continue,
                Err(error) => {
                    let recv = || format!("connection {}: recv", self.number + 1);
                    return Err(error).with_context(recv);
                }
            };
            ensure!(
                self.received + got as u64 <= self.sent
                    && buffer[..got] == *self.pattern.at(self.received, got),
                "connection {}: what came back is not what was sent",
                self.number + 1
            );
            let before = (self.received - self.base) / size;
            self.received += got as u64;
            total += got as u64;
            for _ in before..(self.received - self.base) / size {
                done(self.since.pop_front().context("an answer nobody asked for")?);
            }
            // epoll(7): a short read on a stream has emptied it.
            if got < buffer.len() {
                return Ok(total);
            }
        }
    }
}
