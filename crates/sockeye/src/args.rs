//! What the command line may say.

use std::path::PathBuf;
use std::time::Duration;

use anstream::ColorChoice;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Parser, Subcommand, ValueEnum};
use sockeye_engine::{DriverKind, Endpoint};

/// Every socket job in one program, and you can see the wire.
#[derive(Parser)]
#[command(name = "sockeye", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// When to use colour; NO_COLOR is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Drivers(Drivers),
}

/// Serve a folder over HTTP
///
/// Prints `serving DIR on http://ADDRESS:PORT/` on standard output once it is ready, and stops
/// gracefully on SIGINT (Ctrl-C) or SIGTERM: idle connections close, requests in flight finish.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// The folder
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Where to listen: tcp://HOST:PORT, HOST:PORT or unix:///PATH; may be given several times
    /// [default: tcp://127.0.0.1:8000]
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) listen: Vec<Endpoint>,

    /// Short for --listen tcp://127.0.0.1:N; 0 picks a free port
    #[arg(long, short, value_name = "N", conflicts_with = "listen")]
    pub(crate) port: Option<u16>,

    /// How long a connection may wait between two requests
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) idle_timeout: Duration,

    /// How long a request head may take, from its first byte to its last
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub(crate) head_timeout: Duration,

    /// How long a request body may take, from the end of its head
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) body_timeout: Duration,

    /// How long a client may take nothing of what is sent
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) write_timeout: Duration,

    // Behind the others: their headings hold for all that follows.
    #[command(flatten)]
    pub(crate) engine: Engine,

    #[command(flatten)]
    pub(crate) eye: Eye,
}

/// List the ways a thread can wait for its sockets
///
/// Each can be chosen by --driver. Says whether the kernel here offers it, and measures what one
/// small message costs on it: the processor time of a thread that waits for it, receives it and
/// answers, with few and with many other connections idle.
#[derive(clap::Args)]
pub(crate) struct Drivers {
    /// Print one JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// Idle connections in the second measurement; 0 measures nothing
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=5000))]
    pub(crate) idle: u32,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct Engine {
    /// How threads wait for their sockets
    #[arg(
        long,
        value_name = "NAME",
        default_value = DriverKind::default().name(),
        value_parser = PossibleValuesParser::new(DriverKind::ALL.map(DriverKind::name))
            .map(|name| name.parse::<DriverKind>().expect("it is one of the names")),
    )]
    pub(crate) driver: DriverKind,

    /// How many threads [default: one a core; with the blocking driver one a connection]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Connections held at once; others wait in the backlog [default: four fifths of the
    /// descriptors the process may have; with the blocking driver two fifths]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,

    /// How long requests in flight may take to finish after a signal
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) grace: Duration,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Eye")]
pub(crate) struct Eye {
    /// Draw every connection that ends on standard error: its ladder, its rulers, its verdict
    #[arg(long)]
    pub(crate) eye: bool,

    /// Draw with ASCII characters alone [default: what the locale can show]
    #[arg(long)]
    pub(crate) ascii: bool,

    /// Width of the drawing in columns, 80 to 120 [default: the terminal's]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(80..=120))]
    pub(crate) width: Option<u16>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    Auto,
    /// Even in a pipe
    Always,
    /// Nowhere
    Never,
}

impl When {
    /// Decides for all output to come.
    pub(crate) fn apply(self) {
        match self {
            When::Auto => ColorChoice::Auto,
            When::Always => ColorChoice::Always,
            When::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

/// A time with its unit: `500ms`, `15s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("more than no time is needed".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error} (write it as 500ms, 15s or 2m)")),
    }
}
