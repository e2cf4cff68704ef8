//! Storms of datagrams: what a listener does for a thousand who shout, and that listeners which answer
//! each other fall silent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::poll;
use rustix::time::Timespec;

use crate::cast::Listener;
use crate::kit::eventually;
use crate::kit::net::{Host, Net, processor_millis};

/// Who shouts.
const SENDERS: usize = 1000;

/// What the guard lets go: the burst, and as much each second.
const RATE: u64 = 2000;

on_every_driver!(a_storm_of_a_thousand_senders_on_echo_is_bounded_and_an_honest_one_is_answered);

fn a_storm_of_a_thousand_senders_on_echo_is_bounded_and_an_honest_one_is_answered(driver: &str) {
    let name = "a_storm_of_a_thousand_senders_on_echo_is_bounded_and_an_honest_one_is_answered";
    let what = Storming { service: "--echo", driver, shout: Shout::TheSame };
    storm(name, what, |storm| {
        let honest = storm.net.host(2).udp();
        honest.connect(storm.target).unwrap();
        storm.until_answered(|word| {
            honest.send(word).unwrap();
            receives(&honest, word)
        });
    });
}

#[test]
fn an_honest_one_is_answered_beside_a_thousand_who_never_say_the_same_twice() {
    let name = "an_honest_one_is_answered_beside_a_thousand_who_never_say_the_same_twice";
    let what = Storming { service: "--echo", driver: "epoll-edge", shout: Shout::SomethingNew };
    storm(name, what, |storm| {
        let honest = storm.net.host(2).udp();
        honest.connect(storm.target).unwrap();
        storm.until_answered(|word| {
            honest.send(word).unwrap();
            receives(&honest, word)
        });
    });
}

#[test]
fn a_storm_of_a_thousand_senders_on_a_broker_is_bounded_and_an_honest_one_is_heard() {
    let name = "a_storm_of_a_thousand_senders_on_a_broker_is_bounded_and_an_honest_one_is_heard";
    let what = Storming { service: "--broker", driver: "epoll-edge", shout: Shout::TheSame };
    storm(name, what, |storm| {
        let speaker = storm.net.host(2).udp();
        let hearer = storm.net.host(2).udp();
        storm.until_answered(|word| {
            // Both have to be known among the many.
            hearer.send_to(&[b"I ", word].concat(), storm.target).unwrap();
            speaker.send_to(word, storm.target).unwrap();
            receives(&hearer, word)
        });
    });
}

/// Whether this message comes, sooner or later within a second; others may come before it.
fn receives(socket: &std::net::UdpSocket, message: &[u8]) -> bool {
    let deadline = Instant::now() + Duration::from_millis(1100);
    let mut room = [0; 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        socket.set_read_timeout(Some(left)).unwrap();
        if socket.recv(&mut room).is_ok_and(|len| &room[..len] == message) {
            return true;
        }
    }
}

struct Storm<'a> {
    net: &'a Net,
    target: SocketAddr,
    listener: &'a Listener,
}

impl Storm<'_> {
    /// While it goes on: until the listener has told of it twice and an honest question was answered.
    fn until_answered(&self, ask: impl Fn(&[u8]) -> bool) {
        let tries = 20;
        let answered = (0..tries).any(|number: u32| ask(format!("honest {number}").as_bytes()));
        assert!(answered, "not once in {tries} times");
        self.listener
            .stderr
            .wait("two reports", |text| (text.matches("storm guard: ").count() >= 2).then_some(()));
    }
}

/// What goes on.
#[derive(Clone, Copy)]
struct Storming<'a> {
    service: &'a str,
    driver: &'a str,
    shout: Shout,
}

/// What each of the thousand says.
#[derive(Clone, Copy)]
enum Shout {
    TheSame,
    SomethingNew,
}

