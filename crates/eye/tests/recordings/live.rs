//! What is played back is what the eye made of the same things while it looked on, to the last field.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use rustix::net::sockopt;
use sockeye_engine::Address;
use sockeye_engine::probe::{
    ConnId, Datagram, Datagrams, Direction, Probe, Reported, Stamp, digest,
};
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Eye, Options, Seen, Sink, Tap};
use sockeye_eye::recording::{Ended, Ending, Playback, Reader, Writer};
use sockeye_eye::view::{self, Style};

use crate::support::may_capture;
use crate::support::served::Served;

/// Everything that is known of what ended, as text.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Tap for Told {
    fn sees(&mut self, seen: &Seen<'_>) {
        let told = match seen {
            Seen::Ended { history, .. } => told(history),
            Seen::SocketEnded(history) => format!("{history:#?}"),
            _ => return,
        };
        self.0.lock().unwrap().push(told);
    }
}

fn told(history: &History) -> String {
    format!("{}\n{history:#?}", view::picture(history, &Style::default()))
}

/// A file that can be looked into while somebody writes it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Nothing;

impl Sink for Nothing {
    fn ended(&mut self, _: &History) {}
    fn ended_in_short(&mut self, _: &History) {}
    fn say(&mut self, _: &str) {}
}

/// Has the eye look on, and compares what it told with what its recording tells.
fn plays_back(capture: bool, scene: impl FnOnce(&dyn Probe, &TcpListener)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (live, file) = (Told::default(), Shared::default());
    let mut options = Options { capture, talk: true, ..Options::to(Nothing) };
    options.taps = vec![Box::new(live.clone()), Box::new(Writer::to(file.clone(), "memory"))];
    let eye = Eye::open(&[listener.local_addr().unwrap()], options).unwrap();
    let probe = eye.source().probe();
    probe.listening(Some(listener.as_fd()), listener.local_addr().unwrap());
    scene(&*probe, &listener);
    drop(probe);
    eye.close();

    let file = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
    let mut playback = Playback::new(Reader::new(file.as_bytes()).unwrap());
    let again: Vec<String> = playback
        .by_ref()
        .map(|ended| match ended.unwrap() {
            Ended::Connection { history, open } => {
                assert!(!open);
                told(&history)
            }
            Ended::Datagrams(history) => format!("{history:#?}"),
        })
        .collect();
    let live = live.0.lock().unwrap();
    assert!(!live.is_empty());
    assert_eq!(live.len(), again.len());
    for (live, again) in live.iter().zip(&again) {
        assert_eq!(live, again);
    }
    assert_eq!(playback.ending(), Ending::Finished);
    file
}

fn kinds(file: &str, kind: &str) -> usize {
    let kind = format!("{{\"kind\":\"{kind}\",");
    file.lines().filter(|line| line.starts_with(&kind)).count()
}

fn talk(probe: &dyn Probe, listener: &TcpListener, conn: u64) {
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut served = Served::accept(probe, listener, conn);
    client.write_all(b"GET / HTTP/1.0\r\n").unwrap();
    assert_eq!(served.recv(), 16);
    probe.message(served.conn, Direction::Received, 0..16, format_args!("GET \x1b[2J\"é\""));
    served.send(b"hello");
    client.read_exact(&mut [0; 5]).unwrap();
    drop(client);
    assert_eq!(served.recv(), 0);
    served.close();
}

#[test]
fn connections_without_packets_play_back() {
    let file = plays_back(false, |probe, listener| (1..4).for_each(|n| talk(probe, listener, n)));
    assert_eq!((kinds(&file, "conn"), kinds(&file, "end"), kinds(&file, "seg")), (3, 3, 0));
    assert!(kinds(&file, "state") > 0, "what calls tell of states is there for want of packets");
}

#[test]
fn connections_with_packets_play_back() {
    if !may_capture("connections_with_packets_play_back") {
        return;
    }
    let file = plays_back(true, |probe, listener| (1..4).for_each(|n| talk(probe, listener, n)));
    assert_eq!((kinds(&file, "conn"), kinds(&file, "end")), (3, 3));
    assert!(kinds(&file, "seg") >= 3 * 8, "{file}");
}

#[test]
fn what_was_reset_and_what_was_never_accepted_play_back() {
    if !may_capture("what_was_reset_and_what_was_never_accepted_play_back") {
        return;
    }
    plays_back(true, |probe, listener| {
        let ignored = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut served = Served::accept(probe, listener, 1);
        served.send(b"for nobody");
        sockopt::set_socket_linger(&ignored, Some(std::time::Duration::ZERO)).unwrap();
        drop(ignored);
        served.close();
        talk(probe, listener, 2);
        drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        talk_to_the_second(probe, listener);
    });
}

/// The first one in the backlog is accepted and closed at once, the next one is talked to.
fn talk_to_the_second(probe: &dyn Probe, listener: &TcpListener) {
    Served::accept(probe, listener, 3).close();
    talk(probe, listener, 4);
}

