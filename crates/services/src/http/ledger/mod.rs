//! What is written down of every exchange: a line of the access log, and counts.
//!
//! Each thread that serves has a page of its own, so that nobody waits for another one; whoever
//! writes the log or shows the counts collects from the pages.
//!
//! ```text
//!   connection ──note──> page (lines, tally) <──collect── writer ──> file, standard error
//!                                            <───sum───── admin  ──> /metrics
//! ```

mod line;
mod metrics;
mod tally;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use line::Time;
pub(super) use line::{Facts, Words, Written};
pub use line::{LogFormat, UnknownFormat};
pub(super) use metrics::MEDIA_TYPE;
pub use tally::Limit;
use tally::Tally;
pub use writer::{Destination, LogNotice, LogWriter};

/// Pages at most; further threads share them.
const MOST_PAGES: usize = 16;

/// Lines of one page that wait to be written, in bytes. What comes when there is no room is counted
/// and not kept: a log that can't be written must not hold up whoever serves.
const ROOM: usize = 1024 * 1024;

/// The book of a server: what went on, told as lines and as counts.
pub struct Ledger {
    pages: Box<[Mutex<Page>]>,
    log: Option<LogFormat>,
    /// Somebody wants to know how long requests take.
    timed: bool,
    /// The writer has something to do, or looks already.
    awake: AtomicBool,
    writer: OnceLock<Thread>,
    counts: Counts,
}

/// What is counted seldom: once a connection, or less.
#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
    limits: [AtomicU64; Limit::ALL.len()],
    /// Lines that were collected and could not be written.
    unwritten: AtomicU64,
}

/// One thread's part, or a few threads'.
struct Page {
    lines: Vec<u8>,
    /// Lines there was no room for, since the writer last took them, and ever.
    lost: u64,
    lost_ever: u64,
    time: Time,
    tally: Tally,
}

/// An exchange that is over.
pub(super) struct Note<'a> {
    /// None where none could be read.
    pub(super) method: Option<&'a sockeye_http::Method>,
    pub(super) facts: Facts<'a>,
    pub(super) words: Said<'a>,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// The words of a line.
pub(super) enum Said<'a> {
    Words(Words<'a>),
    Written(&'a Written),
}

impl Ledger {
    /// A book that keeps lines in this format, if in any, for a [`LogWriter`]; and, if `counted`,
    /// what [`Ledger::metrics`] tells.
    #[must_use]
    pub fn new(log: Option<LogFormat>, counted: bool) -> Ledger {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let page = || {
            Mutex::new(Page {
                lines: Vec::new(),
                lost: 0,
                lost_ever: 0,
                time: Time::new(log.unwrap_or_default()),
                tally: Tally::default(),
            })
        };
        Ledger {
            pages: (0..threads.min(MOST_PAGES)).map(|_| page()).collect(),
            log,
            timed: counted || log == Some(LogFormat::Json),
            awake: AtomicBool::new(false),
            writer: OnceLock::new(),
            counts: Counts::default(),
        }
    }

    /// Whether a note's duration is of use to anybody; else it may be nothing.
    pub(super) fn is_timed(&self) -> bool {
        self.timed
    }

    /// The words of a line, for notes to come.
    pub(super) fn written(&self, words: &Words<'_>) -> Written {
        self.log.map(|format| Written::new(format, words)).unwrap_or_default()
    }

    /// Writes down an exchange. Never waits but for another thread that is about to leave the page.
    pub(super) fn note(&self, note: &Note<'_>) {
        let mut page = self.page();
        page.tally.add(note);
        let Some(format) = self.log else {
            return;
        };
        if page.lines.len() >= ROOM {
            page.lost += 1;
            page.lost_ever += 1;
            return;
        }
        let Page { lines, time, .. } = &mut *page;
        let time = time.at(note.now);
        match &note.words {
            Said::Words(words) => line::line(format, time, &note.facts, words, lines),
            Said::Written(words) => line::again(format, time, &note.facts, words, lines),
        }
        drop(page);
        self.wake();
    }

    /// A limit was hit.
    pub fn hit(&self, limit: Limit) {
        self.counts.limits[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A connection came.
    pub(super) fn opened(&self) {
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection went.
    pub(super) fn closed(&self) {
        self.counts.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the writer look, unless it does already. The lock of the page orders this behind its last
    /// look: see `writer`.
    fn wake(&self) {
        if !self.awake.load(Ordering::Relaxed)
            && !self.awake.swap(true, Ordering::SeqCst)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed));
        lock(&self.pages[MINE.with(|mine| *mine) % self.pages.len()])
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("log", &self.log).finish_non_exhaustive()
    }
}

fn lock(page: &Mutex<Page>) -> MutexGuard<'_, Page> {
    page.lock().unwrap_or_else(PoisonError::into_inner)
}
