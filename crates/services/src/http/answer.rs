//! One answer to one request, written into the stream.

use std::ops::Range;
use std::sync::Arc;

use http::HeaderValue;
use sockeye_engine::Stream;
use sockeye_engine::probe::Direction;
use sockeye_http::{
    ErrorResponse, ImfFixdate, Method, PathError, Persistence, RelativePath, Request, ResponseHead,
    StatusCode, Target, decode_path, header,
};

use super::cache::Entry;
use super::guest::{self, Guest, answered};
use super::intake::Taker;
use super::ledger::Written;
use super::listing::{self, Wanted};
use super::reply::Reply;
use super::root::{Found, Opened, Refused};
use super::rules::Access;
use super::{Shard, Site, admission, archive, inspect, methods, upload};

/// What is left to do after an answer was written.
pub(super) enum Left {
    Nothing,
    /// The content, from a file.
    File(Opened, Range<u64>),
    /// All of it.
    Reply(Box<Reply>),
    /// All of it, which takes a look at files that is not for the loop.
    Work(Work),
}

/// Makes a reply, off the loop.
pub(super) type Work = Box<dyn FnOnce(&Arc<Site>) -> Reply + Send>;

/// Answers a well-formed request, which `head` is the head of.
pub(super) fn answer(
    site: &Site,
    stream: &mut Stream,
    head: &[u8],
    request: &Request<'_, '_>,
    persistence: Persistence,
) -> Left {
    let mut shard = site.shard();
    let now = sockeye_engine::unix_now();
    let rules = &site.options.rules;
    let extra = admission::of_origin(&rules.cors, request.get("origin"));
    let certain = rules.grants_all();
    let answer = Answer { site, stream, head, request, persistence, now, extra, certain };
    match answer.write(&mut shard) {
        Left::Reply(reply) => {
            let path = request.target().path().and_then(|path| decode_path(path).ok());
            let path = path.as_ref().map_or(&b""[..], RelativePath::as_bytes);
            Left::Reply(Box::new(site.dress(*reply, path, request.get("origin"))))
        }
        left => left,
    }
}

/// Who takes the content of this request and answers it; None if it is skipped and [`answer`] answers.
pub(super) fn taker(
    site: &Arc<Site>,
    head: &[u8],
    request: &Request<'_, '_>,
) -> Option<Box<dyn Taker>> {
    if site.options.inspect {
        return inspect::taker(site, head, request);
    }
    upload::taker(site, head, request)
}

/// Answers `bytes` if they are one whole head that came before and the file is at hand; `start` is
/// where in the stream they begin.
pub(super) fn answer_again(
    site: &Site,
    stream: &mut Stream,
    guest: Option<&Guest>,
    bytes: &[u8],
    start: u64,
) -> bool {
    // The last answer says that it is the last one.
    if sockeye_engine::stopping() || site.has_rate() {
        return false;
    }
    let shard = &mut *site.shard();
    let now = sockeye_engine::unix_now();
    let Some((path, words)) = shard.heads.find(bytes, now) else {
        return false;
    };
    let Some(entry) = shard.cache.get(path) else {
        return false;
    };
    if !entry.is_fresh(|entry| site.root.is_current(path, entry)) {
        return false;
    }
    let end = start + bytes.len() as u64;
    stream.mark(Direction::Received, start..end, format_args!("GET {}", Sent(bytes)));
    let start = stream.written();
    let date = shard.date.at(now);
    stream.write_shared(entry.whole(now, |entry| whole(entry, date)));
    let length = entry.content.len() as u64;
    mark(stream, start..stream.written(), StatusCode::OK, length);
    if let Some(guest) = guest {
        guest.again(words, now, bytes.len(), length);
    }
    true
}

/// Says to one who has too many connections that this is one of them.
pub(super) fn turn_away(site: &Site, stream: &mut Stream) {
    let date = *site.shard().date.at(sockeye_engine::unix_now());
    let start = stream.written();
    let status = StatusCode::TOO_MANY_REQUESTS;
    let text = "429 Too Many Requests\nthis address has too many connections open\n";
    stream.write_with(|out| {
        let mut head = ResponseHead::new(out, status);
        head.date(&date);
        let written = head
            .header(&header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .and_then(|head| head.header(&header::RETRY_AFTER, RETRY_AFTER));
        debug_assert!(written.is_ok(), "constants hold no control characters");
        head.content_length(text.len() as u64).persistence(Persistence::Close);
        head.finish();
        out.extend_from_slice(text.as_bytes());
    });
    mark(stream, start..stream.written(), status, text.len() as u64);
}

/// What one is told who asks too often (RFC 6585 §4).
pub(super) fn too_many() -> Reply {
    Reply::failure(StatusCode::TOO_MANY_REQUESTS, "this address asks too often")
        .header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))
}

