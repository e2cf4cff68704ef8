//! Uploads that end badly: the server is killed, or the disk is full. There is the old file or the new
//! one, whole, and nothing else.

use std::env;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::kit::client::Client;
use crate::kit::folder::noise;
use crate::kit::server::{Server, output};
use crate::kit::{eventually, need, need_root};

/// Kills in a usual run; `SOCKEYE_KILLS=1000` for the long one.
const KILLS: u64 = 40;

fn ours(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".sockeye-upload-"))
        .collect()
}

/// The content of the upload with this number: no two are alike, nor of one length.
fn content(number: u64) -> Vec<u8> {
    noise(number + 1, 200_000 + usize::try_from(number).unwrap() % 1000)
}

#[test]
fn whenever_the_server_is_killed_there_is_the_old_file_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let kills = env::var("SOCKEYE_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills = kills.unwrap_or(KILLS);
    // What may be there: what was there last, and what has been under way since.
    let mut known = content(0);
    fs::write(&path, &known).unwrap();
    let (mut kept, mut replaced, mut litter) = (0, 0, 0);
    for number in 1..=kills {
        let server = Server::start(folder.path(), &["--write=overwrite", "--threads", "1"]);
        // That of the one before.
        eventually("nothing is left behind", || ours(folder.path()).is_empty().then_some(()));
        let new = content(number);
        let answered = put_and_kill(server, number, &new);
        litter += ours(folder.path()).len();
        let found = fs::read(&path).unwrap();
        if found == new {
            replaced += 1;
            known = found;
        } else {
            assert!(found == known, "after {number}: neither, but {} bytes", found.len());
            assert!(!answered, "after {number}: a file that was stored is gone");
            kept += 1;
        }
    }
    assert_eq!(kept + replaced, kills);
    assert!(kept > 0 && replaced > 0 && litter > 0, "{kept} old, {replaced} new, {litter} left");
    say(&format!("{kills} kills: {kept} old files, {replaced} new ones, {litter} drafts left"));
}

/// Kills the server at some moment of an upload; whether it had said before that the file is stored.
fn put_and_kill(server: Server, number: u64, content: &[u8]) -> bool {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head =
        format!("PUT /file HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", content.len());
    stream.write_all(head.as_bytes()).unwrap();
    let draw = noise(number, 8);
    let draw = u64::from_le_bytes(draw.try_into().unwrap());
    // A third each: in the middle of the content, behind it, and after the answer.
    let sent = match draw % 3 {
        0 => usize::try_from((draw >> 8) % content.len() as u64).unwrap(),
        _ => content.len(),
    };
    stream.write_all(&content[..sent]).unwrap();
    match draw % 3 {
        // From here on the server writes, and moves the file: how far it comes is the scheduler's.
        1 => (0..(draw >> 8) % 2000).for_each(|_| std::thread::yield_now()),
        2 => assert!(stream.read(&mut [0; 12]).unwrap() > 0),
        _ => {}
    }
    stream.set_nonblocking(true).unwrap();
    server.signal(Signal::KILL);
    server.ended();
    let mut answer = Vec::new();
    stream.set_nonblocking(false).unwrap();
    let _ = stream.read_to_end(&mut answer);
    draw % 3 == 2 || answer.starts_with(b"HTTP/1.1 20")
}

#[test]
fn an_upload_goes_on_after_its_server_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(1);
    let mut server = Server::start(folder.path(), &["--write"]);
    let tus = "Tus-Resumable: 1.0.0\r\n";
    let mut client = Client::connect(server.address);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: h\r\n{tus}Upload-Length: {}\r\n\
         Upload-Metadata: filename ZmlsZQ==\r\nContent-Length: 0\r\n\r\n",
        content.len()
    ));
    let answer = client.answer();
    assert_eq!(answer.status, 201);
    let url = answer.header("location").unwrap().to_owned();
    let offset = |address: SocketAddr| {
        let mut client = Client::connect(address);
        client.send(format!("HEAD {url} HTTP/1.1\r\nHost: h\r\n{tus}\r\n"));
        let (status, head, _) = client.head();
        assert_eq!(status, 200, "{head}");
        let line = head.lines().find_map(|line| line.strip_prefix("Upload-Offset: "));
        line.unwrap().parse::<usize>().unwrap()
    };
    let mut last = 0;
    for sum in [false, true, false] {
        let at = offset(server.address);
        assert!(at >= last, "{at} after {last}");
        last = at;
        // Killed with about a third under way. With a checksum, what was not checked is dropped.
        let sum = if sum { "Upload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=\r\n" } else { "" };
        let mut stream = TcpStream::connect(server.address).unwrap();
        let head = format!(
            "PATCH {url} HTTP/1.1\r\nHost: h\r\n{tus}{sum}Upload-Offset: {at}\r\n\
             Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
            content.len() - at
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&content[at..at + (content.len() - at) / 3]).unwrap();
        server.signal(Signal::KILL);
        server.ended();
        server = Server::start(folder.path(), &["--write"]);
    }
    let at = offset(server.address);
    let mut client = Client::connect(server.address);
    client.send(format!(
        "PATCH {url} HTTP/1.1\r\nHost: h\r\n{tus}Upload-Offset: {at}\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        content.len() - at
    ));
    client.send(&content[at..]);
    assert_eq!(client.answer().status, 204);
    assert!(fs::read(folder.path().join("file")).unwrap() == content);
    assert!(ours(folder.path()).is_empty());
    server.stop();
}

on_every_driver!(a_full_disk_leaves_the_old_file_and_nothing_else);

fn a_full_disk_leaves_the_old_file_and_nothing_else(driver: &str) {
    let test = "a_full_disk_leaves_the_old_file_and_nothing_else";
    if !need_root(test) || !need(test, &["unshare", "mount", "curl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    // A disk of one mebibyte that nobody else sees.
    let script = format!(
        "mount -t tmpfs -o size=1m none '{at}' && exec '{}' serve '{at}' --port 0 \
         --write=overwrite --driver {driver}",
        env!("CARGO_BIN_EXE_sockeye")
    );
    let server = Server::of(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    // As that process sees it.
    let disk = PathBuf::from(format!("/proc/{}/root{at}", server.pid().as_raw_nonzero()));
    let status = |arguments: &[&str]| {
        let settings = ["-sS", "-o", "/dev/null", "-w", "%{http_code}"];
        output("curl", &[&settings[..], arguments].concat())
    };
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, length| {
        let path = files.path().join(name);
        fs::write(&path, noise(3, length)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (small, large) = (file("small", 300_000), file("large", 2_000_000));
    assert_eq!(status(&["-T", &small, &server.url("/file")]), "201");
    // The length is announced, comes in chunks, is that of a form, is that of an upload by parts.
    assert_eq!(status(&["-T", &large, &server.url("/file")]), "507");
    let piped = format!(
        "curl -sS -o /dev/null -w '%{{http_code}}' -T - {} < '{large}'",
        server.url("/file")
    );
    assert_eq!(output("sh", &["-c", &piped]), "507");
    let field = format!("file=@{large};filename=file");
    assert_eq!(status(&["-F", &field, &server.url("/")]), "507");
    let tus = ["-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Length: 2000000", "-X", "POST"];
    assert_eq!(status(&[&tus[..], &[&server.url("/file")]].concat()), "507");
    eventually("nothing is left behind", || ours(&disk).is_empty().then_some(()));
    assert!(fs::read(disk.join("file")).unwrap() == fs::read(&small).unwrap());
    // There is room as before.
    assert_eq!(status(&["-T", &small, &server.url("/other")]), "201");
    server.stop();
}

/// Past the harness, which would swallow it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
