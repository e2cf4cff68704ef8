//! The join: calls, messages, segments and the kernel's answers become one [`History`].
//!
//! A pure function of what it is told. What it keeps is bounded, and once that bound is reached
//! nothing more is allocated.

mod arrivals;
mod infer;
mod queues;
mod spent;

use std::ops::Range;

use sockeye_engine::Address;
use sockeye_engine::probe::{Call, Direction, Opened, Operation, Role, SENDS_TOLD, Stamp};
use sockeye_wire::packet;
use sockeye_wire::tcp::{self, End, Seq, State, Tracker};

use crate::record::{
    Ack, Aftermath, Certainty, Course, Event, History, IsnSource, Kept, KernelFacts, KernelStamp,
    LeftOut, Loss, Mark, Message, Point, QueuePeaks, QueueSample, Sack, Segment, SocketEnd, Spent,
    StateChange, Totals,
};
use infer::OwnEnd;
use queues::Pace;
use spent::Clock;

/// The most samples of queues kept of the first, and of the last.
const SAMPLES: usize = 512;

/// Grows the history of one connection.
///
/// Each source (calls and messages of the program; packets) tells in its own order of time; the
/// sources need not be merged. Every method may be called any number of times.
///
/// ```
/// use sockeye_engine::Address;
/// use sockeye_engine::probe::{Direction, Role, Stamp};
/// use sockeye_eye::timeline::Timeline;
///
/// let local = Address::from(([127, 0, 0, 1], 8080));
/// let peer = Address::from(([127, 0, 0, 1], 40312));
/// let mut timeline = Timeline::new(Role::Server, local, peer, 1024);
/// timeline.message(Stamp(1_000), Direction::Received, 0..78, "GET /");
/// assert_eq!(timeline.history().totals.messages, [1, 0]);
/// ```
#[derive(Debug)]
pub struct Timeline {
    history: History,
    tracker: Tracker,
    own_end: OwnEnd,
    clock: Clock,
    pace: Pace,
    /// The end of the bytes that have a stamp of their acknowledgment.
    stamped: u64,
    /// Whether the last call of each direction said `EAGAIN`.
    in_vain: [bool; 2],
    /// The label of a message that was left out, to be used again.
    spare_label: String,
    /// What the kernel told of the state of each end: ours, and the peer's.
    told: [Option<State>; 2],
    /// And of how many bytes went each way since it began, received and sent.
    told_bytes: [u64; 2],
    /// Changes of that are events.
    tells: bool,
}

impl Timeline {
    /// Begins a history that keeps the first `keep` and the last `keep` events, and as many
    /// messages. `role` is that of `local`.
    #[must_use]
    pub fn new(role: Role, local: Address, peer: Address, keep: usize) -> Timeline {
        let history = History {
            number: 0,
            conn: None,
            role,
            neutral: false,
            cut_short: false,
            local,
            peer,
            opened: None,
            closed: None,
            events: Kept::new(keep),
            talk: false,
            messages: Kept::new(keep),
            left_out: LeftOut::default(),
            inferred: Vec::new(),
            course: Course::default(),
            spent: Spent::default(),
            isn: [None; 2],
            kernel: None,
            aftermath: None,
            peer_aftermath: None,
            stamps: Kept::new(keep),
            queues: Kept::new(keep.min(SAMPLES)),
            peaks: [QueuePeaks::default(); 2],
            ends: [None, None],
            captured: false,
            lost: Loss::default(),
            totals: Totals::default(),
        };
        Timeline {
            history,
            tracker: Tracker::new(),
            own_end: OwnEnd::new(role),
            clock: Clock::default(),
            pace: Pace::default(),
            stamped: 0,
            in_vain: [false; 2],
            spare_label: String::new(),
            told: [None; 2],
            told_bytes: [0; 2],
            tells: false,
        }
    }

    /// The same of a connection of which neither end is this program's; `local` is then only the
    /// end it was made out for.
    #[must_use]
    pub fn of_others(mut self) -> Timeline {
        self.history.neutral = true;
        self
    }

    /// Nothing more will be seen of it, whether it has ended or not.
    #[must_use]
    pub fn cut_short(mut self) -> Timeline {
        self.history.cut_short = true;
        self
    }

    /// Gives it its number.
    pub fn number(&mut self, number: u64) {
        self.history.number = number;
    }

