//! Echo (RFC 862) and discard (RFC 863): the smallest services, for trying out everything around them.

use std::io;
use std::time::Duration;

use sockeye_engine::Stream;

/// How long to wait for a client.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the next bytes. Default 60 s.
    pub idle: Duration,
    /// Until what was sent back has been taken. Default 60 s.
    pub write: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        let minute = Duration::from_secs(60);
        Patience { idle: minute, write: minute }
    }
}

/// Sends back what comes until the client has sent all, or the thread is asked to stop while nothing
/// is under way: the number of bytes. No more is received while the last bytes are on their way back,
/// so a client that does not read is held back by its own window.
///
/// # Errors
///
/// What [`Stream::recv`] and [`Stream::flush`] say.
///
/// # Cancel safety
///
/// Dropping the future closes the connection; bytes that were received may not have been sent back.
pub async fn echo(mut stream: Stream, patience: Patience) -> io::Result<u64> {
    loop {
        stream.set_deadline(Some(patience.idle));
        match stream.recv_idle().await? {
            Some(chunk) if !chunk.is_empty() => stream.write(&chunk),
            _ => return Ok(stream.written()),
        }
        stream.set_deadline(Some(patience.write));
        stream.flush().await?;
    }
}

/// Takes what comes and does nothing with it: the number of bytes.
///
/// # Errors
///
/// What [`Stream::recv`] says.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub async fn discard(mut stream: Stream, patience: Patience) -> io::Result<u64> {
    loop {
        stream.set_deadline(Some(patience.idle));
        match stream.recv_idle().await? {
            Some(chunk) if !chunk.is_empty() => {}
            _ => return Ok(stream.received()),
        }
    }
}
