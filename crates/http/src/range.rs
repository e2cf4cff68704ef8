//! Which parts of a representation a request asks for, and how they are sent (RFC 9110 §14).

use std::fmt;
use std::ops::Range;

use http::Method;

use crate::date;
use crate::etag::{EntityTag, read_one};
use crate::fields::{members, parse_length, trim_ows};
use crate::head::Request;

/// A Range header with more members than this is ignored (§14.2 leaves that to the server).
pub const MOST_RANGES: usize = 64;

/// Ranges closer to each other than this, in bytes, are sent as one: the lines between two parts cost
/// more (§15.3.7.2).
pub const GAP: u64 = 128;

/// What to send of a representation.
///
/// Ranges are never empty, lie within the length and, where there are several, do not touch each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Several parts, as `multipart/byteranges` with 206, in the order in which they were asked for.
    Many(Vec<Range<u64>>),
    /// One part, with 206 and [`ContentRange::Part`].
    One(Range<u64>),
    /// None of the ranges has a byte of it: 416 with [`ContentRange::Unsatisfied`].
    Unsatisfiable,
    /// All of it, with 200: nothing was asked for that could be understood, or the client has an
    /// older state of it.
    Whole,
}

/// Evaluates Range and If-Range of `request` against a representation of `length` bytes, with its
/// entity tag and the second of its last change, both as they would be sent.
///
/// Give a date only if no two states of the representation can have had it (§8.8.2.2); without one, no
/// If-Range with a date holds. Call it last, after [`conditional::evaluate`](crate::conditional::evaluate)
/// said to proceed and only where the answer would be 200 (§13.2.2).
///
/// ```
/// use sockeye_http::{HeaderStorage, Limits, Progress, parse_request, range::{self, Ranges}};
/// let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=2-5, 900-, -2\r\n\r\n";
/// let mut storage = HeaderStorage::new();
/// let Progress::Complete { request, .. } = parse_request(bytes, &Limits::default(), &mut storage)?
/// else { unreachable!("the head is whole") };
/// assert_eq!(range::evaluate(&request, None, None, 500), Ranges::Many(vec![2..6, 498..500]));
/// assert_eq!(range::evaluate(&request, None, None, 8), Ranges::One(2..8));
/// # Ok::<(), sockeye_http::RequestError>(())
/// ```
#[must_use]
pub fn evaluate(
    request: &Request<'_, '_>,
    tag: Option<&EntityTag>,
    modified: Option<i64>,
    length: u64,
) -> Ranges {
    // Range is defined for GET alone (§14.2).
    if !request.may_have_range() || *request.method() != Method::GET {
        return Ranges::Whole;
    }
    let mut lines = request.get_all("range");
    // It is no list: a second line makes no sense of the first.
    let (Some(value), None) = (lines.next(), lines.next()) else {
        return Ranges::Whole;
    };
    let mut conditions = request.get_all("if-range");
    match (conditions.next(), conditions.next()) {
        (None, _) => {}
        (Some(condition), None) if is_current(condition, tag, modified) => {}
        _ => return Ranges::Whole,
    }
    select(value, length)
}

/// Whether an If-Range holds (§13.1.5): the same strong tag, or exactly the same date.
fn is_current(condition: &[u8], tag: Option<&EntityTag>, modified: Option<i64>) -> bool {
    if let Some(theirs) = read_one(condition) {
        return tag.is_some_and(|ours| ours.as_tag().matches_strongly(&theirs));
    }
    modified.is_some() && date::parse(condition) == modified
}

/// Reads the value of a Range header against a representation of `length` bytes.
///
/// A unit other than `bytes`, anything malformed, and more than [`MOST_RANGES`] members are ignored.
/// A suffix of an empty representation is all of it.
///
/// ```
/// use sockeye_http::range::{Ranges, select};
/// assert_eq!(select(b"bytes=0-0", 10), Ranges::One(0..1));
/// assert_eq!(select(b"bytes=10-", 10), Ranges::Unsatisfiable);
/// assert_eq!(select(b"bytes=5-3", 10), Ranges::Whole);
/// ```
#[must_use]
pub fn select(value: &[u8], length: u64) -> Ranges {
    read(value, length).unwrap_or(Ranges::Whole)
}

