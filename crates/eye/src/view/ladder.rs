//! The ladder: time runs down, the client's lifeline left, the server's right, segments between.

mod arrow;
mod columns;

use sockeye_engine::probe::{Call, Direction, Role, Stamp};
use sockeye_wire::escape;
use sockeye_wire::tcp::State;
use unicode_width::UnicodeWidthStr;

use super::fold::{Summary, fold};
use super::paper::{Paper, wrap};
use super::rows::{Row, Rows, initial_states};
use super::scale::{millis, millis_fixed, span};
use super::style::{Ink, NARROW, Style};
use super::text;
use crate::pair::{Crossing, Fate, Pair};
use crate::record::{Aftermath, Certainty, History, Segment, StateChange};
use crate::timeline::{index, opposite, other};
use crate::words::note::{Note, Source};
use arrow::Arrow;
use columns::Columns;
pub(in crate::view) use columns::{name, shorter_name};

/// Draws what happened, in order of time.
///
/// Our own calls and both ends' states stand outside the lifelines. Without packets there is one
/// lifeline, our own.
pub(super) fn draw(history: &History, style: &Style) -> String {
    draw_rows(history, Rows::new(history), style, None)
}

/// Draws what happened at both ends, in order of time by the client's clock: the client's calls
/// stand on the left, the server's on the right.
pub(super) fn draw_pair(pair: &Pair, style: &Style) -> String {
    draw_rows(&pair.joint, Rows::of_pair(pair), style, Some(pair))
}

fn draw_rows(history: &History, rows: Rows<'_>, style: &Style, pair: Option<&Pair>) -> String {
    let Rows { list, empty_handed } = rows;
    let rows = fold(list, style.rows.max(ROWS_MIN));
    let mut ladder = Ladder::new(history, style, &rows, pair);
    ladder.header();
    let mut before: Option<Stamp> = None;
    for row in &rows {
        if let Some(before) = before {
            ladder.silence(before, row.at);
        }
        ladder.row(row);
        before = Some(row.until().max(before.unwrap_or(row.at)));
    }
    ladder.aftermath(before);
    ladder.notes(&rows, empty_handed);
    ladder.paper.into_string()
}

/// Fewer lines than this can't show a handshake, a close and what lies between.
const ROWS_MIN: usize = 20;

/// With fewer columns than this for its words an arrow does not say how long it took.
const WORDS_MIN: usize = 18;

struct Ladder<'a> {
    history: &'a History,
    /// Both ends were recorded.
    pair: Option<&'a Pair>,
    style: &'a Style,
    paper: Paper<'a>,
    start: Stamp,
    /// Times are in seconds, not milliseconds.
    seconds: bool,
    decimals: u32,
    /// A silence this long, in nanoseconds, gets a line.
    long: u64,
    columns: Columns,
    /// States whose names were cut short.
    cut: Vec<State>,
    /// Something stands at an offset that carries no bytes.
    at_offset: bool,
    /// An interval of bytes was written.
    intervals: bool,
    /// What became of the segments that were drawn.
    fates: Vec<Fate>,
    /// Some time in flight was written.
    flights: bool,
}

impl<'a> Ladder<'a> {
    fn new(
        history: &'a History,
        style: &'a Style,
        rows: &[Row<'_>],
        pair: Option<&'a Pair>,
    ) -> Ladder<'a> {
        let first = rows.iter().map(|row| row.at).min().unwrap_or(Stamp(0));
        let start = history.course.span.map_or(first, |(start, _)| start.min(first));
        let end = rows.iter().map(Row::until).max().unwrap_or(start);
        let asked = [history.aftermath, history.peer_aftermath].into_iter().flatten();
        let asked = asked.map(|aftermath| aftermath.at).max().map_or(end, |at| at.max(end));
        let total = end.0 - start.0;
        let seconds = style.columns() < NARROW && total >= 100_000_000_000;
        let decimals = match total {
            0..10_000_000 => 3,
            10_000_000..10_000_000_000 => 2,
            // A day, where there is little room.
            86_400_000_000_000.. if seconds => 0,
            _ => 1,
        };
        let widest = time(asked.0.saturating_sub(start.0), seconds, decimals).len();
        let columns = Columns::new(history, style, widest, pair.is_some());
        let long = (total / 10).max(1_000_000);
        let paper = Paper::new(style);
        Ladder {
            history,
            pair,
            style,
            paper,
            start,
            seconds,
            decimals,
            long,
            columns,
            cut: Vec::new(),
            at_offset: false,
            intervals: false,
            fates: Vec::new(),
            flights: false,
        }
    }

