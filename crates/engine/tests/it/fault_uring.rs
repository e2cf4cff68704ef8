//! io_uring that is slow to take submissions.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::rc::Rc;

use rustix::io::Errno;
use sockeye_engine::fault::{Plan, Point};
use sockeye_engine::{DriverKind, Usage, spawn};

use crate::{adopt, connection, either, engine, turns, until, until_closed};

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
