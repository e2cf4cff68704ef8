//! What `sockeye listen` may be told.

use std::ffi::OsString;
use std::time::Duration;

use ipnet::IpNet;
use sockeye_engine::{DriverKind, Endpoint};

use super::endpoint::endpoint;
use super::{Eye, Talk, driver, duration};

/// Listen on sockets, and talk to all who connect
///
/// Prints what clients send, and sends standard input to all of them; a client that is there alone
/// in a pipe gets and gives plain bytes, and late answers are never cut. Or serves them, as one of
/// the services says. Says `listening on ADDRESS` on standard error for each socket once it is ready.
/// Exits with 0 when done, after SIGTERM and SIGHUP, and quietly when nobody reads standard output
/// any more; 1 on failure, 2 on wrong usage and 130 after SIGINT (Ctrl-C).
#[derive(clap::Args)]
pub(crate) struct Listen {
    /// Where: tcp://HOST:PORT, HOST:PORT, udp://HOST:PORT, unix:///PATH, unix:@NAME (abstract),
    /// unix-dgram: or unix-seqpacket:; port 0 picks a free one. With options, as in
    /// unix:///run/x.sock?mode=0660
    #[arg(value_name = "ENDPOINT", required = true)]
    #[arg(value_parser = endpoint("tcp://127.0.0.1:8000"))]
    pub(crate) endpoints: Vec<Endpoint>,

    /// Serve one client and be done; of datagrams the first sender, until the input is at its end
    /// and no more has come for a second (or --idle-timeout)
    #[arg(long)]
    pub(crate) once: bool,

    /// Clients at once; others wait in the backlog [default: four fifths of the descriptors the
    /// process may have; with --exec 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,

    /// Only these networks, as 192.168.0.0/16 or ::1; may be given several times. Clients of Unix
    /// sockets are of no network and come in all the same: see ?mode= and ?owner=
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub(crate) allow: Vec<IpNet>,

    /// Not these networks, allowed or not; may be given several times. Not asked of Unix sockets
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub(crate) deny: Vec<IpNet>,

    /// Drop clients that send nothing and take nothing for so long, with --chat those that say
    /// nothing [default: never; 60s for --echo, --discard and --chargen]
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) idle_timeout: Option<Duration>,

    /// A line of input that begins with @N goes to client N alone [default: where it is typed]
    #[arg(long)]
    pub(crate) pick: bool,

    /// Say on standard error who comes and goes
    #[arg(long, short)]
    pub(crate) verbose: bool,

    // Behind the others: their headings hold for all that follows.
    #[command(flatten)]
    pub(crate) service: Service,

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

    /// How long clients may take to finish after a signal, and standard output to take the rest
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration,
        allow_hyphen_values = true,
        help_heading = "Engine",
    )]
    pub(crate) grace: Duration,

    #[command(flatten)]
    pub(crate) eye: Eye,
}

/// What is done with clients in place of talking to them.
#[derive(clap::Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Services")]
pub(crate) struct Service {
    /// Send back what comes (RFC 862); over datagrams, to one sender the same bytes no more than 20
    /// times in 10 s
    #[arg(long)]
    pub(crate) echo: bool,

    /// Take what comes and do nothing with it (RFC 863)
    #[arg(long)]
    pub(crate) discard: bool,

    /// Send characters without end (RFC 864); over datagrams, no more than came
    #[arg(long)]
    pub(crate) chargen: bool,

    /// Send the date and time (RFC 867)
    #[arg(long)]
    pub(crate) daytime: bool,

    /// A room where clients talk in lines: the first line is the name; /who, /name NEW, /quit. Who
    /// reads too slowly or talks too fast is dropped
    #[arg(long)]
    pub(crate) chat: bool,

    /// What one client sends goes to all others, byte for byte, or frame for frame with
    /// --frame, up to 1m a frame. Who takes nothing for 10 s while others do is dropped. Of datagrams,
    /// the same bytes of one sender go once a second
    #[arg(long)]
    pub(crate) broker: bool,

    /// Run this command (sh -c) for each connection, with the socket as its standard input and
    /// output; SOCKEYE_PEER and SOCKEYE_LOCAL name both ends. When the peer is gone it has --grace
    /// to end, then it and all it started get SIGTERM, and 2 s later SIGKILL
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<OsString>,
}

impl Service {
    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        let Service { echo, discard, chargen, daytime, chat, broker, exec } = self;
        [echo, discard, chargen, daytime, chat, broker].contains(&&true) || exec.is_some()
    }
}

/// `192.168.0.0/16`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().ok().map(|address: std::net::IpAddr| address.into());
    text.parse()
        .ok()
        .or_else(address)
        .ok_or_else(|| "write it as 192.168.0.0/16, 10.1.2.3 or fe80::/10".to_owned())
}
