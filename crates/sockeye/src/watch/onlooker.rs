//! Connections of other programs, followed while they talk.

use std::fmt;
use std::io::{self, Write as _};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use sockeye_engine::{Endpoint, EndpointKind};
use sockeye_eye::capture::{Snap, Targets};
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Eye, Frames, Options, Seen, Sink, Tap, Viewer};
use sockeye_eye::recording::Writer;
use sockeye_eye::view::live::Face;
use sockeye_eye::view::{self, Style};
use sockeye_eye::words::Lang;
use sockeye_wire::escape::Escaped;

use crate::args::{self, Layers};
use crate::output::say;
use crate::screen::{self, On};
use crate::{live, signals};

pub(super) fn run(args: &args::Watch, style: Style) -> anyhow::Result<ExitCode> {
    let watched = match Watched::of(&args.what) {
        Ok(watched) => watched,
        Err(error) => args::wrong(ErrorKind::ValueValidation, crate::told(&error)),
    };
    let interface = args.interface.as_deref().map(index_of).transpose()?;
    let signals = signals::watch().context("signals can't be caught")?;
    let (tell, told) = UnixStream::pair().context("the process is out of descriptors")?;
    told.set_nonblocking(true).context("a pipe within this process")?;
    let frames = Frames::default();
    let (feed, fed) = live::feed(&style);
    let viewer = Viewer::new();
    // Boxes are no face that changes while one looks at it.
    let live = !args.plain && args.layers.is_none() && screen::is_there(On::Stdout);
    let mut options = match live {
        true => Options { viewer: Some(viewer.clone()), ..Options::to(feed) },
        false => {
            let over = tell.try_clone().context("out of descriptors")?;
            let frames = frames.clone();
            Options::to(Printer { style: style.clone(), frames, over, gone: false })
        }
    };
    if let Some(Layers::Units(units)) = args.layers {
        options.taps.push(frames.tap(units.into()));
        options.snap = Snap::Whole;
    }
    crate::eye::are_apart(args.record.as_deref(), args.pcap.as_deref());
    if let Some(left) = args.count {
        options.taps.push(Box::new(Counter { left, over: tell }));
    }
    if let Some(file) = &args.record {
        options.taps.push(Box::new(writer(file)?));
    }
    let targets = Targets { others: &watched.addresses, interface, ..Targets::default() };
    if let Some(file) = &args.pcap {
        crate::eye::write_packets(file, targets, &mut options)?;
    }
    let eye = Eye::open(targets, options).context("the eye")?;
    if let Some(missing) = eye.missing() {
        say(format_args!("{missing}"));
    }
    if live {
        let until = args.time.and_then(|time| Instant::now().checked_add(time));
        let (face, stops) = (Face::new(&watched.to_string()), [&signals.told, &told]);
        live::show(face, &style, On::Stdout, &viewer, &fed, &stops, until)
            .context("the terminal")?;
    } else {
        crate::eye::say_if_narrow("sockeye", &style);
        say(format_args!("watching {watched} (Ctrl-C ends)"));
        wait(&signals.told, &told, args.time)?;
    }
    // What ends now is shown nowhere any more.
    drop(fed);
    eye.close();
    Ok(ExitCode::SUCCESS)
}

/// What is looked at.
struct Watched {
    names: Vec<String>,
    addresses: Vec<SocketAddr>,
}

impl Watched {
    fn of(what: &[std::path::PathBuf]) -> anyhow::Result<Watched> {
        let mut watched = Watched { names: Vec::new(), addresses: Vec::new() };
        for endpoint in what {
            let Some(text) = endpoint.to_str() else {
                bail!("{}: no endpoint", Escaped(endpoint.as_os_str().as_encoded_bytes()));
            };
            let plain = text.strip_prefix("tcp://").unwrap_or(text);
            if let Some(port) = plain.strip_prefix(':') {
                let port: u16 = match port.parse() {
                    Ok(port @ 1..) => port,
                    _ => bail!("{text}: a port is a number from 1 to 65535", text = escaped(text)),
                };
                // Whatever address it is at.
                watched.addresses.push((Ipv6Addr::UNSPECIFIED, port).into());
                watched.names.push(format!(":{port}"));
                continue;
            }
            let endpoint: Endpoint = text.parse()?;
            if endpoint.kind() != EndpointKind::Tcp {
                bail!("{endpoint}: only TCP can be watched; write tcp://HOST:PORT or :PORT");
            }
            let addresses = endpoint.resolve().with_context(|| endpoint.to_string())?;
            if addresses.iter().any(|address| address.port() == 0) {
                bail!("{endpoint}: a port is a number from 1 to 65535");
            }
            watched.addresses.extend(addresses);
            watched.names.push(endpoint.to_string());
        }
        Ok(watched)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))
    }
}

fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text.as_bytes())
}

fn index_of(interface: &str) -> anyhow::Result<u32> {
    let any = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
        .or_else(|_| std::net::UdpSocket::bind(("0.0.0.0", 0)))
        .context("a socket to ask for interfaces")?;
    rustix::net::netdevice::name_to_index(any.as_fd(), interface)
        .map_err(io::Error::from)
        .with_context(|| format!("--interface {} (see: ip link)", escaped(interface)))
}

fn writer(file: &Path) -> anyhow::Result<Writer> {
    Writer::create(file).with_context(|| {
        format!("--record {}: can't be written", Escaped(file.as_os_str().as_encoded_bytes()))
    })
}

/// Waits for a signal, for the news that enough was seen, or until the time is up.
fn wait(signal: &UnixStream, over: &UnixStream, time: Option<Duration>) -> anyhow::Result<()> {
    let end = time.and_then(|time| Instant::now().checked_add(time));
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(signal, PollFlags::IN), PollFd::new(over, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(io::Error::from(errno)).context("poll"),
        }
    }
}

/// Draws each connection that has ended on standard output.
struct Printer {
    style: Style,
    /// What is shown layer by layer.
    frames: Frames,
    /// Written to when nobody reads any more.
    over: UnixStream,
    gone: bool,
}

impl Printer {
    fn print(&mut self, text: &str) {
        if self.gone {
            return;
        }
        match super::print(text) {
            Ok(true) => {}
            Ok(false) => self.gone = true,
            Err(error) => {
                say(format_args!("sockeye: {error:#}"));
                self.gone = true;
            }
        }
        if self.gone {
            tell(&self.over);
        }
    }
}

impl Sink for Printer {
    fn lang(&self) -> Lang {
        self.style.words()
    }

    fn ended(&mut self, history: &History) {
        let mut text = view::picture(history, &self.style);
        for frame in self.frames.take(history) {
            text.push('\n');
            text.push_str(&view::layers(&frame, Some(history), &self.style));
        }
        self.print(&text);
    }

    fn ended_in_short(&mut self, history: &History) {
        drop(self.frames.take(history));
        self.print(&view::line(history, &self.style));
    }

    fn say(&mut self, line: &str) {
        say(format_args!("{line}"));
    }
}

/// Counts what ends.
struct Counter {
    left: u64,
    over: UnixStream,
}

impl Tap for Counter {
    fn sees(&mut self, seen: &Seen<'_>) {
        if let Seen::Ended { .. } = seen {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                tell(&self.over);
            }
        }
    }
}

/// One byte is enough; that there is no room means that it was told already.
fn tell(over: &UnixStream) {
    let _ = (&*over).write(&[1]);
}
