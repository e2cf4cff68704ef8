//! Metrics and health, on an endpoint of their own.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};

use rustix::process::Signal;

use crate::kit::client::{Client, get};
use crate::kit::folder::sparse;
use crate::kit::server::Server;

/// Asks at an abstract name, and returns what comes.
pub(crate) fn ask_unix(name: &str, path: &str) -> String {
    let mut stream =
        UnixStream::connect_addr(&UnixAddress::from_abstract_name(name).unwrap()).unwrap();
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Where a server says that it can be asked.
pub(crate) fn admin_of(server: &Server) -> SocketAddr {
    let said = server.stderr.wait_for("metrics and health on ");
    said.rsplit_once(" on ").unwrap().1.parse().unwrap()
}

/// The value of a metric with its labels.
fn value(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}:\n{metrics}")).parse().unwrap()
}

#[test]
fn metrics_count_what_went_on_in_the_format_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--admin", "127.0.0.1:0"]);
    let admin = admin_of(&server);
    let mut client = Client::connect(server.address);
    for _ in 0..3 {
        assert_eq!(client.get("/hello").status, 200);
    }
    assert_eq!(client.get("/nothing").status, 404);
    let answer = get(admin, "/metrics");
    assert!(answer.head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let metrics = answer.text();
    let of = |name: &str| value(metrics, name);
    assert_eq!(of("sockeye_http_requests_total{method=\"GET\",status=\"2xx\"}"), 3);
    assert_eq!(of("sockeye_http_requests_total{method=\"GET\",status=\"4xx\"}"), 1);
    assert_eq!(of("sockeye_http_sent_bytes_total"), 3 * 6 + 14);
    assert_eq!(of("sockeye_http_request_duration_seconds_count"), 4);
    assert_eq!(of("sockeye_http_request_duration_seconds_bucket{le=\"+Inf\"}"), 4);
    assert_eq!((of("sockeye_connections_total"), of("sockeye_connections_open")), (1, 1));
    // Every sample stands behind the help and the type of its family.
    let mut family = String::new();
    for line in metrics.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert_eq!(kind.split(' ').next(), Some(&*family), "{line}");
        } else {
            assert!(line.starts_with(&family), "{line} behind {family}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
    assert_eq!(get(server.address, "/metrics").status, 404, "the site has none of it");
    server.stop();
}

#[test]
fn it_is_well_to_its_end_and_ready_until_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    sparse(&folder.path().join("big"), 100_000_000);
    let server = Server::start(folder.path(), &["--admin", "0", "--grace", "60s"]);
    let admin = admin_of(&server);
    assert_eq!(get(admin, "/healthz").text(), "ok\n");
    assert_eq!((get(admin, "/readyz").status, get(admin, "/").status), (200, 404));
    let mut slow = Client::connect_narrow(server.address);
    slow.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(slow.head().0, 200);
    server.signal(Signal::TERM);
    server.stderr.wait_for("sockeye: stopping; ");
    assert_eq!((get(admin, "/readyz").status, get(admin, "/healthz").status), (503, 200));
    drop(slow);
    let (status, said) = server.ended();
    assert_eq!(status.code(), Some(0), "{said}");
}
