//! `sockeye connect` over a stream: everything arrives, in both directions, and it ends when it
//! should.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use rustix::process::Signal;

use crate::kit::need;
use crate::kit::talk::{Python, Running, connect, fed, filed};

on_every_driver!(
    a_late_reply_after_the_half_close_arrives_whole,
    a_hundred_megabytes_go_both_ways_byte_for_byte,
    a_pipe_carries_what_files_carry,
    what_the_peer_said_before_a_reset_is_printed,
    ctrl_c_ends_it_with_130,
);

fn a_late_reply_after_the_half_close_arrives_whole(driver: &str) {
    if !need("a_late_reply_after_the_half_close_arrives_whole", &["python3"]) {
        return;
    }
    let peer = Python::serve(
        "c = tcp(); asked = whole(c); time.sleep(1.5); c.sendall(asked.upper() * 100_000)",
        &[],
    );
    let outcome = fed(&mut connect(&peer.endpoint(), &["--driver", driver]), "late\n");
    outcome.printed("LATE\n".repeat(100_000));
}

fn a_hundred_megabytes_go_both_ways_byte_for_byte(driver: &str) {
    if !need("a_hundred_megabytes_go_both_ways_byte_for_byte", &["python3"]) {
        return;
    }
    const LEN: usize = 100_000_000;
    // It sends while it receives, and says at the end what it received.
    let peer = Python::serve(
        "c = tcp()\n\
         sent = bytes(i * 7 % 253 for i in range(253)) * 400_000\n\
         sent = sent[:100_000_000]\n\
         t = threading.Thread(target=c.sendall, args=(sent,)); t.start()\n\
         got = whole(c); t.join()\n\
         c.sendall(hashlib.sha256(got).hexdigest().encode())",
        &[],
    );
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    let ours: Vec<u8> = (0..=250).cycle().take(LEN).collect();
    fs::write(&input, &ours).unwrap();
    let mut command = connect(&peer.endpoint(), &["--driver", driver]);
    let (code, said) =
        filed(&mut command, File::open(&input).unwrap(), File::create(&output).unwrap());
    assert_eq!((code, &*said), (Some(0), ""));
    let got = fs::read(&output).unwrap();
    assert_eq!(got.len(), LEN + 64);
    let theirs = (0..253usize).map(|i| u8::try_from(i * 7 % 253).unwrap());
    assert!(theirs.cycle().take(LEN).eq(got[..LEN].iter().copied()));
    let hashed = std::process::Command::new("sha256sum").arg(&input).output().unwrap().stdout;
    assert_eq!(got[LEN..], hashed[..64]);
}

fn a_pipe_carries_what_files_carry(driver: &str) {
    const LEN: usize = 5_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let peer = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        peer.write_all(&all).unwrap();
    });
    let sent: Vec<u8> = (0..=250).cycle().take(LEN).collect();
    let outcome = fed(&mut connect(&endpoint, &["--driver", driver]), sent.clone());
    peer.join().unwrap();
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    assert!(outcome.stdout == sent);
}

fn what_the_peer_said_before_a_reset_is_printed(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut running = Running::start(&mut connect(&address.to_string(), &["--driver", driver]));
    running.type_in("unread");
    let (mut peer, _) = listener.accept().unwrap();
    peer.peek(&mut [0]).unwrap();
    peer.write_all(b"last words\n").unwrap();
    // Closing with unread bytes is a reset.
    drop(peer);
    let outcome = running.ended();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let expected = format!("sockeye: tcp://{address}: the peer reset the connection (");
    assert!(outcome.stderr.starts_with(&expected), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    assert_eq!(outcome.stdout, b"last words\n");
}

fn ctrl_c_ends_it_with_130(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let arguments = ["--driver", driver, "--verbose"];
    let running = Running::start(&mut connect(&address, &arguments));
    running.stderr.wait_for("connected to");
    running.signal(Signal::INT);
    let outcome = running.ended();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
}

/// What a peer says that ends before us is no reason to stop sending.
#[test]
fn a_peer_that_has_said_everything_still_gets_the_rest() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut running = Running::start(&mut connect(&address, &[]));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"that was all\n").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    running.type_in("first ");
    let mut first = [0; 6];
    peer.read_exact(&mut first).unwrap();
    running.type_in("and last");
    running.end_input();
    let mut rest = String::new();
    peer.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "and last");
    running.ended().printed("that was all\n");
}

#[test]
fn a_peer_that_never_ends_is_waited_for_as_long_as_one_likes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let running = Running::start(&mut connect(&address, &["--send", "x", "--close-after", "50ms"]));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"so far").unwrap();
    running.ended().printed("so far");
}

#[test]
fn silence_for_too_long_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let arguments = ["--idle-timeout", "100ms"];
    let running = Running::start(&mut connect(&address.to_string(), &arguments));
    let (_peer, _) = listener.accept().unwrap();
    let said = format!(
        "sockeye: tcp://{address}: nothing was sent or received for 100ms (0 B received, 0 B sent; \
         allow more with --idle-timeout)\n"
    );
    running.ended().failed(1, &said);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    for arguments in [&[][..], &["--timestamps"]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = connect(&address, arguments);
        let child = command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::piped()).spawn();
        let (mut peer, _) = listener.accept().unwrap();
        drop(command);
        drop(reader);
        peer.write_all(b"to nobody\n").unwrap();
        let output = child.unwrap().wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn connecting_is_tried_again_until_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later.sock");
    let endpoint = format!("unix:{}", path.display());
    let arguments = ["--retry", "50", "--verbose", "--send", "x"];
    let running = Running::start(&mut connect(&endpoint, &arguments));
    running.stderr.wait_for("no such file or directory");
    let listener = UnixListener::bind(&path).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let mut said = String::new();
    peer.read_to_string(&mut said).unwrap();
    assert_eq!(said, "x");
    drop(peer);
    let outcome = running.ended();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    // Who listens is known by the kernel's word.
    let (pid, uid) = (std::process::id(), rustix::process::getuid().as_raw());
    let process = format!("(pid {pid}, uid {uid}, gid ");
    assert!(outcome.stderr.contains(&process), "{outcome:?}");
}

#[test]
fn files_and_texts_are_sent_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "from a file\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let file = path.to_str().unwrap();
    let arguments = ["--send", r"a\tb\x21\n", "--send", "文\\n", "--send-file", file];
    let running = Running::start(&mut connect(&address, &arguments));
    let (mut peer, _) = listener.accept().unwrap();
    let mut said = String::new();
    peer.read_to_string(&mut said).unwrap();
    assert_eq!(said, "a\tb!\n文\nfrom a file\n");
    drop(peer);
    running.ended().printed("");
}

#[test]
fn the_eye_draws_what_it_did() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let running = Running::start(&mut connect(&address, &["--send", "seen", "--eye"]));
    let (mut peer, _) = listener.accept().unwrap();
    let mut said = String::new();
    peer.read_to_string(&mut said).unwrap();
    peer.write_all(b"too").unwrap();
    drop(peer);
    let outcome = running.ended();
    assert_eq!((outcome.code, &*outcome.stdout), (Some(0), &b"too"[..]));
    for drawn in ["connect()", "send() = 4 [0..4)", "recv() = 3 [0..3)", "we closed"] {
        assert!(outcome.stderr.contains(drawn), "{drawn}:\n{}", outcome.stderr);
    }
}
