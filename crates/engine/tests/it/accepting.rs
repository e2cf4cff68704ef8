//! Accepting: one, many, those who left or reset before it, and a listener that goes away.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, mpsc};

use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Probe, ProbeSource};
use sockeye_engine::{Address, Bound, DriverKind, Endpoint, ServeOptions, Stream};

use crate::peer::{LONG, read, reset, rest, until_readable};
use crate::serving::options;
use crate::transcript::same_everywhere;

/// Listens, and accepts nobody yet.
fn listen(driver: DriverKind, max_connections: usize) -> (Bound, SocketAddr) {
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    let threads = driver.multiplexes().then_some(1);
    let options = ServeOptions { threads, max_connections, ..options(driver) };
    let bound = Bound::listen(&[endpoint], options).expect("a free port");
    let address = bound.addresses()[0];
    (bound, address)
}

fn client(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("it listens");
    client.set_read_timeout(Some(LONG)).expect("an option");
    client
}

/// Answers once with what it received.
async fn answer(mut stream: Stream) {
    if let Ok(chunk) = stream.recv().await {
        stream.write(&chunk);
        drop(chunk);
        let _ = stream.flush().await;
    }
}

#[test]
fn one_client_is_accepted_and_sees_its_own_connection() {
    let golden = "
        the peer is who connected: true
        client: hello, end
        cut off 0
    ";
    let script = "one_client_is_accepted_and_sees_its_own_connection";
    same_everywhere(script, golden, |driver, told| {
        let (bound, address) = listen(driver, 100);
        let (say, said) = mpsc::channel();
        let serving = bound
            .start(move |stream| {
                say.send(stream.peer_addr().expect("connected")).expect("the test listens");
                answer(stream)
            })
            .expect("threads start");
        let mut client = client(address);
        let right = said.recv().expect("accepted") == client.local_addr().expect("bound");
        told.say(format_args!("the peer is who connected: {right}"));
        client.write_all(b"hello").expect("connected");
        told.say(format_args!("client: {}", rest(&client)));
        serving.stop();
        told.say(format_args!("cut off {}", serving.join()));
    });
}

#[test]
fn many_clients_that_wait_already_are_all_accepted_and_each_is_answered() {
    let golden = "
        300 of 300 answered rightly
        cut off 0
    ";
    let script = "many_clients_that_wait_already_are_all_accepted_and_each_is_answered";
    same_everywhere(script, golden, |driver, told| {
        let (bound, address) = listen(driver, 1_000);
        let clients: Vec<_> = (0..300)
            .map(|n| {
                let mut client = client(address);
                client.write_all(format!("{n:03}").as_bytes()).expect("the kernel takes it");
                client
            })
            .collect();
        let serving = bound.start(answer).expect("threads start");
        let right = clients.iter().enumerate();
        let right = right.filter(|(n, client)| rest(client) == format!("{n:03}, end")).count();
        told.say(format_args!("{right} of 300 answered rightly"));
        serving.stop();
        told.say(format_args!("cut off {}", serving.join()));
    });
}

#[test]
fn who_left_or_reset_before_being_accepted_is_accepted_and_told_apart() {
    let golden = "
        client 0: received gone, then the end
        client 1: reset
        client 2: received asks, then the end
        client 2 has got: asks, end
        cut off 0
    ";
    let script = "who_left_or_reset_before_being_accepted_is_accepted_and_told_apart";
    same_everywhere(script, golden, |driver, told| {
        // One connection at a time, so that they are served in their order.
        let (bound, address) = listen(driver, 1);
        let mut gone = client(address);
        gone.write_all(b"gone").expect("the kernel takes it");
        drop(gone);
        reset(client(address));
        let mut asks = client(address);
        asks.write_all(b"asks").expect("the kernel takes it");
        asks.shutdown(Shutdown::Write).expect("connected");
        let (say, said) = mpsc::channel();
        let serving = bound
            .start(move |mut stream: Stream| {
                let say = say.clone();
                async move {
                    let mut all = Vec::new();
                    let heard = loop {
                        match stream.recv().await {
                            Ok(chunk) if chunk.is_empty() => {
                                let all = String::from_utf8_lossy(&all);
                                break format!("received {all}, then the end");
                            }
                            Ok(chunk) => all.extend_from_slice(&chunk),
                            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                                break "reset".to_owned();
                            }
                            Err(error) => break format!("{:?}", error.kind()),
                        }
                    };
                    stream.write(&all);
                    let _ = stream.flush().await;
                    say.send(heard).expect("the test listens");
                }
            })
            .expect("threads start");
        for n in 0..3 {
            told.say(format_args!("client {n}: {}", said.recv().expect("it is served")));
        }
        told.say(format_args!("client 2 has got: {}", rest(&asks)));
        serving.stop();
        told.say(format_args!("cut off {}", serving.join()));
    });
}

/// Tells of connections that are opened and closed.
#[derive(Clone)]
struct Doors(mpsc::Sender<(Option<(Address, Address)>, ConnId)>);

