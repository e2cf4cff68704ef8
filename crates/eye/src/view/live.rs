//! The live face: what is open and what ended lately as a list, and the pictures of one of them.
//!
//! A state machine without a terminal: keys and snapshots go in, lines of text come out. Whoever
//! has a terminal writes those lines to it.

mod list;
mod pages;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sockeye_engine::probe::Stamp;

use super::Style;
use crate::record::History;
use crate::recorder::{Row, Snapshot};
pub use pages::Page;

/// So many that have ended can still be looked at.
const ENDED_KEPT: usize = 32;

/// So many are in the list; of those before only the count is known.
const ENDED_LISTED: usize = 200;

/// What was said last is shown for so many looks.
const SAID_FOR: u32 = 50;

/// A key that the face knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the beginning.
    Home,
    /// To the end.
    End,
    /// Opens what is selected.
    Enter,
    /// Goes back.
    Escape,
    /// The next picture.
    Tab,
    /// The picture before.
    BackTab,
    /// Takes a letter away.
    Backspace,
    /// A letter.
    Letter(char),
}

/// Everything that is on the screen.
///
/// ```
/// use sockeye_eye::view::Style;
/// use sockeye_eye::view::live::{Face, Key};
///
/// let mut face = Face::new("127.0.0.1:8080");
/// let lines = face.draw(80, 24, &Style::default());
/// assert_eq!(lines.len(), 24);
/// assert!(lines[23].contains("q quit"));
/// face.key(Key::Letter('q'));
/// assert!(face.is_over());
/// ```
#[derive(Debug)]
pub struct Face {
    /// What is looked at, for the first line.
    of: String,
    open: Vec<Row>,
    more: u64,
    dropped: u64,
    ended: VecDeque<Ended>,
    ended_in_all: u64,
    rates: BTreeMap<u64, Rate>,
    now: Option<Stamp>,
    /// The number of the connection selected in the list.
    selected: Option<u64>,
    first_shown: usize,
    filter: String,
    typing: bool,
    paused: bool,
    over: bool,
    /// One is looked at: which of its pictures.
    page: Option<Page>,
    scroll: Scroll,
    history: Option<Arc<History>>,
    /// The lines on the screen in the last drawing, for keys that move by screens.
    height: usize,
    said: Option<(String, u32)>,
}

#[derive(Debug)]
struct Ended {
    row: Row,
    /// Of the last few.
    history: Option<Arc<History>>,
}

/// How fast bytes go by, from one look to the next.
#[derive(Clone, Copy, Debug)]
struct Rate {
    at: Stamp,
    bytes: u64,
    /// Bytes a second, averaged over some seconds.
    rate: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scroll {
    /// The first line shown.
    At(usize),
    /// The last line stays in sight.
    End,
}

impl Face {
    /// A face for what is called so.
    #[must_use]
    pub fn new(of: &str) -> Face {
        Face {
            of: of.to_owned(),
            open: Vec::new(),
            more: 0,
            dropped: 0,
            ended: VecDeque::new(),
            ended_in_all: 0,
            rates: BTreeMap::new(),
            now: None,
            selected: None,
            first_shown: 0,
            filter: String::new(),
            typing: false,
            paused: false,
            over: false,
            page: None,
            scroll: Scroll::At(0),
            history: None,
            height: 0,
            said: None,
        }
    }

    /// The number of the connection whose whole history is wanted with the next snapshot.
    #[must_use]
    pub fn wants(&self) -> Option<u64> {
        self.page.and(self.selected)
    }

    /// Whether it was asked to end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Takes in what is open now. Paused, it goes on showing what it showed.
    pub fn take(&mut self, snapshot: Snapshot) {
        self.count_down();
        if self.paused {
            return;
        }
        let Snapshot { at, rows, more, selected, dropped } = snapshot;
        if let Some(at) = at {
            self.measure(at, &rows);
        }
        (self.now, self.open, self.more, self.dropped) = (at, rows, more, dropped);
        if let Some(history) = selected
            && Some(history.number) == self.selected
        {
            self.history = Some(history.into());
        }
        self.keep_a_selection();
    }

    /// One has ended.
    pub fn ended(&mut self, history: Arc<History>) {
        self.ended_in_all += 1;
        self.open.retain(|row| row.number != history.number);
        self.rates.remove(&history.number);
        if self.selected == Some(history.number) && !self.paused {
            self.history = Some(Arc::clone(&history));
        }
        let row = Row::of_ended(&history);
        self.ended.push_front(Ended { row, history: Some(history) });
        self.ended.truncate(ENDED_LISTED);
        if let Some(oldest) = self.ended.get_mut(ENDED_KEPT) {
            oldest.history = None;
        }
        self.keep_a_selection();
    }

    /// Shows a line for a while.
    pub fn say(&mut self, line: &str) {
        self.said = Some((line.to_owned(), SAID_FOR));
    }

    /// A key was pressed.
    pub fn key(&mut self, key: Key) {
        match (self.typing, self.page) {
            (true, _) => self.type_filter(key),
            (false, None) => self.key_in_list(key),
            (false, Some(page)) => self.key_in_page(key, page),
        }
    }

    /// Draws it: exactly `lines` lines of at most `columns` columns each, without newlines. What
    /// style says of width and rows does not matter here.
    #[must_use]
    pub fn draw(&mut self, columns: usize, lines: usize, style: &Style) -> Vec<String> {
        let (columns, lines) = (columns.max(1), lines.max(1));
        let style = Style { width: columns, ..style.clone() };
        self.height = lines.saturating_sub(self.chrome());
        let mut drawn = match self.page {
            None => self.draw_list(&style),
            Some(page) => self.draw_page(page, &style),
        };
        drawn.resize(lines.saturating_sub(2).max(1), String::new());
        drawn.push(self.status(&style));
        drawn.push(self.keys(&style));
        // Where there is not even room for these, the first lines are those that are left.
        drawn.truncate(lines);
        drawn
    }

