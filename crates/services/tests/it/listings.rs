//! Folders as pages.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, UNIX_EPOCH};

use percent_encoding::percent_decode_str;
use sockeye_engine::DriverKind;
use sockeye_wire::escape::Escaped;

use crate::support::{Folder, MODIFIED, Server, Setup, on_every_driver, short};

/// Each link of a page's table with the text it shows.
fn links(page: &str) -> Vec<(&str, &str)> {
    let (_, table) = page.split_once("<tbody>\n").expect("a table");
    let (table, _) = table.split_once("</tbody>").expect("its end");
    let rows = table.split("<tr").skip(1).filter_map(|row| row.split_once("href=\""));
    rows.map(|(_, link)| {
        let (href, rest) = link.split_once("\">").expect("the end of a link");
        let (shown, _) = rest.split_once("</a>").expect("the end of a text");
        let shown = shown.strip_prefix("<bdi>").unwrap_or(shown);
        (href, shown.split_once("</bdi>").map_or(shown, |(shown, _)| shown))
    })
    .collect()
}

/// The names of a listing as text, in their order.
fn names(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.get(28..).unwrap_or_else(|| panic!("short: {line}"))).collect()
}

#[test]
fn a_listing_shows_folders_first_and_says_what_it_is() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        for name in ["b.txt", "a", "z/x", "dir/x"] {
            folder.file(name, b"");
        }
        symlink("z", folder.path().join("link")).expect("a link");
        let server = Server::start(driver, &folder);
        let page = server.get("/");
        for line in [
            "HTTP/1.1 200 OK\r\n",
            "\r\nCache-Control: no-cache\r\n",
            "\r\nVary: Accept\r\n",
            // Weak, which the mask hides.
            "\r\nETag: \"",
            "\r\nContent-Type: text/html; charset=utf-8\r\n",
            "\r\nX-Content-Type-Options: nosniff\r\n",
            &format!("\r\nContent-Length: {}\r\n", page.body.len()),
        ] {
            assert!(page.head.contains(line), "{line:?} is not in {}", page.head);
        }
        let expected = [
            ("./dir/", "dir/"),
            ("./link/", "link/"),
            ("./z/", "z/"),
            ("./a", "a"),
            ("./b.txt", "b.txt"),
        ];
        assert_eq!(links(page.text()), expected);
        let below = server.get("/dir/");
        assert_eq!(links(below.text()), [("../", "Parent folder"), ("./x", "x")]);
        assert!(below.text().contains("<title>/dir/</title>"));
    });
}

/// Nothing of a page comes from elsewhere, and nothing runs but what the policy names.
#[test]
fn a_page_asks_for_nothing_and_its_policy_lets_nothing_in() {
    let folder = Folder::new();
    folder.file("a/b", b"");
    let server = Server::start(DriverKind::EpollEdge, &folder);
    let page = server.get("/a/");
    let (_, policy) = page.head.split_once("Content-Security-Policy: ").expect("a policy");
    let (policy, _) = policy.split_once("\r\n").expect("its end");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    let text = page.text();
    for outside in ["http:", "https:", "src=", "@import", "url(", " style=", " onclick"] {
        assert!(!text.contains(outside), "{outside}");
    }
}

#[test]
fn a_listing_comes_in_the_form_that_is_asked_for() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("a.txt", &[b'x'; 1500]);
        folder.file("dir/x", b"");
        symlink("nowhere", folder.path().join("l")).expect("a link");
        let server = Server::start(driver, &folder);
        let json = server.get("/?format=json").text().to_owned();
        let accept =
            "GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
        let asked = server.ask(accept);
        let (head, body) = asked.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("Content-Type: application/json"), "{head}");
        assert_eq!(body, json);
        let value: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(value["path"], "/");
        let entry = &value["entries"][1];
        assert_eq!(
            *entry,
            serde_json::json!({"name": "a.txt", "kind": "file", "link": false, "size": 1500,
                "modified": "1994-11-06T08:49:37Z", "href": "./a.txt"})
        );
        assert_eq!(value["entries"][0]["kind"], "folder");
        assert_eq!(value["entries"][2]["kind"], "broken");
        let text = server.get("/?format=text&filter=A");
        assert_eq!(text.text(), "1994-11-06 08:49   1.5 KiB  a.txt\n");
        let exact = server.get("/?format=text&filter=A&sizes=exact");
        assert_eq!(exact.text(), "1994-11-06 08:49  1500  a.txt\n");
        let wrong = server.get("/?format=yaml");
        assert!(wrong.head.starts_with("HTTP/1.1 400 "), "{}", wrong.head);
    });
}

