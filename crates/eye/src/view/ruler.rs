//! The byte ruler: one direction's stream from left to right, its layers under one another in
//! the order in which the bytes passed them.

mod kernel;

use std::ops::Range;

use sockeye_engine::probe::{Call, Direction, Operation, Role, Stamp};
use unicode_width::UnicodeWidthStr as _;

use super::bar::{Axis, Bar, Interval};
use super::paper::Paper;
use super::scale::{bytes, grouped, millis, short, step};
use super::style::{Glyphs, Ink, NARROW, Style};
use crate::pair::{Fate, Pair};
use crate::record::{Event, Fold, History, Mark, Segment};
use crate::timeline::{index, moved, opposite};
use crate::words::note::{Note, Noun};

/// Draws one direction. Layers of which nothing was seen are left out.
pub(super) fn draw(history: &History, way: Direction, style: &Style) -> String {
    let layers = Layers::new(history, way);
    let [left, right] = captions(style.columns());
    let mut ruler = Ruler {
        history,
        way,
        style,
        axis: Axis { total: layers.total, columns: style.columns() - left - right },
        left,
        right,
        paper: Paper::new(style),
        crowded: false,
        start: start(history),
    };
    ruler.title();
    if layers.total > 0 {
        ruler.scale();
        match way {
            Direction::Sent => {
                ruler.messages(&layers, |count| Note::Written(count));
                ruler.calls(&layers);
                ruler.stamps(&layers);
                ruler.segments(&layers);
                ruler.resent(&layers);
                ruler.acks(&layers);
            }
            Direction::Received => {
                ruler.segments(&layers);
                ruler.resent(&layers);
                ruler.acks(&layers);
                ruler.calls(&layers);
                ruler.messages(&layers, |count| Note::Decoded(count));
            }
        }
        ruler.queues();
        ruler.note();
    }
    ruler.paper.into_string()
}

/// Draws one direction, as the client sees it, with the layers of both ends: what the one wrote,
/// what went over the wire, and what the other read.
pub(super) fn draw_pair(pair: &Pair, way: Direction, style: &Style) -> String {
    let (sender, receiver) = match way {
        Direction::Sent => (&pair.client, &pair.server),
        Direction::Received => (&pair.server, &pair.client),
    };
    let sent = Layers::new(sender, Direction::Sent);
    let received = Layers::new(receiver, Direction::Received);
    let [left, right] = captions(style.columns());
    let total = sent.total.max(received.total);
    let mut ruler = Ruler {
        history: sender,
        way: Direction::Sent,
        style,
        axis: Axis { total, columns: style.columns() - left - right },
        left,
        right,
        paper: Paper::new(style),
        crowded: false,
        start: pair.start_at(sender.role),
    };
    ruler.title();
    if total > 0 {
        ruler.scale();
        ruler.messages(&sent, |count| Note::Written(count));
        ruler.calls(&sent);
        ruler.stamps(&sent);
        if sender.captured {
            ruler.segments(&sent);
            ruler.resent(&sent);
            ruler.lost(pair, way);
            ruler.acks(&sent);
        }
        (ruler.history, ruler.way) = (receiver, Direction::Received);
        ruler.start = pair.start_at(receiver.role);
        if !sender.captured {
            ruler.segments(&received);
            ruler.resent(&received);
            ruler.acks(&received);
        } else if receiver.captured && sent.is_cut_otherwise(&received) {
            ruler.arrived(&received);
        }
        ruler.calls(&received);
        ruler.messages(&received, |count| Note::Decoded(count));
        ruler.note();
    }
    ruler.paper.into_string()
}

/// Columns for the layer's name and a blank; and for what is said to the right of a bar, with the
/// border column.
fn captions(columns: usize) -> [usize; 2] {
    match columns {
        NARROW.. => [11, 28],
        60..NARROW => [11, 18 + (columns - 60) / 2],
        _ => [8, 9 + (columns - Style::NARROWEST) / 3],
    }
}

/// A segment that was lost.
const LOST: char = 'x';

/// Everything that lies on one direction's axis, sorted by offset.
struct Layers<'a> {
    total: u64,
    messages: Vec<Interval<'a>>,
    calls: Vec<(&'a Call, Range<u64>)>,
    segments: Vec<&'a Segment>,
    resent: Vec<&'a Segment>,
    acks: Vec<u64>,
}

