//! `sockeye listen --chat` with a thousand people, one of whom never reads.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::Timespec;

use crate::kit::listener::Listener;
use crate::kit::{PATIENCE, client, skip};

on_every_driver!(a_thousand_talk_while_one_never_reads, rules_hold);

const TCP: &str = "tcp://127.0.0.1:0";

const PEOPLE: usize = 999;
const SPEAKERS: usize = 25;
/// Fewer than one may send at once, and enough to fill what is held for one who does not read.
const ROUNDS: usize = 12;

/// What the room may take in all: what waits for each is bounded, and mostly shared.
const MEMORY: usize = 160 << 20;

/// One crowd at a time.
static ROOM: Mutex<()> = Mutex::new(());

/// Somebody who reads.
struct Person {
    stream: TcpStream,
    pending: Vec<u8>,
    named: bool,
    /// For each speaker, how many of his lines came, in order.
    heard: [usize; SPEAKERS],
    /// Heard that the one who never reads was dropped.
    knows: bool,
}

fn a_thousand_talk_while_one_never_reads(driver: &str) {
    let _alone = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = getrlimit(Resource::Nofile).maximum;
    let highest = Rlimit { current: limit, maximum: limit };
    setrlimit(Resource::Nofile, highest).unwrap();
    if limit.is_some_and(|limit| limit < 2500) {
        return skip("a_thousand_talk", "the limit on descriptors is too low (ulimit -Hn)");
    }
    let listener = Listener::start(&[TCP, "--chat", "--driver", driver]);
    let socket = client::socket();
    set_socket_recv_buffer_size(&socket, 4096).unwrap();
    rustix::net::connect(&socket, &listener.address()).unwrap();
    let mut sloth = TcpStream::from(socket);
    sloth.write_all(b"sloth\n").unwrap();
    let mut people: Vec<Person> = (0..PEOPLE)
        .map(|number| {
            let mut stream = listener.connect();
            writeln!(stream, "p{number}").unwrap();
            stream.set_nonblocking(true).unwrap();
            let heard = [0; SPEAKERS];
            Person { stream, pending: Vec::new(), named: false, heard, knows: false }
        })
        .collect();
    attend(&mut people, "all have names", |person| person.named);
    let filler = "x".repeat(1000);
    for round in 1..=ROUNDS {
        for (number, speaker) in people[..SPEAKERS].iter_mut().enumerate() {
            let line = format!("say {number} {round} {filler}\n");
            assert_eq!(speaker.stream.write(line.as_bytes()).unwrap(), line.len());
        }
        // Nobody hears himself.
        let all = |person: &Person| {
            let missing = person.heard.iter().filter(|heard| **heard < round).count();
            missing == 0
        };
        for (number, person) in people[..SPEAKERS].iter_mut().enumerate() {
            person.heard[number] = round;
        }
        attend(&mut people, "everybody hears everybody", all);
    }
    attend(&mut people, "all hear that the sloth was dropped", |person| person.knows);
    let memory = listener.memory();
    assert!(memory < MEMORY, "{memory} bytes");
    let said = listener.stderr.wait_for("was dropped: reads too slowly");
    assert!(said.contains(&sloth.local_addr().unwrap().to_string()), "{said}");
    drop(people);
    listener.stop();
}

/// Has all read until it is so for each of them.
fn attend(people: &mut [Person], what: &str, is_so: impl Fn(&Person) -> bool) {
    let deadline = Instant::now() + PATIENCE * 4;
    while !people.iter().all(&is_so) {
        let left = people.iter().filter(|person| !is_so(person)).count();
        assert!(Instant::now() < deadline, "in vain: {what}; {left} are missing");
        let mut fds: Vec<PollFd<'_>> =
            people.iter().map(|person| PollFd::new(&person.stream, PollFlags::IN)).collect();
        poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for (person, _) in people.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            person.read();
        }
    }
}

