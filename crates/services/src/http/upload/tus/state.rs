//! An upload between two requests: a file with what has come, and one with what is known of it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sockeye_http::StatusCode;

use super::super::super::Site;
use super::super::Uploads;
use super::super::draft::{Draft, Pen, Published, sync_folder};
use super::super::names::{Id, Kind, Place};
use super::super::put::may_stand;
use super::super::quota::Share;
use super::super::refusal::Refusal;
use super::super::sweep;
use super::unknown_upload;

/// The longest file of ours with what is known, in bytes; the head of a request is no longer.
const LONGEST: u64 = 1 << 20;

/// What is known of an upload.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Info {
    /// All its bytes.
    pub(super) length: u64,
    /// What it is to be called, in base64: names are bytes.
    name: String,
    /// As the client sent it.
    pub(super) metadata: Option<String>,
    /// From here on, bytes were written that are still to be checked against their checksum.
    unverified: Option<u64>,
}

/// An upload that nobody else adds to meanwhile. Made, used and dropped where calls may block, but for
/// what its pen does.
pub(super) struct Resumable {
    pub(super) id: Id,
    pub(super) info: Info,
    /// When it is removed unless more comes, Unix seconds.
    pub(super) expires: i64,
    folder: Arc<OwnedFd>,
    place: Place,
    draft: Draft,
}

impl Info {
    pub(super) fn new(length: u64, name: &[u8], metadata: Option<&str>) -> Info {
        let metadata = metadata.map(str::to_owned);
        Info { length, name: STANDARD.encode(name), metadata, unverified: None }
    }

    fn read(folder: &OwnedFd, id: Id) -> Result<Info, Refusal> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(folder, id.name(Kind::Info), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(unknown_upload()),
            opened => File::from(opened?),
        };
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(|_| unknown_upload())
    }

    /// Writes it anew: there is always the old or the new one, whole.
    fn write(&self, folder: &OwnedFd, id: Id) -> Result<(), Refusal> {
        let draft = id.name(Kind::Draft);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(folder, &draft, flags, Mode::from_raw_mode(0o600))?);
        // Else a server that starts now takes it for left over.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let written = serde_json::to_vec(self)
            .map_err(std::io::Error::other)
            .and_then(|text| file.write_all(&text))
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(renameat(folder, &draft, folder, id.name(Kind::Info))?));
        if written.is_err() {
            let _ = unlinkat(folder, &draft, AtFlags::empty());
        }
        Ok(written?)
    }
}

impl Resumable {
    /// A new one, with nothing in it.
    pub(super) fn create(
        site: &Arc<Site>,
        uploads: &Uploads,
        folder: Arc<OwnedFd>,
        info: Info,
    ) -> Result<Resumable, Refusal> {
        let draft = Draft::create(site, uploads, &folder)?;
        let id = draft.id().ok_or(Errno::IO)?;
        let place = place_of(Vec::new(), &info)?;
        info.write(&folder, id)?;
        sync_folder(&folder)?;
        let expires = expires(sockeye_engine::unix_now(), uploads);
        let draft = draft.into_resumable();
        Ok(Resumable { id, info, expires, folder, place, draft })
    }

    /// One that was begun before. `path` is that of the folder.
    pub(super) fn open(
        site: &Arc<Site>,
        uploads: &Uploads,
        path: &[u8],
        folder: Arc<OwnedFd>,
        id: Id,
    ) -> Result<Resumable, Refusal> {
        let name = id.name(Kind::Part);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let part = match openat(&*folder, &name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(unknown_upload()),
            opened => File::from(opened?),
        };
        // File systems without locks say something else.
        let locked = flock(&part, FlockOperation::NonBlockingLockExclusive);
        if locked == Err(Errno::WOULDBLOCK) {
            let detail = "somebody is adding to this upload; try again";
            return Err(Refusal::new(StatusCode::LOCKED, detail));
        }
        let stat = fstat(&part)?;
        if stat.st_nlink == 0 {
            return Err(unknown_upload());
        }
        let mut info = Info::read(&folder, id)?;
        let place = place_of(path.to_vec(), &info)?;
        let pen =
            Pen::new(Arc::clone(site), part, sweep::size(&stat), Share::new(uploads.quota.clone()));
        let mut draft = Draft::resumed(Arc::clone(&folder), name, pen);
        if let Some(verified) = info.unverified.take() {
            // The process was killed before it could tell whether they were right.
            draft.pen().truncate(verified)?;
            info.write(&folder, id)?;
        }
        let expires = expires(stat.st_mtime, uploads);
        let resumable = Resumable { id, info, expires, folder, place, draft };
        if sockeye_engine::unix_now() > expires {
            resumable.remove()?;
            return Err(Refusal::new(StatusCode::GONE, "this upload has expired"));
        }
        Ok(resumable)
    }

