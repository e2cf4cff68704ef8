//! The name under which a client keeps what it gets.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Longest name of an archive without its extension, in bytes: most file systems take 255.
const LONGEST: usize = 200;

/// All but `attr-char` (RFC 8187 §3.2.1).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A file name made fit for every system: what could be taken for a path, a device or a control
/// character is an underscore. Never empty, and no dot in front.
pub(super) fn plain(name: &[u8]) -> String {
    let mut fit = String::new();
    for character in String::from_utf8_lossy(name).chars() {
        let odd = character.is_control()
            || "/\\:*?\"<>|\u{fffd}".contains(character)
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if fit.len() + character.len_utf8() > LONGEST {
            break;
        }
        fit.push(if odd { '_' } else { character });
    }
    let fit = fit.trim_start_matches('.').trim_end_matches(['.', ' ']);
    if fit.is_empty() { "folder".to_owned() } else { fit.to_owned() }
}

/// `attachment` with the name twice: in ASCII for who knows no other, and whole (RFC 6266 §4.3, with
/// the order of its appendix D).
pub(super) fn attachment(name: &str) -> String {
    let ascii = |character: char| match character {
        ' '..='~' if !"\"\\%".contains(character) => character,
        _ => '_',
    };
    let mut value = String::from("attachment; filename=\"");
    value.extend(name.chars().map(ascii));
    let _ = write!(value, "\"; filename*=UTF-8''{}", utf8_percent_encode(name, ATTRIBUTE));
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_told_in_ascii_and_whole() {
        assert_eq!(
            attachment("a b 名.zip"),
            "attachment; filename=\"a b _.zip\"; filename*=UTF-8''a%20b%20%E5%90%8D.zip"
        );
        assert_eq!(
            attachment("50%\"\\.zip"),
            "attachment; filename=\"50___.zip\"; filename*=UTF-8''50%25%22%5C.zip"
        );
    }

    #[test]
    fn what_could_be_a_path_or_a_device_is_none() {
        for (name, fit) in [
            (&b"photos"[..], "photos"),
            (b"..", "folder"),
            (b".", "folder"),
            (b"", "folder"),
            (b".git", "git"),
            (b"c:\\x", "c__x"),
            (b"a\nb", "a_b"),
            (b"\xff", "_"),
            ("名\u{202e}".as_bytes(), "名_"),
        ] {
            assert_eq!(plain(name), fit);
        }
        assert!(plain("名".repeat(100).as_bytes()).len() <= LONGEST);
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_segment_and_a_valid_line(name: Vec<u8>) {
            let fit = plain(&name);
            prop_assert!(!fit.is_empty() && !fit.starts_with('.') && !fit.contains(['/', '\\']));
            let line = attachment(&fit);
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let quotes = line.matches('"').count();
            prop_assert_eq!(quotes, 2);
            let (_, whole) = line.split_once("UTF-8''").expect("it is there");
            let back = percent_encoding::percent_decode_str(whole).decode_utf8().expect("as it was");
            prop_assert_eq!(&*back, &fit);
        }
    }
}
