//! What `sockeye serve` may be told.

mod files;

use std::path::PathBuf;
use std::time::Duration;

use sockeye_engine::Endpoint;

use crate::args::endpoint::endpoint;
use crate::args::{Engine, Eye, duration};

/// Serve a folder over HTTP
///
/// Prints `serving DIR on http://ADDRESS:PORT/` on standard output once it is ready, and stops
/// gracefully on SIGINT (Ctrl-C), SIGTERM or SIGHUP: idle connections close, requests in flight finish,
/// and it exits with 0. A second signal stops it at once, with 128 and its number: 129 SIGHUP, 130 SIGINT,
/// 143 SIGTERM.
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

    #[command(flatten)]
    pub(crate) files: files::Files,

    // Behind the others: their headings hold for all that follows.
    #[command(flatten)]
    pub(crate) engine: Engine,

    #[command(flatten)]
    pub(crate) eye: Eye,
}
