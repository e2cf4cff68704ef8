//! What reaches a terminal: colour where it is wanted, characters it can show, nothing of a peer's.

use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::kit::client::Client;
use crate::kit::said::Said;
use crate::kit::server::{Ended, Server, sockeye};

/// Has a connection drawn that asks for `target`; all that was said on standard error.
fn drawn(command: &mut Command, target: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    command.arg("serve").arg(folder.path()).args(["--port", "0", "--eye"]);
    let server = Server::of(command);
    let mut client = Client::connect(server.address);
    let lines = b" HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    client.send([b"GET ", target, lines].concat());
    let _ = client.answer();
    assert!(client.is_over());
    let port = client.stream.local_addr().unwrap().port();
    drop(client);
    server.stderr.wait_for(&format!("F  127.0.0.1:{port}  "));
    server.stop()
}

const ESCAPE: char = '\x1b';

#[test]
fn a_pipe_gets_no_colour() {
    let said = drawn(&mut sockeye(), b"/");
    assert!(!said.contains(ESCAPE) && said.contains('│'), "{said}");
}

#[test]
fn a_pipe_gets_colour_when_that_is_asked_for() {
    let said = drawn(sockeye().arg("--color=always"), b"/");
    assert!(said.contains("\x1b["), "{said}");
    let plain = drawn(sockeye().arg("--color=never").env("CLICOLOR_FORCE", "1"), b"/");
    assert!(!plain.contains(ESCAPE), "{plain}");
}

#[test]
fn a_locale_without_unicode_gets_ascii() {
    for (name, locale) in [("LANG", "C"), ("LC_ALL", "POSIX"), ("LC_CTYPE", "en_US.ISO-8859-1")] {
        let said = drawn(sockeye().env(name, locale), b"/");
        assert!(said.is_ascii() && said.contains("== connection"), "{locale}: {said}");
    }
    let said = drawn(sockeye().env("LANG", "C").env("LC_ALL", "de_DE.utf8"), b"/");
    assert!(said.contains('│'), "{said}");
}

#[test]
fn ascii_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--eye", "--ascii", "--width", "80"]);
    let mut client = Client::connect(server.address);
    client.get_with("/", "Connection: close\r\n");
    assert!(client.is_over());
    drop(client);
    server.stderr.wait_for("F  127.0.0.1:");
    let said = server.stop();
    assert!(said.is_ascii(), "{said}");
    assert!(drawing(&said).all(|line| line.len() <= 80), "{said}");
}

/// What is drawn, without what can't be seen here.
fn drawing(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter(|line| !line.starts_with("eye: "))
}

/// Control characters, both as they are and encoded, and marks that turn text around.
#[test]
fn what_a_client_sends_can_do_nothing_to_the_terminal() {
    let hostile: [&[u8]; 8] = [
        b"/\x1b[2J\x1b]0;owned\x07",
        b"/%1b[2J%1b]0;owned%07",
        b"/\x9b2J",
        "/\u{9b}2J".as_bytes(),
        "/\u{202e}fdp.exe".as_bytes(),
        "/\u{2066}\u{200f}\u{61c}".as_bytes(),
        b"/%e2%80%aefdp.exe",
        b"/\r\n\x08\x7f\x00",
    ];
    for target in hostile {
        let said = drawn(&mut sockeye(), target);
        let bad = said.chars().find(|c| {
            let bidi = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}');
            bidi || (c.is_control() && *c != '\n')
        });
        assert_eq!(bad, None, "{target:?}: {said:?}");
    }
}

#[test]
fn a_folder_with_a_hostile_name_is_named_without_harm() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a\x1b[2J\u{202e}b");
    fs::create_dir(&folder).unwrap();
    let server = Server::start(&folder, &[]);
    assert!(!server.ready.contains([ESCAPE, '\u{202e}']), "{:?}", server.ready);
    fs::remove_dir(&folder).unwrap();
    assert_eq!(crate::kit::client::get(server.address, "/").status, 503);
    server.stderr.wait_for("the folder is gone");
    let said = server.stop();
    assert!(!said.contains([ESCAPE, '\u{202e}']), "{said:?}");
}

/// On a terminal the drawing is coloured and as wide as it is, unless the environment objects.
#[test]
fn a_terminal_gets_colour_unless_the_environment_objects() {
    assert!(on_a_terminal(&[]).contains("\x1b["));
    for objection in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let said = on_a_terminal(&[objection]);
        assert!(!said.contains(ESCAPE) && said.contains('│'), "{objection:?}: {said}");
        let widest = drawing(&said).map(|line| line.trim_end().chars().count()).max();
        assert_eq!(widest, Some(110), "{said}");
    }
}

/// The drawing of one connection with a terminal of 110 columns as standard error.
fn on_a_terminal(environment: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize { ws_row: 40, ws_col: 110, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let theirs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut command = sockeye();
    command.arg("serve").arg(folder.path()).args(["--port", "0", "--eye"]);
    command.envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(theirs);
    let mut child = Ended(command.spawn().unwrap());
    // What the terminal shows ends with an error once nobody has it open any more.
    drop(command);
    let screen = Said::by(EndsWithError(File::from(terminal)));
    let stdout = Said::by(child.0.stdout.take().unwrap());
    let ready = stdout.wait_for("serving ");
    let address = ready.rsplit_once("http://").unwrap().1.trim_end_matches('/').parse().unwrap();
    let mut client = Client::connect(address);
    client.get_with("/", "Connection: close\r\n");
    assert!(client.is_over());
    drop(client);
    screen.wait_for("F  127.0.0.1:");
    drop(child);
    screen.all()
}

/// The master of a terminal reads EIO where others read the end (pty(7)).
struct EndsWithError(File);

impl Read for EndsWithError {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer).or(Ok(0))
    }
}
