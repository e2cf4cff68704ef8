//! What `sockeye connect` may be told.

use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;
use sockeye_engine::{DriverKind, Endpoint};

use super::endpoint::endpoint;
use super::said::{Said, said};
use super::{Eye, Talk, driver, duration};

/// Connect to a socket, and talk to it
///
/// Sends standard input and prints what comes back. At the end of the input the sending half is
/// shut down, and what the peer still says is printed whole, however late it comes. Exits with 0
/// when both sides are done (or what was expected was seen), and quietly when nobody reads standard
/// output any more; 1 on failure, 2 on wrong usage, and 128 and its number after a
/// signal: 129 SIGHUP, 130 SIGINT (Ctrl-C), 143 SIGTERM.
#[derive(clap::Args)]
pub(crate) struct Connect {
    /// Where to: tcp://HOST:PORT, HOST:PORT, udp://HOST:PORT, unix:///PATH, unix:@NAME (abstract),
    /// unix-dgram: or unix-seqpacket:; with options, as in tcp://HOST:PORT?nodelay&rcvbuf=64k
    #[arg(value_name = "ENDPOINT", value_parser = endpoint("tcp://HOST:PORT"))]
    pub(crate) endpoint: Endpoint,

    /// Send this message in place of standard input; knows \n \r \t \0 \\ and \xNN. May be given
    /// several times
    #[arg(long, value_name = "TEXT", value_parser = said)]
    pub(crate) send: Vec<Said>,

    /// Send this file in place of standard input, behind what --send says; may be given several
    /// times
    #[arg(long, value_name = "PATH")]
    pub(crate) send_file: Vec<PathBuf>,

    /// Be done when this pattern (a regular expression) has come, and fail if it never does
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) expect: Option<Regex>,

    /// Be done after so many messages have come
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// When one direction has ended, wait no longer than this for the other one [default: for ever;
    /// 1s for datagrams, which have no end]
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) close_after: Option<Duration>,

    /// Fail when nothing was sent or received for so long
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) idle_timeout: Option<Duration>,

    /// How long connecting may take, over all addresses of the host
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Try again so many times when connecting fails, after 0.1 s, 0.2 s, 0.4 s and so on up to 2 s
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retry: u32,

    /// Speak Telnet: answer the negotiation of options, and keep it out of what is shown
    #[arg(long)]
    pub(crate) telnet: bool,

    /// Say on standard error to whom it is connected
    #[arg(long, short)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) talk: Talk,

    /// How the thread waits for its sockets
    #[arg(
        long,
        value_name = "NAME",
        default_value = DriverKind::default().name(),
        value_parser = driver(),
        help_heading = "Engine",
    )]
    pub(crate) driver: DriverKind,

    #[command(flatten)]
    pub(crate) eye: Eye,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| {
        // The last line says what is wrong; those before it draw where.
        let error = error.to_string();
        error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}
