//! Serving: listeners, threads, and a graceful end.
//!
//! On a driver that multiplexes, each of N threads has its own listening socket for every
//! endpoint (`SO_REUSEPORT`) and keeps the connections it accepts. On the blocking driver there
//! is a thread for each connection, or, where a number of threads is asked for, exactly so many
//! that each accept a connection and serve it to its end: then further clients wait.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

use crate::address::{Address, UnixAddress};
use crate::driver::{Accepted, DriverKind};
use crate::endpoint::{Endpoint, ListenError, bind_streams};
use crate::engine::{Stopper, sleep};
use crate::error::{self, CallError};
use crate::inbox::Place;
use crate::inherited::{Handover, Inherited};
use crate::listener::Listener;
use crate::probe::{ProbeSource, Role};
use crate::reactor::Reactor;
use crate::stream::Stream;
use crate::unix::SocketFile;

/// How long an acceptor pauses when it may not or can't accept. Clients wait in the backlog.
const PAUSE: Duration = Duration::from_millis(50);

/// Stack of a thread that serves one connection.
const STACK: usize = 256 * 1024;

/// How to serve.
#[derive(Clone)]
pub struct ServeOptions {
    /// How threads wait.
    pub driver: DriverKind,
    /// How many threads; None for one a core, or one a connection on the blocking driver.
    pub threads: Option<usize>,
    /// Connections held at once; further ones wait in the backlog.
    pub max_connections: usize,
    /// How long connections may go on after a stop.
    pub grace: Duration,
    /// Who looks on.
    pub probe: Option<Arc<dyn ProbeSource>>,
    /// Is told what a person who runs the server should know; called at most a few times a second.
    pub notice: Arc<dyn Fn(Notice) + Send + Sync>,
}

/// Something that bites while serving.
#[derive(Debug)]
pub enum Notice {
    /// As many connections as are allowed; others wait.
    Full {
        /// How many that is.
        connections: usize,
    },
    /// A connection could not be accepted or served (out of descriptors or memory). Accepting is tried
    /// again; what failed behind it has cost that connection.
    Accept(io::Error),
}

/// Listening sockets, and nobody who accepts yet: connections are already queued.
pub struct Bound {
    addresses: Vec<SocketAddr>,
    locals: Vec<Address>,
    files: Arc<Mutex<Vec<SocketFile>>>,
    /// A successor has the sockets.
    left: Arc<AtomicBool>,
    /// For each thread, its sockets.
    sockets: Vec<Vec<OwnedFd>>,
    options: ServeOptions,
}

impl Bound {
    /// Listens on every endpoint.
    ///
    /// # Errors
    ///
    /// Names the endpoint, the call that failed and the way out.
    pub fn listen(endpoints: &[Endpoint], options: ServeOptions) -> Result<Bound, ListenError> {
        let threads = accepting_threads(&options);
        let mut locals = Vec::new();
        let mut files = Vec::new();
        let mut sockets: Vec<Vec<OwnedFd>> = (0..threads).map(|_| Vec::new()).collect();
        for endpoint in endpoints {
            for place in bind_streams(endpoint, threads)? {
                locals.push(place.local);
                files.extend(place.file);
                for (thread, socket) in sockets.iter_mut().zip(place.sockets) {
                    thread.push(socket);
                }
            }
        }
        let addresses = locals.iter().filter_map(Address::ip).collect();
        let files = Arc::new(Mutex::new(files));
        Ok(Bound { addresses, locals, files, left: Arc::default(), sockets, options })
    }

