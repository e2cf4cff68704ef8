//! Lines of text whose columns are counted before they are coloured.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::style::{Ink, Style};

/// Breaks a text into lines of at most `width` columns, the first one of `first`: between its parts (` · `) if they fit into
/// a line, else behind commas, else between words, and words only where nothing else helps.
pub(super) fn wrap(text: &str, first: usize, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let borders = [" · ", " - ", "；", ", ", "，", " "];
    put_pieces(&mut lines, text, [first, width], &borders);
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Fills lines with the words of a sentence: the first line of `first` columns, the others of `width`.
pub(super) fn prose(text: &str, first: usize, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        put_pieces(&mut lines, word, [first, width], &[]);
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Adds `text`, or its pieces if it does not fit into a line of its own.
fn put_pieces(lines: &mut Vec<String>, text: &str, widths: [usize; 2], borders: &[&str]) {
    let room = if lines.len() == 1 { widths[0] } else { widths[1] };
    let Some(line) = lines.last_mut() else { return };
    if line.width() + text.trim_end().width() <= room {
        line.push_str(text);
        return;
    }
    let inseparable = inseparable(text);
    if text.trim_end().width() <= widths[1] && (!borders.is_empty() || inseparable.len() == 1) {
        lines.push(text.to_owned());
        return;
    }
    if let Some((border, rest)) = borders.split_first() {
        for piece in text.split_inclusive(border) {
            put_pieces(lines, piece, widths, rest);
        }
        return;
    }
    if inseparable.len() > 1 {
        for piece in inseparable {
            put_pieces(lines, piece, widths, &[]);
        }
        return;
    }
    for letter in text.chars() {
        put_pieces(lines, letter.encode_utf8(&mut [0; 4]), widths, &[]);
    }
}

/// Chinese is broken between any two characters, but no line begins with what closes a sentence or a
/// bracket, or ends with what opens one; a run of narrow letters stays together.
fn inseparable(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut before: Option<char> = None;
    for (place, letter) in text.char_indices() {
        let wide = |letter: char| letter.width().unwrap_or(0) > 1;
        let breaks = before.is_some_and(|before| {
            (wide(before) || wide(letter))
                && !"（".contains(before)
                && !"，。：；、）".contains(letter)
        });
        if breaks {
            pieces.push(&text[start..place]);
            start = place;
        }
        before = Some(letter);
    }
    pieces.push(&text[start..]);
    pieces
}

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