    fn header(&mut self) {
        let [ours, theirs] = initial_states(self.history);
        let unit = if self.seconds { "s" } else { "ms" };
        self.paper.put_before(self.columns.time, Ink::Dim, unit);
        if !self.history.is_two_sided() {
            let name = self.style.note(Note::End(self.history.role, false));
            self.paper.go_to(self.columns.left.saturating_sub(name.width() / 2));
            self.paper.put(Ink::Strong, &name);
            self.paper.end_line();
            return;
        }
        let here = (!self.history.neutral).then_some(self.history.role);
        let [client, server] = [Role::Client, Role::Server]
            .map(|role| self.style.note(Note::End(role, Some(role) == here)));
        let place = (self.columns.left - 1).saturating_sub(client.width());
        self.paper.go_to(place.max(self.columns.time + self.columns.gap()));
        self.paper.put(Ink::Strong, &client);
        self.paper.go_to((self.columns.right + 2).min(self.columns.end - server.width()));
        self.paper.put(Ink::Strong, &server);
        self.paper.end_line();
        if ours.is_some() || theirs.is_some() {
            let [ours, theirs] =
                [ours, theirs].map(|state| state.map_or("", |state| self.name(state)));
            let (left, right) = self.sides(ours, theirs);
            self.paper.put_before(self.columns.left - 1, Ink::State, left);
            self.lifelines(self.style.glyphs().lifeline, None);
            self.put_right(Ink::State, right);
            self.paper.end_line();
        }
    }

    fn row(&mut self, row: &Row<'_>) {
        if let Some(summary) = &row.summary {
            self.summary(summary);
            return;
        }
        self.time(row.at);
        let glyphs = self.style.glyphs();
        if !self.history.is_two_sided() {
            self.one_sided(row);
            return;
        }
        let message = row.message.filter(|_| row.segment.is_none());
        let ours = self.outside(row.call, row.begins, row.ours, message, self.our_width());
        let theirs = self.outside(row.far, row.begins, row.theirs, message, self.their_width());
        let (left, right) = self.sides(ours, theirs);
        self.paper.put_before(self.columns.left - 1, left.0, &left.1);
        let arrow = row.segment.map(|segment| self.segment(segment, row));
        if let Some(Arrow { text, .. }) = &arrow {
            self.intervals |= text.contains('[');
            // Where there is a message there are bytes, and their interval.
            self.at_offset |= row.message.is_none() && text.contains(" @");
        }
        self.lifelines(glyphs.lifeline, arrow);
        self.put_right(right.0, &right.1);
        self.paper.end_line();
    }

    /// What stands outside of a lifeline: a call, or else a state.
    fn outside(
        &mut self,
        call: Option<&Call>,
        begins: bool,
        change: Option<&StateChange>,
        message: Option<(&str, usize)>,
        width: usize,
    ) -> (Ink, String) {
        let told = match (call, change) {
            (Some(call), _) if begins => (Ink::Call, text::begun(call.operation, width)),
            (Some(call), _) => {
                let ink = if call.result.is_err() { Ink::Error } else { Ink::Call };
                (ink, text::call(call, message, width, self.style.glyphs()))
            }
            (None, Some(change)) => (Ink::State, self.state(change)),
            (None, None) => (Ink::Plain, String::new()),
        };
        self.intervals |= told.1.contains('[');
        told
    }