    /// Lines that are no rows of the list and no picture.
    fn chrome(&self) -> usize {
        if self.page.is_some() { 3 } else { 4 }
    }

    fn key_in_list(&mut self, key: Key) {
        let height = self.height.max(1);
        match key {
            Key::Up | Key::Letter('k') => self.select_by(-1),
            Key::Down | Key::Letter('j') => self.select_by(1),
            Key::PageUp => self.select_by(-signed(height)),
            Key::PageDown => self.select_by(signed(height)),
            Key::Home => self.select_by(isize::MIN),
            Key::End => self.select_by(isize::MAX),
            Key::Enter if self.selected.is_some() => {
                self.page = Some(Page::FIRST);
                self.scroll = Scroll::At(0);
                self.history = self.kept(self.selected);
            }
            Key::Letter('/') => self.typing = true,
            Key::Escape => self.filter.clear(),
            _ => self.key_anywhere(key),
        }
        self.keep_a_selection();
    }

    fn key_in_page(&mut self, key: Key, page: Page) {
        let by = |lines: usize, up: bool, scroll: Scroll| match (scroll, up) {
            (Scroll::At(line), true) => Scroll::At(line.saturating_sub(lines)),
            (Scroll::At(line), false) => Scroll::At(line.saturating_add(lines)),
            // Where the end is, drawing tells.
            (Scroll::End, true) => Scroll::At(usize::MAX - lines),
            (Scroll::End, false) => Scroll::End,
        };
        let height = self.height.max(1);
        match key {
            Key::Up | Key::Letter('k') => self.scroll = by(1, true, self.scroll),
            Key::Down | Key::Letter('j') => self.scroll = by(1, false, self.scroll),
            Key::PageUp => self.scroll = by(height, true, self.scroll),
            Key::PageDown | Key::Letter(' ') => self.scroll = by(height, false, self.scroll),
            Key::Home => self.scroll = Scroll::At(0),
            Key::End => self.scroll = Scroll::End,
            Key::Tab => (self.page, self.scroll) = (Some(page.next()), Scroll::At(0)),
            Key::BackTab => (self.page, self.scroll) = (Some(page.before()), Scroll::At(0)),
            Key::Escape | Key::Enter | Key::Backspace => (self.page, self.history) = (None, None),
            _ => self.key_anywhere(key),
        }
    }

    fn key_anywhere(&mut self, key: Key) {
        match key {
            Key::Letter('q') => self.over = true,
            Key::Letter('p') => self.paused = !self.paused,
            _ => {}
        }
    }

    fn type_filter(&mut self, key: Key) {
        /// Longer than any address.
        const LONGEST: usize = 60;
        match key {
            Key::Letter(letter) if self.filter.chars().count() < LONGEST => {
                self.filter.push(letter);
            }
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.typing = false;
                self.filter.clear();
            }
            _ => {}
        }
        self.keep_a_selection();
    }

    /// What is kept of one that has ended.
    fn kept(&self, number: Option<u64>) -> Option<Arc<History>> {
        let ended = self.ended.iter().find(|ended| Some(ended.row.number) == number)?;
        ended.history.clone()
    }

    /// The numbers of those in the list, in its order.
    fn listed(&self) -> impl Iterator<Item = &Row> {
        let ended = self.ended.iter().map(|ended| &ended.row);
        self.open.iter().chain(ended).filter(|row| self.passes(row))
    }

    fn passes(&self, row: &Row) -> bool {
        let filter = self.filter.to_lowercase();
        filter.is_empty() || list::searched(row).to_lowercase().contains(&filter)
    }

    fn select_by(&mut self, by: isize) {
        let numbers: Vec<u64> = self.listed().map(|row| row.number).collect();
        let place = numbers.iter().position(|number| Some(*number) == self.selected);
        let last = numbers.len().saturating_sub(1);
        let place = place.unwrap_or(0).saturating_add_signed(by).min(last);
        self.selected = numbers.get(place).copied();
    }

    /// Something is selected, if there is anything.
    fn keep_a_selection(&mut self) {
        // What is looked at stays so.
        if self.page.is_none() && !self.listed().any(|row| Some(row.number) == self.selected) {
            let first = self.listed().next().map(|row| row.number);
            self.selected = first;
        }
    }

    fn measure(&mut self, at: Stamp, rows: &[Row]) {
        /// Seconds over which a rate is averaged.
        const OVER: f64 = 2.0;
        let rates = rows.iter().map(|row| {
            let bytes = row.bytes[0].saturating_add(row.bytes[1]);
            let rate = match self.rates.get(&row.number) {
                Some(before) if at > before.at => {
                    let seconds = at.since(before.at).as_secs_f64();
                    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with 3 digits")]
                    let now = bytes.saturating_sub(before.bytes) as f64 / seconds;
                    let share = (seconds / OVER).min(1.0);
                    before.rate * (1.0 - share) + now * share
                }
                Some(before) => before.rate,
                None => 0.0,
            };
            (row.number, Rate { at, bytes, rate })
        });
        self.rates = rates.collect();
    }

    fn count_down(&mut self) {
        if let Some((_, left)) = &mut self.said {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.said = None;
            }
        }
    }
}

fn signed(count: usize) -> isize {
    isize::try_from(count).unwrap_or(isize::MAX)
}
