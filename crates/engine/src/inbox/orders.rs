//! Every order in which threads can get at an inbox, tried by loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p sockeye-engine --lib orders`.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use loom::thread;
use rustix::net::{RecvFlags, recv};

use super::directory::{register, unregister};
use super::*;
use crate::waker::TaskId;

fn key(index: u32) -> Key {
    Key { index, generation: 0 }
}

/// Looks as often as the event says there is something; a driver would wait in between.
fn look(inbox: &Inbox, got: &mut Vec<Key>) {
    let mut looks = 0;
    while inbox.event.is_up() {
        inbox.take(got);
        looks += 1;
        assert!(looks < 4, "the event stays up, and the thread would never sleep");
    }
}

#[test]
fn every_wake_arrives_and_the_event_comes_down() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new().expect("an eventfd"));
        let others = [1, 2].map(|index| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || inbox.wake(key(index)))
        });
        let mut got = Vec::new();
        // In the middle of it, as after a time-out, and once more because the event says so.
        inbox.take(&mut got);
        if inbox.event.is_up() {
            inbox.take(&mut got);
        }
        others.into_iter().for_each(|other| other.join().expect("no panic"));
        look(&inbox, &mut got);
        got.sort_by_key(|key| key.index);
        assert_eq!(got, [key(1), key(2)]);
        // And the next one ends the next wait.
        inbox.wake(key(3));
        assert!(inbox.event.is_up());
    });
}

#[test]
fn a_stop_and_a_wake_at_once_are_both_heard() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new().expect("an eventfd"));
        let (stopper, waker) = (Arc::clone(&inbox), Arc::clone(&inbox));
        let stopping = thread::spawn(move || stopper.stop());
        let waking = thread::spawn(move || waker.wake(key(1)));
        let mut got = Vec::new();
        inbox.take(&mut got);
        stopping.join().expect("no panic");
        waking.join().expect("no panic");
        look(&inbox, &mut got);
        assert!(inbox.stopping());
        assert_eq!(got, [key(1)]);
    });
}

/// Whether the receiving half was shut down.
fn is_shut(socket: &TcpStream) -> bool {
    recv(socket, &mut [0; 1], RecvFlags::DONTWAIT).is_ok()
}

#[test]
fn a_stop_ends_the_call_a_thread_sleeps_in_and_touches_no_descriptor_afterwards() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let connection = move || {
        let ours = TcpStream::connect(address).expect("it listens");
        // Reset when it is closed: the model runs often, and TIME-WAIT would use up all ports.
        let linger = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&ours, linger).expect("an option");
        (ours, listener.accept().expect("connected").0)
    };
    loom::model(move || {
        let (ours, _theirs) = connection();
        let inbox = Arc::new(Inbox::new().expect("an eventfd"));
        let stopper = Arc::clone(&inbox);
        let stopping = thread::spawn(move || stopper.stop());
        // One call ends by itself; the thread sleeps in the next one until it is stopped.
        if let Some(first) = inbox.fall_asleep(ours.as_fd()) {
            drop(first);
            let was_shut = is_shut(&ours);
            let second = inbox.fall_asleep(ours.as_fd());
            let sleeps = second.is_some();
            if !sleeps {
                stopping.join().expect("no panic");
                assert_eq!(is_shut(&ours), was_shut, "shut down while nobody slept on it");
                return;
            }
            stopping.join().expect("no panic");
            drop(second);
            assert!(is_shut(&ours), "the thread sleeps on");
        } else {
            stopping.join().expect("no panic");
            assert!(!is_shut(&ours), "shut down though nobody slept on it");
        }
    });
}

#[test]
fn a_waker_that_outlives_its_thread_is_not_missing_from_the_count_of_the_next() {
    loom::model(|| {
        let (worker, inbox) = register().expect("an eventfd");
        let waker = TaskId { worker, key: key(1) }.waker(true);
        assert_eq!(inbox.wakers(), 1);
        let other = thread::spawn(move || drop(waker));
        unregister(worker);
        let (next, inbox) = register().expect("an eventfd");
        let own = TaskId { worker: next, key: key(1) }.waker(true);
        other.join().expect("no panic");
        assert_eq!(inbox.wakers(), 1, "there is one");
        drop(own);
        assert_eq!(inbox.wakers(), 0);
        unregister(next);
        // Both names are free again.
        assert!(find(worker).is_none() && find(next).is_none());
    });
}

#[test]
fn a_wake_while_the_thread_ends_is_lost_or_heard_and_nothing_else() {
    loom::model(|| {
        let (worker, inbox) = register().expect("an eventfd");
        let waker = TaskId { worker, key: key(1) }.waker(true);
        let other = thread::spawn(move || waker.wake());
        unregister(worker);
        let (next, stranger) = register().expect("an eventfd");
        other.join().expect("no panic");
        let mut got = Vec::new();
        look(&inbox, &mut got);
        look(&stranger, &mut got);
        assert!(got.len() < 2);
        assert_eq!(stranger.wakers(), 0);
        unregister(next);
        assert!(find(worker).is_none() && find(next).is_none());
    });
}
