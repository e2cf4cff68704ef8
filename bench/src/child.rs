//! A child process that is pinned to a core, waited for with a deadline, and gone when dropped.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open,
    set_parent_process_death_signal,
};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::interrupt;

/// One process group: the child and whatever it starts.
pub(crate) struct Process {
    child: Child,
    pidfd: OwnedFd,
    /// Kept open so that the child can go on writing without SIGPIPE.
    stdout: Option<ChildStdout>,
}

impl Process {
    /// Starts `command` on `core` alone, in a process group of its own.
    ///
    /// The kernel sends the child SIGTERM should this process die without stopping it.
    pub(crate) fn spawn(mut command: Command, core: usize) -> anyhow::Result<Self> {
        let mut cores = CpuSet::new();
        cores.set(core);
        command.process_group(0);
        let prepare = move || {
            sched_setaffinity(None, &cores)?;
            set_parent_process_death_signal(Some(Signal::TERM))?;
            Ok(())
        };
        // SAFETY: the closure runs between fork and exec and only makes two system calls: it
        // neither allocates nor takes a lock.
        unsafe { command.pre_exec(prepare) };
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("{program}: cannot start"))?;
        let stdout = child.stdout.take();
        let pidfd = match pidfd_open(pid_of(&child), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error).context("pidfd_open");
            }
        };
        Ok(Self { child, pidfd, stdout })
    }

    pub(crate) fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Waits at most `limit` for the child to end; `None` says that it still runs.
    pub(crate) fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if !readable(self.pidfd.as_fd(), deadline)? {
                return Ok(None);
            }
        }
    }

    /// The first line the child prints to its standard output, which must be a pipe.
    pub(crate) fn first_line(&mut self, limit: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        let stdout = self.stdout.as_mut().context("standard output is not a pipe")?;
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            if !readable(stdout.as_fd(), deadline)? {
                bail!("no line on standard output within {limit:?}");
            }
            if stdout.read(&mut byte)? == 0 {
                bail!("ended before it was ready");
            }
            if byte == *b"\n" {
                return String::from_utf8(line).context("first line on standard output");
            }
            line.push(byte[0]);
        }
    }

    /// All the child prints until it ends, which must be within `limit`.
    pub(crate) fn output(mut self, limit: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        let mut stdout = self.stdout.take().context("standard output is not a pipe")?;
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        loop {
            if !readable(stdout.as_fd(), deadline)? {
                bail!("still running after {limit:?}");
            }
            let got = stdout.read(&mut piece)?;
            if got == 0 {
                break;
            }
            text.extend_from_slice(&piece[..got]);
        }
        match self.wait(deadline.saturating_duration_since(Instant::now()))? {
            Some(status) if status.success() => Ok(String::from_utf8_lossy(&text).into_owned()),
            Some(status) => bail!("{status}: {}", String::from_utf8_lossy(&text).trim()),
            None => bail!("still running after {limit:?}"),
        }
    }
}

impl Drop for Process {
    /// SIGTERM, three seconds to comply, then SIGKILL for what is left of the group.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // The child is not reaped yet, so its number is still its own.
            let _ = kill_process(self.pid(), Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(3);
            while let Err(Errno::INTR) = poll_until(self.pidfd.as_fd(), deadline) {}
        }
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Waits until `fd` can be read; `false` when `deadline` came first.
fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> anyhow::Result<bool> {
    loop {
        interrupt::check()?;
        match poll_until(fd, deadline) {
            Ok(ready) => return Ok(ready),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn poll_until(fd: BorrowedFd<'_>, deadline: Instant) -> Result<bool, Errno> {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&timespec(left)))? > 0)
}

fn timespec(duration: Duration) -> Timespec {
    // A duration too long for the kernel's type is as good as no limit.
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::machine::first_core;
    use rustix::process::test_kill_process;
    use rustix::thread::sched_getaffinity;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_dropped_child_is_gone_with_all_it_started() {
        let mut command = Command::new("sh");
        // A child that ignores SIGTERM, as does the process it starts.
        command.args(["-c", "trap '' TERM; sleep 60 & echo $!; wait"]).stdout(Stdio::piped());
        let mut process = Process::spawn(command, first_core()).expect("sh");
        let grandchild: i32 = process.first_line(PATIENCE).expect("line").parse().expect("pid");
        let grandchild = Pid::from_raw(grandchild).expect("pid");
        let pidfd = pidfd_open(grandchild, PidfdFlags::empty()).expect("pidfd");
        test_kill_process(grandchild).expect("runs");
        drop(process);
        assert!(readable(pidfd.as_fd(), Instant::now() + PATIENCE).expect("poll"));
    }

    #[test]
    fn a_child_runs_on_its_core_alone() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = Process::spawn(command, first_core()).expect("sleep");
        let cores = sched_getaffinity(Some(process.pid())).expect("affinity");
        assert!(cores.is_set(first_core()));
        assert_eq!(cores.count(), 1);
    }

    #[test]
    fn waiting_ends_at_the_limit() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let mut process = Process::spawn(command, first_core()).expect("sleep");
        assert!(process.wait(Duration::from_millis(1)).expect("wait").is_none());
    }

    #[test]
    fn a_failing_child_says_what_it_printed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no luck; exit 3"]).stdout(Stdio::piped());
        let process = Process::spawn(command, first_core()).expect("sh");
        let error = process.output(PATIENCE).expect_err("exit 3").to_string();
        assert!(error.contains("exit status: 3") && error.contains("no luck"), "{error}");
    }
}
