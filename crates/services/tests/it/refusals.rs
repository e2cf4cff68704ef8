//! What is no request: the answer says why, arrives whole, and is the last one.

use std::time::Duration;

use sockeye_engine::DriverKind;
use sockeye_http::Limits;
use sockeye_services::http::SiteOptions;

use crate::support::{Folder, Server, Setup, dateless, on_every_driver, patiently, short};

const CLOSE: &str = "Connection: close\r\n";

/// Sends much more behind the refused head; a close that threw it away unread would answer with RST.
fn refused(driver: DriverKind, cases: &[(&str, &str, &str)]) {
    let folder = Folder::usual();
    let server = Server::start(driver, &folder);
    let more = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(10_000);
    for (head, status, detail) in cases {
        let expected = short(status, CLOSE, detail);
        assert_eq!(server.ask(format!("{head}{more}")), expected, "{head:?}");
        // Behind an honest request, too.
        let honest = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n";
        let first = folder.head("hello.txt", "text/plain; charset=utf-8", "") + "hello\n";
        assert_eq!(server.ask(format!("{honest}{head}{more}")), first + &expected, "{head:?}");
    }
}

#[test]
fn a_head_with_two_readings_is_refused() {
    const BAD: &str = "400 Bad Request";
    on_every_driver(|driver| {
        refused(
            driver,
            &[
                (
                    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
                    BAD,
                    "both Transfer-Encoding and Content-Length (RFC 9112 §6.1)",
                ),
                (
                    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
                    BAD,
                    "more than one Content-Length (RFC 9112 §6.3)",
                ),
                (
                    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\n",
                    BAD,
                    "invalid Content-Length (RFC 9110 §8.6)",
                ),
                (
                    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
                    BAD,
                    "invalid Content-Length (RFC 9110 §8.6)",
                ),
                (
                    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
                    BAD,
                    "chunked is not the final transfer coding (RFC 9112 §6.3)",
                ),
                (
                    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                    BAD,
                    "Transfer-Encoding in an HTTP/1.0 request (RFC 9112 §6.1)",
                ),
                (
                    "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
                    BAD,
                    "folded header line (RFC 9112 §5.2)",
                ),
                (
                    "GET / HTTP/1.1\nHost: h\n\n",
                    BAD,
                    "bare LF in the head: lines end with CRLF (RFC 9112 §2.2)",
                ),
                (
                    "GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n",
                    BAD,
                    "bare CR in the head (RFC 9112 §2.2)",
                ),
                (
                    "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
                    BAD,
                    "whitespace before the colon of a header line (RFC 9112 §5.1)",
                ),
                ("GET / HTTP/1.1\r\nA: b\r\n\r\n", BAD, "no Host (RFC 9112 §3.2)"),
                (
                    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                    BAD,
                    "more than one Host (RFC 9112 §3.2)",
                ),
                ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BAD, "invalid Host (RFC 9110 §7.2)"),
                (
                    "GET / HTTP/1.1\r\nHost: h\r\nA\0: b\r\n\r\n",
                    BAD,
                    "invalid character in a header name (RFC 9110 §5.1)",
                ),
                (
                    "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
                    BAD,
                    "fragment in the request-target (RFC 9110 §7.1)",
                ),
                (
                    "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
                    BAD,
                    "wrong form of request-target for the method (RFC 9112 §3.2)",
                ),
                ("GET /\r\n\r\n", BAD, "no HTTP version in the request-line (RFC 9112 §3)"),
                ("\x16\x03\x01\x02\0\x01", BAD, "invalid method (RFC 9110 §9.1)"),
            ],
        );
    });
}

#[test]
fn what_is_beyond_this_server_is_refused_with_its_own_status() {
    let target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "t".repeat(8192));
    let line = format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "v".repeat(65_536));
    let lines = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(128));
    let too_long = "431 Request Header Fields Too Large";
    on_every_driver(|driver| {
        refused(
            driver,
            &[
                (&target, "414 URI Too Long", "the request-target is too long (RFC 9110 §15.5.15)"),
                (&line, too_long, "the head is too long (RFC 6585 §5)"),
                (&lines, too_long, "too many header lines (RFC 6585 §5)"),
                (
                    "BREW / HTTP/1.1\r\nHost: h\r\n\r\n",
                    "501 Not Implemented",
                    "unknown method (RFC 9110 §9.1)",
                ),
                (
                    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                    "501 Not Implemented",
                    "unsupported transfer coding (RFC 9112 §6.1)",
                ),
                (
                    "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
                    "505 HTTP Version Not Supported",
                    "unsupported HTTP version (RFC 9110 §15.6.6)",
                ),
                (
                    "GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n",
                    "417 Expectation Failed",
                    "unknown expectation (RFC 9110 §10.1.1)",
                ),
            ],
        );
    });
}

