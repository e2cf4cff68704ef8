//! Where a script plays: on loopback with a driver that asks the kernel, or in a simulated network.
//!
//! Our end is a [`Stream`] on all drivers. The other end is a [`Peer`]: a plain socket where there is a
//! kernel, whose calls block, and a task's stream on another host where there is none. So the same
//! script has the same peer everywhere, and what it tells can be compared.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sockeye_engine::sim::{Acceptor, Link, Net, Plan, Simulation};
use sockeye_engine::{
    Address, Datagram, DriverKind, Engine, Listener, Stopper, Stream, Usage, sleep, spawn,
};

use crate::peer::{self, Peer};
use crate::stamps::Stamps;
use crate::{adopt, engine, turns, until, until_closed};

/// All drivers: those that reach a network, and the one that is a network.
pub(crate) const EVERY: [DriverKind; 8] = [
    DriverKind::Blocking,
    DriverKind::Busy,
    DriverKind::Select,
    DriverKind::Poll,
    DriverKind::Epoll,
    DriverKind::EpollEdge,
    DriverKind::Uring,
    DriverKind::Sim,
];

/// Orders in which tasks run that each script is played with in a simulation.
const SEEDS: std::ops::Range<u64> = 0..6;

/// In virtual time, no script takes this long unless it hangs.
const LONGEST: Duration = Duration::from_secs(300);

/// How long a segment is on its way between simulated hosts.
const DELAY: Duration = Duration::from_micros(100);

/// Our host, and the peers'.
const HOSTS: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];

#[derive(Clone)]
pub(crate) struct Stage {
    /// None where there is a kernel.
    net: Option<Net>,
    stopper: Stopper,
    start: Instant,
}

/// Plays the script on each driver, in a simulation with several seeds; nothing may be held at its end.
pub(crate) fn on_every_stage(script: impl AsyncFn(Stage)) {
    for kind in EVERY {
        play(kind, &script);
    }
}

/// Plays the script on one driver.
pub(crate) fn play(kind: DriverKind, script: &impl AsyncFn(Stage)) {
    if kind == DriverKind::Sim {
        return SEEDS.for_each(|seed| simulate(seed, async |stage| script(stage).await));
    }
    play_on(&engine(kind), script);
    // The same with somebody who looks on, for whom the kernel stamps all that is sent.
    let looked_at = Engine::with_probe(kind, &Stamps::default());
    play_on(&looked_at.unwrap_or_else(|error| panic!("{kind}: {error}")), script);
}

fn play_on(engine: &Engine, script: &impl AsyncFn(Stage)) {
    let stage = Stage { net: None, stopper: engine.stopper(), start: Instant::now() };
    engine.block_on(script(stage));
    engine.block_on(until_closed(engine));
    assert_eq!(engine.usage(), Usage::default(), "it holds on to something");
}

/// Plays the script in a simulation.
pub(crate) fn simulate(seed: u64, script: impl AsyncFnOnce(Stage)) {
    let simulation = Simulation::new(seed, Plan::default()).expect("a descriptor for the inbox");
    simulation.set_longest(LONGEST);
    let (net, stopper) = (simulation.net(), simulation.engine().stopper());
    let stage = Stage { net: Some(net.clone()), stopper, start: Instant::now() };
    let played = simulation.run(async {
        script(stage).await;
        net.settled().await;
    });
    let last = || net.transcript().lines().rev().take(20).collect::<Vec<_>>().join("\n");
    if let Err(stuck) = played {
        panic!("sim, seed {seed}: {stuck}\n{}", last());
    }
    let left = (simulation.engine().usage(), net.connections());
    assert_eq!(left, (Usage::default(), 0), "sim, seed {seed}, holds on to something\n{}", last());
}

impl Stage {
    /// A connection: ours to drive, the other end to use plainly.
    pub(crate) async fn connection(&self) -> (Ours, Peer) {
        match &self.net {
            Some(_) => self.simulated(Link::default().buffer).await,
            None => on_loopback(crate::connection()),
        }
    }

    /// One through which few bytes fit while nobody reads: a hundred kilobytes, say.
    pub(crate) async fn narrow_connection(&self) -> (Ours, Peer) {
        match &self.net {
            Some(_) => self.simulated(32 * 1024).await,
            None => on_loopback(peer::narrow_connection()),
        }
    }

    /// One whose sends are cut short all the time.
    pub(crate) async fn tiny_connection(&self) -> (Ours, Peer) {
        if self.net.is_some() {
            return self.simulated(2 * 1024).await;
        }
        let (ours, theirs) = crate::connection();
        peer::tiny_buffer(&ours);
        on_loopback((ours, theirs))
    }

    async fn simulated(&self, buffer: usize) -> (Ours, Peer) {
        let net = self.net.as_ref().expect("it is simulated");
        net.set_usual_link(Link { delay: DELAY, buffer, ..Link::default() });
        let [ours, theirs] = HOSTS;
        let listener = net.listen((theirs, 0).into(), 1).expect("there are ports");
        let address = listener.local_addr().expect("it listens");
        let stream = net.connect(ours.into(), address, None).await.expect("it listens");
        peer::settle().await;
        let theirs = listener.accept().await.expect("it waits already").expect("there is one");
        (Ours::Simulated(stream), Peer::far(net.clone(), theirs))
    }

    /// Listens, and accepts nobody yet.
    pub(crate) fn listen(&self) -> Listening {
        match &self.net {
            Some(net) => {
                net.set_usual_link(Link { delay: DELAY, ..Link::default() });
                let listener = net.listen((HOSTS[0], 0).into(), 512).expect("there are ports");
                Listening::Simulated(net.clone(), listener)
            }
            None => {
                let any = Address::Ip(([127, 0, 0, 1], 0).into());
                Listening::Loopback(Listener::bind(&any).expect("a free port"))
            }
        }
    }

