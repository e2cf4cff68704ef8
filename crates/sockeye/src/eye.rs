//! Wiring the eye to a job.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::Context as _;
use sockeye_engine::{Endpoint, EndpointKind};
use sockeye_eye::capture::{Capture, RingSize, Snap, Targets};
use sockeye_eye::pcap;
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Eye, Frames, Options, Sink, Text};
use sockeye_eye::recording::Writer;
use sockeye_eye::view::Style;
use sockeye_wire::escape::Escaped;
use sockeye_wire::text::{Encoding, TextDecoder};

use crate::args::{self, What};
use crate::output::{self, say};

/// Opens the eye for a client of this endpoint, as [`open`] does.
pub(crate) fn open_for_client(args: &args::Eye, peer: &Endpoint) -> anyhow::Result<Option<Eye>> {
    // Only TCP has segments that can be captured. A name that nobody knows is told of when it is
    // connected to.
    let peers = match peer.kind() {
        EndpointKind::Tcp if args.is_open() => peer.resolve().unwrap_or_default(),
        _ => Vec::new(),
    };
    open_to(args, Targets::peers(&peers), true)
}

/// Opens the eye for those that talk to whoever connects, as [`open`] does.
pub(crate) fn open_for_talk(
    args: &args::Eye,
    of_tcp: &[SocketAddr],
) -> anyhow::Result<Option<Eye>> {
    open_to(args, of_tcp.into(), true)
}

/// Opens the eye if it was asked for, and says what it can't see. Only TCP has segments that can be
/// captured: no other socket's address belongs to the targets.
pub(crate) fn open<'a>(
    args: &args::Eye,
    targets: impl Into<Targets<'a>>,
) -> anyhow::Result<Option<Eye>> {
    open_to(args, targets.into(), false)
}

fn open_to(args: &args::Eye, targets: Targets<'_>, talk: bool) -> anyhow::Result<Option<Eye>> {
    if !args.is_open() {
        return Ok(None);
    }
    let mut options = match (args.draws(), args.layers) {
        (_, Some(units)) => with_layers(args, targets, units),
        (true, None) => Options::drawing(style_of_eye(args), io::stderr()),
        (false, None) => Options::to(Silent),
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
        let name = format!("--pcap {}", Escaped(file.as_os_str().as_bytes()));
        if args.does(What::Calls) {
            anyhow::bail!(
                "{name}: there are no packets with --eye=calls; leave one of the two out"
            );
        }
        can_capture(targets).with_context(|| name.clone())?;
        let writer =
            pcap::Writer::create(file).with_context(|| format!("{name}: can't be written"))?;
        options.taps.push(Box::new(writer));
        options.snap = Snap::Whole;
    }
    let eye = Eye::open(targets, options).context("--eye")?;
    if let Some(missing) = eye.missing() {
        say(format_args!("{missing}"));
    }
    Ok(Some(eye))
}

/// Fails where no packet could be captured, before a file is made that would stay empty.
fn can_capture(targets: Targets<'_>) -> anyhow::Result<()> {
    if targets.is_empty() {
        anyhow::bail!("packets of TCP alone are captured, and there is none of it here");
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
    if style.width < Style::NARROWEST {
        say(format_args!(
            "eye: the terminal has {} columns and a picture takes {}: verdicts alone are shown; \
             --width draws all the same",
            style.width,
            Style::NARROWEST
        ));
    }
    style
}

/// An eye that draws nothing; what it has to say is said.
struct Silent;

impl Sink for Silent {
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
        lang: drawing.lang().unwrap_or_else(output::locale_lang),
        ..Style::default()
    }
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
    targets.is_empty().then_some(
        "only TCP's packets are captured here: there are no units to show of other sockets",
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
