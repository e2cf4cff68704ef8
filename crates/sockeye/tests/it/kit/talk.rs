//! `sockeye connect` and `listen` as child processes, and other programs as their peers.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;
use super::said::Said;
use super::server::{Ended, sockeye};

/// What became of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    /// It ended well, said nothing, and printed this.
    #[track_caller]
    pub(crate) fn printed(&self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!((self.code, &*self.stderr), (Some(0), ""));
        assert_eq!(text(&self.stdout), text(expected));
    }

    /// It failed with this status, printed nothing, and said exactly this.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, said: &str) {
        assert_eq!(self.stderr, said);
        assert_eq!((self.code, &*self.stdout), (Some(code), &b""[..]));
    }
}

/// A program that runs.
pub(crate) struct Running {
    child: Ended,
    stdin: Option<ChildStdin>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    pub(crate) stderr: Said,
}

impl Running {
    /// Starts it with pipes on all sides.
    pub(crate) fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Ended(command.spawn().unwrap());
        let stdin = child.0.stdin.take();
        let mut out = child.0.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut all = Vec::new();
            out.read_to_end(&mut all).unwrap();
            all
        });
        let stderr = Said::by(child.0.stderr.take().unwrap());
        Running { child, stdin, stdout: Some(stdout), stderr }
    }

    pub(crate) fn type_in(&mut self, bytes: impl AsRef<[u8]>) {
        self.stdin.as_mut().unwrap().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    /// Waits for its end; the input stays as it is until then.
    pub(crate) fn ended(mut self) -> Outcome {
        let status = eventually("the end of it", || self.child.0.try_wait().unwrap());
        let stdout = self.stdout.take().map(|reading| reading.join().unwrap()).unwrap_or_default();
        Outcome { code: status.code(), stdout, stderr: self.stderr.all() }
    }
}

/// `sockeye connect` to there.
pub(crate) fn connect(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = sockeye();
    command.arg("connect").arg(endpoint).args(arguments);
    command
}

/// Runs it to its end, with this as its input.
pub(crate) fn fed(command: &mut Command, input: impl Into<Vec<u8>>) -> Outcome {
    let input = input.into();
    let mut running = Running::start(command);
    let mut stdin = running.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        // Whoever has enough may stop reading.
        let _ = stdin.write_all(&input);
    });
    let outcome = running.ended();
    feeding.join().unwrap();
    outcome
}

/// Runs it to its end, with files on both sides.
pub(crate) fn filed(command: &mut Command, input: File, output: File) -> (Option<i32>, String) {
    command.stdin(input).stdout(output).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().unwrap());
    let stderr = Said::by(child.0.stderr.take().unwrap());
    let status = eventually("the end of it", || child.0.try_wait().unwrap());
    (status.code(), stderr.all())
}

/// Python that serves: a script that prints its port, or any line, when it is ready.
pub(crate) struct Python {
    /// What it printed first.
    pub(crate) ready: String,
    _child: Ended,
    _stdout: Said,
}

impl Python {
    pub(crate) fn serve(script: &str, arguments: &[&str]) -> Python {
        let prelude = "import socket, sys, os, time, threading, hashlib, struct\n\
            def ready(word): print(word, flush=True)\n\
            def whole(c):\n\
            \x20   parts = []\n\
            \x20   while True:\n\
            \x20       part = c.recv(1 << 20)\n\
            \x20       if not part: return b''.join(parts)\n\
            \x20       parts.append(part)\n\
            def tcp(host='127.0.0.1'):\n\
            \x20   l = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)\n\
            \x20   l.bind((host, 0)); l.listen(); ready(l.getsockname()[1])\n\
            \x20   return l.accept()[0]\n";
        let mut command = Command::new("python3");
        command.arg("-c").arg(format!("{prelude}{script}")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child: Child = command.spawn().unwrap();
        let stdout = Said::by(child.stdout.take().unwrap());
        let child = Ended(child);
        let ready = stdout.first_line().expect("python says that it is ready");
        Python { ready, _child: child, _stdout: stdout }
    }

    /// Where it listens, if what it printed is a port.
    pub(crate) fn endpoint(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.ready)
    }
}

/// A port that nobody listens on just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
