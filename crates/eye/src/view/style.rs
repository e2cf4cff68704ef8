//! How pictures look: width, characters, colour.

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
    /// Columns of the terminal; pictures take between 80 and 120 of them.
    pub width: usize,
    /// Lines a ladder may have before like ones are folded together.
    pub rows: usize,
    /// Draw with ASCII characters alone. Labels keep their own.
    pub ascii: bool,
    /// Colour with ANSI sequences.
    pub colour: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style { width: 100, rows: 60, ascii: false, colour: false }
    }
}
