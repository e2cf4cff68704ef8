//! A file as the answer: in which coding, which part of it, or that the client has it already.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use sockeye_http::range::{ContentRange, Multipart, Ranges};
use sockeye_http::{
    AcceptEncoding, Coding, EntityTag, Framing, ImfFixdate, Method, Persistence, Precondition,
    ResponseHead, StatusCode, conditional, header, range,
};

use super::Shard;
use super::answer::{Answer, Left, mark, short, whole, write_head};
use super::cache::{Entry, LARGEST, Siblings};
use super::compress::{CODINGS, Compressing, Keep, Source};
use super::lines::{About, Lines};
use super::reply::{Content, Part, Reply};
use super::root::{Found, Identity, Opened, Refused};

/// A file to be answered with, whatever of it.
struct Subject<'e> {
    identity: Identity,
    tag: EntityTag,
    lines: &'e Lines,
    size: u64,
}

/// What becomes of the wish for another coding.
enum Coded {
    /// None is there, or the client likes none better.
    AsItIs,
    /// Not even the file as it is will do.
    Unacceptable,
    Answered(Left),
}

impl Answer<'_, '_, '_> {
    /// Answers with the file of this path; None for an error says that it is a folder.
    pub(super) fn file(&mut self, shard: &mut Shard, path: &[u8]) -> Result<Left, Option<Refused>> {
        let site = self.site;
        if let Some(entry) = shard.cache.get(path) {
            if entry.is_fresh(|entry| site.root.is_current(path, entry)) {
                if entry.lines.varies && self.request.names_encodings() {
                    let found = (entry.identity, Bytes::clone(&entry.content));
                    let siblings = entry.siblings(self.now, |of| site.siblings(path, of));
                    match self.coded(shard, path, found.0, siblings, Source::Bytes(found.1)) {
                        Coded::AsItIs => {}
                        Coded::Unacceptable => return Ok(self.unacceptable()),
                        Coded::Answered(left) => return Ok(left),
                    }
                }
                // The borrow for the look above is over.
                if let Some(entry) = shard.cache.get(path) {
                    if self.is_plain() {
                        let until = self.known_until(entry.lines.varies);
                        let words = self.words();
                        shard.heads.remember(self.head, path, until, words);
                    }
                    return Ok(self.content(entry, shard.date.at(self.now)));
                }
            }
            shard.cache.remove(path);
        }
        let opened = match site.root.find(path) {
            Ok(Found::File(opened)) => opened,
            Ok(Found::Folder(_)) => return Err(None),
            Err(refused) => return Err(Some(refused)),
        };
        let identity = opened.identity;
        let size = identity.stamp.size;
        let tag = EntityTag::of_file(&identity.stamp, self.now);
        let about = About {
            path,
            identity: &identity,
            tag: &tag,
            coding: Coding::Identity,
            length: Some(size),
        };
        let lines = Lines::new(&site.options, &about, self.now);
        let mut siblings = None;
        if lines.varies && self.request.names_encodings() {
            let found = site.siblings(path, &identity);
            siblings = Some(found);
            if let Ok(copy) = opened.fd.try_clone() {
                let source = Source::File(File::from(copy), size);
                match self.coded(shard, path, identity, found, source) {
                    Coded::AsItIs => {}
                    Coded::Unacceptable => return Ok(self.unacceptable()),
                    Coded::Answered(left) => return Ok(left),
                }
            }
        }
        if size > LARGEST {
            return Ok(self.large(&lines, tag, opened, shard.date.at(self.now)));
        }
        let settled = identity.settled(self.now);
        let watch = if settled { site.root.watch(path, &opened) } else { None };
        let content = opened.read().map_err(|_| Some(Refused::Unavailable))?;
        let mut entry = Entry::new(identity, watch, tag, lines, content.into());
        if let Some(siblings) = siblings {
            entry.siblings(self.now, |_| siblings);
        }
        let left = self.content(&mut entry, shard.date.at(self.now));
        if settled {
            shard.cache.insert(path, entry);
        }
        Ok(left)
    }

    /// Answers with what the client likes better than the file as it is: one that lies beside it
    /// compressed, or what is compressed now.
    fn coded(
        &mut self,
        shard: &mut Shard,
        path: &[u8],
        origin: Identity,
        mut siblings: Siblings,
        source: Source,
    ) -> Coded {
        let accepted = AcceptEncoding::read(self.request.get_all("accept-encoding"));
        loop {
            let there: Vec<Coding> = siblings.iter().collect();
            match accepted.choose(&there) {
                Some(Coding::Identity) | None => break,
                Some(coding) => {
                    if let Some(left) = self.sibling(shard, path, origin, coding) {
                        return Coded::Answered(left);
                    }
                    // It went away meanwhile, or is nothing that may be served: another may do.
                    siblings.remove(coding);
                }
            }
        }
        let worth = self
            .site
            .options
            .files
            .compress
            .is_some_and(|options| (options.min..=options.max).contains(&origin.stamp.size));
        // Of what is made anew each time nobody could ask for the second half.
        if worth && !self.request.may_have_range() {
            let chosen = accepted.choose(&CODINGS).filter(|coding| *coding != Coding::Identity);
            if let Some(coding) = chosen
                && let Some(left) = self.compressed(shard, path, origin, coding, source)
            {
                return Coded::Answered(left);
            }
        }
        if accepted.accepts(Coding::Identity) { Coded::AsItIs } else { Coded::Unacceptable }
    }

    /// Answers with the file's neighbour that holds its content in this coding; None if it can't.
    fn sibling(
        &mut self,
        shard: &mut Shard,
        path: &[u8],
        origin: Identity,
        coding: Coding,
    ) -> Option<Left> {
        let site = self.site;
        let key = [path, b"\0", coding.suffix().as_bytes()].concat();
        if let Some(entry) = shard.cache.get(&key) {
            if entry.is_fresh(|entry| site.root.is_current(&key, entry)) {
                return Some(self.kept(shard, &key));
            }
            shard.cache.remove(&key);
        }
        let beside = [path, coding.suffix().as_bytes()].concat();
        let Ok(Found::File(opened)) = site.root.find(&beside) else {
            return None;
        };
        let identity = opened.identity;
        let size = identity.stamp.size;
        let tag = EntityTag::of_file(&identity.stamp, self.now);
        let about = About { path, identity: &identity, tag: &tag, coding, length: Some(size) };
        let lines = Lines::new(&site.options, &about, self.now);
        if size > LARGEST {
            return Some(self.large(&lines, tag, opened, shard.date.at(self.now)));
        }
        let content = opened.read().ok()?;
        let mut entry = Entry::new(identity, None, tag, lines, content.into()).beside(origin);
        let left = self.content(&mut entry, shard.date.at(self.now));
        if identity.settled(self.now) && origin.settled(self.now) {
            shard.cache.insert(&key, entry);
        }
        Some(left)
    }

    /// Answers with the file's content compressed here; None if it can't or is not worth it.
    fn compressed(
        &mut self,
        shard: &mut Shard,
        path: &[u8],
        origin: Identity,
        coding: Coding,
        source: Source,
    ) -> Option<Left> {
        let site = self.site;
        let key = [path, b"\0=", coding.token().as_bytes()].concat();
        if let Some(entry) = shard.cache.get(&key) {
            if entry.is_fresh(|entry| site.root.is_current(&key, entry)) {
                return Some(self.kept(shard, &key));
            }
            shard.cache.remove(&key);
        }
        let tag = EntityTag::of_file(&origin.stamp, self.now).coded(coding);
        let mut about = About { path, identity: &origin, tag: &tag, coding, length: None };
        let settled = origin.settled(self.now);
        if settled && let Some(known) = site.kept.get(&key, &origin) {
            let content = known?;
            about.length = Some(content.len() as u64);
            let lines = Lines::new(&site.options, &about, self.now);
            let mut entry = Entry::new(origin, None, tag, lines, content);
            let left = self.content(&mut entry, shard.date.at(self.now));
            shard.cache.insert(&key, entry);
            return Some(left);
        }
        let lines = Lines::new(&site.options, &about, self.now);
        let subject = Subject { identity: origin, tag, lines: &lines, size: 0 };
        // Who has it already costs nothing.
        let date = *shard.date.at(self.now);
        if !self.proceed(&subject, &date) {
            return Some(Left::Nothing);
        }
        let permit = site.gate.enter()?;
        let keep = (settled && origin.stamp.size <= LARGEST).then(|| Keep {
            kept: Arc::clone(&site.kept),
            key: key.into(),
            of: origin,
        });
        let produce = Compressing::new(source, coding, keep, permit)?;
        let mut reply =
            Reply::new(StatusCode::OK).content(Content::Produced(Box::new(produce), None));
        add(&mut reply, lines.all());
        add(&mut reply, &self.extra);
        Some(Left::Reply(Box::new(reply)))
    }

    /// A coded representation that is at hand and current.
    fn kept(&mut self, shard: &mut Shard, key: &[u8]) -> Left {
        let Some(entry) = shard.cache.get(key) else {
            return Left::Nothing;
        };
        if self.is_plain() {
            let words = self.words();
            shard.heads.remember(self.head, key, self.known_until(true), words);
        }
        self.content(entry, shard.date.at(self.now))
    }

    /// Whether nothing but the file decides the answer, and what lies beside it.
    fn is_plain(&self) -> bool {
        self.certain
            && self.extra.is_empty()
            && self.request.method() == Method::GET
            && self.persistence == Persistence::Unstated
            && self.request.body() == Framing::None
            && !self.request.may_be_conditional()
            && !self.request.may_have_range()
    }

    /// The last second in which the answer to such a head is known without reading it: siblings may
    /// come into being, which nothing about the file itself tells.
    fn known_until(&self, varies: bool) -> i64 {
        if varies && self.request.names_encodings() { self.now } else { i64::MAX }
    }

    /// A file whose content is at hand.
    fn content(&mut self, entry: &mut Entry, date: &ImfFixdate) -> Left {
        let size = entry.content.len() as u64;
        let subject =
            Subject { identity: entry.identity, tag: entry.tag, lines: &entry.lines, size };
        if !self.proceed(&subject, date) {
            return Left::Nothing;
        }
        if self.request.may_have_range() {
            let content = Bytes::clone(&entry.content);
            let part = |range: Range<u64>| Part::Bytes(content.slice(in_memory(&range)));
            match self.ranges(&subject) {
                Ranges::Whole => {}
                Ranges::One(range) => {
                    self.write_part_head(&subject, &range, date);
                    self.stream.write_shared(content.slice(in_memory(&range)));
                    return Left::Nothing;
                }
                Ranges::Many(ranges) => return self.many(&subject, &ranges, part),
                Ranges::Unsatisfiable => return self.unsatisfiable(&subject),
            }
        }
        let start = self.stream.written();
        let persistence = self.persistence;
        if self.request.method() == Method::HEAD {
            let (lines, extra) = (entry.lines.all(), &self.extra);
            self.stream.write_with(|out| write_head(out, lines, extra, date, persistence));
        } else if persistence == Persistence::Unstated && self.extra.is_empty() {
            self.stream.write_shared(entry.whole(self.now, |entry| whole(entry, date)));
        } else {
            let (lines, extra) = (entry.lines.all(), &self.extra);
            self.stream.write_with(|out| write_head(out, lines, extra, date, persistence));
            self.stream.write_shared(Bytes::clone(&entry.content));
        }
        self.mark(start, StatusCode::OK, size);
        Left::Nothing
    }

    /// A file whose content leaves without passing through here.
    fn large(&mut self, lines: &Lines, tag: EntityTag, opened: Opened, date: &ImfFixdate) -> Left {
        let size = opened.size();
        let subject = Subject { identity: opened.identity, tag, lines, size };
        if !self.proceed(&subject, date) {
            return Left::Nothing;
        }
        if self.request.may_have_range() {
            match self.ranges(&subject) {
                Ranges::Whole => {}
                Ranges::One(range) => {
                    self.write_part_head(&subject, &range, date);
                    return Left::File(opened, range);
                }
                Ranges::Many(ranges) => {
                    let opened = Arc::new(opened);
                    let part = |range| Part::File(Arc::clone(&opened), range);
                    return self.many(&subject, &ranges, part);
                }
                Ranges::Unsatisfiable => return self.unsatisfiable(&subject),
            }
        }
        let start = self.stream.written();
        let (persistence, extra) = (self.persistence, &self.extra);
        self.stream.write_with(|out| write_head(out, lines.all(), extra, date, persistence));
        if self.request.method() == Method::HEAD {
            self.mark(start, StatusCode::OK, size);
            return Left::Nothing;
        }
        let end = self.stream.written().saturating_add(size);
        mark(self.stream, start..end, StatusCode::OK, size);
        Left::File(opened, 0..size)
    }

    fn ranges(&self, subject: &Subject<'_>) -> Ranges {
        let date = subject.identity.strong_date(self.now);
        range::evaluate(self.request, Some(&subject.tag), date, subject.size)
    }

    /// The head of a 206 with one part, which follows.
    fn write_part_head(&mut self, subject: &Subject<'_>, range: &Range<u64>, date: &ImfFixdate) {
        let start = self.stream.written();
        let (persistence, extra) = (self.persistence, &self.extra);
        let length = range.end - range.start;
        self.stream.write_with(|out| {
            let mut head = ResponseHead::new(out, StatusCode::PARTIAL_CONTENT);
            head.date(date);
            let value = ContentRange::Part(range, subject.size);
            let written = head.content_length(length).header_display(&header::CONTENT_RANGE, value);
            debug_assert!(written.is_ok(), "numbers hold no control characters");
            head.persistence(persistence);
            head.finish();
            out.truncate(out.len().saturating_sub(2));
            out.extend_from_slice(subject.lines.of_content());
            out.extend_from_slice(subject.lines.always());
            out.extend_from_slice(extra);
            out.extend_from_slice(b"\r\n");
        });
        let end = self.stream.written().saturating_add(length);
        mark(self.stream, start..end, StatusCode::PARTIAL_CONTENT, length);
    }

    /// A 206 with several parts.
    fn many(
        &self,
        subject: &Subject<'_>,
        ranges: &[Range<u64>],
        part: impl Fn(Range<u64>) -> Part,
    ) -> Left {
        let mut reply = Reply::new(StatusCode::PARTIAL_CONTENT);
        add(&mut reply, subject.lines.of_content());
        add(&mut reply, subject.lines.always());
        add(&mut reply, &self.extra);
        let kind = reply.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let multipart = Multipart::new(kind.unwrap_or_default(), subject.size, boundary());
        let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
        for (number, range) in ranges.iter().enumerate() {
            parts.push(Part::Bytes(multipart.before(range, number == 0).into()));
            parts.push(part(range.clone()));
        }
        parts.push(Part::Bytes(multipart.end().into()));
        if let Ok(value) = HeaderValue::try_from(multipart.content_type()) {
            reply.headers.insert(header::CONTENT_TYPE, value);
        }
        Left::Reply(Box::new(reply.content(Content::Parts(parts))))
    }

    fn unsatisfiable(&self, subject: &Subject<'_>) -> Left {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        let value = ContentRange::Unsatisfied(subject.size).to_string();
        let mut reply = self.error(status, Some("none of the ranges has a byte of it"));
        if let Ok(value) = HeaderValue::try_from(value) {
            reply.headers.insert(header::CONTENT_RANGE, value);
        }
        reply.headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        Left::Reply(Box::new(reply))
    }

    fn unacceptable(&self) -> Left {
        let detail = "the file can't be had in a coding that the client takes";
        let reply = self.error(StatusCode::NOT_ACCEPTABLE, Some(detail));
        let reply = reply.header(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        Left::Reply(Box::new(reply))
    }

    /// Whether the conditions of the request let the file be sent; if not, that is answered.
    fn proceed(&mut self, subject: &Subject<'_>, date: &ImfFixdate) -> bool {
        let modified = subject.identity.modified();
        let status = match conditional::evaluate(self.request, Some(&subject.tag), modified) {
            Precondition::Proceed => return true,
            Precondition::Failed => {
                let failed = self.short(StatusCode::PRECONDITION_FAILED, date);
                short(self.stream, &failed);
                return false;
            }
            Precondition::NotModified => StatusCode::NOT_MODIFIED,
        };
        let start = self.stream.written();
        let (persistence, extra) = (self.persistence, &self.extra);
        self.stream.write_with(|out| {
            let mut head = ResponseHead::new(out, status);
            head.date(date).persistence(persistence);
            head.finish();
            out.truncate(out.len().saturating_sub(2));
            out.extend_from_slice(subject.lines.always());
            out.extend_from_slice(extra);
            out.extend_from_slice(b"\r\n");
        });
        self.mark(start, status, 0);
        false
    }
}

/// Where a range of what is in memory lies.
fn in_memory(range: &Range<u64>) -> Range<usize> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    place(range.start)..place(range.end)
}

/// Adds whole header lines that were written here to a reply, but for Content-Length.
pub(super) fn add(reply: &mut Reply, lines: &[u8]) {
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            && name != header::CONTENT_LENGTH
        {
            reply.headers.append(name, value);
        }
    }
}

/// What nobody can foresee, and so not put into a file to pass for a border.
fn boundary() -> u128 {
    let mut bytes = [0; 16];
    let flags = rustix::rand::GetRandomFlags::empty();
    let filled = rustix::rand::getrandom(&mut bytes, flags);
    debug_assert!(filled.is_ok_and(|count| count == bytes.len()), "16 bytes are never cut");
    u128::from_ne_bytes(bytes)
}