#[test]
fn many_long_connections_at_once_leave_out_what_they_did() {
    if !may_capture("many_long_connections_at_once_leave_out_what_they_did") {
        return;
    }
    const MANY: u64 = 70;
    const ROUNDS: u64 = 400;
    let file = plays_back(true, |probe, listener| {
        let to = listener.local_addr().unwrap();
        let mut open: Vec<(TcpStream, Served<'_>)> = (1..=MANY)
            .map(|number| {
                let client = TcpStream::connect(to).unwrap();
                (client, Served::accept(probe, listener, number))
            })
            .collect();
        for round in 0..ROUNDS {
            for (client, served) in &mut open {
                client.write_all(&[b'a'; 10]).unwrap();
                assert_eq!(served.recv(), 10);
                let range = round * 10..round * 10 + 10;
                let label = format_args!("message {round}");
                probe.message(served.conn, Direction::Received, range, label);
                served.send(b"ok");
                client.read_exact(&mut [0; 2]).unwrap();
            }
        }
        for (client, served) in open {
            drop(client);
            served.close();
        }
    });
    assert_eq!(kinds(&file, "end"), 70);
}

#[test]
fn sockets_of_datagrams_play_back() {
    let file = plays_back(false, |probe, _| {
        let local = Address::from(([127, 0, 0, 1], 9));
        let peer = Address::from((Ipv4Addr::LOCALHOST, 40_000));
        for conn in [ConnId(7), ConnId(8)] {
            probe.datagrams(&Datagrams { conn, local: local.clone(), at: Stamp::now() });
        }
        for index in 0..100 {
            let at = Stamp::now();
            let datagram = Datagram {
                direction: if index % 3 == 0 { Direction::Sent } else { Direction::Received },
                index,
                start: at,
                end: Stamp(at.0 + 5),
                asked: 100,
                length: 120,
                taken: 100,
                digest: Some(digest(120, [&b"hello"[..]])),
                peer: Some(&peer).filter(|_| index % 2 == 0),
                result: if index == 50 { Err(111) } else { Ok(()) },
            };
            probe.datagram(ConnId(7), &datagram);
            let label = format_args!("number {index}");
            probe.message(ConnId(7), datagram.direction, index..index + 1, label);
        }
        let (at, to) = (Stamp::now(), Some(&peer));
        let offender = Some(Ipv4Addr::new(10, 0, 0, 1).into());
        probe.reported(ConnId(7), &Reported { at, errno: 111, to, offender });
        probe.closed(ConnId(7));
        talk_to_nobody(probe);
        probe.closed(ConnId(8));
    });
    assert_eq!((kinds(&file, "dgram"), kinds(&file, "dgram-error")), (100, 1));
}

/// Of what was never opened nothing is written.
fn talk_to_nobody(probe: &dyn Probe) {
    probe.message(ConnId(99), Direction::Sent, 0..1, format_args!("of nobody"));
    probe.closed(ConnId(99));
}

#[test]
fn what_had_not_ended_when_the_file_was_cut_comes_last() {
    let file = plays_back(false, |probe, listener| (1..3).for_each(|n| talk(probe, listener, n)));
    let close = file.find("{\"kind\":\"close\",\"conn\":2").unwrap();
    let cut = &file[..close + 20];
    let mut playback = Playback::new(Reader::new(cut.as_bytes()).unwrap());
    let open: Vec<(Option<ConnId>, bool)> = playback
        .by_ref()
        .map(|ended| match ended.unwrap() {
            Ended::Connection { history, open } => (history.conn, open),
            Ended::Datagrams(_) => panic!("there is none"),
        })
        .collect();
    assert!(open.contains(&(Some(ConnId(2)), true)), "{open:?}");
    assert_eq!(open.len(), 2);
    assert!(matches!(playback.ending(), Ending::Cut { .. }));
}

#[test]
fn a_full_disk_is_said_once_and_ends_the_recording_alone() {
    struct Full(Arc<Mutex<u32>>);
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            *self.0.lock().unwrap() += 1;
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<String>>>);
    impl Sink for Said {
        fn ended(&mut self, _: &History) {}
        fn ended_in_short(&mut self, _: &History) {}
        fn say(&mut self, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (said, tries, live) = (Said::default(), Arc::default(), Told::default());
    let mut options = Options { capture: false, ..Options::to(said.clone()) };
    let writer = Writer::to(Full(Arc::clone(&tries)), "full.jsonl");
    options.taps = vec![Box::new(writer), Box::new(live.clone())];
    let local: SocketAddr = listener.local_addr().unwrap();
    let eye = Eye::open(&[local], options).unwrap();
    let probe = eye.source().probe();
    (1..4).for_each(|number| talk(&*probe, &listener, number));
    drop(probe);
    eye.close();
    let line = "eye: full.jsonl: no storage space; nothing more is recorded, all else goes on";
    assert_eq!(*said.0.lock().unwrap(), [line]);
    assert_eq!(*tries.lock().unwrap(), 1);
    assert_eq!(live.0.lock().unwrap().len(), 3);
}
