//! From the path of a request to a name beneath a root directory, and back.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// Everything but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A decoded path, relative to whatever root it is used beneath.
///
/// Its segments are file names in bytes, not necessarily UTF-8: none is empty, `.` or `..`, none
/// holds a slash or NUL. So opening [`as_bytes`](Self::as_bytes) beneath a directory can only leave it
/// through a symbolic link, which is for `openat2(2)` to prevent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelativePath<'a> {
    bytes: Cow<'a, [u8]>,
    trailing_slash: bool,
}

/// Why a path names nothing that could be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// `%` without two hexadecimal digits after it.
    #[error("malformed percent-escape in the path (RFC 3986 §2.1)")]
    BadEscape,
    /// `%2F`: a slash that is data, which no file name can hold.
    #[error("encoded slash in the path (RFC 3986 §2.2)")]
    EncodedSlash,
    /// A `..` segment, encoded or not. Clients resolve them before they ask (RFC 3986 §5.2.4).
    #[error("'..' in the path (RFC 3986 §5.2.4)")]
    Escapes,
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash (RFC 9112 §3.2.1)")]
    NotAbsolute,
    /// A NUL byte, encoded or not.
    #[error("NUL in the path")]
    Nul,
}

impl PathError {
    /// The status code to answer with: 404 for what is merely the name of no file, else 400.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::EncodedSlash => StatusCode::NOT_FOUND,
            Self::BadEscape | Self::Escapes | Self::NotAbsolute | Self::Nul => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

/// Decodes the path of a request-target. Borrows unless something has to change.
///
/// Empty segments and `.` are left out: `//a/./b` is `a/b`. A path like `//evil.example/dir` therefore
/// loses its second slash here; redirect with [`RelativePath::location`], never with the path as it was
/// sent, which a browser would take for another host (RFC 3986 §4.2).
/// A backslash is a byte like any other.
///
/// ```
/// use sockeye_http::{PathError, decode_path};
/// let path = decode_path("/caf%C3%A9//%2e/b%20c/")?;
/// assert_eq!(path.as_bytes(), "café/b c".as_bytes());
/// assert!(path.has_trailing_slash());
/// assert_eq!(decode_path("/a/%2e%2e/b"), Err(PathError::Escapes));
/// # Ok::<(), PathError>(())
/// ```
///
/// # Errors
/// See [`PathError`].
pub fn decode_path<P: AsRef<[u8]> + ?Sized>(path: &P) -> Result<RelativePath<'_>, PathError> {
    let [b'/', rest @ ..] = path.as_ref() else {
        return Err(PathError::NotAbsolute);
    };
    // Behind another slash, or at the start, a slash or a dot needs a closer look.
    let mut before = b'/';
    let special = rest.iter().any(|&b| {
        let special = matches!(b, b'%' | 0) || (before == b'/' && matches!(b, b'/' | b'.'));
        before = b;
        special
    });
    if special {
        return decode_segments(rest);
    }
    Ok(match rest {
        [] => RelativePath::new(Cow::Borrowed(rest), true),
        [name @ .., b'/'] => RelativePath::new(Cow::Borrowed(name), true),
        name => RelativePath::new(Cow::Borrowed(name), false),
    })
}

fn decode_segments(rest: &[u8]) -> Result<RelativePath<'_>, PathError> {
    let mut bytes = Vec::with_capacity(rest.len());
    let mut trailing_slash = true;
    for raw in rest.split(|&b| b == b'/') {
        check_escapes(raw)?;
        let segment = Cow::from(percent_decode(raw));
        if segment.contains(&b'/') {
            return Err(PathError::EncodedSlash);
        }
        if segment.contains(&0) {
            return Err(PathError::Nul);
        }
        trailing_slash = matches!(&*segment, b"" | b".");
        match &*segment {
            b"" | b"." => {}
            b".." => return Err(PathError::Escapes),
            name => {
                if !bytes.is_empty() {
                    bytes.push(b'/');
                }
                bytes.extend_from_slice(name);
            }
        }
    }
    Ok(RelativePath::new(Cow::Owned(bytes), trailing_slash))
}

/// percent_decode passes malformed escapes on as they are.
fn check_escapes(mut raw: &[u8]) -> Result<(), PathError> {
    while let Some(at) = raw.iter().position(|&b| b == b'%') {
        match raw.get(at + 1..at + 3) {
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
            _ => return Err(PathError::BadEscape),
        }
        raw = raw.get(at + 3..).unwrap_or_default();
    }
    Ok(())
}

impl<'a> RelativePath<'a> {
    fn new(bytes: Cow<'a, [u8]>, trailing_slash: bool) -> Self {
        Self { bytes, trailing_slash }
    }

    /// The segments joined by single slashes, without one at either end; empty for the root itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the path was sent with a slash (or `/.`) at its end, so that it can only mean a
    /// directory. True for the root.
    #[must_use]
    pub fn has_trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    /// The file names on the way, in order; none for the root.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|&b| b == b'/').filter(|segment| !segment.is_empty())
    }

    /// The path to send in a Location header or a link: encoded anew, with one slash at its start and,
    /// if `directory`, one at its end. It never begins with `//`, so it stays on this server.
    ///
    /// ```
    /// use sockeye_http::decode_path;
    /// let path = decode_path("//evil.example/a b")?;
    /// assert_eq!(path.location(true).to_string(), "/evil.example/a%20b/");
    /// # Ok::<(), sockeye_http::PathError>(())
    /// ```
    pub fn location(&self, directory: bool) -> impl fmt::Display {
        Location { path: self, directory }
    }
}

