//! Where the time of a connection went, from its calls and the gaps between them.

use std::ops::Range;
use std::time::Duration;

use sockeye_engine::probe::{Call, Direction, Operation, Role, Stamp};

use super::arrivals::Arrivals;
use super::is_transient;
use crate::finding::{self, loss, nagle, window};
use crate::record::{Event, History, Segment, Spent};

/// Sorts every stretch of time by whose turn it was.
///
/// Until a `recv` returns it is the peer's turn, but once what it returned has arrived, our
/// program's; without packets nobody knows when that was, and all of it is the peer's. Before a
/// `send` it is the window's turn if the send before could not place all it had, else our
/// program's; and so it is while the peer's window is shut and our program has not sent all it has. Before a close that the peer did not ask for, we had waited for it.
///
/// Told of a call before the packets that belong to it, as happens with packets that come in
/// blocks, it can't know when they came: [`of`] sorts a history that is complete.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Up to here all time is sorted.
    latest: Option<Stamp>,
    /// The last send left something over.
    blocked: bool,
    /// The connection was made: before that there is no window to wait for.
    made: bool,
    /// How far our program's stream had come.
    sent: u64,
    /// The peer has ended its stream, or the connection broke.
    over: bool,
    /// Bytes sent since the peer last said something: no more can lie in the socket's buffer if
    /// it answers what it has read.
    unanswered: u64,
    /// What came lately, a ring.
    arrivals: [Option<Arrival>; ARRIVALS],
    next: usize,
    /// When it waited, where somebody wants to know.
    waits: Option<Vec<Wait>>,
}

/// Something of the peer's stream came.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    /// All offsets below this were there; the FIN counts as a byte, a reset ends everything.
    end: u64,
    at: Stamp,
}

/// Arrivals remembered while a connection runs. If a program lets more pile up unread, its delay
/// is taken for the peer's: wrong in its favour, but bounded in memory.
const ARRIVALS: usize = 4;

/// Copying into a socket takes microseconds; a send that took longer slept for room, or was put
/// off the processor.
const SEND_SLEPT: Duration = Duration::from_millis(1);

/// A socket's buffer has at least so much room (`tcp_wmem`, tcp(7)): a send does not sleep for
/// less.
const SEND_ROOM: u64 = 16_384;

/// Sorts the time of a connection of which nothing was left out.
pub(super) fn of(history: &History) -> Spent {
    let arrivals = Arrivals::of(history);
    let waits = Some(Vec::new());
    let mut clock = Clock { latest: history.opened, waits, ..Clock::default() };
    let mut spent = Spent { backlog: backlog(history), ..Spent::default() };
    for event in history.events.iter() {
        if let Event::Call(call) = event {
            clock.sort(call, arrivals.of_offset(call.offset), &mut spent);
        }
    }
    if let Some(at) = history.closed {
        clock.close(at, &mut spent);
    }
    clock.tell_apart(history, arrivals.holes(), &mut spent);
    spent
}

/// A stretch of time in which our program waited.
#[derive(Clone, Copy, Debug)]
struct Wait {
    from: Stamp,
    to: Stamp,
    /// For the peer's window, else for what the peer has to say.
    window: bool,
    /// The last send had left something over.
    blocked: bool,
    /// How far our program's stream had come.
    sent: u64,
}

impl Wait {
    /// How much of it lies in these spans, which lie apart.
    fn overlap(&self, spans: &[Range<Stamp>]) -> u64 {
        let first = spans.partition_point(|span| span.end <= self.from);
        let of = |span: &Range<Stamp>| {
            let span = common(span, &(self.from..self.to));
            nanos(span.start, span.end)
        };
        spans[first..].iter().take_while(|span| span.start < self.to).map(of).sum()
    }
}

/// What two spans have in common.
fn common(a: &Range<Stamp>, b: &Range<Stamp>) -> Range<Stamp> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// How long the connection waited in the backlog, if that was seen.
pub(super) fn backlog(history: &History) -> u64 {
    match (history.role, history.course.established, history.opened) {
        (Role::Server, Some(established), Some(accepted)) => nanos(established, accepted),
        _ => 0,
    }
}

