//! The eye open (calls and capture) against the same server with the eye shut.

use std::io::Write;

use sockeye_engine::DriverKind;

use super::{Site, TARGET};
use crate::Settings;
use crate::entry::Entry;
use crate::report::{self, Column, Work};
use crate::rounds;
use crate::wrk::Wrk;

pub(crate) fn run(settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let wrk = Wrk::new(settings.load_core)?;
    let site = Site::new(1024)?;
    let columns = [
        Column::PerCpu,
        Column::CostAgainst(0),
        Column::PerSecond,
        Column::PerSecondAgainst(0),
        Column::P99,
    ];
    for driver in [DriverKind::EpollEdge, DriverKind::Uring] {
        // Two servers alone, so that each pair of turns stands side by side.
        let mut entries = vec![
            Entry::sockeye(settings, site.path(), TARGET, driver),
            Entry::sockeye_eye(settings, site.path(), TARGET, driver),
        ];
        for connections in [64, 512] {
            writeln!(out, "## The eye: {driver}, 1 KiB, {connections} kept-alive connections\n")?;
            let samples = rounds::run(
                &mut entries,
                &format!("{connections} connections"),
                settings,
                |server| wrk.turn(server, connections, settings, |server| site.verify(server)),
            )?;
            report::write(out, &entries, &samples, Work::Requests, &columns, settings)?;
        }
    }
    Ok(())
}
