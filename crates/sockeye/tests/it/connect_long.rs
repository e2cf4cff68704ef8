//! What is longer than a datagram: input is cut into datagrams that fit, and what comes is taken whole.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;

use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, listen, recv,
    socket_with, sockopt,
};
use tempfile::TempDir;

use crate::kit::folder::noise;
use crate::kit::listener::Listener;
use crate::kit::server::sockeye;
use crate::kit::talk::{Outcome, Running, connect, fed};
use crate::kit::{PATIENCE, need_root};

on_every_driver!(
    a_file_goes_over_udp_in_datagrams_of_one_length,
    a_pipe_goes_over_udp_in_datagrams_that_fit,
    files_and_pipes_go_over_unix_sockets,
    a_listener_cuts_its_input_too,
    a_long_datagram_of_a_unix_socket_comes_whole,
);

/// More than any datagram of UDP can carry, and little enough for the buffer of one who does not read.
const LEN: usize = 100_000;

/// A file with this in it.
fn file(content: &[u8]) -> (TempDir, File, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("content");
    fs::write(&path, content).unwrap();
    let file = File::open(&path).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, file, path)
}

fn udp() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    (socket, endpoint)
}

/// Receives until so many bytes have come: the messages.
fn messages(len: usize, mut receive: impl FnMut(&mut [u8]) -> usize) -> Vec<Vec<u8>> {
    let mut room = vec![0; 1 << 20];
    let (mut messages, mut so_far) = (Vec::new(), 0);
    while so_far < len {
        let count = receive(&mut room);
        so_far += count;
        messages.push(room[..count].to_vec());
    }
    messages
}

#[track_caller]
fn ended_well(outcome: &Outcome) {
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
}

/// All of it came, in order and as so many whole datagrams of this length and one that is shorter.
#[track_caller]
fn are_equal_pieces(messages: &[Vec<u8>], content: &[u8], longest: usize) {
    assert!(messages.concat() == content, "other bytes came");
    let lengths: Vec<usize> = messages.iter().map(Vec::len).collect();
    let expected: Vec<usize> = content.chunks(longest).map(<[u8]>::len).collect();
    assert_eq!(lengths, expected);
}

fn a_file_goes_over_udp_in_datagrams_of_one_length(driver: &str) {
    let content = noise(31, LEN);
    let (_folder, input, path) = file(&content);
    let (socket, endpoint) = udp();
    let brief = ["--driver", driver, "--close-after", "1ms"];
    let receive = |room: &mut [u8]| socket.recv(room).unwrap();
    let mut command = connect(&endpoint, &brief);
    let output = command.stdin(input).output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    are_equal_pieces(&messages(LEN, receive), &content, 1400);
    let arguments = [&brief[..], &["--send-file", &path, "--datagram", "30k"]].concat();
    ended_well(&fed(&mut connect(&endpoint, &arguments), ""));
    are_equal_pieces(&messages(LEN, receive), &content, 30 * 1024);
}

fn a_pipe_goes_over_udp_in_datagrams_that_fit(driver: &str) {
    let content = noise(32, LEN);
    let (socket, endpoint) = udp();
    let arguments = ["--driver", driver, "--close-after", "1ms"];
    let mut running = Running::start(&mut connect(&endpoint, &arguments));
    let receive = |room: &mut [u8]| socket.recv(room).unwrap();
    // What fits and is written at once stays whole; another one follows when it has come.
    for len in [1400, 1, 700] {
        running.type_in(&content[..len]);
        assert_eq!(messages(1, receive), [content[..len].to_vec()]);
    }
    running.type_in(&content);
    running.end_input();
    let messages = messages(LEN, receive);
    assert!(messages.concat() == content, "other bytes came");
    assert!(messages.iter().all(|message| message.len() <= 1400), "one is too long");
    ended_well(&running.ended());
}

