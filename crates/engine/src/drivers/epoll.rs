//! Level-triggered `epoll(7)`: the kernel keeps the list of sockets, and reports each for as long
//! as it is ready for what is of interest.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::readiness::{LONGEST, Ready, Selector, Sides, Token};

/// Events taken with one call.
const EVENTS: usize = 512;

pub(crate) struct Epoll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Epoll { epoll, events: Vec::with_capacity(EVENTS) })
    }
}

impl Selector for Epoll {
    const EDGE: bool = false;

    fn add(&mut self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::ONESHOT)?)
    }

    fn interest(&mut self, fd: BorrowedFd<'_>, token: Token, sides: Sides) -> io::Result<()> {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN | EventFlags::RDHUP, sides.read);
        flags.set(EventFlags::OUT, sides.write);
        if flags.is_empty() {
            // Errors and hang-ups are reported whatever is of interest (epoll_ctl(2)); a socket
            // that nobody waits for would wake us for them without end.
            flags = EventFlags::ONESHOT;
        }
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags)?)
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
            let ready = Ready {
                read: broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
                write: broken || flags.contains(EventFlags::OUT),
                ended: false,
                error: flags.contains(EventFlags::ERR),
            };
            report(event.data.u64(), ready);
        }
        Ok(())
    }
}
