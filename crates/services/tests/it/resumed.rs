//! Uploads that are resumed (tus 1.0.0), byte by byte.

use std::fs;
use std::time::Duration;

use sockeye_engine::DriverKind;
use sockeye_services::http::UploadOptions;

use crate::support::{Folder, Response, Server, on_every_driver, patiently, pattern};
use crate::uploads::{names, send, serving};

const TUS: &str = "Tus-Resumable: 1.0.0\r\n";
const BYTES: &str = "Content-Type: application/offset+octet-stream\r\n";
/// `a.txt`
const NAME: &str = "Upload-Metadata: filename YS50eHQ=\r\n";

/// Begins an upload of so many bytes to `a.txt`; where it goes on.
fn begin(server: &Server, path: &str, length: usize) -> String {
    let lines = format!("{TUS}{NAME}Upload-Length: {length}\r\n");
    let answer = send(server, "POST", path, &lines, "");
    assert_eq!(answer.status(), "201", "{}", answer.text());
    assert_eq!(answer.header("Tus-Resumable"), Some("1.0.0"));
    assert!(answer.header("Upload-Expires").is_some());
    answer.header("Location").expect("a location").to_owned()
}

fn patch(server: &Server, url: &str, offset: usize, lines: &str, content: &[u8]) -> Response {
    let lines = format!("{TUS}{BYTES}Upload-Offset: {offset}\r\n{lines}");
    send(server, "PATCH", url, &lines, content)
}

/// What a client is told of an upload: the status, and how much is there.
fn told(server: &Server, url: &str) -> (String, Option<usize>) {
    let mut client = server.connect();
    client.send(format!("HEAD {url} HTTP/1.1\r\nHost: h\r\n{TUS}\r\n"));
    let head = Response { head: client.head(), body: Vec::new() };
    let offset = head.header("Upload-Offset").map(|offset| offset.parse().expect("a number"));
    (head.status().to_owned(), offset)
}

#[test]
fn an_upload_is_begun_gone_on_with_and_ended() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        fs::create_dir(folder.path().join("sub dir")).expect("a folder");
        let server = serving(driver, &folder, UploadOptions::default());
        let content = pattern(700_000);
        let url = begin(&server, "/sub%20dir/", content.len());
        assert!(url.starts_with("/sub%20dir/?upload="), "{url}");
        assert_eq!(told(&server, &url), ("200".to_owned(), Some(0)));
        let mut offset = 0;
        for part in [300_000, 1, 399_999] {
            let answer = patch(&server, &url, offset, "", &content[offset..offset + part]);
            offset += part;
            assert_eq!(answer.status(), "204");
            assert_eq!(answer.header("Upload-Offset"), Some(&*offset.to_string()));
            assert_eq!(told(&server, &url), ("200".to_owned(), Some(offset)));
        }
        assert_eq!(names(&folder.path().join("sub dir")), ["a.txt"]);
        assert_eq!(server.get("/sub%20dir/a.txt").body, content);
    });
}

#[test]
fn an_upload_survives_the_server() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let content = pattern(400_000);
        let server = serving(driver, &folder, UploadOptions::default());
        let url = begin(&server, "/", content.len());
        // The client goes away in the middle of its bytes.
        let mut client = server.connect();
        client.send(format!(
            "PATCH {url} HTTP/1.1\r\nHost: h\r\n{TUS}{BYTES}Upload-Offset: 0\r\n\
             Content-Length: {}\r\n\r\n",
            content.len()
        ));
        client.send(&content[..300_000]);
        server.wait_until_read(&client);
        drop(client);
        patiently(|| told(&server, &url).1 == Some(300_000));
        server.stop();

        let server = serving(driver, &folder, UploadOptions::default());
        // Nobody lists or fetches what is not whole.
        let listing = server.get("/");
        assert!(!listing.text().contains("sockeye-upload"), "{}", listing.text());
        for name in names(folder.path()) {
            assert_eq!(server.get(&format!("/{name}")).status(), "404");
        }
        assert_eq!(told(&server, &url), ("200".to_owned(), Some(300_000)));
        let answer = patch(&server, &url, 300_000, "", &content[300_000..]);
        assert_eq!(answer.status(), "204");
        assert_eq!(names(folder.path()), ["a.txt"]);
        assert_eq!(server.get("/a.txt").body, content);
    });
}

