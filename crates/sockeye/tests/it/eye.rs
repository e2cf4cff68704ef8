//! The eye over real connections: what it draws is what tshark sees, segment by segment.

use std::fs;
use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::ioctl_fionread;
use rustix::net::sockopt;

use crate::kit::client::Client;
use crate::kit::folder::{noise, sparse};
use crate::kit::ladder::Picture;
use crate::kit::server::{Server, output};
use crate::kit::wire::{Capture, Segment, Way};
use crate::kit::{DRIVERS, eventually, need, need_root};

/// What the drawings below are about.
const SMALL: usize = 1234;
const LARGE: usize = 300_000;

/// The client's part in a connection: the port it had, and how many bytes went each way.
struct Talk {
    port: u16,
    asked: u64,
    answered: Option<u64>,
}

impl Talk {
    fn of(stream: &TcpStream, asked: usize, answered: usize) -> Talk {
        let port = stream.local_addr().unwrap().port();
        Talk { port, asked: asked as u64, answered: Some(answered as u64) }
    }
}

/// Has the eye and tshark look at one connection to a server on each driver, and compares.
///
/// Each way by itself: a busy machine may hand the two observers neighbours in another order. The
/// ladder shows every segment tshark shows and none besides, and `code` as the verdict.
fn agree(test: &str, looks: &[&str], code: &str, talk: impl Fn(SocketAddr) -> Talk) {
    if !need_root(test) || !need(test, &["curl", "tshark"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), noise(1, SMALL)).unwrap();
    fs::write(folder.path().join("large"), noise(2, LARGE)).unwrap();
    sparse(&folder.path().join("huge"), 100_000_000);
    let servers = DRIVERS.map(|driver| {
        let arguments = ["--driver", driver, "--eye", "--width", "120"];
        Server::start(folder.path(), &[&arguments[..], looks].concat())
    });
    let capture = Capture::start(&servers.each_ref().map(|server| server.address.port()));
    let talks = servers.map(|server| {
        let Talk { port, asked, answered } = talk(server.address);
        // The first line of the verdict; the picture before it is there then.
        server.stderr.wait_for(&format!("{code}  127.0.0.1:{port}  "));
        let address = server.address;
        (Picture::of(&server.stop(), port), port, address.port(), [Some(asked), answered])
    });
    let captured = capture.end();
    for ((picture, client, server, bytes), driver) in talks.into_iter().zip(DRIVERS) {
        let theirs = captured.between(client, server);
        for way in [Way::ToServer, Way::ToClient] {
            let of_way = |all: &[Segment]| -> Vec<Segment> {
                all.iter().filter(|segment| segment.way == way).cloned().collect()
            };
            let text = &picture.text;
            assert_eq!(of_way(&picture.segments), of_way(&theirs), "{driver} {way:?}\n{text}");
        }
        shows_beginning_and_end(&picture);
        assert!(picture.verdict.starts_with(&format!("{code} 127.0.0.1:{client} ")), "{picture:?}");
        for (way, bytes) in [Way::ToServer, Way::ToClient].into_iter().zip(bytes) {
            let drawn = covered(&picture, way);
            assert_eq!(drawn, bytes.unwrap_or(drawn), "{driver} {way:?}\n{}", picture.text);
        }
    }
}

/// The handshake, and a FIN each way or a reset.
fn shows_beginning_and_end(picture: &Picture) {
    let text = &picture.text;
    let flags: Vec<&str> = picture.segments.iter().map(|segment| segment.flags.as_str()).collect();
    assert_eq!(flags[..3], ["SYN", "SYN+ACK", "ACK"], "{text}");
    let with = |flag: &str, way: Way| {
        let so = |segment: &&Segment| segment.way == way && segment.flags.contains(flag);
        picture.segments.iter().filter(so).count()
    };
    if with("RST", Way::ToServer) == 0 {
        assert_eq!((with("FIN", Way::ToServer), with("FIN", Way::ToClient)), (1, 1), "{text}");
    }
}

/// How many bytes from the first on are drawn without a gap.
fn covered(picture: &Picture, way: Way) -> u64 {
    let mut ranges: Vec<(u64, u64)> = picture
        .segments
        .iter()
        .filter(|segment| segment.way == way)
        .filter_map(|s| s.range)
        .collect();
    ranges.sort_unstable();
    ranges.into_iter().fold(0, |end, (start, stop)| if start <= end { end.max(stop) } else { end })
}

