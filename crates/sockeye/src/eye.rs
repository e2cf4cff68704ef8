//! Wiring the eye to a job.

use std::io;

use anyhow::Context as _;
use sockeye_eye::capture::Targets;
use sockeye_eye::recorder::{Eye, Options};
use sockeye_eye::view::Style;

use crate::args;
use crate::output::{self, say};

/// Opens the eye if it was asked for, and says what it can't see.
pub(crate) fn open<'a>(
    args: &args::Eye,
    targets: impl Into<Targets<'a>>,
) -> anyhow::Result<Option<Eye>> {
    if !args.eye {
        return Ok(None);
    }
    let style = Style {
        width: args.width.or_else(output::stderr_width).map_or(100, usize::from),
        ascii: args.ascii || output::locale_is_ascii(),
        colour: output::colour_on_stderr(),
        ..Style::default()
    };
    if style.width < Style::NARROWEST {
        say(format_args!(
            "eye: the terminal has {} columns and a picture takes {}: verdicts alone are shown; \
             --width draws all the same",
            style.width,
            Style::NARROWEST
        ));
    }
    let options = Options { style, out: Box::new(io::stderr()), capture: true };
    let eye = Eye::open(targets, options).context("--eye")?;
    if let Some(missing) = eye.missing() {
        say(format_args!("{missing}"));
    }
    Ok(Some(eye))
}
