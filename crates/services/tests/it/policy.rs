//! What is there for whom: hidden names, links, fall-backs, error pages, hosts, headers, passwords.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use sockeye_engine::DriverKind;
use sockeye_services::http::files::Symlinks;
use sockeye_services::http::{Cors, HeaderRule, Site, Users};

use crate::support::{Client, Folder, Response, Server, Setup, on_every_driver};

const DRIVER: DriverKind = DriverKind::EpollEdge;

/// bcrypt with few rounds of "secret".
const HASH: &str = "$2b$04$AlWBC1NBHsNSaCyvdhbGZOQ/gE8eMy9e7Srm7nh2koRgTiZ8cS5E2";

fn ask(client: &mut Client, path: &str, lines: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n"));
    client.response()
}

#[test]
fn names_with_a_dot_are_there_only_if_that_is_wanted() {
    let folder = Folder::new();
    for name in [".env", ".git/config", "d/.x/y", ".well-known/acme"] {
        folder.file(name, b"it");
    }
    for hidden in [false, true] {
        let mut setup = Setup::default();
        setup.site.files.hidden = hidden;
        let server = Server::with(DRIVER, &folder, setup);
        let expected = if hidden { "200" } else { "404" };
        for path in ["/.env", "/.git/config", "/%2eenv", "/d/.x/y", "/.git/"] {
            assert_eq!(server.get(path).status(), expected, "{path}");
        }
        assert_eq!(server.get("/.well-known/acme").status(), "200");
        assert_eq!(server.get("/").text().contains(".env"), hidden);
    }
}

#[test]
fn links_lead_as_far_as_the_policy_says() {
    let (folder, outside) = (Folder::new(), Folder::new());
    folder.file("d/a", b"in");
    let secret = outside.file("a", b"out");
    symlink("d/a", folder.path().join("inner")).expect("a link");
    symlink("d", folder.path().join("way")).expect("a link");
    symlink(secret, folder.path().join("outer")).expect("a link");
    symlink(outside.path(), folder.path().join("away")).expect("a link");
    symlink("nowhere", folder.path().join("broken")).expect("a link");
    symlink("self", folder.path().join("self")).expect("a link");
    for (policy, [inner, outer]) in [
        (Symlinks::Beneath, ["200", "404"]),
        (Symlinks::Follow, ["200", "200"]),
        (Symlinks::Never, ["404", "404"]),
    ] {
        let mut setup = Setup::default();
        setup.site.files.symlinks = policy;
        let server = Server::with(DRIVER, &folder, setup);
        for (path, status) in [
            ("/d/a", "200"),
            ("/inner", inner),
            ("/way/a", inner),
            ("/outer", outer),
            ("/away/a", outer),
            ("/broken", "404"),
            ("/self", "404"),
            ("/", "200"),
        ] {
            assert_eq!(server.get(path).status(), status, "{policy:?} {path}");
        }
    }
}

#[test]
fn an_application_with_one_page_answers_for_its_pages_and_not_for_files() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("index.html", b"app");
        folder.file("d/x.js", b"script");
        let mut setup = Setup::default();
        setup.site.files.fallback = Some("index.html".to_owned());
        let server = Server::with(driver, &folder, setup);
        for (path, status, text) in [
            ("/", "200", "app"),
            ("/users/7", "200", "app"),
            ("/users/7/", "200", "app"),
            ("/d/x.js", "200", "script"),
        ] {
            let response = server.get(path);
            assert_eq!((response.status(), response.text()), (status, text), "{path}");
        }
        assert_eq!(server.get("/d/y.js").status(), "404");
        // What comes into being takes its place.
        let mut client = server.connect();
        assert_eq!(client.get("/late").text(), "app");
        folder.file("late", b"here");
        assert_eq!(client.get("/late").text(), "here");
    });
}

#[test]
fn the_first_index_that_is_there_stands_for_its_folder() {
    let folder = Folder::new();
    folder.file("index.htm", b"second");
    let mut setup = Setup::default();
    setup.site.files.index = vec!["index.html".to_owned(), "index.htm".to_owned()];
    let server = Server::with(DRIVER, &folder, setup);
    let mut client = server.connect();
    client.settle("/index.htm");
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "second");
    }
    folder.file("index.html", b"first");
    assert_eq!(client.get("/").text(), "first");
}

