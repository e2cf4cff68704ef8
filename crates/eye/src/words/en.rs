//! English.

mod findings;

use super::{Told, Words};
use crate::finding::Finding;
use crate::view::scale::counted;

/// The catalogue.
pub(super) struct English;

impl Words for English {
    fn finding(&self, finding: &Finding) -> Told {
        findings::told(finding)
    }

    fn more_findings(&self, count: u64) -> String {
        counted(count, "more finding")
    }
}
