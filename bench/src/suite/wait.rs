//! What one wait costs while more and more connections are idle: one connection exchanges
//! messages, the others are open and silent. A driver that tells the kernel about every
//! connection each time it waits pays for all of them; one that told it once does not.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use crate::Settings;
use crate::echo::{AGAIN, Kind, Load, Servers};
use crate::plot::{Plot, Series};
use crate::report::{self, write_notes};
use crate::rounds::{self, Sample};
use crate::stats::Quartiles;
use crate::table::Table;

/// Measures at each number of idle connections in `counts`; draws the medians into `svg`.
pub(crate) fn run(
    settings: &Settings,
    counts: &[u32],
    svg: Option<&Path>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    let mut notes = Vec::new();
    for &idle in counts {
        let load = Load { connections: 1, idle, kind: Kind::Closed };
        let mut entries = Servers::new(settings, load).entries;
        let what = format!("{idle} idle connections");
        let samples =
            rounds::run(&mut entries, &what, settings, |server| load.turn(server, settings))?;
        rows.resize_with(entries.len(), Row::default);
        for ((row, entry), samples) in rows.iter_mut().zip(&entries).zip(&samples) {
            row.name.clone_from(&entry.name);
            row.costs.push(Quartiles::of(samples.iter().flatten().map(microseconds_each)));
            notes.extend(entry.reason().map(|reason| format!("{what}: {reason}")));
        }
        if settings.verbose {
            writeln!(out, "### {what}\n")?;
            report::write_rounds(out, &entries, &samples)?;
        }
    }
    writeln!(out, "## A wait among idle connections: CPU time of a message, in microseconds\n")?;
    let headings = counts.iter().map(|count| format!("{count} idle"));
    let mut table = Table::new(std::iter::once("server".to_owned()).chain(headings));
    for row in &rows {
        let cells = row.costs.iter().map(|cost| match cost {
            Some(Quartiles { low, median, high }) => format!("{median:.2} [{low:.2}–{high:.2}]"),
            None => "–".to_owned(),
        });
        table.row(std::iter::once(row.name.clone()).chain(cells));
    }
    table.write(out)?;
    write_notes(out, notes)?;
    if let Some(path) = svg {
        let drawn = plot(counts, &rows).to_svg();
        std::fs::write(path, drawn).with_context(|| format!("{}: write", path.display()))?;
    }
    out.flush().context("standard output")
}

/// One server: its costs in microseconds, one for each number of idle connections.
#[derive(Default)]
struct Row {
    name: String,
    costs: Vec<Option<Quartiles>>,
}

fn microseconds_each(sample: &Sample) -> f64 {
    sample.cpu.as_secs_f64() * 1e6 / sample.count.requests
}

fn plot(counts: &[u32], rows: &[Row]) -> Plot {
    let series = rows.iter().filter(|row| row.name != AGAIN).map(|row| {
        let points = counts.iter().zip(&row.costs);
        Series {
            name: row.name.strip_prefix("sockeye ").unwrap_or(&row.name).to_owned(),
            // Ours are drawn full, the loops written by hand dashed.
            dashed: !row.name.starts_with("sockeye "),
            points: points
                .filter_map(|(&count, cost)| Some((f64::from(count), cost.as_ref()?.median)))
                .collect(),
        }
    });
    Plot {
        title: "CPU time of a message while others are idle".to_owned(),
        x: "idle connections".to_owned(),
        y: "server CPU time of one message, µs".to_owned(),
        series: series.collect(),
    }
}
