//! What is typed or piped in, cut into messages and made ready to be sent.

use std::collections::VecDeque;
use std::io::{self, PipeReader};

use anyhow::Context as _;
use bytes::Bytes;
use rustix::fs::{FileType, fstat};
use sockeye_engine::Source;
use sockeye_wire::escape;
use sockeye_wire::frame::{Decoder, Framing};
use sockeye_wire::hex;
use sockeye_wire::text::{Encoding, TextDecoder};

use super::editor::Typed;
use super::pieces::Pieces;
use crate::args;

/// The longest line of input, in bytes.
const MAX_LINE: usize = 16 << 20;

/// Messages from standard input, ready to be sent: encoded, and with their borders.
pub(crate) struct Input {
    source: Source,
    /// It comes from an editor.
    typed: Option<Typed>,
    cut: Cut,
    /// Where what was read at once may be too long for one message.
    pieces: Option<Pieces>,
    composer: Composer,
    ready: VecDeque<Message>,
    ended: bool,
    /// Lines so far, for errors.
    line: u64,
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// What goes over the wire.
    pub(crate) wire: Bytes,
    /// What of it is the message, without borders.
    pub(crate) payload: Bytes,
}

/// How input becomes messages.
enum Cut {
    /// What was read at once, as it is.
    Pieces,
    /// What was read at once, as text that may be cut within a character.
    Text(TextDecoder),
    /// One line, one message.
    Lines(Decoder),
}

impl Input {
    /// Standard input; raw, it is cut into `datagram` bytes.
    pub(super) fn stdin(args: &args::Talk, datagram: Option<usize>) -> io::Result<Input> {
        let file = fstat(io::stdin())
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile);
        let pieces = datagram.map(|longest| Pieces::new(longest, file));
        Ok(Input::new(args, pieces, Source::stdin()?, None))
    }

    /// What comes from an editor.
    pub(super) fn typed(
        args: &args::Talk,
        datagram: Option<usize>,
        from: PipeReader,
        typed: Typed,
    ) -> io::Result<Input> {
        let pieces = datagram.map(|longest| Pieces::new(longest, false));
        Ok(Input::new(args, pieces, Source::adopt(from)?, Some(typed)))
    }

    fn new(
        args: &args::Talk,
        pieces: Option<Pieces>,
        source: Source,
        typed: Option<Typed>,
    ) -> Input {
        let composer = Composer::new(args);
        let cut = match composer.encoding {
            _ if !args.is_raw() => Cut::Lines(Decoder::with_max_frame(Framing::Line, MAX_LINE)),
            Some(_) => Cut::Text(TextDecoder::new(Encoding::UTF_8)),
            None => Cut::Pieces,
        };
        let ready = VecDeque::new();
        Input { source, typed, cut, pieces, composer, ready, ended: false, line: 0 }
    }

    /// Whether a person types it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.typed.is_some() || self.source.is_terminal()
    }

    /// Whether bytes are sent as nothing but themselves, so that they need not be looked at.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.cut, Cut::Pieces) && !self.is_terminal()
    }

    /// Lends standard input itself, where [`Input::is_plain`].
    pub(crate) fn source(&mut self) -> &mut Source {
        &mut self.source
    }

    /// The next message; None at the end of the input.
    ///
    /// # Errors
    ///
    /// A line is no message: not hexadecimal, not to be encoded, or the framing can't carry it. Its
    /// number is named; the next call goes on with the next line. An `io::Error` means that standard
    /// input can't be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Message>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            if let Cut::Lines(lines) = &mut self.cut {
                let line = if self.ended { lines.finish() } else { lines.next() };
                if let Some(line) = line.context("standard input")? {
                    self.line += 1;
                    let number = self.line;
                    let made = self.composer.message(&line.payload);
                    return made
                        .map(Some)
                        .with_context(|| format!("standard input, line {number}"));
                }
            }
            if self.ended {
                return Ok(None);
            }
            let chunk = self.source.read().await?;
            self.ended = chunk.is_empty();
            if self.ended && self.typed.as_ref().is_some_and(Typed::is_interrupted) {
                // The signal ends everything: this is no end of what is to be said.
                return std::future::pending().await;
            }
            match &mut self.cut {
                Cut::Lines(lines) => lines.push_slice(&chunk),
                // Lines of an editor may come together, and are messages all the same.
                Cut::Pieces if self.typed.is_some() => {
                    for line in chunk.split_inclusive(|&byte| byte == b'\n') {
                        self.cut_up(Bytes::copy_from_slice(line));
                    }
                }
                Cut::Pieces => self.cut_up(Bytes::copy_from_slice(&chunk)),
                Cut::Text(decoder) => {
                    let mut text = String::new();
                    let before = decoder.malformed();
                    match chunk.is_empty() {
                        true => decoder.finish(&mut text),
                        false => decoder.decode(&chunk, &mut text),
                    }
                    if decoder.malformed() > before {
                        anyhow::bail!("standard input is not UTF-8, which --encoding takes it for");
                    }
                    let encoded = self.composer.encoded(&text)?;
                    self.cut_up(encoded);
                }
            }
        }
    }

    /// Makes messages of what was read at once, and at the end of what is left.
    fn cut_up(&mut self, bytes: Bytes) {
        let Input { pieces, ready, ended, .. } = self;
        let mut take = |wire: Bytes| ready.push_back(Message { payload: wire.clone(), wire });
        match pieces {
            Some(pieces) => {
                pieces.push(bytes, &mut take);
                if *ended {
                    pieces.finish().into_iter().for_each(take);
                }
            }
            None if bytes.is_empty() => {}
            None => take(bytes),
        }
    }
}

