//! The live face on a terminal: what the eye hands out is shown, and keys are read.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use signal_hook::consts::{SIGTSTP, SIGWINCH};
use signal_hook::flag;
use signal_hook::low_level::pipe;
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Sink, Viewer};
use sockeye_eye::view::Style;
use sockeye_eye::view::live::Face;
use sockeye_eye::words::Lang;

use crate::output;
use crate::screen::keys::{Keys, Pressed};
use crate::screen::{self, On, Screen};

/// So often the eye is asked what is open.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// So many that ended wait to be shown; the thread that draws waits then, and nobody else.
const WAITING: usize = 64;

/// Takes in what ends.
pub(crate) struct Feed {
    ended: SyncSender<Box<History>>,
    lang: Lang,
}

/// What came in.
pub(crate) struct Fed(Receiver<Box<History>>);

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A key said so.
    Quit,
    /// Ctrl-C.
    Interrupt,
    /// The program ends, its time is up, or the terminal is gone.
    Over,
}

/// A sink for a face of this style, and where what it takes in comes out.
pub(crate) fn feed(style: &Style) -> (Feed, Fed) {
    let (ended, fed) = sync_channel(WAITING);
    (Feed { ended, lang: style.words() }, Fed(fed))
}

impl Sink for Feed {
    fn lang(&self) -> Lang {
        self.lang
    }

    fn ended(&mut self, history: &History) {
        // Nobody looks any more: the program is about to end.
        let _ = self.ended.send(Box::new(history.clone()));
    }

    fn ended_in_short(&mut self, history: &History) {
        self.ended(history);
    }

    fn say(&mut self, line: &str) {
        output::say(format_args!("{line}"));
    }
}

/// Shows it until a key or one of `stops` says that it is enough, or the time is up.
///
/// # Errors
///
/// The terminal does not let itself be set.
pub(crate) fn show(
    mut face: Face,
    style: &Style,
    on: On,
    viewer: &Viewer,
    fed: &Fed,
    stops: &[&UnixStream],
    until: Option<Instant>,
) -> io::Result<Why> {
    let stopped = suspension()?;
    let (waking, resized) = UnixStream::pair()?;
    resized.set_nonblocking(true)?;
    let winch = pipe::register(SIGWINCH, waking)?;
    let mut screen = Screen::take(on)?;
    let mut shown = Shown { keys: Keys::default(), said: 0 };
    let why = loop {
        if until.is_some_and(|until| Instant::now() >= until) {
            break Why::Over;
        }
        for history in fed.0.try_iter() {
            face.ended(Arc::from(history));
        }
        if let Some(snapshot) = viewer.look(face.wants()) {
            face.take(snapshot);
        }
        if let Some((count, line)) = output::held().filter(|(count, _)| *count > shown.said) {
            shown.said = count;
            face.say(&line);
        }
        let (columns, lines) = screen.size();
        if screen.show(face.draw(columns, lines, style)).is_err() {
            break Why::Over;
        }
        match shown.wait(&mut face, &mut screen, &resized, stops, until) {
            Ok(None) => {}
            Ok(Some(why)) => break why,
            Err(_) => break Why::Over,
        }
        if stopped.swap(false, Ordering::AcqRel) {
            screen.suspend()?;
        }
        if face.is_over() {
            break Why::Quit;
        }
    };
    viewer.look_away();
    drop(screen);
    signal_hook::low_level::unregister(winch);
    Ok(why)
}

/// What goes on from one drawing to the next.
struct Shown {
    keys: Keys,
    /// How many lines said by others were shown.
    said: u64,
}

impl Shown {
    /// Waits for keys, or until it is time to look again.
    fn wait(
        &mut self,
        face: &mut Face,
        screen: &mut Screen,
        resized: &UnixStream,
        stops: &[&UnixStream],
        until: Option<Instant>,
    ) -> io::Result<Option<Why>> {
        let keyboard = screen.keyboard();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let pause = left.map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY));
        let pause = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
        let mut fds =
            vec![PollFd::new(&keyboard, PollFlags::IN), PollFd::new(resized, PollFlags::IN)];
        fds.extend(stops.iter().map(|stop| PollFd::new(*stop, PollFlags::IN)));
        match poll(&mut fds, Some(&pause)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[1] {
            // However often it was told.
            let _ = rustix::io::read(resized, &mut [0; 64]);
        }
        if ready[2..].contains(&true) {
            return Ok(Some(Why::Over));
        }
        let mut pressed: Vec<Pressed> = Vec::new();
        if ready[0] {
            let mut typed = [0; 256];
            let count = screen::read(keyboard.as_fd(), &mut typed)?;
            pressed = self.keys.take(&typed[..count]);
        } else {
            pressed.extend(self.keys.pause());
        }
        for pressed in pressed {
            match pressed {
                Pressed::Key(key) => face.key(key),
                Pressed::Interrupt => return Ok(Some(Why::Interrupt)),
                Pressed::Suspend => screen.suspend()?,
                Pressed::Redraw => screen.forget(),
            }
            if face.is_over() {
                break;
            }
        }
        Ok(None)
    }
}

/// Set when somebody wants the program to stop until it is told to go on. With no face on the
/// terminal, it stops as any program does.
fn suspension() -> io::Result<Arc<AtomicBool>> {
    static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(asked) = ASKED.get() {
        return Ok(Arc::clone(asked));
    }
    let asked = Arc::new(AtomicBool::new(false));
    flag::register_conditional_default(SIGTSTP, screen::is_away())?;
    flag::register(SIGTSTP, Arc::clone(&asked))?;
    Ok(Arc::clone(ASKED.get_or_init(|| asked)))
}
