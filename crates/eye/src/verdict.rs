//! One line on how a connection went.

use crate::record::History;

/// One line on how a connection went.
#[must_use]
pub fn line(history: &History) -> String {
    format!("{} ", history.peer)
}
