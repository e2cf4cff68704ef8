//! How a server is looked after: its log, who may ask how it is, limits, its file of settings.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use sockeye_engine::Endpoint;
use sockeye_services::http::LogFormat;

use crate::args::endpoint::endpoint_or_port;
use crate::args::talk::size;

/// How a server is looked after.
#[derive(clap::Args)]
#[command(next_help_heading = "Operation")]
pub(crate) struct Operate {
    /// Write a line for each request on standard error, or to --log-file: common, combined, json, or off
    /// [default: combined; off where --eye draws]
    #[arg(long, value_name = "FORMAT", value_parser = log(), hide_possible_values = true)]
    pub(crate) log: Option<Log>,

    /// Append the log to FILE; SIGUSR1 opens it anew, after it was renamed
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// Answer /metrics (for Prometheus), /healthz and /readyz at this endpoint; a port alone is one of
    /// 127.0.0.1
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint_or_port("tcp://127.0.0.1:9000"))]
    pub(crate) admin: Option<Endpoint>,

    /// Connections one address may have open, a /64 of IPv6 counting as one; more get 429. N, or off
    /// [default: 512, and any number for loopback]
    #[arg(long, value_name = "N")]
    pub(crate) address_connections: Option<Most>,

    /// Requests one address may make each second, or at once after silence; more get 429. N, or off
    /// [default: off]
    #[arg(long, value_name = "N")]
    pub(crate) address_rate: Option<Most>,

    /// The longest request head; a longer one gets 431
    #[arg(long, value_name = "SIZE", default_value = "64k", value_parser = size)]
    pub(crate) max_head: usize,

    /// The longest request target; a longer one gets 414
    #[arg(long, value_name = "SIZE", default_value = "8k", value_parser = size)]
    pub(crate) max_target: usize,

    /// The most header lines of a request; more get 431
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u8).range(1..=128))]
    pub(crate) max_headers: u8,

    /// Take settings from FILE: TOML, with the long names of these flags as its keys (idle-timeout =
    /// "30s"). What is typed here wins
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Say whether the settings can be used, and print all of them as TOML; serve nothing
    #[arg(long)]
    pub(crate) check_config: bool,

    /// What --check-config prints.
    #[arg(skip)]
    pub(crate) effective: Option<String>,
}

/// Whether there is a log, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Off,
    As(LogFormat),
}

fn log() -> impl TypedValueParser<Value = Log> {
    let names = LogFormat::ALL.map(LogFormat::name).into_iter().chain(["off"]);
    PossibleValuesParser::new(names.collect::<Vec<_>>())
        .map(|name| name.parse().map_or(Log::Off, Log::As))
}

/// A number that bounds something, or no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Most(pub(crate) Option<u32>);

impl FromStr for Most {
    type Err = String;

    fn from_str(text: &str) -> Result<Most, String> {
        match text.parse() {
            Ok(0) => Err("nobody could ask then; write 1 or more, or off".to_owned()),
            Ok(most) => Ok(Most(Some(most))),
            Err(_) if text == "off" => Ok(Most(None)),
            Err(_) => Err("it is a number, or off".to_owned()),
        }
    }
}