    /// Bytes that are there.
    pub(super) fn offset(&self) -> u64 {
        self.draft.at()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.offset() == self.info.length
    }

    pub(super) fn pen(&mut self) -> &mut Pen {
        self.draft.pen()
    }

    /// From now on, what is written is not to be believed until [`Resumable::believe`].
    pub(super) fn doubt(&mut self) -> Result<(), Refusal> {
        self.info.unverified = Some(self.offset());
        self.info.write(&self.folder, self.id)
    }

    pub(super) fn believe(&mut self) -> Result<(), Refusal> {
        self.info.unverified = None;
        self.info.write(&self.folder, self.id)
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.info.unverified.is_some()
    }

    /// Makes what has come durable.
    pub(super) fn sync(&mut self) -> Result<(), Refusal> {
        Ok(self.draft.pen().file.sync_data()?)
    }

    /// Puts the file into its place.
    pub(super) fn finish(self, uploads: &Uploads) -> Result<Published, Refusal> {
        let Resumable { id, info, folder, place, mut draft, .. } = self;
        let file = Arc::clone(&draft.pen().file);
        let published =
            draft.publish(&place, |before| may_stand(before, uploads.options.overwrite));
        match &published {
            Ok(_) => uploads.finished.remember(id, info.length),
            // It will never have this place. A client that asks is told that it is gone, not that all
            // has come.
            Err(refusal) if refusal.status == StatusCode::CONFLICT => {
                let removed = unlinkat(&*folder, id.name(Kind::Part), AtFlags::empty());
                if let (Ok(()), Some(quota)) = (removed, &uploads.quota) {
                    quota.removed(info.length);
                }
            }
            // There may be room for it later.
            Err(_) => return published,
        }
        drop(file);
        let _ = unlinkat(&*folder, id.name(Kind::Info), AtFlags::empty());
        published
    }

    /// Removes it with all that has come.
    pub(super) fn remove(mut self) -> Result<(), Refusal> {
        self.draft.pen().truncate(0)?;
        unlinkat(&*self.folder, self.id.name(Kind::Part), AtFlags::empty())?;
        unlinkat(&*self.folder, self.id.name(Kind::Info), AtFlags::empty())?;
        Ok(sync_folder(&self.folder)?)
    }
}

/// How much is there of an upload that somebody adds to, what is known of it, and when it expires.
pub(super) fn look(
    uploads: &Uploads,
    folder: &OwnedFd,
    id: Id,
) -> Result<(u64, Info, i64), Refusal> {
    let info = Info::read(folder, id)?;
    let stat = rustix::fs::statat(folder, id.name(Kind::Part), AtFlags::SYMLINK_NOFOLLOW)?;
    let offset = info.unverified.unwrap_or_else(|| sweep::size(&stat));
    Ok((offset.min(info.length), info, expires(stat.st_mtime, uploads)))
}

fn expires(last: i64, uploads: &Uploads) -> i64 {
    let keep = i64::try_from(uploads.options.keep.as_secs()).unwrap_or(i64::MAX);
    last.saturating_add(keep)
}

/// Where it belongs. The name was checked when it was written down, and is again: others may write
/// into this folder.
fn place_of(folder: Vec<u8>, info: &Info) -> Result<Place, Refusal> {
    let name = STANDARD.decode(&info.name).map_err(|_| unknown_upload())?;
    Place::within(&folder, &name)
}
