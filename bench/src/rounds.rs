//! Turns: a fresh process of each server for a few seconds, then of the next, and round again.
//!
//! Whatever else the machine does drifts slower than a round, so two servers of one round met
//! the same machine, and their ratio says more than either figure. A process keeps for life what
//! it was given at its start (which pages, which part of the kernel's slabs): two of the same
//! program can differ by a tenth. So none has more than one turn, and within a round the order is
//! a new one each time, so that none always follows the same neighbour.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::entry::{Entry, Server};
use crate::{Settings, interrupt};

/// One turn of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) count: Count,
    /// CPU time of the server, all processes and threads, and of whoever looks on.
    pub(crate) cpu: Duration,
}

/// What the load counted in one turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Count {
    /// Requests or messages answered.
    pub(crate) requests: f64,
    /// Bytes received by wrk, heads included; bytes sent by a load that is not answered.
    pub(crate) bytes: f64,
    pub(crate) wall: Duration,
    /// Failed connects, reads and writes, timeouts, and statuses above 399.
    pub(crate) errors: u64,
    /// The time half of the requests stayed below.
    pub(crate) p50: Duration,
    /// The time 99 of 100 requests stayed below.
    pub(crate) p99: Duration,
}

/// The turns of every entry: `samples[entry][round]`, `None` where the entry was absent.
pub(crate) type Samples = Vec<Vec<Option<Sample>>>;

/// Gives each entry its turn in every round: a fresh server, handed to `measure`. An entry that
/// fails becomes absent and the others go on.
pub(crate) fn run(
    entries: &mut [Entry<'_>],
    what: &str,
    settings: &Settings,
    mut measure: impl FnMut(&Server) -> anyhow::Result<Sample>,
) -> anyhow::Result<Samples> {
    let mut samples = vec![Vec::new(); entries.len()];
    let mut random = fastrand::Rng::with_seed(settings.seed);
    let mut order: Vec<usize> = (0..entries.len()).collect();
    for round in 1..=settings.rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let entry = &mut entries[index];
            let sample = if entry.is_absent() {
                None
            } else {
                progress(&format!("{what}: round {round} of {}: {}", settings.rounds, entry.name));
                attempt(entry, &mut measure)?
            };
            samples[index].push(sample);
        }
    }
    progress("");
    Ok(samples)
}

/// Overwrites the one line of progress; nothing where nobody watches.
pub(crate) fn progress(line: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        // Progress that can't be shown is no reason to stop measuring.
        let _ = write!(err, "\r\x1b[K{line}").and_then(|()| err.flush());
    }
}

/// Counts what `load` does and the CPU time the server spends on it.
pub(crate) fn sample(
    server: &Server,
    load: impl FnOnce() -> anyhow::Result<Count>,
) -> anyhow::Result<Sample> {
    let before = server.cpu_time()?;
    let count = load()?;
    let after = server.cpu_time()?;
    Sample::new(count, before, after)
}

impl Sample {
    /// `before` and `after` are what the server's clocks showed.
    pub(crate) fn new(count: Count, before: Duration, after: Duration) -> anyhow::Result<Self> {
        let cpu = after.checked_sub(before).context("a process of the server ended")?;
        ensure!(count.requests > 0.0 || count.bytes > 0.0, "answered nothing");
        ensure!(!cpu.is_zero(), "used no CPU time");
        Ok(Self { count, cpu })
    }
}

fn attempt(
    entry: &mut Entry<'_>,
    measure: &mut impl FnMut(&Server) -> anyhow::Result<Sample>,
) -> anyhow::Result<Option<Sample>> {
    match entry.start().and_then(|server| measure(&server)) {
        Ok(sample) => Ok(Some(sample)),
        Err(error) => {
            interrupt::check()?;
            entry.give_up(&error);
            Ok(None)
        }
    }
}