#[test]
fn entries_are_sorted_as_asked_for() {
    let folder = Folder::new();
    for (name, size) in [("a10", 1), ("A2", 3), ("b", 2), ("a1", 5)] {
        folder.file(name, &vec![b'x'; size]);
    }
    let later =
        std::fs::File::options().write(true).open(folder.path().join("b")).expect("it is there");
    later.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED + 60)).expect("it is ours");
    folder.file("dir/x", b"");
    let server = Server::start(DriverKind::EpollEdge, &folder);
    for (query, expected) in [
        ("", ["dir/", "a1", "A2", "a10", "b"]),
        ("&order=desc", ["dir/", "b", "a10", "A2", "a1"]),
        ("&sort=name", ["dir/", "A2", "a1", "a10", "b"]),
        ("&sort=size", ["dir/", "a10", "b", "A2", "a1"]),
        ("&sort=size&order=desc", ["dir/", "a1", "A2", "b", "a10"]),
        ("&sort=date", ["a1", "A2", "a10", "b", "dir/"]),
        ("&sort=date&order=desc", ["dir/", "b", "a1", "A2", "a10"]),
    ] {
        let text = server.get(&format!("/?format=text{query}"));
        assert_eq!(names(text.text()), expected, "{query}");
    }
}

#[test]
fn a_listing_that_is_known_is_304_until_anything_in_it_changes() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("a", b"1");
        let server = Server::start(driver, &folder);
        let tag = |path: &str| {
            let head = server.get(path).head;
            let (_, tag) = head.split_once("ETag: ").expect("a tag");
            tag.split_once("\r\n").expect("its end").0.to_owned()
        };
        let status = |path: &str, tag: &str| {
            let answer = server.ask(format!(
                "GET {path} HTTP/1.1\r\nHost: h\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
            ));
            answer[9..12].to_owned()
        };
        let first = tag("/");
        assert_eq!(status("/", &first), "304");
        assert_eq!(status("/", &format!("\"x\", {first}")), "304");
        assert_eq!(status("/", "*"), "304");
        assert_eq!(status("/?sort=size", &first), "200");
        assert_eq!(status("/?format=json", &first), "200");
        // A change of a file leaves no trace on its folder.
        folder.file("a", b"22");
        assert_eq!(status("/", &first), "200");
        assert_ne!(tag("/"), first);
        let head = server.ask("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let get = server.get("/");
        assert_eq!(head, get.head);
    });
}

#[test]
fn nothing_in_a_folder_makes_its_listing_fail() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let path = folder.path();
        folder.file("file", b"");
        for (target, name) in [
            ("nowhere", "dangling"),
            ("loop", "loop"),
            ("/etc/passwd", "outside"),
            ("..", "above"),
            ("file", "good"),
        ] {
            symlink(target, path.join(name)).expect("a link");
        }
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .expect("a FIFO");
        std::os::unix::net::UnixListener::bind(path.join("socket")).expect("a socket");
        let locked = folder.file("locked", b"");
        std::fs::set_permissions(locked, std::fs::Permissions::from_mode(0o000))
            .expect("it is ours");
        let server = Server::start(driver, &folder);
        let text = server.get("/?format=text");
        assert_eq!(
            names(text.text()),
            [
                "above (broken link)",
                "dangling (broken link)",
                "fifo (not a file)",
                "file",
                "good (link)",
                "locked",
                "loop (broken link)",
                "outside (broken link)",
                "socket (not a file)",
            ]
        );
        // What leads nowhere is shown, and is no link.
        let page = server.get("/");
        let shown: Vec<&str> = links(page.text()).into_iter().map(|(href, _)| href).collect();
        assert_eq!(shown, ["./file", "./good", "./locked"]);
        assert_eq!(page.text().matches("<small>broken link</small>").count(), 4);
    });
}

#[test]
fn a_site_that_lists_nothing_says_so_of_folders_alone() {
    let folder = Folder::new();
    folder.file("a/index.html", b"index");
    folder.file("b/x", b"x");
    let mut setup = Setup::default();
    setup.site.listing.listed = false;
    let server = Server::with(DriverKind::EpollEdge, &folder, setup);
    assert_eq!(server.get("/a/").text(), "index");
    assert_eq!(server.get("/b/x").text(), "x");
    assert!(server.get("/b/").head.starts_with("HTTP/1.1 404 "));
    assert!(server.get("/b/?format=json").head.starts_with("HTTP/1.1 404 "));
}

