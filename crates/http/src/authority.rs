//! `host [":" port]`: the value of Host, and the authority of a request-target.

use std::net::Ipv6Addr;

/// A host with an optional port, as RFC 3986 §3.2.2 and §3.2.3 write them, without userinfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'b> {
    /// ASCII: nothing else is in a host.
    host: &'b [u8],
    port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Reads `host`, `host:port` or `host:`. The host is a registered name, an IPv4 address or an
    /// IPv6 literal in brackets; it may be empty only if nothing follows, which is how a client says
    /// that the target has no authority (RFC 9112 §3.2). Zone identifiers and `IPvFuture` are refused,
    /// as is a port above 65535.
    ///
    /// ```
    /// use sockeye_http::Authority;
    /// let authority = Authority::parse(b"[::1]:8080").expect("valid");
    /// assert_eq!((authority.host(), authority.port()), ("[::1]", Some(8080)));
    /// assert_eq!(Authority::parse(b"user@host"), None);
    /// ```
    #[must_use]
    pub fn parse(bytes: &'b [u8]) -> Option<Self> {
        let (host, rest) = if let [b'[', inside @ ..] = bytes {
            let end = inside.iter().position(|&b| b == b']')?;
            str::from_utf8(inside.get(..end)?).ok()?.parse::<Ipv6Addr>().ok()?;
            bytes.split_at_checked(end + 2)?
        } else {
            // Every request has one: a table is faster than comparing, measured.
            let end = bytes.iter().position(|&b| !PLAIN[usize::from(b)]).unwrap_or(bytes.len());
            let end = match bytes.get(end) {
                None | Some(b':') => end,
                _ => bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len()),
            };
            let (host, rest) = bytes.split_at_checked(end)?;
            if !is_reg_name(host) || (host.is_empty() && !rest.is_empty()) {
                return None;
            }
            (host, rest)
        };
        let port = match rest {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// The host as it was sent, an IPv6 literal with its brackets. Empty if the target has none.
    #[must_use]
    pub fn host(&self) -> &'b str {
        str::from_utf8(self.host).unwrap_or_default()
    }

    /// The port, if one was sent.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// `*( unreserved / pct-encoded / sub-delims )`; a dotted IPv4 address is one too.
fn is_reg_name(mut bytes: &[u8]) -> bool {
    loop {
        let plain = bytes.iter().position(|&b| !PLAIN[usize::from(b)]);
        bytes = match plain.and_then(|plain| bytes.get(plain..)) {
            None => return true,
            Some([b'%', a, b, rest @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
            Some(_) => return false,
        };
    }
}

/// `unreserved / sub-delims` of RFC 3986 §2.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b as usize] = matches!(
            b,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        b += 1u8;
    }
    table
};

/// Checked by hand because `str::parse` takes a sign.
fn parse_port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |port, &b| {
        let digit = b.is_ascii_digit().then(|| u16::from(b - b'0'))?;
        port.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports_are_read() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("EXAMPLE.com:80", "EXAMPLE.com", Some(80)),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[::1]:1", "[::1]", Some(1)),
            ("a_b.local:", "a_b.local", None),
            ("caf%C3%A9", "caf%C3%A9", None),
            ("", "", None),
        ] {
            let authority = Authority::parse(text.as_bytes()).expect(text);
            assert_eq!((authority.host(), authority.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "user@host",
            "host:65536",
            "host:+1",
            "host:8 0",
            "host:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[1.2.3.4]",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "%zz",
            "%4",
            ":80",
            ":",
            "é",
            "a\tb",
            "\"a\"",
            "[]",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
    }
}
