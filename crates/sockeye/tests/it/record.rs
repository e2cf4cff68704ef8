//! `--record` and `sockeye watch`: what was recorded is drawn again as it was.

use std::any::Any;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::sockopt;
use rustix::process::Signal;

use crate::kit::client::{self, Client};
use crate::kit::listener::Listener;
use crate::kit::server::{Server, run, sockeye};
use crate::kit::talk::{connect, fed, free_port};
use crate::kit::{eventually, need, need_root, skip};

on_every_driver!(
    a_server_is_drawn_again_byte_for_byte,
    a_conversation_is_drawn_again_at_both_ends,
    a_recording_can_be_followed_while_a_connection_is_open,
);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `sockeye watch` draws, which must go well and say nothing.
fn watched(file: &Path, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(sockeye().arg("watch").arg(file).args(arguments));
    assert_eq!((code, &*stderr), (Some(0), ""), "{stdout}");
    stdout
}

/// The pictures alone of what was said on standard error.
fn pictures(said: &str) -> String {
    let others = ["eye: ", "listening on ", "sockeye: "];
    let lines = said.lines().filter(|line| !others.iter().any(|other| line.starts_with(other)));
    lines.map(|line| format!("{line}\n")).collect()
}

fn a_server_is_drawn_again_byte_for_byte(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), vec![b'a'; 1234]).unwrap();
    fs::write(folder.path().join("large"), vec![b'b'; 300_000]).unwrap();
    let file = folder.path().join("seen.jsonl");
    let look = ["--driver", driver, "--eye", "--width", "90", "--record", text(&file)];
    let server = Server::start(folder.path(), &look);

    // Kept alive; in midstream a file that does not fit a segment.
    let mut kept = Client::connect(server.address);
    for target in ["/small", "/large", "/nothing", "/small"] {
        kept.get(target);
    }
    drop(kept);
    // Half-closed by the client.
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    half.read_to_end(&mut Vec::new()).unwrap();
    // Reset by the client before a head was whole.
    let mut reset = TcpStream::connect(server.address).unwrap();
    reset.write_all(b"GET /sm\x1b[2J").unwrap();
    let drawn = |many: usize| {
        let titles = |said: &str| said.matches("══ connection ").count();
        server.stderr.wait("what ended", |said| (titles(said) >= many).then_some(()));
    };
    drawn(2);
    sockopt::set_socket_linger(&reset, Some(Duration::ZERO)).unwrap();
    drop(reset);
    drawn(3);

    let live = pictures(&server.stop());
    assert_eq!(live.matches("══ connection ").count(), 3, "{live}");
    assert_eq!(watched(&file, &["--width", "90"]), live);
}

fn a_conversation_is_drawn_again_at_both_ends(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let stream = format!("unix://{}", text(&folder.path().join("stream")));
    for endpoint in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", &stream] {
        let [there, here] = ["there.jsonl", "here.jsonl"].map(|name| folder.path().join(name));
        let look = ["--driver", driver, "--eye", "--width", "80"];
        let arguments = [&[endpoint, "--echo"], &look[..], &["--record", text(&there)]].concat();
        let listener = Listener::start(&arguments);
        let to = listener.endpoints[0].clone();
        let ask = ["--send", "one", "--expect", "one", "--record", text(&here)];
        let outcome = fed(&mut connect(&to, &[&look[..], &ask].concat()), "");
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let said = listener.stop();
        for (said, file) in [(said, &there), (outcome.stderr, &here)] {
            let live = pictures(&said);
            assert!(live.contains("══ "), "{endpoint}: {said}");
            assert_eq!(watched(file, &["--width", "80"]), live, "{endpoint}");
        }
    }
}

#[test]
fn without_the_eye_nothing_is_drawn_and_the_same_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), "hello").unwrap();
    let file = folder.path().join("seen.jsonl");
    fs::write(&file, "what was in it is gone\n").unwrap();
    let server = Server::start(folder.path(), &["--record", text(&file)]);
    // More than are drawn, or told of, in so short a time.
    for _ in 0..300 {
        assert_eq!(client::get(server.address, "/small").text(), "hello");
    }
    let said = server.stop();
    assert_eq!(pictures(&said), "");
    assert!(!said.contains("not drawn"), "{said}");
    let drawn = watched(&file, &["--ascii", "--width", "40"]);
    assert_eq!(drawn.matches("== connection ").count(), 300);
    assert!(drawn.is_ascii());
}

