//! GET and HEAD of files, redirects, and how long a connection lasts.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::support::{Folder, Server, dateless, on_every_driver, pattern, short};

const TEXT: &str = "text/plain; charset=utf-8";
const CLOSE: &str = "Connection: close\r\n";

#[test]
fn a_file_is_sent_with_what_describes_it() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let answer = server.ask("GET /hello.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(answer, folder.head("hello.txt", TEXT, CLOSE) + "hello\n");
        let absolute =
            "GET http://other/hello.txt?q HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        assert_eq!(server.ask(absolute), answer);
    });
}

#[test]
fn head_says_what_get_would_and_sends_no_body() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        folder.file("index/index.html", b"<p>");
        let server = Server::start(driver, &folder);
        for path in ["/hello.txt", "/big.bin", "/index/", "/", "/index", "/none", "/%zz"] {
            let asked = |method: &str| {
                let line = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n");
                server.ask(line + "Connection: close\r\n\r\n")
            };
            let (get, head) = (asked("GET"), asked("HEAD"));
            let (get_head, _) = get.split_once("\r\n\r\n").expect("a head");
            assert_eq!(head, format!("{get_head}\r\n\r\n"), "{path}");
        }
    });
}

#[test]
fn files_around_the_largest_that_is_cached_arrive_whole() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let sizes = [0, 1, 2047, 2048, 65_535, 65_536, 65_537, 1_000_000];
        for size in sizes {
            folder.file(size.to_string(), &pattern(size));
        }
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for size in sizes.into_iter().chain(sizes.into_iter().rev()) {
            let response = client.get(&format!("/{size}"));
            let head = folder.head(&size.to_string(), "application/octet-stream", "");
            assert_eq!(response.head, head, "{size}");
            assert!(response.body == pattern(size), "content of {size}");
        }
    });
}

#[test]
fn a_folder_is_its_index_file_if_it_has_one() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("a/index.html", b"<p>index");
        let server = Server::start(driver, &folder);
        let response = server.get("/a/?query");
        assert_eq!(response.head, folder.head("a/index.html", "text/html; charset=utf-8", CLOSE));
        assert_eq!(response.text(), "<p>index");
        // A folder of that name is no index, and a file is no folder.
        folder.file("b/index.html/file", b"");
        let listing = server.get("/b/");
        assert!(listing.text().contains("href=\"./index.html/\"><bdi>index.html/</bdi>"));
        assert_eq!(server.get("/a/index.html/").status(), "404");
    });
}

#[test]
fn a_folder_without_its_slash_is_elsewhere_on_this_server() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("a b/c%/x", b"");
        folder.file("evil.example/x", b"");
        let server = Server::start(driver, &folder);
        for (path, location) in [
            ("/a%20b", "/a%20b/"),
            ("/a%20b/c%25", "/a%20b/c%25/"),
            ("/a%20b?x=1&y=//z", "/a%20b/?x=1&y=//z"),
            ("/a%20b?", "/a%20b/?"),
            ("//evil.example", "/evil.example/"),
            ("///evil.example?//x", "/evil.example/?//x"),
            ("/.//evil.example", "/evil.example/"),
        ] {
            let response = server.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
            let expected = format!(
                "HTTP/1.1 301 Moved Permanently\r\nDate: *\r\nLocation: {location}\r\n\
                 Content-Type: {TEXT}\r\nContent-Length: 22\r\n{CLOSE}\r\n301 Moved Permanently\n"
            );
            assert_eq!(response, expected, "{path}");
        }
    });
}