/// curl's one request for a path.
fn curl(server: SocketAddr, path: &str) -> Talk {
    let figures = "%{local_port} %{size_request} %{size_header} %{size_download}";
    let url = format!("http://{server}{path}");
    let said =
        output("curl", &["--silent", "--fail", "--output", "/dev/null", "-w", figures, &url]);
    let figures: Vec<u64> = said.split(' ').map(|figure| figure.parse().unwrap()).collect();
    Talk {
        port: figures[0].try_into().unwrap(),
        asked: figures[1],
        answered: Some(figures[2] + figures[3]),
    }
}

/// Reads until the server closes; how many bytes that was.
fn drained(client: &mut Client) -> usize {
    let mut all = Vec::new();
    client.stream.read_to_end(&mut all).unwrap()
}

const GET_SMALL: &str = "GET /small HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn a_small_file_for_curl() {
    agree("a_small_file_for_curl", &["--ascii"], "CIF", |server| {
        let talk = curl(server, "/small");
        assert!(talk.answered > Some(SMALL as u64));
        talk
    });
}

#[test]
fn a_small_file_for_curl_in_better_characters() {
    agree("a_small_file_for_curl_in_better_characters", &[], "CIF", |server| {
        curl(server, "/small")
    });
}

#[test]
fn a_file_of_several_offload_sized_segments() {
    agree("a_file_of_several_offload_sized_segments", &["--ascii"], "CIF", |server| {
        let talk = curl(server, "/large");
        assert!(talk.answered > Some(LARGE as u64));
        talk
    });
}

#[test]
fn three_requests_one_after_another() {
    agree("three_requests_one_after_another", &["--ascii"], "CIF", |server| {
        let mut client = Client::connect(server);
        let answers: usize = (0..3)
            .map(|_| {
                let answer = client.get("/small");
                answer.head.len() + answer.body.len()
            })
            .sum();
        Talk::of(&client.stream, 3 * GET_SMALL.len(), answers)
    });
}

#[test]
fn three_requests_in_one_write() {
    agree("three_requests_in_one_write", &["--ascii"], "CIF", |server| {
        let mut client = Client::connect(server);
        client.send(GET_SMALL.repeat(3));
        let answers: usize = (0..3)
            .map(|_| {
                let answer = client.answer();
                assert_eq!(answer.body, noise(1, SMALL));
                answer.head.len() + answer.body.len()
            })
            .sum();
        Talk::of(&client.stream, 3 * GET_SMALL.len(), answers)
    });
}

#[test]
fn a_close_by_the_server() {
    for request in [
        "GET /small HTTP/1.0\r\n\r\n",
        "GET /small HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    ] {
        agree("a_close_by_the_server", &["--ascii"], "SIF", |server| {
            let mut client = Client::connect(server);
            client.send(request);
            let count = drained(&mut client);
            Talk::of(&client.stream, request.len(), count)
        });
    }
}

#[test]
fn a_half_close_behind_the_request() {
    agree("a_half_close_behind_the_request", &["--ascii"], "CIF", |server| {
        let mut client = Client::connect(server);
        client.send(GET_SMALL);
        client.stream.shutdown(Shutdown::Write).unwrap();
        let count = drained(&mut client);
        assert!(count > SMALL);
        Talk::of(&client.stream, GET_SMALL.len(), count)
    });
}

#[test]
fn a_reset_in_the_middle_of_an_answer() {
    agree("a_reset_in_the_middle_of_an_answer", &["--ascii"], "CAR", |server| {
        let mut client = Client::connect_narrow(server);
        let request = "GET /huge HTTP/1.1\r\nHost: test\r\n\r\n";
        client.send(request);
        let (status, ..) = client.head();
        assert_eq!(status, 200);
        wait_until_full(&client.stream);
        // Closed so, it resets.
        sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
        Talk { answered: None, ..Talk::of(&client.stream, request.len(), 0) }
    });
}

/// Until nothing more comes: then nothing is on its way either, which would be reset once more.
fn wait_until_full(stream: &TcpStream) {
    let (mut full, mut same) = (0, 0);
    eventually("a full receive buffer", || {
        let now = ioctl_fionread(stream).unwrap();
        same = if now == full { same + 1 } else { 0 };
        full = now;
        (same > 5 && full > 0).then_some(())
    });
}