    /// The state of each end, of `local` and of the peer: what packets show; where none were seen,
    /// what the kernel told, or our calls.
    #[must_use]
    pub fn states(&self) -> [Option<State>; 2] {
        if self.history.captured {
            return [End::Local, End::Remote].map(|end| Some(self.tracker.state(end)));
        }
        let [ours, theirs] = self.told;
        [ours.or(self.history.inferred.last().map(|change| change.to)), theirs]
    }

    /// The kernel was asked about an end's socket, of others: its state, and how many bytes it
    /// received and had acknowledged. As long as no packet was seen, that is all that is known.
    pub fn told(&mut self, end: Role, state: State, at: Stamp, received: u64, acknowledged: u64) {
        let ours = end == self.history.role;
        let whose = usize::from(!ours);
        let before = self.told[whose].replace(state);
        let counted = if ours { [received, acknowledged] } else { [acknowledged, received] };
        for (told, counted) in self.told_bytes.iter_mut().zip(counted) {
            *told = (*told).max(counted);
        }
        if matches!(state, State::SynSent | State::SynReceived | State::Established) {
            self.looked_at(at);
        }
        if self.history.captured {
            return;
        }
        self.reach(at);
        self.history.course.reached = self.told_bytes;
        if before != Some(state) && self.tells {
            let (from, certainty) = (before.unwrap_or(state), Certainty::Exact);
            self.push(Event::State(StateChange { at, end, from, to: state, certainty }));
        }
    }

    /// How many bytes went each way since it began, received and sent, as far as it is known.
    #[must_use]
    pub fn bytes(&self) -> [u64; 2] {
        let History { totals, course, .. } = &self.history;
        [0, 1].map(|way| totals.bytes[way].max(course.reached[way]).max(self.told_bytes[way]))
    }

    /// Nothing happened since, as far as is known, but somebody looked at it until now, of others: what
    /// is open was seen for that long.
    pub fn looked_at(&mut self, at: Stamp) {
        let course = &self.history.course;
        let open = self.history.captured || self.told.contains(&Some(State::Established));
        if course.span.is_some() && open && course.fin == [None; 2] && course.reset.is_none() {
            self.reach(at);
        }
    }

    /// No packets will come: what the kernel tells of states when it is asked is drawn.
    pub fn without_packets(&mut self) {
        self.tells = true;
    }

    /// Keeps so many of the last events and messages from now on, though never more than of the
    /// first; those there is no room for any more are summed up.
    pub fn keep_last(&mut self, keep: usize) {
        let History { events, messages, stamps, queues, left_out, .. } = &mut self.history;
        // What is told of these is not put down elsewhere meanwhile, as other records may be.
        if keep > 0 {
            stamps.keep_last(keep, |_| {});
            queues.keep_last(keep, |_| {});
        }
        events.keep_last(keep, |event| leave_out(left_out, &event));
        messages.keep_last(keep, |message| {
            left_out.messages[index(message.direction)].add(&message.range);
        });
    }

    /// Accept or connect returned; packets may have come before.
    pub fn opened(&mut self, opened: &Opened) {
        self.history.conn = Some(opened.conn);
        self.history.opened = Some(opened.at);
        self.reach(opened.at);
        self.clock.start(opened.at);
        self.history.spent.backlog = spent::backlog(&self.history);
        if self.history.is_tcp()
            && let Some(change) = self.own_end.opened(opened.at)
        {
            self.history.inferred.push(change);
        }
    }

    /// The peer's initial sequence number, from `TCP_SAVED_SYN`.
    pub fn saved_syn(&mut self, isn: u32) {
        let shift = self.tracker.set_isn(End::Remote, Seq(isn));
        if shift > 0 {
            self.shift_received(shift);
        }
        self.history.isn[0].get_or_insert((isn, IsnSource::SavedSyn));
    }

