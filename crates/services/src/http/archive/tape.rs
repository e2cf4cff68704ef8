//! The folder as a tar stream, in the GNU format: names are bytes there, of any length.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::Stat;
use tar::{Builder, EntryType, Header};

use super::note::Note;
use super::walk::{Content, Walk, What};

/// Writes all of it into `out`, and gives that back.
pub(super) fn write<W: Write>(
    walk: &mut Walk,
    note: &mut Note,
    top: &str,
    out: W,
) -> io::Result<Finish<W>> {
    let mut tape = Builder::new(out);
    let stat = walk.top()?;
    let mut header = header(&stat, EntryType::Directory, 0);
    tape.append_data(&mut header, format!("{top}/"), io::empty())?;
    while let Some(item) = walk.next(note) {
        let path = within(top, &item.path);
        let path = Path::new(OsStr::from_bytes(&path));
        match item.what {
            What::Folder => {
                let mut header = self::header(&item.stat, EntryType::Directory, 0);
                tape.append_data(&mut header, path.join(""), io::empty())?;
            }
            What::Link(target) => {
                let mut header = self::header(&item.stat, EntryType::Symlink, 0);
                let target = Path::new(OsStr::from_bytes(&target));
                tape.append_link(&mut header, path, target)?;
            }
            What::File(file) => {
                let size = u64::try_from(item.stat.st_size).unwrap_or(0);
                let mut header = self::header(&item.stat, EntryType::Regular, size);
                // The length stands in front: what is missing then is made up for with zeros, as tar
                // does, and told.
                let mut content = Content::new(file, &item.stat);
                let padded = content.by_ref().chain(io::repeat(0)).take(size);
                tape.append_data(&mut header, path, padded)?;
                if let Some(wrong) = content.wrong(true) {
                    note.add(&item.path, &wrong);
                }
            }
        }
    }
    if let Some(text) = note.text() {
        let mut header = self::header(&stat, EntryType::Regular, text.len() as u64);
        header.set_mode(0o644);
        tape.append_data(&mut header, format!("{top}/{}", note.name), text.as_bytes())?;
    }
    Ok(Finish(tape))
}

/// A tar stream that lacks its end.
pub(super) struct Finish<W: Write>(Builder<W>);

impl<W: Write> Finish<W> {
    pub(super) fn finish(self) -> io::Result<W> {
        self.0.into_inner()
    }
}

fn within(top: &str, path: &[u8]) -> Vec<u8> {
    [top.as_bytes(), b"/", path].concat()
}

/// Owners are not told, as they are not by a listing; of the mode just who may read, write and run.
fn header(stat: &Stat, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(stat.st_mode & 0o777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header
}
