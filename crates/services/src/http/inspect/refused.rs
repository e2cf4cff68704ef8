//! What a client is told whose bytes are no request: where they stop being one.

use std::fmt::Write as _;

use sockeye_http::{
    BodyDecoder, BodyLimits, Framing, HeaderStorage, Limits, StatusCode, parse_request,
};
use sockeye_wire::hex::Dump;

/// So many bytes before the fault are shown, and so many behind it.
const BEFORE: usize = 64;
const BEHIND: usize = 32;

/// Text for the answer to a head that is refused because of `error`.
pub(in crate::http) fn head(
    bytes: &[u8],
    limits: &Limits,
    status: StatusCode,
    error: &str,
) -> String {
    // A prefix that is refused makes all that begins with it refused, so the first one can be halved
    // for.
    let is_refused = |length: &usize| {
        let mut storage = HeaderStorage::new();
        let prefix = bytes.get(..*length).unwrap_or(bytes);
        parse_request(prefix, limits, &mut storage).is_err()
    };
    let (mut fine, mut refused) = (0, bytes.len());
    while fine + 1 < refused {
        let half = fine + (refused - fine) / 2;
        if is_refused(&half) {
            refused = half;
        } else {
            fine = half;
        }
    }
    explain(bytes, fine, status, error)
}

/// The same for a body, as far as it is at hand.
pub(super) fn body(raw: &[u8], framing: Framing, status: StatusCode, error: &str) -> String {
    let mut decoder = BodyDecoder::new(framing, BodyLimits::default());
    let is_wrong = |byte: &u8| decoder.skip(std::slice::from_ref(byte)).is_err();
    match raw.iter().position(is_wrong) {
        Some(at) => explain(raw, at, status, error),
        None => format!("{} {}\n{error}\n", status.as_str(), reason(status)),
    }
}

/// `at` is the byte by which it is clear.
fn explain(bytes: &[u8], at: usize, status: StatusCode, error: &str) -> String {
    let mut text = format!("{} {}\n{error}\n", status.as_str(), reason(status));
    let Some(byte) = bytes.get(at) else { return text };
    let _ = writeln!(text, "\nThis is clear at byte {at} (0x{at:x}), which is {byte:02x}:");
    // Whole rows, so that columns are offsets.
    let first = at.saturating_sub(BEFORE) & !0xf;
    let last = bytes.len().min(at.saturating_add(BEHIND));
    let mut dump = Dump::new(first as u64);
    let mut rows = String::new();
    dump.push(bytes.get(first..last).unwrap_or_default(), &mut rows);
    dump.finish(&mut rows);
    let fault_row = (at - first) / 16;
    for (number, row) in rows.lines().enumerate() {
        let _ = writeln!(text, "{row}");
        if number == fault_row {
            // Offset, then three columns a byte, with one more before each eight.
            let column = 10 + at % 16 * 3 + at % 16 / 8;
            let _ = writeln!(text, "{:column$}^^", "");
        }
    }
    text
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_that_makes_it_wrong_is_marked() {
        let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n";
        let text = head(bytes, &Limits::default(), StatusCode::BAD_REQUEST, "why");
        let expected = "400 Bad Request\nwhy\n\nThis is clear at byte 26 (0x1a), which is 20:\n\
            00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n\
            00000010  48 6f 73 74 3a 20 68 0d  0a 41 20 3a 20 62 0d 0a  |Host: h..A : b..|\n\
            \x20                                        ^^\n\
            00000020  0d 0a                                             |..|\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_chunk_size_that_is_none_is_marked() {
        let text = body(b"5\r\nhello\r\nxyz", Framing::Chunked, StatusCode::BAD_REQUEST, "why");
        assert!(text.contains("byte 10 (0xa), which is 78:"), "{text}");
    }
}
