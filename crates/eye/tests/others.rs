//! The eye on connections it has no part in, with real sockets: this test talks to itself and
//! reports nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::poll;
use rustix::time::Timespec;
use sockeye_eye::capture::Targets;
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Eye, Options, Sink, Snapshot, Viewer};
use sockeye_eye::verdict;
use sockeye_eye::view::{self, Style};
use sockeye_wire::tcp::State;
use support::may_capture;

struct Collect(Sender<History>);

impl Sink for Collect {
    fn ended(&mut self, history: &History) {
        let _ = self.0.send(history.clone());
    }

    fn ended_in_short(&mut self, history: &History) {
        let _ = self.0.send(history.clone());
    }

    fn say(&mut self, line: &str) {
        panic!("{line}");
    }
}

struct Onlooker {
    eye: Eye,
    viewer: Viewer,
    ended: Receiver<History>,
}

impl Onlooker {
    fn at(address: SocketAddr, capture: bool) -> Onlooker {
        let (told, ended) = channel();
        let viewer = Viewer::new();
        let options =
            Options { capture, viewer: Some(viewer.clone()), ..Options::to(Collect(told)) };
        let eye = Eye::open(Targets::others(&[address]), options).unwrap();
        assert_eq!(eye.missing(), None);
        Onlooker { eye, viewer, ended }
    }

    /// Looks until what is open is so.
    fn look<T>(&self, number: Option<u64>, mut so: impl FnMut(Snapshot) -> Option<T>) -> T {
        for _ in 0..3000 {
            if let Some(found) = self.viewer.look(number).and_then(&mut so) {
                return found;
            }
            poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 })).unwrap();
        }
        panic!("it is not seen");
    }
}

/// A question of 5 bytes and an answer of 11.
fn talk(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    server.write_all(b"hello there").unwrap();
    client.read_exact(&mut [0; 11]).unwrap();
}

#[test]
fn a_connection_of_others_is_seen_from_its_syn_to_its_last_ack() {
    if !may_capture("a_connection_of_others_is_seen_from_its_syn_to_its_last_ack") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let onlooker = Onlooker::at(listener.local_addr().unwrap(), true);
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    talk(&mut client, &mut server);
    let number = onlooker.look(None, |snapshot| {
        let row = snapshot.rows.first()?;
        (row.bytes == [5, 11]).then_some(row.number)
    });
    onlooker.look(Some(number), |snapshot| {
        let open = snapshot.selected?;
        assert!(view::picture(&open, &Style::default()).contains("is still open"));
        Some(())
    });
    drop(client);
    server.read_exact(&mut [0]).unwrap_err();
    drop(server);
    let history = onlooker.ended.recv().unwrap();
    assert!(history.neutral && history.captured && history.conn.is_none());
    assert_eq!((history.role, history.number), (sockeye_engine::probe::Role::Server, number));
    assert_eq!(history.peer, peer.into());
    assert_eq!(history.course.reached, [5, 11]);
    let line = verdict::line(&history);
    assert!(line.contains("the client closed first, gracefully"), "{line}");
    assert!(line.contains("TIME-WAIT at the client"), "{line}");
    let picture = view::picture(&history, &Style::default());
    assert!(picture.contains("SYN-SENT") && !picture.contains("here"), "{picture}");
    onlooker.look(None, |snapshot| snapshot.rows.is_empty().then_some(()));
    onlooker.eye.close();
    assert_eq!(onlooker.ended.iter().count(), 0);
}

#[test]
fn a_connection_that_was_open_before_is_listed_at_once_and_drawn_from_the_middle() {
    let name = "a_connection_that_was_open_before_is_listed_at_once_and_drawn_from_the_middle";
    if !may_capture(name) {
        return;
    }
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let onlooker = Onlooker::at(address, true);
    onlooker.look(None, |snapshot| {
        let row = snapshot.rows.first()?;
        assert_eq!(row.states, [Some(State::Established); 2]);
        Some(())
    });
    talk(&mut client, &mut server);
    onlooker.look(None, |snapshot| (snapshot.rows.first()?.bytes == [5, 11]).then_some(()));
    // Looking on ends while it is open.
    onlooker.eye.close();
    let history = onlooker.ended.recv().unwrap();
    let line = verdict::line(&history);
    assert!(line.contains("is still open"), "{line}");
    assert!(line.contains("begun before the eye looked"), "{line}");
}

#[test]
fn without_packets_the_kernel_is_asked_about_sockets_of_others() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let onlooker = Onlooker::at(listener.local_addr().unwrap(), false);
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    talk(&mut client, &mut server);
    onlooker.look(None, |snapshot| {
        let row = snapshot.rows.first()?;
        (row.bytes == [5, 11] && row.states == [Some(State::Established); 2]).then_some(())
    });
    drop(client);
    server.read_exact(&mut [0]).unwrap_err();
    drop(server);
    let history = onlooker.ended.recv().unwrap();
    assert!(history.neutral && !history.captured);
    let line = verdict::line(&history);
    assert!(line.contains("the client closed first"), "{line}");
    assert!(line.contains("5 B from the client, 11 B from the server"), "{line}");
    assert!(line.contains("without packets"), "{line}");
    let picture = view::picture(&history, &Style::default());
    assert!(picture.contains("ESTABLISHED") && picture.contains("when it was asked"), "{picture}");
    onlooker.eye.close();
}
