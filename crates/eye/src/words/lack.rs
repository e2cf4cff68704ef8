//! What can't be seen, before it is said in a language.

use std::io;
use std::net::SocketAddr;

use super::{Lang, Words};
use crate::capture::CaptureError;
use crate::kernel::DiagError;

/// One thing that was asked for and is not there, or is not any more.
#[derive(Debug)]
pub(crate) enum Lack {
    /// No packets; and whether the connections are those of others.
    Capture(CaptureError, bool),
    /// No samples of queues.
    Queues(DiagError),
    /// No word of the kernel when it lets go of sockets.
    Ends(DiagError),
    /// No stamps of the kernel.
    Stamps,
    /// No packets of one listener more.
    Listener(SocketAddr, CaptureError),
    /// Packets are captured no more.
    CaptureFailed(io::Error),
    /// Sockets of others are listed no more.
    ListEnded(DiagError),
    /// Queues are sampled no more.
    QueuesEnded(DiagError),
}

/// All that is missing in one line without its end; `None` if nothing is.
pub(crate) fn line(lacks: &[Lack], lang: Lang) -> Option<String> {
    let words: &dyn Words = lang.words();
    let told: Vec<String> = lacks.iter().map(|lack| words.lack(lack)).collect();
    (!told.is_empty()).then(|| format!("eye: {}", told.join(words.between_lacks())))
}
