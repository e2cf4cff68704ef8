//! Writing down what the eye sees, while it does.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;
use sockeye_engine::Address;
use sockeye_engine::probe::{self, ConnId, Opened, Role, Stamp};
use sockeye_wire::escape::Escaped;
use sockeye_wire::packet::Segment;
use sockeye_wire::tcp::{self, Seq, Tracker};

use super::epoch::Epoch;
use super::line;
use super::names::{FlagNames, Mark, Op, StateName};
use super::schema::{
    self, Acked, Aftermath, Both, Call, Close, Conn, Dgram, DgramDropped, DgramError, End, Facts,
    Finish, Header, Kernel, Listen, Loss, Msg, Open, Over, Queue, Record, Released, Sack, Seg,
    Socket, State,
};
use super::{FORMAT, VERSION};
use crate::datagram::DatagramHistory;
use crate::kernel::uncount_syn;
use crate::record::{
    self, Certainty, History, KernelFacts, KernelStamp, QueueSample, SocketEnd, StateChange,
};
use crate::recorder::{Begun, MAX_SOCKETS, Seen, Tap};
use crate::timeline::moved;
use crate::verdict::Code;
use crate::whole::WholeFile;

/// So many bytes are gathered before they are written.
const TOGETHER: usize = 1 << 16;

/// Writes a recording: a [`Tap`] of the eye.
///
/// Lines are written many at once and never in part, and whenever the eye has nothing to do, so that
/// the file can be followed and is whole whenever the program is killed. Once writing has failed, on a
/// full disk most of all, that is said on one line, the file is cut behind its last whole line, and
/// nothing more is written; all else goes on.
///
/// ```
/// use std::io;
/// use sockeye_eye::recorder::{Eye, Options};
/// use sockeye_eye::recording::Writer;
/// use sockeye_eye::view::Style;
///
/// let folder = tempfile::tempdir()?;
/// let writer = Writer::create(&folder.path().join("talk.jsonl"))?;
/// let mut options = Options::drawing(Style::default(), io::sink());
/// options.taps.push(Box::new(writer));
/// let eye = Eye::open(&["127.0.0.1:8080".parse().unwrap()], options)?;
/// eye.close();
/// # io::Result::Ok(())
/// ```
pub struct Writer {
    /// None once writing has failed.
    out: Option<Out>,
    /// What it is called when something is wrong with it, fit for a terminal.
    name: String,
    /// Whole lines.
    held: Vec<u8>,
    trouble: Option<String>,
    epoch: Epoch,
    listeners: Vec<SocketAddr>,
    /// The numbers of connections that our program told of.
    conns: HashMap<ConnId, u64>,
    tracks: HashMap<u64, Placing>,
    sockets: HashSet<ConnId>,
    /// Connections and sockets that nobody looked at.
    unwatched: u64,
}

/// Where its segments lie.
struct Placing {
    tracker: Tracker,
    role: Role,
    conn: Option<ConnId>,
}

enum Out {
    File(WholeFile),
    Other(Box<dyn Write + Send>),
}

impl Writer {
    /// Writes into this file; what was in it is gone.
    ///
    /// # Errors
    /// If it can't be made or opened for writing.
    pub fn create(path: &Path) -> io::Result<Writer> {
        let file = File::create(path)?;
        let name = Escaped(path.as_os_str().as_bytes()).to_string();
        let out = match file.metadata()?.is_file() {
            true => Out::File(WholeFile::of(file, end_of_last_line)),
            false => Out::Other(Box::new(file)),
        };
        Ok(Writer::into(out, name))
    }

    /// Writes where this leads; `name` is what it is called when something is wrong with it.
    #[must_use]
    pub fn to(out: impl Write + Send + 'static, name: &str) -> Writer {
        Writer::into(Out::Other(Box::new(out)), name.to_owned())
    }

    fn into(out: Out, name: String) -> Writer {
        Writer {
            out: Some(out),
            name,
            held: Vec::new(),
            trouble: None,
            epoch: Epoch(0),
            listeners: Vec::new(),
            conns: HashMap::new(),
            tracks: HashMap::new(),
            sockets: HashSet::new(),
            unwatched: 0,
        }
    }

