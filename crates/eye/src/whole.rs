//! A file that is made of whole units, lines or blocks, whatever the disk has room for.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// A file that nobody else writes.
#[derive(Debug)]
pub(crate) struct WholeFile {
    file: File,
    /// Bytes of it so far, in whole units.
    whole: u64,
    /// Where in these bytes the last unit that is whole ends.
    end_of_last: fn(&[u8]) -> usize,
}

impl WholeFile {
    /// Makes it; what was in it is gone.
    ///
    /// # Errors
    /// If it can't be made or opened for writing.
    pub(crate) fn create(path: &Path, end_of_last: fn(&[u8]) -> usize) -> io::Result<WholeFile> {
        Ok(WholeFile::of(File::create(path)?, end_of_last))
    }

    /// Writes to this one, which is empty.
    pub(crate) fn of(file: File, end_of_last: fn(&[u8]) -> usize) -> WholeFile {
        WholeFile { file, whole: 0, end_of_last }
    }

    /// Writes whole units. After an error none of them stands there in part: the file is cut behind
    /// the last whole one, where it can be cut, and nothing more is to be written.
    ///
    /// # Errors
    /// As of write(2), and where nothing more is taken.
    pub(crate) fn write(&mut self, units: &[u8]) -> io::Result<()> {
        let mut left = units;
        while !left.is_empty() {
            let error = match self.file.write(left) {
                Ok(count @ 1..) => {
                    left = left.get(count..).unwrap_or_default();
                    continue;
                }
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let written = units.get(..units.len() - left.len()).unwrap_or_default();
            // If that fails too, or this is no file that can be cut, a reader passes over what is cut.
            let _ = self.file.set_len(self.whole + (self.end_of_last)(written) as u64);
            return Err(error);
        }
        self.whole += units.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read as _, Seek as _, SeekFrom};

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    use super::*;

    /// A file with room for so many bytes, as on a disk that is almost full: of what does not fit,
    /// some pages are taken.
    pub(crate) fn with_room(room: usize) -> File {
        let file = File::from(memfd_create("room", MemfdFlags::ALLOW_SEALING).unwrap());
        file.set_len(room as u64).unwrap();
        fcntl_add_seals(&file, SealFlags::GROW).unwrap();
        file
    }

    #[test]
    fn what_does_not_fit_leaves_whole_units_alone() {
        let end_of_last =
            |written: &[u8]| written.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for room in [20, 4096, 9000, 10_000] {
            let file = with_room(room);
            let mut read = file.try_clone().unwrap();
            let mut whole = WholeFile::of(file, end_of_last);
            whole.write(b"first\n").unwrap();
            let lines = "a line of some length\n".repeat(1000);
            whole.write(lines.as_bytes()).unwrap_err();
            let mut text = String::new();
            read.seek(SeekFrom::Start(0)).unwrap();
            read.read_to_string(&mut text).unwrap();
            assert!(text.starts_with("first\n") && text.ends_with('\n'), "{room}: {text:?}");
            assert!(format!("first\n{lines}").starts_with(&text), "{room}");
            assert!(text.len() <= room && (room < 4096 || text.len() > 3000), "{room}");
        }
    }
}
