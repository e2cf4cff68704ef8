//! Sockets that systemd opens, and what it is told (sd_listen_fds(3), sd_notify(3)).

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::kit::client::get;
use crate::kit::need;
use crate::kit::server::{Server, run, sockeye};

/// Does what systemd does: opens sockets, puts them at 3 and behind, says so, and becomes the service.
const MANAGER: &str = r#"
import os, socket, sys
kinds, program = sys.argv[1].split(","), sys.argv[2:]
opened = []
for kind in kinds:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
    s.bind(("127.0.0.1", 0))
    if kind != "datagram":
        s.listen(64)
    opened.append(s)
high = [os.dup2(s.fileno(), 100 + at) for at, s in enumerate(opened)]
for at, fd in enumerate(high):
    os.dup2(fd, 3 + at)
os.closerange(3 + len(kinds), 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kinds)), LISTEN_FDNAMES=":".join(kinds))
os.execv(program[0], program)
"#;

on_every_driver!(a_service_that_systemd_starts_for_a_socket_serves_there);

fn managed(kinds: &str, words: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", MANAGER, kinds]).arg(sockeye().get_program()).arg("serve").args(words);
    command
}

fn a_service_that_systemd_starts_for_a_socket_serves_there(driver: &str) {
    if !need("a_service_that_systemd_starts_for_a_socket_serves_there", &["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let notify = folder.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(crate::kit::PATIENCE)).unwrap();
    let words = [folder.path().to_str().unwrap(), "--driver", driver, "--log", "off"];
    let mut command = managed("web,admin", &words);
    let server = Server::of(command.env("NOTIFY_SOCKET", &notify));
    for _ in 0..3 {
        assert_eq!(get(server.address, "/hello").text(), "hello\n");
    }
    let said = server.stderr.wait_for("metrics and health on ");
    let admin = said.rsplit_once(" on ").unwrap().1.parse().unwrap();
    assert_eq!(get(admin, "/readyz").text(), "ready\n");
    let told = || {
        let mut told = [0; 256];
        let count = manager.recv(&mut told).unwrap();
        String::from_utf8(told[..count].to_vec()).unwrap()
    };
    assert!(told().starts_with("READY=1\nMAINPID="));
    server.stop();
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn a_socket_that_can_not_be_used_is_named() {
    if !need("a_socket_that_can_not_be_used_is_named", &["python3"]) {
        return;
    }
    let (code, stdout, said) = run(&mut managed("web,datagram", &["--port", "0"]));
    assert_eq!((code, &*stdout), (Some(1), ""));
    let expected = "sockeye: sockets that were passed: descriptor 4 (datagram) that was passed is no listening";
    assert!(said.starts_with(expected), "{said}");
}
