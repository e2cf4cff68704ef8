//! Memory of a connection that made one request and then stayed, kept alive and idle.

use std::io::Write;

use anyhow::{Context, ensure};
use sockeye_engine::DriverKind;

use super::{Recording, Site, TARGET};
use crate::entry::{Entry, Server};
use crate::exchange::Client;
use crate::nginx::Answer;
use crate::report::{ABSENT, on_one_line, write_notes};
use crate::rounds::progress;
use crate::table::Table;
use crate::{Settings, interrupt, memory};

/// Connections opened and closed ahead of the first look, so that what a server sets up once is
/// not charged to those that follow.
const WARM_UP: u32 = 300;

/// Connections that ask before the first of them is waited for: a driver that looks at all of its
/// connections each time it waits would otherwise do so for every newcomer.
const BATCH: u32 = 64;

pub(crate) fn run(
    settings: &Settings,
    connections: u32,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let site = Site::new(1024)?;
    let mut entries: Vec<Entry<'_>> = DriverKind::ALL
        .into_iter()
        .map(|driver| Entry::sockeye(settings, site.path(), TARGET, driver))
        .collect();
    entries.push(Entry::nginx(settings, "nginx sendfile", Answer::Files(site.path()), TARGET));
    let recording = Recording::of(&entries)?;
    entries.push(Entry::raw_epoll(settings, &recording.path(), TARGET));

    writeln!(out, "## Idle connections: memory of one among {connections}\n")?;
    let mut table =
        Table::new(["server", "bytes / connection", "before, MB", "with them, MB", "still open"]);
    let mut notes = Vec::new();
    for entry in &entries {
        progress(&format!("{connections} idle connections: {}", entry.name));
        let measured = entry.start().and_then(|server| {
            site.verify(&server)?;
            hold(&server, connections)
        });
        interrupt::check()?;
        let note = match measured {
            Ok(held) => {
                table.row(held.cells(&entry.name, connections));
                held.short
            }
            Err(error) => {
                table.row([entry.name.as_str(), ABSENT]);
                Some(error)
            }
        };
        let note = note.map(|error| on_one_line(&format!("{error:#}")));
        notes.extend(note.map(|note| format!("{}: {note}", entry.name)));
    }
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
    /// Why there are no more.
    short: Option<anyhow::Error>,
}

impl Held {
    fn cells(&self, name: &str, asked: u32) -> [String; 5] {
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        // A server that shrank holds its idle connections for nothing.
        let each = self.after.saturating_sub(self.before) / u64::from(self.open);
        [
            name.to_owned(),
            each.to_string(),
            megabytes(self.before),
            megabytes(self.after),
            format!("{} of {asked}", self.open),
        ]
    }
}

/// Opens as many connections as the server takes, up to `connections`.
fn hold(server: &Server, connections: u32) -> anyhow::Result<Held> {
    drop(open(server, WARM_UP.min(connections))?);
    // The server answers in order of arrival on its one core: once it has answered a newcomer,
    // it has seen the others leave.
    drop(open(server, 1)?);
    let before = memory::of_tree(server.process.pid())?;
    let mut clients = Vec::new();
    let short = open_all(server, connections, &mut clients).err();
    let after = memory::of_tree(server.process.pid())?;
    let open = clients.iter().filter(|client| client.is_idle()).count();
    ensure!(open > 0, "closed every connection");
    Ok(Held { before, after, open: u32::try_from(open)?, short })
}

fn open(server: &Server, connections: u32) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::new();
    open_all(server, connections, &mut clients)?;
    Ok(clients)
}

/// Each with one answer; what is open stays in `clients` when one fails.
fn open_all(server: &Server, connections: u32, clients: &mut Vec<Client>) -> anyhow::Result<()> {
    let mut left = connections;
    while left > 0 {
        let batch = left.min(BATCH);
        left -= batch;
        let asked = (0..batch).map(|_| {
            let mut client = Client::connect(server.address)?;
            client.ask(&server.target)?;
            Ok(client)
        });
        for client in asked.collect::<Vec<anyhow::Result<Client>>>() {
            interrupt::check()?;
            let answered = client.and_then(|mut client| {
                client.answer(&server.target)?;
                Ok(client)
            });
            let number = clients.len() + 1;
            let number = || format!("connection {number} of {connections}");
            clients.push(answered.with_context(number)?);
        }
    }
    Ok(())
}
