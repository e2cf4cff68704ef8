//! PUT, DELETE, MKCOL and forms, byte by byte.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use sockeye_engine::DriverKind;
use sockeye_services::http::UploadOptions;

use crate::support::{
    Client, Folder, Response, Server, Setup, on_every_driver, patiently, pattern,
};

const OVERWRITE: UploadOptions = UploadOptions { overwrite: true, ..NEW };
const NEW: UploadOptions = UploadOptions {
    overwrite: false,
    remove_folders: false,
    most: None,
    quota: None,
    pause: Duration::from_secs(60),
    rate: 512,
    keep: Duration::from_secs(3600),
};

pub(crate) fn serving(driver: DriverKind, folder: &Folder, options: UploadOptions) -> Server {
    let mut setup = Setup::default();
    setup.site.upload = Some(options);
    Server::with(driver, folder, setup)
}

/// Sends a request with content and takes the answer, on a connection of its own.
pub(crate) fn send(
    server: &Server,
    method: &str,
    path: &str,
    lines: &str,
    content: impl AsRef<[u8]>,
) -> Response {
    send_on(&mut server.connect(), method, path, lines, content)
}

pub(crate) fn send_on(
    client: &mut Client,
    method: &str,
    path: &str,
    lines: &str,
    content: impl AsRef<[u8]>,
) -> Response {
    let content = content.as_ref();
    let length = content.len();
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{lines}\r\n"
    ));
    client.send(content);
    client.response()
}

/// What is in a folder, ours included, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A tag without what says that it is weak.
fn opaque(tag: Option<&str>) -> String {
    let tag = tag.expect("a tag");
    tag.strip_prefix("W/").unwrap_or(tag).to_owned()
}

#[test]
fn what_was_put_is_what_get_gives_with_the_same_tag() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let server = serving(driver, &folder, OVERWRITE);
        for (content, status) in
            [(&b"one"[..], "201"), (b"", "204"), (&pattern(3_000_000), "204"), (b"two", "204")]
        {
            let put = send(&server, "PUT", "/a%20b.txt", "", content);
            assert_eq!(put.status(), status);
            assert_eq!(put.header("Location"), Some("/a%20b.txt"));
            let got = server.get("/a%20b.txt");
            assert_eq!((got.status(), &got.body[..]), ("200", content));
            assert_eq!(opaque(put.header("ETag")), opaque(got.header("ETag")));
            assert_eq!(fs::read(folder.path().join("a b.txt")).expect("it is there"), content);
            assert_eq!(names(folder.path()), ["a b.txt"]);
        }
    });
}

#[test]
fn without_leave_nothing_is_changed() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = Server::start(driver, &folder);
        for (method, path) in [("PUT", "/new"), ("DELETE", "/hello.txt"), ("MKCOL", "/new/")] {
            assert_eq!(send(&server, method, path, "", "x").status(), "405", "{method}");
        }
        assert_eq!(names(folder.path()), ["big.bin", "hello.txt"]);
    });
}

#[test]
fn nothing_is_replaced_or_removed_unless_that_is_asked_for() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        symlink("hello.txt", folder.path().join("link")).expect("a link");
        let server = serving(driver, &folder, NEW);
        for path in ["/hello.txt", "/link"] {
            let answer = send(&server, "PUT", path, "", "x");
            assert_eq!(answer.status(), "409");
            assert!(answer.text().contains("--write=overwrite"), "{}", answer.text());
            assert_eq!(send(&server, "DELETE", path, "", "").status(), "403");
        }
        assert_eq!(send(&server, "PUT", "/new", "", "x").status(), "201");
        assert_eq!(server.get("/hello.txt").body, b"hello\n");
        assert_eq!(names(folder.path()), ["big.bin", "hello.txt", "link", "new"]);
    });
}

