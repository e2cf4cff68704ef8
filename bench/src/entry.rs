//! A server that takes its turn in a suite, or the reason why it does not.

use std::fs::File;
use std::io::{Read, Seek};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::Settings;
use crate::child::Process;
use crate::exchange::Client;
use crate::nginx::{self, Answer};
use crate::report::on_one_line;

/// One row of a suite's table.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) state: State,
}

pub(crate) enum State {
    Ready(Box<Server>),
    /// Why there is nothing to measure; shown in the table in place of figures.
    Absent(String),
}

/// A running server; dropped, it is stopped.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) target: String,
    /// Kept until the server is gone.
    _directory: Option<tempfile::TempDir>,
}

impl Entry {
    pub(crate) fn new(name: impl Into<String>, started: anyhow::Result<Server>) -> Self {
        let state = match started {
            Ok(server) => State::Ready(Box::new(server)),
            Err(error) => State::Absent(format!("{error:#}")),
        };
        Self { name: name.into(), state }
    }

    /// `sockeye serve` on one thread, its eye shut.
    pub(crate) fn sockeye(settings: &Settings, site: &Path, target: &str, driver: &str) -> Self {
        let started = start_sockeye(settings, site, target, driver, Eye::Shut);
        Self::new(format!("sockeye {driver}"), started)
    }

    /// `sockeye serve --eye`, calls and capture recorded, its pictures thrown away.
    pub(crate) fn sockeye_eye(
        settings: &Settings,
        site: &Path,
        target: &str,
        driver: &str,
    ) -> Self {
        let name = format!("sockeye {driver} --eye");
        if !rustix::process::geteuid().is_root() {
            return Self { name, state: State::Absent("skipped: capture needs root".into()) };
        }
        Self::new(name, start_sockeye(settings, site, target, driver, Eye::Open))
    }

    pub(crate) fn nginx(settings: &Settings, name: &str, answer: Answer<'_>, target: &str) -> Self {
        let started = nginx::start(answer, settings.server_core).map(|nginx| Server {
            process: nginx.process,
            address: nginx.address,
            target: target.to_owned(),
            _directory: Some(nginx.directory),
        });
        Self::new(name, started)
    }

    /// The hand-written loop, answering with the bytes in `response`.
    pub(crate) fn raw_epoll(settings: &Settings, response: &Path, target: &str) -> Self {
        let mut command = Command::new(settings.raw_epoll());
        command.arg(response).args(["--port", "0"]);
        Self::new("raw epoll loop", start(command, settings, target, Eye::Shut))
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        match &self.state {
            State::Ready(server) => Some(server),
            State::Absent(_) => None,
        }
    }

    /// Why this entry has no figures, its name first; `None` while it runs.
    pub(crate) fn reason(&self) -> Option<String> {
        match &self.state {
            State::Ready(_) => None,
            State::Absent(reason) => Some(format!("{}: {}", self.name, on_one_line(reason))),
        }
    }

    /// Stops an entry that answers with anything but `length` bytes of body, `body` first.
    pub(crate) fn verify(&mut self, body: &[u8], length: usize) {
        let Some(server) = self.server() else { return };
        let verified = server.verify(body, length);
        if let Err(error) = verified {
            self.state = State::Absent(format!("{error:#}"));
        }
    }
}

impl Server {
    fn verify(&self, body: &[u8], length: usize) -> anyhow::Result<()> {
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
    driver: &str,
    eye: Eye,
) -> anyhow::Result<Server> {
    let program = settings.sockeye();
    if !program.is_file() {
        bail!("{}: not built", program.display());
    }
    let mut command = Command::new(program);
    command.arg("serve").arg(site);
    command.args(["--port", "0", "--driver", driver]);
    // On the blocking driver that would be one connection at a time; there each has a thread.
    if driver != "blocking" {
        command.args(["--threads", "1"]);
    }
    if eye == Eye::Open {
        command.arg("--eye");
    }
    start(command, settings, target, eye)
}

/// Starts a server that prints `serving … on http://ADDRESS:PORT/` when it is ready.
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
    let (_, after) = line.rsplit_once(" on http://")?;
    after.trim_end().trim_end_matches('/').parse().ok()
}

fn last_line(file: &mut File) -> String {
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
        assert_eq!(address_in("serving /srv"), None);
    }
}
