//! Lines of text whose columns are counted before they are coloured.

use unicode_width::UnicodeWidthStr;

use super::style::{Ink, Style};

/// Grows line by line.
pub(super) struct Paper<'a> {
    style: &'a Style,
    out: String,
    column: usize,
    /// Blanks owed before the next ink; never written at a line's end.
    blanks: usize,
}

impl<'a> Paper<'a> {
    pub(super) fn new(style: &'a Style) -> Paper<'a> {
        Paper { style, out: String::new(), column: 0, blanks: 0 }
    }

    /// Writes text that holds no control characters.
    pub(super) fn put(&mut self, ink: Ink, text: &str) {
        if text.is_empty() {
            return;
        }
        for _ in 0..std::mem::take(&mut self.blanks) {
            self.out.push(' ');
        }
        self.column += text.width();
        self.out.push_str(&self.style.paint(ink, text));
    }

    pub(super) fn blank(&mut self, columns: usize) {
        self.blanks += columns;
        self.column += columns;
    }

    /// Moves on to a column, if it is not passed already.
    pub(super) fn go_to(&mut self, column: usize) {
        self.blank(column.saturating_sub(self.column));
    }

    /// Writes text so that it ends before `column`.
    pub(super) fn put_before(&mut self, column: usize, ink: Ink, text: &str) {
        self.go_to(column.saturating_sub(text.width()));
        self.put(ink, text);
    }

    pub(super) fn end_line(&mut self) {
        self.out.push('\n');
        self.column = 0;
        self.blanks = 0;
    }

    pub(super) fn into_string(self) -> String {
        self.out
    }
}