#[test]
fn the_conditions_of_a_put_hold_or_nothing_happens() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = serving(driver, &folder, OVERWRITE);
        // The tag of a file that was just written is weak, and matches nothing strongly.
        server.connect().settle("/hello.txt");
        let tag = server.get("/hello.txt").header("ETag").expect("a tag").to_owned();
        for (path, lines, status) in [
            ("/hello.txt", "If-None-Match: *\r\n".to_owned(), "412"),
            ("/hello.txt", "If-Match: \"x\"\r\n".to_owned(), "412"),
            ("/hello.txt", format!("If-None-Match: {tag}\r\n"), "412"),
            (
                "/hello.txt",
                "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n".to_owned(),
                "412",
            ),
            ("/new", "If-Match: *\r\n".to_owned(), "412"),
            ("/hello.txt", format!("If-Match: {tag}\r\n"), "204"),
            ("/new", "If-None-Match: *\r\n".to_owned(), "201"),
            ("/new", "If-None-Match: *\r\n".to_owned(), "412"),
        ] {
            let before = fs::read(folder.path().join(&path[1..])).ok();
            let answer = send(&server, "PUT", path, &lines, "changed");
            let now = server.get(path);
            assert_eq!(answer.status(), status, "{path} {lines} {} {}", answer.text(), now.head);
            let after = fs::read(folder.path().join(&path[1..])).ok();
            let expected = if status == "412" { before } else { Some(b"changed".to_vec()) };
            assert_eq!(after, expected, "{path} {lines}");
        }
        assert_eq!(names(folder.path()), ["big.bin", "hello.txt", "new"]);
    });
}

#[test]
fn parts_of_files_and_encoded_content_are_not_taken_for_files() {
    let folder = Folder::new();
    let server = serving(DriverKind::Epoll, &folder, NEW);
    let range = send(&server, "PUT", "/a", "Content-Range: bytes 0-0/2\r\n", "x");
    assert_eq!(range.status(), "400");
    let coded = send(&server, "PUT", "/a", "Content-Encoding: gzip\r\n", "x");
    assert_eq!((coded.status(), coded.header("Accept-Encoding")), ("415", Some("identity")));
    assert_eq!(send(&server, "PUT", "/a", "Content-Encoding: identity\r\n", "x").status(), "201");
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn names_that_lead_elsewhere_or_are_none_are_refused() {
    let folder = Folder::new();
    let outside = Folder::new();
    fs::create_dir(folder.path().join("sub")).expect("a folder");
    symlink(outside.path(), folder.path().join("out")).expect("a link");
    symlink("sub", folder.path().join("in")).expect("a link");
    let server = serving(DriverKind::Epoll, &folder, OVERWRITE);
    for (path, status) in [
        ("/../a".to_owned(), "400"),
        ("/%2e%2e/a".to_owned(), "400"),
        ("/sub%2Fa".to_owned(), "404"),
        ("/a%00".to_owned(), "400"),
        ("/a%0Ab".to_owned(), "400"),
        (format!("/{}", "a".repeat(256)), "400"),
        ("/.sockeye-upload-1".to_owned(), "403"),
        ("/out/a".to_owned(), "409"),
        ("/none/a".to_owned(), "409"),
        ("/sub".to_owned(), "409"),
        ("/sub/".to_owned(), "409"),
        ("/".to_owned(), "409"),
        (format!("/{}", "a".repeat(255)), "201"),
        ("/in/CON".to_owned(), "201"),
        ("/sub/%FF".to_owned(), "201"),
    ] {
        let answer = send(&server, "PUT", &path, "", "x");
        let refused = answer.status();
        // Which of these a path that names nothing is told does not matter here.
        let alike = refused == status || (refused.starts_with('4') && status.starts_with('4'));
        assert!(alike, "{path}: {refused}");
    }
    assert_eq!(names(outside.path()), [""; 0]);
    assert_eq!(names(&folder.path().join("sub")).len(), 2);
}

#[test]
fn a_link_is_replaced_and_never_what_it_leads_to() {
    let folder = Folder::usual();
    let outside = Folder::usual();
    symlink(outside.path().join("hello.txt"), folder.path().join("out")).expect("a link");
    symlink("hello.txt", folder.path().join("in")).expect("a link");
    let server = serving(DriverKind::Epoll, &folder, OVERWRITE);
    for name in ["out", "in"] {
        assert_eq!(send(&server, "PUT", &format!("/{name}"), "", "x").status(), "204");
        let kind = fs::symlink_metadata(folder.path().join(name)).expect("it is there");
        assert!(kind.is_file());
    }
    for holder in [&folder, &outside] {
        let content = fs::read(holder.path().join("hello.txt")).expect("it is there");
        assert_eq!(content, b"hello\n");
    }
}

#[test]
fn who_may_do_what_with_a_file_stays_when_it_is_replaced() {
    let folder = Folder::usual();
    let path = folder.path().join("hello.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
    let server = serving(DriverKind::Epoll, &folder, OVERWRITE);
    assert_eq!(send(&server, "PUT", "/hello.txt", "", "x").status(), "204");
    assert_eq!(fs::metadata(path).expect("it is there").permissions().mode() & 0o7777, 0o640);
}

#[test]
fn a_client_that_waits_is_told_to_go_on_or_why_not() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let server = serving(driver, &folder, UploadOptions { most: Some(1000), ..NEW });
        let head = |length: usize| {
            format!(
                "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
            )
        };
        let mut client = server.connect();
        client.send(head(1001));
        let refused = client.response();
        assert_eq!(refused.status(), "413", "before any of the content was sent");
        assert!(refused.text().contains("--max-upload"), "{}", refused.text());

        let mut client = server.connect();
        client.send(head(1000));
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send(pattern(1000));
        assert_eq!(client.response().status(), "201");
        // The connection goes on.
        assert_eq!(client.get("/a").body, pattern(1000));
        assert_eq!(names(folder.path()), ["a"]);
    });
}

