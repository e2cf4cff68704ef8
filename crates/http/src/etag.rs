//! Entity tags: made from a file's metadata, compared, and read from header lists (RFC 9110 §8.8.3).

use std::fmt;
use std::io::Write;

use crate::fields::trim_ows;
use crate::negotiate::Coding;

/// `W/"`, six numbers in hexadecimal (four of 16 digits, two of 8) between dashes, and a coding.
const CAPACITY: usize = 96;

/// How old, in seconds, a file's last change must be for its tag to be strong.
const SETTLED: i64 = 2;

/// The metadata an entity tag is made from, as `stat(2)` gives it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileStamp {
    /// `st_ctim.tv_sec`, Unix seconds: when content or metadata last changed. Nobody can set it by
    /// hand, so it tells states apart whose `st_mtim` was pinned, as reproducible builds do.
    pub changed_seconds: i64,
    /// `st_ctim.tv_nsec`, 0 to 999,999,999.
    pub changed_nanos: u32,
    /// `st_mtim.tv_sec`, Unix seconds; may be negative.
    pub modified_seconds: i64,
    /// `st_mtim.tv_nsec`, 0 to 999,999,999.
    pub modified_nanos: u32,
    /// `st_size`, bytes.
    pub size: u64,
    /// `st_ino`, so that a file moved into another's place has another tag.
    pub inode: u64,
}

/// An entity tag as this server sends it.
#[derive(Clone, Copy)]
pub struct EntityTag {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl EntityTag {
    /// The tag of a file at the time `now`, Unix seconds.
    ///
    /// Every change of the content gives another tag, whatever the file's own time says: that of the
    /// last change of anything (`st_ctim`) is part of it, which the kernel alone sets. So files whose
    /// modification time is pinned (0 or 1, in reproducible builds and in the Nix store) have tags as
    /// good as all others. The price is that a mere chmod(2) or link(2) gives another one too, and
    /// that copies on two machines have different ones; that costs a transfer, never a wrong byte.
    ///
    /// It is strong when the last change lies at least two seconds back, else weak: a kernel stamps
    /// changes with the clock of its last tick, so two changes within one tick leave the same stamp,
    /// and while more may come, the tag can't promise byte-for-byte equality (RFC 9110 §8.8.1). Only
    /// the `W/` differs between the two, so a client that got the weak one still gets its 304 later.
    ///
    /// ```
    /// use sockeye_http::{EntityTag, FileStamp};
    /// let stamp = FileStamp {
    ///     changed_seconds: 1000, changed_nanos: 7, modified_seconds: 1, modified_nanos: 0, size: 16, inode: 255,
    /// };
    /// assert_eq!(EntityTag::of_file(&stamp, 1002).as_str(), "\"000000ff-10-1-00000000-3e8-00000007\"");
    /// assert_eq!(EntityTag::of_file(&stamp, 1001).as_str(), "W/\"000000ff-10-1-00000000-3e8-00000007\"");
    /// ```
    #[must_use]
    pub fn of_file(stamp: &FileStamp, now: i64) -> Self {
        let last = stamp.modified_seconds.max(stamp.changed_seconds);
        let settled = now.checked_sub(last).is_some_and(|age| age >= SETTLED);
        let weak = if settled { "" } else { "W/" };
        Self::write(format_args!(
            "{weak}\"{:08x}-{:x}-{:x}-{:08x}-{:x}-{:08x}\"",
            stamp.inode,
            stamp.size,
            stamp.modified_seconds,
            stamp.modified_nanos,
            stamp.changed_seconds,
            stamp.changed_nanos
        ))
    }

    /// The tag of what has this tag, in another coding. It is weak: another version of a compressor
    /// makes other bytes of the same content.
    ///
    /// ```
    /// use sockeye_http::{EntityTag, FileStamp, negotiate::Coding};
    /// let plain = EntityTag::of_file(&FileStamp::default(), 2);
    /// assert_eq!(plain.coded(Coding::Gzip).as_str(), "W/\"00000000-0-0-00000000-0-00000000-gzip\"");
    /// ```
    #[must_use]
    pub fn coded(&self, coding: Coding) -> Self {
        let text = self.as_str();
        let strong = text.strip_prefix("W/").unwrap_or(text);
        let open = strong.strip_suffix('"').unwrap_or(strong);
        Self::write(format_args!("W/{open}-{coding}\""))
    }

