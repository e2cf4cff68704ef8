//! The echo servers and their load from end to end, on as little work as shows that they are what
//! they claim to be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sockeye_engine::DriverKind;

const PATIENCE: Duration = Duration::from_secs(20);

/// The loop and every driver, with these further arguments.
fn servers(arguments: &[&str]) -> impl Iterator<Item = Server> {
    let ours = DriverKind::ALL.into_iter().map(move |driver| {
        let arguments = [&["--driver", driver.name()], arguments].concat();
        Server::start(env!("CARGO_BIN_EXE_echo-server"), &arguments)
    });
    std::iter::once(Server::start(env!("CARGO_BIN_EXE_raw-echo"), arguments)).chain(ours)
}

#[test]
fn every_byte_comes_back_even_to_a_reader_slower_than_the_writer() {
    for server in servers(&[]) {
        let stream = server.connect();
        // Far more than the socket buffers hold, so the server has to wait for its client.
        let sent: Vec<u8> =
            (0..8_000_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
        let back = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                (&stream).write_all(&sent).expect("send");
                stream.shutdown(Shutdown::Write).expect("shutdown");
            });
            let mut back = Vec::new();
            (&stream).read_to_end(&mut back).expect("receive");
            writer.join().expect("writer");
            back
        });
        assert!(back == sent, "{}: {} of {} bytes", server.name, back.len(), sent.len());
    }
}

#[test]
fn a_discarding_server_takes_everything_and_says_nothing() {
    for server in servers(&["--discard"]) {
        let mut stream = server.connect();
        stream.write_all(&vec![7; 8_000_000]).expect("send");
        stream.shutdown(Shutdown::Write).expect("shutdown");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("receive");
        assert!(back.is_empty(), "{}", server.name);
    }
}

#[test]
fn a_server_that_could_not_hold_its_connections_does_not_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_echo-server"))
        .args(["--connections", "4000000000"])
        .output()
        .expect("echo-server");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("4000000000 connections need"), "{text}");
}

#[test]
fn closed_loop_open_loop_and_bulk_are_counted() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw-echo"), &[]);
    let short = ["--warm-up", "0.01", "--seconds", "0.1"];
    for arguments in [
        &["--connections", "3", "--pipeline", "4"][..],
        &["--connections", "2", "--size", "200000"],
        &["--connections", "3", "--idle", "20", "--rate", "1000"],
    ] {
        let [messages, bytes, wall, unfinished, p50, p99, _, max] =
            summary(&load(&server.address, &[&short, arguments].concat()));
        assert!(messages > 0 && bytes > 0 && wall >= 100_000_000, "{arguments:?}");
        assert_eq!(unfinished, 0, "{arguments:?}");
        assert!(0 < p50 && p50 <= p99 && p99 <= max, "{arguments:?}");
    }
    let server = Server::start(env!("CARGO_BIN_EXE_raw-echo"), &["--discard"]);
    let bulk = load(&server.address, &[&short[..], &["--connections", "2", "--bulk"]].concat());
    let [messages, bytes, ..] = summary(&bulk);
    assert!(messages == 0 && bytes > 1_000_000, "{bytes} bytes");
}

#[test]
fn an_open_loop_sends_what_is_due_and_no_more() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw-echo"), &[]);
    let arguments = ["--warm-up", "0", "--seconds", "0.5", "--rate", "2000"];
    let [messages, _, wall, unfinished, ..] = summary(&load(&server.address, &arguments));
    let due = wall * 2000 / 1_000_000_000;
    assert!(unfinished == 0 && messages <= due + 1, "{messages} of {due}");
}

#[test]
fn a_stall_is_charged_to_every_message_that_was_due_in_it() {
    let stall = Duration::from_millis(200);
    // Echoes, but answers nothing for a while after the first message of the load.
    let address = scripted(move |_, mut stream| {
        let mut buffer = [0; 64 * 1024];
        let mut total = 0;
        while let Ok(got @ 1..) = stream.read(&mut buffer) {
            let first = total <= PROOF && total + got > PROOF;
            total += got;
            if first {
                wait(stall);
            }
            if stream.write_all(&buffer[..got]).is_err() {
                break;
            }
        }
    });
    let arguments = ["--warm-up", "0", "--seconds", "0.4", "--rate", "1000"];
    let [.., unfinished, p50, p99, _, max] = summary(&load(&address, &arguments));
    assert_eq!(unfinished, 0);
    // A load that waited for the answer before it sent on would know of one slow message alone.
    assert!(max >= 150_000_000 && p99 >= 100_000_000, "p50 {p50} p99 {p99} max {max}");
}

#[test]
fn a_server_that_sends_anything_else_back_is_found_out() {
    let address = scripted(|_, mut stream| {
        let mut buffer = [0; 64 * 1024];
        let mut total = 0;
        while let Ok(got @ 1..) = stream.read(&mut buffer) {
            total += got;
            if total > 5000 {
                buffer[got - 1] ^= 1;
            }
            if stream.write_all(&buffer[..got]).is_err() {
                break;
            }
        }
    });
    let output = load(&address, &["--warm-up", "0", "--seconds", "60"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("not what was sent"), "{text}");
}

#[test]
fn idle_connections_that_were_closed_are_missed() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let is_closed = std::sync::Mutex::new(is_closed);
    let script = std::sync::Arc::new((closed, is_closed));
    let address = scripted(move |number, mut stream| {
        let mut buffer = [0; PROOF];
        stream.read_exact(&mut buffer).expect("proof");
        stream.write_all(&buffer).expect("answer");
        let (closed, is_closed) = &*script;
        if number > 0 {
            drop(stream);
            closed.send(()).expect("receiver");
            return;
        }
        // The one that carries messages is answered when the two idle ones are gone.
        let is_closed = is_closed.lock().expect("lock");
        (0..2).for_each(|_| is_closed.recv_timeout(PATIENCE).expect("closed"));
        let mut message = [0; 64];
        while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
    });
    let output = load(&address, &["--idle", "2", "--warm-up", "0", "--seconds", "0.1"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("0 of 2 idle connections are left"), "{text}");
}

/// Bytes that the load exchanges on each connection before it counts.
const PROOF: usize = 16;

/// A server of this process, a thread for each connection, which is told the number of it; where
/// it listens.
fn scripted(serve: impl Fn(usize, TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(number, stream));
        }
    });
    address
}

/// A server that is slow is part of the script, not a way to wait for something.
fn wait(duration: Duration) {
    let (_never, told) = std::sync::mpsc::channel::<()>();
    assert!(told.recv_timeout(duration).is_err());
}

fn load(address: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_echo-load"))
        .arg(address)
        .args(arguments)
        .output()
        .expect("echo-load")
}

fn summary(output: &Output) -> [u64; 8] {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let [start, end, summary] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("three lines: {text}");
    };
    assert_eq!((start, end), ("start", "end"));
    let numbers = summary.strip_prefix("summary ").expect("summary").split(' ');
    let numbers: Vec<u64> = numbers.map(|number| number.parse().expect("number")).collect();
    numbers.try_into().expect("eight numbers")
}

struct Server {
    name: String,
    child: Child,
    address: String,
}

impl Server {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("pipe")).read_line(&mut line).expect("line");
        let (name, address) = line.trim_end().split_once(" on tcp://").expect("an address");
        Self { name: name.to_owned(), address: address.to_owned(), child }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}
