//! Standard output that takes nothing, can take nothing, or is not there: what came is not lost in
//! silence.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::Signal;

use crate::kit::listener::Listener;
use crate::kit::server::{run, sockeye};
use crate::kit::talk::{Running, connect};

on_every_driver!(
    a_blocked_output_does_not_keep_a_listener_from_ending,
    an_output_that_is_read_again_within_the_grace_gets_all,
    a_full_device_is_told_by_both,
);

const TCP: &str = "tcp://127.0.0.1:0";
const SAID: &[u8] = b"to be shown\n";

/// A pipe with no room at all, and how many bytes that are. It holds more than the program would have
/// it hold, and so can't be made longer or shorter by it.
fn full_pipe() -> (PipeReader, PipeWriter, usize) {
    let (reader, mut writer) = io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20).unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    let mut held = 0;
    loop {
        match writer.write(&[b'-'; 65_536]) {
            Ok(count) => held += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer, held)
}

/// A listener with this as its output, and a client that has said something.
fn listener_to(output: PipeWriter, arguments: &[&str]) -> (Listener, TcpStream) {
    let mut command = sockeye();
    command.args(["listen", TCP, "--verbose"]).args(arguments).stdin(Stdio::null());
    let listener = Listener::at_terminal(&mut command, output);
    let mut client = listener.connect();
    client.write_all(SAID).unwrap();
    listener.stderr.wait_for(" connected to ");
    (listener, client)
}

fn a_blocked_output_does_not_keep_a_listener_from_ending(driver: &str) {
    let own = ["--driver", driver, "--grace", "20ms"];
    for arguments in [&[][..], &["--once"], &["--frame", "line"], &["--json"], &["--hex"]] {
        let (reader, writer, _) = full_pipe();
        let (listener, client) = listener_to(writer, &[&own, arguments].concat());
        listener.signal(Signal::TERM);
        let (status, said) = listener.ended();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        let lost = said.lines().last().unwrap();
        let cause = " B, and what came behind them, were not written to standard output (it took \
                     nothing more; allow it more time with --grace)";
        assert!(lost.starts_with("sockeye: ") && lost.ends_with(cause), "{arguments:?}: {said}");
        if arguments.is_empty() || arguments == ["--once"] {
            assert_eq!(lost, format!("sockeye: {}{cause}", SAID.len()), "{arguments:?}");
        }
        drop((client, reader));
    }
}

fn an_output_that_is_read_again_within_the_grace_gets_all(driver: &str) {
    for arguments in [&[][..], &["--once"]] {
        let (mut reader, writer, held) = full_pipe();
        let own = ["--driver", driver, "--grace", "1h"];
        let (listener, client) = listener_to(writer, &[&own, arguments].concat());
        listener.signal(Signal::TERM);
        drop(client);
        let mut shown = Vec::new();
        reader.read_to_end(&mut shown).unwrap();
        assert_eq!(&shown[held..], SAID, "{arguments:?}");
        let (status, said) = listener.ended();
        assert_eq!(status.code(), Some(0), "{arguments:?}: {said}");
    }
}

fn a_full_device_is_told_by_both(driver: &str) {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let cause = "write standard output: No space left on device (os error 28)";
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = peer.local_addr().unwrap().to_string();
    let mut command = connect(&endpoint, &["--driver", driver]);
    let child = command.stdin(Stdio::null()).stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = peer.accept().unwrap();
    stream.write_all(SAID).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("sockeye: {cause}\n"));
    assert_eq!(output.status.code(), Some(1));

    let mut command = sockeye();
    command.args(["listen", TCP, "--once", "--driver", driver]).stdin(Stdio::null());
    let listener = Listener::at_terminal(&mut command, full());
    let mut client = listener.connect();
    client.write_all(SAID).unwrap();
    let (status, said) = listener.ended();
    assert!(said.lines().last().unwrap().ends_with(cause), "{said}");
    assert_eq!(status.code(), Some(1));
}

/// Another program's `/dev/null` may be open for reading too, as the one that Rust opens.
#[test]
fn a_closed_output_is_told_before_anybody_is_called_and_a_null_device_is_none() {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    peer.set_nonblocking(true).unwrap();
    let endpoint = peer.local_addr().unwrap().to_string();
    let said = "sockeye: standard output is closed, and what comes would be lost (if it is to be: \
                >/dev/null)\n";
    for arguments in [["connect", &*endpoint], ["listen", TCP]] {
        let mut closed = Command::new("sh");
        closed.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(sockeye().get_program());
        let (code, _, stderr) = run(closed.args(arguments));
        assert_eq!((code, &*stderr), (Some(1), said), "{arguments:?}");
    }
    assert_eq!(peer.accept().unwrap_err().raw_os_error(), Some(Errno::AGAIN.raw_os_error()));

    peer.set_nonblocking(false).unwrap();
    for read in [false, true] {
        let null = File::options().read(read).write(true).open("/dev/null").unwrap();
        let mut command = connect(&endpoint, &[]);
        command.stdin(Stdio::null()).stdout(null).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        drop(peer.accept().unwrap());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn signals_end_a_connection_with_their_own_status() {
    for (signal, code) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)] {
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = peer.local_addr().unwrap().to_string();
        let running = Running::start(&mut connect(&endpoint, &["--verbose"]));
        running.stderr.wait_for("connected to");
        running.signal(signal);
        let outcome = running.ended();
        assert_eq!((outcome.code, &*outcome.stdout), (Some(code), &b""[..]));
    }
}
