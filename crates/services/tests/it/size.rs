//! What a connection costs while it waits.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use sockeye_engine::probe::Role;
use sockeye_engine::{DriverKind, Engine, Stream};
use sockeye_services::echo::{Patience, discard, echo};
use sockeye_services::http::{Site, SiteOptions};

/// Bytes of a connection's future besides its stream. The rest of an idle connection (the driver's
/// slot, a timer, a task) is the engine's.
const LARGEST: usize = 104;

#[test]
fn the_future_of_a_connection_stays_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let site = Site::open(folder, SiteOptions::default(), |_| ()).expect("a folder");
    let site = Arc::new(site);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let engine = Engine::new(DriverKind::EpollEdge).expect("epoll");
    let (future, stream) = engine.block_on(async {
        let socket = TcpStream::connect(address).expect("it listens");
        let stream = Stream::adopt(socket, Role::Server).expect("a socket");
        let size = size_of_val(&stream);
        (size_of_val(&Arc::clone(&site).serve(stream)), size)
    });
    println!("a connection's future: {future} bytes, {stream} of them its stream");
    assert!(future <= stream + LARGEST, "a connection's future has grown to {future} bytes");
}

/// Bytes of the future of an echo besides its stream, measured.
const ECHO: usize = 184;
/// The same of a discard.
const DISCARD: usize = 184;

#[test]
fn the_futures_of_echo_and_discard_stay_small() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let engine = Engine::new(DriverKind::EpollEdge).expect("epoll");
    engine.block_on(async {
        let connect = || {
            let socket = TcpStream::connect(address).expect("it listens");
            Stream::adopt(socket, Role::Server).expect("a socket")
        };
        let stream = size_of::<Stream>();
        let echo = size_of_val(&echo(connect(), Patience::default())) - stream;
        let discard = size_of_val(&discard(connect(), Patience::default())) - stream;
        println!("besides the stream: echo {echo} bytes, discard {discard} bytes");
        assert!(echo <= ECHO, "echo has grown to {echo} bytes besides its stream");
        assert!(discard <= DISCARD, "discard has grown to {discard} bytes besides its stream");
    });
}
