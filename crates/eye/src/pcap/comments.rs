//! What is known of the bytes a packet carries: the messages they are of, the calls that moved
//! them, and what the segment did.

use std::collections::VecDeque;
use std::ops::Range;

use sockeye_engine::probe::{Call, Direction, Role, Stamp};
use sockeye_wire::escape::fit;
use sockeye_wire::packet::Segment;
use sockeye_wire::tcp::{End, Mark, Placed, Tracker};

use crate::timeline::{index, moved, other};
use crate::view::text::operation;

/// Notes of each kind and direction kept for one connection, if so many are open: many of a few, or
/// few of many, in the same memory. The oldest give way.
pub(super) fn most_notes(open: usize) -> usize {
    const IN_ALL: usize = 1 << 16;
    (IN_ALL / (open + 1)).clamp(16, 1024)
}

/// Comments of one kind on one packet; how many more there are is said.
const COMMENTS: usize = 24;

/// Columns of a message's label.
pub(super) const LABEL: usize = 120;

/// What a connection's packets are commented with.
#[derive(Debug)]
pub(super) struct Notes {
    role: Role,
    tracker: Tracker,
    messages: [VecDeque<Message>; 2],
    told: [u64; 2],
    calls: [VecDeque<(Range<u64>, String)>; 2],
    /// How many messages there were, once the connection has ended.
    totals: Option<[u64; 2]>,
    /// Packets of it that are held back.
    pub(super) held: usize,
    /// Nothing more will be told of it.
    pub(super) over: bool,
}

#[derive(Debug)]
struct Message {
    /// Which one of its direction, from 1.
    number: u64,
    range: Range<u64>,
    label: String,
}

/// What a segment of a connection carries, and what is known of it at once.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) track: u64,
    direction: Direction,
    range: Range<u64>,
    again: bool,
    known: Vec<String>,
}

impl Notes {
    /// Nothing is known yet of a connection in which we have this role.
    pub(super) fn new(role: Role) -> Notes {
        Notes {
            role,
            tracker: Tracker::new(),
            messages: Default::default(),
            told: [0; 2],
            calls: Default::default(),
            totals: None,
            held: 0,
            over: false,
        }
    }

    /// Keeps at most `most` of its kind.
    pub(super) fn message(
        &mut self,
        direction: Direction,
        range: (u64, u64),
        label: &str,
        most: usize,
    ) {
        let way = index(direction);
        self.told[way] += 1;
        let label = fit(label, LABEL, "…");
        let message = Message { number: self.told[way], range: range.0..range.1, label };
        keep(&mut self.messages[way], message, most);
    }

    /// Keeps at most `most` of its kind.
    pub(super) fn call(&mut self, call: &Call, most: usize) {
        if let Some((direction, range)) = moved(call) {
            let Range { start, end } = range;
            let text = format!("{} = {} [{start}..{end})", operation(call.operation), end - start);
            keep(&mut self.calls[index(direction)], (range, text), most);
        }
    }

    /// The connection has ended, with so many messages each way.
    pub(super) fn ended(&mut self, messages: [u64; 2]) {
        self.totals = Some(messages);
        self.over = true;
    }

    /// Takes in a segment; `None` if it is of the next connection between the same ports.
    pub(super) fn segment(
        &mut self,
        track: u64,
        direction: Direction,
        segment: &Segment,
    ) -> Option<Carried> {
        let from = match direction {
            Direction::Received => End::Remote,
            Direction::Sent => End::Local,
        };
        let placed = self.tracker.segment(from, segment)?;
        self.held += 1;
        let again = placed.mark == Mark::Retransmission;
        let known = self.known(&placed, segment);
        let range = placed.start..placed.end;
        Some(Carried { track, direction, range, again, known })
    }

    /// What its header alone told, with what was seen before.
    fn known(&self, placed: &Placed, segment: &Segment) -> Vec<String> {
        let mut known = Vec::new();
        let flags = segment.flags;
        known.extend(match placed.mark {
            Mark::None => None,
            Mark::Retransmission => Some("retransmission"),
            Mark::KeepAlive => Some("keep-alive probe"),
            Mark::WindowProbe => Some("window probe"),
            Mark::Gap => Some("gap: a segment before it was not captured, or comes later"),
        });
        if placed.window == 0 && !flags.syn() && !flags.rst() {
            known.push("zero window");
        }
        let mut known: Vec<String> = known.into_iter().map(str::to_owned).collect();
        for change in placed.changes.iter() {
            let role = match change.end {
                End::Local => self.role,
                End::Remote => other(self.role),
            };
            let end = match role {
                Role::Client => "client",
                Role::Server => "server",
            };
            let about = if change.inferred { "~" } else { "" };
            known.push(format!("{end}: {} -> {about}{}", change.from, change.to));
        }
        known
    }

    /// Adds all that is known now of what a packet carries.
    pub(super) fn comment(&self, carried: &Carried, comments: &mut Vec<String>) {
        let way = index(carried.direction);
        let of = self.totals.map_or(String::new(), |totals| format!(" of {}", totals[way]));
        let here = &carried.range;
        let overlaps = |range: &Range<u64>| range.start < here.end && here.start < range.end;
        let messages = self.messages[way].iter().filter(|message| overlaps(&message.range));
        let messages = messages.map(|Message { number, range, label }| {
            let Range { start, end } = range;
            let part = match here.start <= *start && *end <= here.end {
                true => String::new(),
                false => format!(" (here {}..{})", here.start.max(*start), here.end.min(*end)),
            };
            format!("message {number}{of}, bytes {start}..{end}{part}: {label}")
        });
        add(comments, messages, "messages");
        // A call stands with the bytes it ended with when it received, and began with when it sent:
        // so with one packet, unless that was sent again.
        let place = |range: &Range<u64>| match carried.direction {
            Direction::Received => range.end - 1,
            Direction::Sent => range.start,
        };
        let calls = self.calls[way].iter().filter(|_| !carried.again);
        let calls = calls.filter(|(range, _)| here.contains(&place(range)));
        add(comments, calls.map(|(_, text)| text.clone()), "calls");
        for known in &carried.known {
            if !comments.contains(known) {
                comments.push(known.clone());
            }
        }
    }

    /// A packet of it was written: what lies before is not asked for again, unless it is sent again.
    pub(super) fn written(&mut self, carried: &Carried) {
        self.held = self.held.saturating_sub(1);
        let way = index(carried.direction);
        let done = carried.range.start;
        while self.messages[way].front().is_some_and(|message| message.range.end <= done) {
            self.messages[way].pop_front();
        }
        while self.calls[way].front().is_some_and(|(range, _)| range.end <= done) {
            self.calls[way].pop_front();
        }
    }
}

fn keep<T>(notes: &mut VecDeque<T>, note: T, most: usize) {
    while notes.len() >= most {
        notes.pop_front();
    }
    notes.push_back(note);
}

fn add(comments: &mut Vec<String>, more: impl Iterator<Item = String>, what: &str) {
    let mut left_out = 0;
    let before = comments.len();
    for comment in more {
        if comments.contains(&comment) {
            continue;
        }
        if comments.len() - before < COMMENTS {
            comments.push(comment);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        comments.push(format!("and {left_out} more {what}"));
    }
}

/// How long it is ago, in nanoseconds.
pub(super) fn since(at: Stamp, now: Stamp) -> u64 {
    now.0.saturating_sub(at.0)
}
