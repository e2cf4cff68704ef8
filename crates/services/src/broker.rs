//! A broker: what one client sends goes to all others, byte for byte or frame for frame.
//!
//! Its members may be on several threads. They meet in a [`Hub`] behind one lock, under which
//! messages are handed over and nobody waits: a message is one piece of shared memory whoever gets
//! it, and what waits for each member is bounded. Who sends faster than the slowest takes is held
//! back; who takes nothing for a while is told so and dropped.

pub mod datagram;
mod deliver;
mod hub;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sockeye_engine::probe::Direction;
use sockeye_engine::{Datagram, Either, Marker, Reader, Stream, first};
use sockeye_wire::escape::Escaped;
use sockeye_wire::frame::{Decoder, Frame, Framing};

pub use deliver::{AsHub, Delivered, deliver, deliver_packets, post};
pub use hub::{Hub, HubLimits, MemberId, Next};

/// How long a last message to somebody who is dropped may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a broker deals with its clients.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// How many clients, and what may wait for each. Default 1024, 1 MiB and 4096 messages.
    pub limits: HubLimits,
    /// How long a client may take nothing while others wait for it. Default 10 s.
    pub patience: Duration,
    /// How long a client may send nothing and take nothing; None for ever. Default None.
    pub idle: Option<Duration>,
    /// Whole frames are passed on, none within another; None for bytes as they come.
    pub framing: Option<Framing>,
    /// The longest frame, in bytes; at most an eighth of what may wait for a client. Default
    /// 128 KiB.
    pub max_frame: usize,
}

impl Default for BrokerOptions {
    fn default() -> BrokerOptions {
        BrokerOptions {
            limits: HubLimits { members: 1024, bytes: 1 << 20, messages: 4096 },
            patience: Duration::from_secs(10),
            idle: None,
            framing: None,
            max_frame: 128 << 10,
        }
    }
}

/// Those who are connected through each other.
#[derive(Debug)]
pub struct Broker {
    hub: Mutex<Hub>,
    options: BrokerOptions,
}

impl Broker {
    /// A broker without clients.
    #[must_use]
    pub fn new(mut options: BrokerOptions) -> Broker {
        options.max_frame = options.max_frame.clamp(1, (options.limits.bytes / 8).max(1));
        Broker { hub: Mutex::new(Hub::new(options.limits)), options }
    }