#[test]
fn errors_have_the_pages_of_the_site() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("e/404.html", b"<h1>gone</h1>");
        let mut setup = Setup::default();
        setup.site.files.error_page("404=e/404.html").expect("a page");
        setup.site.files.error_page("416=e/none.html").expect("a page");
        let server = Server::with(driver, &folder, setup);
        let mut client = server.connect();
        for _ in 0..2 {
            let response = client.get("/none");
            assert_eq!((response.status(), response.text()), ("404", "<h1>gone</h1>"));
            assert_eq!(response.header("Content-Type"), Some("text/html; charset=utf-8"));
        }
        client.send("HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("Content-Length: 13\r\n"));
        // A page that is not there is no reason to say nothing.
        let range = ask(&mut client, "/e/404.html", "Range: bytes=99-\r\n");
        assert_eq!((range.status(), range.header("Content-Range")), ("416", Some("bytes */13")));
    });
}

#[test]
fn times_that_builds_pin_neither_hide_changes_nor_say_anything() {
    use std::io::{Seek as _, Write as _};
    use std::time::{Duration, UNIX_EPOCH};
    on_every_driver(|driver| {
        let folder = Folder::new();
        let path = folder.file("a", b"one");
        let mut file = std::fs::File::options().write(true).open(path).expect("ours");
        let pin = |file: &std::fs::File| {
            file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).expect("ours");
        };
        pin(&file);
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        client.settle("/a");
        let one = client.get("/a");
        assert_eq!(one.header("Last-Modified"), None);
        let tag = one.header("ETag").expect("a tag").to_owned();
        // Same inode, same size, same time.
        file.rewind().expect("a file");
        file.write_all(b"two").expect("room");
        pin(&file);
        let since = "If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT\r\n";
        for condition in [format!("If-None-Match: {tag}\r\n"), since.to_owned()] {
            let two = ask(&mut client, "/a", &condition);
            assert_eq!((two.status(), two.text()), ("200", "two"), "{condition}");
            assert_ne!(two.header("ETag"), Some(&*tag));
        }
        let part = format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n");
        assert_eq!(ask(&mut client, "/a", &part).text(), "two");
    });
}

