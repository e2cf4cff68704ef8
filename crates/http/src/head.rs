//! Request heads: found, checked and read without copying or allocating.
//!
//! httparse reads; because it tolerates bare LF and several empty lines, what it accepted is checked
//! again at the line ends, and what it did not accept goes to `strict` for the
//! exact error.

use std::mem::MaybeUninit;

use http::{Method, Version};
use httparse::{Header, ParserConfig, Status};

use crate::authority::Authority;
use crate::error::RequestError;
use crate::fields::{self, Fields, Framing};
use crate::limits::Limits;
use crate::response::Persistence;
use crate::strict::{self, Walked};
use crate::target::Target;

/// Reads request heads from a buffer that grows while the peer is slow.
///
/// It remembers how much it has seen, so that a head arriving byte by byte costs linear work: new
/// bytes are scanned once, and the whole is read again only when the head ends, when a byte shows
/// that it is wrong, when a limit is hit, or when the buffer has doubled. One parser serves all
/// requests of a connection, one after another; it starts anew by itself after a complete head.
#[derive(Debug, Default, Clone, Copy)]
pub struct RequestParser {
    /// Bytes looked at so far.
    pub(crate) seen: usize,
    /// Bytes there when the head was last read as a whole.
    pub(crate) read: usize,
    pub(crate) line_done: bool,
}

/// What came of [`RequestParser::parse`].
#[derive(Debug)]
pub enum Progress<'h, 'b> {
    /// The head has no end yet, and so far nothing is wrong with it: receive more.
    Incomplete,
    /// A whole, valid head.
    Complete {
        /// What it says.
        request: Request<'h, 'b>,
        /// The bytes of the head; its body or the next request begins there.
        consumed: usize,
    },
}

/// Room for the header lines of one parse; not initialised, so making one costs nothing.
///
/// It borrows from the buffer it was used with, so make a new one for every parse.
#[derive(Debug)]
pub struct HeaderStorage<'b, const N: usize = 128> {
    slots: [MaybeUninit<Header<'b>>; N],
    /// For heads of a version httparse does not take; empty in practice.
    spare: Vec<Header<'b>>,
}

impl HeaderStorage<'_> {
    /// Room for 128 header lines.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self { slots: [const { MaybeUninit::uninit() }; 128], spare: Vec::new() }
    }
}

impl<'b, const N: usize> HeaderStorage<'b, N> {
    /// Room for so many lines, initialised.
    pub(crate) fn spare(&mut self, lines: usize) -> &mut [Header<'b>] {
        self.spare.clear();
        self.spare.resize(lines, httparse::EMPTY_HEADER);
        &mut self.spare
    }
}

/// Room for `N` header lines: `HeaderStorage::<256>::default()`.
impl<const N: usize> Default for HeaderStorage<'_, N> {
    fn default() -> Self {
        Self { slots: [const { MaybeUninit::uninit() }; N], spare: Vec::new() }
    }
}

/// Reads a head in one go: [`RequestParser::parse`] without a memory.
///
/// # Errors
/// As [`RequestParser::parse`].
pub fn parse_request<'h, 'b, const N: usize>(
    buf: &'b [u8],
    limits: &Limits,
    storage: &'h mut HeaderStorage<'b, N>,
) -> Result<Progress<'h, 'b>, RequestError> {
    RequestParser::new().parse(buf, limits, storage)
}