#[test]
fn content_may_come_with_the_first_request() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let server = serving(driver, &folder, UploadOptions::default());
        for (path, name, content) in [
            ("/", "a.txt", &pattern(300_000)[..]),
            ("/named.bin", "named.bin", b"x"),
            ("/e", "e", b""),
        ] {
            let length = content.len();
            let lines = format!("{TUS}{BYTES}{NAME}Upload-Length: {length}\r\n");
            let answer = send(&server, "POST", path, &lines, content);
            assert_eq!(answer.status(), "201", "{}", answer.text());
            assert_eq!(answer.header("Upload-Offset"), Some(&*length.to_string()));
            assert_eq!(fs::read(folder.path().join(name)).expect("it is there"), content);
        }
        assert_eq!(names(folder.path()), ["a.txt", "e", "named.bin"]);
    });
}

#[test]
fn bytes_that_do_not_match_their_checksum_are_dropped() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let server = serving(driver, &folder, UploadOptions::default());
        let url = begin(&server, "/", 10);
        // The SHA-1 and the SHA-256 of "hello".
        let sha1 = "Upload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=\r\n";
        let sha256 = "Upload-Checksum: sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\r\n";
        assert_eq!(patch(&server, &url, 0, sha1, b"hallo").status(), "460");
        assert_eq!(told(&server, &url).1, Some(0));
        assert_eq!(patch(&server, &url, 0, sha1, b"hello").status(), "204");
        assert_eq!(
            patch(&server, &url, 5, "Upload-Checksum: md5 AA==\r\n", b"hello").status(),
            "400"
        );
        assert_eq!(
            patch(&server, &url, 5, "Upload-Checksum: sha1 !\r\n", b"hello").status(),
            "400"
        );
        assert_eq!(patch(&server, &url, 5, sha256, b"hallo").status(), "460");
        assert_eq!(told(&server, &url).1, Some(5));
        assert_eq!(patch(&server, &url, 5, sha256, b"hello").status(), "204");
        assert_eq!(server.get("/a.txt").body, b"hellohello");
        assert_eq!(names(folder.path()), ["a.txt"]);
    });
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let folder = Folder::new();
    let options = UploadOptions { most: Some(1000), ..UploadOptions::default() };
    let server = serving(DriverKind::Epoll, &folder, options);
    let url = begin(&server, "/", 10);
    assert_eq!(patch(&server, &url, 0, "", b"12345").status(), "204");
    for (method, path, lines, status) in [
        ("PATCH", &*url, format!("{TUS}{BYTES}Upload-Offset: 4\r\n"), "409"),
        ("PATCH", &url, format!("{TUS}{BYTES}Upload-Offset: x\r\n"), "400"),
        ("PATCH", &url, format!("{TUS}{BYTES}"), "400"),
        ("PATCH", &url, format!("{TUS}Upload-Offset: 5\r\n"), "415"),
        ("PATCH", &url, format!("{BYTES}Upload-Offset: 5\r\n"), "415"),
        ("PATCH", &url, format!("Tus-Resumable: 0.2.2\r\n{BYTES}Upload-Offset: 5\r\n"), "412"),
        ("PATCH", "/?upload=0123", format!("{TUS}{BYTES}Upload-Offset: 5\r\n"), "404"),
        ("POST", "/", format!("{TUS}{NAME}"), "400"),
        ("POST", "/", format!("{TUS}{NAME}Upload-Length: 1001\r\n"), "413"),
        ("POST", "/", format!("{TUS}{NAME}Upload-Length: -1\r\n"), "400"),
        ("POST", "/", format!("{TUS}{NAME}Upload-Defer-Length: 1\r\n"), "400"),
        ("POST", "/", format!("{TUS}Upload-Length: 1\r\n"), "400"),
        ("POST", "/none/", format!("{TUS}{NAME}Upload-Length: 1\r\n"), "409"),
        (
            "POST",
            "/",
            format!("{TUS}Upload-Metadata: filename Li4=\r\nUpload-Length: 1\r\n"),
            "400",
        ),
    ] {
        let answer = send(&server, method, path, &lines, "");
        assert_eq!(answer.status(), status, "{method} {path} {lines}");
    }
    // More than was announced, in one piece and in chunks.
    assert_eq!(patch(&server, &url, 5, "", b"123456").status(), "413");
    let mut client = server.connect();
    client.send(format!(
        "PATCH {url} HTTP/1.1\r\nHost: h\r\n{TUS}{BYTES}Upload-Offset: 5\r\n\
         Transfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n0\r\n\r\n"
    ));
    assert_eq!(client.response().status(), "413");
    assert_eq!(told(&server, &url), ("200".to_owned(), Some(5)));
    // For clients that know GET and POST alone.
    let lines = format!("{TUS}{BYTES}Upload-Offset: 5\r\nX-HTTP-Method-Override: PATCH\r\n");
    assert_eq!(send(&server, "POST", &url, &lines, "67890").status(), "204");
    assert_eq!(server.get("/a.txt").body, b"1234567890");
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let options = UploadOptions { quota: Some(1000), ..UploadOptions::default() };
        let server = serving(driver, &folder, options);
        let url = begin(&server, "/", 1000);
        assert_eq!(patch(&server, &url, 0, "", &pattern(900)).status(), "204");
        assert_eq!(send(&server, "PUT", "/b", "", pattern(101)).status(), "507");
        assert_eq!(send(&server, "DELETE", &url, TUS, "").status(), "204");
        assert_eq!(told(&server, &url).0, "404");
        assert_eq!(patch(&server, &url, 900, "", &pattern(100)).status(), "404");
        assert_eq!(names(folder.path()), [""; 0]);
        assert_eq!(send(&server, "PUT", "/b", "", pattern(1000)).status(), "201");
    });
}

