//! A folder served over HTTP/1.1: GET and HEAD of files, listings of folders.
//!
//! ```text
//!   Stream ──> connection ──> sockeye-http (heads, bodies) ──> answer ──> Stream
//!                                                                │          ^
//!                                              cache <───────────┤          │ send
//!                                              root  <── openat2 ┤          │
//!                                              listing <─────────┴───────> Reply
//!                                                                           │
//!                      intake (the content of a request) ──> a Taker ───────┘
//! ```
//!
//! A file that is asked for plainly is answered in one turn of the loop by `answer`. All else is a
//! `Reply`, made at once or by whoever takes the content of the request, and sent by `send`.

mod admin;
mod admission;
mod answer;
mod archive;
mod asked;
mod cache;
pub mod compress;
mod connection;
pub mod files;
mod guest;
mod heads;
mod inspect;
mod intake;
mod ledger;
mod lines;
pub mod listing;
mod methods;
mod produce;
mod reply;
mod represent;
mod root;
mod rules;
mod send;
mod upload;
mod users;
mod visitors;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use sockeye_http::{DateCache, Limits, Request};

pub use admin::Admin;
use cache::{Cache, Siblings};
use compress::{Gate, Kept};
use heads::Heads;
pub use ledger::{Destination, Ledger, Limit, LogFormat, LogNotice, LogWriter, UnknownFormat};
pub use root::RootError;
use root::{Identity, Root};
pub use rules::{Access, AccessRule, Cors, HeaderRule, Paths, RuleError, Rules, Verdict, Who};
pub use upload::Options as UploadOptions;
use upload::Uploads;
pub use users::{Credentials, Users, UsersError};
pub use visitors::AddressLimits;
use visitors::Visitors;

/// Memory for the content of small files, over all threads, in bytes.
const CACHE: usize = 32 * 1024 * 1024;

/// Threads beyond this many share their parts of the cache.
const MOST_SHARDS: usize = 16;

/// What a site promises its clients and demands of them.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// Bounds on request heads.
    pub limits: Limits,
    /// How long a connection may wait between two requests. Default 60 s.
    pub idle: Duration,
    /// From the first byte of a head until it must be whole, however it trickles. Default 15 s.
    pub head: Duration,
    /// How long a client may take for the next part of what is sent, 256 KiB or a little more of
    /// answers that gathered, or whatever the kernel has room for of a file. Default 60 s.
    pub write: Duration,
    /// From the head until the whole body of a request must have come. Default 30 s.
    pub body: Duration,
    /// How long to wait for the client to close after a refusal, and for one more request when another
    /// process takes over. Default 2 s.
    pub linger: Duration,
    /// How files are named, typed and found.
    pub files: files::Options,
    /// What is said and allowed by path.
    pub rules: Rules,
    /// Whether TRACE is answered, with the request as it arrived but for its secrets. Default no.
    pub trace: bool,
    /// How long an answer may take that is not sent at once, however fast the client takes it. Default
    /// one day.
    pub total: Duration,
    /// What one address may have and do; None for no limit.
    pub addresses: Option<AddressLimits>,
    /// Where exchanges are written down, if anywhere.
    pub ledger: Option<Arc<Ledger>>,
    /// What clients may change. Default: nothing.
    pub upload: Option<UploadOptions>,
    /// How folders are shown.
    pub listing: listing::Options,
    /// Whether every request is answered with what arrived, taken apart and explained, and no file is
    /// served. Default no.
    pub inspect: bool,
}

impl Default for SiteOptions {
    fn default() -> SiteOptions {
        let seconds = Duration::from_secs;
        SiteOptions {
            limits: Limits::default(),
            idle: seconds(60),
            head: seconds(15),
            write: seconds(60),
            body: seconds(30),
            linger: seconds(2),
            files: files::Options::default(),
            rules: Rules::default(),
            trace: false,
            total: seconds(24 * 60 * 60),
            addresses: Some(AddressLimits::default()),
            ledger: None,
            upload: None,
            listing: listing::Options::default(),
            inspect: false,
        }
    }
}

