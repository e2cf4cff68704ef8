//! A recording taken in as the eye took in what it tells of: records become histories.

use std::collections::{BTreeMap, VecDeque};
use std::io::BufRead;
use std::ops::Range;

use sockeye_engine::Address;
use sockeye_engine::probe::{self, ConnId, Opened};
use sockeye_wire::packet::{self, Segment};
use sockeye_wire::tcp::Seq;

use super::address;
use super::read::{ReadError, Reader};
use super::schema::{
    Aftermath, Call, Conn, Dgram, DgramError, End, Header, Msg, Open, Queue, Record, Released, Seg,
    Stamp,
};
use crate::datagram::DatagramHistory;
use crate::record::{self, History, KernelStamp, QueueSample, SocketEnd};
use crate::recorder::{MAX_SOCKETS, Replay};

/// What ended, in the order in which it did; behind it what had not ended when the recording did.
///
/// What comes out is what the eye made of the same records, and draws the same picture. After an error
/// comes what was open, and then nothing more.
///
/// ```
/// use sockeye_eye::recording::{Ended, Ending, Playback, Reader};
/// use sockeye_eye::view::{self, Style};
///
/// let file = br#"{"format":"sockeye-records","version":1,"program":"sockeye 0.1.0","epoch":1700000000,"at":0,"clock":"CLOCK_REALTIME","sources":["calls"]}
/// {"kind":"conn","conn":1,"role":"server","local":"127.0.0.1:80","peer":"127.0.0.1:40000"}
/// {"kind":"open","conn":1,"at":5000,"number":1}
/// {"kind":"close","conn":1,"at":9000}
/// {"kind":"over","conn":1}
/// {"kind":"end","conn":1}
/// {"kind":"finish","at":9500}
/// "#;
/// let mut playback = Playback::new(Reader::new(&file[..])?);
/// let Some(Ok(Ended::Connection { history, open: false })) = playback.next() else { panic!() };
/// assert!(view::picture(&history, &Style::default()).contains("127.0.0.1:40000"));
/// assert!(playback.next().is_none());
/// assert_eq!(playback.ending(), Ending::Finished);
/// # Ok::<(), sockeye_eye::recording::ReadError>(())
/// ```
#[derive(Debug)]
pub struct Playback<R> {
    reader: Reader<R>,
    replay: Replay,
    /// Connections of which nothing more comes but their ends.
    over: BTreeMap<u64, Box<History>>,
    /// Sockets that were closed.
    closed: VecDeque<Box<DatagramHistory>>,
    ready: VecDeque<Ended>,
    finished: bool,
    at_end: bool,
}

/// One thing that ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// A connection.
    Connection {
        /// All that is known of it.
        history: Box<History>,
        /// It had not ended yet when the recording did.
        open: bool,
    },
    /// A socket of datagrams.
    Datagrams(Box<DatagramHistory>),
}

/// How the recording itself ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The eye was closed.
    Finished,
    /// Behind a whole line; its program was killed, its disk was full, or it still writes.
    Open,
    /// Within a line, for the same reasons.
    Cut {
        /// The number of that line.
        line: u64,
    },
}

impl<R> Playback<R> {
    /// So many connections may be open at once: more than the eye ever follows.
    pub const MOST_OPEN: usize = 1 << 16;
}

/// A call moves no more than this (read(2), NOTES); sums over any file that can exist so have room.
const MOST_MOVED: u64 = 1 << 31;

/// No count and no offset comes near this, which is where floating-point numbers end to be exact.
const MOST: u64 = 1 << 53;

impl<R: BufRead> Playback<R> {
    /// Takes in what this reads.
    #[must_use]
    pub fn new(reader: Reader<R>) -> Playback<R> {
        Playback {
            reader,
            replay: Replay::new(),
            over: BTreeMap::new(),
            closed: VecDeque::new(),
            ready: VecDeque::new(),
            finished: false,
            at_end: false,
        }
    }

