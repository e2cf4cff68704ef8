//! Conditional requests: whether the client has the file already (RFC 9110 §13).

use http::Method;

use crate::date;
use crate::etag::{self, EntityTag, Tag};
use crate::head::Request;

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Answer 412 Precondition Failed.
    Failed,
    /// Answer 304 Not Modified.
    NotModified,
    /// Answer as if there were no conditions.
    Proceed,
}

/// Evaluates the conditions of `request` against a file that exists, with its entity tag and the
/// time of its last change in Unix seconds, in the order of RFC 9110 §13.2.2.
///
/// A condition that is malformed matches nothing: If-Match then fails, If-None-Match then does not hold
/// the answer back, and a date that is none is ignored (§13.1.3). If-Range is for [`range::evaluate`](crate::range::evaluate), which comes next.
///
/// Call it only for a request that would be answered 2xx without conditions (§13.2.1).
///
/// ```
/// use sockeye_http::{HeaderStorage, Limits, Precondition, Progress, conditional, parse_request};
/// let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
/// let mut storage = HeaderStorage::new();
/// let Progress::Complete { request, .. } = parse_request(bytes, &Limits::default(), &mut storage)?
/// else { unreachable!("the head is whole") };
/// assert_eq!(conditional::evaluate(&request, None, Some(784_111_777)), Precondition::NotModified);
/// assert_eq!(conditional::evaluate(&request, None, Some(784_111_778)), Precondition::Proceed);
/// # Ok::<(), sockeye_http::RequestError>(())
/// ```
#[must_use]
pub fn evaluate(
    request: &Request<'_, '_>,
    tag: Option<&EntityTag>,
    modified: Option<i64>,
) -> Precondition {
    if !request.may_be_conditional() {
        return Precondition::Proceed;
    }
    let conditions = Conditions::of(request);
    let tag = tag.map(EntityTag::as_tag);
    let failed = match (conditions.if_match, conditions.if_unmodified_since) {
        (Some(list), _) => {
            !list.matches(|theirs| tag.is_some_and(|ours| ours.matches_strongly(theirs)))
        }
        (None, Since::Date(date)) => modified.is_some_and(|modified| modified > date),
        (None, Since::Absent | Since::Invalid) => false,
    };
    if failed {
        return Precondition::Failed;
    }
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    let unchanged = match (conditions.if_none_match, conditions.if_modified_since) {
        (Some(list), _) => {
            list.matches(|theirs| tag.is_some_and(|ours| ours.matches_weakly(theirs)))
        }
        (None, Since::Date(date)) => get && modified.is_some_and(|modified| modified <= date),
        (None, Since::Absent | Since::Invalid) => false,
    };
    match (unchanged, get) {
        (true, true) => Precondition::NotModified,
        (true, false) => Precondition::Failed,
        (false, _) => Precondition::Proceed,
    }
}

/// The fields of one request that set conditions, found in one pass.
struct Conditions<'r, 'h, 'b> {
    if_match: Option<TagList<'r, 'h, 'b>>,
    if_none_match: Option<TagList<'r, 'h, 'b>>,
    if_modified_since: Since,
    if_unmodified_since: Since,
}

impl<'r, 'h, 'b> Conditions<'r, 'h, 'b> {
    fn of(request: &'r Request<'h, 'b>) -> Self {
        let mut conditions = Self {
            if_match: None,
            if_none_match: None,
            if_modified_since: Since::Absent,
            if_unmodified_since: Since::Absent,
        };
        for (name, value) in request.headers() {
            if !matches!(name.as_bytes(), [b'i' | b'I', b'f' | b'F', b'-', ..]) {
                continue;
            }
            let list = |name| Some(TagList { request, name });
            if name.eq_ignore_ascii_case("if-match") {
                conditions.if_match = list("if-match");
            } else if name.eq_ignore_ascii_case("if-none-match") {
                conditions.if_none_match = list("if-none-match");
            } else if name.eq_ignore_ascii_case("if-modified-since") {
                conditions.if_modified_since.read(value);
            } else if name.eq_ignore_ascii_case("if-unmodified-since") {
                conditions.if_unmodified_since.read(value);
            }
        }
        conditions
    }
}

/// All lines of one name, which together are one list.
struct TagList<'r, 'h, 'b> {
    request: &'r Request<'h, 'b>,
    name: &'static str,
}

impl TagList<'_, '_, '_> {
    /// Whether any member satisfies `matches`, or the one member is `*`, which any file that exists
    /// satisfies. Nothing is matched by a list with a fault in it.
    fn matches(&self, matches: impl Fn(&Tag<'_>) -> bool) -> bool {
        let mut lines = self.request.get_all(self.name);
        if let (Some(b"*"), None) = (lines.next(), lines.next()) {
            return true;
        }
        let mut found = false;
        self.request
            .get_all(self.name)
            .all(|line| etag::read_list(line, |theirs| found |= matches(&theirs)))
            && found
    }
}

