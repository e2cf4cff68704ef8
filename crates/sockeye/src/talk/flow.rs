//! One direction of one conversation: its bytes cut into messages, and where they lie.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use sockeye_engine::{Datagram, Marker, probe};
use sockeye_wire::escape::Escaped;
use sockeye_wire::frame::{Decoder, Frame, FrameError, Framing};
use sockeye_wire::text::{Encoding, TextDecoder};

use super::input::Message;
use crate::args;
use crate::eye::Label;

/// Which way the bytes of a flow go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the peer.
    In,
    /// To the peer.
    Out,
}

/// One direction of one conversation.
pub(crate) struct Flow {
    /// As it is shown; without control characters.
    pub(super) peer: Rc<str>,
    pub(super) direction: Direction,
    pub(super) text: TextDecoder,
    decoder: Decoder,
    max_frame: usize,
    /// Where the next message of a socket that keeps borders begins, counted over all of them.
    offset: u64,
    /// Tells the eye of messages.
    marker: Option<Marker>,
}

impl Flow {
    /// At the beginning of its stream.
    pub(crate) fn new(args: &args::Talk, peer: &str, direction: Direction) -> Flow {
        Flow {
            peer: Escaped(peer.as_bytes()).to_string().into(),
            direction,
            text: TextDecoder::new(args.encoding.unwrap_or(Encoding::UTF_8)),
            decoder: Decoder::with_max_frame(args.frame.clone(), args.max_frame),
            max_frame: args.max_frame,
            offset: 0,
            marker: None,
        }
    }

    /// From now on the eye is told of its messages too, where the framing has any.
    pub(crate) fn mark_with(&mut self, marker: Option<Marker>) {
        self.marker = marker.filter(|_| *self.decoder.framing() != Framing::Raw);
    }

    /// Takes the next bytes of the stream; ask [`Flow::next`] until it has none.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.decoder.push(bytes);
    }

    /// The next whole message.
    ///
    /// # Errors
    ///
    /// The stream does not hold to the framing, or a message is too long.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let frame = self.decoder.next();
        self.mark_received(frame)
    }

    /// At the end of the stream: the messages that are left, until there is none.
    ///
    /// # Errors
    ///
    /// As [`Flow::next`]; and the stream ended within a message.
    pub(crate) fn finish(&mut self) -> Result<Option<Frame>, FrameError> {
        let frame = self.decoder.finish();
        self.mark_received(frame)
    }

    /// The stream was silent for as long as `gap=` asks.
    ///
    /// # Errors
    ///
    /// As [`Flow::next`].
    pub(crate) fn silence(&mut self) -> Result<Option<Frame>, FrameError> {
        let frame = self.decoder.silence();
        self.mark_received(frame)
    }

    /// Bytes that belong to no message yet.
    pub(crate) fn pending(&self) -> usize {
        self.decoder.pending()
    }

    fn mark_received(
        &self,
        frame: Result<Option<Frame>, FrameError>,
    ) -> Result<Option<Frame>, FrameError> {
        if let (Some(marker), Ok(Some(frame))) = (&self.marker, &frame) {
            let label = Label { payload: &frame.payload, encoding: self.text.encoding() };
            marker.mark(probe::Direction::Received, frame.range.clone(), format_args!("{label}"));
        }
        frame
    }

    /// Tells the eye what the message holds that the socket has just received or sent.
    pub(crate) fn mark_datagram(&self, socket: &Datagram, bytes: &[u8]) {
        let direction = match self.direction {
            Direction::In => probe::Direction::Received,
            Direction::Out => probe::Direction::Sent,
        };
        let label = Datagrammed { flow: self, bytes };
        socket.mark(direction, format_args!("{label}"));
    }

    /// Tells the eye of a message that begins at `offset` of the stream, of which only what goes over
    /// the wire is known.
    pub(crate) fn mark_wire(&self, offset: u64, wire: &Bytes) {
        let Some(marker) = &self.marker else { return };
        let range = offset..offset + wire.len() as u64;
        let payload = self.only_payload(wire.clone()).unwrap_or_else(|| wire.clone());
        let label = Label { payload: &payload, encoding: self.text.encoding() };
        marker.mark(probe::Direction::Sent, range, format_args!("{label}"));
    }

    /// What is in the one message that these bytes are.
    fn only_payload(&self, wire: Bytes) -> Option<Bytes> {
        let len = wire.len() as u64;
        let mut decoder = Decoder::with_max_frame(self.decoder.framing().clone(), self.max_frame);
        decoder.push(wire);
        let frame = decoder.finish().ok()??;
        (frame.range == (0..len)).then_some(frame.payload)
    }

    /// Tells the eye of a message of the user's own that begins at `offset` of the stream.
    pub(crate) fn mark_sent(&self, offset: u64, message: &Message) {
        let Some(marker) = &self.marker else { return };
        let range = offset..offset + message.wire.len() as u64;
        let label = Label { payload: &message.payload, encoding: self.text.encoding() };
        marker.mark(probe::Direction::Sent, range, format_args!("{label}"));
    }

    /// Where a message of the user's own lies that is sent now.
    pub(super) fn sent(&mut self, message: &Message) -> Frame {
        let range = self.offset..self.offset + message.wire.len() as u64;
        self.offset = range.end;
        let (payload, payload_range) = (message.payload.clone(), range.clone());
        Frame { payload, range, payload_range, unterminated: false }
    }

    /// The messages of one datagram, whose own borders are borders in any framing.
    ///
    /// # Errors
    ///
    /// As [`Flow::finish`], for this datagram alone.
    pub(crate) fn datagram(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let start = self.offset;
        self.offset += bytes.len() as u64;
        let mut frames = Vec::new();
        if bytes.is_empty() || *self.decoder.framing() == Framing::Raw {
            let (range, payload) = (start..self.offset, Bytes::copy_from_slice(bytes));
            let payload_range = range.clone();
            frames.push(Frame { payload, range, payload_range, unterminated: false });
            return Ok(frames);
        }
        let mut decoder = Decoder::with_max_frame(self.decoder.framing().clone(), self.max_frame);
        decoder.push_slice(bytes);
        while let Some(mut frame) = decoder.finish()? {
            for range in [&mut frame.range, &mut frame.payload_range] {
                *range = range.start + start..range.end + start;
            }
            frames.push(frame);
        }
        Ok(frames)
    }
}

/// The label of a datagram, which is looked into only if it is written.
struct Datagrammed<'a> {
    flow: &'a Flow,
    bytes: &'a [u8],
}

impl fmt::Display for Datagrammed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = Bytes::copy_from_slice(self.bytes);
        let payload = self.flow.only_payload(bytes.clone()).unwrap_or(bytes);
        Label { payload: &payload, encoding: self.flow.text.encoding() }.fmt(f)
    }
}
