//! `select(2)`: bit maps over all descriptors up to the highest that somebody waits for.
//!
//! The C library's `fd_set` ends at descriptor 1024 (`FD_SETSIZE`), the kernel's maps do not: they
//! are as long as the first argument says, and here they grow with the descriptors.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::event::{
    FdSetElement, FdSetIter, Timespec, fd_set_bound, fd_set_insert, fd_set_num_elements,
    fd_set_remove, select,
};
use rustix::io::Errno;

use super::readiness::{LONGEST, Ready, Selector, Sides, Token};
use super::table::Table;

#[derive(Default)]
pub(crate) struct Select {
    read: Maps,
    write: Maps,
    /// Of each descriptor that is of interest.
    tokens: Table<Token>,
}

/// What is of interest on one side, and the copy that the kernel writes its answer into.
#[derive(Default)]
struct Maps {
    wanted: Vec<FdSetElement>,
    answer: Vec<FdSetElement>,
}

impl Select {
    pub(crate) fn new() -> Select {
        Select::default()
    }
}

impl Maps {
    fn set(&mut self, fd: RawFd, wanted: bool) {
        let room = fd_set_num_elements(1, fd + 1);
        if self.wanted.len() < room {
            self.wanted.resize(room, FdSetElement::default());
        }
        if wanted {
            fd_set_insert(&mut self.wanted, fd);
        } else {
            fd_set_remove(&mut self.wanted, fd);
        }
    }

    /// Makes the copy, `bound` descriptors long.
    fn prepare(&mut self, bound: RawFd) -> &mut [FdSetElement] {
        self.answer.clone_from(&self.wanted);
        let room = fd_set_num_elements(1, bound).max(self.wanted.len());
        self.answer.resize(room, FdSetElement::default());
        &mut self.answer
    }
}

impl Selector for Select {
    const EDGE: bool = false;

    fn add(&mut self, _fd: BorrowedFd<'_>, _token: Token) -> io::Result<()> {
        Ok(())
    }

    fn interest(&mut self, fd: BorrowedFd<'_>, token: Token, sides: Sides) -> io::Result<()> {
        self.read.set(fd.as_raw_fd(), sides.read);
        self.write.set(fd.as_raw_fd(), sides.write);
        self.tokens.set(fd, token);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _token: Token) {
        if self.tokens.take(fd).is_some() {
            self.read.set(fd.as_raw_fd(), false);
            self.write.set(fd.as_raw_fd(), false);
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        report: &mut dyn FnMut(Token, Ready),
    ) -> io::Result<()> {
        let timeout = timeout.map(|left| Timespec::try_from(left).unwrap_or(LONGEST));
        let bound = fd_set_bound(&self.read.wanted).max(fd_set_bound(&self.write.wanted));
        let (read, write) = (self.read.prepare(bound), self.write.prepare(bound));
        // SAFETY: descriptors leave the maps in `remove`, before they are closed, and both maps
        // have room for `bound` of them.
        let ready = unsafe { select(bound, Some(read), Some(write), None, timeout.as_ref()) };
        match ready {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        for (map, sides) in [
            // Which of them are reported for an error alone, the maps don't say (select(2)).
            (&self.read.answer, Ready { read: true, error: true, ..Ready::default() }),
            (&self.write.answer, Ready { write: true, error: true, ..Ready::default() }),
        ] {
            for fd in FdSetIter::new(map) {
                if let Some(token) = self.tokens.at(fd) {
                    report(token, sides);
                }
            }
        }
        Ok(())
    }
}
