//! tshark on the loopback interface: what really went over the wire.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::server::Ended;

/// Which way a segment went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

impl Way {
    pub(crate) fn other(self) -> Way {
        match self {
            Way::ToServer => Way::ToClient,
            Way::ToClient => Way::ToServer,
        }
    }
}

/// A segment by its place in the two streams: offsets count from the first byte of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) way: Way,
    /// SYN, FIN, RST and ACK, joined by `+`.
    pub(crate) flags: String,
    /// What it carries.
    pub(crate) range: Option<(u64, u64)>,
    /// Where a FIN or RST without data stands.
    pub(crate) at: Option<u64>,
    /// What is acknowledged; a FIN counts as one byte. A SYN+ACK says no more than its flags.
    pub(crate) ack: Option<u64>,
}

/// What was captured, by the ports of client and server.
pub(crate) struct Captured(Vec<(u16, u16, Segment)>);

impl Captured {
    /// Every segment between this client and this server, in order.
    pub(crate) fn between(&self, client: u16, server: u16) -> Vec<Segment> {
        let rows = self.0.iter().filter(|row| (row.0, row.1) == (client, server));
        rows.map(|row| row.2.clone()).collect()
    }
}

/// A capture of a few ports that has begun, and of which nothing is lost at its end.
///
/// Datagrams to a port of our own mark moments: what came before one is captured before it.
pub(crate) struct Capture {
    tshark: Ended,
    lines: Receiver<String>,
    marks: UdpSocket,
    servers: Vec<u16>,
}

const FIELDS: [&str; 7] =
    ["udp.length", "tcp.srcport", "tcp.dstport", "tcp.flags", "tcp.seq", "tcp.len", "tcp.ack"];

/// Sent until the capture shows that it has begun, and once at its end.
const BEGINNING: &[u8] = b"b";
const END: &[u8] = b"end";

impl Capture {
    /// Captures what goes to and from these TCP ports on loopback.
    pub(crate) fn start(servers: &[u16]) -> Capture {
        let marks = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = marks.local_addr().unwrap();
        marks.connect(address).unwrap();
        let tcp: String = servers.iter().map(|port| format!("tcp port {port} or ")).collect();
        let mut tshark = Command::new("tshark")
            .args(["-i", "lo", "-f", &format!("{tcp}udp port {}", address.port())])
            // Headers are enough, and many fit into its buffer.
            .args(["-s", "160", "-l", "-n", "-T", "fields", "-E", "separator=,"])
            .args(FIELDS.iter().flat_map(|field| ["-e", field]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map(Ended)
            .unwrap();
        let lines = lines(tshark.0.stdout.take().unwrap());
        let capture = Capture { tshark, lines, marks, servers: servers.to_vec() };
        capture.wait_until_ready();
        capture
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.marks.send(BEGINNING).unwrap();
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(_) => return,
                Err(error) => assert_eq!(error, RecvTimeoutError::Timeout, "tshark ended"),
            }
            assert!(Instant::now() < deadline, "tshark does not begin to capture");
        }
    }

    /// Ends the capture; all there was up to now.
    pub(crate) fn end(self) -> Captured {
        let Capture { tshark, lines, marks, servers } = self;
        marks.send(END).unwrap();
        let mut rows = Vec::new();
        loop {
            let line = lines.recv_timeout(PATIENCE).unwrap();
            let fields: Vec<&str> = line.split(',').collect();
            match fields[0].parse::<usize>() {
                // The header of a datagram takes eight bytes.
                Ok(length) if length == 8 + END.len() => break,
                Ok(_) => continue,
                Err(_) => rows.push(row(&fields, &servers)),
            }
        }
        drop(tshark);
        Captured(rows)
    }
}

/// One line of tshark's.
fn row(fields: &[&str], servers: &[u16]) -> (u16, u16, Segment) {
    let number = |index: usize| fields[index].parse::<u64>().unwrap();
    let port = |index: usize| u16::try_from(number(index)).unwrap();
    let (way, client, server) = match servers.contains(&port(2)) {
        true => (Way::ToServer, port(1), port(2)),
        false => (Way::ToClient, port(2), port(1)),
    };
    let bits = u16::from_str_radix(fields[3].trim_start_matches("0x"), 16).unwrap();
    let named = [(2, "SYN"), (1, "FIN"), (4, "RST"), (16, "ACK")];
    let names = named.iter().filter(|(bit, _)| bits & bit > 0).map(|(_, name)| *name);
    let flags = names.collect::<Vec<&str>>().join("+");
    let syn = flags.contains("SYN");
    let ack = (flags.contains("ACK") && !syn).then(|| number(6) - 1);
    let mut segment = Segment { way, flags, range: None, at: None, ack };
    if !syn {
        // Its relative numbers begin with 0 at the SYN.
        let (start, length) = (number(4) - 1, number(5));
        segment.range = (length > 0).then_some((start, start + length));
        let marked = segment.flags.contains("FIN") || segment.flags.contains("RST");
        segment.at = (marked && length == 0).then_some(start);
    }
    (client, server, segment)
}

/// Lines as they come, read on a thread so that waiting for one can end.
fn lines(pipe: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
