//! One run for each call that can fail, and what must hold after it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use sockeye_engine::fault::{Hit, Plan, Point};
use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Probe, ProbeSource};
use sockeye_engine::{
    Bound, CallError, DriverKind, Endpoint, Notice, ServeOptions, Serving, Stream, Usage, sleep,
    usage,
};
use sockeye_services::echo::{self, Patience};
use sockeye_services::http::{Site, SiteOptions};

use crate::support::Folder;

use super::relay;
use super::scripts::{TAKEN, Talk};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Http,
    Echo,
    Discard,
    /// Both halves of a connection and of one to an echo behind it.
    Relay,
}

/// What calls fail with.
const ERRNOS: [(&str, Errno); 10] = [
    ("EINTR", Errno::INTR),
    ("EAGAIN", Errno::AGAIN),
    ("EBUSY", Errno::BUSY),
    ("ECONNRESET", Errno::CONNRESET),
    ("EPIPE", Errno::PIPE),
    ("EMFILE", Errno::MFILE),
    ("ENOBUFS", Errno::NOBUFS),
    ("ENOMEM", Errno::NOMEM),
    ("ENOSPC", Errno::NOSPC),
    ("EIO", Errno::IO),
];

/// A run that takes longer hangs, however slow the machine is.
const HANGS: Duration = Duration::from_secs(60);

/// A script that makes more calls than this does not end.
const MOST_CALLS: u64 = 5_000;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Runs the script on every driver with every error at every call.
#[expect(clippy::print_stdout, reason = "how many ran is the result")]
pub(super) fn sweep(service: Service) {
    // The engine ends a task that panics and goes on: it must not pass unseen here.
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        shown(panic);
    }));
    let watchdog = Watchdog::start();
    let around = Around { behind: relay::echo_behind(), descriptors: descriptors() };
    let folder = Folder::new();
    folder.file("hello.txt", b"hello\n");
    folder.file("big.bin", &crate::support::pattern(super::scripts::LONG));
    // Their entity tags stay as they are from then on.
    folder.settle();
    let before = names(folder.path());
    let mut total = 0;
    for driver in DriverKind::ALL {
        let start = Instant::now();
        let expected =
            run(service, driver, folder.path(), &around, &Plan::new(Errno::INTR, 0)).talks;
        let expected: Vec<Talk> = expected.into_iter().map(masked).collect();
        check_expected(service, &expected);
        let (mut runs, mut line) = (0, String::new());
        let mut points = BTreeMap::new();
        for (name, errno) in ERRNOS {
            // How many calls a script makes varies a little: the end is where two runs in a row make
            // fewer than that.
            let (mut nth, mut hits, mut missed) = (1, 0, 0);
            while missed < 2 {
                let what = format!("{service:?} on {driver}: {name} at call {nth}");
                watchdog.watch(&what);
                let plan = Plan::new(errno, nth);
                let outcome = run(service, driver, folder.path(), &around, &plan);
                nth += 1;
                let Some(hit) = plan.hit() else {
                    missed += 1;
                    continue;
                };
                (hits, missed) = (hits + 1, 0);
                check(service, errno, hit, &expected, outcome, &what);
                *points.entry(format!("{:?}", hit.point)).or_insert(0) += 1;
                assert!(nth < MOST_CALLS, "{what}: the script does not end");
            }
            runs += hits;
            let _ = write!(line, " {name} {hits}");
        }
        total += runs;
        println!(
            "{service:?} on {driver}: {runs} runs in {:.1} s:{line}; at {points:?}",
            start.elapsed().as_secs_f64()
        );
    }
    println!("{service:?}: {total} runs, none left out");
    assert_eq!(names(folder.path()), before, "no file is left behind");
}

/// What came of one run.
struct Outcome {
    talks: Vec<Talk>,
    notices: Vec<Notice>,
    /// What the echo's futures returned.
    errors: Vec<io::Error>,
    /// Bytes of each connection that was discarded to its end.
    discarded: Vec<u64>,
    /// What the server held when only the one who asked was there.
    idle: Option<Usage>,
}

