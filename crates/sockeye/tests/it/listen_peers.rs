//! `sockeye listen` and the programs people have: nc, ncat, socat, telnet, Python.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::kit::folder::noise;
use crate::kit::listener::Listener;
use crate::kit::server::{Ended, run, sockeye};
use crate::kit::{eventually, need};

const TCP: &str = "tcp://127.0.0.1:0";

/// Bytes moved by each program.
const LARGE: usize = 100_000_000;

/// A folder with a large file in it.
struct Files {
    folder: TempDir,
    content: Vec<u8>,
}

impl Files {
    fn new(len: usize) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let content = noise(5, len);
        fs::write(folder.path().join("large"), &content).unwrap();
        Files { folder, content }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A line of shell, in which `$FILE` is a file, `$HOST` and `$PORT` the address, `$SOCK` the name.
fn shell(line: &str, listener: &Listener, files: &Files) -> Command {
    let mut command = Command::new("sh");
    let endpoint = &listener.endpoints[0];
    let name = endpoint.trim_start_matches("unix-dgram:").trim_start_matches("unix-seqpacket:");
    let name = name.trim_start_matches("unix:").trim_start_matches("//").trim_start_matches('@');
    command.arg("-c").arg(line).env("FILE", files.path("large")).env("SOCK", name);
    if let Some((host, port)) = endpoint.rsplit_once("://").and_then(|(_, at)| at.rsplit_once(':'))
    {
        command.env("HOST", host.trim_matches(['[', ']'])).env("PORT", port);
    }
    command
}

/// The program sends the file, and the listener's output is it.
fn takes(test: &str, program: &str, endpoint: &str, line: &str, len: usize) {
    if !need(test, &[program]) {
        return;
    }
    let files = Files::new(len);
    // Abstract names are those of the whole machine.
    let endpoint = &endpoint.replace("PID", &std::process::id().to_string());
    let mut command = sockeye();
    command.args(["listen", endpoint, "--once"]).stdin(Stdio::null());
    let mut listener = Listener::of(&mut command, &[endpoint]);
    let mut stdout = listener.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut got = Vec::new();
        stdout.read_to_end(&mut got).unwrap();
        got
    });
    let (code, _, said) = run(&mut shell(line, &listener, &files));
    assert_eq!(code, Some(0), "{line}: {said}");
    let (status, said) = listener.ended();
    assert_eq!(status.code(), Some(0), "{line}: {said}");
    let got = reading.join().unwrap();
    assert!(got == files.content, "{line}: {} of {} bytes", got.len(), files.content.len());
}

