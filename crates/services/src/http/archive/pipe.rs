//! From the thread that packs to the connection that sends.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use super::super::produce::Produce;

/// A part is as long as this, in bytes, but for the last.
const PART: usize = 128 * 1024;

/// Parts that wait to be sent; with one being made and one being sent, half a megabyte.
const WAITING: usize = 2;

/// So long a thread of `offload` waits for a part. Zeros pack so well that one may take seconds, and
/// others want the thread too.
const PATIENCE: Duration = Duration::from_millis(20);

/// Where the packing thread writes to.
pub(super) struct Pipe {
    sender: SyncSender<Bytes>,
    part: Vec<u8>,
}

impl Pipe {
    /// Hands over what is left.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.part.is_empty() {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
        // Nobody takes it any more: the client has left.
        self.sender.send(part.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..count]);
        if self.part.len() == PART {
            self.send()?;
        }
        Ok(count)
    }

    /// Parts go when they are full, or at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Work = Box<dyn FnOnce(Pipe) -> io::Result<()> + Send>;

/// What a thread writes into a [`Pipe`], as content. The thread is started when the first part is asked
/// for, and ends with its next part once this is dropped.
pub(super) struct Piped(State);

enum State {
    Waits(Work),
    Runs(Receiver<Bytes>, JoinHandle<io::Result<()>>),
    Over,
}

impl Piped {
    pub(super) fn new(work: impl FnOnce(Pipe) -> io::Result<()> + Send + 'static) -> Piped {
        Piped(State::Waits(Box::new(work)))
    }
}

impl Produce for Piped {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let state = std::mem::replace(&mut self.0, State::Over);
        let (receiver, thread) = match state {
            State::Waits(work) => {
                let (sender, receiver) = sync_channel(WAITING);
                let pipe = Pipe { sender, part: Vec::with_capacity(PART) };
                let builder = std::thread::Builder::new().name("archive".to_owned());
                (receiver, builder.spawn(move || work(pipe))?)
            }
            State::Runs(receiver, thread) => (receiver, thread),
            State::Over => return Ok(None),
        };
        let part = match receiver.recv_timeout(PATIENCE) {
            Ok(part) => part,
            Err(RecvTimeoutError::Timeout) => Bytes::new(),
            Err(RecvTimeoutError::Disconnected) => {
                let panicked = |_| Err(io::Error::other("the archive's thread panicked"));
                return thread.join().unwrap_or_else(panicked).map(|()| None);
            }
        };
        self.0 = State::Runs(receiver, thread);
        Ok(Some(part))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn all(mut piped: Piped) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(part) = piped.next()? {
            all.extend_from_slice(&part);
        }
        Ok(all)
    }

    #[test]
    fn what_is_written_comes_out_in_parts_of_a_bounded_length() {
        let content: Vec<u8> = (0..=250).cycle().take(10 * PART + 7).collect();
        let written = content.clone();
        let piped = Piped::new(move |mut pipe| {
            pipe.write_all(&written)?;
            pipe.finish()
        });
        assert!(all(piped).expect("no error") == content);
        assert!(all(Piped::new(Pipe::finish)).expect("no error").is_empty());
    }

    #[test]
    fn an_error_or_a_panic_of_the_thread_is_one_of_the_content() {
        let failing = Piped::new(|mut pipe| {
            pipe.write_all(b"begun")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(all(failing).expect_err("it failed").to_string(), "no more");
        assert!(all(Piped::new(|_| panic!("on purpose"))).is_err());
    }

    #[test]
    fn a_client_that_leaves_ends_the_thread() {
        let (tell, told) = channel();
        let mut piped = Piped::new(move |mut pipe| {
            let ended = loop {
                if let Err(error) = pipe.write_all(&[7; PART]) {
                    break error.kind();
                }
            };
            tell.send(ended).map_err(io::Error::other)
        });
        let first =
            std::iter::from_fn(|| piped.next().expect("it goes on")).find(|p| !p.is_empty());
        assert_eq!(first.map(|part| part.len()), Some(PART));
        drop(piped);
        assert_eq!(told.recv().expect("it ends"), io::ErrorKind::BrokenPipe);
    }
}