    /// Takes sockets that another process opened. Each is accepted from, whatever the number of threads:
    /// where an address has fewer sockets than there are threads they share a queue, and where it has
    /// more a thread has several.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors.
    pub fn adopt(inherited: Vec<Inherited>, options: ServeOptions) -> io::Result<Bound> {
        let threads = accepting_threads(&options);
        let (mut locals, mut files) = (Vec::<Address>::new(), Vec::new());
        let mut groups: Vec<Vec<OwnedFd>> = Vec::new();
        for (local, fd, ours) in inherited.into_iter().map(Inherited::into_parts) {
            match locals.iter().position(|known| *known == local) {
                Some(at) => groups[at].push(fd),
                None => {
                    if let (true, Address::Unix(UnixAddress::Path(path))) = (ours, &local) {
                        files.extend(SocketFile::taken_over(path));
                    }
                    locals.push(local);
                    groups.push(vec![fd]);
                }
            }
        }
        let mut sockets: Vec<Vec<OwnedFd>> = (0..threads).map(|_| Vec::new()).collect();
        for group in groups {
            for thread in group.len()..threads {
                sockets[thread].push(group[thread % group.len()].try_clone()?);
            }
            for (number, socket) in group.into_iter().enumerate() {
                sockets[number % threads].push(socket);
            }
        }
        let addresses = locals.iter().filter_map(Address::ip).collect();
        let files = Arc::new(Mutex::new(files));
        Ok(Bound { addresses, locals, files, left: Arc::default(), sockets, options })
    }

    /// Duplicates of all its sockets, for a successor. As long as they live, clients can connect, though
    /// nobody may accept: drop them when the server stops.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors.
    pub fn handover(&self) -> io::Result<Handover> {
        let copies = self.sockets.iter().flatten().map(OwnedFd::try_clone);
        let sockets = copies.collect::<io::Result<_>>()?;
        let (files, left) = (Arc::clone(&self.files), Arc::clone(&self.left));
        Ok(Handover { sockets, files, left })
    }

    /// Where it listens, with the ports and names the system chose.
    #[must_use]
    pub fn locals(&self) -> &[Address] {
        &self.locals
    }

    /// Those of them that are of the internet.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Somebody looks on from now on: the eye is opened when the ports are known.
    pub fn set_probe(&mut self, probe: Arc<dyn ProbeSource>) {
        self.options.probe = Some(probe);
    }

    /// Starts the threads; `serve` makes the future of each connection on the thread that runs it.
    ///
    /// # Errors
    ///
    /// The driver is not to be had here, or no thread can be started.
    pub fn start<F, Fut>(self, serve: F) -> io::Result<Serving>
    where
        F: Fn(Stream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let Bound { sockets, files, left, options, .. } = self;
        let shared = Shared::new(options, (files, left), serve);
        let (ended, has_ended) = UnixStream::pair()?;
        let ended = Arc::new(ended);
        let mut threads = Vec::new();
        let mut start = |name: String, sockets: Vec<OwnedFd>, each: Each| {
            let (shared, ended) = (Arc::clone(&shared), Arc::clone(&ended));
            let (ready, is_ready) = std::sync::mpsc::channel();
            let work = move || {
                shared.accept(sockets, each, |result| drop(ready.send(result)), pending());
                // Closed with the last thread, panic or not.
                drop(ended);
            };
            threads.push(std::thread::Builder::new().name(name).spawn(work)?);
            // The thread ends without a word only if it panicked.
            is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
        };
        let mut result = Ok(());
        if shared.options.driver.multiplexes() {
            for (number, sockets) in sockets.into_iter().enumerate() {
                result =
                    result.and_then(|()| start(format!("engine-{number}"), sockets, Each::Task));
            }
        } else {
            let (turns, each) = match shared.options.threads {
                Some(threads) => (threads.max(1), Each::InTurn),
                None => (1, Each::Thread),
            };
            for socket in sockets.into_iter().flatten() {
                for _ in 0..turns {
                    let copy = socket.try_clone().map(|copy| vec![copy]);
                    result = result.and_then(|()| start("accept".to_owned(), copy?, each));
                }
            }
        }
        let serving = Serving { control: Arc::new(Control { shared }), threads, has_ended };
        match result {
            Ok(()) => Ok(serving),
            Err(error) => {
                serving.stop();
                serving.join();
                Err(error)
            }
        }
    }

