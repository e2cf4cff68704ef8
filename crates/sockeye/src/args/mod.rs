//! What the command line may say: what all subcommands share. Each has a file of its own.

mod connect;
mod drivers;
mod endpoint;
mod eye;
mod help;
mod listen;
mod said;
mod serve;
mod talk;
mod watch;

use std::time::Duration;

use anstream::ColorChoice;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use sockeye_engine::DriverKind;

pub(crate) use connect::Connect;
pub(crate) use drivers::Drivers;
pub(crate) use eye::{Drawing, Eye, What};
pub(crate) use help::{Completions, Help, Man};
pub(crate) use listen::{Listen, Service};
pub(crate) use said::Said;
pub(crate) use serve::{How, Log, Operate, Serve, Write};
pub(crate) use talk::Talk;
pub(crate) use watch::{Follow, Layers, Side, Watch};

/// Every socket job in one program, and you can see the wire.
#[derive(Parser)]
#[command(name = "sockeye", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "sockeye help TOPIC explains endpoints, framing, encodings and drivers.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// When to use colour; NO_COLOR is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", display_order = 900)]
    pub(crate) color: When,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Connect(Box<Connect>),
    Listen(Box<Listen>),
    Serve(Box<Serve>),
    Watch(Watch),
    Drivers(Drivers),
    Help(Help),
    Man(Man),
    Completions(Completions),
}

#[derive(clap::Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct Engine {
    /// How threads wait for their sockets
    #[arg(
        long,
        value_name = "NAME",
        default_value = DriverKind::default().name(),
        value_parser = driver(),
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
    #[arg(allow_hyphen_values = true)]
    pub(crate) grace: Duration,
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

/// Ends the program, as wrong usage of its subcommand does, with that one's usage.
pub(crate) fn wrong(kind: ErrorKind, why: impl std::fmt::Display) -> ! {
    let mut command = Args::command();
    // They were understood before.
    let matches = command.get_matches_mut();
    let subcommand = matches.subcommand_name().and_then(|name| command.find_subcommand_mut(name));
    match subcommand {
        Some(subcommand) => subcommand.error(kind, why).exit(),
        None => command.error(kind, why).exit(),
    }
}

/// The name of a driver.
pub(crate) fn driver() -> impl TypedValueParser<Value = DriverKind> {
    PossibleValuesParser::new(DriverKind::ALL.map(DriverKind::name))
        .map(|name| name.parse::<DriverKind>().expect("it is one of the names"))
}

/// A time with its unit: `500ms`, `15s`, `2m`. Its argument takes hyphens, so that of `-5s` it is said
/// here what is wrong.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("more than no time is needed".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error} (write it as 500ms, 15s or 2m)")),
    }
}