/// How far the peer's stream had come with this segment.
fn arrival(segment: &Segment) -> Option<Arrival> {
    let end = match segment.flags {
        _ if segment.direction == Direction::Sent => return None,
        flags if flags.rst() => u64::MAX,
        flags if flags.fin() => segment.range.end.saturating_add(1),
        _ if segment.range.is_empty() => return None,
        _ => segment.range.end,
    };
    Some(Arrival { end, at: segment.at })
}

impl Clock {
    pub(super) fn start(&mut self, at: Stamp) {
        self.latest.get_or_insert(at);
    }

    /// The end of the latest call.
    pub(super) fn latest(&self) -> Option<Stamp> {
        self.latest
    }

    /// A segment crossed the wire.
    pub(super) fn segment(&mut self, segment: &Segment) {
        let Some(arrival) = arrival(segment) else { return };
        if let Some(oldest) = self.arrivals.get_mut(self.next) {
            *oldest = Some(arrival);
        }
        self.next = (self.next + 1) % ARRIVALS;
    }

    pub(super) fn call(&mut self, call: &Call, spent: &mut Spent) {
        let arrived = match call.operation {
            Operation::Recv => self.arrival_of(call.offset),
            _ => None,
        };
        self.sort(call, arrived, spent);
    }

    /// The descriptor is closed: what is left until then was our program's.
    pub(super) fn close(&mut self, at: Stamp, spent: &mut Spent) {
        if let Some(latest) = self.latest {
            spent.program += nanos(latest, at);
            self.latest = Some(latest.max(at));
        }
    }

    /// Sorts the time up to this call's end; what it returned had arrived at `arrived`.
    fn sort(&mut self, call: &Call, arrived: Option<Stamp>, spent: &mut Spent) {
        let Some(latest) = self.latest.replace(self.latest.map_or(call.end, |l| l.max(call.end)))
        else {
            return;
        };
        let start = call.start.max(latest);
        let end = call.end.max(latest);
        self.made |= match call.operation {
            Operation::Connect => call.result.is_ok(),
            Operation::GaveUp(_) | Operation::Close => false,
            _ => true,
        };
        match call.operation {
            Operation::Recv => {
                let nothing = matches!(call.result, Err(errno) if is_transient(errno));
                let arrived = arrived.filter(|_| !nothing).map_or(end, |at| at.clamp(latest, end));
                self.waited(latest, arrived, false, spent);
                match call.result {
                    Ok(1..) => spent.reading += nanos(arrived, end),
                    _ => spent.program += nanos(arrived, end),
                }
                match call.result {
                    Ok(1..) => self.unanswered = 0,
                    _ => self.over |= !nothing,
                }
            }
            Operation::Send | Operation::SendFile => {
                if self.blocked {
                    self.waited(latest, start, true, spent);
                } else {
                    spent.program += nanos(latest, start);
                }
                if let Ok(count) = call.result {
                    self.sent = call.offset.saturating_add(count);
                }
                self.blocked = match call.result {
                    Ok(count) => count < call.asked,
                    Err(errno) => is_transient(errno),
                };
                let fits = self.unanswered.saturating_add(call.asked) <= SEND_ROOM;
                if !fits && end.since(start) >= SEND_SLEPT {
                    self.waited(start, end, true, spent);
                } else {
                    spent.sending += nanos(start, end);
                }
                self.unanswered = self.unanswered.saturating_add(call.result.unwrap_or(0));
            }
            Operation::Accept | Operation::Connect | Operation::GaveUp(Direction::Received) => {
                self.waited(latest, end, false, spent);
            }
            Operation::GaveUp(Direction::Sent) => self.waited(latest, end, self.made, spent),
            Operation::ShutdownWrite | Operation::Close => {
                if self.over {
                    spent.program += nanos(latest, start);
                } else {
                    self.waited(latest, start, false, spent);
                }
                spent.program += nanos(start, end);
                self.over = true;
            }
        }
    }

