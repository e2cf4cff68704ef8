//! The load: wrk, one thread on a core of its own, with its figures read exactly.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::child::Process;
use crate::entry::Server;
use crate::request::Request;
use crate::rounds::{Count, Sample};
use crate::{Settings, machine, rounds};

/// wrk with the script that makes it print exact figures.
pub(crate) struct Wrk {
    program: PathBuf,
    directory: TempDir,
    core: usize,
}

const SCRIPT: &str = include_str!("wrk-summary.lua");

/// A request that takes longer is an error to wrk.
const REQUEST_LIMIT: &str = "20s";

/// Where wrk is installed.
pub(crate) fn find() -> Option<PathBuf> {
    machine::find_program("wrk")
}

impl Wrk {
    /// wrk to be run on `core`.
    pub(crate) fn new(core: usize) -> anyhow::Result<Self> {
        Self::told(core, "")
    }

    /// The same, sending this request in place of a plain GET.
    pub(crate) fn asking(core: usize, request: &Request) -> anyhow::Result<Self> {
        Self::told(core, &request.script())
    }

    fn told(core: usize, lua: &str) -> anyhow::Result<Self> {
        let program = find().context("wrk is not installed (apt-get install wrk)")?;
        let directory = tempfile::tempdir().context("temporary directory")?;
        std::fs::write(directory.path().join("summary.lua"), format!("{lua}{SCRIPT}"))?;
        Ok(Self { program, directory, core })
    }

    /// Warms `server` up over `connections`, then counts what it answers over as many new ones.
    /// `verify` is called between the two.
    pub(crate) fn turn(
        &self,
        server: &Server,
        connections: u32,
        settings: &Settings,
        verify: impl FnOnce(&Server) -> anyhow::Result<()>,
    ) -> anyhow::Result<Sample> {
        self.warm_up(server, connections, settings.warm_up)?;
        // The server answers in order of arrival: once it has answered a newcomer, it has seen
        // the connections of the warm-up leave.
        verify(server)?;
        rounds::sample(server, || self.count(server, connections, settings.seconds))
    }

    /// wrk counts in whole seconds, so it is stopped when it has run long enough.
    fn warm_up(&self, server: &Server, connections: u32, duration: Duration) -> anyhow::Result<()> {
        if duration.is_zero() {
            return Ok(());
        }
        let seconds = u32::try_from(duration.as_secs())?.saturating_add(10);
        let mut command = self.command(server, connections, seconds);
        command.stdout(Stdio::null());
        let mut wrk = Process::spawn(command, self.core)?;
        match wrk.wait(duration)? {
            None => Ok(()),
            Some(status) => bail!("wrk ended early: {status}"),
        }
    }

    fn count(&self, server: &Server, connections: u32, seconds: u32) -> anyhow::Result<Count> {
        let mut command = self.command(server, connections, seconds);
        command.stdout(Stdio::piped());
        let limit = Duration::from_secs(u64::from(seconds) + 30);
        let text = Process::spawn(command, self.core)?.output(limit).context("wrk")?;
        parse(&text).with_context(|| format!("wrk printed no summary: {}", text.trim()))
    }

    fn command(&self, server: &Server, connections: u32, seconds: u32) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--threads", "1", "--timeout", REQUEST_LIMIT])
            .args(["--connections", &connections.to_string()])
            .args(["--duration", &format!("{seconds}s")])
            .arg("--script")
            .arg(self.directory.path().join("summary.lua"))
            .arg(format!("http://{}{}", server.address, server.target))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
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
        wall: Duration::from_micros(next()?),
        errors: next()?,
        p50: Duration::from_micros(next()?),
        p99: Duration::from_micros(next()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_found_among_what_else_wrk_prints() {
        let text = "Running 3s test @ http://127.0.0.1:1/\n  2 requests in 3.00s, 1KB read\n\
                    summary 412345 513369525 3001234 2 402 812\n";
        let count = parse(text).expect("a summary");
        assert_eq!(
            count,
            Count {
                requests: 412_345.0,
                bytes: 513_369_525.0,
                wall: Duration::from_micros(3_001_234),
                errors: 2,
                p50: Duration::from_micros(402),
                p99: Duration::from_micros(812),
            }
        );
        assert_eq!(parse("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
        assert_eq!(parse("summary 1 2 nan 0 0 0\n"), None);
    }
}
