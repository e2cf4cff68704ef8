//! Names of listening Unix sockets: taken from the dead, not from the living, and given back.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, chmod, chownat, fchmod, flock, fstat, open,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, socket_with};

use crate::address::{Address, UnixAddress};
use crate::endpoint::EndpointKind;
use crate::listener::listen;
use crate::socket_options::{Ids, Purpose, SocketOptions, apply};

/// The file of a listening socket; dropping it removes the file, if it is still the one we made.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Somebody else removes it.
    left: bool,
}

/// A call that failed, and why.
pub(crate) type Failed = (&'static str, io::Error);

/// Binds a socket to the name and, where its type has connections, listens. A file that a socket left
/// behind, which nobody listens on any more, is replaced. Its mode and its owner are set before
/// anybody can connect.
pub(crate) fn bind(
    name: &UnixAddress,
    kind: SocketType,
    options: &SocketOptions,
) -> Result<(OwnedFd, Option<SocketFile>), Failed> {
    let at = |operation| move |error: Errno| (operation, io::Error::from(error));
    let encoded = Address::Unix(name.clone()).encode().map_err(at("bind"))?;
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(at("socket"))?;
    let endpoint = EndpointKind::Unix;
    apply(&socket, endpoint, options, Purpose::Listen, None)
        .map_err(|error| ("setsockopt", error.into_io()))?;
    let UnixAddress::Path(path) = name else {
        rustix::net::bind(&socket, &encoded).map_err(at("bind"))?;
        listen_if_any(&socket, kind, options).map_err(at("listen"))?;
        return Ok((socket, None));
    };
    let owner = options.owner.as_ref().map(Ids::of).transpose();
    let owner = owner.map_err(|error| ("chown", error))?;
    if let Some(mode) = options.mode {
        // The file is made with the permissions of the socket, less the umask. Until it has its
        // owner, nobody else is to find a way in.
        let first = if owner.is_some() { mode & 0o600 } else { mode };
        fchmod(&socket, Mode::from_raw_mode(first)).map_err(at("fchmod"))?;
    }
    let _alone = Alone::in_folder_of(path);
    let mut bound = rustix::net::bind(&socket, &encoded);
    if bound == Err(Errno::ADDRINUSE) {
        remove_stale(path, &encoded, kind).map_err(|error| ("bind", error))?;
        bound = rustix::net::bind(&socket, &encoded);
    }
    bound.map_err(at("bind"))?;
    let (file, pinned) = SocketFile::made(path).map_err(|error| ("lstat", error))?;
    if let Some(owner) = owner {
        let owned = chownat(&pinned, "", owner.user, owner.group, AtFlags::EMPTY_PATH);
        owned.map_err(|error| ("chown", options.failed("owner", error).into_io()))?;
    }
    if let Some(mode) = options.mode {
        // Of the very file that is pinned: chmod(2) by its name could be led elsewhere.
        let path = format!("/proc/self/fd/{}", pinned.as_raw_fd());
        chmod(path, Mode::from_raw_mode(mode)).map_err(at("chmod"))?;
    }
    listen_if_any(&socket, kind, options).map_err(at("listen"))?;
    Ok((socket, Some(file)))
}

fn listen_if_any(socket: &OwnedFd, kind: SocketType, options: &SocketOptions) -> Result<(), Errno> {
    if kind == SocketType::DGRAM { Ok(()) } else { listen(socket, options) }
}

/// While it lives, no other server of ours takes a name in the same folder: between bind and listen a
/// socket looks as if nobody were behind it.
struct Alone {
    _folder: OwnedFd,
}

impl Alone {
    /// None where it can't be had: the folder may not be read, or somebody else holds it for long.
    fn in_folder_of(path: &Path) -> Option<Alone> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(folder.unwrap_or(Path::new(".")), flags, Mode::empty()).ok()?;
        #[allow(
            clippy::disallowed_methods,
            reason = "a lock has no readiness, and flock(2) itself would wait for ever; whoever holds \
                      it is between two calls"
        )]
        let pause = || std::thread::sleep(Duration::from_millis(1));
        for _ in 0..100 {
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(Alone { _folder: folder }),
                Err(Errno::AGAIN | Errno::INTR) => pause(),
                Err(_) => return None,
            }
        }
        None
    }
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
            let (device, inode) = (found.dev(), found.ino());
            drop(SocketFile { path: path.into(), device, inode, left: false });
            Ok(())
        }
        Err(Errno::NOENT) => Ok(()),
        // It listens, and EAGAIN is a full backlog; EPROTOTYPE is a socket of another type.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(Errno::ADDRINUSE.into()),
        Err(error) => Err(error.into()),
    }
}

impl SocketFile {
    /// Of the socket's file that another process made and leaves to this one; None if it is gone.
    pub(crate) fn taken_over(path: &Path) -> Option<SocketFile> {
        SocketFile::made(path).ok().map(|(file, _)| file)
    }

    /// Somebody else removes it from now on.
    pub(crate) fn leave(mut self) {
        self.left = true;
    }

    /// Of the file that is there, and what pins it.
    fn made(path: &Path) -> io::Result<(SocketFile, OwnedFd)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let pinned = open(path, flags, Mode::empty())?;
        let made = fstat(&pinned)?;
        if FileType::from_raw_mode(made.st_mode) != FileType::Socket {
            let why = "another file has taken the name meanwhile";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        let (device, inode) = (made.st_dev, made.st_ino);
        Ok((SocketFile { path: path.into(), device, inode, left: false }, pinned))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |found: &std::fs::Metadata| {
            (found.dev(), found.ino()) == (self.device, self.inode) && found.file_type().is_socket()
        };
        if !self.left && self.path.symlink_metadata().as_ref().is_ok_and(ours) {
            // Whoever took the right to write the folder from us may clean up himself.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    fn serve(path: &Path) -> Result<(OwnedFd, Option<SocketFile>), Failed> {
        let options = SocketOptions::default();
        bind(&UnixAddress::Path(path.into()), SocketType::STREAM, &options)
    }

    fn refused(path: &Path) -> (io::ErrorKind, String) {
        let (operation, error) = serve(path).expect_err("taken");
        assert_eq!(operation, "bind");
        (error.kind(), error.to_string())
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("free"));
        let ours = serve(&path).expect("nobody is behind it");
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
        let ours = serve(&path).expect("free");
        std::fs::remove_file(&path).expect("it was there");
        let theirs = UnixListener::bind(&path).expect("free");
        drop(ours);
        assert!(path.exists(), "another one's by now");
        drop(theirs);
    }
}