impl<'a> Layers<'a> {
    fn new(history: &'a History, way: Direction) -> Layers<'a> {
        let mut layers = Layers {
            total: history.totals.bytes[index(way)],
            messages: Vec::new(),
            calls: Vec::new(),
            segments: Vec::new(),
            resent: Vec::new(),
            acks: Vec::new(),
        };
        for event in history.events.iter() {
            match event {
                Event::Call(call) => {
                    if let Some((direction, range)) = moved(call)
                        && direction == way
                    {
                        layers.reach(range.end);
                        layers.calls.push((call, range));
                    }
                }
                Event::Segment(segment) => layers.segment(segment, way),
                Event::State(_) => {}
            }
        }
        for message in history.messages.iter().filter(|message| message.direction == way) {
            let label = Some(message.label.as_str());
            layers.messages.push(Interval { range: message.range.clone(), label });
        }
        let left_out = &history.left_out;
        for fold in [&left_out.calls, &left_out.data] {
            layers.reach(fold[index(way)].range.end);
        }
        layers.messages.sort_by_key(|message| message.range.start);
        layers.calls.sort_by_key(|(_, range)| range.start);
        layers.segments.sort_by_key(|segment| segment.range.start);
        layers.acks.sort_unstable();
        // The ACK of the FIN covers no byte that was not covered before.
        layers.acks.dedup();
        if layers.total == 0 {
            // Messages were meant, but nothing of them ever moved.
            layers.total =
                layers.messages.iter().map(|message| message.range.end).max().unwrap_or(0);
        }
        layers
    }

    fn segment(&mut self, segment: &'a Segment, way: Direction) {
        if segment.direction == way && !segment.range.is_empty() {
            self.reach(segment.range.end);
            match segment.mark {
                Mark::Retransmission => self.resent.push(segment),
                _ => self.segments.push(segment),
            }
        }
        if segment.direction != way
            && let Some(ack) = segment.ack
            && ack.advances
            && ack.offset > 0
        {
            self.acks.push(ack.offset);
        }
    }

    fn reach(&mut self, end: u64) {
        self.total = self.total.max(end);
    }

    /// Whether the segments that arrived have other borders than those that left.
    fn is_cut_otherwise(&self, arrived: &Layers<'_>) -> bool {
        let borders = |layers: &Layers<'_>| {
            let all = layers.segments.iter().chain(&layers.resent);
            let mut borders: Vec<u64> =
                all.flat_map(|segment| [segment.range.start, segment.range.end]).collect();
            borders.sort_unstable();
            borders.dedup();
            borders
        };
        let left = borders(self);
        // One that was lost takes its borders along.
        borders(arrived).iter().any(|border| left.binary_search(border).is_err())
    }
}

/// When a history begins.
fn start(history: &History) -> Stamp {
    history.course.span.map_or(Stamp(0), |(first, _)| first)
}

struct Ruler<'a> {
    history: &'a History,
    way: Direction,
    style: &'a Style,
    axis: Axis,
    left: usize,
    right: usize,
    paper: Paper<'a>,
    /// Some column held more than one border.
    crowded: bool,
    /// Times are told from here on, by the clock of `history`.
    start: Stamp,
}