/// What stays the same through all runs.
struct Around {
    /// An echo for those who relay.
    behind: SocketAddr,
    /// Open when nobody runs. The echo behind may accept and close late, so it is counted once.
    descriptors: usize,
}

/// The script, a connection afterwards, and the end of the server.
fn run(
    service: Service,
    driver: DriverKind,
    folder: &Path,
    around: &Around,
    plan: &Arc<Plan>,
) -> Outcome {
    let panics = PANICS.load(Ordering::SeqCst);
    let mut start_errors = Vec::new();
    let server = loop {
        match Server::start(service, driver, folder, around.behind, plan) {
            Ok(server) => break server,
            Err(error) => {
                let fault = plan.hit().expect("nothing but a fault keeps it from starting");
                assert!(matches!(fault.point, Point::Make | Point::Register), "{fault:?}: {error}");
                start_errors.push(error);
            }
        }
    };
    assert!(start_errors.len() < 2, "one call fails: {start_errors:?}");
    let talks = service.script(server.address);
    // Whatever happened, the next one is served.
    let next = after(plan, || service.short(server.address), |next| is_whole(service, next));
    assert!(is_whole(service, &next), "after {:?}: {}", plan.hit(), shown(&next.got));
    let idle = match driver.multiplexes() {
        true => after(plan, || server.idle_usage(), Option::is_some),
        false => None,
    };
    let Server { serving, shared, .. } = server;
    serving.stop();
    assert_eq!(serving.join(), 0, "connections cut off");
    // Threads of connections end a moment after their connection.
    crate::support::patiently(|| descriptors() == around.descriptors);
    assert_eq!(PANICS.load(Ordering::SeqCst), panics, "a task panicked");
    if !driver.multiplexes() {
        for usage in plan.ended() {
            let Usage { timers, read_buffers, write_buffers, .. } = usage;
            assert_eq!((timers, read_buffers, write_buffers), (0, 0, 0), "at a thread's end");
        }
    }
    Outcome {
        talks,
        notices: std::mem::take(&mut *lock(&shared.notices)),
        errors: std::mem::take(&mut *lock(&shared.errors)),
        discarded: std::mem::take(&mut *lock(&shared.discarded)),
        idle,
    }
}

/// What comes of it, or, if that was not well and the fault happened just then, of a second try.
fn after<T>(plan: &Plan, mut attempt: impl FnMut() -> T, is_well: impl Fn(&T) -> bool) -> T {
    let before = plan.hit();
    let result = attempt();
    if is_well(&result) || before.is_some() || plan.hit().is_none() { result } else { attempt() }
}

fn check(
    service: Service,
    errno: Errno,
    hit: Hit,
    expected: &[Talk],
    outcome: Outcome,
    what: &str,
) {
    let what = format!("{what}, at {:?}", hit.point);
    let mut harmed = Vec::new();
    for (talk, expected) in outcome.talks.into_iter().map(masked).zip(expected) {
        if talk.got == expected.got {
            continue;
        }
        harmed.push(talk.name);
        // A file that can't be read is answered with that.
        let of_a_file = matches!(hit.point, Point::Open | Point::Read | Point::Stat);
        let refused = of_a_file && find(&talk.got, b"HTTP/1.1 503 Service Unavailable\r\n");
        assert!(
            refused || expected.got.starts_with(&talk.got),
            "{what}: {} got other bytes: {}",
            talk.name,
            shown(&talk.got)
        );
    }
    let passes = matches!(errno, Errno::INTR | Errno::AGAIN | Errno::BUSY)
        || matches!(hit.point, Point::Accept | Point::Enter | Point::Poll | Point::Wait);
    let most = if passes { 0 } else { 1 };
    assert!(harmed.len() <= most, "{what}: {harmed:?} were harmed");
    if service == Service::Discard {
        // The bystander's, the short one's and the long one's; who leaves may be told as an end.
        let counts = [16, 5, super::scripts::LONG as u64];
        let missing = counts.iter().filter(|count| !outcome.discarded.contains(count)).count();
        assert!(missing <= most, "{what}: {:?} were discarded", outcome.discarded);
        let other = outcome.discarded.iter().filter(|count| !counts.contains(count)).count();
        assert!(other <= 1, "{what}: {:?} were discarded", outcome.discarded);
    }
    if let Some(usage) = outcome.idle {
        assert_eq!(usage, IDLE, "{what}: the server still holds something");
    }
    let refused = matches!(hit.point, Point::Accept) && !passes_accept(errno);
    assert!(!refused || !outcome.notices.is_empty(), "{what}: nobody was told");
    for notice in &outcome.notices {
        let Notice::Accept(error) = notice else { panic!("{what}: {notice:?}") };
        names_it(error, &what);
    }
    for error in &outcome.errors {
        names_it(error, &what);
    }
}

