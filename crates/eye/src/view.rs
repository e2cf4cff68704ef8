//! The two pictures of a connection and the words under them.

mod bar;
mod datagrams;
mod findings;
mod fold;
mod ladder;
mod layers;
pub mod live;
mod pair;
mod paper;
mod rows;
mod ruler;
pub(crate) mod scale;
mod style;
pub(crate) mod text;

use std::iter;

use sockeye_engine::probe::{Direction, Role};
use sockeye_engine::{Address, UnixAddress};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::datagram::DatagramHistory;
use crate::finding;
use crate::pair::{DatagramPair, Pair};
use crate::record::History;
use crate::verdict;
use crate::words::note::Note;
use paper::wrap;
use style::{Ink, NARROW};

pub use layers::{datagram_layers, layers};
pub use style::Style;

/// Everything there is to see of a connection: its ladder, a ruler for each direction, and its
/// verdict, each line ended by a newline.
///
/// Nothing a peer sent reaches the text unescaped, and no line is wider than the style allows;
/// where that is less than a picture needs, it is the verdict on one long line.
#[must_use]
pub fn picture(history: &History, style: &Style) -> String {
    if style.is_too_narrow() {
        return line(history, style);
    }
    let mut out = title(history, style);
    out.push('\n');
    if history.is_of_one_socket() {
        // There are no two ends to draw.
        out.push_str(&words(history, style));
        return shown(out, style);
    }
    out.push_str(&ladder::draw(history, style));
    out.push('\n');
    out.push_str(&both_rulers(history, style));
    out.push_str(&words(history, style));
    shown(out, style)
}

/// The ladder alone; nothing, where there is no room for it.
#[must_use]
pub fn ladder(history: &History, style: &Style) -> String {
    if style.is_too_narrow() || history.is_of_one_socket() {
        return String::new();
    }
    shown(ladder::draw(history, style), style)
}

/// The ruler of each direction alone; nothing, where there is no room for them.
#[must_use]
pub fn rulers(history: &History, style: &Style) -> String {
    if style.is_too_narrow() || history.is_of_one_socket() {
        return String::new();
    }
    shown(both_rulers(history, style), style)
}

/// The verdict and the findings alone.
#[must_use]
pub fn findings(history: &History, style: &Style) -> String {
    if style.is_too_narrow() {
        return line(history, style);
    }
    shown(words(history, style), style)
}

/// What stands below the pictures.
fn words(history: &History, style: &Style) -> String {
    let verdict = wrapped(&verdict::line_in(style.words(), history), style);
    verdict + &findings::draw(&finding::findings(history), style)
}

/// The rulers, each with an empty line behind it.
fn both_rulers(history: &History, style: &Style) -> String {
    // In the order of a question and its answer.
    let ways = match history.role {
        Role::Server => [Direction::Received, Direction::Sent],
        Role::Client => [Direction::Sent, Direction::Received],
    };
    // Asked for how many bytes went by, the kernel says nothing of their borders.
    let ways = ways.into_iter().filter(|_| history.captured || !history.neutral);
    ways.map(|way| ruler::draw(history, way, style) + "\n").collect()
}

/// One connection as both its ends saw it: the ladder with the calls of both, a ruler for each
/// direction from the message that was written to the one that was decoded, how far the clocks are
/// apart, and the verdict of each end. As [`picture`], the verdicts alone where there is no room.
#[must_use]
pub fn pair(pair: &Pair, style: &Style) -> String {
    if style.is_too_narrow() {
        return line(&pair.client, style) + &line(&pair.server, style);
    }
    shown(pair::draw(pair, style), style)
}

/// Everything there is to see of a socket of datagrams: for each peer and direction its datagrams
/// in a row, and a verdict. As [`picture`], it is the verdict alone where there is no room.
#[must_use]
pub fn datagrams(history: &DatagramHistory, style: &Style) -> String {
    if style.is_too_narrow() {
        return folded(&datagrams::line(history, style), 4, style);
    }
    let mut out = datagrams::draw(history, style);
    out.push_str(&findings::draw(&finding::findings_of_datagrams(history), style));
    shown(out, style)
}

/// Two sockets of datagrams that talked to each other: what each sent, and what became of it.
#[must_use]
pub fn datagram_pair(pair: &DatagramPair, style: &Style) -> String {
    if style.is_too_narrow() {
        return datagrams(&pair.one, style) + &datagrams(&pair.other, style);
    }
    shown(datagrams::draw_pair(pair, style), style)
}

