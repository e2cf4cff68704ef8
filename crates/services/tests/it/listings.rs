//! Folders as pages.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use percent_encoding::percent_decode_str;

use crate::support::{Folder, Server, on_every_driver, short};

/// Each link of a page with the text it shows.
fn links(page: &str) -> Vec<(&str, &str)> {
    let items = page.split("<li>").skip(1);
    let link = |item: &'_ str| -> Option<(usize, usize, usize)> {
        let open = item.find("\">")?;
        let close = item.find("</a>\n")?;
        item.starts_with("<a href=\"").then_some((9, open, close))
    };
    items
        .map(|item| {
            let (start, open, close) = link(item).unwrap_or_else(|| panic!("no link: {item}"));
            (&item[start..open], &item[open + 2..close])
        })
        .collect()
}

#[test]
fn a_listing_shows_folders_first_and_says_what_it_is() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        for name in ["b.txt", "a", "z/x", "dir/x", ".hidden"] {
            folder.file(name, b"");
        }
        std::os::unix::fs::symlink("z", folder.path().join("link")).expect("a link");
        let server = Server::start(driver, &folder);
        let page = server.get("/");
        assert_eq!(
            page.head,
            format!(
                "HTTP/1.1 200 OK\r\nDate: *\r\nContent-Type: text/html; charset=utf-8\r\n\
                 Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
                 Cache-Control: no-cache\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                page.body.len()
            )
        );
        let expected = [
            ("./dir/", "dir/"),
            ("./link/", "link/"),
            ("./z/", "z/"),
            ("./a", "a"),
            ("./b.txt", "b.txt"),
        ];
        assert_eq!(links(page.text()), expected);
        let below = server.get("/dir/");
        assert_eq!(links(below.text()), [("../", "../"), ("./x", "x")]);
        assert!(
            below.text().contains("<title>/dir</title>") && below.text().contains("<h1>/dir</h1>")
        );
    });
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
                if link == "../" || link.ends_with('/') {
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
                assert_eq!(unescaped, String::from_utf8_lossy(&name), "{shown}");
                let response = server.get(&format!("{base}{segment}"));
                assert_eq!(response.text(), format!("{prefix}{number}"), "{link}");
                seen += 1;
            }
            assert_eq!(seen, names.len());
        }
        let title = server.get("/%3Cb%3E%26%22%27%20%FF%0A/");
        assert!(title.text().contains("<title>/&lt;b&gt;&amp;\"' \u{fffd}\n</title>"));
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
        assert_eq!(links(server.get("/empty/").text()), [("../", "../")]);
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