/// None if it is to be ignored.
fn read(value: &[u8], length: u64) -> Option<Ranges> {
    let at = value.iter().position(|&b| b == b'=')?;
    let (unit, set) = value.split_at_checked(at)?;
    // range-unit is a token in any case, without whitespace around `=` (§14.1, §14.2).
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut count = 0;
    let mut empty_suffix = false;
    for member in members(set.get(1..)?) {
        // Empty members of a list are skipped (§5.6.1.2).
        if member.is_empty() {
            continue;
        }
        count += 1;
        if count > MOST_RANGES {
            return None;
        }
        match Spec::read(member)? {
            Spec::From(first, last) => {
                let end = last.and_then(|last| last.checked_add(1)).unwrap_or(length).min(length);
                if first < end {
                    found.push(first..end);
                }
            }
            Spec::Suffix(0) => {}
            Spec::Suffix(_) if length == 0 => empty_suffix = true,
            Spec::Suffix(last) => found.push(length.saturating_sub(last)..length),
        }
    }
    if count == 0 {
        return None;
    }
    let mut found = coalesce(found);
    Some(match (found.pop(), found.is_empty()) {
        // It may be satisfied, but no Content-Range can say so.
        (None, _) if empty_suffix => Ranges::Whole,
        (None, _) => Ranges::Unsatisfiable,
        (Some(one), true) => Ranges::One(one),
        (Some(last), false) => {
            found.push(last);
            Ranges::Many(found)
        }
    })
}

/// One member of a byte-range-set (§14.1.1, §14.1.2).
enum Spec {
    /// First byte, and last byte if it is bounded.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Suffix(u64),
}

impl Spec {
    fn read(member: &[u8]) -> Option<Spec> {
        let at = member.iter().position(|&b| b == b'-')?;
        let (first, last) = member.split_at_checked(at)?;
        let last = last.get(1..)?;
        match (first, last) {
            (b"", last) => Some(Spec::Suffix(position(last)?)),
            (first, b"") => Some(Spec::From(position(first)?, None)),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Spec::From(first, Some(last)))
            }
        }
    }
}

/// A position past 2⁶⁴−1 is as good as that: no representation is as long (§14.1.2: what lies behind
/// the end is taken for the end).
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(parse_length(digits).unwrap_or(u64::MAX))
}

/// Joins ranges that overlap or nearly touch. Each takes the place of the first of those it was made
/// of: parts are to come in the order they were asked for (§15.3.7.2).
fn coalesce(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut ranges: Vec<(usize, Range<u64>)> = ranges.into_iter().enumerate().collect();
    ranges.sort_unstable_by_key(|(_, range)| range.start);
    let mut joined: Vec<(usize, Range<u64>)> = Vec::with_capacity(ranges.len());
    for (place, range) in ranges {
        match joined.last_mut() {
            Some((first, last)) if range.start <= last.end.saturating_add(GAP) => {
                *first = (*first).min(place);
                last.end = last.end.max(range.end);
            }
            _ => joined.push((place, range)),
        }
    }
    joined.sort_unstable_by_key(|(place, _)| *place);
    joined.into_iter().map(|(_, range)| range).collect()
}

/// The value of a Content-Range header (§14.4).
///
/// ```
/// use sockeye_http::range::ContentRange;
/// assert_eq!(ContentRange::Part(&(0..5), 10).to_string(), "bytes 0-4/10");
/// assert_eq!(ContentRange::Unsatisfied(10).to_string(), "bytes */10");
/// ```
#[derive(Debug, Clone)]
pub enum ContentRange<'r> {
    /// These bytes, at least one, of so many.
    Part(&'r Range<u64>, u64),
    /// None, of so many.
    Unsatisfied(u64),
}

impl fmt::Display for ContentRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(range, length) => {
                write!(f, "bytes {}-{}/{length}", range.start, range.end.saturating_sub(1))
            }
            Self::Unsatisfied(length) => write!(f, "bytes */{length}"),
        }
    }
}

/// What stands between the parts of a `multipart/byteranges` content (§14.6).
#[derive(Debug, Clone)]
pub struct Multipart {
    boundary: String,
    kind: String,
    length: u64,
}

