//! A relay whose bytes never come into this process.

use std::cell::Cell;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::sockopt;
use sockeye_engine::{DriverKind, Engine, Pipe, Usage, spawn};

use crate::{
    Either, adopt, connection, either, engine, on_every_driver, turns, until, until_closed,
};

fn sending(mut peer: TcpStream, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        peer.write_all(&bytes).expect("connected");
        peer.shutdown(Shutdown::Write).expect("connected");
    })
}

fn receiving(mut peer: TcpStream) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).expect("connected");
        all
    })
}

fn pattern(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn is_clean(engine: &Engine, kind: DriverKind) {
    engine.block_on(until_closed(engine));
    assert_eq!(engine.usage(), Usage::default(), "{kind}");
}

#[test]
fn a_relay_carries_all_bytes_in_order() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let ((left, client), (right, server)) = (connection(), connection());
        let sent = pattern(20_000_000);
        let (sender, receiver) = (sending(client, sent.clone()), receiving(server));
        engine.block_on(async {
            let ((mut from, _to), (_from, mut to)) = (adopt(left).split(), adopt(right).split());
            let mut pipe = Pipe::new().expect("descriptors");
            let count = pipe.relay(&mut from, &mut to, None).await.expect("both are there");
            assert_eq!(count, 20_000_000, "{kind}");
            assert_eq!((from.received(), to.written()), (count, count), "{kind}");
        });
        sender.join().expect("it ends");
        engine.block_on(until_closed(&engine));
        assert!(receiver.join().expect("it ends") == sent, "{kind}");
        is_clean(&engine, kind);
    });
}

/// io_uring goes on receiving once it was asked, so bytes may have come that nobody took.
#[test]
fn a_relay_begins_with_what_has_been_received_before() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let ((left, client), (right, server)) = (connection(), connection());
        let sent = pattern(5_000_000);
        let (sender, receiver) = (sending(client, sent.clone()), receiving(server));
        engine.block_on(async {
            let mut stream = adopt(left);
            let first = stream.recv().await.expect("it comes");
            let second = stream.peek(10).await.expect("it comes").len();
            assert!(second >= 10, "{kind}");
            let ((mut from, _to), (_from, mut to)) = (stream.split(), adopt(right).split());
            to.write(&first);
            let done = first.len() as u64;
            drop(first);
            let mut pipe = Pipe::new().expect("descriptors");
            let count = pipe.relay(&mut from, &mut to, None).await.expect("both are there");
            assert_eq!(done + count, 5_000_000, "{kind}");
        });
        sender.join().expect("it ends");
        engine.block_on(until_closed(&engine));
        assert!(receiver.join().expect("it ends") == sent, "{kind}");
        is_clean(&engine, kind);
    });
}

#[test]
fn both_directions_are_relayed_at_once_and_dropped_relays_lose_nothing() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let ((left, client), (right, server)) = (connection(), connection());
        let (there, back) = (pattern(3_000_000), pattern(2_000_000));
        let senders = [
            sending(client.try_clone().expect("a descriptor"), there.clone()),
            sending(server.try_clone().expect("a descriptor"), back.clone()),
        ];
        let receivers = [receiving(server), receiving(client)];
        engine.block_on(async {
            let ((mut from, mut home), (mut answers, mut to)) =
                (adopt(left).split(), adopt(right).split());
            let done = Rc::new(Cell::new(false));
            let told = Rc::clone(&done);
            spawn(async move {
                let mut pipe = Pipe::new().expect("descriptors");
                pipe.relay(&mut answers, &mut home, None).await.expect("both are there");
                home.shutdown_write().expect("connected");
                told.set(true);
            });
            let mut pipe = Pipe::new().expect("descriptors");
            let mut patience = 0;
            loop {
                patience = (patience + 1) % 7;
                let relay = pipe.relay(&mut from, &mut to, None);
                if let Either::One(count) = either(relay, turns(patience)).await {
                    count.expect("both are there");
                    break;
                }
            }
            to.shutdown_write().expect("connected");
            until(|| (done.get()).then_some(())).await;
        });
        for sender in senders {
            sender.join().expect("it ends");
        }
        let [at_server, at_client] = receivers.map(|receiver| receiver.join().expect("it ends"));
        assert!(at_server == there && at_client == back, "{kind}");
        is_clean(&engine, kind);
    });
}

#[test]
fn a_relay_waits_no_longer_than_asked_and_says_for_whom() {
    on_every_driver(|kind| {
        let engine = engine(kind);
        let ((left, mut client), (right, server)) = (connection(), connection());
        let asker = client.local_addr().expect("bound");
        let answerer = server.local_addr().expect("bound");
        // A queue that is full may have room again a moment later; small ones that do not grow can't
        // take all that is to come.
        sockopt::set_socket_send_buffer_size(&right, 4096).expect("an option");
        sockopt::set_socket_recv_buffer_size(&server, 4096).expect("an option");
        engine.block_on(async {
            let ((mut from, _to), (_from, mut to)) = (adopt(left).split(), adopt(right).split());
            let mut pipe = Pipe::new().expect("descriptors");
            let short = Some(Duration::from_millis(5));
            let error = pipe.relay(&mut from, &mut to, short).await.expect_err("nobody sends");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}");
            assert!(error.to_string().contains(&format!("from {asker}: ")), "{error}");
            client.set_nonblocking(true).expect("a flag");
            while client.write(&[7; 100_000]).is_ok() {}
            let error = pipe.relay(&mut from, &mut to, short).await.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}");
            assert!(error.to_string().contains(&format!("to {answerer}: ")), "{error}");
        });
        is_clean(&engine, kind);
    });
}
