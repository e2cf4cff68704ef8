//! Small segments held back until an ACK that is itself held back.

use std::ops::Range;
use std::time::Duration;

use sockeye_engine::probe::{Direction, Stamp};

use super::{Evidence, Finding, Found, Kind, Stretch, sender};
use crate::record::{Certainty, History, Mark, Segment};
use crate::timeline::moved;

/// A delayed ACK waits for 40 ms on Linux (`TCP_DELACK_MIN`), elsewhere for up to 500 ms (RFC 9293
/// §3.8.6.3); 200 ms is usual.
const DELAY: Range<Duration> = Duration::from_nanos(SHORTEST)..Duration::from_millis(300);

/// Where less time was waited nothing was held back; in nanoseconds.
pub(crate) const SHORTEST: u64 = 35_000_000;

/// What waited for an ACK leaves within this after it.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Where a maximum segment size is not known, what is shorter is a small segment.
const SMALL: u64 = 1200;

/// Segments that Nagle's algorithm held back until a delayed ACK came (RFC 896).
pub(super) fn find(history: &History, stretch: &Stretch<'_>, found: &mut Found) {
    for way in [Direction::Received, Direction::Sent] {
        let (holds, pairs) = holds(history, stretch, way);
        // Where a peer holds back, its calls are not known: it may send in the same pace as we
        // acknowledge by chance, but not most of the time.
        if way == Direction::Received && (holds.len() as u64).saturating_mul(2) < pairs {
            continue;
        }
        for Hold { range, since, until } in holds {
            let evidence = Evidence {
                bytes: range.end - range.start,
                nanos: until.0.saturating_sub(since.0),
                ..Evidence::default()
            };
            found.add(Finding {
                kind: Kind::NagleDelayedAck,
                by: Some(sender(history, way)),
                direction: way,
                range,
                at: since,
                count: 1,
                evidence,
                certainty: match way {
                    Direction::Sent => Certainty::Exact,
                    Direction::Received => Certainty::Inferred,
                },
                reference: "RFC 896, RFC 9293 §3.7.4",
            });
        }
    }
}

/// While our own segments were held back: sorted, apart from one another.
pub(crate) fn own_holds(history: &History) -> Vec<Range<Stamp>> {
    let stretches = super::stretches(history);
    let holds = stretches.iter().flat_map(|stretch| holds(history, stretch, Direction::Sent).0);
    super::apart(holds.map(|hold| hold.since..hold.until).collect())
}

/// Bytes that were held back.
struct Hold {
    range: Range<u64>,
    since: Stamp,
    until: Stamp,
}

/// All of a direction, and how often one segment followed a small one without an answer between.
fn holds(history: &History, stretch: &Stretch<'_>, way: Direction) -> (Vec<Hold>, u64) {
    let mss = history.kernel.as_ref().and_then(|facts| facts.mss).map(|(ours, theirs)| match way {
        Direction::Sent => u64::from(ours),
        Direction::Received => u64::from(theirs),
    });
    let small = |segment: &Segment| {
        let length = segment.range.end - segment.range.start;
        length > 0 && length < mss.filter(|mss| *mss > 0).unwrap_or(SMALL)
    };
    let (mut holds, mut pairs) = (Vec::new(), 0);
    let mut first: Option<&Segment> = None;
    let mut ack: Option<&Segment> = None;
    for segment in &stretch.segments {
        let bare = !(segment.flags.syn() || segment.flags.fin() || segment.flags.rst());
        if segment.direction != way {
            // An answer carries its ACK along, and ends the pattern.
            let covers = first
                .is_some_and(|first| segment.ack.is_some_and(|ack| ack.offset >= first.range.end));
            match segment.range.is_empty() && bare {
                true if covers && ack.is_none() => ack = Some(segment),
                true => {}
                false => (first, ack) = (None, None),
            }
            continue;
        }
        if segment.range.is_empty() {
            continue;
        }
        if let Some(before) = first
            && segment.range.start == before.range.end
        {
            pairs += 1;
            if let Some(ack) = ack
                && let Some(since) = held_since(stretch, way, before, ack, segment)
            {
                let (range, until) = (segment.range.clone(), ack.at);
                holds.push(Hold { range, since, until });
            }
        }
        let fresh = segment.mark == Mark::None && bare && small(segment);
        (first, ack) = (fresh.then_some(*segment), None);
    }
    (holds, pairs)
}

/// Since when `held` was held back until `ack`, which answers `before`; None if it was not.
fn held_since(
    stretch: &Stretch<'_>,
    way: Direction,
    before: &Segment,
    ack: &Segment,
    held: &Segment,
) -> Option<Stamp> {
    let delayed = DELAY.contains(&ack.at.since(before.at));
    if !delayed || held.mark != Mark::None || held.at.since(ack.at) > AT_ONCE {
        return None;
    }
    if way == Direction::Received {
        return Some(before.at);
    }
    // What was handed over no sooner than the ACK came was not held back by it.
    let call = stretch.calls.iter().find(|call| {
        moved(call)
            .is_some_and(|(direction, range)| direction == way && range.contains(&held.range.start))
    })?;
    let since = call.start.max(before.at);
    (ack.at.since(since) >= DELAY.start / 2).then_some(since)
}
