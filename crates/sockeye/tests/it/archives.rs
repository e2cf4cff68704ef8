//! A folder as one file, unpacked by the programs that people have.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::kit::folder::sparse;
use crate::kit::need;
use crate::kit::server::{Server, output};

on_every_driver!(what_is_unpacked_is_what_was_in_the_folder);

/// How each archive is unpacked into a folder.
const UNPACKERS: [(&str, &str, &[&str]); 5] = [
    ("tar.gz", "tar", &["xzf", "@"]),
    ("tar.zst", "tar", &["--zstd", "-xf", "@"]),
    ("zip", "unzip", &["-q", "@"]),
    ("tar.zst", "bsdtar", &["-xf", "@"]),
    ("zip", "bsdtar", &["-xf", "@"]),
];

fn what_is_unpacked_is_what_was_in_the_folder(driver: &str) {
    let test = "what_is_unpacked_is_what_was_in_the_folder";
    if !need(test, &["curl", "tar", "unzip", "bsdtar", "zstd", "diff"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    let deep = "d/".repeat(120);
    fs::create_dir_all(top.join(&deep)).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    let long = "long ".repeat(40);
    for name in ["a b", "名 ü.txt", "-rf", "c:d", "c:é", "%5C", long.trim(), &format!("{deep}x")]
    {
        fs::write(top.join(name), name.repeat(5000)).unwrap();
    }
    fs::write(top.join("photo.jpg"), [0; 100_000]).unwrap();
    symlink("a b", top.join("link")).unwrap();
    let server = Server::start(folder.path(), &["--driver", driver, "--archive"]);
    for (format, program, arguments) in UNPACKERS {
        let copy = tempfile::tempdir().unwrap();
        let packed = copy.path().join(format!("packed.{format}"));
        fetch(&server, &format!("/top/?archive={format}"), &packed);
        unpack(program, arguments, &packed);
        fs::remove_file(packed).unwrap();
        output("diff", &["-r", path(&top), path(&copy.path().join("top"))]);
    }
    server.stop();
}

/// Bytes that are no UTF-8 are a name too; for zip, only programs of Linux have them back as they were.
#[test]
fn a_name_of_any_bytes_comes_back() {
    if !need("a_name_of_any_bytes_comes_back", &["curl", "tar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"bad\xff\x1b[2J\n");
    fs::write(folder.path().join(name), "content").unwrap();
    let server = Server::start(folder.path(), &["--archive"]);
    let copy = tempfile::tempdir().unwrap();
    let packed = copy.path().join("packed");
    fetch(&server, "/?archive=tar.gz", &packed);
    unpack("tar", &["xzf", "@", "--strip-components=1"], &packed);
    assert_eq!(fs::read(copy.path().join(name)).unwrap(), b"content");
    server.stop();
}

#[test]
fn fifty_thousand_files_are_packed_and_listed() {
    const FILES: usize = 50_000;
    if !need("fifty_thousand_files_are_packed_and_listed", &["curl", "tar", "unzip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        fs::write(folder.path().join(format!("file-{number}")), number.to_string()).unwrap();
    }
    let server = Server::start(folder.path(), &["--archive"]);
    let packed = tempfile::tempdir().unwrap();
    let [tape, zip] = ["tar.gz", "zip"].map(|format| {
        let file = packed.path().join(format);
        fetch(&server, &format!("/?archive={format}"), &file);
        file
    });
    let listed = output("tar", &["tzf", path(&tape)]);
    assert_eq!(listed.lines().count(), FILES + 1);
    let tested = output("unzip", &["-tqq", path(&zip)]);
    assert_eq!(tested, "");
    let listing = output("curl", &["-sS", &server.url("/?format=text")]);
    let last: Vec<&str> = listing.lines().collect();
    assert_eq!((last.len(), last[FILES - 1].ends_with("file-49999")), (FILES, true));
    server.stop();
}

/// What is beyond 4 GiB needs ZIP64, in front of the file and behind it.
#[test]
fn a_file_beyond_four_gigabytes_is_whole_in_a_zip() {
    if !need("a_file_beyond_four_gigabytes_is_whole_in_a_zip", &["curl", "unzip", "bsdtar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    sparse(&folder.path().join("big"), (4 << 30) + 1);
    fs::write(folder.path().join("behind"), "small").unwrap();
    let server = Server::start(folder.path(), &["--archive"]);
    let packed = tempfile::tempdir().unwrap();
    let zip = packed.path().join("zip");
    fetch(&server, "/?archive=zip", &zip);
    server.stop();
    assert_eq!(output("unzip", &["-tqq", path(&zip)]), "");
    let listed = output("bsdtar", &["-tvf", path(&zip)]);
    assert!(listed.contains(" 4294967297 "), "{listed}");
}

fn fetch(server: &Server, from: &str, to: &Path) {
    output("curl", &["-sS", "--fail", "-o", path(to), &server.url(from)]);
}

/// Unpacks where the archive is.
fn unpack(program: &str, arguments: &[&str], packed: &Path) {
    let status = Command::new(program)
        .args(
            arguments.iter().map(|argument| if *argument == "@" { path(packed) } else { argument }),
        )
        .current_dir(packed.parent().unwrap())
        // Names in UTF-8 are restored in such a locale alone.
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{program}: {status}");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
