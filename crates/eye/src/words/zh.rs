//! Chinese, in simplified characters.

mod findings;

use super::{Told, Words};
use crate::finding::Finding;
use crate::view::scale::grouped;

/// The catalogue.
pub(super) struct Chinese;

impl Words for Chinese {
    fn finding(&self, finding: &Finding) -> Told {
        findings::told(finding)
    }

    fn more_findings(&self, count: u64) -> String {
        format!("另有 {} 项发现", grouped(count))
    }
}