#[test]
fn chunked_content_is_taken_up_to_the_bound_and_leaves_nothing_beyond() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let server = serving(driver, &folder, UploadOptions { most: Some(600_000), ..NEW });
        let head = |name: &str| {
            format!("PUT /{name} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        };
        let chunk = |content: &[u8]| {
            [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n"].concat()
        };
        let mut client = server.connect();
        client.send(head("a"));
        for part in pattern(600_000).chunks(70_001) {
            client.send(chunk(part));
        }
        client.send("0\r\nTrailer: x\r\n\r\n");
        assert_eq!(client.response().status(), "201");
        assert_eq!(client.get("/a").body, pattern(600_000));

        client.send(head("b"));
        client.send(chunk(&pattern(600_000)));
        client.send("1\r\n");
        assert_eq!(client.response().status(), "413");
        patiently(|| names(folder.path()) == ["a"]);
    });
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = serving(driver, &folder, OVERWRITE);
        let mut client = server.connect();
        client.send("PUT /hello.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n");
        client.send(pattern(800_000));
        patiently(|| names(folder.path()).len() == 3);
        drop(client);
        patiently(|| names(folder.path()) == ["big.bin", "hello.txt"]);
        assert_eq!(server.get("/hello.txt").body, b"hello\n");
    });
}

#[test]
fn a_client_that_sends_nothing_more_is_refused_and_leaves_nothing() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        let pause = Duration::from_millis(50);
        let server = serving(driver, &folder, UploadOptions { pause, ..NEW });
        let mut client = server.connect();
        client.send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
        assert_eq!(client.response().status(), "408");
        patiently(|| names(folder.path()).is_empty());
    });
}

#[test]
fn folders_are_made_as_rfc_4918_says() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let server = serving(driver, &folder, NEW);
        for (path, content, status) in [
            ("/new/", "", "201"),
            ("/new/sub", "", "201"),
            ("/new/", "", "405"),
            ("/hello.txt", "", "405"),
            ("/", "", "405"),
            ("/none/sub", "", "409"),
            ("/other", "x", "415"),
        ] {
            let answer = send(&server, "MKCOL", path, "", content);
            assert_eq!(answer.status(), status, "{path}");
        }
        assert!(folder.path().join("new/sub").is_dir());
        assert_eq!(names(folder.path()), ["big.bin", "hello.txt", "new"]);
    });
}

#[test]
fn files_and_empty_folders_are_removed_and_nothing_else() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        folder.file("full/deep/file", b"x");
        fs::create_dir(folder.path().join("empty")).expect("a folder");
        symlink("full", folder.path().join("link")).expect("a link");
        let server = serving(driver, &folder, OVERWRITE);
        for (path, lines, status) in [
            ("/", "", "403"),
            ("/full/", "", "409"),
            ("/full/deep", "", "409"),
            ("/none", "", "404"),
            ("/none/sub", "", "404"),
            ("/hello.txt/", "", "404"),
            ("/hello.txt", "If-Match: \"x\"\r\n", "412"),
            ("/hello.txt", "", "204"),
            ("/hello.txt", "", "404"),
            ("/empty/", "", "204"),
            ("/link", "", "204"),
            ("/full/deep/file", "", "204"),
            ("/full/deep", "", "204"),
        ] {
            let answer = send(&server, "DELETE", path, lines, "");
            assert_eq!(answer.status(), status, "{path} {lines}");
        }
        assert_eq!(names(folder.path()), ["big.bin", "full"]);
    });
}

