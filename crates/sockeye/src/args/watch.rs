//! What `sockeye watch` may be told.

use std::path::PathBuf;

use super::Drawing;

/// Draw what was recorded
///
/// FILE is a recording, as --record of the other commands makes it: every connection in it that ended is
/// drawn as the eye drew it, and behind them those that had not. What is no picture goes to standard
/// error.
#[derive(clap::Args)]
pub(crate) struct Watch {
    /// The recording; - reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) drawing: Drawing,
}
