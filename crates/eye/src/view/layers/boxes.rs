//! Boxes in one another. Where there is little room they are open on the right.

use unicode_width::UnicodeWidthStr as _;

use super::super::paper::wrap;
use super::super::style::{Ink, Style};

/// Columns below which boxes are open on the right.
const OPEN_BELOW: usize = 72;

/// Columns that the bytes of a field take: a word of 32 bits a line, as RFCs draw headers.
const BYTES: usize = 11;

/// Columns ahead of a field's name: its place and its bytes.
const STARTS: usize = 4 + 2 + BYTES + 2;

/// Columns for what a field says below which its bytes stand on no line with it.
const ASIDE: usize = 22;

/// A box: a title in its upper edge, rows, a dump of bytes, boxes within, and notes.
#[derive(Debug, Default)]
pub(super) struct Boxed {
    /// What it is, in pieces.
    pub(super) title: Vec<Piece>,
    /// How large it is, at the right.
    pub(super) size: String,
    /// The fields of its header.
    pub(super) rows: Vec<Row>,
    /// Its bytes, to be shown as a whole where a field and its bytes have no room on one line.
    pub(super) header: (usize, Vec<u8>),
    /// Bytes, the first of which is at this place.
    pub(super) dump: Option<(usize, Vec<u8>)>,
    /// What it holds.
    pub(super) inner: Vec<Boxed>,
    /// What is to be said behind all of it.
    pub(super) notes: Vec<Piece>,
}

/// One field.
#[derive(Debug)]
pub(super) struct Row {
    /// The byte it begins in, if it was captured.
    pub(super) at: Option<usize>,
    /// Its bytes, or its bits of them, each on its own.
    pub(super) bytes: Vec<String>,
    pub(super) name: String,
    pub(super) value: String,
    /// What that means.
    pub(super) meaning: Piece,
}

/// How the fields of all boxes are set.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// Columns that the names of fields take.
    names: usize,
    /// A field and its bytes stand side by side.
    aside: bool,
    /// Boxes have no right edge.
    open: bool,
}

/// Text in one ink.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) ink: Ink,
    pub(super) text: String,
}

impl Default for Piece {
    fn default() -> Piece {
        Piece::plain("")
    }
}

impl Piece {
    pub(super) fn plain(text: impl Into<String>) -> Piece {
        Piece { ink: Ink::Plain, text: text.into() }
    }

    pub(super) fn strong(text: impl Into<String>) -> Piece {
        Piece { ink: Ink::Strong, text: text.into() }
    }

    pub(super) fn dim(text: impl Into<String>) -> Piece {
        Piece { ink: Ink::Dim, text: text.into() }
    }

    pub(super) fn state(text: impl Into<String>) -> Piece {
        Piece { ink: Ink::State, text: text.into() }
    }

    pub(super) fn warning(text: impl Into<String>) -> Piece {
        Piece { ink: Ink::Warning, text: text.into() }
    }
}

/// A line, its columns known before it is painted.
type Line = Vec<Piece>;

impl Boxed {
    /// As text.
    pub(super) fn draw(&self, style: &Style) -> String {
        let mut out = String::new();
        let open = style.columns() < OPEN_BELOW;
        let (names, deepest) = self.widest_name_and_depth();
        let edges = if open { 2 } else { 4 };
        let room = style.columns().saturating_sub(deepest * edges + STARTS + names + 2);
        let setting = Setting { names, aside: room >= ASIDE, open };
        for mut line in self.lines(style.columns(), setting, style) {
            // No blanks at a line's end.
            while let Some(last) = line.last_mut() {
                last.text.truncate(last.text.trim_end().len());
                if !last.text.is_empty() {
                    break;
                }
                line.pop();
            }
            for Piece { ink, text } in line.iter().filter(|piece| !piece.text.is_empty()) {
                out.push_str(&style.paint(*ink, text));
            }
            out.push('\n');
        }
        out
    }

    /// Of the fields, here and within, and how many boxes with fields lie in one another.
    fn widest_name_and_depth(&self) -> (usize, usize) {
        let own = self.rows.iter().map(|row| row.name.width()).max();
        let inner = self.inner.iter().map(Boxed::widest_name_and_depth);
        let (names, depth) = inner.fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
        match own {
            Some(own) => (names.max(own), depth + 1),
            None => (names, depth),
        }
    }

