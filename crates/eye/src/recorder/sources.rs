//! What there is to see with: opened once, and what is missing.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;

use crate::capture::{Capture, RingSize, Snap, Targets};
use crate::kernel::{Ends, Queues, SockDiag, ask_stamps};
use crate::words::lack::Lack;

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
    /// What was asked for and is not there.
    pub(super) missing: Vec<Lack>,
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
        let capture = (wanted.capture && !targets.is_empty_for(wanted.snap))
            .then(|| Capture::open(targets, RingSize::from(wanted.snap)))
            .and_then(|opened| {
                opened
                    .map_err(|error| {
                        missing.push(Lack::Capture(error, !targets.others.is_empty()));
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
        let queues = asks
            .then(Queues::open)
            .and_then(|opened| opened.map_err(|error| missing.push(Lack::Queues(error))).ok());
        let ends = asks
            .then(|| Ends::open(targets))
            .and_then(|opened| opened.map_err(|error| missing.push(Lack::Ends(error))).ok());
        let stamps = wanted.stamps && kernel_stamps();
        if wanted.stamps && !stamps {
            missing.push(Lack::Stamps);
        }
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
