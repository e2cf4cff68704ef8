//! How messages are cut, read and shown: what `connect` and `listen` share.

use sockeye_engine::EndpointKind;
use sockeye_wire::frame::Framing;
use sockeye_wire::text::Encoding;

/// How messages are cut, read and shown.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Messages")]
pub(crate) struct Talk {
    /// Where a message ends, in both directions: raw, line, delimiter=TEXT,
    /// length=u8|u16|u32|u64|u16le|u32le|u64le|varint, fixed=BYTES, netstring or gap=TIME.
    /// With all but raw and gap, one line of input is one message, and one message is one line of
    /// output
    #[arg(long, value_name = "FRAMING", default_value = "raw")]
    pub(crate) frame: Framing,

    /// The longest message taken, of a datagram or packet 1m at most; k and m mean 1024 and 1024²
    #[arg(long, value_name = "BYTES", default_value = "16m", value_parser = size)]
    pub(crate) max_frame: usize,

    /// Cut the input into datagrams of so many bytes, where it has no other borders (raw and gap). What
    /// is typed or comes out of a pipe at once and fits stays one datagram; those of a file are all so
    /// long but the last [default: 1400 for UDP, which fits into one packet of Ethernet; 64k for Unix
    /// sockets]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) datagram: Option<usize>,

    /// The encoding of text on the wire (UTF-8, GB18030, Shift_JIS, ISO-8859-1, …); input and output
    /// are UTF-8
    #[arg(long, value_name = "NAME")]
    pub(crate) encoding: Option<Encoding>,

    /// Show messages as hexadecimal dumps, and read each line of input as hexadecimal digits
    #[arg(long, conflicts_with = "encoding")]
    pub(crate) hex: bool,

    /// Let what the peer sends reach the terminal as it is, control characters and all
    #[arg(long)]
    pub(crate) raw_output: bool,

    /// Show when each message came
    #[arg(long)]
    pub(crate) timestamps: bool,

    /// Print each message, of both directions, as one line of JSON: time, peer, direction, offset,
    /// length, and text, or base64 where it is none
    #[arg(long, conflicts_with = "hex")]
    pub(crate) json: bool,

    /// Show on standard error what the socket is, and every option it has: value, default, unit and
    /// what it is for; with --json as one line of JSON
    #[arg(long)]
    pub(crate) show_socket: bool,
}

impl Talk {
    /// Bytes of the datagrams that input without borders is cut into; None where the socket is a stream.
    pub(crate) fn datagram(&self, kind: EndpointKind) -> Option<usize> {
        let default = match kind {
            // With the headers of IPv6 and UDP, 48 bytes, less than Ethernet (1500) and PPPoE (1492) carry.
            EndpointKind::Udp => 1400,
            EndpointKind::UnixDatagram | EndpointKind::UnixSeqpacket => 64 * 1024,
            EndpointKind::Tcp | EndpointKind::Unix | EndpointKind::Standard => return None,
        };
        Some(self.datagram.unwrap_or(default))
    }

    /// Whether messages have no borders but those that the socket gives them.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.frame, Framing::Raw | Framing::Gap(_)) && !self.hex
    }
}

/// A count of bytes: `4096`, `64k`, `16m`.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.strip_suffix(['k', 'm']) {
        Some(digits) if lower.ends_with('k') => (digits, 1 << 10),
        Some(digits) => (digits, 1 << 20),
        None => (&*lower, 1),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit));
    match bytes {
        Some(0) => Err("more than nothing is needed".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("write it as 4096, 64k or 16m".to_owned()),
    }
}
