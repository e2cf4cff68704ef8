//! Endpoints of every kind, on real sockets: listening, connecting, and what is said when it fails.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use sockeye_engine::{Address, Connected, DriverKind, Endpoint, Listening, Stream};

use crate::{Either, either, engine, on_every_driver, skip};

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The endpoint of what listens there, with the port it got.
fn at(kind: &str, address: &Address) -> Endpoint {
    match address {
        Address::Ip(address) => endpoint(&format!("{kind}://{address}")),
        Address::Unix(_) => {
            let text = address.to_string();
            endpoint(&format!("{kind}{}", text.strip_prefix("unix").expect("a Unix socket")))
        }
    }
}

/// Both of two futures, side by side.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    match either(&mut one, &mut other).await {
        Either::One(done) => (done, other.await),
        Either::Other(done) => (one.await, done),
    }
}

async fn say_and_hear(client: &mut Stream, server: &mut Stream) {
    client.write(b"ping");
    client.flush().await.expect("connected");
    assert_eq!(&server.recv().await.expect("connected")[..], b"ping");
}

#[test]
fn every_kind_listens_connects_and_carries() {
    on_every_driver(|kind| {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().display().to_string();
        let number = std::process::id();
        engine(kind).block_on(async {
            for text in [
                "tcp://127.0.0.1:0".to_owned(),
                "tcp://[::1]:0?nodelay=off&rcvbuf=16k".to_owned(),
                "udp://127.0.0.1:0".to_owned(),
                "udp://[::1]:0".to_owned(),
                format!("unix://{folder}/stream"),
                format!("unix:@sockeye-endpoint-{kind}-{number}"),
                format!("unix-dgram://{folder}/datagram"),
                format!("unix-seqpacket://{folder}/packets"),
            ] {
                let listening = endpoint(&text).listen().await.expect("free");
                let [listening] = &listening[..] else { panic!("{text}: one address") };
                let address = listening.local_addr().expect("bound");
                let scheme = endpoint(&text).kind().scheme();
                let peer = at(scheme, &address);
                match listening {
                    Listening::Stream(listener) => {
                        let (connected, accepted) = both(peer.connect(), listener.accept()).await;
                        let Ok(Connected::Stream(mut client)) = connected else {
                            panic!("{kind} {text}: {connected:?}");
                        };
                        let mut server = accepted.expect("nobody stops us").expect("a connection");
                        say_and_hear(&mut client, &mut server).await;
                    }
                    Listening::Seqpacket(listener) => {
                        let (connected, accepted) = both(peer.connect(), listener.accept()).await;
                        let Ok(Connected::Seqpacket(client)) = connected else {
                            panic!("{kind} {text}: {connected:?}");
                        };
                        let server = accepted.expect("nobody stops us").expect("a connection");
                        client.send(b"ping").await.expect("connected");
                        assert_eq!(&server.recv().await.expect("connected").bytes[..], b"ping");
                    }
                    Listening::Datagram(server) => {
                        let connected = peer.connect().await;
                        let Ok(Connected::Datagram(client)) = connected else {
                            panic!("{kind} {text}: {connected:?}");
                        };
                        client.send(b"ping").await.expect("connected");
                        let message = server.recv().await.expect("received");
                        assert_eq!(&message.bytes[..], b"ping", "{kind} {text}");
                        let from = message.from.expect("a name to answer to");
                        server.send_to(b"pong", &from).await.expect("it is there");
                        assert_eq!(&client.recv().await.expect("answered").bytes[..], b"pong");
                    }
                }
            }
        });
        let left = std::fs::read_dir(&folder).expect("it is there").count();
        assert_eq!(left, 0, "{kind}: files go with their sockets");
    });
}

#[test]
fn standard_input_and_output_is_connected_to_and_not_listened_on() {
    engine(DriverKind::EpollEdge).block_on(async {
        assert!(matches!(endpoint("-").connect().await, Ok(Connected::Standard)));
        let error = endpoint("-").listen().await.err().expect("nobody can").to_string();
        assert!(error.starts_with("-: listen: standard input and output can't"), "{error}");
    });
}

#[test]
fn a_name_of_both_families_is_listened_on_at_one_port() {
    let addresses = endpoint("localhost:0").resolve().expect("it has addresses");
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let listening = endpoint("localhost:0").listen().await.expect("free ports");
            assert_eq!(listening.len(), addresses.len(), "{kind}: {addresses:?}");
            let local = |one: &Listening| one.local_addr().ok().and_then(|local| local.ip());
            let ports: Vec<_> = listening.iter().filter_map(local).map(|one| one.port()).collect();
            assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{kind}: {ports:?}");
        });
    });
}

