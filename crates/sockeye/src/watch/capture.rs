//! A capture file: its connections are drawn or listed, or the bytes of one are told.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use sockeye_engine::probe::Direction;
use sockeye_eye::frame::Frame;
use sockeye_eye::pcap::{
    self, Conversations, FileError, Follow, Histories, PICTURES, Place, Reader, Shown, Told,
};
use sockeye_eye::record::History;
use sockeye_eye::verdict;
use sockeye_eye::view::{self, Style};
use sockeye_eye::words::Lang;
use sockeye_wire::escape::Escaped;
use sockeye_wire::packet::{Link, Segment, parse, parse_with_payload};

use super::print;
use crate::args::{self, Layers, Side};
use crate::output::{self, say};

/// Draws all connections, or one; of many it lists them.
pub(super) fn draw(
    input: impl Read + Send,
    name: &str,
    args: &args::Watch,
    style: &Style,
) -> anyhow::Result<()> {
    let to_line: fn(&History) -> String = match style.words() {
        Lang::En => verdict::line,
        Lang::Zh => |history| verdict::line_in(Lang::Zh, history),
    };
    let mut histories = Histories::new(args.connection, to_line);
    let mut units = Units::new(args);
    let seen = read(input, name, |frame, place, segment, _| {
        histories.segment(frame.at, place, segment);
        units.frame(frame, place, segment);
        true
    })?;
    match histories.finish() {
        Shown::Drawn(drawn) => {
            if let Some(number) = args.connection
                && drawn.is_empty()
            {
                bail!("{name}: there is no connection {number}: {}", seen.numbers());
            }
            for listed in &drawn {
                let history = &listed.connection;
                if !print(&view::picture(history, style))? {
                    return Ok(());
                }
                for frame in units.of(listed.number) {
                    let drawn = view::layers(frame, Some(history), style);
                    if !print(&format!("\n{drawn}"))? {
                        return Ok(());
                    }
                }
            }
        }
        Shown::Listed { lines, unlisted } => {
            let mut list = String::new();
            for listed in &lines {
                let line = format!("{:>5}  {}", listed.number, listed.connection);
                list.push_str(&view::folded(&line, 11, style));
            }
            if !print(&list)? {
                return Ok(());
            }
            if unlisted > 0 {
                say(format_args!("sockeye: {name}: {unlisted} more connections, not listed"));
            }
            say(format_args!("sockeye: {name}: {}; --connection NUMBER draws one", seen.numbers()));
        }
    }
    seen.say_the_rest(name)
}

/// Shows one frame, layer by layer, with what its connection tells of it.
pub(super) fn frame(
    input: impl Read + Send,
    file: &Path,
    name: &str,
    number: u64,
    style: &Style,
) -> anyhow::Result<()> {
    let mut reader = Reader::new(input).with_context(|| name.to_owned())?;
    let mut conversations = Conversations::default();
    let (frame, connection) = loop {
        match reader.next_frame().with_context(|| name.to_owned())? {
            Some(frame) => {
                let Some(link) = frame.link else {
                    if frame.number == number {
                        bail!("{name}: frame {number} is of a link that is not read");
                    }
                    continue;
                };
                let segment = parse(link, frame.bytes, frame.length).ok();
                let place = segment.and_then(|segment| conversations.place(&segment));
                if frame.number == number {
                    break (kept(&frame, link), place.map(|place| place.number));
                }
            }
            None => match reader.frames() {
                0 => bail!("{name}: there is no frame {number}: it holds none"),
                frames => bail!("{name}: there is no frame {number}: numbers 1 to {frames}"),
            },
        }
    };
    // What came before it and after is read again, where the file can be.
    let history = match connection {
        Some(connection) if file != Path::new("-") => history(file, name, connection)?,
        _ => None,
    };
    print(&view::layers(&frame, history.as_ref(), style)).map(drop)
}

/// One connection of a file.
fn history(file: &Path, name: &str, connection: u64) -> anyhow::Result<Option<History>> {
    let mut histories = Histories::new(Some(connection), verdict::line);
    let input = File::open(file).with_context(|| name.to_owned())?;
    read(BufReader::new(input), name, |frame, place, segment, _| {
        histories.segment(frame.at, place, segment);
        true
    })?;
    Ok(match histories.finish() {
        Shown::Drawn(drawn) => drawn.into_iter().next().map(|listed| listed.connection),
        Shown::Listed { .. } => None,
    })
}

fn kept(frame: &pcap::Frame<'_>, link: Link) -> Frame {
    Frame { at: frame.at, link, bytes: frame.bytes.to_vec(), length: frame.length }
}

/// The first units with data of each connection that may be drawn.
struct Units {
    /// So many each way.
    most: usize,
    chosen: Option<u64>,
    of: BTreeMap<u64, ([usize; 2], Vec<Frame>)>,
}

impl Units {
    fn new(args: &args::Watch) -> Units {
        let most = match args.layers {
            Some(Layers::Units(units)) => units.into(),
            Some(Layers::Frame(_)) | None => 0,
        };
        Units { most, chosen: args.connection, of: BTreeMap::new() }
    }

    fn frame(&mut self, frame: &pcap::Frame<'_>, place: &Place, segment: &Segment) {
        let drawn = match self.chosen {
            Some(chosen) => place.number == chosen,
            None => place.number < PICTURES as u64,
        };
        let (true, Some(link)) = (drawn && self.most > 0 && segment.payload > 0, frame.link) else {
            return;
        };
        let (counts, frames) = self.of.entry(place.number).or_default();
        let count = &mut counts[usize::from(place.direction == Direction::Sent)];
        if *count < self.most {
            *count += 1;
            frames.push(kept(frame, link));
        }
    }

