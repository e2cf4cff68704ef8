//! One script over all drivers: what a stream promises must hold on each of them.

mod cancel;
mod connecting;
mod contract;
mod executor;
mod fault_clock;
mod fault_uring;
mod serving;
mod sim;
mod sockets_ancillary;
mod sockets_datagram;

use std::future::Future;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::task::Poll;

use sockeye_engine::probe::Role;
use sockeye_engine::{DriverKind, Engine, Stream};

/// Runs the script on each driver, saying which one when it fails.
fn on_every_driver(script: impl Fn(DriverKind)) {
    for kind in DriverKind::ALL {
        script(kind);
    }
}

/// Says that the environment does not allow a test.
fn skip(test: &str, reason: &str) {
    assert!(std::env::var_os("SOCKEYE_NO_SKIP").is_none(), "{test} may not be skipped: {reason}");
    // Written directly: the harness would swallow what print macros write.
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {reason}\n").as_bytes());
}

fn engine(kind: DriverKind) -> Engine {
    Engine::new(kind).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// A connection over loopback: ours to drive, the other end to use plainly.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let ours = TcpStream::connect(address).expect("it listens");
    let (theirs, _) = listener.accept().expect("it was connected");
    (ours, theirs)
}

fn adopt(socket: TcpStream) -> Stream {
    Stream::adopt(socket, Role::Client).expect("a connected socket")
}

/// The first of two futures that is done; the other one is dropped.
async fn either<A, B>(
    one: impl Future<Output = A>,
    other: impl Future<Output = B>,
) -> Either<A, B> {
    let mut one = std::pin::pin!(one);
    let mut other = std::pin::pin!(other);
    std::future::poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Either::One(done)),
        Poll::Pending => other.as_mut().poll(cx).map(Either::Other),
    })
    .await
}

#[derive(Debug)]
enum Either<A, B> {
    One(A),
    Other(B),
}