impl Person {
    fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("dropped: {}", String::from_utf8_lossy(&self.pending)),
            Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
        let whole = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text = String::from_utf8(self.pending.drain(..whole).collect()).unwrap();
        for line in text.lines() {
            self.named |= line.starts_with("* you are p");
            self.knows |= line == "* sloth was dropped: reads too slowly";
            let Some((_, said)) = line.split_once(": say ") else { continue };
            let mut words = said.split(' ');
            let mut number = || words.next().unwrap().parse::<usize>().unwrap();
            let (speaker, round) = (number(), number());
            assert_eq!(round, self.heard[speaker] + 1, "in order");
            self.heard[speaker] = round;
        }
    }
}

/// Says a line and hears what comes until this.
struct Talker(TcpStream, Vec<u8>);

impl Talker {
    fn join(listener: &Listener) -> Talker {
        Talker(listener.connect(), Vec::new())
    }

    fn say(&mut self, line: &str) {
        writeln!(self.0, "{line}").unwrap();
    }

    fn hears(&mut self, line: &str) {
        let mut heard = String::new();
        loop {
            while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                let next = String::from_utf8(self.1.drain(..=end).collect()).unwrap();
                if next.trim_end() == line {
                    return;
                }
                heard.push_str(&next);
            }
            let mut buffer = [0; 4096];
            let count = self.0.read(&mut buffer).unwrap();
            assert!(count > 0, "closed, and {line:?} was not among:\n{heard}");
            self.1.extend_from_slice(&buffer[..count]);
        }
    }
}

fn rules_hold(driver: &str) {
    let listener = Listener::start(&[TCP, "--chat", "--driver", driver]);
    let (mut ann, mut bob) = (Talker::join(&listener), Talker::join(&listener));
    ann.hears("* your name?");
    ann.say("ann\r");
    ann.hears("* you are ann, one of 1 here; /who lists all, /name NEW renames you, /quit leaves");
    bob.say("Ann");
    bob.hears("* Ann is taken; another name?");
    bob.say("b\u{1b}[31m:ob");
    bob.hears(
        "* a name has 1 to 24 letters or signs, without spaces or colons, and begins with neither * \
         nor /; your name?",
    );
    bob.say("bob");
    ann.hears("* bob joined");
    bob.say("\u{1b}]0;title\u{7}hello \u{6587}");
    ann.hears("bob: ]0;titlehello \u{6587}");
    ann.say("/name eve");
    bob.hears("* ann is now eve");
    bob.say("/who");
    bob.hears("* 2 here: eve, bob");
    bob.say("/frob");
    bob.hears(
        "* no such command; /who lists all, /name NEW renames you, /quit leaves, // begins a line with /",
    );
    // The last line has no end, and is heard all the same.
    bob.0.write_all(b"bye").unwrap();
    bob.0.shutdown(std::net::Shutdown::Write).unwrap();
    ann.hears("bob: bye");
    ann.hears("* bob left");
    let mut loud = Talker::join(&listener);
    loud.say("loud");
    loud.0.write_all("spam\n".repeat(60).as_bytes()).unwrap();
    ann.hears("* loud was dropped: too many lines");
    loud.hears("* you were dropped: too many lines");
    let mut long = Talker::join(&listener);
    long.say("long");
    ann.hears("* long joined");
    long.0.write_all(&[b'x'; 3000]).unwrap();
    ann.hears("* long was dropped: a line too long");
    ann.say("/quit");
    assert_eq!(ann.0.read(&mut [0]).unwrap(), 0);
    let said = listener.stop();
    assert!(said.contains("was dropped: too many lines"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn people_may_talk_in_another_encoding() {
    let listener = Listener::start(&[TCP, "--chat", "--encoding", "gb18030"]);
    let (mut ann, mut bob) = (listener.connect(), Talker::join(&listener));
    bob.say("bob");
    bob.hears("* you are bob, one of 1 here; /who lists all, /name NEW renames you, /quit leaves");
    // \u{6587}\u{4ef6} in GB18030.
    ann.write_all(b"\xce\xc4\xbc\xfe\nhello\n").unwrap();
    let mut got = Vec::new();
    let expected: &[u8] = b"* \xce\xc4\xbc\xfe joined\n\xce\xc4\xbc\xfe: hello\n";
    while !got.ends_with(expected) {
        let mut buffer = [0; 1000];
        let count = bob.0.read(&mut buffer).unwrap();
        assert!(count > 0, "closed: {got:x?}");
        got.extend_from_slice(&buffer[..count]);
    }
    listener.stop();
}
