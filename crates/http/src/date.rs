//! HTTP dates, from and to Unix seconds (RFC 9110 §5.6.7).

use std::fmt;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// 9999-12-31T23:59:59Z, the last second a four-digit year can name.
const LAST_SECOND: u64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT`: 29 bytes, as Date and Last-Modified carry them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ImfFixdate([u8; 29]);

impl ImfFixdate {
    /// The date of `seconds` since 1970-01-01T00:00:00Z. What lies before 1970 or after 9999 is
    /// moved to that bound, so that a file with an absurd time can still be served.
    ///
    /// ```
    /// use sockeye_http::ImfFixdate;
    /// assert_eq!(ImfFixdate::from_unix(784_111_777).as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
    /// ```
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND);
        let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds));
        let mut bytes = [b' '; 29];
        let written = write!(&mut bytes[..], "{date}");
        debug_assert!(written.is_ok(), "IMF-fixdate has 29 bytes");
        Self(bytes)
    }

    /// The 29 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 29] {
        &self.0
    }

    /// The same as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ImfFixdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ImfFixdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The last date asked for; a server that asks once a response formats it once a second.
#[derive(Debug, Clone, Copy)]
pub struct DateCache {
    seconds: i64,
    date: ImfFixdate,
}

impl DateCache {
    /// A cache that holds the date of `seconds`.
    #[must_use]
    pub fn new(seconds: i64) -> Self {
        Self { seconds, date: ImfFixdate::from_unix(seconds) }
    }

    /// The date of `seconds`, formatted only if it is not the last one.
    pub fn at(&mut self, seconds: i64) -> &ImfFixdate {
        if seconds != self.seconds {
            *self = Self::new(seconds);
        }
        &self.date
    }
}

/// Reads a date in any of the three formats of RFC 9110 §5.6.7, as Unix seconds. None if it is no
/// date, as for a day of the week that does not go with it.
///
/// ```
/// use sockeye_http::date;
/// assert_eq!(date::parse(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
/// assert_eq!(date::parse(b"yesterday"), None);
/// ```
#[must_use]
pub fn parse(value: &[u8]) -> Option<i64> {
    let date = httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_out_of_range_are_moved_to_the_bound() {
        let first = "Thu, 01 Jan 1970 00:00:00 GMT";
        let last = "Fri, 31 Dec 9999 23:59:59 GMT";
        for (seconds, text) in [(0, first), (-1, first), (i64::MIN, first), (i64::MAX, last)] {
            assert_eq!(ImfFixdate::from_unix(seconds).as_str(), text);
        }
    }

    #[test]
    fn a_cache_gives_the_date_of_the_second_asked_for() {
        let mut cache = DateCache::new(0);
        for seconds in [0, 1, 1, 784_111_777, 0] {
            assert_eq!(*cache.at(seconds), ImfFixdate::from_unix(seconds));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0..=253_402_300_799i64) {
            let date = ImfFixdate::from_unix(seconds);
            prop_assert_eq!(parse(date.as_bytes()), Some(seconds));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).is_none_or(|seconds| (0..=253_402_300_799).contains(&seconds)));
        }

        #[test]
        fn text_like_a_date_is_read_without_a_panic(
            text in "[A-Z][a-z]{2,8},? [ 0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2}( GMT)?"
        ) {
            prop_assert!(parse(text.as_bytes()).is_none_or(|seconds| (0..=253_402_300_799).contains(&seconds)));
        }
    }
}
