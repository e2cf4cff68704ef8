//! Chinese, in simplified characters.

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
use crate::view::scale::{bytes, grouped, span};

/// The catalogue.
pub(super) struct Chinese;

impl Words for Chinese {
    fn finding(&self, finding: &Finding) -> Told {
        findings::told(finding)
    }

    fn more_findings(&self, count: u64) -> String {
        format!("另有 {} 项发现", grouped(count))
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
        "；"
    }

    fn ending(&self, ending: &Ending) -> String {
        verdict::ending(ending)
    }

    fn moved(&self, received: u64, sent: u64, left: Option<u64>) -> String {
        let (received, sent) = (bytes(received), bytes(sent));
        match left.map(bytes) {
            Some(left) => format!("收到 {received}，交出 {sent}，其中发出 {left}"),
            None => format!("收到 {received}，发出 {sent}"),
        }
    }

    fn itself(&self, sent: u64) -> String {
        format!("与自己相连：两端是同一个套接字 · 发给自己 {}", bytes(sent))
    }

    fn moved_between(&self, client: u64, server: u64) -> String {
        format!("客户端发出 {}，服务器发出 {}", bytes(client), bytes(server))
    }

    fn handshake(&self, nanos: u64) -> String {
        format!("握手 {}", span(nanos))
    }

    fn lasted(&self, nanos: u64, cut: bool, without_packets: bool) -> String {
        let begun = if cut { "，开始于观察之前" } else { "" };
        let how = if without_packets { "，未见数据包" } else { "" };
        format!("观察了 {}{begun}{how}", span(nanos))
    }

    fn spent(&self, whole: u64, since: Since, shares: &[(String, Share)]) -> String {
        verdict::spent(whole, since, shares)
    }

    fn sent_again(&self, segments: u64) -> String {
        format!("重发了 {} 个段", grouped(segments))
    }

    fn came_again(&self, segments: u64) -> String {
        format!("{} 个段再次到达", grouped(segments))
    }

    fn never_read(&self, unread: u64) -> String {
        format!("{} 从未被读取", bytes(unread))
    }

    fn rest(&self, rest: &Rest) -> String {
        verdict::rest(rest)
    }

    fn missed(&self, lost: &Loss) -> String {
        let packets = (lost.packets > 0).then(|| format!("{} 个数据包", grouped(lost.packets)));
        let records = (lost.calls > 0).then(|| format!("{} 条记录", grouped(lost.calls)));
        let stamps = (lost.stamps > 0).then(|| String::from("一个内核时间戳"));
        let ends = (lost.ends > 0).then(|| String::from("内核对该套接字的最后计数"));
        let what: Vec<String> = [packets, records, stamps, ends].into_iter().flatten().collect();
        format!("观察中漏掉了 {}", what.join("和 "))
    }
}
