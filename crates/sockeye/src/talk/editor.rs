//! A terminal on both sides: what is typed can be edited, with a history, while messages are shown
//! above it.
//!
//! The editor waits inside its own calls, so it has a thread; another one hands it what is to be
//! shown. Both are joined to the engine by pipes, so that what holds for pipes holds here too: a slow
//! peer holds back the typing, a slow terminal the receiving.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor, ExternalPrinter};

use crate::output;

/// What stands ahead of what is typed.
const PROMPT: &str = "> ";

/// How long the last messages may take to be shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Clears the line the cursor is in (ECMA-48, EL).
const CLEAR_LINE: &[u8] = b"\r\x1b[K";

/// How the terminal was before there was an editor on it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Makes the terminal what it was before, if it was taken over and not given back yet.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &before);
    }
}

/// A terminal with an editor on it; dropped, it is as it was before.
pub(super) struct Console {
    state: Arc<State>,
    /// Says when everything is shown.
    all_shown: Receiver<()>,
}

/// What the editor's thread tells.
#[derive(Default)]
struct State {
    /// Ctrl-C was typed.
    interrupted: AtomicBool,
    /// The editor has ended, and the terminal is its own again.
    ended: AtomicBool,
}

/// Whether Ctrl-C ended the input.
pub(super) struct Typed {
    state: Arc<State>,
}

impl Typed {
    pub(super) fn is_interrupted(&self) -> bool {
        self.state.interrupted.load(Ordering::Acquire)
    }
}

/// The ends that the engine reads and writes.
pub(super) struct Pipes {
    pub(super) typed: PipeReader,
    pub(super) shown: PipeWriter,
}

/// Takes the terminal over, if there is one on both sides that knows how to move its cursor.
pub(super) fn open() -> io::Result<Option<(Console, Typed, Pipes)>> {
    use std::io::IsTerminal as _;
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(None);
    }
    let before = tcgetattr(io::stdin().as_fd())?;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before.clone());
    // Repeated lines are worth one entry; what begins with a blank is nobody's business.
    let config = Config::builder().history_ignore_space(true).build();
    let Ok(mut editor) = Editor::<(), _>::with_history(config, MemHistory::new()) else {
        return Ok(None);
    };
    let Ok(mut printer) = editor.create_external_printer() else {
        return Ok(None);
    };
    tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &between_lines(before))?;
    let (typed, typing) = io::pipe()?;
    let (to_show, shown) = io::pipe()?;
    let state = Arc::new(State::default());
    let editing = Arc::clone(&state);
    thread::Builder::new().name("editor".to_owned()).spawn(move || {
        edit(&mut editor, typing, &editing);
        drop(editor);
        editing.ended.store(true, Ordering::Release);
    })?;
    let (done, all_shown) = channel();
    let shown_beside = Arc::clone(&state);
    thread::Builder::new().name("terminal".to_owned()).spawn(move || {
        show(to_show, &mut |text| {
            // The editor ends what it shows by a new line of its own.
            if shown_beside.ended.load(Ordering::Acquire) {
                output::shown(text.as_bytes());
            }
            printer.print(text).is_ok()
        });
        let _ = done.send(());
    })?;
    let typed_by = Typed { state: Arc::clone(&state) };
    let console = Console { state, all_shown };
    Ok(Some((console, typed_by, Pipes { typed, shown })))
}

/// What the editor gives the terminal back as between two lines. Were keys made lines there, a Ctrl-D
/// that comes in that moment would be an end of file that nobody reads, and lost (termios(3)).
fn between_lines(mut terminal: Termios) -> Termios {
    terminal.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
    terminal.input_modes.remove(InputModes::ICRNL);
    terminal.special_codes[SpecialCodeIndex::VMIN] = 1;
    terminal.special_codes[SpecialCodeIndex::VTIME] = 0;
    terminal
}

/// The editor's thread: one line after another, until there is no more or nobody wants it.
fn edit(editor: &mut Editor<(), MemHistory>, mut typing: PipeWriter, state: &State) {
    loop {
        match editor.readline(PROMPT) {
            Ok(mut line) => {
                // One that is in there already is no reason to stop.
                let _ = editor.add_history_entry(&*line);
                line.push('\n');
                if typing.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
            Err(ReadlineError::Interrupted) => {
                state.interrupted.store(true, Ordering::Release);
                // While it is edited, the terminal makes no signal of the key.
                let _ = kill_process(getpid(), Signal::INT);
                return;
            }
            Err(_) => return,
        }
    }
}

/// The other thread: what is to be shown goes above the line that is being edited, in whole
/// characters.
fn show(mut from: PipeReader, print: &mut dyn FnMut(String) -> bool) {
    let mut bytes = vec![0; 64 * 1024];
    let mut kept = 0;
    loop {
        let count = match from.read(&mut bytes[kept..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
            Ok(count) => count,
        };
        let all = kept + count;
        let whole = match str::from_utf8(&bytes[..all]) {
            // A character that is cut here goes on with the next bytes.
            Err(error) if count > 0 && error.error_len().is_none() => error.valid_up_to(),
            _ => all,
        };
        if whole > 0 {
            let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
            if !print(text.clone()) {
                // The editor has gone while it was handed over.
                output::shown(text.as_bytes());
                let _ = io::stdout().write_all(text.as_bytes());
            }
        }
        bytes.copy_within(whole..all, 0);
        kept = all - whole;
        if count == 0 {
            return;
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Whoever shows has let go of the pipe: what is in it is the last. A driver that is in the
        // middle of something may hold it for longer than anybody wants to wait.
        let _ = self.all_shown.recv_timeout(PATIENCE);
        if !self.state.ended.load(Ordering::Acquire) {
            let mut out = io::stdout();
            let _ = out.write_all(CLEAR_LINE).and_then(|()| out.flush());
        }
        restore();
    }
}
