//! The pictures of one connection, one at a time, and how far they are scrolled.

use sockeye_wire::escape;

use super::list::fitted;
use super::{Face, Scroll};
use crate::record::History;
use crate::view;
use crate::view::style::{Ink, Style};
use crate::words::screen::Screen;

/// A picture of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Time, from top to bottom.
    Ladder,
    /// Bytes, from left to right.
    Rulers,
    /// The verdict, and what was found.
    Findings,
}

impl Page {
    /// What is shown first.
    pub(super) const FIRST: Page = Page::Ladder;

    const ALL: [Page; 3] = [Page::Ladder, Page::Rulers, Page::Findings];

    pub(super) fn next(self) -> Page {
        match self {
            Page::Ladder => Page::Rulers,
            Page::Rulers => Page::Findings,
            Page::Findings => Page::Ladder,
        }
    }

    pub(super) fn before(self) -> Page {
        self.next().next()
    }

    fn text(self, history: &History, style: &Style) -> String {
        // Folded only where nobody would scroll so far.
        let style = Style { rows: 1000, ..style.clone() };
        match self {
            Page::Ladder => view::ladder(history, &style),
            Page::Rulers => view::rulers(history, &style),
            Page::Findings => view::findings(history, &style),
        }
    }
}

impl Face {
    pub(super) fn draw_page(&mut self, page: Page, style: &Style) -> Vec<String> {
        let mut lines = vec![self.page_title(page, style)];
        let Some(history) = &self.history else {
            let gone = match self.ended.iter().any(|ended| Some(ended.row.number) == self.selected)
            {
                true => Screen::LongGone,
                false => Screen::Waiting,
            };
            lines.push(fitted(Ink::Dim, &format!("  {}", style.screen(&gone)), style));
            return lines;
        };
        let text = if style.width < Style::NARROWEST {
            style.screen(&Screen::Takes(Style::NARROWEST))
        } else {
            page.text(history, style)
        };
        let picture: Vec<&str> = text.lines().collect();
        let last = picture.len().saturating_sub(self.height.max(1));
        let first = match self.scroll {
            Scroll::End => last,
            // One that stood at the end and was moved up: so far above it.
            Scroll::At(line) if line > usize::MAX / 2 => last.saturating_sub(usize::MAX - line),
            Scroll::At(line) => line.min(last),
        };
        if self.scroll != Scroll::End {
            self.scroll = Scroll::At(first);
        }
        lines.extend(picture.iter().skip(first).take(self.height.max(1)).map(|line| {
            match style.width {
                Style::NARROWEST.. => (*line).to_owned(),
                narrow => escape::fit(line, narrow, ""),
            }
        }));
        lines
    }

    fn page_title(&self, page: Page, style: &Style) -> String {
        let dot = style.glyphs().dot;
        let number = self.selected.unwrap_or(0);
        let pages = Page::ALL.map(|other| {
            let name = style.screen(&Screen::Page(other));
            if other == page { format!("[{name}]") } else { name }
        });
        let mut text = format!("#{number} {dot} {}", pages.join(" "));
        if let Some(row) = self.listed_or_not(number) {
            let [client, server] = &row.ends;
            text.push_str(&format!(" {dot} {client} {} {server}", style.glyphs().arrow));
        }
        fitted(Ink::Strong, &text, style)
    }

    fn listed_or_not(&self, number: u64) -> Option<&crate::recorder::Row> {
        let ended = self.ended.iter().map(|ended| &ended.row);
        self.open.iter().chain(ended).find(|row| row.number == number)
    }
}
