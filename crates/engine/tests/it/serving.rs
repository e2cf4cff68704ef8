//! A server as a whole: threads, shutdown, bounds.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use sockeye_engine::{Bound, DriverKind, Endpoint, Notice, ServeOptions, Serving, Stream};

use crate::on_every_driver;

async fn echo(mut stream: Stream) {
    while let Ok(Some(chunk)) = stream.recv_idle().await {
        if chunk.is_empty() {
            break;
        }
        stream.write(&chunk);
        drop(chunk);
        if stream.flush().await.is_err() {
            break;
        }
    }
}

pub(crate) fn options(driver: DriverKind) -> ServeOptions {
    ServeOptions {
        driver,
        threads: None,
        max_connections: 10_000,
        grace: Duration::from_secs(20),
        probe: None,
        notice: Arc::new(|_| ()),
    }
}

fn start(options: ServeOptions) -> (Serving, SocketAddr) {
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    let bound = Bound::listen(&[endpoint], options).expect("a free port");
    let address = bound.addresses()[0];
    (bound.start(echo).expect("threads start"), address)
}

fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
    stream
}

fn exchange(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("connected");
    let mut reply = vec![0; text.len()];
    stream.read_exact(&mut reply).expect("echoed");
    assert_eq!(reply, text.as_bytes());
}

#[test]
fn many_clients_are_served_at_once_by_several_threads() {
    on_every_driver(|driver| {
        let threads = driver.multiplexes().then_some(3);
        let (serving, address) = start(ServeOptions { threads, ..options(driver) });
        let mut clients: Vec<_> = (0..200).map(|_| client(address)).collect();
        for round in 0..3 {
            for (number, client) in clients.iter_mut().enumerate() {
                exchange(client, &format!("{round} of {number}"));
            }
        }
        drop(clients);
        serving.stop();
        assert_eq!(serving.join(), 0, "{driver}");
    });
}

#[test]
fn a_stop_ends_idle_connections_at_once() {
    on_every_driver(|driver| {
        let (serving, address) = start(options(driver));
        let mut clients: Vec<_> = (0..20).map(|_| client(address)).collect();
        clients.iter_mut().for_each(|client| exchange(client, "hello"));
        serving.stop();
        for client in &mut clients {
            assert_eq!(client.read(&mut [0]).expect("closed, not reset"), 0, "{driver}");
        }
        assert_eq!(serving.join(), 0, "{driver}");
        TcpStream::connect(address).expect_err("nobody listens any more");
    });
}

#[test]
fn a_stop_lets_what_is_in_the_middle_of_something_finish() {
    on_every_driver(|driver| {
        let endpoint: Endpoint = "127.0.0.1:0".parse().expect("an endpoint");
        let bound = Bound::listen(&[endpoint], options(driver)).expect("a free port");
        let address = bound.addresses()[0];
        let (at_work, is_at_work) = mpsc::channel();
        let serving = bound
            .start(move |mut stream: Stream| {
                let at_work = at_work.clone();
                async move {
                    let first = stream.recv().await.expect("connected").to_vec();
                    at_work.send(()).expect("the test waits");
                    // Not idle: a second part must come, stop or no stop.
                    let second = stream.recv().await.expect("connected").to_vec();
                    stream.write(&[first, second].concat());
                    stream.flush().await.expect("connected");
                }
            })
            .expect("threads start");
        let mut client = client(address);
        client.write_all(b"one ").expect("connected");
        is_at_work.recv().expect("it is served");
        serving.stop();
        client.write_all(b"two").expect("connected");
        let mut reply = String::new();
        client.read_to_string(&mut reply).expect("answered and closed");
        assert_eq!(reply, "one two", "{driver}");
        assert_eq!(serving.join(), 0);
    });
}

#[test]
fn one_blocking_thread_serves_the_second_client_after_the_first() {
    let (serving, address) =
        start(ServeOptions { threads: Some(1), ..options(DriverKind::Blocking) });
    let mut first = client(address);
    exchange(&mut first, "first");
    let mut second = client(address);
    second.write_all(b"second").expect("the kernel takes it");
    second.set_nonblocking(true).expect("an option");
    let waits = second.read(&mut [0; 6]).expect_err("it waits");
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    exchange(&mut first, "first again");
    drop(first);
    second.set_nonblocking(false).expect("an option");
    let mut reply = [0; 6];
    second.read_exact(&mut reply).expect("its turn has come");
    assert_eq!(&reply, b"second");
    serving.stop();
    assert_eq!(serving.join(), 0);
}

#[test]
fn clients_over_the_limit_wait_and_are_served_when_others_leave() {
    on_every_driver(|driver| {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&notices);
        let (serving, address) = start(ServeOptions {
            max_connections: 4,
            threads: driver.multiplexes().then_some(1),
            notice: Arc::new(move |notice| told.lock().expect("no panic").push(notice)),
            ..options(driver)
        });
        let mut inside: Vec<_> = (0..4).map(|_| client(address)).collect();
        inside.iter_mut().for_each(|client| exchange(client, "inside"));
        let mut outside = client(address);
        outside.write_all(b"outside").expect("the kernel takes it");
        inside.pop();
        let mut reply = [0; 7];
        outside.read_exact(&mut reply).expect("served after one left");
        serving.stop();
        assert_eq!(serving.join(), 0, "{driver}");
        let notices = notices.lock().expect("no panic");
        assert!(matches!(notices[..], [Notice::Full { connections: 4 }, ..]), "{notices:?}");
    });
}

#[test]
fn a_port_in_use_is_told_even_to_a_server_of_several_threads() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = Endpoint::tcp([127, 0, 0, 1].into(), taken.local_addr().expect("bound").port());
    let options = ServeOptions { threads: Some(4), ..options(DriverKind::EpollEdge) };
    let error = Bound::listen(std::slice::from_ref(&endpoint), options).err().expect("it is taken");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{endpoint}: bind: address already in use (")), "{text}");
}

#[test]
fn two_servers_of_ours_do_not_share_a_port_by_accident() {
    let several = ServeOptions { threads: Some(2), ..options(DriverKind::EpollEdge) };
    let (serving, address) = start(several.clone());
    let endpoint = Endpoint::tcp(address.ip(), address.port());
    assert!(Bound::listen(&[endpoint], several).is_err());
    serving.stop();
    serving.join();
}