    fn segment(&mut self, segment: &Segment, row: &Row<'_>) -> Arrow {
        let fate = row.crossing.map_or(Fate::Unknown, |crossing| crossing.fate);
        let ink = match text::is_alarming(segment.flags, segment.mark) {
            _ if fate == Fate::Foreign => Ink::Error,
            _ if fate == Fate::Lost => Ink::Warning,
            true if segment.flags.rst() => Ink::Error,
            true if row.early => Ink::Plain,
            true => Ink::Warning,
            false => Ink::Plain,
        };
        let mut room = self.columns.room();
        let mut arrow = Arrow { way: segment.direction, ink, fate, ..Arrow::default() };
        let flight = match fate {
            Fate::Doubled => Some(String::from("x2")),
            _ if !self.pair.is_some_and(|pair| pair.shows_flight(row.crossing)) => None,
            _ => row.crossing.and_then(Crossing::took).map(|took| format!("+{}", millis(took))),
        };
        if let Some(flight) = flight.filter(|flight| room >= WORDS_MIN + flight.len()) {
            room -= flight.len() + 2;
            arrow.flight = flight;
        }
        if matches!(fate, Fate::Lost | Fate::Foreign) {
            room = room.saturating_sub(2);
        }
        self.fates.push(fate);
        self.flights |= arrow.flight.starts_with('+');
        let glyphs = self.style.glyphs();
        arrow.text = text::segment(segment, row.early, row.message, room, glyphs);
        arrow
    }

    /// Our lifeline alone: states left of it, calls right.
    fn one_sided(&mut self, row: &Row<'_>) {
        let glyphs = self.style.glyphs();
        if let Some(change) = row.ours {
            let state = self.state(change);
            self.paper.put_before(self.columns.left - 1, Ink::State, &state);
        }
        self.paper.go_to(self.columns.left);
        self.paper.put(Ink::Dim, &glyphs.lifeline.to_string());
        if let Some(call) = row.call {
            self.paper.blank(1);
            let room = self.columns.end.saturating_sub(self.columns.left + 2);
            let (ink, text) = match (row.begins, call.result) {
                (true, _) => (Ink::Call, text::begun(call.operation, room)),
                (_, Err(_)) => (Ink::Error, text::call(call, row.message, room, glyphs)),
                (_, Ok(_)) => (Ink::Call, text::call(call, row.message, room, glyphs)),
            };
            self.intervals |= text.contains('[');
            self.paper.put(ink, &text);
        }
        self.paper.end_line();
    }

    /// A few lines for many rows, on dotted lifelines.
    fn summary(&mut self, summary: &Summary) {
        let at = summary.span.map(|(first, _)| first);
        let mut lines = 0;
        for way in [Direction::Received, Direction::Sent] {
            if summary.has_line(index(way)) {
                self.summary_time(at, &mut lines);
                let ours = text::calls(summary, index(way), self.our_width());
                let theirs = text::far_calls(summary, index(opposite(way)), self.their_width());
                let text = text::data(summary, index(way), self.columns.room());
                let arrow = Arrow { way, text, ..Arrow::default() };
                self.folded_line(ours, theirs, summary.has_data(index(way)).then_some(arrow));
            }
        }
        for way in [Direction::Received, Direction::Sent] {
            if summary.acks[index(way)].count > 0 {
                self.summary_time(at, &mut lines);
                let text = text::acks(summary, index(way), self.columns.room());
                let arrow = Arrow { way, text, ..Arrow::default() };
                self.folded_line(String::new(), String::new(), Some(arrow));
            }
        }
        if summary.others > 0 {
            self.summary_time(at, &mut lines);
            self.dotted_note(&text::others(summary.others, self.columns.between(), self.style));
        }
    }

    /// The first line of a summary has a time.
    fn summary_time(&mut self, at: Option<Stamp>, lines: &mut usize) {
        if let Some(at) = at.filter(|_| *lines == 0) {
            self.time(at);
        }
        *lines += 1;
    }

    fn folded_line(&mut self, ours: String, theirs: String, arrow: Option<Arrow>) {
        let idle = self.style.glyphs().idle;
        let texts = [Some(&ours), Some(&theirs), arrow.as_ref().map(|arrow| &arrow.text)];
        self.intervals |= texts.into_iter().flatten().any(|text| text.contains('['));
        if !self.history.is_two_sided() {
            self.paper.go_to(self.columns.left);
            self.paper.put(Ink::Dim, &idle.to_string());
            self.paper.blank(1);
            self.paper.put(Ink::Call, &ours);
            self.paper.end_line();
            return;
        }
        let (left, right) = self.sides(ours, theirs);
        self.paper.put_before(self.columns.left - 1, Ink::Call, &left);
        self.lifelines(idle, arrow);
        self.put_right(Ink::Call, &right);
        self.paper.end_line();
    }

