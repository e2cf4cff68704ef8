//! Connections made by hand: what a server's program, its kernel and its wire would have told.

use std::net::SocketAddr;
use std::ops::Range;

use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Operation, Role, Stamp};
use sockeye_eye::record::{
    Aftermath, History, KernelFacts, KernelStamp, Loss, Point, QueueSample, SocketEnd,
};
use sockeye_eye::timeline::Timeline;
use sockeye_wire::packet::{Sack, Segment};
use sockeye_wire::tcp::{Flags, Seq, State};

use Direction::{Received, Sent};

/// Tells a timeline what happens, with time and offsets kept on the way.
pub(crate) struct Scene {
    timeline: Timeline,
    role: Role,
    wire: bool,
    program: bool,
    /// Nanoseconds since the start.
    now: u64,
    /// Next offset of calls, and of segments; received and sent.
    called: [u64; 2],
    wired: [u64; 2],
    /// Whether each end has sent its FIN.
    fin: [bool; 2],
    /// Initial sequence numbers, received and sent.
    isn: [u32; 2],
    /// Nanoseconds by which its clock is ahead of the one that all others go by.
    ahead: u64,
    /// Of the next segments.
    window: u16,
    sack: Option<Sack>,
}

/// Any day will do.
const EPOCH: u64 = 1_700_000_000_000_000_000;
/// Close to the wrap, so that every picture crosses it.
const ISN: [u32; 2] = [u32::MAX - 50, 3_000_000_000];

/// What a sample finds.
#[derive(Clone, Copy)]
pub(crate) struct Queue {
    pub(crate) receive: u32,
    pub(crate) send: u32,
    pub(crate) window: u32,
}

pub(crate) const CLIENT: &str = "127.0.0.1:40312";
pub(crate) const SERVER: &str = "127.0.0.1:8080";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

const fn index(way: Direction) -> usize {
    match way {
        Received => 0,
        Sent => 1,
    }
}

impl Scene {
    /// What is known, of two who talk as they please.
    pub(crate) fn into_talk(self) -> History {
        let mut history = self.timeline.into_history();
        history.talk = true;
        history
    }

    /// A server's connection with everything kept.
    pub(crate) fn new() -> Scene {
        Scene::keeping(1 << 20, true)
    }

    /// One of which no packets are seen.
    pub(crate) fn without_capture() -> Scene {
        Scene::keeping(1 << 20, false)
    }

    pub(crate) fn keeping(keep: usize, captured: bool) -> Scene {
        Scene {
            timeline: Timeline::new(
                Role::Server,
                address(SERVER).into(),
                address(CLIENT).into(),
                keep,
            ),
            role: Role::Server,
            wire: captured,
            program: true,
            now: 0,
            called: [0; 2],
            wired: [0; 2],
            fin: [false; 2],
            isn: ISN,
            ahead: 0,
            window: 512,
            sack: None,
        }
    }

    /// The client's end of a connection whose server's end is [`Scene::new`].
    pub(crate) fn of_its_client() -> Scene {
        Scene { isn: [ISN[1], ISN[0]], ..Scene::of_client() }
    }

    /// The same with so many nanoseconds added to each moment.
    pub(crate) fn ahead(self, nanos: u64) -> Scene {
        Scene { ahead: nanos, ..self }
    }

    /// A connection that is looked on at: no calls, and neither end is ours.
    pub(crate) fn of_others() -> Scene {
        let (server, client) = (address(SERVER).into(), address(CLIENT).into());
        let timeline = Timeline::new(Role::Server, server, client, 1 << 20).of_others();
        Scene { timeline, program: false, ..Scene::new() }
    }

    /// A client's connection.
    pub(crate) fn of_client() -> Scene {
        let timeline =
            Timeline::new(Role::Client, address(CLIENT).into(), address(SERVER).into(), 1 << 20);
        Scene { timeline, role: Role::Client, ..Scene::new() }
    }