    /// A call of our program ended.
    pub fn call(&mut self, call: Call) {
        // An accept may have waited since long before this connection.
        if call.operation != Operation::Accept {
            self.reach(call.start);
        }
        self.reach(call.end);
        self.clock.call(&call, &mut self.history.spent);
        if self.history.is_tcp()
            && let Some(change) = self.own_end.call(&call)
        {
            self.history.inferred.push(change);
        }
        let course = &mut self.history.course;
        match (call.operation, call.result) {
            (Operation::Recv, Ok(0)) => {
                course.end_of_stream.get_or_insert(call.end);
            }
            (Operation::ShutdownWrite | Operation::Close, _) => {
                course.ended_by_us.get_or_insert(call.start);
            }
            (Operation::GaveUp(direction), _) => {
                course.gave_up.get_or_insert((direction, call.end));
            }
            (operation, Err(errno)) if !is_transient(errno) => {
                course.failed.get_or_insert((operation, errno));
            }
            _ => {}
        }
        if let Some((direction, range)) = moved(&call) {
            let index = index(direction);
            self.history.totals.bytes[index] += range.end - range.start;
            self.history.totals.calls[index] += 1;
            self.history.course.last_moved[index] = Some(call.end);
        }
        if !self.again_in_vain(&call) {
            self.push(Event::Call(call));
        }
    }

    /// Whether the call found no more to do than the one before it. A program that asks in a loop
    /// makes thousands of them, and the first says it all.
    fn again_in_vain(&mut self, call: &Call) -> bool {
        let way = match call.operation {
            Operation::Recv => 0,
            Operation::Send | Operation::SendFile => 1,
            _ => return false,
        };
        let before = std::mem::replace(&mut self.in_vain[way], call.result == Err(libc::EAGAIN));
        let again = before && self.in_vain[way];
        self.history.totals.in_vain[way] += u64::from(again);
        again
    }

    /// Our program meant these bytes as one message.
    pub fn message(&mut self, at: Stamp, direction: Direction, range: Range<u64>, label: &str) {
        self.reach(at);
        self.history.totals.messages[index(direction)] += 1;
        let mut kept = std::mem::take(&mut self.spare_label);
        kept.clear();
        kept.push_str(label);
        let message = Message { at, direction, range, label: kept };
        if let Some(gone) = self.history.messages.push(message) {
            self.history.left_out.messages[index(gone.direction)].add(&gone.range);
            self.spare_label = gone.label;
        }
    }

    /// A segment crossed the wire.
    ///
    /// Segments of an end's next connection between the same ports are passed over.
    pub fn segment(&mut self, at: Stamp, direction: Direction, segment: &packet::Segment) {
        let from = match direction {
            Direction::Received => End::Remote,
            Direction::Sent => End::Local,
        };
        let Some(placed) = self.tracker.segment(from, segment) else { return };
        if !std::mem::replace(&mut self.history.captured, true) {
            // What was told counts from its beginning, and offsets from what is seen first.
            self.history.course.reached = [0; 2];
        }
        self.reach(at);
        let index = index(direction);
        if segment.flags.syn() {
            self.history.isn[index] = Some((segment.seq.0, IsnSource::Packet));
            self.history.course.syn.get_or_insert(at);
        }
        let course = &mut self.history.course;
        course.reached[index] = course.reached[index].max(placed.end);
        if segment.flags.rst() {
            course.reset.get_or_insert((direction, at));
        } else if segment.flags.fin() {
            course.fin[index].get_or_insert((placed.end, at));
        }
        let mark = match placed.mark {
            tcp::Mark::None => Mark::None,
            tcp::Mark::Retransmission => Mark::Retransmission,
            tcp::Mark::KeepAlive => Mark::KeepAlive,
            tcp::Mark::WindowProbe => Mark::WindowProbe,
            tcp::Mark::Gap => Mark::Gap,
        };
        let totals = &mut self.history.totals;
        totals.segments[index] += 1;
        totals.retransmissions[index] += u64::from(mark == Mark::Retransmission);
        let segment = Segment {
            at,
            direction,
            seq: segment.seq.0,
            range: placed.start..placed.end,
            payload: segment.payload,
            flags: segment.flags,
            ack: placed.ack.map(|ack| Ack {
                offset: ack.offset,
                fin: ack.fin,
                advances: ack.advances,
            }),
            window: placed.window,
            mark,
            sack: segment.sack.zip(placed.ack).map(|(sack, ack)| Sack {
                start: ack
                    .offset
                    .saturating_add_signed(sack.start.distance_from(segment.ack).into()),
                length: sack.end.distance_from(sack.start).max(0).unsigned_abs(),
                duplicate: sack.duplicate,
            }),
        };
        self.clock.segment(&segment);
        self.push(Event::Segment(segment));
        self.correct_close_wait(at, direction, mark, &placed.changes);
        for change in placed.changes.iter() {
            if change.to == State::Established && !change.inferred {
                self.history.course.established = Some(at);
                self.history.spent.backlog = spent::backlog(&self.history);
            }
            let certainty = if change.inferred { Certainty::Inferred } else { Certainty::Exact };
            let end = self.role_of(change.end);
            self.push(Event::State(StateChange {
                at,
                end,
                from: change.from,
                to: change.to,
                certainty,
            }));
        }
    }

