//! A terminal (pty(7)) with a program on it.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::eventually;
use super::said::Said;
use super::server::Ended;

/// A terminal with the program on it.
pub(crate) struct Terminal {
    pub(crate) keys: File,
    /// Kept open, so that the screen has no end before the program has one.
    pub(crate) device: File,
    pub(crate) screen: Said,
    pub(crate) child: Ended,
}

impl Terminal {
    /// Of so many lines and columns.
    pub(crate) fn of(mut command: Command, lines: u16, columns: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
        let device = File::options().read(true).write(true).open(path).unwrap();
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&device, size).unwrap();
        let end = || Stdio::from(device.try_clone().unwrap());
        let child = Ended(command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap());
        drop(command);
        let master = File::from(master);
        let screen = Said::by(EndsWithError(master.try_clone().unwrap()));
        Terminal { keys: master, device, screen, child }
    }

    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    pub(crate) fn resize(&self, lines: u16, columns: u16) {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.device, size).unwrap();
    }

    /// Waits for the end; the exit status, and all that was on the screen.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let status = eventually("the end of it", || self.child.0.try_wait().unwrap());
        let modes = tcgetattr(self.device.as_fd()).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "it is as it was before");
        drop((self.device, self.keys));
        (status.code(), self.screen.all())
    }
}

/// The master of a terminal reads EIO where others read the end (pty(7)).
struct EndsWithError(File);

impl Read for EndsWithError {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer).or(Ok(0))
    }
}
