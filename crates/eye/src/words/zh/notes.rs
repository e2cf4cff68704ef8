//! Legends, captions, and what is not drawn.

use sockeye_engine::probe::Role;

use super::super::note::{Note, Noun, Source};
use crate::view::scale::grouped;

pub(super) fn note(note: Note<'_>) -> String {
    match note {
        Note::Connection(number) => format!("连接 {number} "),
        Note::End(role, here) => format!("{}{}", who(role), if here { "（本端）" } else { "" }),
        Note::ConcludedFrom(source) => {
            let from = match source {
                Source::Calls => "调用",
                Source::OurCalls => "本端的调用",
                Source::LaterSegments => "后来的段",
            };
            format!("~ 由{from}推断")
        }
        Note::OnlySuggested => String::from("~ 由所见推测，并非确证"),
        Note::TheKernelsStates => String::from("状态为询问内核时的回答"),
        Note::TheClientsClock => String::from("以客户端的时钟为准"),
        Note::Lost => String::from("x 途中丢失"),
        Note::Doubled => String::from("x2 比发出的多到一次"),
        Note::Foreign => String::from("? 那一端没有发过"),
        Note::InFlight => String::from("+n 在途毫秒数"),
        Note::Interval => String::from("[a..b) 字节 a 到 b-1"),
        Note::AtOffset => String::from("@n 在 n 个字节之后"),
        Note::ReadsNotDrawn(count) => {
            format!("未画出：{} 次无数据可读的 recv()", grouped(count))
        }
        Note::SendsNotDrawn(count) => {
            format!("未画出：{} 次仍无发送空间的调用", grouped(count))
        }
        Note::RowsNotDrawn(count) => format!("另有 {count} 行未画出"),
        Note::Remaining(span) => format!("还剩 {span}"),
        Note::SeveralBorders => String::from("一列中有多条边界"),
        Note::Written(count) => format!("写出 {count} 条"),
        Note::Decoded(count) => format!("解出 {count} 条"),
        Note::Missing(count, bytes) => format!("{count} 条，缺 {bytes}"),
        Note::Count(noun, count, _) => match noun {
            Noun::Call => format!("{count} 次调用"),
            Noun::Segment => format!("{count} 个段"),
            Noun::Ack => format!("{count} 个 ACK"),
            Noun::Stamp => format!("{count} 个时间戳"),
        },
        Note::OfThemSendfile(count) => format!("，{count} 次 sendfile"),
        Note::Each(bytes) => format!("，各 {bytes}"),
        Note::At(millis) => format!("，在 {millis} ms"),
        Note::Within(millis) => format!("，历时 {millis} ms"),
        Note::InColumns(count) => format!("（{} 列）", grouped(count)),
        Note::SentAgain(count) => format!("重发 {} 个段", grouped(count)),
        Note::CameAgain(count) => format!("{} 个段再次到达", grouped(count)),
        Note::LostOnTheWay(count) => format!("途中丢失 {} 个段", grouped(count)),
        Note::LostInShort(count) => format!("丢失 {count}"),
        Note::AsTheyCame(count) => format!("{} 个段，按到达画出", grouped(count)),
        Note::NoBytes => String::from("没有数据"),
        Note::MoreEnded(count) => format!("另有 {} 个连接结束，未画出", grouped(count)),
        Note::StillOpen(count, peers, more) => {
            let more = if more > 0 { format!("，另有 {more} 个") } else { String::new() };
            format!("{} 个连接仍然打开：{}{more}", grouped(count), peers.replace(", ", "、"))
        }
        Note::Unwatched(count, most) => {
            format!("{count} 个连接未被观察：同时打开的超过 {most} 个")
        }
        Note::SocketsUnwatched(count, most) => {
            format!("{count} 个数据报套接字未被观察：同时打开的超过 {most} 个")
        }
        Note::NoneSeen(true) => String::from("没有看到任何连接"),
        Note::NoneSeen(false) => String::from(
            "没有看到任何连接；没有数据包时，两次查看相隔十分之一秒，其间开始又结束的连接看不到",
        ),
        Note::RecordsLost(count) => format!("丢失 {count} 条记录：来不及处理"),
        Note::NeverAccepted(count) => format!("{} 个连接从未被接受", grouped(count)),
        Note::StampsFor(stamps, calls) => {
            format!("{} 次调用，{} 个时间戳", grouped(calls), grouped(stamps))
        }
        Note::Unread(most, role, span) => format!("{}最多有 {most} 未读，至少 {span}", who(role)),
        Note::UnreadInShort(most) => format!("{most} 未读"),
        Note::WindowShut(span) => format!("，窗口为 0 至少 {span}"),
        Note::Unacknowledged(most, role) => format!("{}最多有 {most} 未确认", who(role)),
        Note::UnacknowledgedAlone(most) | Note::UnacknowledgedInShort(most) => {
            format!("{most} 未确认")
        }
        Note::Unsent(bytes) => format!("，{bytes} 未发出"),
    }
}

fn who(role: Role) -> &'static str {
    match role {
        Role::Client => "客户端",
        Role::Server => "服务器",
    }
}
