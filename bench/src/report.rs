//! Samples as tables: medians with quartiles, ratios paired within each round, every cell kept.

use std::io::Write;

use crate::Settings;
use crate::entry::Entry;
use crate::rounds::{Sample, Samples};
use crate::stats::Quartiles;
use crate::table::Table;

/// What a server is there to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Requests,
    Messages,
    Bytes,
}

/// A column of figures; `usize` is the index of the entry compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Work per CPU-second of the server: the main figure.
    PerCpu,
    /// Work per second on the wall; with both cores busy it says which of the two was full.
    PerSecond,
    /// The time half of the requests stayed below.
    P50,
    /// The time 99 of 100 requests stayed below.
    P99,
    /// Work per CPU-second over that of another entry; above 1 is better.
    PerCpuAgainst(usize),
    /// Work per second over that of another entry; above 1 is better.
    PerSecondAgainst(usize),
    /// CPU time for one unit of work over that of another entry; below 1 is better.
    CostAgainst(usize),
    /// CPU time of the server for one request, in microseconds.
    Cost,
    /// Bytes received for one request, its head included: who answers with less has less to do.
    BytesEach,
}

/// Writes the table and, asked for, the rounds behind it.
pub(crate) fn write(
    out: &mut dyn Write,
    entries: &[Entry<'_>],
    samples: &Samples,
    work: Work,
    columns: &[Column],
    settings: &Settings,
) -> anyhow::Result<()> {
    let headings = columns.iter().map(|column| column.heading(work, entries));
    let mut table = Table::new(std::iter::once("server".to_owned()).chain(headings));
    for (index, entry) in entries.iter().enumerate() {
        let cells = columns.iter().map(|column| column.cell(work, samples, index));
        match entry.is_absent() {
            false => table.row(std::iter::once(entry.name.clone()).chain(cells)),
            true => table.row([entry.name.as_str(), ABSENT]),
        }
    }
    table.write(out)?;
    let failed = entries.iter().zip(samples).filter_map(|(entry, samples)| {
        let errors: u64 = samples.iter().flatten().map(|sample| sample.count.errors).sum();
        (errors > 0)
            .then(|| format!("{}: {errors} {} failed or timed out", entry.name, work.name()))
    });
    write_notes(out, entries.iter().filter_map(Entry::reason).chain(failed))?;
    if settings.verbose {
        write_rounds(out, entries, samples)?;
    }
    out.flush()?;
    Ok(())
}

/// Stands in a row without figures; the reason follows the table.
pub(crate) const ABSENT: &str = "not measured";

/// What the figures of a table do not say, one line each.
pub(crate) fn write_notes(
    out: &mut dyn Write,
    notes: impl IntoIterator<Item = String>,
) -> std::io::Result<()> {
    let mut notes = notes.into_iter().peekable();
    if notes.peek().is_none() {
        return Ok(());
    }
    for note in notes {
        writeln!(out, "- {note}")?;
    }
    writeln!(out)
}

/// Text of any origin as one line that no terminal obeys.
pub(crate) fn on_one_line(text: &str) -> String {
    let harmless: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    harmless.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every turn, one line each.
pub(crate) fn write_rounds(
    out: &mut dyn Write,
    entries: &[Entry<'_>],
    samples: &Samples,
) -> anyhow::Result<()> {
    let headings =
        ["server", "round", "requests", "bytes", "seconds", "CPU s", "core busy", "p99", "errors"];
    let mut table = Table::new(headings);
    for (entry, samples) in entries.iter().zip(samples) {
        for (round, sample) in samples.iter().enumerate() {
            let Some(Sample { count, cpu }) = sample else {
                continue;
            };
            let busy = cpu.as_secs_f64() / count.wall.as_secs_f64();
            table.row([
                entry.name.clone(),
                (round + 1).to_string(),
                format!("{:.0}", count.requests),
                format!("{:.0}", count.bytes),
                format!("{:.3}", count.wall.as_secs_f64()),
                format!("{:.3}", cpu.as_secs_f64()),
                format!("{:.0} %", busy * 100.0),
                milliseconds(count.p99.as_secs_f64()),
                count.errors.to_string(),
            ]);
        }
    }
    table.write(out)?;
    Ok(())
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Requests | Self::Bytes => "requests",
            Self::Messages => "messages",
        }
    }

    fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Requests | Self::Messages => sample.count.requests,
            Self::Bytes => sample.count.bytes,
        }
    }

    fn per_cpu(self, sample: &Sample) -> f64 {
        self.of(sample) / sample.cpu.as_secs_f64()
    }

    fn per_second(self, sample: &Sample) -> f64 {
        self.of(sample) / sample.count.wall.as_secs_f64()
    }
}

