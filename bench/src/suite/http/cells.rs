//! The cells: what is asked, how each server is set up for it, and what it has to answer.

use std::io::Read;

use anyhow::{Context, bail, ensure};
use flate2::read::GzDecoder;

use super::Job;
use super::material::{self, Material};
use crate::request::{Answer, Request};

/// One table.
pub(super) struct Cell {
    pub(super) job: Job,
    pub(super) title: String,
    pub(super) target: &'static str,
    pub(super) request: Request,
    /// The request is made conditional on the entity tag that the server sent for the target.
    pub(super) conditional: bool,
    pub(super) connections: u32,
    /// How many times as long a turn is: one with few requests in it is long, for the last of them is cut.
    pub(super) longer: u32,
    pub(super) expected: Expected,
    /// What `sockeye serve` is told.
    pub(super) options: &'static [&'static str],
    /// The ways nginx is set up; ours is compared with each of them.
    pub(super) nginx: &'static [Way],
}

/// A way nginx is set up.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) directives: &'static str,
    pub(super) log: Option<&'static str>,
}

/// What an answer must be to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// 206 with these bytes of the large file.
    Range(usize, usize),
    /// 206 with all these parts of it.
    Parts(&'static [(usize, usize)]),
    /// 304.
    NotModified,
    /// 200 with the text, compressed by gzip.
    Gzip,
    /// 200 with the small file.
    Small,
    /// 200 with each name of the large folder.
    Names,
    /// 201 or 204, and the content is in the folder.
    Stored(usize),
}

const PLAIN: Way = Way { name: "nginx", directives: "", log: None };
const REOPENING: Way =
    Way { name: "nginx reopening", directives: "open_file_cache off;", log: None };
const PAGE: Way = Way { name: "nginx", directives: "autoindex on;", log: None };
const JSON: Way =
    Way { name: "nginx", directives: "autoindex on; autoindex_format json;", log: None };
const STATIC: Way = Way { name: "nginx", directives: "gzip_static on;", log: None };
const LEVEL_6: Way = Way {
    name: "nginx level 6",
    directives: "gzip on; gzip_types text/plain; gzip_comp_level 6;",
    log: None,
};
const LEVEL_1: Way = Way {
    name: "nginx level 1",
    directives: "gzip on; gzip_types text/plain; gzip_comp_level 1;",
    log: None,
};
const LINES: Way = Way { name: "nginx", directives: "", log: Some("") };
const BUFFERED: Way =
    Way { name: "nginx buffered", directives: "", log: Some("buffer=64k flush=1s") };
const DAV: Way = Way {
    name: "nginx",
    directives: "location /up/ { dav_methods PUT; client_max_body_size 10m; }",
    log: None,
};

const PARTS: [(usize, usize); 3] = [(0, 1000), (5_000_000, 1000), (9_000_000, 1000)];
const UPLOAD: usize = 1_000_000;

