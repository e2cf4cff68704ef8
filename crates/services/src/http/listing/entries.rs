//! What is in a folder, in memory: names, kinds, sizes and dates, in the order that is wanted.

use std::cmp::Ordering;
use std::hash::{Hash as _, Hasher as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::super::root::Root;
use super::joined;
use super::wanted::{Sort, Wanted};

/// Memory for entries of listings that are being sent, over all connections, in bytes.
const MOST_MEMORY: usize = 256 * 1024 * 1024;

/// The entries of one folder.
pub(super) struct Entries {
    /// All names, one behind the other.
    names: Vec<u8>,
    rows: Vec<Row>,
    held: Held,
}

/// One entry, without its name.
struct Row {
    start: usize,
    len: u16,
    kind: Kind,
    is_link: bool,
    size: u64,
    modified: Option<i64>,
}

/// An entry as it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'e> {
    /// In bytes, whatever they are.
    pub(super) name: &'e [u8],
    pub(super) kind: Kind,
    /// It is a symbolic link; kind, size and date are those of where it leads.
    pub(super) is_link: bool,
    /// Bytes; of files alone.
    pub(super) size: Option<u64>,
    /// Unix seconds; None if nobody could tell.
    pub(super) modified: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Folder,
    File,
    /// A device, a FIFO or a socket: it is never sent.
    Special,
    /// A symbolic link that leads nowhere, or out of what is served.
    Broken,
    /// Its metadata can't be read.
    Unknown,
}

/// Why a folder can't be listed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unlisted {
    #[error(transparent)]
    Unreadable(#[from] Errno),
    /// Listings that are under way take all the memory there is for them.
    #[error("too much is being listed")]
    Full,
}

impl Entries {
    /// Reads the folder that `path` names, sorted and filtered. An entry that can't be looked at is
    /// listed all the same; `shows` says of a name whether it is to be seen at all.
    pub(super) fn read(
        root: &Root,
        folder: &OwnedFd,
        path: &[u8],
        wanted: &Wanted,
        shows: impl Fn(&[u8]) -> bool,
        memory: &Memory,
    ) -> Result<Entries, Unlisted> {
        let mut entries = Entries { names: Vec::new(), rows: Vec::new(), held: memory.hold() };
        let filter = wanted.filter.to_lowercase();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || !shows(name) {
                continue;
            }
            if !filter.is_empty() && !String::from_utf8_lossy(name).to_lowercase().contains(&filter)
            {
                continue;
            }
            if let Some(looked) = look(root, folder, path, name) {
                entries.push(name, &looked)?;
            }
        }
        entries.sort(wanted);
        Ok(entries)
    }

    fn push(&mut self, name: &[u8], looked: &Looked) -> Result<(), Unlisted> {
        self.held.more(name.len() + size_of::<Row>())?;
        self.rows.push(Row {
            start: self.names.len(),
            len: u16::try_from(name.len()).unwrap_or(u16::MAX),
            kind: looked.kind,
            is_link: looked.is_link,
            size: looked.size,
            modified: looked.modified,
        });
        self.names.extend_from_slice(name);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<Entry<'_>> {
        self.rows.get(index).map(|row| row.entry(&self.names))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.rows.iter().map(|row| row.entry(&self.names))
    }

    /// A number that another state of the folder has not, but for one chance in 2⁶⁴.
    pub(super) fn digest(&self) -> u64 {
        // Of fixed keys: the same in another process.
        let mut hasher = std::hash::DefaultHasher::new();
        for entry in self.iter() {
            entry.name.hash(&mut hasher);
            (entry.kind, entry.is_link, entry.size, entry.modified).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn sort(&mut self, wanted: &Wanted) {
        let Entries { names, rows, .. } = self;
        rows.sort_unstable_by(|a, b| {
            let (a, b) = (a.entry(names), b.entry(names));
            // Folders have no size, so they stay in front of all that has one; a date they have.
            let group = |entry: Entry<'_>| wanted.sort != Sort::Date && entry.kind != Kind::Folder;
            let by = match wanted.sort {
                Sort::Natural => natural(a.name, b.name),
                Sort::Name => a.name.cmp(b.name),
                Sort::Size => a.size.cmp(&b.size),
                Sort::Date => a.modified.cmp(&b.modified),
            };
            let by = if wanted.descending { by.reverse() } else { by };
            group(a).cmp(&group(b)).then(by).then_with(|| natural(a.name, b.name))
        });
    }
}

impl Row {
    fn entry<'e>(&self, names: &'e [u8]) -> Entry<'e> {
        Entry {
            name: names.get(self.start..self.start + usize::from(self.len)).unwrap_or_default(),
            kind: self.kind,
            is_link: self.is_link,
            size: (self.kind == Kind::File).then_some(self.size),
            modified: self.modified,
        }
    }
}

