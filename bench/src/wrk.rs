//! The load: wrk, one thread on a core of its own, with its figures read exactly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::child::Process;
use crate::machine;

/// wrk with the script that makes it print exact figures.
pub(crate) struct Wrk {
    program: PathBuf,
    directory: TempDir,
    core: usize,
}

/// What one run of wrk counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Count {
    pub(crate) requests: f64,
    /// Bytes received, heads included.
    pub(crate) bytes: f64,
    pub(crate) wall: Duration,
    /// Failed connects, reads and writes, timeouts, and statuses above 399.
    pub(crate) errors: u64,
    /// The time 99 of 100 requests stayed below.
    pub(crate) p99: Duration,
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
        let program = find().context("wrk is not installed (apt-get install wrk)")?;
        let directory = tempfile::tempdir().context("temporary directory")?;
        std::fs::write(directory.path().join("summary.lua"), SCRIPT)?;
        Ok(Self { program, directory, core })
    }

    /// Asks `address` for `target` over `connections` for that many seconds.
    pub(crate) fn run(
        &self,
        address: SocketAddr,
        target: &str,
        connections: u32,
        seconds: u32,
    ) -> anyhow::Result<Count> {
        let mut command = Command::new(&self.program);
        command
            .args(["--threads", "1", "--timeout", REQUEST_LIMIT])
            .args(["--connections", &connections.to_string()])
            .args(["--duration", &format!("{seconds}s")])
            .arg("--script")
            .arg(self.directory.path().join("summary.lua"))
            .arg(format!("http://{address}{target}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let limit = Duration::from_secs(u64::from(seconds) + 30);
        let text = Process::spawn(command, self.core)?.output(limit).context("wrk")?;
        Count::parse(&text).with_context(|| format!("wrk printed no summary: {}", text.trim()))
    }
}

impl Count {
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("summary "))?;
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (requests, bytes, wall, errors, p99) = (next()?, next()?, next()?, next()?, next()?);
        Some(Self {
            // Both stay far below 2^53, where f64 stops being exact.
            requests: requests as f64,
            bytes: bytes as f64,
            wall: Duration::from_micros(wall),
            errors,
            p99: Duration::from_micros(p99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_found_among_what_else_wrk_prints() {
        let text = "Running 3s test @ http://127.0.0.1:1/\n  2 requests in 3.00s, 1KB read\n\
                    summary 412345 513369525 3001234 2 812\n";
        let count = Count::parse(text).expect("a summary");
        assert_eq!(
            count,
            Count {
                requests: 412_345.0,
                bytes: 513_369_525.0,
                wall: Duration::from_micros(3_001_234),
                errors: 2,
                p99: Duration::from_micros(812),
            }
        );
        assert_eq!(Count::parse("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
        assert_eq!(Count::parse("summary 1 2 nan 0 0\n"), None);
    }
}
