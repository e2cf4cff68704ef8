//! Looking at what a stream's peer sent before it is received.

use std::io;
use std::task::{Context, Poll, ready};

use crate::buffer::{Chunk, LEASE};
use crate::driver::{Patience, Side};
use crate::stream::{Operate, Stream};

impl Stream {
    /// Waits until at least `least` bytes have come, or the peer will send no more, and shows all
    /// that were received. They stay for the next [`Stream::recv`], which hands them out in one
    /// chunk. For a service that must know what it is spoken to before it answers.
    ///
    /// They wait in the stream, not in the kernel (`MSG_PEEK` of recv(2)): io_uring has received them
    /// by then.
    ///
    /// ```
    /// # use sockeye_engine::{DriverKind, Engine, Stream, probe::Role};
    /// # fn main() -> std::io::Result<()> {
    /// # let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// # Engine::new(DriverKind::EpollEdge)?.block_on(async {
    /// # let mut stream = Stream::adopt(ours, Role::Server)?;
    /// # let mut peer = Stream::adopt(theirs, Role::Client)?;
    /// # peer.write(b"GET / HTTP/1.1\r\n");
    /// # peer.flush().await?;
    /// // A TLS record of a handshake begins with 22 (RFC 8446 §5.1).
    /// let speaks_tls = stream.peek(1).await?.first() == Some(&22);
    /// assert!(!speaks_tls);
    /// assert!(stream.recv().await?.starts_with(b"GET "));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Stream::recv`], and what came before stays; `InvalidInput` for more than 65,536 bytes.
    pub async fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        if least > LEASE {
            let why = format!("a stream can be peeked at for {LEASE} bytes at most");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Operate::new(self, Side::Read, |stream, cx| stream.poll_peek(least, cx)).await?;
        Ok(self.peeked.as_deref().map_or(&[], |chunk| chunk))
    }

    fn poll_peek(&mut self, least: usize, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.peeked.as_ref().is_some_and(|peeked| peeked.len() >= least.max(1)) {
                return Poll::Ready(Ok(()));
            }
            let chunk = ready!(self.poll_recv_more(Patience::Busy, cx))?;
            if chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.peeked = Some(match self.peeked.take() {
                None => Box::new(chunk),
                Some(before) => Box::new(Chunk::from_vec([&before[..], &chunk[..]].concat())),
            });
        }
    }
}
