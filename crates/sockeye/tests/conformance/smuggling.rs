//! Requests that two programs in a chain could read differently: alone, and behind proxies.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::case::{Case, Step, unescape};
use super::peers::{self, Peer};
use super::reader::{Connection, Nothing, Response};
use super::run::{Known, told};
use super::tap::Tap;
use super::{all_outcomes, cases, failures};
use crate::kit::{PATIENCE, eventually, need};

const FILE: &str = "smuggling.txt";

/// Each has one answer: that of its one reading, or a refusal and the end of the connection.
fn no_reading_but_one(driver: &str) {
    let folder = peers::folder();
    let server = peers::sockeye(folder.path(), driver);
    let matrix = cases(FILE);
    assert!(matrix.len() >= 60, "{}", matrix.len());
    let outcomes = all_outcomes(&matrix, server.address, &Known::default(), PATIENCE);
    assert_eq!(failures(&matrix, &outcomes), "");
    server.stop();
}

on_every_driver!(no_reading_but_one);

#[test]
fn nginx_in_front_and_this_server_agree_on_every_request() {
    if !need("agreement with nginx", &["nginx"]) {
        return;
    }
    let folder = peers::folder();
    let server = peers::sockeye(folder.path(), "epoll-edge");
    let tap = Tap::before(server.address);
    // What is not whole after a second never will be.
    let http = format!(
        "upstream behind {{ server {}; keepalive 1; }}\nlog_format told '$upstream_status';\n\
         client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s; \
         lingering_timeout 1s;",
        tap.address
    );
    let site = "access_log told.log told;\nlocation / { proxy_pass http://behind; \
                proxy_http_version 1.1; proxy_set_header Connection \"\"; }";
    let mut proxy = Peer::nginx_with(&http, site);
    assert_eq!(attack(proxy.address), Vec::<String>::new());
    stop(&mut proxy, Signal::QUIT);
    let told = fs::read_to_string(proxy.work.path().join("told.log")).unwrap();
    // A request that nginx answered itself has none; one it sent again has two.
    let mut believed: Vec<u16> =
        told.split([',', '\n', ' ']).filter_map(|status| status.parse().ok()).collect();
    let mut answered = tap.statuses();
    believed.sort_unstable();
    answered.sort_unstable();
    assert!(believed.len() > 2 * cases(FILE).len(), "{told}");
    assert_eq!(believed, answered, "what nginx was told of, and what was answered");
    server.stop();
}

#[test]
fn haproxy_in_front_and_this_server_agree_on_every_request() {
    if !need("agreement with haproxy", &["haproxy"]) {
        return;
    }
    let folder = peers::folder();
    let server = peers::sockeye(folder.path(), "epoll-edge");
    let tap = Tap::before(server.address);
    let mut proxy = Peer::haproxy(tap.address, "1s");
    assert_eq!(attack(proxy.address), Vec::<String>::new());
    stop(&mut proxy, Signal::USR1);
    let told = fs::read_to_string(proxy.work.path().join("said")).unwrap();
    // The name of the server stands where a request was forwarded. What was malformed in its content
    // may have another status in front than behind; how many there were may not differ.
    let believed = told.lines().filter(|line| line.starts_with("one ")).count();
    assert!(believed > 2 * cases(FILE).len(), "{told}");
    assert_eq!(believed, tap.statuses().len(), "{told}");
    server.stop();
}

/// A server that takes content for the next request. Were the two tests above unable to fail, they
/// would not notice it either.
#[test]
fn a_server_that_disagrees_with_its_proxy_is_found_out() {
    if !need("a server that disagrees", &["nginx"]) {
        return;
    }
    let tap = Tap::before(careless());
    let http = format!(
        "upstream behind {{ server {}; keepalive 1; }}\nclient_header_timeout 1s; \
         client_body_timeout 1s; keepalive_timeout 1s; lingering_timeout 1s;",
        tap.address
    );
    let site = "location / { proxy_pass http://behind; proxy_http_version 1.1; \
                proxy_set_header Connection \"\"; }";
    let proxy = Peer::nginx_with(&http, &format!("access_log off; {site}"));
    // Whether nginx uses the connection again that this was said on depends on how it was cut.
    let wrong = eventually("an answer that is not its own", || {
        let mut connection = Connection::open(proxy.address, PATIENCE);
        let content = "GET /two.txt HTTP/1.1\r\nHost: h\r\nX-A: ";
        let length = content.len();
        let head = format!("POST /one.txt HTTP/1.1\r\nHost: h\r\nContent-Length: {length}");
        connection.send(format!("{head}\r\n\r\n{content}").as_bytes());
        connection.response(false).unwrap();
        honest("content", proxy.address).err()
    });
    assert!(wrong.contains("two"), "{wrong}");
}

/// Answers every head that comes, whatever announces content, with the name it asks for.
fn careless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    received.extend_from_slice(&buffer[..count]);
                    while let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                        let head: Vec<u8> = received.drain(..end + 4).collect();
                        let two = head.windows(8).any(|part| part == b"/two.txt");
                        let body = if two { "two\n" } else { "one\n" };
                        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{body}");
                        let _ = stream.write_all(answer.as_bytes());
                    }
                }
            });
        }
    });
    address
}

/// Sends every case through a proxy, each on a connection of its own, and behind each what an honest
/// client asks, which has to get its own answer; those who did not.
fn attack(proxy: SocketAddr) -> Vec<String> {
    let matrix = cases(FILE);
    let wrong = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = matrix.get(next.fetch_add(1, Ordering::Relaxed)) {
                    send(case, proxy);
                    for _ in 0..2 {
                        if let Err(why) = honest(&case.name, proxy) {
                            wrong.lock().unwrap().push(why);
                        }
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// Until the proxy has had enough of it.
fn send(case: &Case, proxy: SocketAddr) {
    let mut connection = Connection::open(proxy, PATIENCE);
    for step in &case.steps {
        if let Step::Send(text) = step {
            connection.send(&unescape(text));
        }
    }
    loop {
        match connection.end() {
            Nothing::Closed => return,
            Nothing::NoHttp(_) => connection.forget(),
            Nothing::Silent => panic!("{}: the proxy neither answers nor closes", case.name),
        }
    }
}

fn honest(behind: &str, proxy: SocketAddr) -> Result<(), String> {
    let mut connection = Connection::open(proxy, PATIENCE);
    connection.send(b"GET /one.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    match connection.response(false) {
        Ok(response) if response.status == 200 && response.body == b"one\n" => Ok(()),
        Ok(Response { status, body, .. }) => {
            Err(format!("behind {behind}: {status} {}", body.escape_ascii()))
        }
        Err(nothing) => Err(format!("behind {behind}: {}", told(&nothing))),
    }
}

/// Has it end in peace, so that all it knows is written down.
fn stop(proxy: &mut Peer, signal: Signal) {
    kill_process(Pid::from_child(proxy.child()), signal).unwrap();
    eventually("the end of the proxy", || proxy.child().try_wait().unwrap());
}
