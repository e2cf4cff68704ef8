//! The one thread that writes the access log, so that nobody who serves ever waits for a disk, a full
//! pipe or a terminal.
//!
//! It collects the lines of all pages, writes them at once, and looks again a moment later; when there
//! is nothing it sleeps until the first line wakes it. A line is thus written at once on a quiet server
//! and in batches on a busy one. What is written ends with a line: where a disk was full in the
//! middle of one, its rest comes first once there is room.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::{Ledger, lock};

/// Between two looks at the pages.
const PACE: Duration = Duration::from_millis(10);

/// So long the end waits for lines that nobody takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard error.
    Stderr,
    /// Behind what is in this file; it is made if it is not there.
    File(PathBuf),
}

/// What whoever runs the server should know of its log. At most one of each kind a second.
#[derive(Debug)]
pub enum LogNotice {
    /// So many lines were not written since the last such notice; why, if writing failed, and not
    /// just came too slowly.
    Lost(u64, Option<io::Error>),
    /// The file could not be opened anew; it goes on with the one it has.
    NotReopened(PathBuf, io::Error),
}

/// Writes what a [`Ledger`] holds, until it is closed.
pub struct LogWriter {
    ledger: Arc<Ledger>,
    asked: Arc<Asked>,
    thread: Thread,
    ended: Mutex<Receiver<()>>,
}

/// What others ask of the thread.
#[derive(Default)]
struct Asked {
    reopen: AtomicBool,
    stop: AtomicBool,
}

impl Asked {
    fn anything(&self) -> bool {
        self.reopen.load(Ordering::SeqCst) || self.stop.load(Ordering::SeqCst)
    }
}

impl LogWriter {
    /// Begins to write; a ledger has one writer. `notice` is called by its thread.
    ///
    /// # Errors
    ///
    /// The file can't be opened for writing, or no thread can be started.
    pub fn start(
        ledger: Arc<Ledger>,
        destination: Destination,
        notice: impl Fn(LogNotice) + Send + 'static,
    ) -> io::Result<LogWriter> {
        let output = Output::open(destination)?;
        let asked = Arc::new(Asked::default());
        let (ending, ended) = sync_channel(1);
        let mut writing = Writing {
            ledger: Arc::clone(&ledger),
            asked: Arc::clone(&asked),
            output,
            notice: Box::new(notice),
            batch: Vec::new(),
            spare: Vec::new(),
            lost: 0,
            cause: None,
            told: None,
        };
        let run = move || {
            writing.run();
            let _ = ending.send(());
        };
        let thread = thread::Builder::new().name("log".to_owned()).spawn(run)?.thread().clone();
        // Whoever comes first stays; the ledger has one writer.
        let _ = ledger.writer.set(thread.clone());
        // What was noted before nobody was there to be woken.
        thread.unpark();
        Ok(LogWriter { ledger, asked, thread, ended: Mutex::new(ended) })
    }