impl Column {
    fn heading(self, work: Work, entries: &[Entry<'_>]) -> String {
        let unit = match work {
            Work::Requests => "thousand requests",
            Work::Messages => "thousand messages",
            Work::Bytes => "GB",
        };
        match self {
            Self::PerCpu => format!("{unit} / CPU-second"),
            Self::PerSecond => format!("{unit} / second"),
            Self::P50 => "p50, ms".to_owned(),
            Self::P99 => "p99, ms".to_owned(),
            Self::PerCpuAgainst(peer) => format!("/ CPU-second ÷ {}", entries[peer].name),
            Self::PerSecondAgainst(peer) => format!("/ second ÷ {}", entries[peer].name),
            Self::CostAgainst(peer) => format!("CPU each ÷ {}", entries[peer].name),
            Self::Cost => "CPU each, µs".to_owned(),
            Self::BytesEach => "bytes each".to_owned(),
        }
    }

    fn cell(self, work: Work, samples: &Samples, entry: usize) -> String {
        let own = |figure: &dyn Fn(&Sample) -> f64| {
            Quartiles::of(samples[entry].iter().flatten().map(figure))
        };
        let scale = match work {
            Work::Requests | Work::Messages => 1e3,
            Work::Bytes => 1e9,
        };
        let paired =
            |peer: usize, figure: &dyn Fn(&Sample) -> f64| {
                let pairs = samples[entry].iter().zip(&samples[peer]);
                Quartiles::of(pairs.filter_map(|(own, other)| {
                    Some(figure(own.as_ref()?) / figure(other.as_ref()?))
                }))
            };
        let (figures, decimals) = match self {
            Self::PerCpu => (own(&|sample| work.per_cpu(sample) / scale), work.decimals()),
            Self::PerSecond => (own(&|sample| work.per_second(sample) / scale), work.decimals()),
            Self::P50 => (own(&|sample| sample.count.p50.as_secs_f64() * 1e3), 3),
            Self::P99 => (own(&|sample| sample.count.p99.as_secs_f64() * 1e3), 3),
            Self::PerCpuAgainst(peer) | Self::PerSecondAgainst(peer) | Self::CostAgainst(peer)
                if peer == entry =>
            {
                return "1".to_owned();
            }
            Self::PerCpuAgainst(peer) => (paired(peer, &|sample| work.per_cpu(sample)), 2),
            Self::PerSecondAgainst(peer) => (paired(peer, &|sample| work.per_second(sample)), 2),
            Self::Cost => (own(&|sample| 1e6 / work.per_cpu(sample)), 1),
            Self::BytesEach => {
                // The same each time, but for requests cut by the end of a turn.
                let each = own(&|sample| sample.count.bytes / sample.count.requests);
                return each.map_or_else(|| "–".to_owned(), |each| format!("{:.0}", each.median));
            }
            Self::CostAgainst(peer) => (paired(peer, &|sample| 1.0 / work.per_cpu(sample)), 2),
        };
        match figures {
            Some(Quartiles { low, median, high }) => {
                format!("{median:.decimals$} [{low:.decimals$}–{high:.decimals$}]")
            }
            None => "–".to_owned(),
        }
    }
}

impl Work {
    const fn decimals(self) -> usize {
        match self {
            Self::Requests | Self::Messages => 1,
            Self::Bytes => 2,
        }
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rounds::Count;

    fn sample(requests: f64, cpu_seconds: f64) -> Option<Sample> {
        let count = Count {
            requests,
            bytes: requests * 1000.0,
            wall: Duration::from_secs(2),
            errors: 0,
            p50: Duration::from_micros(750),
            p99: Duration::from_micros(1500),
        };
        Some(Sample { count, cpu: Duration::from_secs_f64(cpu_seconds) })
    }

    #[test]
    fn ratios_are_paired_within_their_round() {
        // The machine halves its speed in the second round: the paired ratio does not notice.
        let samples = vec![
            vec![sample(90_000.0, 1.0), sample(45_000.0, 1.0), sample(90_000.0, 1.0)],
            vec![sample(100_000.0, 1.0), sample(50_000.0, 1.0), sample(100_000.0, 1.0)],
        ];
        let cell = |column: Column, entry| column.cell(Work::Requests, &samples, entry);
        assert_eq!(cell(Column::PerCpuAgainst(1), 0), "0.90 [0.90–0.90]");
        assert_eq!(cell(Column::CostAgainst(1), 0), "1.11 [1.11–1.11]");
        assert_eq!(cell(Column::PerCpuAgainst(1), 1), "1");
        assert_eq!(cell(Column::PerCpu, 0), "90.0 [67.5–90.0]");
        assert_eq!(cell(Column::PerSecond, 1), "50.0 [37.5–50.0]");
        assert_eq!(cell(Column::P99, 0), "1.500 [1.500–1.500]");
    }

    #[test]
    fn a_round_missing_on_either_side_leaves_the_ratio_out() {
        let samples = vec![
            vec![sample(50_000.0, 1.0), sample(80_000.0, 1.0)],
            vec![None, sample(100_000.0, 1.0)],
            vec![None, None],
        ];
        let cell = |column: Column, entry| column.cell(Work::Requests, &samples, entry);
        assert_eq!(cell(Column::PerCpuAgainst(1), 0), "0.80 [0.80–0.80]");
        assert_eq!(cell(Column::PerCpuAgainst(2), 0), "–");
        assert_eq!(cell(Column::PerCpu, 2), "–");
    }

    #[test]
    fn a_reason_is_one_harmless_line() {
        assert_eq!(on_one_line("bind:\n  a\u{1b}[2J b"), "bind: a [2J b");
    }
}
