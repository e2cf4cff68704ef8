//! Wiring the eye to a job.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;
use rustix::process::{Signal, getpid, kill_process};
use sockeye_engine::probe::ProbeSource;
use sockeye_engine::{Endpoint, EndpointKind};
use sockeye_eye::capture::{Capture, RingSize, Snap, Targets};
use sockeye_eye::pcap;
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Eye, Frames, Options, Sink, Text, Viewer};
use sockeye_eye::recording::Writer;
use sockeye_eye::view::Style;
use sockeye_eye::view::live::Face;
use sockeye_eye::words::Lang;
use sockeye_wire::escape::Escaped;
use sockeye_wire::text::{Encoding, TextDecoder};

use crate::args::{self, What};
use crate::live::{self, Fed, Why};
use crate::output::{self, say};
use crate::place::Place;
use crate::screen::{self, On};
use crate::signals;

/// Opens the eye for a client of this endpoint, as [`open`] does.
pub(crate) fn open_for_client(args: &args::Eye, peer: &Endpoint) -> anyhow::Result<Option<Opened>> {
    // A name that nobody knows is told of when it is connected to.
    let peers = match peer.kind() {
        EndpointKind::Tcp | EndpointKind::Udp if args.is_open() => {
            peer.resolve().unwrap_or_default()
        }
        _ => Vec::new(),
    };
    not_live(args);
    let targets = match peer.kind() {
        EndpointKind::Udp => Targets { datagram_peers: &peers, ..Targets::default() },
        _ => Targets::peers(&peers),
    };
    open_to(args, targets, true)
}

/// Opens the eye for those that talk to whoever connects, as [`open`] does. A service has nobody at the
/// terminal, which may so have a face.
pub(crate) fn open_for_talk(
    args: &args::Eye,
    of_tcp: &[SocketAddr],
    of_udp: &[SocketAddr],
    is_service: bool,
) -> anyhow::Result<Option<Opened>> {
    if !is_service {
        not_live(args);
    }
    open_to(args, Targets { datagrams: of_udp, ..of_tcp.into() }, true)
}

/// Opens the eye if it was asked for, and says what it can't see. Packets of
/// TCP and UDP can be captured: no other socket's address belongs to the targets.
pub(crate) fn open<'a>(
    args: &args::Eye,
    targets: impl Into<Targets<'a>>,
) -> anyhow::Result<Option<Opened>> {
    open_to(args, targets.into(), false)
}

fn open_to(args: &args::Eye, targets: Targets<'_>, talk: bool) -> anyhow::Result<Option<Opened>> {
    if !args.is_open() {
        return Ok(None);
    }
    are_apart(args.record.as_deref(), args.pcap.as_deref());
    let mut live = None;
    let mut options = match (args.draws(), args.layers) {
        _ if args.does(What::Live) => {
            let (options, pending) = to_be_shown(args)?;
            live = Some(pending);
            options
        }
        (_, Some(units)) => with_layers(args, targets, units),
        (true, None) => Options::drawing(style_of_eye(args), io::stderr()),
        (false, None) => Options::to(Silent(lang(&args.drawing))),
    };
    options.talk = talk;
    options.capture = !args.does(What::Calls);
    options.queues = options.capture;
    options.stamps = args.does(What::Stamps);
    if let Some(file) = &args.record {
        let writer = Writer::create(file).with_context(|| {
            format!("--record {}: can't be written", Escaped(file.as_os_str().as_bytes()))
        })?;
        options.taps.push(Box::new(writer));
    }
    if let Some(file) = &args.pcap {
        if args.does(What::Calls) {
            anyhow::bail!(
                "{}: there are no packets with --eye=calls; leave one of the two out",
                option(file)
            );
        }
        write_packets(file, targets, &mut options)?;
    }
    let eye = Eye::open(targets, options).context("--eye")?;
    if let Some(missing) = eye.missing() {
        say(format_args!("{missing}"));
    }
    Ok(Some(Opened { eye, live: Mutex::new(live), shown: Mutex::new(None) }))
}

/// An open eye, and the face it may have.
pub(crate) struct Opened {
    eye: Eye,
    /// Until it is shown.
    live: Mutex<Option<Pending>>,
    /// While it is shown: who tells it to end, and its thread.
    shown: Mutex<Option<(UnixStream, JoinHandle<()>)>>,
}

/// A face that is not on the terminal yet.
struct Pending {
    style: Style,
    viewer: Viewer,
    fed: Fed,
}

impl Opened {
    /// Where threads that serve get their probes.
    pub(crate) fn source(&self) -> Arc<dyn ProbeSource> {
        self.eye.source()
    }

