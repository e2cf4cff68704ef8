//! Changing what is in the folder: PUT, DELETE, MKCOL, forms with files, and uploads that can be
//! resumed. Off unless [`Options`] are given.
//!
//! ```text
//!   taker ──> Upload ──> origin (is this a page of ours?)
//!               │
//!               ├──> put ─────┐
//!               ├──> form ────┼──> draft (a file beside its place) ──> publish (fsync, rename, fsync)
//!               ├──> tus ─────┘        └──> quota
//!               └──> remove (DELETE), folders (MKCOL)
//! ```
//!
//! All calls that touch the disk are made by `offload`, and content is written as it comes: what waits
//! in memory is bounded, and a slow disk holds back the client.

mod draft;
mod folders;
mod form;
mod names;
mod origin;
mod page;
mod put;
mod quota;
mod refusal;
mod remove;
mod sweep;
mod tus;

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use sockeye_engine::offload;
use sockeye_http::{
    EntityTag, HeaderStorage, Method, Precondition, Progress, RelativePath, Request, StatusCode,
    conditional, decode_path, multipart, parse_request,
};

use super::asked::Asked;
use super::intake::{Intake, Taker, Terms};
use super::reply::Reply;
use super::root::{Found, Identity, Root};
use super::rules::{Access, Verdict};
use super::{Site, admission};
use draft::Standing;
use quota::Quota;
use refusal::Refusal;
use sweep::Age;

pub(super) use names::{is_ours, leads_to_ours};
pub(super) use page::{FORM, SCRIPT, script_hash};

/// What clients may change, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether what is there may be replaced and removed. Default: no, files and folders are added.
    pub overwrite: bool,
    /// Whether DELETE removes folders that are not empty, with all that is in them. Default: no.
    pub remove_folders: bool,
    /// Bytes of content of one request, and of one upload that is resumed, at most. Default: no bound
    /// but the disk.
    pub most: Option<u64>,
    /// Bytes of all files in the folder at most. Default: no bound but the disk.
    pub quota: Option<u64>,
    /// How long a client may send nothing of the content, and how long it has before it must keep up
    /// with `rate`. Default 60 s.
    pub pause: Duration,
    /// Bytes a second that a client must reach over the time it is waited for, beyond the first
    /// `pause`. Default 512.
    pub rate: u64,
    /// How long an upload that can be resumed is kept after its last byte. Default 24 hours.
    pub keep: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            overwrite: false,
            remove_folders: false,
            most: None,
            quota: None,
            pause: Duration::from_secs(60),
            rate: 512,
            keep: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Options {
    /// Methods that change something, on one resource or another.
    pub(super) fn methods(&self) -> Vec<Method> {
        let mut methods = vec![Method::PUT, Method::POST, Method::PATCH];
        if self.overwrite {
            methods.push(Method::DELETE);
        }
        methods.extend(Method::from_bytes(MKCOL.as_bytes()));
        methods
    }

    /// Whether such a method may come to something on what is there already.
    pub(super) fn suits(&self, method: &Method, is_folder: bool) -> bool {
        match *method {
            Method::PUT => self.overwrite && !is_folder,
            Method::POST => self.overwrite || is_folder,
            Method::PATCH => is_folder,
            Method::DELETE => self.overwrite,
            _ => false,
        }
    }
}

/// A method without a name of its own in the crate http (RFC 4918 §9.3).
const MKCOL: &str = "MKCOL";

/// What all uploads of a site share.
pub(super) struct Uploads {
    options: Options,
    quota: Option<Arc<Quota>>,
    /// Held from the last look at what stands in a place until it is replaced or removed.
    publishing: Mutex<()>,
    finished: tus::Finished,
    /// When what had expired was looked for last, Unix seconds.
    swept: AtomicI64,
}

impl Uploads {
    /// Removes what a process that was killed left behind: now if all has to be counted anyway, else
    /// while requests are served already.
    pub(super) fn new(options: Options, root: &Root) -> Uploads {
        let now = sockeye_engine::unix_now();
        let age = Age { now, most: options.keep };
        let folder = root.folder();
        let quota = match options.quota {
            Some(limit) => {
                sweep::clean(&folder, age);
                Some(Arc::new(Quota::new(limit, sweep::count(&folder), now)))
            }
            None => {
                let thread = std::thread::Builder::new().name("sweep".to_owned());
                // Without it, what was left behind stays until the next start.
                let _ = thread.spawn(move || sweep::clean(&folder, age));
                None
            }
        };
        Uploads {
            options,
            quota,
            publishing: Mutex::new(()),
            finished: tus::Finished::default(),
            swept: AtomicI64::new(now),
        }
    }