/// Seconds after which there is room for one more again: rates count by the second.
const RETRY_AFTER: &str = "1";

/// Answers what is no request, for the last time; `detail` says why.
pub(super) fn refuse(site: &Site, stream: &mut Stream, status: StatusCode, detail: &str) {
    let date = *site.shard().date.at(sockeye_engine::unix_now());
    let response =
        ErrorResponse { date: Some(&date), detail: Some(detail), ..ErrorResponse::new(status) };
    short(stream, &response);
}

/// The same with a text of its own, in which nothing is left that a terminal would obey.
pub(super) fn refuse_with(site: &Site, stream: &mut Stream, status: StatusCode, text: &str) {
    let date = *site.shard().date.at(sockeye_engine::unix_now());
    let start = stream.written();
    stream.write_with(|out| {
        let mut head = ResponseHead::new(out, status);
        head.date(&date);
        let typed = head.header(&header::CONTENT_TYPE, "text/plain; charset=utf-8");
        debug_assert!(typed.is_ok(), "a constant holds no control characters");
        head.content_length(text.len() as u64).persistence(Persistence::Close);
        head.finish();
        out.extend_from_slice(text.as_bytes());
    });
    mark(stream, start..stream.written(), status, text.len() as u64);
}

pub(super) struct Answer<'a, 'h, 'b> {
    pub(super) site: &'a Site,
    pub(super) stream: &'a mut Stream,
    pub(super) head: &'a [u8],
    pub(super) request: &'a Request<'h, 'b>,
    pub(super) persistence: Persistence,
    pub(super) now: i64,
    /// Header lines that follow from this request alone.
    pub(super) extra: Vec<u8>,
    /// The same head would be answered with the same file, whoever sends it and whatever else comes
    /// into being.
    pub(super) certain: bool,
}