/// Not told of: accept is tried again at once.
fn passes_accept(errno: Errno) -> bool {
    matches!(errno, Errno::INTR | Errno::AGAIN)
}

/// The error says what was asked, of whom, and why it failed.
fn names_it(error: &io::Error, what: &str) {
    let inner = CallError::of(error).unwrap_or_else(|| panic!("{what}: {error:?}"));
    let endpoint = inner.endpoint().unwrap_or_else(|| panic!("{what}: {error}"));
    assert!(endpoint.parse::<SocketAddr>().is_ok(), "{what}: {error}");
    assert!(inner.raw_os_error().is_some() && !inner.operation().is_empty(), "{what}: {error}");
}

/// A thread that only answers who asks for its usage: itself, the acceptor and the answer; the
/// listener and the connection of who asks.
const IDLE: Usage = Usage { tasks: 3, sockets: 2, timers: 0, read_buffers: 0, write_buffers: 0 };

/// A server of one thread, or of one a connection.
struct Server {
    serving: Serving,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    notices: Mutex<Vec<Notice>>,
    errors: Mutex<Vec<io::Error>>,
    /// Bytes of each connection that was discarded to its end.
    discarded: Mutex<Vec<u64>>,
    /// The next connection is answered with the server's usage.
    asks_usage: AtomicBool,
    usage: Mutex<Option<Usage>>,
}

impl Server {
    fn start(
        service: Service,
        driver: DriverKind,
        folder: &Path,
        behind: SocketAddr,
        plan: &Arc<Plan>,
    ) -> io::Result<Server> {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let options = ServeOptions {
            driver,
            threads: driver.multiplexes().then_some(1),
            max_connections: 100,
            grace: HANGS,
            probe: Some(Arc::new(Joins(Arc::clone(plan)))),
            notice: Arc::new(move |notice| lock(&told.notices).push(notice)),
        };
        let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
        let bound = Bound::listen(&[endpoint], options).expect("a free port");
        let address = bound.addresses()[0];
        let site = Site::open(folder, SiteOptions::default(), |_| ()).expect("it is there");
        let (site, here) = (Arc::new(site), Arc::clone(&shared));
        let serving = bound.start(move |stream: Stream| {
            let (site, here) = (Arc::clone(&site), Arc::clone(&here));
            async move {
                if here.asks_usage.load(Ordering::SeqCst) {
                    return here.until_idle(stream).await;
                }
                match service {
                    Service::Http => site.serve(stream).await,
                    Service::Echo => {
                        if let Err(error) = echo::echo(stream, Patience::default()).await {
                            lock(&here.errors).push(error);
                        }
                    }
                    Service::Discard => match echo::discard(stream, Patience::default()).await {
                        Ok(count) => lock(&here.discarded).push(count),
                        Err(error) => lock(&here.errors).push(error),
                    },
                    Service::Relay => {
                        if let Err(error) = relay::relay(stream, behind).await {
                            lock(&here.errors).push(error);
                        }
                    }
                }
            }
        })?;
        Ok(Server { serving, address, shared })
    }

    /// What its thread holds once nobody else is there any more.
    fn idle_usage(&self) -> Option<Usage> {
        self.shared.asks_usage.store(true, Ordering::SeqCst);
        let mut asking = std::net::TcpStream::connect(self.address).expect("it listens");
        asking.set_read_timeout(Some(HANGS)).expect("an option");
        io::Read::read(&mut asking, &mut [0]).expect("it is closed");
        *lock(&self.shared.usage)
    }
}