/// Makes messages of what a user writes.
#[derive(Clone, Debug)]
pub(crate) struct Composer {
    framing: Framing,
    /// None where text is sent as it is.
    encoding: Option<Encoding>,
    hex: bool,
}

impl Composer {
    /// As the command line says.
    pub(crate) fn new(args: &args::Talk) -> Composer {
        let encoding = args.encoding.filter(|encoding| *encoding != Encoding::UTF_8);
        Composer { framing: args.frame.clone(), encoding, hex: args.hex }
    }

    /// Makes one message of text or digits.
    ///
    /// # Errors
    ///
    /// It is not hexadecimal, not to be encoded, or the framing can't carry it.
    pub(crate) fn message(&self, given: &[u8]) -> anyhow::Result<Message> {
        let payload = if self.hex {
            let text =
                str::from_utf8(given).map_err(|_| anyhow::anyhow!("it is not hexadecimal"))?;
            hex::parse(text)?.into()
        } else if self.encoding.is_some() {
            let text = str::from_utf8(given).map_err(|error| {
                let at = error.valid_up_to();
                anyhow::anyhow!("byte {at} is not UTF-8, which --encoding takes input for")
            })?;
            self.encoded(text)?
        } else {
            Bytes::copy_from_slice(given)
        };
        self.framed(payload)
    }

    /// Makes one message of bytes as they are.
    ///
    /// # Errors
    ///
    /// The framing can't carry them.
    pub(crate) fn framed(&self, payload: Bytes) -> anyhow::Result<Message> {
        if matches!(self.framing, Framing::Raw | Framing::Gap(_)) {
            return Ok(Message { wire: payload.clone(), payload });
        }
        let mut wire = Vec::with_capacity(payload.len() + 16);
        self.framing.encode(&payload, &mut wire).with_context(|| {
            format!("--frame {}", escape::Escaped(self.framing.to_string().as_bytes()))
        })?;
        Ok(Message { wire: wire.into(), payload })
    }

    fn encoded(&self, text: &str) -> anyhow::Result<Bytes> {
        let mut bytes = Vec::new();
        self.encoding.unwrap_or(Encoding::UTF_8).encode(text, &mut bytes)?;
        Ok(bytes.into())
    }
}