    /// Serves on threads of its own, or on the calling thread where one is all that is asked for,
    /// until `stop` becomes readable: a pipe that a signal handler writes to, say. `ready` is
    /// called when connections are accepted, `stopping` with the number of those that are open
    /// when it is asked to stop. Returns the number of connections that had to be cut off.
    ///
    /// # Errors
    ///
    /// As [`Bound::start`]; also when the server's threads end without having been asked to.
    pub fn run<F, Fut>(
        mut self,
        serve: F,
        stop: UnixStream,
        ready: impl FnOnce(),
        stopping: impl FnOnce(usize),
    ) -> io::Result<usize>
    where
        F: Fn(Stream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        if self.sockets.len() > 1 || !self.options.driver.multiplexes() {
            let serving = self.start(serve)?;
            ready();
            let asked = serving.wait(&stop)?;
            stopping(serving.connections());
            serving.stop();
            let cut_off = serving.join();
            let unasked = || io::Error::other("the server's threads ended unasked");
            return if asked { Ok(cut_off) } else { Err(unasked()) };
        }
        // A process of one thread has its table of descriptors to itself, and the kernel then
        // looks descriptors up without counting references: 2 % of a small request.
        let shared = Shared::new(self.options, (self.files, self.left), serve);
        let (mut result, mut ready) = (Ok(()), Some(ready));
        let told = |started: io::Result<()>| match (&started, ready.take()) {
            (Ok(()), Some(ready)) => ready(),
            _ => result = started,
        };
        let control = Arc::clone(&shared);
        let stopped = async move {
            let asked = match Stream::adopt(stop, Role::Client) {
                Ok(mut stop) => stop.recv().await.map(drop),
                Err(error) => Err(error),
            };
            stopping(control.connections.load(Ordering::SeqCst));
            control.stop();
            asked
        };
        let sockets = self.sockets.pop().unwrap_or_default();
        Arc::clone(&shared).accept(sockets, Each::Task, told, stopped);
        result?;
        Ok(shared.cut_off.load(Ordering::SeqCst))
    }
}

/// A server that runs.
pub struct Serving {
    control: Arc<dyn Controlled>,
    threads: Vec<JoinHandle<()>>,
    /// Ends when the last thread has.
    has_ended: UnixStream,
}

impl Serving {
    /// Asks it to stop: no more is accepted, idle connections close, and those in the middle of
    /// something have until the grace is over.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Waits until `stop` becomes readable, which is true, or all threads have ended unasked.
    fn wait(&self, stop: &UnixStream) -> io::Result<bool> {
        let watch = |fd| PollFd::new(fd, PollFlags::IN);
        let mut fds = [watch(stop), watch(&self.has_ended)];
        retry_on_intr(|| poll(&mut fds, None))?;
        Ok(!fds[0].revents().is_empty())
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.control.connections()
    }

    /// Waits for its end; the number of connections that had to be cut off.
    pub fn join(self) -> usize {
        for thread in self.threads {
            // A panic has been reported by the hook.
            let _ = thread.join();
        }
        self.control.last_connections()
    }
}

/// How connections are served once accepted.
#[derive(Clone, Copy)]
enum Each {
    /// As a task of the thread that accepted it.
    Task,
    /// By a thread of its own.
    Thread,
    /// By the thread that accepted it, before it accepts another.
    InTurn,
}

struct Shared<F> {
    options: ServeOptions,
    /// Of Unix sockets that are listened on.
    files: Arc<Mutex<Vec<SocketFile>>>,
    /// A successor serves by now.
    left: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    /// Tasks that had to be dropped.
    cut_off: AtomicUsize,
    stopping: AtomicBool,
    /// All threads that can be asked to stop.
    threads: Mutex<Vec<(u64, Stopper)>>,
    /// A connection's own thread ended.
    ended: Condvar,
    /// When the last notice was given.
    told: Mutex<Option<Instant>>,
    serve: F,
}