    /// A socket for datagrams, and what its peer has already sent to it.
    pub(crate) async fn datagram_with(&self, content: &[u8]) -> Datagram {
        let any: SocketAddr = match &self.net {
            Some(_) => (HOSTS[0], 0).into(),
            None => ([127, 0, 0, 1], 0).into(),
        };
        let [ours, theirs] = [(); 2].map(|()| Datagram::bind(&any.into()).expect("a free port"));
        let to = ours.local_addr().expect("bound");
        theirs.send_to(content, &to).await.expect("there is room");
        if self.net.is_some() {
            peer::settle().await;
        }
        ours
    }

    /// Yields to the run loop a few times. In a simulation time passes as well, as it would by itself
    /// elsewhere.
    pub(crate) async fn turns(&self, count: u64) {
        if self.is_simulated() {
            return sleep(Duration::from_millis(count)).await;
        }
        turns(count).await;
    }

    /// Since the stage was made, by the clock that the timers go by.
    pub(crate) fn now(&self) -> Duration {
        self.net.as_ref().map_or_else(|| self.start.elapsed(), Net::now)
    }

    /// Whether there is no kernel, and no thread is waited for.
    pub(crate) fn is_simulated(&self) -> bool {
        self.net.is_some()
    }

    /// Asks the thread to stop, as a server's threads are asked.
    pub(crate) fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits until all deadlines have passed that were set so far ahead before: one more of them has.
    pub(crate) async fn until_passed(&self, patience: Option<Duration>) {
        let (ours, _silent) = self.connection().await;
        let mut stream = ours.adopt();
        stream.set_deadline(patience);
        let error = stream.recv().await.expect_err("nobody says anything");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}

fn on_loopback((ours, theirs): (TcpStream, TcpStream)) -> (Ours, Peer) {
    (Ours::Loopback(ours), Peer::near(theirs))
}

/// Our end of a connection, before a task has it.
pub(crate) enum Ours {
    Loopback(TcpStream),
    Simulated(Stream),
}

impl Ours {
    pub(crate) fn adopt(self) -> Stream {
        match self {
            Ours::Loopback(socket) => adopt(socket),
            Ours::Simulated(stream) => stream,
        }
    }

    /// A look at this end from outside of its task. To be dropped before the end is to be closed.
    pub(crate) fn look(&self) -> Look {
        match self {
            Ours::Loopback(socket) => {
                Look::Loopback(socket.try_clone().expect("a descriptor").into())
            }
            Ours::Simulated(_) => Look::Simulated,
        }
    }
}

/// Knows when something has come in at an end of a connection, without receiving it.
pub(crate) enum Look {
    Loopback(std::os::fd::OwnedFd),
    Simulated,
}

impl Look {
    /// Waits until there is something to receive, the end included.
    pub(crate) async fn until_readable(&self) {
        match self {
            Look::Loopback(fd) => peer::until_readable(fd),
            Look::Simulated => peer::settle().await,
        }
    }

    /// Waits until a reset has come in.
    pub(crate) async fn until_reset(&self) {
        match self {
            Look::Loopback(fd) => peer::until_reset(fd),
            Look::Simulated => peer::settle().await,
        }
    }
}

/// A listener of ours.
pub(crate) enum Listening {
    Loopback(Listener),
    Simulated(Net, Acceptor),
}

impl Listening {
    pub(crate) async fn accept(&self) -> Option<io::Result<Stream>> {
        match self {
            Listening::Loopback(listener) => listener.accept().await,
            Listening::Simulated(_, acceptor) => acceptor.accept().await,
        }
    }

    /// Somebody who has connected, and waits to be accepted.
    pub(crate) async fn client(&self) -> Peer {
        match self {
            Listening::Loopback(listener) => {
                let address = listener.local_addr().expect("it listens").ip().expect("of TCP");
                Peer::near(TcpStream::connect(address).expect("it listens"))
            }
            Listening::Simulated(net, acceptor) => {
                let (from, to) = (HOSTS[1].into(), acceptor.local_addr().expect("it listens"));
                let client = net.connect(from, to, None).await.expect("it listens");
                peer::settle().await;
                Peer::far(net.clone(), client)
            }
        }
    }
}

/// What somebody does beside our tasks: on a thread of its own, or as a task of another host.
pub(crate) enum Job<T> {
    Thread(JoinHandle<T>),
    Task(Rc<RefCell<Option<T>>>),
}

impl<T> Job<T> {
    /// Its end, while the engine runs on.
    pub(crate) async fn joined(self) -> T {
        match self {
            Job::Thread(thread) => crate::joined(thread).await,
            Job::Task(done) => until(|| done.take()).await,
        }
    }
}

/// Lets peers do something beside our tasks.
pub(crate) fn aside<T: Send + 'static>(
    peers: Vec<Peer>,
    act: impl AsyncFnOnce(Vec<Peer>) -> T + Send + 'static,
) -> Job<T> {
    if peers.iter().all(Peer::is_far) {
        let done = Rc::new(RefCell::new(None));
        let told = Rc::clone(&done);
        spawn(async move {
            let result = act(peers).await;
            *told.borrow_mut() = Some(result);
        });
        return Job::Task(done);
    }
    let sockets: Vec<TcpStream> = peers.into_iter().map(Peer::into_socket).collect();
    Job::Thread(std::thread::spawn(move || {
        let acted = pin!(act(sockets.into_iter().map(Peer::near).collect()));
        match acted.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("a plain socket blocks"),
        }
    }))
}
