//! Whom a connection belongs to, and what is written down of it.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye_engine::{Address, Stream, UnixAddress};
use sockeye_http::{Method, Request, StatusCode};

use super::ledger::{Facts, Ledger, Note, Said, Words, Written};
use super::{Site, admission, visitors};

thread_local! {
    // Answers are written whole by functions that know nothing of the log, within one call on this
    // thread: here they leave what it is to say.
    static LAST: Cell<Last> = const { Cell::new(Last { status: 0, content: 0 }) };
}

/// The answer that was written last on this thread.
#[derive(Clone, Copy)]
struct Last {
    status: u16,
    content: u64,
}

/// An answer was written: its status, and the length of its content.
#[inline]
pub(super) fn answered(status: StatusCode, content: u64) {
    LAST.set(Last { status: status.as_u16(), content });
}

/// Who is at the other end.
pub(super) struct Guest {
    site: Arc<Site>,
    /// As the log writes it.
    peer: Box<str>,
    /// Whom it counts as, if it is held to a limit.
    counted: Option<IpAddr>,
    /// He has fewer connections than he may have at most.
    may_stay: bool,
    /// When the first bytes of the request came that is looked at; where somebody wants to know.
    since: Option<Instant>,
    /// A request whose answer is on its way.
    open: Option<Box<Open>>,
}

/// What is known of an exchange that is not over.
struct Open {
    words: Written,
    method: Method,
    status: u16,
    received: u64,
    /// Where in the stream the content of the answer begins.
    content_at: u64,
    /// The answer has no content, whatever its head says.
    head_only: bool,
}

impl Guest {
    /// Somebody has connected.
    pub(super) fn enter(site: &Arc<Site>, stream: &Stream) -> Box<Guest> {
        let address = stream.peer_addr().ok();
        let peer = match &address {
            Some(address) => address.ip().to_canonical().to_string(),
            None => unix(stream),
        };
        if let Some(ledger) = &site.options.ledger {
            ledger.opened();
        }
        let mut counted = address.map(|address| visitors::counted(address.ip()));
        let may_stay = match (&site.visitors, counted) {
            (Some(visitors), Some(address)) => visitors.enter(address),
            _ => true,
        };
        if !may_stay {
            counted = None;
        }
        let peer = peer.into_boxed_str();
        let guest =
            Guest { site: Arc::clone(site), peer, counted, may_stay, since: None, open: None };
        Box::new(guest)
    }

    /// Whether he has not too many connections already; else he is to be told, and to go.
    pub(super) fn may_stay(&self) -> bool {
        self.may_stay
    }

    fn ledger(&self) -> Option<&Ledger> {
        self.site.options.ledger.as_deref()
    }

    /// Bytes have come; `fresh` if none of the request they belong to had come before.
    #[inline]
    pub(super) fn received(&mut self, fresh: bool) {
        if (fresh || self.since.is_none()) && self.ledger().is_some_and(Ledger::is_timed) {
            self.since = Some(Instant::now());
        }
    }

    /// Whether he may ask once more now.
    pub(super) fn may_ask(&self) -> bool {
        match (&self.site.visitors, self.counted) {
            (Some(visitors), Some(address)) => visitors.may_ask(address),
            _ => true,
        }
    }

    /// A request was answered as one was before.
    #[inline]
    pub(super) fn again(&self, words: &Written, now: i64, received: usize, sent: u64) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        ledger.note(&Note {
            method: Some(&Method::GET),
            facts: self.facts(200, sent, received as u64, false),
            words: Said::Written(words),
            now,
        });
    }

    /// A request was answered at once; what was written last on this thread is the answer.
    pub(super) fn answered(&self, head: &[u8], request: &Request<'_, '_>, received: u64) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        let Last { status, content } = LAST.get();
        let user = admission::user(&self.site, request);
        let sent = if *request.method() == Method::HEAD { 0 } else { content };
        ledger.note(&Note {
            method: Some(request.method()),
            facts: self.facts(status, sent, received, false),
            words: Said::Words(words(head, request, user.as_deref())),
            now: sockeye_engine::unix_now(),
        });
    }

    /// Something was refused that is no request, or none that was understood.
    pub(super) fn refused(&self, bytes: &[u8], status: StatusCode) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        let Last { content, .. } = LAST.get();
        let line = bytes.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
        let request = line.strip_suffix(b"\r").unwrap_or(line);
        ledger.note(&Note {
            method: None,
            facts: self.facts(status.as_u16(), content, bytes.len() as u64, false),
            words: Said::Words(Words { request, ..Words::default() }),
            now: sockeye_engine::unix_now(),
        });
    }

    /// An answer begins that is not sent at once; `content_at` is where in the stream its content will
    /// begin, and what was written last on this thread its head.
    pub(super) fn begin(
        &mut self,
        head: &[u8],
        request: &Request<'_, '_>,
        received: u64,
        content_at: u64,
    ) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        let user = admission::user(&self.site, request);
        let open = Open {
            words: ledger.written(&words(head, request, user.as_deref())),
            method: request.method().clone(),
            status: LAST.get().status,
            received,
            content_at,
            head_only: *request.method() == Method::HEAD,
        };
        self.open = Some(Box::new(open));
    }

    /// What is known better by now of the answer that has begun.
    pub(super) fn goes_on(&mut self, status: StatusCode, content_at: u64) {
        if let Some(open) = &mut self.open {
            open.status = status.as_u16();
            open.content_at = content_at;
        }
    }

    /// So many bytes of the request came, with its content.
    pub(super) fn took(&mut self, received: u64) {
        if let Some(open) = &mut self.open {
            open.received = received;
        }
    }

    /// The answer has ended, `written` being where the stream is then; `cut` if that was before its end.
    pub(super) fn end(&mut self, written: u64, cut: bool) {
        let (Some(open), Some(ledger)) = (self.open.take(), self.ledger()) else {
            return;
        };
        let sent = if open.head_only { 0 } else { written.saturating_sub(open.content_at) };
        ledger.note(&Note {
            method: Some(&open.method),
            facts: self.facts(open.status, sent, open.received, cut),
            words: Said::Written(&open.words),
            now: sockeye_engine::unix_now(),
        });
    }

    fn facts(&self, status: u16, sent: u64, received: u64, cut: bool) -> Facts<'_> {
        let duration = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        Facts { peer: &self.peer, status, sent, received, duration, cut }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let content_at = self.open.as_ref().map_or(0, |open| open.content_at);
        self.end(content_at, true);
        if let Some(ledger) = self.ledger() {
            ledger.closed();
        }
        if let (Some(visitors), Some(address)) = (&self.site.visitors, self.counted) {
            visitors.leave(address);
        }
    }
}

/// The words of a request, which `head` is the head of, by a user if one is known.
pub(super) fn words<'a>(
    head: &'a [u8],
    request: &'a Request<'_, '_>,
    user: Option<&'a str>,
) -> Words<'a> {
    let line = head.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words =
        Words { request: line.strip_suffix(b"\r").unwrap_or(line), user, ..Words::default() };
    for (name, value) in request.headers() {
        if name.eq_ignore_ascii_case("referer") {
            words.referer = Some(value);
        } else if name.eq_ignore_ascii_case("user-agent") {
            words.agent = Some(value);
        }
    }
    words
}

/// Of a Unix socket's client the kernel knows the process.
fn unix(stream: &Stream) -> String {
    match stream.peer() {
        Ok(Address::Unix(UnixAddress::Unnamed)) | Err(_) => "unix:".to_owned(),
        // Chosen by the client: its bytes stay out of the log.
        Ok(_) => "unix:named".to_owned(),
    }
}
