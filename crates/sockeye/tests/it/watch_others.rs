//! `sockeye watch ENDPOINT`: connections of other programs, here those of the test itself.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::said::Said;
use crate::kit::server::{Ended, Program, run, sockeye};
use crate::kit::{eventually, need_root};

/// An onlooker that has begun to look.
struct Onlooker {
    child: Ended,
    out: Said,
    err: Said,
}

impl Onlooker {
    fn of(command: &mut Command, arguments: &[&str]) -> Onlooker {
        command.arg("watch").args(arguments).stdin(Stdio::null());
        let mut child =
            Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let out = Said::by(child.0.stdout.take().unwrap());
        let err = Said::by(child.0.stderr.take().unwrap());
        err.wait_for("watching ");
        Onlooker { child, out, err }
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child.0), Signal::INT).unwrap();
    }

    /// Waits for its end; what it drew, and what else it said.
    fn ended(mut self) -> (String, String) {
        let status = eventually("the end of it", || self.child.0.try_wait().unwrap());
        let (out, err) = (self.out.all(), self.err.all());
        assert_eq!(status.code(), Some(0), "{err}");
        (out, err)
    }
}

/// A connection of two who have said something.
fn talk(listener: &TcpListener) -> (TcpStream, TcpStream, SocketAddr) {
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    server.write_all(b"hello there").unwrap();
    client.read_exact(&mut [0; 11]).unwrap();
    (client, server, peer)
}

/// The client closes, and then the server.
fn end((client, mut server, _): (TcpStream, TcpStream, SocketAddr)) {
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}

#[test]
fn each_connection_is_drawn_when_it_ended_until_enough_were_seen() {
    if !need_root("each_connection_is_drawn_when_it_ended_until_enough_were_seen") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = format!("tcp://{address}");
    let onlooker = Onlooker::of(&mut sockeye(), &[&endpoint, "--count", "2", "--ascii"]);
    let first = talk(&listener);
    let peer = first.2;
    end(first);
    onlooker.out.wait_for(&format!("CDF  {peer} -> {address}  the client closed first"));
    end(talk(&listener));
    let (drawn, said) = onlooker.ended();
    assert_eq!(drawn.matches("handshake").count(), 2, "{drawn}");
    assert!(drawn.contains("FIN-WAIT-1 |-") && drawn.contains("data [0..11)"), "{drawn}");
    assert!(!drawn.contains("here") && drawn.is_ascii(), "{drawn}");
    assert_eq!(said, format!("watching {endpoint} (Ctrl-C ends)\n"));
}

#[test]
fn what_is_open_when_it_is_interrupted_is_drawn_as_open() {
    if !need_root("what_is_open_when_it_is_interrupted_is_drawn_as_open") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Open before anybody looks.
    let mut open = talk(&listener);
    let port = format!(":{}", listener.local_addr().unwrap().port());
    let onlooker = Onlooker::of(&mut sockeye(), &[&port]);
    open.0.write_all(b"more").unwrap();
    open.1.read_exact(&mut [0; 4]).unwrap();
    // One more, which is seen to its end: what was before it was seen too.
    end(talk(&listener));
    onlooker.out.wait_for("the client closed first");
    onlooker.interrupt();
    let (drawn, _) = onlooker.ended();
    assert_eq!(drawn.matches("is still open").count(), 1, "{drawn}");
    assert!(drawn.contains("4 B from the client, 0 B from the server"), "{drawn}");
    assert!(drawn.contains("begun before the eye looked"), "{drawn}");
}

#[test]
fn nobody_is_told_what_the_kernel_tells_when_it_is_asked() {
    if !need_root("nobody_is_told_what_the_kernel_tells_when_it_is_asked") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let program = Program::copy();
    let mut command = program.by_nobody();
    // The kernel is asked at once, and then ten times a second.
    let _open = talk(&listener);
    let onlooker = Onlooker::of(&mut command, &[&address]);
    onlooker.interrupt();
    let (drawn, said) = onlooker.ended();
    let lacks = "eye: no packet capture (CAP_NET_RAW is missing): states and bytes are those";
    assert!(said.starts_with(lacks), "{said}");
    assert!(drawn.contains("ESTABLISHED") && drawn.contains("without packets"), "{drawn}");
    assert!(drawn.contains("5 B from the client, 11 B from the server"), "{drawn}");
}

#[test]
fn a_time_that_is_up_ends_it_and_a_reader_that_goes_too() {
    let (code, drawn, said) = run(sockeye().args(["watch", "127.0.0.1:9", "--for", "10ms"]));
    assert_eq!((code, &*drawn), (Some(0), ""), "{said}");
    assert!(said.contains("eye: no connection was seen"), "{said}");
    if !need_root("a_time_that_is_up_ends_it_and_a_reader_that_goes_too") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = sockeye();
    command.arg("watch").arg(listener.local_addr().unwrap().to_string()).stdin(Stdio::null());
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = Ended(command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap());
    drop(command);
    let said = Said::by(child.0.stderr.take().unwrap());
    said.wait_for("watching ");
    drop(reader);
    end(talk(&listener));
    let status = eventually("the end of it", || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", said.all());
}

#[test]
fn what_can_t_be_watched_is_wrong_usage_and_says_why() {
    for (arguments, why) in [
        (&["udp://127.0.0.1:9"][..], "only TCP can be watched"),
        (&[":0"], "a port is a number from 1 to 65535"),
        (&["127.0.0.1:0"], "a port is a number from 1 to 65535"),
        (&["localhost:99999"], "99999 is no port"),
        (&["127.0.0.1:9", "-"], "not both at once"),
        (&["-", "--count", "1"], "--count is for endpoints"),
    ] {
        let (code, drawn, said) = run(sockeye().arg("watch").args(arguments).stdin(Stdio::null()));
        assert_eq!((code, &*drawn), (Some(2), ""), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    let arguments = ["watch", "-i", "no-such-if", ":80", "--for", "1s"];
    let (code, _, said) = run(sockeye().args(arguments));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--interface no-such-if (see: ip link)"), "{said}");
}

#[test]
fn packets_seen_at_an_endpoint_go_to_a_file_that_is_drawn_alike() {
    if !need_root("packets_seen_at_an_endpoint_go_to_a_file_that_is_drawn_alike") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.pcapng");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let arguments = [&endpoint, "--count", "1", "--ascii", "--pcap", file.to_str().unwrap()];
    let onlooker = Onlooker::of(&mut sockeye(), &arguments);
    end(talk(&listener));
    let (live, _) = onlooker.ended();
    let (code, drawn, said) = run(sockeye().arg("watch").arg(&file).arg("--ascii"));
    assert_eq!((code, &*said), (Some(0), ""));
    // What the kernel was asked for stands in no packet.
    let rulers = |picture: &str| {
        let rows = picture.lines().filter(|line| line.trim_start().starts_with("segment "));
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rulers(&live).len(), 2, "{live}");
    assert_eq!(rulers(&live), rulers(&drawn), "{live}{drawn}");
}
