//! One direction of one conversation: its bytes cut into messages, and where they lie.

use std::rc::Rc;

use bytes::Bytes;
use sockeye_wire::escape::Escaped;
use sockeye_wire::frame::{Decoder, Frame, FrameError, Framing};
use sockeye_wire::text::{Encoding, TextDecoder};

use super::input::Message;
use crate::args;

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
        }
    }

    /// Who the peer is, as it is shown.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
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
        self.decoder.next()
    }

    /// At the end of the stream: the messages that are left, until there is none.
    ///
    /// # Errors
    ///
    /// As [`Flow::next`]; and the stream ended within a message.
    pub(crate) fn finish(&mut self) -> Result<Option<Frame>, FrameError> {
        self.decoder.finish()
    }

    /// The stream was silent for as long as `gap=` asks.
    ///
    /// # Errors
    ///
    /// As [`Flow::next`].
    pub(crate) fn silence(&mut self) -> Result<Option<Frame>, FrameError> {
        self.decoder.silence()
    }

    /// Bytes that belong to no message yet.
    pub(crate) fn pending(&self) -> usize {
        self.decoder.pending()
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
