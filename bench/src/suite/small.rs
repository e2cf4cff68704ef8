//! A file of 1 KiB over kept-alive connections: the cost of a request.

use std::io::Write;

use sockeye_engine::DriverKind;

use super::{Recording, Site, TARGET};
use crate::Settings;
use crate::entry::Entry;
use crate::nginx::Answer;
use crate::report::{self, Column, Work};
use crate::rounds;
use crate::watched::Watched;
use crate::wrk::Wrk;

pub(crate) fn run(settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let wrk = Wrk::new(settings.load_core)?;
    let site = Site::new(1024)?;
    let mut entries: Vec<Entry<'_>> = DriverKind::ALL
        .into_iter()
        .map(|driver| Entry::sockeye(settings, site.path(), TARGET, driver))
        .collect();
    let driver = DriverKind::default();
    let mut open = Entry::serve_watched(settings, site.path(), TARGET, driver, Watched::Eye);
    open.name = format!("sockeye {driver} --eye");
    entries.push(open);
    let nginx = entries.len();
    entries.push(Entry::nginx(settings, "nginx sendfile", Answer::Files(site.path()), TARGET));
    let text = Answer::Text(&site.beginning);
    entries.push(Entry::nginx(settings, "nginx return", text, TARGET));
    let recording = Recording::of(&entries)?;
    let raw = entries.len();
    entries.push(Entry::raw_epoll(settings, &recording.path(), TARGET));
    // The same program once more: how far its ratio is from 1 is how far the machine lies.
    let mut again = Entry::raw_epoll(settings, &recording.path(), TARGET);
    again.name.push_str(", again");
    entries.push(again);
    let columns = [
        Column::PerCpu,
        Column::PerCpuAgainst(raw),
        Column::PerCpuAgainst(nginx),
        Column::PerSecond,
        Column::P50,
        Column::P99,
    ];
    for connections in [64, 512] {
        writeln!(out, "## Small file: 1 KiB, {connections} kept-alive connections\n")?;
        let (from, length) = (&recording.from, recording.length);
        writeln!(out, "The raw loop answers with the {length} bytes of {from}.\n")?;
        let samples =
            rounds::run(&mut entries, &format!("{connections} connections"), settings, |server| {
                wrk.turn(server, connections, settings, |server| site.verify(server))
            })?;
        report::write(out, &entries, &samples, Work::Requests, &columns, settings)?;
    }
    Ok(())
}
