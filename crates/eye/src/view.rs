//! The two pictures of a connection and the words under them.

mod bar;
mod fold;
mod ladder;
mod paper;
mod rows;
mod ruler;
pub(crate) mod scale;
mod style;
pub(crate) mod text;

use sockeye_engine::probe::{Direction, Role};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::record::History;
use crate::verdict;
use style::Ink;

pub use style::Style;

/// Everything there is to see of a connection: its ladder, a ruler for each direction, and its
/// verdict, each line ended by a newline.
///
/// Nothing a peer sent reaches the text unescaped, and no line is wider than the style allows.
#[must_use]
pub fn picture(history: &History, style: &Style) -> String {
    let mut out = title(history, style);
    out.push('\n');
    out.push_str(&ladder::draw(history, style));
    // In the order of a question and its answer.
    let ways = match history.role {
        Role::Server => [Direction::Received, Direction::Sent],
        Role::Client => [Direction::Sent, Direction::Received],
    };
    for way in ways {
        out.push('\n');
        out.push_str(&ruler::draw(history, way, style));
    }
    out.push('\n');
    out.push_str(&wrapped(&verdict::line(history), style));
    shown(out, style)
}

/// The verdict alone, on one line ended by a newline.
#[must_use]
pub fn line(history: &History, style: &Style) -> String {
    let mut line = verdict::line(history);
    if style.ascii {
        line = line.replace('·', style.glyphs().dot);
    }
    line.push('\n');
    shown(line, style)
}

/// With ASCII alone, what labels have beyond it shows as question marks of the same width.
fn shown(text: String, style: &Style) -> String {
    if !style.ascii || text.is_ascii() {
        return text;
    }
    let marks = |letter: char| "?".repeat(letter.width().unwrap_or(0));
    text.chars()
        .map(|letter| match letter {
            _ if letter.is_ascii() => letter.to_string(),
            _ => marks(letter),
        })
        .collect()
}

/// Who talked to whom, on a line across the picture.
fn title(history: &History, style: &Style) -> String {
    let glyphs = style.glyphs();
    let (client, server) = match history.role {
        Role::Client => (history.local, history.peer),
        Role::Server => (history.peer, history.local),
    };
    let name = history.conn.map_or(String::new(), |conn| format!("connection {} ", conn.0));
    let rule = |columns: usize| glyphs.double.fill.to_string().repeat(columns);
    let text = format!("{} {name}{client} {} {server} ", rule(2), glyphs.arrow);
    let rest = style.columns().saturating_sub(text.width());
    format!("{}\n", style.paint(Ink::Strong, &format!("{text}{}", rule(rest))))
}

/// Breaks a verdict where it is too long for one line: between its parts if they fit into lines
/// of their own, else between words.
fn wrapped(line: &str, style: &Style) -> String {
    const INDENT: usize = 7;
    let dot = style.glyphs().dot;
    let mut out = String::from("  ");
    let mut column = 2;
    for (index, part) in line.split(" · ").enumerate() {
        if index > 0 {
            out.push_str(&format!(" {dot}"));
            column += 2;
        }
        // Room for the dot that may follow.
        let fits = |column: usize, text: &str| column + 1 + text.width() + 2 <= style.columns();
        let keep_whole = fits(INDENT, part);
        if index > 0 && keep_whole && !fits(column, part) {
            out.push_str(&format!("\n{:1$}", "", INDENT - 1));
            column = INDENT - 1;
        }
        for (place, word) in part.split(' ').enumerate() {
            if !keep_whole && !fits(column, word) {
                out.push_str(&format!("\n{:1$}", "", INDENT - 1));
                column = INDENT - 1;
            }
            if index + place > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += word.width();
        }
    }
    out.push('\n');
    out
}
