//! Thousands of connections that say little or nothing, and one client that wants something.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::kit::client::{self, Client, get};
use crate::kit::folder::noise;
use crate::kit::server::Server;
use crate::kit::{DRIVERS, eventually, skip};

on_every_driver!(
    the_usual_bound_leaves_descriptors_for_files,
    those_who_are_too_many_take_no_descriptors,
);

/// What is promised: an answer within this time, whoever else is there.
pub(crate) const PROMPT: Duration = Duration::from_secs(1);

/// This process may have as many descriptors as the server: one crowd at a time.
pub(crate) static ROOM: Mutex<()> = Mutex::new(());

macro_rules! crowds {
    ($($name:ident $driver:literal $many:literal;)*) => {$(
        #[test]
        fn $name() {
            hold(stringify!($name), $driver, $many);
        }
    )*};
}

crowds! {
    fifteen_thousand_who_wait_keep_nobody_waiting_select "select" 15_000;
    fifteen_thousand_who_wait_keep_nobody_waiting_poll "poll" 15_000;
    fifteen_thousand_who_wait_keep_nobody_waiting_epoll "epoll" 15_000;
    fifteen_thousand_who_wait_keep_nobody_waiting_epoll_edge "epoll-edge" 15_000;
    fifteen_thousand_who_wait_keep_nobody_waiting_uring "uring" 15_000;
    fifteen_thousand_who_wait_keep_nobody_waiting_busy "busy" 15_000;
    two_thousand_who_wait_keep_nobody_waiting_blocking "blocking" 2000;
}

/// Half a head.
pub(crate) const HALF: &[u8] = b"GET /hello HTTP/1.1\r\nHo";

/// Memory a connection may take that waits; with a thread of its own, that of its stack, too.
const EACH: u64 = 16 << 10;
const EACH_WITH_THREAD: u64 = 96 << 10;

/// Lets this process have as many descriptors as it may have; how many those are.
pub(crate) fn all_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    limit.unwrap_or(u64::MAX)
}

/// One in three has sent the half of a head.
fn hold(test: &str, driver: &str, many: usize) {
    let _alone = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
    if all_descriptors() < many as u64 + 1000 {
        return skip(test, "the limit on descriptors is too low (ulimit -Hn)");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let patient = ["--idle-timeout", "10m", "--head-timeout", "10m"];
    let server = Server::start(folder.path(), &[&["--driver", driver], &patient[..]].concat());
    let (before, memory) = (server.descriptors(), server.memory());
    let mut crowd: Vec<TcpStream> = (0..many).map(|each| join(server.address, each)).collect();

    eventually("the server holds them all", || {
        assert_eq!(get(server.address, "/hello").text(), "hello\n");
        (server.descriptors() >= before + many).then_some(())
    });
    // The machine has other things to do as well: it is the server's delay that counts.
    let fastest = (0..5).map(|_| answer_time(server.address)).min().unwrap();
    assert!(fastest < PROMPT, "an answer took {fastest:?}");
    let each = server.most_memory().saturating_sub(memory) / many as u64;
    let most = if driver == "blocking" { EACH_WITH_THREAD } else { EACH };
    assert!(each < most, "{each} bytes for each connection");

    // None of them was given up: half a head can still become a request.
    for each in [0, many / 2 / 3 * 3, (many - 1) / 3 * 3] {
        let stream = &mut crowd[each];
        stream.write_all(b"st: test\r\n\r\n").unwrap();
        let mut client = Client::of(stream.try_clone().unwrap());
        assert_eq!(client.answer().text(), "hello\n", "{each}");
    }
    drop(crowd);
    server.stop();
}

fn answer_time(server: SocketAddr) -> Duration {
    let start = Instant::now();
    assert_eq!(get(server, "/hello").status, 200);
    start.elapsed()
}

/// From one of several addresses, since ports are few.
pub(crate) fn join(server: SocketAddr, each: usize) -> TcpStream {
    let socket = client::socket();
    let host = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(each % 8).unwrap());
    rustix::net::bind(&socket, &SocketAddrV4::new(host, 0)).unwrap();
    rustix::net::connect(&socket, &server).unwrap();
    let mut stream = TcpStream::from(socket);
    if each.is_multiple_of(3) {
        stream.write_all(HALF).unwrap();
    }
    stream
}

/// However few it may have. A limit that is not told of is no limit, but a failure.
fn the_usual_bound_leaves_descriptors_for_files(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large"), noise(1, LARGE)).unwrap();
    let limited = "ulimit -n 200 && exec \"$0\" serve \"$1\" --port 0 --driver \"$2\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_sockeye")]).arg(folder.path()).arg(driver);
    let server = Server::of(&mut shell);
    let mut first = Client::connect(server.address);
    assert_eq!(first.get("/large").body.len(), LARGE);
    let crowd: Vec<TcpStream> = (0..250).map(|each| join(server.address, each)).collect();
    let mut last = Client::connect(server.address);
    server.stderr.wait_for("connections are open, as many as may be (--max-connections)");
    assert_eq!(first.get("/large").body.len(), LARGE);
    drop(crowd);
    assert_eq!(last.get("/large").body.len(), LARGE);
    drop((first, last));
    let said = server.stop();
    assert!(!said.contains("accept: "), "{said}");
}

/// Too long to be kept in memory.
const LARGE: usize = 100_000;

fn those_who_are_too_many_take_no_descriptors(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--driver", driver, "--max-connections", "10"]);
    let before = server.descriptors();
    let crowd: Vec<TcpStream> = (0..100).map(|each| join(server.address, each)).collect();
    server.stderr.wait_for("sockeye: 10 connections are open");
    // One of each connection, and one more where a thread serves it alone.
    let taken = server.descriptors() - before;
    assert!(taken <= 20, "{taken} descriptors for 10 connections");
    drop(crowd);
    assert_eq!(get(server.address, "/hello").text(), "hello\n");
    server.stop();
}

/// Whichever thread the kernel hands a connection to.
#[test]
fn few_connections_at_once_are_enough_for_many_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    for driver in DRIVERS {
        for most in ["1", "2", "3"] {
            let server =
                Server::start(folder.path(), &["--driver", driver, "--max-connections", most]);
            for _ in 0..20 {
                assert_eq!(get(server.address, "/hello").text(), "hello\n", "{driver} {most}");
            }
            server.stop();
        }
    }
}

#[test]
fn who_is_one_too_many_waits_until_another_goes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    for driver in DRIVERS {
        let server = Server::start(folder.path(), &["--driver", driver, "--max-connections", "2"]);
        let mut held = [(); 2].map(|()| Client::connect(server.address));
        for client in &mut held {
            assert_eq!(client.get("/hello").text(), "hello\n", "{driver}");
        }
        let mut third = Client::connect(server.address);
        third.send("GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
        let line = server.stderr.wait_for("--max-connections");
        assert_eq!(
            line,
            "sockeye: 2 connections are open, as many as may be (--max-connections); others wait"
        );
        drop(held);
        assert_eq!(third.answer().text(), "hello\n", "{driver}");
        drop(third);
        server.stop();
    }
}
