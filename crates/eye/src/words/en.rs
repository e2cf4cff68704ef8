//! English.

mod datagrams;
mod findings;
mod lack;
mod notes;
mod pair;
mod screen;
mod verdict;

use super::datagrams::Parcel;
use super::lack::Lack;
use super::note::Note;
use super::pair::Said;
use super::screen::Screen;
use super::verdict::{Ending, Rest, Share, Since};
use super::{Told, Words};
use crate::finding::Finding;
use crate::record::Loss;
use crate::view::scale::{bytes, counted, span};

/// The catalogue.
pub(super) struct English;

impl Words for English {
    fn finding(&self, finding: &Finding) -> Told {
        findings::told(finding)
    }

    fn more_findings(&self, count: u64) -> String {
        counted(count, "more finding")
    }

    fn note(&self, note: Note<'_>) -> String {
        notes::note(note)
    }

    fn pair(&self, said: &Said<'_>) -> String {
        pair::pair(said)
    }

    fn parcel(&self, parcel: &Parcel<'_>) -> String {
        datagrams::parcel(parcel)
    }

    fn screen(&self, screen: &Screen<'_>) -> String {
        screen::screen(screen)
    }

    fn lack(&self, lack: &Lack) -> String {
        lack::lack(lack)
    }

    fn between_lacks(&self) -> &'static str {
        "; "
    }

    fn ending(&self, ending: &Ending) -> String {
        verdict::ending(ending)
    }

    fn moved(&self, received: u64, sent: u64, left: Option<u64>) -> String {
        let (received, sent) = (bytes(received), bytes(sent));
        match left.map(bytes) {
            Some(left) => format!("{received} in, {left} out of {sent} handed over"),
            None => format!("{received} in, {sent} out"),
        }
    }

    fn itself(&self, sent: u64) -> String {
        format!("is connected to itself: both ends are one socket · {} sent to itself", bytes(sent))
    }

    fn moved_between(&self, client: u64, server: u64) -> String {
        format!("{} from the client, {} from the server", bytes(client), bytes(server))
    }

    fn handshake(&self, nanos: u64) -> String {
        format!("handshake {}", span(nanos))
    }

    fn lasted(&self, nanos: u64, cut: bool, without_packets: bool) -> String {
        let begun = if cut { ", begun before the eye looked" } else { "" };
        let how = if without_packets { ", without packets" } else { "" };
        format!("seen for {}{begun}{how}", span(nanos))
    }

    fn spent(&self, whole: u64, since: Since, shares: &[(String, Share)]) -> String {
        verdict::spent(whole, since, shares)
    }

    fn sent_again(&self, segments: u64) -> String {
        format!("{} sent again", counted(segments, "segment"))
    }

    fn came_again(&self, segments: u64) -> String {
        format!("{} came again", counted(segments, "segment"))
    }

    fn never_read(&self, unread: u64) -> String {
        format!("{} never read", bytes(unread))
    }

    fn rest(&self, rest: &Rest) -> String {
        verdict::rest(rest)
    }

    fn missed(&self, lost: &Loss) -> String {
        let packets = (lost.packets > 0).then(|| counted(lost.packets, "packet"));
        let records = (lost.calls > 0).then(|| counted(lost.calls, "record"));
        let stamps = (lost.stamps > 0).then(|| String::from("a kernel stamp"));
        let ends = (lost.ends > 0).then(|| String::from("the kernel's last word"));
        let what: Vec<String> = [packets, records, stamps, ends].into_iter().flatten().collect();
        format!("the eye missed {}", what.join(" and "))
    }
}
