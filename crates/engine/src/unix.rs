//! Names of listening Unix sockets: taken from the dead, not from the living, and given back.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, socket_with};

use crate::address::{Address, UnixAddress};

/// The file of a listening socket; dropping it removes the file, if it is still the one we made.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// A call that failed, and why.
pub(crate) type Failed = (&'static str, io::Error);

/// Binds a socket to the name. A file that a socket left behind, which nobody listens on any more,
/// is replaced.
pub(crate) fn bind(
    name: &UnixAddress,
    kind: SocketType,
) -> Result<(OwnedFd, Option<SocketFile>), Failed> {
    let at = |operation| move |error: Errno| (operation, io::Error::from(error));
    let encoded = Address::Unix(name.clone()).encode().map_err(at("bind"))?;
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(at("socket"))?;
    let mut bound = rustix::net::bind(&socket, &encoded);
    if let (Err(Errno::ADDRINUSE), UnixAddress::Path(path)) = (bound, name) {
        remove_stale(path, &encoded, kind).map_err(|error| ("bind", error))?;
        bound = rustix::net::bind(&socket, &encoded);
    }
    bound.map_err(at("bind"))?;
    let file = match name {
        UnixAddress::Path(path) => Some(SocketFile::made(path).map_err(|error| ("lstat", error))?),
        _ => None,
    };
    Ok((socket, file))
}

/// Removes a socket's file if nobody is behind it (unix(7): connect(2) says `ECONNREFUSED`).
fn remove_stale(path: &Path, address: &SocketAddrAny, kind: SocketType) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    if !found.file_type().is_socket() {
        let why = "a file that is no socket has this name";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, kind, flags, None)?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => {
            // Not if another server has put its own there meanwhile.
            drop(SocketFile { path: path.into(), device: found.dev(), inode: found.ino() });
            Ok(())
        }
        Err(Errno::NOENT) => Ok(()),
        // It listens, and EAGAIN is a full backlog; EPROTOTYPE is a socket of another type.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(Errno::ADDRINUSE.into()),
        Err(error) => Err(error.into()),
    }
}

impl SocketFile {
    fn made(path: &Path) -> io::Result<SocketFile> {
        let made = path.symlink_metadata()?;
        Ok(SocketFile { path: path.into(), device: made.dev(), inode: made.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |found: &std::fs::Metadata| {
            (found.dev(), found.ino()) == (self.device, self.inode) && found.file_type().is_socket()
        };
        if self.path.symlink_metadata().as_ref().is_ok_and(ours) {
            // Whoever took the right to write the folder from us may clean up himself.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    fn listen(path: &Path) -> Result<(OwnedFd, Option<SocketFile>), Failed> {
        let (socket, file) = bind(&UnixAddress::Path(path.into()), SocketType::STREAM)?;
        rustix::net::listen(&socket, 1).expect("it is bound");
        Ok((socket, file))
    }

    fn refused(path: &Path) -> (io::ErrorKind, String) {
        let (operation, error) = listen(path).expect_err("taken");
        assert_eq!(operation, "bind");
        (error.kind(), error.to_string())
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("free"));
        let ours = listen(&path).expect("nobody is behind it");
        assert_eq!(refused(&path).0, io::ErrorKind::AddrInUse);
        drop(ours);
        assert!(!path.exists(), "it goes with its listener");
        let theirs = UnixDatagram::bind(&path).expect("free");
        assert_eq!(refused(&path).0, io::ErrorKind::AddrInUse, "another type lives as well");
        drop(theirs);
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn files_that_are_not_ours_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        std::fs::write(&path, "precious").expect("a file");
        assert_eq!(refused(&path).1, "a file that is no socket has this name");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"precious");
        std::fs::remove_file(&path).expect("it was there");
        let ours = listen(&path).expect("free");
        std::fs::remove_file(&path).expect("it was there");
        let theirs = UnixListener::bind(&path).expect("free");
        drop(ours);
        assert!(path.exists(), "another one's by now");
        drop(theirs);
    }
}
