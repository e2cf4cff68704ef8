//! Without root and capabilities the same command works, and says what it can't see.

use std::fs;

use crate::kit::client::Client;
use crate::kit::ladder::Picture;
use crate::kit::need_root;
use crate::kit::server::{Program, Server, readable_by_all};

on_every_driver!(the_eye_of_nobody_draws_calls_and_says_what_it_lacks);

fn the_eye_of_nobody_draws_calls_and_says_what_it_lacks(driver: &str) {
    if !need_root("the_eye_of_nobody_draws_calls_and_says_what_it_lacks") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    readable_by_all(folder.path());
    fs::write(folder.path().join("hello"), "hello, nobody\n").unwrap();
    let program = Program::copy();
    let mut command = program.by_nobody();
    command.arg("serve").arg(folder.path()).args(["--port", "0", "--driver", driver]);
    let server = Server::of(command.args(["--eye", "--ascii"]));

    let mut client = Client::connect(server.address);
    let answer = client.get("/hello");
    assert_eq!((answer.status, answer.text()), (200, "hello, nobody\n"));
    let port = client.stream.local_addr().unwrap().port();
    drop(client);
    server.stderr.wait_for(&format!("CIF  127.0.0.1:{port}  "));
    let said = server.stop();

    let lacks = format!(
        "eye: no packet capture (CAP_NET_RAW is missing): the segment and ack rows and most \
         exact states are not shown; to see them: sudo setcap cap_net_raw+ep {}, or run with sudo",
        program.path()
    );
    assert_eq!(said.lines().next(), Some(&*lacks));
    assert_eq!(said.matches("CAP_NET_RAW").count(), 1, "{said}");

    let picture = Picture::of(&said, port);
    assert!(picture.segments.is_empty(), "{said}");
    let rows = |what: &str| picture.text.lines().filter(|line| line.contains(what)).count();
    for row in ["segment ", "ack "] {
        assert_eq!(rows(row), 0, "{said}");
    }
    for state in ["ESTABLISHED", "CLOSE-WAIT", "LAST-ACK"] {
        assert_eq!(rows(&format!("~{state} |")), 1, "{state}: {said}");
        assert_eq!(rows(state), 1, "{state} is not known exactly: {said}");
    }
    for call in ["recv() = 35 [0..35) GET /hello", "recv() = 0 EOF", "send() = ", "close()"] {
        assert_eq!(rows(&format!("| {call}")), 1, "{call}: {said}");
    }
    assert_eq!(rows("~ concluded from our calls"), 1, "{said}");
}
