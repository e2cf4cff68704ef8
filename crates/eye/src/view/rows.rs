//! The rows of a ladder before they are drawn: one for each thing that happened, in order of
//! time, those joined that belong together.

use std::time::Duration;

use sockeye_engine::probe::{Call, Direction, Operation, Role, Stamp};
use sockeye_wire::tcp::State;

use super::fold::Summary;
use crate::pair::{Crossing, Fate, Pair};
use crate::record::{Certainty, Event, History, Mark, Segment, StateChange};
use crate::timeline::{index, is_transient, moved, opposite, other};

/// One line of the ladder.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub(super) at: Stamp,
    /// A call of our program.
    pub(super) call: Option<&'a Call>,
    /// Its result has a row of its own, where it came.
    pub(super) begins: bool,
    /// A call of the other end's, where that was recorded too.
    pub(super) far: Option<&'a Call>,
    pub(super) segment: Option<&'a Segment>,
    /// What is known of the segment's way, where both ends were recorded.
    pub(super) crossing: Option<&'a Crossing>,
    /// The state our end entered, and the other.
    pub(super) ours: Option<&'a StateChange>,
    pub(super) theirs: Option<&'a StateChange>,
    /// The first message that begins in this row's bytes, and how many begin there.
    pub(super) message: Option<(&'a str, usize)>,
    /// The bytes before this segment's came later: it was early, nothing is missing.
    pub(super) early: bool,
    /// Many in one line.
    pub(super) summary: Option<Box<Summary>>,
}

/// All that is known, row by row.
pub(super) struct Rows<'a> {
    pub(super) list: Vec<Row<'a>>,
    /// `recv` calls that found nothing and are not drawn.
    pub(super) empty_handed: u64,
}

/// A call and a segment this close together in time share a line if one caused the other.
const TOGETHER: Duration = Duration::from_micros(20);

/// No segment is looked for that left longer ago, in nanoseconds: the maximum segment lifetime
/// (RFC 9293 §3.4.2).
const LONGEST_WAY: u64 = 120_000_000_000;

/// So far apart the stamps of two captures may be, in nanoseconds.
const BESIDE: u64 = 1_000_000;

/// So many segments may have overtaken others at one time.
const OVERTAKEN_MAX: usize = 16;

