//! One row of a ruler: intervals of a byte axis as borders and fillings in columns.

use std::ops::Range;

use sockeye_wire::escape;
use unicode_width::UnicodeWidthChar;

use super::scale::short;
use super::style::{Glyphs, Line};

/// Where bytes lie in columns: offset 0 in the first, `total` in the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) total: u64,
    /// Columns between the first and the last.
    pub(super) columns: usize,
}

impl Axis {
    /// The column of a border, rounded to the nearest.
    pub(super) fn column(&self, offset: u64) -> usize {
        let total = u128::from(self.total.max(1));
        let columns = self.columns as u128;
        let column = (u128::from(offset.min(self.total)) * columns * 2 + total) / (total * 2);
        usize::try_from(column).unwrap_or(self.columns)
    }
}

/// An interval with what is written into it.
pub(super) struct Interval<'a> {
    pub(super) range: Range<u64>,
    /// A name; the length where there is none or no room for it.
    pub(super) label: Option<&'a str>,
}

/// A bar being put together.
pub(super) struct Bar {
    /// `None` where the character before takes two columns.
    cells: Vec<Option<char>>,
    /// Borders so far in each column, counting two that touch as one.
    borders: Vec<u64>,
    last_border: Option<u64>,
}

impl Bar {
    pub(super) fn new(axis: Axis) -> Bar {
        let cells = axis.columns + 1;
        Bar { cells: vec![Some(' '); cells], borders: vec![0; cells], last_border: None }
    }

    /// Draws intervals, sorted by their start, with borders, lengths and labels. One that goes
    /// on behind the axis ends in an arrow.
    pub(super) fn intervals(
        &mut self,
        axis: Axis,
        intervals: &[Interval<'_>],
        line: &Line,
        glyphs: &Glyphs,
    ) {
        for Interval { range, .. } in intervals {
            let (from, to) = (axis.column(range.start), axis.column(range.end));
            for cell in &mut self.cells[from..=to] {
                *cell = Some(line.fill);
            }
            self.border(axis, range.start);
            if range.end <= axis.total {
                self.border(axis, range.end);
            }
        }
        self.draw_borders(line, glyphs);
        if intervals.iter().any(|interval| interval.range.end > axis.total) {
            self.cells[axis.columns] = Some(glyphs.to_right);
        }
        for Interval { range, label } in intervals {
            let (from, to) = (axis.column(range.start), axis.column(range.end));
            if to > from + 1 {
                self.write(from + 1..to, *label, range.end - range.start, glyphs);
            }
        }
    }

    /// Fills a stretch in which so many borders lie that where is not known.
    pub(super) fn crowd(&mut self, axis: Axis, range: &Range<u64>, glyphs: &Glyphs) {
        let (from, to) = (axis.column(range.start), axis.column(range.end));
        for cell in &mut self.cells[from..=to] {
            *cell = Some(glyphs.dense);
        }
    }

    /// Puts a mark at an offset.
    pub(super) fn mark(&mut self, axis: Axis, offset: u64, mark: char) {
        let column = axis.column(offset);
        self.cells[column] = Some(mark);
        self.borders[column] += 1;
    }

    /// In how many columns there is a border or a mark.
    pub(super) fn columns_used(&self) -> u64 {
        self.borders.iter().filter(|borders| **borders > 0).count() as u64
    }

    /// Whether some column holds more than one.
    pub(super) fn is_crowded(&self) -> bool {
        self.borders.iter().any(|borders| *borders > 1)
    }

    pub(super) fn into_string(self) -> String {
        self.cells.into_iter().flatten().collect()
    }

    /// Intervals come in order, so a border met twice is met twice in a row.
    fn border(&mut self, axis: Axis, offset: u64) {
        if self.last_border != Some(offset) {
            self.borders[axis.column(offset)] += 1;
            self.last_border = Some(offset);
        }
    }

    fn draw_borders(&mut self, line: &Line, glyphs: &Glyphs) {
        let filled = |cell: Option<&Option<char>>| cell.is_some_and(|cell| *cell != Some(' '));
        for column in 0..self.cells.len() {
            if self.borders[column] == 0 {
                continue;
            }
            let before = column > 0 && filled(self.cells.get(column - 1));
            let after = filled(self.cells.get(column + 1));
            self.cells[column] = Some(match (before, after) {
                _ if self.borders[column] > 1 => glyphs.dense,
                (false, _) => line.first,
                (true, true) => line.between,
                (true, false) => line.last,
            });
        }
    }

    /// Writes a label into the middle of a filling, or the length if that is all there is room
    /// for.
    fn write(&mut self, room: Range<usize>, label: Option<&str>, length: u64, glyphs: &Glyphs) {
        const LABEL_MIN: usize = 6;
        let free = room.len();
        let label = label.filter(|label| {
            let width = escape::width(label);
            // A label looks best with its line visible on both sides, but rather that than none.
            width > 0 && (width <= free || free >= LABEL_MIN)
        });
        let text = match label {
            Some(label) => escape::fit(label, free, glyphs.ellipsis),
            None => short(length),
        };
        let width = escape::width(&text);
        if width > free {
            return;
        }
        let padded = if width + 2 <= free { format!(" {text} ") } else { text };
        let width = padded.chars().filter_map(UnicodeWidthChar::width).sum::<usize>();
        let mut column = room.start + (free - width) / 2;
        for character in padded.chars() {
            let wide = character.width().unwrap_or(0);
            self.cells[column] = Some(character);
            for covered in &mut self.cells[column + 1..column + wide.max(1)] {
                *covered = None;
            }
            column += wide;
        }
    }
}
