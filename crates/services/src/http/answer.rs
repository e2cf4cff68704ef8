//! One answer to one request, written into the stream.

use bytes::Bytes;
use http::HeaderValue;
use sockeye_engine::Stream;
use sockeye_engine::probe::Direction;
use sockeye_http::{
    EntityTag, ErrorResponse, Framing, ImfFixdate, Method, PathError, Persistence, Precondition,
    RelativePath, Request, ResponseHead, StatusCode, Target, conditional, decode_path, header,
};

use super::cache::{Entry, LARGEST};
use super::intake::Taker;
use super::reply::Reply;
use super::root::{Found, Identity, Opened, Refused};
use super::{Shard, Site, listing};

const INDEX: &[u8] = b"index.html";

/// Methods that are served.
const ALLOWED: [Method; 2] = [Method::GET, Method::HEAD];

/// What is left to do after an answer was written.
pub(super) enum Left {
    Nothing,
    /// The content, from a file.
    File(Opened),
    /// All of it.
    Reply(Box<Reply>),
}

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
    let answer = Answer { site, stream, head, request, persistence, now };
    answer.write(&mut shard)
}

/// Who takes the content of this request and answers it; None if it is skipped and [`answer`] answers.
pub(super) fn taker(
    _site: &Site,
    _head: &[u8],
    _request: &Request<'_, '_>,
) -> Option<Box<dyn Taker>> {
    None
}

/// Answers `bytes` if they are one whole head that came before and the file is at hand; `start` is
/// where in the stream they begin.
pub(super) fn answer_again(site: &Site, stream: &mut Stream, bytes: &[u8], start: u64) -> bool {
    // The last answer says that it is the last one.
    if sockeye_engine::stopping() {
        return false;
    }
    let shard = &mut *site.shard();
    let Some(path) = shard.heads.find(bytes) else {
        return false;
    };
    let Some(entry) = shard.cache.get(path) else {
        return false;
    };
    if !entry.is_fresh(|entry| site.root.still(path, &entry.identity, entry.watch.as_ref())) {
        return false;
    }
    let now = sockeye_engine::unix_now();
    let end = start + bytes.len() as u64;
    stream.mark(Direction::Received, start..end, format_args!("GET {}", Sent(bytes)));
    let start = stream.written();
    let date = shard.date.at(now);
    stream.write_shared(entry.whole(now, |entry| whole(entry, date)));
    mark(stream, start..stream.written(), StatusCode::OK, entry.content.len() as u64);
    true
}

/// Answers what is no request, for the last time; `detail` says why.
pub(super) fn refuse(site: &Site, stream: &mut Stream, status: StatusCode, detail: &str) {
    let date = *site.shard().date.at(sockeye_engine::unix_now());
    let response =
        ErrorResponse { date: Some(&date), detail: Some(detail), ..ErrorResponse::new(status) };
    short(stream, &response);
}

struct Answer<'a, 'h, 'b> {
    site: &'a Site,
    stream: &'a mut Stream,
    head: &'a [u8],
    request: &'a Request<'h, 'b>,
    persistence: Persistence,
    now: i64,
}

