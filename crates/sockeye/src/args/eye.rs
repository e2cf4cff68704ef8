//! What the eye may be told: what it looks at, and how it draws.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::{PathBufValueParser, TypedValueParser};
use sockeye_eye::words::Lang;

/// What the eye looks at, and how it draws.
#[derive(clap::Args)]
#[command(next_help_heading = "Eye")]
pub(crate) struct Eye {
    /// Draw every connection that ends on standard error: its ladder, its rulers, its verdict.
    /// With =WHAT, several joined by commas, say what else the eye does, or does not
    #[arg(
        long,
        value_name = "WHAT",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "text",
        value_enum,
    )]
    eye: Vec<What>,

    /// Write all that the eye sees to FILE, a JSON record a line, for `sockeye watch FILE`, jq and
    /// programs of yours; nothing is drawn unless --eye is given too. What was in FILE is gone
    #[arg(long, value_name = "FILE", value_parser = record_file())]
    pub(crate) record: Option<PathBuf>,

    /// Show the first N units with data each way of every connection or UDP socket, 1 if N is left out, as boxes in
    /// one another: frame, packet, segment, message, each field of their headers with its bytes, in
    /// the layers of the five-layer and of the OSI model. Opens the eye
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = clap::value_parser!(u8).range(1..=16),
    )]
    pub(crate) layers: Option<u8>,

    /// Write the packets of this command's connections to FILE, for Wireshark, tshark and `sockeye
    /// watch FILE`: pcapng, with each message, call and state as a comment on the packet that it
    /// belongs to. Needs CAP_NET_RAW, and opens the eye. What was in FILE is gone
    #[arg(long, value_name = "FILE", value_parser = record_file())]
    pub(crate) pcap: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) drawing: Drawing,
}

/// How pictures are drawn.
#[derive(clap::Args)]
pub(crate) struct Drawing {
    /// Draw with ASCII characters alone [default: what the locale can show]
    #[arg(long)]
    pub(crate) ascii: bool,

    /// Width of the drawing in columns, 40 to 240 [default: the terminal's; in a pipe 100, and what is a
    /// line alone, as of many connections, stays one]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..=240))]
    pub(crate) width: Option<u16>,

    /// Language of the words: verdicts, findings, notes and the live face; names of states and calls stay
    /// as they are. With ASCII alone it is English [default: LC_ALL, LC_MESSAGES or LANG]
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    pub(crate) lang: Option<Language>,
}

/// A language the eye speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// English
    En,
    /// Chinese
    Zh,
}

impl Drawing {
    /// The language that was asked for, if one was.
    pub(crate) fn lang(&self) -> Option<Lang> {
        self.lang.map(|language| match language {
            Language::En => Lang::En,
            Language::Zh => Lang::Zh,
        })
    }
}

/// What the eye does, beyond what it does anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Draw as text: what --eye alone does
    Text,
    /// Show live on the terminal what is open and what ended, with its keys on the last line. Of serve, and
    /// of listen with a service
    Live,
    /// Look at this program's calls and messages alone: no packets, no questions to the kernel while
    /// a connection is open
    Calls,
    /// Have the kernel stamp what is sent when it passes it on and when it is acknowledged: the rows
    /// k.SND and k.ACK. Of a busy connection some sends alone
    Stamps,
}

impl Eye {
    /// Whether somebody looks on.
    pub(crate) fn is_open(&self) -> bool {
        self.draws() || self.record.is_some() || self.pcap.is_some()
    }

    /// Whether what ends is drawn.
    pub(crate) fn draws(&self) -> bool {
        !self.eye.is_empty() || self.layers.is_some()
    }

    /// Whether it was told so.
    pub(crate) fn does(&self, what: What) -> bool {
        self.eye.contains(&what)
    }
}

/// A file to write records to.
pub(super) fn record_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|file| match file == Path::new("-") {
        true => Err("standard output is for what the command itself has to say; name a file"),
        false => Ok(file),
    })
}