    /// A line for a time in which nothing happened, if it was long.
    fn silence(&mut self, before: Stamp, after: Stamp) {
        let nanos = after.0.saturating_sub(before.0);
        if nanos < self.long {
            return;
        }
        self.dotted_note(&span(nanos));
    }

    /// Words between dotted lifelines.
    fn dotted_note(&mut self, text: &str) {
        let idle = self.style.glyphs().idle.to_string();
        self.paper.go_to(self.columns.left);
        self.paper.put(Ink::Dim, &idle);
        if self.history.is_two_sided() {
            let between = self.columns.between();
            let text = escape::fit(text, between, self.style.glyphs().ellipsis);
            self.paper.blank((between - text.width().min(between)) / 2);
            self.paper.put(Ink::Dim, &text);
            self.paper.go_to(self.columns.right);
            self.paper.put(Ink::Dim, &idle);
        } else {
            self.paper.blank(1);
            self.paper.put(Ink::Dim, text);
        }
        self.paper.end_line();
    }

    /// What the kernel said of both ends after the last row: which of them waits how long.
    fn aftermath(&mut self, before: Option<Stamp>) {
        let history = self.history;
        let captured = history.is_two_sided();
        let told = |aftermath: Option<Aftermath>, width: usize| {
            let aftermath = aftermath?;
            let left = span(u64::from(aftermath.remaining_ms?) * 1_000_000);
            let remaining = self.style.note(Note::Remaining(&left));
            let mut text = format!("{}, {remaining}", aftermath.state);
            if text.width() > width {
                // The state stands above it.
                text = remaining;
            }
            if text.width() > width {
                text = left;
            }
            Some((aftermath.at, escape::fit(&text, width, self.style.glyphs().ellipsis)))
        };
        let ours = told(history.aftermath, self.our_width());
        let theirs = told(history.peer_aftermath, self.their_width()).filter(|_| captured);
        let Some(at) = ours.iter().chain(&theirs).map(|(at, _)| *at).max() else { return };
        let text = |told: Option<(Stamp, String)>| told.map_or(String::new(), |(_, text)| text);
        let (ours, theirs) = (text(ours), text(theirs));
        // Somebody may have set the clock back since.
        if before.is_none_or(|before| before <= at) {
            self.time(at);
        }
        let lifeline = self.style.glyphs().idle;
        if captured {
            let (left, right) = self.sides(ours, theirs);
            self.paper.put_before(self.columns.left - 1, Ink::State, &left);
            self.lifelines(lifeline, None);
            self.put_right(Ink::State, &right);
        } else {
            self.paper.go_to(self.columns.left);
            self.paper.put(Ink::Dim, &lifeline.to_string());
            self.paper.blank(1);
            self.paper.put(Ink::State, &ours);
        }
        self.paper.end_line();
    }

