//! One connection as both its ends saw it: the ladder with the calls of both, and for each direction
//! all layers from the message that was written to the one that was decoded.

use sockeye_engine::probe::{Direction, Role};

use super::ladder;
use super::scale::{millis, span};
use super::style::Style;
use super::{findings, named, ruled, ruler, wrapped};
use crate::finding;
use crate::pair::{Clocks, Fate, KnownBy, Pair};
use crate::record::History;
use crate::verdict;
use crate::words::pair::Said;

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
    let mut out = ruled(&style.words().words().pair(&Said::BothEnds), &format!("{client} "), style);
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

/// What is said under the pictures: the clocks, the way between the ends, each end's verdict, and what
/// was found.
fn lines(pair: &Pair, server: &str, style: &Style) -> String {
    let say = |said: Said<'_>| style.words().words().pair(&said);
    let line = |what: Said<'_>, text: &str| wrapped(&format!("{}{text}", say(what)), style);
    let mut out = match pair.known_by {
        KnownBy::AddressesAndIsn => String::new(),
        KnownBy::Addresses => wrapped(&say(Said::KnownByAddresses), style),
        KnownBy::Isn => wrapped(&say(Said::KnownByNumbers(server)), style),
    };
    out.push_str(&line(Said::OfClocks, &say(Said::Clocks(&pair.clocks, None))));
    if let Some(way) = way(pair, style) {
        out.push_str(&line(Said::OfWay, &way));
    }
    for history in [&pair.client, &pair.server] {
        let verdict = verdict::line_of_recording(style.words(), history);
        out.push_str(&line(Said::OfEnd(history.role), &verdict));
    }
    // What both ends show is told once.
    let mut found = finding::findings(&pair.client);
    for other in finding::findings(&pair.server) {
        if !found.iter().any(|known| known.kind == other.kind && known.by == other.by) {
            found.push(other);
        }
    }
    out + &findings::draw(&found, style)
}

/// What became of the segments between the ends.
fn way(pair: &Pair, style: &Style) -> Option<String> {
    let say = |said: Said<'_>| style.words().words().pair(&said);
    let mut parts = Vec::new();
    let unsure = pair.clocks.uncertainty().unwrap_or(u64::MAX);
    if let Clocks::Apart { least, most } = pair.clocks {
        // The shortest ways there and back are what the bounds of the clocks come from.
        parts.push(say(Said::ThereAndBack(&span(most.abs_diff(least)))));
    }
    for (way, to) in [(Direction::Sent, Role::Server), (Direction::Received, Role::Client)] {
        let Some((shortest, longest)) = pair.flights(way) else { continue };
        parts.push(match pair.clocks {
            Clocks::One if longest < 1000 => continue,
            Clocks::One if millis(shortest) == millis(longest) => {
                say(Said::InFlight(&span(longest), to))
            }
            Clocks::One => {
                let times = format!("{}..{}", millis(shortest), span(longest));
                say(Said::InFlight(&times, to))
            }
            _ if longest > unsure.saturating_mul(2) => say(Said::UpToInFlight(&span(longest), to)),
            _ => continue,
        });
    }
    for fate in [Fate::Lost, Fate::Doubled, Fate::Foreign] {
        let count = pair.count(fate);
        if count > 0 {
            parts.push(say(Said::Met(fate, count)));
        }
    }
    (!parts.is_empty()).then(|| parts.join(" · "))
}
