//! `poll(2)`: the whole list of sockets that somebody waits for is handed over with each wait.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::readiness::{LONGEST, Ready, Selector, Sides, Token};
use super::table::Table;

#[derive(Default)]
pub(crate) struct Poll {
    /// What is handed to the kernel: sockets that are of interest, and no other ones, since errors
    /// are reported whatever is asked.
    list: Vec<PollFd<'static>>,
    /// Of each entry in the list.
    tokens: Vec<Token>,
    /// Where in the list a descriptor is.
    places: Table<usize>,
}

impl Poll {
    pub(crate) fn new() -> Poll {
        Poll::default()
    }
}

impl Selector for Poll {
    const EDGE: bool = false;

    fn add(&mut self, _fd: BorrowedFd<'_>, _token: Token) -> io::Result<()> {
        Ok(())
    }

    fn interest(&mut self, fd: BorrowedFd<'_>, token: Token, sides: Sides) -> io::Result<()> {
        if sides == Sides::default() {
            self.remove(fd, token);
            return Ok(());
        }
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN | PollFlags::RDHUP, sides.read);
        flags.set(PollFlags::OUT, sides.write);
        // SAFETY: the entry leaves the list in `remove`, before its descriptor is closed.
        let entry = unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) };
        let entry = PollFd::from_borrowed_fd(entry, flags);
        match self.places.get(fd) {
            Some(place) => self.list[place] = entry,
            None => {
                self.places.set(fd, self.list.len());
                self.list.push(entry);
                self.tokens.push(token);
            }
        }
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _token: Token) {
        let Some(place) = self.places.take(fd) else {
            return;
        };
        self.list.swap_remove(place);
        self.tokens.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            self.places.set(moved.as_fd(), place);
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        report: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()> {
        let timeout = timeout.map(|left| Timespec::try_from(left).unwrap_or(LONGEST));
        let mut left = match rustix::event::poll(&mut self.list, timeout.as_ref()) {
            Ok(ready) => ready,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for (entry, token) in self.list.iter().zip(&self.tokens) {
            if left == 0 {
                break;
            }
            let flags = entry.revents();
            if flags.is_empty() {
                continue;
            }
            left -= 1;
            report(*token, Ready::polled(flags));
        }
        Ok(())
    }
}
