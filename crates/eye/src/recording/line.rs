//! A line of JSON that is safe to look at: nothing that a terminal would obey is raw in it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use sockeye_wire::escape::is_obeyed;

/// Appends a line with its end.
pub(super) fn append(lines: &mut Vec<u8>, line: &impl Serialize) {
    // It can't fail: memory takes all, and nothing here has keys that are no text.
    let _ = line.serialize(&mut Serializer::with_formatter(&mut *lines, Escaping));
    lines.push(b'\n');
}

/// Compact, and with DEL, C1 controls, format characters and what takes no column escaped too: JSON has
/// no need of that, but a terminal that shows the file obeys them.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(place) = rest.find(is_obeyed) {
            let (before, from) = rest.split_at(place);
            writer.write_all(before.as_bytes())?;
            let mut letters = from.chars();
            if let Some(letter) = letters.next() {
                // Beyond U+FFFF it takes two (RFC 8259 section 7).
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = letters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_of_all_kinds_are_escaped() {
        let mut lines = Vec::new();
        append(&mut lines, &"a\x1b[2J\u{7f}é\u{9b}2J\n\"");
        let line = String::from_utf8(lines).unwrap();
        assert_eq!(line, "\"a\\u001b[2J\\u007fé\\u009b2J\\n\\\"\"\n");
    }

    #[test]
    fn what_turns_a_line_round_is_escaped() {
        let mut lines = Vec::new();
        append(&mut lines, &"exe.\u{202e}txt\u{2028}\u{feff}\u{e0041}文");
        let line = String::from_utf8(lines).unwrap();
        assert_eq!(line, "\"exe.\\u202etxt\\u2028\\ufeff\\udb40\\udc41文\"\n");
    }

    proptest! {
        /// The classes are those of Unicode's own tables.
        #[test]
        fn no_control_and_no_format_character_stands_in_a_line(
            text in "[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]{1,30}",
        ) {
            let mut lines = Vec::new();
            append(&mut lines, &text);
            let line = lines.strip_suffix(b"\n").unwrap();
            prop_assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)), "{:?}", line);
            prop_assert_eq!(serde_json::from_slice::<String>(line).unwrap(), text);
        }

        #[test]
        fn any_text_comes_out_as_it_went_in(text in "[\\x00-\\xa0\\p{Cf}é文\"\\\\]{0,30}") {
            let mut lines = Vec::new();
            append(&mut lines, &text);
            prop_assert!(!String::from_utf8(lines.clone()).unwrap().trim_end().contains(char::is_control));
            prop_assert_eq!(serde_json::from_slice::<String>(&lines).unwrap(), text);
        }
    }
}