    /// An end was said to be in CLOSE-WAIT when the other's FIN left. It was not, if its own FIN was on
    /// its way already; and that of a far end may begin as late as with the FIN that was sent again.
    fn correct_close_wait(
        &mut self,
        at: Stamp,
        direction: Direction,
        mark: Mark,
        changes: &tcp::Changes,
    ) {
        let crossed =
            |change: &tcp::Change| (change.from, change.to) == (State::CloseWait, State::FinWait1);
        if let Some(change) = changes.iter().find(crossed) {
            let end = self.role_of(change.end);
            self.take_close_wait(end);
            return;
        }
        let far = other(self.history.role);
        let fin = self.history.course.fin[index(direction)].is_some();
        let again = direction == Direction::Sent && mark == Mark::Retransmission && fin;
        if again
            && self.tracker.state(End::Remote) == State::CloseWait
            && let Some(change) = self.take_close_wait(far)
        {
            self.push(Event::State(StateChange { at, ..change }));
        }
    }

    /// The latest step of an end, if it was into CLOSE-WAIT; it is no event any more.
    fn take_close_wait(&mut self, end: Role) -> Option<StateChange> {
        let of_end = |event: &Event| matches!(event, Event::State(change) if change.end == end);
        let into =
            |event: &Event| matches!(event, Event::State(change) if change.to == State::CloseWait);
        match self.history.events.take_last(of_end, into)? {
            Event::State(change) => Some(change),
            _ => None,
        }
    }

    /// What the kernel said when the connection was about to be closed.
    pub fn kernel(&mut self, facts: KernelFacts) {
        if let Some(state) = facts.state {
            let at = self.clock.latest().or(self.history.opened);
            let change = at.and_then(|at| self.own_end.told(state, at));
            self.history.inferred.extend(change);
        }
        self.own_end.will_reset(facts.close_resets());
        self.history.kernel = Some(facts);
    }

    /// The kernel stamped bytes we sent.
    pub fn stamp(&mut self, stamp: KernelStamp) {
        // Summed up it would say nothing: what is left out is only counted.
        let _ = self.history.stamps.push(stamp);
        if stamp.point == Point::Acked {
            self.stamped = self.stamped.max(stamp.end);
        }
    }

    /// How full the queues of an end were; samples of one end come in order of time.
    pub fn queue(&mut self, sample: QueueSample) {
        let whose = usize::from(sample.end != self.history.role);
        self.pace.add(&mut self.history.peaks[whose], whose, &sample);
        let _ = self.history.queues.push(sample);
    }

    /// The kernel has let go of an end's socket.
    pub fn ended(&mut self, end: SocketEnd) {
        let whose = usize::from(end.end != self.history.role);
        self.history.ends[whose].get_or_insert(end);
    }

    /// What became of our end after its close.
    pub fn aftermath(&mut self, aftermath: Aftermath) {
        self.history.aftermath = Some(aftermath);
    }

    /// What became of the peer's end, where the kernel knows it as well.
    pub fn peer_aftermath(&mut self, aftermath: Aftermath) {
        self.history.peer_aftermath = Some(aftermath);
    }

    /// Our descriptor is closed.
    pub fn closed(&mut self, at: Stamp) {
        self.history.closed = Some(at);
        self.reach(at);
        self.clock.close(at, &mut self.history.spent);
    }

    /// Records that never came: adds to those known to be missing.
    pub fn lost(&mut self, lost: Loss) {
        self.history.lost.calls += lost.calls;
        self.history.lost.packets += lost.packets;
        self.history.lost.stamps += lost.stamps;
        self.history.lost.ends += lost.ends;
    }

    /// Whether the wire has nothing more to say: a reset was seen, or both FINs acknowledged.
    #[must_use]
    pub fn finished_on_the_wire(&self) -> bool {
        self.tracker.is_over()
    }

