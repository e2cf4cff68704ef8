//! The services of `sockeye listen`, as their clients meet them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::thread;

use crate::kit::folder::noise;
use crate::kit::listener::Listener;
use crate::kit::{PATIENCE, eventually};

on_every_driver!(
    echo_and_discard_take_everything,
    characters_and_the_time_are_sent,
    small_services_answer_datagrams_and_storms_are_told,
    what_the_guard_dropped_last_is_told_at_the_end,
    a_broker_passes_on_byte_for_byte,
    a_broker_passes_on_whole_frames,
    programs_have_the_socket_and_end_with_the_listener,
);

const TCP: &str = "tcp://127.0.0.1:0";
const UDP: &str = "udp://127.0.0.1:0";

fn udp(listener: &Listener) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(listener.address()).unwrap();
    socket
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut room = vec![0; 65_536];
    let count = socket.recv(&mut room).unwrap();
    room.truncate(count);
    room
}

fn rest(mut client: TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    got
}

fn echo_and_discard_take_everything(driver: &str) {
    let sent = noise(11, 5_000_000);
    for (service, expected) in [("--echo", &sent[..]), ("--discard", &[])] {
        let listener = Listener::start(&[TCP, service, "--driver", driver]);
        let mut client = listener.connect();
        let reader = client.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(&sent).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            assert!(rest(reader) == expected, "{service}: other bytes came back");
        });
        assert_eq!(listener.stop(), "");
    }
}

