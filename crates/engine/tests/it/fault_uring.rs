//! io_uring that is slow to take submissions, or finds no buffer to receive into.

use std::cell::Cell;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::rc::Rc;

use rustix::io::Errno;
use sockeye_engine::fault::{Plan, Point};
use sockeye_engine::{DriverKind, Usage, spawn};

use crate::peer::{reset, until_readable};
use crate::{Either, adopt, connection, either, engine, turns, until, until_closed};

/// Two submissions each are more than the ring holds.
const CONNECTIONS: usize = 600;

/// A full ring is handed to the kernel, which refuses.
fn refused(nth: u64) -> Option<Point> {
    let engine = engine(DriverKind::Uring);
    let (ours, mut theirs): (Vec<_>, Vec<_>) = (0..CONNECTIONS).map(|_| connection()).unzip();
    let plan = Plan::new(Errno::BUSY, nth);
    plan.join();
    let done = Rc::new(Cell::new(0));
    engine.block_on(async {
        for socket in ours {
            let done = Rc::clone(&done);
            spawn(async move {
                let mut stream = adopt(socket);
                // Submits a receive, and a send right behind it.
                drop(either(stream.recv(), std::future::ready(())).await);
                stream.write(b"?");
                stream.flush().await.expect("connected");
                assert_eq!(&stream.recv().await.expect("connected")[..], b"!");
                done.set(done.get() + 1);
            });
        }
        // All have submitted.
        turns(3).await;
        for their in &mut theirs {
            their.write_all(b"!").expect("connected");
        }
        until(|| (done.get() == CONNECTIONS).then_some(())).await;
        until_closed(&engine).await;
    });
    assert_eq!(engine.usage(), Usage::default());
    drop(engine);
    Plan::leave();
    for their in &mut theirs {
        let mut sent = Vec::new();
        their.read_to_end(&mut sent).expect("closed");
        assert_eq!(sent, b"?");
    }
    plan.hit().map(|hit| hit.point)
}

#[test]
fn a_ring_that_is_full_while_the_kernel_refuses_is_handed_over_again() {
    // The first calls are made when the ring is full, later ones when the thread waits.
    for nth in 1..=4 {
        assert_eq!(refused(nth), Some(Point::Enter), "call {nth}");
    }
}

#[test]
fn a_receive_that_found_no_buffer_goes_on_as_soon_as_something_comes() {
    let engine = engine(DriverKind::Uring);
    for comes_first in [true, false] {
        let (ours, mut theirs) = connection();
        let look = ours.try_clone().expect("a descriptor");
        let plan = Plan::new(Errno::NOBUFS, 1);
        plan.join();
        engine.block_on(async {
            let mut stream = adopt(ours);
            if comes_first {
                theirs.write_all(b"first").expect("connected");
                until_readable(&look);
            } else {
                // Waits for it, and is dropped while it does.
                let waited = either(stream.recv(), turns(5)).await;
                assert!(matches!(waited, Either::Other(())));
                theirs.write_all(b"first").expect("connected");
            }
            assert_eq!(&stream.recv().await.expect("connected")[..], b"first");
            let hit = plan.hit().map(|hit| hit.point);
            assert_eq!(hit, Some(Point::Recv), "something came first: {comes_first}");
            theirs.write_all(b"second").expect("connected");
            assert_eq!(&stream.recv().await.expect("connected")[..], b"second");
        });
        Plan::leave();
        engine.block_on(until_closed(&engine));
        assert_eq!(engine.usage(), Usage::default());
    }
}

#[test]
fn the_end_comes_through_to_a_receive_that_found_no_buffer() {
    let engine = engine(DriverKind::Uring);
    let ends: [(fn(TcpStream), _); 2] = [(drop, Ok(0)), (reset, Err(ErrorKind::ConnectionReset))];
    for (end, expected) in ends {
        let (ours, theirs) = connection();
        let plan = Plan::new(Errno::NOBUFS, 1);
        plan.join();
        engine.block_on(async {
            let mut stream = adopt(ours);
            let waited = either(stream.recv(), turns(5)).await;
            assert!(matches!(waited, Either::Other(())));
            assert_eq!(plan.hit().map(|hit| hit.point), Some(Point::Recv));
            end(theirs);
            let ended = stream.recv().await.map(|chunk| chunk.len());
            assert_eq!(ended.map_err(|error| error.kind()), expected);
        });
        Plan::leave();
        engine.block_on(until_closed(&engine));
        assert_eq!(engine.usage(), Usage::default());
    }
}
