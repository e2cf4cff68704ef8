//! Both ends of one conversation, each with its own eye: what one wrote is what the other decoded,
//! on the same bytes.

use std::io::Write as _;
use std::process::Command;

use crate::kit::listener::Listener;
use crate::kit::need_root;
use crate::kit::server::{Program, run, sockeye};

/// What the client sends, and what the listener answers.
const QUESTIONS: [&str; 5] = ["GET a", "PUT bb", "DEL c", "GET dd", "BYE"];
const ANSWERS: &[u8] = b"OK a\nOK bb\n";

/// What the two eyes drew of one conversation.
struct Drawn {
    listen: String,
    connect: String,
}

impl Drawn {
    /// Has two programs talk in lines over this endpoint.
    fn talk(endpoint: &str, program: impl Fn() -> Command) -> Drawn {
        let look = ["--frame", "line", "--eye", "--ascii", "--width", "100"];
        let arguments = [&[endpoint, "--once"][..], &look].concat();
        let mut command = program();
        command.arg("listen").args(&arguments).stdin(std::process::Stdio::piped());
        let mut listener = Listener::of(&mut command, &[endpoint]);
        listener.stdin.take().unwrap().write_all(ANSWERS).unwrap();
        let mut command = program();
        command.arg("connect").arg(&listener.endpoints[0]).args(look);
        for question in QUESTIONS {
            command.args(["--send", question]);
        }
        let (code, answers, connect) = run(&mut command);
        assert_eq!((code, &*answers), (Some(0), "OK a\nOK bb\n"), "{connect}");
        let (status, listen) = listener.ended();
        assert_eq!(status.code(), Some(0), "{listen}");
        Drawn { listen, connect }
    }

    /// The bars of the rows of this name, the client's stream first: as `drawn` shows them.
    fn bars(drawn: &str, row: &str) -> Vec<String> {
        let rows = drawn.lines().filter(|line| line.trim_start().starts_with(row));
        rows.map(|line| {
            let (first, last) = (line.find('|').unwrap(), line.rfind('|').unwrap());
            line[first..=last].to_owned()
        })
        .collect()
    }

    /// The same messages on the same bytes at both ends.
    fn agrees(&self) {
        let Drawn { listen, connect } = self;
        let bars = [listen, connect].map(|drawn| Drawn::bars(drawn, "message "));
        assert_eq!(bars[0], bars[1], "{listen}{connect}");
        let [there, back] = &bars[0][..] else { panic!("{listen}{connect}") };
        for question in QUESTIONS {
            assert!(there.contains(&format!(" {question} ")), "{question}: {there}");
        }
        assert!(back.contains(" OK a ") && back.contains(" OK bb "), "{back}");
        for (drawn, told) in
            [(listen, ["5 decoded", "2 written"]), (connect, ["5 written", "2 decoded"])]
        {
            for told in told {
                assert_eq!(drawn.matches(told).count(), 1, "{told}: {drawn}");
            }
            let whole = drawn.contains("\n  CIF  ") || drawn.contains("\n  SIF  ");
            assert!(whole, "every message was, and the end in peace: {drawn}");
        }
    }
}

#[test]
fn both_ends_of_tcp_show_the_same_messages_and_segments() {
    if !need_root("both_ends_of_tcp_show_the_same_messages_and_segments") {
        return;
    }
    let drawn = Drawn::talk("tcp://127.0.0.1:0", sockeye);
    drawn.agrees();
    let bars = [&drawn.listen, &drawn.connect].map(|drawn| Drawn::bars(drawn, "segment "));
    assert_eq!(bars[0].len(), 2, "{}", drawn.listen);
    assert_eq!(bars[0], bars[1], "{}{}", drawn.listen, drawn.connect);
    // Either may be the first to have said all it has to say.
    let first = |listen: &str, connect: &str| {
        drawn.listen.contains(&format!("  {listen} closed first, gracefully"))
            && drawn.connect.contains(&format!("  {connect} closed first, gracefully"))
    };
    let agreed = first("the client", "we") || first("we", "the server");
    assert!(agreed, "{}{}", drawn.listen, drawn.connect);
    // Small messages that are sent one by one.
    let sent = drawn.connect.lines().find(|line| line.trim_start().starts_with("send() "));
    assert!(sent.unwrap().contains("5 calls"), "{}", drawn.connect);
}

#[test]
fn both_ends_of_tcp_show_the_same_messages_to_nobody() {
    if !need_root("both_ends_of_tcp_show_the_same_messages_to_nobody") {
        return;
    }
    let program = Program::copy();
    let drawn = Drawn::talk("tcp://127.0.0.1:0", || program.by_nobody());
    drawn.agrees();
    for text in [&drawn.listen, &drawn.connect] {
        assert_eq!(text.matches("CAP_NET_RAW is missing").count(), 1, "{text}");
        assert!(Drawn::bars(text, "segment ").is_empty(), "{text}");
    }
}

#[test]
fn both_ends_of_unix_streams_and_sequenced_packets_show_the_same_messages() {
    for scheme in ["unix", "unix-seqpacket"] {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = format!("{scheme}:{}", folder.path().join("socket").to_str().unwrap());
        let drawn = Drawn::talk(&endpoint, sockeye);
        drawn.agrees();
        for text in [&drawn.listen, &drawn.connect] {
            assert!(!text.contains("CAP_NET_RAW"), "there are no packets to see: {text}");
        }
    }
}

#[test]
fn both_ends_of_udp_show_the_same_datagrams() {
    let program = rustix::process::geteuid().is_root().then(Program::copy);
    let drawn = Drawn::talk("udp://127.0.0.1:0", || match &program {
        Some(program) => program.by_nobody(),
        None => sockeye(),
    });
    for text in [&drawn.listen, &drawn.connect] {
        for (question, length) in QUESTIONS.into_iter().zip([6, 7, 6, 7, 4]) {
            assert!(text.contains(&format!("|- {length}: {question} -|")), "{question}: {text}");
        }
        for answer in ["|- 5: OK a -|", "|- 6: OK bb -|"] {
            assert!(text.contains(answer), "{answer}: {text}");
        }
        assert!(!text.contains("CAP_NET_RAW"), "nothing is missing of datagrams: {text}");
    }
    assert!(drawn.listen.contains("5 datagrams, 30 B in - 2 datagrams, 11 B out"));
    assert!(drawn.connect.contains("2 datagrams, 11 B in - 5 datagrams, 30 B out"));
}
