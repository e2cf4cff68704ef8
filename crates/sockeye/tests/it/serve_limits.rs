//! What one address may have and do, and how long an answer may take.

use crate::kit::client::{Client, get};
use crate::kit::eventually;
use crate::kit::folder::sparse;
use crate::kit::server::Server;
use crate::serve_admin::admin_of;

on_every_driver!(an_answer_that_takes_too_long_is_cut);

#[test]
fn an_address_has_so_many_connections_and_one_more_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--address-connections", "2"]);
    let mut first = Client::connect(server.address);
    let mut second = Client::connect(server.address);
    assert_eq!((first.get("/hello").status, second.get("/hello").status), (200, 200));
    let mut third = Client::connect(server.address);
    let told = third.answer();
    assert_eq!((told.status, told.header("retry-after")), (429, Some("1")));
    assert!(third.is_over());
    drop(first);
    eventually("there is room again", || {
        let mut fourth = Client::connect(server.address);
        fourth.send("GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
        (fourth.answer().status == 200).then_some(())
    });
    assert_eq!(second.get("/hello").status, 200);
    server.stop();
}

#[test]
fn an_address_asks_so_often_and_once_more_is_told_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::start(folder.path(), &["--address-rate", "3"]);
    let mut client = Client::connect(server.address);
    // However slow this test is, a hundred requests are not made within the time of a hundred.
    let answers: Vec<_> = (0..100).map(|_| client.get("/hello")).collect();
    assert!(answers[..3].iter().all(|answer| answer.status == 200));
    let told = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(told.header("retry-after"), Some("1"));
    eventually("it may ask again", || (client.get("/hello").status == 200).then_some(()));
    server.stop();
}

fn an_answer_that_takes_too_long_is_cut(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    sparse(&folder.path().join("big"), 100_000_000);
    let arguments = ["--total-timeout", "300ms", "--admin", "0", "--driver", driver];
    let server = Server::start(folder.path(), &arguments);
    let admin = admin_of(&server);
    let mut slow = Client::connect_narrow(server.address);
    slow.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(slow.head().0, 200);
    eventually("it is cut", || {
        let metrics = get(admin, "/metrics");
        let is_cut = metrics.text().contains("sockeye_limit_hits_total{limit=\"total\"} 1\n")
            && metrics.text().contains("sockeye_http_cut_total 1\n");
        is_cut.then_some(())
    });
    server.stop();
}
