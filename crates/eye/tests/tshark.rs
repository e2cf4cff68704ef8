//! The same connections seen by the eye and by tshark: a second opinion on every segment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use sockeye_engine::probe::Direction;
use sockeye_eye::capture::Targets;
use sockeye_eye::record::{Event, History};
use sockeye_eye::recorder::{Eye, Options, Sink};
use support::served::Served;
use support::{may_capture, skip};

/// One segment, as both can tell it.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    sent: bool,
    seq: u32,
    flags: u8,
    /// Offsets of its payload in its stream; where it has none, tshark counts a FIN as a byte.
    range: Option<(u64, u64)>,
    /// The acknowledged offset, where there is an ACK; `tcp.ack` counts SYN and FIN.
    ack: Option<u64>,
    window: u32,
}

fn range(start: u64, end: u64) -> Option<(u64, u64)> {
    (end > start).then_some((start, end))
}

struct Collect(Sender<Vec<(u64, Row)>>);

impl Sink for Collect {
    fn ended(&mut self, history: &History) {
        let rows = history.events.iter().filter_map(|event| match event {
            Event::Segment(segment) => {
                let syn = segment.flags.syn();
                let ack = segment.ack.filter(|_| !syn);
                let row = Row {
                    sent: segment.direction == Direction::Sent,
                    seq: segment.seq,
                    flags: segment.flags.bits(),
                    range: range(segment.range.start, segment.range.end),
                    ack: ack.map(|ack| ack.offset + u64::from(ack.fin)),
                    window: segment.window,
                };
                Some((segment.at.0, row))
            }
            Event::Call(_) | Event::State(_) => None,
        });
        self.0.send(rows.collect()).unwrap();
    }

    fn ended_in_short(&mut self, _: &History) {
        panic!("one connection is always shown in full");
    }

    fn say(&mut self, line: &str) {
        panic!("nothing to say, but: {line}");
    }
}

/// tcpdump captures and tshark explains; dropped, both are ended.
struct Tshark {
    tcpdump: Child,
    tshark: Child,
    lines: BufReader<ChildStdout>,
}

const FIELDS: [&str; 8] = [
    "tcp.srcport",
    "tcp.seq_raw",
    "tcp.flags",
    "tcp.seq",
    "tcp.len",
    "tcp.ack",
    "tcp.window_size",
    "frame.time_epoch",
];

impl Tshark {
    /// Captures an address on `lo`; `None` if there is no tcpdump or no tshark here.
    fn start(address: SocketAddr) -> Option<Tshark> {
        // The same port of the other family may be somebody else's.
        let filter = format!("host {} and tcp port {}", address.ip(), address.port());
        let mut tcpdump = Command::new("tcpdump")
            .args(["-i", "lo", "-U", "--immediate-mode", "--time-stamp-precision=nano"])
            // Headers alone, so that its ring has room for all of them.
            .args(["-s", "160", "-B", "16384", "-w", "-", &filter])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        // It says this once the socket is bound and filtered.
        let mut said = BufReader::new(tcpdump.stderr.take()?);
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended before it listened");
        }
        let tshark = Command::new("tshark")
            .args(["-r", "-", "-l", "-n", "-T", "fields", "-E", "separator=,"])
            .args(FIELDS.iter().flat_map(|field| ["-e", field]))
            .stdin(tcpdump.stdout.take()?)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut tshark) = tshark else {
            tcpdump.kill().unwrap();
            tcpdump.wait().unwrap();
            return None;
        };
        let lines = BufReader::new(tshark.stdout.take()?);
        Some(Tshark { tcpdump, tshark, lines })
    }

    /// The next segment; waits for it. `ours` is the port of our end.
    fn next(&mut self, ours: u16) -> (u64, Row) {
        if self.lines.buffer().is_empty() {
            let mut fds = [PollFd::new(self.lines.get_ref(), PollFlags::IN)];
            let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
            let ready = poll(&mut fds, Some(&patience)).unwrap();
            assert_eq!(ready, 1, "tshark shows fewer segments than the eye");
        }
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "tshark ended");
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        let number = |index: usize| fields[index].parse::<u64>().unwrap();
        let flags = u16::from_str_radix(fields[2].trim_start_matches("0x"), 16).unwrap();
        let (syn, ack) = (flags & 2 != 0, flags & 16 != 0);
        // Its relative numbers begin with 0 at the SYN.
        let start = if syn { 0 } else { number(3) - 1 };
        let row = Row {
            sent: number(0) == u64::from(ours),
            seq: number(1).try_into().unwrap(),
            flags: flags.try_into().unwrap(),
            range: range(start, start + number(4)),
            ack: (ack && !syn).then(|| number(5) - 1),
            window: number(6).try_into().unwrap(),
        };
        let (seconds, nanos) = fields[7].split_once('.').unwrap();
        let at = seconds.parse::<u64>().unwrap() * 1_000_000_000 + nanos.parse::<u64>().unwrap();
        (at, row)
    }
}

