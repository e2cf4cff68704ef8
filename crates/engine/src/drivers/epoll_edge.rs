//! Edge-triggered `epoll(7)`: each socket is announced once, and the kernel reports what changed.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::readiness::{LONGEST, Ready, Selector, Sides, Token};

/// Events taken with one call.
const EVENTS: usize = 512;

pub(crate) struct EpollEdge {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl EpollEdge {
    pub(crate) fn new() -> io::Result<EpollEdge> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(EpollEdge { epoll, events: Vec::with_capacity(EVENTS) })
    }
}

impl Selector for EpollEdge {
    const EDGE: bool = true;

    fn add(&mut self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), flags)?)
    }

    fn interest(&mut self, _fd: BorrowedFd<'_>, _token: Token, _sides: Sides) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _fd: BorrowedFd<'_>, _token: Token) {
        // The kernel forgets it with the last descriptor, which is closed next.
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        report: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()> {
        self.events.clear();
        let timeout = timeout.map(|left| Timespec::try_from(left).unwrap_or(LONGEST));
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let flags = event.flags;
            let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            let ended = broken || flags.contains(EventFlags::RDHUP);
            let ready = Ready {
                read: ended || flags.contains(EventFlags::IN),
                write: broken || flags.contains(EventFlags::OUT),
                ended,
                error: flags.contains(EventFlags::ERR),
            };
            report(event.data.u64(), ready);
        }
        Ok(())
    }
}
