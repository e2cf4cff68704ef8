//! Two ends.

use std::cmp::Ordering;

use sockeye_engine::probe::Role;

use super::super::pair::Said;
use crate::pair::clock::{Between, bound};
use crate::pair::{Clocks, Drift, Fate};
use crate::view::scale::counted;

pub(super) fn pair(said: &Said<'_>) -> String {
    match said {
        Said::BothEnds => String::from("both ends of "),
        Said::KnownByAddresses => {
            String::from("known by addresses and ports alone: not both ends saw sequence numbers")
        }
        Said::KnownByNumbers(server) => format!(
            "known by both initial sequence numbers; at the server its addresses are {server}, as \
             behind NAT"
        ),
        Said::OfClocks => String::from("clocks  "),
        Said::OfWay => String::from("way     "),
        Said::OfEnd(Role::Client) => String::from("client  "),
        Said::OfEnd(Role::Server) => String::from("server  "),
        Said::ThereAndBack(span) => format!("there and back in {span} at best"),
        Said::InFlight(span, to) => format!("{span} in flight {}", towards(*to)),
        Said::UpToInFlight(span, to) => format!("up to {span} in flight {}", towards(*to)),
        Said::Met(fate, count) => {
            let what = match fate {
                Fate::Lost => "lost",
                Fate::Doubled => "doubled",
                Fate::Foreign => "that came were never sent by the other end",
                Fate::Unknown | Fate::Arrived => "not followed",
            };
            format!("{} {what}", counted(*count, "segment"))
        }
        Said::Clocks(clocks, at) => {
            let whose = match at {
                None => String::from("the server's"),
                Some(address) => format!("that of {address}"),
            };
            told(clocks, &whose)
        }
    }
}

fn towards(role: Role) -> &'static str {
    match role {
        Role::Server => "to the server",
        Role::Client => "back",
    }
}

fn told(clocks: &Clocks, whose: &str) -> String {
    let side = |ahead: i64, most: bool| {
        let way = if ahead < 0 { "behind" } else { "ahead" };
        format!("{whose} is {} {way}", bound(ahead, most))
    };
    match *clocks {
        Clocks::One => String::from("one clock, both ends ran on one machine"),
        Clocks::Apart { least, most } => between(least, most, whose, ""),
        Clocks::AtMost(most) => {
            format!("{} at most; nothing that came from it tells more", side(most, true))
        }
        Clocks::AtLeast(least) => {
            format!("{} at least; nothing that went to it tells more", side(least, false))
        }
        Clocks::Drifting(Drift { ahead: (least, most), gains: (slow, fast), .. }) => {
            let (rate, off) = ((slow + fast) / 2000.0, (fast - slow) / 2000.0);
            let verb = if rate < 0.0 { "loses" } else { "gains" };
            let off = (off * 10.0).ceil() / 10.0 + 0.1;
            let first = between(least, most, whose, " at first");
            format!("{first}, and {verb} {:.1} µs each second, ± {off:.1}", rate.abs())
        }
        Clocks::Contradictory => String::from(
            "one of them was set meanwhile, or runs unevenly: times of both ends can't be compared",
        ),
        Clocks::Unknown => String::from("nothing tells how far they are apart; taken for equal"),
    }
}

fn between(least: i64, most: i64, whose: &str, when: &str) -> String {
    let Between { way, millis, off } = Between::of(least, most);
    match way {
        Ordering::Less => format!("{whose} is {millis} ms behind{when}, ± {off} ms"),
        Ordering::Equal => format!("the same at both ends{when}, ± {off} ms"),
        Ordering::Greater => format!("{whose} is {millis} ms ahead{when}, ± {off} ms"),
    }
}
