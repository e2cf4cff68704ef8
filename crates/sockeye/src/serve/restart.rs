//! SIGUSR1 and SIGUSR2: the log file is opened anew; another process takes over.
//!
//! The successor is the program that stands under our name now, so that a new one is begun after an
//! upgrade. It gets the listening sockets themselves, so that no connection is refused: what the kernel
//! has queued, it accepts. Only when it says that it serves does this one stop; if it fails, or says
//! nothing, this one goes on.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use signal_hook::low_level::pipe;
use sockeye_engine::{HANDOVER, Handover, READY};
use sockeye_services::http::{LogWriter, Site};

use super::sockets::{ADMIN, SITE};
use crate::output::say;

/// So long a successor may take until it serves.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the signals are about.
pub(super) struct Operated {
    /// Why nobody can take over, if that is so.
    pub(super) stays: Option<&'static str>,
    pub(super) log: Option<Arc<LogWriter>>,
    pub(super) site: Arc<Site>,
    pub(super) sockets: Sockets,
    /// Ends this process in good order.
    pub(super) stop: UnixStream,
}

/// The listening sockets, until the server stops.
#[derive(Clone, Default)]
pub(super) struct Sockets(Arc<Mutex<Option<Passed>>>);

/// What is passed on.
pub(super) struct Passed {
    pub(super) site: Handover,
    pub(super) admin: Option<Handover>,
}

impl Sockets {
    pub(super) fn keep(&self, passed: Passed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(passed);
    }

    /// Nobody can connect on our account any more; whether a successor lets them.
    pub(super) fn close(&self) -> bool {
        self.take().is_none()
    }

    fn take(&self) -> Option<Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Does what SIGUSR1 and SIGUSR2 ask for, from now on.
///
/// # Errors
///
/// The process is out of descriptors, or of threads.
pub(super) fn obey(operated: Operated) -> anyhow::Result<()> {
    // Found now: later the program may be gone from there, and another one be in its place.
    let program = env::current_exe().context("the path of this program")?;
    let (telling_reopen, reopen) = UnixStream::pair()?;
    let (telling_restart, restart) = UnixStream::pair()?;
    pipe::register(SIGUSR1, telling_reopen)?;
    pipe::register(SIGUSR2, telling_restart)?;
    let run = move || {
        loop {
            let mut fds = [&reopen, &restart].map(|signal| PollFd::new(signal, PollFlags::IN));
            if poll(&mut fds, None).is_err() {
                continue;
            }
            let [reopens, restarts] = fds.map(|fd| !fd.revents().is_empty());
            if reopens {
                let _ = (&reopen).read(&mut [0; 64]);
                match &operated.log {
                    Some(log) => log.reopen(),
                    None => say(format_args!("sockeye: SIGUSR1: there is no log")),
                }
            }
            if restarts {
                let _ = (&restart).read(&mut [0; 64]);
                match operated.hand_over(&program) {
                    Ok(successor) => {
                        say(format_args!(
                            "sockeye: process {successor} serves from now on; this one finishes"
                        ));
                        let _ = (&operated.stop).write(&[1]);
                    }
                    Err(error) => say(format_args!(
                        "sockeye: SIGUSR2: {error:#}; this process goes on serving"
                    )),
                }
            }
        }
    };
    thread::Builder::new().name("operation".to_owned()).spawn(run)?;
    Ok(())
}

impl Operated {
    /// Starts a successor and waits until it serves: its process number.
    fn hand_over(&self, program: &Path) -> anyhow::Result<u32> {
        if let Some(why) = self.stays {
            bail!("{why}");
        }
        let Some(passed) = self.sockets.take() else {
            bail!("this process is about to end");
        };
        match start(program, &passed) {
            Ok(successor) => {
                self.site.leave();
                passed.site.done();
                if let Some(admin) = passed.admin {
                    admin.done();
                }
                Ok(successor)
            }
            Err(error) => {
                self.sockets.keep(passed);
                Err(error)
            }
        }
    }
}

fn start(program: &Path, passed: &Passed) -> anyhow::Result<u32> {
    let (mut copies, mut told) = passed.site.inheritable(SITE).context("descriptors")?;
    if let Some(admin) = &passed.admin {
        let (more, names) = admin.inheritable(ADMIN).context("descriptors")?;
        copies.extend(more);
        told.push_str(&names);
    }
    let (mut ready, writer) = io::pipe().context("a pipe")?;
    let telling = rustix::io::dup(&writer).context("a pipe")?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let mut child = Command::new(program)
        .args(arguments)
        .env(HANDOVER, told.trim_end())
        .env(READY, telling.as_raw_fd().to_string())
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDS")
        .env_remove("LISTEN_FDNAMES")
        .spawn()
        .with_context(|| format!("{}: can't be started", super::Shown(program)))?;
    // Its end is to be seen here.
    drop((writer, telling, copies));
    let patience = Timespec::try_from(PATIENCE).ok();
    let mut fds = [PollFd::new(&ready, PollFlags::IN)];
    let heard = poll(&mut fds, patience.as_ref()).context("waiting for the new process")?;
    if heard == 0 {
        end(&mut child);
        bail!("the new process did not serve within {} seconds", PATIENCE.as_secs());
    }
    if ready.read(&mut [0]).context("waiting for the new process")? == 0 {
        end(&mut child);
        bail!("the new process failed");
    }
    Ok(child.id())
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
