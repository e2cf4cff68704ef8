//! SIGUSR2: another process takes over, and no client notices.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::client::Client;
use crate::kit::server::{Server, sockeye};
use crate::kit::{PATIENCE, eventually};

on_every_driver!(ten_successors_take_over_and_no_client_notices);

/// Processes that took over, ended with the test.
struct Successors(Vec<Pid>);

impl Drop for Successors {
    fn drop(&mut self) {
        for process in &self.0 {
            let _ = kill_process(*process, Signal::KILL);
        }
    }
}

impl Successors {
    /// Asks the process for a successor, and waits until that serves.
    fn next(&mut self, server: &Server) -> Pid {
        let last = self.0.last().copied().unwrap_or(server.pid());
        let nth = self.0.len();
        kill_process(last, Signal::USR2).unwrap();
        let said = eventually("a successor", || {
            let said = server.stderr.so_far();
            let line = said.lines().filter(|line| line.contains("serves from now on")).nth(nth);
            line.map(str::to_owned)
        });
        let number = said.split(' ').nth(2).unwrap().parse().unwrap();
        let process = Pid::from_raw(number).unwrap();
        self.0.push(process);
        process
    }
}

/// Each request on a connection of its own.
fn ask_afresh(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).expect("not refused");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("not reset");
    assert!(answer.ends_with(b"\r\n\r\nhello\n"), "{}", String::from_utf8_lossy(&answer));
}

fn ten_successors_take_over_and_no_client_notices(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--driver", driver, "--admin", "0"]);
    let address = server.address;
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
            thread::spawn(move || {
                let mut stays = None;
                while !over.load(Ordering::SeqCst) {
                    if number % 2 == 0 {
                        ask_afresh(address);
                    } else {
                        // As a client that keeps its connection for as long as it is told it may.
                        let mut client = stays.take().unwrap_or_else(|| Client::connect(address));
                        let answer = client.get("/hello");
                        assert_eq!(answer.body, b"hello\n");
                        if !answer.head.contains("Connection: close") {
                            stays = Some(client);
                        }
                    }
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut successors = Successors(Vec::new());
    for _ in 0..10 {
        let before = asked.load(Ordering::SeqCst);
        successors.next(&server);
        // All four go on.
        eventually("they ask", || (asked.load(Ordering::SeqCst) > before + 20).then_some(()));
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no client noticed");
    }
    let last = successors.0.last().copied().unwrap();
    let (status, said) = {
        kill_process(last, Signal::TERM).unwrap();
        eventually("the end of the last", || ended(last).then_some(()));
        server.ended()
    };
    assert_eq!(status.code(), Some(0), "{said}");
    TcpStream::connect(address).expect_err("nobody is left who listens");
}

#[test]
fn a_successor_that_fails_leaves_the_old_one_serving() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    fs::write(folder.path().join("site/hello"), "hello\n").unwrap();
    let config = folder.path().join("serve.toml");
    fs::write(&config, "idle-timeout = \"7s\"\n").unwrap();
    let mut command = sockeye();
    command.arg("serve").arg(folder.path().join("site")).args(["--port", "0", "--config"]);
    let server = Server::of(command.arg(&config));
    fs::write(&config, "idle-tmeout = \"7s\"\n").unwrap();
    server.signal(Signal::USR2);
    server.stderr.wait_for("did you mean idle-timeout?");
    server
        .stderr
        .wait_for("sockeye: SIGUSR2: the new process failed; this process goes on serving");
    ask_afresh(server.address);
    server.stop();
}

#[test]
fn the_file_of_a_unix_socket_is_left_to_the_successor_who_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let socket = folder.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let words = ["--listen", "127.0.0.1:0", "--listen", &listen];
    let server = Server::of(sockeye().arg("serve").arg(folder.path()).args(words));
    let mut successors = Successors(Vec::new());
    let successor = successors.next(&server);
    let (status, said) = {
        // Its pipes are the successor's too.
        let process = server.pid();
        eventually("the end of the first", || ended(process).then_some(()));
        let mut stream = UnixStream::connect(&socket).expect("the file is there");
        stream.write_all(b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello\n"), "{answer}");
        kill_process(successor, Signal::TERM).unwrap();
        server.ended()
    };
    assert_eq!(status.code(), Some(0), "{said}");
    eventually("the file goes with it", || (!socket.exists()).then_some(()));
}

/// Whether nothing but its status is left of a child.
fn ended(process: Pid) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}