    fn begin(&mut self, begun: &Begun<'_>) {
        self.epoch = Epoch::of(begun.at);
        let sources = [
            ("calls", true),
            ("packets", begun.capture),
            ("stamps", begun.stamps),
            ("queues", begun.queues),
            ("releases", begun.ends),
            ("sock_diag", begun.diag),
        ];
        let sources = sources.iter().filter(|(_, open)| *open).map(|(name, _)| (*name).to_owned());
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        self.line(&Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: concat!("sockeye ", env!("CARGO_PKG_VERSION")).to_owned(),
            epoch: self.epoch,
            at: self.at(begun.at),
            clock: "CLOCK_REALTIME".to_owned(),
            boot: boot.map(|boot| boot.trim().to_owned()),
            sources: sources.collect(),
            missing: begun.missing.map(str::to_owned),
            talk: begun.talk,
        });
        begun.listeners.iter().for_each(|listener| self.listening(*listener));
    }

    /// Each thread tells of every listener.
    fn listening(&mut self, local: SocketAddr) {
        if !self.listeners.contains(&local) {
            self.listeners.push(local);
            self.record(&Record::Listen(Listen { local: local.to_string() }));
        }
    }

    fn found(&mut self, conn: u64, role: Role, others: bool, local: &Address, peer: &Address) {
        self.tracks.insert(conn, Placing { tracker: Tracker::new(), role, conn: None });
        let (local, peer) = (local.to_string(), peer.to_string());
        self.record(&Record::Conn(Conn { conn, role: role.into(), local, peer, others }));
    }

    fn opened(&mut self, opened: &Opened, peer_isn: Option<u32>) {
        let Some(&conn) = self.conns.get(&opened.conn) else {
            self.unwatched += 1;
            return;
        };
        let placing = self.tracks.get_mut(&conn);
        let shift = placing
            .zip(peer_isn)
            .map(|(placing, isn)| placing.tracker.set_isn(tcp::End::Remote, Seq(isn)));
        let (at, number) = (self.at(opened.at), opened.conn.0);
        let shift = shift.filter(|shift| *shift > 0);
        self.record(&Record::Open(Open { conn, at, number, peer_isn, shift }));
    }

    fn call(&mut self, conn: ConnId, call: &probe::Call) {
        let Some(&conn) = self.conns.get(&conn) else { return };
        let (op, direction) = Op::of(call.operation);
        self.record(&Record::Call(Call {
            conn,
            at: self.at(call.start),
            end: self.at(call.end),
            op,
            direction,
            asked: call.asked,
            returned: call.result.ok(),
            errno: call.result.err(),
            offset: call.offset,
            range: moved(call).map(|(_, range)| [range.start, range.end]),
        }));
    }

    fn segment(&mut self, conn: u64, at: Stamp, direction: probe::Direction, segment: &Segment) {
        let from = match direction {
            probe::Direction::Received => tcp::End::Remote,
            probe::Direction::Sent => tcp::End::Local,
        };
        let Some(placing) = self.tracks.get_mut(&conn) else { return };
        let role = placing.role;
        // None is of the next connection between the same ports, and passed over by all.
        let Some(placed) = placing.tracker.segment(from, segment) else { return };
        self.record(&Record::Seg(Seg {
            conn,
            at: self.at(at),
            direction: direction.into(),
            flags: FlagNames(segment.flags),
            seq: segment.seq.0,
            ack: segment.flags.ack().then_some(segment.ack.0),
            window: segment.window,
            payload: segment.payload,
            wscale: segment.window_scale,
            mss: segment.mss,
            range: [placed.start, placed.end],
            acked: placed.ack.map(|ack| Acked {
                offset: ack.offset,
                fin: ack.fin,
                advances: ack.advances,
            }),
            sack: segment.sack.map(|sack| Sack {
                seq: [sack.start.0, sack.end.0],
                range: placed.ack.map(|ack| {
                    let ahead = |seq: Seq| seq.distance_from(segment.ack).into();
                    [sack.start, sack.end].map(|seq| ack.offset.saturating_add_signed(ahead(seq)))
                }),
                duplicate: sack.duplicate,
            }),
            window_bytes: placed.window,
            mark: Mark::of(placed.mark),
        }));
        for change in placed.changes.iter() {
            let end = match change.end {
                tcp::End::Local => role,
                tcp::End::Remote => crate::timeline::other(role),
            };
            let certainty = match change.inferred {
                true => Certainty::Inferred,
                false => Certainty::Exact,
            };
            let (from, to) = (change.from, change.to);
            self.state(conn, &StateChange { at, end, from, to, certainty });
        }
    }

    fn state(&mut self, conn: u64, change: &StateChange) {
        self.record(&Record::State(State {
            conn,
            at: self.at(change.at),
            end: change.end.into(),
            from: StateName(change.from),
            to: StateName(change.to),
            exact: change.certainty == Certainty::Exact,
        }));
    }

    fn kernel(&mut self, conn: ConnId, facts: &KernelFacts) {
        let Some(&conn) = self.conns.get(&conn) else { return };
        let Some(placing) = self.tracks.get(&conn) else { return };
        let mut facts = facts.clone();
        uncount_syn(&mut facts, placing.role);
        self.record(&Record::Kernel(Kernel { conn, facts: Facts::of(&facts) }));
    }

    fn stamp(&mut self, conn: ConnId, stamp: &KernelStamp) {
        let Some(&conn) = self.conns.get(&conn) else { return };
        let (at, point) = (self.at(stamp.at), stamp.point.into());
        let (from, end) = (stamp.from, stamp.end);
        self.record(&Record::Stamp(schema::Stamp { conn, at, point, from, end }));
    }

    fn queue(&mut self, conn: u64, sample: &QueueSample) {
        self.record(&Record::Queue(Queue {
            conn,
            at: self.at(sample.at),
            end: sample.end.into(),
            state: StateName(sample.state),
            receive: sample.receive,
            send: sample.send,
            unsent: sample.unsent,
            send_window: sample.send_window,
            receive_window: sample.receive_window,
            rtt_us: sample.rtt_us,
            congestion_window: sample.congestion_window,
            retransmits: sample.retransmits,
        }));
    }

    fn released(&mut self, conn: u64, end: &SocketEnd) {
        let (at, facts) = (self.at(end.at), Facts::of(&end.facts));
        self.record(&Record::Released(Released { conn, at, end: end.end.into(), facts }));
    }

    fn closed(&mut self, closed: ConnId, at: Stamp) {
        let conn = self.conns.get(&closed).copied();
        let socket = self.sockets.remove(&closed).then_some(closed.0);
        if conn.is_some() || socket.is_some() {
            self.record(&Record::Close(Close { conn, socket, at: self.at(at) }));
        }
    }

    fn over(&mut self, conn: u64, forgotten: bool) {
        if let Some(name) = self.tracks.remove(&conn).and_then(|placing| placing.conn) {
            self.conns.remove(&name);
        }
        self.record(&Record::Over(Over { conn, forgotten }));
    }

    fn ended(&mut self, conn: u64, history: &History) {
        for change in history.inferred.iter().filter(|_| !history.captured) {
            self.state(conn, change);
        }
        let code = Code::of(history);
        let totals = &history.totals;
        let aftermath = |told: Option<record::Aftermath>| {
            let record::Aftermath { at, state, remaining_ms } = told?;
            Some(Aftermath { at: self.at(at), state: StateName(state), remaining_ms })
        };
        self.record(&Record::End(Box::new(End {
            conn: Some(conn),
            socket: None,
            code: Some(code.to_string()),
            closed_first: code.by.map(Into::into),
            bytes: Both::of(totals.bytes),
            calls: Both::of(totals.calls),
            messages: Some(Both::of(totals.messages)),
            segments: Some(Both::of(totals.segments)),
            retransmissions: Some(Both::of(totals.retransmissions)),
            aftermath: aftermath(history.aftermath),
            peer_aftermath: aftermath(history.peer_aftermath),
        })));
    }

    fn socket_ended(&mut self, history: &DatagramHistory) {
        let tallies =
            [probe::Direction::Received, probe::Direction::Sent].map(|way| history.total(way));
        self.record(&Record::End(Box::new(End {
            socket: Some(history.conn.0),
            bytes: Both::of(tallies.map(|tally| tally.bytes)),
            calls: Both::of(tallies.map(|tally| tally.count)),
            ..End::default()
        })));
    }

    fn socket(&mut self, socket: &probe::Datagrams) {
        if self.sockets.len() >= MAX_SOCKETS {
            self.unwatched += 1;
            return;
        }
        self.sockets.insert(socket.conn);
        let (at, local) = (self.at(socket.at), socket.local.to_string());
        self.record(&Record::Socket(Socket { socket: socket.conn.0, at, local }));
    }

    fn datagram(&mut self, socket: ConnId, datagram: &probe::Datagram<'_>) {
        if !self.sockets.contains(&socket) {
            return;
        }
        self.record(&Record::Dgram(Dgram {
            socket: socket.0,
            at: self.at(datagram.start),
            end: self.at(datagram.end),
            direction: datagram.direction.into(),
            index: datagram.index,
            asked: datagram.asked,
            length: datagram.length,
            taken: datagram.taken,
            digest: datagram.digest,
            peer: datagram.peer.map(ToString::to_string),
            errno: datagram.result.err(),
        }));
    }

    fn reported(&mut self, socket: ConnId, reported: &probe::Reported<'_>) {
        if !self.sockets.contains(&socket) {
            return;
        }
        self.record(&Record::DgramError(DgramError {
            socket: socket.0,
            at: self.at(reported.at),
            errno: reported.errno,
            to: reported.to.map(ToString::to_string),
            offender: reported.offender.map(|offender| offender.to_string()),
        }));
    }

    /// What this name stands for: a connection, or a socket of datagrams.
    fn whose(&self, name: ConnId) -> (Option<u64>, Option<u64>) {
        let conn = self.conns.get(&name).copied();
        (conn, self.sockets.contains(&name).then_some(name.0))
    }

    fn at(&self, at: Stamp) -> i64 {
        self.epoch.nanos(at)
    }

    fn record(&mut self, record: &Record) {
        self.line(record);
    }

    fn line(&mut self, line: &impl Serialize) {
        if self.out.is_none() {
            return;
        }
        line::append(&mut self.held, line);
        if self.held.len() >= TOGETHER {
            self.write_out();
        }
    }

    fn write_out(&mut self) {
        let Some(out) = &mut self.out else { return };
        let written = out.write(&self.held);
        self.held.clear();
        if let Err(error) = written {
            self.out = None;
            let name = &self.name;
            self.trouble =
                Some(format!("eye: {name}: {error}; nothing more is recorded, all else goes on"));
        }
    }
}