#[test]
fn a_path_that_names_nothing_is_refused_and_the_connection_goes_on() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for (path, status, detail) in [
            ("/../etc/passwd", "400 Bad Request", "'..' in the path (RFC 3986 §5.2.4)"),
            ("/%2e%2e/x", "400 Bad Request", "'..' in the path (RFC 3986 §5.2.4)"),
            ("/%zz", "400 Bad Request", "malformed percent-escape in the path (RFC 3986 §2.1)"),
            ("/%00", "400 Bad Request", "NUL in the path"),
            ("/a%2Fb", "404 Not Found", "encoded slash in the path (RFC 3986 §2.2)"),
        ] {
            let response = client.get(path);
            assert_eq!(format!("{}{}", response.head, response.text()), short(status, "", detail));
        }
        assert_eq!(client.get("/hello.txt").text(), "hello\n");
    });
}

#[test]
fn methods_that_are_known_but_not_served_name_those_that_are() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for request in
            ["POST /hello.txt", "PUT /x", "DELETE /", "PATCH /", "TRACE /", "CONNECT h:443"]
        {
            client.send(format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n"));
            let response = client.response();
            let expected = short("405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS\r\n", "");
            assert_eq!(format!("{}{}", response.head, response.text()), expected, "{request}");
        }
        assert_eq!(client.get("/hello.txt").text(), "hello\n");
    });
}

/// A short time for one thing, and all the time for others.
fn patient_but_for(change: impl Fn(&mut SiteOptions)) -> Setup {
    let mut setup = Setup::default();
    // A head that never ends should run into its deadline, not into this.
    setup.site.limits = Limits { head_bytes: usize::MAX, ..Limits::default() };
    change(&mut setup.site);
    setup
}

const SHORT: Duration = Duration::from_millis(100);

#[test]
fn a_head_that_trickles_runs_into_its_deadline() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::with(driver, &folder, patient_but_for(|site| site.head = SHORT));
        let timed_out = short("408 Request Timeout", CLOSE, "the request did not come in time");
        let mut client = server.connect();
        client.send("GET /hello.txt HTTP/1.1\r\nA: ");
        assert_eq!(dateless(&client.rest()), timed_out);
        // The deadline is the head's: bytes that keep coming do not move it.
        let (mut client, mut other) = (server.connect(), server.connect());
        client.send("GET /hello.txt HTTP/1.1\r\nA: ");
        patiently(|| {
            client.send("b");
            other.get("/hello.txt");
            client.is_answered()
        });
        // What is sent behind the refusal does not cost the client the answer.
        client.send("b".repeat(100_000));
        assert_eq!(dateless(&client.rest()), timed_out);
        // Behind an answered request it begins with the first byte, not with the connection.
        let mut client = server.connect();
        assert_eq!(client.get("/hello.txt").text(), "hello\n");
        client.send("G");
        assert_eq!(dateless(&client.rest()), timed_out);
    });
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::with(driver, &folder, patient_but_for(|site| site.idle = SHORT));
        let mut client = server.connect();
        assert_eq!(client.rest(), b"");
        let mut client = server.connect();
        client.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().body.len(), 300_000);
        assert_eq!(client.rest(), b"");
    });
}

#[test]
fn a_body_that_does_not_come_ends_the_connection_without_a_second_answer() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::with(driver, &folder, patient_but_for(|site| site.body = SHORT));
        let answer = server.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1234");
        assert_eq!(answer, short("405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS\r\n", ""));
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let file = std::fs::File::create(folder.path().join("sparse")).expect("a file");
        file.set_len(64 << 20).expect("room");
        let server = Server::with(driver, &folder, patient_but_for(|site| site.write = SHORT));
        let mut client = crate::support::Client::connect_narrow(server.address);
        client.send("GET /sparse HTTP/1.1\r\nHost: h\r\n\r\n");
        server.wait_until_closed(&client);
        drop(client);
    });
}

#[test]
fn a_refused_client_that_does_not_close_is_given_up() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::with(driver, &folder, patient_but_for(|site| site.linger = SHORT));
        let mut client = server.connect();
        client.send("?\r\n\r\n");
        assert!(dateless(&client.rest()).starts_with("HTTP/1.1 400 "));
        server.wait_until_closed(&client);
        drop(client);
    });
}
