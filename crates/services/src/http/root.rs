//! Opening what a path names, beneath the folder that is served and nowhere else.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use sockeye_engine::fault::{self, Point};
use sockeye_http::FileStamp;

use super::cache::Entry;
use super::files::Symlinks;
use super::{SiteNotice, upload};

/// Times that openat2 may say "changed while I looked, ask again" before we believe it.
const RETRIES: usize = 16;

/// NONBLOCK: opening a FIFO must not wait for somebody to write to it.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

pub(super) struct Root {
    path: PathBuf,
    folder: RwLock<Arc<OwnedFd>>,
    vanished: AtomicBool,
    notice: Box<dyn Fn(SiteNotice) + Send + Sync>,
    links: Symlinks,
}

/// Why a folder can't be served.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// There is nothing of that name.
    #[error("{}: no such folder (give a folder that exists, or create it: mkdir -p)", .0.display())]
    Missing(PathBuf),
    /// It is a file or something else.
    #[error("{}: not a folder (to serve one file, serve the folder it is in)", .0.display())]
    NotAFolder(PathBuf),
    /// The kernel lacks `openat2(2)`.
    #[error("{}: this kernel has no openat2 (Linux 5.6), without which no path is safe", .0.display())]
    NoOpenat2(PathBuf),
    /// Anything else.
    #[error("{}: can't be opened: {source}", path.display())]
    Other {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// What a path names.
pub(super) enum Found {
    File(Opened),
    Folder(OwnedFd),
}

/// A regular file, opened.
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) identity: Identity,
}

/// A file kept open to be asked whether it is the same.
pub(super) struct Watch(OwnedFd);

/// What tells two states of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) stamp: FileStamp,
    device: u64,
}

/// Why nothing can be served under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NotFound,
    Forbidden,
    /// Out of descriptors or memory, or the folder is gone.
    Unavailable,
}

impl Root {
    pub(super) fn open(
        path: &Path,
        links: Symlinks,
        notice: Box<dyn Fn(SiteNotice) + Send + Sync>,
    ) -> Result<Root, RootError> {
        let folder = open_folder(path).map_err(|errno| match errno {
            Errno::NOENT => RootError::Missing(path.to_owned()),
            Errno::NOTDIR => RootError::NotAFolder(path.to_owned()),
            errno => RootError::Other { path: path.to_owned(), source: errno.into() },
        })?;
        let root = Root {
            path: path.to_owned(),
            folder: RwLock::new(Arc::new(folder)),
            vanished: AtomicBool::new(false),
            notice,
            links,
        };
        match root.openat(b"", READ) {
            Err(Errno::NOSYS) => Err(RootError::NoOpenat2(path.to_owned())),
            Err(errno) => Err(RootError::Other { path: path.to_owned(), source: errno.into() }),
            Ok(_) => Ok(root),
        }
    }

