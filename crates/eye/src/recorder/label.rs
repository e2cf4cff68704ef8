//! A message's name, written without allocation.

use std::fmt::{self, Write};

/// How many bytes of a message's name are kept.
const CAPACITY: usize = 63;

/// The first bytes of a name, cut between two characters.
#[derive(Clone, Copy)]
pub(super) struct Label {
    length: u8,
    bytes: [u8; CAPACITY],
}

impl Label {
    pub(super) fn format(text: fmt::Arguments<'_>) -> Label {
        let mut label = Label { length: 0, bytes: [0; CAPACITY] };
        match text.as_str() {
            Some(text) => {
                let _ = label.write_str(text);
            }
            // An error means that it was full, and a name may be cut.
            None => {
                let _ = label.write_fmt(text);
            }
        }
        label
    }

    pub(super) fn as_str(&self) -> &str {
        let kept = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        str::from_utf8(kept).unwrap_or_default()
    }
}

impl Write for Label {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let used = usize::from(self.length);
        let room = self.bytes.get_mut(used..).unwrap_or_default();
        let taken = boundary_at_most(text, room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..taken), text.as_bytes().get(..taken)) {
            to.copy_from_slice(from);
        }
        self.length = u8::try_from(used + taken).map_err(|_| fmt::Error)?;
        // Full: whatever else would be formatted can't be kept, not even if it is shorter.
        if taken < text.len() { Err(fmt::Error) } else { Ok(()) }
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

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_name_is_kept_whole() {
        assert_eq!(
            Label::format(format_args!("GET /{}", "index.html")).as_str(),
            "GET /index.html"
        );
        assert_eq!(Label::format(format_args!("")).as_str(), "");
    }

    #[test]
    fn nothing_is_appended_behind_a_cut() {
        let long = "é".repeat(40);
        let label = Label::format(format_args!("{long}{}", "x"));
        assert_eq!(label.as_str(), "é".repeat(31));
    }

    proptest! {
        #[test]
        fn a_label_is_the_longest_prefix_that_fits(text in "\\PC{0,80}") {
            let label = Label::format(format_args!("{text}"));
            prop_assert!(text.starts_with(label.as_str()));
            let next = text.get(label.as_str().len()..).and_then(|rest| rest.chars().next());
            prop_assert!(next.is_none_or(|c| label.as_str().len() + c.len_utf8() > CAPACITY));
        }
    }
}