impl Multipart {
    /// For parts of a representation of `length` bytes and the media type `kind`, apart by a boundary
    /// made from `random`. A guest of the content could forge a boundary he knows, so give a number
    /// that nobody can foresee.
    #[must_use]
    pub fn new(kind: &str, length: u64, random: u128) -> Multipart {
        Multipart { boundary: format!("{random:032x}"), kind: kind.to_owned(), length }
    }

    /// The value of Content-Type of the answer.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// What goes before a part; `first` says whether any part went before it.
    #[must_use]
    pub fn before(&self, range: &Range<u64>, first: bool) -> String {
        let line = if first { "" } else { "\r\n" };
        format!(
            "{line}--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
            self.boundary,
            self.kind,
            ContentRange::Part(range, self.length)
        )
    }

    /// What goes behind the last part.
    #[must_use]
    pub fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// Bytes of the whole content for these parts; None past 2⁶⁴−1.
    #[must_use]
    pub fn content_length(&self, ranges: &[Range<u64>]) -> Option<u64> {
        let mut length = u64::try_from(self.end().len()).ok()?;
        for (number, range) in ranges.iter().enumerate() {
            let before = u64::try_from(self.before(range, number == 0).len()).ok()?;
            length = length.checked_add(before)?;
            length = length.checked_add(range.end.checked_sub(range.start)?)?;
        }
        Some(length)
    }
}

