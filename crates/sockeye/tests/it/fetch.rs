//! What curl, wget and a browser get is what is in the folder, byte for byte.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::time::Timespec;

use crate::kit::folder::{GIB, ODD_NAME, ODD_NAME_ENCODED, site, sparse};
use crate::kit::need;
use crate::kit::server::{Ended, Server, output};

on_every_driver!(
    curl_gets_every_file_as_it_is,
    wget_mirrors_the_folder_as_it_is,
    chromium_shows_the_page_and_reads_every_file_as_it_is,
);

/// Files of the site and their paths.
const PARTS: [(&str, &str); 4] = [
    ("index.html", "/"),
    ("style.css", "/style.css"),
    ("dot.png", "/dot.png"),
    ("circle.svg", "/circle.svg"),
];

fn curl_gets_every_file_as_it_is(driver: &str) {
    if !need("curl_gets_every_file_as_it_is", &["curl"]) {
        return;
    }
    let folder = site();
    sparse(&folder.path().join("big"), GIB);
    let server = Server::start(folder.path(), &["--driver", driver]);
    let odd = format!("/sub/{ODD_NAME_ENCODED}");
    let files = PARTS.map(|(name, path)| (name.to_owned(), path)).into_iter();
    let files = files.chain([(format!("sub/{ODD_NAME}"), &*odd), ("big".to_owned(), "/big")]);
    for (name, path) in files {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", &server.url(path)]);
        assert_prints(&mut curl, &folder.path().join(name));
    }
    server.stop();
}

fn wget_mirrors_the_folder_as_it_is(driver: &str) {
    if !need("wget_mirrors_the_folder_as_it_is", &["wget"]) {
        return;
    }
    let folder = site();
    let server = Server::start(folder.path(), &["--driver", driver]);
    let copy = tempfile::tempdir().unwrap();
    let to = copy.path().to_str().unwrap();
    let urls = [&*server.url("/"), &*server.url("/sub/")];
    let settings = ["--quiet", "--recursive", "--no-host-directories", "--directory-prefix", to];
    output("wget", &[&settings[..], &urls].concat());
    for (name, _) in PARTS {
        let [ours, theirs] = [folder.path(), copy.path()].map(|path| fs::read(path.join(name)));
        assert_eq!(theirs.unwrap(), ours.unwrap(), "{name}");
    }
    // It found the odd name in the listing, and has a spelling of its own for it.
    let files = fs::read_dir(copy.path().join("sub")).unwrap().map(|entry| entry.unwrap().path());
    let others: Vec<_> = files.filter(|file| !file.ends_with("index.html")).collect();
    assert_eq!(others.len(), 1, "{others:?}");
    let odd = folder.path().join("sub").join(ODD_NAME);
    assert_eq!(fs::read(&others[0]).unwrap(), fs::read(odd).unwrap());

    sparse(&folder.path().join("big"), GIB);
    let mut wget = Command::new("wget");
    wget.args(["--quiet", "--output-document=-", &server.url("/big")]);
    assert_prints(&mut wget, &folder.path().join("big"));
    server.stop();
}

/// A browser has all of it: styles, pictures, and what a script of the page reads.
fn chromium_shows_the_page_and_reads_every_file_as_it_is(driver: &str) {
    if !need("chromium_shows_the_page_and_reads_every_file_as_it_is", &["chromium"]) {
        return;
    }
    let folder = site();
    sparse(&folder.path().join("big"), GIB);
    let server = Server::start(folder.path(), &["--driver", driver]);
    let reports = TcpListener::bind("127.0.0.1:0").unwrap();
    let report = format!("http://{}/", reports.local_addr().unwrap());
    let _browser = Browser::open(&server.url(&format!("/?report={report}")));
    let said = next_report(&reports);

    let of = |name: &str| {
        let found = said.iter().find(|(key, _)| key == name);
        found.map_or("nothing", |(_, value)| value.as_str())
    };
    assert_eq!(of("error"), "nothing");
    assert_eq!(of("png"), "2x3");
    assert_eq!(of("svg"), "5x7");
    assert_eq!(of("colour"), "rgb(250, 128, 114)");
    for name in ["index.html", "style.css", "dot.png", "circle.svg", "big"] {
        assert_eq!(of(name), digest(&folder.path().join(name)), "{name}");
    }
    assert_eq!(of(ODD_NAME), digest(&folder.path().join("sub").join(ODD_NAME)));
    server.stop();
}

/// Runs a program whose output must be that of the file.
fn assert_prints(command: &mut Command, file: &Path) {
    let mut child = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut printed = child.0.stdout.take().unwrap();
    let mut expected = File::open(file).unwrap();
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    let mut at = 0;
    loop {
        let count = printed.read(&mut buffers[0]).unwrap();
        if count == 0 {
            break;
        }
        expected.read_exact(&mut buffers[1][..count]).unwrap();
        assert!(buffers[0][..count] == buffers[1][..count], "{file:?} differs behind byte {at}");
        at += count as u64;
    }
    assert_eq!(at, file.metadata().unwrap().len(), "{file:?}");
    assert!(child.0.wait().unwrap().success());
}

/// What the page computes of a file, in the same form.
fn digest(file: &Path) -> String {
    let mut sum = 0_u32;
    let mut file = File::open(file).unwrap();
    let length = file.metadata().unwrap().len();
    let mut buffer = vec![0; 1 << 16];
    let zeros = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).unwrap();
        if count == 0 {
            return format!("{sum}:{length}");
        }
        if buffer[..count] == zeros[..count] {
            sum = sum.wrapping_mul(31_u32.wrapping_pow(u32::try_from(count).unwrap()));
            continue;
        }
        for byte in &buffer[..count] {
            sum = sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
        }
    }
}

/// The fields of the next report, decoded.
fn next_report(reports: &TcpListener) -> Vec<(String, String)> {
    let patience = Timespec { tv_sec: 180, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(reports, PollFlags::IN)], Some(&patience)).unwrap();
    assert_eq!(ready, 1, "the page does not report");
    let (mut stream, _) = reports.accept().unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    let query = line.split(['?', ' ']).nth(2).unwrap();
    let fields = query.split('&').filter_map(|field| field.split_once('='));
    fields.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

/// Undoes `application/x-www-form-urlencoded`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// A browser nobody sees, with all its processes.
struct Browser {
    child: Ended,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn open(url: &str) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Browser { child: Ended(child), _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child.0), Signal::KILL);
    }
}