/// One connection that counts, until it is dropped.
pub(crate) struct Counted {
    connections: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<F> Shared<F> {
    fn new(
        options: ServeOptions,
        (files, left): (Arc<Mutex<Vec<SocketFile>>>, Arc<AtomicBool>),
        serve: F,
    ) -> Arc<Shared<F>> {
        Arc::new(Shared {
            options,
            files,
            left,
            connections: Arc::default(),
            cut_off: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            threads: Mutex::new(Vec::new()),
            ended: Condvar::new(),
            told: Mutex::new(None),
            serve,
        })
    }

    fn stop(&self) {
        // Nobody is to find what nobody will accept from.
        lock(&self.files).clear();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        self.stopping.store(true, Ordering::SeqCst);
        for (_, stopper) in threads.iter() {
            match self.left.load(Ordering::SeqCst) {
                true => stopper.inbox.stop_gently(),
                false => stopper.stop(),
            }
        }
    }
}

impl<F, Fut> Shared<F>
where
    F: Fn(Stream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    /// The body of an accepting thread. `ready` hears once how starting went; `watch` runs beside
    /// the tasks until the thread is stopped.
    fn accept(
        self: Arc<Self>,
        sockets: Vec<OwnedFd>,
        each: Each,
        mut ready: impl FnMut(io::Result<()>),
        watch: impl Future<Output = io::Result<()>>,
    ) {
        let reactor = match Reactor::new(self.options.driver, self.options.probe.as_deref()) {
            Ok(reactor) => reactor,
            Err(error) => return ready(Err(error)),
        };
        let _listed = self.list(&reactor);
        let grace = self.options.grace;
        reactor.block_on(async {
            for socket in sockets {
                match Listener::adopt(socket) {
                    Ok(listener) => {
                        reactor.spawn(Arc::clone(&self).accept_from(listener, each));
                    }
                    Err(error) => return ready(Err(error)),
                }
            }
            ready(Ok(()));
            let mut watch = std::pin::pin!(watch);
            let mut drained = std::pin::pin!(until_drained(&reactor, grace));
            let mut watching = true;
            std::future::poll_fn(|cx| {
                if watching && let Poll::Ready(watched) = watch.as_mut().poll(cx) {
                    watching = false;
                    if let Err(error) = watched {
                        ready(Err(error));
                    }
                }
                drained.as_mut().poll(cx)
            })
            .await;
        });
        // Acceptors have ended; what is left is cut off.
        self.cut_off.fetch_add(reactor.tasks(), Ordering::SeqCst);
        reactor.drop_tasks();
    }

    async fn accept_from(self: Arc<Self>, listener: Listener, each: Each) {
        loop {
            if self.full().await.is_err() {
                return;
            }
            // A thread of its own needs a descriptor besides the connection's: who can't have both
            // is left in the backlog.
            let place = match each {
                Each::Thread => Place::take().map(Some),
                Each::Task | Each::InTurn => Ok(None),
            };
            let place = match place {
                Ok(place) => place,
                Err(_) if crate::stopping() => return,
                Err(error) => {
                    let error = listener.explain("start a thread for", error);
                    self.tell(|| Notice::Accept(error));
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let accepted = match listener.accept_raw().await {
                None => return,
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => {
                    self.tell(|| Notice::Accept(error));
                    sleep(PAUSE).await;
                    continue;
                }
            };
            // Another thread may have taken the last place meanwhile.
            let counted = loop {
                match self.count() {
                    Some(counted) => break counted,
                    None if self.full().await.is_err() => return,
                    None => {}
                }
            };
            let started = match each {
                Each::Task => listener.stream(accepted, Some(counted)).map(|stream| {
                    Reactor::current().spawn((self.serve)(stream));
                }),
                Each::InTurn => match listener.stream(accepted, Some(counted)) {
                    Ok(stream) => {
                        (self.serve)(stream).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Each::Thread => Arc::clone(&self)
                    .own_thread(accepted, counted, place)
                    .map_err(|error| listener.explain("start a thread for", error)),
            };
            if let Err(error) = started {
                self.tell(|| Notice::Accept(error));
                sleep(PAUSE).await;
            }
        }
    }

    fn own_thread(
        self: Arc<Self>,
        accepted: Accepted,
        counted: Counted,
        place: Option<Place>,
    ) -> io::Result<()> {
        let thread = std::thread::Builder::new().name("connection".to_owned()).stack_size(STACK);
        thread.spawn(move || {
            let peer = accepted.raw.fd().and_then(error::peer);
            let ServeOptions { driver, probe, .. } = &self.options;
            let place = place.map_or_else(Place::take, Ok);
            let reactor = place.and_then(|place| Reactor::at(place, *driver, probe.as_deref()));
            let served = reactor.and_then(|reactor| {
                let _listed = self.list(&reactor);
                let stream = Stream::accepted(Rc::clone(&reactor), accepted, Some(counted))?;
                reactor.block_on((self.serve)(stream));
                reactor.drop_tasks();
                Ok(())
            });
            if let Err(error) = served {
                let error = CallError::naming("serve", peer, error);
                self.tell(|| Notice::Accept(error));
            }
            let _threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            self.ended.notify_all();
        })?;
        Ok(())
    }

    /// Waits while there are as many connections as may be; an error when the thread is to stop.
    async fn full(&self) -> Result<(), Stopping> {
        while self.connections.load(Ordering::SeqCst) >= self.options.max_connections {
            self.tell(|| Notice::Full { connections: self.options.max_connections });
            if crate::stopping() {
                return Err(Stopping);
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// One more connection, if there may be one more.
    fn count(&self) -> Option<Counted> {
        let one_more = |count| (count < self.options.max_connections).then_some(count + 1);
        let (order, load) = (Ordering::SeqCst, Ordering::SeqCst);
        self.connections.fetch_update(order, load, one_more).ok()?;
        Some(Counted { connections: Arc::clone(&self.connections) })
    }

    /// Makes the thread known to those who stop the server, for as long as the guard lives.
    fn list(&self, reactor: &Reactor) -> Listed<'_> {
        let stopper = Stopper { inbox: Arc::clone(reactor.inbox()) };
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopping.load(Ordering::SeqCst) {
            stopper.stop();
        }
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        threads.push((number, stopper));
        Listed { threads: &self.threads, number }
    }

    /// Once a second at most: a notice for each client that waits would drown the others.
    fn tell(&self, notice: impl FnOnce() -> Notice) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= Duration::from_secs(1)) {
            *told = Some(Instant::now());
            drop(told);
            (self.options.notice)(notice());
        }
    }
}

/// Threads that accept.
fn accepting_threads(options: &ServeOptions) -> usize {
    match (options.driver.multiplexes(), options.threads) {
        (true, Some(threads)) => threads.max(1),
        (true, None) => std::thread::available_parallelism().map_or(1, usize::from),
        // These share one queue: a thread that is busy must not keep others' clients.
        (false, _) => 1,
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Stopping;

struct Listed<'a> {
    threads: &'a Mutex<Vec<(u64, Stopper)>>,
    number: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|(number, _)| *number != self.number);
    }
}

/// What a [`Serving`] needs of the shared part, whatever the service is.
trait Controlled: Send + Sync {
    fn stop(&self);
    fn connections(&self) -> usize;
    /// Waits for connections that have threads of their own.
    fn last_connections(&self) -> usize;
}

struct Control<F> {
    shared: Arc<Shared<F>>,
}

impl<F: Send + Sync> Controlled for Control<F> {
    fn stop(&self) {
        self.shared.stop();
    }

    fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    fn last_connections(&self) -> usize {
        let threads = self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let grace = self.shared.options.grace;
        let waited =
            self.shared.ended.wait_timeout_while(threads, grace, |_| self.connections() > 0);
        drop(waited);
        self.shared.cut_off.load(Ordering::SeqCst) + self.connections()
    }
}

/// Until the thread is asked to stop and its tasks have ended or their grace is over.
async fn until_drained(reactor: &Rc<Reactor>, grace: Duration) {
    std::future::poll_fn(|cx| {
        if reactor.stopping() {
            return Poll::Ready(());
        }
        reactor.watch(cx);
        Poll::Pending
    })
    .await;
    let mut over = std::pin::pin!(sleep(grace));
    std::future::poll_fn(|cx| {
        // The future that waits here is a task too.
        if reactor.tasks() <= 1 || over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        reactor.watch(cx);
        Poll::Pending
    })
    .await;
}
