//! The simulated network as tasks see it: ordinary streams, a clock that jumps, runs that repeat.

use std::cell::RefCell;
use std::fmt;
use std::future::pending;
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Operation, Probe, ProbeSource};
use sockeye_engine::sim::{Link, Net, Plan, Simulation, Stuck};
use sockeye_engine::{Datagram, Stream, Usage, sleep, spawn};

fn simulation(seed: u64, plan: &str) -> Simulation {
    Simulation::new(seed, plan.parse().expect("a plan")).expect("a descriptor for the inbox")
}

fn server() -> SocketAddr {
    "10.0.0.1:7".parse().expect("an address")
}

fn host(number: u8) -> IpAddr {
    [10, 0, 1, number].into()
}

async fn echo(mut stream: Stream) {
    while let Ok(Some(chunk)) = stream.recv_idle().await {
        if chunk.is_empty() {
            break;
        }
        stream.write(&chunk);
        drop(chunk);
        if stream.flush().await.is_err() {
            break;
        }
    }
}

/// Serves each connection with a task of its own until the engine stops.
fn serve(net: &Net) {
    let listener = net.listen(server(), 16).expect("free");
    spawn(async move {
        while let Some(Ok(stream)) = listener.accept().await {
            spawn(echo(stream));
        }
    });
}

async fn read_to_end(stream: &mut Stream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let chunk = stream.recv().await?;
        if chunk.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&chunk);
    }
}

/// Ten clients, each with a kilobyte to be echoed; the transcript of the run.
fn ten_echoes(seed: u64) -> String {
    let simulation = simulation(seed, "conn 4 client write 1 short 7; conn 6 reset at 2500us");
    let net = simulation.net();
    net.set_usual_link(Link { jitter: Duration::from_millis(5), ..Link::default() });
    let stopper = simulation.engine().stopper();
    simulation
        .run(async {
            serve(&net);
            let left = Rc::new(RefCell::new(10));
            for number in 0..10 {
                let (net, left) = (net.clone(), Rc::clone(&left));
                spawn(async move {
                    let content = net.random(u64::from(number)).bytes(1000);
                    let dial = net.dial(host(number), server()).expect("a port");
                    let conn = dial.number();
                    let mut stream = dial.connected(None).await.expect("it listens");
                    stream.write(&content);
                    let sent = stream.flush().await.and_then(|()| stream.shutdown_write());
                    let came = match sent {
                        Ok(()) => read_to_end(&mut stream).await,
                        Err(error) => Err(error),
                    };
                    match came {
                        Ok(came) => assert_eq!(came, content),
                        Err(_) => assert_eq!(conn, 6, "only one is reset"),
                    }
                    *left.borrow_mut() -= 1;
                });
            }
            while *left.borrow() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
            stopper.stop();
            net.settled().await;
        })
        .expect("it ends");
    assert_eq!(simulation.engine().usage(), Usage::default());
    assert_eq!(net.connections(), 0);
    net.transcript()
}

#[test]
fn the_same_seed_gives_the_same_transcript_and_another_seed_another() {
    for seed in 0..20 {
        let transcript = ten_echoes(seed);
        assert_eq!(transcript, ten_echoes(seed));
        assert_ne!(transcript, ten_echoes(seed + 100));
    }
}

#[test]
fn an_hour_of_sleep_takes_an_hour_of_virtual_time() {
    let simulation = simulation(0, "");
    let hour = Duration::from_secs(3600);
    simulation.run(async { sleep(hour).await }).expect("it ends");
    assert_eq!(simulation.net().now(), hour);
}

