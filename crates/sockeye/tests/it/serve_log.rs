//! The access log: a line for each request, whoever sends it and whatever becomes of the log.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;

use crate::kit::client::Client;
use crate::kit::eventually;
use crate::kit::folder::sparse;
use crate::kit::server::{Server, run, sockeye};

on_every_driver!(a_download_that_is_cut_is_logged_with_what_was_sent);

/// With what differs each time as `*`.
fn masked(line: &str) -> String {
    let (before, behind) = line.split_once(" [").unwrap();
    let (_, behind) = behind.split_once("] ").unwrap();
    format!("{before} [*] {behind}")
}

#[test]
fn each_request_is_a_line_on_standard_error_those_that_were_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--log", "combined"]);
    let mut client = Client::connect(server.address);
    let agent = "Referer: http://a/\r\nUser-Agent: an \"agent\"\x01\r\n".replace('\x01', "é");
    for _ in 0..3 {
        assert_eq!(client.get_with("/hello", &agent).status, 200);
    }
    assert_eq!(client.get("/nothing?a=b").status, 404);
    client.send("GET /hello HTTP/1.1\r\nHost: test\r\nbad line\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let last = server.stderr.wait_for(" 400 ");
    let said = server.stop();
    let ours = said.lines().filter(|line| !line.starts_with("sockeye: stopping"));
    let lines: Vec<String> = ours.map(masked).collect();
    let known = "127.0.0.1 - - [*] \"GET /hello HTTP/1.1\" 200 6 \"http://a/\" \
                 \"an \\x22agent\\x22\\xC3\\xA9\"";
    let unknown = "127.0.0.1 - - [*] \"GET /nothing?a=b HTTP/1.1\" 404 14 \"-\" \"-\"";
    assert_eq!(lines[..4], [known, known, known, unknown]);
    assert!(lines[4].starts_with("127.0.0.1 - - [*] \"GET /hello HTTP/1.1\" 400 "), "{last}");
    assert_eq!(lines.len(), 5, "{said}");
}

fn a_download_that_is_cut_is_logged_with_what_was_sent(driver: &str) {
    const SIZE: u64 = 100_000_000;
    let folder = tempfile::tempdir().unwrap();
    sparse(&folder.path().join("big"), SIZE);
    let server = Server::start(folder.path(), &["--log", "json", "--driver", driver]);
    let mut client = Client::connect_narrow(server.address);
    client.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.head().0, 200);
    drop(client);
    let line = server.stderr.wait_for("GET /big");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["cut"], true);
    assert_eq!(line["status"], 200);
    let sent = line["sent"].as_u64().unwrap();
    assert!((1..SIZE).contains(&sent), "{line}");
    server.stop();
}

#[test]
fn the_file_is_opened_anew_on_sigusr1() {
    let folder = tempfile::tempdir().unwrap();
    let logs = tempfile::tempdir().unwrap();
    let (file, old) = (logs.path().join("log"), logs.path().join("log.1"));
    let server = Server::start(folder.path(), &["--log-file", file.to_str().unwrap()]);
    let has = |file: &std::path::Path, what: &str| {
        eventually(what, || fs::read_to_string(file).ok()?.contains(what).then_some(()));
    };
    let mut client = Client::connect(server.address);
    client.get("/first");
    has(&file, "GET /first");
    fs::rename(&file, &old).unwrap();
    client.get("/second");
    has(&old, "GET /second");
    server.signal(Signal::USR1);
    eventually("a new file", || file.exists().then_some(()));
    client.get("/third");
    has(&file, "GET /third");
    assert!(!fs::read_to_string(&file).unwrap().contains("/second"));
    drop(client);
    server.stop();
    assert!(fs::read_to_string(&file).unwrap().ends_with('\n'));
}

#[test]
fn a_log_that_nobody_takes_holds_up_nobody_and_what_is_lost_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("sockeye-log-{}", std::process::id());
    // A pipe that is full soon.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = sockeye()
        .arg("serve")
        .arg(folder.path())
        .args(["--port", "0", "--log", "combined", "--threads", "1"])
        .args(["--admin", &format!("unix:@{name}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .unwrap();
    let stdout = crate::kit::said::Said::by(child.stdout.take().unwrap());
    let child = crate::kit::server::Ended(child);
    let ready = stdout.first_line().unwrap();
    let address = ready.rsplit_once("http://").unwrap().1.trim_end_matches('/').parse().unwrap();
    let mut client = Client::connect(address);
    let agent = format!("User-Agent: {}\r\n", "x".repeat(4000));
    for _ in 0..600 {
        assert_eq!(client.get_with("/nothing", &agent).status, 404);
    }
    let metrics = crate::serve_admin::ask_unix(&name, "/metrics");
    let lost = metrics.lines().find_map(|line| line.strip_prefix("sockeye_log_lines_lost_total "));
    assert!(lost.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
    drop((child, reader));
}

#[test]
fn on_a_full_disk_it_says_that_lines_are_lost_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--log-file", "/dev/full"]);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/nothing").status, 404);
    let said = server.stderr.wait_for("sockeye: log: 1 line lost: ");
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(client.get("/nothing").status, 404);
    server.stop();
}

#[test]
fn where_the_eye_draws_there_is_no_log_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (log, lines) in [(&[][..], 0), (&["--log", "common"], 1)] {
        let mut command = sockeye();
        command.arg("serve").arg(folder.path()).args(["--port", "0", "--eye=calls", "--ascii"]);
        // As no test's own words would have it.
        let mut shell = std::process::Command::new("env");
        shell.arg(command.get_program()).args(command.get_args()).args(log);
        let server = Server::of(&mut shell);
        assert_eq!(crate::kit::client::get(server.address, "/nothing").status, 404);
        server.stderr.wait_for("closed first");
        let said = server.stop();
        let count =
            said.lines().filter(|line| line.contains("\"GET /nothing HTTP/1.1\" 404")).count();
        assert_eq!(count, lines, "{said}");
    }
    let (code, _, said) =
        run(sockeye().args(["serve", "--port", "0", "--eye=live", "--log", "json"]));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("write the log elsewhere with --log-file FILE"), "{said}");
}
