//! A listener, its clients and a stop, on every driver: who is accepted, what is told of those who left
//! before it, and how work in flight ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sockeye_engine::{Stream, spawn};

use crate::peer::{self, Peer};
use crate::stage::{self, Listening};
use crate::transcript::same_on_an_engine;
use crate::{Either, either, turns, until};

/// All that comes until the end, and how it ends.
async fn hear(stream: &mut Stream) -> String {
    let mut all = Vec::new();
    loop {
        match stream.recv().await {
            Ok(chunk) if chunk.is_empty() => {
                return format!("{}, end", String::from_utf8_lossy(&all));
            }
            Ok(chunk) => all.extend_from_slice(&chunk),
            Err(error) => return format!("{}, {:?}", String::from_utf8_lossy(&all), error.kind()),
        }
    }
}

#[test]
fn who_is_accepted_sees_its_own_connection() {
    let golden = "
        the peer is who connected: true
        heard: hello, end
        client: hello back, end
    ";
    same_on_an_engine("who_is_accepted_sees_its_own_connection", golden, async |told, stage| {
        let listener = stage.listen();
        let mut client = listener.client().await;
        let mut stream = listener.accept().await.expect("no stop").expect("it waits");
        let right = stream.peer_addr().expect("connected") == client.address();
        told.say(format_args!("the peer is who connected: {right}"));
        client.write(b"hello").await.expect("connected");
        client.shutdown_write();
        told.say(format_args!("heard: {}", hear(&mut stream).await));
        stream.write(b"hello back");
        stream.flush().await.expect("connected");
        drop(stream);
        told.say(format_args!("client: {}", client.rest().await));
    });
}

#[test]
fn clients_that_wait_already_are_accepted_in_their_order() {
    let golden = "300 of 300 in order";
    same_on_an_engine(
        "clients_that_wait_already_are_accepted_in_their_order",
        golden,
        async |told, stage| {
            let listener = stage.listen();
            let mut clients = Vec::new();
            for n in 0..300 {
                let mut client = listener.client().await;
                client.write(format!("{n:03}").as_bytes()).await.expect("there is room");
                client.shutdown_write();
                clients.push(client);
            }
            let mut right = 0;
            for n in 0..300 {
                let mut stream = listener.accept().await.expect("no stop").expect("it waits");
                right += u32::from(hear(&mut stream).await == format!("{n:03}, end"));
            }
            told.say(format_args!("{right} of 300 in order"));
        },
    );
}

#[test]
fn who_left_or_reset_before_being_accepted_is_told_apart() {
    let golden = "
        heard: gone, end
        heard: , ConnectionReset
        heard: asks, end
        client: answered, end
    ";
    same_on_an_engine(
        "who_left_or_reset_before_being_accepted_is_told_apart",
        golden,
        async |told, stage| {
            let listener = stage.listen();
            let mut gone = listener.client().await;
            gone.write(b"gone").await.expect("there is room");
            drop(gone);
            listener.client().await.reset();
            let mut asks = listener.client().await;
            asks.write(b"asks").await.expect("there is room");
            asks.shutdown_write();
            for _ in 0..3 {
                let mut stream = listener.accept().await.expect("no stop").expect("it waits");
                told.say(format_args!("heard: {}", hear(&mut stream).await));
                stream.write(b"answered");
                let _ = stream.flush().await;
            }
            told.say(format_args!("client: {}", asks.rest().await));
        },
    );
}

#[test]
fn an_accept_dropped_at_any_poll_leaves_the_client_for_the_next_one() {
    let golden = "
        dropped at poll 1: true, heard: 1, end
        dropped at poll 2: true, heard: 2, end
        dropped at poll 3: true, heard: 3, end
    ";
    same_on_an_engine(
        "an_accept_dropped_at_any_poll_leaves_the_client_for_the_next_one",
        golden,
        async |told, stage| {
            let listener = stage.listen();
            for poll in 1..=3 {
                let waits = either(listener.accept(), turns(poll - 1)).await;
                let waits = matches!(waits, Either::Other(()));
                let mut client = listener.client().await;
                client.write(poll.to_string().as_bytes()).await.expect("there is room");
                drop(client);
                let mut stream = listener.accept().await.expect("no stop").expect("it waits");
                let heard = hear(&mut stream).await;
                told.say(format_args!("dropped at poll {poll}: {waits}, heard: {heard}"));
            }
        },
    );
}