impl<'a> Rows<'a> {
    pub(super) fn new(history: &'a History) -> Rows<'a> {
        let names = [Direction::Received, Direction::Sent].map(|way| Names::new(history, way));
        let mut rows = Rows { list: Vec::new(), empty_handed: 0 };
        // What was told first did not always happen first: packets come later than calls, so the
        // last ones kept may be older than some of the first ones.
        let mut events: Vec<&Event> = history.events.iter().collect();
        rows.add(history, &mut events, &names);
        if history.events.left_out() > 0 {
            let summary = Row::of_summary(Summary::of_left_out(&history.left_out));
            let place = rows.list.partition_point(|row| row.at <= summary.at);
            rows.list.insert(place, summary);
        }
        if !history.captured {
            let drawn =
                |change: &&StateChange| history.is_two_sided() || change.end == history.role;
            for change in history.inferred.iter().filter(drawn) {
                rows.add_inferred(history, change);
            }
        }
        rows.find_early();
        rows.join(TOGETHER);
        rows
    }

    /// What is known of both ends.
    pub(super) fn of_pair(pair: &'a Pair) -> Rows<'a> {
        let history = &pair.joint;
        let names = [Direction::Received, Direction::Sent].map(|way| Names::new(history, way));
        let mut rows = Rows { list: Vec::new(), empty_handed: 0 };
        let mut events: Vec<&Event> =
            history.events.iter().filter(|event| matches!(event, Event::Call(_))).collect();
        rows.add(history, &mut events, &names);
        for call in &pair.calls {
            if found_nothing(call) {
                rows.empty_handed += 1;
                continue;
            }
            let (mut row, end) = Row::of_call(call, true);
            rows.list.extend(end);
            if let (Some((way, range)), false) = (moved(call), history.captured) {
                let names = &names[index(opposite(way))];
                row.message = names.beginning_in(range.start, range.end);
            }
            rows.list.push(row);
        }
        for crossing in &pair.crossings {
            let mut row = Row::of_segment(&crossing.segment, &names);
            row.crossing = Some(crossing);
            rows.list.push(row);
        }
        rows.list.sort_by_key(|row| row.at);
        rows.add_changes(history);
        for summary in [Summary::of_left_out(&pair.client.left_out), Summary::of_far(pair)] {
            if !summary.is_empty() {
                let summary = Row::of_summary(summary);
                let place = rows.list.partition_point(|row| row.at <= summary.at);
                rows.list.insert(place, summary);
            }
        }
        rows.find_early();
        let unsure = Duration::from_nanos(pair.clocks.uncertainty().unwrap_or(0));
        rows.join(TOGETHER.max(unsure));
        rows
    }

    /// States belong to the segments that an end sent or that came to it at that moment. One that came
    /// while something else happened at that end has a row of its own.
    fn add_changes(&mut self, history: &'a History) {
        let changes = history.events.iter().filter_map(|event| match event {
            Event::State(change) => Some(change),
            _ => None,
        });
        let mut alone = Vec::new();
        for change in changes {
            let near = change.end == history.role;
            let from =
                self.list.partition_point(|row| row.at.0.saturating_add(LONGEST_WAY) < change.at.0);
            let causing = |row: &Row<'_>| {
                let crossing = row.crossing?;
                let sent_here = (crossing.segment.direction == Direction::Sent) == near;
                // What was seen at the other end alone was told by that.
                let at = match sent_here {
                    true => crossing.left.or(crossing.arrived),
                    false => crossing.arrived.or(crossing.left),
                };
                Some(at? == change.at)
            };
            let up_to = self.list.partition_point(|row| row.at <= change.at);
            // By stamps of two captures one may seem to arrive before it left.
            let to =
                self.list.partition_point(|row| row.at.0 <= change.at.0.saturating_add(BESIDE));
            let found = self.list[from..to].iter().rposition(|row| causing(row) == Some(true));
            let busy = |row: &Row<'_>| row.happens_at(near);
            match found.map(|place| from + place) {
                Some(place) if !self.list[up_to.min(place + 1)..up_to].iter().any(busy) => {
                    let row = &mut self.list[place];
                    let place = if near { &mut row.ours } else { &mut row.theirs };
                    // The first of two steps in one moment would be gone before anyone saw it.
                    *place = Some(change);
                }
                _ => {
                    let mut row = Row::at(change.at);
                    let place = if near { &mut row.ours } else { &mut row.theirs };
                    *place = Some(change);
                    let same =
                        |last: &&mut Row<'_>| last.at == row.at && last.ours.is_some() == near;
                    match alone.last_mut().filter(same) {
                        Some(last) => *last = row,
                        None => alone.push(row),
                    }
                }
            }
        }
        self.list.extend(alone);
        self.list.sort_by_key(|row| row.at);
    }

    /// Tells segments that overtook others from those before which something is missing.
    fn find_early(&mut self) {
        for way in [Direction::Received, Direction::Sent] {
            // Rows that jumped over bytes, and what of those is still to come.
            let mut open: Vec<(usize, u64, u64)> = Vec::new();
            let mut next = 0;
            for place in 0..self.list.len() {
                let Some(segment) = self.list[place].segment else { continue };
                if segment.direction != way || segment.range.is_empty() {
                    continue;
                }
                let range = &segment.range;
                if segment.mark == Mark::Gap {
                    if open.len() == OVERTAKEN_MAX {
                        open.remove(0);
                    }
                    open.push((place, next, range.start));
                } else if segment.mark == Mark::None && range.start < next {
                    for (_, from, to) in &mut open {
                        if (*from..*to).contains(&range.start) {
                            *to -= (range.end - range.start).min(*to - *from);
                        }
                    }
                    let filled = |(_, from, to): &&(usize, u64, u64)| from == to;
                    for &(early, ..) in open.iter().filter(filled) {
                        self.list[early].early = true;
                    }
                    open.retain(|(_, from, to)| from < to);
                }
                next = next.max(range.end);
            }
        }
    }

    fn add(&mut self, history: &History, events: &mut [&'a Event], names: &[Names<'a>; 2]) {
        events.sort_by_key(|event| time(event));
        let mut ends = Vec::new();
        for event in events {
            match event {
                Event::Call(call) => {
                    if found_nothing(call) {
                        self.empty_handed += 1;
                        continue;
                    }
                    let (mut row, end) = Row::of_call(call, false);
                    ends.extend(end);
                    if let (Some((way, range)), false) = (moved(call), history.captured) {
                        row.message = names[index(way)].beginning_in(range.start, range.end);
                    }
                    self.list.push(row);
                }
                Event::Segment(segment) => self.list.push(Row::of_segment(segment, names)),
                Event::State(change) => self.add_change(history.role, change),
            }
        }
        for row in ends {
            let place = self.list.partition_point(|before| before.at <= row.at);
            self.list.insert(place, row);
        }
    }

    /// A change belongs to the segment that caused it, which comes right before it.
    fn add_change(&mut self, role: Role, change: &'a StateChange) {
        // Of both ends the kernel may tell in one moment, without a segment.
        let free = |row: &Row<'_>| {
            let taken = if change.end == role { row.ours } else { row.theirs };
            row.segment.is_some() || (row.call.is_none() && taken.is_none())
        };
        let last = self.list.last_mut().filter(|row| row.at == change.at && free(row));
        let place = |row: &mut Row<'a>| {
            let place = if change.end == role { &mut row.ours } else { &mut row.theirs };
            // The first of two steps in one moment would be gone before anyone saw it.
            *place = Some(change);
        };
        if let Some(row) = last {
            place(row);
        } else {
            let mut row = Row::at(change.at);
            place(&mut row);
            self.list.push(row);
        }
    }

    /// Inferred states belong to the call they were concluded from.
    fn add_inferred(&mut self, history: &History, change: &'a StateChange) {
        let from = self.list.partition_point(|row| row.at < change.at);
        let ours = change.end == history.role;
        // Between two lifelines a call stands where the state would.
        let shares = |row: &Row<'_>| row.call.is_none() || !history.is_two_sided();
        let free = |row: &Row<'_>| match ours {
            true => row.ours.is_none() && shares(row),
            false => row.theirs.is_none(),
        };
        let near = |row: &&mut Row<'_>| row.at.since(change.at) <= TOGETHER && free(row);
        let place = match self.list[from..].iter_mut().position(|mut row| near(&mut row)) {
            Some(place) => from + place,
            None => {
                self.list.insert(from, Row::at(change.at));
                from
            }
        };
        if let Some(row) = self.list.get_mut(place) {
            *(if ours { &mut row.ours } else { &mut row.theirs }) = Some(change);
        }
    }

    /// Puts calls into the line of the segment they caused or that caused them, if not more than
    /// this lies between.
    fn join(&mut self, together: Duration) {
        let mut joined: Vec<Row<'a>> = Vec::with_capacity(self.list.len());
        for row in self.list.drain(..) {
            let taken = joined.last_mut().is_some_and(|before| before.take(&row, together));
            if !taken {
                joined.push(row);
            }
        }
        self.list = joined;
    }
}