impl Shared {
    /// Others close in the kernel's own time.
    async fn until_idle(&self, _stream: Stream) {
        let start = Instant::now();
        loop {
            let now = usage().expect("inside an engine");
            if now == IDLE || start.elapsed() > HANGS / 4 {
                *lock(&self.usage) = Some(now);
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Hands the plan to each thread of the server, and looks at nothing.
struct Joins(Arc<Plan>);

impl ProbeSource for Joins {
    fn probe(&self) -> Box<dyn Probe> {
        self.0.join();
        Box::new(Blind)
    }
}

struct Blind;

impl Probe for Blind {
    fn listening(&self, _: Option<BorrowedFd<'_>>, _: SocketAddr) {}
    fn opened(&self, _: Option<BorrowedFd<'_>>, _: &Opened) {}
    fn call(&self, _: ConnId, _: &Call) {}
    fn message(&self, _: ConnId, _: Direction, _: Range<u64>, _: std::fmt::Arguments<'_>) {}
    fn closing(&self, _: ConnId, _: Option<BorrowedFd<'_>>) {}
    fn closed(&self, _: ConnId) {}
    fn flush(&self) {}
}

/// Ends the process, with a word about the run, when a run hangs.
struct Watchdog {
    watched: mpsc::Sender<String>,
}

impl Watchdog {
    #[expect(clippy::print_stderr, reason = "the last word before the process ends")]
    fn start() -> Watchdog {
        let (watched, runs) = mpsc::channel::<String>();
        std::thread::spawn(move || {
            let mut run = "the first run".to_owned();
            loop {
                match runs.recv_timeout(HANGS) {
                    Ok(next) => run = next,
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        eprintln!("it hangs: {run}");
                        std::process::abort();
                    }
                }
            }
        });
        Watchdog { watched }
    }

    fn watch(&self, run: &str) {
        self.watched.send(run.to_owned()).expect("the watchdog lives");
    }
}

/// The fault-free run must be what it is meant to be.
fn check_expected(service: Service, talks: &[Talk]) {
    for talk in talks {
        let len = talk.got.len();
        match (service, talk.name) {
            (Service::Http, "long") => assert!(len > super::scripts::LONG, "{}", shown(&talk.got)),
            (Service::Http, _) => assert!(find(&talk.got, b"200 OK"), "{}", shown(&talk.got)),
            (Service::Discard, "bystander") => assert_eq!(len, 0),
            (Service::Discard, _) => assert_eq!(talk.got, TAKEN),
            (Service::Echo | Service::Relay, "long") => assert_eq!(len, super::scripts::LONG),
            (Service::Echo | Service::Relay, "short") => assert_eq!(talk.got, b"short"),
            (Service::Echo | Service::Relay, _) => assert_eq!(talk.got, b"exchangeexchange"),
        }
    }
}

fn is_whole(service: Service, talk: &Talk) -> bool {
    match service {
        Service::Http => find(&talk.got, b"200 OK") && talk.got.ends_with(b"\r\n\r\nhello\n"),
        Service::Echo | Service::Relay => talk.got == b"short",
        Service::Discard => talk.got == TAKEN,
    }
}

/// With stars for each date, as far as it has come.
fn masked(mut talk: Talk) -> Talk {
    const LINE: &[u8] = b"\r\nDate: ";
    let mut from = 0;
    while let Some(at) = talk.got[from..].windows(LINE.len()).position(|part| part == LINE) {
        let start = from + at + LINE.len();
        from = talk.got.len().min(start + "Sun, 06 Nov 1994 08:49:37 GMT".len());
        talk.got[start..from].fill(b'*');
    }
    talk
}

fn find(bytes: &[u8], part: &[u8]) -> bool {
    crate::support::find(bytes, part).is_some()
}

fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(400)];
    format!("{} bytes, {}", bytes.len(), start.escape_ascii())
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
