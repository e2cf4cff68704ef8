//! One recording: a picture for each connection and each socket in it.

use std::io::BufRead;

use anyhow::Context as _;
use sockeye_eye::recording::{Ended, Ending, Playback, ReadError, Reader};
use sockeye_eye::view::{self, Style};

use super::print;
use crate::output::say;

/// Draws what ended, and behind it what had not.
pub(super) fn draw(input: impl BufRead, name: &str, style: &Style) -> anyhow::Result<()> {
    let reader = Reader::new(input).with_context(|| name.to_owned())?;
    let mut playback = Playback::new(reader);
    let mut failed: Option<ReadError> = None;
    let mut drawn = false;
    for ended in &mut playback {
        let picture = match ended {
            Ok(Ended::Connection { history, .. }) => view::picture(&history, style),
            Ok(Ended::Datagrams(history)) => view::datagrams(&history, style),
            // What was open then comes behind it.
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        drawn = true;
        if !print(&picture)? {
            return Ok(());
        }
    }
    if let Some(error) = failed {
        return Err(error).with_context(|| name.to_owned());
    }
    match playback.ending() {
        Ending::Finished => {}
        Ending::Open => say(format_args!(
            "sockeye: {name}: the recording has no end: its program was killed, or runs still"
        )),
        Ending::Cut { line } => say(format_args!(
            "sockeye: {name}: line {line} is cut short; what came before it is drawn"
        )),
    }
    if !drawn {
        say(format_args!("sockeye: {name}: nothing in it that could be drawn"));
    }
    Ok(())
}