/// The listener's input is the file, and the program writes it to its output.
fn gives(test: &str, program: &str, endpoint: &str, line: &str) {
    if !need(test, &[program]) {
        return;
    }
    let files = Files::new(LARGE);
    let mut command = sockeye();
    command.args(["listen", endpoint, "--once"]);
    command.stdin(File::open(files.path("large")).unwrap());
    let listener = Listener::of(&mut command, &[endpoint]);
    let mut peer = shell(line, &listener, &files);
    let copy = File::create(files.path("copy")).unwrap();
    let mut peer = Ended(peer.stdin(Stdio::null()).stdout(copy).spawn().unwrap());
    let status = eventually("the end of the peer", || peer.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{line}");
    let (status, said) = listener.ended();
    assert_eq!(status.code(), Some(0), "{line}: {said}");
    let got = fs::read(files.path("copy")).unwrap();
    assert!(got == files.content, "{line}: {} of {} bytes", got.len(), files.content.len());
}

macro_rules! sends {
    ($($name:ident $program:literal $endpoint:literal $line:literal;)*) => {$(
        #[test]
        fn $name() {
            takes(stringify!($name), $program, $endpoint, $line, LARGE);
        }
    )*};
}

macro_rules! receives {
    ($($name:ident $program:literal $endpoint:literal $line:literal;)*) => {$(
        #[test]
        fn $name() {
            gives(stringify!($name), $program, $endpoint, $line);
        }
    )*};
}

sends! {
    nc_sends_a_hundred_megabytes "nc.openbsd" "tcp://127.0.0.1:0"
        "nc.openbsd -N $HOST $PORT <$FILE";
    ncat_sends_a_hundred_megabytes "ncat" "tcp://127.0.0.1:0"
        "ncat --send-only $HOST $PORT <$FILE";
    socat_sends_a_hundred_megabytes "socat" "tcp://127.0.0.1:0"
        "socat -u FILE:$FILE TCP:$HOST:$PORT";
    python_sends_a_hundred_megabytes_by_ipv6 "python3" "tcp://[::1]:0"
        "python3 -c 'import os, socket; s = socket.create_connection((os.environ[\"HOST\"], int(os.environ[\"PORT\"]))); s.sendall(open(os.environ[\"FILE\"], \"rb\").read()); s.shutdown(1); s.recv(1)'";
    nc_sends_over_an_ipv6_address "nc.openbsd" "tcp://[::1]:0" "nc.openbsd -N $HOST $PORT <$FILE";
    socat_sends_over_an_abstract_socket "socat" "unix:@sockeye-test-PID"
        "socat -u FILE:$FILE ABSTRACT-CONNECT:$SOCK";
}

receives! {
    nc_receives_a_hundred_megabytes "nc.openbsd" "tcp://127.0.0.1:0" "nc.openbsd -N $HOST $PORT";
    ncat_receives_a_hundred_megabytes "ncat" "tcp://127.0.0.1:0" "ncat --recv-only $HOST $PORT";
    socat_receives_a_hundred_megabytes "socat" "tcp://127.0.0.1:0" "socat -u TCP:$HOST:$PORT -";
    python_receives_a_hundred_megabytes "python3" "tcp://127.0.0.1:0"
        "python3 -c 'import os, shutil, socket, sys; s = socket.create_connection((os.environ[\"HOST\"], int(os.environ[\"PORT\"]))); shutil.copyfileobj(s.makefile(\"rb\"), sys.stdout.buffer)'";
}

#[test]
fn programs_send_over_unix_sockets_of_every_kind() {
    let name = "programs_send_over_unix_sockets_of_every_kind";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket").to_str().unwrap().to_owned();
    let stream = format!("unix://{path}");
    takes(name, "nc.openbsd", &stream, "nc.openbsd -N -U $SOCK <$FILE", LARGE);
    takes(name, "ncat", &stream, "ncat --send-only -U $SOCK <$FILE", LARGE);
    takes(name, "socat", &stream, "socat -u FILE:$FILE UNIX-CONNECT:$SOCK", LARGE);
    let packets = format!("unix-seqpacket://{path}");
    takes(name, "socat", &packets, "socat -b 8192 -u FILE:$FILE UNIX-CONNECT:$SOCK,type=5", LARGE);
    let datagrams = format!("unix-dgram://{path}");
    takes(name, "socat", &datagrams, "socat -b 8192 -u FILE:$FILE UNIX-SENDTO:$SOCK", 3_000_000);
    assert!(!folder.path().join("socket").exists(), "removed on exit");
}

#[test]
fn programs_talk_over_udp() {
    if !need("programs_talk_over_udp", &["socat", "nc.openbsd"]) {
        return;
    }
    let files = Files::new(1);
    let mut listener = Listener::start(&["udp://127.0.0.1:0", "--frame", "line", "--verbose"]);
    let output = listener.output();
    for line in
        ["echo one | socat -u - UDP:$HOST:$PORT", "echo two | nc.openbsd -u -q 0 $HOST $PORT"]
    {
        let (code, _, said) = run(&mut shell(line, &listener, &files));
        assert_eq!(code, Some(0), "{line}: {said}");
    }
    output.wait_for("one");
    output.wait_for("two");
    let echo = Listener::start(&["udp://127.0.0.1:0", "--echo"]);
    let line = "echo there and back | socat -t 5 - UDP:$HOST:$PORT,shut-none | head -1";
    let (_, said, _) = run(&mut shell(line, &echo, &files));
    assert_eq!(said, "there and back\n");
    assert_eq!(echo.stop(), "");
    listener.stop();
}

#[test]
fn telnet_asks_the_time_and_chats() {
    if !need("telnet_asks_the_time_and_chats", &["telnet"]) {
        return;
    }
    let files = Files::new(1);
    let listener = Listener::start(&[TCP, "--daytime"]);
    // Its input stays open until it has been told all.
    let mut asks = telnet(&listener, &files);
    let mut said = String::new();
    asks.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains(" GMT"), "{said}");
    listener.stop();
    let listener = Listener::start(&[TCP, "--chat"]);
    let mut chats = telnet(&listener, &files);
    chats.0.stdin.as_mut().unwrap().write_all(b"ann\n/who\n/quit\n").unwrap();
    let mut said = String::new();
    chats.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("* 1 here: ann"), "{said}");
    listener.stop();
}

fn telnet(listener: &Listener, files: &Files) -> Ended {
    let mut telnet = shell("exec telnet $HOST $PORT", listener, files);
    telnet.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ended(telnet.spawn().unwrap())
}