fn a_recording_can_be_followed_while_a_connection_is_open(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.jsonl");
    let look = ["127.0.0.1:0", "--echo", "--driver", driver, "--record", text(&file)];
    let listener = Listener::start(&look);
    let mut client = listener.connect();
    for round in 1..=3 {
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        eventually(&format!("calls of round {round} in the file"), || {
            let written = fs::read_to_string(&file).unwrap();
            let calls = written.lines().filter(|line| line.contains(r#""op":"recv""#));
            let received = calls.filter(|line| line.contains(r#""returned":5"#)).count();
            (received >= round).then_some(())
        });
    }
    listener.stop();
}

#[test]
fn a_recording_is_whole_lines_whenever_its_program_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.jsonl");
    let server = Server::start(folder.path(), &["--record", text(&file)]);
    let mut open = Client::connect(server.address);
    open.get("/");
    client::get(server.address, "/");
    // The eye writes once it has nothing else to do.
    eventually("the end of a connection in the file", || {
        fs::read_to_string(&file).unwrap().contains(r#""kind":"end""#).then_some(())
    });
    server.signal(Signal::KILL);
    server.ended();
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.ends_with("}\n"), "{written}");
    let (code, drawn, said) = run(sockeye().arg("watch").arg(&file));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(drawn.matches("══ connection ").count(), 2, "the open one too: {drawn}");
    let name = text(&file);
    let expected = format!(
        "sockeye: {name}: the recording has no end: its program was killed, or runs still\n"
    );
    assert_eq!(said, expected);

    // Cut within a line it is drawn all the same.
    fs::write(&file, &written[..written.len() - 9]).unwrap();
    let (code, _, said) = run(sockeye().arg("watch").arg(&file));
    assert_eq!(code, Some(0), "{said}");
    let line = written.lines().count();
    let expected =
        format!("sockeye: {name}: line {line} is cut short; what came before it is drawn\n");
    assert_eq!(said, expected);
}

#[test]
fn a_full_disk_is_said_once_and_the_server_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), "hello").unwrap();
    let server = Server::start(folder.path(), &["--record", "/dev/full"]);
    for _ in 0..3 {
        assert_eq!(client::get(server.address, "/small").text(), "hello");
    }
    let told = "eye: /dev/full: No space left on device (os error 28); nothing more is recorded, \
                all else goes on";
    server.stderr.wait_for(told);
    assert_eq!(client::get(server.address, "/small").text(), "hello");
    let said = server.stop();
    assert_eq!(said.matches("/dev/full").count(), 1, "{said}");
}

