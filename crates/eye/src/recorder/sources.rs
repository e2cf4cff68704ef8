//! What there is to see with: opened once, and what is missing said in one line.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;

use crate::capture::{Capture, RingSize, Snap, Targets};
use crate::kernel::{Ends, Queues, SockDiag, ask_stamps};

/// All that was asked for and is there.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) capture: Option<Capture>,
    pub(super) diag: Option<SockDiag>,
    /// Samples of queues can be had.
    pub(super) queues: Option<Queues>,
    /// The kernel says when it lets go of sockets.
    pub(super) ends: Option<Ends>,
    /// The kernel stamps what is sent.
    pub(super) stamps: bool,
    /// What was asked for and is not there, and what to do about it.
    pub(super) missing: Option<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) capture: bool,
    pub(super) snap: Snap,
    pub(super) queues: bool,
    pub(super) stamps: bool,
}

impl Sources {
    /// Opens what is asked for; lack of privilege is no error.
    pub(super) fn open(targets: Targets<'_>, wanted: Wanted) -> Sources {
        let mut missing = Vec::new();
        let capture = (wanted.capture && !targets.is_empty())
            .then(|| Capture::open(targets, RingSize::from(wanted.snap)))
            .and_then(|opened| {
                opened
                    .inspect_err(|error| {
                        let rows = match targets.others {
                            [] => "the segment and ack rows and most exact states are not shown",
                            _ => "states and bytes are those the kernel tells ten times a second",
                        };
                        let remedy = error.remedy().map(|way| format!("; to see them: {way}"));
                        missing.push(format!("{error}: {rows}{}", remedy.unwrap_or_default()));
                    })
                    .ok()
            });
        // Without it pictures lack the aftermath; nothing the user could do about it.
        let diag = match targets.listeners.first() {
            Some(&listener) => SockDiag::open(listener).ok(),
            None if targets.is_empty() => None,
            None => diag_of_a_client(),
        };
        let asks = wanted.queues && !targets.is_empty();
        let queues = asks.then(Queues::open).and_then(|opened| {
            let lost = "queues are not sampled";
            opened.inspect_err(|error| missing.push(format!("{error}: {lost}"))).ok()
        });
        let ends = asks.then(Ends::open).and_then(|opened| {
            let lost = "the kernel's last word on a connection is not heard";
            opened.inspect_err(|error| missing.push(format!("{error}: {lost}"))).ok()
        });
        let stamps = wanted.stamps && kernel_stamps();
        if wanted.stamps && !stamps {
            missing.push(
                "no kernel stamps: the k.SND and k.ACK rows are not shown; to see them: Linux 6.2 \
                 or later"
                    .to_owned(),
            );
        }
        let missing = (!missing.is_empty()).then(|| format!("eye: {}", missing.join("; ")));
        Sources { capture, diag, queues, ends, stamps, missing }
    }
}

/// `sock_diag` needs a socket to be sure that it works, and a client has none yet.
fn diag_of_a_client() -> Option<SockDiag> {
    let witness = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    SockDiag::open(witness.local_addr().ok()?).ok()
}

/// Whether the kernel stamps what is sent: asked of a connection, as no other socket can be. Where
/// none can be made, each connection will be asked all the same.
fn kernel_stamps() -> bool {
    let made = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let connection = TcpStream::connect(listener.local_addr()?)?;
        // Closed, the listener would take a connection that nobody has accepted with it.
        std::io::Result::Ok((connection, listener))
    };
    made().map_or(true, |(connection, _listener)| ask_stamps(connection.as_fd()).is_ok())
}
