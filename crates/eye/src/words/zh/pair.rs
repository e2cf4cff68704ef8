//! Two ends.

use std::cmp::Ordering;

use sockeye_engine::probe::Role;

use super::super::pair::Said;
use crate::pair::clock::{Between, bound};
use crate::pair::{Clocks, Drift, Fate};
use crate::view::scale::grouped;

pub(super) fn pair(said: &Said<'_>) -> String {
    match said {
        Said::BothEnds => String::from("连接的两端 "),
        Said::KnownByAddresses => String::from("仅凭地址和端口认定：两端没有都看到序列号"),
        Said::KnownByNumbers(server) => {
            format!("凭两个初始序列号认定；在服务器处地址为 {server}，如经过 NAT")
        }
        Said::OfClocks => String::from("时钟    "),
        Said::OfWay => String::from("途中    "),
        Said::OfEnd(Role::Client) => String::from("客户端  "),
        Said::OfEnd(Role::Server) => String::from("服务器  "),
        Said::ThereAndBack(span) => format!("往返最少 {span}"),
        Said::InFlight(span, to) => format!("{}在途 {span}", towards(*to)),
        Said::UpToInFlight(span, to) => format!("{}在途最多 {span}", towards(*to)),
        Said::Met(fate, count) => {
            let count = grouped(*count);
            match fate {
                Fate::Lost => format!("丢失 {count} 个段"),
                Fate::Doubled => format!("{count} 个段多到一次"),
                Fate::Foreign => format!("收到的 {count} 个段对端从未发出"),
                Fate::Unknown | Fate::Arrived => format!("{count} 个段未能跟踪"),
            }
        }
        Said::Clocks(clocks, at) => {
            let whose = match at {
                None => String::from("服务器的时钟"),
                Some(address) => format!("{address} 的时钟"),
            };
            told(clocks, &whose)
        }
    }
}

fn towards(role: Role) -> &'static str {
    match role {
        Role::Server => "到服务器",
        Role::Client => "回程",
    }
}

fn told(clocks: &Clocks, whose: &str) -> String {
    let way = |ahead: i64| if ahead < 0 { "慢" } else { "快" };
    match *clocks {
        Clocks::One => String::from("同一个时钟，两端在同一台机器上"),
        Clocks::Apart { least, most } => between(least, most, whose, ""),
        Clocks::AtMost(most) => {
            let at_most = bound(most, true);
            format!("{whose}最多{} {at_most}；没有从它来的数据可以进一步确定", way(most))
        }
        Clocks::AtLeast(least) => {
            let at_least = bound(least, false);
            format!("{whose}至少{} {at_least}；没有到它去的数据可以进一步确定", way(least))
        }
        Clocks::Drifting(Drift { ahead: (least, most), gains: (slow, fast), .. }) => {
            let (rate, off) = ((slow + fast) / 2000.0, (fast - slow) / 2000.0);
            let verb = if rate < 0.0 { "慢" } else { "快" };
            let off = (off * 10.0).ceil() / 10.0 + 0.1;
            let first = between(least, most, whose, "起初");
            format!("{first}，每秒再{verb} {:.1} µs，± {off:.1}", rate.abs())
        }
        Clocks::Contradictory => {
            String::from("其间有一个时钟被调整过，或走得不匀：两端的时间无法比较")
        }
        Clocks::Unknown => String::from("无从得知相差多少；按相同处理"),
    }
}

fn between(least: i64, most: i64, whose: &str, when: &str) -> String {
    let Between { way, millis, off } = Between::of(least, most);
    match way {
        Ordering::Less => format!("{whose}{when}慢 {millis} ms，± {off} ms"),
        Ordering::Equal => format!("两端{when}相同，± {off} ms"),
        Ordering::Greater => format!("{whose}{when}快 {millis} ms，± {off} ms"),
    }
}
