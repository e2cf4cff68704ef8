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

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, ioctl_fionbio, retry_on_intr};
use rustix::net::sockopt;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use sockeye_engine::{Address, Either, Stream, first, offload, sleep, stopped};

/// How long a program may take to end after SIGTERM, before SIGKILL.
const TERM: Duration = Duration::from_secs(2);

/// How long the peer may take to close when the program has ended.
const LINGER: Duration = Duration::from_secs(10);

/// After so much silence the kernel asks whether the peer is still there, so often again, and so many
/// times. It tells one who has closed from one who has half-closed, which look the same until then:
/// sixty seconds after its end (`tcp_fin_timeout`), a machine knows nothing of a connection any more.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(75), Duration::from_secs(15), 4);

/// How long an error queue that is not empty keeps us from noticing that the peer is gone.
const AGAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Stack of the thread that waits for one program.
const STACK: usize = 64 * 1024;

/// Runs `sh -c COMMAND` with the connection as its standard input and output, until it ends: its exit
/// status. Its standard error is ours. It finds in its environment the addresses of both ends,
/// `SOCKEYE_PEER` and `SOCKEYE_LOCAL`, and behind a Unix socket the peer's process and user,
/// `SOCKEYE_PEER_PID` and `SOCKEYE_PEER_UID`.
///
/// When the thread is asked to stop, the program and all it started (its process group) get SIGTERM,
/// and two seconds later SIGKILL; and so they do when the peer has been gone for `grace`: it has reset
/// the connection, both halves are closed, or it does not answer any more. One that has only closed
/// its own half waits for an answer. The kernel finds out which by keep-alive (tcp(7)), unless that is
/// set already, within minutes. When the program ends the connection does, unless others of its group
/// still hold it.
///
/// # Errors
///
/// The program can't be started: no `sh`, no descriptors, no processes left.
///
/// # Cancel safety
///
/// Dropping the future kills the program and its group.
pub async fn exec(
    mut stream: Stream,
    command: Arc<OsString>,
    grace: Duration,
) -> io::Result<ExitStatus> {
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
    keep_alive(&socket);
    let watched = socket.try_clone()?;
    let group = offload(move || start(program, watched)).await??;
    let status = match first(group.child.ended(), group.child.unwanted(grace)).await {
        Either::One(status) => status?,
        Either::Other(()) => {
            group.child.kill(Signal::TERM);
            match first(group.child.ended(), sleep(TERM)).await {
                Either::One(status) => status?,
                Either::Other(()) => {
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

/// Has the kernel notice that the peer is gone. No other socket than one of TCP has need of it.
fn keep_alive(socket: &OwnedFd) {
    let (idle, interval, count) = KEEP_ALIVE;
    if sockopt::socket_keepalive(socket) == Ok(false)
        && sockopt::set_tcp_keepidle(socket, idle).is_ok()
        && sockopt::set_tcp_keepintvl(socket, interval).is_ok()
        && sockopt::set_tcp_keepcnt(socket, count).is_ok()
    {
        let _ = sockopt::set_socket_keepalive(socket, true);
    }
}

/// Starts it, and a thread that waits for its end: there may be as many as there are connections, and
/// each waits as long as a program runs.
fn start(mut program: Command, socket: OwnedFd) -> io::Result<Group> {
    let (hand_over, handed_over) = mpsc::sync_channel::<(std::process::Child, Arc<Child>)>(1);
    let waits = std::thread::Builder::new().name("program".to_owned()).stack_size(STACK);
    // First, so that no program is without somebody who waits for it.
    waits.spawn(move || {
        if let Ok((running, child)) = handed_over.recv() {
            reap(running, &child, socket);
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

fn reap(mut running: std::process::Child, child: &Child, socket: OwnedFd) {
    // Without it the program is waited for all the same.
    let _ = watch(child, &socket);
    drop(socket);
    // It stays a zombie, and its number its own, until nobody signals it any more.
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(Errno::INTR) = waitid(WaitId::Pid(child.pid), how) {}
    let mut state = child.state();
    state.ended = Some(running.wait().map_err(|error| error.kind()));
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}

/// Says when the peer is gone, if that is before the program has ended.
fn watch(child: &Child, socket: &OwnedFd) -> Result<(), Errno> {
    let ended = pidfd_open(child.pid, PidfdFlags::empty())?;
    loop {
        // What closes both halves (POLLHUP) is told unasked, and nothing else of the socket is.
        let mut both =
            [PollFd::new(&ended, PollFlags::IN), PollFd::new(socket, PollFlags::empty())];
        retry_on_intr(|| poll(&mut both, None))?;
        if !both[0].revents().is_empty() {
            return Ok(());
        }
        if both[1].revents().contains(PollFlags::HUP) {
            let mut state = child.state();
            state.forsaken = true;
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
            return Ok(());
        }
        // Stamps and errors of the network that wait to be read are no end.
        retry_on_intr(|| poll(&mut both[..1], Some(&AGAIN)))?;
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
    /// The peer is gone.
    forsaken: bool,
    /// Of the one task that waits, for whatever.
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

    /// Waits until nobody wants it any more: the thread is to stop, or the peer has been gone for
    /// `grace`. One that works on what came before is not to be cut off at once.
    async fn unwanted(&self, grace: Duration) {
        let forsaken = poll_fn(|cx| {
            let mut state = self.state();
            if state.forsaken {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        let outlived = async {
            forsaken.await;
            sleep(grace).await;
        };
        first(stopped(), outlived).await;
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
