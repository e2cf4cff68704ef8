//! Other programs' traffic across a port that both tcpdump and the eye see: nginx and curl, iperf3,
//! redis. Every segment is placed as tshark places it, and every connection counted alike.
//!
//! Where either side says that its kernel buffer had no room for some packets, they can't agree; then
//! the traffic is made once more.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustix::event::poll;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::Timespec;
use sockeye_engine::probe::Direction;
use sockeye_eye::capture::Targets;
use sockeye_eye::record::{Event, History};
use sockeye_eye::recorder::{Eye, Options, Sink, Viewer};
use support::{may_capture, skip};
use tempfile::TempDir;

/// So long anything is waited for before it counts as a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// One segment, as both can tell it. Both ends' kernels run at once, so what crosses in opposite
/// directions may be seen in either order; compared is therefore each direction, sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    from_client: bool,
    seq: u32,
    flags: u8,
    start: u64,
    length: u64,
    /// `tcp.ack` counts SYN and FIN.
    ack: Option<u64>,
}

/// One connection.
#[derive(Debug, PartialEq, Eq)]
struct Connection {
    client: SocketAddr,
    server: SocketAddr,
    rows: Vec<Row>,
    /// Packets and bytes, of the client and of the server; bytes sent again count once.
    packets: [u64; 2],
    bytes: [u64; 2],
    /// `tcp.completeness`: 1 SYN, 2 SYN+ACK, 4 the ACK of it, 8 data, 16 FIN, 32 RST.
    went_through: u8,
}

#[test]
fn curl_and_nginx() {
    agree("curl_and_nginx", &["nginx", "curl"], |place, port| {
        let root = place.join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("small"), "hello\n").unwrap();
        fs::write(root.join("large"), vec![7; 1_000_000]).unwrap();
        let configuration = format!(
            "daemon off; master_process off; pid {place}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/p;\n\
             fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
             server {{ listen 127.0.0.1:{port}; root {place}/root; }} }}\n",
            place = place.display(),
        );
        fs::write(place.join("conf"), configuration).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.args(["-e", "stderr", "-p"]).arg(place).arg("-c").arg(place.join("conf"));
        let nginx = Running(nginx.stderr(Stdio::null()).spawn().unwrap());
        wait_for(port);
        let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
        // Several requests on one connection, a failed one, a head, and one that is cut off.
        run("curl", &["-s", &url("small"), &url("large"), &url("none"), &url("small")], true);
        run("curl", &["-s", "-I", &url("large")], true);
        run("curl", &["-s", "--http1.0", &url("large")], true);
        run("curl", &["-s", "--max-filesize", "1000", &url("large")], false);
        nginx
    });
}

#[test]
fn iperf3_in_both_directions() {
    agree("iperf3_in_both_directions", &["iperf3"], |_, port| {
        let port = port.to_string();
        let mut server = Command::new("iperf3");
        let server = server.args(["-s", "-B", "127.0.0.1", "-p", &port, "--forceflush"]);
        let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap());
        let running = Running(server);
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "iperf3 ended");
        }
        // What it prints from now on is read and forgotten.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        for more in [&[][..], &["-R"]] {
            let mut client = Command::new("iperf3");
            client.args(["-c", "127.0.0.1", "-p", &port, "-n", "5M"]).args(more);
            client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // It refuses the next one until it is done with the one before.
            eventually("a server that is not busy", || {
                client.status().unwrap().success().then_some(())
            });
        }
        running
    });
}

#[test]
fn redis_requests_and_replies() {
    let programs = ["redis-server", "redis-cli", "redis-benchmark"];
    agree("redis_requests_and_replies", &programs, |place, port| {
        let number = port.to_string();
        let mut server = Command::new("redis-server");
        server.args(["--port", &number, "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(place);
        let server = Running(server.stdout(Stdio::null()).spawn().unwrap());
        wait_for(port);
        for words in [&["PING"][..], &["SET", "key", "value"], &["GET", "key"], &["INFO"]] {
            run("redis-cli", &[&["-p", &number][..], words].concat(), true);
        }
        let load = ["-p", &number, "-n", "300", "-c", "4", "-t", "set,get", "-d", "100", "-q"];
        run("redis-benchmark", &load, true);
        let pipelined = ["-p", &number, "-n", "2000", "-c", "2", "-P", "100", "-t", "lpush", "-q"];
        run("redis-benchmark", &pipelined, true);
        server
    });
}

/// A program that is ended with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(program: &str, arguments: &[&str], succeeds: bool) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), succeeds, "{program} {arguments:?}: {said}");
}

fn wait_for(port: u16) {
    eventually("a server that listens", || TcpStream::connect(("127.0.0.1", port)).ok());
}

fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if let Some(answer) = ask() {
            return answer;
        }
        poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 })).unwrap();
    }
    panic!("in vain: {what}");
}

