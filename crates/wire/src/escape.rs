//! Bytes of a peer, made fit for a terminal.
//!
//! A terminal obeys what it is sent: control characters move the cursor, set the title, answer
//! for the user; bidirectional controls show a line in another order than it has. All of them
//! leave here as visible text.

use std::fmt::{self, Write};

use unicode_width::UnicodeWidthChar;

/// Shows bytes with everything a terminal would obey written out as `\n`, `\xNN` or `\u{…}`.
///
/// ```
/// use sockeye_wire::escape::Escaped;
///
/// assert_eq!(Escaped(b"GET /\x1b[2J\r\n").to_string(), r"GET /\x1b[2J\r\n");
/// assert_eq!(Escaped("文件".as_bytes()).to_string(), "文件");
/// assert_eq!(Escaped(b"\xff\x80").to_string(), r"\xff\x80");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in pieces(self.0) {
            match piece {
                Piece::Char(shown) => f.write_char(shown)?,
                Piece::Escape(text) => f.write_str(text.as_str())?,
            }
        }
        Ok(())
    }
}

/// Escapes `text` and cuts it so that it takes at most `width` columns, `ellipsis` included.
///
/// A wide character (most of Chinese, Japanese and Korean) takes two columns and is never cut
/// in half, and neither is an escape. The ellipsis is left out where even it does not fit.
///
/// ```
/// use sockeye_wire::escape::fit;
///
/// assert_eq!(fit("GET /index.html", 10, "…"), "GET /inde…");
/// assert_eq!(fit("GET /文件目录", 10, "…"), "GET /文件…");
/// assert_eq!(fit("a\x1b[0mb", 40, "…"), r"a\x1b[0mb");
/// ```
#[must_use]
pub fn fit(text: &str, width: usize, ellipsis: &str) -> String {
    let ellipsis_width = ellipsis.chars().filter_map(char::width).sum::<usize>();
    let mut out = String::new();
    // Where to cut, should the text turn out to be too long.
    let mut cut = 0;
    let mut used = 0;
    for piece in pieces(text.as_bytes()) {
        let taken = piece.width();
        if used + taken > width {
            out.truncate(cut);
            if ellipsis_width <= width {
                out.push_str(ellipsis);
            }
            return out;
        }
        piece.push_to(&mut out);
        used += taken;
        if used + ellipsis_width <= width {
            cut = out.len();
        }
    }
    out
}

/// How many columns `text` takes once escaped.
///
/// ```
/// assert_eq!(sockeye_wire::escape::width("文件\n"), 6);
/// ```
#[must_use]
pub fn width(text: &str) -> usize {
    pieces(text.as_bytes()).map(|piece| piece.width()).sum()
}

/// One unit that is shown whole or not at all.
enum Piece {
    Char(char),
    Escape(Text),
}

impl Piece {
    fn width(&self) -> usize {
        match self {
            Piece::Char(shown) => shown.width().unwrap_or(0),
            Piece::Escape(text) => text.as_str().len(),
        }
    }

    fn push_to(&self, out: &mut String) {
        match self {
            Piece::Char(shown) => out.push(*shown),
            Piece::Escape(text) => out.push_str(text.as_str()),
        }
    }
}

/// The text of one escape: at most `\u{10ffff}`.
#[derive(Default)]
struct Text {
    bytes: [u8; 10],
    len: usize,
}

impl Text {
    fn new(arguments: fmt::Arguments<'_>) -> Text {
        let mut text = Text::default();
        // Every escape made below fits; a longer one would only be cut.
        let _ = text.write_fmt(arguments);
        text
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(|character| match character {
            '\n' => Piece::Escape(Text::new(format_args!("\\n"))),
            '\r' => Piece::Escape(Text::new(format_args!("\\r"))),
            '\t' => Piece::Escape(Text::new(format_args!("\\t"))),
            // A single byte on the wire is told as one.
            '\0'..='\x1f' | '\x7f' => {
                Piece::Escape(Text::new(format_args!("\\x{:02x}", u32::from(character))))
            }
            _ if is_obeyed(character) => {
                Piece::Escape(Text::new(format_args!("\\u{{{:x}}}", u32::from(character))))
            }
            _ => Piece::Char(character),
        });
        let invalid = chunk
            .invalid()
            .iter()
            .map(|byte| Piece::Escape(Text::new(format_args!("\\x{byte:02x}"))));
        valid.chain(invalid)
    })
}

/// Whether a terminal or its text layout would act on the character instead of showing it, or
/// would show nothing at all: C1 controls, and the format characters of Unicode (category Cf),
/// line and paragraph separators, private use and the code points that are no characters.
///
/// ASCII controls, which are shown as escapes of their own, are among them.
///
/// ```
/// use sockeye_wire::escape::is_obeyed;
///
/// assert!(is_obeyed('\u{202e}') && is_obeyed('\x1b') && is_obeyed('\u{9b}'));
/// assert!(!is_obeyed('a') && !is_obeyed('é') && !is_obeyed('文'));
/// ```
#[must_use]
pub fn is_obeyed(character: char) -> bool {
    matches!(
        u32::from(character),
        0x80..=0x9f
            | 0xad
            | 0x0600..=0x0605
            | 0x061c
            | 0x06dd
            | 0x070f
            | 0x0890..=0x0891
            | 0x08e2
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0x3164
            | 0xe000..=0xf8ff
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfffb
            | 0xfffe..=0xffff
            | 0x110bd
            | 0x110cd
            | 0x13430..=0x1345f
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0000..=0x10ffff
    )
    // What takes no column (combining marks) could pile up over other lines.
    || character.width().unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn controls_of_both_sets_and_of_direction_are_written_out() {
        let hostile = "a\u{9b}2J\u{202e}txt\u{2066}\u{7f}\u{feff}\u{200d}\0";
        assert_eq!(
            Escaped(hostile.as_bytes()).to_string(),
            r"a\u{9b}2J\u{202e}txt\u{2066}\x7f\u{feff}\u{200d}\x00"
        );
    }

    #[test]
    fn a_wide_character_is_never_cut_in_half() {
        assert_eq!(fit("文件文件", 5, "…"), "文件…");
        assert_eq!(fit("文件文件", 6, "…"), "文件…");
        assert_eq!(fit("文件", 4, "…"), "文件");
        assert_eq!(fit("文件", 3, "..."), "...");
        assert_eq!(fit("文件", 1, "..."), "");
    }

    #[test]
    fn an_escape_is_shown_whole_or_not_at_all() {
        assert_eq!(fit("ab\x1bcd", 5, "…"), "ab…");
        assert_eq!(fit("ab\x1b", 6, "…"), r"ab\x1b");
    }

    proptest! {
        #[test]
        fn nothing_a_terminal_obeys_survives(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let shown = Escaped(&bytes).to_string();
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_obeyed(c)));
        }

        #[test]
        fn no_text_is_wider_than_it_may_be(text in any::<String>(), limit in 0..40usize) {
            let shown = fit(&text, limit, "…");
            prop_assert!(width(&shown) <= limit);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_obeyed(c)));
            if width(&text) <= limit {
                prop_assert_eq!(shown, Escaped(text.as_bytes()).to_string());
            }
        }
    }
}
