//! The longer sentences of a verdict.

use sockeye_engine::probe::Direction;

use super::super::verdict::{After, Ending, Held, Place, Rest, Share, Since, Who};
use crate::verdict::{How, Phase};
use crate::view::scale::{grouped, span};
use crate::view::text::{error_name, operation};

pub(super) fn ending(ending: &Ending) -> String {
    let who = match ending.who {
        Some(Who::We) => "我方",
        Some(Who::Client) => "客户端",
        Some(Who::Server) => "服务器",
        None => "",
    };
    let after = match ending.after {
        After::Nothing => String::new(),
        After::Messages(count) => format!("，此前有 {} 条消息", grouped(count)),
        After::Requests(count) => format!("，此前有 {} 个请求", grouped(count)),
        After::Both { received, sent } => {
            format!("，此前收到 {} 条消息，发出 {} 条", grouped(received), grouped(sent))
        }
    };
    let during = match ending.phase {
        Phase::Handshake => "，连接尚未建立",
        Phase::Nothing => "，没有传过一个字节",
        Phase::Question => "，请求只到了一半",
        Phase::Answer => "，应答还没有完",
        Phase::Message => "，消息还没有完",
        Phase::Data | Phase::Idle => "",
    };
    let failed = ending
        .failed
        .map(|(call, errno)| format!("：{} 失败，{}", operation(call), error_name(errno)));
    match ending.how {
        How::Fin => format!("{who}先关闭，正常结束{after}{during}"),
        How::Reset if ending.is_refusal() => String::from("服务器拒绝连接"),
        How::Reset => format!("{who}重置了连接{after}{during}"),
        How::GaveUp => {
            let waited = match ending.gave_up {
                _ if ending.phase == Phase::Handshake => "没有任何回应",
                Some(Direction::Sent) => "对端不再接收",
                _ => "对端不再发送",
            };
            format!("我方到期限时结束，{waited}{after}{during}")
        }
        How::Failed => format!("连接中断{after}{during}{}", failed.unwrap_or_default()),
        How::Unknown if ending.open && ending.cut_short => {
            format!("抓包结束时仍然打开{after}")
        }
        How::Unknown if ending.open && ending.recorded => {
            format!("记录到此为止，其后未知{after}")
        }
        How::Unknown if ending.open => format!("仍然打开{after}"),
        How::Unknown => format!("已结束{after}{during}，没有看到如何结束"),
    }
}

pub(super) fn spent(whole: u64, since: Since, shares: &[(String, Share)]) -> String {
    let beginning = match since {
        Since::Handshake => "握手",
        Since::Accept => " accept() ",
        Since::Connect => " connect() ",
    };
    let told: Vec<String> = shares
        .iter()
        .map(|(share, what)| {
            let what = match what {
                Share::Backlog => "等待被接受",
                Share::Peer => "等待对端",
                Share::Window => "等待对端的窗口",
                Share::Reading => "数据到达而未读",
                Share::Nagle => "等待延迟的 ACK（Nagle）",
                Share::Repair => "等待重传",
                Share::Sending => "在 send() 之内",
                Share::Program => "在本程序之内",
            };
            format!("{share} {what}")
        })
        .collect();
    let colon = if told.is_empty() { "" } else { "：" };
    format!("从{beginning}到关闭共 {}{colon}{}", span(whole), told.join("，"))
}

pub(super) fn rest(rest: &Rest) -> String {
    let left = |held: &Held| {
        held.remaining.map_or(String::new(), |nanos| format!("，还剩 {}", span(nanos)))
    };
    match rest {
        Rest::Both(held) => format!("两端都在 {}{}", held.state, left(held)),
        Rest::Ends(ends) => {
            let told = ends.iter().flatten().map(|held| {
                let place = match held.place {
                    Place::Here => "本端",
                    Place::Peer => "对端",
                    Place::Client => "客户端",
                    Place::Server => "服务器",
                };
                format!("{place}在 {}{}", held.state, left(held))
            });
            told.collect::<Vec<_>>().join("，")
        }
    }
}
