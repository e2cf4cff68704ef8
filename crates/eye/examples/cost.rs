//! What an open eye costs: nanoseconds of the serving thread for each call and message it
//! reports, and of the eye's own thread for each record and each packet.
//!
//! `cargo run --release -p sockeye-eye --example cost`

#![allow(clippy::print_stdout, reason = "a measurement is for its reader")]

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Operation, Probe, Role, Stamp};
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Eye, Options, Sink};

/// Sends how many segments a connection had and how many records it lost.
struct Tally(Sender<(u64, u64)>);

impl Sink for Tally {
    fn ended(&mut self, history: &History) {
        let _ = self.0.send((history.totals.segments.iter().sum(), history.lost.calls));
    }

    fn ended_in_short(&mut self, history: &History) {
        self.ended(history);
    }

    fn say(&mut self, line: &str) {
        println!("{line}");
    }
}

const RECORDS: u64 = 4_000_000;
/// Less than the eye's inbox holds.
const BURST: u64 = 10_000;
const TURNS: u64 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let at = Stamp::now();
    let call = Call {
        operation: Operation::Recv,
        start: at,
        end: at,
        asked: 4096,
        result: Ok(10),
        offset: 0,
    };
    report("call", &|probe, conn, index| {
        probe.call(conn, &Call { offset: index * 10, ..call });
    })?;
    report("message", &|probe, conn, index| {
        let range = index * 10..index * 10 + 10;
        probe.message(conn, Direction::Received, range, format_args!("GET /page/{index}"));
    })?;
    packets()
}

/// Reports many records of one connection.
fn report(name: &str, record: &dyn Fn(&dyn Probe, ConnId, u64)) -> Result<(), Box<dyn Error>> {
    let (eye, ended, listener) = open(false)?;
    let probe = eye.source().probe();
    let client = TcpStream::connect(listener.local_addr()?)?;
    let stream = accept(&*probe, &listener)?;
    let began = eye_cpu()?;
    let mut serving = Duration::ZERO;
    for burst in 0..RECORDS / BURST {
        let start = Instant::now();
        for index in burst * BURST..(burst + 1) * BURST {
            record(&*probe, ConnId(1), index);
            // As often as a busy event loop would be about to wait.
            if index % 100 == 0 {
                probe.flush();
            }
        }
        serving += start.elapsed();
        // What is lost is not what is to be measured here.
        thread::park_timeout(Duration::from_millis(2));
    }
    let serving = serving.as_nanos() as f64 / RECORDS as f64;
    drop((stream, client));
    probe.closed(ConnId(1));
    probe.flush();
    let (_, lost) = ended.recv()?;
    let taken = RECORDS - lost;
    let seeing = (eye_cpu()? - began) as f64 / taken as f64;
    println!(
        "{name}: {serving:.0} ns reporting, {seeing:.0} ns on the eye's thread, \
         {:.1} % lost",
        100.0 * lost as f64 / RECORDS as f64
    );
    drop(probe);
    eye.close();
    Ok(())
}

/// Lets one byte go to and fro, unreported but captured.
fn packets() -> Result<(), Box<dyn Error>> {
    let (eye, ended, listener) = open(true)?;
    if let Some(missing) = eye.missing() {
        println!("{missing}");
        return Ok(());
    }
    let probe = eye.source().probe();
    probe.listening(Some(listener.as_fd()), listener.local_addr()?);
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    let mut stream = accept(&*probe, &listener)?;
    stream.set_nodelay(true)?;
    let began = eye_cpu()?;
    for _ in 0..TURNS {
        client.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
        stream.write_all(&[2])?;
        client.read_exact(&mut [0])?;
    }
    drop((client, stream));
    probe.closed(ConnId(1));
    let (segments, _) = ended.recv()?;
    let seeing = (eye_cpu()? - began) as f64 / segments as f64;
    println!("packet: {seeing:.0} ns on the eye's thread, {segments} of them");
    drop(probe);
    eye.close();
    Ok(())
}

/// An eye, what it tells of connections that end, and the listener it looks at.
type Watched = (Eye, Receiver<(u64, u64)>, TcpListener);

fn open(capture: bool) -> Result<Watched, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (sender, ended) = channel();
    // What samples of queues cost does not depend on how many records there are.
    let options = Options { capture, queues: false, ..Options::to(Tally(sender)) };
    let eye = Eye::open(&[listener.local_addr()?], options)?;
    Ok((eye, ended, listener))
}

fn accept(probe: &dyn Probe, listener: &TcpListener) -> Result<TcpStream, Box<dyn Error>> {
    let (stream, peer) = listener.accept()?;
    let local = stream.local_addr()?;
    let (local, peer) = (local.into(), peer.into());
    let opened = Opened { conn: ConnId(1), role: Role::Server, local, peer, at: Stamp::now() };
    probe.opened(Some(stream.as_fd()), &opened);
    Ok(stream)
}

/// Nanoseconds of processor the thread named `eye` has had.
fn eye_cpu() -> Result<u64, Box<dyn Error>> {
    loop {
        for task in fs::read_dir("/proc/self/task")? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "eye") {
                let statistics = fs::read_to_string(task.join("schedstat"))?;
                return Ok(statistics.split(' ').next().unwrap_or_default().parse()?);
            }
        }
        // A thread takes its name only when it begins to run.
        thread::yield_now();
    }
}
