//! Datagrams.

use sockeye_engine::probe::Direction;

use super::super::datagrams::Parcel;
use crate::datagram::Tally;
use crate::pair::DatagramWay;
use crate::view::scale::{bytes, grouped, span};
use crate::view::text::error_name;

pub(super) fn parcel(parcel: &Parcel<'_>) -> String {
    match *parcel {
        Parcel::Socket(number) => format!("数据报套接字 {number} "),
        Parcel::Cell => String::from("字节数：名称"),
        Parcel::FirstInLine => String::from("，时间和 # 属于该行第一个"),
        Parcel::ThePeer => String::from("对端"),
        Parcel::Here => String::from("本端"),
        Parcel::Sum(tally) => sum(tally),
        Parcel::Others(Direction::Received, tally) => format!("来自其他对端：{}", sum(tally)),
        Parcel::Others(Direction::Sent, tally) => format!("发往其他对端：{}", sum(tally)),
        Parcel::Earlier(count) => format!("此前有 {} 个数据报", grouped(count)),
        Parcel::Of(taken, length) => format!("{}（共 {}）", grouped(taken), grouped(length)),
        Parcel::Late(what) => format!("迟到 {what}"),
        Parcel::Later(what) => format!("后报 {what}"),
        Parcel::Way(of) => way(of),
        Parcel::LegendOfLost => String::from("x 丢失"),
        Parcel::LegendOfTwice => String::from("x2 到达两次"),
        Parcel::LegendOfLate => String::from("迟到：到得比后发出的还晚"),
        Parcel::LegendOfUnknown => String::from("? 无从得知，例如有几个内容相同"),
        Parcel::Moved(Direction::Received, tally) => format!("收到 {}", sum(tally)),
        Parcel::Moved(Direction::Sent, tally) => format!("发出 {}", sum(tally)),
        Parcel::NothingMoved => String::from("没有收发过数据报"),
        Parcel::Truncated(count, cut) => {
            format!("{} 个被截断，丢失 {}", grouped(count), bytes(cut))
        }
        Parcel::Dropped(count) => format!(
            "内核丢弃 {} 个数据报：没有接收的空间（?rcvbuf=），或数据报已损坏",
            grouped(count)
        ),
        Parcel::Failed(errno, count) => {
            let why = match errno {
                libc::ECONNREFUSED => "：那里没有接收者",
                libc::EMSGSIZE => "：太长，不能整个发出",
                _ => "",
            };
            format!("{} 次调用失败，{}{why}", grouped(count), error_name(errno))
        }
        Parcel::Reported(errno, count) => {
            let refused = if errno == libc::ECONNREFUSED { "：那里没有接收者" } else { "" };
            format!("事后报告 {} 个错误，{}{refused}", grouped(count), error_name(errno))
        }
        Parcel::OtherReports(count) => format!("事后报告 {} 个其他错误", grouped(count)),
        Parcel::OtherErrors(count) => format!("{} 次调用因其他错误失败", grouped(count)),
        Parcel::OpenFor(nanos) => format!("打开 {}", span(nanos)),
        Parcel::StillOpen => String::from("仍然打开"),
    }
}

fn sum(tally: &Tally) -> String {
    format!("{} 个数据报，{}", grouped(tally.count), bytes(tally.bytes))
}

/// How many were sent, and what is known of them.
fn way(way: &DatagramWay) -> String {
    let mut parts = vec![format!("发出 {}", sum(&way.sent.tally))];
    parts.push(format!("到达 {} 个", grouped(way.arrived.count)));
    // Those that were truncated are counted whether they are kept or not.
    let more = if way.whole { "" } else { "至少 " };
    let known = [
        (way.lost.unwrap_or(0), more, "丢失"),
        (way.doubled, more, "多到一次"),
        (way.late, more, "迟到"),
        (way.arrived.truncated, "", "被截断"),
    ];
    let known = known.into_iter().filter(|(count, ..)| *count > 0);
    parts.extend(known.map(|(count, more, what)| format!("{more}{} 个{what}", grouped(count))));
    if way.lost.is_none() {
        parts.push(String::from("到达的未全部记录"));
    }
    parts.join("，")
}