impl<'a> Row<'a> {
    fn at(at: Stamp) -> Row<'a> {
        Row {
            at,
            call: None,
            begins: false,
            far: None,
            segment: None,
            crossing: None,
            ours: None,
            theirs: None,
            message: None,
            early: false,
            summary: None,
        }
    }

    fn of_segment(segment: &'a Segment, names: &[Names<'a>; 2]) -> Row<'a> {
        let mut row = Row::at(segment.at);
        row.segment = Some(segment);
        if segment.mark != Mark::Retransmission {
            let names = &names[index(segment.direction)];
            row.message = names.beginning_in(segment.range.start, segment.range.end);
        }
        row
    }

    /// Takes the row that comes next into this one, if a call in one of them belongs to the segment in
    /// the other.
    fn take(&mut self, next: &Row<'a>, together: Duration) -> bool {
        if self.summary.is_some() || next.summary.is_some() {
            return false;
        }
        if let (None, Some(segment)) = (self.segment, next.segment) {
            if next.at.since(self.at) > together || next.call.is_some() || next.far.is_some() {
                return false;
            }
            let near = self.call.filter(|_| self.ours.is_none() && next.ours.is_none());
            let far = self.far.filter(|_| self.theirs.is_none() && next.theirs.is_none());
            let alone = self.ours.is_none() && self.theirs.is_none();
            let caused = near.is_some_and(|call| causes(call, segment, Direction::Sent))
                || far.is_some_and(|call| causes(call, segment, Direction::Received));
            if caused && alone && (self.call.is_none() || self.far.is_none()) {
                let (call, far, begins) = (self.call, self.far, self.begins);
                *self = Row { call, far, begins, ..next.clone() };
                return true;
            }
            return false;
        }
        let (Some(segment), None) = (self.segment, next.segment) else { return false };
        if next.ours.is_some() || next.theirs.is_some() {
            return false;
        }
        let arrived = self.crossing.and_then(|crossing| crossing.arrived).unwrap_or(self.at);
        if next.at.since(arrived.max(self.at)) > together {
            return false;
        }
        match (next.call, next.far) {
            (Some(call), None) if self.call.is_none() && self.ours.is_none() => {
                let taken = takes(call, segment, Direction::Sent);
                self.call = Some(call).filter(|_| taken);
                taken
            }
            (None, Some(call)) if self.far.is_none() && self.theirs.is_none() => {
                let taken = takes(call, segment, Direction::Received);
                self.far = Some(call).filter(|_| taken);
                taken
            }
            _ => false,
        }
    }

    /// Whether something of it happens at our end, or at the other.
    fn happens_at(&self, near: bool) -> bool {
        let call = if near { self.call } else { self.far };
        let sends = |segment: &Segment| (segment.direction == Direction::Sent) == near;
        call.is_some() || self.segment.is_some_and(sends)
    }

    /// A call at its start, and where it took its time to fail, its end in a row of its own.
    fn of_call(call: &'a Call, far: bool) -> (Row<'a>, Option<Row<'a>>) {
        let row = |at: Stamp| match far {
            true => Row { far: Some(call), ..Row::at(at) },
            false => Row { call: Some(call), ..Row::at(at) },
        };
        let failed = call.result.is_err_and(|errno| !is_transient(errno));
        match call.operation == Operation::Connect && failed && call.end > call.start {
            true => (Row { begins: true, ..row(call.start) }, Some(row(call.end))),
            false => (row(call_time(call)), None),
        }
    }

    pub(super) fn of_summary(summary: Summary) -> Row<'a> {
        let at = summary.span.map_or(Stamp(0), |(first, _)| first);
        Row { summary: Some(Box::new(summary)), ..Row::at(at) }
    }

    /// When the last thing in this row happened.
    pub(super) fn until(&self) -> Stamp {
        let summary = self.summary.as_ref().and_then(|summary| summary.span);
        summary.map_or(self.at, |(_, last)| last)
    }

    /// Whether it is common but for bytes that were early, late or sent again.
    pub(super) fn is_common_or_marked(&self) -> bool {
        let marked = |mark| matches!(mark, Mark::Retransmission | Mark::Gap);
        let bare = |segment: &Segment| {
            let flags = segment.flags;
            !(flags.syn() || flags.fin() || flags.rst())
        };
        let state = self.ours.is_some() || self.theirs.is_some();
        let segment = self.segment.filter(|segment| marked(segment.mark) && bare(segment));
        self.is_common() || (segment.is_some() && !state)
    }

    /// Whether it says no more than many rows like it: bytes on their way, or acknowledged.
    pub(super) fn is_common(&self) -> bool {
        if self.ours.is_some() || self.theirs.is_some() {
            return false;
        }
        let mut calls = self.call.into_iter().chain(self.far);
        let common_call = calls.all(|call| moved(call).is_some());
        let fate = self.crossing.map_or(Fate::Unknown, |crossing| crossing.fate);
        if matches!(fate, Fate::Lost | Fate::Doubled | Fate::Foreign) {
            return false;
        }
        let common_segment = self.segment.is_none_or(|segment| {
            let flags = segment.flags;
            segment.mark == Mark::None
                && !(flags.syn() || flags.fin() || flags.rst())
                && segment.window > 0
        });
        common_call && common_segment
    }
}

