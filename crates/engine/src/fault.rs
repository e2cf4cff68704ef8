//! Faults on purpose: one call of many fails, and the kernel is not asked.
//!
//! Every call to the kernel asks here first, at a [`Point`]. A test hands a thread a `Plan`, which
//! counts the calls that could fail with its error and lets one of them fail. All of it exists with
//! the feature `fault` alone; without it each question is a constant and leaves no code behind.

use rustix::io::Errno;

/// Where the kernel is asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// `accept(2)`
    Accept,
    /// A call that only its caller knows: `connect(2)`, and what moves datagrams or descriptors
    Attempt,
    /// An operation of `io_uring(7)` brings received bytes; they are lost with the connection.
    Completion,
    /// `io_uring_enter(2)`, to submit or to wait
    Enter,
    /// What a thread's engine stands on: `eventfd(2)`, `epoll_create(2)`, `io_uring_setup(2)`
    Make,
    /// `openat2(2)` and the like
    Open,
    /// A poll put into `io_uring(7)`
    Poll,
    /// `read(2)` of a file or folder
    Read,
    /// `recv(2)`, or a receive put into `io_uring(7)`
    Recv,
    /// A socket is announced to what will report its readiness: `epoll_ctl(2)`
    Register,
    /// `send(2)`, or a send put into `io_uring(7)`
    Send,
    /// `sendfile(2)`
    SendFile,
    /// `fstat(2)` and the like
    Stat,
    /// `epoll_wait(2)`, `poll(2)`, `select(2)`
    Wait,
    /// `pwrite(2)` or `fdatasync(2)` of a file
    Write,
}

impl Point {
    /// Whether the kernel can answer so there, by the man pages and a little beyond.
    #[must_use]
    pub fn can_fail_with(self, errno: Errno) -> bool {
        use Point::{
            Accept, Attempt, Completion, Enter, Make, Open, Read, Recv, Register, Send, SendFile,
            Stat, Wait, Write,
        };
        match errno {
            Errno::AGAIN => {
                matches!(self, Accept | Attempt | Enter | Open | Recv | Send | SendFile)
            }
            Errno::BUSY => matches!(self, Enter),
            Errno::CONNRESET => matches!(self, Attempt | Completion | Recv | Send | SendFile),
            Errno::INTR => matches!(
                self,
                Accept | Attempt | Enter | Open | Read | Recv | Send | SendFile | Wait
            ),
            Errno::IO => matches!(self, Open | Read | SendFile | Stat | Write),
            Errno::MFILE => matches!(self, Accept | Make | Open),
            Errno::NOBUFS => matches!(self, Accept | Attempt | Recv | Send),
            Errno::NOMEM => !matches!(self, Enter | Wait),
            Errno::NOSPC => matches!(self, Register | Write),
            Errno::PIPE => matches!(self, Attempt | Send | SendFile),
            _ => false,
        }
    }
}

#[cfg(feature = "fault")]
pub use on::{Hit, Plan, move_wall_clock};
#[cfg(feature = "fault")]
pub(crate) use on::{ask_on, ended, owed, refuse, refused, wall_offset};

#[cfg(feature = "fault")]
pub use on::ask;

#[cfg(not(feature = "fault"))]
pub use off::ask;
#[cfg(not(feature = "fault"))]
pub(crate) use off::{ask_on, ended, owed, refuse, refused, wall_offset};

