//! Who means no good costs the server little, and keeps nobody else waiting.
//!
//! Each attack runs twice: once beside an honest client, whose answers are timed, and once alone, when
//! bytes and processor time are counted. What it costs is told by its own effort, the bytes it sends, and
//! compared with plain requests for the same file.

mod attacker;
mod kinds;
mod table;

use std::fs;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::crowd::{PROMPT, ROOM, all_descriptors};
use crate::kit::client::get;
use crate::kit::eventually;
use crate::kit::folder::{noise, sparse};
use crate::kit::server::Server;
use attacker::Traffic;
use kinds::{ATTACKS, Attack, CROWD, Field, plain};

on_every_driver!(an_attack_costs_its_maker_more_than_others);

/// Cost per byte of an attack over that of a plain request's.
const MOST: f64 = 10.0;

/// Memory a server may take beyond what it had, whatever comes: buffers that are shared by all.
const MEMORY: u64 = 24 << 20;

/// Memory each connection may take: the longest head, and what belongs to it.
const MEMORY_EACH: u64 = 80 << 10;

/// What an attack cost the server.
struct Measured {
    name: &'static str,
    connections: usize,
    traffic: Traffic,
    /// Bytes out per byte in, over the same of plain requests.
    bytes: f64,
    /// Processor time per byte in, over the same of plain requests.
    time: f64,
    /// Memory beyond what there was before.
    memory: u64,
    /// The longest an honest client waited for its answer.
    slowest: Duration,
    /// Honest answers meanwhile.
    answers: usize,
}

fn an_attack_costs_its_maker_more_than_others(driver: &str) {
    let folder = folder();
    for attack in &ATTACKS {
        let measured = measure(folder.path(), driver, attack, 40);
        let name = measured.name;
        assert!(measured.bytes < MOST, "{name}: {:.1} × the bytes", measured.bytes);
        // This driver takes all the time there is, asked or not.
        if driver != "busy" {
            assert!(measured.time < MOST, "{name}: {:.1} × the time", measured.time);
        }
        let most = MEMORY + MEMORY_EACH * measured.connections as u64;
        assert!(measured.memory < most, "{name}: {} kB", measured.memory / 1024);
    }
}

/// Written anew only if that is asked for.
#[test]
fn the_table_of_attacks_names_each() {
    if std::env::var_os("SOCKEYE_WRITE_TABLE").is_some() {
        let _alone = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(all_descriptors() > CROWD.connections as u64 + 1000, "ulimit -Hn is too low");
        let folder = folder();
        let kinds = ATTACKS.iter().filter(|attack| attack.name != CROWD.name).chain([&CROWD]);
        let all = kinds.map(|attack| measure(folder.path(), "epoll-edge", attack, 200));
        table::write(&all.collect::<Vec<_>>());
    }
    let table = table::read();
    for attack in &ATTACKS {
        assert!(table.contains(&format!("\n| {} |", attack.name)), "{}", attack.name);
    }
}

/// What is attacked, and what plain clients ask for.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    fs::write(folder.path().join("file"), noise(1, 1 << 20)).unwrap();
    sparse(&folder.path().join("big"), 50_000_000);
    folder
}

fn measure(folder: &std::path::Path, driver: &str, attack: &Attack, rounds: usize) -> Measured {
    all_descriptors();
    let patient = ["--idle-timeout", "10m", "--head-timeout", "10m", "--body-timeout", "10m"];
    let server = Server::start(folder, &[&["--driver", driver], &patient[..]].concat());
    plain(server.address, "/hello");
    plain(server.address, attack.plain);
    let before = server.memory();

    let (answers, slowest) = beside(server.address, attack, rounds);
    let memory = server.most_memory().saturating_sub(before);
    let field = Field { address: server.address, rounds, answered: AtomicUsize::new(usize::MAX) };
    let (traffic, time) = timed(&server, || (attack.run)(&field));

    // As many as it takes to see their time on a clock of 10 ms.
    let enough = Duration::from_millis(200);
    let (mut plains, mut plain_time) = (Traffic::default(), Duration::ZERO);
    while plain_time < enough {
        let (traffic, time) = timed(&server, || plain(server.address, attack.plain));
        plains += traffic;
        plain_time += time;
    }
    server.stop();
    let per_byte = |what: f64, traffic: Traffic| what / traffic.sent as f64;
    Measured {
        name: attack.name,
        connections: attack.connections,
        traffic,
        bytes: per_byte(traffic.received as f64, traffic)
            / per_byte(plains.received as f64, plains),
        time: per_byte(time.as_secs_f64(), traffic) / per_byte(plain_time.as_secs_f64(), plains),
        memory,
        slowest,
        answers,
    }
}

/// An honest client asks for as long as the attack takes, each time on a new connection.
fn beside(address: SocketAddr, attack: &Attack, rounds: usize) -> (usize, Duration) {
    let field = Field { address, rounds, answered: AtomicUsize::new(0) };
    let mut times = Vec::new();
    thread::scope(|scope| {
        let attacker = scope.spawn(|| (attack.run)(&field));
        while !attacker.is_finished() || times.is_empty() {
            let start = Instant::now();
            assert_eq!(get(address, "/hello").text(), "hello\n", "{}", attack.name);
            times.push(start.elapsed());
            field.answered.fetch_add(1, Ordering::Relaxed);
        }
    });
    // The machine has other things to do as well: it is the server's delay that counts.
    let fastest = times.iter().min().unwrap();
    assert!(*fastest < PROMPT, "{}: an answer took {fastest:?}", attack.name);
    (times.len(), *times.iter().max().unwrap())
}

/// What was done, and the server's processor time for it, to the end of its connections.
fn timed(server: &Server, act: impl FnOnce() -> Traffic) -> (Traffic, Duration) {
    let (sockets, before) = (server.sockets(), server.processor_time());
    let traffic = act();
    eventually("its connections are over", || (server.sockets() <= sockets).then_some(()));
    (traffic, server.processor_time() - before)
}
