//! What the innermost header carries: the program's messages, where they are known, and bytes.

use std::ops::Range;

use sockeye_wire::escape;
use sockeye_wire::layers::{Layer, Stop};

use super::Sight;
use super::boxes::{Boxed, Piece};
use crate::record::Message;
use crate::recorder::{Named, Part};
use crate::timeline::index;

/// So many bytes of a message are shown, the first ones.
const SHOWN: usize = 64;

/// So many messages of a unit are drawn.
const MESSAGES: usize = 4;

/// So many columns of a label are shown.
const LABEL: usize = 60;

/// A box for each message, or for the payload as a whole.
pub(super) fn boxes(seen: &Sight<'_>) -> Vec<Boxed> {
    if seen.unit.payload_length == 0 || seen.unit.stop == Stop::Cut {
        return Vec::new();
    }
    let found = messages(seen);
    let mut boxes: Vec<Boxed> = match (&found[..], seen.segment) {
        ([], _) => match seen.named.filter(|_| seen.unit.stop == Stop::Payload) {
            Some(named) => vec![datagram(seen, named)],
            None => vec![whole(seen)],
        },
        (found, Some(segment)) => {
            found.iter().take(MESSAGES).map(|found| message(seen, found, &segment.range)).collect()
        }
        (_, None) => vec![whole(seen)],
    };
    if let (Some(last), Some(text)) = (boxes.last_mut(), seen.offload_sized()) {
        last.notes.push(Piece::warning(text));
    }
    if found.len() > MESSAGES
        && let Some(last) = boxes.last_mut()
    {
        let more = found.len() - MESSAGES;
        last.notes.push(Piece::dim(format!("+ {more} {}", seen.words.message)));
    }
    boxes
}

/// What the first message is called, or how much there is.
pub(super) fn first_label(seen: &Sight<'_>) -> Option<String> {
    if let Some(named) = seen.named.filter(|named| !named.label.is_empty()) {
        return Some(fitted(seen, &named.label));
    }
    let found = messages(seen);
    let first = found.first()?;
    Some(label(seen, first.message))
}

/// A message that lies in the unit, at least in part.
struct Found<'a> {
    message: &'a Message,
    number: u64,
    of: u64,
}

fn messages<'a>(seen: &Sight<'a>) -> Vec<Found<'a>> {
    let (Some(history), Some(segment)) = (seen.history, seen.segment) else { return Vec::new() };
    let of = history.totals.messages[index(segment.direction)];
    let ours = |message: &&Message| message.direction == segment.direction;
    let overlaps = |message: &Message| {
        message.range.start < segment.range.end && segment.range.start < message.range.end
    };
    let head = history.messages.head().filter(ours).zip(1_u64..);
    // The last ones are counted from the end.
    let behind = history.messages.tail().filter(ours).count() as u64;
    let tail = history.messages.tail().filter(ours).zip(of.saturating_sub(behind) + 1..);
    head.chain(tail)
        .filter(|(message, _)| overlaps(message))
        .map(|(message, number)| Found { message, number, of })
        .collect()
}

fn label(seen: &Sight<'_>, message: &Message) -> String {
    fitted(seen, &message.label)
}

fn fitted(seen: &Sight<'_>, label: &str) -> String {
    escape::fit(label, LABEL, seen.style.glyphs().ellipsis)
}

/// The datagram that is known, or as much of it as its first fragment carries.
fn datagram(seen: &Sight<'_>, named: &Named) -> Boxed {
    let length = seen.unit.payload_length;
    let mut title = vec![Piece::strong((seen.words.numbered_datagram)(named.number))];
    if !named.label.is_empty() {
        title.push(Piece::plain(fitted(seen, &named.label)));
    }
    title.push(Piece::state(application(seen)));
    let size = match named.part {
        Part::First => (seen.words.part)([0, length as u64], [0, named.length]),
        _ => (seen.words.bytes)(named.length),
    };
    let mut boxed = Boxed { title, size, ..Boxed::default() };
    show(seen, 0, length, &mut boxed);
    boxed
}

fn message(seen: &Sight<'_>, found: &Found<'_>, carried: &Range<u64>) -> Boxed {
    let all = &found.message.range;
    let part = all.start.max(carried.start)..all.end.min(carried.end);
    let mut title = vec![Piece::strong((seen.words.numbered)(found.number, found.of))];
    if !found.message.label.is_empty() {
        title.push(Piece::plain(label(seen, found.message)));
    }
    title.push(Piece::state(application(seen)));
    let size = (seen.words.part)([part.start, part.end], [all.start, all.end]);
    let skipped = usize::try_from(part.start - carried.start).unwrap_or(usize::MAX);
    let length = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
    let mut boxed = Boxed { title, size, ..Boxed::default() };
    show(seen, skipped, length, &mut boxed);
    boxed
}

/// All that is carried, of which no message is known.
fn whole(seen: &Sight<'_>) -> Boxed {
    let length = seen.unit.payload_length;
    let mut title = vec![Piece::strong(seen.words.payload_column)];
    if seen.unit.pdu(Layer::Transport).is_some() && seen.unit.stop == Stop::Payload {
        title.push(Piece::state(application(seen)));
    }
    let size = match seen.segment {
        Some(segment) => (seen.words.bytes_at)(segment.range.start, segment.range.end),
        None => (seen.words.bytes)(length as u64),
    };
    let mut boxed = Boxed { title, size, ..Boxed::default() };
    show(seen, 0, length, &mut boxed);
    boxed
}

fn application(seen: &Sight<'_>) -> String {
    let layer = Layer::Application;
    format!("{}, OSI {}", (seen.words.of_layer)(layer), layer.osi())
}

/// Shows the first bytes of so many of the payload, and says how many more there are.
fn show(seen: &Sight<'_>, skipped: usize, length: usize, boxed: &mut Boxed) {
    let payload = &seen.unit.payload;
    let start = payload.start.saturating_add(skipped).min(payload.end);
    let captured = start..start.saturating_add(length).min(payload.end);
    let bytes = seen.frame.bytes.get(captured.clone()).unwrap_or_default();
    let shown = &bytes[..bytes.len().min(SHOWN)];
    boxed.dump = (!shown.is_empty()).then(|| (start, shown.to_vec()));
    let ellipsis = seen.style.glyphs().ellipsis;
    let more = bytes.len() - shown.len();
    let lacking = length - captured.len();
    if more > 0 {
        let all = if lacking > 0 { more + lacking } else { more };
        boxed.notes.push(Piece::dim(format!("{ellipsis} {}", (seen.words.more)(all as u64))));
    } else if lacking > 0 {
        let text = (seen.words.more_not_kept)(lacking as u64);
        boxed.notes.push(Piece::dim(format!("{ellipsis} {text}")));
    }
}
