//! A connection may go on for ever: once its history is full, looking on costs no memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use std::net::SocketAddr;

use sockeye_engine::probe::{Call, Direction, Operation, Role, Stamp};
use sockeye_eye::timeline::Timeline;
use sockeye_wire::packet::Segment;
use sockeye_wire::tcp::{Flags, Seq};

/// Counts what the calling thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches only a
// thread-local integer, which needs neither memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` by `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_full_history_allocates_nothing_more() {
    let local: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
    let peer: SocketAddr = "127.0.0.1:40312".parse().expect("an address");
    let mut timeline = Timeline::new(Role::Server, local.into(), peer.into(), 64);
    let mut told = 0;
    let mut tell = |rounds: u64| {
        for _ in 0..rounds {
            round(&mut timeline, told, local, peer);
            told += 1;
        }
        ALLOCATIONS.with(Cell::get)
    };
    let full = tell(500);
    assert!(full > 0, "the allocator counts");
    assert_eq!(tell(10_000), full);
}

/// One request and its answer.
fn round(timeline: &mut Timeline, number: u64, local: SocketAddr, peer: SocketAddr) {
    let at = |nanos: u64| Stamp(number * 1000 + nanos);
    let offset = number * 10;
    let low = Seq(u32::try_from(offset % (1 << 32)).expect("masked"));
    let segment = |source, destination| Segment {
        source,
        destination,
        seq: low,
        ack: low,
        flags: Flags::ACK,
        window: 512,
        payload: 10,
        window_scale: None,
        mss: None,
        sack: None,
    };
    let call = |operation, nanos| Call {
        operation,
        start: at(nanos),
        end: at(nanos + 1),
        asked: 10,
        result: Ok(10),
        offset,
    };
    timeline.segment(at(0), Direction::Received, &segment(peer, local));
    timeline.call(call(Operation::Recv, 10));
    timeline.message(at(20), Direction::Received, offset..offset + 10, "GET /index.html");
    timeline.call(call(Operation::Send, 30));
    timeline.segment(at(40), Direction::Sent, &segment(local, peer));
}
