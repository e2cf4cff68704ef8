//! Connections of Unix sockets through the engine: calls and messages, and nothing of TCP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use sockeye_engine::probe::Direction;
use sockeye_engine::{Address, DriverKind, Engine, Listener, Stream};
use sockeye_eye::recorder::{Eye, Options};
use sockeye_eye::view::Style;

/// What was drawn.
#[derive(Clone, Default)]
struct Drawn(Arc<Mutex<Vec<u8>>>);

impl Write for Drawn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drawn {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Opens an eye for no TCP socket at all, and lets `job` be seen by it on a driver.
fn drawn<F: Future<Output = io::Result<()>>>(driver: DriverKind, job: F) -> String {
    let drawn = Drawn::default();
    let out = Box::new(drawn.clone());
    let eye = Eye::open(&[], Options { style: Style::default(), out, capture: true }).unwrap();
    assert_eq!(eye.missing(), None, "there is nothing to capture");
    let engine = Engine::with_probe(driver, &*eye.source()).unwrap();
    engine.block_on(job).unwrap();
    drop(engine);
    eye.close();
    drawn.text()
}

#[test]
fn both_ends_of_a_unix_stream_are_drawn_with_their_calls_and_messages() {
    let drivers = [DriverKind::Epoll, DriverKind::EpollEdge, DriverKind::Poll, DriverKind::Busy];
    for driver in drivers {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::path(folder.path().join("socket"));
        let text = drawn(driver, async {
            let listener = Listener::bind(&address)?;
            let mut client = Stream::connect_to(&address, None).await?;
            let mut server = listener.accept().await.unwrap()?;
            client.mark(Direction::Sent, 0..10, format_args!("a question"));
            client.write(b"a question");
            client.flush().await?;
            assert_eq!(&server.recv().await?[..], b"a question");
            server.write(b"an answer");
            server.flush().await?;
            assert_eq!(&client.recv().await?[..], b"an answer");
            client.mark(Direction::Received, 0..9, format_args!("an answer"));
            drop(client);
            assert!(server.recv().await?.is_empty());
            Ok(())
        });
        assert_eq!(text.matches("connection ").count(), 2, "{driver} {text}");
        for (shown, times) in [
            (format!("unnamed ─▶ {address} "), 2),
            ("connect()".into(), 1),
            ("accept()".into(), 1),
            ("│ send() = 10 [0..10) a question".into(), 1),
            ("│ recv() = 10 [0..10)".into(), 1),
            ("│ recv() = 0 EOF".into(), 1),
            ("─ a question ─".into(), 1),
            ("─ an answer ─".into(), 1),
            (format!("CIF  {address}  we closed first, gracefully, after 1 request"), 1),
            (format!("CDF  {address}  the client closed first, gracefully"), 1),
            ("10 B in, 9 B out".into(), 1),
            ("9 B in, 10 B out".into(), 1),
        ] {
            assert_eq!(text.matches(&shown).count(), times, "{driver}: {shown}\n{text}");
        }
        for unfit in ["ESTABLISHED", "segment", "ack ", "concluded", "capture"] {
            assert!(!text.contains(unfit), "{driver}: {unfit}\n{text}");
        }
    }
}
