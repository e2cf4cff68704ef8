//! What can't be done is said in one line that names what it is about and the way out.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::kit::client::{Client, get};
use crate::kit::server::{Ended, Program, Server, readable_by_all, run, sockeye};
use crate::kit::{eventually, need_root, skip};

on_every_driver!(
    a_folder_that_vanishes_is_503_until_it_is_back,
    a_file_that_may_not_be_read_is_403,
    a_closed_standard_output_stops_nobody,
);

/// Runs it in the folder; it must fail with this status, print nothing, and say exactly this.
#[track_caller]
fn fails(folder: &Path, arguments: &[&str], status: i32, said: &str) {
    let (code, stdout, stderr) = run(sockeye().current_dir(folder).args(arguments));
    assert_eq!(stderr, said);
    assert_eq!((code, &*stdout), (Some(status), ""));
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let said = "sockeye: site/new: no such folder (give a folder that exists, or create it: mkdir \
        -p)\n";
    fails(folder.path(), &["serve", "site/new"], 1, said);
}

#[test]
fn a_file_for_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.html"), "").unwrap();
    let said = "sockeye: page.html: not a folder (to serve one file, serve the folder it is in)\n";
    fails(folder.path(), &["serve", "page.html"], 1, said);
    fails(folder.path(), &["serve", "page.html/x"], 1, &said.replace("html", "html/x"));
}

#[test]
fn a_folder_that_may_not_be_read() {
    if !need_root("a_folder_that_may_not_be_read") {
        return;
    }
    let program = Program::copy();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let (code, stdout, stderr) = run(program.by_nobody().arg("serve").arg(folder.path()));
    let path = folder.path().display();
    let said = format!("sockeye: {path}: can't be opened: Permission denied (os error 13)\n");
    assert_eq!(stderr, said);
    assert_eq!((code, &*stdout), (Some(1), ""));
}

#[test]
fn a_name_that_would_upset_the_terminal_is_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) =
        run(sockeye().current_dir(&folder).args(["serve", "a\x1b[2Jb\u{202e}c"]));
    assert_eq!(code, Some(1));
    assert!(!stderr.contains(['\x1b', '\u{202e}']), "{stderr:?}");
    assert!(stderr.starts_with("sockeye: a\\x1b[2Jb"), "{stderr:?}");
}

#[test]
fn a_port_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = format!(
        "sockeye: tcp://127.0.0.1:{port}: bind: address already in use ({}, pid {}, has it; stop it, \
         or try port 0 for a free one)\n",
        fs::read_to_string("/proc/self/comm").unwrap().trim_end(),
        std::process::id()
    );
    fails(folder.path(), &["serve", "--port", &port], 1, &said);
    let listen = format!("127.0.0.1:{port}");
    fails(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--listen", &listen], 1, &said);
}

#[test]
fn a_port_that_another_of_ours_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let port = server.address.port().to_string();
    let (code, stdout, stderr) = run(sockeye().arg("serve").arg(folder.path()).args(["-p", &port]));
    assert!(stderr.contains("bind: address already in use"), "{stderr}");
    assert_eq!((code, &*stdout), (Some(1), ""));
    server.stop();
}

#[test]
fn a_port_that_takes_a_privilege() {
    const TEST: &str = "a_port_that_takes_a_privilege";
    if !need_root(TEST) {
        return;
    }
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() < 1024 {
        return skip(TEST, "here every port is for everybody (ip_unprivileged_port_start)");
    }
    let program = Program::copy();
    let folder = tempfile::tempdir().unwrap();
    readable_by_all(folder.path());
    for (port, instead) in [("80", "8080"), ("443", "8443"), ("7", "8000")] {
        let mut command = program.by_nobody();
        let (code, stdout, stderr) =
            run(command.arg("serve").arg(folder.path()).args(["--port", port]));
        let said = format!(
            "sockeye: tcp://127.0.0.1:{port}: bind: permission denied (ports below 1024 need \
             CAP_NET_BIND_SERVICE; try port {instead})\n"
        );
        assert_eq!(stderr, said);
        assert_eq!((code, &*stdout), (Some(1), ""));
    }
}

#[test]
fn an_address_of_another_machine() {
    let folder = tempfile::tempdir().unwrap();
    let said = "sockeye: tcp://203.0.113.1:0: bind: cannot assign requested address (no interface \
        of this machine has this address; see: ip addr)\n";
    fails(folder.path(), &["serve", "--listen", "tcp://203.0.113.1:0"], 1, said);
}

#[test]
fn a_host_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let listen = ["serve", "--listen", "no-such-host.invalid:8000"];
    let (code, stdout, stderr) = run(sockeye().arg("serve").arg(folder.path()).args(&listen[1..]));
    assert!(stderr.starts_with("sockeye: tcp://no-such-host.invalid:8000: resolve: "), "{stderr}");
    let way_out = " (write an address, or check: getent hosts no-such-host.invalid)\n";
    assert!(stderr.ends_with(way_out), "{stderr}");
    assert_eq!((code, &*stdout, stderr.lines().count()), (Some(1), "", 1));
}

