//! A header's fields as rows: their bytes, and what they mean on this connection.

use sockeye_engine::probe::{Direction, Role};
use sockeye_wire::layers::{Checksum, Field, Meaning, Name, Pdu, Protocol, Value};

use super::Sight;
use super::boxes::{Piece, Row};

/// A field as a row.
pub(super) fn row(seen: &Sight<'_>, pdu: &Pdu, field: &Field) -> Row {
    let of_connection = on_connection(seen, pdu, field).map(Piece::plain);
    let left = Some(Meaning::Checksum(Checksum::LeftToCard));
    let of_connection = match field.meaning == left && seen.is_of_loopback() {
        true => Some(Piece::dim(seen.words.left_on_loopback)),
        false => of_connection,
    };
    let itself = field.meaning.as_ref().map(|meaning| Piece {
        text: (seen.words.meaning)(meaning),
        ..if is_alarming(meaning) { Piece::warning("") } else { Piece::dim("") }
    });
    Row {
        at: Some(field.bits.start / 8),
        bytes: bytes(&seen.frame.bytes, field),
        name: (seen.words.name)(field.name).to_owned(),
        value: field.value.to_string(),
        meaning: of_connection.or(itself).unwrap_or_default(),
    }
}

fn is_alarming(meaning: &Meaning) -> bool {
    matches!(
        meaning,
        Meaning::Checksum(Checksum::Wrong(_))
            | Meaning::TooLong
            | Meaning::TooShort
            | Meaning::NotZero
    )
}

/// What a field means on its connection.
fn on_connection(seen: &Sight<'_>, pdu: &Pdu, field: &Field) -> Option<String> {
    let (history, direction, words) = (seen.history?, seen.direction?, seen.words);
    if pdu.protocol != Protocol::Tcp {
        return None;
    }
    let from = match direction {
        Direction::Sent => history.role,
        Direction::Received => crate::timeline::other(history.role),
    };
    let end = |role| match role {
        Role::Client => words.client.to_owned(),
        Role::Server => words.server.to_owned(),
    };
    let segment = seen.segment;
    match field.name {
        Name::SourcePort => Some(end(from)),
        Name::DestinationPort => Some(end(crate::timeline::other(from))),
        Name::SequenceNumber => {
            let segment = segment?;
            Some(match segment.flags.syn() {
                true => words.first_number.to_owned(),
                false => (words.offset)(segment.range.start),
            })
        }
        Name::Acknowledgment => {
            let ack = segment?.ack?;
            Some(match ack.fin {
                true => words.fin_acknowledged.to_owned(),
                false => (words.next_expected)(ack.offset),
            })
        }
        Name::Window => {
            let scaled = u64::from(segment?.window);
            // Unscaled it says so itself.
            (field.value != Value::Number(scaled)).then(|| (words.window)(scaled))
        }
        _ => None,
    }
}

/// The bytes of a field, one by one: in hexadecimal where all of a digit is its own, else as bits,
/// with a dot for what is another field's.
fn bytes(frame: &[u8], field: &Field) -> Vec<String> {
    let by_digits = field.bits.start.is_multiple_of(4)
        && field.bits.end.is_multiple_of(4)
        && field.name != Name::ControlBits;
    let own = |bit: usize| field.bits.contains(&bit);
    let captured = field.bytes().filter_map(|at| Some((at, *frame.get(at)?)));
    captured
        .map(|(at, byte)| match by_digits {
            true => format!("{byte:02x}")
                .chars()
                .enumerate()
                .map(|(digit, letter)| if own(at * 8 + digit * 4) { letter } else { '.' })
                .collect(),
            false => {
                let bit = |bit: usize| match (own(at * 8 + bit), byte >> (7 - bit) & 1) {
                    (false, _) => '.',
                    (true, 0) => '0',
                    (true, _) => '1',
                };
                let half = |from: usize| (from..from + 4).map(bit).collect::<String>();
                format!("{} {}", half(0), half(4))
            }
        })
        .collect()
}