#[test]
fn a_deadlock_is_an_error_that_names_who_waits() {
    let simulation = simulation(0, "");
    let net = simulation.net();
    let error = simulation
        .run(async {
            serve(&net);
            spawn(pending());
            let mut stream = net.connect(host(1), server(), None).await.expect("it listens");
            // The echo waits for us.
            stream.recv().await.map(|chunk| chunk.len())
        })
        .expect_err("both ends wait");
    let text = error.to_string();
    assert!(matches!(error, Stuck::Deadlock { .. }), "{text}");
    for part in [
        "the main future waits for c1 client to read",
        "waits for c1 server to read",
        "waits for listener 10.0.0.1:7 to read",
        "waits for another task or a timer",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_would_go_on_for_ever_is_ended() {
    let run = simulation(0, "");
    run.set_longest(Duration::from_secs(60));
    let error = run.run(async {
        loop {
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert!(matches!(error, Err::<(), _>(Stuck::TooLong { at, .. }) if at.as_secs() == 60));
    let spinning = std::future::poll_fn::<(), _>(|cx| {
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    });
    let error = simulation(0, "").run(spinning);
    assert_eq!(error, Err(Stuck::Endless { at: Duration::ZERO }));
}

#[test]
fn tasks_run_in_any_order_but_each_gets_its_turn() {
    let orders: std::collections::BTreeSet<Vec<u32>> = (0..50)
        .map(|seed| {
            let simulation = simulation(seed, "");
            let order = Rc::new(RefCell::new(Vec::new()));
            simulation
                .run(async {
                    for number in 0..4 {
                        let order = Rc::clone(&order);
                        spawn(async move {
                            for _ in 0..3 {
                                order.borrow_mut().push(number);
                                yield_once().await;
                            }
                        });
                    }
                    sleep(Duration::from_millis(1)).await;
                })
                .expect("it ends");
            let order = order.take();
            for round in order.chunks(4) {
                let mut round = round.to_vec();
                round.sort_unstable();
                assert_eq!(round, [0, 1, 2, 3], "{order:?}");
            }
            order
        })
        .collect();
    assert!(orders.len() > 40, "{} orders from 50 seeds", orders.len());
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[test]
fn deadlines_pass_on_the_virtual_clock() {
    let simulation = simulation(0, "");
    let net = simulation.net();
    let error = simulation.run(async {
        let _listener = net.listen(server(), 1).expect("free");
        let mut stream = net.connect(host(1), server(), None).await.expect("it listens");
        stream.set_deadline(Some(Duration::from_secs(30)));
        stream.recv().await.expect_err("nobody speaks").kind()
    });
    assert_eq!(error, Ok(ErrorKind::TimedOut));
    assert_eq!(net.now().as_secs(), 30);
}

#[test]
fn connecting_fails_as_it_does_on_a_network() {
    let simulation = simulation(0, "conn 2 refused");
    let net = simulation.net();
    simulation
        .run(async {
            let refused = net.connect(host(1), server(), None).await.expect_err("nobody listens");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let _listener = net.listen(server(), 1).expect("free");
            let refused = net.connect(host(1), server(), None).await.expect_err("a fault");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            net.connect(host(1), server(), None).await.expect("the third one");
            let filled = net.connect(host(1), server(), None).await;
            let patience = Some(Duration::from_secs(2));
            let late = net.connect(host(1), server(), patience).await;
            assert_eq!(late.expect_err("the backlog is full").kind(), ErrorKind::TimedOut);
            drop(filled);
            // A dial nobody waits for leaves nothing behind.
            drop(net.dial(host(1), server()));
        })
        .expect("it ends");
    assert_eq!(simulation.engine().usage(), Usage::default());
}

#[test]
fn a_flush_waits_for_the_reader_and_files_leave_whole() {
    let simulation = simulation(0, "conn 1 server write 2 short 1; conn 1 client read 1 short 1");
    let net = simulation.net();
    let content: Vec<u8> = net.random(0).bytes(300_000);
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&content).expect("room");
    let (whole, part) = (content.clone(), content[1000..250_000].to_vec());
    let came = simulation.run(async {
        let listener = net.listen(server(), 1).expect("free");
        spawn(async move {
            let mut stream = listener.accept().await.expect("runs").expect("it came");
            stream.write(&whole);
            stream.flush().await.expect("the client reads");
            stream.send_file(&file, 1000..250_000, None).await.expect("the client reads");
        });
        let mut stream = net.connect(host(1), server(), None).await.expect("it listens");
        sleep(Duration::from_secs(1)).await;
        read_to_end(&mut stream).await.expect("no fault ends it")
    });
    assert_eq!(came, Ok([content, part].concat()));
}

#[test]
fn datagrams_come_as_ordinary_ones_would() {
    let simulation = simulation(0, "link 10.0.1.1 10.0.0.1 datagram 2 lost");
    let came = simulation.run(async {
        let receiver = Datagram::bind(&server().into()).expect("free");
        let sender = Datagram::bind(&SocketAddr::new(host(1), 0).into()).expect("free");
        sender.connect(&server().into()).expect("an address of the internet");
        for content in ["one", "two", "three"] {
            sender.send(content.as_bytes()).await.expect("short enough");
        }
        let first = receiver.recv().await.expect("open");
        assert_eq!(first.from, sender.local_addr().ok());
        receiver.set_room(2);
        let second = receiver.recv().await.expect("open");
        assert!(second.truncated && second.len == 5);
        receiver.set_deadline(Some(Duration::from_secs(1)));
        assert_eq!(receiver.recv().await.expect_err("lost").kind(), ErrorKind::TimedOut);
        (first.bytes.to_vec(), second.bytes.to_vec())
    });
    assert_eq!(came, Ok((b"one".to_vec(), b"th".to_vec())));
    assert_eq!(simulation.engine().usage(), Usage::default());
}

/// Keeps what was called, and when.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(Operation, u64)>>>);

impl ProbeSource for Calls {
    fn probe(&self) -> Box<dyn Probe> {
        Box::new(self.clone())
    }
}

impl Probe for Calls {
    fn listening(&self, fd: Option<BorrowedFd<'_>>, local: SocketAddr) {
        assert!(fd.is_none() && local == server());
    }
    fn opened(&self, fd: Option<BorrowedFd<'_>>, opened: &Opened) {
        assert!(fd.is_none() && [&opened.local, &opened.peer].contains(&&server().into()));
    }
    fn call(&self, _: ConnId, call: &Call) {
        let eagain = rustix::io::Errno::AGAIN.raw_os_error();
        if call.result != Err(eagain) {
            self.0.lock().expect("no panic").push((call.operation, call.end.0));
        }
    }
    fn message(&self, _: ConnId, _: Direction, _: Range<u64>, _: fmt::Arguments<'_>) {}
    fn closing(&self, _: ConnId, _: Option<BorrowedFd<'_>>) {}
    fn closed(&self, _: ConnId) {}
    fn flush(&self) {}
}

#[test]
fn whoever_looks_on_sees_the_calls_at_virtual_times() {
    let calls = Calls::default();
    let simulation =
        Simulation::with_probe(0, Plan::default(), &calls).expect("a descriptor for the inbox");
    let net = simulation.net();
    simulation
        .run(async {
            serve(&net);
            let mut stream = net.connect(host(1), server(), None).await.expect("it listens");
            stream.write(b"x");
            stream.flush().await.expect("room");
            assert_eq!(stream.recv().await.expect("echoed").len(), 1);
        })
        .expect("it ends");
    // Since 2100-01-01 00:00:00 UTC, in milliseconds.
    let calls = calls.0.lock().expect("no panic");
    let calls: Vec<_> = calls
        .iter()
        .map(|(operation, at)| (*operation, (at - 4_102_444_800_000_000_000) / 1_000_000))
        .collect();
    let expected = [
        (Operation::Connect, 2),
        (Operation::Send, 2),
        (Operation::Accept, 3),
        (Operation::Recv, 3),
        (Operation::Send, 3),
        (Operation::Recv, 4),
        (Operation::Close, 4),
    ];
    assert_eq!(calls, expected);
}

#[test]
fn an_empty_plan_leaves_the_wall_clock_to_the_simulation_too() {
    let simulation = Simulation::new(0, Plan::default()).expect("a descriptor for the inbox");
    let seconds = simulation.run(async {
        let before = sockeye_engine::unix_now();
        sleep(Duration::from_secs(90)).await;
        (before, sockeye_engine::unix_now() - before)
    });
    // 2100-01-01 00:00:00 UTC.
    assert_eq!(seconds, Ok((4_102_444_800, 90)));
}
