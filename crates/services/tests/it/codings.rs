//! Files in other codings: those that lie beside them, and those that are compressed while they are
//! sent.

use std::io::Read as _;

use sockeye_services::http::files;

use crate::support::{Client, Folder, Response, Server, Setup, on_every_driver, pattern};

fn text(lines: u32) -> String {
    (0..lines).map(|number| format!("line {number}\n")).collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(content, flate2::Compression::best())
        .read_to_end(&mut packed)
        .expect("memory does not fail");
    packed
}

fn ask(client: &mut Client, path: &str, accepted: &str, more: &str) -> Response {
    client.send(format!(
        "GET /{path} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accepted}\r\n{more}\r\n"
    ));
    client.response()
}

fn unpacked(response: &Response) -> Vec<u8> {
    let mut content = Vec::new();
    let body = &response.body[..];
    match response.header("Content-Encoding") {
        Some("br") => brotli::Decompressor::new(body, 4096).read_to_end(&mut content),
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_end(&mut content),
        Some("zstd") => {
            zstd::stream::read::Decoder::new(body).expect("a decoder").read_to_end(&mut content)
        }
        other => panic!("{other:?}"),
    }
    .expect("it is whole");
    content
}

#[test]
fn a_file_beside_it_is_sent_in_its_place_if_the_client_likes_it_better() {
    let folder = Folder::new();
    let large = text(30_000);
    // No .br: the .gz must be found all the same.
    for (name, content) in [("small.js", text(100)), ("large.js", large)] {
        folder.file(name, content.as_bytes());
        folder.file(format!("{name}.gz"), &gzip(content.as_bytes()));
    }
    folder.file("all.css", b"plain");
    folder.file("all.css.br", b"brotli");
    folder.file("all.css.zst", b"zstd");
    folder.file("all.css.gz", b"gzip");
    // What has a type of its own is taken for just these bytes.
    folder.file("a.tar", b"plain");
    folder.file("a.tar.gz", b"gzip");
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for round in 0..2 {
            for (name, accepted, coding, sent) in [
                ("small.js", "br, gzip", Some("gzip"), "small.js.gz"),
                ("large.js", "br, gzip", Some("gzip"), "large.js.gz"),
                ("small.js", "gzip;q=0, identity", None, "small.js"),
                ("all.css", "gzip, br, zstd", Some("br"), "all.css.br"),
                ("all.css", "gzip, br;q=0.9, zstd;q=0.5", Some("gzip"), "all.css.gz"),
                ("all.css", "zstd", Some("zstd"), "all.css.zst"),
                ("all.css", "deflate", None, "all.css"),
                ("all.css", "", None, "all.css"),
                ("a.tar", "gzip", None, "a.tar"),
            ] {
                let response = ask(&mut client, name, accepted, "");
                let of = format!("{driver} {name} {accepted} {round}");
                let content = std::fs::read(folder.path().join(sent)).expect("it is there");
                assert!(response.body == content, "{of}");
                assert_eq!(response.header("Content-Encoding"), coding, "{of}");
                assert_eq!(response.header("ETag"), Some(&*folder.tag(sent)), "{of}");
                assert_eq!(response.header("Accept-Ranges"), Some("bytes"), "{of}");
                let vary = (name != "a.tar").then_some("Accept-Encoding");
                assert_eq!(response.header("Vary"), vary, "{of}");
                let kind = response.header("Content-Type").expect("a type");
                assert_eq!(kind.starts_with("text/"), name != "a.tar", "{of}");
            }
            // Next round, they come from memory.
            client.settle("/all.css.gz");
        }
        let none = ask(&mut client, "all.css", "identity;q=0", "");
        assert_eq!(none.status(), "406");
        assert_eq!(none.header("Vary"), Some("Accept-Encoding"));
        // A part is of the bytes that are sent.
        let part = ask(&mut client, "all.css", "br", "Range: bytes=1-2\r\n");
        assert_eq!((part.status(), part.text()), ("206", "ro"));
        let tag = folder.tag("all.css.br");
        let known = ask(&mut client, "all.css", "br", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((known.status(), known.header("Vary")), ("304", Some("Accept-Encoding")));
        let other = ask(&mut client, "all.css", "gzip", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(other.status(), "200");
    });
}

