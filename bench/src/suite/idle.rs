//! Memory of a connection that made one request and then stayed, kept alive and idle.

use std::io::Write;

use anyhow::{Context, ensure};

use super::{DRIVERS, Recording, Site, TARGET};
use crate::entry::{Entry, Server, State};
use crate::exchange::Client;
use crate::nginx::Answer;
use crate::report::{ABSENT, on_one_line, write_notes};
use crate::rounds::progress;
use crate::table::Table;
use crate::{Settings, interrupt, memory};

/// Connections opened and closed ahead of the first look, so that what a server sets up once is
/// not charged to those that follow.
const WARM_UP: u32 = 300;

pub(crate) fn run(
    settings: &Settings,
    connections: u32,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let site = Site::new(1024)?;
    writeln!(out, "## Idle connections: memory of one among {connections}\n")?;
    let mut table =
        Table::new(["server", "bytes / connection", "before, MB", "with them, MB", "still open"]);
    let mut notes = Vec::new();
    let mut measure = |mut entry: Entry| -> anyhow::Result<()> {
        entry.verify(site.beginning.as_bytes(), site.length);
        progress(&format!("{connections} idle connections: {}", entry.name));
        let measured = match &entry.state {
            State::Ready(server) => hold(server, connections),
            State::Absent(reason) => Err(anyhow::anyhow!(reason.clone())),
        };
        interrupt::check()?;
        match measured {
            Ok(held) => table.row(held.cells(entry.name, connections)),
            Err(error) => {
                notes.push(format!("{}: {}", entry.name, on_one_line(&format!("{error:#}"))));
                table.row([entry.name.as_str(), ABSENT]);
            }
        }
        Ok(())
    };
    for driver in DRIVERS {
        measure(Entry::sockeye(settings, site.path(), TARGET, driver))?;
    }
    let nginx = || Entry::nginx(settings, "nginx sendfile", Answer::Files(site.path()), TARGET);
    let recording =
        Recording::of(&[Entry::sockeye(settings, site.path(), TARGET, DRIVERS[0]), nginx()])?;
    measure(nginx())?;
    measure(Entry::raw_epoll(settings, &recording.path(), TARGET))?;
    progress("");
    table.write(out)?;
    write_notes(out, notes)?;
    out.flush().context("standard output")
}

/// What a server held, in bytes, and how many connections it still had at the end.
struct Held {
    before: u64,
    after: u64,
    open: u32,
}

impl Held {
    fn cells(&self, name: String, asked: u32) -> [String; 5] {
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        // A server that shrank holds its idle connections for nothing.
        let each = self.after.saturating_sub(self.before) / u64::from(self.open);
        [
            name,
            each.to_string(),
            megabytes(self.before),
            megabytes(self.after),
            format!("{} of {asked}", self.open),
        ]
    }
}

fn hold(server: &Server, connections: u32) -> anyhow::Result<Held> {
    drop(open(server, WARM_UP.min(connections))?);
    // The server answers in order of arrival on its one core: once it has answered a newcomer,
    // it has seen the others leave.
    drop(open(server, 1)?);
    let before = memory::of_tree(server.process.pid())?;
    let clients = open(server, connections)?;
    let after = memory::of_tree(server.process.pid())?;
    let open = clients.iter().filter(|client| client.is_idle()).count();
    ensure!(open > 0, "closed every connection");
    Ok(Held { before, after, open: u32::try_from(open)? })
}

fn open(server: &Server, connections: u32) -> anyhow::Result<Vec<Client>> {
    (0..connections)
        .map(|opened| {
            interrupt::check()?;
            let answered = Client::connect(server.address).and_then(|mut client| {
                client.get(&server.target)?;
                Ok(client)
            });
            answered.with_context(|| format!("connection {} of {connections}", opened + 1))
        })
        .collect()
}
