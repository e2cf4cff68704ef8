//! `sockeye listen` without a service: what clients say comes out, what is piped in goes to them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, UdpSocket};
use std::process::Stdio;
use std::thread;

use crate::kit::folder::noise;
use crate::kit::listener::Listener;
use crate::kit::server::sockeye;
use crate::kit::{PATIENCE, eventually};

on_every_driver!(
    a_late_answer_is_delivered_whole_to_one_who_has_half_closed,
    everything_goes_both_ways_at_once_byte_for_byte,
    many_clients_are_shown_and_get_the_same,
    senders_of_datagrams_are_told_apart_and_answered,
);

const TCP: &str = "tcp://127.0.0.1:0";

fn a_late_answer_is_delivered_whole_to_one_who_has_half_closed(driver: &str) {
    let mut listener = Listener::with_input(&[TCP, "--once", "--driver", driver]);
    let output = listener.output();
    let mut client = listener.connect();
    client.write_all(b"a question\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    output.wait_for("a question");
    let answer = noise(7, 3_000_000);
    let mut stdin = listener.stdin.take().unwrap();
    let writing = {
        let answer = answer.clone();
        thread::spawn(move || stdin.write_all(&answer).unwrap())
    };
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == answer, "{} of {} bytes", got.len(), answer.len());
    let (status, said) = listener.ended();
    assert_eq!((status.code(), said.lines().count()), (Some(0), 1), "{said}");
    assert_eq!(output.all(), "a question\n");
}

fn everything_goes_both_ways_at_once_byte_for_byte(driver: &str) {
    let mut listener = Listener::with_input(&[TCP, "--once", "--driver", driver]);
    let (there, back) = (noise(1, 20_000_000), noise(2, 20_000_000));
    let mut client = listener.connect();
    let mut stdin = listener.stdin.take().unwrap();
    let mut stdout = listener.stdout.take().unwrap();
    let mut reader = client.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            stdin.write_all(&back).unwrap();
            drop(stdin);
        });
        scope.spawn(|| {
            client.write_all(&there).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let out = scope.spawn(move || {
            let mut out = Vec::new();
            stdout.read_to_end(&mut out).unwrap();
            out
        });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        assert!(got == back, "{} of {} bytes came back", got.len(), back.len());
        let out = out.join().unwrap();
        assert!(out == there, "{} of {} bytes came out", out.len(), there.len());
    });
    assert_eq!(listener.ended().0.code(), Some(0));
}

fn many_clients_are_shown_and_get_the_same(driver: &str) {
    let arguments = [TCP, "--frame", "line", "--json", "--driver", driver];
    let mut listener = Listener::with_input(&arguments);
    let output = listener.output();
    let mut clients: Vec<_> = (0..20).map(|_| listener.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        writeln!(client, "hello from {number}").unwrap();
        let line = output.wait_for(&format!("hello from {number}\""));
        let peer = client.local_addr().unwrap();
        assert!(line.contains(&format!("\"peer\":\"{peer}\"")), "{line}");
        assert!(line.contains("\"direction\":\"in\",\"offset\":0"), "{line}");
    }
    let mut stdin = listener.stdin.take().unwrap();
    stdin.write_all(b"to all\n").unwrap();
    for client in &mut clients {
        let mut got = [0; 7];
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"to all\n");
    }
    // Its end is the end for each, once they have said all.
    drop(stdin);
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    drop(clients);
    assert_eq!(listener.stop(), "");
    let sent = output.all().lines().filter(|line| line.contains("\"direction\":\"out\"")).count();
    assert_eq!(sent, 20);
}

fn senders_of_datagrams_are_told_apart_and_answered(driver: &str) {
    let arguments = ["udp://127.0.0.1:0", "--timestamps", "--driver", driver];
    let mut listener = Listener::with_input(&arguments);
    let output = listener.output();
    let senders: Vec<UdpSocket> = (0..3)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(listener.address()).unwrap();
            socket
        })
        .collect();
    for (number, sender) in senders.iter().enumerate() {
        sender.send(format!("from {number}").as_bytes()).unwrap();
        output.wait_for(&format!("from {number}"));
    }
    // Now there are several, and each is shown by its address.
    senders[0].send(b"again").unwrap();
    let line = output.wait_for("again");
    assert!(line.contains(&senders[0].local_addr().unwrap().to_string()), "{line}");
    listener.stdin.take().unwrap().write_all(b"an answer").unwrap();
    for sender in &senders {
        let mut got = [0; 100];
        let count = sender.recv(&mut got).unwrap();
        assert_eq!(&got[..count], b"an answer");
    }
    assert_eq!(listener.stop(), "");
}

