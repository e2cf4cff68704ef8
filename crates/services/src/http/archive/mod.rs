//! A folder as one file: tar.gz, tar.zst or zip, made while it is sent.
//!
//! A thread of its own walks the folder and packs; it hands over parts through a channel that holds few
//! of them, so that it goes as fast as the client takes them, and it ends when the client leaves. No
//! temporary file is written and no file is held in memory. What the thread has to remember are the
//! names of the folders it is in, and for zip one entry a file, for the directory at the end.
//!
//! Symbolic links are stored as links where they stay within the folder, and left out where they leave
//! it. What is left out, and what changed while it was read, is told in a note, the last entry.

mod disposition;
mod note;
mod pipe;
mod tape;
mod walk;
mod zip;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderValue, header};
use sockeye_http::StatusCode;

use super::Site;
use super::files::Symlinks;
use super::listing::Asked;
use super::reply::{Content, Reply};
use disposition::{attachment, plain};
use note::Note;
use pipe::{Pipe, Piped};
use walk::Walk;

/// How a folder is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    TarGz,
    TarZst,
    Zip,
}

/// Archives that are being made.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<AtomicUsize>);

/// One of them; over when it is dropped.
struct Slot(Running);

/// Packs a folder: all that is there for who asks.
pub(super) fn pack(site: &Arc<Site>, asked: Asked, format: Format) -> Reply {
    let Asked { folder, path, user, .. } = asked;
    let Some(slot) = site.archives.take(site.options.listing.most_archives) else {
        let detail = "as many archives are being made as may be at once";
        return site
            .failure(StatusCode::SERVICE_UNAVAILABLE, detail)
            .header(header::RETRY_AFTER, HeaderValue::from_static("10"));
    };
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let top = plain(if last.is_empty() { &site.name } else { last });
    let reply = Reply::new(StatusCode::OK)
        .header(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()))
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        .header(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    let file_name = format!("{top}.{}", format.extension());
    let reply = match HeaderValue::from_str(&attachment(&file_name)) {
        Ok(value) => reply.header(header::CONTENT_DISPOSITION, value),
        Err(_) => reply,
    };
    let stores_links = site.options.files.symlinks != Symlinks::Never;
    let site = Arc::clone(site);
    let shows = move |within: &[u8], name: &[u8]| {
        let within = within.strip_suffix(b"/").unwrap_or(within);
        let folder = match (&path[..], within) {
            (b"", below) => below.to_vec(),
            (path, b"") => path.to_vec(),
            (path, below) => [path, below].join(&b'/'),
        };
        site.shows(&folder, name, user.as_deref())
    };
    let work = move |pipe: Pipe| {
        let _slot = slot;
        give_way();
        let walk = Walk::new(folder, stores_links, Box::new(shows))?;
        write(walk, &top, format, pipe)
    };
    reply.content(Content::Produced(Box::new(Piped::new(work)), None))
}

fn write(mut walk: Walk, top: &str, format: Format, pipe: Pipe) -> io::Result<()> {
    let mut note = Note::new(walk.names());
    match format {
        Format::TarGz => {
            let out = flate2::write::GzEncoder::new(pipe, flate2::Compression::new(5));
            tape::write(&mut walk, &mut note, top, out)?.finish()?.finish()?.finish()
        }
        Format::TarZst => {
            // 0 is the level that zstd itself takes for the usual one.
            let out = zstd::Encoder::new(pipe, 0)?;
            tape::write(&mut walk, &mut note, top, out)?.finish()?.finish()?.finish()
        }
        Format::Zip => zip::write(&mut walk, &mut note, top, pipe)?.finish(),
    }
}

/// Has this thread wait behind those that answer requests. On Linux a process number of 0 means the
/// calling thread alone (setpriority(2), "C library/kernel differences").
fn give_way() {
    // It is a courtesy: where it may not be done, the archive is made all the same.
    let _ = rustix::process::setpriority_process(None, 10);
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Format::TarGz => "tar.gz",
            Format::TarZst => "tar.zst",
            Format::Zip => "zip",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Format::TarGz => "application/gzip",
            Format::TarZst => "application/zstd",
            Format::Zip => "application/zip",
        }
    }
}

impl Running {
    fn take(&self, most: usize) -> Option<Slot> {
        let one_more = |running| (running < most).then_some(running + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
