//! What a verdict says, before it is said in a language.

use sockeye_engine::probe::{Direction, Operation};
use sockeye_wire::tcp::State;

use crate::verdict::{How, Phase};

/// How a connection ended.
pub(crate) struct Ending {
    pub(crate) who: Option<Who>,
    pub(crate) how: How,
    pub(crate) phase: Phase,
    pub(crate) after: After,
    /// What was waited for when a deadline passed.
    pub(crate) gave_up: Option<Direction>,
    /// The first call that failed, and its error number.
    pub(crate) failed: Option<(Operation, i32)>,
    pub(crate) open: bool,
    /// What is known of it ends where the capture did.
    pub(crate) cut_short: bool,
    /// Known from a recording, which may end before the connection does.
    pub(crate) recorded: bool,
    /// The server did it.
    pub(crate) server: bool,
}

impl Ending {
    /// A server answered the first SYN by a reset.
    pub(crate) fn is_refusal(&self) -> bool {
        self.how == How::Reset && self.phase == Phase::Handshake && self.server
    }
}

/// Who did it.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    We,
    Client,
    Server,
}

/// What had been said by then.
pub(crate) enum After {
    Nothing,
    Messages(u64),
    Requests(u64),
    Both { received: u64, sent: u64 },
}

/// What time is counted from.
#[derive(Clone, Copy)]
pub(crate) enum Since {
    Handshake,
    Accept,
    Connect,
}

/// What time was spent on; see [`crate::record::Spent`].
#[derive(Clone, Copy)]
pub(crate) enum Share {
    Backlog,
    Peer,
    Window,
    Reading,
    Nagle,
    Repair,
    Sending,
    Program,
}

/// Which ends still hold a state.
pub(crate) enum Rest {
    /// Both hold the same.
    Both(Held),
    /// One of them at least does.
    Ends([Option<Held>; 2]),
}

/// A state that an end holds.
pub(crate) struct Held {
    pub(crate) state: State,
    pub(crate) place: Place,
    /// For so many nanoseconds still.
    pub(crate) remaining: Option<u64>,
}

/// Where an end is.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Here,
    Peer,
    Client,
    Server,
}
