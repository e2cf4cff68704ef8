//! Somebody looking on against nobody: the eye in each of its ways, and strace and tcpdump.

use std::io::Write;

use clap::ValueEnum;
use sockeye_engine::DriverKind;

use super::{Site, TARGET};
use crate::Settings;
use crate::echo::{Kind, Load};
use crate::entry::Entry;
use crate::report::{self, Column, Work};
use crate::rounds::{self, Sample};
use crate::watched::Watched;
use crate::wrk::Wrk;

/// What crosses the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Traffic {
    /// A file of 1 KiB over HTTP, at 64 and 512 kept-alive connections.
    Http,
    /// Messages of 64 bytes there and back, the next one when the last came back.
    Echo,
    /// A file of 100 MB over HTTP, over 4 connections.
    Bulk,
}

impl Traffic {
    pub(crate) const ALL: [Traffic; 3] = [Traffic::Http, Traffic::Echo, Traffic::Bulk];
}

impl std::fmt::Display for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Traffic::Http => "http",
            Traffic::Echo => "echo",
            Traffic::Bulk => "bulk",
        })
    }
}

const DRIVERS: [DriverKind; 2] = [DriverKind::EpollEdge, DriverKind::Uring];

const ECHO_CONNECTIONS: u32 = 64;

const BULK_LENGTH: usize = 100_000_000;
const BULK_CONNECTIONS: u32 = 4;

pub(crate) fn run(
    settings: &Settings,
    traffic: &[Traffic],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for traffic in traffic {
        match traffic {
            Traffic::Http => {
                let site = Site::new(1024)?;
                for driver in DRIVERS {
                    for connections in [64, 512] {
                        http(settings, driver, &site, connections, Work::Requests, out)?;
                    }
                }
            }
            Traffic::Bulk => {
                let site = Site::new(BULK_LENGTH)?;
                for driver in DRIVERS {
                    http(settings, driver, &site, BULK_CONNECTIONS, Work::Bytes, out)?;
                }
            }
            Traffic::Echo => {
                for driver in DRIVERS {
                    echo(settings, driver, out)?;
                }
            }
        }
    }
    Ok(())
}

fn http(
    settings: &Settings,
    driver: DriverKind,
    site: &Site,
    connections: u32,
    work: Work,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let wrk = Wrk::new(settings.load_core)?;
    let entries = Watched::ALL
        .map(|watched| Entry::serve_watched(settings, site.path(), TARGET, driver, watched));
    let length = match work {
        Work::Bytes => "100 MB",
        Work::Requests | Work::Messages => "1 KiB",
    };
    let title = format!("{driver}, {length}, {connections} kept-alive connections");
    table(settings, &title, entries, work, out, |server| {
        wrk.turn(server, connections, settings, |server| site.verify(server))
    })
}

fn echo(settings: &Settings, driver: DriverKind, out: &mut dyn Write) -> anyhow::Result<()> {
    let load = Load { connections: ECHO_CONNECTIONS, idle: 0, kind: Kind::Closed };
    let entries = Watched::ALL.map(|watched| Entry::echo_watched(settings, driver, watched));
    let title = format!("{driver}, 64 bytes there and back, {ECHO_CONNECTIONS} connections");
    table(settings, &title, entries, Work::Messages, out, |server| load.turn(server, settings))
}

/// All ways of looking on, each against the shut eye of its round.
fn table(
    settings: &Settings,
    title: &str,
    mut entries: [Entry<'_>; Watched::ALL.len()],
    work: Work,
    out: &mut dyn Write,
    turn: impl FnMut(&crate::entry::Server) -> anyhow::Result<Sample>,
) -> anyhow::Result<()> {
    let columns = [
        Column::PerSecond,
        Column::PerSecondAgainst(0),
        Column::PerCpu,
        Column::CostAgainst(0),
        Column::P99,
    ];
    writeln!(out, "## The eye: {title}\n")?;
    let samples = rounds::run(&mut entries, title, settings, turn)?;
    report::write(out, &entries, &samples, work, &columns, settings)
}