impl RequestParser {
    /// A parser at the start of a request.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: 0, read: 0, line_done: false }
    }

    /// Reads `buf`: everything received since the end of the last message. Until the head is
    /// complete, each call must bring the same bytes again, with new ones at the end.
    ///
    /// # Errors
    /// The first thing wrong with the head, which may be reported before the head is complete, but
    /// never on a prefix of a valid one. Answer with its status, close, and don't call again.
    #[inline]
    pub fn parse<'h, 'b, const N: usize>(
        &mut self,
        buf: &'b [u8],
        limits: &Limits,
        storage: &'h mut HeaderStorage<'b, N>,
    ) -> Result<Progress<'h, 'b>, RequestError> {
        if self.seen > 0 && !self.worth_reading(buf, limits) {
            self.seen = buf.len();
            return Ok(Progress::Incomplete);
        }
        let HeaderStorage { slots, spare } = storage;
        match read(buf, limits, slots, spare)? {
            Read::Complete(request, consumed) => {
                *self = Self::new();
                Ok(Progress::Complete { request, consumed })
            }
            Read::Incomplete { line_done } => {
                *self = Self { seen: buf.len(), read: buf.len(), line_done };
                Ok(Progress::Incomplete)
            }
        }
    }

    /// Whether the new bytes can change the answer, or enough came to look again.
    pub(crate) fn worth_reading(&self, buf: &[u8], limits: &Limits) -> bool {
        buf.len() < self.seen
            || buf.len() >= limits.head_bytes
            || buf.len() >= self.read.saturating_mul(2)
            // At most the length of a request-line without its target, so not quadratic.
            || (!self.line_done && buf.len() > limits.target_bytes)
            || (self.seen..buf.len()).any(|i| self.decides(buf, i))
    }

    /// Whether the byte at `i` ends the head or the request-line, or can't be in a valid head.
    fn decides(&self, buf: &[u8], i: usize) -> bool {
        let before = |n: usize| i.checked_sub(n).and_then(|i| buf.get(i)).copied();
        match buf.get(i) {
            Some(b'\n') => {
                before(1) != Some(b'\r')
                    || !self.line_done
                    || (before(2), before(3)) == (Some(b'\n'), Some(b'\r'))
            }
            Some(0..=8 | 11..=12 | 14..=31 | 127) => true,
            _ => before(1) == Some(b'\r'),
        }
    }
}

enum Read<'h, 'b> {
    Incomplete { line_done: bool },
    Complete(Request<'h, 'b>, usize),
}

fn read<'h, 'b>(
    buf: &'b [u8],
    limits: &Limits,
    slots: &'h mut [MaybeUninit<Header<'b>>],
    spare: &'h mut Vec<Header<'b>>,
) -> Result<Read<'h, 'b>, RequestError> {
    let max_headers = limits.headers.min(slots.len());
    if let Some(slots) = slots.get_mut(..max_headers)
        && let Some(head) = accept(buf, limits, slots)
    {
        let http11 = head.minor > 0;
        let request = Request::new(head.method, head.target, http11, head.headers)?;
        return Ok(Read::Complete(request, head.len));
    }
    read_slowly(buf, limits, max_headers, spare)
}

/// Errors, heads that are not whole, and versions 1.2 to 1.9, which are to be read as 1.1
/// (RFC 9110 §2.5) and which httparse refuses.
#[cold]
fn read_slowly<'h, 'b>(
    buf: &'b [u8],
    limits: &Limits,
    max_headers: usize,
    spare: &'h mut Vec<Header<'b>>,
) -> Result<Read<'h, 'b>, RequestError> {
    match strict::walk(buf, limits, max_headers)? {
        Walked::Incomplete { line_done } => Ok(Read::Incomplete { line_done }),
        Walked::Complete { method, target, minor, headers_at, len } => {
            spare.clear();
            spare.resize(max_headers, httparse::EMPTY_HEADER);
            let lines = buf.get(headers_at..len).unwrap_or_default();
            match httparse::parse_headers(lines, spare) {
                Ok(Status::Complete((_, headers))) => {
                    let request = Request::new(method, target, minor > 0, headers)?;
                    Ok(Read::Complete(request, len))
                }
                // The walk accepts no line that httparse refuses; the tests compare the two.
                _ => Err(RequestError::InvalidHeaderName),
            }
        }
    }
}

/// A head whose syntax is right.
struct Head<'h, 'b> {
    method: Method,
    target: Target<'b>,
    minor: u8,
    headers: &'h [Header<'b>],
    len: usize,
}

/// The fast path: a whole valid head, or nothing.
fn accept<'h, 'b>(
    buf: &'b [u8],
    limits: &Limits,
    slots: &'h mut [MaybeUninit<Header<'b>>],
) -> Option<Head<'h, 'b>> {
    let skipped = match buf {
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    let head = buf.get(skipped..)?;
    // httparse skips any number of empty lines.
    if matches!(head.first()?, b'\r' | b'\n') {
        return None;
    }
    let mut parsed = httparse::Request::new(&mut []);
    let Ok(Status::Complete(len)) =
        ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, head, slots)
    else {
        return None;
    };
    let (method, target, minor) = (parsed.method?, parsed.path?, parsed.version?);
    let len_with_skipped = skipped + len;
    if len_with_skipped > limits.head_bytes || target.len() > limits.target_bytes {
        return None;
    }
    if !ends_with_crlf_everywhere(head.get(..len)?, target, parsed.headers) {
        return None;
    }
    let method = strict::known_method(method.as_bytes())?;
    let target = Target::parse(&method, target).ok()?;
    Some(Head { method, target, minor, headers: parsed.headers, len: len_with_skipped })
}