    /// Of the time waited, what went into repairs and delayed ACKs.
    fn tell_apart(self, history: &History, holes: Vec<Range<Stamp>>, spent: &mut Spent) {
        let lost = history.totals.retransmissions[1] > 0;
        let long = spent.peer + spent.window >= nagle::SHORTEST;
        let mut repairs = if lost { loss::repairs(history) } else { Vec::new() };
        repairs.extend(holes);
        let repairs = finding::apart(repairs);
        let holds = if long { nagle::own_holds(history) } else { Vec::new() };
        let shut = window::shut(history);
        if repairs.is_empty() && holds.is_empty() && shut.is_empty() {
            return;
        }
        let messages = history.messages.iter();
        let ours = messages.filter(|message| message.direction == Direction::Sent);
        let ours: Vec<&Range<u64>> = ours.map(|message| &message.range).collect();
        // What is held back behind a lost segment waits for its repair.
        let both = holds.iter().flat_map(|hold| repairs.iter().map(|repair| common(hold, repair)));
        let both: Vec<Range<Stamp>> = both.filter(|span| span.start < span.end).collect();
        for wait in self.waits.unwrap_or_default() {
            let repair = wait.overlap(&repairs);
            let nagle = wait.overlap(&holds).saturating_sub(wait.overlap(&both));
            let of = if wait.window { &mut spent.window } else { &mut spent.peer };
            // Spans of each kind lie apart, so that both together are no more than the wait.
            *of = of.saturating_sub(repair + nagle);
            spent.repair += repair;
            spent.nagle += nagle;
            let begun = |range: &&Range<u64>| range.start < wait.sent && wait.sent < range.end;
            let window = wait.overlap(&shut);
            if window > 0 && !wait.window && (wait.blocked || ours.iter().any(begun)) {
                // It read meanwhile, or tried to; but what it had to send found no room.
                let left = nanos(wait.from, wait.to).saturating_sub(repair + nagle);
                let window = window.min(left);
                spent.peer = spent.peer.saturating_sub(window);
                spent.window += window;
            }
        }
    }

    /// Our program waited, for the peer's window or for what the peer has to say.
    fn waited(&mut self, from: Stamp, to: Stamp, window: bool, spent: &mut Spent) {
        *(if window { &mut spent.window } else { &mut spent.peer }) += nanos(from, to);
        if let Some(waits) = self.waits.as_mut().filter(|_| from < to) {
            waits.push(Wait { from, to, window, blocked: self.blocked, sent: self.sent });
        }
    }

    /// When the byte at `offset` arrived.
    fn arrival_of(&self, offset: u64) -> Option<Stamp> {
        let known = self.arrivals.iter().flatten();
        known.filter(|arrival| arrival.end > offset).map(|arrival| arrival.at).min()
    }
}

fn nanos(from: Stamp, to: Stamp) -> u64 {
    to.0.saturating_sub(from.0)
}

#[cfg(test)]
mod tests {
    use sockeye_wire::tcp::Flags;

    use super::*;
    use crate::record::Mark;

    fn call(
        operation: Operation,
        start: u64,
        end: u64,
        asked: u64,
        result: Result<u64, i32>,
    ) -> Call {
        Call { operation, start: Stamp(start), end: Stamp(end), asked, result, offset: 0 }
    }

    fn arrives(range: Range<u64>, flags: Flags, at: u64) -> Segment {
        Segment {
            at: Stamp(at),
            direction: Direction::Received,
            seq: 0,
            payload: u32::try_from(range.end - range.start).unwrap(),
            range,
            flags,
            ack: None,
            window: 0,
            mark: Mark::None,
            sack: None,
        }
    }

    /// Peer, window, inside send, and our program: all it did and all it had not read yet.
    fn spent(arrivals: &[Segment], calls: &[Call]) -> [u64; 4] {
        let mut clock = Clock::default();
        let mut spent = Spent::default();
        clock.start(Stamp(0));
        for segment in arrivals {
            clock.segment(segment);
        }
        for call in calls {
            clock.call(call, &mut spent);
        }
        [spent.peer, spent.window, spent.sending, spent.program + spent.reading]
    }

