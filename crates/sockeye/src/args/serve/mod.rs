//! What `sockeye serve` may be told. Each group has a file of its own.

mod operate;

mod files;
mod listing;
mod write;

use std::path::PathBuf;
use std::time::Duration;

use sockeye_engine::Endpoint;

use crate::args::endpoint::endpoint;
use crate::args::{Engine, Eye, duration};
pub(crate) use operate::{Log, Operate};

pub(crate) use write::{How, Write};

/// Serve a folder over HTTP
///
/// Prints `serving DIR on http://ADDRESS:PORT/` on standard output once it is ready, and stops
/// gracefully on SIGINT (Ctrl-C), SIGTERM or SIGHUP: idle connections close, requests in flight finish,
/// and it exits with 0. A second signal stops it at once, with 128 and its number: 129 SIGHUP, 130 SIGINT,
/// 143 SIGTERM. SIGUSR1 opens the log file anew; SIGUSR2 starts the program again in this one's place,
/// without a connection being refused or cut.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// The folder
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Where to listen: tcp://HOST:PORT, HOST:PORT or unix:///PATH; may be given several times
    /// [default: tcp://127.0.0.1:8000]
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint("tcp://127.0.0.1:8000"))]
    pub(crate) listen: Vec<Endpoint>,

    /// Short for --listen tcp://127.0.0.1:N; 0 picks a free port
    #[arg(long, short, value_name = "N", conflicts_with = "listen")]
    pub(crate) port: Option<u16>,

    /// Listen on every address of this machine in its networks, and say each; on a terminal one of them
    /// as a QR code, too. Anybody in these networks can then read the folder. With --port N on that port
    #[arg(long, conflicts_with = "listen")]
    pub(crate) lan: bool,

    /// How long a connection may wait between two requests
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) idle_timeout: Duration,

    /// How long a request head may take, from its first byte to its last
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) head_timeout: Duration,

    /// How long a request body may take, from the end of its head
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) body_timeout: Duration,

    /// How long a client may take nothing of what is sent
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) write_timeout: Duration,

    /// Answer TRACE (off: 405) with the request as it came, without Cookie and credentials
    #[arg(long)]
    pub(crate) trace: bool,

    /// Serve no file: answer every request with what arrived, taken apart and explained, as text, JSON
    /// (?format=json or Accept) or a page. GET / names paths for delays, statuses, sizes and broken answers
    #[arg(long, conflicts_with_all = ["auth", "access", "host", "error_page", "spa", "write"])]
    pub(crate) inspect: bool,

    #[command(flatten)]
    pub(crate) files: files::Files,
    /// How long an answer may take as a whole, if it is not sent at once
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) total_timeout: Duration,

    #[command(flatten)]
    pub(crate) operate: Operate,

    #[command(flatten)]
    pub(crate) write: Write,

    #[command(flatten)]
    pub(crate) listing: listing::Listing,

    // Behind the others: their headings hold for all that follows.
    #[command(flatten)]
    pub(crate) engine: Engine,

    #[command(flatten)]
    pub(crate) eye: Eye,
}
