//! What can be found of a socket of datagrams.

use sockeye_engine::probe::Direction;

use super::{Evidence, Finding, Kind};
use crate::datagram::{DatagramHistory, Flow, Outcome, Seen};
use crate::record::Certainty;

/// Everything found in what is kept of a socket: at most one of each kind.
#[must_use]
pub fn findings_of_datagrams(history: &DatagramHistory) -> Vec<Finding> {
    let mut found = Vec::new();
    let finding = |kind, direction, first: Option<&Seen>, count, evidence, reference| Finding {
        kind,
        by: None,
        direction,
        range: first.map_or(0..0, |seen| seen.index..seen.index.saturating_add(1)),
        at: first.map_or(history.opened, |seen| seen.at),
        count,
        evidence,
        certainty: Certainty::Exact,
        reference,
    };
    let received = history.total(Direction::Received);
    if received.truncated > 0 {
        let cut = |seen: &&Seen| matches!(seen.outcome, Outcome::Moved { length, taken } if taken < length);
        let first = first(history, Direction::Received, cut);
        let (kind, way) = (Kind::DatagramTruncated, Direction::Received);
        let evidence = Evidence { bytes: received.cut, ..Evidence::default() };
        let reference = "recv(2) MSG_TRUNC, udp(7)";
        found.push(finding(kind, way, first, received.truncated, evidence, reference));
    }
    if history.dropped > 0 {
        let (kind, way) = (Kind::DatagramDropped, Direction::Received);
        let (count, evidence) = (history.dropped.into(), Evidence::default());
        found.push(finding(kind, way, None, count, evidence, "socket(7) SO_RCVBUF, udp(7)"));
    }
    let of = |counts: &[(i32, u64)]| -> u64 {
        counts.iter().filter(|(errno, _)| *errno == libc::ECONNREFUSED).map(|(_, n)| n).sum()
    };
    // A call may have failed of the same cause as what its error queue says.
    let refused = of(&history.errors).max(of(&history.reports));
    if refused > 0 {
        let told = |seen: &&Seen| {
            use Outcome::{Failed, Reported};
            matches!(seen.outcome, Failed(libc::ECONNREFUSED) | Reported(libc::ECONNREFUSED))
        };
        let first = first(history, Direction::Sent, told);
        let evidence = Evidence { errors: [Some(libc::ECONNREFUSED), None], ..Evidence::default() };
        let (kind, way) = (Kind::DatagramRefused, Direction::Sent);
        let reference = "RFC 1122 §4.1.3.3, udp(7)";
        found.push(finding(kind, way, first, refused, evidence, reference));
    }
    found.sort_by_key(|finding| (finding.at, finding.kind));
    found
}

/// The first that is kept of those that went this way and are so.
fn first(history: &DatagramHistory, way: Direction, so: impl Fn(&&Seen) -> bool) -> Option<&Seen> {
    let flows = history.flows.iter().filter(|flow: &&Flow| flow.direction == way);
    flows.flat_map(|flow| &flow.latest).filter(so).min_by_key(|seen| seen.at)
}