#[test]
fn a_line_for_one_client_goes_to_no_other() {
    let mut listener = Listener::with_input(&[TCP, "--frame", "line", "--pick", "--verbose"]);
    let (mut one, mut two) = (listener.connect(), listener.connect());
    for client in [&one, &two] {
        listener.stderr.wait_for(&format!("{} is @", client.local_addr().unwrap()));
    }
    let said = listener.stderr.wait_for(&format!("{} is @", two.local_addr().unwrap()));
    let (_, number) = said.rsplit_once(" is @").unwrap();
    let mut stdin = listener.stdin.take().unwrap();
    writeln!(stdin, "@{number} for two").unwrap();
    writeln!(stdin, "@77 for nobody").unwrap();
    writeln!(stdin, "for both").unwrap();
    drop(stdin);
    let (mut got_one, mut got_two) = (String::new(), String::new());
    one.read_to_string(&mut got_one).unwrap();
    two.read_to_string(&mut got_two).unwrap();
    assert_eq!((&*got_one, &*got_two), ("for both\n", "for two\nfor both\n"));
    listener.stderr.wait_for("nobody here is @77; the line is lost");
}

#[test]
fn what_is_piped_in_waits_for_the_first_client() {
    let mut listener = Listener::with_input(&[TCP, "--once"]);
    let mut stdin = listener.stdin.take().unwrap();
    stdin.write_all(b"early").unwrap();
    drop(stdin);
    let mut client = listener.connect();
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "early");
    drop(client);
    assert_eq!(listener.ended().0.code(), Some(0));
}

/// Somebody who only reads is not told that nothing is to come: many clients would go at once.
#[test]
fn an_input_that_never_was_closes_nobody() {
    let mut listener = Listener::start(&[TCP]);
    let output = listener.output();
    let mut client = listener.connect();
    for line in ["one\n", "two\n"] {
        client.write_all(line.as_bytes()).unwrap();
        output.wait_for(line.trim_end());
    }
    client.set_nonblocking(true).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    client.set_nonblocking(false).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "and then it is over");
    assert_eq!(listener.stop(), "");
}

#[test]
fn one_who_does_not_read_is_dropped_when_others_wait_and_they_lose_nothing() {
    let mut listener = Listener::with_input(&[TCP]);
    let slow = listener.connect();
    let mut quick = listener.connect();
    let sent = noise(3, 20_000_000);
    let mut stdin = listener.stdin.take().unwrap();
    let expected = sent.clone();
    let writing = thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut got = vec![0; expected.len()];
    quick.set_read_timeout(Some(PATIENCE * 2)).unwrap();
    quick.read_exact(&mut got).unwrap();
    assert!(got == expected, "other bytes");
    writing.join().unwrap();
    let peer = slow.local_addr().unwrap();
    listener
        .stderr
        .wait_for(&format!("{peer}: dropped: it took nothing of the input while others"));
}

#[test]
fn what_peers_send_is_harmless_in_json_and_in_lines_of_the_program() {
    let mut listener = Listener::start(&[TCP, "--json", "--frame", "line"]);
    let output = listener.output();
    let mut client = listener.connect();
    client.write_all(b"\x1b[2J\x9b\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    listener.stop();
    let shown = output.all();
    assert!(shown.chars().all(|shown| shown == '\n' || !shown.is_control()), "{shown:?}");
}

#[test]
fn nobody_reading_the_output_ends_it_quietly() {
    let mut command = sockeye();
    command.args(["listen", TCP]).stdin(Stdio::null());
    let mut listener = Listener::of(&mut command, &[TCP]);
    drop(listener.stdout.take());
    let mut client = listener.connect();
    // The first write may still find the pipe open.
    eventually("the end of the connection", || {
        client.write_all(b"to nobody").is_err().then_some(())
    });
    let (status, said) = listener.ended();
    assert_eq!((status.code(), said.lines().count()), (Some(0), 1), "{said}");
}