    /// Opens `path`, which has no leading slash. Symbolic links are followed as the site's policy says; what is neither file nor folder is not found.
    pub(super) fn find(&self, path: &[u8]) -> Result<Found, Refused> {
        if upload::leads_to_ours(path) {
            return Err(Refused::NotFound);
        }
        let fd = match self.openat(path, READ) {
            Err(Errno::NOENT) => match self.anew() {
                Anew::Same => return Err(Refused::NotFound),
                Anew::Gone => return Err(Refused::Unavailable),
                Anew::Another => self.openat(path, READ),
            },
            result => result,
        };
        let fd = fd.map_err(refuse)?;
        let stat = fault::ask(Point::Stat).and_then(|()| rustix::fs::fstat(&fd)).map_err(refuse)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Found::File(Opened { fd, identity: Identity::of(&stat) })),
            FileType::Directory => Ok(Found::Folder(fd)),
            _ => Err(Refused::NotFound),
        }
    }

    /// What [`Root::find`] would find there, without opening it for reading.
    pub(super) fn stat(&self, path: &[u8]) -> rustix::io::Result<Stat> {
        let named = self.openat(path, OFlags::PATH | OFlags::CLOEXEC)?;
        fault::ask(Point::Stat).and_then(|()| rustix::fs::fstat(&named))
    }

    /// Whether `path` still names the very file that was once opened there, unchanged. The file
    /// was beneath the root then, and nothing but what it held is given away, so it does not
    /// matter here which way the path leads to it now.
    pub(super) fn still(&self, path: &[u8], identity: &Identity, watch: Option<&Watch>) -> bool {
        let stat = fault::ask(Point::Stat).and_then(|()| match watch {
            Some(Watch(file)) => rustix::fs::fstat(file),
            None => rustix::fs::statat(&*self.folder(), path, AtFlags::empty()),
        });
        stat.is_ok_and(|stat| Identity::of(&stat) == *identity)
    }

    /// Whether a cached answer is still what the file, and the one it stands for, hold. `key` is the
    /// path, and behind a NUL what is put to the name of the file that lies beside it.
    pub(super) fn is_current(&self, key: &[u8], entry: &Entry) -> bool {
        let Some(nul) = key.iter().position(|byte| *byte == 0) else {
            return self.still(key, &entry.identity, entry.watch.as_ref());
        };
        let (path, suffix) = key.split_at(nul);
        match &entry.origin {
            None => self.still(path, &entry.identity, None),
            Some(origin) => {
                let beside = [path, suffix.get(1..).unwrap_or_default()].concat();
                self.still(path, origin, None) && self.still(&beside, &entry.identity, None)
            }
        }
    }

    /// Whether a regular file of this name lies there that is no older than `origin`, which it claims
    /// to hold the content of.
    pub(super) fn has_sibling(&self, path: &[u8], origin: &Identity) -> bool {
        let found = rustix::fs::statat(&*self.folder(), path, AtFlags::empty());
        found.is_ok_and(|stat| {
            let modified = |stamp: &FileStamp| (stamp.modified_seconds, stamp.modified_nanos);
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && modified(&Identity::of(&stat).stamp) >= modified(&origin.stamp)
        })
    }

    /// Keeps the file open if its own metadata tell whenever `path` stops naming it: when it lies
    /// in the root folder itself, under its own name, on a file system that stamps a file which
    /// is renamed, replaced or removed (`st_ctime`). Asking an open file costs a fifth of asking a
    /// path.
    pub(super) fn watch(&self, path: &[u8], file: &Opened) -> Option<Watch> {
        const STAMPING: [i64; 5] = [
            0xEF53,      // ext4
            0x5846_5342, // XFS
            0x9123_683E, // Btrfs
            0xF2F5_2010, // F2FS
            0x0102_1994, // tmpfs
        ];
        if path.contains(&b'/') {
            return None;
        }
        let system = rustix::fs::fstatfs(&file.fd).ok()?;
        if !STAMPING.contains(&system.f_type) {
            return None;
        }
        // A symbolic link may come to lead elsewhere without a trace on the file.
        let named = rustix::fs::statat(&*self.folder(), path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if Identity::of(&named) != file.identity {
            return None;
        }
        fault::ask(Point::Open).ok()?;
        rustix::io::dup(&file.fd).ok().map(Watch)
    }

    /// The folder itself.
    pub(super) fn folder(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.folder.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn openat(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let folder = self.folder();
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let path = if path.is_empty() { b"." } else { path };
        // A path has no `..` of its own (`decode_path`), so only links could lead out.
        let resolve = ResolveFlags::NO_MAGICLINKS
            | match self.links {
                Symlinks::Beneath => ResolveFlags::BENEATH,
                Symlinks::Follow => ResolveFlags::empty(),
                Symlinks::Never => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            };
        let mut result = Err(Errno::AGAIN);
        for _ in 0..RETRIES {
            result = fault::ask(Point::Open)
                .and_then(|()| rustix::fs::openat2(&*folder, path, flags, Mode::empty(), resolve));
            if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        result
    }

    /// Looks whether the folder was deleted. If another stands in its place, that one is served.
    fn anew(&self) -> Anew {
        let folder = self.folder();
        if rustix::fs::fstat(&*folder).is_ok_and(|stat| stat.st_nlink > 0) {
            return Anew::Same;
        }
        let Ok(anew) = open_folder(&self.path) else {
            if !self.vanished.swap(true, Ordering::Relaxed) {
                (self.notice)(SiteNotice::Vanished(self.path.clone()));
            }
            return Anew::Gone;
        };
        *self.folder.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(anew);
        if self.vanished.swap(false, Ordering::Relaxed) {
            (self.notice)(SiteNotice::Returned(self.path.clone()));
        }
        Anew::Another
    }
}

/// What became of the folder.
enum Anew {
    Same,
    Gone,
    Another,
}

fn refuse(errno: Errno) -> Refused {
    match errno {
        Errno::ACCESS | Errno::PERM => Refused::Forbidden,
        Errno::AGAIN | Errno::INTR | Errno::IO | Errno::MFILE | Errno::NFILE | Errno::NOMEM => {
            Refused::Unavailable
        }
        // XDEV: a link or `..` that leads out. LOOP, NAMETOOLONG, NOENT, NOTDIR, NXIO: no such file.
        _ => Refused::NotFound,
    }
}

fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

impl Opened {
    pub(super) fn size(&self) -> u64 {
        self.identity.stamp.size
    }

    /// The whole content, if it is still as long as it was said to be.
    pub(super) fn read(self) -> io::Result<Vec<u8>> {
        let size = self.size();
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut file = File::from(self.fd).take(size);
        retry_on_intr(|| fault::ask(Point::Read))?;
        file.read_to_end(&mut content)?;
        if content.len() as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(content)
    }
}

impl Identity {
    pub(super) fn of(stat: &Stat) -> Identity {
        let nanos = |nanos| u32::try_from(nanos).unwrap_or(0);
        Identity {
            stamp: FileStamp {
                changed_seconds: stat.st_ctime,
                changed_nanos: nanos(stat.st_ctime_nsec),
                modified_seconds: stat.st_mtime,
                modified_nanos: nanos(stat.st_mtime_nsec),
                size: u64::try_from(stat.st_size).unwrap_or(0),
                inode: stat.st_ino,
            },
            device: stat.st_dev,
        }
    }

    /// The second of the last change, if it says anything: reproducible builds, and the Nix store,
    /// set 0 or 1, the same for every content.
    pub(super) fn modified(&self) -> Option<i64> {
        Some(self.stamp.modified_seconds).filter(|seconds| !(0..=1).contains(seconds))
    }

    /// The same if no two contents can have had it (RFC 9110 §8.8.2.2): the clock of the kernel set
    /// it, not a program (`st_ctim` would lie behind), and the second is over.
    pub(super) fn strong_date(&self, now: i64) -> Option<i64> {
        let set_by_kernel = self.stamp.changed_seconds == self.stamp.modified_seconds;
        self.modified().filter(|_| set_by_kernel && self.settled(now))
    }

    /// Whether all changes up to `now` (Unix seconds) can be told by the stamps: changes within one
    /// tick of the kernel's clock leave the same ones.
    pub(super) fn settled(&self, now: i64) -> bool {
        let last = self.stamp.changed_seconds.max(self.stamp.modified_seconds);
        now.checked_sub(last).is_some_and(|age| age >= 2)
    }
}

impl AsFd for Opened {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
