//! The chunks of a body whose framing was found to be right, as they came.

use serde::Serialize;

use super::arrived::{Place, Shown};
use super::decoded::MOST_LISTED;

/// A chunk.
#[derive(Debug, Serialize)]
pub(super) struct ChunkSeen {
    /// From the first digit of its size through the CRLF behind its data, from the start of the request.
    pub(super) bytes: Place,
    pub(super) size: u64,
    /// What stands behind the size, from the first `;` on; mostly nothing.
    pub(super) extensions: Shown,
}

/// The chunks in `raw`, which begins at `start`; false if it ends before the last one, or there are more
/// than are listed.
pub(super) fn list(raw: &[u8], start: u64) -> (Vec<ChunkSeen>, bool) {
    let mut chunks = Vec::new();
    let mut at = 0;
    while let Some(rest) = raw.get(at..)
        && let Some(end) = memchr::memmem::find(rest, b"\r\n")
    {
        let line = rest.get(..end).unwrap_or_default();
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = line.get(..digits).and_then(|digits| str::from_utf8(digits).ok());
        let Some(size) = size.and_then(|size| u64::from_str_radix(size, 16).ok()) else { break };
        if chunks.len() == MOST_LISTED {
            break;
        }
        let head = end + 2;
        // The last one has no data and no CRLF behind it.
        let whole = if size == 0 {
            Some(head)
        } else {
            usize::try_from(size).ok().and_then(|size| size.checked_add(head + 2))
        };
        let Some(next) = whole.and_then(|whole| at.checked_add(whole)) else { break };
        chunks.push(ChunkSeen {
            bytes: (start + at as u64, start + next as u64),
            size,
            extensions: Shown(line.get(digits..).unwrap_or_default().to_vec()),
        });
        if size == 0 {
            return (chunks, true);
        }
        at = next;
    }
    (chunks, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_listed_with_places_sizes_and_extensions() {
        let (chunks, whole) = list(b"5;a=\"b\"\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", 100);
        let shown: Vec<_> =
            chunks.iter().map(|chunk| (chunk.bytes, chunk.size, &chunk.extensions.0[..])).collect();
        let expected: [(Place, u64, &[u8]); 3] =
            [((100, 116), 5, b";a=\"b\""), ((116, 131), 10, b""), ((131, 134), 0, b"")];
        assert_eq!((&shown[..], whole), (&expected[..], true));
    }

    #[test]
    fn what_was_cut_is_said_to_be() {
        for raw in [&b""[..], b"5", b"5\r\nhel", b"ffffffffffffffff\r\nx", b"5\r\nhello\r\n"] {
            assert!(!list(raw, 0).1);
        }
    }
}