    /// Goes back to the start, to tell what one source saw and then what another did.
    pub(crate) fn rewind(&mut self, wire: bool, program: bool) -> &mut Scene {
        (self.wire, self.program) = (wire, program);
        (self.now, self.called, self.wired, self.fin) = (0, [0; 2], [0; 2], [false; 2]);
        self
    }

    /// Sets its clock so many nanoseconds ahead of the one that all others go by.
    pub(crate) fn set_clock(&mut self, ahead: u64) {
        self.ahead = ahead;
    }

    /// Lets so many microseconds pass.
    pub(crate) fn wait(&mut self, micros: u64) -> &mut Scene {
        self.now += micros * 1000;
        self
    }

    /// SYN, SYN+ACK, ACK, accept.
    pub(crate) fn open(&mut self) -> &mut Scene {
        self.segment(Received, Flags::SYN, -1, 0, None);
        self.wait(9).segment(Sent, Flags::SYN, -1, 0, Some(0));
        self.wait(12).segment(Received, Flags::NONE, 0, 0, Some(0));
        self.wait(40).accept()
    }

    pub(crate) fn accept(&mut self) -> &mut Scene {
        self.opened(3, address(SERVER), address(CLIENT)).operation(Operation::Accept, 3, 0, Ok(0))
    }

    /// A connect that takes so many microseconds.
    pub(crate) fn connect(&mut self, micros: u64) -> &mut Scene {
        self.opened(micros, address(CLIENT), address(SERVER));
        self.operation(Operation::Connect, micros, 0, Ok(0))
    }

    /// One that takes so many, and fails.
    pub(crate) fn connect_fails(&mut self, micros: u64, errno: i32) -> &mut Scene {
        self.operation(Operation::Connect, micros, 0, Err(errno))
    }

    fn opened(&mut self, micros: u64, local: SocketAddr, peer: SocketAddr) -> &mut Scene {
        let at = Stamp(self.stamp_now().0 + micros * 1000);
        if self.program {
            let (local, peer) = (local.into(), peer.into());
            self.timeline.opened(&Opened { conn: ConnId(7), role: self.role, local, peer, at });
        }
        self
    }

    /// A segment with the next bytes, acknowledging all that was sent the other way.
    pub(crate) fn data(&mut self, way: Direction, length: u32) -> &mut Scene {
        let start = self.wired[index(way)];
        self.wired[index(way)] += u64::from(length);
        let ack = self.wired[1 - index(way)];
        self.segment(way, Flags::PSH, signed(start), length, Some(signed(ack)))
    }

    /// The same bytes once more.
    pub(crate) fn again(&mut self, way: Direction, start: u64, length: u32) -> &mut Scene {
        let ack = self.wired[1 - index(way)];
        self.segment(way, Flags::PSH, signed(start), length, Some(signed(ack)))
    }

    /// A bare ACK of all that was sent the other way, its FIN included.
    pub(crate) fn ack(&mut self, way: Direction) -> &mut Scene {
        let start = self.wired[index(way)] + u64::from(self.fin[index(way)]);
        let ack = self.wired[1 - index(way)] + u64::from(self.fin[1 - index(way)]);
        self.segment(way, Flags::NONE, signed(start), 0, Some(signed(ack)))
    }

    pub(crate) fn fin(&mut self, way: Direction) -> &mut Scene {
        let start = self.wired[index(way)];
        let ack = self.wired[1 - index(way)] + u64::from(self.fin[1 - index(way)]);
        self.fin[index(way)] = true;
        self.segment(way, Flags::FIN, signed(start), 0, Some(signed(ack)))
    }

    /// A reset as a close sends it.
    pub(crate) fn reset(&mut self, way: Direction) -> &mut Scene {
        let start = self.wired[index(way)];
        let ack = self.wired[1 - index(way)];
        self.segment(way, Flags::RST, signed(start), 0, Some(signed(ack)))
    }

