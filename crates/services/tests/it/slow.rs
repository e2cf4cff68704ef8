//! Clients that take their time, and those beside them.

use std::io::Read as _;

use crate::support::{Client, Folder, Server, Setup, on_every_driver, pattern};

const LARGE: usize = 20_000_000;

#[test]
fn slow_readers_get_everything_and_hold_nobody_up() {
    let folder = Folder::usual();
    let large = pattern(LARGE);
    folder.file("large", &large);
    on_every_driver(|driver| {
        let threads = driver.multiplexes().then_some(1);
        let server = Server::with(driver, &folder, Setup { threads, ..Setup::default() });
        let mut slow: Vec<Client> =
            (0..4).map(|_| Client::connect_narrow(server.address)).collect();
        for client in &mut slow {
            client.send("GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        }
        let mut quick = server.connect();
        let mut received = vec![Vec::with_capacity(LARGE + 1000); slow.len()];
        let mut piece = [0; 4096];
        let mut rounds = 0;
        while received.iter().any(|content| content.len() < LARGE) {
            let mut ended = 0;
            for (client, received) in slow.iter_mut().zip(&mut received) {
                let count = client.socket.read(&mut piece).expect("it goes on");
                ended += usize::from(count == 0);
                received.extend_from_slice(&piece[..count]);
            }
            assert!(ended < slow.len(), "all have ended, not all have everything");
            rounds += 1;
            if rounds % 64 == 0 {
                assert_eq!(quick.get("/hello.txt").text(), "hello\n");
            }
        }
        let head = folder.head("large", "application/octet-stream", "Connection: close\r\n");
        for (mut client, mut received) in slow.into_iter().zip(received) {
            received.extend(client.rest());
            let body = received.len() - LARGE;
            assert!(received[body..] == large[..], "{driver}");
            assert_eq!(crate::support::dateless(&received[..body]), head);
        }
    });
}

#[test]
fn one_who_reads_nothing_of_many_answers_is_no_trouble_to_others() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("some", &pattern(60_000));
        let threads = driver.multiplexes().then_some(1);
        let server = Server::with(driver, &folder, Setup { threads, ..Setup::default() });
        let mut deaf = Client::connect_narrow(server.address);
        deaf.send("GET /some HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000));
        let mut quick = server.connect();
        for _ in 0..100 {
            assert_eq!(quick.get("/some").body.len(), 60_000);
        }
        deaf.end();
        for _ in 0..1000 {
            assert!(deaf.response().body == pattern(60_000));
        }
        assert_eq!(deaf.rest(), b"");
    });
}
