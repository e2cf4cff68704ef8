//! A server that takes its turns in a suite, or the reason why it does not.

use std::fs::File;
use std::io::{Read, Seek};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use sockeye_engine::DriverKind;

use crate::Settings;
use crate::child::Process;
use crate::exchange::Client;
use crate::nginx::{self, Answer};
use crate::report::on_one_line;

/// One row of a suite's table: how its server is started, again for every turn.
pub(crate) struct Entry<'a> {
    pub(crate) name: String,
    start: Box<dyn Fn() -> anyhow::Result<Server> + 'a>,
    /// Why there is nothing to measure; shown in the table in place of figures.
    absent: Option<String>,
}

/// A running server; dropped, it is stopped.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// What to ask for; empty where the server is asked for nothing by name.
    pub(crate) target: String,
    /// Kept until the server is gone.
    _directory: Option<tempfile::TempDir>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(
        name: impl Into<String>,
        start: impl Fn() -> anyhow::Result<Server> + 'a,
    ) -> Self {
        Self { name: name.into(), start: Box::new(start), absent: None }
    }

    /// `sockeye serve` on one thread, its eye shut.
    pub(crate) fn sockeye(
        settings: &'a Settings,
        site: &'a Path,
        target: &'a str,
        driver: DriverKind,
    ) -> Self {
        let start = move || start_sockeye(settings, site, target, driver, Eye::Shut);
        Self::new(format!("sockeye {driver}"), start)
    }

    /// `sockeye serve --eye`, calls and capture recorded, its pictures thrown away.
    pub(crate) fn sockeye_eye(
        settings: &'a Settings,
        site: &'a Path,
        target: &'a str,
        driver: DriverKind,
    ) -> Self {
        Self::new(format!("sockeye {driver} --eye"), move || {
            if !rustix::process::geteuid().is_root() {
                bail!("skipped: capture needs root");
            }
            start_sockeye(settings, site, target, driver, Eye::Open)
        })
    }

    pub(crate) fn nginx(
        settings: &'a Settings,
        name: &str,
        answer: Answer<'a>,
        target: &'a str,
    ) -> Self {
        Self::new(name, move || {
            let nginx = nginx::start(answer, settings.server_core)?;
            Ok(Server {
                process: nginx.process,
                address: nginx.address,
                target: target.to_owned(),
                _directory: Some(nginx.directory),
            })
        })
    }

    /// The hand-written loop, answering with the bytes in `response`.
    pub(crate) fn raw_epoll(settings: &'a Settings, response: &Path, target: &'a str) -> Self {
        let response = response.to_owned();
        Self::new("raw epoll loop", move || {
            let mut command = Command::new(built(settings.program("raw-epoll"))?);
            command.arg(&response).args(["--port", "0"]);
            start(command, settings, target, Eye::Shut)
        })
    }

    /// One of the benchmark's own servers, with these arguments.
    pub(crate) fn program<'b>(
        settings: &'a Settings,
        name: impl Into<String>,
        program: &'static str,
        args: impl IntoIterator<Item = &'b str>,
    ) -> Self {
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        Self::new(name, move || {
            let mut command = Command::new(built(settings.program(program))?);
            command.args(&args);
            start(command, settings, "", Eye::Shut)
        })
    }

    /// A fresh process of the server.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        match &self.absent {
            None => (self.start)(),
            Some(reason) => bail!("{reason}"),
        }
    }

    /// From now on the entry has no turn.
    pub(crate) fn give_up(&mut self, reason: &anyhow::Error) {
        self.absent = Some(on_one_line(&format!("{reason:#}")));
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.absent.is_some()
    }

    /// Why this entry has no figures, its name first; `None` while it has its turns.
    pub(crate) fn reason(&self) -> Option<String> {
        self.absent.as_ref().map(|reason| format!("{}: {reason}", self.name))
    }
}

impl Server {
    /// One that was started by other means.
    pub(crate) fn new(process: Process, address: SocketAddr, target: String) -> Self {
        Self { process, address, target, _directory: None }
    }

    /// Fails unless it answers with `length` bytes of body, `body` first.
    pub(crate) fn verify(&self, body: &[u8], length: usize) -> anyhow::Result<()> {
        let response = Client::connect(self.address)?.get_head(&self.target)?;
        if response.length != length {
            bail!("answered {} bytes of body, not {length}", response.length);
        }
        let common = response.body().len().min(body.len());
        if response.body()[..common] != body[..common] {
            bail!("answered another body");
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Eye {
    Shut,
    Open,
}

fn start_sockeye(
    settings: &Settings,
    site: &Path,
    target: &str,
    driver: DriverKind,
    eye: Eye,
) -> anyhow::Result<Server> {
    let mut command = Command::new(built(settings.sockeye())?);
    command.arg("serve").arg(site);
    command.args(["--port", "0", "--driver", driver.name()]);
    // On the blocking driver that would be one connection at a time; there each has a thread.
    if driver.multiplexes() {
        command.args(["--threads", "1"]);
    }
    if eye == Eye::Open {
        command.arg("--eye");
    }
    start(command, settings, target, eye)
}

/// The program, if there is one.
fn built(program: PathBuf) -> anyhow::Result<PathBuf> {
    if !program.is_file() {
        bail!("{}: not built", program.display());
    }
    Ok(program)
}

/// Starts a server that prints `… on http://ADDRESS:PORT/` or `… on tcp://ADDRESS:PORT` when it is
/// ready.
fn start(
    mut command: Command,
    settings: &Settings,
    target: &str,
    eye: Eye,
) -> anyhow::Result<Server> {
    let mut errors = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    match eye {
        Eye::Shut => command.stderr(errors.try_clone()?),
        Eye::Open => command.stderr(Stdio::null()),
    };
    let mut process = Process::spawn(command, settings.server_core)?;
    let line =
        process.first_line(Duration::from_secs(10)).with_context(|| last_line(&mut errors))?;
    let address = address_in(&line).with_context(|| format!("no address in: {line}"))?;
    Ok(Server { process, address, target: target.to_owned(), _directory: None })
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.rsplit_once("://")?;
    after.trim_end().trim_end_matches('/').parse().ok()
}

/// What a program that failed said last.
pub(crate) fn last_line(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    match (read, line) {
        (Ok(_), Some(line)) => line.trim().to_owned(),
        _ => "did not start".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_last_thing_on_the_ready_line() {
        let expected = "127.0.0.1:8080".parse().ok();
        assert_eq!(address_in("serving /srv on http://127.0.0.1:8080/"), expected);
        assert_eq!(address_in("serving /a on http://b on http://127.0.0.1:8080/"), expected);
        assert_eq!(address_in("raw-echo on tcp://127.0.0.1:8080"), expected);
        assert_eq!(address_in("serving /srv"), None);
    }
}
