//! What was captured goes to a file that other programs read, and what they captured is drawn.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::kit::listener::Listener;
use crate::kit::server::{Program, readable_by_all, run, sockeye};
use crate::kit::{eventually, need, need_root};

const QUESTIONS: [&str; 5] = ["GET a", "PUT bb", "DEL c", "GET dd", "BYE"];

/// Captures a client that asks five questions, each of which comes back.
fn captured(file: &Path) {
    let listener = Listener::start(&["127.0.0.1:0", "--echo", "--once"]);
    let mut client = sockeye();
    client.args(["connect", &listener.endpoints[0], "--frame", "line", "--pcap"]).arg(file);
    for question in QUESTIONS {
        client.args(["--send", question]);
    }
    let (code, answers, said) = run(&mut client);
    assert_eq!((code, &*said), (Some(0), ""));
    assert_eq!(answers.lines().collect::<Vec<_>>(), QUESTIONS);
    listener.ended();
}

/// What tshark says of a file; nothing is wrong with it.
fn tshark(file: &Path, arguments: &[&str]) -> String {
    let mut tshark = Command::new("tshark");
    let output = tshark.arg("-r").arg(file).args(arguments).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    let complaint = complaint.lines().find(|line| !line.starts_with("Running as user"));
    assert_eq!((output.status.code(), complaint), (Some(0), None));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tshark_finds_a_message_by_the_comment_on_its_packets() {
    let name = "tshark_finds_a_message_by_the_comment_on_its_packets";
    if !need_root(name) || !need(name, &["tshark"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.pcapng");
    captured(&file);

    let of_five = ["GET a", "PUT bb", "DEL c", "GET dd", "BYE"];
    let mut start = 0;
    for (index, message) in of_five.iter().enumerate() {
        let end = start + message.len() + 1;
        let comment = format!("message {} of 5, bytes {start}..{end}", index + 1);
        let filter = format!("frame.comment contains \"message {}\"", index + 1);
        let fields = ["-Y", &filter, "-T", "fields", "-e", "tcp.payload", "-e", "frame.comment"];
        let found = tshark(&file, &fields);
        let bytes: String = message.bytes().map(|byte| format!("{byte:02x}")).collect();
        // The question on its way, and back.
        assert!(found.lines().count() >= 2, "{filter}: {found}");
        for line in found.lines() {
            let (payload, comments) = line.split_once('\t').unwrap();
            assert!(payload.contains(&bytes), "{line}");
            assert!(comments.contains(&format!("{comment}: {message}")), "{line}");
        }
        start = end;
    }
    // The states are those of the handshake and the end, each told once.
    let comments = tshark(&file, &["-T", "fields", "-e", "frame.comment"]);
    for change in ["client: CLOSED -> SYN-SENT", "server: SYN-RECEIVED -> ESTABLISHED"] {
        assert_eq!(comments.matches(change).count(), 1, "{comments}");
    }
    assert_eq!(comments.matches("send() = 6 [0..6)").count(), 1, "{comments}");
    let interfaces = tshark(&file, &["-T", "fields", "-e", "frame.interface_name"]);
    assert!(interfaces.lines().all(|name| name == "lo"), "{interfaces}");
}

#[test]
fn what_was_captured_is_drawn_and_followed() {
    let name = "what_was_captured_is_drawn_and_followed";
    if !need_root(name) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.pcapng");
    captured(&file);

    let watch = |arguments: &[&str]| {
        run(sockeye().arg("watch").arg(&file).args(["--ascii", "--width", "100"]).args(arguments))
    };
    let (code, drawn, said) = watch(&[]);
    assert_eq!((code, &*said), (Some(0), ""));
    assert!(drawn.contains("client -> server  30 B\n"), "{drawn}");
    assert!(drawn.contains("30 B from the client, 30 B from the server"), "{drawn}");
    assert!(!drawn.contains("(here)"), "neither end is ours: {drawn}");
    assert_eq!(watch(&["--connection", "0"]).1, drawn);

    let question = QUESTIONS.map(|question| format!("{question}\n")).concat();
    for side in ["0:client", "0:server"] {
        assert_eq!(watch(&["--follow", side]), (Some(0), question.clone(), String::new()));
    }
    let both = watch(&["--follow", "0"]).1;
    assert_eq!(both.len(), 60, "{both}");

    for choice in ["--connection", "--follow"] {
        let (code, out, said) = watch(&[choice, "3"]);
        assert_eq!((code, &*out), (Some(1), ""));
        assert!(said.ends_with(": there is no connection 3: one connection, number 0\n"), "{said}");
    }
}

#[test]
fn of_many_connections_each_has_a_line() {
    let name = "of_many_connections_each_has_a_line";
    if !need_root(name) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.pcapng");
    let path = file.to_str().unwrap();
    let listener = Listener::start(&["127.0.0.1:0", "--echo", "--pcap", path]);
    for _ in 0..7 {
        let mut client = listener.connect();
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
    }
    assert_eq!(listener.stop(), "");
    let (code, list, said) = run(sockeye().arg("watch").arg(&file));
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 7, "{list}");
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("{number:>5}  C")), "{line}");
        assert!(line.contains("5 B from the client, 5 B from the server"), "{line}");
    }
    let hint = "7 connections, numbers 0 to 6; --connection NUMBER draws one\n";
    assert!(said.ends_with(hint), "{said}");
    // A width that is asked for is kept to.
    let (code, folded, _) = run(sockeye().args(["watch", "--ascii", "--width", "60"]).arg(&file));
    assert_eq!(code, Some(0));
    assert!(folded.is_ascii() && folded.lines().all(|line| line.len() <= 60), "{folded}");
    assert!(folded.lines().count() > 7, "{folded}");
    let words = |text: &str| text.replace('·', "-").split_whitespace().collect::<String>();
    assert_eq!(words(&folded), words(&list));
}

