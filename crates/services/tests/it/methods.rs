//! Methods other than GET and HEAD: what may be done, and what is said of it.

use sockeye_services::http::SiteOptions;

use crate::support::{Folder, Server, Setup, on_every_driver, short};

const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";

fn options(head: &str) -> String {
    format!("HTTP/1.1 204 No Content\r\nDate: *\r\n{head}\r\n")
}

#[test]
fn options_tells_what_may_be_done_with_a_file_a_folder_and_the_server() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        std::fs::create_dir(folder.path().join("sub")).expect("a folder");
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for target in ["*", "/hello.txt", "/", "/sub", "/sub/", "http://h/hello.txt?q"] {
            client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert_eq!(client.head(), options(ALLOW), "{target}");
        }
        // Its content is skipped.
        client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.head(), options(ALLOW));
        assert_eq!(client.get("/hello.txt").text(), "hello\n");
        let asked = "OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        assert_eq!(server.ask(asked), options(&format!("{ALLOW}Connection: close\r\n")));
    });
}

#[test]
fn options_of_what_is_not_there_is_the_answer_that_get_has() {
    let folder = Folder::usual();
    let server = Server::start(sockeye_engine::DriverKind::EpollEdge, &folder);
    let mut client = server.connect();
    for (target, status) in [
        ("/nothing", "404"),
        ("/hello.txt/", "404"),
        ("/hello.txt/more", "404"),
        ("/../hello.txt", "400"),
        ("/%zz", "400"),
    ] {
        client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(client.response().status(), status, "{target}");
    }
}

#[test]
fn a_method_that_is_known_and_not_served_is_405_with_allow_and_the_connection_goes_on() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for line in [
            "POST /hello.txt",
            "PUT /new",
            "DELETE /hello.txt",
            "PATCH /",
            "QUERY /",
            "TRACE /",
            "TRACE /nothing",
            "CONNECT example.com:443",
        ] {
            client.send(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
            let response = client.response();
            let answer = format!("{}{}", response.head, response.text());
            assert_eq!(answer, short("405 Method Not Allowed", ALLOW, ""), "{line}");
        }
        assert_eq!(client.get("/hello.txt").text(), "hello\n");
    });
}

#[test]
fn trace_shows_the_request_without_its_secrets_if_it_is_asked_for() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let site = SiteOptions { trace: true, ..Setup::default().site };
        let server = Server::with(driver, &folder, Setup { site, ..Setup::default() });
        let mut client = server.connect();
        client.send(
            "TRACE /a HTTP/1.1\r\nHost: h\r\nCookie: secret\r\nAuthorization: secret\r\nX: y\r\n\r\n",
        );
        let response = client.response();
        assert_eq!(response.status(), "200");
        assert_eq!(response.header("Content-Type"), Some("message/http"));
        assert_eq!(response.text(), "TRACE /a HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n");
        client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head(), options("Allow: GET, HEAD, OPTIONS, TRACE\r\n"));
        client.send("TRACE /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().status(), "400");
        assert_eq!(client.get("/hello.txt").text(), "hello\n");
    });
}
