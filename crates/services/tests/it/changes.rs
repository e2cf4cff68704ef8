//! Files that change while they are served.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};

use crate::support::{Client, Folder, Server, on_every_driver, pattern};

/// More than all buffers between a server and a client that does not read.
const LARGE: usize = 20_000_000;

/// A download of `large` that has begun and can't have ended.
fn begun(server: &Server, folder: &Folder) -> Client {
    let mut client = Client::connect_narrow(server.address);
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head(), folder.head("large", "application/octet-stream", ""));
    client
}

#[test]
fn a_file_that_grows_is_sent_as_long_as_it_was() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let (content, more) = (pattern(LARGE), b"and more");
        let path = folder.file("large", &content);
        let server = Server::start(driver, &folder);
        let mut client = begun(&server, &folder);
        File::options().append(true).open(path).expect("ours").write_all(more).expect("room");
        assert!(client.exactly(LARGE) == content, "{driver}");
        let again = client.get("/large");
        assert_eq!(again.header("Content-Length"), Some(&*(LARGE + more.len()).to_string()));
        assert!(again.body.ends_with(more));
    });
}

#[test]
fn a_file_that_vanishes_is_sent_to_its_end() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let content = pattern(LARGE);
        let path = folder.file("large", &content);
        let server = Server::start(driver, &folder);
        let mut client = begun(&server, &folder);
        std::fs::remove_file(path).expect("ours");
        assert!(client.exactly(LARGE) == content, "{driver}");
        assert_eq!(client.get("/large").status(), "404");
    });
}

#[test]
fn a_file_that_shrinks_ends_the_connection_early() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let content = pattern(LARGE);
        let path = folder.file("large", &content);
        let server = Server::start(driver, &folder);
        let mut client = begun(&server, &folder);
        let left = LARGE - 1_000_000;
        File::options().write(true).open(path).expect("ours").set_len(left as u64).expect("ours");
        // An honest end, with nothing made up behind what was there.
        assert!(client.rest() == content[..left], "{driver}");
        assert_eq!(server.get("/large").body.len(), left);
    });
}

#[test]
fn a_rewrite_in_place_shows_at_once_though_size_and_time_stay() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let path = folder.file("f", b"00000");
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        let mut file = File::options().write(true).open(path).expect("ours");
        for number in 0..300 {
            let content = format!("{number:05}");
            file.seek(SeekFrom::Start(0)).expect("a file");
            file.write_all(content.as_bytes()).expect("room");
            assert_eq!(client.get("/f").text(), content, "{driver}");
        }
    });
}

#[test]
fn a_replacement_shows_at_once() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("f", b"00000");
        folder.file("d/f", b"00000");
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for number in 1..100 {
            let content = format!("{number:05}");
            // Same size, and the same time to the nanosecond: only the inode tells.
            let anew = folder.file("anew", content.as_bytes());
            std::fs::rename(anew, folder.path().join("f")).expect("ours");
            let response = client.get("/f");
            assert_eq!(
                (response.text(), response.header("ETag")),
                (&*content, Some(&*folder.tag("f")))
            );
            folder.file("e/f", content.as_bytes());
            std::fs::remove_dir_all(folder.path().join("d")).expect("ours");
            std::fs::rename(folder.path().join("e"), folder.path().join("d")).expect("ours");
            assert_eq!(client.get("/d/f").text(), content);
        }
        std::fs::remove_file(folder.path().join("f")).expect("ours");
        assert_eq!(client.get("/f").status(), "404");
        std::fs::create_dir(folder.path().join("f")).expect("room");
        assert_eq!(client.get("/f").status(), "301");
    });
}

#[test]
fn what_was_kept_in_memory_is_never_stale() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let names = ["rewritten", "replaced", "removed", "shrunk", "touched", "locked/in", "same"];
        for name in names {
            folder.file(name, b"old content");
        }
        std::fs::write(folder.path().join("clock"), b"now").expect("room");
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        // From then on files are kept in memory.
        client.settle("/clock");
        let path = |name: &str| folder.path().join(name);
        for _ in 0..2 {
            for name in names {
                let response = client.get(&format!("/{name}"));
                let head = folder.head(name, "application/octet-stream", "");
                assert_eq!((response.head.as_str(), response.text()), (&*head, "old content"));
            }
        }
        folder.file("rewritten", b"new content");
        let anew = folder.file("anew", b"new content");
        std::fs::rename(anew, path("replaced")).expect("ours");
        std::fs::remove_file(path("removed")).expect("ours");
        folder.file("shrunk", b"new");
        let touched = File::options().write(true).open(path("touched")).expect("ours");
        touched.set_modified(std::time::UNIX_EPOCH).expect("ours");
        std::fs::rename(path("locked"), path("unlocked")).expect("ours");
        assert_eq!(client.get("/rewritten").text(), "new content");
        assert_eq!(client.get("/replaced").text(), "new content");
        assert_eq!(client.get("/removed").status(), "404");
        assert_eq!(client.get("/shrunk").text(), "new");
        let touched = client.get("/touched");
        // 1970 is what builds set to say nothing.
        assert_eq!(touched.header("Last-Modified"), None);
        assert_eq!(client.get("/locked/in").status(), "404");
        assert_eq!(client.get("/unlocked/in").text(), "old content");
        assert_eq!(client.get("/same").text(), "old content");
        // A large file moved over a small one, and back.
        folder.file("large", &pattern(LARGE / 100));
        std::fs::rename(path("large"), path("same")).expect("ours");
        assert!(client.get("/same").body == pattern(LARGE / 100));
        folder.file("same", b"small again");
        assert_eq!(client.get("/same").text(), "small again");
    });
}
