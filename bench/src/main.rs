//! `sockeye-bench`: Sockeye, hand-written loops and nginx, measured in turn.
//!
//! Machines are shared and noisy, so no figure stands alone: the servers share one core, the load
//! another; they are measured in turn, round after round; and what is compared is *work per
//! CPU-second of the server*, as a ratio within each round. README.md tells how to read it.

mod child;
mod cpu;
mod echo;
mod entry;
mod exchange;
mod interrupt;
mod machine;
mod memory;
mod nginx;
mod plot;
mod report;
mod request;
mod rounds;
mod stats;
mod suite;
mod table;
mod watched;
mod wrk;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use suite::eye::Traffic;
use suite::http::Job;

/// Measure Sockeye against hand-written loops and nginx.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    suite: Suite,
}

/// Connections whose memory is measured: nearly what a limit of 20,000 descriptors allows.
const IDLE: u32 = 15_000;

/// Idle connections among which a wait is measured.
const WAITS: [u32; 5] = [10, 100, 1_000, 5_000, 15_000];

/// How the suites measure; the same for all of them.
#[derive(Args, Debug, Clone)]
pub(crate) struct Settings {
    /// The server measured [default: `sockeye` in the directory of this program].
    #[arg(long, global = true)]
    sockeye: Option<PathBuf>,
    /// Where the benchmark's own servers and its load are [default: the directory of this program].
    #[arg(long, global = true, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// How often each server takes its turn.
    #[arg(long, global = true, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of one turn, in seconds.
    #[arg(long, global = true, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Load ahead of each turn that is not counted, in seconds.
    #[arg(long, global = true, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// What the random order within each round is made from.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// Core the servers run on.
    #[arg(long, global = true, default_value_t = 0)]
    server_core: usize,
    /// Core the load runs on.
    #[arg(long, global = true, default_value_t = 1)]
    load_core: usize,
    /// Print every round, not the medians alone.
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Subcommand, Clone, PartialEq, Eq)]
enum Suite {
    /// A file of 1 KiB, at 64 and 512 kept-alive connections.
    Small,
    /// A file of 100 MB, over 4 connections.
    Large,
    /// Memory of an idle kept-alive connection.
    Idle {
        /// How many connections are held open.
        #[arg(long, default_value_t = IDLE, value_parser = clap::value_parser!(u32).range(1..=19_000))]
        connections: u32,
    },
    /// What looking on costs: the eye in each of its ways, strace and tcpdump, against the same
    /// server with nobody looking on.
    Eye {
        /// What crosses the wire meanwhile.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Traffic::ALL)]
        traffic: Vec<Traffic>,
    },
    /// What a file server does besides whole files: ranges, 304s, compression, a large listing, an access
    /// log and uploads, against nginx doing the same.
    Http {
        /// Which of them.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Job::ALL)]
        job: Vec<Job>,
    },
    /// Messages of 64 bytes there and back over 1, 64 and 512 connections, and bytes one way.
    Echo {
        /// Send so many messages a second, whatever comes back (open loop), rather than the next
        /// one when the last came back.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        rate: Option<u32>,
    },
    /// Bytes through `connect` and `listen`, against socat, ncat and nc.
    Talk,
    /// What a wait costs while more and more connections are idle.
    Wait {
        /// How many are idle, one column each.
        #[arg(long, value_delimiter = ',', default_values_t = WAITS, value_parser = clap::value_parser!(u32).range(1..=19_000))]
        idle: Vec<u32>,
        /// Draw the medians into this file.
        #[arg(long, value_name = "PATH")]
        svg: Option<PathBuf>,
    },
    /// All of them, one after another.
    All,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            rounds::progress("");
            // Nobody is left to tell when standard error is gone as well.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { mut settings, suite }: Cli) -> anyhow::Result<()> {
    interrupt::install()?;
    machine::raise_descriptor_limit()?;
    settings.complete()?;
    let mut out = io::stdout().lock();
    machine::describe(&mut out, &settings)?;
    match suite {
        Suite::Small => suite::small::run(&settings, &mut out)?,
        Suite::Large => suite::large::run(&settings, &mut out)?,
        Suite::Idle { connections } => suite::idle::run(&settings, connections, &mut out)?,
        Suite::Eye { traffic } => suite::eye::run(&settings, &traffic, &mut out)?,
        Suite::Http { job } => suite::http::run(&settings, &job, &mut out)?,
        Suite::Echo { rate } => suite::echo::run(&settings, rate, &mut out)?,
        Suite::Talk => suite::talk::run(&settings, &mut out)?,
        Suite::Wait { idle, svg } => {
            suite::wait::run(&settings, &idle, svg.as_deref(), &mut out)?;
        }
        Suite::All => {
            suite::small::run(&settings, &mut out)?;
            suite::large::run(&settings, &mut out)?;
            suite::idle::run(&settings, IDLE, &mut out)?;
            suite::eye::run(&settings, &Traffic::ALL, &mut out)?;
            suite::http::run(&settings, &Job::ALL, &mut out)?;
            suite::echo::run(&settings, None, &mut out)?;
            suite::talk::run(&settings, &mut out)?;
            suite::wait::run(&settings, &WAITS, None, &mut out)?;
        }
    }
    out.flush().context("standard output")
}

/// `0.5` and the like, up to a minute.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= Duration::from_secs(60) => Ok(duration),
        _ => Err("not between 0 and 60".to_owned()),
    }
}

impl Settings {
    /// Fills in the paths nobody named and refuses cores this process may not use.
    fn complete(&mut self) -> anyhow::Result<()> {
        let own = std::env::current_exe().context("path of this program")?;
        let beside = |name: &str| own.with_file_name(name);
        self.sockeye.get_or_insert_with(|| beside("sockeye"));
        self.programs.get_or_insert_with(|| own.with_file_name(""));
        machine::check_cores(self.server_core, self.load_core)
    }

    pub(crate) fn sockeye(&self) -> PathBuf {
        self.sockeye.clone().unwrap_or_else(|| PathBuf::from("sockeye"))
    }

    /// One of the benchmark's own programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.as_deref().unwrap_or(Path::new(".")).join(name)
    }
}
