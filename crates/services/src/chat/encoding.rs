//! Lines as people send and get them: cut, without control characters, in the room's encoding.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use sockeye_wire::escape::Escaped;
use sockeye_wire::text::{Encoding, TextDecoder};

/// Cuts what one person sends into lines.
pub(super) struct Lines {
    decoder: TextDecoder,
    text: String,
    longest: usize,
}

/// A line is longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    /// `longest` is in bytes of UTF-8.
    pub(super) fn new(encoding: Encoding, longest: usize) -> Lines {
        Lines { decoder: TextDecoder::new(encoding), text: String::new(), longest }
    }

    /// Takes the next bytes, and hands every line to `each` that is whole, without its end (LF or CR
    /// LF), until `each` wants no more.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&str) -> bool,
    ) -> Result<(), TooLong> {
        self.decoder.decode(bytes, &mut self.text);
        let mut done = 0;
        while let Some(end) = self.text[done..].find('\n') {
            let line = &self.text[done..done + end];
            if line.len() > self.longest {
                return Err(TooLong);
            }
            done += end + 1;
            if !each(line.strip_suffix('\r').unwrap_or(line)) {
                break;
            }
        }
        self.text.drain(..done);
        if self.text.len() > self.longest { Err(TooLong) } else { Ok(()) }
    }

    /// What came last, without an end of its own.
    pub(super) fn rest(mut self) -> Option<String> {
        self.decoder.finish(&mut self.text);
        (!self.text.is_empty()).then_some(self.text)
    }
}

/// The text without what a terminal would obey; tabs become spaces.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut buffer = [0; 4];
    for character in text.chars() {
        if character == '\t' {
            plain.push(' ');
        } else if character.is_ascii() {
            plain.extend((!character.is_ascii_control()).then_some(character));
        } else {
            // What would have to be escaped is left out.
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            let start = plain.len();
            let _ = write!(plain, "{}", Escaped(bytes));
            if plain.as_bytes()[start] == b'\\' {
                plain.truncate(start);
            }
        }
    }
    plain
}

/// A line in the room's encoding, with its end; characters that it does not have become `?`.
pub(super) fn line(text: fmt::Arguments<'_>, encoding: Encoding) -> Bytes {
    let text = format!("{text}\n");
    let mut out = Vec::with_capacity(text.len());
    if encoding.encode(&text, &mut out).is_err() {
        let mut buffer = [0; 4];
        for character in text.chars() {
            if encoding.encode(character.encode_utf8(&mut buffer), &mut out).is_err() {
                let _ = encoding.encode("?", &mut out);
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]], longest: usize) -> Result<Vec<String>, TooLong> {
        let mut lines = Lines::new(Encoding::UTF_8, longest);
        let mut all = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| {
                all.push(line.to_owned());
                true
            })?;
        }
        all.extend(lines.rest());
        Ok(all)
    }

    #[test]
    fn lines_end_with_either_end_and_the_last_one_with_none() {
        let expected = ["one", "two", "", "th\u{e9}"];
        assert_eq!(
            cut(&[b"one\r\ntw", b"o\n\nth\xc3", b"\xa9"], 10),
            Ok(expected.map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn a_line_too_long_is_told_before_its_end_has_come() {
        assert_eq!(cut(&[b"0123456789\n"], 10).map(|lines| lines.len()), Ok(1));
        assert_eq!(cut(&[b"01234567890"], 10), Err(TooLong));
        assert_eq!(cut(&[b"01234", b"567890\n"], 10), Err(TooLong));
    }

    #[test]
    fn what_an_encoding_lacks_is_a_question_mark() {
        let latin: Encoding = "windows-1252".parse().expect("it is one");
        assert_eq!(&line(format_args!("a\u{e9}\u{6587}"), latin)[..], b"a\xe9?\n");
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_were_cut(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            at in 0usize..200,
        ) {
            let at = at.min(bytes.len());
            prop_assert_eq!(cut(&[&bytes], 5000), cut(&[&bytes[..at], &bytes[at..]], 5000));
        }

        #[test]
        fn nothing_a_terminal_obeys_passes(text in any::<String>()) {
            let plain = plain(&text);
            prop_assert_eq!(Escaped(plain.as_bytes()).to_string(), plain);
        }
    }
}