    /// Bytes that fit, or why they do not. Blocks.
    fn has_room(&self, site: &Site, folder: &OwnedFd, bytes: u64) -> Result<(), Refusal> {
        if self.options.most.is_some_and(|most| bytes > most) {
            return Err(too_long());
        }
        if let Some(quota) = &self.quota {
            quota.check(bytes, || sweep::count(&site.root.folder()))?;
        }
        let system = rustix::fs::fstatvfs(folder)?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        // Some file systems don't know, and say that they have nothing at all.
        if system.f_blocks > 0 && bytes > free {
            return Err(Refusal::of(rustix::io::Errno::NOSPC));
        }
        Ok(())
    }

    /// Removes what expired in this folder, once a minute at most. Blocks.
    fn sweep(&self, folder: &OwnedFd) {
        let now = sockeye_engine::unix_now();
        let before = self.swept.load(Ordering::Relaxed);
        let swept = Ordering::Relaxed;
        if now.saturating_sub(before) >= 60
            && self.swept.compare_exchange(before, now, swept, swept).is_ok()
        {
            sweep::clean_folder(folder, Age { now, most: self.options.keep });
        }
    }
}

fn too_long() -> Refusal {
    let detail = "longer than is taken here (--max-upload)";
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// One request that changes something.
pub(super) struct Upload {
    site: Arc<Site>,
    asked: Asked,
    job: Job,
    /// Whose password came with it.
    user: Option<String>,
    /// Said if the rules do not let him change what is under the path of the request.
    denied: Option<Reply>,
}

#[derive(Clone, Copy)]
enum Job {
    Put,
    Delete,
    MakeFolder,
    Form,
    Tus,
    /// Content of a kind that nobody knows what to do with.
    Unknown,
}

/// Who takes this request if it changes something and the site lets it; None for all others.
pub(super) fn taker(
    site: &Arc<Site>,
    head: &[u8],
    request: &Request<'_, '_>,
) -> Option<Box<dyn Taker>> {
    site.uploads.as_ref()?;
    if *request.method() == Method::GET {
        return None;
    }
    let is_tus = request.get(tus::RESUMABLE).is_some();
    let job = match *request.method() {
        Method::HEAD | Method::PATCH | Method::POST | Method::DELETE if is_tus => Job::Tus,
        Method::PUT => Job::Put,
        Method::DELETE => Job::Delete,
        Method::PATCH => Job::Unknown,
        Method::POST => match request.get("content-type") {
            Some(kind) if multipart::is_form(kind) => Job::Form,
            _ => Job::Unknown,
        },
        ref method if method.as_str() == MKCOL => Job::MakeFolder,
        _ => return None,
    };
    let asked = Asked::new(head, request);
    // What is no path is answered later.
    let path = decode_path(&asked.path).map(|path| path.as_bytes().to_vec()).unwrap_or_default();
    let denied = admission::denied(site, request, &path, Access::Write);
    let user = admission::user(site, request);
    Some(Box::new(Upload { site: Arc::clone(site), asked, job, user, denied }))
}

/// Header lines that tell a client of tus what it can do here, for an answer to OPTIONS.
pub(super) fn capabilities(site: &Site) -> Vec<(HeaderName, HeaderValue)> {
    site.uploads.as_ref().map(|uploads| tus::capabilities(&uploads.options)).unwrap_or_default()
}

impl Taker for Upload {
    fn terms(&self) -> Terms {
        let options = &self.uploads().options;
        let most = match self.job {
            Job::Put | Job::Form | Job::Tus => options.most.unwrap_or(u64::MAX),
            Job::Delete | Job::MakeFolder | Job::Unknown => 0,
        };
        Terms { most, pause: options.pause, rate: Some(options.rate) }
    }

    fn take<'i>(
        mut self: Box<Self>,
        intake: &'i mut Intake<'_>,
    ) -> Pin<Box<dyn Future<Output = Reply> + 'i>> {
        Box::pin(async move {
            if let Some(denied) = self.denied.take() {
                return denied;
            }
            let is_tus = matches!(self.job, Job::Tus);
            let reply = self.run(intake).await.unwrap_or_else(Reply::from);
            if is_tus { tus::versioned(reply) } else { reply }
        })
    }
}