#[test]
fn a_connection_lasts_as_long_as_the_client_wants() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let head = |lines| folder.head("hello.txt", TEXT, lines);
        for (request, lines) in [
            ("HTTP/1.1\r\nHost: h", ""),
            ("HTTP/1.1\r\nHost: h\r\nConnection: keep-alive", ""),
            ("HTTP/1.0\r\nConnection: keep-alive", "Connection: keep-alive\r\n"),
            ("HTTP/1.0\r\nconnection: x, Keep-Alive", "Connection: keep-alive\r\n"),
        ] {
            let mut client = server.connect();
            for _ in 0..3 {
                client.send(format!("GET /hello.txt {request}\r\n\r\n"));
                let response = client.response();
                assert_eq!(
                    (&response.head, response.text()),
                    (&head(lines), "hello\n"),
                    "{request}"
                );
            }
            client.end();
            assert_eq!(client.rest(), b"", "{request}");
        }
        for request in [
            "HTTP/1.1\r\nHost: h\r\nConnection: close",
            "HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, close",
            "HTTP/1.0",
            "HTTP/1.0\r\nConnection: close",
        ] {
            let answer = server.ask(format!("GET /hello.txt {request}\r\n\r\n"));
            assert_eq!(answer, head(CLOSE) + "hello\n", "{request}");
        }
    });
}

#[test]
fn a_client_that_ends_its_side_gets_what_it_asked_for() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        client.send(
            "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\nGET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n",
        );
        client.end();
        assert_eq!(client.response().text(), "hello\n");
        assert!(client.response().body == pattern(300_000));
        assert_eq!(client.rest(), b"");
    });
}

#[test]
fn what_is_not_beneath_the_folder_or_no_file_is_not_found() {
    on_every_driver(|driver| {
        let outside = Folder::usual();
        let folder = Folder::usual();
        let link = |to: &str, name: &str| symlink(to, folder.path().join(name)).expect("a link");
        link(&outside.path().join("hello.txt").to_string_lossy(), "out");
        link(&outside.path().to_string_lossy(), "out-folder");
        link("../../../../../../etc", "up");
        link("loop", "loop");
        link("hello.txt", "in");
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("fifo"), 0o600.into())
            .expect("a FIFO");
        let server = Server::start(driver, &folder);
        assert_eq!(server.get("/in").text(), "hello\n");
        let long = format!("/{}", "n".repeat(300));
        for path in [
            "/none",
            "/hello.txt/",
            "/hello.txt/x",
            "/out",
            "/out-folder/",
            "/out-folder/hello.txt",
            "/up/passwd",
            "/loop",
            "/fifo",
            &long,
        ] {
            let answer = server.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
            assert_eq!(answer, short("404 Not Found", CLOSE, ""), "{path}");
        }
        let listing = server.get("/");
        for name in ["out", "out-folder", "up", "loop", "fifo"] {
            let item = format!("<span><bdi>{name}</bdi><small>");
            assert!(listing.text().contains(&item), "{name} is shown as what can't be had");
        }
        assert!(listing.text().contains("<a href=\"./in\"><bdi>in</bdi><small>link</small>"));
    });
}

#[test]
fn what_may_not_be_read_is_forbidden() {
    // Capabilities are a thread's own, and the server's threads inherit them.
    let mut sets = capabilities(None).expect("capget");
    sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
    set_capabilities(None, sets).expect("capset");
    on_every_driver(|driver| {
        let folder = Folder::new();
        let secret = folder.file("secret", b"");
        folder.file("locked/file", b"");
        folder.file("unlisted/file", b"open");
        for (path, mode) in [("secret", 0), ("locked", 0), ("unlisted", 0o111)] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path().join(path), mode).expect("ours");
        }
        let server = Server::start(driver, &folder);
        for path in ["/secret", "/locked/", "/locked/file", "/unlisted/"] {
            let answer = server.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
            assert_eq!(answer, short("403 Forbidden", CLOSE, ""), "{path}");
        }
        assert_eq!(server.get("/unlisted/file").text(), "open");
        assert!(secret.exists());
        for path in ["locked", "unlisted"] {
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder.path().join(path), mode).expect("ours");
        }
    });
}

#[test]
fn a_future_date_of_a_file_is_not_passed_on() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let path = folder.file("f", b"x");
        let file = std::fs::File::options().write(true).open(path).expect("it is there");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1_000_000);
        file.set_modified(later).expect("ours");
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        client.send("GET /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let raw = client.rest();
        let said = |name: &str| {
            let text = crate::support::text(&raw);
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)).expect(name).to_owned();
            sockeye_http::date::parse(line.as_bytes()).expect("a date")
        };
        assert!(said("Last-Modified: ") <= said("Date: "), "{}", dateless(&raw));
    });
}