/// The verdict alone, on one line ended by a newline; on several where [`Style::wraps`] and it takes them.
#[must_use]
pub fn line(history: &History, style: &Style) -> String {
    folded(&verdict::line_in(style.words(), history), 4, style)
}

/// A line with its end, and where [`Style::wraps`] the lines it takes, those behind the first indented by
/// so many columns.
///
/// ```
/// use sockeye_eye::view::{Style, folded};
///
/// let style = Style { width: 40, ..Style::default() };
/// let line = "FIN 10.0.0.1:4000 · they closed first · 3 B in, 4 B out";
/// assert_eq!(folded(line, 4, &style), format!("{line}\n"));
/// let style = Style { wraps: true, ..style };
/// assert_eq!(
///     folded(line, 4, &style),
///     "FIN 10.0.0.1:4000 · they closed first ·\n    3 B in, 4 B out\n"
/// );
/// ```
#[must_use]
pub fn folded(line: &str, indent: usize, style: &Style) -> String {
    let line = if style.ascii { line.replace('·', style.glyphs().dot) } else { line.to_owned() };
    if !style.wraps {
        return shown(line + "\n", style);
    }
    let columns = style.width.clamp(Style::NARROWEST / 2, Style::WIDEST);
    let lines = wrap(&line, columns, columns - indent.min(columns / 2));
    let indents = iter::once(0).chain(iter::repeat(indent));
    let text = lines.iter().zip(indents).map(|(line, indent)| format!("{:indent$}{line}\n", ""));
    shown(text.collect(), style)
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
        Role::Client => (&history.local, &history.peer),
        Role::Server => (&history.peer, &history.local),
    };
    let name = history.conn.map_or(String::new(), |conn| style.note(Note::Connection(conn.0)));
    let ends = format!("{} {} {} ", named(client), glyphs.arrow, named(server));
    ruled(&name, &ends, style)
}

/// A title across the picture: a name, and addresses, on lines of their own where need be.
fn ruled(name: &str, ends: &str, style: &Style) -> String {
    let glyphs = style.glyphs();
    let rule = |columns: usize| glyphs.double.fill.to_string().repeat(columns);
    let text = format!("{} {name}{ends}", rule(2));
    let (text, below) = match text.width() <= style.columns() {
        true => (text, String::new()),
        // The addresses have lines of their own then.
        false => (format!("{} {name}", rule(2)), ends.to_owned()),
    };
    let rest = style.columns().saturating_sub(text.width());
    let mut out = format!("{}\n", style.paint(Ink::Strong, &format!("{text}{}", rule(rest))));
    if !below.is_empty() {
        for line in wrap(&below, style.columns(), style.columns()) {
            out.push_str(&format!("{}\n", style.paint(Ink::Strong, &line)));
        }
    }
    out
}

/// A text on a line across the picture, or on several.
fn ruled_line(text: &str, style: &Style) -> String {
    let fill = style.glyphs().double.fill;
    let rule = |columns: usize| fill.to_string().repeat(columns);
    let room = style.columns().saturating_sub(4);
    let mut out = String::new();
    for (place, line) in wrap(text, room, room).iter().enumerate() {
        let line = match place {
            0 => format!("{} {}", rule(2), line.trim_end()),
            _ => format!("   {line}"),
        };
        let rest = match place {
            0 => style.columns().saturating_sub(line.width() + 1),
            _ => 0,
        };
        let fill = if rest > 0 { format!(" {}", rule(rest)) } else { String::new() };
        out.push_str(&style.paint(Ink::Strong, &format!("{line}{fill}")));
        out.push('\n');
    }
    out
}

/// The columns a text takes.
fn width_of(text: &str) -> usize {
    text.width()
}

/// An address, or a word for one without a name.
fn named(address: &Address) -> String {
    match address {
        Address::Unix(UnixAddress::Unnamed) => String::from("unnamed"),
        address => address.to_string(),
    }
}

/// A verdict on as many lines as it takes.
fn wrapped(line: &str, style: &Style) -> String {
    let indent = if style.columns() < NARROW { 4 } else { 7 };
    let line = line.replace('·', style.glyphs().dot);
    let line = if style.ascii { line.replace('±', "+-").replace("µs", "us") } else { line };
    let lines = wrap(&line, style.columns() - 2, style.columns() - indent);
    let indents = iter::once(2).chain(iter::repeat(indent));
    lines.iter().zip(indents).map(|(line, indent)| format!("{:indent$}{line}\n", "")).collect()
}
