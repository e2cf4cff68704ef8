//! Folders as one file. What tar, unzip and others make of them is tested with the program.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::symlink;

use sockeye_engine::DriverKind;

use crate::support::{Folder, MODIFIED, Server, Setup, on_every_driver, pattern};

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.site.listing.archives = true;
    setup
}

/// The entries of a tar stream: what each holds, or where a link leads.
fn unpacked(tape: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(tape);
    let entries = archive.entries().expect("a tar stream");
    entries
        .map(|entry| {
            let mut entry = entry.expect("an entry");
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let link =
                entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("its content");
            let held = String::from_utf8_lossy(&content).into_owned();
            (name, link.map_or(held, |link| format!("-> {link}")))
        })
        .collect()
}

fn tape(server: &Server, path: &str) -> Vec<u8> {
    let packed = server.get(&format!("{path}?archive=tar.gz"));
    assert_eq!(packed.status(), "200", "{}", packed.head);
    let mut tape = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut tape).expect("gzip");
    tape
}

#[test]
fn an_archive_holds_the_folder_in_the_order_of_names_and_the_same_each_time() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("top/b/x.txt", b"x");
        folder.file("top/b/y.bin", &pattern(300_000));
        folder.file("top/a", b"a");
        folder.file("top/名 ü", b"cjk");
        folder.file("outside", b"not in it");
        let server = Server::with(driver, &folder, setup());
        let first = tape(&server, "/top/");
        let names: Vec<String> = unpacked(&first).into_keys().collect();
        let expected = ["top/", "top/a", "top/b/", "top/b/x.txt", "top/b/y.bin", "top/名 ü"];
        assert_eq!(names, expected);
        assert_eq!(tape(&server, "/top/"), first);
        let mut archive = tar::Archive::new(&first[..]);
        for entry in archive.entries().expect("a tar stream") {
            let header = entry.expect("an entry").header().clone();
            if header.entry_type().is_file() {
                assert_eq!(header.mtime().expect("a time"), MODIFIED);
            }
            assert_eq!((header.uid().expect("a user"), header.gid().expect("a group")), (0, 0));
        }
    });
}

#[test]
fn an_archive_says_what_it_is_and_under_which_name_to_keep_it() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("图 1/x", b"x");
        let server = Server::with(driver, &folder, setup());
        for (format, kind) in [("zip", "zip"), ("tar.gz", "gzip"), ("tar.zst", "zstd")] {
            let path = format!("/%E5%9B%BE%201/?archive={format}");
            let packed = server.get(&path);
            assert_eq!(packed.header("Content-Type"), Some(&*format!("application/{kind}")));
            let kept = format!(
                "attachment; filename=\"_ 1.{format}\"; filename*=UTF-8''%E5%9B%BE%201.{format}"
            );
            assert_eq!(packed.header("Content-Disposition"), Some(&*kept));
            assert_eq!(packed.header("Transfer-Encoding"), Some("chunked"));
            let head =
                server.ask(format!("HEAD {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
            assert_eq!(head, packed.head);
        }
    });
}

#[test]
fn a_link_is_stored_if_it_stays_within_and_what_is_left_out_is_told() {
    let folder = Folder::new();
    folder.file("secret", b"secret");
    folder.file("top/a", b"a");
    folder.file("top/ARCHIVE-NOTE.txt", b"mine");
    std::fs::create_dir(folder.path().join("top/d")).expect("a folder");
    for (target, name) in [
        ("a", "good"),
        ("../a", "d/up"),
        ("../secret", "out"),
        ("/etc/passwd", "root"),
        ("gone", "dangling"),
    ] {
        symlink(target, folder.path().join("top").join(name)).expect("a link");
    }
    std::os::unix::net::UnixListener::bind(folder.path().join("top/socket")).expect("a socket");
    let server = Server::with(DriverKind::EpollEdge, &folder, setup());
    let mut found = unpacked(&tape(&server, "/top/"));
    let note = found.remove("top/ARCHIVE-NOTE-2.txt").expect("a note");
    assert_eq!(
        note.lines().skip(2).collect::<Vec<_>>(),
        [
            "out: left out: a link that leads out of the folder",
            "root: left out: a link that leads out of the folder",
            "socket: left out: neither a file, a folder nor a link",
        ]
    );
    let expected = [
        ("top/", ""),
        ("top/ARCHIVE-NOTE.txt", "mine"),
        ("top/a", "a"),
        ("top/d/", ""),
        ("top/d/up", "-> ../a"),
        ("top/dangling", "-> gone"),
        ("top/good", "-> a"),
    ];
    let expected = expected.map(|(name, held)| (name.to_owned(), held.to_owned()));
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn archives_are_made_only_where_that_is_wished_and_so_many_at_once() {
    let folder = Folder::new();
    // Nothing that could be packed to less than what fits into the way to the client.
    folder.file("big", &pattern(8 << 20));
    folder.file("site/index.html", b"index");
    let server = Server::start(DriverKind::EpollEdge, &folder);
    let refused = server.get("/?archive=zip");
    assert_eq!(refused.status(), "403");
    assert!(refused.text().contains("--archive"), "{}", refused.text());
    assert_eq!(server.get("/site/?archive=zip").text(), "index");
    server.stop();

    let mut setup = setup();
    setup.site.listing.most_archives = 1;
    let server = Server::with(DriverKind::EpollEdge, &folder, setup);
    let mut slow = crate::support::Client::connect_narrow(server.address);
    slow.send("GET /?archive=tar.gz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(slow.head().starts_with("HTTP/1.1 200 "));
    let second = server.get("/?archive=tar.gz");
    assert_eq!((second.status(), second.header("Retry-After")), ("503", Some("10")));
    // Who leaves ends his archive, however much of it is left.
    drop(slow);
    crate::support::patiently(|| server.get("/site/?archive=tar.gz").status() == "200");
    server.stop();
}