#[test]
fn connecting_to_a_name_tries_the_other_family_where_nobody_listens() {
    let addresses = endpoint("localhost:0").resolve().expect("it has addresses");
    let (first, last) = (addresses[0].ip(), addresses[addresses.len() - 1].ip());
    on_every_driver(|kind| {
        let listener = TcpListener::bind((last, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        engine(kind).block_on(async {
            let connected = endpoint(&format!("localhost:{port}")).connect().await;
            let Ok(Connected::Stream(stream)) = connected else { panic!("{kind}: {connected:?}") };
            assert_eq!(stream.peer_addr().expect("connected").ip(), last, "{kind}");
            drop(listener);
            drop(stream);
            let error = endpoint(&format!("localhost:{port}")).connect().await.expect_err("nobody");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{kind}: {error}");
            let tried: Vec<_> = error.attempts().iter().map(|(address, _)| address).collect();
            assert_eq!(tried.len(), addresses.len(), "{kind}: {error}");
            assert_eq!(*tried[0], Address::from((first, port)), "{kind}: the preferred one first");
            let text = error.to_string();
            assert!(text.starts_with(&format!("tcp://localhost:{port}: connect: ")), "{text}");
            for address in tried {
                assert!(text.contains(&format!("{address}: connection refused")), "{text}");
            }
            assert_eq!(text.matches("nobody listens there").count(), 1, "{text}");
        });
    });
}

#[test]
fn a_failure_names_endpoint_reason_and_way_out() {
    engine(DriverKind::EpollEdge).block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nobody");
        for (text, part) in [
            (
                format!("unix://{}", path.display()),
                "connect: no such file or directory (there is no such socket",
            ),
            (format!("unix-dgram://{}", path.display()), "there is no such socket"),
            ("tcp://127.0.0.1:1?backlog=5".to_owned(), "backlog is for listening; leave it out"),
            ("tcp://no-such-name.invalid:1".to_owned(), "no-such-name.invalid"),
            ("tcp://127.0.0.1:no-such-service".to_owned(), "no service is called no-such-service"),
            ("tcp://127.0.0.1:1?bind=::1".to_owned(), "no address of the family of bind=::1"),
            (
                "tcp://127.0.0.1:1?congestion=nonesuch".to_owned(),
                "congestion=nonesuch: no such file or directory (see those there are: sysctl",
            ),
            (
                "tcp://127.0.0.1:1?interface=nonesuch0".to_owned(),
                "interface=nonesuch0: no such device (no interface has this name",
            ),
            ("tcp://127.0.0.1:1?bind=192.0.2.1".to_owned(), "see: ip addr"),
            ("tcp://[fe80::1]:1".to_owned(), "needs its interface"),
            ("udp://255.255.255.255:1".to_owned(), "needs the option broadcast"),
        ] {
            let error = endpoint(&text).connect().await.expect_err(&text).to_string();
            assert!(error.starts_with(&text) && error.contains(part), "{part}\n{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let wrong = endpoint("tcp://127.0.0.1:0?connect-timeout=1s").listen().await.err();
        assert!(wrong.expect("refused").to_string().contains("connect-timeout is for connecting"));
    });
}

#[test]
fn our_own_end_is_where_it_was_asked_to_be() {
    on_every_driver(|kind| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        engine(kind).block_on(async {
            let text = format!("tcp://127.0.0.1:{port}?bind=127.0.0.9");
            let connected = endpoint(&text).connect().await.expect("it listens");
            let (_, from) = listener.accept().expect("it is connected");
            assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 9]), "{kind}");
            drop(connected);
        });
    });
}

/// The first address takes connections and never answers: its queue of one is full (listen(2)).
#[test]
fn an_address_that_does_not_answer_is_left_for_the_next_one() {
    const TEST: &str = "an_address_that_does_not_answer_is_left_for_the_next_one";
    let addresses = endpoint("localhost:0").resolve().expect("it has addresses");
    let [first, .., last] = &addresses[..] else {
        return skip(TEST, "localhost has one address");
    };
    on_every_driver(|kind| {
        let silent = TcpListener::bind((first.ip(), 0)).expect("a free port");
        rustix::net::listen(&silent, 0).expect("it listens already");
        let port = silent.local_addr().expect("bound").port();
        let _one = TcpStream::connect((first.ip(), port)).expect("there is room for one");
        let listener = TcpListener::bind((last.ip(), port)).expect("free there too");
        engine(kind).block_on(async {
            let connected = endpoint(&format!("localhost:{port}")).connect().await;
            let Ok(Connected::Stream(stream)) = connected else { panic!("{kind}: {connected:?}") };
            assert_eq!(stream.peer_addr().expect("connected").ip(), last.ip(), "{kind}");
            drop(listener);
            let text = format!("tcp://{}?connect-timeout=50ms", SocketAddr::new(first.ip(), port));
            let error = endpoint(&text).connect().await.expect_err("nobody answers");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}: {error}");
            assert!(error.to_string().contains("no answer"), "{error}");
        });
    });
}
