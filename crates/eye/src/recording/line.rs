//! A line of JSON that is safe to look at: no control character in it is raw.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Appends a line with its end.
pub(super) fn append(lines: &mut Vec<u8>, line: &impl Serialize) {
    // It can't fail: memory takes all, and nothing here has keys that are no text.
    let _ = line.serialize(&mut Serializer::with_formatter(&mut *lines, Escaping));
    lines.push(b'\n');
}

/// Compact, and with DEL and what follows it escaped too: JSON has no need of that, but a terminal that
/// shows the file takes them for commands.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(place) = rest.find(is_control) {
            let (before, from) = rest.split_at(place);
            writer.write_all(before.as_bytes())?;
            let mut letters = from.chars();
            if let Some(letter) = letters.next() {
                write!(writer, "\\u{:04x}", u32::from(letter))?;
            }
            rest = letters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Those below U+0020 never come here: they are escaped by JSON itself.
fn is_control(letter: char) -> bool {
    ('\u{7f}'..='\u{9f}').contains(&letter)
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

    proptest! {
        #[test]
        fn any_text_comes_out_as_it_went_in(text in "[\\x00-\\xa0é文\"\\\\]{0,30}") {
            let mut lines = Vec::new();
            append(&mut lines, &text);
            prop_assert!(!String::from_utf8(lines.clone()).unwrap().trim_end().contains(char::is_control));
            prop_assert_eq!(serde_json::from_slice::<String>(&lines).unwrap(), text);
        }
    }
}