/// Whether these programs are here; says so if not.
fn there_are(test: &str, programs: &[&str]) -> bool {
    for program in programs {
        // Whatever it says of that: it is there.
        let mut asked = Command::new(program);
        asked.arg("-h").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if asked.status().is_err() {
            skip(test, &format!("{program} is missing"));
            return false;
        }
    }
    true
}

struct Collect(Sender<History>);

impl Sink for Collect {
    fn ended(&mut self, history: &History) {
        let _ = self.0.send(history.clone());
    }

    fn ended_in_short(&mut self, history: &History) {
        let _ = self.0.send(history.clone());
    }

    fn say(&mut self, line: &str) {
        panic!("nothing to say, but: {line}");
    }
}

/// Has both look at the traffic and compares what they saw. `traffic` is given a folder and a port,
/// and returns its server when all is said.
fn agree(test: &str, programs: &[&str], traffic: impl Fn(&Path, u16) -> Running) {
    if !may_capture(test) || !there_are(test, &[programs, &["tcpdump", "tshark"]].concat()) {
        return;
    }
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        let (place, port) = (TempDir::new().unwrap(), free_port());
        let tcpdump = Tcpdump::start(port, &place.path().join("pcap"));
        let (sender, ended) = channel();
        let viewer = Viewer::new();
        let options = Options { viewer: Some(viewer.clone()), ..Options::to(Collect(sender)) };
        let eye = Eye::open(Targets::others(&[([127, 0, 0, 1], port).into()]), options).unwrap();
        let server = traffic(place.path(), port);
        let mut histories = all_that_ended(server, port, &viewer, &ended);
        eye.close();
        histories.extend(ended.iter());
        let missed = histories.iter().any(|history| history.lost.packets > 0);
        let (capture, dropped) = tcpdump.stop();
        if missed || dropped {
            continue;
        }
        let ours: Vec<Connection> = histories.iter().map(connection).collect();
        compare(test, ours, connections_of(&capture, port));
        return;
    }
    panic!("{test}: {TRIES} times packets were dropped");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until the eye has nothing more to tell of what happened so far.
fn all_that_ended(
    server: Running,
    port: u16,
    viewer: &Viewer,
    ended: &Receiver<History>,
) -> Vec<History> {
    drop(server);
    // One more connection, refused: what was before it has come by when it has.
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    let mut histories: Vec<History> = Vec::new();
    eventually("the last connection", || {
        histories.extend(ended.try_iter());
        let refused = |history: &History| history.totals.segments == [1, 1];
        histories.iter().any(refused).then_some(())
    });
    eventually("the end of all others", || {
        histories.extend(ended.try_iter());
        viewer.look(None)?.rows.is_empty().then_some(())
    });
    histories
}

/// tcpdump, which writes what it captures into a file.
struct Tcpdump {
    child: Running,
    said: BufReader<std::process::ChildStderr>,
    file: std::path::PathBuf,
}

impl Tcpdump {
    fn start(port: u16, file: &Path) -> Tcpdump {
        let mut child = Command::new("tcpdump")
            .args(["-i", "lo", "-U", "--immediate-mode", "-s", "160", "-B", "32768", "-Z", "root"])
            .arg("-w")
            .arg(file)
            .arg(format!("tcp port {port}"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let child = Running(child);
        let mut line = String::new();
        // It says this once the socket is bound and filtered.
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended before it listened");
        }
        Tcpdump { child, said, file: file.to_owned() }
    }

    /// Its file, and whether something is missing in it.
    fn stop(mut self) -> (std::path::PathBuf, bool) {
        kill_process(Pid::from_child(&self.child.0), Signal::INT).unwrap();
        let mut told = String::new();
        std::io::Read::read_to_string(&mut self.said, &mut told).unwrap();
        self.child.0.wait().unwrap();
        let count = |what: &str| -> u64 {
            let line = told.lines().find(|line| line.ends_with(what)).expect(&told);
            line.split(' ').next().unwrap().parse().unwrap()
        };
        // On lo it filters the copies that leave by itself, and the kernel counts them too.
        (self.file, count("dropped by kernel") > 0)
    }
}

/// Each connection as tshark sees it.
fn connections_of(capture: &Path, port: u16) -> Vec<Connection> {
    const FIELDS: [&str; 11] = [
        "tcp.stream",
        "ip.src",
        "tcp.srcport",
        "ip.dst",
        "tcp.dstport",
        "tcp.seq_raw",
        "tcp.flags",
        "tcp.seq",
        "tcp.len",
        "tcp.ack",
        "tcp.completeness",
    ];
    let output = Command::new("tshark")
        // Twice over the file: what a connection went through is known at its end only.
        .args(["-2", "-n", "-T", "fields", "-E", "separator=,", "-r"])
        .arg(capture)
        .args(FIELDS.iter().flat_map(|field| ["-e", field]))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut streams: BTreeMap<u64, Connection> = BTreeMap::new();
    for line in str::from_utf8(&output.stdout).unwrap().lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |index: usize| fields[index].parse::<u64>().unwrap();
        let address = |ip: usize| -> SocketAddr {
            format!("{}:{}", fields[ip], fields[ip + 1]).parse().unwrap()
        };
        let (source, destination) = (address(1), address(3));
        let from_client = destination.port() == port;
        let (client, server) =
            if from_client { (source, destination) } else { (destination, source) };
        let flags = u16::from_str_radix(fields[6].trim_start_matches("0x"), 16).unwrap();
        let (syn, ack) = (flags & 2 != 0, flags & 16 != 0);
        let row = Row {
            from_client,
            seq: number(5).try_into().unwrap(),
            flags: flags.try_into().unwrap(),
            // Its relative numbers begin with 0 at the SYN.
            start: if syn { 0 } else { number(7) - 1 },
            length: number(8),
            ack: (ack && !syn && flags & 4 == 0).then(|| number(9) - 1),
        };
        let connection = streams.entry(number(0)).or_insert_with(|| Connection {
            client,
            server,
            rows: Vec::new(),
            packets: [0; 2],
            bytes: [0; 2],
            went_through: 0,
        });
        let whose = usize::from(!from_client);
        connection.packets[whose] += 1;
        let end = if row.length > 0 { row.start + row.length } else { 0 };
        connection.bytes[whose] = connection.bytes[whose].max(end);
        connection.rows.push(row);
        connection.went_through = number(10).try_into().unwrap();
    }
    streams.into_values().collect()
}

