//! A server that takes its turns in a suite, or the reason why it does not.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use sockeye_engine::DriverKind;

use crate::child::Process;
use crate::exchange::Client;
use crate::nginx::{self, Answer};
use crate::report::on_one_line;
use crate::watched::Watched;
use crate::{Settings, cpu, interrupt};

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
    /// Who looks on from outside, if somebody does.
    pub(crate) beside: Option<Process>,
    /// Kept until the server is gone.
    directory: Option<tempfile::TempDir>,
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
        Self::new(format!("sockeye {driver}"), move || {
            start(Self::serve(settings, site, driver)?, settings, target, Said::Kept)
        })
    }

    /// `sockeye serve` on one thread, watched so.
    pub(crate) fn serve_watched(
        settings: &'a Settings,
        site: &'a Path,
        target: &'a str,
        driver: DriverKind,
        watched: Watched,
    ) -> Self {
        Self::new(watched.name(), move || {
            let command = Self::serve(settings, site, driver)?;
            start_watched(command, settings, target, watched)
        })
    }

    /// `sockeye listen --echo`, which has one thread, watched so.
    pub(crate) fn echo_watched(
        settings: &'a Settings,
        driver: DriverKind,
        watched: Watched,
    ) -> Self {
        Self::new(watched.name(), move || {
            watched.check()?;
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let mut command = Command::new(built(settings.sockeye())?);
            command.args(["listen", &format!("tcp://{address}"), "--echo"]);
            command.args(["--driver", driver.name()]);
            let mut command = watched.applied_to(command);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut process = Process::spawn(command, settings.server_core)?;
            wait_until_it_listens(&mut process, address)?;
            let beside = watched.beside(address, settings.server_core)?;
            Ok(Server { beside, ..Server::new(process, address, String::new()) })
        })
    }

    /// `sockeye serve` on one thread, its eye shut, told this besides. Asked to, it writes its access
    /// log to a file.
    pub(crate) fn serve_with(
        settings: &'a Settings,
        site: &'a Path,
        target: &'a str,
        driver: DriverKind,
        options: &'a [&'a str],
        logs: bool,
    ) -> Self {
        Self::new(format!("sockeye {driver}"), move || {
            let directory = tempfile::tempdir().context("temporary directory")?;
            let log = directory.path().join("access.log");
            let mut command = Self::serve_logging(settings, site, driver, logs.then_some(&*log))?;
            command.args(options);
            let mut server = start(command, settings, target, Said::Kept)?;
            server.directory = Some(directory);
            Ok(server)
        })
    }

    fn serve(settings: &Settings, site: &Path, driver: DriverKind) -> anyhow::Result<Command> {
        Self::serve_logging(settings, site, driver, None)
    }

    fn serve_logging(
        settings: &Settings,
        site: &Path,
        driver: DriverKind,
        log: Option<&Path>,
    ) -> anyhow::Result<Command> {
        let mut command = Command::new(built(settings.sockeye())?);
        command.arg("serve").arg(site);
        command.args(["--port", "0", "--driver", driver.name()]);
        match log {
            Some(file) => command.args(["--log", "combined", "--log-file"]).arg(file),
            // Its default writes a line for each request on standard error.
            None => command.args(["--log", "off"]),
        };
        one_thread(&mut command, driver);
        Ok(command)
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
                beside: None,
                directory: Some(nginx.directory),
            })
        })
    }

    /// The hand-written loop, answering with the bytes in `response`.
    pub(crate) fn raw_epoll(settings: &'a Settings, response: &Path, target: &'a str) -> Self {
        let response = response.to_owned();
        Self::new("raw epoll loop", move || {
            let mut command = Command::new(built(settings.program("raw-epoll"))?);
            command.arg(&response).args(["--port", "0"]);
            start(command, settings, target, Said::Kept)
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
            start(command, settings, "", Said::Kept)
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
        Self { process, address, target, beside: None, directory: None }
    }

    /// CPU time it has used, and whoever looks on.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let all = std::iter::once(&self.process).chain(&self.beside);
        all.map(|process| cpu::time_of_tree(process.pid())).sum()
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

/// What becomes of a server's standard error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Its last line is the reason if it does not start.
    Kept,
    /// Pictures go there.
    ThrownAway,
}

/// On the blocking driver that would be one connection at a time; there each has a thread.
fn one_thread(command: &mut Command, driver: DriverKind) {
    if driver.multiplexes() {
        command.args(["--threads", "1"]);
    }
}

fn start_watched(
    command: Command,
    settings: &Settings,
    target: &str,
    watched: Watched,
) -> anyhow::Result<Server> {
    watched.check()?;
    let said = if watched.draws() { Said::ThrownAway } else { Said::Kept };
    let mut server = start(watched.applied_to(command), settings, target, said)?;
    server.beside = watched.beside(server.address, settings.server_core)?;
    Ok(server)
}

/// Longer than a server takes to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until a process that says nothing on standard output listens at its address.
pub(crate) fn wait_until_it_listens(
    process: &mut Process,
    address: SocketAddr,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !listens(address)? {
        interrupt::check()?;
        // Also the pause between two looks.
        if let Some(status) = process.wait(Duration::from_millis(5))? {
            bail!("ended before it listened: {status}");
        }
        ensure!(Instant::now() < deadline, "does not listen within {PATIENCE:?}");
    }
    Ok(())
}

/// Whether somebody listens there, without a connection, which a listener for one would take for
/// the one it waits for.
fn listens(address: SocketAddr) -> anyhow::Result<bool> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    let port = format!(":{:04X}", address.port());
    let mut rows = table.lines().skip(1).map(|line| line.split_whitespace());
    // Columns: number, local address, remote address, state; 0A is LISTEN (proc(5)).
    Ok(rows.any(|mut row| {
        row.nth(1).is_some_and(|local| local.ends_with(&port)) && row.nth(1) == Some("0A")
    }))
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
    said: Said,
) -> anyhow::Result<Server> {
    let mut errors = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    match said {
        Said::Kept => command.stderr(errors.try_clone()?),
        Said::ThrownAway => command.stderr(Stdio::null()),
    };
    let mut process = Process::spawn(command, settings.server_core)?;
    let line =
        process.first_line(Duration::from_secs(10)).with_context(|| last_line(&mut errors))?;
    let address = address_in(&line).with_context(|| format!("no address in: {line}"))?;
    Ok(Server::new(process, address, target.to_owned()))
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.rsplit_once("://")?;
    after.trim_end().trim_end_matches('/').parse().ok()
}

/// What a program that failed says is wrong, or said last.
pub(crate) fn last_line(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    // What follows an error is advice.
    let error = text.lines().find(|line| line.starts_with("error: "));
    let line = error.or_else(|| text.lines().rfind(|line| !line.trim().is_empty()));
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
