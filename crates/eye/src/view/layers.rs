//! One captured unit, layer by layer: what each layer of both models holds of it, and its headers
//! as boxes in one another, down to the messages of the program.

mod boxes;
mod header;
mod model;
mod payload;

use std::net::SocketAddr;

use sockeye_engine::Address;
use sockeye_engine::probe::{Direction, Role};
use sockeye_wire::layers::{Layer, Name, Pdu, Protocol, Stop, Unit, Value, dissect};
use sockeye_wire::packet::Link;

use super::ruled_line;
use super::scale::millis;
use super::style::Style;
use crate::frame::Frame;
use crate::record::{Event, History, Segment};
use crate::recorder::Named;
use crate::words::Lang;
use crate::words::layers::{LayerWords, Title, layers as words};
use boxes::{Boxed, Piece};

/// A captured unit as boxes in one another, each line ended by a newline: the frame, in it the
/// packet, in it the segment or datagram, in it the messages; each with its header, field by field
/// and byte by byte.
///
/// Of the connection it belongs to, where that is known, come the names of the messages and the
/// places in the stream. What was not captured is said and never drawn.
///
/// ```
/// use sockeye_engine::probe::Stamp;
/// use sockeye_eye::frame::Frame;
/// use sockeye_eye::view::{Style, layers};
/// use sockeye_wire::packet::Link;
///
/// let bytes = vec![0x45, 0, 0, 20, 0, 1, 0, 0, 64, 6, 0x7c, 0xe6, 127, 0, 0, 1, 127, 0, 0, 1];
/// let frame = Frame { at: Stamp(0), link: Link::Ip, length: bytes.len(), bytes };
/// let drawing = layers(&frame, None, &Style::default());
/// assert!(drawing.contains("packet · IPv4 · network layer, OSI 3"));
/// ```
#[must_use]
pub fn layers(frame: &Frame, history: Option<&History>, style: &Style) -> String {
    draw(frame, history, None, style)
}

/// The same of a packet of a datagram, with what the program knows of that.
#[must_use]
pub fn datagram_layers(frame: &Frame, named: Option<&Named>, style: &Style) -> String {
    draw(frame, None, named, style)
}

fn draw(frame: &Frame, history: Option<&History>, named: Option<&Named>, style: &Style) -> String {
    let unit = dissect(frame.link, &frame.bytes, frame.length);
    let seen = Sight { named, ..Sight::new(frame, &unit, history, style) };
    if style.is_too_narrow() {
        return format!("{}\n", seen.title());
    }
    let mut out = ruled_line(&seen.title(), style);
    out.push('\n');
    out.push_str(&model::draw(&seen));
    out.push('\n');
    out.push_str(&seen.boxes().draw(style));
    super::shown(out, style)
}

/// A unit, and what is known of it beyond its bytes.
struct Sight<'a> {
    frame: &'a Frame,
    unit: &'a Unit,
    history: Option<&'a History>,
    /// The datagram it is of.
    named: Option<&'a Named>,
    /// Which way it went, on that connection.
    direction: Option<Direction>,
    /// The segment that it is on that connection.
    segment: Option<&'a Segment>,
    style: &'a Style,
    words: &'static LayerWords,
}