    /// What is known so far.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What is known at the end.
    #[must_use]
    pub fn into_history(mut self) -> History {
        self.finish_stamps();
        queues::finish(&mut self.history);
        // Packets come later than the calls that took what they brought.
        if self.history.captured && self.history.events.left_out() == 0 {
            self.history.spent = spent::of(&self.history);
        }
        self.history
    }

    /// Of so few sends each is stamped, so the last byte that was acknowledged has a stamp, if any has.
    fn finish_stamps(&mut self) {
        let acked = self.history.kernel.as_ref().and_then(|facts| facts.bytes_acked);
        let sends = self.history.totals.calls[index(Direction::Sent)] + self.history.lost.calls;
        if sends > u64::from(SENDS_TOLD) {
            return;
        }
        if acked.is_some_and(|acked| acked > self.stamped) && self.history.stamps.total() > 0 {
            self.history.lost.stamps = 1;
        }
    }

    /// The capture began in midstream, so what it told was counted from the wrong place.
    fn shift_received(&mut self, shift: u64) {
        let history = &mut self.history;
        for event in history.events.iter_mut() {
            if let Event::Segment(segment) = event {
                match (segment.direction, &mut segment.ack) {
                    (Direction::Received, _) => {
                        segment.range.start += shift;
                        segment.range.end += shift;
                    }
                    (Direction::Sent, Some(ack)) => {
                        ack.offset += shift;
                        if let Some(sack) = &mut segment.sack {
                            sack.start += shift;
                        }
                    }
                    (Direction::Sent, None) => {}
                }
            }
        }
        for fold in [&mut history.left_out.data[0], &mut history.left_out.acks[1]] {
            fold.range = fold.range.start + shift..fold.range.end + shift;
        }
        history.course.reached[0] += shift;
        if let Some((offset, _)) = &mut history.course.fin[0] {
            *offset += shift;
        }
    }

    fn role_of(&self, end: End) -> Role {
        match end {
            End::Local => self.history.role,
            End::Remote => other(self.history.role),
        }
    }

    fn reach(&mut self, at: Stamp) {
        let span = &mut self.history.course.span;
        *span = Some(span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
    }

    fn push(&mut self, event: Event) {
        if let Some(gone) = self.history.events.push(event) {
            leave_out(&mut self.history.left_out, &gone);
        }
    }
}

/// Adds an event to the sums of those there was no room for.
fn leave_out(left_out: &mut LeftOut, gone: &Event) {
    let at = match gone {
        Event::Call(call) => call.end,
        Event::Segment(segment) => segment.at,
        Event::State(change) => change.at,
    };
    left_out.span =
        Some(left_out.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
    match gone {
        Event::Call(call) => match moved(call) {
            Some((direction, range)) => {
                left_out.calls[index(direction)].add(&range);
                left_out.sendfiles += u64::from(call.operation == Operation::SendFile);
            }
            None => left_out.others += 1,
        },
        Event::Segment(segment) if segment.mark == Mark::None && !segment.range.is_empty() => {
            left_out.data[index(segment.direction)].add(&segment.range);
        }
        Event::Segment(Segment { direction, ack: Some(ack), mark: Mark::None, .. }) => {
            left_out.acks[index(*direction)].add(&(ack.offset..ack.offset));
        }
        _ => left_out.others += 1,
    }
}

/// The direction a call moved bytes in, and which.
pub(crate) fn moved(call: &Call) -> Option<(Direction, Range<u64>)> {
    let direction = match call.operation {
        Operation::Recv => Direction::Received,
        Operation::Send | Operation::SendFile => Direction::Sent,
        _ => return None,
    };
    match call.result {
        Ok(count) if count > 0 => Some((direction, call.offset..call.offset.saturating_add(count))),
        _ => None,
    }
}

/// Received is 0, sent is 1, wherever a history has one of each.
pub(crate) const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

/// The role of the other end.
pub(crate) const fn other(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

/// Whether the call is simply to be made again later: EAGAIN, EINTR, EINPROGRESS.
pub(crate) fn is_transient(errno: i32) -> bool {
    [libc::EAGAIN, libc::EINTR, libc::EINPROGRESS].contains(&errno)
}

/// The direction against this one.
pub(crate) const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Received => Direction::Sent,
        Direction::Sent => Direction::Received,
    }
}
