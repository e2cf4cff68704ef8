//! What is wrong with a written endpoint, and where.

use std::fmt;
use std::ops::Range;

use unicode_width::UnicodeWidthChar as _;

/// What is wrong with a written endpoint, where in it, and what to write instead.
///
/// Shown, it is a line that says what to do, and below it the text with the place marked:
///
/// ```text
/// 99999 is no port (0 to 65535); write tcp://HOST:PORT
/// tcp://127.0.0.1:99999
///                 ^^^^^ 99999 is no port (0 to 65535)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}; {way_out}\n{}", self.caret())]
pub struct EndpointError {
    text: String,
    /// In bytes of `text`, at the borders of characters.
    span: Range<usize>,
    cause: String,
    way_out: String,
}

impl EndpointError {
    pub(super) fn new(
        text: &str,
        span: Range<usize>,
        cause: impl Into<String>,
        way_out: impl Into<String>,
    ) -> EndpointError {
        EndpointError { text: text.into(), span, cause: cause.into(), way_out: way_out.into() }
    }

    /// Where in the text it is, in bytes; empty where something is missing.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What is wrong.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// One line: the text, what is wrong with it, and what to write instead.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{:?}: {}; {}", self.text, self.cause, self.way_out)
    }

    /// Two lines: the text, and below it what is wrong at the very place.
    #[must_use]
    pub fn caret(&self) -> String {
        let part = |range: Range<usize>| Shown(self.text.get(range).unwrap_or_default());
        let before = part(0..self.span.start).width();
        let under = part(self.span.clone()).width().max(1);
        let (gap, carets) = (" ".repeat(before), "^".repeat(under));
        format!("{}\n{gap}{carets} {}", Shown(&self.text), self.cause)
    }
}

/// Text of a user's on a terminal: one line, and nothing that the terminal would obey.
struct Shown<'a>(&'a str);

impl Shown<'_> {
    /// Columns.
    fn width(&self) -> usize {
        self.to_string().chars().map(|letter| letter.width().unwrap_or(0)).sum()
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if matches!(letter, '"' | '\'' | '\\') {
                write!(f, "{letter}")?;
            } else {
                write!(f, "{}", letter.escape_debug())?;
            }
        }
        Ok(())
    }
}
