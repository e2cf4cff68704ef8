//! Chat and broker with their clients on several threads, and on a thread each.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use sockeye_engine::{Bound, DriverKind, Endpoint, ServeOptions, Serving, Stream};
use sockeye_services::broker::{Broker, BrokerOptions};
use sockeye_services::chat::{Chat, ChatOptions};

use crate::support::{on_every_driver, patiently, pattern};

const PATIENCE: Duration = Duration::from_secs(30);

/// How many meet.
const PEOPLE: usize = 30;

fn start<F, Fut>(driver: DriverKind, serve: F) -> (Serving, SocketAddr)
where
    F: Fn(Stream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let options = ServeOptions {
        driver,
        // On the blocking driver, as many as there are clients.
        threads: driver.multiplexes().then_some(3),
        max_connections: 100,
        grace: PATIENCE,
        probe: None,
        notice: Arc::new(|_| ()),
    };
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    let bound = Bound::listen(&[endpoint], options).expect("a free port");
    let address = bound.addresses()[0];
    (bound.start(serve).expect("threads start"), address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream
}

#[test]
fn people_on_different_threads_hear_each_other() {
    on_every_driver(|driver| {
        let chat = Arc::new(Chat::new(ChatOptions::default()));
        let (serving, address) = start(driver, move |stream| {
            let served = Arc::clone(&chat).serve(stream);
            async move { served.await.expect("nobody is dropped") }
        });
        let mut people: Vec<BufReader<TcpStream>> = (0..PEOPLE)
            .map(|number| {
                let mut stream = connect(address);
                writeln!(stream, "p{number}").expect("it reads");
                let mut person = BufReader::new(stream);
                hears(&mut person, &mut |line| line.starts_with("* you are "));
                person
            })
            .collect();
        for (number, person) in people.iter_mut().enumerate() {
            writeln!(person.get_mut(), "I am {number}").expect("it reads");
        }
        for (number, person) in people.iter_mut().enumerate() {
            let mut missing: BTreeSet<String> = (0..PEOPLE)
                .filter(|other| *other != number)
                .map(|other| format!("p{other}: I am {other}\n"))
                .collect();
            hears(person, &mut |line| {
                missing.remove(line);
                missing.is_empty()
            });
        }
        for person in &people {
            person.get_ref().shutdown(Shutdown::Write).expect("connected");
        }
        for person in &mut people {
            // What others' leaving says, and then the end.
            person.read_to_end(&mut Vec::new()).expect("closed in peace");
        }
        serving.stop();
        assert_eq!(serving.join(), 0, "{driver}");
    });
}

/// Reads lines until one is what is waited for.
fn hears(person: &mut BufReader<TcpStream>, is_it: &mut dyn FnMut(&str) -> bool) {
    let mut line = String::new();
    while {
        line.clear();
        let count = person.read_line(&mut line).expect("neither reset nor silent");
        assert!(count > 0, "closed");
        !is_it(&line)
    } {}
}

#[test]
fn clients_on_different_threads_get_each_others_bytes() {
    on_every_driver(|driver| {
        let broker = Arc::new(Broker::new(BrokerOptions::default()));
        let (serving, address) = start(driver, {
            let broker = Arc::clone(&broker);
            move |stream| {
                let served = Arc::clone(&broker).serve(stream);
                async move {
                    let _ = served.await;
                }
            }
        });
        let mut clients: Vec<TcpStream> = (0..6).map(|_| connect(address)).collect();
        patiently(|| broker.len() == clients.len());
        let sent = pattern(3_000_000);
        let (sender, others) = clients.split_first_mut().expect("there are six");
        std::thread::scope(|scope| {
            for other in others {
                let sent = &sent;
                scope.spawn(move || {
                    let mut got = vec![0; sent.len()];
                    other.read_exact(&mut got).expect("all of it comes");
                    assert!(got == *sent, "{driver}: other bytes came");
                });
            }
            sender.write_all(&sent).expect("it reads");
        });
        drop(clients);
        serving.stop();
        assert_eq!(serving.join(), 0, "{driver}");
        assert!(broker.is_empty(), "{driver}");
    });
}

#[test]
fn who_takes_nothing_while_others_do_is_dropped() {
    on_every_driver(|driver| {
        let patience = Duration::from_millis(300);
        let options = BrokerOptions { patience, ..BrokerOptions::default() };
        let broker = Arc::new(Broker::new(options));
        let (serving, address) = start(driver, {
            let broker = Arc::clone(&broker);
            move |stream| {
                let served = Arc::clone(&broker).serve(stream);
                async move {
                    let _ = served.await;
                }
            }
        });
        let (mut sender, mut other) = (connect(address), connect(address));
        let sloth = connect(address);
        patiently(|| broker.len() == 3);
        let sent = pattern(20_000_000);
        let reading = std::thread::spawn(move || {
            let mut count = 0;
            let mut room = vec![0; 1 << 20];
            while count < 20_000_000 {
                count += other.read(&mut room).expect("it goes on");
            }
            other
        });
        sender.write_all(&sent).expect("it reads");
        let other = reading.join().expect("all of it came");
        patiently(|| broker.len() == 2);
        drop((sender, other, sloth));
        serving.stop();
        assert_eq!(serving.join(), 0, "{driver}");
    });
}
