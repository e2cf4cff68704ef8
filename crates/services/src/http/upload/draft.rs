//! A file on its way: written beside its place under a name of ours, put there at once when all of it
//! is on the disk.
//!
//! Whoever asks for the place before that moment gets the old file or none, and after it the new one,
//! whatever becomes of this process (rename(2)). A draft that nobody needs is removed; those of a
//! process that was killed are found by their names and by nobody holding their locks (`sweep`).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, fchmod, flock, fstat,
    openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use sockeye_engine::fault::{self, Point};
use sockeye_engine::offload;
use sockeye_http::StatusCode;

use super::super::Site;
use super::super::root::Identity;
use super::names::{self, Id, Kind, Place};
use super::quota::Share;
use super::refusal::Refusal;
use super::{Uploads, sweep};

/// What has come gathers up to so many bytes before it is written, so that memory stays bounded and
/// the way to another thread is worth it.
const GATHERED: usize = 256 * 1024;

/// New names that are tried before we believe that something is wrong.
const RETRIES: usize = 16;

/// Permissions of what others may execute, read and write; without set-id bits.
const PERMISSIONS: u32 = 0o777;

/// A file that has no name yet but ours. Made, used and dropped where calls may block, but for
/// [`Draft::write`].
pub(super) struct Draft {
    folder: Arc<OwnedFd>,
    name: String,
    pen: Pen,
    /// Removed when it is dropped.
    litter: bool,
}

/// Writes into one open file, behind what is there.
pub(super) struct Pen {
    site: Arc<Site>,
    pub(super) file: Arc<File>,
    at: u64,
    gathered: Vec<Bytes>,
    waiting: usize,
    /// Moved to the thread that writes, and back.
    share: Option<Share>,
    /// What was written stays, whatever comes.
    stays: bool,
}

/// What became of a draft.
pub(super) struct Published {
    /// Another file was there.
    pub(super) replaced: bool,
    pub(super) identity: Identity,
}

/// What stands in a place.
pub(super) enum Standing {
    Nothing,
    File(Stat),
    /// A symbolic link: it is what is replaced or removed, never what it leads to.
    Link,
    Folder,
}

impl Draft {
    /// An empty one in this folder. Blocks.
    pub(super) fn create(
        site: &Arc<Site>,
        uploads: &Uploads,
        folder: &Arc<OwnedFd>,
    ) -> Result<Draft, Refusal> {
        let (name, file) = create_locked(folder)?;
        let share = Share::new(uploads.quota.clone());
        let pen = Pen::new(Arc::clone(site), file, 0, share);
        Ok(Draft { folder: Arc::clone(folder), name, pen, litter: true })
    }

    /// Takes over a file that was begun before, and stays if it is not finished now.
    pub(super) fn resumed(folder: Arc<OwnedFd>, name: String, mut pen: Pen) -> Draft {
        pen.stays = true;
        Draft { folder, name, pen, litter: false }
    }

    /// As [`Draft::resumed`], of one that was created now.
    pub(super) fn into_resumable(mut self) -> Draft {
        self.litter = false;
        self.pen.stays = true;
        self
    }

    pub(super) fn id(&self) -> Option<Id> {
        names::parse(self.name.as_bytes()).map(|(id, _)| id)
    }

    pub(super) fn pen(&mut self) -> &mut Pen {
        &mut self.pen
    }

    /// How long it is.
    pub(super) fn at(&self) -> u64 {
        self.pen.at()
    }

    /// Puts it into its place, where `check` may still say no to what stands there. Blocks.
    ///
    /// # Errors
    ///
    /// What stands there is as before.
    pub(super) fn publish(
        mut self,
        place: &Place,
        check: impl FnOnce(&Standing) -> Result<(), Refusal>,
    ) -> Result<Published, Refusal> {
        let site = Arc::clone(&self.pen.site);
        let uploads = site.uploads.as_ref().expect("something is being uploaded");
        let file = Arc::clone(&self.pen.file);
        // Before the lock: this is what takes time.
        if let Standing::File(before) = standing(&self.folder, &place.name)? {
            fchmod(&*file, Mode::from_raw_mode(before.st_mode & PERMISSIONS))?;
        }
        retry_on_intr(|| fault::ask(Point::Write))?;
        file.sync_all()?;
        // What was checked holds until it is replaced, as far as clients of this process go.
        let lock = uploads.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = standing(&self.folder, &place.name)?;
        check(&before)?;
        match before {
            Standing::Nothing => move_new(&self.folder, &self.name, &place.name)?,
            Standing::File(_) | Standing::Link => {
                renameat(&*self.folder, &self.name, &*self.folder, &place.name[..])?;
            }
            Standing::Folder => return Err(Refusal::of(Errno::ISDIR)),
        }
        drop(lock);
        self.litter = false;
        if let Some(share) = &mut self.pen.share {
            share.keep();
        }
        if let (Standing::File(before), Some(quota)) = (&before, &uploads.quota) {
            quota.removed(sweep::size(before));
        }
        sync_folder(&self.folder)?;
        let stat = fstat(&*file)?;
        let replaced = !matches!(before, Standing::Nothing);
        Ok(Published { replaced, identity: Identity::of(&stat) })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.litter {
            // What is not removed now is found at the next start.
            let _ = unlinkat(&*self.folder, &self.name, AtFlags::empty());
        }
    }
}