fn characters_and_the_time_are_sent(driver: &str) {
    let listener = Listener::start(&[TCP, "--chargen", "--driver", driver]);
    let mut client = listener.connect();
    // What it says is not listened to, and its half-close changes nothing.
    client.write_all(b"whatever").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut lines = vec![0; 1_000_000];
    client.read_exact(&mut lines).unwrap();
    for (number, line) in lines.chunks_exact(74).enumerate() {
        let first = b' ' + u8::try_from(number % 95).unwrap();
        assert_eq!((line.len(), line[0], &line[72..]), (74, first, &b"\r\n"[..]), "line {number}");
    }
    drop(client);
    assert_eq!(listener.stop(), "");
    let listener = Listener::start(&[TCP, "--daytime", "--driver", driver]);
    let said = String::from_utf8(rest(listener.connect())).unwrap();
    let time = httpdate(&said);
    assert!(time.is_some(), "{said:?}");
    assert_eq!(listener.stop(), "");
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` and an end of line.
fn httpdate(said: &str) -> Option<()> {
    let words: Vec<&str> = said.strip_suffix(" GMT\r\n")?.split(' ').collect();
    let [day, date, month, year, time] = words[..] else { return None };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let letters = day.len() == 4 && day.ends_with(',') && month.len() == 3;
    let numbers = digits(date) && digits(year) && time.split(':').all(digits);
    (letters && numbers && time.len() == 8).then_some(())
}

fn small_services_answer_datagrams_and_storms_are_told(driver: &str) {
    let listener = Listener::start(&[UDP, "--chargen", "--driver", driver]);
    let client = udp(&listener);
    // No more than came, and 512 at most.
    for (asked, answered) in [(10, 10), (1000, 512)] {
        client.send(&vec![b'x'; asked]).unwrap();
        let got = received(&client);
        assert_eq!((got.len(), &got[..10]), (answered, &b" !\"#$%&'()"[..]));
    }
    assert_eq!(listener.stop(), "");
    let listener = Listener::start(&[UDP, "--daytime", "--driver", driver]);
    let client = udp(&listener);
    client.send(b"").unwrap();
    assert!(httpdate(&String::from_utf8(received(&client)).unwrap()).is_some());
    assert_eq!(listener.stop(), "");
    let listener = Listener::start(&[UDP, "--echo", "--max-frame", "100", "--driver", driver]);
    let client = udp(&listener);
    client.send(&[b'x'; 150]).unwrap();
    assert_eq!(received(&client), [b'x'; 100]);
    let from = client.local_addr().unwrap();
    listener.stderr.wait_for(&format!(
        "{}: a datagram of 150 B from {from} was cut (allow more with --max-frame)",
        listener.endpoints[0]
    ));
    for _ in 0..200 {
        client.send(b"again and again").unwrap();
    }
    listener.stderr.wait_for("storm guard: ");
    let said = listener.stop();
    assert!(said.contains("the same as before"), "{said}");
}

fn what_the_guard_dropped_last_is_told_at_the_end(driver: &str) {
    for (service, kept) in [("--echo", 20), ("--broker", 1)] {
        let listener = Listener::start(&[UDP, service, "--driver", driver]);
        let [client, other] = [udp(&listener), udp(&listener)];
        // The broker knows whom to pass on to.
        other.send(b"here").unwrap();
        for _ in 0..30 {
            client.send(b"the same").unwrap();
        }
        client.send(b"the last").unwrap();
        let hears = if service == "--echo" { &client } else { &other };
        while received(hears) != b"the last" {}
        let said = listener.stop();
        let dropped = 30 - kept;
        let told =
            format!("storm guard: {dropped} datagrams dropped ({dropped} the same as before)");
        assert!(said.contains(&told), "{service}: {said}");
    }
}

/// Until as many have connected: what is sent before is not for them.
fn joined(listener: &Listener, count: usize) {
    listener.stderr.wait("that all have connected", |said| {
        (said.matches(" connected to ").count() == count).then_some(())
    });
}

fn a_broker_passes_on_byte_for_byte(driver: &str) {
    let listener = Listener::start(&[TCP, "--broker", "--verbose", "--driver", driver]);
    let mut sender = listener.connect();
    let others: Vec<TcpStream> = (0..3).map(|_| listener.connect()).collect();
    joined(&listener, 4);
    let sent = noise(12, 10_000_000);
    thread::scope(|scope| {
        for other in &others {
            let (mut other, sent) = (other, &sent);
            scope.spawn(move || {
                let mut got = vec![0; sent.len()];
                other.read_exact(&mut got).unwrap();
                assert!(got == *sent, "other bytes");
            });
        }
        sender.write_all(&sent).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
        assert_eq!(sender.read(&mut [0]).unwrap(), 0, "it hears nothing of its own");
    });
    drop((sender, others));
    listener.stop();
}

fn a_broker_passes_on_whole_frames(driver: &str) {
    let arguments = [TCP, "--broker", "--frame", "line", "--verbose", "--driver", driver];
    let listener = Listener::start(&arguments);
    let (mut one, mut two, mut three) =
        (listener.connect(), listener.connect(), listener.connect());
    joined(&listener, 3);
    // Both begin before either ends.
    one.write_all(b"from ").unwrap();
    two.write_all(b"and ").unwrap();
    one.write_all(b"one\n").unwrap();
    let mut got = [0; 9];
    three.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"from one\n");
    two.write_all(b"two\n").unwrap();
    let mut got = [0; 8];
    three.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"and two\n");
    drop((one, two, three));
    listener.stop();
}

fn programs_have_the_socket_and_end_with_the_listener(driver: &str) {
    let echo = "read line; echo \"$SOCKEYE_PEER said $line to $SOCKEYE_LOCAL\"; cat; exit 3";
    let listener = Listener::start(&[TCP, "--exec", echo, "--verbose", "--driver", driver]);
    let mut client = listener.connect();
    // Whatever a shell would make of it.
    client.write_all(b"$(id); `id` | id\n").unwrap();
    let more = noise(13, 3_000_000);
    let reader = client.try_clone().unwrap();
    let (local, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let expected = format!("{local} said $(id); `id` | id to {peer}\n");
    thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&more).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let got = rest(reader);
        assert!(got.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&got[..100]));
        assert!(got[expected.len()..] == more, "other bytes");
    });
    listener.stderr.wait_for("the program failed with exit status 3");
    assert!(!listener.stop().contains("$(id)"));
    // Those that run when it stops are ended, with what they have started.
    let listener =
        Listener::start(&[TCP, "--exec", "echo $$; sleep 600 & wait", "--driver", driver]);
    let mut client = listener.connect();
    let mut pid = String::new();
    while !pid.ends_with('\n') {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        pid.push(char::from(byte[0]));
    }
    assert_eq!(listener.stop(), "");
    let process = format!("/proc/{}", pid.trim());
    eventually("the end of the program", || {
        (!std::path::Path::new(&process).exists()).then_some(())
    });
    assert_eq!(rest(client), b"");
}

#[test]
fn an_answer_is_whole_though_the_program_read_nothing() {
    let listener = Listener::start(&[TCP, "--exec", "echo enough"]);
    for _ in 0..20 {
        let mut client = listener.connect();
        client.write_all(&[b'x'; 100_000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(client), b"enough\n");
    }
    assert_eq!(listener.stop(), "");
}

#[test]
fn datagrams_are_passed_on_to_all_who_sent_some() {
    let listener = Listener::start(&[UDP, "--broker"]);
    let (one, two) = (udp(&listener), udp(&listener));
    one.send(b"here is one").unwrap();
    // In order: both have been heard of when this has come back.
    two.send(b"here is two").unwrap();
    assert_eq!(received(&one), b"here is two");
    one.send(b"hello").unwrap();
    assert_eq!(received(&two), b"hello");
    assert_eq!(listener.stop(), "");
}
