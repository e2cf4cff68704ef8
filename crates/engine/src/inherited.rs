//! Listening sockets that another process opened: systemd, which starts a service for them
//! (sd_listen_fds(3)), or the process whose work this one takes over.
//!
//! Both say in the environment which descriptors they are. systemd's are 3 and those behind it
//! (`LISTEN_FDS`), with names in `LISTEN_FDNAMES`, and meant for the process `LISTEN_PID` alone. A process
//! of ours names each by its number in [`HANDOVER`], because it can't choose the numbers.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::FdFlags;
use rustix::net::{SocketType, sockopt};

use crate::address::Address;
use crate::unix::SocketFile;

/// The variable in which a process tells its successor of its sockets: `FD:NAME`, separated by spaces.
pub const HANDOVER: &str = "SOCKEYE_LISTENERS";

/// The variable in which a process tells its successor of the pipe it waits at, by its descriptor.
pub const READY: &str = "SOCKEYE_READY";

/// The first descriptor that systemd passes (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Descriptors that are taken at most.
const MOST: RawFd = 4096;

/// A listening stream socket that this process was given.
#[derive(Debug)]
pub struct Inherited {
    name: String,
    local: Address,
    /// Its predecessor leaves the socket's file to this process.
    ours: bool,
    fd: OwnedFd,
}

impl Inherited {
    /// What whoever opened it calls it; systemd's default is the name of the socket unit.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> &Address {
        &self.local
    }

    /// The descriptor, and whether the file of a Unix socket goes with it.
    pub(crate) fn into_parts(self) -> (Address, OwnedFd, bool) {
        (self.local, self.fd, self.ours)
    }
}

/// A socket that was passed can't be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// A variable is not as its manual says.
    #[error("{variable}={value}: it does not say which descriptors were passed")]
    Malformed {
        /// Its name.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// A descriptor is not what is needed.
    #[error("descriptor {number} ({name}) that was passed is no listening stream socket: {error}")]
    Unfit {
        /// The descriptor.
        number: RawFd,
        /// What it is called.
        name: String,
        /// Why.
        error: io::Error,
    },
}

/// The listening sockets this process was given, once: the second call finds none. They are not passed
/// on to programs that this process starts.
///
/// # Errors
///
/// The environment names descriptors that are no listening stream sockets, or does not make sense.
pub fn inherited() -> Result<Vec<Inherited>, InheritError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let variable = |name: &str| std::env::var(name).ok();
    let mine = std::process::id().to_string();
    let activated = match variable("LISTEN_PID") {
        Some(pid) if pid == mine => variable("LISTEN_FDS"),
        _ => None,
    };
    let named = match (variable(HANDOVER), activated) {
        (Some(handed), _) => of_predecessor(&handed)?,
        (None, Some(count)) => of_systemd(&count, variable("LISTEN_FDNAMES").as_deref())?,
        (None, None) => return Ok(Vec::new()),
    };
    let mut all = Vec::new();
    for Named { number, name, ours } in named {
        match take(number) {
            Ok((fd, local)) => all.push(Inherited { name, local, ours, fd }),
            Err(error) => return Err(InheritError::Unfit { number, name, error }),
        }
    }
    Ok(all)
}

/// Says to the process whose work this one takes over, if there is one, that this one serves: it waits
/// for that, and then ends. Does so once.
pub fn tell_predecessor() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let number = std::env::var(READY).ok().and_then(|number| number.parse::<RawFd>().ok());
    let Some(number) = number.filter(|number| *number >= FIRST) else {
        return;
    };
    if TOLD.swap(true, Ordering::SeqCst) {
        return;
    }
    // SAFETY: whoever started this process opened the descriptor for it alone, and says so; it is taken
    // once.
    let pipe = unsafe { OwnedFd::from_raw_fd(number) };
    // Somebody who does not wait any more has ended.
    let _ = rustix::io::write(&pipe, b"1");
}

struct Named {
    number: RawFd,
    name: String,
    ours: bool,
}

