//! CPU time of a server, all its processes and threads together, in nanoseconds.
//!
//! /proc counts in ticks of 10 ms, and the per-thread figures there forget threads that have
//! ended. The CPU-time clock of a process (clock_getcpuclockid(3)) is exact and forgets nothing.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Pid;

/// User and system time spent by `root` and every process descended from it that still runs.
pub(crate) fn time_of_tree(root: Pid) -> anyhow::Result<Duration> {
    tree(root).into_iter().map(time_of).sum()
}

/// `root` and the processes descended from it, parents first.
pub(crate) fn tree(root: Pid) -> Vec<Pid> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        all.extend(children(pid));
        next += 1;
    }
    all
}

/// The children of every thread of `pid`; none when it has just ended.
fn children(pid: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    let Ok(tasks) = fs::read_dir(tasks) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|number| number.parse().ok().and_then(Pid::from_raw))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn time_of(pid: Pid) -> anyhow::Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` is a valid place for the one value the call writes.
    let failed = unsafe { libc::clock_getcpuclockid(pid.as_raw_nonzero().get(), &mut clock) };
    if failed != 0 {
        return Err(std::io::Error::from_raw_os_error(failed))
            .with_context(|| format!("CPU clock of process {pid}"));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the one value the call writes.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(std::io::Error::last_os_error())
            .with_context(|| format!("CPU clock of process {pid}"));
    }
    let seconds = u64::try_from(time.tv_sec).context("CPU clock before zero")?;
    let nanoseconds = u32::try_from(time.tv_nsec).context("CPU clock out of range")?;
    Ok(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::child::Process;
    use crate::machine::first_core;

    #[test]
    fn work_done_shows_on_the_clock_even_of_ended_threads() {
        let own = rustix::process::getpid();
        let before = time_of(own).expect("clock");
        let worker = std::thread::spawn(|| {
            let start = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            loop {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
                let spent =
                    (now.tv_sec - start.tv_sec) * 1_000_000_000 + now.tv_nsec - start.tv_nsec;
                if spent > 5_000_000 {
                    break;
                }
            }
        });
        worker.join().expect("worker");
        assert!(time_of(own).expect("clock") - before >= Duration::from_millis(5));
    }

    #[test]
    fn a_tree_holds_the_grandchildren() {
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'sleep 60 & echo $!; wait' & wait"]).stdout(Stdio::piped());
        let mut process = Process::spawn(command, first_core()).expect("sh");
        let grandchild = process.first_line(Duration::from_secs(20)).expect("line");
        let tree = tree(process.pid());
        assert_eq!(tree.len(), 3);
        assert_eq!(tree[2].as_raw_nonzero().to_string(), grandchild);
        time_of_tree(process.pid()).expect("every clock");
    }
}
