//! Messages of 64 bytes there and back, and bytes one way: the engine with hardly a service on
//! it, against loops written by hand.

use std::io::Write;

use crate::Settings;
use crate::echo::{Kind, Load, Servers};
use crate::report::{self, Column, Work};
use crate::rounds;

pub(crate) fn run(
    settings: &Settings,
    rate: Option<u32>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let kind = rate.map_or(Kind::Closed, |rate| Kind::Open { rate });
    for connections in [1, 64, 512] {
        cell(settings, Load { connections, idle: 0, kind }, out)?;
    }
    for connections in [1, 8] {
        cell(settings, Load { connections, idle: 0, kind: Kind::Bulk }, out)?;
    }
    Ok(())
}

fn cell(settings: &Settings, load: Load, out: &mut dyn Write) -> anyhow::Result<()> {
    let connections = match load.connections {
        1 => "1 connection".to_owned(),
        more => format!("{more} connections"),
    };
    let title = match load.kind {
        Kind::Closed => format!("Echo: 64 bytes, {connections}, closed loop"),
        Kind::Open { rate } => format!("Echo: 64 bytes, {connections}, {rate} messages a second"),
        Kind::Bulk => format!("Bulk, one way: {connections}"),
    };
    let mut servers = Servers::new(settings, load);
    let mut columns = vec![Column::PerCpu];
    columns.extend([servers.raw, servers.tokio, servers.monoio].map(Column::PerCpuAgainst));
    columns.push(Column::PerSecond);
    let work = match load.kind {
        Kind::Bulk => Work::Bytes,
        Kind::Closed | Kind::Open { .. } => {
            columns.extend([Column::P50, Column::P99]);
            Work::Messages
        }
    };
    writeln!(out, "## {title}\n")?;
    let samples =
        rounds::run(&mut servers.entries, &title, settings, |server| load.turn(server, settings))?;
    report::write(out, &servers.entries, &samples, work, &columns, settings)
}