    fn of(&self, connection: u64) -> impl Iterator<Item = &Frame> {
        self.of.get(&connection).into_iter().flat_map(|(_, frames)| frames)
    }
}

/// Tells the bytes of one connection: as they are into a pipe, escaped on a terminal.
pub(super) fn follow(
    input: impl Read + Send,
    name: &str,
    which: args::Follow,
) -> anyhow::Result<()> {
    let mut follow = Follow::new(which.connection);
    let mut out = Out::new(name, which.side);
    let mut found = false;
    let seen = read(input, name, |_, place, segment, payload| {
        found |= place.number == which.connection;
        follow.segment(place, segment, payload, &mut |way, told| out.take(way, told));
        out.written.is_ok()
    })?;
    if !found {
        bail!("{name}: there is no connection {}: {}", which.connection, seen.numbers());
    }
    follow.finish(&mut |way, told| out.take(way, told));
    match out.written.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error).context("write standard output"),
        Ok(()) => seen.say_the_rest(name),
    }
}

/// What there was beside what was shown.
struct Seen {
    connections: u64,
    frames: u64,
    /// Frames that are no TCP, of links that aren't read, and TCP that belongs to none of the
    /// connections.
    others: u64,
    unread: u64,
    untold: u64,
    failed: Option<FileError>,
}

impl Seen {
    fn numbers(&self) -> String {
        match self.connections {
            0 => String::from("no TCP in it"),
            1 => String::from("one connection, number 0"),
            count => format!("{count} connections, numbers 0 to {}", count - 1),
        }
    }

    /// What is missing from what was shown, and how it ended.
    fn say_the_rest(self, name: &str) -> anyhow::Result<()> {
        let Seen { connections, frames, others, unread, untold, failed } = self;
        if unread > 0 {
            say(format_args!(
                "sockeye: {name}: {unread} of {frames} frames are of links that are not read: \
                 Ethernet, cooked Linux, raw IP and loopback are"
            ));
        }
        if untold > 0 {
            say(format_args!("sockeye: {name}: {untold} segments of too many connections"));
        }
        match failed {
            // As of a capture that goes on still.
            Some(error @ FileError::Cut { .. }) => say(format_args!("sockeye: {name}: {error}")),
            Some(error) => return Err(error).with_context(|| name.to_owned()),
            None if connections == 0 && unread == 0 => {
                say(format_args!("sockeye: {name}: no TCP in it, in {others} frames"));
            }
            None => {}
        }
        Ok(())
    }
}

/// Hands each segment of TCP to `each` until that has enough.
fn read(
    input: impl Read + Send,
    name: &str,
    mut each: impl FnMut(&pcap::Frame<'_>, &Place, &Segment, &[u8]) -> bool,
) -> anyhow::Result<Seen> {
    let mut reader = Reader::new(input).with_context(|| name.to_owned())?;
    let mut conversations = Conversations::default();
    let (mut others, mut unread) = (0, 0);
    let failed = loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        let Some(link) = frame.link else {
            unread += 1;
            continue;
        };
        let Ok((segment, payload)) = parse_with_payload(link, frame.bytes, frame.length) else {
            others += 1;
            continue;
        };
        if let Some(place) = conversations.place(&segment)
            && !each(&frame, &place, &segment, payload)
        {
            break None;
        }
    };
    Ok(Seen {
        connections: conversations.count(),
        frames: reader.frames(),
        others,
        unread,
        untold: conversations.untold(),
        failed,
    })
}

/// Where a stream's bytes go.
struct Out<'a> {
    name: &'a str,
    side: Option<Side>,
    terminal: bool,
    written: io::Result<()>,
}

impl<'a> Out<'a> {
    fn new(name: &'a str, side: Option<Side>) -> Out<'a> {
        Out { name, side, terminal: io::stdout().is_terminal(), written: Ok(()) }
    }

    fn take(&mut self, way: Direction, told: Told<'_>) {
        let (side, from) = match way {
            Direction::Received => (Side::Client, "client"),
            Direction::Sent => (Side::Server, "server"),
        };
        if self.side.is_some_and(|wanted| wanted != side) || self.written.is_err() {
            return;
        }
        match told {
            Told::Missing { offset, count } => {
                let end = offset.saturating_add(count);
                say(format_args!(
                    "sockeye: {}: from the {from}, bytes {offset}..{end} are not in the capture",
                    self.name
                ));
            }
            Told::Bytes(bytes) if self.terminal => {
                self.written = io::stdout().write_all(shown(bytes).as_bytes());
                output::shown(bytes);
            }
            Told::Bytes(bytes) => self.written = io::stdout().write_all(bytes),
        }
    }
}

/// Fit for a terminal: lines stay lines, all else it would obey is written out.
fn shown(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let (text, end) = match line {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => (text, "\n"),
            text => (text, ""),
        };
        shown.push_str(&format!("{}{end}", Escaped(text)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_lines_and_nothing_it_obeys() {
        assert_eq!(shown(b"HTTP/1.1 200\r\n\r\n\x1b[2J\ra\n"), "HTTP/1.1 200\n\n\\x1b[2J\\ra\n");
    }
}