impl Upload {
    async fn run(&self, intake: &mut Intake<'_>) -> Result<Reply, Refusal> {
        if self.asked.method != Method::HEAD {
            origin::check(&self.asked, &self.site.options.rules.cors)?;
        }
        match self.job {
            Job::Put => put::run(self, intake).await,
            Job::Delete => remove::run(self).await,
            Job::MakeFolder => folders::run(self, intake).await,
            Job::Form => form::run(self, intake).await,
            Job::Tus => tus::run(self, intake).await,
            Job::Unknown => Err(unknown(&self.asked)),
        }
    }

    fn uploads(&self) -> &Uploads {
        self.site.uploads.as_ref().expect("there is no upload without")
    }

    /// Whether this client may change what is in a place, as the rules and the policy on names that
    /// begin with a dot go. That of the request was looked at; names may come with the content.
    fn may_change(&self, place: &names::Place) -> Result<(), Refusal> {
        let path = place.path();
        let options = &self.site.options;
        let forbidden = |detail: &'static str| Err(Refusal::new(StatusCode::FORBIDDEN, detail));
        if !options.files.shows_path(&path) {
            return forbidden("names that begin with a dot are not there for clients (--hidden)");
        }
        match options.rules.judge(&path, self.user.as_deref(), Access::Write) {
            Verdict::Granted => Ok(()),
            Verdict::Forbidden | Verdict::NeedsPassword => {
                forbidden("the rules of this site say no")
            }
        }
    }

    /// The path of the request.
    fn path(&self) -> Result<RelativePath<'_>, Refusal> {
        decode_path(&self.asked.path)
            .map_err(|error| Refusal::new(error.status(), error.to_string()))
    }

    /// Does work that may block.
    async fn offload<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Site>, &Uploads) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let site = Arc::clone(&self.site);
        let work = move || {
            let uploads = site.uploads.as_ref().expect("there is no upload without");
            work(&site, uploads)
        };
        offload(work).await?
    }
}

/// A POST or a PATCH that brings neither a form nor a part of an upload.
fn unknown(asked: &Asked) -> Refusal {
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if asked.method == Method::PATCH {
        let kind = HeaderValue::from_static(tus::CONTENT_TYPE);
        return Refusal::new(
            unsupported,
            "PATCH goes on with an upload of tus (Tus-Resumable: 1.0.0)",
        )
        .with(HeaderName::from_static("accept-patch"), kind);
    }
    let kinds = HeaderValue::from_static("multipart/form-data, application/offset+octet-stream");
    Refusal::new(
        unsupported,
        "POST takes a form with files (multipart/form-data); PUT takes one file",
    )
    .with(HeaderName::from_static("accept-post"), kinds)
}

/// Opens the folder that something is to be in. Blocks.
fn open_folder(site: &Site, path: &[u8]) -> Result<Arc<OwnedFd>, Refusal> {
    match site.root.find(path) {
        Ok(Found::Folder(folder)) => Ok(Arc::new(folder)),
        Ok(Found::File(_)) => Err(Refusal::of(rustix::io::Errno::NOTDIR)),
        Err(refused) => Err(Refusal::of_folder(refused)),
    }
}

/// Whether the conditions of the request hold for what stands in its place, in the order of
/// RFC 9110 §13.2.2. Blocks.
fn conditions(
    site: &Site,
    asked: &Asked,
    place: &names::Place,
    standing: &Standing,
) -> Result<(), Refusal> {
    let identity = match standing {
        Standing::Nothing | Standing::Folder => None,
        Standing::File(stat) => Some(Identity::of(stat)),
        // The conditions are about what a GET gives.
        Standing::Link => match site.root.find(&place.path()) {
            Ok(Found::File(opened)) => Some(opened.identity),
            _ => None,
        },
    };
    let mut storage = HeaderStorage::new();
    let Ok(Progress::Complete { request, .. }) =
        parse_request(&asked.head, &site.options.limits, &mut storage)
    else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the request can't be read again"));
    };
    let holds = match (&identity, standing) {
        (Some(identity), _) => {
            let modified = Some(identity.stamp.modified_seconds);
            let verdict = conditional::evaluate(&request, Some(&tag(identity)), modified);
            verdict == Precondition::Proceed
        }
        // A folder is there, and has no tag.
        (None, Standing::Folder | Standing::Link) => {
            conditional::evaluate(&request, None, None) == Precondition::Proceed
        }
        (None, _) => request.get("if-match").is_none(),
    };
    if holds { Ok(()) } else { Err(Refusal::condition()) }
}

/// The entity tag that a GET will give.
fn tag(identity: &Identity) -> EntityTag {
    EntityTag::of_file(&identity.stamp, sockeye_engine::unix_now())
}

/// A header value made of bytes that were percent-encoded or come from a tag.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
