//! The loop: receives on all connections that are ready, then sends on all that may go on.
//!
//! Reading all before writing all lets the server find many messages at once, and keeps this side
//! ahead of it: both make about the same calls for a message, and this one does nothing else.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::{Errno, ioctl_fionbio};

use crate::connection::Connection;
use crate::pattern::LONGEST;

/// When the next message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When one came back; so many are on their way on each connection.
    Closed { pipeline: u32 },
    /// When it is due, so many a second.
    Open { rate: u32 },
    /// No messages: bytes, as many as the server takes.
    Bulk,
}

/// What was counted.
pub(crate) struct Counted {
    /// Messages that came back.
    pub(crate) messages: u64,
    /// Bytes that came back, or that were sent in bulk.
    pub(crate) bytes: u64,
    pub(crate) wall: Duration,
    /// Messages that were due and did not come back even after the time was over.
    pub(crate) unfinished: u64,
    /// In nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

/// Messages one connection may have on their way in the open loop; a further one waits, and the
/// wait is part of its latency.
const MOST_ON_THEIR_WAY: usize = 1024;

/// How long the answers that are still on their way at the end are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends in bulk on one connection before the next has its turn.
const SENDS: u32 = 8;

const EVENTS: usize = 1024;

/// The load never sleeps: waking it would be work of the server's `send`, which it is not where
/// the two are on different machines, and a message would be sent later than it is due.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

const LONGEST_LATENCY: Duration = Duration::from_secs(60);

/// Connections under load, from the start of the warm-up to the last answer.
pub(crate) struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    size: u64,
    pace: Pace,
    origin: Instant,
    /// Connections with something to send.
    to_send: Vec<usize>,
    buffer: Vec<u8>,
    /// The number of the next message in the open loop.
    next: u64,
    messages: u64,
    bytes: u64,
    /// What is counted: from when on, in nanoseconds.
    from: u64,
    wall: Duration,
    latency: Histogram<u64>,
}