    /// The recording's first line.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.reader.header()
    }

    /// How it ends; of meaning when nothing more comes.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self.reader.is_cut() {
            true => Ending::Cut { line: self.reader.line() },
            false if self.finished => Ending::Finished,
            false => Ending::Open,
        }
    }

    fn take_in(&mut self, record: &Record) -> Result<(), ReadError> {
        match record {
            Record::Conn(conn) => self.conn(conn)?,
            Record::Open(open) => self.open(open)?,
            Record::Call(call) => {
                let told = self.call(call)?;
                self.replay.call(call.conn, &told);
            }
            Record::Msg(msg) => self.msg(msg)?,
            Record::Seg(seg) => self.seg(seg)?,
            Record::Kernel(kernel) => self.replay.kernel(kernel.conn, kernel.facts.facts()),
            Record::Stamp(stamp) => self.stamp(stamp)?,
            Record::Queue(queue) => self.queue(queue)?,
            Record::Released(released) => self.released(released)?,
            Record::Close(close) => {
                let at = self.at(close.at)?;
                if let Some(conn) = close.conn {
                    self.replay.closed(conn, at);
                }
                if let Some(socket) = close.socket {
                    let closed = self.replay.socket_closed(ConnId(socket), at);
                    self.closed.extend(closed.map(Box::new));
                }
            }
            Record::Over(over) => {
                let history = self.replay.over(over.conn).filter(|_| !over.forgotten);
                self.over.extend(history.map(|history| (over.conn, Box::new(history))));
            }
            Record::End(end) => self.end(end)?,
            Record::Socket(socket) => {
                let (conn, at) = (ConnId(socket.socket), self.at(socket.at)?);
                let local = self.address(&socket.local)?;
                if !self.replay.socket(&probe::Datagrams { conn, local, at }) {
                    return Err(self.reader.wrong("more sockets are open than the eye follows"));
                }
            }
            Record::Dgram(dgram) => self.dgram(dgram)?,
            Record::DgramError(error) => self.dgram_error(error)?,
            Record::DgramDropped(dropped) => {
                self.replay.dropped(ConnId(dropped.socket), dropped.datagrams);
            }
            Record::Loss(loss) => {
                if let Some(conn) = loss.conn {
                    self.replay.lost(conn, loss.records);
                }
                if let Some(socket) = loss.socket {
                    self.replay.socket_lost(ConnId(socket), self.bounded(loss.records)?);
                }
                self.replay.packets_lost(loss.packets);
                self.replay.releases_lost(loss.releases);
            }
            Record::Finish(_) => self.finished = true,
            // States are concluded once more.
            Record::State(_) | Record::Listen(_) | Record::Unknown => {}
        }
        // Whoever writes no ends has them anyway.
        while self.over.len() + self.replay.open() > Playback::<()>::MOST_OPEN {
            let Some((_, history)) = self.over.pop_first() else {
                return Err(self.reader.wrong("more connections are open than the eye follows"));
            };
            self.show(history, false);
        }
        while self.closed.len() > MAX_SOCKETS {
            self.ready.extend(self.closed.pop_front().map(Ended::Datagrams));
        }
        Ok(())
    }

    fn conn(&mut self, conn: &Conn) -> Result<(), ReadError> {
        let (local, peer) = (self.address(&conn.local)?, self.address(&conn.peer)?);
        self.replay.found(conn.conn, conn.role.into(), conn.others, local, peer);
        Ok(())
    }

    fn open(&mut self, open: &Open) -> Result<(), ReadError> {
        let at = self.at(open.at)?;
        let Some((role, local, peer)) = self.replay.ends(open.conn) else { return Ok(()) };
        let (local, peer, conn) = (local.clone(), peer.clone(), ConnId(open.number));
        self.replay.opened(open.conn, &Opened { conn, role, local, peer, at }, open.peer_isn);
        Ok(())
    }

    fn call(&self, call: &Call) -> Result<probe::Call, ReadError> {
        let operation = call.op.operation(call.direction);
        let operation = operation.ok_or_else(|| self.reader.wrong("a wait without a direction"))?;
        let result = match (call.returned, call.errno) {
            (Some(returned), None) if returned <= MOST_MOVED => Ok(returned),
            (None, Some(errno)) => Err(errno),
            (Some(_), None) => {
                return Err(self.reader.wrong("a call that moved more than one can"));
            }
            _ => return Err(self.reader.wrong("a call returns a number or an errno")),
        };
        Ok(probe::Call {
            operation,
            start: self.at(call.at)?,
            end: self.at(call.end)?,
            asked: self.bounded(call.asked)?,
            result,
            offset: self.bounded(call.offset)?,
        })
    }

    fn msg(&mut self, msg: &Msg) -> Result<(), ReadError> {
        let (at, range) = (self.at(msg.at)?, self.range(msg.range)?);
        let direction = msg.direction.into();
        if let Some(conn) = msg.conn {
            self.replay.message(conn, at, direction, &range, &msg.label);
        }
        if let Some(socket) = msg.socket {
            self.replay.name(ConnId(socket), direction, range.start, &msg.label);
        }
        Ok(())
    }

    fn seg(&mut self, seg: &Seg) -> Result<(), ReadError> {
        let at = self.at(seg.at)?;
        let Some((_, local, peer)) = self.replay.ends(seg.conn) else { return Ok(()) };
        let (Some(local), Some(peer)) = (local.ip(), peer.ip()) else {
            return Err(self.reader.wrong("a segment of a connection that is not of TCP"));
        };
        let direction = seg.direction.into();
        let (source, destination) = match direction {
            probe::Direction::Received => (peer, local),
            probe::Direction::Sent => (local, peer),
        };
        let segment = Segment {
            source,
            destination,
            seq: Seq(seg.seq),
            ack: Seq(seg.ack.unwrap_or(0)),
            flags: seg.flags.0,
            window: seg.window,
            payload: seg.payload,
            window_scale: seg.wscale,
            mss: seg.mss,
            sack: seg.sack.as_ref().map(|sack| packet::Sack {
                start: Seq(sack.seq[0]),
                end: Seq(sack.seq[1]),
                duplicate: sack.duplicate,
            }),
        };
        self.replay.segment(seg.conn, at, direction, &segment);
        Ok(())
    }

    fn stamp(&mut self, stamp: &Stamp) -> Result<(), ReadError> {
        let (at, point) = (self.at(stamp.at)?, stamp.point.into());
        let (from, end) = (self.bounded(stamp.from)?, self.bounded(stamp.end)?);
        self.replay.stamp(stamp.conn, KernelStamp { at, point, from, end });
        Ok(())
    }

    fn queue(&mut self, queue: &Queue) -> Result<(), ReadError> {
        let sample = QueueSample {
            at: self.at(queue.at)?,
            end: queue.end.into(),
            state: queue.state.0,
            receive: queue.receive,
            send: queue.send,
            unsent: queue.unsent,
            send_window: queue.send_window,
            receive_window: queue.receive_window,
            rtt_us: queue.rtt_us,
            congestion_window: queue.congestion_window,
            retransmits: queue.retransmits,
        };
        self.replay.queue(queue.conn, sample);
        Ok(())
    }

    fn released(&mut self, released: &Released) -> Result<(), ReadError> {
        let (at, end) = (self.at(released.at)?, released.end.into());
        self.replay.released(released.conn, SocketEnd { at, end, facts: released.facts.facts() });
        Ok(())
    }

    fn end(&mut self, end: &End) -> Result<(), ReadError> {
        if let Some(conn) = end.conn
            && let Some(mut history) = self.over.remove(&conn)
        {
            history.aftermath = self.aftermath(end.aftermath.as_ref())?;
            history.peer_aftermath = self.aftermath(end.peer_aftermath.as_ref())?;
            self.show(history, false);
        }
        if let Some(socket) = end.socket
            && let Some(place) = self.closed.iter().position(|closed| closed.conn.0 == socket)
        {
            self.ready.extend(self.closed.remove(place).map(Ended::Datagrams));
        }
        Ok(())
    }

    fn aftermath(&self, told: Option<&Aftermath>) -> Result<Option<record::Aftermath>, ReadError> {
        let Some(&Aftermath { at, state, remaining_ms }) = told else { return Ok(None) };
        Ok(Some(record::Aftermath { at: self.at(at)?, state: state.0, remaining_ms }))
    }

    fn dgram(&mut self, dgram: &Dgram) -> Result<(), ReadError> {
        let peer = dgram.peer.as_ref().map(|peer| self.address(peer)).transpose()?;
        let datagram = probe::Datagram {
            direction: dgram.direction.into(),
            index: self.bounded(dgram.index)?,
            start: self.at(dgram.at)?,
            end: self.at(dgram.end)?,
            asked: self.bounded(dgram.asked)?,
            length: self.bounded(dgram.length)?,
            taken: self.bounded(dgram.taken)?,
            digest: dgram.digest,
            peer: peer.as_ref(),
            result: dgram.errno.map_or(Ok(()), Err),
        };
        self.replay.datagram(ConnId(dgram.socket), &datagram);
        Ok(())
    }

    fn dgram_error(&mut self, error: &DgramError) -> Result<(), ReadError> {
        let to = error.to.as_ref().map(|to| self.address(to)).transpose()?;
        let offender = error.offender.as_ref().map(|offender| offender.parse()).transpose();
        let offender = offender.map_err(|_| self.reader.wrong("offender: not an address"))?;
        let (at, errno) = (self.at(error.at)?, error.errno);
        let reported = probe::Reported { at, errno, to: to.as_ref(), offender };
        self.replay.reported(ConnId(error.socket), &reported);
        Ok(())
    }

    fn show(&mut self, mut history: Box<History>, open: bool) {
        history.talk = self.header().talk;
        self.ready.push_back(Ended::Connection { history, open });
    }

    /// All that is left, as far as it had come.
    fn show_the_rest(&mut self) {
        while let Some((_, history)) = self.over.pop_first() {
            self.show(history, false);
        }
        while let Some(number) = self.replay.first() {
            if let Some(history) = self.replay.over(number) {
                self.show(Box::new(history), true);
            }
        }
        self.ready.extend(self.closed.drain(..).map(Ended::Datagrams));
        self.ready.extend(self.replay.open_sockets().map(Ended::Datagrams));
    }

    fn at(&self, nanos: i64) -> Result<probe::Stamp, ReadError> {
        let at = self.header().epoch.stamp(nanos);
        at.ok_or_else(|| self.reader.wrong("a time before 1970 or after 2262"))
    }

    fn bounded(&self, number: u64) -> Result<u64, ReadError> {
        match number {
            ..=MOST => Ok(number),
            _ => Err(self.reader.wrong(format!("{number} is more than 2^53"))),
        }
    }

    fn range(&self, [start, end]: [u64; 2]) -> Result<Range<u64>, ReadError> {
        let (start, end) = (self.bounded(start)?, self.bounded(end)?);
        match start <= end {
            true => Ok(start..end),
            false => Err(self.reader.wrong("a range that ends before it begins")),
        }
    }

    fn address(&self, text: &str) -> Result<Address, ReadError> {
        address::read(text).ok_or_else(|| self.reader.wrong(format!("{text:?} is no address")))
    }
}

impl<R: BufRead> Iterator for Playback<R> {
    type Item = Result<Ended, ReadError>;

    fn next(&mut self) -> Option<Result<Ended, ReadError>> {
        loop {
            if let Some(ended) = self.ready.pop_front() {
                return Some(Ok(ended));
            }
            if self.at_end {
                return None;
            }
            let error = match self.reader.read() {
                Ok(Some(record)) => self.take_in(&record).err(),
                Ok(None) => {
                    self.at_end = true;
                    self.show_the_rest();
                    None
                }
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                self.at_end = true;
                self.show_the_rest();
                return Some(Err(error));
            }
        }
    }
}
