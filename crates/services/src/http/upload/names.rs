//! Names: those that may be written, and those that are ours while something is on its way.

use std::fmt;

use rustix::rand::{GetRandomFlags, getrandom};
use sockeye_http::{RelativePath, StatusCode};

use super::refusal::Refusal;

/// Whatever begins so is neither served nor listed nor written by a client.
const PREFIX: &str = ".sockeye-upload-";

/// The longest name that Linux has room for, in bytes (`NAME_MAX`).
const LONGEST: usize = 255;

/// Whether a name is kept for uploads on their way.
pub(in super::super) fn is_ours(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}

/// Whether any segment of a path is such a name.
pub(in super::super) fn leads_to_ours(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(is_ours)
}

/// What one upload, or one folder that is being removed, is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u128);

/// What a file of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Content as far as it has come.
    Part,
    /// What is known of an upload that may be resumed.
    Info,
    /// That, while it is written anew.
    Draft,
    /// A folder that is being removed with all that is in it.
    Trash,
}

const KINDS: [(Kind, &str); 4] =
    [(Kind::Part, "part"), (Kind::Info, "info"), (Kind::Draft, "draft"), (Kind::Trash, "trash")];

impl Id {
    /// One that nobody can guess: it is all that is asked of whoever goes on with an upload.
    pub(super) fn new() -> rustix::io::Result<Id> {
        let mut bytes = [0; 16];
        // Up to 256 bytes come whole (getrandom(2)).
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        Ok(Id(u128::from_le_bytes(bytes)))
    }

    /// As [`Id`]s are shown: 32 hexadecimal digits in lower case and nothing else.
    pub(super) fn parse(text: &[u8]) -> Option<Id> {
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.iter().all(digit) {
            return None;
        }
        u128::from_str_radix(str::from_utf8(text).ok()?, 16).ok().map(Id)
    }

    pub(super) fn name(self, kind: Kind) -> String {
        let (_, suffix) = KINDS.iter().find(|(other, _)| *other == kind).expect("all are listed");
        format!("{PREFIX}{self}.{suffix}")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a name says if we gave it; None for all others, those included that only begin so.
pub(super) fn parse(name: &[u8]) -> Option<(Id, Kind)> {
    let (id, suffix) = name.strip_prefix(PREFIX.as_bytes())?.split_at_checked(32)?;
    let suffix = suffix.strip_prefix(b".")?;
    let (kind, _) = KINDS.iter().find(|(_, known)| known.as_bytes() == suffix)?;
    Some((Id::parse(id)?, *kind))
}

/// Where something is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder, relative to the root; empty for the root itself.
    pub(super) folder: Vec<u8>,
    /// A valid name in it.
    pub(super) name: Vec<u8>,
}

impl Place {
    /// What a path names; None for the root.
    pub(super) fn of(path: &RelativePath<'_>) -> Option<Result<Place, Refusal>> {
        let bytes = path.as_bytes();
        let (folder, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&bytes[..at], &bytes[at + 1..]),
            None => (&bytes[..0], bytes),
        };
        if name.is_empty() {
            return None;
        }
        Some(Place::within(folder, name))
    }

    /// A name that a client chose, in a folder.
    pub(super) fn within(folder: &[u8], name: &[u8]) -> Result<Place, Refusal> {
        writable(name)?;
        if leads_to_ours(folder) {
            return Err(reserved());
        }
        Ok(Place { folder: folder.to_vec(), name: name.to_vec() })
    }

    /// All of it, relative to the root.
    pub(super) fn path(&self) -> Vec<u8> {
        if self.folder.is_empty() {
            return self.name.clone();
        }
        [&self.folder[..], &self.name].join(&b'/')
    }
}

/// Whether a file may be called so. Names are bytes on Linux: what is not UTF-8, and what Windows
/// reserves (`CON`, `a:b`, a dot at the end), is a name like others.
fn writable(name: &[u8]) -> Result<(), Refusal> {
    let bad = |detail| Err(Refusal::new(StatusCode::BAD_REQUEST, detail));
    match name {
        b"" => bad("a file must have a name"),
        b"." | b".." => bad("this names a folder"),
        _ if name.len() > LONGEST => bad("the name is longer than 255 bytes"),
        _ if name.iter().any(|byte| matches!(byte, 0..=0x1f | 0x7f | b'/')) => {
            bad("control characters and slashes can't be in a name")
        }
        _ if is_ours(name) => Err(reserved()),
        _ => Ok(()),
    }
}

fn reserved() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "names that begin like this are kept for uploads")
}

/// The last segment of what a client calls a file, whichever slashes its system has: a path of the
/// client's machine names nothing here.
pub(super) fn last_segment(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_told_from_all_others() {
        let id = Id::new().expect("random bytes");
        for (kind, _) in KINDS {
            let name = id.name(kind);
            assert_eq!(parse(name.as_bytes()).map(|(_, kind)| kind), Some(kind));
            assert!(parse(name.as_bytes()).is_some_and(|(parsed, _)| parsed == id));
            assert!(is_ours(name.as_bytes()) && leads_to_ours(format!("a/{name}/b").as_bytes()));
            for other in [
                name.to_uppercase(),
                format!("{name}x"),
                format!("a{name}"),
                name.replace('.', "-"),
                name.replacen(&id.to_string()[..2], "-1", 1),
            ] {
                assert!(parse(other.as_bytes()).is_none(), "{other}");
            }
        }
        assert!(!is_ours(b".sockeye") && !leads_to_ours(b"a/b"));
    }

    #[test]
    fn names_that_can_not_be_written_are_refused() {
        for (name, allowed) in [
            (&b"a.txt"[..], true),
            (b"CON", true),
            (b"a:b. ", true),
            (b"\xff", true),
            (b"a\\b", true),
            (&[b'a'; 255], true),
            (&[b'a'; 256], false),
            (b"", false),
            (b".", false),
            (b"..", false),
            (b"a/b", false),
            (b"a\0", false),
            (b"a\r\nb", false),
            (b"\x7f", false),
            (b".sockeye-upload-x", false),
        ] {
            assert_eq!(writable(name).is_ok(), allowed, "{name:?}");
        }
    }

    #[test]
    fn what_a_client_calls_a_file_is_stripped_to_its_last_segment() {
        for (name, last) in [
            ("a", "a"),
            ("../../etc/passwd", "passwd"),
            ("C:\\dir\\a.txt", "a.txt"),
            ("a/..", ".."),
            ("a/", ""),
            ("/", ""),
            ("a\\b/c", "c"),
        ] {
            assert_eq!(last_segment(name.as_bytes()), last.as_bytes(), "{name}");
        }
    }
}