/// httparse takes LF for CRLF at every line end, and says nothing. No LF can be elsewhere, so it is
/// enough to look behind the version, behind each value and at the end.
fn ends_with_crlf_everywhere(head: &[u8], target: &str, headers: &[Header<'_>]) -> bool {
    // What httparse returns are slices of `head`; any other address fails the look-up.
    let end_of = |part: &[u8]| {
        part.as_ptr().addr().wrapping_sub(head.as_ptr().addr()).wrapping_add(part.len())
    };
    let version = " HTTP/1.x".len();
    let line_end = end_of(target.as_bytes()).wrapping_add(version);
    head.ends_with(b"\r\n")
        && head.get(line_end) == Some(&b'\r')
        && headers.iter().all(|header| {
            let after = head.get(end_of(header.value)..).unwrap_or_default();
            // Values come without the whitespace behind them.
            after.iter().find(|&&b| b != b' ' && b != b'\t') == Some(&b'\r')
        })
}

/// A request head that was read, borrowed from the buffer.
#[derive(Debug)]
pub struct Request<'h, 'b> {
    method: Method,
    target: Target<'b>,
    headers: &'h [Header<'b>],
    fields: Fields<'b>,
    http11: bool,
}

impl<'h, 'b> Request<'h, 'b> {
    fn new(
        method: Method,
        target: Target<'b>,
        http11: bool,
        headers: &'h [Header<'b>],
    ) -> Result<Self, RequestError> {
        let fields = Fields::read(headers, http11)?;
        if method == Method::CONNECT && fields.framing != Framing::None {
            return Err(RequestError::ContentInConnect);
        }
        Ok(Self { method, target, headers, fields, http11 })
    }

    /// The method; one of those the http crate names.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request-target, in the form that goes with the method.
    #[must_use]
    pub fn target(&self) -> &Target<'b> {
        &self.target
    }

    /// HTTP/1.0 or HTTP/1.1; higher minor versions are read as 1.1 (RFC 9110 §2.5).
    #[must_use]
    pub fn version(&self) -> Version {
        if self.http11 { Version::HTTP_11 } else { Version::HTTP_10 }
    }

    /// The host the request is for: the target's own if it has one, else that of the Host header
    /// (RFC 9112 §3.3). None only in HTTP/1.0; its name may be empty.
    #[must_use]
    pub fn host(&self) -> Option<Authority<'b>> {
        self.target.authority().or(self.fields.host)
    }

    /// The header lines in their order, names as sent, values without surrounding whitespace.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'h, 'b> {
        self.headers.iter().map(|header| (header.name, header.value))
    }

    /// The value of the first line with this name, in any case; takes a `&str` or a
    /// [`HeaderName`](http::HeaderName).
    #[must_use]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&'b [u8]> {
        self.get_all(name).next()
    }

    /// The values of all lines with this name, in their order.
    pub fn get_all<N: AsRef<str>>(
        &self,
        name: N,
    ) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b, N> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name.as_ref()))
            .map(|header| header.value)
    }

    /// The options of the connection, in the order and case they were sent (RFC 9110 §7.6.1): `close`,
    /// `keep-alive`, and the names of fields that are for the next recipient alone, which whoever
    /// forwards the request takes out together with Connection itself.
    pub fn connection_options(&self) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        list(self.headers, "connection")
    }

    /// The protocols the client would rather speak, in its order of preference (RFC 9110 §7.8). None if
    /// Connection does not name Upgrade too, and none in HTTP/1.0, where it means nothing.
    ///
    /// Whoever takes one answers with 101, and all that follows the head and the content of this
    /// request belongs to the other protocol. One that is not taken is ignored.
    pub fn upgrades(&self) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        let asked = self.http11
            && self.connection_options().any(|option| option.eq_ignore_ascii_case(b"upgrade"));
        list(if asked { self.headers } else { &[] }, "upgrade")
    }

    /// How often TRACE or OPTIONS may still be forwarded (RFC 9110 §7.6.2): with 0 it is for whoever
    /// received it. None for other methods, and for what is no number.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u64> {
        if !matches!(self.method, Method::TRACE | Method::OPTIONS) {
            return None;
        }
        fields::parse_length(self.get("max-forwards")?)
    }

    /// Whether the client wants to see trailers (RFC 9110 §10.1.4); to others they need not be sent.
    #[must_use]
    pub fn accepts_trailers(&self) -> bool {
        self.http11
            && list(self.headers, "te").any(|member| member.eq_ignore_ascii_case(b"trailers"))
    }

    /// Whether the connection may serve another request after this one (RFC 9112 §9.3): `close`
    /// in a Connection line ends it, HTTP/1.1 else goes on, HTTP/1.0 only with `keep-alive`.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        !self.fields.close && (self.http11 || self.fields.keep_alive)
    }

    /// What the response has to say about the connection if the server agrees with the client.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        match (self.keep_alive(), self.http11) {
            (false, _) => Persistence::Close,
            (true, false) => Persistence::KeepAlive,
            (true, true) => Persistence::Unstated,
        }
    }

    /// How the end of the body is found.
    #[must_use]
    pub fn body(&self) -> Framing {
        self.fields.framing
    }

    /// Whether any header's name begins like those that set conditions (RFC 9110 §13.1); most
    /// requests have none.
    #[must_use]
    pub fn may_be_conditional(&self) -> bool {
        self.fields.conditional
    }

    /// Whether there is a Range header (RFC 9110 §14.2); most requests have none.
    #[must_use]
    pub fn may_have_range(&self) -> bool {
        self.fields.range
    }

    /// Whether there is an Accept-Encoding header (RFC 9110 §12.5.3), without which nothing but
    /// identity is sent.
    #[must_use]
    pub fn names_encodings(&self) -> bool {
        self.fields.encodings
    }

    /// Whether the client waits for 100 Continue before it sends the body (RFC 9110 §10.1.1).
    #[must_use]
    pub fn expect_continue(&self) -> bool {
        self.fields.expect_continue
    }
}