impl Load {
    /// Sends the first messages of a closed loop.
    pub(crate) fn new(connections: Vec<Connection>, size: u32, pace: Pace) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, connection) in connections.iter().enumerate() {
            ioctl_fionbio(&connection.socket, true)?;
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&epoll, &connection.socket, EventData::new_u64(index as u64), interest)?;
        }
        let longest = u64::try_from(LONGEST_LATENCY.as_nanos())?;
        let mut load = Self {
            epoll,
            to_send: (0..connections.len()).collect(),
            connections,
            size: u64::from(size),
            pace,
            origin: Instant::now(),
            buffer: vec![0; LONGEST],
            next: 0,
            messages: 0,
            bytes: 0,
            from: u64::MAX,
            wall: Duration::ZERO,
            latency: Histogram::new_with_max(longest, 3).context("histogram")?,
        };
        if let Pace::Closed { pipeline } = pace {
            load.connections.iter_mut().for_each(|connection| connection.wanted = pipeline);
        }
        Ok(load)
    }

    /// Goes on for so long, counting nothing.
    pub(crate) fn run_for(&mut self, duration: Duration) -> anyhow::Result<()> {
        let end = self.now().saturating_add(nanoseconds(duration));
        while self.now() < end {
            self.turn(end, true)?;
        }
        Ok(())
    }

    /// Goes on for so long and counts.
    pub(crate) fn count_for(&mut self, duration: Duration) -> anyhow::Result<()> {
        (self.messages, self.bytes) = (0, 0);
        self.from = self.now();
        let end = self.from.saturating_add(nanoseconds(duration));
        while self.now() < end {
            self.turn(end, true)?;
        }
        self.wall = Duration::from_nanos(self.now() - self.from);
        Ok(())
    }

    /// Sends nothing new but what was due before the end, and waits for what is on its way.
    pub(crate) fn finish(mut self) -> anyhow::Result<Counted> {
        let (messages, bytes) = (self.messages, self.bytes);
        let over = self.from.saturating_add(nanoseconds(self.wall));
        let give_up = self.now().saturating_add(nanoseconds(PATIENCE));
        while self.pace != Pace::Bulk && self.unfinished(over) > 0 && self.now() < give_up {
            self.turn(over, false)?;
        }
        let unfinished = self.unfinished(over);
        Ok(Counted { messages, bytes, wall: self.wall, unfinished, latency: self.latency })
    }

    /// Messages that were due before `end` and have not come back.
    fn unfinished(&self, end: u64) -> u64 {
        let outstanding: usize = self.connections.iter().map(Connection::outstanding).sum();
        let unsent = match self.pace {
            Pace::Open { rate } => due_before(end, rate).saturating_sub(self.next),
            Pace::Closed { .. } | Pace::Bulk => 0,
        };
        outstanding as u64 + unsent
    }

    /// Sends, looks who is ready, receives; in the open loop sends what is due before `end`. With `go_on`, an answer asks for the next
    /// message in a closed loop.
    fn turn(&mut self, end: u64, go_on: bool) -> anyhow::Result<()> {
        if let Pace::Open { rate } = self.pace {
            self.ask_what_is_due(end, rate);
        }
        self.send_all(go_on)?;
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        let events = match epoll::wait(&self.epoll, &mut events[..], Some(&AT_ONCE)) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error).context("epoll_wait"),
        };
        for event in events.iter() {
            let (index, flags) = (usize::try_from(event.data.u64())?, event.flags);
            if flags.contains(EventFlags::OUT) && self.connections[index].full {
                self.connections[index].full = false;
                self.to_send.push(index);
            }
            if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
                self.receive(index, go_on)?;
            }
        }
        Ok(())
    }

    fn ask_what_is_due(&mut self, end: u64, rate: u32) {
        let due = due_before(self.now().min(end), rate);
        let count = self.connections.len() as u64;
        while self.next < due {
            let index = usize::try_from(self.next % count).unwrap_or(0);
            let connection = &mut self.connections[index];
            if connection.outstanding() >= MOST_ON_THEIR_WAY {
                return;
            }
            connection.ask(self.size, due_at(self.next, rate));
            self.to_send.push(index);
            self.next += 1;
        }
    }

    fn send_all(&mut self, go_on: bool) -> anyhow::Result<()> {
        let mut to_send = std::mem::take(&mut self.to_send);
        let mut kept = 0;
        for at in 0..to_send.len() {
            let index = to_send[at];
            let now = self.origin.elapsed();
            let connection = &mut self.connections[index];
            if self.pace == Pace::Bulk {
                for _ in 0..SENDS {
                    if go_on && !connection.full {
                        self.bytes += connection.send_once(LONGEST)? as u64;
                    }
                }
                if !connection.full {
                    to_send[kept] = index;
                    kept += 1;
                }
            } else {
                if go_on {
                    connection.ask_what_is_wanted(self.size, nanoseconds(now));
                }
                connection.send()?;
            }
        }
        to_send.truncate(kept);
        self.to_send = to_send;
        Ok(())
    }

    fn receive(&mut self, index: usize, go_on: bool) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let mut answered: u32 = 0;
        let now = nanoseconds(self.origin.elapsed());
        let got = connection.receive(self.size, &mut self.buffer, |since| {
            answered += 1;
            // What was on its way when counting began has no latency of its own.
            if since >= self.from {
                self.latency.saturating_record(now.saturating_sub(since));
            }
        })?;
        self.messages += u64::from(answered);
        self.bytes += got;
        if matches!(self.pace, Pace::Closed { .. }) && go_on && answered > 0 {
            connection.wanted = connection.wanted.saturating_add(answered);
            self.to_send.push(index);
        }
        Ok(())
    }

    /// Nanoseconds since the load began.
    fn now(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }
}

/// Messages due before `time` at that rate.
fn due_before(time: u64, rate: u32) -> u64 {
    let due = u128::from(time) * u128::from(rate) / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

/// When message `number` is due, the first one not at once but at its place in the first second.
fn due_at(number: u64, rate: u32) -> u64 {
    let time = (u128::from(number) + 1) * 1_000_000_000 / u128::from(rate);
    u64::try_from(time).unwrap_or(u64::MAX)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_at_its_time_and_not_before() {
        for rate in [1, 3, 1000, 1_000_003] {
            for number in [0, 1, 7, 999, 1_000_000] {
                let at = due_at(number, rate);
                assert!(due_before(at, rate) <= number + 1, "{rate} {number}");
                assert!(due_before(at + 1, rate) > number, "{rate} {number}");
            }
        }
    }
}
