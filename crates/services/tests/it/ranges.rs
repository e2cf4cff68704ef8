//! Parts of files.

use crate::support::{Client, Folder, Response, Server, on_every_driver, pattern};

/// Kept in memory, and sent from the file.
const FILES: [(&str, usize); 2] = [("small.bin", 10_000), ("big.bin", 300_000)];

fn folder() -> Folder {
    let folder = Folder::new();
    for (name, size) in FILES {
        folder.file(name, &pattern(size));
    }
    folder
}

fn ask(client: &mut Client, name: &str, lines: &str) -> Response {
    client.send(format!("GET /{name} HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n"));
    client.response()
}

#[test]
fn one_range_is_sent_as_it_lies_in_the_file() {
    let folder = folder();
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for (name, size) in FILES {
            let content = pattern(size);
            for (range, part) in [
                ("0-0", 0..1),
                ("0-99", 0..100),
                ("5000-", 5000..size),
                ("-1", size - 1..size),
                ("-99999999", 0..size),
                ("9000-18446744073709551616", 9000..size),
                ("100-199,150-299", 100..300),
            ] {
                let response = ask(&mut client, name, &format!("Range: bytes={range}"));
                assert_eq!(response.status(), "206", "{range}");
                assert!(response.body == content[part.clone()], "{driver} {name} {range}");
                let said = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                assert_eq!(response.header("Content-Range"), Some(&*said));
                assert_eq!(response.header("ETag"), Some(&*folder.tag(name)));
            }
            // The connection goes on, and whole files are whole.
            assert!(ask(&mut client, name, "").body == content);
        }
    });
}

#[test]
fn several_ranges_come_as_parts_in_the_order_they_were_asked_for() {
    let folder = folder();
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        for (name, size) in FILES {
            let content = pattern(size);
            let response = ask(&mut client, name, "Range: bytes=-5,0-9,5000-5003");
            assert_eq!(response.status(), "206");
            assert_eq!(response.header("Content-Range"), None);
            let kind = response.header("Content-Type").expect("a type").to_owned();
            let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("parts");
            let mut expected = Vec::new();
            for part in [size - 5..size, 0..10, 5000..5004] {
                let line = if expected.is_empty() { "" } else { "\r\n" };
                let head = format!(
                    "{line}--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                     Content-Range: bytes {}-{}/{size}\r\n\r\n",
                    part.start,
                    part.end - 1
                );
                expected.extend(head.bytes());
                expected.extend(&content[part]);
            }
            expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
            assert!(response.body == expected, "{driver} {name}");
            assert!(ask(&mut client, name, "").body == content);
        }
    });
}

#[test]
fn what_can_not_be_had_in_part_is_refused_or_sent_whole() {
    let folder = folder();
    on_every_driver(|driver| {
        let server = Server::start(driver, &folder);
        let mut client = server.connect();
        client.settle("/big.bin");
        let many: Vec<String> = (0..100).map(|n| format!("{}-{}", n * 300, n * 300)).collect();
        let bomb = format!("Range: bytes={}", many.join(","));
        for (name, size) in FILES {
            let past = ask(&mut client, name, "Range: bytes=300000-");
            assert_eq!(past.status(), "416");
            let said = format!("bytes */{size}");
            assert_eq!(past.header("Content-Range"), Some(&*said));
            let tag = folder.tag(name);
            for (lines, status) in [
                ("Range: bytes=5-1".to_owned(), "200"),
                ("Range: lines=0-1".to_owned(), "200"),
                (bomb.clone(), "200"),
                (format!("Range: bytes=0-1\r\nIf-Range: {tag}"), "206"),
                (format!("Range: bytes=0-1\r\nIf-Range: W/{tag}"), "200"),
                ("Range: bytes=0-1\r\nIf-Range: \"x\"".to_owned(), "200"),
                // The time was set by hand, so another content may have had it.
                ("Range: bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), "200"),
                (format!("Range: bytes=0-1\r\nIf-None-Match: {tag}"), "304"),
                ("Range: bytes=0-1\r\nIf-Match: \"x\"".to_owned(), "412"),
            ] {
                let response = ask(&mut client, name, &lines);
                assert_eq!(response.status(), status, "{driver} {name} {lines}");
                assert!(status != "200" || response.body == pattern(size));
            }
            client.send(format!("HEAD /{name} HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\n\r\n"));
            let head = client.head();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "Range is for GET alone: {head}");
            assert!(head.contains(&format!("\r\nContent-Length: {size}\r\n")));
        }
    });
}

#[test]
fn any_ranges_of_any_files_are_what_lies_there() {
    use proptest::prelude::*;
    let folder = folder();
    let server = Server::start(sockeye_engine::DriverKind::EpollEdge, &folder);
    let mut runner = proptest::test_runner::TestRunner::default();
    let asked = (0..2usize, 0..12_000u64, 0..12_000u64);
    let result = runner.run(&asked, |(file, first, more)| {
        let (name, size) = FILES[file];
        let mut client = server.connect();
        let lines = format!("Range: bytes={first}-{}\r\nConnection: close", first + more);
        let response = ask(&mut client, name, &lines);
        let content = pattern(size);
        let first = usize::try_from(first).expect("small");
        if first >= size {
            prop_assert_eq!(response.status(), "416");
            return Ok(());
        }
        let end = size.min(first + usize::try_from(more).expect("small") + 1);
        prop_assert_eq!(response.status(), "206");
        prop_assert!(response.body == content[first..end]);
        Ok(())
    });
    result.expect("every range");
}
