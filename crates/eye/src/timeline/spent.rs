//! Where the time of a connection went, from its calls and the gaps between them.

use std::time::Duration;

use sockeye_engine::probe::{Call, Operation, Stamp};

use super::is_transient;
use crate::record::Spent;

/// Sorts every stretch of time by whose turn it was.
///
/// Until a `recv` returns it is the peer's turn, but once the byte it returned has arrived, our
/// program's. Before a `send` it is the window's turn if the send before could not place all it
/// had, else our program's. Before a close that the peer did not ask for, we had waited for it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Up to here all time is sorted.
    latest: Option<Stamp>,
    /// The last send left something over.
    blocked: bool,
    /// The peer has ended its stream, or the connection broke.
    over: bool,
    /// End offset and time of the latest segments with data, a ring.
    arrivals: [Option<(u64, Stamp)>; ARRIVALS],
    next: usize,
}

/// Arrivals remembered. If a program lets more pile up unread, its delay is taken for the
/// peer's: wrong in its favour, but bounded in memory.
const ARRIVALS: usize = 32;

/// Copying into a socket takes microseconds; a send that took longer slept for room.
const SEND_SLEPT: Duration = Duration::from_millis(1);

impl Clock {
    pub(super) fn start(&mut self, at: Stamp) {
        self.latest.get_or_insert(at);
    }

    /// The end of the latest call.
    pub(super) fn latest(&self) -> Option<Stamp> {
        self.latest
    }

    /// Received bytes below `end` have arrived.
    pub(super) fn arrived(&mut self, end: u64, at: Stamp) {
        self.arrivals[self.next] = Some((end, at));
        self.next = (self.next + 1) % ARRIVALS;
    }

    pub(super) fn call(&mut self, call: &Call, spent: &mut Spent) {
        let Some(latest) = self.latest.replace(self.latest.map_or(call.end, |l| l.max(call.end)))
        else {
            return;
        };
        let start = call.start.max(latest);
        let end = call.end.max(latest);
        match call.operation {
            Operation::Recv => {
                let arrived = match call.result {
                    Ok(1..) => self.arrival_of(call.offset).map_or(end, |at| at.clamp(latest, end)),
                    _ => end,
                };
                spent.peer += nanos(latest, arrived);
                spent.program += nanos(arrived, end);
                self.over |= match call.result {
                    Ok(count) => count == 0 && call.asked > 0,
                    Err(errno) => !is_transient(errno),
                };
            }
            Operation::Send | Operation::SendFile => {
                *self.turn(spent) += nanos(latest, start);
                self.blocked = match call.result {
                    Ok(count) => count < call.asked,
                    Err(errno) => is_transient(errno),
                };
                if end.since(start) >= SEND_SLEPT {
                    spent.window += nanos(start, end);
                } else {
                    spent.program += nanos(start, end);
                }
            }
            Operation::Accept | Operation::Connect => spent.peer += nanos(latest, end),
            Operation::ShutdownWrite | Operation::Close => {
                let waited = if self.over { &mut spent.program } else { &mut spent.peer };
                *waited += nanos(latest, start);
                spent.program += nanos(start, end);
                self.over = true;
            }
        }
    }

    fn turn<'a>(&self, spent: &'a mut Spent) -> &'a mut u64 {
        if self.blocked { &mut spent.window } else { &mut spent.program }
    }

    /// When the byte at `offset` arrived.
    fn arrival_of(&self, offset: u64) -> Option<Stamp> {
        let known = self.arrivals.iter().flatten();
        known.filter(|(end, _)| *end > offset).map(|(_, at)| *at).min()
    }
}

fn nanos(from: Stamp, to: Stamp) -> u64 {
    to.0.saturating_sub(from.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(
        operation: Operation,
        start: u64,
        end: u64,
        asked: u64,
        result: Result<u64, i32>,
    ) -> Call {
        Call { operation, start: Stamp(start), end: Stamp(end), asked, result, offset: 0 }
    }

    fn spent(arrivals: &[(u64, u64)], calls: &[Call]) -> [u64; 3] {
        let mut clock = Clock::default();
        let mut spent = Spent::default();
        clock.start(Stamp(0));
        for (end, at) in arrivals {
            clock.arrived(*end, Stamp(*at));
        }
        for call in calls {
            clock.call(call, &mut spent);
        }
        [spent.peer, spent.window, spent.program]
    }

    #[test]
    fn bytes_that_lie_unread_are_our_programs_delay() {
        let recv = call(Operation::Recv, 100, 110, 64, Ok(5));
        assert_eq!(spent(&[], &[recv]), [110, 0, 0]);
        assert_eq!(spent(&[(5, 40)], &[recv]), [40, 0, 70]);
        // They had come before the connection was even accepted.
        assert_eq!(spent(&[(5, 0)], &[recv]), [0, 0, 110]);
    }

    #[test]
    fn only_a_send_that_left_something_over_waits_for_the_window() {
        let whole = call(Operation::Send, 10, 20, 50, Ok(50));
        let part = call(Operation::Send, 10, 20, 50, Ok(30));
        let full = call(Operation::Send, 10, 20, 50, Err(libc::EAGAIN));
        let next = call(Operation::Send, 520, 530, 20, Ok(20));
        assert_eq!(spent(&[], &[whole, next]), [0, 0, 530]);
        assert_eq!(spent(&[], &[part, next]), [0, 500, 30]);
        assert_eq!(spent(&[], &[full, next]), [0, 500, 30]);
    }

    #[test]
    fn a_send_that_slept_waited_for_the_window() {
        let slept = call(Operation::Send, 10, 2_000_010, 50, Ok(50));
        assert_eq!(spent(&[], &[slept]), [0, 2_000_000, 10]);
    }

    #[test]
    fn a_close_out_of_patience_had_waited_for_the_peer() {
        let nothing = call(Operation::Recv, 10, 11, 64, Err(libc::EAGAIN));
        let end = call(Operation::Recv, 10, 11, 64, Ok(0));
        let close = call(Operation::Close, 911, 912, 0, Ok(0));
        assert_eq!(spent(&[], &[nothing, close]), [911, 0, 1]);
        assert_eq!(spent(&[], &[end, close]), [11, 0, 901]);
    }

    #[test]
    fn overlapping_calls_are_counted_once() {
        let recv = call(Operation::Recv, 0, 100, 64, Ok(5));
        let send = call(Operation::Send, 50, 90, 5, Ok(5));
        assert_eq!(spent(&[], &[recv, send]).iter().sum::<u64>(), 100);
    }
}
