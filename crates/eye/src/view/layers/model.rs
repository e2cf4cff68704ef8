//! Both models side by side, and what each layer holds of a unit.

use sockeye_wire::layers::{Layer, Protocol, Stop};

use super::super::paper::{Paper, wrap};
use super::super::style::{Ink, NARROW};
use super::super::width_of;
use super::{Sight, payload};
use crate::view::scale::grouped;

/// One layer.
struct Row {
    five: String,
    osi: String,
    unit: String,
    header: String,
    payload: String,
    said: String,
    /// It goes without saying where there is little room.
    minor: bool,
    ink: Ink,
}

/// The table, from the application down to the wire.
pub(super) fn draw(seen: &Sight<'_>) -> String {
    let style = seen.style;
    let words = seen.words;
    let rows = rows(seen);
    let widest = |of: fn(&Row) -> &str, title: &str| {
        rows.iter().map(|row| width_of(of(row))).max().unwrap_or(0).max(width_of(title))
    };
    // With little room, layers of OSI that are called as those of the five have their number alone.
    let brief = style.columns() < NARROW;
    let osi = match brief {
        true => width_of(words.osi),
        false => widest(|row| &row.osi, words.osi),
    };
    let widths = [
        widest(|row| &row.five, words.five_layers),
        osi,
        widest(|row| &row.unit, words.unit_column),
        widest(|row| &row.header, words.header_column),
        widest(|row| &row.payload, words.payload_column),
    ];
    let all = widths.iter().sum::<usize>();
    let gap = if 2 + all + 4 * 2 <= style.columns() { 2 } else { 1 };
    let mut starts = [if gap == 2 { 2 } else { 0 }; 5];
    for column in 1..5 {
        starts[column] = starts[column - 1] + widths[column - 1] + gap;
    }
    // Room for what is said, or it has lines of its own.
    let aside = starts[4] + widths[4] + 2;
    let aside = (aside + 16 <= style.columns()).then_some(aside);
    let mut paper = Paper::new(style);
    let mut put = |row: &Row, ink: Ink| {
        paper.go_to(starts[0]);
        paper.put(ink, &row.five);
        paper.go_to(starts[1]);
        let (digit, name) = row.osi.split_once(' ').unwrap_or((&row.osi, ""));
        paper.put(ink, if brief { digit } else { &row.osi });
        // What of OSI has no layer of its own beside it is named in words.
        let said = match brief && row.five.is_empty() {
            true => format!("{name}: {}", row.said),
            false => row.said.clone(),
        };
        if !row.unit.is_empty() {
            paper.go_to(starts[2]);
            paper.put(if ink == Ink::Plain { Ink::Strong } else { ink }, &row.unit);
        }
        for (column, number) in [(3, &row.header), (4, &row.payload)] {
            if !number.is_empty() {
                paper.put_before(starts[column] + widths[column], ink, number);
            }
        }
        let indent = if row.five.is_empty() { starts[2] } else { 4 };
        let (start, first) = match aside {
            Some(start) => (start, true),
            // A row with nothing but what is said has room for it.
            None if brief && row.five.is_empty() => (indent, true),
            None => (indent, false),
        };
        if said.is_empty() || (row.minor && aside.is_none()) {
            return paper.end_line();
        }
        let room = style.columns().saturating_sub(start);
        for (place, line) in wrap(&said, room, room).iter().enumerate() {
            if place > 0 || !first {
                paper.end_line();
            }
            paper.go_to(start);
            paper.put(row.ink, line);
        }
        paper.end_line();
    };
    let titles = Row {
        five: words.five_layers.to_owned(),
        osi: words.osi.to_owned(),
        unit: words.unit_column.to_owned(),
        header: words.header_column.to_owned(),
        payload: words.payload_column.to_owned(),
        said: String::new(),
        minor: true,
        ink: Ink::Dim,
    };
    put(&titles, Ink::Dim);
    for row in &rows {
        put(row, Ink::Plain);
    }
    paper.into_string()
}

fn rows(seen: &Sight<'_>) -> Vec<Row> {
    let words = seen.words;
    let name = |layer: Layer, number: u8| format!("{number} {}", (words.layer)(layer));
    let number = |count: usize| grouped(count as u64);
    let mut rows = Vec::new();
    let application = Layer::Application;
    let transported = seen.unit.pdu(Layer::Transport).is_some();
    let of_tcp = seen.unit.pdus.iter().any(|pdu| pdu.protocol == Protocol::Tcp);
    let no_session = if of_tcp { words.no_session } else { words.no_session_of_datagrams };
    if transported && seen.unit.payload_length > 0 && seen.unit.stop != Stop::Cut {
        rows.push(Row {
            five: name(application, application.number()),
            osi: name(application, application.osi()),
            unit: words.message.to_owned(),
            header: String::new(),
            payload: number(seen.unit.payload_length),
            said: payload::first_label(seen).unwrap_or_default(),
            minor: false,
            ink: Ink::Plain,
        });
        for (osi, said) in [
            (format!("6 {}", words.presentation), words.no_presentation),
            (format!("5 {}", words.session), no_session),
        ] {
            rows.push(Row {
                five: String::new(),
                osi,
                unit: String::new(),
                header: String::new(),
                payload: String::new(),
                said: said.to_owned(),
                minor: false,
                ink: Ink::Dim,
            });
        }
    }
    for pdu in seen.unit.pdus.iter().rev() {
        let layer = pdu.protocol.layer();
        rows.push(Row {
            five: name(layer, layer.number()),
            osi: name(layer, layer.osi()),
            unit: (words.unit)(pdu.protocol).to_owned(),
            header: number(pdu.header.len()),
            payload: if seen.is_cut(pdu) { String::new() } else { number(pdu.payload_length) },
            said: pdu.protocol.name().to_owned(),
            minor: true,
            ink: Ink::Plain,
        });
    }
    if seen.unit.pdu(Layer::Link).is_none() {
        let said = words.not_captured.to_owned();
        rows.push(bare(seen, Layer::Link, (words.unit)(Protocol::Ethernet), said));
    }
    let said = match seen.is_of_loopback() {
        true => words.physical_of_loopback,
        false => words.physical_not_captured,
    };
    rows.push(bare(seen, Layer::Physical, words.bits, said.to_owned()));
    rows
}

/// A layer of which there is nothing but its name and what is said of it.
fn bare(seen: &Sight<'_>, layer: Layer, unit: &str, said: String) -> Row {
    let name = (seen.words.layer)(layer);
    Row {
        five: format!("{} {name}", layer.number()),
        osi: format!("{} {name}", layer.osi()),
        unit: unit.to_owned(),
        header: String::new(),
        payload: String::new(),
        said,
        minor: false,
        ink: Ink::Dim,
    }
}