/// All of them.
pub(super) fn all() -> Vec<Cell> {
    let range = |title: &str, line: &str, expected| Cell {
        target: "/large.bin",
        request: Request::get(&[("Range", line)]),
        expected,
        nginx: &[PLAIN, REOPENING],
        ..Cell::of(Job::Ranges, title)
    };
    let gzip = |title: &str, target, connections, nginx| Cell {
        target,
        request: Request::get(&[("Accept-Encoding", "gzip")]),
        connections,
        expected: Expected::Gzip,
        nginx,
        ..Cell::of(Job::Compression, title)
    };
    let listing = |title: &str, accept: &str, nginx| Cell {
        target: "/many/",
        request: Request::get(&[("Accept", accept)]),
        connections: 1,
        longer: 5,
        expected: Expected::Names,
        nginx,
        ..Cell::of(Job::Listing, title)
    };
    vec![
        range("Range: 1 kB of 10 MB", "bytes=5000000-5000999", Expected::Range(5_000_000, 1000)),
        range("Range: 64 kB of 10 MB", "bytes=5000000-5063999", Expected::Range(5_000_000, 64_000)),
        range(
            "Three ranges of 1 kB of 10 MB",
            "bytes=0-999,5000000-5000999,9000000-9000999",
            Expected::Parts(&PARTS),
        ),
        Cell {
            conditional: true,
            expected: Expected::NotModified,
            ..Cell::of(Job::Conditional, "304: If-None-Match of a file of 1 KiB")
        },
        gzip("Compression: a text of 100 kB with its .gz beside it", "/ready.txt", 64, &[STATIC]),
        gzip(
            "Compression: a text of 100 kB while it is sent",
            "/text.txt",
            // One place for each core compresses; whoever comes besides gets the text as it is.
            1,
            &[LEVEL_6, LEVEL_1],
        ),
        listing("Listing: 50,000 files as a page", "text/html", &[PAGE]),
        listing("Listing: 50,000 files as JSON", "application/json", &[JSON]),
        Cell {
            nginx: &[LINES, BUFFERED],
            ..Cell::of(Job::Log, "Access log: a file of 1 KiB, a line for each request")
        },
        Cell {
            target: "/up/file-",
            request: Request::put(UPLOAD),
            connections: 4,
            expected: Expected::Stored(UPLOAD),
            options: &["--write=overwrite"],
            nginx: &[DAV],
            ..Cell::of(Job::Upload, "Upload: PUT of 1 MB over a file")
        },
    ]
}

impl Cell {
    /// GETs of the small file over 64 connections.
    fn of(job: Job, title: &str) -> Self {
        Self {
            job,
            title: title.to_owned(),
            target: "/small.bin",
            request: Request::get(&[]),
            conditional: false,
            connections: 64,
            longer: 1,
            expected: Expected::Small,
            options: &[],
            nginx: &[PLAIN],
        }
    }
}

impl Expected {
    /// Fails unless the answer is this.
    pub(super) fn check(self, answer: &Answer, material: &Material) -> anyhow::Result<()> {
        let status = match self {
            Expected::Range(..) | Expected::Parts(_) => 206,
            Expected::NotModified => 304,
            Expected::Stored(_) if answer.status == 204 => 204,
            Expected::Stored(_) => 201,
            Expected::Gzip | Expected::Small | Expected::Names => 200,
        };
        ensure!(answer.status == status, "answered {}, not {status}", answer.status);
        let coding = answer.header("content-encoding");
        let compressed = matches!(self, Expected::Gzip);
        ensure!((coding == Some("gzip")) == compressed, "Content-Encoding: {coding:?}");
        let same = match self {
            Expected::Range(start, length) => answer.content == material::large(start, length),
            Expected::Parts(parts) => parts.iter().all(|(start, length)| {
                let part = material::large(*start, *length);
                answer.content.windows(part.len()).any(|window| window == part)
            }),
            Expected::NotModified => answer.content.is_empty(),
            Expected::Gzip => {
                let mut text = Vec::new();
                GzDecoder::new(&answer.content[..]).read_to_end(&mut text).context("gzip")?;
                text == material.text()
            }
            Expected::Small => answer.content == material::large(0, material::SMALL),
            Expected::Names => return all_names(&answer.content),
            Expected::Stored(length) => {
                let stored = std::fs::read(material.path().join("up/file-1"));
                stored.context("what was uploaded")? == vec![b'x'; length]
            }
        };
        ensure!(same, "answered another content");
        Ok(())
    }
}

/// Each name is longer than any other text that begins like it, so its count is that of entries.
fn all_names(listing: &[u8]) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(listing);
    for number in [0, material::MANY / 2, material::MANY - 1] {
        let name = material::name(number);
        if !text.contains(&name) {
            bail!("lists no {name}");
        }
    }
    let listed = text.matches("entry-").count();
    ensure!(listed >= material::MANY, "lists {listed} names, not {}", material::MANY);
    Ok(())
}
