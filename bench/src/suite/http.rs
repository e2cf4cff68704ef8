//! What a file server does besides whole files, against nginx doing the same.

mod cells;
mod material;

use std::io::Write;

use anyhow::ensure;
use clap::ValueEnum;
use sockeye_engine::DriverKind;

use crate::Settings;
use crate::entry::{Entry, Server};
use crate::nginx::{Answer, Site};
use crate::report::{self, Column, Work};
use crate::request::Request;
use crate::rounds::{self, Sample};
use crate::wrk::Wrk;
use cells::Cell;
use material::Material;

/// A group of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    /// 1 kB, 64 kB and three parts of a file of 10 MB.
    Ranges,
    /// A client that has the file already: 304.
    Conditional,
    /// A `.gz` beside the file, and gzip while it is sent.
    Compression,
    /// A folder with 50,000 files, as a page and as JSON.
    Listing,
    /// A small file, and a line of the log for each request.
    Log,
    /// PUT of 1 MB.
    Upload,
}

impl Job {
    pub(crate) const ALL: [Job; 6] =
        [Job::Ranges, Job::Conditional, Job::Compression, Job::Listing, Job::Log, Job::Upload];
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

const DRIVERS: [DriverKind; 2] = [DriverKind::EpollEdge, DriverKind::Uring];

/// Prints a table for each cell of these groups.
pub(crate) fn run(settings: &Settings, jobs: &[Job], out: &mut dyn Write) -> anyhow::Result<()> {
    let material = Material::new(jobs.contains(&Job::Listing))?;
    for cell in cells::all().iter().filter(|cell| jobs.contains(&cell.job)) {
        table(settings, &material, cell, out)?;
    }
    Ok(())
}

fn table(
    settings: &Settings,
    material: &Material,
    cell: &Cell,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let sites: Vec<Site> = cell
        .nginx
        .iter()
        .map(|way| Site {
            root: material.path().to_owned(),
            directives: way.directives,
            log: way.log,
        })
        .collect();
    let mut entries: Vec<Entry<'_>> = DRIVERS
        .into_iter()
        .map(|driver| {
            let (options, logs) = (cell.options, cell.job == Job::Log);
            Entry::serve_with(settings, material.path(), cell.target, driver, options, logs)
        })
        .collect();
    let first = entries.len();
    let peers = first..first + sites.len();
    for (way, site) in cell.nginx.iter().zip(&sites) {
        entries.push(Entry::nginx(settings, way.name, Answer::Site(site), cell.target));
    }
    // The first one once more: how far its ratio is from 1 is how far the machine lies.
    if let (Some(way), Some(site)) = (cell.nginx.first(), sites.first()) {
        let name = format!("{}, again", way.name);
        entries.push(Entry::nginx(settings, &name, Answer::Site(site), cell.target));
    }
    let mut columns = vec![Column::Cost];
    columns.extend(peers.map(Column::PerCpuAgainst));
    columns.extend([Column::P50, Column::P99, Column::BytesEach]);
    let plural = if cell.connections == 1 { "" } else { "s" };
    writeln!(out, "## {}, {} connection{plural}\n", cell.title, cell.connections)?;
    material.wait_until_settled();
    let mut longer = settings.clone();
    longer.seconds = settings.seconds.saturating_mul(cell.longer);
    let samples = rounds::run(&mut entries, &cell.title, settings, |server| {
        turn(&longer, material, cell, server)
    })?;
    report::write(out, &entries, &samples, Work::Requests, &columns, settings)
}

/// One turn of one server, once its answer was seen to be the one that is meant.
fn turn(
    settings: &Settings,
    material: &Material,
    cell: &Cell,
    server: &Server,
) -> anyhow::Result<Sample> {
    let request = match cell.conditional {
        false => cell.request.clone(),
        true => {
            let whole = cell.request.ask(server.address, &server.target)?;
            let tag = whole.header("etag");
            ensure!(tag.is_some(), "sends no ETag");
            Request::get(&[("If-None-Match", tag.unwrap_or_default())])
        }
    };
    let wrk = Wrk::asking(settings.load_core, &request)?;
    wrk.turn(server, cell.connections, settings, |server| {
        let answer = request.ask(server.address, &server.target)?;
        cell.expected.check(&answer, material)
    })
}
