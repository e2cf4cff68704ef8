//! One connection: requests in, answers out, until one side has had enough.

use std::io;
use std::sync::Arc;

use sockeye_engine::probe::Direction;
use sockeye_engine::{Chunk, Stream};
use sockeye_http::{
    BodyDecoder, BodyLimits, Framing, HeaderStorage, Persistence, Progress, RequestParser,
    StatusCode,
};

use super::Site;
use super::answer::{self, Left};
use super::root::Opened;

/// Answers to pipelined requests that may gather before they are sent, in bytes.
const HIGH_WATER: usize = 256 * 1024;

/// Bodies of requests that are answered without them are read up to this size, in bytes, to keep
/// the connection; with a longer one it closes.
const LONGEST_BODY: u64 = 1024 * 1024;

/// Bytes of a refused client that are read so that it gets to see the refusal.
const LINGER: u64 = 1024 * 1024;

impl Site {
    /// Serves one connection to its end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn serve(self: Arc<Self>, mut stream: Stream) {
        let mut requests = Requests::default();
        let mut work = Work::Receive;
        loop {
            work = match work {
                Work::Receive => match self.receive(&mut stream, &mut requests).await {
                    Some(chunk) => self.work(&mut stream, &mut requests, chunk),
                    None => return,
                },
                Work::Flush => {
                    stream.set_deadline(Some(self.options.write));
                    if stream.flush().await.is_err() {
                        return;
                    }
                    self.work(&mut stream, &mut requests, Chunk::from_vec(Vec::new()))
                }
                Work::File(file) => {
                    // In a box: a connection that waits should not hold room for this.
                    if Box::pin(self.send(&mut stream, file)).await.is_err() {
                        return;
                    }
                    self.work(&mut stream, &mut requests, Chunk::from_vec(Vec::new()))
                }
                Work::Close => {
                    stream.set_deadline(Some(self.options.write));
                    let _ = stream.flush().await;
                    return;
                }
                Work::Linger => {
                    stream.set_deadline(Some(self.options.linger));
                    return Box::pin(stream.close_lingering(LINGER)).await;
                }
            };
        }
    }

    /// The next bytes, with everything sent that was written; None when the connection is over.
    async fn receive(&self, stream: &mut Stream, requests: &mut Requests) -> Option<Chunk> {
        if stream.unflushed() > 0 {
            stream.set_deadline(Some(self.options.write));
            stream.flush().await.ok()?;
        }
        requests.wait(self, stream);
        let received = if requests.waits_idle() {
            stream.recv_idle().await
        } else {
            stream.recv().await.map(Some)
        };
        match received {
            Ok(chunk) => chunk.filter(|chunk| !chunk.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && !requests.waits_idle() => {
                let detail = Some("the request did not come in time");
                let status = StatusCode::REQUEST_TIMEOUT;
                answer::refuse(self, stream, status, detail, Persistence::Close);
                stream.set_deadline(Some(self.options.linger));
                stream.flush().await.ok()?;
                None
            }
            Err(_) => None,
        }
    }

    async fn send(&self, stream: &mut Stream, file: Opened) -> io::Result<()> {
        let size = file.size();
        stream.send_file(&file, 0..size, Some(self.options.write)).await
    }

    /// Deals with what has come, without waiting.
    fn work(&self, stream: &mut Stream, requests: &mut Requests, chunk: Chunk) -> Work {
        if requests.pending.is_empty() {
            let (work, used) = self.take(stream, requests, &chunk);
            requests.pending.extend_from_slice(&chunk[used..]);
            return work;
        }
        let mut pending = std::mem::take(&mut requests.pending);
        pending.extend_from_slice(&chunk);
        drop(chunk);
        let (work, used) = self.take(stream, requests, &pending);
        if used < pending.len() {
            pending.drain(..used);
            requests.pending = pending;
        }
        work
    }

    /// Takes requests from `bytes`, which end where the stream has been received to, and answers
    /// them; how many bytes that used.
    fn take(&self, stream: &mut Stream, requests: &mut Requests, bytes: &[u8]) -> (Work, usize) {
        let base = stream.received() - bytes.len() as u64;
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if let Some(body) = &mut requests.body {
                match body.skip(rest) {
                    Ok(skipped) => {
                        used += skipped.consumed;
                        if !skipped.done {
                            return (Work::Receive, used);
                        }
                        requests.body = None;
                        requests.clock_runs = false;
                        continue;
                    }
                    // It was answered already; what follows can't be told from the body.
                    Err(_) => return (Work::Linger, bytes.len()),
                }
            }
            if requests.last {
                let more = !rest.is_empty() || requests.unread;
                return (if more { Work::Linger } else { Work::Close }, bytes.len());
            }
            if rest.is_empty() {
                return (Work::Receive, used);
            }
            if stream.unflushed() > HIGH_WATER {
                return (Work::Flush, used);
            }
            let mut storage = HeaderStorage::new();
            let (request, consumed) =
                match requests.parser.parse(rest, &self.options.limits, &mut storage) {
                    Ok(Progress::Incomplete) => return (Work::Receive, used),
                    Ok(Progress::Complete { request, consumed }) => (request, consumed),
                    Err(error) => {
                        let start = base + used as u64;
                        let range = start..base + bytes.len() as u64;
                        stream.mark(Direction::Received, range, format_args!("refused: {error}"));
                        let (status, detail) = (error.status(), error.to_string());
                        answer::refuse(self, stream, status, Some(&detail), Persistence::Close);
                        return (Work::Linger, bytes.len());
                    }
                };
            let start = base + used as u64;
            used += consumed;
            let target = Sent(&rest[..consumed]);
            stream.mark(
                Direction::Received,
                start..start + consumed as u64,
                format_args!("{} {target}", request.method()),
            );
            let mut persistence = request.persistence();
            requests.body = match request.body() {
                Framing::None | Framing::Length(0) => None,
                // The client waits for a word before it sends what is not wanted.
                _ if request.expect_continue() => {
                    requests.unread = true;
                    None
                }
                Framing::Length(length) if length > LONGEST_BODY => {
                    requests.unread = true;
                    None
                }
                framing => {
                    let limits =
                        BodyLimits { content_bytes: LONGEST_BODY, ..BodyLimits::default() };
                    Some(Box::new(BodyDecoder::new(framing, limits)))
                }
            };
            if requests.unread || sockeye_engine::stopping() {
                persistence = Persistence::Close;
            }
            requests.last = persistence == Persistence::Close;
            requests.clock_runs = false;
            let left = answer::answer(self, stream, &request, persistence);
            if let Left::File(file) = left {
                return (Work::File(file), used);
            }
        }
    }
}