impl Pen {
    pub(super) fn new(site: Arc<Site>, file: File, at: u64, share: Share) -> Pen {
        let file = Arc::new(file);
        Pen { site, file, at, gathered: Vec::new(), waiting: 0, share: Some(share), stays: false }
    }

    /// Where the next byte goes.
    pub(super) fn at(&self) -> u64 {
        self.at.saturating_add(self.waiting as u64)
    }

    /// Takes bytes, and writes what has gathered if that is enough.
    pub(super) async fn push(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        self.waiting += bytes.len();
        self.gathered.push(bytes);
        if self.waiting >= GATHERED { self.flush().await } else { Ok(()) }
    }

    /// Writes what has gathered.
    pub(super) async fn flush(&mut self) -> Result<(), Refusal> {
        let gathered = std::mem::take(&mut self.gathered);
        let length = std::mem::take(&mut self.waiting) as u64;
        let Some(mut share) = self.share.take() else {
            return Err(Refusal::of(Errno::IO));
        };
        let (file, at, site) = (Arc::clone(&self.file), self.at, Arc::clone(&self.site));
        let (share, written) = offload(move || {
            let written = share
                .take(length, || sweep::count(&site.root.folder()))
                .and_then(|()| Ok(write_all(&file, &gathered, at)?));
            (share, written)
        })
        .await?;
        let share = self.share.insert(share);
        if self.stays {
            share.keep();
        }
        written?;
        self.at = self.at.saturating_add(length);
        Ok(())
    }

    /// Forgets all behind `end`. Blocks.
    pub(super) fn truncate(&mut self, end: u64) -> std::io::Result<()> {
        self.gathered.clear();
        self.waiting = 0;
        self.file.set_len(end)?;
        if let Some(share) = &mut self.share {
            share.give_back(self.at.saturating_sub(end));
        }
        self.at = end;
        Ok(())
    }
}

fn write_all(file: &File, parts: &[Bytes], mut at: u64) -> std::io::Result<()> {
    for part in parts {
        retry_on_intr(|| fault::ask(Point::Write))?;
        file.write_all_at(part, at)?;
        at = at.saturating_add(part.len() as u64);
    }
    Ok(())
}

/// An empty file with a new name of ours, locked for as long as it is open.
fn create_locked(folder: &OwnedFd) -> rustix::io::Result<(String, File)> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // The umask of the process takes from these what it takes from all files.
    let mode = Mode::from_raw_mode(0o666);
    for _ in 0..RETRIES {
        let name = Id::new()?.name(Kind::Part);
        let opened = retry_on_intr(|| {
            fault::ask(Point::Open)?;
            openat(folder, &name, flags, mode)
        });
        let file = match opened {
            Err(Errno::EXIST) => continue,
            opened => File::from(opened?),
        };
        // A server that starts at this very moment may take it for left over. Where there are no
        // locks, nobody takes anything for that.
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => continue,
            _ if fstat(&file)?.st_nlink == 0 => continue,
            _ => return Ok((name, file)),
        }
    }
    Err(Errno::AGAIN)
}

/// Renames within a folder, to a name that is free.
pub(super) fn move_new(folder: &OwnedFd, from: &str, to: &[u8]) -> rustix::io::Result<()> {
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // File systems that can't; a second name for the file fails as well if that is taken.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
            unlinkat(folder, from, AtFlags::empty())
        }
        moved => moved,
    }
}

/// Makes names in a folder durable. File systems that have no need of it may refuse.
pub(super) fn sync_folder(folder: &OwnedFd) -> rustix::io::Result<()> {
    match retry_on_intr(|| rustix::fs::fsync(folder)) {
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        synced => synced,
    }
}

/// What stands in a place. What is neither file nor folder nor link is nobody's to replace.
pub(super) fn standing(folder: &OwnedFd, name: &[u8]) -> Result<Standing, Refusal> {
    let stat =
        fault::ask(Point::Stat).and_then(|()| statat(folder, name, AtFlags::SYMLINK_NOFOLLOW));
    let stat = match stat {
        Err(Errno::NOENT) => return Ok(Standing::Nothing),
        stat => stat?,
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Standing::File(stat)),
        FileType::Symlink => Ok(Standing::Link),
        FileType::Directory => Ok(Standing::Folder),
        _ => Err(Refusal::new(StatusCode::CONFLICT, "something that is no file is there")),
    }
}
