//! What the eye says, in the languages it speaks: one catalogue each, with the same sentences.
//!
//! Names of states, calls, flags, errors and options are those of RFC 9293 and the man pages in all
//! of them.

pub(crate) mod datagrams;
mod en;
pub(crate) mod lack;
pub(crate) mod note;
pub(crate) mod pair;
pub(crate) mod screen;
pub(crate) mod verdict;
mod zh;

use sockeye_engine::probe::Role;

use crate::finding::Finding;
use crate::record::Loss;
use datagrams::Parcel;
use lack::Lack;
use note::Note;
use pair::Said;
use screen::Screen;
use verdict::{Ending, Rest, Share, Since};

pub(crate) mod layers;

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
    /// What stands beside a picture or below it.
    fn note(&self, note: Note<'_>) -> String;
    /// What stands around the picture of two ends.
    fn pair(&self, said: &Said<'_>) -> String;
    /// A part of a picture of datagrams, or of their verdict.
    fn parcel(&self, parcel: &Parcel<'_>) -> String;
    /// What the live face says.
    fn screen(&self, screen: &Screen<'_>) -> String;
    /// What can't be seen, and what helps.
    fn lack(&self, lack: &Lack) -> String;
    /// What stands between two of them.
    fn between_lacks(&self) -> &'static str;
    /// How a connection ended.
    fn ending(&self, ending: &Ending) -> String;
    /// Bytes that calls received and sent, and how many of those left.
    fn moved(&self, received: u64, sent: u64, left: Option<u64>) -> String;
    /// Both ends are one socket, which sent itself so many bytes.
    fn itself(&self, sent: u64) -> String;
    /// Bytes from the client and from the server.
    fn moved_between(&self, client: u64, server: u64) -> String;
    /// How long the handshake took, in nanoseconds.
    fn handshake(&self, nanos: u64) -> String;
    /// For how many nanoseconds a connection of others was seen, whether it had begun before, and
    /// whether no packets were.
    fn lasted(&self, nanos: u64, cut: bool, without_packets: bool) -> String;
    /// The whole time in nanoseconds, and what it was spent on in its unit.
    fn spent(&self, whole: u64, since: Since, shares: &[(String, Share)]) -> String;
    /// So many segments were sent again.
    fn sent_again(&self, segments: u64) -> String;
    /// So many segments came that had come before.
    fn came_again(&self, segments: u64) -> String;
    /// So many bytes were never read.
    fn never_read(&self, bytes: u64) -> String;
    /// Which ends still hold a state.
    fn rest(&self, rest: &Rest) -> String;
    /// What the eye itself missed; not all of it is 0.
    fn missed(&self, lost: &Loss) -> String;
}

/// Who did it and who was at the other end; None where there are no such roles.
fn ends(finding: &Finding) -> Option<(Role, Role)> {
    finding.by.map(|by| (by, crate::timeline::other(by)))
}

#[cfg(test)]
mod tests;