fn of_systemd(count: &str, names: Option<&str>) -> Result<Vec<Named>, InheritError> {
    let malformed = || InheritError::Malformed { variable: "LISTEN_FDS", value: count.to_owned() };
    let count: RawFd = count.parse().map_err(|_| malformed())?;
    if !(0..=MOST).contains(&count) {
        return Err(malformed());
    }
    let mut names = names.map(|names| names.split(':')).into_iter().flatten();
    let name = |name: Option<&str>| name.unwrap_or("unknown").to_owned();
    let each = (FIRST..FIRST + count).map(|number| (number, name(names.next())));
    Ok(each.map(|(number, name)| Named { number, name, ours: false }).collect())
}

fn of_predecessor(handed: &str) -> Result<Vec<Named>, InheritError> {
    let malformed = || InheritError::Malformed { variable: HANDOVER, value: handed.to_owned() };
    let each = handed.split_ascii_whitespace().map(|one| {
        let (number, name) = one.split_once(':').ok_or_else(malformed)?;
        let number: RawFd = number.parse().map_err(|_| malformed())?;
        if number < FIRST {
            return Err(malformed());
        }
        Ok(Named { number, name: name.to_owned(), ours: true })
    });
    each.collect()
}

/// Takes over a descriptor.
fn take(number: RawFd) -> io::Result<(OwnedFd, Address)> {
    // SAFETY: a number that is not open is told apart by the first call and borrowed no longer; one that
    // is open was opened by whoever started this process, and stays open for as long as this lives.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    if sockopt::socket_type(borrowed)? != SocketType::STREAM
        || !sockopt::socket_acceptconn(borrowed)?
    {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    let local = Address::decode(rustix::net::getsockname(borrowed)?)?;
    // SAFETY: whoever started this process passed the descriptor for us to own, and it is taken once:
    // `inherited` works once a process, and the numbers come from the environment.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    Ok((fd, local))
}

/// Duplicates of listening sockets, to be passed on to a successor.
#[derive(Debug)]
pub struct Handover {
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) files: Arc<Mutex<Vec<SocketFile>>>,
    pub(crate) left: Arc<AtomicBool>,
}

impl Handover {
    /// Duplicates that a program which is started now inherits, and what [`HANDOVER`] says of them.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors.
    pub fn inheritable(&self, name: &str) -> io::Result<(Vec<OwnedFd>, String)> {
        let mut copies = Vec::new();
        let mut told = String::new();
        for socket in &self.sockets {
            // dup(2) leaves the close-on-exec flag behind.
            let copy = rustix::io::dup(socket.as_fd())?;
            told.push_str(&format!("{}:{name} ", copy.as_raw_fd()));
            copies.push(copy);
        }
        Ok((copies, told))
    }

    /// The successor has them: the files of Unix sockets are its own from now on. A stop that comes after
    /// this lets a thread that sleeps in a connection of its own (on the blocking driver) have one request
    /// more, or the whole grace.
    pub fn done(self) {
        self.left.store(true, Ordering::SeqCst);
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files.drain(..) {
            file.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_counts_from_three_and_names_what_it_likes() {
        let told = |count, names| {
            let named = of_systemd(count, names).expect("well-formed");
            named.into_iter().map(|named| (named.number, named.name)).collect::<Vec<_>>()
        };
        assert_eq!(told("0", None), []);
        assert_eq!(told("2", Some("web:admin")), [(3, "web".into()), (4, "admin".into())]);
        assert_eq!(told("2", Some("web")), [(3, "web".into()), (4, "unknown".into())]);
        for wrong in ["", "-1", "x", "99999999999"] {
            assert!(of_systemd(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_predecessor_names_each_by_its_number() {
        let named = of_predecessor("7:main 9:admin ").expect("well-formed");
        let told: Vec<_> = named.iter().map(|named| (named.number, &*named.name)).collect();
        assert_eq!(told, [(7, "main"), (9, "admin")]);
        for wrong in ["7", "x:main", "1:main", "-1:main"] {
            assert!(of_predecessor(wrong).is_err(), "{wrong}");
        }
    }
}
