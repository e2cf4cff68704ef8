//! A graceful end in the middle of things.

use crate::support::{Client, Folder, Server, on_every_driver, pattern};

#[test]
fn a_stop_lets_a_download_finish() {
    let folder = Folder::usual();
    let large = pattern(20_000_000);
    folder.file("large", &large);
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = Client::connect_narrow(server.address);
        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head(), folder.head("large", "application/octet-stream", ""));
        server.ask_to_stop();
        assert!(client.exactly(large.len()) == large, "{driver}");
        assert_eq!(client.rest(), b"");
        drop(client);
        server.stop();
    });
}

#[test]
fn a_stop_answers_one_more_request_and_says_that_it_is_the_last() {
    let folder = Folder::usual();
    let large = pattern(20_000_000);
    folder.file("large", &large);
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = Client::connect_narrow(server.address);
        let small = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n";
        client.send(format!("GET /large HTTP/1.1\r\nHost: h\r\n\r\n{small}{small}{small}"));
        client.head();
        server.ask_to_stop();
        assert!(client.exactly(large.len()) == large, "{driver}");
        let last = client.response();
        let head = folder.head("hello.txt", "text/plain; charset=utf-8", "Connection: close\r\n");
        assert_eq!((last.head.as_str(), last.text()), (&*head, "hello\n"));
        assert_eq!(client.rest(), b"");
        drop(client);
        server.stop();
    });
}

#[test]
fn a_stop_waits_for_the_rest_of_a_head() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let (mut client, mut other) = (server.connect(), server.connect());
        client.send("GET /hello.txt HTTP/1.1\r\nHo");
        // More than one thread may serve, so this alone shows nothing; the answer below does.
        other.get("/hello.txt");
        server.wait_until_read(&client);
        server.ask_to_stop();
        assert_eq!(other.rest(), b"");
        client.send("st: h\r\n\r\n");
        let last = client.response();
        assert_eq!(last.text(), "hello\n");
        assert_eq!(last.header("Connection"), Some("close"));
        assert_eq!(client.rest(), b"");
        drop((client, other));
        server.stop();
    });
}

#[test]
fn the_last_answer_arrives_though_the_client_had_asked_for_more() {
    let folder = Folder::usual();
    let large = pattern(1_000_000);
    folder.file("large", &large);
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = Client::connect_narrow(server.address);
        client.send("GET /large HTTP/1.1\r\nHo");
        server.wait_until_read(&client);
        server.ask_to_stop();
        client.send("st: h\r\n\r\n");
        client.head();
        // The whole answer fits the server's send queue; a server that has closed answers this with RST.
        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.exactly(large.len()) == large, "{driver}");
        assert_eq!(client.rest(), b"");
        drop(client);
        server.stop();
    });
}
