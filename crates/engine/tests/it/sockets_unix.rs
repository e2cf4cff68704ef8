//! Unix sockets: streams and sequenced packets, names and their files.

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sockeye_engine::probe::Role;
use sockeye_engine::{
    Address, Bound, Datagram, DriverKind, Endpoint, Listener, SeqpacketListener, ServeOptions,
    Stream, UnixAddress,
};

use crate::{Either, either, engine, on_every_driver, skip};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn address(&self) -> Address {
        Address::path(self.path())
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

async fn accept(listener: &Listener) -> Stream {
    listener.accept().await.expect("nobody stops us").expect("a connection")
}

async fn echo(mut stream: Stream) {
    loop {
        let chunk = stream.recv().await.expect("connected");
        if chunk.is_empty() {
            break;
        }
        stream.write(&chunk);
        stream.flush().await.expect("connected");
    }
}

#[test]
fn a_unix_stream_carries_bytes_and_ends_one_side_at_a_time() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let place = Place::new();
            for address in [place.address(), Address::Unix(UnixAddress::Unnamed)] {
                let listener = Listener::bind(&address).expect("free");
                let address = listener.local_addr().expect("bound");
                let (connected, server) =
                    both(Stream::connect_to(&address, None), accept(&listener)).await;
                let mut client = connected.expect("it listens");
                assert_eq!(client.peer().expect("connected"), address, "{kind}");
                assert_eq!(server.peer().ok(), Some(Address::Unix(UnixAddress::Unnamed)));
                assert!(client.peer_addr().is_err(), "{kind}: it is none of the internet");
                let peer = server.peer_credentials().expect("of this machine");
                assert_eq!(peer.pid.unsigned_abs(), std::process::id(), "{kind}");
                let sent: Vec<u8> = (0..251).cycle().take(1_000_000).collect();
                let talking = async {
                    let mut back = Vec::new();
                    for part in sent.chunks(20_000) {
                        client.write(part);
                        client.flush().await.expect("connected");
                        let asked = back.len() + part.len();
                        while back.len() < asked {
                            back.extend_from_slice(&client.recv().await.expect("connected"));
                        }
                    }
                    client.shutdown_write().expect("connected");
                    assert!(client.recv().await.expect("ended").is_empty(), "{kind}");
                    back
                };
                let (back, ()) = both(talking, echo(server)).await;
                assert!(back == sent, "{kind}");
            }
        });
    });
}

#[test]
fn ncat_is_served_over_a_unix_socket() {
    if Command::new("ncat").arg("--version").output().is_err() {
        return skip("ncat_is_served_over_a_unix_socket", "ncat is not installed");
    }
    on_every_driver(|kind| {
        let place = Place::new();
        let engine = engine(kind);
        let listener = engine.block_on(async { Listener::bind(&place.address()).expect("free") });
        let mut ncat = Command::new("ncat");
        let ncat = ncat.arg("-U").arg(place.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ncat = ncat.spawn().expect("it is installed");
        let mut input = ncat.stdin.take().expect("a pipe");
        input.write_all(b"hello from outside\n").expect("a pipe");
        let mut output = ncat.stdout.take().expect("a pipe");
        let reading = std::thread::spawn(move || {
            let mut line = [0; 19];
            output.read_exact(&mut line).map(|()| line)
        });
        engine.block_on(async {
            let mut stream = accept(&listener).await;
            let mut got = Vec::new();
            while got.len() < 19 {
                let chunk = stream.recv().await.expect("connected");
                assert!(!chunk.is_empty(), "{kind}: it ended");
                got.extend_from_slice(&chunk);
            }
            stream.write(&got);
            stream.flush().await.expect("connected");
        });
        assert_eq!(&reading.join().expect("it reads").expect("it came"), b"hello from outside\n");
        // io_uring closes a socket when its last operation has ended, at the engine's end at latest.
        drop((input, listener, engine));
        ncat.wait().expect("it ends");
    });
}

#[test]
fn a_name_is_taken_from_the_dead_and_not_from_the_living() {
    engine(DriverKind::EpollEdge).block_on(async {
        let place = Place::new();
        drop(UnixListener::bind(place.path()).expect("free"));
        let error = Stream::connect_to(&place.address(), None).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        let listener = Listener::bind(&place.address()).expect("nobody listens");
        let error = Listener::bind(&place.address()).err().expect("we do");
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
        let named = format!("bind {}: ", place.address());
        assert!(error.to_string().starts_with(&named), "{error}");
        drop(listener);
        assert!(!place.path().exists());
        let error = Stream::connect_to(&place.address(), None).await.expect_err("nothing there");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let long = Address::path(place.folder.path().join("x".repeat(108)));
        let error = Listener::bind(&long).err().expect("too long");
        assert!(error.to_string().contains("File name too long"), "{error}");
        let error = Stream::connect_to(&long, None).await.expect_err("too long");
        assert!(error.to_string().contains("at most 107 bytes"), "{error}");
    });
}

#[test]
fn a_full_backlog_is_waited_for_and_no_longer_than_asked() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let place = Place::new();
            let slow = UnixListener::bind(place.path()).expect("free");
            rustix::net::listen(&slow, 1).expect("it listens already");
            let mut clients = Vec::new();
            let error = loop {
                let short = Some(Duration::from_millis(5));
                match Stream::connect_to(&place.address(), short).await {
                    Ok(client) => clients.push(client),
                    Err(error) => break error,
                }
                assert!(clients.len() < 10, "{kind}: the backlog is bounded");
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}: {error}");
            let address = place.address();
            let mut waiting = std::pin::pin!(Stream::connect_to(&address, None));
            let waited = either(&mut waiting, crate::turns(3)).await;
            assert!(matches!(waited, Either::Other(())), "{kind}: nobody has accepted");
            let accepted = slow.accept().expect("they wait");
            waiting.await.expect("there is room");
            drop(accepted);
        });
    });
}