    /// What needs explaining, where it occurs.
    fn notes(&mut self, rows: &[Row<'_>], empty_handed: u64) {
        let inferred = |change: Option<&StateChange>| {
            change.is_some_and(|change| change.certainty == Certainty::Inferred)
        };
        let mut notes = Vec::new();
        if rows.iter().any(|row| inferred(row.ours) || inferred(row.theirs)) {
            let from = match (self.history.captured, self.pair) {
                (_, Some(pair)) if !(pair.client.captured && pair.server.captured) => Source::Calls,
                (true, _) => Source::LaterSegments,
                (false, _) => Source::OurCalls,
            };
            notes.push(self.style.note(Note::ConcludedFrom(from)));
        }
        if !self.history.captured && self.history.neutral && self.pair.is_none() {
            notes.push(self.style.note(Note::TheKernelsStates));
        }
        let dot = self.style.glyphs().dot;
        let mut signs = Vec::new();
        if self.pair.is_some() {
            signs.push(self.style.note(Note::TheClientsClock));
        }
        let fates = [
            (Fate::Lost, Note::Lost),
            (Fate::Doubled, Note::Doubled),
            (Fate::Foreign, Note::Foreign),
        ];
        let met = fates.iter().filter(|(fate, _)| self.fates.contains(fate));
        signs.extend(met.map(|(_, note)| self.style.note(*note)));
        if self.flights {
            signs.push(self.style.note(Note::InFlight));
        }
        if self.intervals {
            signs.push(self.style.note(Note::Interval));
        }
        if self.at_offset {
            signs.push(self.style.note(Note::AtOffset));
        }
        let cut = |&state: &State| Some(format!("{} {state}", shorter_name(state)?));
        signs.extend(self.cut.iter().filter_map(cut));
        if !signs.is_empty() {
            notes.push(signs.join(&format!(" {dot} ")));
        }
        let [read, sent] = self.history.totals.in_vain;
        if empty_handed + read > 0 {
            notes.push(self.style.note(Note::ReadsNotDrawn(empty_handed + read)));
        }
        if sent > 0 {
            notes.push(self.style.note(Note::SendsNotDrawn(sent)));
        }
        let indent = self.columns.time + self.columns.gap();
        for note in notes {
            for line in wrap(&note, self.columns.end - indent, self.columns.end - indent) {
                self.paper.go_to(indent);
                self.paper.put(Ink::Dim, &line);
                self.paper.end_line();
            }
        }
    }

    fn time(&mut self, at: Stamp) {
        let nanos = at.0.saturating_sub(self.start.0);
        let text = time(nanos, self.seconds, self.decimals);
        self.paper.put_before(self.columns.time, Ink::Dim, &text);
    }

    /// Both lifelines, and an arrow between them.
    fn lifelines(&mut self, lifeline: char, arrow: Option<Arrow>) {
        let lifeline = lifeline.to_string();
        self.paper.go_to(self.columns.left);
        self.paper.put(Ink::Dim, &lifeline);
        if let Some(arrow) = arrow {
            let to_server =
                (arrow.way == Direction::Received) == (self.history.role == Role::Server);
            let drawn = arrow.draw(to_server, self.columns.between(), self.style.glyphs());
            self.paper.put(arrow.ink, &drawn);
        }
        self.paper.go_to(self.columns.right);
        self.paper.put(Ink::Dim, &lifeline);
    }

    fn put_right(&mut self, ink: Ink, text: &str) {
        if !text.is_empty() {
            self.paper.go_to(self.columns.right + 2);
            self.paper.put(ink, text);
        }
    }

    /// What is ours and what is theirs, as left and right.
    fn sides<T>(&self, ours: T, theirs: T) -> (T, T) {
        match self.history.role {
            Role::Client => (ours, theirs),
            Role::Server => (theirs, ours),
        }
    }

    fn our_width(&self) -> usize {
        self.width_of(self.history.role)
    }

    fn their_width(&self) -> usize {
        self.width_of(other(self.history.role))
    }

    fn width_of(&self, end: Role) -> usize {
        let columns = &self.columns;
        match (self.history.is_two_sided(), end) {
            (true, Role::Client) => columns.left.saturating_sub(columns.time + 3),
            (true, Role::Server) => columns.end.saturating_sub(columns.right + 2),
            (false, _) => columns.end.saturating_sub(columns.left + 2),
        }
    }
}

impl Ladder<'_> {
    /// A state's name, as long as there is room for.
    fn name(&mut self, state: State) -> &'static str {
        let (name, cut) = name(state, self.columns.end);
        if cut && !self.cut.contains(&state) {
            self.cut.push(state);
        }
        name
    }

    fn state(&mut self, change: &StateChange) -> String {
        let sign = if change.certainty == Certainty::Inferred { "~" } else { "" };
        format!("{sign}{}", self.name(change.to))
    }
}

fn time(nanos: u64, seconds: bool, decimals: u32) -> String {
    millis_fixed(if seconds { nanos / 1000 } else { nanos }, decimals)
}