/// The members of all lines with this name, in their order; empty ones are none (RFC 9110 §5.6.1.2).
pub(crate) fn list<'h, 'b>(
    headers: &'h [Header<'b>],
    name: &'static str,
) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
    let lines = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    lines.flat_map(|header| fields::members(header.value)).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SEEDS: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\r\nPOST /a?b HTTP/1.0\r\nA:\r\nB: \t c \r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost:h\r\nX-1: \xff\r\n\r\n",
        b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
        b"GET http://h/\xc3\xa9?q HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.3\r\nHost: h\r\n\r\n",
    ];

    /// Total bytes read as a whole while a head arrives byte by byte.
    fn work(head: &[u8]) -> usize {
        let mut parser = RequestParser::new();
        let mut work = 0;
        for end in 1..head.len() {
            let mut storage = HeaderStorage::new();
            let before = parser.read;
            let progress = parser.parse(&head[..end], &Limits::default(), &mut storage);
            assert!(matches!(progress, Ok(Progress::Incomplete)), "{progress:?}");
            if parser.read != before {
                work += end;
            }
        }
        work
    }

    #[test]
    fn a_slow_sender_costs_linear_work() {
        let line = format!("A: {}\r\n", "b".repeat(500));
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", line.repeat(120));
        let ratio = work(head.as_bytes()) / head.len();
        assert!(ratio <= 4, "every byte was read {ratio} times");
    }

    #[test]
    fn a_slow_sender_of_a_long_target_costs_little_more() {
        let head = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(8191));
        let ratio = work(head.as_bytes()) / head.len();
        assert!(ratio <= 50, "every byte was read {ratio} times");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn the_fast_path_accepts_what_the_strict_walk_accepts(
            seed in prop::sample::select(&SEEDS[..]),
            changes in vec((
                any::<prop::sample::Index>(),
                prop_oneof![
                    prop::sample::select(&b"\r\n \t:/*H0123.?#\0\x7f"[..]),
                    any::<u8>(),
                ],
                0..3u8,
            ), 0..3),
        ) {
            let mut head = seed.to_vec();
            for (at, byte, how) in changes {
                let at = at.index(head.len());
                match how {
                    0 => head[at] = byte,
                    1 => head.insert(at, byte),
                    _ => drop(head.remove(at)),
                }
            }
            let limits = Limits::default();
            let mut slots = [const { MaybeUninit::uninit() }; 8];
            let accepted = accept(&head, &limits, &mut slots);
            match strict::walk(&head, &limits, 8) {
                Ok(Walked::Complete { method, target, minor, len, .. }) if minor <= 1 => {
                    let accepted = accepted.expect("the walk accepts it");
                    prop_assert_eq!(accepted.method, method);
                    prop_assert_eq!(accepted.target, target);
                    prop_assert_eq!((accepted.minor, accepted.len), (minor, len));
                }
                other => prop_assert!(accepted.is_none(), "{:?}", other),
            }
        }
    }
}
