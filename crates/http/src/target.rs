//! The request-target and its four forms (RFC 9112 §3.2).

use http::Method;

use crate::authority::Authority;

/// A request-target, split and checked, borrowed from the head.
///
/// Paths and queries are as they were sent, percent-escapes included;
/// [`decode_path`](crate::decode_path) turns a path into something to look up. Bytes of RFC 3986's
/// grammar are accepted, and beyond it what no reader can take for a delimiter: UTF-8 sent raw (curl
/// passes on what the user typed), and ``[ ] \ ^ ` { | }``, which browsers send unescaped in a path
/// or a query. `#`, `"`, `<`, `>`, and anything that is not UTF-8 are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'b> {
    /// `http://host:port/path?query`, as sent to a proxy; a server must take it too (§3.2.2).
    Absolute {
        /// Host and port, which take the place of the Host header's.
        authority: Authority<'b>,
        /// The path; `/` if there is none.
        path: &'b str,
        /// What follows `?`.
        query: Option<&'b str>,
    },
    /// `*`, for OPTIONS alone (§3.2.4).
    Asterisk,
    /// `host:port`, for CONNECT alone (§3.2.3).
    Authority(Authority<'b>),
    /// `/path?query`, the usual form (§3.2.1).
    Origin {
        /// The path; begins with `/`.
        path: &'b str,
        /// What follows `?`.
        query: Option<&'b str>,
    },
}

/// Why a request-target is refused, always with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TargetError {
    /// No target between the two spaces.
    #[error("empty request-target (RFC 9112 §3.2)")]
    Empty,
    /// A `#`: fragments are never sent.
    #[error("fragment in the request-target (RFC 9110 §7.1)")]
    Fragment,
    /// The authority of an absolute or authority form is malformed, has userinfo or lacks a part.
    #[error("invalid authority in the request-target (RFC 9110 §4.2)")]
    InvalidAuthority,
    /// A control character, a quote, an angle bracket, or bytes that are not UTF-8.
    #[error("invalid character in the request-target (RFC 3986 §2)")]
    InvalidCharacter,
    /// An absolute form with a scheme other than http or https.
    #[error("request-target with a scheme other than http (RFC 9112 §3.2.2)")]
    UnknownScheme,
    /// The form does not go with the method.
    #[error("wrong form of request-target for the method (RFC 9112 §3.2)")]
    WrongForm,
}

impl<'b> Target<'b> {
    /// Reads a whole request-target sent with `method`.
    ///
    /// ```
    /// use sockeye_http::{Method, Target, TargetError};
    /// let target = Target::parse(&Method::GET, "/a%20b?q")?;
    /// assert_eq!((target.path(), target.query()), (Some("/a%20b"), Some("q")));
    /// assert_eq!(Target::parse(&Method::GET, "*"), Err(TargetError::WrongForm));
    /// # Ok::<(), TargetError>(())
    /// ```
    ///
    /// # Errors
    /// An invalid character anywhere is reported before a wrong form.
    pub fn parse(method: &Method, target: &'b str) -> Result<Self, TargetError> {
        check_bytes(target.as_bytes())?;
        if *method == Method::CONNECT {
            let authority =
                Authority::parse(target.as_bytes()).ok_or(TargetError::InvalidAuthority)?;
            // The port is not optional here: there is no scheme to take a default from (§3.2.3).
            return match authority.port() {
                Some(_) => Ok(Self::Authority(authority)),
                None => Err(TargetError::InvalidAuthority),
            };
        }
        if target.starts_with('/') {
            let (path, query) = split_query(target);
            return Ok(Self::Origin { path, query });
        }
        match target {
            "" => Err(TargetError::Empty),
            "*" if *method == Method::OPTIONS => Ok(Self::Asterisk),
            _ => parse_absolute(target),
        }
    }

