//! The programs of `sockeye listen --exec`, when their clients go.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::kit::listener::Listener;
use crate::kit::{eventually, need};

on_every_driver!(a_program_whose_client_is_gone_gives_up_its_place);

const TCP: &str = "tcp://127.0.0.1:0";

/// A program that never ends, and tells its process and that of what it started.
const HANGS: &str = "sleep 600 & echo $$ $!; wait";

fn line(from: impl Read) -> String {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line).unwrap();
    line
}

/// Closes with a reset (socket(7), `SO_LINGER`).
fn reset(client: TcpStream) {
    set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
}

/// Waits until no process of these runs; it may still wait for its parent to notice.
fn ended(processes: &str) {
    assert!(!processes.trim().is_empty());
    for process in processes.split_whitespace() {
        eventually("the end of the program", || {
            let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            (status.is_empty() || status.contains(") Z ")).then_some(())
        });
    }
}

fn a_program_whose_client_is_gone_gives_up_its_place(driver: &str) {
    let own = ["--max-connections", "1", "--grace", "10ms", "--driver", driver];
    let listener = Listener::start(&[&[TCP, "--exec", HANGS], &own[..]].concat());
    for _ in 0..2 {
        let client = listener.connect();
        // The next one gets here only when this one's place is free.
        let processes = line(&client);
        reset(client);
        ended(&processes);
    }
    listener.stop();
}

#[test]
fn a_program_behind_a_unix_socket_does_so_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let endpoint = format!("unix://{}", path.display());
    let listener = Listener::start(&[&endpoint, "--exec", HANGS, "--grace", "10ms"]);
    let client = UnixStream::connect(&path).unwrap();
    let processes = line(&client);
    drop(client);
    ended(&processes);
    listener.stop();
}

#[test]
fn a_program_that_does_not_listen_to_sigterm_is_killed() {
    let stubborn = format!("trap '' TERM HUP; {HANGS}");
    let listener = Listener::start(&[TCP, "--exec", &stubborn, "--grace", "10ms"]);
    let client = listener.connect();
    let processes = line(&client);
    reset(client);
    ended(&processes);
    listener.stop();
}

/// Whoever leaves something and goes has closed both halves of a Unix socket at once.
#[test]
fn a_program_may_finish_what_its_client_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let within = |name: &str| folder.path().join(name);
    let endpoint = format!("unix://{}", within("socket").display());
    let program = format!(
        "cd {} && mkfifo go && cat > came && read word < go && mv came kept",
        folder.path().display()
    );
    let listener = Listener::start(&[&endpoint, "--exec", &program, "--grace", "1h"]);
    UnixStream::connect(within("socket")).unwrap().write_all(b"left here").unwrap();
    let read = |path: &Path| fs::read(path).ok().filter(|found| found == b"left here");
    eventually("what was left", || read(&within("came")));
    // Opened both ways it waits for nobody (fifo(7)).
    let mut go = File::options().read(true).write(true).open(within("go")).unwrap();
    go.write_all(b"go\n").unwrap();
    eventually("the end of the work", || read(&within("kept")));
    listener.stop();
}

#[test]
fn one_who_has_half_closed_still_waits_for_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let program = format!("cat; mkfifo {0} && read word < {0} && echo $word", go.display());
    let listener = Listener::start(&[TCP, "--exec", &program, "--grace", "1ms"]);
    let mut client = listener.connect();
    client.write_all(b"question\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(line(&client), "question\n");
    let mut go =
        eventually("a named pipe", || File::options().read(true).write(true).open(&go).ok());
    go.write_all(b"answer\n").unwrap();
    assert_eq!(line(&client), "answer\n");
    listener.stop();
}

#[test]
fn the_kernel_is_asked_to_notice_that_a_silent_client_is_gone() {
    if !need("the_kernel_is_asked_to_notice_that_a_silent_client_is_gone", &["python3"]) {
        return;
    }
    let program = "python3 -c 'import socket as s; c = s.socket(fileno=0); \
        print(c.getsockopt(s.SOL_SOCKET, s.SO_KEEPALIVE), \
        c.getsockopt(s.IPPROTO_TCP, s.TCP_KEEPIDLE))'";
    let listener = Listener::start(&[TCP, "--exec", program]);
    assert_eq!(line(listener.connect()), "1 75\n");
    // What somebody has set stays.
    let listener = Listener::start(&["tcp://127.0.0.1:0?keepalive=7s", "--exec", program]);
    assert_eq!(line(listener.connect()), "1 7\n");
}