fn files_and_pipes_go_over_unix_sockets(driver: &str) {
    let content = noise(33, 3 * LEN);
    for scheme in ["unix-dgram", "unix-seqpacket"] {
        let (folder, input, _) = file(&content);
        let path = folder.path().join("socket");
        let endpoint = format!("{scheme}:{}", path.display());
        let arguments = ["--driver", driver, "--close-after", "1ms"];
        let unix = Unix::serve(scheme, &path);
        let mut command = connect(&endpoint, &arguments);
        let child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = child.spawn().unwrap();
        are_equal_pieces(&unix.messages(content.len()), &content, 64 * 1024);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{scheme}");
        let mut running = Running::start(&mut connect(&endpoint, &arguments));
        let typed = content.clone();
        let typing = std::thread::spawn(move || {
            running.type_in(&typed);
            running.end_input();
            running
        });
        assert!(unix.messages(content.len()).concat() == content, "{scheme}: other bytes came");
        ended_well(&typing.join().unwrap().ended());
    }
}

/// One who receives what is sent to a Unix socket, from one sender after another.
enum Unix {
    Datagrams(UnixDatagram),
    Packets(OwnedFd),
}

impl Unix {
    fn serve(scheme: &str, path: &Path) -> Unix {
        if scheme == "unix-dgram" {
            let socket = UnixDatagram::bind(path).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            return Unix::Datagrams(socket);
        }
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let listener = socket_with(AddressFamily::UNIX, kind, flags, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
        listen(&listener, 1).unwrap();
        Unix::Packets(listener)
    }

    fn messages(&self, len: usize) -> Vec<Vec<u8>> {
        match self {
            Unix::Datagrams(socket) => messages(len, |room| socket.recv(room).unwrap()),
            Unix::Packets(listener) => {
                let peer = accept(listener).unwrap();
                sockopt::set_socket_timeout(&peer, sockopt::Timeout::Recv, Some(PATIENCE)).unwrap();
                messages(len, |room| recv(&peer, room, RecvFlags::empty()).unwrap().0)
            }
        }
    }
}

fn a_listener_cuts_its_input_too(driver: &str) {
    let content = noise(34, LEN);
    let (_folder, input, _) = file(&content);
    let endpoint = "udp://127.0.0.1:0";
    let mut command = sockeye();
    command.args(["listen", endpoint, "--once", "--driver", driver]).stdin(input);
    let listener = Listener::of(&mut command, &[endpoint]);
    let (client, _) = udp();
    client.connect(listener.address()).unwrap();
    client.send(b"here").unwrap();
    are_equal_pieces(&messages(LEN, |room| client.recv(room).unwrap()), &content, 1400);
    let (status, said) = listener.ended();
    assert_eq!(status.code(), Some(0), "{said}");
}

fn a_long_datagram_of_a_unix_socket_comes_whole(driver: &str) {
    for len in [65_536, 200_000] {
        let outcome = answered(&["--driver", driver], &noise(35, len), None);
        ended_well(&outcome);
        assert!(outcome.stdout == noise(35, len), "other bytes came");
    }
}

#[test]
fn a_message_longer_than_there_ever_is_room_for_is_cut_and_that_is_a_failure() {
    if !need_root("a_message_longer_than_there_ever_is_room_for_is_cut_and_that_is_a_failure") {
        return;
    }
    let outcome = answered(&[], &noise(36, 1_100_000), Some(4 << 20));
    let told = "a message of 1100000 B was cut to 1048576 B (there is room for no more)\n";
    assert!(outcome.stderr.ends_with(told), "{}", outcome.stderr);
    assert_eq!((outcome.code, outcome.stdout.len()), (Some(1), 1 << 20));
}

/// Asks a Unix socket that answers this, with so much room to send it from.
fn answered(arguments: &[&str], answer: &[u8], room: Option<usize>) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let server = UnixDatagram::bind(&path).unwrap();
    if let Some(room) = room {
        sockopt::set_socket_send_buffer_size_force(&server, room).unwrap();
    }
    let endpoint = format!("unix-dgram:{}", path.display());
    let arguments = [arguments, &["--send", "x", "--count", "1"]].concat();
    let running = Running::start(&mut connect(&endpoint, &arguments));
    let (_, from) = server.recv_from(&mut [0; 10]).unwrap();
    server.connect_addr(&from).unwrap();
    server.send(answer).unwrap();
    running.ended()
}