impl Ruler<'_> {
    fn title(&mut self) {
        let from_server = (self.way == Direction::Sent) == (self.history.role == Role::Server);
        let [client, server] =
            [Role::Client, Role::Server].map(|role| self.style.note(Note::End(role, false)));
        let (from, to) = if from_server { (server, client) } else { (client, server) };
        let arrow = self.style.glyphs().arrow;
        let amount = match self.axis.total {
            0 => self.style.note(Note::NoBytes),
            // Wider than a narrow picture.
            total if self.axis.total > 1 << 40 => format!("{} B", short(total)),
            total => bytes(total),
        };
        self.paper.blank(2);
        self.paper.put(Ink::Strong, &format!("{from} {arrow} {to}"));
        self.paper.blank(2);
        self.paper.put(Ink::Plain, &amount);
        self.paper.end_line();
    }

    /// The axis: numbers, and a tick under each.
    fn scale(&mut self) {
        let axis = self.axis;
        // A number needs about ten columns to breathe.
        let step = step(axis.total, (axis.columns / 10) as u64);
        let last = short(axis.total);
        self.paper.put_before(self.left - 1, Ink::Dim, "byte");
        let mut ticks = Vec::new();
        let mut offset = 0;
        while offset < axis.total {
            let column = axis.column(offset);
            let label = short(offset);
            // The end is always named; a number that would touch it gives way.
            if column + label.len() + 1 < axis.columns {
                self.paper.go_to(self.left + column);
                self.paper.put(Ink::Dim, &label);
                ticks.push(column);
            }
            offset = offset.saturating_add(step);
        }
        self.paper.go_to(self.left + axis.columns);
        self.paper.put(Ink::Dim, &last);
        ticks.push(axis.columns);
        self.paper.end_line();
        let tick = self.style.glyphs().tick.to_string();
        for column in ticks {
            self.paper.go_to(self.left + column);
            self.paper.put(Ink::Dim, &tick);
        }
        self.paper.end_line();
    }

    fn messages(&mut self, layers: &Layers<'_>, verb: fn(&str) -> Note<'_>) {
        let fold = &self.history.left_out.messages[index(self.way)];
        let count = self.history.totals.messages[index(self.way)].max(layers.messages.len() as u64);
        if count == 0 {
            return;
        }
        let meant = layers.messages.iter().map(|message| message.range.end).max().unwrap_or(0);
        let caption = match meant.saturating_sub(layers.total) {
            0 => self.first_that_fits([self.style.note(verb(&grouped(count))), short(count)]),
            missing => self.first_that_fits([
                self.style.note(Note::Missing(&grouped(count), &short(missing))),
                short(count),
            ]),
        };
        self.bar("message", Ink::Strong, &layers.messages, fold, false, caption);
    }

    fn calls(&mut self, layers: &Layers<'_>) {
        let fold = &self.history.left_out.calls[index(self.way)];
        let count = layers.calls.len() as u64 + fold.count;
        if count == 0 {
            return;
        }
        let is_file = |call: &Call| call.operation == Operation::SendFile;
        let files = layers.calls.iter().filter(|(call, _)| is_file(call)).count() as u64;
        let files = files + self.history.left_out.sendfiles;
        let name = match (self.way, files) {
            (Direction::Sent, files) if files == count && self.left > "sendfile()".len() => {
                "sendfile()"
            }
            (Direction::Sent, _) => "send()",
            (Direction::Received, _) => "recv()",
        };
        let plain = self.count(count, Noun::Call);
        let kinds = match self.way {
            Direction::Sent if files > 0 && files < count => {
                format!("{plain}{}", self.style.note(Note::OfThemSendfile(&grouped(files))))
            }
            _ => plain.clone(),
        };
        let caption = match fold.count {
            0 => {
                let when = self.when(&layers.calls);
                self.first_that_fits([
                    format!("{kinds}{when}"),
                    kinds,
                    format!("{plain}{when}"),
                    plain,
                ])
            }
            _ => self.average(self.first_that_fits([kinds, plain]), count, layers.total),
        };
        let intervals: Vec<Interval<'_>> = layers
            .calls
            .iter()
            .map(|(_, range)| Interval { range: range.clone(), label: None })
            .collect();
        self.bar(name, Ink::Call, &intervals, fold, false, caption);
    }

    /// Adds how many bytes each has on average, where they can't be seen one by one.
    fn average(&self, caption: String, count: u64, total: u64) -> String {
        let about = self.style.glyphs().about;
        let each = format!("{about}{}", short(total / count.max(1)));
        self.first_that_fits([format!("{caption}{}", self.style.note(Note::Each(&each))), caption])
    }

    /// So many, and of what if there is room for that.
    fn count(&self, count: u64, noun: Noun) -> String {
        let told = |number: &str| self.style.note(Note::Count(noun, number, count == 1));
        self.first_that_fits([told(&grouped(count)), told(&short(count)), short(count)])
    }

    /// The longest caption there is room for, of those that become shorter.
    fn first_that_fits<const N: usize>(&self, captions: [String; N]) -> String {
        let fits = |caption: &String| caption.width() + 2 <= self.right;
        let found = captions.iter().position(fits).unwrap_or(N - 1);
        captions.into_iter().nth(found).unwrap_or_default()
    }

    /// `, at 0.31 ms` for one call, `, in 0.31 ms` for more.
    fn when(&self, calls: &[(&Call, Range<u64>)]) -> String {
        let start = self.start;
        let first = calls.iter().map(|(call, _)| call.start).min().unwrap_or(start);
        let last = calls.iter().map(|(call, _)| call.end).max().unwrap_or(start);
        match (calls, self.way) {
            ([_], Direction::Received) => {
                self.style.note(Note::At(&millis(last.0.saturating_sub(start.0))))
            }
            ([_], Direction::Sent) => {
                self.style.note(Note::At(&millis(first.0.saturating_sub(start.0))))
            }
            _ => self.style.note(Note::Within(&millis(last.0.saturating_sub(first.0)))),
        }
    }

    fn segments(&mut self, layers: &Layers<'_>) {
        let fold = &self.history.left_out.data[index(self.way)];
        let count = layers.segments.len() as u64 + fold.count;
        if count == 0 {
            return;
        }
        let intervals: Vec<Interval<'_>> = layers
            .segments
            .iter()
            .map(|segment| Interval { range: segment.range.clone(), label: None })
            .collect();
        let mut caption = self.count(count, Noun::Segment);
        if fold.count > 0 {
            caption = self.average(caption, count, layers.total);
        }
        self.bar("segment", Ink::Plain, &intervals, fold, true, caption);
    }

    /// Segments whose bytes had gone by before, each a mark where its data begins.
    fn resent(&mut self, layers: &Layers<'_>) {
        if layers.resent.is_empty() {
            return;
        }
        let glyphs = self.style.glyphs();
        let mut bar = Bar::new(self.axis);
        for segment in &layers.resent {
            bar.mark(self.axis, segment.range.start, glyphs.again);
        }
        let count = layers.resent.len() as u64;
        // What came twice from another machine may have been sent once.
        let came = self.history.is_from_afar(self.way) && !self.history.neutral;
        let note = if came { Note::CameAgain(count) } else { Note::SentAgain(count) };
        let caption =
            self.first_that_fits([self.style.note(note), self.count(count, Noun::Segment)]);
        self.line("again", Ink::Warning, bar, caption);
    }

    /// Segments that never arrived, each a mark where its data begins.
    fn lost(&mut self, pair: &Pair, way: Direction) {
        let lost = pair.crossings.iter().filter(|crossing| {
            let segment = &crossing.segment;
            crossing.fate == Fate::Lost && segment.direction == way && !segment.range.is_empty()
        });
        let mut bar = Bar::new(self.axis);
        let mut count = 0;
        for crossing in lost {
            bar.mark(self.axis, crossing.segment.range.start, LOST);
            count += 1;
        }
        if count > 0 {
            let caption = self.first_that_fits([
                self.style.note(Note::LostOnTheWay(count)),
                self.style.note(Note::LostInShort(&short(count))),
            ]);
            self.line("lost", Ink::Warning, bar, caption);
        }
    }

    /// The segments as they came, where that is not as they left.
    fn arrived(&mut self, layers: &Layers<'_>) {
        let fold = &self.history.left_out.data[index(self.way)];
        let mut all: Vec<&Segment> =
            layers.segments.iter().chain(&layers.resent).copied().collect();
        all.sort_by_key(|segment| segment.range.start);
        let intervals: Vec<Interval<'_>> =
            all.iter().map(|s| Interval { range: s.range.clone(), label: None }).collect();
        let count = all.len() as u64 + fold.count;
        let caption = self.first_that_fits([
            self.style.note(Note::AsTheyCame(count)),
            self.count(count, Noun::Segment),
        ]);
        self.bar("arrived", Ink::Plain, &intervals, fold, true, caption);
    }

    fn acks(&mut self, layers: &Layers<'_>) {
        let fold = &self.history.left_out.acks[index(opposite(self.way))];
        let count = layers.acks.len() as u64 + fold.count;
        if count == 0 {
            return;
        }
        let glyphs = self.style.glyphs();
        let mut bar = Bar::new(self.axis);
        if fold.count > 0 {
            bar.crowd(self.axis, &fold.range, glyphs);
            self.crowded = true;
        }
        for offset in &layers.acks {
            bar.mark(self.axis, *offset, glyphs.ack);
        }
        let columns = if fold.count == 0 { shared(&bar, self.style) } else { String::new() };
        let caption = self.count(count, Noun::Ack);
        let caption = self.first_that_fits([format!("{caption}{columns}"), caption]);
        self.line("ack", Ink::Plain, bar, caption);
    }

    fn bar(
        &mut self,
        name: &str,
        ink: Ink,
        intervals: &[Interval<'_>],
        fold: &Fold,
        double: bool,
        caption: String,
    ) {
        let glyphs: &Glyphs = self.style.glyphs();
        let mut bar = Bar::new(self.axis);
        let line = if double { &glyphs.double } else { &glyphs.single };
        bar.intervals(self.axis, intervals, line, glyphs);
        self.crowded |= bar.is_crowded();
        if fold.count > 0 {
            bar.crowd(self.axis, &fold.range, glyphs);
            self.crowded = true;
        }
        self.line(name, ink, bar, caption);
    }

    fn line(&mut self, name: &str, ink: Ink, bar: Bar, caption: String) {
        self.paper.put_before(self.left - 1, ink, name);
        self.paper.go_to(self.left);
        self.paper.put(Ink::Plain, bar.into_string().trim_end());
        self.paper.go_to(self.left + self.axis.columns + 2);
        self.paper.put(Ink::Dim, &caption);
        self.paper.end_line();
    }

    fn note(&mut self) {
        if self.crowded {
            let dense = self.style.glyphs().dense;
            let note = self.style.note(Note::SeveralBorders);
            self.paper.go_to(self.left);
            self.paper.put(Ink::Dim, &format!("{dense} {note}"));
            self.paper.end_line();
        }
    }
}

/// Says in how many columns marks lie, if some share one.
fn shared(bar: &Bar, style: &Style) -> String {
    if !bar.is_crowded() {
        return String::new();
    }
    style.note(Note::InColumns(bar.columns_used()))
}
