//! Clients that have the file already.

use crate::support::{Folder, Server, on_every_driver, short, vary};

const TEXT: &str = "text/plain; charset=utf-8";
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

#[test]
fn what_a_client_has_is_not_sent_again() {
    let folder = Folder::usual();
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        server.connect().settle("/big.bin");
        for (name, kind) in [("hello.txt", TEXT), ("big.bin", "application/octet-stream")] {
            let tag = folder.tag(name);
            let mut client = server.connect();
            let unchanged = format!(
                "HTTP/1.1 304 Not Modified\r\nDate: *\r\nLast-Modified: {DATE}\r\nETag: {tag}\r\n{}\r\n",
                vary(kind)
            );
            let failed = short("412 Precondition Failed", "", "");
            let whole = folder.head(name, kind, "");
            for (condition, expected) in [
                (format!("If-None-Match: {tag}"), &unchanged),
                (format!("If-None-Match: W/{tag}"), &unchanged),
                (format!("If-None-Match: \"x\", {tag}"), &unchanged),
                ("If-None-Match: *".to_owned(), &unchanged),
                (format!("If-Modified-Since: {DATE}"), &unchanged),
                ("If-None-Match: \"x\"".to_owned(), &whole),
                (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {DATE}"), &whole),
                (format!("If-Modified-Since: {BEFORE}"), &whole),
                ("If-Modified-Since: yesterday".to_owned(), &whole),
                (format!("If-Match: {tag}"), &whole),
                (format!("If-Unmodified-Since: {DATE}"), &whole),
                ("If-Match: \"x\"".to_owned(), &failed),
                (format!("If-Match: W/{tag}"), &failed),
                (format!("If-Unmodified-Since: {BEFORE}"), &failed),
                // A condition on a part that is not asked for changes nothing.
                (format!("If-Range: {tag}"), &whole),
            ] {
                for method in ["GET", "HEAD"] {
                    client.send(format!(
                        "{method} /{name} HTTP/1.1\r\nHost: h\r\n{condition}\r\n\r\n"
                    ));
                    let response = match method {
                        "HEAD" => client.head(),
                        _ => {
                            let response = client.response();
                            let body = if expected == &whole { "" } else { response.text() };
                            response.head.clone() + body
                        }
                    };
                    let (head, _) = expected.split_once("\r\n\r\n").expect("a head");
                    let expected =
                        if method == "HEAD" { &format!("{head}\r\n\r\n") } else { expected };
                    assert_eq!(&response, expected, "{method} {name} {condition}");
                }
            }
            client.end();
            assert_eq!(client.rest(), b"");
        }
    });
}

#[test]
fn conditions_say_nothing_about_what_is_not_there() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let lines = "If-Match: \"x\"\r\nIf-None-Match: *\r\n";
        let answer = server.ask(format!("GET /none HTTP/1.0\r\n{lines}\r\n"));
        assert_eq!(answer, short("404 Not Found", "Connection: close\r\n", ""));
        let answer = server.ask(format!("POST /hello.txt HTTP/1.0\r\n{lines}\r\n"));
        let expected = "Allow: GET, HEAD, OPTIONS\r\nConnection: close\r\n";
        assert_eq!(answer, short("405 Method Not Allowed", expected, ""));
    });
}
