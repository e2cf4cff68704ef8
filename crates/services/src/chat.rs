//! A chat: people with names talk in lines, and each hears what the others say.
//!
//! The first line is the name; then every line goes to all others. `/who`, `/name NEW` and `/quit`
//! are commands, and a line that begins with `//` is one with `/`. Lines of the room itself begin
//! with `*`, which no name does.
//!
//! The people may be on several threads and meet in the room behind one lock, under which lines are
//! handed over and nobody waits. A line is one piece of shared memory, whoever gets it. What waits
//! for a person is bounded, here and in the kernel, and whoever lets more of it wait is dropped: a
//! slow reader holds nobody up.

mod encoding;
mod pace;
mod room;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sockeye_engine::probe::Direction;
use sockeye_engine::{Either, Reader, Stream, elapsed, first};
use sockeye_wire::escape::Escaped;
use sockeye_wire::text::Encoding;

pub use pace::PaceLimits;

use crate::broker::{HubLimits, MemberId, deliver, full};
use encoding::{Lines, TooLong};
use room::{Line, Room, Why};

/// How long a last line may take to somebody who leaves.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes the kernel is asked to hold at most for one person (socket(7), `SO_SNDBUF`; it doubles
/// them). Left to itself it holds megabytes for each that does not read.
const KERNEL_HOLDS: usize = 64 * 1024;

/// The rules of a room.
#[derive(Clone, Copy, Debug)]
pub struct ChatOptions {
    /// How many people, and what may wait for each. Default 4096, 64 KiB and 1024 lines.
    pub limits: HubLimits,
    /// How fast one may talk.
    pub pace: PaceLimits,
    /// The longest line, in bytes of UTF-8. Default 1024.
    pub longest_line: usize,
    /// How long to wait for a name. Default 60 s.
    pub name: Duration,
    /// How long somebody may say nothing; None for ever. Default None.
    pub idle: Option<Duration>,
    /// The encoding of all lines, both ways. Default UTF-8.
    pub encoding: Encoding,
}

impl Default for ChatOptions {
    fn default() -> ChatOptions {
        ChatOptions {
            limits: HubLimits { members: 4096, bytes: 64 << 10, messages: 1024 },
            pace: PaceLimits::default(),
            longest_line: 1024,
            name: Duration::from_secs(60),
            idle: None,
            encoding: Encoding::UTF_8,
        }
    }
}

/// A room.
#[derive(Debug)]
pub struct Chat {
    room: Mutex<Room>,
    options: ChatOptions,
}

impl Chat {
    /// An empty room.
    #[must_use]
    pub fn new(options: ChatOptions) -> Chat {
        Chat { room: Mutex::new(Room::new(options)), options }
    }

    /// Has one person in until they leave, are dropped, or the thread is asked to stop. Lines that
    /// wait for them by then are still sent.
    ///
    /// # Errors
    ///
    /// What [`Stream::recv`] and [`Stream::flush`] say; `TimedOut` for somebody who was dropped because
    /// of not reading or of silence; `InvalidData` because of a line too long or too many lines;
    /// `QuotaExceeded` when the room is full.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection; the others hear that the person left.
    pub async fn serve(self: Arc<Self>, mut stream: Stream) -> io::Result<()> {
        stream.with_fd(|fd| {
            // What can't be set stays as it is; the room's own bound holds.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(fd, KERNEL_HOLDS);
        });
        let Some(id) = self.room().join(elapsed()) else {
            stream.set_deadline(Some(FAREWELL));
            stream
                .write(&encoding::line(format_args!("* the room is full"), self.options.encoding));
            stream.close_lingering(1 << 16).await;
            return Err(full());
        };
        let person = Person { chat: Arc::clone(&self), id };
        let marker = stream.marker();
        let (mut reader, mut writer) = stream.split();
        let tell = |offset: u64, line: &Bytes| {
            if let Some(marker) = &marker {
                let range = offset..offset.saturating_add(line.len() as u64);
                let label = Escaped(line.trim_ascii_end());
                marker.mark(Direction::Sent, range, format_args!("{label}"));
            }
        };
        let listening = async {
            let why = self.listen(&mut reader, id).await?;
            self.room().end(id, why);
            // What waits for the person is still sent.
            std::future::pending::<io::Result<()>>().await
        };
        let ended = match first(listening, deliver(&self.room, &mut writer, id, tell)).await {
            Either::One(ended) => ended,
            Either::Other(ended) => ended.map(drop),
        };
        let dropped = self.room().why_dropped(id);
        drop(person);
        // What they still send is not to turn our last line into a reset.
        if let Ok(mut stream) = reader.unsplit(writer) {
            stream.set_deadline(Some(FAREWELL));
            stream.close_lingering(1 << 16).await;
        }
        match dropped {
            Some(why @ (Why::Silent | Why::TooSlow)) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, why.to_string()))
            }
            Some(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why.to_string())),
            None => ended,
        }
    }

    /// Hears what the person says: why they stop.
    async fn listen(&self, reader: &mut Reader, id: MemberId) -> io::Result<Why> {
        let mut lines = Lines::new(self.options.encoding, self.options.longest_line);
        loop {
            let named = self.room().is_named(id);
            reader.set_deadline(if named { self.options.idle } else { Some(self.options.name) });
            let chunk = match reader.recv_idle().await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(Why::Silent),
                result => result?,
            };
            let Some(chunk) = chunk.filter(|chunk| !chunk.is_empty()) else {
                if let Some(last) = lines.rest() {
                    self.room().line(id, &last, elapsed());
                }
                return Ok(Why::Left);
            };
            let mut leaves = false;
            let cut = lines.push(&chunk, |line| {
                leaves = self.room().line(id, line, elapsed()) == Line::Leaves;
                !leaves
            });
            match cut {
                Err(TooLong) => return Ok(Why::LineTooLong),
                Ok(()) if leaves => return Ok(Why::Left),
                Ok(()) => {}
            }
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the room, given up when dropped.
struct Person {
    chat: Arc<Chat>,
    id: MemberId,
}

impl Drop for Person {
    fn drop(&mut self) {
        self.chat.room().leave(self.id);
    }
}
