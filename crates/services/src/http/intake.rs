//! The content of a request, taken part by part.
#![allow(dead_code, reason = "uploads, ranges and archives are built on it next")]

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use sockeye_engine::Stream;
use sockeye_engine::probe::Direction;
use sockeye_http::{BodyDecoder, BodyError, BodyLimits, Framing, StatusCode};

use super::reply::Reply;

/// What takes the content of a request and then answers it.
pub(super) trait Taker {
    fn terms(&self) -> Terms;

    /// Takes as much of the content as it wants and answers. If it leaves some, the connection is
    /// closed behind the answer.
    fn take<'i>(
        self: Box<Self>,
        intake: &'i mut Intake<'_>,
    ) -> Pin<Box<dyn Future<Output = Reply> + 'i>>;
}

/// What is demanded of the content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Bytes of content at most.
    pub(super) most: u64,
    /// How long the client may send nothing of it.
    pub(super) pause: Duration,
    /// Bytes a second that it must reach over the time it is waited for, not counting the first
    /// `pause`; None lets it take as long as it likes.
    pub(super) rate: Option<u64>,
}

impl Terms {
    /// How long the next bytes may take after the client was waited for so long, and sent so many.
    fn patience(&self, waited: Duration, sent: u64) -> Duration {
        let Some(rate) = self.rate else { return self.pause };
        let earned = Duration::from_secs(sent / rate.max(1));
        self.pause.saturating_add(earned).saturating_sub(waited).min(self.pause)
    }
}

/// Why content ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntakeError {
    /// Its framing is wrong, or it is more than allowed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The client sent nothing for too long.
    #[error("the content did not come in time")]
    Late,
    /// The connection ended or broke: nobody waits for an answer.
    #[error("the connection ended in the content")]
    Gone,
}

impl IntakeError {
    /// The status to answer with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            IntakeError::Body(error) => error.status(),
            IntakeError::Late => StatusCode::REQUEST_TIMEOUT,
            IntakeError::Gone => StatusCode::BAD_REQUEST,
        }
    }
}

/// The content of one request.
pub(super) struct Intake<'c> {
    stream: &'c mut Stream,
    write: Duration,
    terms: Terms,
    decoder: BodyDecoder,
    declared: Option<u64>,
    /// Received and not yet looked at.
    pending: Bytes,
    /// The client waits for 100 Continue.
    waits: bool,
    /// How long the client was waited for, and how many bytes it sent.
    waited: Duration,
    sent: u64,
    /// Where in the stream the request began, and what to call it.
    start: u64,
    label: &'c str,
    broken: bool,
    gone: bool,
    /// The number of the request on its connection.
    number: u32,
    record: Record,
}

/// What of a body was looked at, framing included.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Its first bytes, if somebody wants them.
    pub(super) kept: Vec<u8>,
    /// Bytes of all of it, counted from when somebody wanted them.
    pub(super) length: u64,
    most: usize,
}

impl Record {
    fn add(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len() as u64);
        let room = self.most.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

/// Where content is taken from, and how it is framed.
pub(super) struct Incoming<'c> {
    pub(super) stream: &'c mut Stream,
    pub(super) framing: Framing,
    pub(super) terms: Terms,
    /// What came with the head.
    pub(super) early: Vec<u8>,
    pub(super) expects_continue: bool,
    pub(super) start: u64,
    /// The number of the request on its connection, from 1.
    pub(super) number: u32,
    pub(super) label: &'c str,
    /// How long a client may take to take an interim answer.
    pub(super) write: Duration,
}

/// What is left when the content was dealt with.
pub(super) struct Rest {
    /// Bytes behind the content.
    pub(super) bytes: Bytes,
    /// All of the content was taken, so that the next request can be told from it.
    pub(super) whole: bool,
    /// Nobody waits for an answer.
    pub(super) gone: bool,
}