#[test]
fn a_file_that_cant_be_written_is_told_before_anything_begins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none/seen.jsonl");
    let (code, stdout, stderr) =
        run(sockeye().args(["serve", "--port", "0", "--record", text(&file)]));
    assert_eq!((code, &*stdout), (Some(1), ""));
    let expected = format!(
        "sockeye: --record {}: can't be written: No such file or directory (os error 2)\n",
        text(&file)
    );
    assert_eq!(stderr, expected);
    let (code, _, stderr) = run(sockeye().args(["serve", "--record", "-"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("standard output is for what the command itself has to say"));
}

#[test]
fn what_is_no_recording_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a\x1b[2J");
    let name = format!("{}/a\\x1b[2J", text(folder.path()));
    let header = r#"{"format":"sockeye-records","version":1,"program":"p","epoch":1,"at":0,"clock":"CLOCK_REALTIME","sources":[]}"#;
    let no_recording = "not a recording: its first line is no header of sockeye-records";
    for (content, said) in [
        (
            "hello\n",
            "neither a recording, as --record makes them, nor a capture (pcap or pcapng)"
                .to_owned(),
        ),
        (
            "",
            "neither a recording, as --record makes them, nor a capture (pcap or pcapng)"
                .to_owned(),
        ),
        ("{}\n", no_recording.to_owned()),
        (
            r#"{"format":"sockeye-records","version":7}"#,
            "version 7 of sockeye-records is newer than what this program reads (1); \
             a newer sockeye draws it"
                .to_owned(),
        ),
        (&format!("{header}\n{{\"kind\":\"over\"}}\n"), "line 2: missing field `conn`".to_owned()),
    ] {
        fs::write(&file, content).unwrap();
        let (code, stdout, stderr) = run(sockeye().arg("watch").arg(&file));
        assert_eq!(stderr, format!("sockeye: {name}: {said}\n"));
        assert_eq!((code, &*stdout), (Some(1), ""));
    }
    fs::write(&file, format!("{header}\n{{\"kind\":\"finish\",\"at\":1}}\n")).unwrap();
    let (code, stdout, stderr) = run(sockeye().arg("watch").arg(&file));
    let expected = format!("sockeye: {name}: nothing in it that could be drawn\n");
    assert_eq!((code, &*stdout, stderr), (Some(0), "", expected));
    let (code, _, stderr) = run(sockeye().args(["watch", "/nowhere"]));
    let expected = "sockeye: /nowhere: No such file or directory (os error 2)\n";
    assert_eq!((code, &*stderr), (Some(1), expected));
}

#[test]
fn a_recording_comes_from_a_pipe_and_goes_into_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.jsonl");
    let server = Server::start(folder.path(), &["--record", text(&file)]);
    for _ in 0..3 {
        client::get(server.address, "/");
    }
    server.stop();
    let recorded = fs::read(&file).unwrap();
    let outcome = fed(sockeye().args(["watch", "-"]), recorded);
    outcome.printed(watched(&file, &[]));

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command: Command = sockeye();
    let output = command.arg("watch").arg(&file).stdin(Stdio::null()).stdout(writer).output();
    let output = output.unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

/// Holds each line of files against a schema to which nothing may be added, and tells the kinds in it.
const VALIDATE: &str = r#"
import json, sys, jsonschema
def closed(node):
    for part in node.values() if isinstance(node, dict) else node:
        if isinstance(part, (dict, list)): closed(part)
    if isinstance(node, dict) and "required" in node and "$ref" not in node and "allOf" not in node:
        if node.get("type") == "object": node["additionalProperties"] = False
schema = json.load(open(sys.argv[1]))
closed(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    for line in open(name):
        record = json.loads(line)
        for error in validator.iter_errors(record):
            sys.exit(f"{error.message}: {line}")
        print(record.get("kind", "header"))
"#;

#[test]
fn recordings_are_as_the_schema_has_them_and_its_page_names_every_field() {
    let test = "recordings_are_as_the_schema_has_them_and_its_page_names_every_field";
    if !need_root(test) || !need(test, &["python3"]) {
        return;
    }
    // Debian's Python, not one that may stand before it.
    let python = ["/usr/bin/python3", "python3"]
        .into_iter()
        .find(|python| run(Command::new(python).args(["-c", "import jsonschema"])).0 == Some(0));
    let Some(python) = python else { return skip(test, "python3-jsonschema is missing") };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let schema = docs.join("records.schema.json");

    let folder = tempfile::tempdir().unwrap();
    let files = ["there", "here", "udp-there", "udp-here", "refused"]
        .map(|name| folder.path().join(format!("{name}.jsonl")));
    let [there, here, udp_there, udp_here, refused] = &files;
    for (endpoint, there, here) in
        [("tcp://127.0.0.1:0", there, here), ("udp://127.0.0.1:0", udp_there, udp_here)]
    {
        let listener = Listener::start(&[endpoint, "--echo", "--record", text(there)]);
        let ask = ["--send", "one", "--expect", "one", "--eye=stamps", "--record", text(here)];
        let outcome = fed(&mut connect(&listener.endpoints[0], &ask), "");
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        listener.stop();
    }
    let nobody = format!("udp://127.0.0.1:{}", free_port());
    fed(
        &mut connect(&nobody, &["--send", "x", "--close-after", "50ms", "--record", text(refused)]),
        "",
    );

    let mut command = Command::new(python);
    let (code, kinds, said) = run(command.args(["-c", VALIDATE]).arg(&schema).args(&files));
    assert_eq!((code, &*said), (Some(0), ""));
    for kind in [
        "header", "listen", "conn", "open", "call", "msg", "seg", "state", "stamp", "kernel",
        "close", "over", "end", "socket", "dgram", "finish",
    ] {
        assert!(kinds.lines().any(|line| line == kind), "{kind}: {kinds}");
    }

    let page = fs::read_to_string(docs.join("records.md")).unwrap();
    let schema: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&schema).unwrap()).unwrap();
    let mut names = Vec::new();
    names_in(&schema["$defs"], &mut names);
    assert!(names.len() > 100, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
    }
}

/// The properties of all objects, and all that is one of several words.
fn names_in(schema: &serde_json::Value, names: &mut Vec<String>) {
    let Some(parts) = schema.as_object() else { return };
    for (name, part) in parts {
        // The states are those of the RFC, which the page refers to.
        if name == "tcp-state" {
            continue;
        }
        match (&**name, part) {
            ("properties", part) => names.extend(part.as_object().unwrap().keys().cloned()),
            ("enum", part) => {
                let words = part.as_array().unwrap().iter().filter_map(|word| word.as_str());
                names.extend(words.map(str::to_owned));
            }
            _ => {}
        }
        names_in(part, names);
    }
}