impl<'a> Sight<'a> {
    fn new(
        frame: &'a Frame,
        unit: &'a Unit,
        history: Option<&'a History>,
        style: &'a Style,
    ) -> Sight<'a> {
        let direction = history.and_then(|history| direction(unit, history));
        let number = |name| match unit.pdu(Layer::Transport)?.field(name)?.value {
            Value::Number(number) => Some(number),
            _ => None,
        };
        let sequence = number(Name::SequenceNumber);
        let segment = history.and_then(|history| {
            history.events.iter().find_map(|event| match event {
                Event::Segment(segment)
                    if segment.at == frame.at
                        && Some(segment.direction) == direction
                        && Some(u64::from(segment.seq)) == sequence =>
                {
                    Some(segment)
                }
                _ => None,
            })
        });
        // Its words need more than ASCII.
        let lang = if style.ascii { Lang::En } else { style.lang };
        Sight { frame, unit, history, named: None, direction, segment, style, words: words(lang) }
    }

    fn title(&self) -> String {
        let from_client = self.history.zip(self.direction).map(|(history, direction)| {
            (history.role == Role::Client) == (direction == Direction::Sent)
        });
        let began = self.history.and_then(|history| history.course.span);
        let at = began.map(|(first, _)| millis(self.frame.at.0.saturating_sub(first.0)));
        let arrow = self.style.glyphs().arrow;
        (self.words.title)(&Title { length: self.unit.length, from_client, millis: at, arrow })
    }

    /// Whether it went through `lo`: from this host to itself, with no hardware addresses.
    fn is_of_loopback(&self) -> bool {
        let Some(network) = self.unit.pdu(Layer::Network) else { return false };
        let address = |name| match network.field(name)?.value {
            Value::Address(address) => Some(address.to_canonical()),
            _ => None,
        };
        let addresses = address(Name::Source).zip(address(Name::Destination));
        let same_host = addresses
            .is_some_and(|(from, to)| from == to || from.is_loopback() || to.is_loopback());
        let hardware = self.unit.pdu(Layer::Link).and_then(|link| link.field(Name::Source));
        same_host
            && hardware.is_none_or(|field| matches!(field.value, Value::Mac([0, 0, 0, 0, 0, 0])))
    }

    /// The boxes from the outermost in.
    fn boxes(&self) -> Boxed {
        let mut inner = payload::boxes(self);
        for (place, pdu) in self.unit.pdus.iter().enumerate().rev() {
            let innermost = place + 1 == self.unit.pdus.len();
            let mut boxed = self.boxed(pdu);
            boxed.inner = std::mem::take(&mut inner);
            if innermost {
                boxed.notes.extend((self.words.stop)(self.unit.stop).map(Piece::warning));
            }
            if place == 0 {
                self.note_the_ends(&mut boxed);
            }
            inner = vec![boxed];
        }
        match inner.len() {
            1 => inner.remove(0),
            // Not one header could be read.
            _ => Boxed {
                title: vec![Piece::strong(self.words.not_captured)],
                notes: (self.words.stop)(self.unit.stop).map(Piece::warning).into_iter().collect(),
                inner,
                ..Boxed::default()
            },
        }
    }

    fn boxed(&self, pdu: &Pdu) -> Boxed {
        let layer = pdu.protocol.layer();
        let title = vec![
            Piece::strong((self.words.unit)(pdu.protocol)),
            Piece::plain(pdu.protocol.name()),
            Piece::state(format!("{}, OSI {}", (self.words.of_layer)(layer), layer.osi(),)),
        ];
        let rows = pdu.fields.iter().map(|field| header::row(self, pdu, field)).collect();
        let bytes = self.frame.bytes.get(pdu.header.clone()).unwrap_or_default();
        let size = match self.is_cut(pdu) {
            true => (self.words.cut)(pdu.header.len()),
            false => (self.words.size)(pdu),
        };
        let header = (pdu.header.start, bytes.to_vec());
        Boxed { title, size, rows, header, ..Boxed::default() }
    }

    /// Whether the capture ends in this header.
    fn is_cut(&self, pdu: &Pdu) -> bool {
        self.unit.stop == Stop::Cut && self.unit.pdus.last() == Some(pdu)
    }

    /// What stands around the outermost on a wire, and was not captured.
    fn note_the_ends(&self, boxed: &mut Boxed) {
        if !self.unit.trailer.is_empty() && self.unit.stop != Stop::Cut {
            boxed.notes.push(Piece::dim((self.words.trailer)(self.unit.trailer.len())));
        }
        if self.unit.pdu(Layer::Link).is_none() {
            boxed.notes.push(Piece::dim(self.words.no_link_header));
        }
        if self.is_of_loopback() {
            boxed.notes.push(Piece::dim(self.words.no_frame_of_loopback));
        } else if self.unit.pdus.first().is_some_and(|pdu| pdu.protocol == Protocol::Ethernet) {
            boxed.notes.push(Piece::dim(self.words.ends_of_frame));
        }
        if matches!(self.frame.link, Link::Cooked | Link::Cooked2 | Link::Null) {
            boxed.notes.push(Piece::dim(self.words.made_up));
        }
    }

    /// Whether it is larger than what goes over a wire at once, in words.
    fn offload_sized(&self) -> Option<String> {
        let payload = self.unit.payload_length as u64;
        self.unit.pdu(Layer::Transport)?.field(Name::SequenceNumber)?;
        let sizes = self.history.and_then(|history| history.kernel.as_ref()?.mss);
        let size = sizes.zip(self.direction).map(|((sent, received), direction)| match direction {
            Direction::Sent => sent,
            Direction::Received => received,
        });
        match size {
            Some(size) if payload > u64::from(size) => {
                Some((self.words.offload_sized)(payload, size.into()))
            }
            None if !self.is_of_loopback() && self.packet_length() > 1500 => {
                Some(self.words.perhaps_offload_sized.to_owned())
            }
            _ => None,
        }
    }

    fn packet_length(&self) -> usize {
        self.unit.pdu(Layer::Network).map_or(0, |pdu| pdu.header.len() + pdu.payload_length)
    }
}

/// Which way a unit went on a connection; `None` if it is of another one.
fn direction(unit: &Unit, history: &History) -> Option<Direction> {
    let network = unit.pdus.iter().find(|pdu| pdu.protocol.layer() == Layer::Network)?;
    let transport = unit.pdu(Layer::Transport)?;
    let end = |address, port| match (network.field(address)?.value, transport.field(port)?.value) {
        (Value::Address(address), Value::Number(port)) => {
            Some(SocketAddr::new(address, u16::try_from(port).ok()?))
        }
        _ => None,
    };
    let source = end(Name::Source, Name::SourcePort)?;
    let destination = end(Name::Destination, Name::DestinationPort)?;
    let is = |address: &Address, end: SocketAddr| {
        let of_ip = address.ip();
        of_ip.is_some_and(|ip| {
            (ip.ip().to_canonical(), ip.port()) == (end.ip().to_canonical(), end.port())
        })
    };
    match () {
        () if is(&history.local, source) && is(&history.peer, destination) => Some(Direction::Sent),
        () if is(&history.peer, source) && is(&history.local, destination) => {
            Some(Direction::Received)
        }
        () => None,
    }
}
