//! Files and folders that are swapped for links to elsewhere while requests run: nothing of elsewhere
//! is ever sent, and nothing is ever made there. `SOCKEYE_RACE_SECONDS` says for how long each driver is
//! tried.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::kit::PATIENCE;
use crate::kit::server::Server;

on_every_driver!(names_swapped_for_links_lead_nowhere);

/// It stands in every file outside, and nowhere else.
const SECRET: &[u8] = b"nobodys-business";

/// It stands in every file inside.
const INSIDE: &str = "this is inside";

/// Each on a connection of its own, so that none waits for what another is refused.
const REQUESTS: [&str; 14] = [
    "GET /file HTTP/1.1\r\n",
    "GET /file HTTP/1.1\r\nRange: bytes=3-5\r\n",
    "GET /file HTTP/1.1\r\nRange: bytes=0-1,900-901\r\n",
    "GET /page HTTP/1.1\r\nAccept-Encoding: gzip\r\n",
    "GET /folder/file HTTP/1.1\r\n",
    "GET /folder/ HTTP/1.1\r\n",
    "GET /folder/deep/file HTTP/1.1\r\n",
    "GET /?archive=tar.gz HTTP/1.0\r\n",
    "GET /folder/?archive=tar.gz HTTP/1.0\r\n",
    "PUT /folder/NAME HTTP/1.1\r\nContent-Length: 3\r\n",
    "PUT /folder/deep/NAME HTTP/1.1\r\nContent-Length: 3\r\n",
    "PUT /put HTTP/1.1\r\nContent-Length: 3\r\n",
    "MKCOL /folder/NAME-made HTTP/1.1\r\n",
    "DELETE /folder/only-outside HTTP/1.1\r\n",
];

fn names_swapped_for_links_lead_nowhere(driver: &str) {
    let seconds = std::env::var("SOCKEYE_RACE_SECONDS");
    let seconds = seconds.map_or(2, |seconds| seconds.parse().unwrap());
    let parent = tempfile::tempdir().unwrap();
    let [site, outside] = ["site", "outside"].map(|name| parent.path().join(name));
    for (folder, content) in [(&site, INSIDE.as_bytes()), (&outside, SECRET)] {
        let content = content.repeat(100);
        fs::create_dir_all(folder.join("folder/deep")).unwrap();
        for name in ["file", "put", "page", "page.gz", "folder/file", "folder/deep/file"] {
            fs::write(folder.join(name), &content).unwrap();
        }
    }
    fs::write(outside.join("folder/only-outside"), SECRET).unwrap();
    let before = everything(&outside);
    let swapped = ["file", "page.gz", "folder", "folder/deep", "put"];
    for name in swapped {
        let link = site.join(name.replace('/', "-") + ".out");
        symlink(outside.join(name), link).unwrap();
    }

    let server = Server::start(&site, &["--driver", driver, "--write=overwrite", "--archive"]);
    let over = AtomicBool::new(false);
    let (mut seen, mut refused, mut swaps) = (0_u32, 0_u32, 0_u32);
    let start = Instant::now();
    thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0;
            while !over.load(Ordering::Relaxed) {
                for name in swapped {
                    let link = site.join(name.replace('/', "-") + ".out");
                    // It is not there while its folder leads elsewhere; nothing outside is swapped.
                    if name != "folder/deep" || !is_link(&site.join("folder")) {
                        let is_swapped =
                            renameat_with(CWD, site.join(name), CWD, link, RenameFlags::EXCHANGE);
                        swaps += u32::from(is_swapped.is_ok());
                    }
                }
            }
            swaps
        });
        // Ended by the guard, too, when an assertion fails.
        let end = SetOnDrop(&over);
        let mut round = 0;
        let enough = |seen, refused| seen >= 100 && refused >= 100;
        while start.elapsed() < Duration::from_secs(seconds) || !enough(seen, refused) {
            for request in REQUESTS {
                round += 1;
                let answer = ask(server.address, &request.replace("NAME", &format!("new{round}")));
                let leaks = holds(&answer, SECRET);
                let names = request.starts_with("GET") && holds(&answer, b"only-outside");
                assert!(!leaks && !names, "{request}: {}", String::from_utf8_lossy(&answer));
                let status = answer.get(9..12).unwrap_or_default();
                match status.first() {
                    Some(b'2') => seen += 1,
                    Some(b'3' | b'4') => refused += 1,
                    _ => panic!("{request}: {}", String::from_utf8_lossy(&answer)),
                }
            }
            assert!(start.elapsed() < Duration::from_secs(seconds) + PATIENCE, "{seen} {refused}");
        }
        drop(end);
        swaps = swapper.join().unwrap();
    });
    server.stop();
    for name in &swapped[..3] {
        let links = [site.join(name), site.join(format!("{name}.out"))];
        assert!(links.iter().any(|link| is_link(link)), "{name} was no longer swapped");
    }
    assert!(swaps > 100, "{swaps} swaps");
    assert_eq!(everything(&outside), before, "something happened outside");
    if seconds > 2 {
        // Past the test harness, which would swallow it.
        let line =
            format!("{driver}: {seconds} s, {swaps} swaps, {seen} answered, {refused} refused\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// All that comes back on a connection of its own.
fn ask(server: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let content = if request.contains("Content-Length: 3") { "put" } else { "" };
    let whole = format!("{request}Host: test\r\nConnection: close\r\n\r\n{content}");
    stream.write_all(whole.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    if request.contains("?archive") {
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        // Cut off where a file went away while it was packed; what came before is looked at.
        let mut unpacked = Vec::new();
        let _ = GzDecoder::new(&answer[body..]).read_to_end(&mut unpacked);
        answer.extend_from_slice(&unpacked);
    }
    answer
}

fn holds(answer: &[u8], what: &[u8]) -> bool {
    answer.windows(what.len()).any(|window| window == what)
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// All that is beneath a folder, with its content.
fn everything(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            all.push((name, Vec::new()));
            all.extend(everything(&path));
        } else {
            all.push((name, fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
