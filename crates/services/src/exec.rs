//! A program for each connection, which has the socket as its standard input and output.
//!
//! The program talks to the peer itself: nothing is copied on the way, and each sees the other's
//! half-close. What the peer sends is never part of a command line.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use sockeye_engine::{Address, Stream, offload, sleep, stopped};

use crate::race::{First, race};

/// How long a program may take to end after SIGTERM, before SIGKILL.
const TERM: Duration = Duration::from_secs(2);

/// How long the peer may take to close when the program has ended.
const LINGER: Duration = Duration::from_secs(10);

/// Stack of the thread that waits for one program.
const STACK: usize = 64 * 1024;

/// Runs `sh -c COMMAND` with the connection as its standard input and output, until it ends: its exit
/// status. Its standard error is ours. It finds in its environment the addresses of both ends,
/// `SOCKEYE_PEER` and `SOCKEYE_LOCAL`, and behind a Unix socket the peer's process and user,
/// `SOCKEYE_PEER_PID` and `SOCKEYE_PEER_UID`.
///
/// When the thread is asked to stop, the program and all it started (its process group) get SIGTERM,
/// and two seconds later SIGKILL. When the program ends the connection does, unless others of its
/// group still hold it.
///
/// # Errors
///
/// The program can't be started: no `sh`, no descriptors, no processes left.
///
/// # Cancel safety
///
/// Dropping the future kills the program and its group.
pub async fn exec(mut stream: Stream, command: Arc<OsString>) -> io::Result<ExitStatus> {
    let mut socket = None;
    stream.with_fd(|fd| {
        socket = Some(fd.try_clone_to_owned().and_then(|copy| {
            let nonblocking = fcntl_getfl(&copy)?.contains(OFlags::NONBLOCK);
            // Programs expect a standard input that waits. Nobody else asks the socket meanwhile.
            ioctl_fionbio(&copy, false)?;
            Ok((copy, nonblocking))
        }));
    });
    let (socket, nonblocking) = socket.unwrap_or(Err(io::ErrorKind::NotConnected.into()))?;
    let program = prepare(&stream, &socket, &command)?;
    let group = offload(move || start(program)).await??;
    let status = match race(group.child.ended(), stopped()).await {
        First::Left(status) => status?,
        First::Right(()) => {
            group.child.kill(Signal::TERM);
            match race(group.child.ended(), sleep(TERM)).await {
                First::Left(status) => status?,
                First::Right(()) => {
                    group.child.kill(Signal::KILL);
                    group.child.ended().await?
                }
            }
        }
    };
    ioctl_fionbio(&socket, nonblocking)?;
    drop(socket);
    // What the program did not read would turn its last answer into a reset.
    stream.set_deadline(Some(LINGER));
    stream.close_lingering(1 << 30).await;
    Ok(status)
}

fn prepare(stream: &Stream, socket: &OwnedFd, command: &OsString) -> io::Result<Command> {
    let mut program = Command::new("sh");
    program.arg("-c").arg(command);
    program.stdin(Stdio::from(socket.try_clone()?)).stdout(Stdio::from(socket.try_clone()?));
    let shown = |address: io::Result<Address>| match address {
        Ok(address) => address.to_string(),
        Err(_) => String::new(),
    };
    program.env("SOCKEYE_PEER", shown(stream.peer()));
    program.env("SOCKEYE_LOCAL", shown(stream.local()));
    if let Ok(credentials) = stream.peer_credentials() {
        program.env("SOCKEYE_PEER_PID", credentials.pid.to_string());
        program.env("SOCKEYE_PEER_UID", credentials.uid.to_string());
    }
    // One group, so that all of a pipeline can be ended.
    program.process_group(0);
    Ok(program)
}

/// Starts it, and a thread that waits for its end: there may be as many as there are connections, and
/// each waits as long as a program runs.
fn start(mut program: Command) -> io::Result<Group> {
    let (hand_over, handed_over) = mpsc::sync_channel::<(std::process::Child, Arc<Child>)>(1);
    let waits = std::thread::Builder::new().name("program".to_owned()).stack_size(STACK);
    // First, so that no program is without somebody who waits for it.
    waits.spawn(move || {
        if let Ok((running, child)) = handed_over.recv() {
            reap(running, &child);
        }
    })?;
    let running = program
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("sh can't be started: {error}")))?;
    // The copies of the socket in there would keep the connection open.
    drop(program);
    let pid = Pid::from_child(&running);
    let child = Arc::new(Child { pid, state: Mutex::new(State::default()) });
    // The thread takes one, whatever happens.
    let _ = hand_over.send((running, Arc::clone(&child)));
    Ok(Group { child })
}

fn reap(mut running: std::process::Child, child: &Child) {
    // It stays a zombie, and its number its own, until nobody signals it any more.
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(Errno::INTR) = waitid(WaitId::Pid(child.pid), how) {}
    let mut state = child.state();
    state.ended = Some(running.wait().map_err(|error| error.kind()));
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}

/// A program that was started.
#[derive(Debug)]
struct Child {
    pid: Pid,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ended: Option<Result<ExitStatus, io::ErrorKind>>,
    waker: Option<Waker>,
}

impl Child {
    async fn ended(&self) -> io::Result<ExitStatus> {
        poll_fn(|cx| {
            let mut state = self.state();
            match state.ended {
                Some(ended) => Poll::Ready(ended.map_err(io::Error::from)),
                None => {
                    state.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Signals the group, unless the program has ended: then its number may be another's.
    fn kill(&self, signal: Signal) {
        let state = self.state();
        if state.ended.is_none() {
            let _ = kill_process_group(self.pid, signal);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills what is left of the group when dropped.
struct Group {
    child: Arc<Child>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.child.kill(Signal::KILL);
    }
}

/// How a program ended, in words; None if well.
#[must_use]
pub fn told(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("the program failed with exit status {code}")),
        (None, Some(signal)) => Some(format!("the program was ended by signal {signal}")),
        (None, None) => Some("the program ended in an unknown way".to_owned()),
    }
}
