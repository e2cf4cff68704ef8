//! `sockeye serve` as a child process on a free port, ended when the test ends.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::eventually;
use super::said::Said;

/// User and group that own nothing, on every Linux.
pub(crate) const NOBODY: u32 = 65534;

/// A server that said it is ready.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What it said on standard output when it was ready.
    pub(crate) ready: String,
    pub(crate) stdout: Said,
    pub(crate) stderr: Said,
    child: Ended,
}

impl Server {
    /// Serves a folder on a port of the system's choice.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Server {
        Server::of(sockeye().arg("serve").arg(folder).args(["--port", "0"]).args(arguments))
    }

    /// Runs a command that serves, and waits until it is ready. What it says on standard error is said
    /// without its log, unless one is asked for.
    pub(crate) fn of(command: &mut Command) -> Server {
        let is_ours = command.get_program() == env!("CARGO_BIN_EXE_sockeye");
        let has_log = command.get_args().any(|word| word.to_string_lossy().starts_with("--log"));
        if is_ours && !has_log {
            command.args(["--log", "off"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Ended(command.spawn().unwrap());
        let stdout = Said::by(child.0.stdout.take().unwrap());
        let stderr = Said::by(child.0.stderr.take().unwrap());
        let Some(ready) = stdout.first_line() else {
            panic!("it does not serve: {}", stderr.all())
        };
        let (_, url) = ready.rsplit_once(" on http://").unwrap();
        let address = url.trim_end_matches('/').parse().unwrap();
        Server { address, ready, stdout, stderr, child }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child.0)
    }

    /// How many descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.0.id())).unwrap().count()
    }

    /// How many sockets the process has open; files it may keep as it likes.
    pub(crate) fn sockets(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.0.id())).unwrap();
        let leads = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        leads.filter(|lead| lead.to_string_lossy().starts_with("socket:")).count()
    }

    /// Waits for its end; its status and all it said on standard error.
    pub(crate) fn ended(self) -> (ExitStatus, String) {
        let Server { mut child, stderr, .. } = self;
        let status = eventually("the end of the server", || child.0.try_wait().unwrap());
        (status, stderr.all())
    }

    /// Sends it this signal until it ends; its status and all it said on standard error.
    pub(crate) fn ended_by(self, signal: Signal) -> (ExitStatus, String) {
        let Server { mut child, stderr, .. } = self;
        let status = eventually("the end of the server", || {
            kill_process(Pid::from_child(&child.0), signal).unwrap();
            child.0.try_wait().unwrap()
        });
        (status, stderr.all())
    }

    /// Has it end in peace; all it said on standard error.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, said) = self.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

/// The program under test, without what the environment of the test would make it do.
pub(crate) fn sockeye() -> Command {
    plain(Command::new(env!("CARGO_BIN_EXE_sockeye")))
}

fn plain(mut command: Command) -> Command {
    // CI is one of them: a dumb terminal is taken for a clever one there.
    let names = ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LC_ALL", "LC_CTYPE"];
    for name in names {
        command.env_remove(name);
    }
    command.env("LANG", "C.UTF-8").env("TERM", "xterm-256color");
    command
}

/// The program under test where everybody can read it.
pub(crate) struct Program {
    folder: TempDir,
}

impl Program {
    pub(crate) fn copy() -> Program {
        let folder = tempfile::tempdir().unwrap();
        readable_by_all(folder.path());
        let program = Program { folder };
        // By another process: a child of this one that is just being started would keep the copy
        // open for writing, and then it can't be run (ETXTBSY).
        output("cp", &[env!("CARGO_BIN_EXE_sockeye"), &program.path()]);
        program
    }

    pub(crate) fn path(&self) -> String {
        self.folder.path().join("sockeye").to_str().unwrap().to_owned()
    }

    /// To be run by nobody: no root, no capabilities, no groups.
    pub(crate) fn by_nobody(&self) -> Command {
        let mut command = plain(Command::new(self.path()));
        command.uid(NOBODY).gid(NOBODY);
        command
    }
}

/// Temporary folders are their owner's alone.
pub(crate) fn readable_by_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a command to its end: exit code, standard output, standard error.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().unwrap());
    let stdout = Said::by(child.0.stdout.take().unwrap());
    let stderr = Said::by(child.0.stderr.take().unwrap());
    let name = format!("the end of {:?}", command.get_program());
    let status = eventually(&name, || child.0.try_wait().unwrap());
    (status.code(), stdout.all(), stderr.all())
}

/// What a program prints, which must succeed.
pub(crate) fn output(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(Command::new(program).args(arguments));
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    stdout
}

/// A child that does not outlive the test.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
