//! Whether what the kernel tells of two addresses is about the connection that had them: ports may be
//! used again at once, and packets of the next connection come later than the kernel's answer.

use sockeye_engine::probe::Role;
use sockeye_wire::tcp::State;

use crate::record::{Aftermath, History};

/// What the kernel told of this end's addresses, if it can be about no newer connection.
pub(super) fn about(
    history: &History,
    end: Role,
    used_again: bool,
    told: Aftermath,
) -> Option<Aftermath> {
    let its_own = match told.state {
        // Nobody has these addresses any more.
        State::Closed => true,
        _ if used_again => false,
        state => can_follow(history, end, state),
    };
    its_own.then_some(told)
}

/// Whether this end can be in this state after what is known of the connection (RFC 9293 §3.3.2).
fn can_follow(history: &History, end: Role, state: State) -> bool {
    let course = &history.course;
    let ours = end == history.role;
    let [received, sent] = course.fin.map(|fin| fin.is_some());
    let failed = course.failed.is_some_and(|(_, errno)| errno == libc::ECONNRESET);
    if course.reset.is_some() || failed {
        return state == State::TimeWait && received && sent;
    }
    // What calls tell of our end is all there is where packets are missing.
    let asked = ours && !history.captured && course.ended_by_us.is_some();
    let has_ended = asked || if ours { sent } else { received };
    let has_begun = history.totals.bytes.iter().chain(&course.reached).any(|bytes| *bytes > 0);
    match state {
        State::Established | State::CloseWait => !has_ended,
        State::SynSent | State::SynReceived => !(received || sent || asked || has_begun),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use sockeye_engine::probe::{Direction, Operation, Stamp};

    use super::*;
    use crate::timeline::Timeline;

    fn history(change: impl FnOnce(&mut History)) -> History {
        let end = |port| SocketAddr::from(([127, 0, 0, 1], port)).into();
        let mut history = Timeline::new(Role::Server, end(80), end(4000), 8).into_history();
        history.captured = true;
        change(&mut history);
        history
    }

    /// Of the server's end, and of the client's.
    fn told(history: &History, used_again: bool, state: State) -> [bool; 2] {
        let told = Aftermath { at: Stamp(9), state, remaining_ms: None };
        [Role::Server, Role::Client].map(|end| about(history, end, used_again, told).is_some())
    }

    #[test]
    fn after_a_reset_neither_end_is_open_whoever_has_the_addresses_now() {
        let reset = history(|it| it.course.reset = Some((Direction::Received, Stamp(5))));
        let failed =
            |it: &mut History| it.course.failed = Some((Operation::Recv, libc::ECONNRESET));
        for history in [reset, history(failed)] {
            for state in [State::Established, State::CloseWait, State::SynReceived, State::TimeWait]
            {
                assert_eq!(told(&history, false, state), [false; 2], "{state}");
            }
            assert_eq!(told(&history, false, State::Closed), [true; 2]);
        }
    }

    #[test]
    fn an_end_that_has_sent_its_fin_is_not_open_again() {
        let closed = history(|it| it.course.fin[1] = Some((7, Stamp(5))));
        assert_eq!(told(&closed, false, State::Established), [false, true]);
        assert_eq!(told(&closed, false, State::CloseWait), [false, true]);
        assert_eq!(told(&closed, false, State::FinWait2), [true; 2]);
        let without_packets = history(|it| {
            it.captured = false;
            it.course.ended_by_us = Some(Stamp(5));
        });
        assert_eq!(told(&without_packets, false, State::Established), [false, true]);
    }

    #[test]
    fn what_is_told_of_addresses_that_are_used_again_is_nothing_of_the_former() {
        let whole = history(|it| it.course.fin = [Some((7, Stamp(5))), Some((7, Stamp(6)))]);
        assert_eq!(told(&whole, false, State::TimeWait), [true; 2]);
        assert_eq!(told(&whole, true, State::TimeWait), [false; 2]);
        assert_eq!(told(&whole, true, State::Closed), [true; 2]);
    }

    #[test]
    fn a_connection_that_goes_on_is_told_of_as_it_is() {
        let open = history(|it| it.totals.bytes = [3, 4]);
        assert_eq!(told(&open, false, State::Established), [true; 2]);
        assert_eq!(told(&open, false, State::SynSent), [false; 2]);
    }
}