#[test]
fn a_file_beside_it_never_hides_that_the_file_has_changed() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("a.js", b"old");
        folder.file("a.js.gz", b"packed old");
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        client.settle("/a.js.gz");
        for _ in 0..3 {
            assert_eq!(ask(&mut client, "a.js", "gzip", "").text(), "packed old");
        }
        // Newer than what was packed.
        std::fs::write(folder.path().join("a.js"), b"new").expect("ours");
        assert_eq!(ask(&mut client, "a.js", "gzip", "").text(), "new");
        std::fs::write(folder.path().join("a.js.gz"), b"packed new").expect("ours");
        // What comes to lie beside it may be overlooked for a second.
        crate::support::patiently(|| ask(&mut client, "a.js", "gzip", "").text() == "packed new");
        std::fs::remove_file(folder.path().join("a.js.gz")).expect("ours");
        assert_eq!(ask(&mut client, "a.js", "gzip", "").text(), "new");
        std::fs::remove_file(folder.path().join("a.js")).expect("ours");
        assert_eq!(ask(&mut client, "a.js", "gzip", "").status(), "404");
    });
}

#[test]
fn text_is_compressed_while_it_is_sent_and_is_the_same_again() {
    let folder = Folder::new();
    let (small, large) = (text(1000), text(200_000));
    folder.file("small.txt", small.as_bytes());
    folder.file("large.txt", large.as_bytes());
    folder.file("tiny.txt", b"too short");
    folder.file("noise.txt", &pattern(3000));
    folder.file("r.bin", &pattern(3000));
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        client.settle("/r.bin");
        for round in 0..3 {
            for coding in ["br", "gzip", "zstd"] {
                for (name, content) in [("small.txt", &small), ("large.txt", &large)] {
                    let response = ask(&mut client, name, coding, "");
                    let of = format!("{driver} {name} {coding} {round}");
                    assert_eq!(response.header("Content-Encoding"), Some(coding), "{of}");
                    assert_eq!(response.header("Vary"), Some("Accept-Encoding"), "{of}");
                    assert!(unpacked(&response) == content.as_bytes(), "{of}");
                    assert!(response.body.len() < content.len() / 3, "{of}");
                    let tag = folder.tag(name).replace("\"", "");
                    let expected = format!("\"{tag}-{coding}\"");
                    assert_eq!(response.header("ETag"), Some(&*expected), "{of}");
                    let condition = format!("If-None-Match: W/{expected}\r\n");
                    let known = ask(&mut client, name, coding, &condition);
                    assert_eq!(known.status(), "304", "{of}");
                    // Nobody can ask for the second half of what is made anew each time.
                    let part = ask(&mut client, name, coding, "Range: bytes=0-3\r\n");
                    assert_eq!((part.status(), part.text()), ("206", "line"), "{of}");
                    assert_eq!(part.header("Content-Encoding"), None, "{of}");
                }
                // From the second round on the length of the small one is known.
                if round == 2 {
                    let response = ask(&mut client, "small.txt", coding, "");
                    assert!(response.header("Content-Length").is_some());
                    assert_eq!(response.header("Accept-Ranges"), Some("bytes"));
                }
            }
            for name in ["tiny.txt", "r.bin"] {
                let response = ask(&mut client, name, "gzip", "");
                assert_eq!(response.header("Content-Encoding"), None, "{driver} {name}");
            }
        }
        // What turns out to get no smaller is not tried again.
        ask(&mut client, "noise.txt", "gzip", "");
        assert_eq!(ask(&mut client, "noise.txt", "gzip", "").header("Content-Encoding"), None);
        client.send("GET /large.txt HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
        let head = client.head();
        assert!(!head.contains("Transfer-Encoding"), "{head}");
        let response = Response { head, body: client.rest() };
        assert!(unpacked(&response) == large.as_bytes());
    });
}

#[test]
fn nothing_is_compressed_where_that_is_not_wanted() {
    let folder = Folder::new();
    folder.file("a.txt", text(1000).as_bytes());
    folder.file("a.txt.gz", b"packed");
    let mut setup = Setup::default();
    setup.site.files = files::Options { precompressed: false, compress: None, ..setup.site.files };
    let server = Server::with(sockeye_engine::DriverKind::EpollEdge, &folder, setup);
    let response = ask(&mut server.connect(), "a.txt", "gzip", "");
    assert_eq!(response.header("Content-Encoding"), None);
    assert_eq!(response.header("Vary"), None);
    assert!(response.text() == text(1000));
}
