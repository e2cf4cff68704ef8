//! How pictures look: width, characters, colour.

use anstyle::{AnsiColor, Color};

use crate::words::Lang;
use crate::words::datagrams::Parcel;
use crate::words::note::Note;
use crate::words::screen::Screen;

/// How pictures look.
///
/// ```
/// use sockeye_eye::view::Style;
///
/// let style = Style { width: 120, ..Style::default() };
/// assert!(!style.colour && !style.ascii);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; pictures take between [`Style::NARROWEST`] and [`Style::WIDEST`]
    /// of them. With fewer there is the verdict alone.
    pub width: usize,
    /// Lines a ladder may have before like ones are folded together; 20 at least.
    pub rows: usize,
    /// Draw with ASCII characters alone; others in labels show as question marks.
    pub ascii: bool,
    /// Colour with ANSI sequences.
    pub colour: bool,
    /// The language of its words. Chinese needs more than ASCII: with [`Style::ascii`] it is English.
    pub lang: Lang,
    /// Break what is one line, a verdict alone, where the width ends; else it is one line, as grep(1)
    /// wants it.
    pub wraps: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style { width: 100, rows: 60, ascii: false, colour: false, lang: Lang::En, wraps: false }
    }
}

impl Style {
    /// The fewest columns a picture can be drawn in.
    pub const NARROWEST: usize = 40;

    /// The most a picture takes.
    pub const WIDEST: usize = 240;

    /// The width drawn in.
    pub(super) fn columns(&self) -> usize {
        self.width.clamp(Style::NARROWEST, Style::WIDEST)
    }

    /// The language its words are written in: English where [`Style::ascii`] leaves no other.
    #[must_use]
    pub fn words(&self) -> Lang {
        if self.ascii { Lang::En } else { self.lang }
    }

    /// A note in its language.
    pub(super) fn note(&self, note: Note<'_>) -> String {
        self.words().words().note(note)
    }

    /// What is said of datagrams in its language.
    pub(super) fn parcel(&self, parcel: &Parcel<'_>) -> String {
        self.words().words().parcel(parcel)
    }

    /// What the face says in its language.
    pub(super) fn screen(&self, screen: &Screen<'_>) -> String {
        self.words().words().screen(screen)
    }

    /// Whether there is not room for a picture.
    pub(super) fn is_too_narrow(&self) -> bool {
        self.width < Style::NARROWEST
    }

    pub(super) fn glyphs(&self) -> &'static Glyphs {
        if self.ascii { &ASCII } else { &UNICODE }
    }

    /// Wraps `text` in the sequences for `ink`, if there is to be colour.
    pub(super) fn paint(&self, ink: Ink, text: &str) -> String {
        let style = match ink {
            _ if !self.colour => return text.to_owned(),
            Ink::Plain => return text.to_owned(),
            Ink::Dim => anstyle::Style::new().dimmed(),
            Ink::Strong => anstyle::Style::new().bold(),
            Ink::Call => anstyle::Style::new().fg_color(Some(Color::Ansi(AnsiColor::Cyan))),
            Ink::State => anstyle::Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green))),
            Ink::Warning => anstyle::Style::new().fg_color(Some(Color::Ansi(AnsiColor::Yellow))),
            Ink::Error => anstyle::Style::new().fg_color(Some(Color::Ansi(AnsiColor::Red))).bold(),
        };
        format!("{style}{text}{style:#}")
    }
}

/// Columns below which pictures are drawn more tightly.
pub(super) const NARROW: usize = 80;

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Dim,
    Strong,
    Call,
    State,
    Warning,
    Error,
}

/// The characters pictures are made of.
pub(super) struct Glyphs {
    pub(super) lifeline: char,
    /// A lifeline while nothing happens, or while what happens is not drawn one by one.
    pub(super) idle: char,
    pub(super) dash: char,
    pub(super) to_right: char,
    pub(super) to_left: char,
    pub(super) ellipsis: &'static str,
    pub(super) dot: &'static str,
    pub(super) tick: char,
    pub(super) single: Line,
    pub(super) double: Line,
    pub(super) dotted: Line,
    /// More than one border in a column.
    pub(super) dense: char,
    pub(super) ack: char,
    pub(super) again: char,
    pub(super) arrow: &'static str,
    pub(super) about: &'static str,
}

/// The characters of a bar.
pub(super) struct Line {
    pub(super) fill: char,
    pub(super) first: char,
    pub(super) between: char,
    pub(super) last: char,
}

static UNICODE: Glyphs = Glyphs {
    lifeline: '│',
    idle: '┊',
    dash: '─',
    to_right: '▶',
    to_left: '◀',
    ellipsis: "…",
    dot: "·",
    tick: '╷',
    single: Line { fill: '─', first: '├', between: '┼', last: '┤' },
    double: Line { fill: '═', first: '╞', between: '╪', last: '╡' },
    dotted: Line { fill: '┄', first: '├', between: '┼', last: '┤' },
    dense: '▒',
    ack: '▲',
    again: '↻',
    arrow: "─▶",
    about: "≈",
};

static ASCII: Glyphs = Glyphs {
    lifeline: '|',
    idle: ':',
    dash: '-',
    to_right: '>',
    to_left: '<',
    ellipsis: "..",
    dot: "-",
    tick: '\'',
    single: Line { fill: '-', first: '|', between: '|', last: '|' },
    double: Line { fill: '=', first: '|', between: '|', last: '|' },
    dotted: Line { fill: '.', first: '|', between: '|', last: '|' },
    dense: '#',
    ack: '^',
    again: 'r',
    arrow: "->",
    about: "~",
};
