//! A recording may go on for hours: neither who writes it nor who plays it back holds more for that.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, BufReader, Read};

use sockeye_engine::Address;
use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Operation, Role, Stamp};
use sockeye_eye::recorder::{Seen, Tap};
use sockeye_eye::recording::{Ended, Playback, Reader, Writer};
use sockeye_wire::packet::Segment;
use sockeye_wire::tcp::{Flags, Seq};

/// Counts what the calling thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: i64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let _ = HELD.try_with(|held| held.set(held.get() + sign * bytes));
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches only a
// thread-local integer, which needs neither memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: `pointer` came from `System` by `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Rounding of tables that grow by doubling, and no more.
const SLACK: i64 = 64 * 1024;

/// What is held after a tenth of so many rounds, and after all of them.
fn held(rounds: u64, mut round: impl FnMut(u64)) -> [i64; 2] {
    let mut after = [0; 2];
    for number in 0..rounds {
        round(number);
        if number == rounds / 10 {
            after[0] = HELD.with(Cell::get);
        }
    }
    after[1] = HELD.with(Cell::get);
    after
}

fn stays(after: [i64; 2]) {
    assert!(after[0] > 0, "the allocator counts");
    assert!(after[1] - after[0] < SLACK, "{after:?}");
}

/// One connection after the other, all of the same life.
fn life(writer: &mut Writer, track: u64) {
    let (local, peer) = (([127, 0, 0, 1], 80), ([127, 0, 0, 1], 40_000));
    let (conn, at) = (ConnId(track), Stamp(track * 1000));
    let (ours, theirs) = (Address::from(local), Address::from(peer));
    let role = Role::Server;
    let (local, peer) = (&ours, &theirs);
    writer.sees(&Seen::Found { track, role, neutral: false, local, peer });
    writer.sees(&Seen::Joined { track, conn });
    let opened = Opened { conn, role, local: local.clone(), peer: peer.clone(), at };
    writer.sees(&Seen::Opened(&opened, Some(9)));
    let call = Call {
        operation: Operation::Recv,
        start: at,
        end: Stamp(at.0 + 5),
        asked: 100,
        result: Ok(10),
        offset: 0,
    };
    writer.sees(&Seen::Call(conn, &call));
    let segment = segment(&ours, &theirs, 10);
    let direction = Direction::Received;
    writer.sees(&Seen::Segment { track, at, direction, segment: &segment });
    writer.sees(&Seen::Closed(conn, at));
    writer.sees(&Seen::Over { track, forgotten: false });
}

fn segment(local: &Address, peer: &Address, seq: u32) -> Segment {
    Segment {
        source: peer.ip().expect("of the internet"),
        destination: local.ip().expect("of the internet"),
        seq: Seq(seq),
        ack: Seq(1),
        flags: Flags::ACK,
        window: 512,
        payload: 10,
        window_scale: None,
        mss: None,
        sack: None,
    }
}

#[test]
fn a_writer_holds_nothing_of_connections_that_are_over() {
    let mut writer = Writer::to(io::sink(), "nowhere");
    stays(held(50_000, |track| life(&mut writer, track + 1)));
}

/// Lines made as they are read; of each its number is given.
struct Lines {
    make: Box<dyn FnMut(u64) -> Option<String>>,
    made: u64,
    line: Vec<u8>,
    at: usize,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            let Some(line) = (self.make)(self.made) else { return Ok(0) };
            self.made += 1;
            self.at = 0;
            self.line.clear();
            self.line.extend_from_slice(line.as_bytes());
            self.line.push(b'\n');
        }
        let mut rest = &self.line[self.at..];
        let count = rest.read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

const HEADER: &str = r#"{"format":"sockeye-records","version":1,"program":"any","epoch":1,"at":0,"clock":"CLOCK_REALTIME","sources":[]}"#;

/// Plays back as many lines as are made behind a header.
fn playback(mut lines: impl FnMut(u64) -> Option<String> + 'static) -> Playback<BufReader<Lines>> {
    let make = move |number: u64| match number.checked_sub(1) {
        None => Some(HEADER.to_owned()),
        Some(number) => lines(number),
    };
    let lines = Lines { make: Box::new(make), made: 0, line: Vec::new(), at: 0 };
    Playback::new(Reader::new(BufReader::new(lines)).expect("a header"))
}

#[test]
fn playing_back_many_connections_holds_nothing_of_those_that_ended() {
    const LINES: u64 = 6;
    let mut playback = playback(|number| {
        let (conn, at) = (number / LINES + 1, number);
        Some(match number % LINES {
            0 => format!(
                r#"{{"kind":"conn","conn":{conn},"role":"server","local":"127.0.0.1:80","peer":"127.0.0.1:4"}}"#
            ),
            1 => format!(r#"{{"kind":"open","conn":{conn},"at":{at},"number":{conn}}}"#),
            2 => format!(
                r#"{{"kind":"call","conn":{conn},"at":{at},"end":{at},"op":"recv","asked":9,"returned":9,"offset":0}}"#
            ),
            3 => format!(r#"{{"kind":"close","conn":{conn},"at":{at}}}"#),
            4 => format!(r#"{{"kind":"over","conn":{conn}}}"#),
            _ => format!(r#"{{"kind":"end","conn":{conn}}}"#),
        })
    });
    stays(held(20_000, |_| {
        let ended = playback.next().expect("there is no end of them").expect("all is well");
        assert!(matches!(ended, Ended::Connection { open: false, .. }));
    }));
}

#[test]
fn playing_back_one_long_connection_holds_its_first_and_its_last_alone() {
    let after = std::rc::Rc::new(Cell::new([0; 2]));
    let seen = std::rc::Rc::clone(&after);
    const ROUNDS: u64 = 200_000;
    let mut playback = playback(move |number| {
        let (at, offset) = (number, number * 9);
        let mut both = seen.get();
        match number {
            20_000 => both[0] = HELD.with(Cell::get),
            ROUNDS => both[1] = HELD.with(Cell::get),
            _ => {}
        }
        seen.set(both);
        Some(match number {
            0 => r#"{"kind":"conn","conn":1,"role":"server","local":"127.0.0.1:80","peer":"127.0.0.1:4"}"#.to_owned(),
            ROUNDS => return None,
            _ if number % 2 == 0 => format!(
                r#"{{"kind":"call","conn":1,"at":{at},"end":{at},"op":"recv","asked":9,"returned":9,"offset":{offset}}}"#
            ),
            _ => format!(
                r#"{{"kind":"msg","conn":1,"at":{at},"direction":"received","range":[{offset},{}],"label":"number {number}"}}"#,
                offset + 9
            ),
        })
    });
    let Some(Ok(Ended::Connection { history, open: true })) = playback.next() else {
        panic!("one that is open");
    };
    assert_eq!(history.totals.messages[0] + history.totals.calls[0], ROUNDS - 1);
    stays(after.get());
}
