//! A whole terminal for one picture that changes: taken over, drawn on line by line, and given back
//! on every way out.
//!
//! What it takes of a terminal is little: lines that are coloured already, and a dozen keys.

pub(crate) mod keys;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::output;

/// Where it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Stdout,
    Stderr,
}

/// The other screen (xterm's 1049), no cursor, no line that goes on in the next one; and back.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";

/// What is drawn between these appears at once, where the terminal knows how to.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";

/// How the terminal was, and where it is drawn on, as long as it is taken over.
static TAKEN: Mutex<Option<(Termios, On)>> = Mutex::new(None);

/// A panic gives the terminal back before it is told of.
static PANICS: Once = Once::new();

/// A terminal that was taken over; dropped, it is given back.
pub(crate) struct Screen {
    on: On,
    /// What each line shows.
    shown: Vec<String>,
    size: (usize, usize),
}

/// Whether there is a terminal on both sides that knows how to move its cursor.
pub(crate) fn is_there(on: On) -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let out = match on {
        On::Stdout => io::stdout().is_terminal(),
        On::Stderr => io::stderr().is_terminal(),
    };
    !dumb && out && io::stdin().is_terminal()
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// The terminal does not let itself be set.
    pub(crate) fn take(on: On) -> io::Result<Screen> {
        PANICS.call_once(|| {
            let told = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                told(panic);
            }));
        });
        let screen = Screen { on, shown: Vec::new(), size: (0, 0) };
        screen.enter()?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(crate) fn size(&self) -> (usize, usize) {
        let size = match self.on {
            On::Stdout => tcgetwinsize(io::stdout()),
            On::Stderr => tcgetwinsize(io::stderr()),
        };
        match size {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (size.ws_col.into(), size.ws_row.into())
            }
            _ => (80, 24),
        }
    }

    /// Shows these lines, none of which is wider than the terminal.
    ///
    /// # Errors
    ///
    /// The terminal is gone, or was given back already.
    pub(crate) fn show(&mut self, lines: Vec<String>) -> io::Result<()> {
        if is_away().load(Ordering::Acquire) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let size = self.size();
        if self.size != size {
            self.size = size;
            self.forget();
        }
        let mut changed = String::new();
        if self.shown.is_empty() {
            changed.push_str("\x1b[2J");
        }
        for (place, line) in lines.iter().enumerate() {
            if self.shown.get(place) != Some(line) {
                let _ = write!(changed, "\x1b[{};1H\x1b[m\x1b[2K{line}", place + 1);
            }
        }
        self.shown = lines;
        if changed.is_empty() {
            return Ok(());
        }
        write(self.on, format!("{BEGIN}{changed}\x1b[m{END}").as_bytes())
    }

    /// Everything is drawn again, whatever the terminal shows.
    pub(crate) fn forget(&mut self) {
        self.shown.clear();
    }

    /// Lets the shell have the terminal until it lets us go on (Ctrl-Z).
    ///
    /// # Errors
    ///
    /// The terminal does not let itself be set.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        restore();
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        self.forget();
        self.enter()
    }

    /// What keys are read from.
    pub(crate) fn keyboard(&self) -> impl rustix::fd::AsFd + use<> {
        io::stdin()
    }

    fn enter(&self) -> io::Result<()> {
        let before = tcgetattr(io::stdin().as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some((before, self.on));
        output::hold();
        is_away().store(false, Ordering::Release);
        tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &raw)?;
        write(self.on, ENTER)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the terminal is not taken over now.
pub(crate) fn is_away() -> Arc<AtomicBool> {
    static AWAY: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    Arc::clone(AWAY.get_or_init(|| Arc::new(AtomicBool::new(true))))
}

/// Gives the terminal back, if it was taken over; what was said meanwhile is said now.
pub(crate) fn restore() {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((before, on)) = taken {
        is_away().store(true, Ordering::Release);
        let _ = write(on, LEAVE);
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &before);
        output::release();
    }
}

fn write(on: On, bytes: &[u8]) -> io::Result<()> {
    fn all(out: &mut impl io::Write, bytes: &[u8]) -> io::Result<()> {
        out.write_all(bytes)?;
        out.flush()
    }
    match on {
        On::Stdout => all(&mut io::stdout().lock(), bytes),
        On::Stderr => all(&mut io::stderr().lock(), bytes),
    }
}

/// Reads what was typed; nothing is an error of a terminal that is gone.
pub(crate) fn read(keyboard: BorrowedFd<'_>, typed: &mut [u8]) -> io::Result<usize> {
    match rustix::io::read(keyboard, typed) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => Ok(count),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}
