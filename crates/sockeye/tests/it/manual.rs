//! What the manual shows is what the program prints: each session in `docs/manual.md`, and in
//! `docs/records.md`, is run.
//!
//! A session is a block marked `console`. Several terminals stand in one: `server$ COMMAND` types a
//! command at the terminal `server`, and what follows is what that terminal shows, both its standard
//! output and standard error. `server:` alone goes back to a terminal that shows more. The next
//! command waits until all of that was seen; one at the same terminal also waits for the end of the
//! command before it. What still runs at the end of the session is interrupted, as by Ctrl-C, and has
//! no more to say. `…` within a line stands for what differs each time.
//!
//! Each session has a network of its own, so the ports in the manual are free, and a folder of its
//! own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, pipe};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::kit::{eventually, need, need_root};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

#[test]
fn every_session_of_the_manual_goes_as_it_is_shown() {
    let name = "every_session_of_the_manual_goes_as_it_is_shown";
    goes_as_it_is_shown(name, "manual.md", &["tshark"]);
}

#[test]
fn every_session_with_records_goes_as_it_is_shown() {
    let name = "every_session_with_records_goes_as_it_is_shown";
    goes_as_it_is_shown(name, "records.md", &["jq"]);
}

fn goes_as_it_is_shown(test: &str, page: &'static str, programs: &[&str]) {
    let all = [&["bash", "ip", "nsenter", "unshare"], programs].concat();
    if !need_root(test) || !need(test, &all) {
        return;
    }
    let text = fs::read_to_string(Path::new(DOCS).join(page)).unwrap();
    let sessions = sessions(page, &text);
    assert!(!sessions.is_empty());
    let wrong: Vec<String> = sessions.iter().filter_map(|session| session.run().err()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A block of the manual.
pub(crate) struct Session {
    page: &'static str,
    /// The line it begins in, for whoever has to mend it.
    pub(crate) line: usize,
    pub(crate) steps: Vec<Step>,
}

/// Something typed, if it is not only looked at, and what is seen then.
pub(crate) struct Step {
    terminal: String,
    pub(crate) command: Option<String>,
    pub(crate) shown: Vec<String>,
}

pub(crate) fn sessions(page: &'static str, manual: &str) -> Vec<Session> {
    let mut sessions = Vec::new();
    let mut within: Option<Session> = None;
    for (number, line) in manual.lines().enumerate() {
        match &mut within {
            None if line == "```console" => {
                within = Some(Session { page, line: number + 1, steps: Vec::new() });
            }
            None => {}
            Some(_) if line == "```" => sessions.extend(within.take()),
            Some(session) => match prompt(line) {
                Some((terminal, command)) => session.steps.push(Step {
                    terminal: terminal.to_owned(),
                    command: command.map(str::to_owned),
                    shown: Vec::new(),
                }),
                None => {
                    let step = session.steps.last_mut();
                    step.expect("a session begins with a command").shown.push(line.to_owned());
                }
            },
        }
    }
    assert!(within.is_none(), "a session without an end");
    sessions
}

/// `NAME$ COMMAND`, `$ COMMAND` or `NAME:`.
fn prompt(line: &str) -> Option<(&str, Option<&str>)> {
    let name = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
    if let Some((terminal, command)) = line.split_once("$ ")
        && name(terminal)
    {
        return Some((terminal, Some(command)));
    }
    let terminal = line.strip_suffix(':')?;
    (!terminal.is_empty() && name(terminal)).then_some((terminal, None))
}

impl Session {
    fn run(&self) -> Result<(), String> {
        let place = Place::new();
        let mut terminals: BTreeMap<&str, Terminal> = BTreeMap::new();
        for step in &self.steps {
            if let Some(command) = &step.command {
                if let Some(before) = terminals.remove(step.terminal.as_str()) {
                    self.check(&step.terminal, before.ended())?;
                }
                terminals.insert(&step.terminal, Terminal::running(&place, command));
            }
            let terminal = terminals.get_mut(step.terminal.as_str()).expect("a command came first");
            self.check(&step.terminal, terminal.shows(&step.shown))?;
        }
        place.settle();
        for (name, terminal) in terminals {
            terminal.interrupt();
            self.check(name, terminal.ended())?;
        }
        Ok(())
    }

    fn check(&self, terminal: &str, outcome: Result<(), String>) -> Result<(), String> {
        let Session { page, line, .. } = self;
        outcome.map_err(|wrong| format!("docs/{page}:{line}: {terminal}$ {wrong}"))
    }
}

/// A folder and a network with nothing but loopback in it.
pub(crate) struct Place {
    folder: TempDir,
    holder: Child,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = TempDir::new().unwrap();
        let up = "ip link set lo up && echo up && exec sleep infinity";
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", up])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 3];
        holder.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        Place { folder, holder }
    }

    /// Waits until every program has seen that its peer has gone: one that is interrupted before says
    /// that a connection is open.
    fn settle(&self) {
        eventually("no socket is in CLOSE-WAIT", || {
            let sockets = ["tcp", "tcp6"].map(|table| {
                fs::read_to_string(format!("/proc/{}/net/{table}", self.holder.id())).unwrap()
            });
            // The fourth column, as include/net/tcp_states.h numbers them (proc_pid_net(5)).
            let state = |line: &str| line.split_whitespace().nth(3) == Some("08");
            (!sockets.iter().any(|table| table.lines().any(state))).then_some(())
        });
    }

    fn command(&self, command: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_sockeye")).parent().unwrap().to_owned();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("nsenter");
        shell
            .arg(format!("--net=/proc/{}/ns/net", self.holder.id()))
            // A shell of a script in the background may have been told to ignore them.
            .args(["env", "--default-signal=INT,HUP", "bash", "-c", command])
            .current_dir(self.folder.path())
            .env_clear()
            .envs([("PATH", &*path), ("HOME", "."), ("LANG", "C.UTF-8"), ("TERM", "dumb")]);
        shell
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A command that was typed, and what has been seen of it.
pub(crate) struct Terminal {
    command: String,
    child: Child,
    said: Arc<Mutex<Said>>,
    /// Bytes of what it said that the manual shows already.
    seen: usize,
}

#[derive(Default)]
struct Said {
    text: Vec<u8>,
    /// Nobody is left who could say more.
    ended: bool,
}

impl Terminal {
    pub(crate) fn running(place: &Place, command: &str) -> Terminal {
        let (mut reader, writer) = pipe().unwrap();
        let child = place
            .command(command)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .process_group(0)
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Said::default()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let count = reader.read(&mut buffer).unwrap_or(0);
                let mut said = heard.lock().unwrap();
                said.text.extend_from_slice(&buffer[..count]);
                if count == 0 {
                    said.ended = true;
                    return;
                }
            }
        });
        Terminal { command: command.to_owned(), child, said, seen: 0 }
    }

    /// Waits until it shows these lines next.
    pub(crate) fn shows(&mut self, lines: &[String]) -> Result<(), String> {
        for line in lines {
            let found = eventually(&format!("{}: {line}", self.command), || {
                let said = self.said.lock().unwrap();
                let rest = &said.text[self.seen..];
                match rest.iter().position(|byte| *byte == b'\n') {
                    Some(end) => Some(rest[..=end].to_vec()),
                    None => said.ended.then(|| rest.to_vec()),
                }
            });
            let shown = String::from_utf8_lossy(&found);
            let shown = shown.strip_suffix('\n').unwrap_or(&shown);
            if !matches(line, shown) || found.is_empty() {
                return Err(self.wrong(line, shown));
            }
            self.seen += found.len();
        }
        Ok(())
    }

    pub(crate) fn interrupt(&self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::INT);
    }

    /// Waits for its end, and sees that it said no more.
    pub(crate) fn ended(mut self) -> Result<(), String> {
        eventually(&format!("the end of {}", self.command), || {
            self.said.lock().unwrap().ended.then_some(())
        });
        self.child.wait().unwrap();
        let said = self.said.lock().unwrap();
        match &said.text[self.seen..] {
            [] => Ok(()),
            more => Err(self.wrong("(no more)", &String::from_utf8_lossy(more))),
        }
    }

    /// Waits for its end; all that it said and that was not looked at.
    pub(crate) fn rest(&mut self) -> String {
        eventually(&format!("the end of {}", self.command), || {
            self.said.lock().unwrap().ended.then_some(())
        });
        self.child.wait().unwrap();
        let said = self.said.lock().unwrap();
        String::from_utf8(said.text[self.seen..].to_vec()).unwrap()
    }

    fn wrong(&self, expected: &str, found: &str) -> String {
        format!("{}\n  shown:   {expected}\n  printed: {found}", self.command)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Whether a line is as shown, where `…` stands for anything.
fn matches(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[test]
fn a_line_is_compared_part_by_part() {
    assert!(matches("on port … here", "on port 49152 here"));
    assert!(matches("…", ""));
    assert!(matches("a…b…c", "a12b3c"));
    assert!(!matches("a…b…c", "a12b3"));
    assert!(!matches("abc", "abcd"));
    assert!(!matches("abc…d", "abd"));
}