    #[test]
    fn bytes_that_lie_unread_are_our_programs_delay() {
        let recv = call(Operation::Recv, 100, 110, 64, Ok(5));
        assert_eq!(spent(&[], &[recv]), [110, 0, 0, 0]);
        assert_eq!(spent(&[arrives(0..5, Flags::ACK, 40)], &[recv]), [40, 0, 0, 70]);
        // They had come before the connection was even accepted.
        assert_eq!(spent(&[arrives(0..5, Flags::ACK, 0)], &[recv]), [0, 0, 0, 110]);
    }

    #[test]
    fn time_in_which_bytes_lay_unread_is_told_from_work() {
        let mut clock = Clock::default();
        let mut spent = Spent::default();
        clock.start(Stamp(0));
        clock.segment(&arrives(0..5, Flags::ACK, 40));
        clock.call(&call(Operation::Recv, 100, 110, 64, Ok(5)), &mut spent);
        clock.call(&call(Operation::Send, 150, 160, 5, Ok(5)), &mut spent);
        assert_eq!(spent, Spent { peer: 40, reading: 70, program: 40, sending: 10, ..spent });
    }

    #[test]
    fn an_end_or_a_reset_that_lies_unread_is_our_programs_delay_too() {
        let end = Call { offset: 5, ..call(Operation::Recv, 100, 110, 64, Ok(0)) };
        let broken = Call { result: Err(libc::ECONNRESET), ..end };
        let fin = arrives(5..5, Flags::FIN | Flags::ACK, 30);
        let rst = arrives(0..0, Flags::RST, 30);
        assert_eq!(spent(&[arrives(0..5, Flags::ACK, 10), fin], &[end]), [30, 0, 0, 80]);
        assert_eq!(spent(&[arrives(0..5, Flags::ACK, 10), rst], &[broken]), [30, 0, 0, 80]);
        assert_eq!(spent(&[], &[end]), [110, 0, 0, 0]);
    }

    #[test]
    fn a_readiness_driver_waits_between_its_calls() {
        // Edge-triggered: a short recv is followed by no other until the peer is heard of again.
        let first = call(Operation::Recv, 10, 12, 64, Ok(5));
        let send = call(Operation::Send, 20, 25, 50, Ok(50));
        let end = Call { offset: 5, ..call(Operation::Recv, 1_000, 1_002, 64, Ok(0)) };
        let close = call(Operation::Close, 1_003, 1_004, 0, Ok(0));
        let calls = [first, send, end, close];
        assert_eq!(spent(&[], &calls), [12 + 977, 0, 5, 8 + 2]);
        // Level-triggered: a recv in between finds nothing, whenever it is made.
        let nothing =
            Call { result: Err(libc::EAGAIN), ..call(Operation::Recv, 30, 31, 64, Ok(0)) };
        assert_eq!(spent(&[], &[first, send, nothing, end, close]), [989, 0, 5, 10]);
        let arrived = [arrives(0..5, Flags::ACK, 4), arrives(5..5, Flags::FIN, 800)];
        assert_eq!(spent(&arrived, &calls), [4 + 775, 0, 5, 8 + 8 + 202 + 2]);
    }

    #[test]
    fn a_completion_driver_waits_before_its_completions() {
        // io_uring: a multishot recv has neither a beginning nor a room of its own.
        let first = call(Operation::Recv, 12, 12, 0, Ok(5));
        let send = call(Operation::Send, 20, 25, 50, Ok(50));
        let end = Call { offset: 5, ..call(Operation::Recv, 1_002, 1_002, 0, Ok(0)) };
        let close = call(Operation::Close, 1_003, 1_004, 0, Ok(0));
        let calls = [first, send, end, close];
        assert_eq!(spent(&[], &calls), [12 + 977, 0, 5, 8 + 2]);
        let arrived = [arrives(0..5, Flags::ACK, 4), arrives(5..5, Flags::FIN, 800)];
        assert_eq!(spent(&arrived, &calls), [4 + 775, 0, 5, 8 + 8 + 202 + 2]);
    }