#[test]
fn a_program_that_is_killed_leaves_a_file_that_tshark_reads_to_its_end() {
    let name = "a_program_that_is_killed_leaves_a_file_that_tshark_reads_to_its_end";
    if !need_root(name) || !need(name, &["tshark"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.pcapng");
    let path = file.to_str().unwrap();
    let listener = Listener::start(&["127.0.0.1:0", "--echo", "--pcap", path]);
    // Open still: its packets are held back for a time, and then written though nothing comes.
    let mut client = listener.connect();
    let calls = ["recv() = 5 [0..5)", "recv() = 6 [5..11)"];
    for (said, call) in [&b"hello"[..], b" again"].into_iter().zip(calls) {
        client.write_all(said).unwrap();
        client.read_exact(&mut [0; 6][..said.len()]).unwrap();
        eventually(&format!("{call} in the file"), || {
            let written = fs::read(&file).unwrap();
            written.windows(call.len()).any(|window| window == call.as_bytes()).then_some(())
        });
    }
    listener.signal(Signal::KILL);
    listener.ended();
    let comments = tshark(&file, &["-T", "fields", "-e", "frame.comment"]);
    assert!(calls.iter().all(|call| comments.contains(call)), "{comments}");
}

#[test]
fn without_the_capability_no_file_is_made_and_the_way_to_it_is_named() {
    let name = "without_the_capability_no_file_is_made_and_the_way_to_it_is_named";
    if !need_root(name) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    readable_by_all(folder.path());
    let file = folder.path().join("out.pcapng");
    let program = Program::copy();
    let mut command = program.by_nobody();
    command.args(["connect", "127.0.0.1:9", "--pcap"]).arg(&file).stdin(Stdio::null());
    let (code, out, said) = run(&mut command);
    assert_eq!((code, &*out), (Some(1), ""));
    let expected = format!(
        "sockeye: --pcap {}: no packet capture (CAP_NET_RAW is missing); sudo setcap cap_net_raw+ep \
         {}, or run with sudo\n",
        file.display(),
        program.path()
    );
    assert_eq!(said, expected);
    assert!(!file.exists());
}

#[test]
fn where_there_are_no_packets_none_are_promised() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.pcapng");
    for (arguments, told) in [
        (&["unix:@pcap-of-nobody"][..], "packets of TCP and UDP are captured"),
        (&["127.0.0.1:9", "--eye=calls"], "there are no packets with --eye=calls"),
    ] {
        let mut command = sockeye();
        command.arg("connect").args(arguments).arg("--pcap").arg(&file).stdin(Stdio::null());
        let (code, out, said) = run(&mut command);
        assert_eq!((code, &*out), (Some(1), ""), "{said}");
        assert!(said.contains(told), "{said}");
    }
    assert!(!file.exists());
}

#[test]
fn what_is_no_capture_has_no_connections_to_choose_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    fs::write(&file, "no capture\n").unwrap();
    let (code, out, said) = run(sockeye().arg("watch").arg(&file).args(["--follow", "0"]));
    assert_eq!((code, &*out), (Some(1), ""));
    assert!(said.contains("not a capture (pcap or pcapng)"), "{said}");
}
