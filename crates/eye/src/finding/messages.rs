//! Messages and reads that don't match: a stream keeps no borders.

use std::ops::Range;

use sockeye_engine::probe::{Direction, Stamp};

use super::{Evidence, Finding, Found, Kind, Stretch};
use crate::record::{Certainty, History};
use crate::timeline::moved;

/// Reads that took several messages, and messages that took several reads.
///
/// Only our own reads are known, and only messages that are kept can be counted.
pub(super) fn find(history: &History, stretch: &Stretch<'_>, found: &mut Found) {
    let mut reads: Vec<(Stamp, Range<u64>)> = stretch
        .calls
        .iter()
        .filter_map(|call| Some((call.end, moved(call)?)))
        .filter(|(_, (direction, _))| *direction == Direction::Received)
        .map(|(at, (_, range))| (at, range))
        .collect();
    reads.sort_by_key(|(_, range)| range.start);
    let mut messages: Vec<Range<u64>> = history
        .messages
        .iter()
        .filter(|message| message.direction == Direction::Received && !message.range.is_empty())
        .map(|message| message.range.clone())
        .collect();
    messages.sort_by_key(|range| range.start);
    let reference = if history.is_tcp() { "RFC 9293 §2.2" } else { "unix(7)" };
    let finding = |kind, range: &Range<u64>, at, evidence| Finding {
        kind,
        by: Some(history.role),
        direction: Direction::Received,
        range: range.clone(),
        at,
        count: 1,
        evidence,
        certainty: Certainty::Exact,
        reference,
    };
    for (at, read) in &reads {
        let first = messages.partition_point(|message| message.start < read.start);
        let behind = messages.partition_point(|message| message.start < read.end);
        let within = messages.get(first..behind).unwrap_or_default();
        let whole = within.iter().filter(|message| message.end <= read.end);
        let (count, end) =
            whole.fold((0, read.start), |(count, end), message| (count + 1, message.end.max(end)));
        if count > 1 {
            let range = within[0].start..end;
            let bytes = range.end - range.start;
            let evidence = Evidence { messages: count, calls: 1, bytes, ..Evidence::default() };
            found.add(finding(Kind::Sticky, &range, *at, evidence));
        }
    }
    for message in &messages {
        let first = reads.partition_point(|(_, read)| read.end <= message.start);
        let behind = reads.partition_point(|(_, read)| read.start < message.end);
        let parts = reads.get(first..behind).unwrap_or_default();
        if let [(begun, _), .., (done, _)] = parts {
            let evidence = Evidence {
                messages: 1,
                calls: parts.len() as u64,
                bytes: message.end - message.start,
                nanos: done.0.saturating_sub(begun.0),
                ..Evidence::default()
            };
            found.add(finding(Kind::Torn, message, *begun, evidence));
        }
    }
}
