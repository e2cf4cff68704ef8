//! The state of our own end, concluded from its calls: all there is where packets are not seen.

use sockeye_engine::probe::{Call, Operation, Role, Stamp};
use sockeye_wire::tcp::State;

use crate::record::{Certainty, INFERRED_MAX, StateChange};

/// Our end as its calls show it (RFC 9293 §3.5, §3.6).
///
/// Calls tell too little for three states: whether our FIN was acknowledged (FIN-WAIT-2), and
/// whether LAST-ACK and TIME-WAIT are over. They are left where the calls put them.
#[derive(Debug)]
pub(super) struct OwnEnd {
    role: Role,
    state: State,
    unread: bool,
    steps: usize,
}

impl OwnEnd {
    pub(super) fn new(role: Role) -> OwnEnd {
        OwnEnd { role, state: State::Closed, unread: false, steps: 0 }
    }

    pub(super) fn opened(&mut self, at: Stamp) -> Option<StateChange> {
        if self.state != State::Closed || self.steps > 0 {
            return None;
        }
        self.state = match self.role {
            Role::Server => State::SynReceived,
            Role::Client => State::SynSent,
        };
        self.step(State::Established, at, Certainty::Inferred)
    }

    pub(super) fn call(&mut self, call: &Call) -> Option<StateChange> {
        use State::{
            CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, TimeWait,
        };
        let to = match (call.operation, call.result, self.state) {
            (_, Err(errno), _) if is_reset(errno) => Closed,
            (Operation::Recv, Ok(0), Established) if call.asked > 0 => CloseWait,
            (Operation::Recv, Ok(0), FinWait1 | FinWait2 | Closing) if call.asked > 0 => TimeWait,
            // Closed with bytes unread, the kernel sends RST instead of FIN (RFC 9293 §3.6.1).
            (Operation::Close, _, Established | CloseWait) if self.unread => Closed,
            (Operation::ShutdownWrite, Ok(_), Established) => FinWait1,
            (Operation::ShutdownWrite, Ok(_), CloseWait) => LastAck,
            (Operation::Close, _, Established) => FinWait1,
            (Operation::Close, _, CloseWait) => LastAck,
            _ => return None,
        };
        let at = match call.operation {
            Operation::Recv | Operation::Send | Operation::SendFile => call.end,
            _ => call.start,
        };
        self.step(to, at, Certainty::Inferred)
    }

    /// The kernel's own word.
    pub(super) fn told(&mut self, state: State, at: Stamp) -> Option<StateChange> {
        self.step(state, at, Certainty::Exact)
    }

    /// So many bytes have arrived and were not read.
    pub(super) fn unread(&mut self, bytes: u32) {
        self.unread = bytes > 0;
    }

    fn step(&mut self, to: State, at: Stamp, certainty: Certainty) -> Option<StateChange> {
        if to == self.state || self.steps == INFERRED_MAX {
            return None;
        }
        let from = std::mem::replace(&mut self.state, to);
        self.steps += 1;
        Some(StateChange { at, end: self.role, from, to, certainty })
    }
}

fn is_reset(errno: i32) -> bool {
    [libc::ECONNRESET, libc::EPIPE, libc::ECONNREFUSED, libc::ECONNABORTED, libc::ETIMEDOUT]
        .contains(&errno)
}
