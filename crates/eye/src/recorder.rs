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

mod afterwards;
mod batch;
mod draw;
mod frames;
mod gate;
mod handover;
mod item;
mod label;
mod letters;
mod probe;
mod sampler;
mod slab;
mod sources;
mod tap;
mod tracks;
mod viewer;
mod watch;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use sockeye_engine::probe::{ProbeSource, Stamp};

use crate::capture::{Snap, Targets};
use crate::view::Style;
use crate::words::{Lang, lack};
use draw::Drawer;
pub use draw::{Sink, Text};
pub use frames::Frames;
use handover::{BATCHES, Sender, channel};
pub use letters::{Letter, Named, Part};
pub(crate) use letters::{Post, Slip};
use probe::{How, Source};
use sources::{Sources, Wanted};
pub use tap::{Begun, Seen, Tap};
pub(crate) use tracks::{MAX_SOCKETS, Replay};
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
    /// Whether the kernel is asked how full queues are while connections are open, and listened to when
    /// it lets go of their sockets.
    pub queues: bool,
    /// Whether the kernel is asked to stamp what is sent: costs a tenth and more of the speed.
    pub stamps: bool,
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
            queues: true,
            stamps: false,
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
    how: How,
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
        let Options { sink, mut taps, capture, snap, queues, stamps, talk, viewer } = options;
        let targets = match snap {
            // Of headers alone no datagram could be told from another.
            Snap::Headers => Targets { datagrams: &[], datagram_peers: &[], ..targets },
            Snap::Whole => targets,
        };
        let (sender, inbox) = channel(BATCHES)?;
        let sources = Sources::open(targets, Wanted { capture, snap, queues, stamps });
        // Whoever reads a recording may have another language than who made it.
        let recorded = lack::line(&sources.missing, Lang::En);
        let begun = Begun {
            at: Stamp::now(),
            talk,
            listeners: targets.listeners,
            peers: targets.peers,
            datagrams: targets.datagrams,
            datagram_peers: targets.datagram_peers,
            capture: sources.capture.is_some(),
            diag: sources.diag.is_some(),
            queues: sources.queues.is_some(),
            ends: sources.ends.is_some(),
            stamps: sources.stamps,
            missing: recorded.as_deref(),
        };
        taps.iter_mut().for_each(|tap| tap.sees(&Seen::Begun(&begun)));
        let drawer = Drawer::start(sink)?;
        let all = !taps.is_empty() || viewer.is_some();
        let wanted = batch::Wanted { begins: sources.queues.is_some(), all };
        let how = How { stamps: sources.stamps, wanted };
        let missing = lack::line(&sources.missing, drawer.lang());
        let watch = Watch::new(targets, inbox, sources, drawer, taps, talk, viewer);
        let thread = thread::Builder::new().name("eye".to_owned()).spawn(|| watch.run())?;
        Ok(Eye { sender, thread: Some(thread), how, missing })
    }

    /// What can't be seen for lack of privilege and how to get it, in one line; `None` if nothing
    /// that was asked for is missing. In the language of [`Sink::lang`].
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.missing.clone()
    }

    /// Where threads that serve get their probes.
    ///
    /// It may outlive the eye; what is reported then goes nowhere.
    #[must_use]
    pub fn source(&self) -> Arc<dyn ProbeSource> {
        Arc::new(Source::new(self.sender.clone(), self.how))
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
            .field("queues", &self.queues)
            .field("stamps", &self.stamps)
            .field("talk", &self.talk)
            .finish_non_exhaustive()
    }
}