impl<'c> Intake<'c> {
    pub(super) fn new(incoming: Incoming<'c>) -> Intake<'c> {
        let limits = BodyLimits { content_bytes: incoming.terms.most, ..BodyLimits::default() };
        let intake = Intake {
            decoder: BodyDecoder::new(incoming.framing, limits),
            declared: match incoming.framing {
                Framing::None => Some(0),
                Framing::Length(length) => Some(length),
                Framing::Chunked | Framing::UntilClose => None,
            },
            // Who sent some of it already does not wait (RFC 9110 §10.1.1).
            waits: incoming.expects_continue && incoming.early.is_empty(),
            stream: incoming.stream,
            write: incoming.write,
            terms: incoming.terms,
            pending: incoming.early.into(),
            start: incoming.start,
            label: incoming.label,
            waited: Duration::ZERO,
            sent: 0,
            broken: false,
            gone: false,
            number: incoming.number,
            record: Record::default(),
        };
        if intake.decoder.is_done() {
            intake.mark();
        }
        intake
    }

    /// Bytes of content that were announced; None for chunked content.
    pub(super) fn length(&self) -> Option<u64> {
        self.declared
    }

    /// The next part of the content; None at its end. A client that waits for it is told to go on.
    ///
    /// # Errors
    ///
    /// See [`IntakeError`]; after one, each further call is the same one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, IntakeError> {
        loop {
            if self.decoder.is_done() {
                return Ok(None);
            }
            if self.gone {
                return Err(IntakeError::Gone);
            }
            let pending = Bytes::clone(&self.pending);
            let step = match self.decoder.decode(&pending) {
                Ok(step) => step,
                Err(error) => {
                    self.broken = true;
                    return Err(error.into());
                }
            };
            if self.record.most > 0 {
                self.record.add(pending.get(..step.consumed).unwrap_or_default());
            }
            let content = pending.slice_ref(step.content);
            self.pending = pending.slice(step.consumed..);
            if step.done {
                self.mark();
            }
            if !content.is_empty() {
                return Ok(Some(content));
            }
            if !step.done && self.pending.is_empty() {
                self.receive().await?;
            }
        }
    }

    async fn receive(&mut self) -> Result<(), IntakeError> {
        if std::mem::take(&mut self.waits) {
            self.stream.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if self.stream.unflushed() > 0 {
            self.stream.set_deadline(Some(self.write));
            if self.stream.flush().await.is_err() {
                self.gone = true;
                return Err(IntakeError::Gone);
            }
        }
        self.stream.set_deadline(Some(self.terms.patience(self.waited, self.sent)));
        let since = sockeye_engine::elapsed();
        let received = self.stream.recv().await;
        self.waited += sockeye_engine::elapsed().saturating_sub(since);
        match received {
            Ok(chunk) if !chunk.is_empty() => {
                self.sent = self.sent.saturating_add(chunk.len() as u64);
                self.pending = Bytes::copy_from_slice(&chunk);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(IntakeError::Late),
            _ => {
                self.gone = true;
                Err(IntakeError::Gone)
            }
        }
    }

    /// Keeps the first bytes of the body as they come, framing included, and its trailers. To be called
    /// before any of it is taken.
    pub(super) fn keep_record(&mut self, most: usize) {
        self.record.most = most;
        self.decoder = self.decoder.clone().with_trailers();
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Received and not taken.
    pub(super) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Those of the body, if a record is kept and the content has ended.
    pub(super) fn trailers(&self) -> Vec<(String, Vec<u8>)> {
        let trailers = self.decoder.trailers();
        trailers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    }

    /// Sends an interim answer. A client that is gone is found out by the next one who waits for it.
    pub(super) async fn interim(&mut self, answer: &[u8]) {
        self.stream.write(answer);
        self.stream.set_deadline(Some(self.write));
        self.gone |= self.stream.flush().await.is_err();
    }

    /// The connection will end by a reset, whoever ends it (`SO_LINGER`, socket(7)).
    pub(super) fn reset_at_end(&mut self) {
        self.stream.with_fd(|fd| {
            // Without it the connection ends in peace, which is cut short all the same.
            let _ = rustix::net::sockopt::set_socket_linger(fd, Some(Duration::ZERO));
        });
    }

    /// The client, for people.
    pub(super) fn peer(&self) -> String {
        self.stream.peer().map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string())
    }

    /// The address the client has connected to, for people.
    pub(super) fn local(&self) -> String {
        self.stream.local().map_or_else(|_| "unknown".to_owned(), |local| local.to_string())
    }

    /// The number of the request on its connection, from 1.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Where in the stream the request began.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Head and content are one message.
    fn mark(&self) {
        let end = self.stream.received() - self.pending.len() as u64;
        self.stream.mark(Direction::Received, self.start..end, format_args!("{}", self.label));
    }

    pub(super) fn finish(self) -> Rest {
        Rest { whole: self.decoder.is_done() && !self.broken, bytes: self.pending, gone: self.gone }
    }
}
