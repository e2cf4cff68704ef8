//! What an archive does not tell by itself: what was left out, and what changed while it was read.

use std::collections::HashSet;

use sockeye_wire::escape::Escaped;

/// Bytes of lines that are kept; of more there is only the count.
const MOST: usize = 256 * 1024;

/// The last entry of an archive that is not what it seems.
pub(super) struct Note {
    /// Its own name within the archive's folder.
    pub(super) name: String,
    lines: String,
    more: u64,
}

impl Note {
    /// `names` are those in the archive's folder: the note takes none of theirs.
    pub(super) fn new(names: &[Box<[u8]>]) -> Note {
        let taken: HashSet<&[u8]> = names.iter().map(|name| &**name).collect();
        let free = (1..).map(|number| match number {
            1 => "ARCHIVE-NOTE.txt".to_owned(),
            _ => format!("ARCHIVE-NOTE-{number}.txt"),
        });
        let name = free.into_iter().find(|name| !taken.contains(name.as_bytes()));
        Note { name: name.unwrap_or_default(), lines: String::new(), more: 0 }
    }

    pub(super) fn add(&mut self, path: &[u8], what: &str) {
        if self.lines.len() > MOST {
            self.more += 1;
            return;
        }
        self.lines.push_str(&format!("{}: {what}\n", Escaped(path)));
    }

    /// The whole text; None if there is nothing to tell.
    pub(super) fn text(&self) -> Option<String> {
        if self.lines.is_empty() {
            return None;
        }
        let more = match self.more {
            0 => String::new(),
            more => format!("and {more} more\n"),
        };
        let head = "This archive is not quite the folder it was made of.\n\n";
        Some(format!("{head}{}{more}", self.lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_takes_nobodys_name_and_has_a_bounded_length() {
        let names = ["ARCHIVE-NOTE.txt", "ARCHIVE-NOTE-2.txt"].map(|name| name.as_bytes().into());
        let mut note = Note::new(&names);
        assert_eq!(note.name, "ARCHIVE-NOTE-3.txt");
        assert_eq!(note.text(), None);
        for _ in 0..100_000 {
            note.add(b"a\n\xff", "left out");
        }
        let text = note.text().expect("there is something");
        assert!(
            text.contains("\na\\n\\xff: left out\n") && text.len() < MOST + 200,
            "{}",
            text.len()
        );
        assert!(text.ends_with(" more\n"));
    }
}
