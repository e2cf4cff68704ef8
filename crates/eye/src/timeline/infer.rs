//! The state of our own end, concluded from its calls: all there is where packets are not seen.

use sockeye_engine::probe::{Call, Operation, Role, Stamp};
use sockeye_wire::tcp::State;

use super::is_transient;
use crate::record::{Certainty, INFERRED_MAX, StateChange};

/// Our end as its calls show it (RFC 9293 §3.5, §3.6).
///
/// Calls tell too little for three states: whether our FIN was acknowledged (FIN-WAIT-2), and
/// whether LAST-ACK and TIME-WAIT are over. They are left where the calls put them.
#[derive(Debug)]
pub(super) struct OwnEnd {
    role: Role,
    state: State,
    resets: bool,
    steps: usize,
}

impl OwnEnd {
    pub(super) fn new(role: Role) -> OwnEnd {
        OwnEnd { role, state: State::Closed, resets: false, steps: 0 }
    }

    pub(super) fn opened(&mut self, at: Stamp) -> Option<StateChange> {
        if self.state != State::Closed || self.steps > 0 {
            return None;
        }
        let now = match self.role {
            Role::Server => {
                self.state = State::SynReceived;
                State::Established
            }
            // Being made: connect(2) tells how that ends.
            Role::Client => State::SynSent,
        };
        self.step(now, at, Certainty::Inferred)
    }

    pub(super) fn call(&mut self, call: &Call) -> Option<StateChange> {
        use State::{
            CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, SynSent, TimeWait,
        };
        let to = match (call.operation, call.result, self.state) {
            (_, Err(errno), _) if is_reset(errno) => Closed,
            (Operation::Connect, Err(errno), SynSent) if !is_transient(errno) => Closed,
            (Operation::Connect | Operation::Send | Operation::SendFile, Ok(_), SynSent)
            | (Operation::Recv, Ok(1..), SynSent) => Established,
            (Operation::Recv, Ok(0), Established) => CloseWait,
            (Operation::Recv, Ok(0), FinWait1 | FinWait2 | Closing) => TimeWait,
            (Operation::Close, _, Established | CloseWait) if self.resets => Closed,
            (Operation::Close, _, SynSent) => Closed,
            (Operation::ShutdownWrite, Ok(_), Established) => FinWait1,
            (Operation::ShutdownWrite, Ok(_), CloseWait) => LastAck,
            (Operation::Close, _, Established) => FinWait1,
            (Operation::Close, _, CloseWait) => LastAck,
            _ => return None,
        };
        let at = match call.operation {
            Operation::Connect | Operation::Recv | Operation::Send | Operation::SendFile => {
                call.end
            }
            _ => call.start,
        };
        self.step(to, at, Certainty::Inferred)
    }

    /// The kernel's own word.
    pub(super) fn told(&mut self, state: State, at: Stamp) -> Option<StateChange> {
        // What waits in TIME-WAIT is another socket, and the program's own has no state left.
        if state == State::Closed && self.state == State::TimeWait {
            return None;
        }
        self.step(state, at, Certainty::Exact)
    }

