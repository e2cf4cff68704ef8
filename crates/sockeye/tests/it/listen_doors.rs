//! Who comes in to `sockeye listen`, who does not, and what is said of what can't be.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::kit::listener::Listener;
use crate::kit::server::{run, sockeye};

on_every_driver!(once_is_one_client, clients_beyond_the_bound_wait);

const TCP: &str = "tcp://127.0.0.1:0";

fn once_is_one_client(driver: &str) {
    let mut listener = Listener::start(&[TCP, "--once", "--driver", driver]);
    let output = listener.output();
    let mut client = listener.connect();
    client.write_all(b"the one").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let (status, said) = listener.ended();
    assert_eq!((status.code(), said.lines().count()), (Some(0), 1), "{said}");
    assert_eq!(output.all(), "the one");
}

fn clients_beyond_the_bound_wait(driver: &str) {
    let arguments = [TCP, "--echo", "--max-connections", "2", "--driver", driver];
    let listener = Listener::start(&arguments);
    let mut clients: Vec<_> = (0..3).map(|_| listener.connect()).collect();
    for client in &mut clients[..2] {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    listener
        .stderr
        .wait_for("2 clients are here, as many as may be (--max-connections); others wait");
    clients[2].write_all(b"y").unwrap();
    drop(clients.remove(0));
    clients[1].read_exact(&mut [0]).unwrap();
    drop(clients);
    listener.stop();
}

#[test]
fn networks_are_let_in_or_turned_away() {
    for (arguments, inside) in [
        (["--allow", "127.0.0.0/8"], true),
        (["--allow", "10.0.0.0/8"], false),
        (["--deny", "127.0.0.1"], false),
        (["--deny", "10.0.0.0/8"], true),
    ] {
        let listener = Listener::start(&[&[TCP, "--echo", "--verbose"], &arguments[..]].concat());
        let mut client = listener.connect();
        let written = client.write_all(b"x");
        let mut got = [0];
        let came = written.and_then(|()| client.read(&mut got)).unwrap_or(0);
        assert_eq!(came == 1, inside, "{arguments:?}");
        drop(client);
        let said = listener.stop();
        assert_eq!(said.contains("turned away"), !inside, "{said}");
    }
}

#[test]
fn peers_of_unix_sockets_are_shown_by_their_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let endpoint = format!("unix://{}?mode=0640", path.display());
    let mut listener = Listener::start(&[&endpoint, "--json"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let output = listener.output();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"hello").unwrap();
    let line = output.wait_for("hello");
    let process = std::process::id();
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let peer = format!("\"peer\":\"pid {process} uid {user} gid {group}\"");
    assert!(line.contains(&peer), "{line}");
    drop(client);
    assert_eq!(listener.stop(), "");
    assert!(!path.exists(), "removed on exit");

    let endpoint = format!("unix-dgram://{}", path.display());
    let mut listener = Listener::start(&[&endpoint, "--json"]);
    let output = listener.output();
    UnixDatagram::unbound().unwrap().send_to(b"hello", &path).unwrap();
    let line = output.wait_for("hello");
    assert!(line.contains(&peer), "{line}");
    assert_eq!(listener.stop(), "");
    assert!(!path.exists(), "removed on exit");
}

#[test]
fn a_signal_ends_it_and_says_which() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 0), (Signal::HUP, 0)] {
        for service in ["--echo", "--chat", "--broker", "--json"] {
            let listener = Listener::with_input(&[TCP, service]);
            let client = listener.connect();
            listener.signal(signal);
            let (status, said) = listener.ended();
            assert_eq!((status.code(), said.lines().count()), (Some(code), 1), "{service}: {said}");
            drop(client);
        }
    }
}

/// The kernel and the shell both tell of a terminal's end.
#[test]
fn the_end_of_its_terminal_told_twice_leaves_no_socket_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Listener::start(&[&format!("unix://{}", path.display()), "--grace", "10ms"]);
    let client = UnixStream::connect(&path).unwrap();
    listener.signal(Signal::HUP);
    listener.signal(Signal::HUP);
    let (status, said) = listener.ended();
    assert_eq!((status.code(), said.lines().count()), (Some(0), 1), "{said}");
    assert!(!path.exists(), "removed on exit");
    drop(client);
}

