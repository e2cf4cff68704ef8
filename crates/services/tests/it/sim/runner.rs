//! Runs a scenario with a seed and a plan, holds it to what must be true at its end, and shortens
//! the plan of a run that fails.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use sockeye_engine::sim::{Link, Net, Plan, Scope, Simulation, Stuck};
use sockeye_engine::{Stream, Usage, sleep, spawn};

/// Seeds of each scenario unless `SOCKEYE_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 25;

/// In virtual time, no run takes this long unless it hangs.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long what was served may go on when the clients are done, in virtual time: longer than any
/// deadline of the services.
const GRACE: Duration = Duration::from_secs(200);

/// Where services listen.
pub(crate) const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// The host of client `number`, counted from 0.
pub(crate) fn host(number: u8) -> IpAddr {
    [10, 0, 1, number + 1].into()
}

/// Services and the clients that try them.
pub(crate) trait Scenario {
    /// In failures.
    fn name(&self) -> &'static str;
    /// How many clients there are, each on a host of its own.
    fn clients(&self) -> u8;
    /// How many datagrams go each way between the service and a client, about.
    fn datagrams(&self) -> u32 {
        0
    }
    /// Starts the services.
    fn serve(&self, net: &Net, tell: &Tell);
    /// What client `number` does; what it finds wrong it tells.
    fn client(&self, number: u8, net: Net, tell: Tell) -> impl Future<Output = ()> + 'static;
}

/// Where clients say what is wrong.
#[derive(Clone, Default)]
pub(crate) struct Tell(Rc<RefCell<Vec<String>>>);

impl Tell {
    pub(crate) fn wrong(&self, what: impl fmt::Display) {
        self.0.borrow_mut().push(what.to_string());
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It never came to its end.
    Stuck(Stuck),
    /// Clients say so.
    Clients(Vec<String>),
    /// Something was left behind.
    Left(Usage, usize),
}

/// The plan of a seed.
pub(crate) fn draw(scenario: &impl Scenario, seed: u64) -> Plan {
    let scope = Scope {
        faults: 8,
        connections: u32::from(scenario.clients()) + 2,
        calls: 24,
        bytes: 2000,
        lasting: Duration::from_secs(2),
        longest: Duration::from_secs(100),
        links: (0..scenario.clients()).map(|number| (SERVER, host(number))).collect(),
        datagrams: scenario.datagrams(),
    };
    Plan::draw(seed, &scope)
}

/// One run: its transcript, and why it failed if it did.
pub(crate) fn run(scenario: &impl Scenario, seed: u64, plan: &Plan) -> (String, Option<Failure>) {
    let simulation = Simulation::new(seed, plan.clone()).expect("a descriptor for the inbox");
    simulation.set_longest(LONGEST);
    let net = simulation.net();
    net.set_usual_link(link(&net));
    let tell = Tell::default();
    let stopper = simulation.engine().stopper();
    let ended = simulation.run(async {
        scenario.serve(&net, &tell);
        let all = Rc::new(All::default());
        for number in 0..scenario.clients() {
            all.start(scenario.client(number, net.clone(), tell.clone()), &tell);
        }
        all.ended().await;
        stopper.stop();
        let end = net.now() + GRACE;
        // The future that waits here counts as a task too.
        while simulation.engine().usage().tasks > 1 && net.now() < end {
            sleep(Duration::from_millis(10)).await;
        }
        net.settled().await;
    });
    let wrong = tell.0.take();
    let left = (simulation.engine().usage(), net.connections());
    let failure = match ended {
        Err(stuck) => Some(Failure::Stuck(stuck)),
        Ok(()) if !wrong.is_empty() => Some(Failure::Clients(wrong)),
        Ok(()) if left != (Usage::default(), 0) => Some(Failure::Left(left.0, left.1)),
        Ok(()) => None,
    };
    (net.transcript(), failure)
}

/// Runs the seeds that are asked for, each twice.
pub(crate) fn check(scenario: &impl Scenario) {
    let variable = |name| std::env::var(name).ok();
    let number = |name| variable(name).map(|text| text.parse().expect("a number"));
    let plan = variable("SOCKEYE_SIM_PLAN").map(|text| text.parse().expect("a fault plan"));
    let seeds = match number("SOCKEYE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SOCKEYE_SIM_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let plan = plan.clone().unwrap_or_else(|| draw(scenario, seed));
        let (transcript, failure) = run(scenario, seed, &plan);
        if let Some(failure) = failure {
            panic!("{}", report(scenario, seed, &plan, &failure));
        }
        let (again, _) = run(scenario, seed, &plan);
        let name = scenario.name();
        assert!(transcript == again, "{name}, seed {seed}, plan {plan}: two runs differ");
    }
}

/// What a person needs to find the mistake.
fn report(scenario: &impl Scenario, seed: u64, plan: &Plan, failure: &Failure) -> String {
    let shortest = plan.shorten(|plan| run(scenario, seed, plan).1.is_some());
    let (transcript, at_least) = run(scenario, seed, &shortest);
    let last: Vec<&str> = transcript.lines().collect();
    let last = last[last.len().saturating_sub(60)..].join("\n");
    format!(
        "{}, seed {seed}: {failure:?}\nplan: {plan}\nshortened: {shortest}\n  which gives: {at_least:?}\n\
         again: SOCKEYE_SIM_SEED={seed} SOCKEYE_SIM_PLAN='{shortest}'\n{last}",
        scenario.name()
    )
}

/// The link that all have in this run.
fn link(net: &Net) -> Link {
    let mut random = net.random(0);
    let millis = Duration::from_millis;
    Link {
        delay: Duration::from_micros(10) + random.micros(millis(50)),
        jitter: if random.one_in(2) { random.micros(millis(30)) } else { Duration::ZERO },
        rate: if random.one_in(3) { Some(random.range(100_000..10_000_000)) } else { None },
        buffer: usize::try_from(random.range(4096..200_000)).expect("it is small"),
    }
}

/// Accepts until the engine stops; each connection is served by a task of its own.
pub(crate) fn serve<Fut: Future<Output = ()> + 'static>(
    net: &Net,
    port: u16,
    tell: &Tell,
    service: impl Fn(Stream) -> Fut + 'static,
) {
    let listener = net.listen(SocketAddr::new(SERVER, port), 4).expect("nobody has it");
    let tell = tell.clone();
    spawn(async move {
        while let Some(accepted) = listener.accept().await {
            match accepted {
                Ok(stream) => {
                    let (served, guard) = (service(stream), Guard(tell.clone()));
                    spawn(async move {
                        let _guard = guard;
                        served.await;
                    });
                }
                Err(error) => tell.wrong(format_args!("accept: {error}")),
            }
        }
    });
}