/// What the connection does next.
enum Work {
    Receive,
    /// Send what has gathered, then go on with what was received.
    Flush,
    File(Opened),
    Close,
    /// Close so that a client which is still sending gets the answer.
    Linger,
}

/// Where the connection stands between two receives. Small: every idle connection has one.
#[derive(Default)]
struct Requests {
    /// Received but not dealt with: the start of a head, or requests behind a file.
    pending: Vec<u8>,
    parser: RequestParser,
    /// The body of a request that was answered already.
    body: Option<Box<BodyDecoder>>,
    /// No request is taken after the one that was answered last.
    last: bool,
    /// A body that was announced will not be read.
    unread: bool,
    /// The deadline for a head or a body is running.
    clock_runs: bool,
}

impl Requests {
    /// Nothing has been asked of us yet.
    fn waits_idle(&self) -> bool {
        self.pending.is_empty() && self.body.is_none()
    }

    /// Sets the deadline for the next bytes. Those of heads and bodies are absolute: a client that
    /// trickles does not move them.
    fn wait(&mut self, site: &Site, stream: &mut Stream) {
        let options = &site.options;
        if self.waits_idle() {
            self.clock_runs = false;
            stream.set_deadline(Some(options.idle));
        } else if !self.clock_runs {
            self.clock_runs = true;
            let patience = if self.body.is_some() { options.body } else { options.head };
            stream.set_deadline(Some(patience));
        }
    }
}

/// The target of a request head, as it was sent.
struct Sent<'b>(&'b [u8]);

impl std::fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = self.0.trim_ascii_start();
        let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(target))
    }
}
