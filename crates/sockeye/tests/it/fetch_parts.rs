//! What curl makes of parts, codings and passwords: whatever it asks for, in the end it has the file.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kit::need;
use crate::kit::server::{Server, output};

on_every_driver!(
    curl_goes_on_with_a_download_that_was_cut,
    curl_unpacks_what_was_compressed_for_it,
    curl_gets_in_with_the_right_password_alone,
);

fn text() -> String {
    (0..100_000).map(|number| format!("line {number}\n")).collect()
}

fn curl(arguments: &[&str]) -> Vec<u8> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60"]).args(arguments);
    curl.output().expect("curl runs").stdout
}

fn curl_goes_on_with_a_download_that_was_cut(driver: &str) {
    if !need("curl_goes_on_with_a_download_that_was_cut", &["curl"]) {
        return;
    }
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let content = text();
    fs::write(folder.path().join("large.txt"), &content).unwrap();
    let server = Server::start(folder.path(), &["--driver", driver]);
    let copy = copies.path().join("copy");
    fs::write(&copy, &content[..123_456]).unwrap();
    let to = copy.to_str().unwrap();
    curl(&["--continue-at", "-", "--output", to, &server.url("/large.txt")]);
    assert!(fs::read_to_string(&copy).unwrap() == content, "{driver}");
    let parts = curl(&["--range", "0-5,100000-100009", &server.url("/large.txt")]);
    let parts = String::from_utf8(parts).unwrap();
    let part = format!("\r\n\r\n{}\r\n--", &content[100_000..100_010]);
    assert!(parts.contains("\r\n\r\nline 0\r\n--") && parts.contains(&part), "{parts}");
    server.stop();
}

fn curl_unpacks_what_was_compressed_for_it(driver: &str) {
    if !need("curl_unpacks_what_was_compressed_for_it", &["curl", "gzip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let content = text();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    write("large.txt", &content);
    write("small.txt", &content[..5000]);
    write("beside.txt", &content);
    output("gzip", &["--keep", "--best", folder.path().join("beside.txt").to_str().unwrap()]);
    let server = Server::start(folder.path(), &["--driver", driver]);
    for name in ["large.txt", "small.txt", "beside.txt"] {
        let expected = fs::read(folder.path().join(name)).unwrap();
        let url = server.url(&format!("/{name}"));
        for _ in 0..2 {
            assert!(curl(&["--compressed", &url]) == expected, "{driver} {name}");
            assert!(curl(&[&url]) == expected, "{driver} {name}");
        }
        let accept = ["--header", "Accept-Encoding: gzip", "--output"];
        let packed = folder.path().join(format!("{name}.copy.gz"));
        curl(&[&accept[..], &[packed.to_str().unwrap(), &url]].concat());
        assert!(unpacked(&packed) == expected, "{driver} {name}");
    }
    server.stop();
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut gzip = Command::new("gzip");
    gzip.args(["--decompress", "--stdout"]).arg(path).output().expect("gzip runs").stdout
}

fn curl_gets_in_with_the_right_password_alone(driver: &str) {
    if !need("curl_gets_in_with_the_right_password_alone", &["curl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    fs::write(folder.path().join("site/a"), "it").unwrap();
    let users = folder.path().join("users");
    // bcrypt of "secret", with few rounds.
    let hash = "$2b$04$AlWBC1NBHsNSaCyvdhbGZOQ/gE8eMy9e7Srm7nh2koRgTiZ8cS5E2";
    fs::write(&users, format!("ann:{hash}\n")).unwrap();
    let users = users.to_str().unwrap();
    let site = folder.path().join("site");
    let server = Server::start(&site, &["--driver", driver, "--auth", users]);
    let status = |more: &[&str]| {
        let url = server.url("/a");
        let fixed = ["--output", "/dev/null", "--write-out", "%{http_code}", &url];
        String::from_utf8(curl(&[&fixed[..], more].concat())).unwrap()
    };
    for _ in 0..2 {
        assert_eq!(status(&[]), "401");
        assert_eq!(status(&["--user", "ann:wrong"]), "401");
        assert_eq!(status(&["--user", "eve:secret"]), "401");
        assert_eq!(status(&["--user", "ann:secret"]), "200");
        assert_eq!(status(&["--anyauth", "--user", "ann:secret"]), "200");
    }
    server.stop();
}
