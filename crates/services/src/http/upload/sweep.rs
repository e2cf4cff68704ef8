//! Going through all that lies beneath the root: to count it, and to remove what a process that was
//! killed left behind.
//!
//! Only what is surely ours is removed: a name of the exact form, a regular file (or the folder of a
//! removal that was cut short) of our own user with no second name, which nobody has locked, and which
//! still has that name when it is locked by us. A server beside this one holds the locks of all it is
//! about.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Stat, flock, fstat,
    openat2, statat, unlinkat,
};
use rustix::io::Errno;

use super::names::{self, Id, Kind};

/// Links are not followed: what they lead to is elsewhere, or is met anyway.
const WITHIN: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Folders that are removed may lie in each other so deep.
const DEEPEST: usize = 1000;

/// How old what can be resumed may become.
#[derive(Clone, Copy)]
pub(super) struct Age {
    /// Unix seconds.
    pub(super) now: i64,
    pub(super) most: Duration,
}

/// Bytes of all files beneath a folder, as far as it may be read.
pub(super) fn count(root: &OwnedFd) -> u64 {
    let mut sum = 0_u64;
    walk(root, |folder, name| {
        if let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        {
            sum = sum.saturating_add(size(&stat));
        }
    });
    sum
}

/// Removes what was left behind beneath a folder; how many files and folders that was.
pub(super) fn clean(root: &OwnedFd, age: Age) -> usize {
    let mut removed = 0;
    walk(root, |folder, name| removed += usize::from(clean_one(folder, name, age)));
    removed
}

/// The same in this folder alone.
pub(super) fn clean_folder(folder: &OwnedFd, age: Age) -> usize {
    let mut removed = 0;
    each(folder, |name, _| removed += usize::from(clean_one(folder, name, age)));
    removed
}

pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Calls `each` with everything beneath `root` that is no folder, and with folders that are trash.
fn walk(root: &OwnedFd, mut visit: impl FnMut(&OwnedFd, &[u8])) {
    // Paths, not descriptors: a tree may be wide and deep.
    let mut ahead = vec![Vec::new()];
    while let Some(path) = ahead.pop() {
        let shown = if path.is_empty() { &b"."[..] } else { &path };
        let Ok(folder) = openat2(root, shown, FOLDER, Mode::empty(), WITHIN) else { continue };
        each(&folder, |name, kind| {
            let kind = match kind {
                FileType::Unknown => statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                kind => kind,
            };
            if kind != FileType::Directory || names::is_ours(name) {
                visit(&folder, name);
            } else if path.is_empty() {
                ahead.push(name.to_vec());
            } else {
                ahead.push([&path, name].join(&b'/'));
            }
        });
    }
}

fn each(folder: &OwnedFd, mut visit: impl FnMut(&[u8], FileType)) {
    let Ok(entries) = Dir::read_from(folder) else { return };
    // The names first: what is removed while a folder is read may upset the reading.
    let entries: Vec<_> = entries
        .flatten()
        .map(|entry| (entry.file_name().to_bytes().to_vec(), entry.file_type()))
        .filter(|(name, _)| name != b"." && name != b"..")
        .collect();
    for (name, kind) in entries {
        visit(&name, kind);
    }
}

fn clean_one(folder: &OwnedFd, name: &[u8], age: Age) -> bool {
    let Some((id, kind)) = names::parse(name) else { return false };
    match kind {
        Kind::Part => clean_part(folder, id, age).is_ok(),
        // What is known of something that is there no more.
        Kind::Info => {
            let part = id.name(Kind::Part);
            matches!(statat(folder, &part, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
                && remove_file(folder, name).is_ok()
        }
        Kind::Draft => remove_file(folder, name).is_ok(),
        Kind::Trash => {
            let opened = openat2(folder, name, FOLDER, Mode::empty(), WITHIN);
            opened.is_ok_and(|trash| {
                is_left_over(&trash, folder, name).is_ok() && remove_trash(folder, name).is_ok()
            })
        }
    }
}

fn clean_part(folder: &OwnedFd, id: Id, age: Age) -> rustix::io::Result<()> {
    let (part, info) = (id.name(Kind::Part), id.name(Kind::Info));
    let stat = statat(folder, &part, AtFlags::SYMLINK_NOFOLLOW)?;
    let known = statat(folder, &info, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if known && !is_expired(&stat, age) {
        return Err(Errno::BUSY);
    }
    remove_file(folder, part.as_bytes())?;
    if known { remove_file(folder, info.as_bytes()) } else { Ok(()) }
}

/// Whether nobody has added anything for too long.
pub(super) fn is_expired(stat: &Stat, age: Age) -> bool {
    let idle = age.now.saturating_sub(stat.st_mtime);
    u64::try_from(idle).is_ok_and(|idle| idle > age.most.as_secs())
}

/// Removes a file that is surely left over.
fn remove_file(folder: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat2(folder, name, flags, Mode::empty(), WITHIN)?;
    let stat = is_left_over(&file, folder, name)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Err(Errno::PERM);
    }
    unlinkat(folder, name, AtFlags::empty())
}

/// Locks what has this name, if nobody else has, and sees that it is ours and still has it.
fn is_left_over(file: impl AsFd, folder: &OwnedFd, name: &[u8]) -> rustix::io::Result<Stat> {
    let stat = fstat(&file)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Errno::PERM);
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let named = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (named.st_dev, named.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(Errno::AGAIN);
    }
    fstat(&file)
}

/// Removes a folder with all that is in it, following no links and entering no other file system.
///
/// # Errors
///
/// Something in it can't be removed; some of it is gone then.
pub(super) fn remove_trash(parent: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    remove_tree(parent, name, 0)
}

fn remove_tree(parent: &OwnedFd, name: &[u8], depth: usize) -> rustix::io::Result<()> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) if depth < DEEPEST => {}
        other => return other,
    }
    let flags = WITHIN | ResolveFlags::NO_XDEV;
    let folder = openat2(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty(), flags)?;
    let mut failed = None;
    each(&folder, |name, _| {
        let removed = match unlinkat(&folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => remove_tree(&folder, name, depth + 1),
            other => other,
        };
        failed = failed.or(removed.err());
    });
    match failed {
        Some(errno) => Err(errno),
        None => unlinkat(parent, name, AtFlags::REMOVEDIR),
    }
}