enum Since {
    Absent,
    Date(i64),
    /// No date, or more than one line: to be ignored.
    Invalid,
}

impl Since {
    fn read(&mut self, value: &[u8]) {
        *self = match (&self, date::parse(value)) {
            (Self::Absent, Some(date)) => Self::Date(date),
            _ => Self::Invalid,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileStamp, HeaderStorage, Limits, Progress, parse_request};

    const MODIFIED: i64 = 784_111_777;
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn evaluated(method: &str, lines: &str, now: i64) -> Precondition {
        let stamp = FileStamp {
            modified_seconds: MODIFIED,
            modified_nanos: 4,
            size: 2,
            inode: 1,
            ..FileStamp::default()
        };
        let tag = EntityTag::of_file(&stamp, now);
        let opaque = str::from_utf8(tag.as_tag().opaque).expect("ASCII");
        let lines = lines.replace("TAG", opaque).replace("BEFORE", BEFORE).replace("AT", AT);
        let bytes = format!("{method} / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut storage = HeaderStorage::new();
        match parse_request(bytes.as_bytes(), &Limits::default(), &mut storage) {
            Ok(Progress::Complete { request, .. }) => {
                evaluate(&request, Some(&tag), Some(MODIFIED))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn conditions_are_evaluated_in_the_order_of_the_rfc() {
        use Precondition::{Failed, NotModified, Proceed};
        for (lines, expected) in [
            ("", Proceed),
            ("If-None-Match: TAG\r\n", NotModified),
            ("if-none-match: \"x\", W/TAG\r\n", NotModified),
            ("If-None-Match: \"x\"\r\nIf-None-Match: TAG\r\n", NotModified),
            ("If-None-Match: *\r\n", NotModified),
            ("If-None-Match: \"x\"\r\n", Proceed),
            ("If-None-Match: TAG x\r\n", Proceed),
            ("If-None-Match: TAG\r\nIf-None-Match: *\r\n", Proceed),
            // If-None-Match decides alone, whatever the date says.
            ("If-None-Match: \"x\"\r\nIf-Modified-Since: AT\r\n", Proceed),
            ("If-None-Match: TAG\r\nIf-Modified-Since: BEFORE\r\n", NotModified),
            ("If-Modified-Since: AT\r\n", NotModified),
            ("If-Modified-Since: BEFORE\r\n", Proceed),
            ("If-Modified-Since: rubbish\r\n", Proceed),
            ("If-Modified-Since: AT\r\nIf-Modified-Since: AT\r\n", Proceed),
            ("If-Match: TAG\r\n", Proceed),
            ("If-Match: *\r\n", Proceed),
            ("If-Match: W/TAG\r\n", Failed),
            ("If-Match: \"x\"\r\n", Failed),
            ("If-Match: rubbish\r\n", Failed),
            ("If-Match: \"x\"\r\nIf-None-Match: TAG\r\n", Failed),
            ("If-Match: TAG\r\nIf-None-Match: TAG\r\n", NotModified),
            ("If-Unmodified-Since: AT\r\n", Proceed),
            ("If-Unmodified-Since: BEFORE\r\n", Failed),
            ("If-Unmodified-Since: rubbish\r\n", Proceed),
            ("If-Match: TAG\r\nIf-Unmodified-Since: BEFORE\r\n", Proceed),
            ("If-Range: TAG\r\n", Proceed),
        ] {
            for method in ["GET", "HEAD"] {
                assert_eq!(evaluated(method, lines, MODIFIED + 9), expected, "{lines}");
            }
        }
    }

    #[test]
    fn a_method_that_changes_something_fails_where_get_is_not_modified() {
        for (lines, expected) in [
            ("If-None-Match: TAG\r\n", Precondition::Failed),
            ("If-None-Match: *\r\n", Precondition::Failed),
            ("If-Modified-Since: AT\r\n", Precondition::Proceed),
        ] {
            assert_eq!(evaluated("PUT", lines, MODIFIED + 9), expected, "{lines}");
        }
    }

    #[test]
    fn a_tag_that_is_still_weak_matches_weakly_alone() {
        for (lines, expected) in [
            ("If-None-Match: TAG\r\n", Precondition::NotModified),
            ("If-Match: TAG\r\n", Precondition::Failed),
        ] {
            assert_eq!(evaluated("GET", lines, MODIFIED), expected, "{lines}");
        }
    }
}