#[test]
fn a_host_has_a_folder_of_its_own() {
    on_every_driver(|driver| {
        let (first, second) = (Folder::new(), Folder::new());
        first.file("a", b"first");
        second.file("a", b"second");
        let setup = Setup::default();
        let open = |folder: &Folder| Site::open(folder.path(), setup.site.clone(), |_| ());
        let mut site = open(&first).expect("a folder");
        site.add_host("Docs.example", open(&second).expect("a folder"));
        let server = Server::over(driver, site, setup);
        let mut client = server.connect();
        client.settle("/a");
        for _ in 0..3 {
            for (host, text) in [
                ("docs.example", "second"),
                ("DOCS.EXAMPLE:8000", "second"),
                ("other.example", "first"),
                ("xdocs.example", "first"),
            ] {
                client.send(format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n"));
                assert_eq!(client.response().text(), text, "{host}");
            }
            client.send("GET http://docs.example/a HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.response().text(), "second");
        }
    });
}

#[test]
fn headers_follow_the_rules_in_all_answers() {
    let folder = Folder::new();
    folder.file("assets/a.txt", b"hello");
    folder.file("b.txt", b"hello");
    let mut setup = Setup::default();
    for rule in [
        "/: X-Frame-Options: DENY",
        "/assets/**: Cache-Control: max-age=9",
        "b.txt: X-Frame-Options:",
    ] {
        setup.site.rules.headers.push(rule.parse::<HeaderRule>().expect(rule));
    }
    let server = Server::with(DRIVER, &folder, setup);
    let mut client = server.connect();
    client.settle("/b.txt");
    let tag = folder.tag("assets/a.txt");
    for _ in 0..2 {
        for lines in [
            String::new(),
            "Range: bytes=0-1\r\n".to_owned(),
            "Accept-Encoding: gzip\r\n".to_owned(),
            format!("If-None-Match: {tag}\r\n"),
        ] {
            let response = ask(&mut client, "/assets/a.txt", &lines);
            assert_eq!(response.header("X-Frame-Options"), Some("DENY"), "{lines}");
            assert_eq!(response.header("Cache-Control"), Some("max-age=9"), "{lines}");
        }
        let other = client.get("/b.txt");
        assert_eq!((other.header("X-Frame-Options"), other.header("Cache-Control")), (None, None));
        assert_eq!(client.get("/").header("X-Frame-Options"), Some("DENY"));
    }
}

#[test]
fn pages_of_other_origins_read_what_they_may() {
    let folder = Folder::usual();
    let mut setup = Setup::default();
    setup.site.rules.cors.allow("https://app.example").expect("an origin");
    let server = Server::with(DRIVER, &folder, setup);
    let mut client = server.connect();
    client.settle("/big.bin");
    for path in ["/hello.txt", "/big.bin", "/"] {
        for (origin, allowed) in [
            ("Origin: https://app.example\r\n", Some("https://app.example")),
            ("Origin: https://evil.example\r\n", None),
            ("", None),
        ] {
            for _ in 0..2 {
                let response = ask(&mut client, path, origin);
                assert_eq!(response.header("Access-Control-Allow-Origin"), allowed, "{path}");
                assert!(response.head.contains("\r\nVary: Origin\r\n"), "{path} {origin}");
            }
        }
    }
    client.send(
        "OPTIONS /x HTTP/1.1\r\nHost: h\r\nOrigin: https://app.example\r\n\
         Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a\r\n\r\n",
    );
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
    assert!(head.contains("\r\nAccess-Control-Allow-Headers: x-a\r\n"), "{head}");
    let mut setup = Setup::default();
    setup.site.rules.cors = Cors::Any;
    let server = Server::with(DRIVER, &folder, setup);
    let response = server.get("/hello.txt");
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(response.header("Access-Control-Allow-Credentials"), None);
}

#[test]
fn nobody_gets_in_without_the_right_password() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        folder.file("public/a", b"for all");
        folder.file("public/index.html", b"not for all");
        let mut setup = Setup::default();
        let users = Users::from_htpasswd(&format!("ann:{HASH}\n")).expect("a user");
        setup.site.rules.users = Some(Arc::new(users));
        for rule in ["/public/: *: read", "*.html: *: none", "*.html: ann: read"] {
            setup.site.rules.access.push(rule.parse().expect("a rule"));
        }
        let server = Server::with(driver, &folder, setup);
        let mut client = server.connect();
        // ann:secret, ann:wrong, eve:secret
        let [right, wrong, eve] = ["YW5uOnNlY3JldA==", "YW5uOndyb25n", "ZXZlOnNlY3JldA=="]
            .map(|pair| format!("Authorization: Basic {pair}\r\n"));
        for _ in 0..2 {
            for path in ["/hello.txt", "/big.bin", "/none", "/"] {
                for lines in ["", &wrong, &eve] {
                    let response = ask(&mut client, path, lines);
                    assert_eq!(response.status(), "401", "{driver} {path} {lines}");
                    let challenge = response.header("WWW-Authenticate").expect("a challenge");
                    assert!(challenge.starts_with("Basic realm="));
                }
            }
            assert_eq!(ask(&mut client, "/hello.txt", &right).text(), "hello\n");
            assert_eq!(ask(&mut client, "/none", &right).status(), "404");
            assert_eq!(ask(&mut client, "/public/a", "").text(), "for all");
            // By whichever path.
            for path in ["/public/index.html", "/public/", "/public//./index.html"] {
                assert_eq!(ask(&mut client, path, "").status(), "401", "{path}");
                assert_eq!(ask(&mut client, path, &right).text(), "not for all", "{path}");
            }
        }
        // Pipelined: each is judged by its own.
        client.send(format!(
            "GET /hello.txt HTTP/1.1\r\nHost: h\r\n{right}\r\n\
             GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n\
             GET /hello.txt HTTP/1.1\r\nHost: h\r\n{wrong}\r\n\
             GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
        ));
        let statuses = [(); 4].map(|()| client.response().status().to_owned());
        assert_eq!(statuses, ["200", "401", "401", "200"]);
    });
}
