//! What the eye knows of one end of a scene, for what is to be true of it.

use std::time::Duration;

use sockeye_engine::probe::{Call, Direction, Operation, Role, Stamp};
use sockeye_eye::record::{Certainty, Event, History, Mark, Segment, StateChange};
use sockeye_eye::{finding, verdict};

/// One end; of none if there was no such connection.
pub(crate) struct Account(Option<History>);

impl Account {
    pub(crate) fn new(history: Option<History>) -> Account {
        Account(history)
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn history(&self) -> &History {
        self.0.as_ref().expect("there was such an end")
    }

    pub(crate) fn captured(&self) -> bool {
        self.history().captured
    }

    pub(crate) fn verdict(&self) -> String {
        verdict::line(self.history())
    }

    /// The three letters it begins with.
    pub(crate) fn code(&self) -> String {
        self.verdict().split(' ').next().unwrap_or_default().to_owned()
    }

    /// What is found, in the order in which it is told.
    pub(crate) fn found(&self) -> Vec<&'static str> {
        let found = self.0.iter().flat_map(finding::findings);
        found.map(|finding| finding.kind.id()).collect()
    }

    fn all_calls(&self) -> Vec<&Call> {
        let calls = self.history().events.iter().filter_map(|event| match event {
            Event::Call(call) => Some(call),
            _ => None,
        });
        calls.collect()
    }

    /// What calls of this kind returned.
    pub(crate) fn calls(&self, operation: Operation) -> Vec<Result<u64, i32>> {
        let calls = self.all_calls().into_iter().filter(|call| call.operation == operation);
        calls.map(|call| call.result).collect()
    }

    /// When the first call of this kind was made.
    pub(crate) fn first(&self, operation: Operation) -> Stamp {
        let calls = self.all_calls().into_iter().filter(|call| call.operation == operation);
        calls.map(|call| call.start).min().expect("there was one")
    }

    /// In order of time.
    pub(crate) fn segments(&self, way: Direction) -> Vec<&Segment> {
        let segments = self.history().events.iter().filter_map(|event| match event {
            Event::Segment(segment) if segment.direction == way => Some(segment),
            _ => None,
        });
        segments.collect()
    }

    pub(crate) fn received(&self) -> Vec<&Segment> {
        self.segments(Direction::Received)
    }

    /// Those that carry bytes, as intervals.
    pub(crate) fn data(&self, way: Direction) -> Vec<(u64, u64)> {
        let data = self.segments(way).into_iter().filter(|segment| !segment.range.is_empty());
        data.map(|segment| (segment.range.start, segment.range.end)).collect()
    }

    pub(crate) fn marked(&self, way: Direction, mark: Mark) -> Vec<&Segment> {
        self.segments(way).into_iter().filter(|segment| segment.mark == mark).collect()
    }

    /// States that this end went through, or the other, with a tilde where they were concluded.
    pub(crate) fn states(&self, end: Role) -> Vec<String> {
        let history = self.history();
        let events = history.events.iter().filter_map(|event| match event {
            Event::State(change) => Some(change),
            _ => None,
        });
        let changes: Vec<&StateChange> = match history.captured {
            true => events.collect(),
            false => events.chain(&history.inferred).collect(),
        };
        let of_end = changes.into_iter().filter(|change| change.end == end);
        let name = |change: &StateChange| match change.certainty {
            Certainty::Exact => change.to.name().to_owned(),
            Certainty::Inferred => format!("~{}", change.to.name()),
        };
        of_end.map(name).collect()
    }

    pub(crate) fn own_states(&self) -> Vec<String> {
        self.states(self.history().role)
    }

    /// How long before a segment nothing was sent or received.
    pub(crate) fn silence_before(&self, segment: &Segment) -> Duration {
        let before = [Direction::Sent, Direction::Received];
        let before = before.into_iter().flat_map(|way| self.segments(way));
        let before = before.map(|other| other.at).filter(|at| *at < segment.at).max();
        before.map_or(Duration::ZERO, |at| segment.at.since(at))
    }

    /// All that does not depend on time, each with a name of its own.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Some(history) = &self.0 else { return Vec::new() };
        let role = history.role;
        let name = |role: Role| if role == Role::Client { "client" } else { "server" };
        let other = if role == Role::Client { Role::Server } else { Role::Client };
        let list = |states: Vec<String>| list_or(states, "not shown");
        // What the kernel answers depends on when it was asked.
        let asked = !history.captured && history.peaks.iter().any(|peaks| peaks.samples > 0);
        let list = |states| if asked { String::from("as it was asked") } else { list(states) };
        let shown = if history.captured { "shown" } else { "not shown" };
        let verdict = self.verdict();
        let words = verdict.split("  ").nth(2).unwrap_or_default();
        let words: Vec<&str> = words.split(" · ").filter(|part| !is_about_time(part)).collect();
        let known_isns = history.isn.iter().map(|isn| match isn {
            Some((_, source)) => format!("{source:?}"),
            None => String::from("unknown"),
        });
        let lines = [
            ("its states", list(self.own_states())),
            ("the peer's states", list(self.states(other))),
            ("segments and ACKs", shown.to_owned()),
            ("ISNs, the peer's and its own", known_isns.collect::<Vec<_>>().join(", ")),
            ("found", list_or(self.found(), "nothing")),
            ("verdict", format!("{}, {}", self.code(), words.join(" · "))),
        ];
        let seen_by = name(role);
        lines.into_iter().map(|(what, value)| format!("{seen_by}, {what}: {value}")).collect()
    }
}

/// Names in a row, or what is said if there are none.
fn list_or<T: AsRef<str>>(names: Vec<T>, none: &str) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

/// How long something took, which is never the same twice.
fn is_about_time(part: &str) -> bool {
    part.starts_with("handshake ") || part.contains(" to close") || part.contains(" left")
}
