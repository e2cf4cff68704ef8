//! Where it says that it serves, it does.

use std::fs;

use crate::kit::client::{Client, get};
use crate::kit::server::{Server, sockeye};

#[test]
fn the_ready_line_names_folder_and_address() {
    let parent = tempfile::tempdir().unwrap();
    fs::create_dir(parent.path().join("site")).unwrap();
    let mut command = sockeye();
    let server =
        Server::of(command.current_dir(&parent).args(["serve", "site", "--listen", "localhost:0"]));
    assert_eq!(server.ready, format!("serving site on http://{}/", server.address));
    assert!(server.address.ip().is_loopback());
    assert_eq!(get(server.address, "/").status, 200);
    server.stop();
}

#[test]
fn without_a_folder_it_is_the_one_we_are_in() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let server = Server::of(sockeye().current_dir(&folder).args(["serve", "--port", "0"]));
    assert_eq!(server.ready, format!("serving . on http://{}/", server.address));
    assert_eq!(get(server.address, "/hello").text(), "hello\n");
    server.stop();
}

#[test]
fn every_endpoint_is_served_over_both_versions_of_ip() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    for driver in crate::kit::DRIVERS {
        let mut command = sockeye();
        command.arg("serve").arg(folder.path()).args(["--driver", driver]);
        command.args(["--listen", "127.0.0.1:0", "--listen", "tcp://[::1]:0"]);
        let server = Server::of(&mut command);
        let second = server.stdout.wait_for("http://[::1]:");
        let address = second.rsplit_once("http://").unwrap().1.trim_end_matches('/');
        for address in [server.address, address.parse().unwrap()] {
            let mut client = Client::connect(address);
            assert_eq!(client.get("/hello").text(), "hello\n", "{driver}");
        }
        server.stop();
    }
}