    /// Close will send RST instead of FIN.
    pub(super) fn will_reset(&mut self, resets: bool) {
        self.resets = resets;
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

#[cfg(test)]
mod tests {
    use super::*;
    use State::{CloseWait, Closed, Established, FinWait1, FinWait2, LastAck, SynSent, TimeWait};

    fn call(operation: Operation, asked: u64, result: Result<u64, i32>) -> Call {
        Call { operation, start: Stamp(1), end: Stamp(2), asked, result, offset: 0 }
    }

    fn states(role: Role, calls: &[(Operation, Result<u64, i32>)]) -> Vec<State> {
        let mut end = OwnEnd::new(role);
        let mut states: Vec<State> =
            end.opened(Stamp(0)).map(|change| change.to).into_iter().collect();
        for (operation, result) in calls {
            states.extend(end.call(&call(*operation, 64, *result)).map(|change| change.to));
        }
        states
    }

    #[test]
    fn the_peer_closes_first() {
        let calls = [(Operation::Recv, Ok(9)), (Operation::Recv, Ok(0)), (Operation::Close, Ok(0))];
        assert_eq!(states(Role::Server, &calls), [Established, CloseWait, LastAck]);
    }

    #[test]
    fn we_close_first() {
        let calls = [
            (Operation::Connect, Ok(0)),
            (Operation::ShutdownWrite, Ok(0)),
            (Operation::Recv, Ok(4)),
            (Operation::Recv, Ok(0)),
            (Operation::Close, Ok(0)),
        ];
        assert_eq!(states(Role::Client, &calls), [SynSent, Established, FinWait1, TimeWait]);
    }

    #[test]
    fn a_refused_connect_was_never_established() {
        let calls = [(Operation::Connect, Err(libc::ECONNREFUSED)), (Operation::Close, Ok(0))];
        assert_eq!(states(Role::Client, &calls), [SynSent, Closed]);
        let calls = [(Operation::Connect, Err(libc::EHOSTUNREACH)), (Operation::Close, Ok(0))];
        assert_eq!(states(Role::Client, &calls), [SynSent, Closed]);
        let calls = [(Operation::Connect, Ok(0)), (Operation::Close, Ok(0))];
        assert_eq!(states(Role::Client, &calls), [SynSent, Established, FinWait1]);
    }

    #[test]
    fn a_reset_and_a_close_with_bytes_unread_lead_to_closed() {
        let calls = [(Operation::Send, Err(libc::EPIPE)), (Operation::Close, Ok(0))];
        assert_eq!(states(Role::Server, &calls), [Established, Closed]);

        let mut end = OwnEnd::new(Role::Server);
        assert!(end.opened(Stamp(0)).is_some());
        end.will_reset(true);
        let change = end.call(&call(Operation::Close, 0, Ok(0))).expect("a change");
        assert_eq!((change.to, change.certainty), (Closed, Certainty::Inferred));
    }

    #[test]
    fn the_end_of_the_stream_is_one_whatever_room_a_completion_driver_tells() {
        let mut end = OwnEnd::new(Role::Server);
        assert!(end.opened(Stamp(0)).is_some());
        let change = end.call(&call(Operation::Recv, 0, Ok(0))).expect("a change");
        assert_eq!(change.to, CloseWait);
    }

    #[test]
    fn the_kernels_word_is_exact() {
        let mut end = OwnEnd::new(Role::Server);
        assert!(end.opened(Stamp(0)).is_some());
        assert!(end.call(&call(Operation::ShutdownWrite, 0, Ok(0))).is_some());
        let change = end.told(FinWait2, Stamp(5)).expect("a change");
        assert_eq!(
            (change.from, change.to, change.certainty),
            (FinWait1, FinWait2, Certainty::Exact)
        );
        assert_eq!(end.told(FinWait2, Stamp(6)), None);
    }

    #[test]
    fn a_socket_without_a_state_may_have_left_one_in_time_wait() {
        let mut end = OwnEnd::new(Role::Client);
        assert!(end.opened(Stamp(0)).is_some());
        assert!(end.call(&call(Operation::Connect, 0, Ok(0))).is_some());
        assert!(end.call(&call(Operation::ShutdownWrite, 0, Ok(0))).is_some());
        assert!(end.call(&call(Operation::Recv, 0, Ok(0))).is_some());
        assert_eq!(end.told(Closed, Stamp(5)), None);
        let mut end = OwnEnd::new(Role::Server);
        assert!(end.opened(Stamp(0)).is_some());
        assert!(end.call(&call(Operation::Recv, 0, Ok(0))).is_some());
        assert!(end.call(&call(Operation::ShutdownWrite, 0, Ok(0))).is_some());
        assert_eq!(end.told(Closed, Stamp(5)).expect("a change").from, LastAck);
    }

    #[test]
    fn the_steps_are_bounded_whatever_the_kernel_says() {
        let mut end = OwnEnd::new(Role::Server);
        let told = [FinWait1, Established].into_iter().cycle().take(100);
        assert_eq!(told.filter_map(|state| end.told(state, Stamp(1))).count(), INFERRED_MAX);
    }
}