#[test]
fn under_nohup_it_outlives_its_terminal() {
    let mut command = Command::new("sh");
    let program = sockeye().get_program().to_owned();
    command.args(["-c", "trap '' HUP; exec \"$0\" listen \"$@\""]).arg(program);
    command.args([TCP, "--echo"]).stdin(Stdio::null());
    let listener = Listener::of(&mut command, &[TCP]);
    listener.signal(Signal::HUP);
    let mut client = listener.connect();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    drop(client);
    assert_eq!(listener.stop(), "");
}

#[test]
fn an_address_in_use_is_told_with_who_has_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", taken.local_addr().unwrap());
    let (code, stdout, stderr) = run(sockeye().args(["listen", &endpoint]));
    assert_eq!((code, &*stdout, stderr.lines().count()), (Some(1), "", 1), "{stderr}");
    assert!(stderr.starts_with(&format!("sockeye: {endpoint}: bind: address already in use")));
    let process = format!("pid {}", std::process::id());
    assert!(stderr.contains(&process), "{stderr}");
}

#[test]
fn what_can_not_be_is_wrong_usage() {
    for (arguments, expected) in [
        (
            &["udp://127.0.0.1:0", "--chat"][..],
            "--chat needs a stream, and udp://127.0.0.1:0 is none",
        ),
        (&["unix-dgram:@x", "--exec", "id"], "--exec needs a stream, and unix-dgram:@x is none"),
        (&["udp://127.0.0.1:0", "--echo", "--once"], "--once counts clients"),
        (&[TCP, "--echo", "--chat"], "--echo"),
        (&[TCP, "--exec", "id", "--idle-timeout", "1s"], "with --exec the program has the socket"),
        (&[TCP, "--allow", "10.0.0.0/99"], "write it as 192.168.0.0/16, 10.1.2.3 or fe80::/10"),
        (&["-"], "- is this program's own input and output; write tcp://127.0.0.1:8000"),
        (&["tcp://127.0.0.1:99999"], "99999 is no port"),
        (&[TCP, "--frame", "frob"], "frob"),
        (&[], "<ENDPOINT>"),
    ] {
        let (code, stdout, stderr) = run(sockeye().arg("listen").args(arguments));
        assert_eq!((code, &*stdout), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_frame_that_is_wrong_is_told_with_its_peer_and_its_place() {
    let listener = Listener::start(&[TCP, "--frame", "netstring"]);
    let mut client = listener.connect();
    client.write_all(b"5:hello,x").unwrap();
    let peer = client.local_addr().unwrap();
    let line = listener
        .stderr
        .wait_for(&format!("sockeye: {peer}: --frame netstring: byte 8 of the stream"));
    assert!(line.contains("0x78 in the length of a netstring"), "{line}");
    // It alone is dropped.
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    let mut other = listener.connect();
    other.write_all(b"5:hello,").unwrap();
    drop(other);
    listener.stop();
}

#[test]
fn idle_clients_are_dropped_where_that_is_asked_for() {
    for service in ["--echo", "--broker", "--chat", "--json"] {
        let listener = Listener::start(&[TCP, service, "--idle-timeout", "50ms"]);
        let mut client = listener.connect();
        // A name is waited for longer.
        client.write_all(b"ann\n").unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
        let peer = client.local_addr().unwrap();
        listener.stderr.wait_for(&format!("sockeye: {peer}: "));
        listener.stop();
    }
}

#[test]
fn the_eye_draws_what_clients_do() {
    let listener = Listener::start(&[TCP, "--eye", "--echo", "--width", "100"]);
    let mut client = listener.connect();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    drop(client);
    let said = listener.stop();
    assert!(said.contains("recv()") && said.contains("send()"), "{said}");
}