    fn lines(&self, width: usize, setting: Setting, style: &Style) -> Vec<Line> {
        let open = setting.open;
        let frame = Edges::of(style);
        let inside = width.saturating_sub(if open { 2 } else { 4 });
        let mut content = Vec::new();
        let (title, below) = self.title_within(inside, open, style);
        content.extend(below);
        if !setting.aside {
            let (at, bytes) = &self.header;
            content.extend(dump(*at, bytes, inside));
        }
        for row in &self.rows {
            content.extend(row.lines(inside, setting, style));
        }
        if let Some((at, bytes)) = &self.dump {
            content.extend(dump(*at, bytes, inside));
        }
        for boxed in &self.inner {
            content.extend(boxed.lines(inside, setting, style));
        }
        for note in &self.notes {
            let text = localized(&note.text, style);
            for text in wrap(&text, inside, inside) {
                content.push(vec![Piece { ink: note.ink, text }]);
            }
        }
        let mut lines = Vec::with_capacity(content.len() + 2);
        let dash = |columns: usize| frame.dash.to_string().repeat(columns);
        let mut top = vec![Piece::dim(format!("{}{} ", frame.upper_left, frame.dash))];
        let used = columns(&title) + 3;
        top.extend(title);
        if open {
            lines.push(top);
        } else {
            let size =
                if self.size.is_empty() { String::new() } else { format!(" {} ", self.size) };
            // The title has left room for it, or it stands on a line of its own.
            let size = if used + size.width() + 4 <= width { size } else { String::new() };
            let gap = width.saturating_sub(used + 3 + size.width());
            top.push(Piece::dim(format!(" {}", dash(gap))));
            top.push(Piece::plain(size));
            top.push(Piece::dim(format!("{}{}", frame.dash, frame.upper_right)));
            lines.push(top);
        }
        for line in content {
            let mut whole = vec![Piece::dim(format!("{} ", frame.side))];
            let gap = inside.saturating_sub(columns(&line));
            whole.extend(line);
            if !open {
                whole.push(Piece::dim(format!("{} {}", " ".repeat(gap), frame.side)));
            }
            lines.push(whole);
        }
        lines.push(match open {
            true => vec![Piece::dim(format!("{}{}", frame.lower_left, dash(1)))],
            false => vec![Piece::dim(format!(
                "{}{}{}",
                frame.lower_left,
                dash(width.saturating_sub(2)),
                frame.lower_right
            ))],
        });
        lines
    }

    /// What of the title goes into the edge, and what goes below it.
    fn title_within(&self, inside: usize, open: bool, style: &Style) -> (Line, Vec<Line>) {
        let dot = style.glyphs().dot;
        let mut edge: Line = Vec::new();
        let mut below = Vec::new();
        let mut rest: Line = Vec::new();
        for piece in &self.title {
            let mut next = edge.clone();
            if !next.is_empty() {
                next.push(Piece::dim(format!(" {dot} ")));
            }
            next.push(piece.clone());
            if rest.is_empty() && columns(&next) + 3 <= inside {
                edge = next;
            } else {
                rest.push(piece.clone());
            }
        }
        let size_fits = !open && columns(&edge) + self.size.width() + 8 <= inside + 4;
        if !size_fits && !self.size.is_empty() {
            rest.push(Piece::plain(self.size.clone()));
        }
        for piece in rest {
            for text in wrap(&localized(&piece.text, style), inside, inside) {
                below.push(vec![Piece { ink: piece.ink, text }]);
            }
        }
        (edge, below)
    }
}

