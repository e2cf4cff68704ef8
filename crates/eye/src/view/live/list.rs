//! The list of connections, and the lines around it.

use sockeye_wire::escape;
use unicode_width::UnicodeWidthStr as _;

use super::{Face, Scroll};
use crate::record::Loss;
use crate::recorder::Row;
use crate::verdict::How;
use crate::view::ladder::{name, shorter_name};
use crate::view::scale::short;
use crate::view::style::{Ink, Style};
use crate::words::screen::{Action, Heading, Screen};

/// One column of the list.
struct Column {
    title: Heading,
    cell: fn(&Face, &Row, &Style) -> String,
    to_the_right: bool,
}

/// From left to right; and in which order they give way, the first of all to the narrowest screen.
const COLUMNS: [Column; 9] = [
    Column { title: Heading::Number, cell: |_, row, _| row.number.to_string(), to_the_right: true },
    Column {
        title: Heading::Client,
        cell: |_, row, _| row.ends[0].to_string(),
        to_the_right: false,
    },
    Column {
        title: Heading::Server,
        cell: |_, row, _| row.ends[1].to_string(),
        to_the_right: false,
    },
    Column { title: Heading::States, cell: |_, row, _| states(row), to_the_right: false },
    Column { title: Heading::Sent, cell: |_, row, _| flow(row), to_the_right: true },
    Column { title: Heading::Rate, cell: |face, row, _| face.rate(row), to_the_right: true },
    Column { title: Heading::Age, cell: |face, row, _| face.age(row), to_the_right: true },
    Column { title: Heading::End, cell: |_, row, _| row.code.to_string(), to_the_right: false },
    Column { title: Heading::Found, cell: |_, row, _| found(row), to_the_right: true },
];
const GIVE_WAY: [usize; 6] = [2, 5, 6, 8, 3, 0];

/// Columns between two columns.
const GAP: usize = 2;

impl Face {
    pub(super) fn draw_list(&mut self, style: &Style) -> Vec<String> {
        let rows: Vec<&Row> = self.listed().collect();
        let place = rows.iter().position(|row| Some(row.number) == self.selected).unwrap_or(0);
        let height = self.height.max(1);
        let first = self.first_shown.min(rows.len().saturating_sub(height));
        let first = first.clamp((place + 1).saturating_sub(height), place);
        let shown = &rows[first..rows.len().min(first + height)];
        let mut lines = vec![self.title(style)];
        lines.extend(self.table(shown, style));
        if rows.is_empty() {
            let empty = match self.filter.is_empty() {
                true => Screen::NoConnection,
                false => Screen::NonePasses,
            };
            lines.push(fitted(Ink::Dim, &format!("  {}", style.screen(&empty)), style));
        }
        self.first_shown = first;
        lines
    }

    fn title(&self, style: &Style) -> String {
        let dot = style.glyphs().dot;
        let open = u64::try_from(self.open.len()).unwrap_or(u64::MAX).saturating_add(self.more);
        let mut text = style.screen(&Screen::Counts(open, self.ended_in_all));
        let rate: f64 = self.rates.values().map(|rate| rate.rate).sum();
        if rate >= 1.0 {
            text.push_str(&format!(" {dot} {} B/s", short(whole(rate))));
        }
        text.push_str(&format!(" {dot} {}", self.of));
        fitted(Ink::Strong, &text, style)
    }

    /// A line of titles, and one for each row.
    fn table(&self, rows: &[&Row], style: &Style) -> Vec<String> {
        let cells: Vec<Vec<String>> = COLUMNS
            .iter()
            .map(|column| rows.iter().map(|row| (column.cell)(self, row, style)).collect())
            .collect();
        let titles = COLUMNS.map(|column| style.screen(&Screen::Heading(column.title)));
        let mut widths: Vec<usize> = titles
            .iter()
            .zip(&cells)
            .map(|(title, cells)| {
                cells.iter().map(|cell| cell.width()).max().unwrap_or(0).max(title.width())
            })
            .collect();
        let all = |widths: &[usize]| -> usize {
            widths.iter().filter(|width| **width > 0).map(|width| width + GAP).sum()
        };
        for column in GIVE_WAY {
            if all(&widths) > style.width {
                widths[column] = 0;
            }
        }
        let surplus = all(&widths).saturating_sub(style.width);
        widths[1] = widths[1].saturating_sub(surplus);
        let line = |row: Option<usize>| {
            let mut line = String::new();
            for (place, column) in
                COLUMNS.iter().enumerate().filter(|(place, _)| widths[*place] > 0)
            {
                let text = row.map_or(&titles[place], |row| &cells[place][row]);
                let text = escape::fit(text, widths[place], style.glyphs().ellipsis);
                let blanks = " ".repeat(widths[place].saturating_sub(text.width()));
                let (before, behind) =
                    if column.to_the_right { (blanks.as_str(), "") } else { ("", blanks.as_str()) };
                line.push_str(&format!("{before}{text}{behind}{:GAP$}", ""));
            }
            line
        };
        let mut lines = vec![fitted(Ink::Dim, &format!(" {}", line(None)), style)];
        for (place, row) in rows.iter().enumerate() {
            let selected = Some(row.number) == self.selected;
            let sign = if selected { style.glyphs().to_right } else { ' ' };
            let ink = match row.code.how {
                _ if selected => Ink::Strong,
                How::Reset | How::Failed => Ink::Error,
                How::GaveUp => Ink::Warning,
                How::Fin => Ink::Dim,
                How::Unknown => Ink::Plain,
            };
            lines.push(fitted(ink, &format!("{sign}{}", line(Some(place))), style));
        }
        lines
    }

