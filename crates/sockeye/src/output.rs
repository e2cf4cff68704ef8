//! Where words go: results to standard output, everything else to standard error.

use std::fmt;
use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};

/// One line on standard error. That nobody reads it is no reason to fail.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// One line of result, at once.
pub(crate) fn result(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Whether standard error takes colour.
pub(crate) fn colour_on_stderr() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Columns of the terminal behind standard output, if it is one.
pub(crate) fn stdout_width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0)
}

/// Columns of the terminal behind standard error, if it is one.
pub(crate) fn stderr_width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| width.0)
}

/// Whether the locale says outright that it can't show what is beyond ASCII.
pub(crate) fn locale_is_ascii() -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    said.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        !locale.contains("utf-8") && !locale.contains("utf8")
    })
}
