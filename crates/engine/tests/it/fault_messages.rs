//! Each call that moves a message fails once: it is told or made again, and never in a spin.

use std::io;
use std::net::Ipv4Addr;

use rustix::io::Errno;
use sockeye_engine::fault::Plan;
use sockeye_engine::{CallError, Datagram, DriverKind, Usage};

use crate::{engine, on_every_driver, until_closed};

const MESSAGES: u8 = 3;

/// Messages there and back; how often an operation failed, and with what.
async fn exchange() -> Vec<io::Error> {
    let local = (Ipv4Addr::LOCALHOST, 0).into();
    let (one, other) = (Datagram::bind(&local), Datagram::bind(&local));
    let (one, other) = (one.expect("a free port"), other.expect("a free port"));
    let to = other.local_addr().expect("bound");
    let mut errors = Vec::new();
    for number in 0..MESSAGES {
        while let Err(error) = one.send_to(&[number], &to).await {
            errors.push(error);
        }
        loop {
            match other.recv().await {
                Ok(message) => {
                    assert_eq!(message.bytes[..], [number]);
                    break;
                }
                Err(error) => errors.push(error),
            }
        }
    }
    errors
}

/// What the plan counted, and what the program was told.
fn run(kind: DriverKind, errno: Errno, nth: u64) -> (u64, Vec<io::Error>) {
    let plan = Plan::new(errno, nth);
    let engine = engine(kind);
    plan.join();
    let errors = engine.block_on(exchange());
    Plan::leave();
    assert_eq!(plan.hit().is_some(), nth > 0, "{kind}: {errno} at call {nth}");
    engine.block_on(until_closed(&engine));
    assert_eq!(engine.usage(), Usage::default(), "{kind}: {errno} at call {nth}");
    (plan.calls(), errors)
}

#[test]
fn a_message_call_that_fails_once_is_told_once_or_made_again() {
    on_every_driver(|kind| {
        for errno in [Errno::NOBUFS, Errno::CONNRESET, Errno::AGAIN, Errno::INTR] {
            let (calls, none) = run(kind, errno, 0);
            assert!(none.is_empty() && calls >= 2 * u64::from(MESSAGES), "{kind}: {none:?}");
            // Some calls are made again after EAGAIN, as often as the kernel likes.
            for nth in 1..=2 * u64::from(MESSAGES) {
                let (again, errors) = run(kind, errno, nth);
                let passes = matches!(errno, Errno::AGAIN | Errno::INTR);
                let numbers: Vec<_> =
                    errors.iter().map(|error| CallError::of(error)?.raw_os_error()).collect();
                let expected = if passes { vec![] } else { vec![Some(errno.raw_os_error())] };
                assert_eq!(numbers, expected, "{kind}: {errno} at call {nth}");
                let bound = calls + 10;
                assert!(again <= bound || kind == DriverKind::Busy, "{kind}: {again} of {bound}");
            }
        }
    });
}