impl Row {
    fn lines(&self, inside: usize, setting: Setting, style: &Style) -> Vec<Line> {
        let names = setting.names;
        let meaning = localized(&self.meaning.text, style);
        let at = self.at.map_or(String::new(), |at| at.to_string());
        if !setting.aside {
            // Value and meaning behind the name, the bytes below where they say more.
            let name = format!("{at:>4}  {}", self.name);
            let mut lines = Vec::new();
            let said = [self.value.as_str(), &meaning].into_iter().filter(|text| !text.is_empty());
            let said: Vec<&str> = said.collect();
            let said = said.join("  ");
            let room = inside.saturating_sub(8);
            let first = room.saturating_sub(name.width().saturating_sub(6));
            if said.is_empty() || name.width() + 2 + said.width() <= inside {
                lines.push(vec![Piece::dim(name), Piece::plain(format!("  {said}"))]);
            } else if first > 8 && self.value.width() + name.width() + 2 <= inside {
                lines.push(vec![Piece::dim(name), Piece::plain(format!("  {}", self.value))]);
                for text in wrap(&meaning, room, room) {
                    lines.push(vec![Piece {
                        ink: self.meaning.ink,
                        text: format!("        {text}"),
                    }]);
                }
            } else {
                lines.push(vec![Piece::dim(name)]);
                for text in wrap(&said, room, room) {
                    lines.push(vec![Piece {
                        ink: self.meaning.ink,
                        text: format!("        {text}"),
                    }]);
                }
            }
            return lines;
        }
        let bytes = filled(&self.bytes, BYTES);
        let room = inside.saturating_sub(STARTS + names + 2);
        let mut said: Vec<Line> = Vec::new();
        let whole = self.value.width() + 2 + meaning.width() <= room;
        match (self.value.is_empty(), meaning.is_empty()) {
            (true, true) => said.push(Vec::new()),
            (false, false) if whole => said.push(vec![
                Piece::plain(format!("{}  ", self.value)),
                Piece { ink: self.meaning.ink, text: meaning },
            ]),
            _ => {
                for (ink, text) in [(Ink::Plain, &self.value), (self.meaning.ink, &meaning)] {
                    if !text.is_empty() {
                        let lines = wrap(text, room, room).into_iter();
                        said.extend(lines.map(|text| vec![Piece { ink, text }]));
                    }
                }
            }
        }
        let count = bytes.len().max(said.len());
        let mut lines = Vec::with_capacity(count);
        for place in 0..count {
            let (at, name) = match place {
                0 => (at.as_str(), self.name.as_str()),
                _ => ("", ""),
            };
            let bytes = bytes.get(place).map_or("", String::as_str);
            let blanks = " ".repeat(names.saturating_sub(name.width()) + 2);
            let mut line = vec![
                Piece::dim(format!("{at:>4}  ")),
                Piece { ink: Ink::Call, text: format!("{bytes:<BYTES$}  ") },
                Piece::plain(format!("{name}{blanks}")),
            ];
            line.extend(said.get(place).cloned().unwrap_or_default());
            lines.push(line);
        }
        lines
    }
}

/// Bytes with what of them is printable, eight a line or sixteen.
fn dump(at: usize, bytes: &[u8], inside: usize) -> Vec<Line> {
    let each = if inside >= 6 + 16 * 3 + 2 + 16 { 16 } else { 8 };
    // Where even eight don't fit with their letters.
    let letters = inside >= 6 + each * 3 + 1 + each;
    let each = if inside < 6 + 8 * 3 { 4 } else { each };
    let mut lines = Vec::new();
    for (row, bytes) in bytes.chunks(each).enumerate() {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let digits = digits.join(" ");
        let at = at + row * each;
        let mut line = vec![
            Piece::dim(format!("{at:>4}  ")),
            Piece { ink: Ink::Call, text: format!("{digits:<width$}", width = each * 3) },
        ];
        if letters {
            let letter = |&byte: &u8| match byte {
                b' '..=b'~' => char::from(byte),
                _ => '.',
            };
            let text: String = bytes.iter().map(letter).collect();
            line.push(Piece::plain(format!(" {text}")));
        }
        lines.push(line);
    }
    lines
}

/// Puts as many pieces into each line as fit.
fn filled(pieces: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + piece.len() <= width => {
                line.push(' ');
                line.push_str(piece);
            }
            _ => lines.push(piece.clone()),
        }
    }
    lines
}

fn columns(line: &[Piece]) -> usize {
    line.iter().map(|piece| piece.text.width()).sum()
}

/// The dots of a text in the characters of this style.
fn localized(text: &str, style: &Style) -> String {
    match style.ascii {
        true => text.replace('·', style.glyphs().dot),
        false => text.to_owned(),
    }
}

/// What boxes are made of.
struct Edges {
    upper_left: char,
    upper_right: char,
    lower_left: char,
    lower_right: char,
    side: char,
    dash: char,
}

impl Edges {
    fn of(style: &Style) -> Edges {
        let [upper_left, upper_right, lower_left, lower_right] = match style.ascii {
            true => ['+'; 4],
            false => ['┌', '┐', '└', '┘'],
        };
        let glyphs = style.glyphs();
        let (side, dash) = (glyphs.lifeline, glyphs.dash);
        Edges { upper_left, upper_right, lower_left, lower_right, side, dash }
    }
}
