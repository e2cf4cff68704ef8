//! Trailers: the fields behind the last chunk of a body, and which of them may pass for headers.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LOCATION, MAX_FORWARDS,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, WWW_AUTHENTICATE,
};

use crate::fields::trim_ows;

/// The trailer section of a body whose framing was checked, borrowed from its
/// [`BodyDecoder`](crate::BodyDecoder).
///
/// ```
/// use sockeye_http::{BodyDecoder, BodyLimits, Framing};
/// let mut decoder = BodyDecoder::new(Framing::Chunked, BodyLimits::default()).with_trailers();
/// decoder.skip(b"0\r\nDigest: x\r\n\r\n")?;
/// assert_eq!(decoder.trailers().iter().collect::<Vec<_>>(), [("Digest", &b"x"[..])]);
/// # Ok::<(), sockeye_http::BodyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailers<'b> {
    lines: &'b [u8],
}

impl<'b> Trailers<'b> {
    pub(crate) fn new(lines: &'b [u8]) -> Self {
        Self { lines }
    }

    /// Names as sent and values without the whitespace around them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        // A CR stands nowhere but at a line's end.
        self.lines.split(|&b| b == b'\r').filter_map(|line| {
            let line = line.strip_prefix(b"\n").unwrap_or(line);
            let colon = line.iter().position(|&b| b == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            Some((str::from_utf8(name).ok()?, trim_ows(value.get(1..)?)))
        })
    }

    /// Appends to `headers` those trailers that are named in `allowed`, whose definition must say
    /// that they may be merged (RFC 9110 §6.5.1). What frames, routes, authenticates or describes a
    /// message is left out even if it is named: it was acted upon, or ought to have been, before the
    /// content came.
    pub fn merge(&self, allowed: &[HeaderName], headers: &mut HeaderMap) {
        for (name, value) in self.iter() {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
            if !allowed.contains(&name) || NEVER.contains(&name) {
                continue;
            }
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(name, value);
            }
        }
    }
}

/// Fields for which RFC 9110 §6.5.1 leaves no room in a trailer section.
pub(crate) static NEVER: [HeaderName; 26] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    LOCATION,
    MAX_FORWARDS,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    RANGE,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    WWW_AUTHENTICATE,
];

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: HeaderName = HeaderName::from_static("digest");

    #[test]
    fn trailers_keep_their_order_and_lose_their_padding() {
        let trailers = Trailers::new(b"A: 1\r\nb:\t2 \r\nA:\r\n");
        let all: Vec<_> = trailers.iter().collect();
        assert_eq!(all, [("A", &b"1"[..]), ("b", b"2"), ("A", b"")]);
        assert_eq!(Trailers::new(b"").iter().count(), 0);
    }

    #[test]
    fn only_what_is_allowed_and_harmless_is_merged() {
        let trailers = Trailers::new(b"Digest: x\r\nX: y\r\nContent-Length: 5\r\ndigest: z\r\n");
        let mut headers = HeaderMap::new();
        trailers.merge(&[DIGEST, CONTENT_LENGTH], &mut headers);
        let all: Vec<_> = headers.iter().collect();
        let value = HeaderValue::from_static;
        assert_eq!(all, [(&DIGEST, &value("x")), (&DIGEST, &value("z"))]);
    }
}
