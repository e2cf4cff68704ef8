//! Datagrams.

use sockeye_engine::probe::Direction;

use super::super::datagrams::Parcel;
use crate::datagram::Tally;
use crate::pair::DatagramWay;
use crate::view::scale::{bytes, counted, grouped, span};
use crate::view::text::error_name;

pub(super) fn parcel(parcel: &Parcel<'_>) -> String {
    match *parcel {
        Parcel::Socket(number) => format!("datagrams {number} "),
        Parcel::Cell => String::from("bytes: name"),
        Parcel::FirstInLine => String::from(", time and # of the first in a line"),
        Parcel::ThePeer => String::from("the peer"),
        Parcel::Here => String::from("here"),
        Parcel::Sum(tally) => sum(tally),
        Parcel::Others(Direction::Received, tally) => {
            format!("from other peers: {}", sum(tally))
        }
        Parcel::Others(Direction::Sent, tally) => format!("to other peers: {}", sum(tally)),
        Parcel::Earlier(count) => format!("{} earlier", counted(count, "datagram")),
        Parcel::Of(taken, length) => format!("{} of {}", grouped(taken), grouped(length)),
        Parcel::Late(what) => format!("late {what}"),
        Parcel::Later(what) => format!("later {what}"),
        Parcel::Way(of) => way(of),
        Parcel::LegendOfLost => String::from("x lost"),
        Parcel::LegendOfTwice => String::from("x2 arrived twice"),
        Parcel::LegendOfLate => String::from("late: after one that was sent later"),
        Parcel::LegendOfUnknown => String::from("? not known, for instance of several alike"),
        Parcel::Moved(Direction::Received, tally) => format!("{} in", sum(tally)),
        Parcel::Moved(Direction::Sent, tally) => format!("{} out", sum(tally)),
        Parcel::NothingMoved => String::from("no datagram came or went"),
        Parcel::Truncated(count, cut) => {
            format!("{} truncated, {} lost", grouped(count), bytes(cut))
        }
        Parcel::Dropped(count) => format!(
            "{} dropped by the kernel: no room to receive into (?rcvbuf=), or damaged",
            counted(count, "datagram")
        ),
        Parcel::Failed(errno, count) => {
            let why = match errno {
                libc::ECONNREFUSED => ": nobody listens there",
                libc::EMSGSIZE => ": too long to be sent whole",
                _ => "",
            };
            format!("{} failed with {}{why}", counted(count, "call"), error_name(errno))
        }
        Parcel::Reported(errno, count) => {
            let refused = if errno == libc::ECONNREFUSED { ": nobody listens there" } else { "" };
            format!("{} reported later, {}{refused}", counted(count, "error"), error_name(errno))
        }
        Parcel::OtherReports(count) => {
            format!("{} reported later", counted(count, "other error"))
        }
        Parcel::OtherErrors(count) => format!("{} failed otherwise", counted(count, "call")),
        Parcel::OpenFor(nanos) => format!("open for {}", span(nanos)),
        Parcel::StillOpen => String::from("still open"),
    }
}

fn sum(tally: &Tally) -> String {
    format!("{}, {}", counted(tally.count, "datagram"), bytes(tally.bytes))
}

/// How many were sent, and what is known of them.
fn way(way: &DatagramWay) -> String {
    let mut parts = vec![format!("{} sent", sum(&way.sent.tally))];
    parts.push(format!("{} arrived", grouped(way.arrived.count)));
    // Those that were truncated are counted whether they are kept or not.
    let more = if way.whole { "" } else { " or more" };
    let known = [
        (way.lost.unwrap_or(0), more, "lost"),
        (way.doubled, more, "doubled"),
        (way.late, more, "late"),
        (way.arrived.truncated, "", "truncated"),
    ];
    let known = known.into_iter().filter(|(count, ..)| *count > 0);
    parts.extend(known.map(|(count, more, what)| format!("{}{more} {what}", grouped(count))));
    if way.lost.is_none() {
        parts.push(String::from("not all that came was recorded"));
    }
    parts.join(", ")
}
