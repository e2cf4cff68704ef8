//! Sending a [`Reply`].

use std::io;

use bytes::Bytes;
use http::{Method, Version, header};
use sockeye_engine::probe::Direction;
use sockeye_engine::{Stream, offload, sleep};
use sockeye_http::chunked::LastChunk;
use sockeye_http::{ImfFixdate, Persistence, ResponseHead, StatusCode};

use super::SiteOptions;
use super::answer::Grouped;
use super::guest::Guest;
use super::produce::Produce;
use super::reply::{Content, Part, Reply};

/// Content at hand leaves in parts of this many bytes, each with the write deadline anew.
const PART: usize = 64 * 1024;

/// A reply with what the request says about how it goes out.
pub(super) struct Outgoing {
    reply: Reply,
    framing: Framing,
    persistence: Persistence,
    /// The head alone, as for HEAD.
    head_only: bool,
}

/// How the end of the content is told (RFC 9112 §6).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There can be none: 1xx, 204, 304.
    Without,
    Length(u64),
    Chunked,
    /// By the end of the connection: for HTTP/1.0.
    Close,
}

impl Outgoing {
    /// `persistence` is what the connection would do but for this reply.
    pub(super) fn new(
        reply: Reply,
        method: &Method,
        version: Version,
        persistence: Persistence,
    ) -> Outgoing {
        let status = reply.status;
        let bare = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let head_only = *method == Method::HEAD;
        let framing = match reply.content.length() {
            _ if bare => Framing::Without,
            Some(length) => Framing::Length(length),
            None if version >= Version::HTTP_11 => Framing::Chunked,
            None => Framing::Close,
        };
        // A head alone has an end that needs no telling.
        let closes = framing == Framing::Close && !head_only;
        let persistence = if closes { Persistence::Close } else { persistence };
        Outgoing { reply, framing, persistence, head_only }
    }

    /// Whether the connection ends behind it.
    pub(super) fn is_last(&self) -> bool {
        self.persistence == Persistence::Close
    }

    /// Sends it whole; what the stream held before goes first.
    ///
    /// # Errors
    ///
    /// The client is gone or too slow, or the content can't be made or read: the connection is of no
    /// use any more.
    pub(super) async fn send(
        self,
        stream: &mut Stream,
        guest: Option<&mut Guest>,
        options: &SiteOptions,
        date: &ImfFixdate,
    ) -> io::Result<()> {
        let start = stream.written();
        stream.write_with(|out| self.write_head(out, date));
        if let Some(guest) = guest {
            guest.goes_on(self.reply.status, stream.written());
        }
        let status = self.reply.status;
        let is_bare = self.head_only || self.framing == Framing::Without;
        let length = match self.framing {
            Framing::Length(length) => length,
            _ => 0,
        };
        if let (false, Framing::Length(length)) = (is_bare, self.framing) {
            mark(stream, start..stream.written().saturating_add(length), status, length);
        }
        if is_bare {
            mark(stream, start..stream.written(), status, length);
            return Ok(());
        }
        let patience = Some(options.write);
        match self.reply.content {
            Content::Empty => Ok(()),
            Content::Bytes(bytes) => send_bytes(stream, options, bytes).await,
            Content::File(file, range) => stream.send_file(&file, range, patience).await,
            Content::Parts(parts) => {
                for part in parts {
                    match part {
                        Part::Bytes(bytes) => stream.write_shared(bytes),
                        Part::File(file, range) => {
                            stream.send_file(&*file, range, patience).await?;
                        }
                    }
                }
                Ok(())
            }
            Content::Produced(produce, _) => {
                let sent = send_produced(stream, options, produce, self.framing).await?;
                if !matches!(self.framing, Framing::Length(_)) {
                    mark(stream, start..stream.written(), status, sent);
                }
                Ok(())
            }
        }
    }

    fn write_head(&self, out: &mut Vec<u8>, date: &ImfFixdate) {
        let mut head = ResponseHead::new(out, self.reply.status);
        head.date(date);
        for (name, value) in &self.reply.headers {
            let written = head.header(name, value.as_bytes());
            debug_assert!(written.is_ok(), "a header value holds no control characters");
        }
        match self.framing {
            Framing::Length(length) => {
                head.content_length(length);
            }
            Framing::Chunked => {
                let written = head.header(&header::TRANSFER_ENCODING, "chunked");
                debug_assert!(written.is_ok(), "a constant holds no control characters");
            }
            Framing::Without | Framing::Close => {}
        }
        head.persistence(self.persistence);
        head.finish();
    }
}

/// Content at hand. What is short stays in the stream, to leave with what follows.
async fn send_bytes(
    stream: &mut Stream,
    options: &SiteOptions,
    mut bytes: Bytes,
) -> io::Result<()> {
    while bytes.len() > PART {
        stream.write_shared(bytes.split_to(PART));
        flush(stream, options).await?;
    }
    stream.write_shared(bytes);
    Ok(())
}

/// Content as it is made; how many bytes it was.
async fn send_produced(
    stream: &mut Stream,
    options: &SiteOptions,
    mut produce: Box<dyn Produce>,
    framing: Framing,
) -> io::Result<u64> {
    // The client sees the head while the first part is made.
    flush(stream, options).await?;
    let mut sent = 0_u64;
    loop {
        let pause = produce.pause();
        if !pause.is_zero() {
            sleep(pause).await;
        }
        let (next, back) = offload(move || (produce.next(), produce)).await?;
        produce = back;
        let Some(part) = next? else { break };
        if part.is_empty() {
            continue;
        }
        sent = sent.saturating_add(part.len() as u64);
        if let Framing::Length(length) = framing
            && sent > length
        {
            return Err(io::Error::other("more content was made than was announced"));
        }
        if framing == Framing::Chunked {
            stream.write(format!("{:X}\r\n", part.len()).as_bytes());
        }
        stream.write_shared(part);
        if framing == Framing::Chunked {
            stream.write(b"\r\n");
        }
        flush(stream, options).await?;
    }
    match framing {
        Framing::Chunked => {
            let trailers = produce.trailers();
            stream.write_with(|out| {
                let mut last = LastChunk::new(out);
                for (name, value) in &trailers {
                    let written = last.trailer(name, value.as_bytes());
                    debug_assert!(written.is_ok(), "a trailer that may be one");
                }
                last.finish();
            });
        }
        Framing::Length(length) if sent < length => {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        _ => {}
    }
    Ok(sent)
}

async fn flush(stream: &mut Stream, options: &SiteOptions) -> io::Result<()> {
    stream.set_deadline(Some(options.write));
    stream.flush().await
}

fn mark(stream: &Stream, range: std::ops::Range<u64>, status: StatusCode, length: u64) {
    stream.mark(Direction::Sent, range, format_args!("{status} {} B", Grouped(length)));
}