/// Something whoever runs the server should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteNotice {
    /// The folder is not there any more; requests are answered with 503.
    Vanished(PathBuf),
    /// It is back.
    Returned(PathBuf),
}

/// A folder that is served.
pub struct Site {
    root: Root,
    options: SiteOptions,
    uploads: Option<Uploads>,
    /// What the folder is called.
    name: Box<[u8]>,
    listings: listing::Memory,
    archives: archive::Running,
    shards: Box<[Mutex<Shard>]>,
    /// Other folders, by the names of the hosts they are for.
    hosts: HashMap<String, Arc<Site>, RandomState>,
    gate: Arc<Gate>,
    kept: Arc<Kept>,
    visitors: Option<Visitors>,
    /// Another process serves from now on.
    left: AtomicBool,
}

/// What one thread, or a few, use without getting in each other's way.
struct Shard {
    cache: Cache,
    heads: Heads,
    date: DateCache,
}

impl Site {
    /// Opens the folder. `notice` is called, rarely, by the threads that serve.
    ///
    /// # Errors
    ///
    /// It is no folder, or may not be read.
    pub fn open(
        folder: &Path,
        options: SiteOptions,
        notice: impl Fn(SiteNotice) + Send + Sync + 'static,
    ) -> Result<Site, RootError> {
        let shards = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_SHARDS);
        let shard = || {
            Mutex::new(Shard {
                cache: Cache::new(CACHE / shards),
                heads: Heads::new(),
                date: DateCache::new(0),
            })
        };
        let root = Root::open(folder, options.files.symlinks, Box::new(notice))?;
        let uploads = options.upload.map(|options| Uploads::new(options, &root));
        Ok(Site {
            visitors: options.addresses.map(Visitors::new),
            left: AtomicBool::new(false),
            root,
            options,
            uploads,
            hosts: HashMap::default(),
            gate: Gate::new(),
            kept: Arc::default(),
            name: name_of(folder),
            listings: listing::Memory::default(),
            archives: archive::Running::default(),
            shards: (0..shards).map(|_| shard()).collect(),
        })
    }

    /// Serves another site to those who ask for the host `name`, in any case and whatever the port.
    pub fn add_host(&mut self, name: &str, site: Site) {
        self.hosts.insert(name.to_ascii_lowercase(), Arc::new(site));
    }

    /// The site for a request; None if it is this one.
    fn host(&self, request: &Request<'_, '_>) -> Option<&Arc<Site>> {
        if self.hosts.is_empty() {
            return None;
        }
        self.hosts.get(&request.host()?.host().to_ascii_lowercase())
    }

    /// What lies beside the file `path`, whose state is `origin`, in other codings.
    fn siblings(&self, path: &[u8], origin: &Identity) -> Siblings {
        if !self.options.files.precompressed {
            return Siblings::default();
        }
        Siblings::find(|coding| {
            self.root.has_sibling(&[path, coding.suffix().as_bytes()].concat(), origin)
        })
    }

    /// Another process has taken over the listening sockets, and this one is about to be stopped: who has
    /// connected and not asked yet still gets his answer.
    pub fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
    }

    fn is_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    fn has_rate(&self) -> bool {
        self.visitors.as_ref().is_some_and(Visitors::has_rate)
    }

    /// A limit was hit.
    fn hit(&self, limit: Limit) {
        if let Some(ledger) = &self.options.ledger {
            ledger.hit(limit);
        }
    }

    /// The calling thread's part. Hold it for one answer, not over an await.
    fn shard(&self) -> MutexGuard<'_, Shard> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed));
        self.shards[MINE.with(|mine| *mine) % self.shards.len()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the folder is called; empty if it has no name.
fn name_of(folder: &Path) -> Box<[u8]> {
    use std::os::unix::ffi::OsStrExt as _;
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map(|name| name.as_bytes().into()).unwrap_or_default()
}
