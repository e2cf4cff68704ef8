//! `sockeye listen` at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::kit::eventually;
use crate::kit::listener::Listener;
use crate::kit::server::sockeye;

on_every_driver!(who_types_talks_to_all_and_to_one_and_nothing_of_a_peer_is_obeyed);

/// What a person sees and types at.
struct Terminal {
    master: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// And its other end.
    fn open() -> (Terminal, File) {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let master = File::from(master);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, writer) = (master.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error is the end: nobody has the other end open any more.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let mut shown = writer.lock().unwrap_or_else(PoisonError::into_inner);
                shown.extend_from_slice(&buffer[..count]);
            }
        });
        (Terminal { master, shown }, slave)
    }

    fn text(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).into_owned()
    }

    fn wait_for(&self, what: &str) -> String {
        eventually(what, || {
            let text = self.text();
            text.lines().find(|line| line.contains(what)).map(str::to_owned)
        })
    }

    fn types(&mut self, line: &str) {
        self.master.write_all(line.as_bytes()).unwrap();
    }
}

fn who_types_talks_to_all_and_to_one_and_nothing_of_a_peer_is_obeyed(driver: &str) {
    let (mut terminal, other) = Terminal::open();
    let mut command = sockeye();
    command.args(["listen", "tcp://127.0.0.1:0", "--verbose", "--driver", driver]);
    command.stdin(Stdio::from(other.try_clone().unwrap()));
    let listener = Listener::at_terminal(&mut command, other);
    let (mut one, mut two) = (listener.connect(), listener.connect());
    for client in [&one, &two] {
        listener.stderr.wait_for(&format!("{} is @", client.local_addr().unwrap()));
    }
    one.write_all(b"\x1b[2J\x1b]0;title\x07hello\x9b1m\n").unwrap();
    let line = terminal.wait_for("hello");
    assert!(line.contains(&one.local_addr().unwrap().to_string()), "two are here: {line}");
    terminal.types("to all\n");
    terminal.types("@2 to the second\n");
    let second = listener.stderr.wait_for(" is @2");
    let second_is_two = second.contains(&two.local_addr().unwrap().to_string());
    let (first, second) = if second_is_two { (&mut one, &mut two) } else { (&mut two, &mut one) };
    let expected = b"to all\nto the second\n";
    let mut got = vec![0; expected.len()];
    second.read_exact(&mut got).unwrap();
    assert_eq!(got, expected);
    // Who types sees that the other has ended, and it is over.
    first.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    first.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"to all\n");
    listener.stop();
    let shown = terminal.text();
    // The editor moves the cursor, too.
    for obeyed in ["\x1b[2J", "\x1b]0;", "\x07", "\u{9b}"] {
        assert!(!shown.contains(obeyed), "{obeyed:?}: {shown:?}");
    }
}