    fn write(text: fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; CAPACITY];
        let mut rest = &mut bytes[..];
        let written = rest.write_fmt(text);
        debug_assert!(written.is_ok(), "the longest tag fits");
        let len = CAPACITY - rest.len();
        Self { bytes, len }
    }

    /// As it stands in an `ETag` header, quotes included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether it begins with `W/`.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.as_tag().weak
    }

    /// The same, for comparing.
    #[must_use]
    pub fn as_tag(&self) -> Tag<'_> {
        let text = self.as_str();
        let weak = text.starts_with("W/");
        let opaque = text.get(if weak { 2 } else { 0 }..).unwrap_or_default();
        Tag { weak, opaque: opaque.as_bytes() }
    }
}

impl AsRef<[u8]> for EntityTag {
    fn as_ref(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An entity tag that a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'b> {
    /// It began with `W/`.
    pub weak: bool,
    /// The rest, quotes included.
    pub opaque: &'b [u8],
}

impl Tag<'_> {
    /// Same tag, and neither weak: the bytes are the same (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn matches_strongly(&self, other: &Tag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Same tag: one may stand for the other (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn matches_weakly(&self, other: &Tag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// Reads a list of entity tags strictly, as If-Match and If-None-Match hold it, and hands each to
/// `each`. Empty members are skipped (RFC 9110 §5.6.1.2). `*` is no list.
///
/// ```
/// use sockeye_http::etag;
/// let mut found = Vec::new();
/// assert!(etag::read_list(b"\"a,b\", W/\"c\"", |tag| found.push((tag.weak, tag.opaque.to_vec()))));
/// assert_eq!(found, [(false, b"\"a,b\"".to_vec()), (true, b"\"c\"".to_vec())]);
/// assert!(!etag::read_list(b"unquoted", |_| ()));
/// ```
///
/// Returns whether the whole value is a list; tags before the fault have been handed out.
pub fn read_list<'b>(value: &'b [u8], mut each: impl FnMut(Tag<'b>)) -> bool {
    let mut rest = value;
    // A tag may follow the start or a comma, not another tag.
    let mut separated = true;
    loop {
        rest = match rest {
            [] => return true,
            [b' ' | b'\t', rest @ ..] => rest,
            [b',', rest @ ..] => {
                separated = true;
                rest
            }
            _ if !separated => return false,
            _ => {
                let Some((tag, rest)) = read_tag(rest) else {
                    return false;
                };
                each(tag);
                separated = false;
                rest
            }
        };
    }
}

/// Reads a value that is one tag and nothing else, as If-Range holds it.
#[must_use]
pub fn read_one(value: &[u8]) -> Option<Tag<'_>> {
    read_tag(trim_ows(value)).and_then(|(tag, rest)| rest.is_empty().then_some(tag))
}

