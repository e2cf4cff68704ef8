//! The longer sentences of a verdict.

use sockeye_engine::probe::Direction;

use super::super::verdict::{After, Ending, Held, Place, Rest, Share, Since, Who};
use crate::verdict::{How, Phase};
use crate::view::scale::{counted, grouped, span};
use crate::view::text::{error_name, operation};

pub(super) fn ending(ending: &Ending) -> String {
    let who = match ending.who {
        Some(Who::We) => "we",
        Some(Who::Client) => "the client",
        Some(Who::Server) => "the server",
        None => "",
    };
    let after = match ending.after {
        After::Nothing => String::new(),
        After::Messages(count) => format!(", after {}", counted(count, "message")),
        After::Requests(count) => format!(", after {}", counted(count, "request")),
        After::Both { received, sent } => {
            format!(", after {} in, {} out", counted(received, "message"), grouped(sent))
        }
    };
    let during = match ending.phase {
        Phase::Handshake => ", before it was open",
        Phase::Nothing => ", and not a byte was said",
        Phase::Question => ", in the middle of a request",
        Phase::Answer => ", in the middle of an answer",
        Phase::Message => ", in the middle of a message",
        Phase::Data | Phase::Idle => "",
    };
    let failed = ending
        .failed
        .map(|(call, errno)| format!(": {} failed with {}", operation(call), error_name(errno)));
    match ending.how {
        How::Fin => format!("{who} closed first, gracefully{after}{during}"),
        How::Reset if ending.is_refusal() => String::from("the server refused it"),
        How::Reset => format!("{who} reset it{after}{during}"),
        How::GaveUp => {
            let waited = match ending.gave_up {
                _ if ending.phase == Phase::Handshake => "nothing answered",
                Some(Direction::Sent) => "the peer took nothing more",
                _ => "the peer said nothing more",
            };
            format!("we ended it at our deadline, {waited}{after}{during}")
        }
        How::Failed => format!("it broke off{after}{during}{}", failed.unwrap_or_default()),
        How::Unknown if ending.open && ending.cut_short => {
            format!("was still open when the capture ended{after}")
        }
        How::Unknown if ending.open && ending.recorded => {
            format!("its recording ends before it does{after}")
        }
        How::Unknown if ending.open => format!("is still open{after}"),
        How::Unknown => format!("it ended{after}{during}, nobody saw how"),
    }
}

pub(super) fn spent(whole: u64, since: Since, shares: &[(String, Share)]) -> String {
    let beginning = match since {
        Since::Handshake => "handshake",
        Since::Accept => "accept",
        Since::Connect => "connect",
    };
    let told: Vec<String> = shares
        .iter()
        .map(|(share, what)| {
            let what = match what {
                Share::Backlog => "waiting to be accepted",
                Share::Peer => "waiting for the peer",
                Share::Window => "for the peer's window",
                Share::Reading => "while bytes lay unread",
                Share::Nagle => "for a delayed ACK (Nagle)",
                Share::Repair => "for retransmission",
                Share::Sending => "inside send()",
                Share::Program => "in our own program",
            };
            format!("{share} {what}")
        })
        .collect();
    let colon = if told.is_empty() { "" } else { ": " };
    format!("{} from {beginning} to close{colon}{}", span(whole), told.join(", "))
}

pub(super) fn rest(rest: &Rest) -> String {
    let left = |held: &Held| {
        held.remaining.map_or(String::new(), |nanos| format!(", {} left", span(nanos)))
    };
    match rest {
        Rest::Both(held) => format!("{} at both ends{}", held.state, left(held)),
        Rest::Ends(ends) => {
            let told = ends.iter().flatten().map(|held| {
                let place = match held.place {
                    Place::Here => "here",
                    Place::Peer => "at the peer",
                    Place::Client => "at the client",
                    Place::Server => "at the server",
                };
                format!("{} {place}{}", held.state, left(held))
            });
            told.collect::<Vec<_>>().join(", ")
        }
    }
}