    /// A bare ACK of bytes up to `ack`, with a window, and a block that has arrived besides.
    pub(crate) fn hears(
        &mut self,
        way: Direction,
        ack: u64,
        window: u16,
        sack: Option<(Range<u64>, bool)>,
    ) -> &mut Scene {
        let number = |offset: u64| {
            let low = u32::try_from((offset + 1) & 0xffff_ffff).expect("masked");
            Seq(self.isn[1 - index(way)]) + low
        };
        let sack = sack.map(|(range, duplicate)| Sack {
            start: number(range.start),
            end: number(range.end),
            duplicate,
        });
        (self.window, self.sack) = (window, sack);
        let start = self.wired[index(way)];
        self.segment(way, Flags::NONE, signed(start), 0, Some(signed(ack)));
        (self.window, self.sack) = (512, None);
        self
    }

    /// `offset` −1 is the SYN; `ack` is an offset of the opposite stream.
    pub(crate) fn segment(
        &mut self,
        way: Direction,
        flags: Flags,
        offset: i64,
        payload: u32,
        ack: Option<i64>,
    ) -> &mut Scene {
        let reached = u64::try_from(offset.max(0)).expect("not negative") + u64::from(payload);
        self.wired[index(way)] = self.wired[index(way)].max(reached);
        let number = |way: Direction, offset: i64| {
            let low = u32::try_from((offset + 1) & 0xffff_ffff).expect("masked");
            Seq(self.isn[index(way)]) + low
        };
        let (source, destination) = match (way == Received) == (self.role == Role::Server) {
            true => (CLIENT, SERVER),
            false => (SERVER, CLIENT),
        };
        let other = if way == Received { Sent } else { Received };
        if self.wire {
            let at = self.stamp_now();
            self.timeline.segment(
                at,
                way,
                &Segment {
                    source: address(source),
                    destination: address(destination),
                    seq: number(way, offset),
                    ack: ack.map_or(Seq(0), |ack| number(other, ack)),
                    flags: if ack.is_some() { flags | Flags::ACK } else { flags },
                    window: self.window,
                    payload,
                    window_scale: flags.syn().then_some(7),
                    mss: None,
                    sack: self.sack,
                },
            );
        }
        self
    }

    /// The kernel tells the peer's initial sequence number.
    pub(crate) fn saved_syn(&mut self) -> &mut Scene {
        self.timeline.saved_syn(ISN[0]);
        self
    }

    /// `recv` with room for 64 KiB returns so many bytes; 0 is the end of the stream.
    pub(crate) fn recv(&mut self, count: u64) -> &mut Scene {
        self.operation(Operation::Recv, 4, 65_536, Ok(count))
    }

    /// A deadline passed.
    pub(crate) fn gave_up(&mut self, way: Direction) -> &mut Scene {
        self.operation(Operation::GaveUp(way), 0, 0, Ok(0))
    }

    /// Nothing to read.
    pub(crate) fn recv_nothing(&mut self) -> &mut Scene {
        self.operation(Operation::Recv, 1, 65_536, Err(11))
    }

    pub(crate) fn send(&mut self, count: u64) -> &mut Scene {
        self.operation(Operation::Send, 14, count, Ok(count))
    }

    pub(crate) fn sendfile(&mut self, asked: u64, count: u64) -> &mut Scene {
        self.operation(Operation::SendFile, 20, asked, Ok(count))
    }

    pub(crate) fn fails(&mut self, operation: Operation, asked: u64, errno: i32) -> &mut Scene {
        self.operation(operation, 3, asked, Err(errno))
    }

    pub(crate) fn shutdown(&mut self) -> &mut Scene {
        self.operation(Operation::ShutdownWrite, 5, 0, Ok(0))
    }

    pub(crate) fn close(&mut self) -> &mut Scene {
        self.operation(Operation::Close, 6, 0, Ok(0));
        let at = Stamp(self.stamp_now().0 + 6_000);
        if self.program {
            self.timeline.closed(at);
        }
        self
    }

