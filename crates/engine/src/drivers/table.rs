//! A table by descriptor: the kernel hands out the lowest free number, so it stays dense.

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: Vec<Option<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { entries: Vec::new() }
    }
}

impl<T: Copy> Table<T> {
    pub(crate) fn get(&self, fd: BorrowedFd<'_>) -> Option<T> {
        self.at(fd.as_raw_fd())
    }

    pub(crate) fn at(&self, fd: RawFd) -> Option<T> {
        *self.entries.get(usize::try_from(fd).ok()?)?
    }

    pub(crate) fn set(&mut self, fd: BorrowedFd<'_>, value: T) {
        self.set_at(fd.as_raw_fd(), value);
    }

    pub(crate) fn set_at(&mut self, fd: RawFd, value: T) {
        let index = usize::try_from(fd).expect("an open descriptor is not negative");
        if index >= self.entries.len() {
            self.entries.resize(index + 1, None);
        }
        self.entries[index] = Some(value);
    }

    pub(crate) fn take(&mut self, fd: BorrowedFd<'_>) -> Option<T> {
        self.entries.get_mut(usize::try_from(fd.as_raw_fd()).ok()?)?.take()
    }
}
