//! `sockeye connect` on a terminal: what is typed is edited, and what a peer sends is harmless.

use std::fs::File;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::kit::said::Said;
use crate::kit::server::Ended;
use crate::kit::talk::connect;
use crate::kit::{PATIENCE, eventually};

on_every_driver!(what_is_typed_is_edited_and_what_comes_is_harmless);

/// A terminal with the program on it.
struct Terminal {
    keys: File,
    /// Kept open, so that the screen has no end before the program has one.
    device: File,
    screen: Said,
    child: Ended,
}

impl Terminal {
    fn run(endpoint: &str, arguments: &[&str]) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
        let device = File::options().read(true).write(true).open(path).unwrap();
        let size = Winsize { ws_row: 25, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&device, size).unwrap();
        let end = || Stdio::from(device.try_clone().unwrap());
        let mut command = connect(endpoint, arguments);
        let child = Ended(command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap());
        drop(command);
        let master = File::from(master);
        let screen = Said::by(EndsWithError(master.try_clone().unwrap()));
        Terminal { keys: master, device, screen, child }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    /// Waits for the end; the exit status, and all that was on the screen.
    fn ended(mut self) -> (Option<i32>, String) {
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

fn what_is_typed_is_edited_and_what_comes_is_harmless(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::run(&address, &["--driver", driver]);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all("\x1b]0;title\x07\x1b[5n\u{9b}6n\u{202e}\x08 文件\r\n".as_bytes()).unwrap();
    let harmless = r"\x1b]0;title\x07\x1b[5n\u{9b}6n\u{202e}\x08 文件";
    terminal.screen.wait("what came", |screen| screen.contains(harmless).then_some(()));
    // A letter too many, and the key that takes it away.
    terminal.press(b"helloo\x7f\r");
    let mut line = [0; 6];
    peer.read_exact(&mut line).unwrap();
    assert_eq!(line, *b"hello\n");
    // Up: the line before.
    terminal.press(b"\x1b[A!\r");
    let mut line = [0; 7];
    peer.read_exact(&mut line).unwrap();
    assert_eq!(line, *b"hello!\n");
    // Ctrl-D ends the input, and what comes later is shown.
    terminal.press(b"\x04");
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    peer.write_all(b"good\x1bbye\n").unwrap();
    drop(peer);
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
    assert!(screen.contains(r"good\x1bbye"), "{screen:?}");
    assert!(!screen.contains(['\u{9b}', '\u{202e}', '\x07']), "{screen:?}");
}

#[test]
fn a_peer_that_closes_ends_it_while_somebody_types() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::run(&address, &[]);
    let (peer, _) = listener.accept().unwrap();
    terminal.screen.wait("the prompt", |screen| screen.contains("> ").then_some(()));
    terminal.press(b"half a li");
    terminal.screen.wait("the echo", |screen| screen.contains("half a li").then_some(()));
    drop(peer);
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
}

#[test]
fn ctrl_c_while_typing_exits_with_130() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::run(&address, &[]);
    let (_peer, _) = listener.accept().unwrap();
    terminal.screen.wait("the prompt", |screen| screen.contains("> ").then_some(()));
    terminal.press(b"\x03");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(130), "{screen:?}");
}

#[test]
fn lines_that_are_pasted_together_are_all_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::run(&address, &[]);
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    terminal.screen.wait("the prompt", |screen| screen.contains("> ").then_some(()));
    terminal.press(b"one\rtwo\rthree\r\x04");
    let mut said = String::new();
    peer.read_to_string(&mut said).unwrap();
    assert_eq!(said, "one\ntwo\nthree\n");
    drop(peer);
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
}

#[test]
fn an_error_begins_a_line_of_its_own() {
    for (arguments, shown) in [
        (&["--send", "x"][..], "part\r\n"),
        (&["--send", "x"], "a line\r\n"),
        (&["--send", "x", "--raw-output"], "part\r\n"),
        (&["--send", "x", "--timestamps"], "part\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let terminal = Terminal::run(&address, arguments);
        let (mut peer, _) = listener.accept().unwrap();
        peer.peek(&mut [0]).unwrap();
        let said = if shown == "part\r\n" { "part" } else { "a line\n" };
        peer.write_all(said.as_bytes()).unwrap();
        terminal.screen.wait("what came", |screen| screen.contains(said.trim()).then_some(()));
        // Closing with unread bytes is a reset.
        drop(peer);
        let (code, screen) = terminal.ended();
        assert_eq!(code, Some(1), "{screen:?}");
        assert!(screen.contains(&format!("{shown}sockeye: tcp://")), "{arguments:?}: {screen:?}");
    }
}

#[test]
fn raw_output_is_what_the_peer_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let terminal = Terminal::run(&address, &["--raw-output"]);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"\x1b[1mbold\x1b[m").unwrap();
    terminal.screen.wait("what came", |screen| screen.contains("\x1b[1mbold\x1b[m").then_some(()));
    drop(peer);
    let (code, _) = terminal.ended();
    assert_eq!(code, Some(0));
}
