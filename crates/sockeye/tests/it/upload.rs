//! Uploads by the programs people have: curl, a client of tus, a browser.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kit::folder::noise;
use crate::kit::server::{Server, output, run};
use crate::kit::{eventually, need, skip};

on_every_driver!(
    curl_puts_and_posts_what_it_gets_back,
    a_client_of_tus_goes_on_where_it_was_cut_off,
);

/// What is in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn curl_puts_and_posts_what_it_gets_back(driver: &str) {
    if !need("curl_puts_and_posts_what_it_gets_back", &["curl"]) {
        return;
    }
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = |name: &str, length| {
        let path = ours.path().join(name);
        fs::write(&path, noise(length as u64, length)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (big, small) = (file("big.bin", 5_000_000), file("small ü.txt", 10));
    let server = Server::start(theirs.path(), &["--driver", driver, "--write"]);
    let status = |arguments: &[&str]| {
        let settings = ["--silent", "--show-error", "--write-out", "\n%{http_code}"];
        let said = output("curl", &[&settings[..], arguments].concat());
        said.rsplit('\n').next().unwrap().to_owned()
    };
    assert_eq!(status(&["-X", "MKCOL", &server.url("/sub/")]), "201");
    // The slash at the end makes curl add the name.
    assert_eq!(status(&["-T", &big, &server.url("/sub/")]), "201");
    assert_eq!(status(&["-T", &big, &server.url("/sub/")]), "409");
    let fields = [format!("file=@{small}"), format!("file=@{big};filename=again.bin")];
    let form = ["-F", &fields[0], "-F", &fields[1], "-F", "note=no file", &server.url("/sub/")];
    assert_eq!(status(&form), "201");
    assert_eq!(names(&theirs.path().join("sub")), ["again.bin", "big.bin", "small ü.txt"]);
    for (name, path) in [("big.bin", &big), ("again.bin", &big), ("small ü.txt", &small)] {
        let stored = fs::read(theirs.path().join("sub").join(name)).unwrap();
        assert!(stored == fs::read(path).unwrap(), "{name}");
    }
    // From a pipe, in chunks.
    let piped = format!("curl -sS -T - {} < '{big}'", server.url("/piped.bin"));
    output("sh", &["-c", &piped]);
    let got = theirs.path().join("got.bin");
    output("curl", &["-sS", "-o", got.to_str().unwrap(), &server.url("/piped.bin")]);
    assert!(fs::read(got).unwrap() == fs::read(&big).unwrap());
    server.stop();
}

/// Sends half of a file, forgets everything but the URL, and sends the rest.
const RESUME: &str = "
import sys
from tusclient import client
url, path, sum = sys.argv[1], sys.argv[2], sys.argv[3] == 'sum'
tus = client.TusClient(url)
one = tus.uploader(path, chunk_size=100_000, metadata={'filename': 'from tus.bin'}, upload_checksum=sum)
one.upload(stop_at=one.get_file_size() // 2)
two = tus.uploader(path, url=one.url, chunk_size=70_001, upload_checksum=sum)
assert 0 < two.get_offset() < two.get_file_size(), two.get_offset()
two.upload()
assert two.get_offset() == two.get_file_size()
";

fn a_client_of_tus_goes_on_where_it_was_cut_off(driver: &str) {
    let test = "a_client_of_tus_goes_on_where_it_was_cut_off";
    let python = "/usr/bin/python3";
    let mut known = Command::new(python);
    if run(known.args(["-c", "import tusclient"])).0 != Some(0) {
        return skip(test, "the tusclient of Python (python3-tuspy) is missing");
    }
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = ours.path().join("file");
    fs::write(&file, noise(7, 1_000_000)).unwrap();
    let server = Server::start(theirs.path(), &["--driver", driver, "--write=overwrite"]);
    for sum in ["sum", "none"] {
        let arguments = ["-c", RESUME, &server.url("/"), file.to_str().unwrap(), sum];
        output(python, &arguments);
        assert_eq!(names(theirs.path()), ["from tus.bin"]);
        let stored = fs::read(theirs.path().join("from tus.bin")).unwrap();
        assert!(stored == fs::read(&file).unwrap());
        fs::remove_file(theirs.path().join("from tus.bin")).unwrap();
    }
    server.stop();
}

#[test]
fn what_a_process_that_was_killed_left_behind_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join(".sockeye-upload-00112233445566778899aabbccddeeff.part");
    fs::write(&part, "half").unwrap();
    // Without --write it is neither shown nor touched.
    let server = Server::start(folder.path(), &[]);
    assert!(!output("curl", &["-sS", &server.url("/")]).contains("sockeye-upload"));
    server.stop();
    assert!(part.exists());
    let server = Server::start(folder.path(), &["--write"]);
    eventually("nothing is left", || names(folder.path()).is_empty().then_some(()));
    server.stop();
}

#[test]
fn flags_of_uploads_ask_for_write() {
    for flags in [&["--quota", "1m"][..], &["--delete-folders"], &["--write", "--delete-folders"]] {
        let mut serve = crate::kit::server::sockeye();
        let (code, _, said) = run(serve.args(["serve", "--port", "0"]).args(flags));
        assert_ne!(code, Some(0), "{flags:?}");
        assert!(said.contains("--write"), "{said}");
    }
}
