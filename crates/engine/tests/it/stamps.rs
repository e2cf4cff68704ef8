//! Who looks on may ask for stamps of what is sent, which the kernel tells by the error queue: every
//! driver has it emptied in time, and what the program sees stays as it was.

use std::cell::Cell;
use std::fmt;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvFlags, recvmsg};
use sockeye_engine::probe::{
    Call, ConnId, Direction, Opened, Operation, Probe, ProbeSource, SENDS_TOLD,
};
use sockeye_engine::{DriverKind, Engine, sleep};

use crate::peer::Peer;
use crate::{Either, adopt, connection, either, on_every_driver, turns};

/// Asks for stamps of all that is sent, and empties error queues.
#[derive(Clone, Default)]
pub(crate) struct Stamps {
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// How often a thread was about to wait.
    waits: AtomicU64,
    /// Entries taken out of error queues.
    taken: AtomicU64,
    /// The most bytes that were said to be sent.
    sent: AtomicU64,
}

impl ProbeSource for Stamps {
    fn probe(&self) -> Box<dyn Probe> {
        Box::new(self.clone())
    }
}

impl Probe for Stamps {
    fn listening(&self, _: Option<BorrowedFd<'_>>, _: SocketAddr) {}
    fn opened(&self, fd: Option<BorrowedFd<'_>>, opened: &Opened) {
        if opened.local.ip().is_some() {
            ask(fd.expect("it is no simulation"));
        }
    }
    fn call(&self, _: ConnId, _: &Call) {}
    fn message(&self, _: ConnId, _: Direction, _: Range<u64>, _: fmt::Arguments<'_>) {}
    fn reads_error_queues(&self) -> bool {
        true
    }
    fn error_queue(&self, _: ConnId, fd: BorrowedFd<'_>, sent: Range<u64>) {
        self.seen.sent.fetch_max(sent.end, Ordering::Relaxed);
        let flags = RecvFlags::ERRQUEUE | RecvFlags::DONTWAIT;
        let mut room = [MaybeUninit::uninit(); 256];
        while recvmsg(fd, &mut [], &mut RecvAncillaryBuffer::new(&mut room), flags).is_ok() {
            self.seen.taken.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn tell_sends(&self, _: ConnId, fd: BorrowedFd<'_>, told: bool) {
        match told {
            true => ask(fd),
            false => set(fd, REPORTED),
        }
    }
    fn closing(&self, _: ConnId, _: Option<BorrowedFd<'_>>) {}
    fn closed(&self, _: ConnId) {}
    fn flush(&self) {
        self.seen.waits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Stamps of each byte when it is passed to the device and when it is acknowledged, without the bytes.
fn ask(fd: BorrowedFd<'_>) {
    let points = libc::SOF_TIMESTAMPING_TX_SCHED
        | libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_TX_ACK;
    set(fd, points | REPORTED);
}

/// Stamps are reported, without the bytes.
const REPORTED: u32 = libc::SOF_TIMESTAMPING_SOFTWARE
    | libc::SOF_TIMESTAMPING_OPT_ID
    | libc::SOF_TIMESTAMPING_OPT_TSONLY;

fn set(fd: BorrowedFd<'_>, flags: u32) {
    let length = libc::socklen_t::try_from(size_of_val(&flags)).expect("four bytes");
    let (level, name) = (libc::SOL_SOCKET, libc::SO_TIMESTAMPING);
    // SAFETY: the value is an int and lives for the call.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const flags).cast(), length) };
    // A connection that is over already can't be asked.
    let _ = result;
}

#[test]
fn a_hundred_sends_wake_nobody_more_than_a_few_hundred_times() {
    on_every_driver(|kind| {
        let stamps = Stamps::default();
        let engine = Engine::with_probe(kind, &stamps).expect("a driver");
        let (ours, theirs) = connection();
        let mut theirs = Peer::near(theirs);
        let taken = engine.block_on(async {
            let mut stream = adopt(ours);
            for round in 0..100u8 {
                stream.write(&[round; 10]);
                stream.flush().await.expect("there is room");
                // Acknowledged at once or with the next one, read together or one by one.
                if round % 3 == 0 {
                    theirs.write(b"!").await.expect("there is room");
                    stream.recv().await.expect("it came");
                }
            }
            assert_eq!(theirs.read_some(1000).await.expect("they came").len(), 1000);
            // With nothing to come and all its stamps there, whoever waits stays asleep.
            let waited = either(stream.recv(), sleep(Duration::from_millis(50))).await;
            assert!(matches!(waited, Either::Other(())), "{kind}");
            drop(stream);
            stamps.seen.taken.load(Ordering::Relaxed)
        });
        let waits = stamps.seen.waits.load(Ordering::Relaxed);
        // This one never waits: it asks in a loop.
        if kind != DriverKind::Busy {
            assert!(waits < 400, "{kind}: {waits} waits");
        }
        assert!(taken >= u64::from(SENDS_TOLD), "{kind}: {taken} stamps");
        // What waits for its last operation is closed now at the latest.
        drop(engine);
        assert_eq!(stamps.seen.sent.load(Ordering::Relaxed), 1000, "{kind}");
    });
}

#[test]
fn a_sender_without_room_sleeps_while_its_stamps_come() {
    on_every_driver(|kind| {
        let stamps = Stamps::default();
        let engine = Engine::with_probe(kind, &stamps).expect("a driver");
        let (ours, theirs) = crate::peer::narrow_connection();
        let done = Cell::new(false);
        engine.block_on(async {
            let mut stream = adopt(ours);
            let sender = async {
                for _ in 0..100 {
                    stream.write(&[7; 100_000]);
                    stream.flush().await.expect("the reader lives");
                }
                drop(stream);
                done.set(true);
            };
            let reader = Peer::near(theirs).aside(async |mut theirs: Peer| {
                let mut all = 0;
                loop {
                    let some = theirs.read_some(1 << 16).await.expect("no error");
                    if some.is_empty() {
                        return all;
                    }
                    all += some.len();
                }
            });
            sender.await;
            assert_eq!(reader.joined().await, 10_000_000, "{kind}");
        });
        assert!(done.get());
        let waits = stamps.seen.waits.load(Ordering::Relaxed);
        // The reader frees room some hundreds of times, each of which may wake the sender.
        if kind != DriverKind::Busy {
            assert!(waits < 5_000, "{kind}: {waits} waits");
        }
    });
}

#[test]
fn what_waits_in_an_error_queue_that_nobody_looks_for_is_no_end_of_the_stream() {
    on_every_driver(|kind| {
        let stamps = Stamps::default();
        let engine = Engine::with_probe(kind, &stamps).expect("a driver");
        let (ours, theirs) = connection();
        let mut theirs = Peer::near(theirs);
        engine.block_on(async {
            let mut stream = adopt(ours);
            stream.write(b"hello");
            stream.flush().await.expect("there is room");
            turns(5).await;
            assert_eq!(theirs.read_some(10).await.expect("it came"), b"hello");
            theirs.write(b"there").await.expect("there is room");
            assert_eq!(&stream.recv().await.expect("no error")[..], b"there", "{kind}");
            drop(theirs);
            assert!(stream.recv().await.expect("no error").is_empty(), "{kind}");
        });
    });
}

/// Asks for a stamp of what is passed to the device, where sends are to be told of.
#[derive(Clone, Default)]
struct Rationed {
    seen: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    /// What was said of sends, in order.
    turns: Vec<bool>,
    /// Sends that moved bytes while they were told of.
    sends: usize,
    /// Entries taken out of error queues.
    taken: usize,
}

impl Rationed {
    fn seen(&self) -> MutexGuard<'_, Told> {
        self.seen.lock().expect("nobody panicked")
    }
}

impl ProbeSource for Rationed {
    fn probe(&self) -> Box<dyn Probe> {
        Box::new(self.clone())
    }
}

impl Probe for Rationed {
    fn listening(&self, _: Option<BorrowedFd<'_>>, _: SocketAddr) {}
    fn opened(&self, fd: Option<BorrowedFd<'_>>, _: &Opened) {
        set(fd.expect("it is no simulation"), libc::SOF_TIMESTAMPING_TX_SOFTWARE | REPORTED);
    }
    fn call(&self, _: ConnId, call: &Call) {
        let mut seen = self.seen();
        let told = seen.turns.last().is_none_or(|told| *told);
        seen.sends += usize::from(call.operation == Operation::Send && told && call.result > Ok(0));
    }
    fn message(&self, _: ConnId, _: Direction, _: Range<u64>, _: fmt::Arguments<'_>) {}
    fn reads_error_queues(&self) -> bool {
        true
    }
    fn error_queue(&self, _: ConnId, fd: BorrowedFd<'_>, sent: Range<u64>) {
        assert!(sent.start <= sent.end, "{sent:?}");
        let flags = RecvFlags::ERRQUEUE | RecvFlags::DONTWAIT;
        let mut room = [MaybeUninit::uninit(); 256];
        while recvmsg(fd, &mut [], &mut RecvAncillaryBuffer::new(&mut room), flags).is_ok() {
            self.seen().taken += 1;
        }
    }
    fn tell_sends(&self, _: ConnId, fd: BorrowedFd<'_>, told: bool) {
        self.seen().turns.push(told);
        let point = if told { libc::SOF_TIMESTAMPING_TX_SOFTWARE } else { 0 };
        set(fd, point | REPORTED);
    }
    fn closing(&self, _: ConnId, _: Option<BorrowedFd<'_>>) {}
    fn closed(&self, _: ConnId) {}
    fn flush(&self) {}
}

#[test]
fn of_many_sends_the_first_are_told_of_and_then_some() {
    on_every_driver(|kind| {
        let probe = Rationed::default();
        let engine = Engine::with_probe(kind, &probe).expect("a driver");
        let (ours, theirs) = connection();
        let mut theirs = Peer::near(theirs);
        engine.block_on(async {
            let mut stream = adopt(ours);
            for round in 0..1000u16 {
                stream.write(&round.to_be_bytes());
                stream.flush().await.expect("there is room");
                let taken = theirs.read_some(2).await.expect("it came");
                assert_eq!(taken, round.to_be_bytes(), "{kind}");
                theirs.write(b"!").await.expect("there is room");
                stream.recv().await.expect("it came");
                if round == u16::from(SENDS_TOLD) - 1 {
                    let seen = probe.seen();
                    let told = usize::from(SENDS_TOLD);
                    assert_eq!((&*seen.turns, seen.sends), (&[][..], told), "{kind}");
                }
            }
            drop(stream);
        });
        drop(engine);
        let seen = probe.seen();
        assert!((usize::from(SENDS_TOLD)..1000).contains(&seen.sends), "{kind}: {}", seen.sends);
        let turns: Vec<bool> = (0..seen.turns.len()).map(|turn| turn % 2 == 1).collect();
        assert_eq!(seen.turns, turns, "{kind}");
        // One by one, so each that was told of left by itself; it is stamped again if it is sent again.
        assert!(seen.taken >= seen.sends && seen.taken < 1000, "{kind}: {}", seen.taken);
    });
}