/// timeout(1) sends its signal to the program and then to the program's group.
#[test]
fn a_signal_that_comes_twice_leaves_a_recording_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.jsonl");
    for endpoint in ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"] {
        for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130)] {
            // Where the machine stood still in between, the second one was meant.
            loop {
                let mut listener = Listener::start(&[endpoint, "--record", text(&file)]);
                let client: Box<dyn Any> = if endpoint.starts_with("udp") {
                    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                    client.send_to(b"hello\n", listener.address()).unwrap();
                    Box::new(client)
                } else {
                    let mut client = listener.connect();
                    client.write_all(b"hello\n").unwrap();
                    Box::new(client)
                };
                listener.output().wait_for("hello");
                let took = listener.signal_twice(signal);
                let (status, said) = listener.ended();
                drop(client);
                if took > Duration::from_millis(100) {
                    continue;
                }
                assert_eq!(status.code(), Some(code), "{endpoint}: {said}");
                let seen = fs::read_to_string(&file).unwrap();
                assert!(seen.contains(r#""range":["#), "what was received: {seen}");
                let last = seen.lines().last().unwrap();
                assert!(last.contains(r#""kind":"finish""#), "{endpoint}: {signal:?}: {seen}");
                break;
            }
        }
    }
}

#[test]
fn two_writers_of_one_file_are_refused_and_what_is_in_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let seen = at("seen");
    fs::write(&seen, "kept\n").unwrap();
    std::os::unix::fs::symlink("seen", at("link")).unwrap();
    let dotted = folder.path().join(".").join("seen");
    for other in [at("seen"), at("link"), dotted] {
        for command in [&["serve", "--port", "0"][..], &["watch", ":9"]] {
            let both = ["--record", text(&other), "--pcap", text(&seen)];
            let (code, _, stderr) = run(sockeye().args(command).args(both));
            assert_eq!(code, Some(2), "{stderr}");
            let says = format!(
                "--record {} and --pcap {}: the same file; each needs one of its own",
                text(&other),
                text(&seen)
            );
            assert!(stderr.contains(&says), "{stderr}");
            let usage = format!("Usage: sockeye {} ", command[0]);
            assert!(stderr.contains(&usage), "its own usage: {stderr}");
            assert_eq!(fs::read_to_string(at("seen")).unwrap(), "kept\n");
        }
    }
    // Where standard output leads, too.
    let out = fs::File::options().append(true).open(at("seen")).unwrap();
    let mut command = sockeye();
    command.args(["serve", "--port", "0", "--record", "/dev/stdout"]).stdout(out);
    let told = command.stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--record /dev/stdout and standard output: the same file"), "{stderr}");
    assert_eq!(fs::read_to_string(at("seen")).unwrap(), "kept\n");
}

#[test]
fn an_endpoint_without_its_port_is_told_from_a_file() {
    for what in ["127.0.0.1", "localhost"] {
        let (code, _, stderr) = run(sockeye().args(["watch", what, "--for", "1s"]));
        assert_eq!(code, Some(2), "{stderr}");
        let says =
            format!("{what}: no such file, and as an endpoint it lacks its port: {what}:PORT");
        assert!(stderr.contains(&says) && stderr.contains("Usage: sockeye watch "), "{stderr}");
    }
}

#[test]
fn of_two_recordings_the_same_one_is_told_and_what_came_before_a_bad_line_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let [there, here] = ["there.jsonl", "here.jsonl"].map(|name| folder.path().join(name));
    let listener = Listener::start(&["tcp://127.0.0.1:0", "--echo", "--record", text(&there)]);
    let ask = ["--send", "one", "--expect", "one", "--record", text(&here)];
    let outcome = fed(&mut connect(&listener.endpoints[0].clone(), &ask), "");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    listener.stop();

    let (code, stdout, stderr) = run(sockeye().arg("watch").args([&here, &here]));
    assert_eq!((code, &*stdout), (Some(1), ""));
    assert_eq!(stderr.matches("are the same recording twice").count(), 1, "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");

    let (code, drawn, stderr) = run(sockeye().arg("watch").args([&here, &there]));
    assert_eq!((code, &*stderr), (Some(0), ""));
    let mut recorded = fs::read_to_string(&here).unwrap();
    let lines = recorded.lines().count();
    for (bad, why) in
        [("{\"kind\":\"over\"}", "missing field `conn`"), (&"x".repeat(1 << 17), "longer")]
    {
        let end = recorded.len();
        recorded.push_str(bad);
        recorded.push('\n');
        fs::write(&here, &recorded).unwrap();
        recorded.truncate(end);
        let (code, stdout, stderr) = run(sockeye().arg("watch").args([&here, &there]));
        assert_eq!((code, &stdout), (Some(1), &drawn), "{stderr}");
        let names = stderr.contains(&format!("here.jsonl: line {}", lines + 1));
        assert!(names && stderr.contains(why), "{stderr}");
    }
}