    /// Opens the file anew, as after it was renamed; what was noted before goes to the old one.
    pub fn reopen(&self) {
        self.asked.reopen.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Writes what there is, and ends; waits at most two seconds for whoever takes it.
    pub fn close(&self) {
        self.asked.stop.store(true, Ordering::SeqCst);
        self.wake();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(PATIENCE);
    }

    fn wake(&self) {
        self.ledger.awake.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// The thread's own.
struct Writing {
    ledger: Arc<Ledger>,
    asked: Arc<Asked>,
    output: Output,
    notice: Box<dyn Fn(LogNotice) + Send>,
    /// Collected, and not written yet: it begins with what is left of a line, if anything.
    batch: Vec<u8>,
    /// Room that goes round between here and the pages.
    spare: Vec<u8>,
    /// Not told yet.
    lost: u64,
    cause: Option<io::Error>,
    told: Option<Instant>,
}

impl Writing {
    fn run(&mut self) {
        loop {
            let stop = self.asked.stop.load(Ordering::SeqCst);
            let reopen = self.asked.reopen.swap(false, Ordering::SeqCst);
            let found = self.collect();
            self.write();
            if reopen && let Err((path, error)) = self.output.reopen() {
                (self.notice)(LogNotice::NotReopened(path, error));
            }
            self.tell(stop);
            if stop {
                return;
            }
            if found {
                self.pause();
                continue;
            }
            // Whoever notes something from here on finds it asleep and wakes it: what was noted
            // before is found by the look that follows, since both hold the page's lock.
            self.ledger.awake.store(false, Ordering::SeqCst);
            if self.collect() || self.asked.anything() {
                self.ledger.awake.store(true, Ordering::SeqCst);
                continue;
            }
            while !self.ledger.awake.load(Ordering::SeqCst) {
                // There may be losses to tell of yet.
                match self.lost {
                    0 => thread::park(),
                    _ => thread::park_timeout(Duration::from_secs(1)),
                }
                self.tell(false);
            }
        }
    }

    /// Takes the lines of all pages, up to as much as a page holds for each; whether there were any.
    fn collect(&mut self) -> bool {
        let before = (self.batch.len(), self.lost);
        for page in &self.ledger.pages {
            self.spare.clear();
            let mut page = lock(page);
            std::mem::swap(&mut page.lines, &mut self.spare);
            self.lost += std::mem::take(&mut page.lost);
            drop(page);
            self.batch.extend_from_slice(&self.spare);
        }
        before != (self.batch.len(), self.lost)
    }

    /// Writes the batch. Where that fails, its lines are lost; of one that was begun the rest stays.
    fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let (written, result) = self.output.write(&self.batch);
        let Err(error) = result else {
            self.batch.clear();
            return;
        };
        let is_whole = written == 0 || self.batch[written - 1] == b'\n';
        let rest = &self.batch[written..];
        let kept = match is_whole {
            true => 0,
            false => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
        };
        // What was left of a line before stays, though nothing was written now.
        let kept = if written == 0 { self.output.owed.min(rest.len()) } else { kept };
        let lost = memchr::memchr_iter(b'\n', &rest[kept..]).count() as u64;
        self.lost = self.lost.saturating_add(lost);
        self.ledger.counts.unwritten.fetch_add(lost, Ordering::Relaxed);
        self.batch.truncate(written + kept);
        self.batch.drain(..written);
        self.output.owed = self.batch.len();
        self.cause = Some(error);
    }

    fn tell(&mut self, at_once: bool) {
        let due = self.told.is_none_or(|told| told.elapsed() >= Duration::from_secs(1));
        if self.lost > 0 && (due || at_once) {
            self.told = Some(Instant::now());
            let lost = std::mem::take(&mut self.lost);
            (self.notice)(LogNotice::Lost(lost, self.cause.take()));
        }
    }

    /// Until it is time to look again, or somebody wants an end.
    fn pause(&self) {
        let until = Instant::now() + PACE;
        while !self.asked.stop.load(Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

/// Where it is written.
struct Output {
    destination: Destination,
    /// None for standard error.
    file: Option<File>,
    /// Bytes that are left of a line that was begun.
    owed: usize,
}

impl Output {
    fn open(destination: Destination) -> io::Result<Output> {
        let file = match &destination {
            Destination::Stderr => None,
            Destination::File(path) => Some(append(path)?),
        };
        Ok(Output { destination, file, owed: 0 })
    }

    fn reopen(&mut self) -> Result<(), (PathBuf, io::Error)> {
        if let Destination::File(path) = &self.destination {
            self.file = Some(append(path).map_err(|error| (path.clone(), error))?);
        }
        Ok(())
    }

    /// How much was written, and what stopped it.
    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let stderr = io::stderr();
        let fd = self.file.as_ref().map_or(stderr.as_fd(), AsFd::as_fd);
        let mut written = 0;
        while written < bytes.len() {
            // Past Rust's lock of standard error: whoever else has something to say must not wait
            // until this was taken.
            match rustix::io::write(fd, &bytes[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                // Whoever shares it with us made it so.
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None);
                }
                Err(error) => return (written, Err(error.into())),
            }
        }
        (written, Ok(()))
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
