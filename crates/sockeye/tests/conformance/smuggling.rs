//! Requests that two programs in a chain could read differently: alone, and behind proxies.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::case::{Case, Step, unescape};
use super::peers::{self, Peer};
use super::reader::{Connection, Nothing};
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
    attack(proxy.address);
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
    attack(proxy.address);
    stop(&mut proxy, Signal::USR1);
    let told = fs::read_to_string(proxy.work.path().join("said")).unwrap();
    // The name of the server stands where a request was forwarded. What was malformed in its content
    // may have another status in front than behind; how many there were may not differ.
    let believed = told.lines().filter(|line| line.starts_with("one ")).count();
    assert!(believed > 2 * cases(FILE).len(), "{told}");
    assert_eq!(believed, tap.statuses().len(), "{told}");
    server.stop();
}

/// Sends every case through a proxy, each on a connection of its own, and behind each what an honest
/// client asks, which has to get its own answer.
fn attack(proxy: SocketAddr) {
    let matrix = cases(FILE);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = matrix.get(next.fetch_add(1, Ordering::Relaxed)) {
                    send(case, proxy);
                    for _ in 0..2 {
                        honest(case, proxy);
                    }
                }
            });
        }
    });
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

fn honest(case: &Case, proxy: SocketAddr) {
    let mut connection = Connection::open(proxy, PATIENCE);
    connection.send(b"GET /one.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    match connection.response(false) {
        Ok(response) => {
            let body = String::from_utf8_lossy(&response.body);
            assert_eq!((response.status, &*body), (200, "one\n"), "behind {}", case.name);
        }
        Err(nothing) => panic!("behind {}: {}", case.name, told(&nothing)),
    }
}

/// Has it end in peace, so that all it knows is written down.
fn stop(proxy: &mut Peer, signal: Signal) {
    kill_process(Pid::from_child(proxy.child()), signal).unwrap();
    eventually("the end of the proxy", || proxy.child().try_wait().unwrap());
}