#[cfg(feature = "fault")]
mod on {
    use std::cell::RefCell;
    use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};

    use rustix::io::Errno;

    use super::Point;
    use crate::engine::Usage;

    /// Which call is to fail, and how.
    #[derive(Debug)]
    pub struct Plan {
        errno: Errno,
        /// Counted from 1; 0 for none.
        nth: u64,
        calls: AtomicU64,
        hit: Mutex<Option<Hit>>,
        ended: Mutex<Vec<Usage>>,
    }

    /// The call that failed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Hit {
        /// What was asked.
        pub point: Point,
        /// On which descriptor, where there was one.
        pub fd: Option<RawFd>,
    }

    /// What a thread keeps.
    #[derive(Default)]
    struct Here {
        plan: Option<Arc<Plan>>,
        /// Sockets that were told EAGAIN though they are ready.
        owed: Vec<RawFd>,
        /// Operations of io_uring that were replaced by nothing, and how they failed.
        refused: Vec<(u64, Errno)>,
    }

    thread_local! {
        static HERE: RefCell<Here> = RefCell::default();
    }

    static WALL_OFFSET: AtomicI64 = AtomicI64::new(0);

    impl Plan {
        /// The `nth` call that can fail with this error does, counted from 1 over all threads that
        /// joined; with 0 the calls are only counted.
        #[must_use]
        pub fn new(errno: Errno, nth: u64) -> Arc<Plan> {
            Arc::new(Plan {
                errno,
                nth,
                calls: AtomicU64::new(0),
                hit: Mutex::default(),
                ended: Mutex::default(),
            })
        }

        /// Holds for the calling thread from now on.
        pub fn join(self: &Arc<Plan>) {
            let here = Here { plan: Some(Arc::clone(self)), ..Here::default() };
            HERE.set(here);
        }

        /// The calling thread has no plan any more.
        pub fn leave() {
            HERE.set(Here::default());
        }

        /// Calls so far that could have failed.
        #[must_use]
        pub fn calls(&self) -> u64 {
            self.calls.load(Ordering::SeqCst)
        }

        /// The call that failed, if it has come to it.
        #[must_use]
        pub fn hit(&self) -> Option<Hit> {
            *self.hit.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// What the engines of threads that joined held at their end.
        #[must_use]
        pub fn ended(&self) -> Vec<Usage> {
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }

        fn ask(&self, point: Point, fd: Option<RawFd>) -> Result<(), Errno> {
            if !point.can_fail_with(self.errno) {
                return Ok(());
            }
            if self.calls.fetch_add(1, Ordering::SeqCst) + 1 != self.nth {
                return Ok(());
            }
            *self.hit.lock().unwrap_or_else(PoisonError::into_inner) = Some(Hit { point, fd });
            Err(self.errno)
        }
    }

    /// Whether the call may be made.
    ///
    /// # Errors
    ///
    /// The error it is to fail with.
    pub fn ask(point: Point) -> Result<(), Errno> {
        HERE.with_borrow(|here| here.plan.as_ref().map_or(Ok(()), |plan| plan.ask(point, None)))
    }

    /// The same for a call on a socket. An edge-triggered kernel that says EAGAIN reports the socket
    /// again once it is ready; one that was lied about is [`owed`] that report.
    pub(crate) fn ask_on(point: Point, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let fd = fd.as_raw_fd();
        HERE.with_borrow_mut(|here| {
            let asked = here.plan.as_ref().map_or(Ok(()), |plan| plan.ask(point, Some(fd)));
            if asked == Err(Errno::AGAIN) {
                here.owed.push(fd);
            }
            asked
        })
    }

    /// Sockets whose readiness is to be reported without a word from the kernel; given out once.
    pub(crate) fn owed() -> Vec<RawFd> {
        HERE.with_borrow_mut(|here| std::mem::take(&mut here.owed))
    }

    /// The operation with this user data was not submitted and fails.
    pub(crate) fn refuse(user_data: u64, errno: Errno) {
        HERE.with_borrow_mut(|here| here.refused.push((user_data, errno)));
    }

    /// How the operation fails whose completion is being taken, if it does; told once.
    pub(crate) fn refused(user_data: u64) -> Option<Errno> {
        HERE.with_borrow_mut(|here| {
            let place = here.refused.iter().position(|(data, _)| *data == user_data)?;
            Some(here.refused.swap_remove(place).1)
        })
    }

    /// The engine of the calling thread ends and holds this much.
    pub(crate) fn ended(usage: impl FnOnce() -> Usage) {
        let plan = HERE.try_with(|here| here.borrow().plan.clone());
        if let Ok(Some(plan)) = plan {
            plan.ended.lock().unwrap_or_else(PoisonError::into_inner).push(usage());
        }
    }

    /// `CLOCK_REALTIME` jumps by so many seconds, as far as this process looks at it.
    pub fn move_wall_clock(seconds: i64) {
        WALL_OFFSET.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn wall_offset() -> i64 {
        WALL_OFFSET.load(Ordering::SeqCst)
    }
}

#[cfg(not(feature = "fault"))]
mod off {
    use std::os::fd::{BorrowedFd, RawFd};

    use rustix::io::Errno;

    use super::Point;
    use crate::engine::Usage;

    /// Whether the call may be made: it always may.
    ///
    /// # Errors
    ///
    /// None.
    #[inline(always)]
    pub fn ask(_: Point) -> Result<(), Errno> {
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn ask_on(_: Point, _: BorrowedFd<'_>) -> Result<(), Errno> {
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn owed() -> [RawFd; 0] {
        []
    }

    #[inline(always)]
    pub(crate) fn refuse(_: u64, _: Errno) {}

    #[inline(always)]
    pub(crate) fn refused(_: u64) -> Option<Errno> {
        None
    }

    #[inline(always)]
    pub(crate) fn ended(_: impl FnOnce() -> Usage) {}

    #[inline(always)]
    pub(crate) fn wall_offset() -> i64 {
        0
    }
}