    /// Shows the face, if there is to be one; what is to be on the terminal before it was said.
    /// A key that quits is a Ctrl-C of this program.
    pub(crate) fn show(&self, of: &str) {
        let Some(pending) = self.live.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let face = Face::new(of);
        let begun = UnixStream::pair().and_then(|(stop, stopped)| {
            signals::tell_too(&stop)?;
            let thread = thread::Builder::new().name("face".to_owned()).spawn(move || {
                let Pending { style, viewer, fed } = pending;
                let shown = live::show(face, &style, On::Stderr, &viewer, &fed, &[&stopped], None);
                match shown {
                    Ok(Why::Over) => {}
                    Ok(Why::Quit | Why::Interrupt) => {
                        let _ = kill_process(getpid(), Signal::INT);
                    }
                    Err(error) => say(format_args!("eye: the terminal: {error}")),
                }
            })?;
            Ok((stop, thread))
        });
        match begun {
            Ok(begun) => {
                *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
            }
            Err(error) => say(format_args!("eye: the live face: {error}")),
        }
    }

    /// Closes the face, and the eye as [`Eye::close`] does.
    pub(crate) fn close(self) {
        let shown = self.shown.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some((stop, thread)) = shown {
            let _ = (&stop).write(&[1]);
            // What it had to say of a panic is said.
            let _ = thread.join();
        }
        drop(self.live);
        self.eye.close();
    }
}

/// An eye whose face is shown later.
fn to_be_shown(args: &args::Eye) -> anyhow::Result<(Options, Pending)> {
    if args.layers.is_some() {
        wrong("--layers draws text, and --eye=live has the terminal for itself");
    }
    if !screen::is_there(On::Stderr) {
        bail!(
            "--eye=live: standard input and standard error are no terminal that moves its cursor; \
             --eye draws text"
        );
    }
    let style = style(&args.drawing, output::stderr_width(), output::colour_on_stderr());
    let (feed, fed) = live::feed(&style);
    let viewer = Viewer::new();
    let options = Options { viewer: Some(viewer.clone()), ..Options::to(feed) };
    Ok((options, Pending { style, viewer, fed }))
}

/// Of those that talk, the terminal is for the talk.
fn not_live(args: &args::Eye) {
    if args.does(What::Live) {
        wrong(
            "--eye=live is of serve, and of listen with a service (--echo); else the terminal is for the talk",
        );
    }
}

/// Ends the program, as wrong usage does.
fn wrong(why: &str) -> ! {
    args::wrong(ErrorKind::ArgumentConflict, why)
}

/// Ends the program, as wrong usage does, where one file would be written by two: each would destroy
/// what the other wrote. Nothing was opened before, so what is in it stays.
pub(crate) fn are_apart(record: Option<&Path>, pcap: Option<&Path>) {
    let (stdout, stderr) = (Place::of_open(&io::stdout()), Place::of_open(&io::stderr()));
    let writers = [
        record.map(|file| (format!("--record {}", shown(file)), Place::of(file))),
        pcap.map(|file| (option(file), Place::of(file))),
        Some((String::from("standard output"), stdout)),
        Some((String::from("standard error"), stderr)),
    ];
    let writers: Vec<_> =
        writers.into_iter().flatten().filter_map(|(name, at)| Some((name, at?))).collect();
    // Where the standard ones lead is not for us to say.
    for (at, (option, place)) in
        writers.iter().enumerate().filter(|(_, (name, _))| name.starts_with("--"))
    {
        if let Some((other, _)) = writers[at + 1..].iter().find(|(_, other)| other == place) {
            wrong(&format!("{option} and {other}: the same file; each needs one of its own"));
        }
    }
}

/// Has the packets of these written to a file.
pub(crate) fn write_packets(
    file: &Path,
    targets: Targets<'_>,
    options: &mut Options,
) -> anyhow::Result<()> {
    can_capture(targets).with_context(|| option(file))?;
    let writer = pcap::Writer::create(file)
        .with_context(|| format!("{}: can't be written", option(file)))?;
    options.taps.push(Box::new(writer));
    options.snap = Snap::Whole;
    Ok(())
}

fn option(file: &Path) -> String {
    format!("--pcap {}", shown(file))
}

fn shown(file: &Path) -> Escaped<'_> {
    Escaped(file.as_os_str().as_bytes())
}