fn storm(name: &str, what: Storming<'_>, honest: impl Fn(&Storm<'_>)) {
    let Some(net) = Net::of(name, 3) else { return };
    let server = net.host(0);
    let listener =
        Listener::start(server, &[what.service, "udp://0.0.0.0:9999", "--driver", what.driver]);
    let target = SocketAddr::from((server.address(), 9999));
    let (sent_before, received_before) = (server.datagrams_sent(), server.datagrams_received());
    let packets_before = server.packets_sent();
    let processor_before = processor_millis(listener.process());
    let start = Instant::now();

    let over = Arc::new(AtomicBool::new(false));
    let (ended, shouted) = (Arc::clone(&over), Arc::new(AtomicU64::new(0)));
    let shouting = shout(net.host(1), target, what.shout, (ended, Arc::clone(&shouted)));
    honest(&Storm { net: &net, target, listener: &listener });
    let shouted = eventually("a storm", || {
        Some(shouted.load(Ordering::Relaxed)).filter(|shouted| *shouted >= 20 * SENDERS as u64)
    });
    over.store(true, Ordering::Relaxed);
    shouting.join().unwrap();

    let sent = server.datagrams_sent() - sent_before;
    let received = server.datagrams_received() - received_before;
    let packets = server.packets_sent() - packets_before;
    let processor = processor_millis(listener.process()) - processor_before;
    let seconds = start.elapsed().as_secs() + 1;
    let figures = format!(
        "{shouted} shouted, {received} received, {sent} sent in {packets} packets, {processor} ms of \
         processor within {seconds} s"
    );
    let most = RATE + RATE * seconds;
    assert!(sent <= most, "{figures}");
    // ICMP tells senders that are gone, and ARP finds them: both as many as what was sent at most.
    assert!(packets <= 3 * most, "{figures}");
    // What it costs to receive and drop a datagram, generously and without optimisation.
    // The one driver that never sleeps uses what there is.
    assert!(what.driver == "busy" || processor <= 1000 + received / 5, "{figures}");

    let said = listener.stop();
    let reports = said.lines().filter(|line| line.contains("storm guard: ")).count() as u64;
    assert!(reports >= 2 && reports <= seconds + 1, "{reports} within {seconds} s:\n{said}");
    assert!(said.contains(" datagrams dropped ("), "{said}");
}

/// A thousand sockets that shout again and again until it is over.
fn shout(
    host: &Host,
    target: SocketAddr,
    what: Shout,
    (over, shouted): (Arc<AtomicBool>, Arc<AtomicU64>),
) -> std::thread::JoinHandle<()> {
    host.spawn(move || {
        let sockets: Vec<_> = (0..SENDERS)
            .map(|_| {
                let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).unwrap();
                socket.connect(target).unwrap();
                socket
            })
            .collect();
        // Ten rounds a second: 10,000 datagrams.
        let pause = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        while !over.load(Ordering::Relaxed) {
            for (number, socket) in sockets.iter().enumerate() {
                let words = match what {
                    Shout::TheSame => format!("{number} shouts"),
                    Shout::SomethingNew => {
                        format!("{number} shouts {}", shouted.load(Ordering::Relaxed))
                    }
                };
                let sent = socket.send(words.as_bytes()).is_ok();
                shouted.fetch_add(sent.into(), Ordering::Relaxed);
            }
            poll(&mut [], Some(&pause)).unwrap();
        }
    })
}

#[test]
fn two_that_echo_each_other_fall_silent() {
    let Some(net) = Net::of("two_that_echo_each_other_fall_silent", 2) else { return };
    let (one, other) = (net.host(0), net.host(1));
    let listeners =
        [one, other].map(|host| Listener::start(host, &["--echo", "udp://0.0.0.0:9999"]));
    // As if the one had asked the other.
    one.forge((one.address(), 9999), (other.address(), 9999), b"round and round");
    until_one_drops(&listeners);
    // 20 rounds each, and nothing since: whoever dropped it told so a second later.
    let sent = one.datagrams_sent() + other.datagrams_sent();
    assert_eq!(sent, 40);
    for listener in listeners {
        listener.stop();
    }
    assert_eq!(one.datagrams_sent() + other.datagrams_sent(), sent);
}

#[test]
fn brokers_that_pass_on_to_each_other_fall_silent() {
    let Some(net) = Net::of("brokers_that_pass_on_to_each_other_fall_silent", 4) else { return };
    let brokers = &net.hosts()[..3];
    let start = |host| Listener::start(host, &["--broker", "udp://0.0.0.0:9999"]);
    let listeners: Vec<Listener> = brokers.iter().map(start).collect();
    // Each is a client of both others.
    for from in brokers {
        for to in brokers.iter().filter(|to| to.address() != from.address()) {
            from.forge((from.address(), 9999), (to.address(), 9999), b"let me in");
        }
    }
    let client = net.host(3).udp();
    client.send_to(b"round and round", (brokers[0].address(), 9999)).unwrap();
    until_one_drops(&listeners);
    // Two messages that each broker passes on to three clients, once for each of four senders.
    let sent: u64 = brokers.iter().map(Host::datagrams_sent).sum();
    assert!((3..=2 * 3 * 3 * 4).contains(&sent), "{sent}");
    for listener in listeners {
        listener.stop();
    }
    assert_eq!(brokers.iter().map(Host::datagrams_sent).sum::<u64>(), sent);
}

/// A second after somebody dropped something.
fn until_one_drops(listeners: &[Listener]) {
    eventually("a report of a storm", || {
        let told = |listener: &Listener| listener.stderr.so_far().contains("storm guard: ");
        listeners.iter().any(told).then_some(())
    });
}
