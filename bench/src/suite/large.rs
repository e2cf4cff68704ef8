//! A file of 100 MB over a few connections: the cost of a byte.

use std::io::Write;

use sockeye_engine::DriverKind;

use super::{Site, TARGET};
use crate::Settings;
use crate::entry::Entry;
use crate::nginx::Answer;
use crate::report::{self, Column, Work};
use crate::rounds;
use crate::wrk::Wrk;

const LENGTH: usize = 100_000_000;
const CONNECTIONS: u32 = 4;

pub(crate) fn run(settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let wrk = Wrk::new(settings.load_core)?;
    let site = Site::new(LENGTH)?;
    let mut entries: Vec<Entry<'_>> = DriverKind::ALL
        .into_iter()
        .map(|driver| Entry::sockeye(settings, site.path(), TARGET, driver))
        .collect();
    let nginx = entries.len();
    entries.push(Entry::nginx(settings, "nginx sendfile", Answer::Files(site.path()), TARGET));
    let columns = [Column::PerCpu, Column::PerCpuAgainst(nginx), Column::PerSecond];
    writeln!(out, "## Large file: 100 MB, {CONNECTIONS} kept-alive connections\n")?;
    let samples = rounds::run(&mut entries, "100 MB", settings, |server| {
        wrk.turn(server, CONNECTIONS, settings, |server| site.verify(server))
    })?;
    report::write(out, &entries, &samples, Work::Bytes, &columns, settings)
}