/// Reads the value of a Content-Range header: the part, if it is one, and the length, if it is known.
/// None if it is malformed or of another unit. A part is never empty and lies within the length.
///
/// ```
/// use sockeye_http::range::read_content_range;
/// assert_eq!(read_content_range(b"bytes 0-4/10"), Some((Some(0..5), Some(10))));
/// assert_eq!(read_content_range(b"bytes */10"), Some((None, Some(10))));
/// assert_eq!(read_content_range(b"bytes 0-9/*"), Some((Some(0..10), None)));
/// assert_eq!(read_content_range(b"bytes 0-10/10"), None);
/// ```
#[must_use]
pub fn read_content_range(value: &[u8]) -> Option<(Option<Range<u64>>, Option<u64>)> {
    let value = trim_ows(value);
    let (unit, rest) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes ") {
        return None;
    }
    let slash = rest.iter().position(|&b| b == b'/')?;
    let (range, length) = rest.split_at_checked(slash)?;
    let length = match length.get(1..)? {
        b"*" => None,
        digits => Some(parse_length(digits)?),
    };
    if range == b"*" {
        return length.map(|length| (None, Some(length)));
    }
    let dash = range.iter().position(|&b| b == b'-')?;
    let (first, last) = range.split_at_checked(dash)?;
    let first = parse_length(first)?;
    let end = parse_length(last.get(1..)?)?.checked_add(1)?;
    let fits = first < end && length.is_none_or(|length| end <= length);
    fits.then_some((Some(first..end), length))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::{FileStamp, HeaderStorage, Limits, Progress, parse_request};

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        use Ranges::{Many, One, Unsatisfiable, Whole};
        for (value, expected) in [
            ("bytes=0-499", One(0..500)),
            ("bytes=500-999", One(500..1000)),
            ("bytes=500-", One(500..10_000)),
            ("bytes=-500", One(9500..10_000)),
            ("BYTES=0-0", One(0..1)),
            ("bytes=0-0,-1", Many(vec![0..1, 9999..10_000])),
            ("bytes=-1,0-0", Many(vec![9999..10_000, 0..1])),
            ("bytes= 0-0 ,\t, 9000-9001 ", Many(vec![0..1, 9000..9002])),
            ("bytes=,0-0", One(0..1)),
            ("bytes=0-99999", One(0..10_000)),
            ("bytes=-99999", One(0..10_000)),
            ("bytes=9999-9999", One(9999..10_000)),
            ("bytes=10000-", Unsatisfiable),
            ("bytes=10000-10001,20000-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=10000-,0-0", One(0..1)),
            // 2⁶⁴ − 2 to 2⁶⁴ + 2, as either end.
            ("bytes=0-18446744073709551614", One(0..10_000)),
            ("bytes=0-18446744073709551615", One(0..10_000)),
            ("bytes=0-18446744073709551616", One(0..10_000)),
            ("bytes=0-18446744073709551618", One(0..10_000)),
            ("bytes=18446744073709551614-", Unsatisfiable),
            ("bytes=18446744073709551615-18446744073709551615", Unsatisfiable),
            ("bytes=18446744073709551616-18446744073709551618", Unsatisfiable),
            ("bytes=-18446744073709551615", One(0..10_000)),
            ("bytes=-18446744073709551618", One(0..10_000)),
            // Overlapping, touching, or closer than a part's own lines.
            ("bytes=0-99,50-149", One(0..150)),
            ("bytes=100-199,0-99", One(0..200)),
            ("bytes=0-0,129-129", One(0..130)),
            ("bytes=0-0,130-130", Many(vec![0..1, 130..131])),
            ("bytes=5000-5001,0-1,4990-5000", Many(vec![4990..5002, 0..2])),
            ("bytes=0-,0-,0-,-1", One(0..10_000)),
            // To be ignored.
            ("bytes", Whole),
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes =0-1", Whole),
            ("items=0-1", Whole),
            ("bytes=1-0", Whole),
            ("bytes=0-1,1-0", Whole),
            ("bytes=a-1", Whole),
            ("bytes=0-1x", Whole),
            ("bytes=+0-1", Whole),
            ("bytes=0 - 1", Whole),
            ("bytes=0", Whole),
            ("bytes=-", Whole),
            ("bytes=--1", Whole),
            ("bytes=0-1;2-3", Whole),
            ("", Whole),
        ] {
            assert_eq!(select(value.as_bytes(), 10_000), expected, "{value}");
        }
    }

    #[test]
    fn an_empty_representation_has_no_part() {
        assert_eq!(select(b"bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(select(b"bytes=0-0", 0), Ranges::Unsatisfiable);
        assert_eq!(select(b"bytes=-0", 0), Ranges::Unsatisfiable);
        assert_eq!(select(b"bytes=-1", 0), Ranges::Whole);
    }

    #[test]
    fn the_longest_representation_has_a_last_byte() {
        assert_eq!(select(b"bytes=-1", u64::MAX), Ranges::One(u64::MAX - 1..u64::MAX));
        assert_eq!(select(b"bytes=0-", u64::MAX), Ranges::One(0..u64::MAX));
        let last = format!("bytes={}-{}", u64::MAX - 1, u64::MAX);
        assert_eq!(select(last.as_bytes(), u64::MAX), Ranges::One(u64::MAX - 1..u64::MAX));
    }

    #[test]
    fn more_ranges_than_may_be_are_ignored() {
        let list = |count: usize| {
            let list: Vec<String> = (0..count).map(|n| format!("{0}-{0}", n * 1000)).collect();
            select(format!("bytes={}", list.join(",")).as_bytes(), 1_000_000)
        };
        assert!(matches!(list(MOST_RANGES), Ranges::Many(ranges) if ranges.len() == MOST_RANGES));
        assert_eq!(list(MOST_RANGES + 1), Ranges::Whole);
    }

    fn asked(method: &str, lines: &str, now: i64) -> Ranges {
        let stamp = FileStamp { modified_seconds: 784_111_777, ..FileStamp::default() };
        let tag = EntityTag::of_file(&stamp, now);
        let lines = lines.replace("TAG", tag.as_str());
        let bytes = format!("{method} / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n");
        let mut storage = HeaderStorage::new();
        match parse_request(bytes.as_bytes(), &Limits::default(), &mut storage) {
            Ok(Progress::Complete { request, .. }) => {
                evaluate(&request, Some(&tag), Some(784_111_777), 10)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn if_range_compares_strongly() {
        const SETTLED: i64 = i64::MAX;
        for (line, holds) in [
            ("Range: bytes=0-0", true),
            ("Range: bytes=0-0\r\nIf-Range: TAG", true),
            ("Range: bytes=0-0\r\nIf-Range: W/TAG", false),
            ("Range: bytes=0-0\r\nIf-Range: \"x\"", false),
            ("Range: bytes=0-0\r\nIf-Range: TAG, TAG", false),
            ("Range: bytes=0-0\r\nIf-Range: TAG\r\nIf-Range: TAG", false),
            ("Range: bytes=0-0\r\nIf-Range: *", false),
            ("Range: bytes=0-0\r\nIf-Range:", false),
            ("Range: bytes=0-0\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Range: bytes=0-0\r\nIf-Range: Sun, 06 Nov 1994 08:49:38 GMT", false),
            ("Range: bytes=0-0\r\nIf-Range: Sun, 06 Nov 1994 08:49:36 GMT", false),
            ("Range: bytes=0-0\r\nRange: bytes=0-0", false),
            ("If-Range: TAG", false),
        ] {
            let expected = if holds { Ranges::One(0..1) } else { Ranges::Whole };
            assert_eq!(asked("GET", line, SETTLED), expected, "{line}");
            assert_eq!(asked("HEAD", line, SETTLED), Ranges::Whole, "HEAD {line}");
        }
        // A tag that is still weak never holds.
        assert_eq!(asked("GET", "Range: bytes=0-0\r\nIf-Range: TAG", 0), Ranges::Whole);
        assert_eq!(asked("GET", "Range: bytes=10-\r\nIf-Range: \"x\"", SETTLED), Ranges::Whole);
        assert_eq!(
            asked("GET", "Range: bytes=10-\r\nIf-Range: TAG", SETTLED),
            Ranges::Unsatisfiable
        );
    }

    #[test]
    fn a_content_range_is_read_strictly() {
        for (value, expected) in [
            ("bytes 0-0/1", Some((Some(0..1), Some(1)))),
            ("Bytes 5-9/*", Some((Some(5..10), None))),
            ("bytes */0", Some((None, Some(0)))),
            ("bytes */*", None),
            ("bytes 5-4/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-0/18446744073709551616", None),
            ("bytes=0-0/1", None),
            ("bytes 0-0", None),
            ("bytes", None),
            ("items 0-0/1", None),
        ] {
            assert_eq!(read_content_range(value.as_bytes()), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_asked_for_is_sent_and_none_twice(
            asked in vec((0..3000u64, 0..400u64), 1..20),
            length in 1..3000u64,
        ) {
            let list: Vec<String> =
                asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let selected = select(format!("bytes={}", list.join(", ")).as_bytes(), length);
            let sent = match selected {
                Ranges::Whole => return Err(TestCaseError::fail("it is well-formed")),
                Ranges::Unsatisfiable => Vec::new(),
                Ranges::One(one) => vec![one],
                Ranges::Many(many) => {
                    prop_assert!(many.len() > 1);
                    many
                }
            };
            for byte in 0..length {
                let times = sent.iter().filter(|range| range.contains(&byte)).count();
                let wanted = asked.iter().any(|(first, more)| (*first..=first + more).contains(&byte));
                prop_assert!(times <= 1);
                prop_assert!(!wanted || times == 1, "{byte}");
            }
            prop_assert!(sent.iter().all(|range| range.start < range.end && range.end <= length));
        }

        #[test]
        fn a_multipart_is_as_long_as_it_says(
            ranges in vec((0..1000u64, 1..1000u64), 1..10), random: u128,
        ) {
            let ranges: Vec<Range<u64>> =
                ranges.iter().map(|(start, length)| *start..start + length).collect();
            let multipart = Multipart::new("text/plain", 2000, random);
            let mut whole = Vec::new();
            for (number, range) in ranges.iter().enumerate() {
                whole.extend(multipart.before(range, number == 0).into_bytes());
                whole.extend(range.clone().map(|_| b'x'));
            }
            whole.extend(multipart.end().into_bytes());
            prop_assert_eq!(multipart.content_length(&ranges), Some(whole.len() as u64));
        }

        #[test]
        fn a_content_range_is_read_back(start in 0..u64::MAX - 1, more: u64, rest: u64) {
            let end = start.saturating_add(more).clamp(start + 1, u64::MAX - 1);
            let length = end.saturating_add(rest);
            let text = ContentRange::Part(&(start..end), length).to_string();
            prop_assert_eq!(read_content_range(text.as_bytes()), Some((Some(start..end), Some(length))));
        }

        #[test]
        fn text_like_ranges_is_read_without_a_panic(text in "(bytes)?=?[0-9, -]{0,60}", length: u64) {
            let _ = select(text.as_bytes(), length);
            let _ = read_content_range(text.as_bytes());
        }
    }
}