impl Answer<'_, '_, '_> {
    fn write(mut self, shard: &mut Shard) -> Left {
        if !ALLOWED.contains(self.request.method()) {
            return self.fail(shard, StatusCode::METHOD_NOT_ALLOWED, None);
        }
        let (Target::Origin { path, .. } | Target::Absolute { path, .. }) = *self.request.target()
        else {
            return self.fail(shard, StatusCode::BAD_REQUEST, None);
        };
        let path = match decode_path(path) {
            Ok(path) => path,
            Err(error) => return self.bad_path(shard, error),
        };
        if path.has_trailing_slash() {
            let mut index = Vec::with_capacity(path.as_bytes().len() + 1 + INDEX.len());
            index.extend_from_slice(path.as_bytes());
            if !path.is_root() {
                index.push(b'/');
            }
            index.extend_from_slice(INDEX);
            return match self.file(shard, &index) {
                Ok(left) => left,
                Err(Some(Refused::NotFound) | None) => self.folder(shard, &path),
                Err(Some(refused)) => self.refused(shard, refused),
            };
        }
        match self.file(shard, path.as_bytes()) {
            Ok(left) => left,
            Err(Some(refused)) => self.refused(shard, refused),
            Err(None) => self.redirect(shard, &path),
        }
    }

    /// Answers with the file of this path; None for an error says that it is a folder.
    fn file(&mut self, shard: &mut Shard, path: &[u8]) -> Result<Left, Option<Refused>> {
        let Shard { cache, heads, date } = shard;
        if let Some(entry) = cache.get(path) {
            let root = &self.site.root;
            if entry.is_fresh(|entry| root.still(path, &entry.identity, entry.watch.as_ref())) {
                if self.is_plain() {
                    heads.remember(self.head, path);
                }
                return Ok(self.content(entry, date.at(self.now)));
            }
            cache.remove(path);
        }
        let opened = match self.site.root.find(path) {
            Ok(Found::File(opened)) => opened,
            Ok(Found::Folder(_)) => return Err(None),
            Err(refused) => return Err(Some(refused)),
        };
        let date = date.at(self.now);
        let identity = opened.identity;
        let tag = EntityTag::of_file(&identity.stamp, self.now);
        let lines = describe(path, &identity, &tag, self.now);
        if identity.stamp.size > LARGEST {
            return Ok(self.large(&lines, &tag, opened, date));
        }
        let settled = identity.settled(self.now);
        let watch = if settled { self.site.root.watch(path, &opened) } else { None };
        let content = opened.read().map_err(|_| Some(Refused::Unavailable))?;
        let mut entry = Entry::new(identity, watch, tag, &lines, content.into());
        let left = self.content(&mut entry, date);
        if settled {
            cache.insert(path, entry);
        }
        Ok(left)
    }

    /// Whether nothing but the file decides the answer.
    fn is_plain(&self) -> bool {
        self.request.method() == Method::GET
            && self.persistence == Persistence::Unstated
            && self.request.body() == Framing::None
            && !self.request.may_be_conditional()
    }

    /// A file whose content is at hand.
    fn content(&mut self, entry: &mut Entry, date: &ImfFixdate) -> Left {
        let modified = entry.identity.stamp.modified_seconds;
        if !self.proceed(&entry.tag, modified, date) {
            return Left::Nothing;
        }
        let start = self.stream.written();
        let persistence = self.persistence;
        if self.request.method() == Method::HEAD {
            self.stream.write_with(|out| write_head(out, &entry.lines, date, persistence));
        } else if persistence == Persistence::Unstated {
            self.stream.write_shared(entry.whole(self.now, |entry| whole(entry, date)));
        } else {
            self.stream.write_with(|out| write_head(out, &entry.lines, date, persistence));
            self.stream.write_shared(Bytes::clone(&entry.content));
        }
        self.mark(start, StatusCode::OK, entry.content.len() as u64);
        Left::Nothing
    }

    /// A file whose content leaves without passing through here.
    fn large(&mut self, lines: &[u8], tag: &EntityTag, opened: Opened, date: &ImfFixdate) -> Left {
        if !self.proceed(tag, opened.identity.stamp.modified_seconds, date) {
            return Left::Nothing;
        }
        let start = self.stream.written();
        let persistence = self.persistence;
        self.stream.write_with(|out| write_head(out, lines, date, persistence));
        if self.request.method() == Method::HEAD {
            self.mark(start, StatusCode::OK, opened.size());
            return Left::Nothing;
        }
        let end = self.stream.written().saturating_add(opened.size());
        mark(self.stream, start..end, StatusCode::OK, opened.size());
        Left::File(opened)
    }

    /// Whether the conditions of the request let the file be sent; if not, that is answered.
    fn proceed(&mut self, tag: &EntityTag, modified: i64, date: &ImfFixdate) -> bool {
        let status = match conditional::evaluate(self.request, Some(tag), Some(modified)) {
            Precondition::Proceed => return true,
            Precondition::Failed => {
                let failed = self.short(StatusCode::PRECONDITION_FAILED, date);
                short(self.stream, &failed);
                return false;
            }
            Precondition::NotModified => StatusCode::NOT_MODIFIED,
        };
        let start = self.stream.written();
        let (persistence, now) = (self.persistence, self.now);
        self.stream.write_with(|out| {
            let mut head = ResponseHead::new(out, status);
            head.date(date);
            let modified = ImfFixdate::from_unix(modified.min(now));
            let written = head
                .header(&header::ETAG, tag.as_str())
                .and_then(|head| head.header(&header::LAST_MODIFIED, modified.as_bytes()));
            debug_assert!(written.is_ok(), "tags and dates hold no control characters");
            head.persistence(persistence);
            head.finish();
        });
        self.mark(start, status, 0);
        false
    }

    /// A folder that has no index file.
    fn folder(self, shard: &mut Shard, path: &RelativePath<'_>) -> Left {
        let folder = match self.site.root.find(path.as_bytes()) {
            Ok(Found::Folder(folder)) => folder,
            Ok(Found::File(_)) => return self.refused(shard, Refused::NotFound),
            Err(refused) => return self.refused(shard, refused),
        };
        let Ok(page) = listing::page(&self.site.root, &folder, path) else {
            return self.refused(shard, Refused::Unavailable);
        };
        let reply = Reply::new(StatusCode::OK)
            .typed("text/html; charset=utf-8", page)
            .header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(listing::POLICY))
            .header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Left::Reply(Box::new(reply))
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

    fn fail(self, shard: &mut Shard, status: StatusCode, detail: Option<&str>) -> Left {
        let date = *shard.date.at(self.now);
        let mut response = self.short(status, &date);
        response.detail = detail;
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.allow = &ALLOWED;
        }
        short(self.stream, &response);
        Left::Nothing
    }

    fn short<'d>(&self, status: StatusCode, date: &'d ImfFixdate) -> ErrorResponse<'d> {
        ErrorResponse {
            status,
            date: Some(date),
            persistence: self.persistence,
            detail: None,
            allow: &[],
            head_only: self.request.method() == Method::HEAD,
        }
    }

    fn mark(&mut self, start: u64, status: StatusCode, length: u64) {
        let range = start..self.stream.written();
        mark(self.stream, range, status, length);
    }
}

