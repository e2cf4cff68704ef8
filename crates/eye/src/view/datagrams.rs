//! A socket of datagrams: for each peer and direction its datagrams in a row, and a verdict.

use std::time::Duration;

use sockeye_engine::Address;
use sockeye_engine::probe::{Direction, Stamp};
use sockeye_wire::escape;
use unicode_width::UnicodeWidthStr;

use super::paper::{Paper, wrap};
use super::scale::{grouped, millis_fixed};
use super::style::{Ink, Style};
use super::text::error_name;
use super::{named, ruled, wrapped};
use crate::datagram::{DatagramHistory, Flow, Outcome, Seen, Tally};
use crate::pair::{DatagramFate, DatagramPair, End};
use crate::record::Loss;
use crate::words::datagrams::Parcel;
use crate::words::pair::Said;

/// Everything there is to see of a socket.
pub(super) fn draw(history: &DatagramHistory, style: &Style) -> String {
    let name = style.parcel(&Parcel::Socket(history.conn.0));
    let mut out = ruled(&name, &format!("{} ", named(&history.local)), style);
    let clock = Clock::of(history);
    for flow in &history.flows {
        out.push('\n');
        out.push_str(&row(flow, &clock, style));
    }
    if !history.flows.is_empty() {
        let note = sample(style) + &style.parcel(&Parcel::FirstInLine);
        for line in wrap(&note, style.columns() - TIME - 1, style.columns() - TIME - 1) {
            out.push_str(&format!("{:TIME$} {}\n", "", style.paint(Ink::Dim, &line)));
        }
    }
    for (tally, way) in history.other_flows.iter().zip([Direction::Received, Direction::Sent]) {
        if tally.count > 0 {
            out.push_str(&format!("\n  {}\n", style.parcel(&Parcel::Others(way, tally))));
        }
    }
    out.push('\n');
    let verdict = line(history, style).replace('·', style.glyphs().dot);
    let lines = wrap(&verdict, style.columns() - 2, style.columns() - 7);
    for (place, line) in lines.iter().enumerate() {
        let indent = if place == 0 { 2 } else { 7 };
        out.push_str(&format!("{:indent$}{line}\n", ""));
    }
    out
}

/// The verdict, on one line without its end.
pub(super) fn line(history: &DatagramHistory, style: &Style) -> String {
    let kind = if history.local.ip().is_some() { "UDP" } else { "Unix" };
    let totals = [Direction::Received, Direction::Sent].map(|way| (way, history.total(way)));
    let moved = totals.iter().filter(|(_, tally)| tally.count > 0);
    let mut parts: Vec<String> =
        moved.map(|(way, tally)| style.parcel(&Parcel::Moved(*way, tally))).collect();
    let mut tell = |parcel: Parcel<'_>| parts.push(style.parcel(&parcel));
    if totals.iter().all(|(_, tally)| tally.count == 0) {
        tell(Parcel::NothingMoved);
    }
    let Tally { truncated, cut, .. } = totals[0].1;
    if truncated > 0 {
        tell(Parcel::Truncated(truncated, cut));
    }
    if history.dropped > 0 {
        tell(Parcel::Dropped(history.dropped.into()));
    }
    history.errors.iter().for_each(|(errno, count)| tell(Parcel::Failed(*errno, *count)));
    history.reports.iter().for_each(|(errno, count)| tell(Parcel::Reported(*errno, *count)));
    if history.other_reports > 0 {
        tell(Parcel::OtherReports(history.other_reports));
    }
    if history.other_errors > 0 {
        tell(Parcel::OtherErrors(history.other_errors));
    }
    tell(match history.closed {
        Some(closed) => Parcel::OpenFor(closed.0.saturating_sub(history.opened.0)),
        None => Parcel::StillOpen,
    });
    if history.lost > 0 {
        let lost = Loss { calls: history.lost, ..Loss::default() };
        parts.push(style.words().words().missed(&lost));
    }
    format!("{kind}  {}  {}", named(&history.local), parts.join(" · "))
}

/// A cell, and what stands in it.
fn sample(style: &Style) -> String {
    let line = &style.glyphs().single;
    let what = style.parcel(&Parcel::Cell);
    format!("{}{} {what} {}{}", line.first, line.fill, line.fill, line.last)
}

