//! Where words go: results to standard output, everything else to standard error.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anyhow::Context as _;
use rustix::fs::fstat;
use sockeye_eye::words::Lang;

/// What a terminal shows of standard output ends within a line.
static WITHIN_LINE: AtomicBool = AtomicBool::new(false);

/// Notes what a terminal shows of standard output.
pub(crate) fn shown(bytes: &[u8]) {
    if let Some(last) = bytes.last() {
        WITHIN_LINE.store(*last != b'\n', Ordering::Relaxed);
    }
}

/// One line on standard error, and on a terminal not behind what standard output shows there. That
/// nobody reads it is no reason to fail.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    if let Some(held) = &mut *HELD.lock().unwrap_or_else(PoisonError::into_inner) {
        held.count += 1;
        if held.lines.len() == HELD_MOST {
            held.lines.pop_front();
        }
        held.lines.push_back(line.to_string());
        return;
    }
    write_line(line);
}

/// Lines that wait for the terminal.
struct Held {
    lines: VecDeque<String>,
    /// How many there were.
    count: u64,
}

/// Where they wait, as long as something else has the terminal.
static HELD: Mutex<Option<Held>> = Mutex::new(None);

/// Of more lines than these, the oldest are not said.
const HELD_MOST: usize = 200;

/// From now on, what is said waits until [`release`].
pub(crate) fn hold() {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.get_or_insert_with(|| Held { lines: VecDeque::new(), count: 0 });
}

/// How many lines were said since [`hold`], and the last one.
pub(crate) fn held() -> Option<(u64, String)> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.as_ref().and_then(|held| Some((held.count, held.lines.back()?.clone())))
}

/// Says what waited.
pub(crate) fn release() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    for line in held.into_iter().flat_map(|held| held.lines) {
        write_line(format_args!("{line}"));
    }
}

fn write_line(line: fmt::Arguments<'_>) {
    let mut err = io::stderr().lock();
    if WITHIN_LINE.load(Ordering::Relaxed) && both_on_one_terminal() {
        WITHIN_LINE.store(false, Ordering::Relaxed);
        let _ = writeln!(err);
    }
    // With one call: others, who write the log, write there too.
    let _ = err.write_all(format!("{line}\n").as_bytes());
}

fn both_on_one_terminal() -> bool {
    let (out, err) = (io::stdout(), io::stderr());
    let same = match (fstat(&out), fstat(&err)) {
        (Ok(out), Ok(err)) => out.st_rdev == err.st_rdev,
        _ => false,
    };
    same && out.is_terminal() && err.is_terminal()
}

/// One line of result, at once.
pub(crate) fn result(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// All that a command has to tell. That somebody reads the beginning only is no failure.
pub(crate) fn page(text: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("write standard output")
        }
        _ => Ok(()),
    }
}

/// Fails where there is no standard output, before anything comes that would be lost.
pub(crate) fn is_open() -> anyhow::Result<()> {
    if !sockeye_engine::stdout_was_open() {
        anyhow::bail!(
            "standard output is closed, and what comes would be lost (if it is to be: >/dev/null)"
        );
    }
    Ok(())
}

/// Whether standard error takes colour.
pub(crate) fn colour_on_stderr() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Whether standard output takes colour.
pub(crate) fn colour_on_stdout() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Columns of the terminal behind standard output, if it is one.
pub(crate) fn stdout_width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0)
}

/// Columns of the terminal behind standard error, if it is one.
pub(crate) fn stderr_width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| width.0)
}

/// The language the locale asks for messages in.
pub(crate) fn locale_lang() -> Lang {
    let said = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    Lang::of_locale(&said.unwrap_or_default())
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