/// The states both ends were in before the first change that is known, ours first.
pub(super) fn initial_states(history: &History) -> [Option<State>; 2] {
    let before = |end: Role| {
        let first = history.events.head().find_map(|event| match event {
            Event::State(change) if change.end == end => Some(change),
            _ => None,
        })?;
        // Where the start was not seen, neither was the state before it.
        let known = first.certainty == Certainty::Exact && first.from != first.to;
        known.then_some(first.from)
    };
    [before(history.role), before(other(history.role))]
}

/// When a call matters to the other end or to the program: what it asks for at its start, what
/// it learns at its end.
fn time(event: &Event) -> Stamp {
    match event {
        Event::Call(call) => call_time(call),
        Event::Segment(segment) => segment.at,
        Event::State(change) => change.at,
    }
}

fn call_time(call: &Call) -> Stamp {
    match call.operation {
        Operation::Recv | Operation::Accept => call.end,
        _ => call.start,
    }
}

/// Whether it asked for what was not there yet.
fn found_nothing(call: &Call) -> bool {
    call.operation == Operation::Recv && call.result.is_err_and(is_transient)
}

/// Whether the call can have sent this segment; what its end sends goes the way of `sends`.
fn causes(call: &Call, segment: &Segment, sends: Direction) -> bool {
    if segment.direction != sends {
        return false;
    }
    match call.operation {
        Operation::Connect => segment.flags.syn(),
        Operation::ShutdownWrite | Operation::Close => segment.flags.fin() || segment.flags.rst(),
        Operation::Send | Operation::SendFile => moved(call).is_some_and(|(_, range)| {
            range.start < segment.range.end && segment.range.start < range.end
        }),
        Operation::Recv | Operation::Accept | Operation::GaveUp(_) => false,
    }
}