impl ProbeSource for Doors {
    fn probe(&self) -> Box<dyn Probe> {
        Box::new(self.clone())
    }
}

impl Probe for Doors {
    fn listening(&self, _: Option<BorrowedFd<'_>>, _: SocketAddr) {}
    fn opened(&self, _: Option<BorrowedFd<'_>>, opened: &Opened) {
        let ends = (opened.local.clone(), opened.peer.clone());
        self.0.send((Some(ends), opened.conn)).expect("the test listens");
    }
    fn call(&self, _: ConnId, _: &Call) {}
    fn message(&self, _: ConnId, _: Direction, _: Range<u64>, _: fmt::Arguments<'_>) {}
    fn closing(&self, _: ConnId, _: Option<BorrowedFd<'_>>) {}
    fn closed(&self, conn: ConnId) {
        self.0.send((None, conn)).expect("the test listens");
    }
    fn flush(&self) {}
}

#[test]
fn who_looks_on_is_told_of_a_connection_that_was_reset_before_it_was_accepted() {
    let golden = "
        opened with both addresses: true
        closed: true
        cut off 0
    ";
    let script = "who_looks_on_is_told_of_a_connection_that_was_reset_before_it_was_accepted";
    same_everywhere(script, golden, |driver, told| {
        let (say, said) = mpsc::channel();
        let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
        let threads = driver.multiplexes().then_some(1);
        let probe: Option<Arc<dyn ProbeSource>> = Some(Arc::new(Doors(say)));
        let options = ServeOptions { threads, probe, ..options(driver) };
        let bound = Bound::listen(&[endpoint], options).expect("a free port");
        let address = bound.addresses()[0];
        let client = client(address);
        let ends = (address.into(), client.local_addr().expect("bound").into());
        reset(client);
        let serving = bound.start(answer).expect("threads start");
        let (opened, conn) = said.recv_timeout(LONG).expect("it is told of");
        told.say(format_args!("opened with both addresses: {}", opened == Some(ends)));
        let closed = said.recv_timeout(LONG).expect("it is told of");
        told.say(format_args!("closed: {}", closed == (None, conn)));
        serving.stop();
        told.say(format_args!("cut off {}", serving.join()));
    });
}

#[test]
fn a_listener_that_is_dropped_while_it_waits_refuses_further_clients() {
    let golden = "
        cut off 0
        afterwards: ConnectionRefused
    ";
    let script = "a_listener_that_is_dropped_while_it_waits_refuses_further_clients";
    same_everywhere(script, golden, |driver, told| {
        let (bound, address) = listen(driver, 100);
        let serving = bound.start(answer).expect("threads start");
        // Once one was served the listener waits for the next.
        let mut first = client(address);
        first.write_all(b"first").expect("connected");
        rest(&first);
        serving.stop();
        told.say(format_args!("cut off {}", serving.join()));
        told.ended("afterwards", &TcpStream::connect(address));
    });
}

#[test]
fn who_still_waits_to_be_accepted_is_let_go_when_the_listener_goes() {
    let golden = "
        served: inside
        cut off 0
        who waited was let go without an answer: true
    ";
    let script = "who_still_waits_to_be_accepted_is_let_go_when_the_listener_goes";
    same_everywhere(script, golden, |driver, told| {
        let (bound, address) = listen(driver, 1);
        let serving = bound.start(answer_until_the_end).expect("threads start");
        let mut inside = client(address);
        inside.write_all(b"inside").expect("connected");
        told.say(format_args!("served: {}", read(&inside, 6)));
        let mut waits = client(address);
        serving.stop();
        told.say(format_args!("cut off {}", serving.join()));
        // Reset in the queue, or closed where it was accepted at the last moment.
        let unanswered = match waits.read(&mut [0; 1]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        told.say(format_args!("who waited was let go without an answer: {unanswered}"));
    });
}

async fn answer_until_the_end(mut stream: Stream) {
    while let Ok(Some(chunk)) = stream.recv_idle().await {
        if chunk.is_empty() {
            break;
        }
        stream.write(&chunk);
        drop(chunk);
        stream.flush().await.expect("connected");
    }
}

#[test]
fn a_client_that_comes_while_all_places_are_taken_is_served_when_one_is_free() {
    let golden = "
        first: first
        second: second
    ";
    let script = "a_client_that_comes_while_all_places_are_taken_is_served_when_one_is_free";
    same_everywhere(script, golden, |driver, told| {
        let (bound, address) = listen(driver, 1);
        let serving = bound.start(answer_until_the_end).expect("threads start");
        let mut first = client(address);
        first.write_all(b"first").expect("connected");
        told.say(format_args!("first: {}", read(&first, 5)));
        let mut second = client(address);
        second.write_all(b"second").expect("the kernel takes it");
        drop(first);
        until_readable(&second);
        told.say(format_args!("second: {}", read(&second, 6)));
        drop(second);
        serving.stop();
        serving.join();
    });
}
