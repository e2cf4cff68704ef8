//! A folder as a listing: a page, JSON or text.
//!
//! The folder is read off the loop, and sorted; then the listing is written part by part while it is
//! sent, so that its memory is what the names take, and a part.

mod addition;
mod entries;
mod figures;
mod json;
mod page;
mod text;
mod wanted;

use std::io;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use http::{HeaderValue, header};
use sockeye_http::{StatusCode, etag};

use super::Site;
use super::produce::Produce;
use super::reply::{Content, Reply};
use super::rules::Access;
use super::upload;
pub(super) use addition::Addition;
pub(super) use entries::Memory;
use entries::{Entries, Unlisted};
use wanted::Form;
pub(super) use wanted::{Wanted, wants_archive};

/// A part of a listing is about as long as this, in bytes.
const PART: usize = 64 * 1024;

/// How folders are shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a folder without an index file is listed; else it is not found. Default true.
    pub listed: bool,
    /// Whether a folder can be had as an archive (`?archive=zip`). It lets everybody have the server
    /// read and pack all that is beneath. Default false.
    pub archives: bool,
    /// Archives that are made at once; more are answered with 503. Default 4.
    pub most_archives: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { listed: true, archives: false, most_archives: 4 }
    }
}

/// A listing that is being written.
struct Listing {
    entries: Entries,
    /// Without a slash at either end.
    path: Vec<u8>,
    wanted: Wanted,
    archives: bool,
    addition: Addition,
    /// The widest size, in digits.
    width: usize,
    /// Where the writing has come to.
    at: At,
}

#[derive(Clone, Copy)]
enum At {
    Begin,
    Row(usize),
    Done,
}

/// A folder that is asked for.
pub(super) struct Asked {
    pub(super) folder: OwnedFd,
    /// Without a slash at either end.
    pub(super) path: Vec<u8>,
    /// Who asks, if he gave the right password.
    pub(super) user: Option<String>,
    /// Lines that say what he has of it already (If-None-Match).
    pub(super) known: Vec<Box<[u8]>>,
}

impl Site {
    /// Whether `name`, in the folder at `path`, is there for this user.
    pub(super) fn shows(&self, path: &[u8], name: &[u8], user: Option<&str>) -> bool {
        let rules = &self.options.rules;
        let may_read = || rules.access(&joined(path, name), user) >= Access::Read;
        !upload::is_ours(name)
            && self.options.files.shows(name)
            && (rules.grants_all() || may_read())
    }
}

/// A path of one more name.
fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, name].join(&b'/') }
}

/// Lists a folder. It reads it: not to be called on the loop.
pub(super) fn list(site: &Site, asked: Asked, wanted: Wanted) -> Reply {
    let Asked { folder, path, user, known } = asked;
    let shows = |name: &[u8]| site.shows(&path, name, user.as_deref());
    let entries = match Entries::read(&site.root, &folder, &path, &wanted, shows, &site.listings) {
        Ok(entries) => entries,
        Err(error @ Unlisted::Full) => {
            return site
                .failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
                .header(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        Err(Unlisted::Unreadable(_)) => {
            return site.failure(StatusCode::SERVICE_UNAVAILABLE, "the folder can't be read");
        }
    };
    let addition = addition::addition(site);
    let archives = site.options.listing.archives;
    let digits = entries.iter().filter_map(|entry| entry.size).max().unwrap_or(0);
    let width = digits.checked_ilog10().unwrap_or(0) as usize + 1;
    let listing = Listing { entries, path, wanted, archives, addition, width, at: At::Begin };
    listing.reply(&known)
}

impl Listing {
    fn reply(mut self, known: &[Box<[u8]>]) -> Reply {
        let tag = self.tag();
        let reply = |status| {
            let cache = HeaderValue::from_static("no-cache");
            let reply = Reply::new(status).header(header::CACHE_CONTROL, cache);
            let reply = reply.header(header::VARY, HeaderValue::from_static("Accept"));
            with_text(reply, header::ETAG, &tag)
        };
        if is_known(known, &tag) {
            return reply(StatusCode::NOT_MODIFIED);
        }
        let media_type = match self.wanted.form {
            Form::Page => "text/html; charset=utf-8",
            Form::Json => "application/json",
            Form::Text => "text/plain; charset=utf-8",
        };
        let reply = reply(StatusCode::OK)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(media_type))
            .header(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let reply = match self.wanted.form {
            Form::Page => {
                let reply = with_text(reply, header::CONTENT_SECURITY_POLICY, &page::policy(&self));
                reply.header(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"))
            }
            Form::Json | Form::Text => reply,
        };
        let first = self.part();
        match self.at {
            At::Done => reply.content(Content::Bytes(first.into())),
            _ => {
                let rest = Rest { first: Some(first.into()), listing: self };
                reply.content(Content::Produced(Box::new(rest), None))
            }
        }
    }

    /// Weak: where a page is shown as it was, a newer program may have drawn it otherwise.
    fn tag(&self) -> String {
        use std::hash::{Hash as _, Hasher as _};
        let mut hasher = std::hash::DefaultHasher::new();
        (self.wanted.query(), &self.path, self.archives, &self.addition.html).hash(&mut hasher);
        (env!("CARGO_PKG_VERSION"), page::STYLE_HASH, page::SCRIPT_HASH).hash(&mut hasher);
        format!("W/\"{:x}-{:x}-{:x}\"", self.entries.len(), self.entries.digest(), hasher.finish())
    }

    /// The next part; the last one is followed by nothing.
    fn part(&mut self) -> String {
        let mut out = String::with_capacity(PART + PART / 4);
        while out.len() < PART {
            self.at = match self.at {
                At::Begin => {
                    match self.wanted.form {
                        Form::Page => page::begin(self, &mut out),
                        Form::Json => json::begin(self, &mut out),
                        Form::Text => {}
                    }
                    At::Row(0)
                }
                At::Row(number) => match self.entries.get(number) {
                    Some(entry) => {
                        match self.wanted.form {
                            Form::Page => page::row(self, &entry, &mut out),
                            Form::Json => json::row(&entry, number, &mut out),
                            Form::Text => text::row(self, &entry, &mut out),
                        }
                        At::Row(number + 1)
                    }
                    None => {
                        match self.wanted.form {
                            Form::Page => page::end(self, &mut out),
                            Form::Json => json::end(&mut out),
                            Form::Text => {}
                        }
                        At::Done
                    }
                },
                At::Done => break,
            };
        }
        out
    }
}

/// A listing of which the first part is there.
struct Rest {
    first: Option<Bytes>,
    listing: Listing,
}

impl Produce for Rest {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let part = self.listing.part();
        Ok((!part.is_empty()).then(|| part.into()))
    }
}

/// Whether the client has what this tag is of, by its If-None-Match lines (RFC 9110 §13.1.2).
fn is_known(lines: &[Box<[u8]>], tag: &str) -> bool {
    if let [line] = lines
        && **line == *b"*"
    {
        return true;
    }
    let opaque = tag.trim_start_matches("W/").as_bytes();
    let mut found = false;
    lines.iter().all(|line| etag::read_list(line, |theirs| found |= theirs.opaque == opaque))
        && found
}

fn with_text(reply: Reply, name: header::HeaderName, value: &str) -> Reply {
    match HeaderValue::from_str(value) {
        Ok(value) => reply.header(name, value),
        Err(_) => reply,
    }
}
