//! What `sockeye watch` may be told.

use std::path::PathBuf;
use std::time::Duration;

use super::eye::record_file;
use super::{Drawing, duration};

/// Draw what was recorded or captured, or what other programs say to one another
///
/// A FILE is a recording, as --record of the other commands makes it: every connection in it that ended is
/// drawn as the eye drew it, and behind them those that had not.
///
/// Of two recordings, made at both ends of the same connections by two programs or on two machines, each
/// connection is drawn once, as both ends saw it: with the calls of both, what was lost between them, and
/// how far their clocks are apart. Their order makes no difference.
///
/// Or FILE is a capture, pcap or pcapng, as --pcap, tcpdump and Wireshark make it: its connections of TCP
/// are drawn, or if there are more than four, listed.
///
/// At an ENDPOINT, tcp://HOST:PORT, HOST:PORT or :PORT, connections of other programs are followed, from
/// their SYN on or from the middle, and drawn when they end; on a terminal live, with its keys on the last
/// line. It ends with Ctrl-C, and draws what is open then. Packets take CAP_NET_RAW; without it the kernel is asked for states and bytes.
///
/// What is no picture goes to standard error.
#[derive(clap::Args)]
pub(crate) struct Watch {
    /// A recording, those of both ends, or a capture; - reads standard input. Or endpoints
    #[arg(value_name = "FILE|ENDPOINT", required = true)]
    pub(crate) what: Vec<PathBuf>,

    /// Draw this connection of a capture alone. They count from 0, as tcp.stream of Wireshark does
    #[arg(long, value_name = "NUMBER")]
    pub(crate) connection: Option<u64>,

    /// Write the bytes of this connection of a capture to standard output, in the order of the stream:
    /// those of both ends, or with :client or :server what that one sent. What the capture lacks is
    /// named on standard error
    #[arg(long, value_name = "NUMBER[:SIDE]", value_parser = follow, conflicts_with = "connection")]
    pub(crate) follow: Option<Follow>,

    /// Show units as boxes in one another, from the frame to its message, under each connection that is
    /// drawn: its first N units with data each way, 1 if N is left out. With frame:NUMBER show that frame
    /// of a capture alone, whatever is in it; they count from 1, as in Wireshark
    #[arg(
        long,
        value_name = "N|frame:NUMBER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = layers,
        conflicts_with = "follow",
    )]
    pub(crate) layers: Option<Layers>,

    /// Look at the packets of this interface alone [default: lo where all endpoints are of loopback,
    /// else all]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) interface: Option<String>,

    /// Stop after so long
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) time: Option<Duration>,

    /// Stop when so many connections have ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Draw on a terminal as into a pipe: each connection when it ended
    #[arg(long)]
    pub(crate) plain: bool,

    /// Write all that is seen at an endpoint to FILE, too, for another `sockeye watch`
    #[arg(long, value_name = "FILE", value_parser = record_file())]
    pub(crate) record: Option<PathBuf>,

    /// Write the packets seen at an endpoint to FILE, too: pcapng, with the states they led to as
    /// comments
    #[arg(long, value_name = "FILE", value_parser = record_file())]
    pub(crate) pcap: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) drawing: Drawing,
}

/// Which units are shown layer by layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layers {
    /// So many of each connection, each way.
    Units(u8),
    /// The one with this number.
    Frame(u64),
}

fn layers(text: &str) -> Result<Layers, String> {
    match text.strip_prefix("frame:") {
        Some(number) => match number.parse() {
            Ok(number @ 1..) => Ok(Layers::Frame(number)),
            _ => Err(format!("\"{number}\" is no number of a frame; they count from 1")),
        },
        None => match text.parse() {
            Ok(units @ 1..=16) => Ok(Layers::Units(units)),
            _ => Err(String::from("1 to 16 units, or frame:NUMBER")),
        },
    }
}

/// Whose bytes are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follow {
    pub(crate) connection: u64,
    /// Both ends', if it is not said.
    pub(crate) side: Option<Side>,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

fn follow(text: &str) -> Result<Follow, String> {
    let (number, side) = match text.split_once(':') {
        None => (text, None),
        Some((number, "client")) => (number, Some(Side::Client)),
        Some((number, "server")) => (number, Some(Side::Server)),
        Some((_, other)) => return Err(format!("\"{other}\" is neither client nor server")),
    };
    match number.parse() {
        Ok(connection) => Ok(Follow { connection, side }),
        Err(_) => Err(format!("\"{number}\" is no number of a connection")),
    }
}
