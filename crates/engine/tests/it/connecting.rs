//! Connections that begin here.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use sockeye_engine::Stream;

use crate::{engine, on_every_driver, until_closed};

#[test]
fn a_connection_is_made_and_carries_bytes_both_ways() {
    on_every_driver(|kind| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let peer = std::thread::spawn(move || {
            let (mut theirs, _) = listener.accept().expect("it is connected");
            theirs.write_all(b"welcome").expect("room");
            let mut all = String::new();
            theirs.read_to_string(&mut all).map(|_| all)
        });
        engine(kind).block_on(async {
            let mut stream = Stream::connect(address, None).await.expect("it listens");
            assert_eq!(stream.peer_addr().expect("connected"), address, "{kind}");
            let chunk = stream.recv().await.expect("no error");
            assert_eq!(&chunk[..], b"welcome", "{kind}");
            stream.write(b"thanks");
            stream.flush().await.expect("room");
        });
        let got = peer.join().expect("no panic").expect("no error");
        assert_eq!(got, "thanks", "{kind}");
    });
}

#[test]
fn a_connection_nobody_accepts_is_refused() {
    on_every_driver(|kind| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let engine = engine(kind);
        let error = engine.block_on(Stream::connect(address, None)).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{kind}: {error}");
        assert_eq!(engine.usage().sockets, 0, "{kind}");
    });
}

#[test]
fn a_connection_that_is_not_answered_ends_with_its_time_and_can_be_given_up() {
    on_every_driver(|kind| {
        // A queue of one connection: when it is full, SYNs are not answered (listen(2)).
        let full = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )
        .expect("a socket");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        rustix::net::bind(&full, &any).expect("a free port");
        rustix::net::listen(&full, 0).expect("it is bound");
        let address =
            std::net::SocketAddr::try_from(rustix::net::getsockname(&full).expect("it is bound"))
                .expect("an address");
        let _first = std::net::TcpStream::connect(address).expect("there is room for one");
        let engine = engine(kind);
        let patience = Some(Duration::from_millis(30));
        let error =
            engine.block_on(Stream::connect(address, patience)).expect_err("nobody accepts");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}: {error}");
        // On io_uring the descriptor is closed when the kernel has let go of it.
        engine.block_on(async {
            until_closed(&engine).await;
        });
    });
}