/// A whole answer, on a connection that goes on.
fn whole(entry: &Entry, date: &ImfFixdate) -> Vec<u8> {
    let mut whole = Vec::with_capacity(128 + entry.lines.len() + entry.content.len());
    write_head(&mut whole, &entry.lines, date, Persistence::Unstated);
    whole.extend_from_slice(&entry.content);
    whole
}

/// The head of a 200, with lines that were written before.
fn write_head(out: &mut Vec<u8>, lines: &[u8], date: &ImfFixdate, persistence: Persistence) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(lines);
    out.extend_from_slice(match persistence {
        Persistence::Unstated => b"\r\n".as_slice(),
        Persistence::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        Persistence::Close => b"Connection: close\r\n\r\n",
    });
}

fn short(stream: &mut Stream, response: &ErrorResponse<'_>) {
    let start = stream.written();
    stream.write_with(|out| response.write(out));
    let range = start..stream.written();
    stream.mark(Direction::Sent, range, format_args!("{}", response.status));
}

fn mark(stream: &Stream, range: std::ops::Range<u64>, status: StatusCode, length: u64) {
    stream.mark(Direction::Sent, range, format_args!("{status} {} B", Grouped(length)));
}

/// Header lines that hold for the file as long as it does not change.
///
/// No file was changed after `now`, whatever its stamp says (RFC 9110 §8.8.2.1).
fn describe(path: &[u8], identity: &Identity, tag: &EntityTag, now: i64) -> Vec<u8> {
    let mut lines = Vec::with_capacity(256);
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let modified = ImfFixdate::from_unix(identity.stamp.modified_seconds.min(now));
    let mut head = ResponseHead::new(&mut lines, StatusCode::OK);
    let written = head
        .header(&header::CONTENT_TYPE, content_type(name))
        .map(|head| head.content_length(identity.stamp.size))
        .and_then(|head| head.header(&header::LAST_MODIFIED, modified.as_bytes()))
        .and_then(|head| head.header(&header::ETAG, tag.as_str()))
        .and_then(|head| head.header(&header::ACCEPT_RANGES, "none"));
    debug_assert!(written.is_ok(), "types, dates and tags hold no control characters");
    head.finish();
    // The status line and the empty line go around these, and lines of the moment between them.
    let first = lines.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    lines.truncate(lines.len() - 2);
    lines.drain(..first);
    lines
}

/// The media type of a file name, with the charset that text in this century has.
fn content_type(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let guess = mime_guess::from_path(&*name).first_raw().unwrap_or("application/octet-stream");
    let text = guess.starts_with("text/")
        || matches!(guess, "application/javascript" | "application/json" | "image/svg+xml");
    if text { format!("{guess}; charset=utf-8") } else { guess.to_owned() }
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

    #[test]
    fn types_follow_the_name_and_text_is_utf_8() {
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.PNG", "image/png"),
            ("名 ü.txt", "text/plain; charset=utf-8"),
            ("Makefile", "application/octet-stream"),
            ("a.js", "text/javascript; charset=utf-8"),
        ] {
            assert_eq!(content_type(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(content_type(b"\xff.css"), "text/css; charset=utf-8");
    }
}