/// Two sockets that talked to each other: what became of each datagram on its way.
pub(super) fn draw_pair(pair: &DatagramPair, style: &Style) -> String {
    // A socket may be at all addresses: whoever sent to it says which one it was.
    let [one, other] =
        [(End::Server, &pair.one), (End::Client, &pair.other)].map(|(from, socket)| {
            let to = pair.ways.iter().find(|way| way.sender == from);
            named(to.and_then(|way| way.sent.peer.as_ref()).unwrap_or(&socket.local))
        });
    let glyphs = style.glyphs();
    let mut out =
        ruled(&style.words().words().pair(&Said::BothEnds), &format!("{one}, {other} "), style);
    let to_one = |at: Stamp| pair.clocks.at_client(at);
    let opened = pair.one.opened.min(to_one(pair.other.opened));
    let latest = pair.ways.iter().filter_map(|way| {
        let at = way.sent.latest.back()?.at;
        Some(if way.sender == End::Client { at } else { to_one(at) })
    });
    let clock = Clock::since(opened, latest.max().unwrap_or(opened));
    for way in &pair.ways {
        let (from, to) = if way.sender == End::Client { (&one, &other) } else { (&other, &one) };
        let title = format!("{from} {} {to}  {}", glyphs.arrow, style.parcel(&Parcel::Way(way)));
        let told = way.sent.latest.iter().zip(&way.fates).map(|(seen, fate)| {
            let at = if way.sender == End::Client { seen.at } else { to_one(seen.at) };
            Told { at, seen, fate: Some(*fate) }
        });
        out.push('\n');
        out.push_str(&cells(&title, &way.sent, told.collect(), &clock, style));
    }
    let mut notes = vec![sample(style)];
    let fates: Vec<DatagramFate> =
        pair.ways.iter().flat_map(|way| way.fates.iter().copied()).collect();
    let any = |of: fn(&DatagramFate) -> bool| fates.iter().any(of);
    if any(|fate| *fate == DatagramFate::Lost) {
        notes.push(style.parcel(&Parcel::LegendOfLost));
    }
    if any(|fate| matches!(fate, DatagramFate::Arrived { times: 2.., .. })) {
        notes.push(style.parcel(&Parcel::LegendOfTwice));
    }
    if any(|fate| matches!(fate, DatagramFate::Arrived { late: true, .. })) {
        notes.push(style.parcel(&Parcel::LegendOfLate));
    }
    if any(|fate| *fate == DatagramFate::Unknown) {
        notes.push(style.parcel(&Parcel::LegendOfUnknown));
    }
    let notes = notes.join(&format!(" {} ", glyphs.dot));
    for line in wrap(&notes, style.columns() - TIME - 1, style.columns() - TIME - 1) {
        out.push_str(&format!("{:TIME$} {}\n", "", style.paint(Ink::Dim, &line)));
    }
    out.push('\n');
    let say = |said: Said<'_>| style.words().words().pair(&said);
    let clocks = say(Said::Clocks(&pair.clocks, Some(&other)));
    out.push_str(&wrapped(&format!("{}{clocks}", say(Said::OfClocks)), style));
    for socket in [&pair.one, &pair.other] {
        out.push_str(&wrapped(&line(socket, style), style));
    }
    out
}

/// One datagram in a row.
struct Told<'a> {
    /// By the clock that the picture goes by.
    at: Stamp,
    seen: &'a Seen,
    /// What became of it, where both ends are known.
    fate: Option<DatagramFate>,
}

/// All of a flow as its own end saw it.
fn row(flow: &Flow, clock: &Clock, style: &Style) -> String {
    let glyphs = style.glyphs();
    let say = |parcel: Parcel<'_>| style.parcel(&parcel);
    let peer = flow.peer.as_ref().map_or_else(|| say(Parcel::ThePeer), Address::to_string);
    let (from, to) = match flow.direction {
        Direction::Received => (peer, say(Parcel::Here)),
        Direction::Sent => (say(Parcel::Here), peer),
    };
    let title = format!("{from} {} {to}  {}", glyphs.arrow, say(Parcel::Sum(&flow.tally)));
    let told = flow.latest.iter().map(|seen| Told { at: seen.at, seen, fate: None });
    cells(&title, flow, told.collect(), clock, style)
}

