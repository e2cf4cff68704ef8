//! What tshark says of a capture file.

use std::path::Path;
use std::process::{Command, Stdio};

use sockeye_engine::probe::Direction;

use super::support::skip;

/// One segment, as both can tell it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) frame: u64,
    pub(crate) stream: u64,
    pub(crate) seq: u64,
    pub(crate) len: u32,
    pub(crate) ack: Option<u64>,
    pub(crate) flags: u8,
    /// All it carries was sent before.
    pub(crate) again: bool,
    /// A segment before it is missing, in its own stream or in the one that it acknowledges.
    pub(crate) gap: bool,
    /// Ours alone: its sender had sent a FIN before, which takes a number but no byte.
    pub(crate) behind_fin: bool,
}

impl Row {
    /// Whether tshark says the same, where it is certain.
    pub(crate) fn agrees(&self, tshark: &Row) -> bool {
        let wrapped = |number: u64| number > 1 << 31;
        // Below the first byte that was captured there is no place on the axis, and a reset may
        // carry any number.
        let seq = wrapped(tshark.seq)
            || (self.flags & 4 != 0 && self.seq == 1)
            || self.seq == tshark.seq
            || (self.behind_fin && self.seq + 1 == tshark.seq);
        let ack = match (self.ack, tshark.ack) {
            (Some(ours), Some(theirs)) => ours == theirs || wrapped(theirs),
            (ours, theirs) => ours == theirs,
        };
        let same = |row: &Row| (row.frame, row.stream, row.len, row.flags);
        same(self) == same(tshark) && seq && ack
    }
}

/// A tshark that can be asked.
#[derive(Debug)]
pub(crate) struct Tshark;

const FIELDS: [&str; 10] = [
    "frame.number",
    "tcp.stream",
    "tcp.seq",
    "tcp.len",
    "tcp.ack",
    "tcp.flags",
    // This one holds for the next ones as well.
    "tcp.analysis.retransmission",
    "tcp.analysis.spurious_retransmission",
    "tcp.analysis.lost_segment",
    "tcp.analysis.ack_lost_segment",
];

impl Tshark {
    /// Says so if there is none.
    pub(crate) fn there_is(test: &str) -> Option<Tshark> {
        let found = Command::new("tshark").arg("--version").output();
        if !found.is_ok_and(|found| found.status.success()) {
            skip(test, "tshark is missing");
            return None;
        }
        Some(Tshark)
    }

    /// All segments of a file.
    pub(crate) fn rows(&self, file: &Path) -> Vec<Row> {
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-T", "fields", "-E", "separator=,", "-Y", "tcp"]);
        tshark.args(FIELDS.iter().flat_map(|field| ["-e", field])).arg("-r").arg(file);
        let said = tshark.stderr(Stdio::null()).output().unwrap();
        let lines = String::from_utf8(said.stdout).unwrap();
        lines.lines().map(row).collect()
    }

    /// A stream's bytes both ways, seen from the server, which is at this port; `None` where it says
    /// that some are missing.
    pub(crate) fn follow(
        &self,
        file: &Path,
        stream: u64,
        server: u16,
    ) -> Vec<(Direction, Option<Vec<u8>>)> {
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-q", "-z", &format!("follow,tcp,raw,{stream}"), "-r"]).arg(file);
        let said = tshark.stderr(Stdio::null()).output().unwrap();
        let text = String::from_utf8(said.stdout).unwrap();
        let mut lines = text.lines().skip_while(|line| !line.starts_with("Node 0:"));
        let port = |line: Option<&str>| -> u16 {
            line.and_then(|line| line.rsplit_once(':')).map_or(0, |(_, port)| port.parse().unwrap())
        };
        // Whoever spoke first is at the margin, and the other one is set in.
        let (at_margin, set_in) = match port(lines.next()) == server {
            true => (Direction::Sent, Direction::Received),
            false => (Direction::Received, Direction::Sent),
        };
        lines.next();
        let told = lines.take_while(|line| !line.starts_with('='));
        told.map(|line| {
            let way = if line.starts_with('\t') { set_in } else { at_margin };
            let bytes = hex(line.trim());
            let missing = bytes.ends_with(b"bytes missing in capture file]")
                || bytes.ends_with(b"bytes missing in capture file]\0");
            (way, (!missing).then_some(bytes))
        })
        .collect()
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap()).collect()
}

fn row(line: &str) -> Row {
    let fields: Vec<&str> = line.split(',').collect();
    let number = |index: usize| fields[index].parse::<u64>();
    let flags = u16::from_str_radix(fields[5].trim_start_matches("0x"), 16).unwrap();
    Row {
        frame: number(0).unwrap(),
        stream: number(1).unwrap(),
        seq: number(2).unwrap(),
        len: number(3).unwrap().try_into().unwrap(),
        ack: number(4).ok().filter(|_| flags & 16 != 0),
        flags: (flags & 0xff).try_into().unwrap(),
        again: !fields[6].is_empty() || !fields[7].is_empty(),
        gap: !fields[8].is_empty() || !fields[9].is_empty(),
        behind_fin: false,
    }
}
