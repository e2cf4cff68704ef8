//! Nothing outside the folder is ever served, whatever a client or a neighbour tries.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};
use tempfile::TempDir;

use crate::kit::client::{Client, get};
use crate::kit::server::Server;
use crate::kit::{DRIVERS, need_root};

on_every_driver!(paths_that_lead_out_lead_nowhere);

const SECRET: &str = "what nobody may see";

/// A folder `site` beside a file and a folder that are nobody's business.
fn neighbours() -> TempDir {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    fs::write(path.join("secret"), SECRET).unwrap();
    fs::create_dir_all(path.join("site/inner")).unwrap();
    fs::create_dir(path.join("other")).unwrap();
    fs::write(path.join("other/file"), SECRET).unwrap();
    fs::write(path.join("site/file"), "inside").unwrap();
    fs::write(path.join("site/inner/file"), "inside").unwrap();
    parent
}

fn paths_that_lead_out_lead_nowhere(driver: &str) {
    let parent = neighbours();
    let site = parent.path().join("site");
    let secret = parent.path().join("secret");
    let secret = secret.to_str().unwrap();
    symlink(secret, site.join("absolute")).unwrap();
    symlink("../secret", site.join("relative")).unwrap();
    symlink("../other", site.join("folder")).unwrap();
    symlink("inner/../../secret", site.join("winding")).unwrap();
    symlink("/proc/self/root/etc/passwd", site.join("magic")).unwrap();
    symlink("/", site.join("all")).unwrap();
    let server = Server::start(&site, &["--driver", driver]);

    let here = format!("//{}", server.address);
    let targets = [
        "/../secret",
        "/inner/../../secret",
        "/inner/../../../secret",
        "/%2e%2e/secret",
        "/%2E%2e/secret",
        "/.%2e/secret",
        "/..%2fsecret",
        "/..%2Fsecret",
        "/inner%2f..%2f..%2fsecret",
        "/%2e%2e%2fsecret",
        "/%252e%252e/secret",
        "/..%5csecret",
        "/..\\secret",
        "/inner\\..\\..\\secret",
        "/../secret%00",
        "/file%00/../../secret",
        "/file%00.html",
        "/%00",
        "/%c0%ae%c0%ae/secret",
        "/%e0%80%ae%e0%80%ae/secret",
        "/..;/secret",
        "/.../secret",
        "/./../secret",
        "/..//secret",
        "/../site/../secret",
        "//etc/passwd",
        "///etc/passwd",
        "/%2fetc/passwd",
        "/%2f%2fetc%2fpasswd",
        "/file:///etc/passwd",
        "file:///etc/passwd",
        "/absolute",
        "/relative",
        "/folder/file",
        "/folder/",
        "/folder",
        "/winding",
        "/magic",
        "/all/etc/passwd",
        "/all/",
        "http://x/../secret",
        "http://x/%2e%2e/secret",
        "http:../secret",
        "../secret",
        "secret",
        "*",
    ];
    let absolute = [secret.to_owned(), format!("/{secret}"), format!("{here}/../secret")];
    for target in targets.into_iter().map(str::to_owned).chain(absolute) {
        for version in ["1.0", "1.1"] {
            let mut client = Client::connect(server.address);
            let lines = "Host: x\r\nConnection: close\r\n\r\n";
            client.send(format!("GET {target} HTTP/{version}\r\n{lines}"));
            let answer = client.answer();
            assert!(
                (300..500).contains(&answer.status),
                "{target} HTTP/{version}: {}{:?}",
                answer.head,
                String::from_utf8_lossy(&answer.body)
            );
            let text = String::from_utf8_lossy(&answer.body).into_owned() + &answer.head;
            assert!(!text.contains(SECRET) && !text.contains("root:"), "{target}: {text}");
            assert!(client.is_over(), "{target}");
        }
    }
    // What leads nowhere leads the honest nowhere, either.
    assert_eq!(get(server.address, "/inner/file").text(), "inside");
    server.stop();
}

#[test]
fn links_that_stay_inside_are_followed() {
    let parent = neighbours();
    let site = parent.path().join("site");
    symlink("inner/file", site.join("link")).unwrap();
    symlink("../file", site.join("inner/up")).unwrap();
    symlink("inner", site.join("folder")).unwrap();
    let server = Server::start(&site, &[]);
    for target in ["/link", "/inner/up", "/folder/file"] {
        let answer = get(server.address, target);
        assert_eq!((answer.status, answer.text()), (200, "inside"), "{target}");
    }
    server.stop();
}

/// A name that is inside in one moment and leads out in the next.
#[test]
fn a_link_swapped_under_the_server_gives_away_nothing() {
    let parent = neighbours();
    let site = parent.path().join("site");
    symlink("file", site.join("a")).unwrap();
    symlink("../secret", site.join("a.out")).unwrap();
    fs::create_dir(site.join("b")).unwrap();
    fs::write(site.join("b/file"), "inside").unwrap();
    symlink("../other", site.join("b.out")).unwrap();
    fs::copy(site.join("file"), site.join("c")).unwrap();
    symlink("../secret", site.join("c.out")).unwrap();
    for driver in DRIVERS {
        let server = Server::start(&site, &["--driver", driver]);
        let over = AtomicBool::new(false);
        let (mut seen, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for name in ["a", "b", "c"] {
                        exchange(&site.join(name), &site.join(format!("{name}.out")));
                    }
                }
            });
            // Ended by the guard, too, when an assertion fails.
            let _end = SetOnDrop(&over);
            let mut client = Client::connect(server.address);
            while seen < 1000 || refused < 1000 {
                client.send(
                    ["a", "b/file", "c", "a.out", "b.out/file", "c.out"]
                        .map(|name| format!("GET /{name} HTTP/1.1\r\nHost: test\r\n\r\n"))
                        .concat(),
                );
                for _ in 0..6 {
                    let answer = client.answer();
                    match answer.status {
                        200 => {
                            assert_eq!(answer.text(), "inside", "{driver}");
                            seen += 1;
                        }
                        404 => refused += 1,
                        status => panic!("{driver}: {status}: {}", answer.text()),
                    }
                }
            }
        });
        server.stop();
    }
}

fn exchange(a: &Path, b: &Path) {
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_no_file_is_not_found_and_nobody_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("file"), "inside").unwrap();
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, path.join("fifo"), FileType::Fifo, mode, 0).unwrap();
    let _socket = UnixListener::bind(path.join("socket")).unwrap();
    symlink("fifo", path.join("link")).unwrap();
    let mut names = vec!["fifo", "socket", "link"];
    if need_root("what_is_no_file_is_not_found_and_nobody_hangs") {
        // As /dev/zero: no end would be in sight.
        mknodat(CWD, path.join("zero"), FileType::CharacterDevice, mode, makedev(1, 5)).unwrap();
        names.push("zero");
    }
    for driver in DRIVERS {
        let server = Server::start(path, &["--driver", driver]);
        let mut client = Client::connect(server.address);
        for name in &names {
            for target in [format!("/{name}"), format!("/{name}/"), format!("/{name}/x")] {
                assert_eq!(client.get(&target).status, 404, "{driver} {target}");
            }
        }
        assert_eq!(client.get("/file").text(), "inside", "{driver}");
        drop(client);
        server.stop();
    }
}
