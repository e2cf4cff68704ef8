//! The eleven states of a connection's end (RFC 9293 §3.3.2).

use std::fmt;

/// The state of one end of a connection, with the names of RFC 9293 §3.3.2.
///
/// ```
/// use sockeye_wire::tcp::State;
///
/// assert_eq!(State::SynReceived.to_string(), "SYN-RECEIVED");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting for a connection request from any peer.
    Listen,
    /// A SYN was sent; its answer is awaited.
    SynSent,
    /// A SYN was sent and one received; the ACK of ours is awaited.
    SynReceived,
    /// Open: data flows both ways.
    Established,
    /// Our FIN was sent first and is not acknowledged yet.
    FinWait1,
    /// Our FIN is acknowledged; the peer's is awaited.
    FinWait2,
    /// The peer's FIN has arrived; our program has not closed yet.
    CloseWait,
    /// Both FINs crossed; the ACK of ours is awaited.
    Closing,
    /// Our FIN followed the peer's; its ACK is awaited.
    LastAck,
    /// All is acknowledged; old segments are given time to die out.
    TimeWait,
    /// No connection.
    Closed,
}

impl State {
    /// The name in RFC spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
            State::Closed => "CLOSED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_pads_like_a_string() {
        assert_eq!(format!("{:>12}|", State::TimeWait), "   TIME-WAIT|");
    }
}
