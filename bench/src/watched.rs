//! Who looks on at a server while it is measured: nobody, the eye, strace or tcpdump.
//!
//! Whoever does shares the server's core, and its CPU time is counted with the server's: the eye's
//! threads are the server's own, so nobody else may have it better.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::child::Process;
use crate::machine;

/// A way of looking on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Nobody.
    Not,
    /// `--eye=calls`: calls and messages.
    Calls,
    /// `--eye`: the same, and packets.
    Eye,
    /// `--eye=stamps`: the same, and when the kernel sent what and had it acknowledged.
    Stamps,
    /// strace, which started the server, on its calls for sockets.
    Strace,
    /// tcpdump, which writes the headers of the server's packets to `/dev/null`.
    Tcpdump,
}

/// Longer than tcpdump takes to open its socket.
const SET_UP: Duration = Duration::from_secs(10);

/// Lines tcpdump may print ahead of the one that says it listens.
const LINES: usize = 4;

impl Watched {
    /// All of them; the first is what the others are compared with.
    pub(crate) const ALL: [Watched; 6] = [
        Watched::Not,
        Watched::Calls,
        Watched::Eye,
        Watched::Stamps,
        Watched::Strace,
        Watched::Tcpdump,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Watched::Not => "shut",
            Watched::Calls => "--eye=calls",
            Watched::Eye => "--eye",
            Watched::Stamps => "--eye=stamps",
            Watched::Strace => "strace",
            Watched::Tcpdump => "tcpdump",
        }
    }

    /// Whether the server itself draws what it sees.
    pub(crate) fn draws(self) -> bool {
        matches!(self, Watched::Calls | Watched::Eye | Watched::Stamps)
    }

    /// Fails if this can't be had here.
    pub(crate) fn check(self) -> anyhow::Result<()> {
        let program = match self {
            Watched::Strace => "strace",
            Watched::Tcpdump => "tcpdump",
            Watched::Not | Watched::Calls | Watched::Eye | Watched::Stamps => "",
        };
        if !program.is_empty() && machine::find_program(program).is_none() {
            bail!("skipped: {program} is not installed (apt-get install {program})");
        }
        let captures = matches!(self, Watched::Eye | Watched::Stamps | Watched::Tcpdump);
        if captures && !rustix::process::geteuid().is_root() {
            bail!("skipped: capture needs root");
        }
        Ok(())
    }

    /// The command that starts the server so.
    pub(crate) fn applied_to(self, mut server: Command) -> Command {
        match self {
            Watched::Not | Watched::Tcpdump => server,
            Watched::Calls | Watched::Eye | Watched::Stamps => {
                server.arg(self.name());
                server
            }
            Watched::Strace => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=network"]);
                strace.arg(server.get_program()).args(server.get_args());
                strace
            }
        }
    }

    /// Starts whoever looks on from beside a server that runs, on the core given.
    pub(crate) fn beside(self, server: SocketAddr, core: usize) -> anyhow::Result<Option<Process>> {
        if self != Watched::Tcpdump {
            return Ok(None);
        }
        let mut command = Command::new("sh");
        // What it has to say comes on standard error.
        command.args(["-c", "exec tcpdump -i lo -n -s 96 -w /dev/null tcp port \"$1\" 2>&1", "sh"]);
        command.arg(server.port().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut tcpdump = Process::spawn(command, core)?;
        let mut said = String::new();
        for _ in 0..LINES {
            said = tcpdump.first_line(SET_UP).context("tcpdump")?;
            if said.contains("listening on") {
                return Ok(Some(tcpdump));
            }
        }
        bail!("tcpdump does not listen: {said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_arguments_stay_under_strace() {
        let mut server = Command::new("server");
        server.args(["serve", "a folder"]);
        let traced = Watched::Strace.applied_to(server);
        let arguments: Vec<_> = traced.get_args().map(|word| word.to_string_lossy()).collect();
        assert_eq!(traced.get_program(), "strace");
        assert!(arguments.ends_with(&["server".into(), "serve".into(), "a folder".into()]));
    }
}