/// Fails where no packet could be captured, before a file is made that would stay empty.
fn can_capture(targets: Targets<'_>) -> anyhow::Result<()> {
    if targets.is_empty_for(Snap::Whole) {
        anyhow::bail!("packets of TCP and UDP are captured, and there are none of them here");
    }
    let small = RingSize { block_bytes: 1 << 16, blocks: 2, ..RingSize::from(Snap::Whole) };
    match Capture::open(targets, small) {
        Ok(_) => Ok(()),
        Err(error) => match error.remedy() {
            Some(remedy) => Err(anyhow::anyhow!("{error}; {remedy}")),
            None => Err(error.into()),
        },
    }
}

/// How the eye draws on standard error.
fn style_of_eye(args: &args::Eye) -> Style {
    let style = style(&args.drawing, output::stderr_width(), output::colour_on_stderr());
    say_if_narrow("eye", &style);
    style
}

/// Says why there are no pictures, where there is no room for them.
pub(crate) fn say_if_narrow(who: &str, style: &Style) {
    if style.width < Style::NARROWEST {
        say(format_args!(
            "{who}: the terminal has {} columns and a picture takes {}: verdicts alone are shown; \
             --width draws all the same",
            style.width,
            Style::NARROWEST
        ));
    }
}

/// An eye that draws nothing; what it has to say is said.
struct Silent(Lang);

impl Sink for Silent {
    fn lang(&self) -> Lang {
        self.0
    }

    fn draws(&self) -> bool {
        false
    }

    fn ended(&mut self, _: &History) {}

    fn ended_in_short(&mut self, _: &History) {}

    fn say(&mut self, line: &str) {
        say(format_args!("{line}"));
    }
}

/// How to draw, on a terminal of so many columns if it is one.
pub(crate) fn style(drawing: &args::Drawing, columns: Option<u16>, colour: bool) -> Style {
    Style {
        width: drawing.width.or(columns).map_or(100, usize::from),
        ascii: drawing.ascii || output::locale_is_ascii(),
        colour,
        lang: lang(drawing),
        wraps: drawing.width.or(columns).is_some(),
        ..Style::default()
    }
}

fn lang(drawing: &args::Drawing) -> Lang {
    drawing.lang().unwrap_or_else(output::locale_lang)
}

/// Draws on standard error, and under each connection its first units, layer by layer.
fn with_layers(args: &args::Eye, targets: Targets<'_>, units: u8) -> Options {
    if let Some(reason) = no_layers(targets, !args.does(What::Calls)) {
        say(format_args!("eye: --layers: {reason}"));
    }
    let frames = Frames::default();
    let tap = frames.tap(units.into());
    let text = Text::new(style_of_eye(args), Box::new(io::stderr())).with_layers(frames);
    Options { snap: Snap::Whole, taps: vec![tap], ..Options::to(text) }
}

/// Why there are no units to be shown.
fn no_layers(targets: Targets<'_>, capture: bool) -> Option<&'static str> {
    if !capture {
        return Some("--eye=calls looks at no packets, so there are no units to show");
    }
    targets.is_empty_for(Snap::Whole).then_some(
        "packets of TCP and UDP are captured: there are no units to show of other sockets",
    )
}

/// What a message is called in a picture: the text it begins with, or its length where it is none.
///
/// Not fit for a terminal yet; the eye escapes what it draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) encoding: Encoding,
}

impl Label<'_> {
    /// Bytes that are looked at: more than the eye keeps of a label.
    const MOST: usize = 256;
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.payload.len();
        let first = &self.payload[..len.min(Label::MOST)];
        let mut decoder = TextDecoder::new(self.encoding);
        let mut text = String::new();
        decoder.decode(first, &mut text);
        if first.len() == len {
            decoder.finish(&mut text);
        }
        let text = text.trim_end();
        if decoder.malformed() > 0 || text.is_empty() || text.contains('\0') {
            return write!(f, "len={len}");
        }
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_text_or_a_length() {
        let utf_8 = Encoding::UTF_8;
        let gb18030 = "GB18030".parse().expect("there is such an encoding");
        let long = "é".repeat(1000);
        let cut = format!("a{long}");
        for (payload, encoding, label) in [
            (&b"GET a\r\n"[..], utf_8, "GET a"),
            (b"", utf_8, "len=0"),
            (b"\xff\xfe\x80", utf_8, "len=3"),
            (b"\0\0\0\x05", utf_8, "len=4"),
            ("文件".as_bytes(), utf_8, "文件"),
            (b"\xce\xc4\xbc\xfe", gb18030, "文件"),
            (long.as_bytes(), utf_8, &long[..Label::MOST]),
            (cut.as_bytes(), utf_8, &cut[..Label::MOST - 1]),
        ] {
            assert_eq!(Label { payload, encoding }.to_string(), label);
        }
    }
}
