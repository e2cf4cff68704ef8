//! Non-blocking calls in a loop: every socket that somebody waits for is asked again and again,
//! and the thread never sleeps.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::readiness::{Ready, Selector, Sides, Token};
use super::table::Table;

#[derive(Default)]
pub(crate) struct Busy {
    asked: Vec<(Token, Sides)>,
    /// Where among those a descriptor is.
    places: Table<usize>,
    /// The descriptors of those.
    fds: Vec<i32>,
}

impl Busy {
    pub(crate) fn new() -> Busy {
        Busy::default()
    }
}

impl Selector for Busy {
    const EDGE: bool = false;

    fn add(&mut self, _fd: BorrowedFd<'_>, _token: Token) -> io::Result<()> {
        Ok(())
    }

    fn interest(&mut self, fd: BorrowedFd<'_>, token: Token, sides: Sides) -> io::Result<()> {
        if sides == Sides::default() {
            self.remove(fd, token);
            return Ok(());
        }
        match self.places.get(fd) {
            Some(place) => self.asked[place] = (token, sides),
            None => {
                self.places.set(fd, self.asked.len());
                self.asked.push((token, sides));
                self.fds.push(std::os::fd::AsRawFd::as_raw_fd(&fd));
            }
        }
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _token: Token) {
        let Some(place) = self.places.take(fd) else {
            return;
        };
        self.asked.swap_remove(place);
        self.fds.swap_remove(place);
        if let Some(moved) = self.fds.get(place) {
            self.places.set_at(*moved, place);
        }
    }

    fn wait(
        &mut self,
        _timeout: Option<Duration>,
        report: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()> {
        // Whoever else has work for this core may do it; without that the loop would hold the
        // core until the scheduler takes it away.
        std::thread::yield_now();
        for (token, sides) in &self.asked {
            // Whether it is true, the call itself will say.
            report(*token, Ready { read: sides.read, write: sides.write, ..Ready::default() });
        }
        Ok(())
    }
}