#[test]
fn a_client_that_nobody_accepted_is_reset_when_the_listener_goes() {
    let golden = "client: , ConnectionReset";
    same_on_an_engine(
        "a_client_that_nobody_accepted_is_reset_when_the_listener_goes",
        golden,
        async |told, stage| {
            let listener = stage.listen();
            let client = listener.client().await;
            drop(listener);
            let reading = client.aside(async |mut client: Peer| client.rest().await);
            told.say(format_args!("client: {}", reading.joined().await));
        },
    );
}

#[test]
fn a_stop_ends_who_is_idle_and_lets_work_in_flight_finish() {
    let golden = "
        idle: end
        at work: Ok(2000000)
        the listener ended
        open at the end: 0
    ";
    same_on_an_engine(
        "a_stop_ends_who_is_idle_and_lets_work_in_flight_finish",
        golden,
        async |told, stage| {
            let listener = stage.listen();
            let (mut idle, mut at_work) = (listener.client().await, listener.client().await);
            let server = Rc::new(Server::default());
            spawn(Rc::clone(&server).serve(listener));
            idle.write(b"idle").await.expect("connected");
            at_work.write(b"work").await.expect("connected");
            until(|| (server.asked.get() == 2).then_some(())).await;
            stage.stop();
            let idle = idle.aside(async |mut idle: Peer| idle.rest().await);
            told.say(format_args!("idle: {}", idle.joined().await.trim_start_matches(", ")));
            // Most of the answer has not left yet.
            let at_work = at_work.count_numbered(100_000).joined().await;
            told.say(format_args!("at work: {at_work:?}"));
            until(|| server.ended.get().then_some(())).await;
            told.say("the listener ended");
            until(|| (server.open.get() == 0).then_some(())).await;
            told.say(format_args!("open at the end: {}", server.open.get()));
        },
    );
}

/// Serves a connection as a task each, until the thread is stopped.
#[derive(Default)]
struct Server {
    asked: Cell<u32>,
    open: Cell<u32>,
    ended: Cell<bool>,
}

impl Server {
    async fn serve(self: Rc<Self>, listener: Listening) {
        while let Some(accepted) = listener.accept().await {
            self.open.set(self.open.get() + 1);
            spawn(Rc::clone(&self).answer(accepted.expect("it waits")));
        }
        self.ended.set(true);
    }

    /// Answers at length whoever does not say that it is idle.
    async fn answer(self: Rc<Self>, mut stream: Stream) {
        while let Ok(Some(asked)) = stream.recv_idle().await {
            if asked.is_empty() {
                break;
            }
            self.asked.set(self.asked.get() + 1);
            if *asked != *b"idle" {
                stream.write_shared(peer::bytes(0..2_000_000).into());
                stream.flush().await.expect("it reads");
                break;
            }
        }
        self.open.set(self.open.get() - 1);
    }
}

#[test]
fn clients_are_served_while_others_come_and_go() {
    let golden = "
        20 of 20 answered
        connections left: 0
    ";
    same_on_an_engine(
        "clients_are_served_while_others_come_and_go",
        golden,
        async |told, stage| {
            let listener = stage.listen();
            let mut clients = Vec::new();
            for _ in 0..20 {
                clients.push(listener.client().await);
            }
            let left = Rc::new(RefCell::new(20));
            let echoes = Rc::clone(&left);
            spawn(async move {
                for _ in 0..20 {
                    let mut stream = listener.accept().await.expect("no stop").expect("it waits");
                    let left = Rc::clone(&echoes);
                    spawn(async move {
                        while let Ok(chunk) = stream.recv().await {
                            if chunk.is_empty() {
                                break;
                            }
                            stream.write(&chunk);
                            stream.flush().await.expect("it reads");
                        }
                        *left.borrow_mut() -= 1;
                    });
                }
            });
            let asking = stage::aside(clients, async |clients: Vec<Peer>| {
                let mut answered = 0;
                for (n, mut client) in clients.into_iter().enumerate() {
                    let text = format!("from {n:02}");
                    client.write(text.as_bytes()).await.expect("connected");
                    answered += u32::from(client.read(text.len()).await == text);
                }
                answered
            });
            told.say(format_args!("{} of 20 answered", asking.joined().await));
            until(|| (*left.borrow() == 0).then_some(())).await;
            told.say(format_args!("connections left: {}", left.borrow()));
        },
    );
}
