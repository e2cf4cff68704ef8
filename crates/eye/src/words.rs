//! What the eye says, in the languages it speaks: one catalogue each, with the same sentences.
//!
//! Names of states, calls, flags, errors and options are those of RFC 9293 and the man pages in all
//! of them.

mod en;
mod zh;

use sockeye_engine::probe::Role;

use crate::finding::Finding;

/// A language the eye speaks.
///
/// ```
/// use sockeye_eye::words::Lang;
///
/// assert_eq!(Lang::of_locale("zh_CN.UTF-8"), Lang::Zh);
/// assert_eq!(Lang::of_locale("C"), Lang::En);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, in simplified characters.
    Zh,
}

impl Lang {
    /// All of them.
    pub const ALL: [Lang; 2] = [Lang::En, Lang::Zh];

    /// The language of a locale's name, as the variables of locale(7) hold it: Chinese for `zh` and
    /// `zh_…`, else English.
    #[must_use]
    pub fn of_locale(name: &str) -> Lang {
        match name.split(['_', '.', '@', '-']).next() {
            Some("zh") => Lang::Zh,
            _ => Lang::En,
        }
    }

    /// A finding in words.
    #[must_use]
    pub fn finding(self, finding: &Finding) -> Told {
        self.words().finding(finding)
    }

    /// Its catalogue.
    pub(crate) fn words(self) -> &'static dyn Words {
        match self {
            Lang::En => &en::English,
            Lang::Zh => &zh::Chinese,
        }
    }
}

/// A finding in words; each a sentence or less, and of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What was found, with its numbers.
    pub what: String,
    /// What caused it.
    pub cause: String,
    /// What can be done about it.
    pub cure: String,
}

/// A catalogue: everything that is said, as sentences with room for names and numbers.
pub(crate) trait Words {
    /// A finding.
    fn finding(&self, finding: &Finding) -> Told;
    /// So many findings more than there is room for.
    fn more_findings(&self, count: u64) -> String;
}

/// Who did it and who was at the other end; None where there are no such roles.
fn ends(finding: &Finding) -> Option<(Role, Role)> {
    finding.by.map(|by| (by, crate::timeline::other(by)))
}

#[cfg(test)]
mod tests;
