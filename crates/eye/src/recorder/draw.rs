//! The thread that draws and writes: a slow terminal holds up neither the eye nor the server.

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::frames::Frames;
use crate::datagram::DatagramHistory;
use crate::frame::Frame;
use crate::record::History;
use crate::view::{self, Style};
use crate::words::Lang;

/// Where what ended goes. It is called on a thread of its own and may take its time.
pub trait Sink: Send {
    /// Whether anything that ends is shown. Else what is not shown for want of time is not told of
    /// either.
    fn draws(&self) -> bool {
        true
    }
    /// A connection ended and shall be shown in full.
    fn ended(&mut self, history: &History);
    /// A connection ended while many do: one line shall do.
    fn ended_in_short(&mut self, history: &History);
    /// A socket of datagrams was closed. Nothing is done about it unless this is implemented.
    fn datagrams(&mut self, _history: &DatagramHistory) {}
    /// The language in which the eye itself says it: English unless this is implemented.
    fn lang(&self) -> Lang {
        Lang::En
    }
    /// The eye itself has something to say, one line without its end.
    fn say(&mut self, line: &str);
}

/// At most so many pictures and lines wait to be drawn.
const WAITING: usize = 64;

/// Where histories go to be drawn.
pub(super) struct Drawer {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
    draws: bool,
    lang: Lang,
}

#[derive(Debug)]
enum Job {
    Ended(Box<History>),
    EndedInShort(Box<History>),
    Datagrams(Box<DatagramHistory>),
    Say(String),
}

impl Drawer {
    /// Starts the thread.
    pub(super) fn start(mut sink: Box<dyn Sink>) -> io::Result<Drawer> {
        let (jobs, waiting) = sync_channel(WAITING);
        let (draws, lang) = (sink.draws(), sink.lang());
        let draw = move || draw_all(&waiting, &mut *sink);
        let thread = thread::Builder::new().name("eye-draw".to_owned()).spawn(draw)?;
        Ok(Drawer { jobs, thread, draws, lang })
    }

    /// Whether what ends is shown.
    pub(super) fn draws(&self) -> bool {
        self.draws
    }

    /// The language of the lines.
    pub(super) fn lang(&self) -> Lang {
        self.lang
    }

    /// Has all of a connection drawn; false if too many wait already.
    pub(super) fn ended(&self, history: Box<History>) -> bool {
        self.jobs.try_send(Job::Ended(history)).is_ok()
    }

    /// Has its verdict written; false if too many wait already.
    pub(super) fn ended_in_short(&self, history: Box<History>) -> bool {
        self.jobs.try_send(Job::EndedInShort(history)).is_ok()
    }

    /// Has a socket of datagrams drawn; false if too many wait already.
    pub(super) fn datagrams(&self, history: Box<DatagramHistory>) -> bool {
        self.jobs.try_send(Job::Datagrams(history)).is_ok()
    }

    /// Has a line written; false if too many wait already.
    pub(super) fn say(&self, line: String) -> bool {
        self.jobs.try_send(Job::Say(line)).is_ok()
    }

    /// Waits until all is written, these lines too.
    pub(super) fn finish(self, last: Vec<String>) {
        for line in last {
            // It fails only if the thread has panicked.
            let _ = self.jobs.send(Job::Say(line));
        }
        drop(self.jobs);
        let _ = self.thread.join();
    }
}

fn draw_all(jobs: &Receiver<Job>, sink: &mut dyn Sink) {
    for job in jobs {
        match job {
            Job::Ended(history) => sink.ended(&history),
            Job::EndedInShort(history) => sink.ended_in_short(&history),
            Job::Datagrams(history) => sink.datagrams(&history),
            Job::Say(line) => sink.say(&line),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("style", &self.style).finish_non_exhaustive()
    }
}

impl fmt::Debug for Drawer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drawer").finish_non_exhaustive()
    }
}

/// Pictures as text.
pub struct Text {
    style: Style,
    /// What was captured of connections whose units are drawn layer by layer.
    frames: Option<Frames>,
    /// `None` after a write error, a closed pipe most of all.
    out: Option<Box<dyn Write + Send>>,
}

impl Text {
    /// Draws in this style. After an error of `out`, a closed pipe most of all, it is silent.
    #[must_use]
    pub fn new(style: Style, out: Box<dyn Write + Send>) -> Text {
        Text { style, frames: None, out: Some(out) }
    }

    /// The same, and under each connection those of its units that were kept, layer by layer.
    #[must_use]
    pub fn with_layers(self, frames: Frames) -> Text {
        Text { frames: Some(frames), ..self }
    }

    /// The units that were kept of a connection.
    fn units(&self, history: &History) -> Vec<Frame> {
        self.frames.as_ref().map(|frames| frames.take(history)).unwrap_or_default()
    }

    fn write(&mut self, mut text: String) {
        let Some(out) = &mut self.out else { return };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        // In one call, so that pictures of several programs on one terminal don't mix.
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.out = None;
        }
    }
}

impl Sink for Text {
    fn lang(&self) -> Lang {
        self.style.words()
    }

    fn ended(&mut self, history: &History) {
        let units = self.units(history);
        if self.out.is_some() {
            let mut text = view::picture(history, &self.style);
            for unit in units {
                text.push('\n');
                text.push_str(&view::layers(&unit, Some(history), &self.style));
            }
            self.write(text);
        }
    }

    fn ended_in_short(&mut self, history: &History) {
        // Nobody else takes them.
        drop(self.units(history));
        if self.out.is_some() {
            self.write(view::line(history, &self.style));
        }
    }

    fn datagrams(&mut self, history: &DatagramHistory) {
        let units = self.frames.as_ref().map(|frames| frames.take_datagrams(history));
        let units = units.unwrap_or_default();
        if self.out.is_some() {
            let mut text = view::datagrams(history, &self.style);
            for (unit, named) in units {
                text.push('\n');
                text.push_str(&view::datagram_layers(&unit, named.as_ref(), &self.style));
            }
            self.write(text);
        }
    }

    fn say(&mut self, line: &str) {
        self.write(line.to_owned());
    }
}