fn read_tag(bytes: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (weak, quoted) = match bytes {
        [b'W', b'/', quoted @ ..] => (true, quoted),
        quoted => (false, quoted),
    };
    let [b'"', inside @ ..] = quoted else {
        return None;
    };
    // etagc has no DQUOTE and knows no backslash.
    let end = inside.iter().position(|&b| !matches!(b, 0x21 | 0x23..=0x7e | 0x80..))?;
    if inside.get(end) != Some(&b'"') {
        return None;
    }
    let (opaque, rest) = quoted.split_at_checked(end + 2)?;
    Some((Tag { weak, opaque }, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp() -> FileStamp {
        FileStamp {
            changed_seconds: 1_700_000_000,
            changed_nanos: 4,
            modified_seconds: 1_700_000_000,
            modified_nanos: 1,
            size: 2,
            inode: 3,
        }
    }

    fn tag(stamp: FileStamp) -> String {
        EntityTag::of_file(&stamp, i64::MAX).to_string()
    }

    #[test]
    fn every_part_of_the_stamp_makes_another_tag() {
        let of = |change: fn(&mut FileStamp)| {
            let mut stamp = stamp();
            change(&mut stamp);
            tag(stamp)
        };
        let tags = [
            of(|_| ()),
            of(|stamp| stamp.changed_seconds += 1),
            of(|stamp| stamp.changed_nanos += 1),
            of(|stamp| stamp.modified_seconds += 1),
            of(|stamp| stamp.modified_nanos += 1),
            of(|stamp| stamp.size += 1),
            of(|stamp| stamp.inode += 1),
        ];
        for (i, tag) in tags.iter().enumerate() {
            assert_eq!(tags.iter().position(|other| other == tag), Some(i));
        }
    }

    #[test]
    fn the_longest_tag_fits() {
        let stamp = FileStamp {
            changed_seconds: -1,
            changed_nanos: u32::MAX,
            modified_seconds: -1,
            modified_nanos: u32::MAX,
            size: u64::MAX,
            inode: u64::MAX,
        };
        let tag = EntityTag::of_file(&stamp, i64::MIN);
        let f = "f".repeat(16);
        assert_eq!(tag.as_str(), format!("W/\"{f}-{f}-{f}-ffffffff-{f}-ffffffff\""));
        let coded = format!("W/\"{f}-{f}-{f}-ffffffff-{f}-ffffffff-gzip\"");
        assert_eq!(tag.coded(Coding::Gzip).as_str(), coded);
    }

    #[test]
    fn a_pinned_time_of_modification_does_not_hide_a_change() {
        let pinned = |changed_nanos| FileStamp {
            changed_seconds: 1_700_000_000,
            changed_nanos,
            modified_seconds: 1,
            modified_nanos: 0,
            ..stamp()
        };
        assert_ne!(tag(pinned(1)), tag(pinned(2)));
        assert!(EntityTag::of_file(&pinned(1), 1_700_000_001).is_weak());
        assert!(!EntityTag::of_file(&pinned(1), 1_700_000_002).is_weak());
    }

    #[test]
    fn the_same_content_has_another_tag_in_each_coding() {
        let plain = EntityTag::of_file(&stamp(), i64::MAX);
        let tags = [
            plain,
            plain.coded(Coding::Brotli),
            plain.coded(Coding::Gzip),
            plain.coded(Coding::Zstd),
        ];
        for (i, tag) in tags.iter().enumerate() {
            let alike = |other: &EntityTag| other.as_tag().matches_weakly(&tag.as_tag());
            assert_eq!(tags.iter().position(alike), Some(i));
        }
    }

    #[test]
    fn one_tag_is_read_alone() {
        for (value, is_one) in [
            ("\"a\"", true),
            (" W/\"a\"\t", true),
            ("\"a\", \"b\"", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(read_one(value.as_bytes()).is_some(), is_one, "{value}");
        }
    }

    #[test]
    fn a_file_from_the_future_has_a_weak_tag() {
        let stamp = stamp();
        assert!(EntityTag::of_file(&stamp, stamp.modified_seconds - 1).is_weak());
        assert!(EntityTag::of_file(&stamp, i64::MIN).is_weak());
    }

    #[test]
    fn weak_and_strong_comparison_follow_the_table_of_the_rfc() {
        let tag = |weak, opaque: &'static str| Tag { weak, opaque: opaque.as_bytes() };
        for (a, b, strong, weak) in [
            (tag(true, "\"1\""), tag(true, "\"1\""), false, true),
            (tag(true, "\"1\""), tag(true, "\"2\""), false, false),
            (tag(true, "\"1\""), tag(false, "\"1\""), false, true),
            (tag(false, "\"1\""), tag(false, "\"1\""), true, true),
        ] {
            assert_eq!((a.matches_strongly(&b), a.matches_weakly(&b)), (strong, weak));
        }
    }

    #[test]
    fn lists_are_read_strictly() {
        let count = |value: &str| {
            let mut count = 0;
            read_list(value.as_bytes(), |_| count += 1).then_some(count)
        };
        for (value, expected) in [
            ("", Some(0)),
            ("\"a\"", Some(1)),
            ("\"\"", Some(1)),
            ("\"a\" , W/\"b\",,\t\"c\\\"", Some(3)),
            (", \"a\",", Some(1)),
            ("\"a\" \"b\"", None),
            ("\"a\"\"b\"", None),
            ("a", None),
            ("\"a", None),
            ("\"a b\"", None),
            ("w/\"a\"", None),
            ("W/ \"a\"", None),
            ("W/a", None),
            ("*", None),
            ("\"a\", *", None),
            ("\"a\u{7f}\"", None),
        ] {
            assert_eq!(count(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_tag_is_found_in_any_list_it_is_put_in(seconds: i64, size: u64, before in "(\"[a-z,]{0,4}\", ){0,3}") {
            let tag = EntityTag::of_file(&FileStamp { modified_seconds: seconds, size, ..stamp() }, 0);
            let list = format!("{before}{tag}");
            let mut last = None;
            prop_assert!(read_list(list.as_bytes(), |tag| last = Some(tag)));
            prop_assert_eq!(last, Some(tag.as_tag()));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            read_list(&bytes, |_| ());
        }
    }
}
