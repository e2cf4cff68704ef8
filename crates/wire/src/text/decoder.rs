//! Decoding a stream that is cut anywhere.

use std::fmt::Write;

use encoding_rs::DecoderResult;

use super::Encoding;

/// The most bytes that a malformed sequence and what was read behind it can have:
/// four and three, by the documentation of `DecoderResult`.
const LOOK_BACK: usize = 7;

/// Decodes a stream of text piece by piece.
///
/// A character that is cut over two pieces comes out whole, with the second. Bytes that are no
/// text come out as `\xNN`, each of them, and so does that text itself if somebody sent it; a byte
/// order mark comes out as the character it is.
/// What comes out may hold control characters: it needs [`Escaped`](crate::escape::Escaped) ahead
/// of a terminal.
///
/// ```
/// use sockeye_wire::text::{Encoding, TextDecoder};
///
/// let mut decoder = TextDecoder::new("utf-8".parse::<Encoding>()?);
/// let mut text = String::new();
/// decoder.decode(b"\xe6\x96", &mut text);
/// assert_eq!(text, "");
/// decoder.decode(b"\x87 \xff.\xe4", &mut text);
/// assert_eq!(text, r"文 \xff.");
/// decoder.finish(&mut text);
/// assert_eq!(text, r"文 \xff.\xe4");
/// assert_eq!(decoder.malformed(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TextDecoder {
    encoding: Encoding,
    decoder: encoding_rs::Decoder,
    /// The last bytes of earlier pieces, because what is malformed may have begun there.
    tail: [u8; LOOK_BACK],
    malformed: u64,
}

impl TextDecoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub fn new(encoding: Encoding) -> TextDecoder {
        TextDecoder {
            encoding,
            decoder: encoding.0.new_decoder_without_bom_handling(),
            tail: [0; LOOK_BACK],
            malformed: 0,
        }
    }

    /// The encoding it was made with.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// How many bytes were no text so far.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Appends to `out` the text that is complete with these bytes.
    pub fn decode(&mut self, bytes: &[u8], out: &mut String) {
        self.run(bytes, false, out);
    }

    /// Appends what was left unfinished, as `\xNN`, and is as new for another stream.
    pub fn finish(&mut self, out: &mut String) {
        self.run(&[], true, out);
        self.decoder = self.encoding.0.new_decoder_without_bom_handling();
    }

    fn run(&mut self, bytes: &[u8], last: bool, out: &mut String) {
        let mut done = 0;
        loop {
            let rest = &bytes[done..];
            let room = self.decoder.max_utf8_buffer_length_without_replacement(rest.len());
            // `None` is an overflow, which the loop makes up for.
            out.reserve(room.unwrap_or(rest.len()).max(16));
            let (result, read) = self.decoder.decode_to_string_without_replacement(rest, out, last);
            done += read;
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(length, behind) => {
                    let (length, behind) = (usize::from(length), usize::from(behind));
                    for back in (behind + 1..=behind + length).rev() {
                        // Counted from what has been read, over the seam of the pieces.
                        let byte = if back <= done {
                            bytes[done - back]
                        } else {
                            self.tail[LOOK_BACK + done - back]
                        };
                        write!(out, "\\x{byte:02x}").expect("a String takes all");
                        self.malformed += 1;
                    }
                }
            }
        }
        let kept = bytes.len().min(LOOK_BACK);
        self.tail.copy_within(kept.., 0);
        self.tail[LOOK_BACK - kept..].copy_from_slice(&bytes[bytes.len() - kept..]);
    }
}

impl std::fmt::Debug for TextDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextDecoder")
            .field("encoding", &self.encoding)
            .field("malformed", &self.malformed)
            .finish_non_exhaustive()
    }
}
