//! Which file a path leads to, whatever it is called.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat};

/// Symbolic links in a row that are followed; the kernel follows as many (path_resolution(7)).
const LINKS: usize = 40;

/// A file, by its device and number, or where one would be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    There {
        device: u64,
        inode: u64,
    },
    /// In a folder, under this name.
    New {
        device: u64,
        inode: u64,
        name: OsString,
    },
}

impl Place {
    /// None for a device, which takes what all write (`/dev/null`), and where no file can be.
    pub(crate) fn of(file: &Path) -> Option<Place> {
        let mut file = file.to_owned();
        for _ in 0..LINKS {
            if let Ok(there) = fs::metadata(&file) {
                return Place::of_metadata(&there);
            }
            let folder = match file.parent() {
                Some(folder) if folder != Path::new("") => folder.to_owned(),
                _ => PathBuf::from("."),
            };
            // It would be made where a link leads that leads nowhere yet.
            if let Ok(target) = fs::read_link(&file) {
                file = folder.join(target);
                continue;
            }
            let (folder, name) = (fs::metadata(folder).ok()?, file.file_name()?.to_owned());
            return Some(Place::New { device: folder.dev(), inode: folder.ino(), name });
        }
        None
    }

    /// Of a regular file that is open.
    pub(crate) fn of_open(file: &impl AsFd) -> Option<Place> {
        let stat = fstat(file).ok()?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        regular.then_some(Place::There { device: stat.st_dev, inode: stat.st_ino })
    }

    fn of_metadata(there: &Metadata) -> Option<Place> {
        let place = Place::There { device: there.dev(), inode: there.ino() };
        (!there.file_type().is_char_device()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_one_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "").unwrap();
        fs::write(at("b"), "").unwrap();
        fs::hard_link(at("a"), at("hard")).unwrap();
        symlink("a", at("soft")).unwrap();
        symlink("soft", at("softer")).unwrap();
        fs::create_dir(at("in")).unwrap();
        let a = Place::of(&at("a"));
        assert!(matches!(a, Some(Place::There { .. })));
        for name in ["./a", "hard", "soft", "softer", "in/../a"] {
            assert_eq!(Place::of(&at(name)), a, "{name}");
        }
        assert_eq!(Place::of_open(&fs::File::open(at("a")).unwrap()), a);
        assert_ne!(Place::of(&at("b")), a);
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_one_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("in")).unwrap();
        symlink("new", at("soft")).unwrap();
        symlink("../new", at("in/soft")).unwrap();
        symlink("in", at("out")).unwrap();
        symlink("round", at("round")).unwrap();
        let new = Place::of(&at("new"));
        assert!(matches!(new, Some(Place::New { .. })));
        for name in ["./new", "soft", "in/soft", "in/../new", "out/../new"] {
            assert_eq!(Place::of(&at(name)), new, "{name}");
        }
        assert_ne!(Place::of(&at("other")), new);
        assert_ne!(Place::of(&at("in/new")), new);
        assert_eq!(Place::of(&at("out/new")), Place::of(&at("in/new")));
        assert_eq!(Place::of(&at("nowhere/new")), None);
        assert_eq!(Place::of(&at("round")), None);
    }

    #[test]
    fn a_device_takes_all() {
        assert_eq!(Place::of(Path::new("/dev/null")), None);
    }
}
