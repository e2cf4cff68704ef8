//! A socket of datagrams: for each peer and direction its datagrams in a row, and a verdict.

use sockeye_engine::Address;
use sockeye_engine::probe::Direction;
use unicode_width::UnicodeWidthStr;

use super::paper::{Paper, wrap};
use super::scale::{bytes, counted, grouped, span};
use super::style::{Ink, Style};
use super::text::error_name;
use super::{named, ruled};
use crate::datagram::{DatagramHistory, Flow, Seen, Tally};

/// Everything there is to see of a socket.
pub(super) fn draw(history: &DatagramHistory, style: &Style) -> String {
    let name = format!("datagrams {} ", history.conn.0);
    let mut out = ruled(&name, &format!("{} ", named(&history.local)), style);
    for flow in &history.flows {
        out.push('\n');
        out.push_str(&row(flow, style));
    }
    for (tally, what) in history.other_flows.iter().zip(["from", "to"]) {
        if tally.count > 0 {
            out.push_str(&format!("\n  {what} other peers: {}\n", sum(tally)));
        }
    }
    out.push('\n');
    let verdict = line(history).replace('·', style.glyphs().dot);
    let lines = wrap(&verdict, style.columns() - 2, style.columns() - 7);
    for (place, line) in lines.iter().enumerate() {
        let indent = if place == 0 { 2 } else { 7 };
        out.push_str(&format!("{:indent$}{line}\n", ""));
    }
    out
}

/// The verdict, on one line without its end.
pub(super) fn line(history: &DatagramHistory) -> String {
    let kind = if history.local.ip().is_some() { "UDP" } else { "Unix" };
    let totals = [Direction::Received, Direction::Sent].map(|way| history.total(way));
    let moved = totals.iter().zip(["in", "out"]).filter(|(tally, _)| tally.count > 0);
    let mut parts: Vec<String> =
        moved.map(|(tally, way)| format!("{} {way}", sum(tally))).collect();
    if parts.is_empty() {
        parts.push(String::from("no datagram came or went"));
    }
    let Tally { truncated, cut, .. } = totals[0];
    if truncated > 0 {
        parts.push(format!("{} truncated, {} lost", grouped(truncated), bytes(cut)));
    }
    for &(errno, count) in &history.errors {
        let why = match errno {
            libc::ECONNREFUSED => ": nobody listens there",
            libc::EMSGSIZE => ": too long to be sent whole",
            _ => "",
        };
        parts.push(format!("{} failed with {}{why}", counted(count, "call"), error_name(errno)));
    }
    if history.other_errors > 0 {
        parts.push(format!("{} failed otherwise", counted(history.other_errors, "call")));
    }
    parts.extend(
        history
            .closed
            .map(|closed| format!("open for {}", span(closed.0.saturating_sub(history.opened.0)))),
    );
    if history.lost > 0 {
        parts.push(format!("the eye missed {}", counted(history.lost, "record")));
    }
    format!("{kind}  {}  {}", named(&history.local), parts.join(" · "))
}

/// A title, and the datagrams one after another on as many lines as they take, each line led by
/// the index of its first.
fn row(flow: &Flow, style: &Style) -> String {
    let glyphs = style.glyphs();
    let peer = flow.peer.as_ref().map_or_else(|| String::from("the peer"), Address::to_string);
    let (from, to) = match flow.direction {
        Direction::Received => (&*peer, "here"),
        Direction::Sent => ("here", &*peer),
    };
    let title = format!("{from} {} {to}  {}", glyphs.arrow, sum(&flow.tally));
    let mut out = String::new();
    for line in wrap(&title, style.columns() - 2, style.columns() - 2) {
        out.push_str(&format!("  {}\n", style.paint(Ink::Strong, &line)));
    }
    let kept = flow.latest.iter().filter(|seen| seen.result.is_ok()).count() as u64;
    let earlier = flow.tally.count - kept;
    if earlier > 0 {
        let text = format!("{} earlier", counted(earlier, "datagram"));
        out.push_str(&format!("{:INDEX$}{}\n", "", style.paint(Ink::Dim, &text)));
    }
    let mut paper = Paper::new(style);
    let mut column = None;
    for seen in &flow.latest {
        let cell = cell(seen, style);
        let width = cell.width();
        let place = match column {
            Some(column) if column + width <= style.columns() => column,
            before => {
                if before.is_some() {
                    paper.end_line();
                }
                paper.put_before(INDEX - 1, Ink::Dim, &format!("#{}", seen.index));
                paper.go_to(INDEX);
                INDEX
            }
        };
        let ink = match seen.result {
            Err(_) => Ink::Error,
            Ok(()) if seen.taken < seen.length => Ink::Warning,
            Ok(()) => Ink::Plain,
        };
        paper.put(ink, &cell);
        column = Some(place + width);
    }
    if column.is_some() {
        paper.end_line();
    }
    out + &paper.into_string()
}

/// Columns for an index and a blank.
const INDEX: usize = 11;

/// One datagram between its borders.
fn cell(seen: &Seen, style: &Style) -> String {
    let line = &style.glyphs().single;
    let what = match seen.result {
        Err(errno) => error_name(errno),
        Ok(()) if seen.taken < seen.length => {
            format!("{} of {}", grouped(seen.taken), grouped(seen.length))
        }
        Ok(()) => grouped(seen.length),
    };
    format!("{}{} {what} {}{}", line.first, line.fill, line.fill, line.last)
}

fn sum(tally: &Tally) -> String {
    format!("{}, {}", counted(tally.count, "datagram"), bytes(tally.bytes))
}
