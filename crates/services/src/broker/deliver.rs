//! Between outboxes and sockets: filling them all, and emptying one.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use sockeye_engine::{Datagram, Either, Writer, first, sleep};

use super::hub::{Hub, MemberId, Next};

/// How long a last message to somebody who is dropped may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What has a hub in it.
pub trait AsHub {
    /// The hub.
    fn hub(&mut self) -> &mut Hub;
}

impl AsHub for Hub {
    fn hub(&mut self) -> &mut Hub {
        self
    }
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Everything that waited for the member was sent.
    All,
    /// It was expelled, and its last message has been tried.
    Expelled,
}

/// Waits until all others have room for the message, and puts it into their outboxes. Who has none
/// and was sent nothing for `patience` is expelled, if there is somebody else who has: where nobody
/// takes anything, nobody is harmed by waiting.
///
/// # Cancel safety
///
/// Dropped, the message is in no outbox.
pub async fn post<H: AsHub>(room: &Mutex<H>, from: MemberId, message: &Bytes, patience: Duration) {
    let lock = || room.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let lacking: Vec<_> = lock().hub().lacking(from, message.len()).collect();
        let handed_over = poll_fn(|cx| lock().hub().poll_send_to_others(from, message, cx));
        match first(handed_over, sleep(patience)).await {
            Either::One(()) => return,
            Either::Other(()) => {
                let mut room = lock();
                let hub = room.hub();
                let mut stuck: Vec<_> = hub.lacking(from, message.len()).collect();
                let others = hub.len().saturating_sub(1);
                if stuck.len() < others {
                    stuck.retain(|stuck| lacking.contains(stuck));
                    for (id, _) in stuck {
                        hub.expel(id, Bytes::new());
                    }
                }
            }
        }
    }
}

/// Sends a member what others have for it, until it has left and got everything. Each message is
/// shown to `tell` before it is written, with where it will begin on the stream.
///
/// # Errors
///
/// What [`Writer::flush`] says.
///
/// # Cancel safety
///
/// Dropped, what it had taken is with the writer.
pub async fn deliver<H: AsHub>(
    room: &Mutex<H>,
    writer: &mut Writer,
    id: MemberId,
    mut tell: impl FnMut(u64, &Bytes),
) -> io::Result<Delivered> {
    let mut batch = Vec::new();
    loop {
        let next = take(room, id, &mut batch).await;
        for message in batch.drain(..) {
            tell(writer.written(), &message);
            writer.write_shared(message);
        }
        if !unless_expelled(room, id, next, writer.flush()).await? {
            // It was dropped because it does not read; perhaps it does now.
            take(room, id, &mut batch).await;
            for message in batch.drain(..) {
                tell(writer.written(), &message);
                writer.write_shared(message);
            }
            writer.set_deadline(Some(FAREWELL));
            let _ = writer.flush().await;
            return Ok(Delivered::Expelled);
        }
        if next == Next::End {
            return Ok(ended(room, id));
        }
    }
}

/// The same where messages keep their borders. Each is shown to `tell` when it has been sent.
///
/// # Errors
///
/// What [`Datagram::send`] says.
///
/// # Cancel safety
///
/// Dropped, messages that it had taken are lost.
pub async fn deliver_packets<H: AsHub>(
    room: &Mutex<H>,
    socket: &Datagram,
    id: MemberId,
    mut tell: impl FnMut(&Bytes),
) -> io::Result<Delivered> {
    let mut batch = Vec::new();
    loop {
        let next = take(room, id, &mut batch).await;
        for message in batch.drain(..).filter(|message| !message.is_empty()) {
            if !unless_expelled(room, id, next, socket.send(&message)).await? {
                return Ok(Delivered::Expelled);
            }
            tell(&message);
        }
        if next == Next::End {
            return Ok(ended(room, id));
        }
    }
}

async fn take<H: AsHub>(room: &Mutex<H>, id: MemberId, batch: &mut Vec<Bytes>) -> Next {
    let lock = || room.lock().unwrap_or_else(PoisonError::into_inner);
    poll_fn(|cx| lock().hub().poll_take(id, batch, cx)).await
}

/// Whether it was sent; false if the member was expelled meanwhile.
async fn unless_expelled<H: AsHub>(
    room: &Mutex<H>,
    id: MemberId,
    next: Next,
    sent: impl Future<Output = io::Result<()>>,
) -> io::Result<bool> {
    let lock = || room.lock().unwrap_or_else(PoisonError::into_inner);
    let expelled = poll_fn(|cx| match next {
        Next::End => Poll::Pending,
        Next::Messages => lock().hub().poll_expelled(id, cx),
    });
    match first(sent, expelled).await {
        Either::One(sent) => sent.map(|()| true),
        Either::Other(()) => Ok(false),
    }
}

fn ended<H: AsHub>(room: &Mutex<H>, id: MemberId) -> Delivered {
    let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
    if room.hub().is_expelled(id) { Delivered::Expelled } else { Delivered::All }
}
