//! What `sockeye watch` may be told.

use std::path::PathBuf;

use super::Drawing;

/// Draw what was recorded
///
/// FILE is a recording, as --record of the other commands makes it: every connection in it that ended is
/// drawn as the eye drew it, and behind them those that had not. What is no picture goes to standard
/// error.
///
/// Of two recordings, made at both ends of the same connections by two programs or on two machines, each
/// connection is drawn once, as both ends saw it: with the calls of both, what was lost between them, and
/// how far their clocks are apart. Their order makes no difference.
#[derive(clap::Args)]
pub(crate) struct Watch {
    /// The recording, or those of both ends; - reads standard input
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub(crate) what: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) drawing: Drawing,
}
