//! One connection as both its ends saw it: the ladder with the calls of both, and for each direction
//! all layers from the message that was written to the one that was decoded.

use sockeye_engine::probe::{Direction, Role};

use super::ladder;
use super::scale::{counted, millis, span};
use super::style::Style;
use super::{named, ruled, ruler, wrapped};
use crate::pair::{Clocks, Fate, KnownBy, Pair};
use crate::record::History;
use crate::verdict;

/// Everything there is to see.
pub(super) fn draw(pair: &Pair, style: &Style) -> String {
    let ends = |history: &History| {
        let (from, to) = match history.role {
            Role::Client => (&history.local, &history.peer),
            Role::Server => (&history.peer, &history.local),
        };
        format!("{} {} {}", named(from), style.glyphs().arrow, named(to))
    };
    let (client, server) = (ends(&pair.client), ends(&pair.server));
    let mut out = ruled("both ends of ", &format!("{client} "), style);
    out.push('\n');
    if pair.clocks == Clocks::Contradictory {
        // In what order things happened at both ends nobody knows.
        out.push_str(&ladder::draw(&pair.client, style));
        out.push('\n');
        out.push_str(&ladder::draw(&pair.server, style));
    } else {
        out.push_str(&ladder::draw_pair(pair, style));
    }
    for way in [Direction::Sent, Direction::Received] {
        out.push('\n');
        out.push_str(&ruler::draw_pair(pair, way, style));
    }
    out.push('\n');
    out.push_str(&lines(pair, &server, style));
    out
}

/// What is said under the pictures: the clocks, the way between the ends, and each end's verdict.
fn lines(pair: &Pair, server: &str, style: &Style) -> String {
    let known = match pair.known_by {
        KnownBy::AddressesAndIsn => None,
        KnownBy::Addresses => {
            Some(String::from("addresses and ports alone: not both ends saw sequence numbers"))
        }
        KnownBy::Isn => Some(format!(
            "both initial sequence numbers; at the server its addresses are {server}, as behind NAT"
        )),
    };
    let known = known.map_or(String::new(), |by| wrapped(&format!("known by {by}"), style));
    let mut out = known + &wrapped(&format!("clocks  {}", pair.clocks), style);
    if let Some(way) = way(pair) {
        out.push_str(&wrapped(&format!("way     {way}"), style));
    }
    out.push_str(&wrapped(
        &format!("client  {}", verdict::line_in(style.words(), &pair.client)),
        style,
    ));
    out.push_str(&wrapped(
        &format!("server  {}", verdict::line_in(style.words(), &pair.server)),
        style,
    ));
    out
}

/// What became of the segments between the ends.
fn way(pair: &Pair) -> Option<String> {
    let mut parts = Vec::new();
    let unsure = pair.clocks.uncertainty().unwrap_or(u64::MAX);
    if let Clocks::Apart { least, most } = pair.clocks {
        // The shortest ways there and back are what the bounds of the clocks come from.
        parts.push(format!("there and back in {} at best", span(most.abs_diff(least))));
    }
    for (way, name) in [(Direction::Sent, "to the server"), (Direction::Received, "back")] {
        let Some((shortest, longest)) = pair.flights(way) else { continue };
        let told = match pair.clocks {
            Clocks::One if longest < 1000 => continue,
            Clocks::One if millis(shortest) == millis(longest) => span(longest),
            Clocks::One => format!("{} to {}", millis(shortest), span(longest)),
            _ if longest > unsure.saturating_mul(2) => format!("up to {}", span(longest)),
            _ => continue,
        };
        parts.push(format!("{told} in flight {name}"));
    }
    for (fate, what) in [
        (Fate::Lost, "lost"),
        (Fate::Doubled, "doubled"),
        (Fate::Foreign, "that came were never sent by the other end"),
    ] {
        let count = pair.count(fate);
        if count > 0 {
            parts.push(format!("{} {what}", counted(count, "segment")));
        }
    }
    (!parts.is_empty()).then(|| parts.join(" · "))
}