/// Tells of a panic in its task.
struct Guard(Tell);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.wrong("a task panicked");
        }
    }
}

/// Clients that have not ended.
#[derive(Default)]
struct All {
    left: RefCell<(usize, Option<Waker>)>,
}

impl All {
    fn start(self: &Rc<Self>, client: impl Future<Output = ()> + 'static, tell: &Tell) {
        let (all, guard) = (Ended(Rc::clone(self)), Guard(tell.clone()));
        self.left.borrow_mut().0 += 1;
        spawn(async move {
            let _held = (all, guard);
            client.await;
        });
    }

    async fn ended(&self) {
        poll_fn(|cx| {
            let mut left = self.left.borrow_mut();
            left.1 = Some(cx.waker().clone());
            if left.0 == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// One client less.
struct Ended(Rc<All>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut left = self.0.left.borrow_mut();
        left.0 -= 1;
        if let Some(waker) = left.1.take() {
            waker.wake();
        }
    }
}

/// Whether faults of connection `conn` account for its end, at a service that is patient for at least
/// `patience`.
pub(crate) fn explained(net: &Net, conn: u32, patience: Duration) -> bool {
    let faults = net.faults_of(conn);
    let delay: Duration = faults.iter().map(|fault| fault.delay()).sum();
    delay >= patience || faults.iter().any(|fault| fault.ends_connection())
}

/// A connection, and its number. None if a fault explains why there is none.
pub(crate) async fn connect(
    number: u8,
    port: u16,
    net: &Net,
    tell: &Tell,
) -> Option<(Stream, u32)> {
    let dial = net.dial(host(number), SocketAddr::new(SERVER, port)).expect("there are ports");
    let conn = dial.number();
    match dial.connected(None).await {
        Ok(stream) => Some((stream, conn)),
        Err(error) => {
            // A SYN that is lost is sent again for two minutes.
            if !explained(net, conn, Duration::from_secs(60)) {
                tell.wrong(format_args!("c{conn}: connect: {error}"));
            }
            None
        }
    }
}

/// The next bytes; None at the end of the stream.
pub(crate) async fn next(stream: &mut Stream) -> io::Result<Option<Vec<u8>>> {
    let chunk = stream.recv().await?;
    Ok((!chunk.is_empty()).then(|| chunk.to_vec()))
}
