//! A Markdown table whose columns also line up in a terminal.

use std::io::{self, Write};

/// Rows of text under headings; the first column is set left, the others right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { rows: vec![headings.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row; cells past the headings are dropped, missing ones stay empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let columns = self.rows[0].len();
        let mut row: Vec<String> = cells.into_iter().map(Into::into).take(columns).collect();
        row.resize(columns, String::new());
        self.rows.push(row);
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths: Vec<usize> = (0..self.rows[0].len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| row[column].chars().count());
                cells.max().unwrap_or(0).max(4)
            })
            .collect();
        for (index, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(out, "| {cell:<width$} ")?,
                    _ => write!(out, "| {cell:>width$} ")?,
                }
            }
            writeln!(out, "|")?;
            if index == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let rule = "-".repeat(width + 1);
                    let (start, end) = if column == 0 { ("-", "") } else { ("", ":") };
                    write!(out, "|{start}{rule}{end}")?;
                }
                writeln!(out, "|")?;
            }
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["server", "rate"]);
        table.row(["raw", "141.2 k [140–142]"]);
        table.row(["nginx"]);
        let mut out = Vec::new();
        table.write(&mut out).expect("a vector takes all");
        let text = String::from_utf8(out).expect("text");
        let expected = "\
| server |              rate |
|--------|------------------:|
| raw    | 141.2 k [140–142] |
| nginx  |                   |

";
        assert_eq!(text, expected);
    }
}
