//! The eye, opened: takes in what the engine reports, joins it with packets, has it drawn.
//!
//! ```text
//!  serving threads            the eye's thread                    the drawing thread
//!  probe -> batch -> handover -> watch -> tracks -> gate -> draw -> out
//!                                ^  \-> taps
//!                       capture (packets), kernel (sock_diag)
//! ```
//!
//! Nothing on the left waits for anything on its right: where a stage is too slow, what comes in
//! is dropped, counted and said.

mod batch;
mod draw;
mod gate;
mod handover;
mod item;
mod label;
mod probe;
mod slab;
mod tap;
mod tracks;
mod viewer;
mod watch;

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use sockeye_engine::probe::{ProbeSource, Stamp};

use crate::capture::{Capture, RingSize, Snap, Targets};
use crate::kernel::SockDiag;
use crate::view::Style;
use draw::Drawer;
pub use draw::{Sink, Text};
use handover::{BATCHES, Sender, channel};
use probe::Source;
pub use tap::{Begun, Seen, Tap};
pub use viewer::{ROWS_MAX, Row, Snapshot, Viewer};
use watch::Watch;

/// How the eye is to look, and where what it sees goes.
pub struct Options {
    /// Where connections go that have ended.
    pub sink: Box<dyn Sink>,
    /// Who is shown all that the eye takes in, while it does.
    pub taps: Vec<Box<dyn Tap>>,
    /// Whether packets are captured if that is permitted.
    pub capture: bool,
    /// How much of each packet is captured; taps are shown it, pictures need headers alone.
    pub snap: Snap,
    /// Whether messages are those of two who talk as they please. Else each message of a client is a
    /// question, and each of a server its answer.
    pub talk: bool,
    /// Who may look at what is open now.
    pub viewer: Option<Viewer>,
}

impl Options {
    /// Packets are captured if that is permitted, and connections go to `sink`.
    #[must_use]
    pub fn to(sink: impl Sink + 'static) -> Options {
        Options {
            sink: Box::new(sink),
            taps: Vec::new(),
            capture: true,
            snap: Snap::Headers,
            talk: false,
            viewer: None,
        }
    }

    /// The same, drawn in this style. Each picture is written to `out` in one call.
    #[must_use]
    pub fn drawing(style: Style, out: impl Write + Send + 'static) -> Options {
        Options::to(Text::new(style, Box::new(out)))
    }
}

/// An open eye: a thread that looks on, and one that draws.
///
/// Dropped without [`Eye::close`], it closes as well but does not wait until all is drawn.
///
/// ```
/// use std::net::TcpListener;
/// use sockeye_eye::recorder::{Eye, Options};
/// use sockeye_eye::view::Style;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let options = Options::drawing(Style::default(), std::io::stderr());
/// let eye = Eye::open(&[listener.local_addr()?], options)?;
/// if let Some(missing) = eye.missing() {
///     assert!(missing.starts_with("eye: no packet capture"));
/// }
/// let _source = eye.source(); // for the engine
/// eye.close();
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Eye {
    sender: Sender,
    thread: Option<JoinHandle<()>>,
    missing: Option<String>,
}

impl Eye {
    /// Opens the eye for connections of these listeners, which are bound already (those the probes
    /// report later join them), and for connections to these peers.
    ///
    /// A client names the addresses it may connect to and opens the eye before it does: the port of
    /// its own is known only afterwards. To nothing at all, as for Unix sockets alone, no packets
    /// are captured.
    ///
    /// ```
    /// use sockeye_eye::capture::Targets;
    /// use sockeye_eye::recorder::{Eye, Options};
    /// use sockeye_eye::view::Style;
    ///
    /// let options = Options::drawing(Style::default(), std::io::stderr());
    /// let eye = Eye::open(Targets::peers(&[([127, 0, 0, 1], 8080).into()]), options)?;
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// Never fails for lack of privilege: [`Eye::missing`] says what can't be seen then.
    ///
    /// # Errors
    /// If the system has no descriptor or no thread to spare.
    pub fn open<'a>(targets: impl Into<Targets<'a>>, options: Options) -> io::Result<Eye> {
        let targets = targets.into();
        let Options { sink, mut taps, capture, snap, talk, viewer } = options;
        let (sender, inbox) = channel(BATCHES)?;
        let capture =
            (capture && !targets.is_empty()).then(|| Capture::open(targets, RingSize::from(snap)));
        let (capture, missing) = match capture {
            Some(Ok(capture)) => (Some(capture), None),
            Some(Err(error)) => {
                let rows = match targets.others {
                    [] => "the segment and ack rows and the exact states are not shown",
                    _ => {
                        "states and bytes are those the kernel tells when it is asked, ten times a second"
                    }
                };
                let remedy = error.remedy().map(|way| format!("; to see them: {way}"));
                (None, Some(format!("eye: {error}: {rows}{}", remedy.unwrap_or_default())))
            }
            None => (None, None),
        };
        // Without it pictures lack the aftermath; nothing the user could do about it.
        let diag = match targets.listeners.first() {
            Some(&listener) => SockDiag::open(listener).ok(),
            None if targets.is_empty() => None,
            None => diag_of_a_client(),
        };
        let begun = Begun {
            at: Stamp::now(),
            talk,
            listeners: targets.listeners,
            peers: targets.peers,
            capture: capture.is_some(),
            diag: diag.is_some(),
            missing: missing.as_deref(),
        };
        taps.iter_mut().for_each(|tap| tap.sees(&Seen::Begun(&begun)));
        let drawer = Drawer::start(sink)?;
        let watch = Watch::new(targets, inbox, capture, diag, drawer, taps, talk, viewer);
        let thread = thread::Builder::new().name("eye".to_owned()).spawn(|| watch.run())?;
        Ok(Eye { sender, thread: Some(thread), missing })
    }

    /// What can't be seen for lack of privilege and how to get it, in one line; `None` if nothing
    /// that was asked for is missing.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.missing.clone()
    }

    /// Where threads that serve get their probes.
    ///
    /// It may outlive the eye; what is reported then goes nowhere.
    #[must_use]
    pub fn source(&self) -> Arc<dyn ProbeSource> {
        Arc::new(Source::new(self.sender.clone()))
    }

    /// Draws what has ended, says what is still open, and waits until that is written.
    ///
    /// Connections just closed are given a fifth of a second for their last packets. Let go of
    /// the probes first: what one of them has not handed over yet is not drawn.
    pub fn close(mut self) {
        self.sender.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the eye is no reason to take the server with it.
            let _ = thread.join();
        }
    }
}

/// `sock_diag` needs a socket to be sure that it works, and a client has none yet.
fn diag_of_a_client() -> Option<SockDiag> {
    let witness = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    SockDiag::open(witness.local_addr().ok()?).ok()
}

impl Drop for Eye {
    fn drop(&mut self) {
        self.sender.close();
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("taps", &self.taps.len())
            .field("capture", &self.capture)
            .field("snap", &self.snap)
            .field("talk", &self.talk)
            .finish_non_exhaustive()
    }
}
