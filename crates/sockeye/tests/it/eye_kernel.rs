//! What the kernel tells the eye besides calls and packets, and tells everybody: stamps of what was
//! sent, how full queues are, and what it says when it lets go of a socket.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::io::ioctl_fionread;

use crate::kit::folder::sparse;
use crate::kit::listener::Listener;
use crate::kit::server::{Program, Server, readable_by_all, run, sockeye};
use crate::kit::{eventually, need_root};

on_every_driver!(
    each_send_is_stamped_for_nobody_too,
    who_does_not_read_shows_in_the_queues_for_nobody_too,
);

const LINES: [&str; 5] = ["GET a", "PUT bb", "DEL c", "GET dd", "BYE"];

/// The bar of the first row of this name, and what is said of it.
fn row<'a>(drawn: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let line = drawn.lines().find(|line| line.trim_start().starts_with(name))?;
    let (first, last) = (line.find('|')?, line.rfind('|')?);
    Some((&line[first..=last], line[last + 1..].trim()))
}

fn each_send_is_stamped_for_nobody_too(driver: &str) {
    let stamped = |program: &dyn Fn() -> Command| {
        let look = ["--frame", "line", "--eye=stamps", "--ascii", "--width", "100"];
        let look = [&look[..], &["--driver", driver]].concat();
        let endpoint = "tcp://127.0.0.1:0";
        let mut command = program();
        command.args(["listen", endpoint, "--once"]).args(&look).stdin(Stdio::piped());
        let mut listener = Listener::of(&mut command, &[endpoint]);
        listener.stdin.take().unwrap().write_all(b"OK\n").unwrap();
        let mut command = program();
        command.arg("connect").arg(&listener.endpoints[0]).args(&look);
        for line in LINES {
            command.args(["--send", line]);
        }
        let (code, answers, connect) = run(&mut command);
        assert_eq!((code, &*answers), (Some(0), "OK\n"), "{connect}");
        let (status, listen) = listener.ended();
        assert_eq!(status.code(), Some(0), "{listen}");
        [connect, listen]
    };
    let hold = |drawn: &[String; 2]| {
        let [connect, listen] = drawn;
        let (sends, calls) = row(connect, "send()").expect(connect);
        let (passed, of) = row(connect, "k.SND").expect(connect);
        let (_, acked_of) = row(connect, "k.ACK").expect(connect);
        // Stamps end where calls do; several may share one. All bytes left, and the peer has closed
        // behind them, so all were acknowledged.
        assert_eq!(passed.len(), sends.len(), "{connect}");
        let calls = calls.split(' ').next().unwrap_or_default();
        for caption in [of, acked_of] {
            let end = format!("for {calls} call{}", if calls == "1" { "" } else { "s" });
            assert!(caption.contains("stamp") && caption.ends_with(&end), "{connect}");
        }
        assert!(row(listen, "k.SND").is_some(), "{listen}");
        for drawn in drawn {
            assert!(!drawn.contains("the eye missed"), "{drawn}");
        }
    };
    hold(&stamped(&sockeye));
    if need_root("each_send_is_stamped_for_nobody_too") {
        let program = Program::copy();
        let drawn = stamped(&|| program.by_nobody());
        hold(&drawn);
        for drawn in &drawn {
            // One line for all that is missing.
            assert_eq!(
                drawn.lines().filter(|line| line.starts_with("eye: ")).count(),
                1,
                "{drawn}"
            );
        }
    }
}

fn who_does_not_read_shows_in_the_queues_for_nobody_too(driver: &str) {
    if !need_root("who_does_not_read_shows_in_the_queues_for_nobody_too") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    readable_by_all(folder.path());
    sparse(&folder.path().join("huge"), 100_000_000);
    let records = tempfile::tempdir().unwrap();
    fs::set_permissions(records.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let file = records.path().join("seen.jsonl");
    let program = Program::copy();
    let mut command = program.by_nobody();
    command.arg("serve").arg(folder.path()).args(["--port", "0", "--driver", driver]);
    let server = Server::of(command.args(["--eye", "--ascii", "--record"]).arg(&file));

    let mut client = TcpStream::connect(server.address).unwrap();
    let port = client.local_addr().unwrap().port();
    client.write_all(b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    eventually("something to read", || (ioctl_fionread(&client).unwrap() > 0).then_some(()));
    // What is written down tells when the eye has seen it twice.
    let unread = |line: &str| line.contains("\"queue\"") && line.contains("\"client\"");
    eventually("samples of the client's end", || {
        let seen = fs::read_to_string(&file).unwrap_or_default();
        (seen.lines().filter(|line| unread(line)).count() > 3).then_some(())
    });
    drop(client);
    let code = format!("  127.0.0.1:{port}  ");
    server.stderr.wait_for(&code);
    let said = server.stop();
    let queue = said.lines().find(|line| line.trim_start().starts_with("queue ")).expect(&said);
    assert!(queue.contains(" not read by the client for at least "), "{said}");
    assert!(said.contains(" of the server not acknowledged"), "{said}");
    let seen = fs::read_to_string(&file).unwrap();
    let last_words = seen.lines().filter(|line| line.contains("\"released\"")).count();
    assert!((1..=2).contains(&last_words), "{seen}");
}