impl Tap for Writer {
    fn sees(&mut self, seen: &Seen<'_>) {
        match *seen {
            Seen::Begun(begun) => self.begin(begun),
            Seen::Found { track, role, neutral, local, peer } => {
                self.found(track, role, neutral, local, peer);
            }
            Seen::Joined { track, conn } => {
                self.conns.insert(conn, track);
                if let Some(placing) = self.tracks.get_mut(&track) {
                    placing.conn = Some(conn);
                }
            }
            Seen::Segment { track, at, direction, segment } => {
                self.segment(track, at, direction, segment);
            }
            Seen::Over { track, forgotten } => self.over(track, forgotten),
            Seen::Listening(local) => self.listening(local),
            Seen::Opened(opened, peer_isn) => self.opened(opened, peer_isn),
            Seen::Call(conn, call) => self.call(conn, call),
            Seen::Message { conn, at, direction, range: (start, end), label } => {
                let (conn, socket) = self.whose(conn);
                if conn.is_some() || socket.is_some() {
                    let (at, direction, range) = (self.at(at), direction.into(), [start, end]);
                    let label = label.to_owned();
                    self.record(&Record::Msg(Msg { conn, socket, at, direction, range, label }));
                }
            }
            Seen::Datagrams(socket) => self.socket(socket),
            Seen::Datagram(socket, datagram) => self.datagram(socket, datagram),
            Seen::Reported(socket, reported) => self.reported(socket, reported),
            Seen::Dropped(socket, datagrams) => {
                if self.sockets.contains(&socket) {
                    let socket = socket.0;
                    self.record(&Record::DgramDropped(DgramDropped { socket, datagrams }));
                }
            }
            Seen::Stamp(conn, stamp) => self.stamp(conn, stamp),
            Seen::Queue { track, sample } => self.queue(track, sample),
            Seen::End { track, end } => self.released(track, end),
            Seen::EndsLost(releases) => {
                self.record(&Record::Loss(Loss { releases, ..Loss::default() }));
            }
            Seen::Closing(conn, facts) => self.kernel(conn, facts),
            Seen::Closed(conn, at) => self.closed(conn, at),
            Seen::Lost(conn, records) => {
                let (conn, socket) = self.whose(conn);
                self.record(&Record::Loss(Loss { conn, socket, records, ..Loss::default() }));
            }
            Seen::PacketsLost(packets) => {
                self.record(&Record::Loss(Loss { packets, ..Loss::default() }));
            }
            Seen::RecordsLost(records) => {
                self.record(&Record::Loss(Loss { records, ..Loss::default() }));
            }
            Seen::Ended { track, history } => self.ended(track, history),
            Seen::SocketEnded(history) => self.socket_ended(history),
            // Its segment comes apart, once it is known whose it is.
            Seen::Packet(..) | Seen::Unit(..) => {}
        }
    }

    fn pause(&mut self) -> Option<String> {
        if !self.held.is_empty() {
            self.write_out();
        }
        self.trouble.take()
    }

    fn finish(&mut self) -> Option<String> {
        let connections = mem::take(&mut self.unwatched);
        if connections > 0 {
            self.record(&Record::Loss(Loss { connections, ..Loss::default() }));
        }
        let at = self.at(Stamp::now());
        self.record(&Record::Finish(Finish { at }));
        self.pause()
    }
}

impl Out {
    /// Writes whole lines; after an error none of them stands there in part, where that can be mended.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Out::Other(out) => out.write_all(lines).and_then(|()| out.flush()),
            Out::File(file) => file.write(lines),
        }
    }
}

fn end_of_last_line(written: &[u8]) -> usize {
    written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("name", &self.name).finish_non_exhaustive()
    }
}
