//! The attacks themselves.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::poll;
use rustix::time::Timespec;

use super::attacker::{Attacker, Traffic};
use crate::crowd;
use crate::kit::eventually;

/// One attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What a plain client would ask for instead.
    pub(super) plain: &'static str,
    /// How many connections it has at once.
    pub(super) connections: usize,
    pub(super) run: fn(&Field) -> Traffic,
}

/// Where an attack takes place.
pub(super) struct Field {
    pub(super) address: SocketAddr,
    /// How long it goes on, in rounds.
    pub(super) rounds: usize,
    /// How many honest requests were answered meanwhile; `usize::MAX` where nobody asks.
    pub(super) answered: AtomicUsize,
}

pub(super) const ATTACKS: [Attack; 11] = [
    Attack { name: "slow head", plain: "/hello", connections: SLOW, run: slow_head },
    Attack { name: "slow body", plain: "/hello", connections: SLOW, run: slow_body },
    Attack { name: "slow read", plain: "/big", connections: SLOW_READERS, run: slow_read },
    Attack { name: "head of 63 kB in pieces", plain: "/hello", connections: HEADS, run: long_head },
    Attack { name: "header of 100 kB", plain: "/hello", connections: 1, run: one_header },
    Attack { name: "1,000 headers", plain: "/hello", connections: 1, run: many_headers },
    Attack { name: "64 ranges of a byte", plain: "/file", connections: 1, run: tiny_ranges },
    Attack { name: "60 overlapping ranges", plain: "/file", connections: 1, run: same_ranges },
    Attack { name: "1,300 overlapping ranges", plain: "/file", connections: 1, run: many_ranges },
    Attack { name: "500 requests at once", plain: "/hello", connections: 1, run: pipeline },
    Attack { name: "idle connections", plain: "/hello", connections: IDLE, run: idle },
];

/// The same with as many as the server has to bear.
pub(super) const CROWD: Attack =
    Attack { name: "idle connections", plain: "/hello", connections: 15_000, run: crowd };

const SLOW: usize = 200;
const SLOW_READERS: usize = 50;
const HEADS: usize = 50;
const IDLE: usize = 500;

/// A request as any client makes it, on a connection of its own.
pub(super) fn plain(address: SocketAddr, target: &str) -> Traffic {
    let mut client = Attacker::connect(address);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    client.finish()
}

/// Slowloris: a byte of a head now and then.
fn slow_head(field: &Field) -> Traffic {
    trickle(field, b"GET /hello HTTP/1.1\r\nHost: test\r\nX: ", b"x")
}

/// R-U-Dead-Yet: a chunk of a byte now and then.
fn slow_body(field: &Field) -> Traffic {
    let head = b"GET /hello HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    trickle(field, head, b"1\r\nx\r\n")
}

fn trickle(field: &Field, first: &[u8], then: &[u8]) -> Traffic {
    let mut attackers: Vec<_> = (0..SLOW).map(|_| Attacker::connect(field.address)).collect();
    attackers.iter_mut().for_each(|attacker| attacker.send(first));
    // So long that each piece comes alone: that costs a server most.
    let pause = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    for _ in 0..field.rounds {
        attackers.iter_mut().for_each(|attacker| attacker.send(then));
        poll(&mut [], Some(&pause)).unwrap();
    }
    finish(attackers)
}

/// A large file, of which a byte is taken now and then.
fn slow_read(field: &Field) -> Traffic {
    let connect = |_| Attacker::connect_narrow(field.address);
    let mut attackers: Vec<_> = (0..SLOW_READERS).map(connect).collect();
    for attacker in &mut attackers {
        attacker.send(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    for _ in 0..field.rounds {
        attackers.iter_mut().for_each(Attacker::sip);
    }
    sum(attackers.into_iter().map(Attacker::go))
}

/// As long as a head may be, and looked at anew with every piece.
fn long_head(field: &Field) -> Traffic {
    let header = format!("X: {}\r\n", "x".repeat(495));
    let head = format!("GET /hello HTTP/1.1\r\nHost: test\r\n{}\r\n", header.repeat(126));
    let mut attackers: Vec<_> = (0..HEADS).map(|_| Attacker::connect(field.address)).collect();
    for piece in head.as_bytes().chunks(1000) {
        attackers.iter_mut().for_each(|attacker| attacker.send(piece));
    }
    finish(attackers)
}

fn one_header(field: &Field) -> Traffic {
    let header = format!("X: {}\r\n", "x".repeat(100_000));
    one_by_one(field, &format!("GET /hello HTTP/1.1\r\nHost: test\r\n{header}\r\n"))
}

fn many_headers(field: &Field) -> Traffic {
    let headers = "X: x\r\n".repeat(1000);
    one_by_one(field, &format!("GET /hello HTTP/1.1\r\nHost: test\r\n{headers}\r\n"))
}

/// As many parts as there may be, each with a head that is longer than itself.
fn tiny_ranges(field: &Field) -> Traffic {
    let ranges: Vec<_> = (0..64).map(|at| format!("{0}-{0}", at * 1000)).collect();
    ranges_of(field, &ranges)
}

/// The killer of Apache (CVE-2011-3192).
fn same_ranges(field: &Field) -> Traffic {
    let ranges: Vec<_> = (0..60).map(|at| format!("{at}-")).collect();
    ranges_of(field, &ranges)
}

/// More than there may be: the whole, once.
fn many_ranges(field: &Field) -> Traffic {
    let ranges: Vec<_> = (0..1300).map(|at| format!("5-{at}")).collect();
    ranges_of(field, &ranges)
}

fn ranges_of(field: &Field, ranges: &[String]) -> Traffic {
    let ranges = ranges.join(",");
    let head = format!("GET /file HTTP/1.1\r\nHost: test\r\nRange: bytes={ranges}\r\n\r\n");
    one_by_one(field, &head)
}

fn pipeline(field: &Field) -> Traffic {
    one_by_one(field, &"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n".repeat(500))
}

/// The same on connection after connection.
fn one_by_one(field: &Field, bytes: &str) -> Traffic {
    sum((0..field.rounds).map(|_| {
        let mut attacker = Attacker::connect(field.address);
        attacker.send(bytes.as_bytes());
        attacker.finish()
    }))
}

fn idle(field: &Field) -> Traffic {
    wait_around(field, IDLE)
}

fn crowd(field: &Field) -> Traffic {
    wait_around(field, CROWD.connections)
}

/// One in three has sent the half of a head. All stay until others were answered beside them.
fn wait_around(field: &Field, many: usize) -> Traffic {
    let crowd: Vec<_> = (0..many).map(|each| crowd::join(field.address, each)).collect();
    let before = field.answered.load(Ordering::Relaxed);
    eventually("others are answered", || {
        let answered = field.answered.load(Ordering::Relaxed);
        (answered == usize::MAX || answered >= before + 20).then_some(())
    });
    drop(crowd);
    Traffic { sent: (many.div_ceil(3) * crowd::HALF.len()) as u64, received: 0 }
}

fn finish(attackers: Vec<Attacker>) -> Traffic {
    sum(attackers.into_iter().map(Attacker::finish))
}

fn sum(all: impl Iterator<Item = Traffic>) -> Traffic {
    let mut sum = Traffic::default();
    all.for_each(|traffic| sum += traffic);
    sum
}