impl Answer<'_, '_, '_> {
    fn write(mut self, shard: &mut Shard) -> Left {
        if !matches!(*self.request.method(), Method::GET | Method::HEAD) {
            return self.other_method(shard);
        }
        let (Target::Origin { path, .. } | Target::Absolute { path, .. }) = *self.request.target()
        else {
            return self.fail(shard, StatusCode::BAD_REQUEST, None);
        };
        let path = match decode_path(path) {
            Ok(path) => path,
            Err(error) => return self.bad_path(shard, error),
        };
        if let Some(denied) =
            admission::denied(self.site, self.request, path.as_bytes(), Access::Read)
        {
            return Left::Reply(Box::new(denied));
        }
        if !self.site.options.files.shows_path(path.as_bytes()) {
            return self.nothing(shard, path.as_bytes());
        }
        if path.has_trailing_slash() {
            let archives = self.site.options.listing.archives;
            if archives && listing::wants_archive(self.request.target().query()) {
                return self.folder(shard, &path);
            }
            return self.index(shard, &path);
        }
        match self.file(shard, path.as_bytes()) {
            Ok(left) => left,
            Err(Some(Refused::NotFound)) => self.nothing(shard, path.as_bytes()),
            Err(Some(refused)) => self.refused(shard, refused),
            Err(None) => self.redirect(shard, &path),
        }
    }

    /// Methods that don't ask for content.
    #[cold]
    fn other_method(self, shard: &mut Shard) -> Left {
        let reply = match *self.request.method() {
            Method::TRACE if self.site.options.trace => methods::trace(self.head, self.request),
            Method::OPTIONS => {
                if let Some(reply) = admission::preflight(self.site, self.request) {
                    return Left::Reply(Box::new(reply));
                }
                let path = match self.request.target().path().map(decode_path).transpose() {
                    Ok(path) => path,
                    Err(error) => return self.bad_path(shard, error),
                };
                match methods::options(self.site, self.request, path.as_ref()) {
                    Ok(reply) => reply,
                    Err(refused) => return self.refused(shard, refused),
                }
            }
            _ => return self.fail(shard, StatusCode::METHOD_NOT_ALLOWED, None),
        };
        Left::Reply(Box::new(reply))
    }

    /// A folder: the file that stands for it, or what is in it.
    fn index(mut self, shard: &mut Shard, path: &RelativePath<'_>) -> Left {
        let site = self.site;
        for name in &site.options.files.index {
            let slash: &[u8] = if path.is_root() { b"" } else { b"/" };
            let index = [path.as_bytes(), slash, name.as_bytes()].concat();
            // Who may see the folder may still not see this.
            if let Some(denied) = admission::denied(site, self.request, &index, Access::Read)
                && matches!(site.root.find(&index), Ok(Found::File(_)))
            {
                return Left::Reply(Box::new(denied));
            }
            match self.file(shard, &index) {
                Ok(left) => return left,
                Err(Some(Refused::NotFound) | None) => {}
                Err(Some(refused)) => return self.refused(shard, refused),
            }
            // One that is asked for earlier may come into being.
            self.certain = false;
        }
        self.folder(shard, path)
    }

    /// What is not there: perhaps the page that stands for all of these.
    fn nothing(mut self, shard: &mut Shard, path: &[u8]) -> Left {
        let site = self.site;
        if let Some(fallback) = site.options.files.fallback_of(path) {
            self.certain = false;
            if let Ok(left) = self.file(shard, fallback.as_bytes()) {
                return left;
            }
        }
        self.refused(shard, Refused::NotFound)
    }

    /// A folder that has no index file.
    fn folder(self, shard: &mut Shard, path: &RelativePath<'_>) -> Left {
        let accept = self.request.get_all("accept");
        let wanted = match Wanted::read(self.request.target().query(), accept) {
            Ok(wanted) => wanted,
            Err(error) => {
                return self.fail(shard, StatusCode::BAD_REQUEST, Some(&error.to_string()));
            }
        };
        let options = &self.site.options.listing;
        if wanted.archive.is_some() && !options.archives {
            let detail =
                "folders can't be had as archives here (serve was started without --archive)";
            return self.fail(shard, StatusCode::FORBIDDEN, Some(detail));
        }
        if wanted.archive.is_none() && !options.listed {
            return self.nothing(shard, path.as_bytes());
        }
        let folder = match self.site.root.find(path.as_bytes()) {
            Ok(Found::Folder(folder)) => folder,
            Ok(Found::File(_)) | Err(Refused::NotFound) => {
                return self.nothing(shard, path.as_bytes());
            }
            Err(refused) => return self.refused(shard, refused),
        };
        let asked = listing::Asked {
            folder,
            path: path.as_bytes().to_vec(),
            user: admission::user(self.site, self.request),
            known: self.request.get_all("if-none-match").map(Box::from).collect(),
        };
        let origin = self.request.get("origin").map(<[u8]>::to_vec);
        Left::Work(Box::new(move |site| {
            let path = asked.path.clone();
            let reply = match wanted.archive {
                Some(format) => archive::pack(site, asked, format),
                None => listing::list(site, asked, wanted),
            };
            site.dress(reply, &path, origin.as_deref())
        }))
    }

    /// A folder asked for without the slash that its relative links need.
    fn redirect(mut self, shard: &mut Shard, path: &RelativePath<'_>) -> Left {
        const BODY: &[u8] = b"301 Moved Permanently\n";
        let date = *shard.date.at(self.now);
        let start = self.stream.written();
        let (persistence, query) = (self.persistence, self.request.target().query());
        self.stream.write_with(|out| {
            let mut head = ResponseHead::new(out, StatusCode::MOVED_PERMANENTLY);
            head.date(&date);
            let location = path.location(true);
            let located = match query {
                None => head.header_display(&header::LOCATION, location),
                Some(query) => {
                    head.header_display(&header::LOCATION, format_args!("{location}?{query}"))
                }
            };
            debug_assert!(located.is_ok(), "a parsed target holds no control characters");
            let typed = head.header(&header::CONTENT_TYPE, "text/plain; charset=utf-8");
            debug_assert!(typed.is_ok(), "a constant holds no control characters");
            head.content_length(BODY.len() as u64).persistence(persistence);
            head.finish();
        });
        if self.request.method() != Method::HEAD {
            self.stream.write(BODY);
        }
        self.mark(start, StatusCode::MOVED_PERMANENTLY, BODY.len() as u64);
        Left::Nothing
    }

    fn bad_path(self, shard: &mut Shard, error: PathError) -> Left {
        let text = error.to_string();
        self.fail(shard, error.status(), Some(&text))
    }

    fn refused(self, shard: &mut Shard, refused: Refused) -> Left {
        let status = match refused {
            Refused::NotFound => StatusCode::NOT_FOUND,
            Refused::Forbidden => StatusCode::FORBIDDEN,
            Refused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        self.fail(shard, status, None)
    }

    /// An error as a reply, for what has more to say than a status.
    pub(super) fn error(&self, status: StatusCode, detail: Option<&str>) -> Reply {
        self.site.failure(status, detail.unwrap_or_default())
    }

    fn fail(self, shard: &mut Shard, status: StatusCode, detail: Option<&str>) -> Left {
        let own = self.site.options.files.error_pages.contains_key(&status.as_u16());
        if own && status != StatusCode::METHOD_NOT_ALLOWED {
            return Left::Reply(Box::new(self.error(status, detail)));
        }
        let date = *shard.date.at(self.now);
        let mut response = self.short(status, &date);
        response.detail = detail;
        let allowed;
        if status == StatusCode::METHOD_NOT_ALLOWED {
            allowed = methods::allowed(&self.site.options);
            response.allow = &allowed;
        }
        short(self.stream, &response);
        Left::Nothing
    }

    pub(super) fn short<'d>(&self, status: StatusCode, date: &'d ImfFixdate) -> ErrorResponse<'d> {
        ErrorResponse {
            status,
            date: Some(date),
            persistence: self.persistence,
            detail: None,
            allow: &[],
            head_only: self.request.method() == Method::HEAD,
        }
    }

    /// What the log says of this request.
    pub(super) fn words(&self) -> Written {
        let ledger = self.site.options.ledger.as_deref();
        ledger
            .map(|ledger| {
                let user = admission::user(self.site, self.request);
                ledger.written(&guest::words(self.head, self.request, user.as_deref()))
            })
            .unwrap_or_default()
    }

    pub(super) fn mark(&mut self, start: u64, status: StatusCode, length: u64) {
        let range = start..self.stream.written();
        mark(self.stream, range, status, length);
    }
}