/// A peer that passes descriptors cuts its stream into pieces, which are received one by one
/// though more waits; edge-triggered drivers must not take that for the end of the queue.
#[test]
fn a_stream_cut_by_descriptors_is_received_to_its_end() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            let (pipe, _writer) = std::io::pipe().expect("a pipe");
            let pipe = OwnedFd::from(pipe);
            for piece in [&b"one "[..], b"two ", b"three"] {
                let fds = [pipe.as_fd()];
                let rights = rustix::net::SendAncillaryMessage::ScmRights(&fds);
                let mut space = vec![std::mem::MaybeUninit::uninit(); rights.size()];
                let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
                assert!(ancillary.push(rights));
                let flags = rustix::net::SendFlags::empty();
                let piece = [IoSlice::new(piece)];
                rustix::net::sendmsg(&theirs, &piece, &mut ancillary, flags).expect("room");
            }
            let mut stream = Stream::adopt(ours, Role::Server).expect("a connection");
            stream.set_deadline(Some(Duration::from_secs(20)));
            let mut got = Vec::new();
            while got.len() < 13 {
                got.extend_from_slice(&stream.recv().await.expect("it waits"));
            }
            assert_eq!(got, b"one two three", "{kind}");
        });
    });
}

fn options(driver: DriverKind, threads: Option<usize>) -> ServeOptions {
    ServeOptions {
        driver,
        threads,
        max_connections: 100,
        grace: Duration::from_secs(20),
        probe: None,
        notice: Arc::new(|notice| panic!("{notice:?}")),
    }
}

#[test]
fn a_server_listens_on_unix_sockets_and_takes_their_files_away() {
    on_every_driver(|kind| {
        for threads in [None, Some(1), Some(3)] {
            let place = Place::new();
            let name = format!("sockeye-serving-{kind}-{threads:?}-{}", std::process::id());
            let endpoints: Vec<Endpoint> = [
                format!("unix://{}", place.path().display()),
                format!("unix:@{name}"),
                "tcp://127.0.0.1:0".to_owned(),
            ]
            .iter()
            .map(|text| text.parse().expect("an endpoint"))
            .collect();
            let bound = Bound::listen(&endpoints, options(kind, threads)).expect("free");
            assert_eq!(bound.locals()[..2], [place.address(), Address::abstract_name(name)]);
            assert_eq!(bound.addresses().len(), 1, "{kind}");
            let error = Bound::listen(&endpoints[..1], options(kind, threads)).err();
            let error = error.expect("it is taken").to_string();
            assert!(
                error.contains("bind: address already in use (this program itself has it; stop it"),
                "{error}"
            );
            let serving = bound.start(echo).expect("threads");
            for _ in 0..5 {
                let mut client = UnixStream::connect(place.path()).expect("it listens");
                client.write_all(b"hello").expect("room");
                client.shutdown(std::net::Shutdown::Write).expect("connected");
                let mut back = String::new();
                client.read_to_string(&mut back).expect("answered");
                assert_eq!(back, "hello", "{kind}, {threads:?} threads");
            }
            serving.stop();
            assert!(!place.path().exists(), "{kind}");
            assert_eq!(serving.join(), 0, "{kind}");
        }
    });
}

/// Threads that take connections in turn share one listening socket, whose blocking mode is theirs
/// together: one that only looks must not fall asleep because another one has just looked.
#[test]
fn threads_that_share_a_listener_all_end_when_stopped() {
    for _ in 0..200 {
        let place = Place::new();
        let endpoint = format!("unix:{}", place.path().display()).parse().expect("an endpoint");
        let bound = Bound::listen(&[endpoint], options(DriverKind::Blocking, Some(6)));
        let serving = bound.expect("free").start(echo).expect("threads");
        serving.stop();
        assert_eq!(serving.join(), 0);
    }
}

#[test]
fn sequenced_packets_keep_their_borders_and_their_order() {
    on_every_driver(|kind| {
        engine(kind).block_on(async {
            let place = Place::new();
            let name = UnixAddress::Path(place.path());
            let listener = SeqpacketListener::bind(&name).expect("free");
            let error = Listener::bind(&place.address()).err().expect("another type is there");
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{kind}");
            let address = place.address();
            let connecting = Datagram::connect_seqpacket(&address, None);
            let (client, server) = both(connecting, listener.accept()).await;
            let client = client.expect("it listens");
            let server = server.expect("nobody stops us").expect("a connection");
            let sending = async {
                for len in 1..1000 {
                    client.send(&vec![7; len]).await.expect("connected");
                }
                client
            };
            let receiving = async {
                for len in 1..1000 {
                    let message = server.recv().await.expect("connected");
                    assert_eq!((message.bytes.len(), message.truncated), (len, false), "{kind}");
                }
            };
            let (client, ()) = both(sending, receiving).await;
            client.send(b"cut short").await.expect("connected");
            server.set_room(3);
            let message = server.recv().await.expect("connected");
            assert_eq!((&message.bytes[..], message.len), (&b"cut"[..], 9), "{kind}");
            assert!(message.truncated, "{kind}");
            drop(client);
            let end = server.recv().await.expect("ended");
            assert!(end.bytes.is_empty() && !end.truncated, "{kind}");
            let error = server.send(b"anybody?").await.expect_err("nobody is there");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{kind}");
        });
    });
}