    /// A call that begins now; the scene does not wait for its end.
    fn operation(
        &mut self,
        operation: Operation,
        micros: u64,
        asked: u64,
        result: Result<u64, i32>,
    ) -> &mut Scene {
        let way = match operation {
            Operation::Recv => 0,
            _ => 1,
        };
        let start = self.stamp_now();
        let call = Call {
            operation,
            start,
            end: Stamp(start.0 + micros * 1000),
            asked,
            result,
            offset: self.called[way],
        };
        if matches!(operation, Operation::Recv | Operation::Send | Operation::SendFile) {
            self.called[way] += result.unwrap_or(0);
        }
        if self.program {
            self.timeline.call(call);
        }
        self
    }

    /// A message of so many bytes from `start`.
    pub(crate) fn message(
        &mut self,
        way: Direction,
        start: u64,
        length: u64,
        label: &str,
    ) -> &mut Scene {
        let at = self.stamp_now();
        if self.program {
            self.timeline.message(at, way, start..start + length, label);
        }
        self
    }

    pub(crate) fn kernel(&mut self, facts: KernelFacts) -> &mut Scene {
        self.timeline.kernel(facts);
        self
    }

    pub(crate) fn aftermath(&mut self, state: State, remaining_ms: Option<u32>) -> &mut Scene {
        let at = self.stamp_now();
        self.timeline.aftermath(Aftermath { at, state, remaining_ms });
        self
    }

    pub(crate) fn peer_aftermath(&mut self, remaining_ms: u32) -> &mut Scene {
        let (at, state) = (self.stamp_now(), State::TimeWait);
        self.timeline.peer_aftermath(Aftermath { at, state, remaining_ms: Some(remaining_ms) });
        self
    }

    /// The kernel stamps the byte before `end` of what we send.
    pub(crate) fn stamp(&mut self, point: Point, end: u64) -> &mut Scene {
        self.stamp_of(point, 0..end)
    }

    /// The kernel stamps the end of these, the first of which began a row of sends that were all to be
    /// stamped.
    pub(crate) fn stamp_of(&mut self, point: Point, range: Range<u64>) -> &mut Scene {
        let (at, from, end) = (self.stamp_now(), range.start, range.end);
        self.timeline.stamp(KernelStamp { at, point, from, end });
        self
    }

    /// A sample of an end's queues.
    pub(crate) fn queue(&mut self, end: Role, state: State, queue: Queue) -> &mut Scene {
        let at = self.stamp_now();
        self.timeline.queue(QueueSample {
            at,
            end,
            state,
            receive: queue.receive,
            send: queue.send,
            unsent: Some(queue.send / 2),
            send_window: None,
            receive_window: Some(queue.window),
            rtt_us: Some(30),
            congestion_window: Some(10),
            retransmits: Some(0),
        });
        self
    }

    /// The list of sockets tells of an end.
    pub(crate) fn told(
        &mut self,
        end: Role,
        state: State,
        received: u64,
        acked: u64,
    ) -> &mut Scene {
        let at = self.stamp_now();
        self.timeline.told(end, state, at, received, acked);
        self
    }

    /// The kernel lets go of an end's socket.
    pub(crate) fn let_go(&mut self, end: Role, facts: KernelFacts) -> &mut Scene {
        let at = self.stamp_now();
        self.timeline.ended(SocketEnd { at, end, facts });
        self
    }

    /// All of it, now that it is over.
    pub(crate) fn whole(self) -> History {
        self.timeline.into_history()
    }

    pub(crate) fn lost(&mut self, lost: Loss) -> &mut Scene {
        self.timeline.lost(lost);
        self
    }

    pub(crate) fn history(&self) -> &History {
        self.timeline.history()
    }

    pub(crate) fn finished_on_the_wire(&self) -> bool {
        self.timeline.finished_on_the_wire()
    }

    fn stamp_now(&self) -> Stamp {
        Stamp(EPOCH + self.now + self.ahead)
    }
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).expect("no test goes that far")
}
