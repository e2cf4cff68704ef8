//! One script over all drivers: what a stream promises must hold on each of them.

mod accepting;
mod cancel;
mod cancel_steps;
mod closing;
mod connecting;
mod contract;
mod deadlines;
mod descriptors;
mod endpoints;
mod endpoints_grammar;
mod endpoints_many;
mod endpoints_options;
mod executor;
mod fairness;
mod fault_clock;
mod fault_files;
mod fault_messages;
mod fault_uring;
mod listening;
mod offloading;
mod partial;
mod peer;
mod resets;
mod serving;
mod signals;
mod sim;
mod sizes;
mod sockets_ancillary;
mod sockets_datagram;
mod sockets_splice;
mod sockets_split;
mod sockets_unix;
mod stage;
mod stamps;
mod standard;
mod stopping;
mod timers;
mod transcript;
mod waking;

use std::future::Future;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use sockeye_engine::probe::Role;
use sockeye_engine::{DriverKind, Engine, Stream, sleep};

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

/// Yields to the run loop a few times; in between the thread looks at the kernel.
async fn turns(count: u64) {
    for _ in 0..count {
        let mut yielded = false;
        std::future::poll_fn(|cx| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// The last operations of closed sockets end in the kernel's own time.
async fn until_closed(engine: &Engine) {
    while engine.usage().sockets > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits for what another thread or task brings about, while the engine runs on.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// The end of a thread, while the engine runs on.
async fn joined<T>(thread: JoinHandle<T>) -> T {
    until(|| thread.is_finished().then_some(())).await;
    thread.join().expect("its panic is above")
}
