//! A file server while the wall clock jumps.

use sockeye_engine::fault::move_wall_clock;

use crate::support::{Folder, Server, on_every_driver};

const HOUR: i64 = 3600;

/// Seconds since 1970 of the `Date` of an answer to a request on a connection of its own.
fn date(server: &Server) -> i64 {
    let mut client = server.connect();
    client.send("GET /f HTTP/1.0\r\n\r\n");
    let answer = client.rest();
    let text = String::from_utf8(answer).expect("ASCII");
    let date = text.split("\r\nDate: ").nth(1).expect("a date");
    sockeye_http::date::parse(&date.as_bytes()[..29]).expect("a date")
}

/// No connection ends, dates follow the clock, and what was changed is handed out at once.
pub(super) fn jumps() {
    on_every_driver(|driver| {
        let folder = Folder::new();
        folder.file("f", b"before");
        let server = Server::start(driver, &folder);
        let mut standing = server.connect();
        assert_eq!(standing.get("/f").text(), "before");
        for (number, jump) in [HOUR, -2 * HOUR, HOUR].into_iter().enumerate() {
            let before = date(&server);
            move_wall_clock(jump);
            let jumped = date(&server) - before;
            assert!((jumped - jump).abs() < HOUR / 2, "{driver}: dates jumped by {jumped}");
            let was = standing.get("/f").body;
            let content = format!("after jump {number}");
            std::fs::write(folder.path().join("f"), &content).expect("it can be written");
            assert_ne!(was, content.as_bytes());
            assert_eq!(standing.get("/f").text(), content, "{driver}");
            assert_eq!(standing.get("/f").text(), content, "{driver}");
        }
        drop(standing);
        server.stop();
    });
}