    fn rate(&self, row: &Row) -> String {
        match self.rates.get(&row.number).map(|rate| whole(rate.rate)) {
            Some(rate @ 1..) => short(rate),
            _ => String::from("-"),
        }
    }

    /// How long it has been seen, or was.
    fn age(&self, row: &Row) -> String {
        let Some((first, last)) = row.span else { return String::from("-") };
        let open = self.open.iter().any(|open| open.number == row.number);
        let until = if open { self.now.unwrap_or(last).max(last) } else { last };
        let seconds = until.since(first).as_secs();
        match seconds {
            0..100 => format!("{seconds}s"),
            100..6_000 => format!("{}m", seconds / 60),
            6_000..360_000 => format!("{}h", seconds / 3600),
            _ => format!("{}d", seconds / 86_400),
        }
    }

    /// The line above the keys.
    pub(super) fn status(&self, style: &Style) -> String {
        let dot = style.glyphs().dot;
        if self.typing {
            return fitted(Ink::Strong, &format!("/{}_", self.filter), style);
        }
        let mut parts = Vec::new();
        if self.paused {
            parts.push(style.screen(&Screen::Paused));
        }
        if !self.filter.is_empty() && self.page.is_none() {
            parts.push(style.screen(&Screen::Only(&self.filter)));
        }
        if let Some((said, _)) = &self.said {
            parts.push(said.clone());
        }
        if self.more > 0 {
            parts.push(style.screen(&Screen::MoreOpen(self.more)));
        }
        if self.dropped > 0 {
            let lost = Loss { packets: self.dropped, ..Loss::default() };
            parts.push(style.words().words().missed(&lost));
        }
        fitted(Ink::Warning, &parts.join(&format!(" {dot} ")), style)
    }

    /// The keys there are.
    pub(super) fn keys(&self, style: &Style) -> String {
        let arrows = if style.ascii { "Up/Down" } else { "↑↓" };
        let pause = ("p", if self.paused { Action::GoOn } else { Action::Pause });
        let quit = ("q", Action::Quit);
        let told = |keys: &[(&str, Action)]| -> String {
            let told = keys
                .iter()
                .map(|(key, does)| format!("{key} {}", style.screen(&Screen::Does(*does))));
            told.collect::<Vec<_>>().join("  ")
        };
        let (long, short) = match (self.typing, self.page) {
            (true, _) => (told(&[("Enter", Action::Keep), ("Esc", Action::Forget)]), String::new()),
            (false, None) => {
                let (open, filter) = (("Enter", Action::Open), ("/", Action::Filter));
                (
                    told(&[quit, (arrows, Action::Select), open, filter, pause]),
                    told(&[quit, open, filter, pause]),
                )
            }
            (false, Some(_)) => {
                let end = match self.scroll {
                    Scroll::End => ("Home", Action::Begin),
                    Scroll::At(_) => ("End", Action::Follow),
                };
                let (back, scroll) = (("Esc", Action::Back), (arrows, Action::Scroll));
                (
                    told(&[quit, back, ("Tab", Action::NextPicture), scroll, end, pause]),
                    told(&[quit, back, ("Tab", Action::Next), pause]),
                )
            }
        };
        let text = if long.width() <= style.width || short.is_empty() { long } else { short };
        fitted(Ink::Dim, &text, style)
    }
}

/// What a filter is looked for in.
pub(super) fn searched(row: &Row) -> String {
    let [client, server] = &row.ends;
    let names = row.states.map(|state| state.map_or("", |state| state.name()));
    format!("#{} {client} {server} {} {} {}", row.number, names[0], names[1], row.code)
}

/// A line of this text, cut where there is no room.
pub(super) fn fitted(ink: Ink, text: &str, style: &Style) -> String {
    let text = escape::fit(text.trim_end(), style.width, style.glyphs().ellipsis);
    let text = crate::view::shown(text, style);
    if text.is_empty() { text } else { style.paint(ink, &text) }
}

/// The state of both ends; one name, if they are in the same.
fn states(row: &Row) -> String {
    let short = |state: Option<_>| match state {
        Some(state) => shorter_name(state).unwrap_or(name(state, 0).0),
        None => "?",
    };
    let [client, server] = row.states.map(short);
    match client == server {
        true => client.to_owned(),
        false => format!("{client} {server}"),
    }
}

/// Bytes of the client, and of the server.
fn flow(row: &Row) -> String {
    let [client, server] = row.bytes.map(short);
    format!("{client}/{server}")
}

fn found(row: &Row) -> String {
    match row.found {
        0 => String::from("-"),
        found => found.to_string(),
    }
}

fn whole(rate: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
    #[expect(clippy::cast_sign_loss, reason = "no rate is below 0")]
    let whole = rate as u64;
    whole
}
