//! `sockeye watch A.jsonl B.jsonl`: what was recorded at both ends, in one picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cast::Listener;
use crate::kit;
use crate::kit::eventually;
use crate::kit::net::Net;
use crate::kit::server::{run, sockeye};
use crate::kit::talk::{Running, connect, fed};

/// A conversation of two hosts, each of which records its end.
struct Two {
    net: Net,
    folder: TempDir,
}

impl Two {
    fn new(test: &str) -> Option<Two> {
        let net = Net::of(test, 2)?;
        Some(Two { net, folder: tempfile::tempdir().unwrap() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `sockeye listen` on the second host.
    fn listens(&self, arguments: &[&str]) -> Listener {
        let file = self.file("server.jsonl");
        let record = ["--record", file.to_str().unwrap()];
        Listener::start(self.net.host(1), &[arguments, &record].concat())
    }

    /// `sockeye connect` on the first one.
    fn connects(&self, arguments: &[&str]) -> Command {
        let mut command = sockeye();
        command.arg("connect").args(arguments).arg("--record").arg(self.file("client.jsonl"));
        self.net.host(0).enter(command)
    }

    /// Both recordings, in one picture.
    fn joined(&self) -> String {
        watch(&self.file("client.jsonl"), &self.file("server.jsonl"))
    }

    /// Writes another recording: this one with these changes.
    fn changed(&self, name: &str, change: impl Fn(&str) -> String) -> PathBuf {
        let changed = self.file(&format!("changed-{name}"));
        fs::write(&changed, change(&fs::read_to_string(self.file(name)).unwrap())).unwrap();
        changed
    }
}

fn watch(one: &Path, other: &Path) -> String {
    let mut command = sockeye();
    command.args(["watch", "--width", "100"]).args([one, other]).env("LC_ALL", "C.UTF-8");
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, &*stderr), (Some(0), ""), "{stdout}");
    stdout
}

/// The same recording of another machine, whose clock is so many nanoseconds ahead.
fn elsewhere(recording: &str, ahead: u64) -> String {
    let boot = recording.split_once(r#""boot":""#).unwrap().1;
    let boot = &boot[..boot.find('"').unwrap()];
    later(&recording.replace(boot, "00000000-0000-4000-8000-000000000000"), ahead)
}

/// With so many nanoseconds added to each moment in it.
fn later(recording: &str, nanos: u64) -> String {
    let mut out = String::new();
    let mut rest = recording;
    while let Some(place) =
        [r#""at":"#, r#""end":"#].iter().filter_map(|key| Some(rest.find(key)? + key.len())).min()
    {
        out.push_str(&rest[..place]);
        rest = &rest[place..];
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap();
        if let Ok(at) = rest[..digits].parse::<u64>() {
            out.push_str(&(at + nanos).to_string());
            rest = &rest[digits..];
        }
    }
    out + rest
}

fn without_clocks(picture: &str) -> Vec<&str> {
    picture.lines().filter(|line| !line.starts_with("  clocks  ")).collect()
}

fn clocks(picture: &str) -> &str {
    picture.lines().find_map(|line| line.strip_prefix("  clocks  ")).unwrap()
}

/// The difference of the clocks and how far it may be off, in milliseconds.
fn difference(clocks: &str) -> (f64, f64) {
    let clocks = clocks.replace(',', "");
    let numbers: Vec<f64> = clocks.split(' ').filter_map(|word| word.parse().ok()).collect();
    let sign = if clocks.contains("behind") { -1.0 } else { 1.0 };
    match numbers[..] {
        [ahead, off] => (sign * ahead, off),
        [off] => (0.0, off),
        _ => panic!("{clocks}"),
    }
}

#[test]
fn both_ends_are_joined_and_a_clock_that_is_ahead_changes_nothing_but_the_line_about_it() {
    let name =
        "both_ends_are_joined_and_a_clock_that_is_ahead_changes_nothing_but_the_line_about_it";
    let Some(two) = Two::new(name) else { return };
    let listener = two.listens(&["10.9.0.2:7000", "--once", "--frame", "line"]);
    let messages = "GET a\nPUT bb\nDEL c\nGET dd\nBYE\n";
    fed(&mut two.connects(&["10.9.0.2:7000", "--frame", "line"]), messages).printed("");
    listener.stdout.wait_for("BYE");
    listener.stop();

    let picture = two.joined();
    assert_eq!(picture.matches("══ both ends of ").count(), 1, "{picture}");
    assert_eq!(clocks(&picture), "one clock, both ends ran on one machine");
    for shown in ["connect() │", "│ accept()", " 5 written\n", " 5 decoded\n", "5 calls, in "] {
        assert_eq!(picture.matches(shown).count(), 1, "{shown}: {picture}");
    }
    for state in ["SYN-SENT │", "│ SYN-RECEIVED", "FIN-WAIT-1 │", "│ CLOSE-WAIT", "│ LAST-ACK"]
    {
        assert_eq!(picture.matches(state).count(), 1, "{state}: {picture}");
    }
    assert!(!picture.contains('~') && !picture.contains("lost"), "{picture}");
    let (client, server) = (two.file("client.jsonl"), two.file("server.jsonl"));
    assert_eq!(watch(&server, &client), picture, "whichever recording comes first");

    let near = two.changed("server.jsonl", |recording| elsewhere(recording, 0));
    let near = watch(&client, &near);
    let (ahead, off) = difference(clocks(&near));
    assert!(ahead.abs() <= off, "{}", clocks(&near));
    let far = two.changed("server.jsonl", |recording| elsewhere(recording, 3_700_000_000));
    let far = watch(&far, &client);
    let (ahead, off) = difference(clocks(&far));
    assert!((ahead - 3700.0).abs() <= off, "{}", clocks(&far));
    assert_eq!(without_clocks(&far), without_clocks(&near));
    // Nobody believes in one clock against what the segments say.
    let set = two.changed("server.jsonl", |recording| later(recording, 3_700_000_000));
    assert_eq!(watch(&set, &client), far);
}

#[test]
fn two_programs_on_one_machine_have_one_clock() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (here, there) = (file("client.jsonl"), file("server.jsonl"));
    let record = ["--record", there.to_str().unwrap()];
    let arguments = ["127.0.0.1:0", "--once", "--frame", "line"];
    let mut listener = kit::listener::Listener::start(&[&arguments[..], &record].concat());
    let endpoint = listener.address().to_string();
    let record = ["--frame", "line", "--record", here.to_str().unwrap()];
    assert_eq!(fed(&mut connect(&endpoint, &record), "one\ntwo\n").code, Some(0));
    listener.output().wait_for("two");
    assert!(listener.ended().0.success());

    let mut command = sockeye();
    command.args(["watch", "--width", "100"]).args([&there, &here]).env("LC_ALL", "C.UTF-8");
    let (code, picture, stderr) = run(&mut command);
    assert_eq!((code, &*stderr), (Some(0), ""), "{picture}");
    assert_eq!(clocks(&picture), "one clock, both ends ran on one machine");
    assert!(!picture.contains("lost"), "{picture}");
    for shown in [" 2 written\n", " 2 decoded\n", "connect() │", "│ accept()"] {
        assert_eq!(picture.matches(shown).count(), 1, "{shown}: {picture}");
    }
}

#[test]
fn a_segment_that_was_lost_on_its_way_is_shown_so() {
    let name = "a_segment_that_was_lost_on_its_way_is_shown_so";
    let Some(two) = Two::new(name) else { return };
    let listener = two.listens(&["10.9.0.2:7000", "--once", "--frame", "line"]);
    let mut client = Running::start(&mut two.connects(&["10.9.0.2:7000", "--frame", "line"]));
    client.type_in("one\n");
    listener.stdout.wait_for("one");
    two.net.cut_off(1);
    client.type_in("two\n");
    eventually("a segment with it has left", || {
        let seen = fs::read_to_string(two.file("client.jsonl")).unwrap();
        let left = |line: &str| line.contains(r#""kind":"seg""#) && line.contains("[4,8]");
        seen.lines().any(left).then_some(())
    });
    two.net.restore(1);
    listener.stdout.wait_for("two");
    client.end_input();
    client.ended().printed("");
    listener.stop();

    let picture = two.joined();
    let lost = picture.lines().find(|line| line.contains("[4..8) two ")).unwrap();
    assert!(lost.contains("─x   ") && !lost.contains('▶'), "{picture}");
    assert!(picture.contains(" lost on the way\n"), "{picture}");
    assert!(picture.contains("again: "), "{picture}");
    assert!(picture.contains("x lost on its way"), "{picture}");
}

#[test]
fn a_datagram_that_was_lost_on_its_way_is_shown_so() {
    let name = "a_datagram_that_was_lost_on_its_way_is_shown_so";
    let Some(two) = Two::new(name) else { return };
    let listener = two.listens(&["udp://0.0.0.0:7000"]);
    let mut client = Running::start(&mut two.connects(&["udp://10.9.0.2:7000"]));
    client.type_in("one\n");
    listener.stdout.wait_for("one");
    let before = two.net.host(0).datagrams_sent();
    two.net.cut_off(1);
    client.type_in("two\n");
    eventually("it has left", || (two.net.host(0).datagrams_sent() > before).then_some(()));
    two.net.restore(1);
    client.type_in("three\n");
    listener.stdout.wait_for("three");
    client.end_input();
    client.ended().printed("");
    listener.stop();

    let picture = two.joined();
    assert!(picture.contains("3 datagrams, 14 B sent, 2 arrived, 1 lost\n"), "{picture}");
    assert!(picture.contains("├─ 4: two ─x"), "{picture}");
    assert!(picture.contains("├─ 6: three ─┤"), "{picture}");
}

#[test]
fn recordings_that_have_nothing_in_common_are_named() {
    let name = "recordings_that_have_nothing_in_common_are_named";
    let Some(two) = Two::new(name) else { return };
    for run in ["first", "second"] {
        let listener = two.listens(&["10.9.0.2:7000", "--once"]);
        fed(&mut two.connects(&["10.9.0.2:7000"]), "a line\n").printed("");
        listener.stdout.wait_for("a line");
        listener.stop();
        fs::rename(two.file("server.jsonl"), two.file(run)).unwrap();
    }
    let mut command = sockeye();
    command.current_dir(two.folder.path()).args(["watch", "first", "client.jsonl"]);
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
    for file in ["first", "client.jsonl"] {
        let begins = format!("sockeye: {file}: 10.9.0.1:");
        let line = stderr.lines().find(|line| line.starts_with(&begins)).expect(&stderr);
        assert!(line.ends_with(": its other end is not in the other file"), "{line}");
    }
    let last =
        "sockeye: first and client.jsonl have no connection in common; each can be drawn alone";
    assert_eq!(stderr.lines().last(), Some(last));
}
