//! A folder served on a Unix socket, asked by curl.

use std::fs;

use crate::kit::need;
use crate::kit::server::{Server, run, sockeye};

on_every_driver!(curl_fetches_over_a_unix_socket_whose_file_goes_with_the_server);

fn curl_fetches_over_a_unix_socket_whose_file_goes_with_the_server(driver: &str) {
    let test = "curl_fetches_over_a_unix_socket_whose_file_goes_with_the_server";
    if !need(test, &["curl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let content = "over a socket of this machine\n".repeat(10_000);
    fs::write(folder.path().join("file"), &content).unwrap();
    let socket = folder.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let server = Server::of(
        sockeye()
            .args(["serve", "--driver", driver, "--listen", "tcp://127.0.0.1:0", "--listen"])
            .arg(listen)
            .arg(folder.path()),
    );
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--fail", "--max-time", "30", "http://localhost/file", "--unix-socket"]);
    let (code, fetched, said) = run(curl.arg(&socket));
    assert_eq!((code, &*said), (Some(0), ""));
    assert!(fetched == content);
    server.stdout.wait_for(&format!(" on unix://{}", socket.display()));
    assert_eq!(server.stop(), "");
    assert!(!socket.exists());
}