#[test]
fn a_folder_is_removed_with_all_that_is_in_it_only_if_that_was_asked_for() {
    on_every_driver(|driver| {
        let folder = Folder::usual();
        let outside = Folder::usual();
        for number in 0..50 {
            folder.file(format!("full/{}/{number}", number % 7), b"x");
        }
        symlink(outside.path(), folder.path().join("full/3/out")).expect("a link");
        let options = UploadOptions { remove_folders: true, ..OVERWRITE };
        let server = serving(driver, &folder, options);
        assert_eq!(send(&server, "DELETE", "/full/", "", "").status(), "204");
        assert_eq!(names(folder.path()), ["big.bin", "hello.txt"]);
        assert_eq!(names(outside.path()), ["big.bin", "hello.txt"]);
        assert_eq!(send(&server, "DELETE", "/", "", "").status(), "403");
    });
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let folder = Folder::usual();
    let server = serving(DriverKind::Epoll, &folder, OVERWRITE);
    for (lines, allowed) in [
        ("Origin: http://evil.example\r\n", false),
        ("Origin: null\r\n", false),
        ("Origin: http://h:81\r\n", false),
        ("Origin: http://h\r\nOrigin: http://evil.example\r\n", false),
        ("Sec-Fetch-Site: cross-site\r\n", false),
        ("Sec-Fetch-Site: same-site\r\n", false),
        ("Sec-Fetch-Site: cross-site\r\nOrigin: http://h\r\n", false),
        ("Origin: http://h\r\n", true),
        ("Sec-Fetch-Site: same-origin\r\nOrigin: http://h\r\n", true),
        ("", true),
    ] {
        for (method, path) in
            [("PUT", "/new"), ("MKCOL", "/made/"), ("DELETE", "/new"), ("DELETE", "/made")]
        {
            let answer = send(&server, method, path, lines, "");
            assert_eq!(answer.status() != "403", allowed, "{method} {lines}");
        }
        assert_eq!(names(folder.path()), ["big.bin", "hello.txt"], "{lines}");
    }
}

#[test]
fn a_quota_is_of_all_that_lies_in_the_folder() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("old", &pattern(4000));
        let server = serving(driver, &folder, UploadOptions { quota: Some(10_000), ..OVERWRITE });
        for (method, path, length, status) in [
            ("PUT", "/a", 6001, "507"),
            ("PUT", "/a", 6000, "201"),
            ("PUT", "/b", 1, "507"),
            ("DELETE", "/old", 0, "204"),
            ("PUT", "/b", 4000, "201"),
            ("PUT", "/c", 1, "507"),
        ] {
            let answer = send(&server, method, path, "", pattern(length));
            assert_eq!(answer.status(), status, "{method} {path}");
        }
        // Nothing was announced.
        let mut client = server.connect();
        client.send(
            "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        );
        assert_eq!(client.response().status(), "507");
        assert_eq!(names(folder.path()), ["a", "b"]);
    });
}

fn form(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, content) in files {
        form.extend_from_slice(
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
            )
            .as_bytes(),
        );
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--b--\r\n");
    form
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

#[test]
fn a_form_puts_each_file_into_the_folder_under_its_last_name() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        fs::create_dir(folder.path().join("sub")).expect("a folder");
        let server = serving(driver, &folder, NEW);
        let big = pattern(700_000);
        let files: [(&str, &[u8]); 3] =
            [("../../evil.txt", b"one"), ("C:\\dir\\big.bin", &big), ("ü %22.txt", b"")];
        let answer = send(&server, "POST", "/sub/", FORM, form(&files));
        assert_eq!(answer.status(), "201");
        assert_eq!(
            answer.text(),
            "saved evil.txt (3 B)\nsaved big.bin (700000 B)\nsaved ü \".txt (0 B)\n"
        );
        assert_eq!(names(&folder.path().join("sub")), ["big.bin", "evil.txt", "ü \".txt"]);
        assert_eq!(fs::read(folder.path().join("sub/big.bin")).expect("it is there"), big);

        let accept = format!("{FORM}Accept: text/html,*/*\r\n");
        let answer = send(&server, "POST", "/sub/", &accept, form(&[("new", b"x")]));
        assert_eq!((answer.status(), answer.header("Location")), ("303", Some("/sub/")));
        assert_eq!(send(&server, "POST", "/none/", FORM, form(&[("a", b"x")])).status(), "404");
        assert_eq!(send(&server, "POST", "/sub/", FORM, "--b--").status(), "400");
        assert_eq!(send(&server, "POST", "/sub/", "", "a=b").status(), "415");
    });
}

