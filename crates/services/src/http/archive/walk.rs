//! All that lies beneath a folder, in the order of names, without following a symbolic link.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::note::Note;

/// Each folder is opened by its path from the top, link by link refused, so that neither depth costs
/// descriptors nor somebody who moves folders about can lead out.
pub(super) struct Walk {
    top: OwnedFd,
    levels: Vec<Level>,
    stores_links: bool,
    shows: Shows,
}

/// Whether there is such a name, the second, in the folder with the first for its prefix.
type Shows = Box<dyn Fn(&[u8], &[u8]) -> bool>;

struct Level {
    /// From the top, with a slash at its end; empty for the top.
    prefix: Vec<u8>,
    /// Sorted; those that were dealt with are taken away from the front.
    names: Vec<Box<[u8]>>,
    next: usize,
}

/// One entry. Paths are those from the top.
pub(super) struct Item {
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) what: What,
}

pub(super) enum What {
    Folder,
    File(File),
    /// With what it says, which stays beneath the top.
    Link(Vec<u8>),
}

impl Walk {
    /// `shows` says of a name whether it is a part of the folder at all.
    pub(super) fn new(top: OwnedFd, stores_links: bool, shows: Shows) -> io::Result<Walk> {
        let mut walk = Walk { top, levels: Vec::new(), stores_links, shows };
        walk.enter(Vec::new())?;
        Ok(walk)
    }

    /// The names in the folder that is being walked through.
    pub(super) fn names(&self) -> &[Box<[u8]>] {
        self.levels.last().map_or(&[], |level| &level.names)
    }

    /// The top itself.
    pub(super) fn top(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.top)?)
    }

    /// The next entry, each folder before what is in it. What can't be had is noted.
    pub(super) fn next(&mut self, note: &mut Note) -> Option<Item> {
        loop {
            let level = self.levels.last_mut()?;
            let Some(name) = level.names.get_mut(level.next).map(std::mem::take) else {
                self.levels.pop();
                continue;
            };
            level.next += 1;
            let path = [&level.prefix[..], &name].concat();
            match self.look(&path) {
                Ok(Some((stat, what))) => {
                    if let What::Folder = what
                        && let Err(errno) = self.enter([&path[..], b"/"].concat())
                    {
                        note.add(&path, &format!("what is in it was left out: {errno}"));
                    }
                    return Some(Item { path, stat, what });
                }
                Ok(None) => note.add(&path, "left out: neither a file, a folder nor a link"),
                Err(Left::Link(why)) => note.add(&path, why),
                Err(Left::Error(errno)) => note.add(&path, &format!("left out: {errno}")),
            }
        }
    }

    fn look(&self, path: &[u8]) -> Result<Option<(Stat, What)>, Left> {
        let named = self.open(path, OFlags::PATH)?;
        let stat = rustix::fs::fstat(&named)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Some((stat, What::Folder)),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&named, c"", Vec::new())?.into_bytes();
                if !self.stores_links {
                    return Err(Left::Link("left out: links are not followed here"));
                }
                if !stays_beneath(path, &target) {
                    return Err(Left::Link("left out: a link that leads out of the folder"));
                }
                Some((stat, What::Link(target)))
            }
            FileType::RegularFile => {
                // NONBLOCK: a FIFO that has taken its place must not be waited for.
                let file = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
                let stat = rustix::fs::fstat(&file)?;
                let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                is_file.then(|| (stat, What::File(file.into())))
            }
            _ => None,
        })
    }

    fn enter(&mut self, prefix: Vec<u8>) -> rustix::io::Result<()> {
        let path = prefix.strip_suffix(b"/").unwrap_or(b".");
        let folder = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for entry in Dir::new(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && (self.shows)(&prefix, name) {
                names.push(name.into());
            }
        }
        names.sort_unstable();
        self.levels.push(Level { prefix, names, next: 0 });
        Ok(())
    }

    fn open(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // With PATH and NOFOLLOW the last name may be a link, which is then opened itself (openat2(2)).
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        loop {
            match rustix::fs::openat2(&self.top, path, flags, Mode::empty(), resolve) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                result => return result,
            }
        }
    }
}

enum Left {
    Link(&'static str),
    Error(Errno),
}

impl From<Errno> for Left {
    fn from(errno: Errno) -> Left {
        Left::Error(errno)
    }
}

/// Whether a link at `path` that says `target` leads to something beneath the top, by the words alone.
fn stays_beneath(path: &[u8], target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return false;
    }
    let mut depth = path.iter().filter(|byte| **byte == b'/').count();
    for segment in target.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

/// The content of a file, so far as it was there when it was opened: `size` bytes at most.
pub(super) struct Content {
    file: File,
    before: Stat,
    left: u64,
    error: Option<io::Error>,
}

impl Content {
    pub(super) fn new(file: File, stat: &Stat) -> Content {
        let left = u64::try_from(stat.st_size).unwrap_or(0);
        Content { file, before: *stat, left, error: None }
    }

    /// What is to be told of it when it was read; `padded` says that zeros were put for what was
    /// missing.
    pub(super) fn wrong(&self, padded: bool) -> Option<String> {
        let read = u64::try_from(self.before.st_size).unwrap_or(0) - self.left;
        let zeros = if padded { "; zeros stand for the rest" } else { "" };
        if let Some(error) = &self.error {
            return Some(format!("can't be read behind its first {read} bytes: {error}{zeros}"));
        }
        if self.left > 0 {
            return Some(format!("shrank to {read} bytes while it was read{zeros}"));
        }
        let after = rustix::fs::fstat(&self.file).ok()?;
        let stamp = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        let changed = stamp(&after) != stamp(&self.before);
        changed.then(|| "changed while it was read; it may be a mixture of both".to_owned())
    }
}

/// An error is an end: [`Content::wrong`] tells of it.
impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.error.is_some() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        loop {
            match self.file.read(&mut buffer[..most]) {
                Ok(count) => {
                    self.left -= count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(error);
                    return Ok(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_stays_beneath_by_its_words() {
        for (path, target, stays) in [
            ("l", "f", true),
            ("l", "./a/../f", true),
            ("l", "..", false),
            ("l", "a/../../f", false),
            ("a/l", "../f", true),
            ("a/l", "../../f", false),
            ("a/b/l", "../../f", true),
            ("l", "/etc/passwd", false),
            ("l", "", false),
        ] {
            assert_eq!(
                stays_beneath(path.as_bytes(), target.as_bytes()),
                stays,
                "{path} -> {target}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_link_that_stays_leads_out(path in "[ab/]{1,8}", target in "[a./]{0,12}") {
            if stays_beneath(path.as_bytes(), target.as_bytes()) {
                let mut depth = i64::try_from(path.matches('/').count()).expect("few");
                for segment in target.split('/') {
                    depth += match segment { "" | "." => 0, ".." => -1, _ => 1 };
                    prop_assert!(depth >= 0);
                }
            }
        }
    }
}
