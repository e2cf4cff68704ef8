//! The load of the echo benchmark: one thread, N connections, every byte that comes back checked.
//!
//! It prints `start` when it is warm and begins to count, `end` when the time is over, and last
//! `summary MESSAGES BYTES WALL UNFINISHED P50 P99 P99.9 MAX`, times in nanoseconds. Whoever
//! measures the server reads its clocks at the first two lines.
//!
//! - Closed loop: each connection sends its next message when one came back; a slow server is
//!   asked less.
//! - Open loop (`--rate`): message *i* is due at *i*/rate, whatever became of those before it, and
//!   its latency counts from then: a stall is charged to every message it delays, those that could
//!   not even be sent included (no coordinated omission).
//! - Bulk (`--bulk`): as many bytes one way as the server takes.

mod connection;
mod load;
mod opening;
mod pattern;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use load::{Counted, Load, Pace};

/// Drive an echo server and check what it sends back.
#[derive(Parser)]
struct Args {
    /// Where the server listens.
    address: SocketAddr,
    /// Connections that carry messages.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    connections: u32,
    /// Connections that are opened, exchange one message, and stay silent from then on.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=19_000))]
    idle: u32,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    size: u32,
    /// Messages each connection has on their way at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pipeline: u32,
    /// Open loop: messages a second over all connections.
    #[arg(long, conflicts_with = "pipeline", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Send as fast as the server takes it, and expect nothing back.
    #[arg(long, conflicts_with_all = ["rate", "pipeline", "size"])]
    bulk: bool,
    /// Seconds of load that are not counted.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds that are.
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is gone as well.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let pace = match (args.bulk, args.rate) {
        (true, _) => Pace::Bulk,
        (false, Some(rate)) => Pace::Open { rate },
        (false, None) => Pace::Closed { pipeline: args.pipeline },
    };
    let active = opening::open(args.address, 0..args.connections, pace != Pace::Bulk)?;
    let idle = args.connections..args.connections.saturating_add(args.idle);
    let idle = opening::open(args.address, idle, pace != Pace::Bulk)?;
    let mut load = Load::new(active, args.size, pace)?;
    load.run_for(args.warm_up)?;
    say(format_args!("start"))?;
    load.count_for(args.seconds)?;
    say(format_args!("end"))?;
    let Counted { messages, bytes, wall, unfinished, latency } = load.finish()?;
    opening::check_idle(&idle)?;
    say(format_args!(
        "summary {messages} {bytes} {} {unfinished} {} {} {} {}",
        wall.as_nanos(),
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
        latency.value_at_quantile(0.999),
        latency.max(),
    ))?;
    Ok(())
}

fn say(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// `0.5` and the like, up to an hour.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= Duration::from_secs(3600) => Ok(duration),
        _ => Err("not between 0 and 3600".to_owned()),
    }
}