/// What was found out about an entry.
struct Looked {
    kind: Kind,
    is_link: bool,
    size: u64,
    modified: Option<i64>,
}

/// Looks at one entry; None if it is gone. Nothing that is wrong with it is an error of the listing.
fn look(root: &Root, folder: &OwnedFd, path: &[u8], name: &[u8]) -> Option<Looked> {
    let unknown = |kind, is_link| Looked { kind, is_link, size: 0, modified: None };
    let of = |stat: &Stat, is_link| Looked {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile => Kind::File,
            _ => Kind::Special,
        },
        is_link,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: Some(stat.st_mtime),
    };
    Some(match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return None,
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            match root.stat(&joined(path, name)) {
                Ok(stat) => of(&stat, true),
                Err(_) => unknown(Kind::Broken, true),
            }
        }
        Ok(stat) => of(&stat, false),
        Err(_) => unknown(Kind::Unknown, false),
    })
}

/// Names in the order in which people count, whatever the case of ASCII letters: `a2`, `A10`, `b`.
fn natural(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (Some(x), Some(y)) = (left.first(), right.first()) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number, rest) = leading_number(left);
            let (other, other_rest) = leading_number(right);
            let by = number.len().cmp(&other.len()).then_with(|| number.cmp(other));
            if by != Ordering::Equal {
                return by;
            }
            (left, right) = (rest, other_rest);
            continue;
        }
        match x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase()) {
            Ordering::Equal => (left, right) = (&left[1..], &right[1..]),
            by => return by,
        }
    }
}

/// The digits it begins with, without leading zeros, and the rest.
fn leading_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().position(|byte| *byte != b'0').unwrap_or(digits.len());
    (&digits[zeros..], rest)
}

/// How much memory listings take together.
#[derive(Clone, Default)]
pub(in super::super) struct Memory(Arc<AtomicUsize>);

/// What one listing has of it, until it is dropped.
struct Held {
    of: Memory,
    bytes: usize,
}

impl Memory {
    fn hold(&self) -> Held {
        Held { of: self.clone(), bytes: 0 }
    }
}

impl Held {
    fn more(&mut self, bytes: usize) -> Result<(), Unlisted> {
        let before = self.of.0.fetch_add(bytes, atomic::Ordering::Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) > MOST_MEMORY { Err(Unlisted::Full) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_count_and_do_not_mind_the_case() {
        let sorted = ["", "A1", "a2", "a2b", "a02b", "a10", "B", "b1", "ü", "名"];
        for pair in sorted.windows(2) {
            let by = natural(pair[0].as_bytes(), pair[1].as_bytes());
            let swapped = natural(pair[1].as_bytes(), pair[0].as_bytes());
            if pair == ["a2b", "a02b"] {
                // The same number: then byte by byte.
                assert_eq!((by, swapped), (Ordering::Greater, Ordering::Less));
            } else {
                assert_eq!((by, swapped), (Ordering::Less, Ordering::Greater), "{pair:?}");
            }
        }
    }

    #[test]
    fn memory_is_given_back_and_what_is_too_much_is_refused() {
        let memory = Memory::default();
        let mut held = memory.hold();
        held.more(MOST_MEMORY).expect("just enough");
        assert!(matches!(memory.hold().more(1), Err(Unlisted::Full)));
        drop(held);
        memory.hold().more(1).expect("all was given back");
        assert_eq!(memory.0.load(atomic::Ordering::Relaxed), 0);
    }

    proptest! {
        #[test]
        fn the_natural_order_is_an_order(names in proptest::collection::vec("[aB01 ]{0,6}", 3)) {
            let [a, b, c] = [0, 1, 2].map(|at: usize| names[at].as_bytes());
            prop_assert_eq!(natural(a, b), natural(b, a).reverse());
            prop_assert_eq!(natural(a, b) == Ordering::Equal, a == b);
            if natural(a, b) != Ordering::Greater && natural(b, c) != Ordering::Greater {
                prop_assert!(natural(a, c) != Ordering::Greater);
            }
        }
    }
}