#[test]
fn hostile_names_are_shown_harmlessly_and_their_links_lead_to_the_very_file() {
    let names: &[&[u8]] = &[
        b"<script>alert(1)<",
        b"\"onload=\"x",
        b"'",
        b"a&amp;b",
        b"new\nline",
        b"\r\n\r\n",
        b"\xff\xfe",
        "名 %20 ü.txt".as_bytes(),
        b"%",
        b"%2e%2e",
        b"?q=1",
        b"#top",
        b"a:b",
        b"javascript:alert(1)",
        b"\\\\host\\share",
        b" ",
        b"~",
        b"\x1b[2J",
        b"\x7f",
        "\u{202e}txt.exe".as_bytes(),
        b"-",
        b"+",
        b"<\\a>",
    ];
    on_every_driver(|driver| {
        let folder = Folder::new();
        // In a folder of such a name, too.
        let inner = b"<b>&\"' \xff\n";
        for (number, name) in names.iter().enumerate() {
            folder.file(OsStr::from_bytes(name), number.to_string().as_bytes());
            let within = [&inner[..], name].join(&b'/');
            folder.file(OsStr::from_bytes(&within), format!("in {number}").as_bytes());
        }
        let server = Server::start(driver, &folder);
        for (base, prefix) in [("/", ""), ("/%3Cb%3E%26%22%27%20%FF%0A/", "in ")] {
            let page = server.get(base);
            let mut seen = 0;
            for (link, shown) in links(page.text()) {
                if link.ends_with('/') {
                    continue;
                }
                let segment = link.strip_prefix("./").expect("a link beneath");
                assert!(
                    segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)),
                    "{link}"
                );
                assert!(!shown.contains(['<', '>']), "{shown}");
                let name: Vec<u8> = percent_decode_str(segment).collect();
                let number = names.iter().position(|other| *other == name).expect("one of them");
                let unescaped = html_escape::decode_html_entities(shown);
                assert_eq!(unescaped, Escaped(&name).to_string(), "{shown}");
                let response = server.get(&format!("{base}{segment}"));
                assert_eq!(response.text(), format!("{prefix}{number}"), "{link}");
                seen += 1;
            }
            assert_eq!(seen, names.len());
        }
        let title = server.get("/%3Cb%3E%26%22%27%20%FF%0A/");
        assert!(title.text().contains("<title>/&lt;b&gt;&amp;\"' \\xff\\n/</title>"));
    });
}

#[test]
fn a_folder_of_fifty_thousand_files_is_listed() {
    const FILES: usize = 50_000;
    let folder = Folder::new();
    for number in 0..FILES {
        std::fs::File::create(folder.path().join(format!("file-{number:05}"))).expect("a file");
    }
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        let page = client.get("/");
        assert_eq!(page.header("Transfer-Encoding"), Some("chunked"));
        let links = links(page.text());
        assert_eq!(links.len(), FILES);
        for (number, (link, shown)) in links.into_iter().enumerate() {
            assert_eq!((link, shown), (&*format!("./file-{number:05}"), &link[2..]));
        }
        // The connection goes on behind a page that left in parts.
        assert_eq!(client.get("/file-00007").status(), "200");
    });
}

#[test]
fn an_empty_folder_has_an_empty_listing() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        std::fs::create_dir(folder.path().join("empty")).expect("a folder");
        let server = Server::start(driver, &folder);
        assert_eq!(links(server.get("/empty/").text()), [("../", "Parent folder")]);
    });
}

#[test]
fn a_folder_that_is_deleted_and_comes_back_is_served_again() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let site = folder.path().join("site");
        std::fs::create_dir(&site).expect("a folder");
        std::fs::write(site.join("f"), b"old").expect("a file");
        let (tell, told) = std::sync::mpsc::channel();
        let server =
            Server::of(driver, &site, move |notice| tell.send(notice).expect("it is read"));
        assert_eq!(server.get("/f").text(), "old");
        std::fs::remove_dir_all(&site).expect("ours");
        for path in ["/f", "/", "/f"] {
            let answer = server.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
            let close = "Connection: close\r\n";
            assert_eq!(answer, short("503 Service Unavailable", close, ""), "{path}");
        }
        std::fs::create_dir(&site).expect("a folder");
        std::fs::write(site.join("f"), b"new").expect("a file");
        assert_eq!(server.get("/f").text(), "new");
        server.stop();
        use sockeye_services::http::SiteNotice::{Returned, Vanished};
        assert_eq!(told.iter().collect::<Vec<_>>(), [Vanished(site.clone()), Returned(site)]);
    });
}