/// A whole answer, on a connection that goes on.
pub(super) fn whole(entry: &Entry, date: &ImfFixdate) -> Vec<u8> {
    let mut whole = Vec::with_capacity(128 + entry.lines.len() + entry.content.len());
    write_head(&mut whole, entry.lines.all(), b"", date, Persistence::Unstated);
    whole.extend_from_slice(&entry.content);
    whole
}

/// The head of a 200, with lines that were written before.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    lines: &[u8],
    extra: &[u8],
    date: &ImfFixdate,
    persistence: Persistence,
) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(lines);
    out.extend_from_slice(extra);
    out.extend_from_slice(match persistence {
        Persistence::Unstated => b"\r\n".as_slice(),
        Persistence::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        Persistence::Close => b"Connection: close\r\n\r\n",
    });
}

pub(super) fn short(stream: &mut Stream, response: &ErrorResponse<'_>) {
    let start = stream.written();
    let content = stream.write_with(|out| {
        let before = out.len();
        response.write(out);
        let written = &out[before..];
        let head = memchr::memmem::find(written, b"\r\n\r\n").map_or(0, |end| end + 4);
        written.len() - head
    });
    answered(response.status, content as u64);
    let range = start..stream.written();
    stream.mark(Direction::Sent, range, format_args!("{}", response.status));
}

pub(super) fn mark(stream: &Stream, range: Range<u64>, status: StatusCode, length: u64) {
    answered(status, length);
    stream.mark(Direction::Sent, range, format_args!("{status} {} B", Grouped(length)));
}

/// The target of a request head, as it was sent.
pub(super) struct Sent<'b>(pub(super) &'b [u8]);

impl std::fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = self.0.trim_ascii_start();
        let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(target))
    }
}

/// A number as people read it: `1,073,741,824`.
pub(super) struct Grouped(pub(super) u64);

impl std::fmt::Display for Grouped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 < 1000 {
            return write!(f, "{}", self.0);
        }
        write!(f, "{},{:03}", Grouped(self.0 / 1000), self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (1_073_741_824, "1,073,741,824")]
        {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }
}
