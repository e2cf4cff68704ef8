//! One run: an engine whose sockets and clock are simulated, and the handle its tasks hold.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;

use crate::driver::{Driver, DriverKind, Raw, Side, VirtualClock};
use crate::drivers::sim::Sim;
use crate::engine::{Engine, sleep};
use crate::inbox::Place;
use crate::probe::{Operation, ProbeSource, Role};
use crate::reactor::Reactor;
use crate::slab::Key;
use crate::stream::{Operate, Stream};

use super::fault::Fault;
use super::link::Link;
use super::model::Model as _;
use super::network::Network;
use super::plan::Plan;
use super::random::{Purpose, Random};

/// How long a run may go on, in virtual time, unless told otherwise.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A run: tasks, a network and a clock, all of which follow from a seed and a plan.
///
/// Servers and clients are tasks of the same engine. Their [`Stream`]s are ordinary ones, and so are
/// their [`Datagram`](crate::Datagram)s, which are bound to addresses of simulated hosts. When no task is ready, the clock jumps to the next event. Tasks that are ready run in rounds, in an order
/// drawn from the seed.
///
/// ```
/// use sockeye_engine::sim::{Plan, Simulation};
///
/// let simulation = Simulation::new(7, Plan::default()).unwrap();
/// let net = simulation.net();
/// let answer = simulation.run(async move {
///     let listener = net.listen("10.0.0.1:7".parse().unwrap(), 16).unwrap();
///     sockeye_engine::spawn(async move {
///         let mut served = listener.accept().await.unwrap().unwrap();
///         served.write(b"hello");
///         served.flush().await.unwrap();
///     });
///     let (host, server) = ("10.0.0.2".parse().unwrap(), "10.0.0.1:7".parse().unwrap());
///     let mut stream = net.connect(host, server, None).await.unwrap();
///     stream.recv().await.unwrap().to_vec()
/// });
/// assert_eq!(answer.unwrap(), b"hello");
/// assert_eq!(simulation.net().now().as_millis(), 4);
/// ```
pub struct Simulation {
    engine: Engine,
    net: Net,
}

impl Simulation {
    /// A network in which what the plan says goes wrong.
    ///
    /// # Errors
    ///
    /// Out of descriptors: a thread that waits has one, even here.
    pub fn new(seed: u64, plan: Plan) -> io::Result<Simulation> {
        Simulation::make(seed, plan, None)
    }

    /// The same, with somebody looking on; stamps are those of the virtual clock.
    ///
    /// # Errors
    ///
    /// As [`Simulation::new`].
    pub fn with_probe(seed: u64, plan: Plan, probe: &dyn ProbeSource) -> io::Result<Simulation> {
        Simulation::make(seed, plan, Some(probe))
    }

    fn make(seed: u64, plan: Plan, probe: Option<&dyn ProbeSource>) -> io::Result<Simulation> {
        let network = Network::new(seed, plan);
        let clock = Rc::new(VirtualClock::default());
        let mut sim = None;
        let virtual_clock = Some(Rc::clone(&clock));
        let reactor = Reactor::with_driver(
            Place::take()?,
            DriverKind::Sim,
            probe,
            virtual_clock,
            |env, inbox| {
                let driver = Rc::new(Sim::new(network, env, inbox, clock, LONGEST));
                sim = Some(Rc::clone(&driver));
                Ok(Box::new(driver))
            },
        )?;
        reactor.shuffle(Random::new(seed, Purpose::Scheduler));
        let sim = sim.expect("the reactor has a driver");
        Ok(Simulation { engine: Engine::of(reactor), net: Net { sim, seed } })
    }

    /// The network, for those who set it up and for the tasks in it.
    #[must_use]
    pub fn net(&self) -> Net {
        self.net.clone()
    }

    /// The engine that runs the tasks: for its [`Engine::usage`] and [`Engine::stopper`].
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Bounds the virtual time of the run, 24 hours unless this says otherwise.
    pub fn set_longest(&self, longest: Duration) {
        self.net.sim.set_longest(longest);
    }

    /// Runs `future`, and the tasks it starts, until `future` is done.
    ///
    /// # Errors
    ///
    /// It will never be done: who waits for what is told.
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output, Stuck> {
        self.engine.reactor().try_block_on(future, |error, main| {
            let stuck = error.downcast::<Stuck>().expect("nothing else fails in a simulation");
            stuck.tell(self.who_waits(main))
        })
    }