/// A title, and the datagrams one after another on as many lines as they take. Each line is led by
/// the time and the index of its first, and whatever came more than [`TOGETHER`] later has another.
fn cells(title: &str, flow: &Flow, all: Vec<Told<'_>>, clock: &Clock, style: &Style) -> String {
    let mut out = String::new();
    for line in wrap(title, style.columns() - 2, style.columns() - 2) {
        out.push_str(&format!("  {}\n", style.paint(Ink::Strong, &line)));
    }
    let digits = flow.latest.back().map_or(1, |seen| seen.index.to_string().len());
    let index_ends = TIME + 1 + digits.max(4);
    let cells = index_ends + 1;
    let mut paper = Paper::new(style);
    paper.put_before(TIME, Ink::Dim, clock.unit());
    paper.put_before(index_ends, Ink::Dim, "#");
    let moved = |seen: &&Seen| matches!(seen.outcome, Outcome::Moved { .. });
    let earlier = flow.tally.count - flow.latest.iter().filter(moved).count() as u64;
    if earlier > 0 {
        paper.go_to(cells);
        paper.put(Ink::Dim, &style.parcel(&Parcel::Earlier(earlier)));
    }
    let mut line: Option<(Stamp, usize)> = None;
    for told in all {
        let Told { at, seen, fate } = told;
        let cell = cell(seen, fate, style.columns() - cells, style);
        let column = match line {
            Some((first, column))
                if column + cell.width() <= style.columns() && at.since(first) <= TOGETHER =>
            {
                column
            }
            _ => {
                paper.end_line();
                paper.put_before(TIME, Ink::Dim, &clock.time(at));
                paper.put_before(index_ends, Ink::Dim, &seen.index.to_string());
                paper.go_to(cells);
                line = Some((at, cells));
                cells
            }
        };
        let ink = match seen.outcome {
            _ if fate == Some(DatagramFate::Lost) => Ink::Error,
            _ if matches!(fate, Some(DatagramFate::Arrived { times: 2.., .. })) => Ink::Warning,
            _ if matches!(fate, Some(DatagramFate::Arrived { late: true, .. })) => Ink::Warning,
            Outcome::Failed(_) | Outcome::Reported(_) => Ink::Error,
            Outcome::Moved { length, taken } if taken < length => Ink::Warning,
            Outcome::Moved { .. } => Ink::Plain,
        };
        paper.put(ink, &cell);
        line = line.map(|(first, _)| (first, column + cell.width()));
    }
    paper.end_line();
    out + &paper.into_string()
}

/// Times end before this column.
const TIME: usize = 9;

/// Datagrams that follow one another within this share a line.
const TOGETHER: Duration = Duration::from_millis(1);

/// No label is wider than this.
const LABEL: usize = 32;

/// One datagram between its borders, in at most `width` columns: its length, what it is called, and
/// what became of it.
fn cell(seen: &Seen, fate: Option<DatagramFate>, width: usize, style: &Style) -> String {
    let line = &style.glyphs().single;
    let last = line.last;
    let end = match fate {
        Some(DatagramFate::Lost) => String::from("x"),
        Some(DatagramFate::Unknown) if matches!(seen.outcome, Outcome::Moved { .. }) => {
            String::from("?")
        }
        Some(DatagramFate::Arrived { times: times @ 2.., .. }) => format!("{last}x{times}"),
        _ => last.to_string(),
    };
    let late = matches!(fate, Some(DatagramFate::Arrived { late: true, .. }));
    let taken = match fate {
        Some(DatagramFate::Arrived { taken, .. }) => Some(taken),
        _ => None,
    };
    let mut what = match seen.outcome {
        Outcome::Moved { length, .. } if taken.is_some_and(|taken| taken < length) => {
            style.parcel(&Parcel::Of(taken.unwrap_or(0), length))
        }
        Outcome::Failed(errno) => error_name(errno),
        Outcome::Reported(errno) => style.parcel(&Parcel::Later(&error_name(errno))),
        Outcome::Moved { length, taken } if taken < length => {
            style.parcel(&Parcel::Of(taken, length))
        }
        Outcome::Moved { length, .. } => grouped(length),
    };
    if late {
        what = style.parcel(&Parcel::Late(&what));
    }
    let width = width.saturating_sub("├─  ─".width() + end.width());
    let ellipsis = style.glyphs().ellipsis;
    let room = width.saturating_sub(what.width() + ": ".len()).min(LABEL);
    if !seen.label.is_empty() && room > ellipsis.width() {
        what = format!("{what}: {}", escape::fit(&seen.label, room, ellipsis));
    }
    let what = escape::fit(&what, width, ellipsis);
    format!("{}{} {what} {}{end}", line.first, line.fill, line.fill)
}

/// Time since the socket was made.
struct Clock {
    start: Stamp,
    seconds: bool,
    decimals: u32,
}

impl Clock {
    fn of(history: &DatagramHistory) -> Clock {
        let latest = history.flows.iter().filter_map(|flow| flow.latest.back());
        let latest = latest.map(|seen| seen.at).max();
        Clock::since(history.opened, latest.unwrap_or(history.opened))
    }

    fn since(start: Stamp, latest: Stamp) -> Clock {
        let total = latest.since(start);
        let seconds = total >= Duration::from_secs(100);
        let decimals = match total.as_secs() {
            0 if total < Duration::from_millis(10) => 3,
            0..10 => 2,
            100..1000 => 3,
            _ => 1,
        };
        Clock { start, seconds, decimals }
    }

    fn unit(&self) -> &'static str {
        if self.seconds { "s" } else { "ms" }
    }

    fn time(&self, at: Stamp) -> String {
        let nanos = at.0.saturating_sub(self.start.0);
        millis_fixed(if self.seconds { nanos / 1000 } else { nanos }, self.decimals)
    }
}
