//! A message's name, written behind others without allocation of its own.

use std::fmt::{self, Write};

/// How many bytes of a message's name are kept.
const CAPACITY: usize = 63;

/// Appends the first bytes of a name, cut between two characters; returns how many they are.
pub(super) fn append(names: &mut String, text: fmt::Arguments<'_>) -> u8 {
    let before = names.len();
    let mut label = Label { names, room: CAPACITY };
    match text.as_str() {
        Some(text) => {
            let _ = label.write_str(text);
        }
        // An error means that it was full, and a name may be cut.
        None => {
            let _ = label.write_fmt(text);
        }
    }
    u8::try_from(names.len() - before).unwrap_or_default()
}

struct Label<'a> {
    names: &'a mut String,
    room: usize,
}

impl Write for Label<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = text.get(..boundary_at_most(text, self.room)).unwrap_or_default();
        self.names.push_str(taken);
        // Full: whatever else would be formatted can't be kept, not even if it is shorter.
        if taken.len() < text.len() {
            return Err(fmt::Error);
        }
        self.room -= taken.len();
        Ok(())
    }
}

/// The largest index not above `index` where a character begins or the text ends.
fn boundary_at_most(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label(text: fmt::Arguments<'_>) -> String {
        let mut names = String::from("before");
        let length = append(&mut names, text);
        assert_eq!(names.len(), "before".len() + usize::from(length));
        names.split_off("before".len())
    }

    #[test]
    fn a_short_name_is_kept_whole() {
        assert_eq!(label(format_args!("GET /{}", "index.html")), "GET /index.html");
        assert_eq!(label(format_args!("")), "");
    }

    #[test]
    fn nothing_is_appended_behind_a_cut() {
        let long = "é".repeat(40);
        assert_eq!(label(format_args!("{long}{}", "x")), "é".repeat(31));
    }

    proptest! {
        #[test]
        fn a_label_is_the_longest_prefix_that_fits(text in "\\PC{0,80}") {
            let label = label(format_args!("{text}"));
            prop_assert!(text.starts_with(&label));
            let next = text.get(label.len()..).and_then(|rest| rest.chars().next());
            prop_assert!(next.is_none_or(|c| label.len() + c.len_utf8() > CAPACITY));
        }
    }
}