    /// The path, still percent-encoded; none in the authority and asterisk forms.
    #[must_use]
    pub fn path(&self) -> Option<&'b str> {
        match *self {
            Self::Origin { path, .. } | Self::Absolute { path, .. } => Some(path),
            Self::Asterisk | Self::Authority(_) => None,
        }
    }

    /// What follows the first `?`, still percent-encoded; empty for a bare `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'b str> {
        match *self {
            Self::Origin { query, .. } | Self::Absolute { query, .. } => query,
            Self::Asterisk | Self::Authority(_) => None,
        }
    }

    /// Host and port named by the target itself.
    #[must_use]
    pub fn authority(&self) -> Option<Authority<'b>> {
        match *self {
            Self::Absolute { authority, .. } | Self::Authority(authority) => Some(authority),
            Self::Asterisk | Self::Origin { .. } => None,
        }
    }
}

/// The first byte that may not stand in a target decides, so that a prefix of a target is refused
/// with the same error as the whole.
pub(crate) fn check_bytes(bytes: &[u8]) -> Result<(), TargetError> {
    match bytes.iter().find(|&&b| !ALLOWED[usize::from(b)]) {
        None => Ok(()),
        Some(b'#') => Err(TargetError::Fragment),
        Some(_) => Err(TargetError::InvalidCharacter),
    }
}

static ALLOWED: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0x21;
    while b < 256 {
        table[b] = !matches!(b, 0x7f | 0x22 | 0x23 | 0x3c | 0x3e);
        b += 1;
    }
    table
};

fn parse_absolute(target: &str) -> Result<Target<'_>, TargetError> {
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(TargetError::WrongForm);
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(TargetError::UnknownScheme);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = Authority::parse(authority.as_bytes())
        .filter(|authority| !authority.host().is_empty())
        .ok_or(TargetError::InvalidAuthority)?;
    let (path, query) = split_query(rest);
    // An http URI without a path is the same as one with the path "/" (RFC 9110 §4.2.3).
    let path = if path.is_empty() { "/" } else { path };
    Ok(Target::Absolute { authority, path, query })
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    // Measured: on targets this short a plain loop beats str::split_once.
    match text.bytes().position(|b| b == b'?') {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_part_at_the_first_question_mark() {
        let target = Target::parse(&Method::GET, "/a?b?c").expect("valid");
        assert_eq!((target.path(), target.query()), (Some("/a"), Some("b?c")));
        let target = Target::parse(&Method::GET, "/a?").expect("valid");
        assert_eq!((target.path(), target.query()), (Some("/a"), Some("")));
    }

    #[test]
    fn absolute_form_without_a_path_means_the_root() {
        for (text, query) in [("http://h", None), ("HTTPS://h:1?q", Some("q"))] {
            let target = Target::parse(&Method::GET, text).expect(text);
            assert_eq!((target.path(), target.query()), (Some("/"), query), "{text}");
            assert_eq!(target.authority().map(|a| a.host()), Some("h"), "{text}");
        }
    }

    #[test]
    fn every_form_goes_with_its_method_alone() {
        for (method, text, error) in [
            (Method::GET, "*", TargetError::WrongForm),
            (Method::GET, "example.com:80", TargetError::WrongForm),
            (Method::GET, "a/b", TargetError::WrongForm),
            (Method::GET, "", TargetError::Empty),
            (Method::OPTIONS, "**", TargetError::WrongForm),
            (Method::CONNECT, "/", TargetError::InvalidAuthority),
            (Method::CONNECT, "example.com", TargetError::InvalidAuthority),
            (Method::CONNECT, "http://h:80/", TargetError::InvalidAuthority),
            (Method::CONNECT, ":80", TargetError::InvalidAuthority),
            (Method::GET, "ftp://h/", TargetError::UnknownScheme),
            (Method::GET, "http://", TargetError::InvalidAuthority),
            (Method::GET, "http:///p", TargetError::InvalidAuthority),
            (Method::GET, "http://u@h/", TargetError::InvalidAuthority),
            (Method::GET, "/a#b", TargetError::Fragment),
            (Method::GET, "/a\"b", TargetError::InvalidCharacter),
            (Method::GET, "/a\u{7f}b", TargetError::InvalidCharacter),
        ] {
            assert_eq!(Target::parse(&method, text), Err(error), "{method} {text}");
        }
        assert_eq!(Target::parse(&Method::OPTIONS, "*"), Ok(Target::Asterisk));
        assert!(matches!(Target::parse(&Method::CONNECT, "h:443"), Ok(Target::Authority(_))));
    }
}