/// Whether the call can have taken what this segment brought; what its end sends goes the way of
/// `sends`.
fn takes(call: &Call, segment: &Segment, sends: Direction) -> bool {
    if segment.direction == sends {
        return false;
    }
    match call.operation {
        Operation::Accept => segment.flags.ack(),
        Operation::Connect => call.result.is_err() && segment.flags.rst(),
        Operation::Recv => moved(call).map_or(segment.flags.fin(), |(_, range)| {
            range.start < segment.range.end && segment.range.start < range.end
        }),
        _ => false,
    }
}

/// Messages of one direction by where they begin.
struct Names<'a> {
    sorted: Vec<(u64, &'a str)>,
}

impl<'a> Names<'a> {
    fn new(history: &'a History, way: Direction) -> Names<'a> {
        let messages = history.messages.iter().filter(|message| message.direction == way);
        let mut sorted: Vec<(u64, &str)> =
            messages.map(|message| (message.range.start, message.label.as_str())).collect();
        sorted.sort_by_key(|(start, _)| *start);
        Names { sorted }
    }

    fn beginning_in(&self, start: u64, end: u64) -> Option<(&'a str, usize)> {
        let first = self.sorted.partition_point(|(begin, _)| *begin < start);
        let behind = self.sorted.partition_point(|(begin, _)| *begin < end);
        let (_, label) = self.sorted.get(first).filter(|_| first < behind)?;
        Some((label, behind - first))
    }
}
