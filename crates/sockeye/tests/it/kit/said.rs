//! What a child process writes, gathered while it runs.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::PATIENCE;

/// The text of a pipe, as far as it has come.
pub(crate) struct Said {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    text: Mutex<Text>,
    more: Condvar,
}

#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    ended: bool,
}

impl Shared {
    /// A test that has failed leaves the reader reading.
    fn text(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    /// Reads the pipe on a thread, so that its writer never has to wait.
    pub(crate) fn by(mut pipe: impl Read + Send + 'static) -> Said {
        let shared = Arc::new(Shared { text: Mutex::new(Text::default()), more: Condvar::new() });
        let writer = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                let count = pipe.read(&mut buffer).unwrap();
                let mut text = writer.text();
                text.bytes.extend_from_slice(&buffer[..count]);
                text.ended = count == 0;
                writer.more.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Said { shared, thread }
    }

    /// Waits for a whole line that contains `what`, and returns it.
    pub(crate) fn wait_for(&self, what: &str) -> String {
        self.wait(what, |text| {
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            whole.lines().find(|line| line.contains(what)).map(str::to_owned)
        })
    }

    /// Waits for the first line; `None` if it ends without one.
    pub(crate) fn first_line(&self) -> Option<String> {
        let mut text = self.shared.text();
        while !text.ended && !text.bytes.contains(&b'\n') {
            let (changed, timeout) = self.shared.more.wait_timeout(text, PATIENCE).unwrap();
            assert!(!timeout.timed_out(), "it says nothing");
            text = changed;
        }
        let text = String::from_utf8_lossy(&text.bytes).into_owned();
        text.split_once('\n').map(|(line, _)| line.to_owned())
    }

    /// Waits until the text so far satisfies `so`.
    pub(crate) fn wait<T>(&self, what: &str, so: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut text = self.shared.text();
        loop {
            let so_far = String::from_utf8_lossy(&text.bytes).into_owned();
            if let Some(found) = so(&so_far) {
                return found;
            }
            assert!(!text.ended, "it ended and never said {what:?}, but:\n{so_far}");
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not say {what:?}, but:\n{so_far}");
            text = self.shared.more.wait_timeout(text, left).unwrap().0;
        }
    }

    /// As much as has come.
    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.shared.text().bytes).into_owned()
    }

    /// All of it, once the writer has closed its end.
    pub(crate) fn all(self) -> String {
        self.thread.join().unwrap();
        String::from_utf8(std::mem::take(&mut self.shared.text().bytes)).unwrap()
    }
}
