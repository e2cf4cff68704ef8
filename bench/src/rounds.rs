//! Turns: each server for a few seconds, then the next, and round again.
//!
//! Whatever else the machine does drifts slower than a round, so two servers of one round met
//! the same machine, and their ratio says more than either figure.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;

use crate::entry::{Entry, Server, State};
use crate::wrk::{Count, Wrk};
use crate::{Settings, cpu, interrupt};

/// One turn of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) count: Count,
    /// CPU time of the server, all processes and threads.
    pub(crate) cpu: Duration,
}

/// The turns of every entry: `samples[entry][round]`, `None` where the entry was absent.
pub(crate) type Samples = Vec<Vec<Option<Sample>>>;

/// Warms every entry up, then gives each its turn in every round. An entry that fails becomes
/// absent and the others go on.
pub(crate) fn run(
    entries: &mut [Entry],
    wrk: &Wrk,
    connections: u32,
    settings: &Settings,
) -> anyhow::Result<Samples> {
    let mut samples = vec![Vec::new(); entries.len()];
    for entry in entries.iter_mut() {
        progress(&format!("{connections} connections: warm-up of {}", entry.name));
        attempt(entry, |server| turn(server, wrk, connections, settings.warm_up))?;
    }
    for round in 1..=settings.rounds {
        for (entry, samples) in entries.iter_mut().zip(&mut samples) {
            let of = settings.rounds;
            progress(&format!("{connections} connections: round {round} of {of}: {}", entry.name));
            let turn = |server: &Server| turn(server, wrk, connections, settings.seconds);
            samples.push(attempt(entry, turn)?);
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

fn attempt(
    entry: &mut Entry,
    turn: impl FnOnce(&Server) -> anyhow::Result<Sample>,
) -> anyhow::Result<Option<Sample>> {
    let Some(server) = entry.server() else {
        return Ok(None);
    };
    match turn(server) {
        Ok(sample) => Ok(Some(sample)),
        Err(error) => {
            interrupt::check()?;
            entry.state = State::Absent(format!("{error:#}"));
            Ok(None)
        }
    }
}

fn turn(server: &Server, wrk: &Wrk, connections: u32, seconds: u32) -> anyhow::Result<Sample> {
    let before = cpu::time_of_tree(server.process.pid())?;
    let count = wrk.run(server.address, &server.target, connections, seconds)?;
    let after = cpu::time_of_tree(server.process.pid())?;
    let cpu = after.checked_sub(before).context("a process of the server ended")?;
    anyhow::ensure!(count.requests > 0.0 || count.bytes > 0.0, "answered nothing");
    anyhow::ensure!(!cpu.is_zero(), "used no CPU time");
    Ok(Sample { count, cpu })
}