    #[test]
    fn a_blocking_driver_waits_inside_its_calls() {
        let first = call(Operation::Recv, 1, 12, 64, Ok(5));
        let send = call(Operation::Send, 20, 25, 50, Ok(50));
        let end = Call { offset: 5, ..call(Operation::Recv, 26, 5_000_000, 64, Ok(0)) };
        let close = call(Operation::Close, 5_000_001, 5_000_002, 0, Ok(0));
        let calls = [first, send, end, close];
        assert_eq!(spent(&[], &calls), [12 + 4_999_975, 0, 5, 8 + 2]);
        let arrived = [arrives(0..5, Flags::ACK, 4), arrives(5..5, Flags::FIN, 4_000_000)];
        assert_eq!(spent(&arrived, &calls), [4 + 3_999_975, 0, 5, 8 + 8 + 1_000_000 + 2]);
    }

    #[test]
    fn only_a_send_that_left_something_over_waits_for_the_window() {
        let whole = call(Operation::Send, 10, 20, 50, Ok(50));
        let part = call(Operation::Send, 10, 20, 50, Ok(30));
        let full = call(Operation::Send, 10, 20, 50, Err(libc::EAGAIN));
        let next = call(Operation::Send, 520, 530, 20, Ok(20));
        assert_eq!(spent(&[], &[whole, next]), [0, 0, 20, 510]);
        assert_eq!(spent(&[], &[part, next]), [0, 500, 20, 10]);
        assert_eq!(spent(&[], &[full, next]), [0, 500, 20, 10]);
    }

    #[test]
    fn a_send_that_slept_waited_for_the_window_if_the_buffer_can_have_been_full() {
        let slept = |asked| call(Operation::Send, 10, 2_000_010, asked, Ok(asked));
        assert_eq!(spent(&[], &[slept(20_000)]), [0, 2_000_000, 0, 10]);
        // For this much there was room: it was put off the processor.
        assert_eq!(spent(&[], &[slept(1_246)]), [0, 0, 2_000_000, 10]);

        let before = call(Operation::Send, 0, 10, 16_000, Ok(16_000));
        assert_eq!(spent(&[], &[before, slept(1_246)]), [0, 2_000_000, 10, 0]);
        let answer = call(Operation::Recv, 10, 10, 64, Ok(3));
        assert_eq!(spent(&[], &[before, answer, slept(1_246)]), [0, 0, 2_000_010, 0]);
    }

    #[test]
    fn a_close_out_of_patience_had_waited_for_the_peer() {
        let nothing = call(Operation::Recv, 10, 11, 64, Err(libc::EAGAIN));
        let end = call(Operation::Recv, 10, 11, 64, Ok(0));
        let close = call(Operation::Close, 911, 912, 0, Ok(0));
        assert_eq!(spent(&[], &[nothing, close]), [911, 0, 0, 1]);
        assert_eq!(spent(&[], &[end, close]), [11, 0, 0, 901]);
    }

    #[test]
    fn until_a_deadline_it_was_the_peers_turn_and_from_then_on_ours() {
        let nothing = call(Operation::Recv, 10, 11, 64, Err(libc::EAGAIN));
        let late = call(Operation::GaveUp(Direction::Received), 911, 911, 0, Ok(0));
        let answer = call(Operation::Send, 920, 930, 50, Ok(50));
        assert_eq!(spent(&[], &[nothing, late, answer]), [911, 0, 10, 9]);
        let full = call(Operation::Send, 10, 20, 50, Ok(30));
        let late = call(Operation::GaveUp(Direction::Sent), 911, 911, 0, Ok(0));
        assert_eq!(spent(&[], &[full, late]), [0, 891, 10, 10]);
    }

    #[test]
    fn before_there_is_a_connection_nobody_waits_for_a_window() {
        let late = call(Operation::GaveUp(Direction::Sent), 911, 911, 0, Ok(0));
        let failed = call(Operation::Connect, 0, 912, 0, Err(libc::ETIMEDOUT));
        assert_eq!(spent(&[], &[late, failed]), [912, 0, 0, 0]);
        let made = call(Operation::Connect, 0, 100, 0, Ok(0));
        assert_eq!(spent(&[], &[made, late]), [100, 811, 0, 0]);
    }

    #[test]
    fn overlapping_calls_are_counted_once() {
        let recv = call(Operation::Recv, 0, 100, 64, Ok(5));
        let send = call(Operation::Send, 50, 90, 5, Ok(5));
        assert_eq!(spent(&[], &[recv, send]).iter().sum::<u64>(), 100);
    }
}
