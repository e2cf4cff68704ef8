//! Properties that hold for any bytes; the fuzz target and the replay of its corpus share them.

use std::fmt::Write as _;

use sockeye_eye::recording::{Ended, Playback, Reader, Record};
use sockeye_eye::view::{self, Style};

/// What is read is written as it was meant, and what is played back can be drawn.
pub(crate) fn recording(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data) else { return };
    while let Ok(Some(record)) = reader.read() {
        if record != Record::Unknown {
            let line = serde_json::to_string(&record).expect("a record is JSON");
            let again: Record = serde_json::from_str(&line).expect("as it was written");
            assert_eq!(again, record, "{line}");
        }
    }
    let playback = Playback::new(Reader::new(data).expect("as before"));
    let mut drawn = String::new();
    // Every picture costs much more than its line.
    for ended in playback.take(16) {
        match ended {
            Ok(Ended::Connection { history, .. }) => {
                let styles = [(40, true), (100, false)];
                for (width, ascii) in styles {
                    let style = Style { width, ascii, ..Style::default() };
                    let _ = write!(drawn, "{}", view::picture(&history, &style));
                    let _ = write!(drawn, "{}", view::line(&history, &style));
                }
            }
            Ok(Ended::Datagrams(history)) => {
                let _ = write!(drawn, "{}", view::datagrams(&history, &Style::default()));
            }
            Err(error) => drop(error.to_string()),
        }
    }
    let raw = drawn.chars().find(|letter| letter.is_control() && *letter != '\n');
    assert_eq!(raw, None, "{drawn:?}");
}
