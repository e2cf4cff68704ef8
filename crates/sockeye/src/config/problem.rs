//! What is wrong with a file of settings, and where.

use std::fmt;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sockeye_wire::escape::Escaped;

/// One line that names file, line and column, what is wrong, and a way out.
#[derive(Debug)]
pub(super) struct Problem {
    file: PathBuf,
    /// Both from 1.
    place: Option<(usize, usize)>,
    why: String,
}

impl Problem {
    /// Of the bytes `span` of the file's text.
    pub(super) fn at(
        file: &Path,
        text: &str,
        span: Range<usize>,
        why: impl fmt::Display,
    ) -> Problem {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Problem { file: file.to_owned(), place: Some((line, column)), why: why.to_string() }
    }

    /// Of the file as a whole.
    pub(super) fn whole(file: &Path, why: &impl fmt::Display) -> Problem {
        Problem { file: file.to_owned(), place: None, why: why.to_string() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.file.as_os_str().as_bytes()).fmt(f)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", Escaped(self.why.as_bytes()))
    }
}

/// What clap says, in one line and without the word that all begin with.
pub(super) fn told(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let told: Vec<&str> =
        lines.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    let told = told.join("; ").replace(":; ", ": ");
    told.strip_prefix("error: ").unwrap_or(&told).to_owned()
}
