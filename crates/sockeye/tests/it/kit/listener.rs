//! `sockeye listen` as a child process, ended when the test ends.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::said::Said;
use super::server::{Ended, sockeye};
use super::{PATIENCE, eventually};

/// A listener that said it is ready.
pub(crate) struct Listener {
    /// What it listens on, as it says, in order.
    pub(crate) endpoints: Vec<String>,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Said,
    child: Ended,
}

impl Listener {
    /// With standard input at its end, on all endpoints that are among the arguments.
    pub(crate) fn start(arguments: &[&str]) -> Listener {
        Listener::of(sockeye().arg("listen").args(arguments).stdin(Stdio::null()), arguments)
    }

    /// With standard input in the hands of the test.
    pub(crate) fn with_input(arguments: &[&str]) -> Listener {
        Listener::of(sockeye().arg("listen").args(arguments).stdin(Stdio::piped()), arguments)
    }

    pub(crate) fn of(command: &mut Command, arguments: &[&str]) -> Listener {
        let expected = arguments.iter().filter(|argument| argument.contains(':')).count();
        Listener::ready(command.stdout(Stdio::piped()), expected)
    }

    /// On one endpoint, with this as its standard output.
    pub(crate) fn at_terminal(command: &mut Command, terminal: impl Into<Stdio>) -> Listener {
        Listener::ready(command.stdout(terminal), 1)
    }

    fn ready(command: &mut Command, expected: usize) -> Listener {
        let mut child = Ended(command.stderr(Stdio::piped()).spawn().unwrap());
        let stderr = Said::by(child.0.stderr.take().unwrap());
        let endpoints = stderr.wait("that it listens", |said| {
            let whole = &said[..said.rfind('\n').map_or(0, |end| end + 1)];
            let all: Vec<String> = whole
                .lines()
                .filter_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()))
                .collect();
            (all.len() >= expected).then_some(all)
        });
        let (stdin, stdout) = (child.0.stdin.take(), child.0.stdout.take());
        Listener { endpoints, stdin, stdout, stderr, child }
    }

    /// Where it listens, on the internet.
    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoints[0].split_once("://").unwrap().1.parse().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Standard output from now on.
    pub(crate) fn output(&mut self) -> Said {
        Said::by(self.stdout.take().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    /// Sends it a signal again as soon as it has taken it, as timeout(1) does; how long that took.
    pub(crate) fn signal_twice(&self, signal: Signal) -> Duration {
        let status = format!("/proc/{}/status", self.child.0.id());
        let begun = Instant::now();
        self.signal(signal);
        eventually("the signal is taken", || {
            let status = fs::read_to_string(&status).unwrap();
            let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
            (u64::from_str_radix(pending.trim(), 16).unwrap() == 0).then_some(())
        });
        self.signal(signal);
        begun.elapsed()
    }

    /// The most memory it ever had, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Waits for its end; its status and all it said on standard error.
    pub(crate) fn ended(self) -> (ExitStatus, String) {
        let Listener { mut child, stderr, stdin, stdout, .. } = self;
        drop(stdin);
        let status = eventually("the end of the listener", || child.0.try_wait().unwrap());
        drop(stdout);
        (status, stderr.all())
    }

    /// Has it end in peace; what it said on standard error besides where it listens.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, said) = self.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        said.lines()
            .filter(|line| !line.starts_with("listening on "))
            .collect::<Vec<_>>()
            .join("\n")
    }
}
