//! The two pictures of a connection and the words under them.

mod style;

use crate::record::History;
use crate::verdict;

pub use style::Style;

/// Everything there is to see of a connection: its ladder, a ruler for each direction, and its
/// verdict, each line ended by a newline.
///
/// Nothing a peer sent reaches the text unescaped, and no line is wider than the style allows.
#[must_use]
pub fn picture(history: &History, style: &Style) -> String {
    let mut out = String::new();
    out.push_str(&line(history, style));
    out
}

/// The verdict alone, on one line ended by a newline.
#[must_use]
pub fn line(history: &History, _style: &Style) -> String {
    let mut line = verdict::line(history);
    line.push('\n');
    line
}