    fn who_waits(&self, main: u32) -> Vec<String> {
        let at_sockets = self.net.sim.who_waits();
        let task = |number| match number {
            _ if number == main => "the main future".to_owned(),
            _ => format!("task {number}"),
        };
        let mut waiting = Vec::new();
        for number in self.engine.reactor().task_numbers() {
            let mut places =
                at_sockets.iter().filter(|(task, _)| *task == number).map(|(_, place)| place);
            let first = places.next().map_or("another task or a timer", String::as_str);
            let mut line = format!("{} waits for {first}", task(number));
            for place in places {
                line.push_str(", ");
                line.push_str(place);
            }
            waiting.push(line);
        }
        waiting
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("net", &self.net).finish_non_exhaustive()
    }
}

/// A run that does not come to its end.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Stuck {
    /// Nothing is ready, nothing is on its way, no timer runs.
    #[error("at {at:?} nothing can happen any more: {}", waiting.join("; "))]
    Deadlock {
        /// Virtual time since the start.
        at: Duration,
        /// Who waits for what.
        waiting: Vec<String>,
    },
    /// More virtual time would pass than may.
    #[error("at {at:?} it still goes on: {}", waiting.join("; "))]
    TooLong {
        /// Virtual time since the start.
        at: Duration,
        /// Who waits for what.
        waiting: Vec<String>,
    },
    /// Tasks run and run, and no time passes.
    #[error("at {at:?} tasks wake each other without end")]
    Endless {
        /// Virtual time since the start.
        at: Duration,
    },
}

impl Stuck {
    fn tell(mut self, who: Vec<String>) -> Stuck {
        match &mut self {
            Stuck::Deadlock { waiting, .. } | Stuck::TooLong { waiting, .. } => *waiting = who,
            Stuck::Endless { .. } => {}
        }
        self
    }
}

/// The simulated network, as tasks and tests hold it.
#[derive(Clone)]
pub struct Net {
    sim: Rc<Sim<Network>>,
    seed: u64,
}

impl Net {
    /// Listens; port 0 for one that is free. Further connections than `backlog` wait for their SYN to
    /// be sent again.
    ///
    /// # Errors
    ///
    /// `AddrInUse`.
    ///
    /// # Panics
    ///
    /// Outside of the run.
    pub fn listen(&self, address: SocketAddr, backlog: usize) -> io::Result<Acceptor> {
        let reactor = Reactor::current();
        Ok(Acceptor { key: self.sim.listen(address, backlog)?, net: self.clone(), reactor })
    }

    /// Connects from a host, and waits for it no longer than `patience`.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused`, `TimedOut`.
    ///
    /// # Panics
    ///
    /// Outside of the run.
    pub async fn connect(
        &self,
        from: IpAddr,
        to: SocketAddr,
        patience: Option<Duration>,
    ) -> io::Result<Stream> {
        self.dial(from, to)?.connected(patience).await
    }

    /// Begins to connect: as [`Net::connect`], for those who want to know the connection's number
    /// even if nothing comes of it.
    ///
    /// # Errors
    ///
    /// The addresses are of different families, or there are no ports left.
    pub fn dial(&self, from: IpAddr, to: SocketAddr) -> io::Result<Dial> {
        let socket = self.sim.connect(from, to)?;
        Ok(Dial { net: self.clone(), socket: Cell::new(Some(socket)), number: self.number(socket) })
    }

    /// The address of an end of a connection (`getsockname(2)`).
    ///
    /// # Errors
    ///
    /// The stream is none of this network's.
    pub fn local_addr(&self, stream: &Stream) -> io::Result<SocketAddr> {
        self.sim.local_addr(stream.key)
    }

    /// Closes an end of a connection with RST, as a linger of zero does (`SO_LINGER`, socket(7)): unread
    /// bytes are gone, those on their way arrive.
    ///
    /// # Errors
    ///
    /// The stream is none of this network's.
    pub fn reset(&self, stream: Stream) -> io::Result<()> {
        self.sim.reset(stream.key)
    }

