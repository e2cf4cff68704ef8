//! Dropping a future half-way loses nothing, repeats nothing and leaks nothing.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use sockeye_engine::{DriverKind, Usage, spawn};

use crate::peer::narrow_connection;
use crate::{
    Either, adopt, connection, either, engine, on_every_driver, turns, until, until_closed,
};

/// A small generator with a seed, so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // Xorshift (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is there").count()
}

/// Bytes of one write, less than this.
const LONGEST: u64 = 20_000;

/// Both directions of one connection carry a numbered stream while the futures that receive and
/// send are dropped at random; every byte must arrive once and in order.
fn drops(kind: DriverKind, seed: u64, count: u32) {
    let engine = engine(kind);
    let (ours, theirs) = narrow_connection();
    let mut reader = theirs.try_clone().expect("a descriptor");
    let mut writer = theirs;
    let (resume, resumed) = mpsc::channel();
    let writing = std::thread::spawn(move || {
        let bytes: Vec<u8> = (0..251).collect();
        for part in 0..4000 {
            // Most of the receives that are dropped find nothing.
            if part == 2000 {
                let _ = resumed.recv();
            }
            if writer.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = writer.shutdown(std::net::Shutdown::Write);
    });
    let reading = std::thread::spawn(move || {
        let (mut all, mut buffer) = (0u64, vec![0; 5000]);
        let expected: Vec<u8> = (0..5241u32).map(|n| (n % 241) as u8).collect();
        while let Ok(count) = reader.read(&mut buffer) {
            if count == 0 {
                break;
            }
            let start = (all % 241) as usize;
            assert!(buffer[..count] == expected[start..start + count], "from byte {all} on");
            all += count as u64;
        }
        all
    });
    let (dropped, written) = engine.block_on(async {
        let mut stream = adopt(ours);
        let mut random = Random(seed);
        // Cut and not made anew, so that we are quicker than the reader, and flushes have to wait.
        let pattern: bytes::Bytes = (0..LONGEST + 241).map(|n| (n % 241) as u8).collect();
        let (mut dropped, mut received, mut written) = (0, 0u64, 0u64);
        let mut ended = false;
        while dropped < count {
            if random.below(2) == 0 && !ended {
                let patience = random.below(3);
                match either(stream.recv(), turns(patience)).await {
                    Either::One(chunk) => {
                        let chunk = chunk.expect("connected");
                        ended = chunk.is_empty();
                        for byte in &chunk[..] {
                            assert_eq!(u64::from(*byte), received % 251, "byte {received}");
                            received += 1;
                        }
                    }
                    Either::Other(()) => dropped += 1,
                }
            } else {
                let len = random.below(LONGEST);
                let count = usize::try_from(len).expect("a short write");
                let start = (written % 241) as usize;
                let bytes = pattern.slice(start..start + count);
                written += len;
                if random.below(2) == 0 {
                    stream.write(&bytes);
                } else {
                    stream.write_shared(bytes);
                }
                // Bounded, so that dropped flushes don't pile up.
                let patience =
                    if stream.unflushed() > 1 << 18 { u64::MAX } else { random.below(3) };
                match either(stream.flush(), turns(patience)).await {
                    Either::One(flushed) => flushed.expect("connected"),
                    Either::Other(()) => dropped += 1,
                }
            }
        }
        resume.send(()).expect("the writer waits");
        stream.flush().await.expect("connected");
        while !ended {
            let chunk = stream.recv().await.expect("connected");
            ended = chunk.is_empty();
            for byte in &chunk[..] {
                assert_eq!(u64::from(*byte), received % 251, "byte {received}");
                received += 1;
            }
        }
        assert_eq!(received, 4000 * 251);
        stream.shutdown_write().expect("connected");
        (dropped, written)
    });
    writing.join().expect("the writer ends");
    assert_eq!(reading.join().expect("the reader ends"), written, "{kind}, seed {seed}");
    assert_eq!(dropped, count);
    engine.block_on(until_closed(&engine));
    assert_eq!(engine.usage(), Usage::default(), "{kind}, seed {seed}");
}

/// Drops on each driver: `SOCKEYE_CANCELS`, or ten thousand.
fn cancels() -> u32 {
    let count = std::env::var("SOCKEYE_CANCELS").ok();
    count.map_or(10_000, |count| count.parse().expect("SOCKEYE_CANCELS is a number"))
}

/// Drops on one connection.
const ROUND: u32 = 2_500;

#[test]
fn ten_thousand_random_drops_lose_repeat_and_leak_nothing() {
    // Descriptors are counted, so the test has a process of its own.
    const ALONE: &str = "SOCKEYE_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = Command::new(std::env::current_exe().expect("this program"));
        let name = "cancel::ten_thousand_random_drops_lose_repeat_and_leak_nothing";
        let output = alone.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output();
        let output = output.expect("it starts");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        println!("{text}");
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let only = std::env::var("SOCKEYE_DRIVER").ok();
    on_every_driver(|kind| {
        if only.as_ref().is_some_and(|only| only != kind.name()) {
            return;
        }
        let (before, start) = (descriptors(), std::time::Instant::now());
        let rounds = cancels().div_ceil(ROUND);
        for seed in 1..=rounds {
            drops(kind, u64::from(seed) * 0x9e37_79b9_7f4a, ROUND);
        }
        assert_eq!(descriptors(), before, "{kind}");
        let seconds = start.elapsed().as_secs_f64();
        println!("{kind}: {} drops in {seconds:.1} s", rounds * ROUND);
    });
}

#[test]
fn closing_with_receives_and_sends_in_flight_leaks_no_descriptor_and_no_buffer() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let mut random = Random(0x5851_f42d_4c95_7f2d);
        for _ in 0..300 {
            let (ours, theirs) = connection();
            let patience = random.below(4);
            let unread = random.below(2) == 0;
            engine.block_on(async {
                let mut stream = adopt(ours);
                stream.write(&vec![7; 9_000_000]);
                let flushed = either(stream.flush(), turns(patience)).await;
                assert!(matches!(flushed, Either::Other(())), "nobody reads nine megabytes");
                if unread {
                    (&theirs).write_all(b"never read").expect("connected");
                }
                let received = either(stream.recv(), turns(patience)).await;
                drop(received);
            });
        }
        engine.block_on(until_closed(&engine));
        assert_eq!(engine.usage(), Usage::default(), "{kind}");
    });
}

#[test]
fn an_engine_that_is_dropped_closes_what_its_tasks_held() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let mut ends = Vec::new();
        let started = Rc::new(Cell::new(0));
        engine.block_on(async {
            for _ in 0..50 {
                let (ours, theirs) = connection();
                ends.push(theirs);
                let started = Rc::clone(&started);
                spawn(async move {
                    let mut stream = adopt(ours);
                    stream.write(&vec![1; 5_000_000]);
                    started.set(started.get() + 1);
                    let _ = either(stream.recv(), std::future::pending::<()>()).await;
                });
            }
            until(|| (started.get() == 50).then_some(())).await;
        });
        drop(engine);
        for mut end in ends {
            end.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
            let mut rest = Vec::new();
            end.read_to_end(&mut rest).expect("closed, and nothing of it hangs");
        }
    });
}
