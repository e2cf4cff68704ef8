//! The load of the echo suites: `echo-load` on a core of its own, and the servers it drives.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use sockeye_engine::DriverKind;

use crate::Settings;
use crate::child::Process;
use crate::entry::{Entry, Server, last_line};
use crate::rounds::{Count, Sample};

/// What one turn does to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Connections that carry messages or bytes.
    pub(crate) connections: u32,
    /// Connections that are open and silent besides.
    pub(crate) idle: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Messages of 64 bytes, the next one on a connection when the last came back.
    Closed,
    /// Messages of 64 bytes, so many a second, whatever comes back.
    Open { rate: u32 },
    /// Bytes one way, to a server that discards them.
    Bulk,
}

/// The rows of an echo suite.
pub(crate) struct Servers<'a> {
    pub(crate) entries: Vec<Entry<'a>>,
    /// Where the hand-written loops are among them.
    pub(crate) raw: usize,
    pub(crate) tokio: usize,
    pub(crate) monoio: usize,
}

/// The name of the row that shows how far the machine's figures are to be trusted.
pub(crate) const AGAIN: &str = "raw epoll loop, again";

/// Room for connections that come and go while the others stay.
const SPARE: u32 = 16;

/// Longer than opening 15,000 connections takes with any server, one that asks each of them in
/// turn included.
const SET_UP: Duration = Duration::from_secs(300);

impl<'a> Servers<'a> {
    /// The engine on every driver there is, and the hand-written loops, for this load.
    pub(crate) fn new(settings: &'a Settings, load: Load) -> Self {
        let discard = (load.kind == Kind::Bulk).then_some("--discard");
        let held = load.connections.saturating_add(load.idle).saturating_add(SPARE).to_string();
        let mut entries: Vec<Entry<'a>> = DriverKind::ALL
            .into_iter()
            .map(|driver| {
                let args = ["--driver", driver.name(), "--connections", &held];
                let args = args.into_iter().chain(discard);
                Entry::program(settings, format!("sockeye {driver}"), "echo-server", args)
            })
            .collect();
        let mut by_hand = |name: &str, program: &'static str| {
            entries.push(Entry::program(settings, name, program, discard));
            entries.len() - 1
        };
        let raw = by_hand("raw epoll loop", "raw-echo");
        by_hand(AGAIN, "raw-echo");
        let tokio = by_hand("tokio loop", "tokio-echo");
        let monoio = by_hand("monoio loop", "monoio-echo");
        Self { entries, raw, tokio, monoio }
    }
}

impl Load {
    /// Loads `server`, warms it up, and counts; every byte that comes back is compared with what
    /// was sent, and a difference is an error.
    pub(crate) fn turn(self, server: &Server, settings: &Settings) -> anyhow::Result<Sample> {
        let mut errors = tempfile::tempfile()?;
        let mut command = self.command(server, settings);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone()?);
        let mut process = Process::spawn(command, settings.load_core)?;
        let time = settings.warm_up + Duration::from_secs(u64::from(settings.seconds));
        let mut told = |line: &str, limit: Duration| -> anyhow::Result<Duration> {
            let got = process.first_line(limit).with_context(|| last_line(&mut errors))?;
            ensure!(got == line, "echo-load said {got:?}, not {line:?}");
            server.cpu_time()
        };
        let before = told("start", time + SET_UP)?;
        let after = told("end", time + SET_UP)?;
        let rest = process.output(SET_UP).with_context(|| last_line(&mut errors))?;
        let count = parse(&rest).with_context(|| format!("no summary: {}", rest.trim()))?;
        Sample::new(count, before, after)
    }

    fn command(self, server: &Server, settings: &Settings) -> Command {
        let mut command = Command::new(settings.program("echo-load"));
        command
            .arg(server.address.to_string())
            .args(["--connections", &self.connections.to_string()])
            .args(["--idle", &self.idle.to_string()])
            .args(["--warm-up", &settings.warm_up.as_secs_f64().to_string()])
            .args(["--seconds", &settings.seconds.to_string()]);
        match self.kind {
            Kind::Closed => {}
            Kind::Open { rate } => drop(command.args(["--rate", &rate.to_string()])),
            Kind::Bulk => drop(command.arg("--bulk")),
        }
        command
    }
}

fn parse(text: &str) -> Option<Count> {
    let line = text.lines().find_map(|line| line.strip_prefix("summary "))?;
    let mut numbers = line.split(' ').map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    Some(Count {
        // Both stay far below 2^53, where f64 stops being exact.
        requests: next()? as f64,
        bytes: next()? as f64,
        wall: Duration::from_nanos(next()?),
        errors: next()?,
        p50: Duration::from_nanos(next()?),
        p99: Duration::from_nanos(next()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_the_load_is_read() {
        let count = parse("summary 1000 64000 2000000123 1 52000 98000 120000 400000\n");
        let expected = Count {
            requests: 1000.0,
            bytes: 64_000.0,
            wall: Duration::from_nanos(2_000_000_123),
            errors: 1,
            p50: Duration::from_micros(52),
            p99: Duration::from_micros(98),
        };
        assert_eq!(count, Some(expected));
        assert_eq!(parse("start\n"), None);
    }
}