impl Drop for Tshark {
    fn drop(&mut self) {
        for child in [&mut self.tcpdump, &mut self.tshark] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Has both look at one connection and compares what they saw.
fn agree(test: &str, host: &str, converse: impl Fn(TcpStream, Served<'_>)) {
    if !may_capture(test) {
        return;
    }
    let listener = TcpListener::bind(host).unwrap();
    let address = listener.local_addr().unwrap();
    let Some(mut tshark) = Tshark::start(address) else {
        return skip(test, "tcpdump or tshark is missing");
    };
    let (sender, ended) = channel();
    let eye = Eye::open(&[address], Options::to(Collect(sender))).unwrap();
    let probe = eye.source().probe();
    probe.listening(Some(listener.as_fd()), address);
    let client = TcpStream::connect(address).unwrap();
    let served = Served::accept(&*probe, &listener, 1);
    converse(client, served);

    compare(&ended.recv().unwrap(), &mut tshark, address.port());
    eye.close();
}

fn compare(ours: &[(u64, Row)], tshark: &mut Tshark, port: u16) {
    assert!(ours.len() >= 6, "{ours:#?}");
    for (index, (at, row)) in ours.iter().enumerate() {
        let (their_at, their_row) = tshark.next(port);
        assert_eq!(*row, their_row, "segment {index} of {ours:#?}");
        // Each has the kernel stamp its own copy: not the same moment, but a near one.
        assert!(at.abs_diff(their_at) < 1_000_000_000, "{at} and {their_at}");
    }
}

/// Has both look at connections made from here, one after another.
#[test]
fn connections_made_from_here_from_their_first_segment_on() {
    let test = "connections_made_from_here_from_their_first_segment_on";
    if !may_capture(test) {
        return;
    }
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(host).unwrap();
        let address = listener.local_addr().unwrap();
        let Some(mut tshark) = Tshark::start(address) else {
            return skip(test, "tcpdump or tshark is missing");
        };
        let (sender, ended) = channel();
        let targets = Targets::peers(std::slice::from_ref(&address));
        let eye = Eye::open(targets, Options::to(Collect(sender))).unwrap();
        let probe = eye.source().probe();
        for conn in 1..=3 {
            let mut client = Served::connect(&*probe, address, conn);
            let port = client.stream.local_addr().unwrap().port();
            let (mut server, _) = listener.accept().unwrap();
            client.send(b"a question");
            server.read_exact(&mut [0; 10]).unwrap();
            server.write_all(&[7; 5000]).unwrap();
            drop(server);
            while client.recv() > 0 {}
            client.close();

            let ours = ended.recv().unwrap();
            let flags: Vec<u8> = ours.iter().take(3).map(|(_, row)| row.flags).collect();
            assert_eq!(flags, [0x02, 0x12, 0x10], "SYN, SYN+ACK, ACK: {ours:#?}");
            let fins = ours.iter().filter(|(_, row)| row.flags & 1 != 0).count();
            assert_eq!(fins, 2, "{ours:#?}");
            compare(&ours, &mut tshark, port);
        }
        eye.close();
    }
}

/// A connection between a listener and a client of one process has a history at each end.
#[test]
fn both_ends_of_a_connection_to_ourselves_have_all_segments() {
    let test = "both_ends_of_a_connection_to_ourselves_have_all_segments";
    if !may_capture(test) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = [listener.local_addr().unwrap()];
    let (sender, ended) = channel();
    let targets = Targets { listeners: &address, peers: &address, ..Targets::default() };
    let eye = Eye::open(targets, Options::to(Collect(sender))).unwrap();
    let probe = eye.source().probe();
    probe.listening(Some(listener.as_fd()), address[0]);
    let mut client = Served::connect(&*probe, address[0], 1);
    let mut server = Served::accept(&*probe, &listener, 2);
    client.send(b"a question");
    assert_eq!(server.recv(), 10);
    client.close();
    assert_eq!(server.recv(), 0);
    server.close();
    let mut ends = [ended.recv().unwrap(), ended.recv().unwrap()];
    ends.sort_by_key(|rows| !rows[0].1.sent);
    let [client, server] = ends;
    assert!(client.len() >= 6, "{client:#?}");
    let seen_from_there = |(at, row): (u64, Row)| (at, Row { sent: !row.sent, ..row });
    assert_eq!(client, server.into_iter().map(seen_from_there).collect::<Vec<_>>());
    eye.close();
}

#[test]
fn a_request_and_its_reply_closed_by_the_client() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        agree("a_request_and_its_reply_closed_by_the_client", host, |mut client, mut served| {
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            assert_eq!(served.recv(), 18);
            served.send(&[7; 5000]);
            client.read_exact(&mut [0; 5000]).unwrap();
            drop(client);
            assert_eq!(served.recv(), 0);
            served.close();
        });
    }
}

#[test]
fn a_megabyte_each_way_with_a_half_close() {
    agree("a_megabyte_each_way_with_a_half_close", "127.0.0.1:0", |mut client, mut served| {
        let mut writer = client.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            writer.write_all(&vec![1; 1_000_000]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = 0;
        loop {
            match served.recv() {
                0 => break,
                count => received += count,
            }
        }
        assert_eq!(received, 1_000_000);
        sending.join().unwrap();
        let reading = std::thread::spawn(move || {
            let mut reply = Vec::new();
            client.read_to_end(&mut reply).unwrap();
            assert_eq!(reply.len(), 1_000_000);
        });
        served.send(&vec![2; 1_000_000]);
        served.close();
        reading.join().unwrap();
    });
}

#[test]
fn a_reset_by_the_client() {
    agree("a_reset_by_the_client", "127.0.0.1:0", |mut client, mut served| {
        client.write_all(b"some bytes").unwrap();
        assert_eq!(served.recv(), 10);
        served.send(b"a reply");
        client.read_exact(&mut [0; 7]).unwrap();
        served.send(b"one never read");
        // Closed with bytes unread, the kernel resets instead of FIN.
        while client.peek(&mut [0; 20]).unwrap() < 14 {}
        drop(client);
        served.recv();
        served.close();
    });
}
