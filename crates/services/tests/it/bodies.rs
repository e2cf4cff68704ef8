//! Requests that bring something, which nobody here wants.

use crate::support::{Folder, Server, on_every_driver, short};

const CLOSE: &str = "Connection: close\r\n";
const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";

fn refused(lines: &str) -> String {
    short("405 Method Not Allowed", &format!("{ALLOW}{lines}"), "")
}

#[test]
fn a_body_is_skipped_and_the_connection_goes_on() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        let long = "x".repeat(1024 * 1024);
        let chunks = format!("8000\r\n{}\r\n", "y".repeat(0x8000)).repeat(32);
        for body in [
            "Content-Length: 0\r\n\r\n".to_owned(),
            "Content-Length: 5\r\n\r\nhello".to_owned(),
            format!("Content-Length: {}\r\n\r\n{long}", long.len()),
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: t\r\n\r\n".to_owned(),
            format!("Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
        ] {
            for (method, answer) in [("POST", refused("")), ("DELETE", refused(""))] {
                client.send(format!("{method} /hello.txt HTTP/1.1\r\nHost: h\r\n{body}"));
                let response = client.response();
                assert_eq!(format!("{}{}", response.head, response.text()), answer);
            }
            client.send(format!("GET /hello.txt HTTP/1.1\r\nHost: h\r\n{body}"));
            assert_eq!(client.response().text(), "hello\n");
        }
        assert_eq!(client.get("/hello.txt").text(), "hello\n");
    });
}

#[test]
fn the_answer_does_not_wait_for_the_body() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.response().status(), "405");
        client.send("12345GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().text(), "hello\n");
    });
}

#[test]
fn a_client_that_waits_for_100_continue_is_answered_at_once_and_need_not_send() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let head =
            "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(server.ask(head), refused(CLOSE));
        // One that sends all the same gets the answer all the same.
        assert_eq!(server.ask(format!("{head}123456789")), refused(CLOSE));
        // Without a body there is nothing to wait for.
        let mut client = server.connect();
        client.send("GET /hello.txt HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(client.response().text(), "hello\n");
        assert_eq!(client.get("/hello.txt").text(), "hello\n");
    });
}

#[test]
fn a_body_that_is_too_long_costs_the_connection_but_not_the_answer() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let part = "z".repeat(512 * 1024);
        let length = format!("Content-Length: {}", 1024 * 1024 + 1);
        for head in [length.as_str(), "Content-Length: 18446744073709551615"] {
            let sent = format!("POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n{part}");
            assert_eq!(server.ask(sent), refused(CLOSE), "{head}");
        }
        // How long a chunked body is shows only when the answer is out.
        let chunk = format!("80000\r\n{part}\r\n").repeat(3);
        let sent =
            format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
        assert_eq!(server.ask(sent), refused(""));
    });
}

#[test]
fn a_body_that_breaks_its_framing_ends_the_connection_behind_the_answer() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let smuggled = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n";
        for body in [
            "x\r\n",
            "5\r\nhelloX",
            "5\nhello\r\n",
            "-1\r\n",
            "0\r\nT t\r\n",
            "10000000000000000\r\n",
        ] {
            assert_eq!(server.ask(format!("{head}{body}{smuggled}")), refused(""), "{body:?}");
        }
    });
}

#[test]
fn a_body_before_an_announced_end_is_read_so_that_the_answer_arrives() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let body = "b".repeat(700_000);
        let sent = format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(server.ask(sent), refused(CLOSE));
    });
}
