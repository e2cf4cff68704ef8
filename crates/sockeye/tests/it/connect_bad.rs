//! What `sockeye connect` can't do is said in one line that names the endpoint, the cause and the way
//! out, with nothing half-written on standard output.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::kit::server::sockeye;
use crate::kit::talk::{Running, connect, fed, free_port};

on_every_driver!(nobody_listens, a_frame_that_is_wrong, an_icmp_message_is_told);

fn nobody_listens(driver: &str) {
    let port = free_port();
    let endpoint = format!("127.0.0.1:{port}");
    let said = format!(
        "sockeye: tcp://{endpoint}: connect: connection refused (nobody listens there: check the \
         port, or start the server)\n"
    );
    fed(&mut connect(&endpoint, &["--driver", driver]), "x").failed(1, &said);
}

fn a_frame_that_is_wrong(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let arguments =
        ["--driver", driver, "--frame", "length=u32", "--max-frame", "1k", "--send", "x"];
    let running = Running::start(&mut connect(&address.to_string(), &arguments));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"\x00\x00\xff\xff").unwrap();
    let said = format!(
        "sockeye: tcp://{address}: --frame length=u32: byte 0 of the stream: the frame announces \
         65535 bytes, more than the 1024 allowed; allow more, or look whether the peer frames as you \
         do\n"
    );
    running.ended().failed(1, &said);
}

fn an_icmp_message_is_told(driver: &str) {
    // Bound and gone again: nobody else gets it so soon.
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("udp://127.0.0.1:{port}");
    let said = format!(
        "sockeye: {endpoint}: connection refused (an ICMP message says that nobody listens there: \
         check the port, or start the server)\n"
    );
    fed(&mut connect(&endpoint, &["--driver", driver]), "anybody?").failed(1, &said);
}

#[test]
fn no_such_socket() {
    let said = "sockeye: unix:///nowhere/at/all.sock: connect: no such file or directory (there is \
        no such socket: check the name, or start the server)\n";
    fed(&mut connect("unix:///nowhere/at/all.sock", &[]), "").failed(1, said);
}

/// What the user wrote is wrong: the place is marked, and the status is that of wrong usage.
#[track_caller]
fn misused(endpoint: &str, arguments: &[&str], expected: &[&str]) {
    let outcome = fed(&mut connect(endpoint, arguments), "");
    assert_eq!((outcome.code, &*outcome.stdout), (Some(2), &b""[..]));
    for part in expected {
        assert!(outcome.stderr.contains(part), "{part:?} is not in:\n{}", outcome.stderr);
    }
}

#[test]
fn what_is_written_wrong_is_pointed_at() {
    misused(
        "tcp://127.0.0.1:99999",
        &[],
        &["tcp://127.0.0.1:99999\n                ^^^^^ 99999 is no port (0 to 65535)"],
    );
    misused("-", &[], &["this program's own input and output", "tcp://HOST:PORT"]);
    misused("127.0.0.1:1?nodelai", &[], &["nodelay"]);
    let here = "127.0.0.1:1";
    misused(here, &["--frame", "lenght=u32"], &["there is no `lenght`", "length=u8|u16|u32"]);
    misused(here, &["--encoding", "utf-9"], &["utf-9"]);
    misused(here, &["--expect", "(a"], &["--expect", "unclosed group"]);
    misused(here, &["--max-frame", "0"], &["more than nothing"]);
    misused(here, &["--max-frame", "12q"], &["4096, 64k or 16m"]);
    misused(here, &["--idle-timeout", "5"], &["500ms, 15s or 2m"]);
    misused(here, &["--idle-timeout", "-5s"], &["--idle-timeout", "500ms, 15s or 2m"]);
    misused(here, &["--datagram", "0"], &["more than nothing"]);
    misused(here, &["--count", "0"], &["--count"]);
}

#[test]
fn bytes_that_are_no_text_can_be_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"a\xff"));
    let outcome = fed(sockeye().arg("connect").arg(OsStr::from_bytes(b"unix:@a\xff")), "");
    assert_eq!((outcome.code, &*outcome.stdout), (Some(2), &b""[..]));
    assert!(outcome.stderr.contains("write the bytes that are no text as %FF"), "{outcome:?}");
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = format!("unix://{}/a%FF", folder.path().display());
    let running = Running::start(&mut connect(&endpoint, &["--send", "x"]));
    let (mut peer, _) = listener.accept().unwrap();
    peer.read_exact(&mut [0]).unwrap();
    drop(peer);
    running.ended().printed("");
}

#[test]
fn what_can_not_be_sent_is_told_before_anybody_is_called() {
    let here = "127.0.0.1:1";
    misused(
        here,
        &["--send", r"\q"],
        &["--send", r"no such escape; there are \n \r \t \0 \\ and \xNN"],
    );
    misused(here, &["--send", r"\xZZ"], &[r"'\xZZ' for '--send <TEXT>'"]);
    misused(here, &["--hex", "--send", "xy"], &["--send xy: character 1: "]);
    misused(here, &["--frame", "line", "--send", r"a\nb"], &[r"--send a\nb: ", "--frame line"]);
    let folder = tempfile::tempdir().unwrap();
    for (path, why) in [
        (
            Path::new("/nowhere/at/all"),
            "no such file (check its name; ./ is where this was started)",
        ),
        (folder.path(), "a folder, and no file (name a file, or pipe in what tar makes of it)"),
    ] {
        let path = path.to_str().unwrap();
        let outcome = fed(&mut connect(here, &["--send-file", path]), "");
        outcome.failed(1, &format!("sockeye: --send-file {path}: {why}\n"));
    }
}

#[test]
fn a_line_that_is_no_message_is_named_by_its_number() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let outcome = fed(&mut connect(&address, &["--hex"]), "6f6b\nzz\n");
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let expected = "sockeye: standard input, line 2: character 1: ";
    assert!(outcome.stderr.starts_with(expected), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[test]
fn what_was_expected_and_never_came_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let arguments = ["--send", "x", "--expect", "ready+"];
    let running = Running::start(&mut connect(&address.to_string(), &arguments));
    let (mut peer, _) = listener.accept().unwrap();
    peer.read_exact(&mut [0]).unwrap();
    peer.write_all(b"never\n").unwrap();
    drop(peer);
    let outcome = running.ended();
    let said = format!(
        "sockeye: tcp://{address}: --expect \"ready+\" was never seen (6 B received, 1 B sent)\n"
    );
    assert_eq!(outcome.stderr, said);
    assert_eq!((outcome.code, &*outcome.stdout), (Some(1), &b"never\n"[..]));
}

#[test]
fn what_was_expected_within_so_many_messages_and_never_came_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let arguments = ["--frame", "line", "--count", "2", "--expect", "ready"];
    let running = Running::start(&mut connect(&address.to_string(), &arguments));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"one\ntwo\n").unwrap();
    // Neither the peer nor the input has ended.
    let outcome = running.ended();
    assert_eq!((outcome.code, &*outcome.stdout), (Some(1), &b"one\ntwo\n"[..]));
    assert!(outcome.stderr.contains("--expect \"ready\" was never seen"), "{outcome:?}");
}