#[test]
fn two_clients_do_not_add_to_one_upload_at_once() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let server = serving(driver, &folder, UploadOptions::default());
        let url = begin(&server, "/", 10);
        let mut first = server.connect();
        first.send(format!(
            "PATCH {url} HTTP/1.1\r\nHost: h\r\n{TUS}{BYTES}Upload-Offset: 0\r\n\
             Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"
        ));
        assert_eq!(first.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(patch(&server, &url, 0, "", b"0123456789").status(), "423");
        assert_eq!(told(&server, &url), ("200".to_owned(), Some(0)));
        first.send("0123456789");
        assert_eq!(first.response().status(), "204");
        assert_eq!(server.get("/a.txt").body, b"0123456789");
    });
}

#[test]
fn what_nobody_goes_on_with_expires() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let keep = Duration::from_secs(3600);
        let options = UploadOptions { keep, ..UploadOptions::default() };
        let server = serving(driver, &folder, options);
        let (stale, fresh) = (begin(&server, "/", 10), begin(&server, "/", 10));
        let id = stale.rsplit('=').next().expect("an id");
        let age = |id: &str| {
            let part = folder.path().join(format!(".sockeye-upload-{id}.part"));
            let file = fs::File::options().write(true).open(part).expect("it is there");
            let long_ago = std::time::SystemTime::UNIX_EPOCH;
            file.set_modified(long_ago).expect("it is ours");
        };
        age(id);
        assert_eq!(told(&server, &stale).0, "410");
        assert_eq!(told(&server, &stale).0, "404");
        assert_eq!(told(&server, &fresh).0, "200");
        let stale = begin(&server, "/", 10);
        age(stale.rsplit('=').next().expect("an id"));
        server.stop();
        // The next server looks for it when it starts.
        let server = serving(driver, &folder, options);
        patiently(|| names(folder.path()).len() == 2);
        assert_eq!(told(&server, &fresh), ("200".to_owned(), Some(0)));
    });
}

#[test]
fn what_came_to_stand_in_its_place_is_not_replaced() {
    let folder = Folder::new();
    let server = serving(DriverKind::Epoll, &folder, UploadOptions::default());
    let url = begin(&server, "/", 5);
    folder.file("a.txt", b"first");
    assert_eq!(patch(&server, &url, 0, "", b"later").status(), "409");
    // A client that asks again does not hear that all is well.
    assert_eq!(told(&server, &url).0, "404");
    assert_eq!(names(folder.path()), ["a.txt"]);
    assert_eq!(server.get("/a.txt").body, b"first");
}

#[test]
fn what_is_not_surely_left_over_is_not_removed() {
    let folder = Folder::new();
    let id = "0123456789abcdef0123456789abcdef";
    let left = [format!(".sockeye-upload-{id}.part"), format!(".sockeye-upload-{id}.draft")];
    let kept = [
        format!(".sockeye-upload-{id}.part~"),
        format!(".sockeye-upload-{}.part", &id[1..]),
        ".sockeye-upload-notes".to_owned(),
        format!(".sockeye-upload-{}.part", id.replace('0', "1")),
    ];
    for name in left.iter().chain(&kept) {
        folder.file(format!("sub/{name}"), b"x");
    }
    // One of them has a second name, so somebody else knows it.
    let linked = folder.path().join("sub").join(&kept[3]);
    fs::hard_link(&linked, folder.path().join("second")).expect("a link");
    let trash = format!("sub/.sockeye-upload-{id}.trash/deep/file");
    folder.file(&trash, b"x");
    let server = serving(DriverKind::Epoll, &folder, UploadOptions::default());
    let sub = folder.path().join("sub");
    patiently(|| names(&sub).len() == kept.len());
    let mut kept = kept.to_vec();
    kept.sort();
    assert_eq!(names(&sub), kept);
    drop(server);
}