    /// How long the run has gone on, in virtual time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.sim.model.borrow().now()
    }

    /// Waits until nothing is on its way any more, and every other task has ended or waits.
    pub async fn settled(&self) {
        const STEP: Duration = Duration::from_millis(1);
        let mut quiet = 0;
        // Twice, so that those who were woken last have done what they would.
        while quiet < 2 {
            let (now, next) = {
                let model = self.sim.model.borrow();
                (model.now(), model.next_event())
            };
            quiet = if next.is_none() { quiet + 1 } else { 0 };
            sleep(next.map_or(STEP, |next| next.saturating_sub(now)).max(STEP)).await;
        }
    }

    /// Chance for what clients and services do, apart from the scheduler's and the network's.
    #[must_use]
    pub fn random(&self, number: u64) -> Random {
        Random::new(self.seed, Purpose::Application(number))
    }

    /// The link between hosts that have none of their own, for connections made from now on.
    pub fn set_usual_link(&self, link: Link) {
        self.sim.model.borrow_mut().set_usual_link(link);
    }

    /// The link between two hosts, for connections made from now on.
    pub fn set_link(&self, one: IpAddr, other: IpAddr, link: Link) {
        self.sim.model.borrow_mut().set_link(one, other, link);
    }

    /// The faults of the plan that have struck connection `number`.
    #[must_use]
    pub fn faults_of(&self, number: u32) -> Vec<Fault> {
        self.sim.model.borrow().faults_of(number)
    }

    /// The faults of the plan that have struck datagrams between two hosts, either way; a cut is one.
    #[must_use]
    pub fn faults_of_datagrams(&self, one: IpAddr, other: IpAddr) -> Vec<Fault> {
        self.sim.model.borrow().faults_of_datagrams(one, other)
    }

    /// Connections that have an open end or something on its way.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.sim.model.borrow().connections()
    }

    /// Who did what when, a line each: connects, writes, arrivals, reads, closes and faults, with a
    /// digest of the content. The same seed, plan and tasks give the same bytes.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.sim.model.borrow().transcript()
    }

    /// Adds a line to the transcript.
    pub fn say(&self, what: fmt::Arguments<'_>) {
        self.sim.model.borrow_mut().say(what);
    }

    fn number(&self, socket: u32) -> u32 {
        self.sim.model.borrow().number(socket).expect("it was just made")
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, plan) = (self.seed, self.sim.model.borrow().plan().to_string());
        f.debug_struct("Net").field("seed", &seed).field("plan", &plan).finish_non_exhaustive()
    }
}

/// A connection that is being made.
pub struct Dial {
    net: Net,
    /// Until a stream has it.
    socket: Cell<Option<u32>>,
    number: u32,
}

impl Dial {
    /// The connection's number in plans and transcripts.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Waits for it.
    ///
    /// # Errors
    ///
    /// As [`Net::connect`].
    ///
    /// # Panics
    ///
    /// Outside of the run.
    pub async fn connected(self, patience: Option<Duration>) -> io::Result<Stream> {
        let reactor = Reactor::current();
        let socket = self.socket.get().expect("nobody has it yet");
        let raw = Raw::Simulated(socket);
        let at = reactor.env.stamp();
        let mut stream = Stream::new(reactor, raw, Role::Client, at, None, None)?;
        self.socket.set(None);
        stream.set_deadline(patience);
        let sim = &self.net.sim;
        let made = Operate::new(&mut stream, Side::Write, |stream, cx| {
            match sim.poll_connected(socket, cx) {
                Poll::Pending => stream.poll_deadline(Side::Write, cx),
                done => done,
            }
        })
        .await;
        let told = match &made {
            Ok(()) => Ok(0),
            Err(error) => Err(Errno::from_io_error(error).unwrap_or(Errno::TIMEDOUT)),
        };
        stream.tell(Operation::Connect, at, told);
        made?;
        stream.set_deadline(None);
        Ok(stream)
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.net.sim.model.borrow_mut().close(socket);
        }
    }
}

/// A listening socket of the simulated network; dropping it closes it.
pub struct Acceptor {
    net: Net,
    reactor: Rc<Reactor>,
    key: Key,
}

impl Acceptor {
    /// The next connection; None when the engine is asked to stop and nobody waits any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a connection that came to the next one.
    pub async fn accept(&self) -> Option<io::Result<Stream>> {
        let accepted = std::future::poll_fn(|cx| {
            if self.reactor.poll_budget(cx).is_pending() {
                return Poll::Pending;
            }
            match self.net.sim.poll_accept(self.key, cx) {
                Poll::Pending if self.reactor.stopping() => Poll::Ready(None),
                result => result.map(Some),
            }
        })
        .await?;
        Some(accepted.and_then(|accepted| {
            let reactor = Rc::clone(&self.reactor);
            Stream::new(reactor, accepted.raw, Role::Server, accepted.at, None, None)
        }))
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// None in this model.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.net.sim.local_addr(self.key)
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.net.sim.detach(self.key);
    }
}