    /// How many clients there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hub().is_empty()
    }

    /// Serves one client until it has sent all, is dropped, or the thread is asked to stop: the
    /// number of bytes it sent. What waits for it by then is still sent.
    ///
    /// # Errors
    ///
    /// What [`Stream::recv`] and [`Stream::flush`] say; `InvalidData` for a stream that does not hold
    /// to the framing; `TimedOut` for a client that was dropped because it took nothing or was idle;
    /// `QuotaExceeded` when there are as many clients as may be.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection; the others are not harmed.
    pub async fn serve(self: Arc<Self>, stream: Stream) -> io::Result<u64> {
        let Some(member) = self.join() else {
            return Err(full());
        };
        let marker = stream.marker();
        let (mut reader, mut writer) = stream.split();
        let tell = |offset, message: &Bytes| {
            if let (Some(marker), Some(framing)) = (&marker, &self.options.framing) {
                mark_sent(marker, framing, offset, message);
            }
        };
        let sending = async {
            let result = self.collect(&mut reader, member.id).await;
            // An end in peace lets what waits for the client go out.
            if result.is_ok() {
                self.hub().close(member.id);
                std::future::pending::<()>().await;
            }
            result
        };
        match first(sending, deliver(&self.hub, &mut writer, member.id, tell)).await {
            Either::One(result) => result?,
            Either::Other(result) => {
                if result? == Delivered::Expelled {
                    return Err(slow());
                }
            }
        }
        let received = reader.received();
        // What it still sends is not to turn our last bytes into a reset.
        if let Ok(mut stream) = reader.unsplit(writer) {
            stream.set_deadline(Some(FAREWELL));
            stream.close_lingering(1 << 20).await;
        }
        Ok(received)
    }

    /// The same for a connection of sequenced packets, whose messages are the frames.
    ///
    /// # Errors
    ///
    /// As [`Broker::serve`]; `InvalidData` for a message longer than a frame may be.
    ///
    /// # Cancel safety
    ///
    /// As [`Broker::serve`].
    pub async fn serve_packets(self: Arc<Self>, socket: Datagram) -> io::Result<u64> {
        let Some(member) = self.join() else {
            return Err(full());
        };
        socket.set_room(self.options.max_frame);
        let mut received = 0;
        let sending = async {
            while let Some(message) = socket.recv_idle().await?
                && message.len > 0
            {
                if message.truncated {
                    let why = format!(
                        "a packet of {} bytes, more than the {} allowed",
                        message.len, self.options.max_frame
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                received += u64::try_from(message.len).unwrap_or(u64::MAX);
                socket.mark(Direction::Received, format_args!("{}", Escaped(&message.bytes)));
                self.post(member.id, Bytes::copy_from_slice(&message.bytes)).await;
            }
            self.hub().close(member.id);
            std::future::pending::<io::Result<()>>().await
        };
        let tell = |message: &Bytes| {
            socket.mark(Direction::Sent, format_args!("{}", Escaped(message)));
        };
        match first(sending, deliver_packets(&self.hub, &socket, member.id, tell)).await {
            Either::One(result) => result?,
            Either::Other(result) => {
                if result? == Delivered::Expelled {
                    return Err(slow());
                }
            }
        }
        Ok(received)
    }

    /// Hands what one client sends to all others, until it has sent all.
    async fn collect(&self, reader: &mut Reader, id: MemberId) -> io::Result<()> {
        let framing = self.options.framing.as_ref();
        let mut frames =
            framing.map(|framing| Decoder::with_max_frame(framing.clone(), self.options.max_frame));
        let mut sent = 0;
        loop {
            // Only what has begun waits for a silence to end it.
            let gap = match (framing, &frames) {
                (Some(Framing::Gap(gap)), Some(frames)) => (frames.pending() > 0).then_some(*gap),
                _ => None,
            };
            reader.set_deadline(gap.or(self.options.idle));
            let chunk = match reader.recv_idle().await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let so_far = self.hub().sent(id);
                    match &mut frames {
                        Some(frames) if gap.is_some() => {
                            let frame = frames.silence().map_err(invalid)?;
                            self.post_frame(reader, id, framing, frame).await?;
                        }
                        _ if std::mem::replace(&mut sent, so_far) != so_far => {}
                        _ => return Err(error),
                    }
                    continue;
                }
                result => result?,
            };
            let Some(chunk) = chunk.filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            // On io_uring the buffer is one that all share, so it is given back before a wait.
            let bytes = Bytes::copy_from_slice(&chunk);
            drop(chunk);
            match &mut frames {
                None => self.post(id, bytes).await,
                Some(frames) => {
                    frames.push(bytes);
                    while let Some(frame) = frames.next().map_err(invalid)? {
                        self.post_frame(reader, id, framing, Some(frame)).await?;
                    }
                }
            }
        }
        if let Some(frames) = &mut frames {
            while let Some(frame) = frames.finish().map_err(invalid)? {
                self.post_frame(reader, id, framing, Some(frame)).await?;
            }
        }
        Ok(())
    }

    async fn post_frame(
        &self,
        reader: &Reader,
        id: MemberId,
        framing: Option<&Framing>,
        frame: Option<Frame>,
    ) -> io::Result<()> {
        if let (Some(framing), Some(frame)) = (framing, frame) {
            let label = Escaped(&frame.payload);
            reader.mark(Direction::Received, frame.range.clone(), format_args!("{label}"));
            let mut encoded = Vec::new();
            framing.encode(&frame.payload, &mut encoded).map_err(invalid)?;
            self.post(id, encoded.into()).await;
        }
        Ok(())
    }

    async fn post(&self, from: MemberId, message: Bytes) {
        post(&self.hub, from, &message, self.options.patience).await;
    }

    fn join(self: &Arc<Self>) -> Option<Member> {
        let id = self.hub().join()?;
        Some(Member { broker: Arc::clone(self), id })
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the members, given up when dropped.
struct Member {
    broker: Arc<Broker>,
    id: MemberId,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.broker.hub().leave(self.id);
    }
}

fn slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "dropped: it took nothing of what waited for it")
}

/// Tells whoever looks on of a frame that will be written at `offset`.
fn mark_sent(marker: &Marker, framing: &Framing, offset: u64, wire: &Bytes) {
    let mut decoder = Decoder::with_max_frame(framing.clone(), wire.len());
    decoder.push(wire.clone());
    let frame = decoder.finish().ok().flatten();
    let label = Escaped(frame.as_ref().map_or(wire, |frame| &frame.payload));
    let range = offset..offset.saturating_add(wire.len() as u64);
    marker.mark(Direction::Sent, range, format_args!("{label}"));
}

pub(crate) fn full() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "turned away: as many are here as may be")
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
