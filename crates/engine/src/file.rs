//! Regular files, read and written beside the loop.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::CallError;
use crate::fault::{self, Point};
use crate::offload::offload;

/// Most bytes of one read.
const MOST: usize = 1 << 20;

/// An open file, whose reads and writes do not keep the tasks of the thread from running: they are
/// done on threads of their own ([`offload`]). Copies are the same open file.
///
/// ```
/// use sockeye_engine::{DriverKind, Engine, File};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("notes");
/// Engine::new(DriverKind::EpollEdge)?.block_on(async {
///     let file = File::open(&path, File::options().read(true).write(true).create(true)).await?;
///     file.write_at(0, "a line\n").await?;
///     assert_eq!(file.read_at(2, 100).await?, b"line\n");
///     assert_eq!(file.metadata().await?.len(), 7);
///     Ok(())
/// })
/// # }
/// ```
///
/// # Cancel safety
///
/// A read or an open whose future is dropped has no effect but the time it takes. A write whose
/// future is dropped happens whole or, if it was not begun, not at all.
#[derive(Clone, Debug)]
pub struct File {
    file: Arc<fs::File>,
    path: Arc<Path>,
}

impl File {
    /// How a file is to be opened; nothing is asked for yet.
    #[must_use]
    pub fn options() -> fs::OpenOptions {
        fs::OpenOptions::new()
    }

    /// Opens a file (open(2)).
    ///
    /// # Errors
    ///
    /// `NotFound`, `PermissionDenied`, and what else open(2) says; the error names the path.
    ///
    /// # Panics
    ///
    /// Outside of an engine, as all operations here.
    pub async fn open(path: impl Into<PathBuf>, options: &fs::OpenOptions) -> io::Result<File> {
        let (path, options) = (path.into(), options.clone());
        asked(Point::Open).map_err(|error| failed("open", &path, error))?;
        offload(move || match options.open(&path) {
            Ok(file) => Ok(File { file: Arc::new(file), path: path.into() }),
            Err(error) => Err(failed("open", &path, error)),
        })
        .await?
    }

    /// Reads `len` bytes from `offset` (pread(2)), at most 1 MiB; fewer only at the file's end.
    ///
    /// # Errors
    ///
    /// What read(2) says.
    pub async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.work(Point::Read, "read", move |file| {
            let mut bytes = vec![0; len.min(MOST)];
            let mut count = 0;
            while count < bytes.len() {
                let from = offset.saturating_add(count as u64);
                match file.read_at(&mut bytes[count..], from) {
                    Ok(0) => break,
                    Ok(more) => count += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(count);
            Ok(bytes)
        })
        .await
    }

    /// Writes all the bytes at `offset` (pwrite(2)).
    ///
    /// # Errors
    ///
    /// `StorageFull`, and what else write(2) says; then some of them may have been written.
    pub async fn write_at(&self, offset: u64, bytes: impl Into<Bytes>) -> io::Result<()> {
        let bytes = bytes.into();
        self.work(Point::Write, "write", move |file| file.write_all_at(&bytes, offset)).await
    }

    /// Waits until what was written will outlast a crash of the machine (fdatasync(2)).
    ///
    /// # Errors
    ///
    /// `EIO`: it may not.
    pub async fn sync(&self) -> io::Result<()> {
        self.work(Point::Write, "fdatasync", fs::File::sync_data).await
    }

    /// Its size, times and type (fstat(2)).
    ///
    /// # Errors
    ///
    /// What fstat(2) says.
    pub async fn metadata(&self) -> io::Result<fs::Metadata> {
        self.work(Point::Stat, "fstat", fs::File::metadata).await
    }

    async fn work<T: Send + 'static>(
        &self,
        point: Point,
        operation: &'static str,
        work: impl FnOnce(&fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        asked(point).map_err(|error| failed(operation, &self.path, error))?;
        let file = Arc::clone(&self.file);
        let result = offload(move || work(&file)).await?;
        result.map_err(|error| failed(operation, &self.path, error))
    }
}

impl AsRef<fs::File> for File {
    fn as_ref(&self) -> &fs::File {
        &self.file
    }
}

/// Asked here, because the threads that do the work belong to nobody's plan. What EINTR would do to
/// them, they do not let through.
fn asked(point: Point) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| fault::ask(point))?)
}

#[cold]
fn failed(operation: &'static str, path: &Path, error: io::Error) -> io::Error {
    CallError::at(operation, format!("{path:?}"), error)
}