/// A connection as the eye saw it.
fn connection(history: &History) -> Connection {
    assert_eq!(history.events.left_out(), 0, "all of it was kept");
    let segments = history.events.iter().filter_map(|event| match event {
        Event::Segment(segment) => Some(segment),
        _ => None,
    });
    let mut went_through = 0;
    let mut fins = [None; 2];
    let mut rows = Vec::new();
    for segment in segments {
        let (syn, rst) = (segment.flags.syn(), segment.flags.rst());
        went_through |= match (syn, segment.flags.ack()) {
            (true, false) => 1,
            (true, true) => 2,
            _ => 0,
        };
        went_through |= if segment.range.is_empty() { 0 } else { 8 };
        went_through |= if segment.flags.fin() { 16 } else { 0 };
        // tshark takes an RST's ACK for one of the handshake.
        went_through |= if rst && segment.flags.ack() { 32 | 4 } else { u8::from(rst) * 32 };
        let ack = segment.ack.filter(|_| !syn && !rst);
        let from_client = segment.direction == Direction::Received;
        // Offsets count bytes, and tshark's numbers a FIN too: what comes behind one is one further.
        let fin = &mut fins[usize::from(from_client)];
        let behind = fin.is_some_and(|fin: u32| segment.seq == fin.wrapping_add(1));
        if segment.flags.fin() {
            let length = u32::try_from(segment.range.end - segment.range.start).unwrap();
            *fin = Some(segment.seq.wrapping_add(length));
        }
        rows.push(Row {
            from_client,
            seq: segment.seq,
            flags: segment.flags.bits(),
            start: segment.range.start + u64::from(behind),
            length: segment.payload.into(),
            ack: ack.map(|ack| ack.offset + u64::from(ack.fin)),
        });
    }
    went_through |= if history.course.established.is_some() { 4 } else { 0 };
    let address = |address: &sockeye_engine::Address| address.ip().unwrap();
    Connection {
        client: address(&history.peer),
        server: address(&history.local),
        rows,
        packets: history.totals.segments,
        bytes: history.course.reached,
        went_through,
    }
}

fn compare(test: &str, mut ours: Vec<Connection>, mut theirs: Vec<Connection>) {
    for connections in [&mut ours, &mut theirs] {
        for connection in connections.iter_mut() {
            // A SYN or RST has no place in a stream, and a FIN one behind its last byte.
            connection
                .rows
                .iter_mut()
                .filter(|row| row.flags & 4 != 0)
                .for_each(|row| row.start = 0);
            connection.rows.sort();
        }
        connections.sort_by_key(|one| (one.client, one.rows.first().map(|row| row.seq)));
    }
    let segments: usize = theirs.iter().map(|connection| connection.rows.len()).sum();
    assert_eq!(ours.len(), theirs.len(), "{test}: as many connections");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        for (our_row, their_row) in ours.rows.iter().zip(&theirs.rows) {
            assert_eq!(our_row, their_row, "{test}: {} -> {}", ours.client, ours.server);
        }
        assert_eq!(ours, theirs, "{test}");
    }
    let connections = theirs.len();
    assert!(connections > 4 && segments > 6 * connections, "{test}: there was traffic");
}