#[test]
fn endpoints_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let brackets = "write tcp://HOST:PORT, an IPv6 address in brackets";
    for (endpoint, cause, way_out, gap, carets) in [
        (
            "tls://h:1",
            "tls:// is not there yet, it comes later",
            "write tcp:// to talk without TLS",
            0,
            3,
        ),
        ("tcp://127.0.0.1", "a port is missing at its end", brackets, 15, 1),
        ("127.0.0.1:65536", "65536 is no port (0 to 65535)", brackets, 10, 5),
        ("[::1", "a ] is missing", brackets, 4, 1),
        ("::1:80", "more than one colon", brackets, 0, 4),
        ("a b:1", "no host name has this character", brackets, 1, 1),
    ] {
        let (gap, carets) = (" ".repeat(gap), "^".repeat(carets));
        let said = format!(
            "error: invalid value '{endpoint}' for '--listen <ENDPOINT>': {cause}; {way_out}\n\
             {endpoint}\n{gap}{carets} {cause}\n\n\
             For more information, try '--help'.\n"
        );
        fails(folder.path(), &["serve", "--listen", endpoint], 2, &said);
    }
    let said = "sockeye: udp://127.0.0.1:1: listen: a server of connections can't listen there; write \
                tcp://HOST:PORT or unix:///PATH\n";
    fails(folder.path(), &["serve", "--listen", "udp://127.0.0.1:1"], 1, said);
}

#[test]
fn settings_that_make_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let help = "\n\nFor more information, try '--help'.\n";
    for (setting, value, why) in [
        ("--port <N>", "65536", ": 65536 is not in 0..=65535"),
        (
            "--driver <NAME>",
            "kqueue",
            "\n  [possible values: blocking, busy, select, poll, epoll, epoll-edge, uring]",
        ),
        ("--threads <N>", "0", ": 0 is not in 1..=1024"),
        ("--width <COLUMNS>", "39", ": 39 is not in 40..=240"),
        ("--grace <TIME>", "0s", ": more than no time is needed"),
        (
            "--head-timeout <TIME>",
            "5",
            ": time unit needed, for example 5sec or 5ms (write it as 500ms, 15s or 2m)",
        ),
    ] {
        let said = format!("error: invalid value '{value}' for '{setting}'{why}{help}");
        let name = setting.split(' ').next().unwrap();
        fails(folder.path(), &["serve", name, value], 2, &said);
    }
    let said = format!(
        "error: the argument '--port <N>' cannot be used with '--listen <ENDPOINT>'\n\n\
         Usage: sockeye serve --port <N> <DIR>{help}"
    );
    fails(folder.path(), &["serve", ".", "--port", "0", "--listen", "127.0.0.1:0"], 2, &said);
}

fn a_folder_that_vanishes_is_503_until_it_is_back(driver: &str) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("site");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("hello"), "first\n").unwrap();
    let server = Server::start(&folder, &["--driver", driver]);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/hello").text(), "first\n");

    fs::remove_dir_all(&folder).unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/hello").status, 503);
        assert_eq!(client.get("/").status, 503);
        assert_eq!(get(server.address, "/nothing").status, 503);
    }
    server.stderr.wait_for("the folder is gone");

    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("hello"), "second\n").unwrap();
    eventually("it is served anew", || {
        let answer = client.get("/hello");
        (answer.status == 200).then(|| assert_eq!(answer.text(), "second\n"))
    });
    assert_eq!(get(server.address, "/hello").text(), "second\n");
    assert_eq!(client.get("/nothing").status, 404);
    server.stderr.wait_for("the folder is back");
    drop(client);
    let said = server.stop();
    let path = folder.display();
    let lines: Vec<&str> = said.lines().filter(|line| !line.contains("stopping")).collect();
    assert_eq!(
        lines,
        [
            format!("sockeye: {path}: the folder is gone; answering 503 until it is back"),
            format!("sockeye: {path}: the folder is back"),
        ]
    );
}

fn a_file_that_may_not_be_read_is_403(driver: &str) {
    if !need_root("a_file_that_may_not_be_read_is_403") {
        return;
    }
    let program = Program::copy();
    let folder = tempfile::tempdir().unwrap();
    readable_by_all(folder.path());
    for (name, mode) in [("open", 0o644), ("secret", 0o000)] {
        let file = folder.path().join(name);
        fs::write(&file, "what is in it\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(folder.path().join("closed")).unwrap();
    fs::set_permissions(folder.path().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = program.by_nobody();
    command.arg("serve").arg(folder.path()).args(["--port", "0", "--driver", driver]);
    let server = Server::of(&mut command);
    assert_eq!(get(server.address, "/open").text(), "what is in it\n");
    for target in ["/secret", "/closed/", "/closed/file"] {
        let answer = get(server.address, target);
        assert_eq!(answer.status, 403, "{target}");
        assert!(!answer.text().contains("what is in it"));
    }
    server.stop();
}

/// Nobody reads the line that says it is ready: then nobody needs it.
fn a_closed_standard_output_stops_nobody(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    // An address of its own, since the port can't be told.
    let last = 1 + crate::kit::DRIVERS.iter().position(|name| *name == driver).unwrap();
    let [a, b] = u16::try_from(std::process::id() % 60_000).unwrap().to_be_bytes();
    let address = format!("127.{}.{}.{last}:8000", 1 + a % 200, b);
    let mut command = sockeye();
    command.arg("serve").arg(folder.path()).args(["--driver", driver, "--listen", &address]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn();
    let mut child = Ended(child.unwrap());
    let stream = eventually("it listens", || std::net::TcpStream::connect(&address).ok());
    for _ in 0..2 {
        let mut client = Client::of(stream.try_clone().unwrap());
        assert_eq!(client.get("/hello").text(), "hello\n");
        assert!(child.0.try_wait().unwrap().is_none(), "it ended");
    }
}

/// What is asked of the program as a whole.
#[test]
fn no_command_or_an_unknown_one_is_a_mistake_of_usage() {
    let (code, stdout, stderr) = run(&mut sockeye());
    assert_eq!((code, &*stdout), (Some(2), ""));
    assert!(stderr.contains("Usage: sockeye [OPTIONS] <COMMAND>"), "{stderr}");
    let (code, stdout, stderr) = run(sockeye().arg("swim"));
    assert_eq!((code, &*stdout), (Some(2), ""));
    assert!(stderr.starts_with("error: unrecognized subcommand 'swim'\n"), "{stderr}");
}