struct Location<'p, 'a> {
    path: &'p RelativePath<'a>,
    directory: bool,
}

impl fmt::Display for Location<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in self.path.segments() {
            write!(f, "/{}", encode_segment(segment))?;
        }
        if self.directory || self.path.is_root() {
            f.write_str("/")?;
        }
        Ok(())
    }
}

/// One file name for use as one path segment: all but the unreserved characters of RFC 3986 §2.3 are
/// percent-encoded, so the result is safe in a link, in an attribute and in a header.
///
/// ```
/// assert_eq!(sockeye_http::encode_segment(b"50% \xff/a").to_string(), "50%25%20%FF%2Fa");
/// ```
#[must_use]
pub fn encode_segment(name: &[u8]) -> impl fmt::Display {
    percent_encode(name, RESERVED)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn decoded(path: &str) -> Result<(Vec<u8>, bool), PathError> {
        let path = decode_path(path)?;
        Ok((path.as_bytes().to_vec(), path.has_trailing_slash()))
    }

    #[test]
    fn paths_become_names_beneath_the_root() {
        for (path, name, trailing_slash) in [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b.txt", "a/b.txt", false),
            ("//a", "a", false),
            ("/a//b///", "a/b", true),
            ("/./a/.", "a", true),
            ("/%2e/a/%2E", "a", true),
            ("/...", "...", false),
            ("/.hidden", ".hidden", false),
            ("/a..", "a..", false),
            ("/..a", "..a", false),
            ("/a%2Eb", "a.b", false),
            ("/a\\..\\b", "a\\..\\b", false),
            ("/%5c", "\\", false),
            ("/a%20b+c", "a b+c", false),
            ("/%25", "%", false),
            ("/%252e%252e/", "%2e%2e", true),
            ("/ünï", "ünï", false),
        ] {
            assert_eq!(decoded(path), Ok((name.into(), trailing_slash)), "{path}");
        }
    }

    #[test]
    fn paths_that_name_no_file_are_refused() {
        for (path, error) in [
            ("", PathError::NotAbsolute),
            ("a", PathError::NotAbsolute),
            ("/..", PathError::Escapes),
            ("/../a", PathError::Escapes),
            ("/a/../b", PathError::Escapes),
            ("/%2e%2e/a", PathError::Escapes),
            ("/.%2E/a", PathError::Escapes),
            ("/a/%2e.", PathError::Escapes),
            ("/a%2fb", PathError::EncodedSlash),
            ("/..%2F..%2Fetc", PathError::EncodedSlash),
            ("/a%00", PathError::Nul),
            ("/a\0", PathError::Nul),
            ("/%", PathError::BadEscape),
            ("/%2", PathError::BadEscape),
            ("/%zz", PathError::BadEscape),
            ("/%2/f", PathError::BadEscape),
            ("/%+1", PathError::BadEscape),
            ("/%%41", PathError::BadEscape),
        ] {
            assert_eq!(decoded(path), Err(error), "{path}");
        }
    }

    #[test]
    fn a_plain_path_is_borrowed() {
        let path = decode_path("/a/b.txt").expect("valid");
        assert!(matches!(path.bytes, Cow::Borrowed(_)));
    }

    #[test]
    fn a_location_never_points_to_another_host() {
        for (path, location) in [
            ("//evil.example/dir", "/evil.example/dir/"),
            ("///evil.example", "/evil.example/"),
            ("/%5Cevil.example", "/%5Cevil.example/"),
            ("/\\evil.example", "/%5Cevil.example/"),
            ("/.//evil.example", "/evil.example/"),
            ("/", "/"),
            ("//", "/"),
            ("/a%0D%0ASet-Cookie:x", "/a%0D%0ASet-Cookie%3Ax/"),
        ] {
            let path = decode_path(path).expect("valid");
            assert_eq!(path.location(true).to_string(), location);
        }
        let path = decode_path("/a/").expect("valid");
        assert_eq!(path.location(false).to_string(), "/a");
    }

    proptest! {
        #[test]
        fn a_file_name_survives_encoding(name in vec(1..=255u8, 1..40)) {
            prop_assume!(!name.contains(&b'/') && name != b"." && name != b"..");
            let path = format!("/{}", encode_segment(&name));
            prop_assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/%-._~".contains(&b)));
            let decoded = decode_path(&path).expect("encoded here");
            prop_assert_eq!(decoded.as_bytes(), &name[..]);
            prop_assert!(!decoded.has_trailing_slash());
        }

        #[test]
        fn a_location_leads_back_to_the_same_file(path in "/[a./%25eE0-9 \\\\é-]{0,24}", directory: bool) {
            if let Ok(decoded) = decode_path(&path) {
                let location = decoded.location(directory).to_string();
                prop_assert!(!location.starts_with("//"));
                let again = decode_path(&location).expect("encoded here");
                prop_assert_eq!(again.as_bytes(), decoded.as_bytes());
                prop_assert_eq!(again.has_trailing_slash(), directory || decoded.is_root());
            }
        }

        #[test]
        fn no_segment_can_leave_the_root(bytes in vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'%'), Just(b'2'), Just(b'e'), Just(b'f'), any::<u8>()], 0..40)) {
            if let Ok(path) = decode_path(&bytes) {
                for segment in path.as_bytes().split(|&b| b == b'/') {
                    prop_assert!(path.is_root() || !matches!(segment, b"" | b"." | b".."));
                    prop_assert!(!segment.contains(&0));
                }
            }
        }
    }
}