#[test]
fn of_a_form_what_can_be_saved_is_and_the_rest_is_named() {
    let folder = Folder::usual();
    let server = serving(DriverKind::Epoll, &folder, NEW);
    let files: [(&str, &[u8]); 4] =
        [("a", b"1"), ("hello.txt", b"no"), (".sockeye-upload-x", b"no"), ("b", b"2")];
    let accept = format!("{FORM}Accept: application/json\r\n");
    let answer = send(&server, "POST", "/", &accept, form(&files));
    assert_eq!(answer.status(), "409");
    assert_eq!(names(folder.path()), ["a", "b", "big.bin", "hello.txt"]);
    assert_eq!(server.get("/hello.txt").body, b"hello\n");
    for part in ["\"name\":\"a\"", "\"location\":\"/b\"", "{\"name\":\"hello.txt\",\"reason\":"] {
        assert!(answer.text().contains(part), "{part} in {}", answer.text());
    }
    // Cut short in the second file.
    let mut cut = form(&[("c", b"whole"), ("d", b"not whole")]);
    cut.truncate(cut.len() - 12);
    let answer = send(&server, "POST", "/", FORM, cut);
    assert_eq!(answer.status(), "400");
    assert!(answer.text().contains("saved: c"), "{}", answer.text());
    patiently(|| names(folder.path()) == ["a", "b", "big.bin", "c", "hello.txt"]);
}

#[test]
fn options_tells_what_can_be_changed() {
    let folder = Folder::usual();
    let allowed = |server: &Server, path: &str| {
        let answer = send(server, "OPTIONS", path, "", "");
        assert_eq!(answer.header("Tus-Version"), Some("1.0.0"));
        assert!(answer.header("Tus-Extension").is_some_and(|names| names.contains("creation")));
        answer.header("Allow").expect("methods").to_owned()
    };
    let server = serving(DriverKind::Epoll, &folder, NEW);
    assert_eq!(allowed(&server, "*"), "GET, HEAD, OPTIONS, PUT, POST, PATCH, MKCOL");
    assert_eq!(allowed(&server, "/"), "GET, HEAD, OPTIONS, POST, PATCH");
    assert_eq!(allowed(&server, "/hello.txt"), "GET, HEAD, OPTIONS");
    let server = serving(DriverKind::Epoll, &folder, OVERWRITE);
    assert_eq!(allowed(&server, "*"), "GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE, MKCOL");
    assert_eq!(allowed(&server, "/"), "GET, HEAD, OPTIONS, POST, PATCH, DELETE");
    assert_eq!(allowed(&server, "/hello.txt"), "GET, HEAD, OPTIONS, PUT, POST, DELETE");
    let refused = send(&server, "MKCOL", "/hello.txt", "", "");
    assert_eq!(refused.header("Allow"), Some("GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE"));
}

#[test]
fn names_that_begin_with_a_dot_are_not_taken_where_they_are_not_shown() {
    let folder = Folder::new();
    let server = serving(DriverKind::Epoll, &folder, OVERWRITE);
    for (method, path) in
        [("PUT", "/.bashrc"), ("PUT", "/.ssh/authorized_keys"), ("MKCOL", "/.git")]
    {
        assert_eq!(send(&server, method, path, "", "").status(), "403", "{path}");
    }
    let answer = send(&server, "POST", "/", FORM, form(&[("/home/x/.bashrc", b"x")]));
    assert_eq!(answer.status(), "403");
    assert_eq!(names(folder.path()), [""; 0]);
}

/// `SOCKEYE_SWAPS=100000` for the long run.
#[test]
fn folders_that_are_swapped_for_links_lead_no_upload_out() {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    let puts = std::env::var("SOCKEYE_SWAPS").ok().and_then(|puts| puts.parse().ok());
    let folder = Folder::new();
    let outside = Folder::new();
    let [sub, other] = ["sub", "other"].map(|name| folder.path().join(name));
    fs::create_dir(&sub).expect("a folder");
    symlink(outside.path(), &other).expect("a link");
    let server = serving(DriverKind::Epoll, &folder, OVERWRITE);
    let over = AtomicBool::new(false);
    let (mut stored, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat_with(CWD, &sub, CWD, &other, RenameFlags::EXCHANGE)
                    .expect("both are there");
            }
        });
        for number in 0..puts.unwrap_or(400) {
            let answer = match number % 4 {
                0 => send(&server, "MKCOL", &format!("/sub/made{number}"), "", ""),
                1 => send(&server, "POST", "/sub/", FORM, form(&[("form", b"x")])),
                2 => send(&server, "DELETE", "/sub/form", "", ""),
                _ => send(&server, "PUT", "/sub/put", "", "x"),
            };
            match answer.status().as_bytes()[0] {
                b'2' => stored += 1,
                _ => refused += 1,
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(stored > 0 && refused > 0, "{stored} went in, {refused} were refused");
    assert_eq!(names(outside.path()), [""; 0]);
}
