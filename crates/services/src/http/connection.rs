//! One connection: requests in, answers out, until one side has had enough.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, header};
use sockeye_engine::probe::Direction;
use sockeye_engine::{Chunk, Either, Stream, first, offload, sleep};
use sockeye_http::{
    BodyDecoder, BodyLimits, Framing, HeaderStorage, Method, Persistence, Progress, RelativePath,
    Request, RequestParser, StatusCode, Version, decode_path,
};

use super::answer::{self, Left, Sent, Work};
use super::asked::Asked;
use super::guest::Guest;
use super::inspect::refused;
use super::intake::{Incoming, Intake, Taker};
use super::ledger::Limit;
use super::reply::Reply;
use super::root::Opened;
use super::send::Outgoing;
use super::users::Credentials;
use super::{Site, admission};

/// Answers to pipelined requests that may gather before they are sent, in bytes.
const HIGH_WATER: usize = 256 * 1024;

/// Bodies of requests that are answered without them are read up to this size, in bytes, to keep
/// the connection; with a longer one it closes.
const LONGEST_BODY: u64 = 1024 * 1024;

/// Bytes of a refused client that are read so that it gets to see the refusal.
const LINGER: u64 = 1024 * 1024;

/// How long to wait before asking again whether another password's turn is over.
const CHECK_AGAIN: Duration = Duration::from_millis(10);

impl Site {
    /// Serves one connection to its end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn serve(self: Arc<Self>, stream: Stream) -> impl Future<Output = ()> + 'static {
        let is_watched = self.options.ledger.is_some() || self.visitors.is_some();
        let guest = is_watched.then(|| Guest::enter(&self, &stream));
        let mut connection = Connection {
            site: self,
            stream,
            guest,
            early: None,
            body: None,
            last: false,
            still_sending: false,
            clock_runs: false,
            taken: 0,
        };
        // A block that captures, not an async fn with arguments: those would be held twice.
        async move {
            let mut next = match &connection.guest {
                Some(guest) if !guest.may_stay() => connection.turn_away(),
                _ => Next::Receive,
            };
            loop {
                next = match next {
                    Next::Receive => connection.receive().await,
                    Next::ReceiveLast => Box::pin(connection.receive_last()).await,
                    Next::Flush => connection.flush().await,
                    // In boxes: a connection that waits should not hold room for these.
                    Next::File(file) => Box::pin(connection.send_file(file)).await,
                    Next::Reply(reply) => Box::pin(connection.send_reply(*reply)).await,
                    Next::Check(credentials) => Box::pin(connection.check(*credentials)).await,
                    Next::Work(work) => Box::pin(connection.do_work(*work)).await,
                    Next::Take(taken) => Box::pin(connection.take_content(*taken)).await,
                    Next::Close => {
                        connection.flush().await;
                        return;
                    }
                    Next::Linger => return Box::pin(connection.linger()).await,
                    Next::End => return,
                };
            }
        }
    }
}

/// What a connection does next.
enum Next {
    Receive,
    /// Another process serves by now; who has connected here may still ask.
    ReceiveLast,
    /// Send what has gathered, then go on with what was received.
    Flush,
    File(Box<(Opened, Range<u64>)>),
    /// Find out whether this password is right, then look at the request again.
    Check(Box<(Arc<Site>, Credentials)>),
    Reply(Box<Outgoing>),
    /// Have the reply made, and send it.
    Work(Box<Working>),
    /// Let somebody take the content of the request, and send what he answers.
    Take(Box<Taken>),
    Close,
    /// Close so that a client which is still sending gets the answer.
    Linger,
    /// It is over already.
    End,
}

/// Small: every idle connection has one.
struct Connection {
    site: Arc<Site>,
    stream: Stream,
    /// Where somebody wants to know of it.
    guest: Option<Box<Guest>>,
    early: Option<Box<Early>>,
    /// The body of a request that was answered already.
    body: Option<Box<Body>>,
    /// No request is taken after the one that was answered last.
    last: bool,
    /// The end is our wish: a body that was announced, or more requests, may be on their way.
    still_sending: bool,
    /// The deadline for a head or a body is running.
    clock_runs: bool,
    /// Requests whose content somebody took.
    taken: u32,
}

/// Received but not dealt with: the start of a head, or requests behind a file.
struct Early {
    bytes: Vec<u8>,
    /// How much of the first head it has seen.
    parser: RequestParser,
    /// The password in it was looked at and is not right.
    wrong: Option<Credentials>,
}

/// A request whose content somebody takes.
struct Taken {
    site: Arc<Site>,
    asked: Asked,
    taker: Box<dyn Taker>,
    /// Where in the stream it began.
    start: u64,
    persistence: Persistence,
}

/// A reply that is to be made, and what the request says about it.
struct Working {
    site: Arc<Site>,
    work: Work,
    method: Method,
    version: Version,
    persistence: Persistence,
}

/// A body that is skipped.
struct Body {
    decoder: BodyDecoder,
    /// Where in the stream the request began, and what to call it: it is one message with its body.
    start: u64,
    label: Box<str>,
}

impl Connection {
    /// Waits for more, with everything sent that was written, and deals with it.
    async fn receive(&mut self) -> Next {
        if self.stream.unflushed() > 0 {
            self.stream.set_deadline(Some(self.site.options.write));
            if let Err(error) = self.stream.flush().await {
                return self.not_sent(&error);
            }
        }
        self.set_deadline();
        let received = if self.waits_idle() {
            self.stream.recv_idle().await
        } else {
            self.stream.recv().await.map(Some)
        };
        self.received(received)
    }

    /// Waits once more, though the thread stops: for as long as one may take who found us in time.
    async fn receive_last(&mut self) -> Next {
        self.stream.set_deadline(Some(self.last_wait()));
        let received = self.stream.recv().await.map(Some);
        self.received(received)
    }

    /// Deals with what has come, or did not.
    fn received(&mut self, received: io::Result<Option<Chunk>>) -> Next {
        match received {
            Ok(None) if self.site.is_left() => Next::ReceiveLast,
            Ok(Some(chunk)) if !chunk.is_empty() => {
                let fresh = self.waits_idle();
                if let Some(guest) = &mut self.guest {
                    guest.received(fresh);
                }
                self.work(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.too_late(),
            _ => Next::End,
        }
    }

    /// How long a client may take to ask, though we are about to leave: another process serves by now,
    /// and nobody is to find that his connection was for nothing.
    fn last_wait(&self) -> Duration {
        match self.stream.written() {
            // He has just connected.
            0 => self.site.options.head,
            _ => self.site.options.linger,
        }
    }

    /// What was to be sent did not leave.
    fn not_sent(&self, error: &io::Error) -> Next {
        if error.kind() == io::ErrorKind::TimedOut {
            self.site.hit(Limit::Write);
        }
        Next::End
    }

    /// Says why nothing is answered to one who has too many connections already.
    fn turn_away(&mut self) -> Next {
        self.site.hit(Limit::Connections);
        let status = StatusCode::TOO_MANY_REQUESTS;
        answer::turn_away(&self.site, &mut self.stream);
        if let Some(guest) = &self.guest {
            guest.refused(b"", status);
        }
        Next::Linger
    }

    async fn flush(&mut self) -> Next {
        self.stream.set_deadline(Some(self.site.options.write));
        match self.stream.flush().await {
            Ok(()) => self.go_on(),
            Err(error) => self.not_sent(&error),
        }
    }

    async fn send_file(&mut self, file: Box<(Opened, Range<u64>)>) -> Next {
        let (patience, total) = (Some(self.site.options.write), self.site.options.total);
        let (file, range) = *file;
        let sending = Sending::begin(self);
        // A file that has become shorter can't be completed: only closing says so.
        let sent = sending.connection.stream.send_file(&file, range, patience);
        let sent = first(sent, sleep(total)).await;
        sending.end(sent)
    }

    /// One password at a time, over all connections: each takes a tenth of a second of a core.
    async fn check(&mut self, (site, credentials): (Arc<Site>, Credentials)) -> Next {
        let Some(users) = site.options.rules.users.clone() else {
            return self.go_on();
        };
        let checking = loop {
            match users.check(&credentials) {
                Some(checking) => break checking,
                None => sleep(CHECK_AGAIN).await,
            }
        };
        let right = offload(move || checking.run()).await.unwrap_or(false);
        if let Some(early) = self.early.as_mut().filter(|_| !right) {
            early.wrong = Some(credentials);
        }
        self.go_on()
    }

    async fn send_reply(&mut self, reply: Outgoing) -> Next {
        self.last |= reply.is_last();
        let sending = Sending::begin(self);
        let Connection { site, stream, guest, .. } = &mut *sending.connection;
        let date = *site.shard().date.at(sockeye_engine::unix_now());
        let sent = reply.send(stream, guest.as_deref_mut(), &site.options, &date);
        let sent = first(sent, sleep(site.options.total)).await;
        sending.end(sent)
    }

    async fn do_work(&mut self, working: Working) -> Next {
        let Working { site, work, method, version, persistence } = working;
        let reply = offload(move || work(&site)).await.unwrap_or_else(|_| {
            Reply::failure(StatusCode::SERVICE_UNAVAILABLE, "no thread can be started")
        });
        self.send_reply(Outgoing::new(reply, &method, version, persistence)).await
    }

    async fn take_content(&mut self, taken: Taken) -> Next {
        let Taken { site, asked, taker, start, mut persistence } = taken;
        let early = self.early.take().map(|early| early.bytes).unwrap_or_default();
        let label = format!("{} {}", asked.method, Sent(&asked.head));
        let mut intake = Intake::new(Incoming {
            stream: &mut self.stream,
            framing: asked.framing,
            terms: taker.terms(),
            early,
            expects_continue: asked.expects_continue,
            start,
            number: self.taken,
            label: &label,
            write: self.site.options.write,
        });
        let reply = taker.take(&mut intake).await;
        let path = decode_path(&asked.path);
        let path = path.as_ref().map_or(&b""[..], RelativePath::as_bytes);
        let origin = asked.headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
        let reply = site.dress(reply, path, origin);
        let rest = intake.finish();
        let received = self.stream.received() - rest.bytes.len() as u64 - start;
        if let Some(guest) = &mut self.guest {
            guest.took(received);
            guest.goes_on(reply.status, self.stream.written());
        }
        if rest.gone {
            if let Some(guest) = &mut self.guest {
                guest.end(self.stream.written(), true);
            }
            return Next::End;
        }
        if !rest.bytes.is_empty() {
            let parser = RequestParser::new();
            self.early = Some(Box::new(Early { bytes: rest.bytes.into(), parser, wrong: None }));
        }
        self.still_sending |= !rest.whole || sockeye_engine::stopping();
        if self.still_sending {
            persistence = Persistence::Close;
        }
        self.last = persistence == Persistence::Close;
        self.send_reply(Outgoing::new(reply, &asked.method, asked.version, persistence)).await
    }

    async fn linger(mut self) {
        // The client has as long for the last answers as for others; then it is to close.
        self.stream.set_deadline(Some(self.site.options.write));
        if self.stream.flush().await.is_err() {
            return;
        }
        self.stream.set_deadline(Some(self.site.options.linger));
        self.stream.close_lingering(LINGER).await;
    }

    /// Nothing has been asked of us yet.
    fn waits_idle(&self) -> bool {
        self.early.is_none() && self.body.is_none()
    }

    /// Sets the deadline for the next bytes. Those of heads and bodies are absolute: a client that
    /// trickles does not move them.
    fn set_deadline(&mut self) {
        let options = &self.site.options;
        let patience = match &self.body {
            None if self.early.is_none() => {
                self.clock_runs = false;
                self.stream.set_deadline(Some(options.idle));
                return;
            }
            None => options.head,
            Some(_) => options.body,
        };
        if !self.clock_runs {
            self.clock_runs = true;
            self.stream.set_deadline(Some(patience));
        }
    }

    /// The deadline for the next bytes has passed.
    fn too_late(&mut self) -> Next {
        if self.waits_idle() {
            self.site.hit(Limit::Idle);
            return Next::End;
        }
        self.site.hit(if self.body.is_some() { Limit::Body } else { Limit::Head });
        // A request whose body is late was answered: one answer more would pass for the next one's.
        if self.body.is_none() {
            let detail = "the request did not come in time";
            let received = self.stream.received();
            let early = self.early.take().map(|early| early.bytes).unwrap_or_default();
            let start = received - early.len() as u64;
            self.refuse(&early, start, StatusCode::REQUEST_TIMEOUT, detail);
        }
        Next::Linger
    }

    /// Refuses `bytes`, which began at `start` in the stream.
    fn refuse(&mut self, bytes: &[u8], start: u64, status: StatusCode, detail: &str) {
        let range = start..start + bytes.len() as u64;
        self.stream.mark(Direction::Received, range, format_args!("refused: {detail}"));
        answer::refuse(&self.site, &mut self.stream, status, detail);
        if let Some(guest) = &self.guest {
            guest.refused(bytes, status);
        }
    }

    /// Refuses `bytes`, which began at `start` in the stream and are no request; where requests are
    /// inspected, it is told where the fault is.
    #[cold]
    fn refuse_head(&mut self, bytes: &[u8], start: u64, status: StatusCode, detail: &str) {
        if !self.site.options.inspect {
            return self.refuse(bytes, start, status, detail);
        }
        let text = refused::head(bytes, &self.site.options.limits, status, detail);
        let range = start..start + bytes.len() as u64;
        self.stream.mark(Direction::Received, range, format_args!("refused: {detail}"));
        answer::refuse_with(&self.site, &mut self.stream, status, &text);
        if let Some(guest) = &self.guest {
            guest.refused(bytes, status);
        }
    }

    /// Deals with what was received before, after something was sent.
    fn go_on(&mut self) -> Next {
        self.work(Chunk::from_vec(Vec::new()))
    }

    /// Deals with what has come, without waiting.
    fn work(&mut self, chunk: Chunk) -> Next {
        let Some(mut early) = self.early.take() else {
            let mut parser = RequestParser::new();
            let (next, used) = self.take(&chunk, &mut parser, None);
            if used < chunk.len() {
                let bytes = chunk[used..].to_vec();
                self.early = Some(Box::new(Early { bytes, parser, wrong: None }));
            }
            return next;
        };
        early.bytes.extend_from_slice(&chunk);
        drop(chunk);
        let wrong = early.wrong.take();
        let (next, used) = self.take(&early.bytes, &mut early.parser, wrong.as_ref());
        if used < early.bytes.len() {
            early.bytes.drain(..used);
            self.early = Some(early);
        }
        next
    }

    /// Takes requests from `bytes`, which end where the stream has been received to, and answers
    /// them; how many bytes that used. `wrong` is a password that is known not to be right.
    fn take(
        &mut self,
        bytes: &[u8],
        parser: &mut RequestParser,
        wrong: Option<&Credentials>,
    ) -> (Next, usize) {
        let base = self.stream.received() - bytes.len() as u64;
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if self.body.is_some() {
                match self.skip_body(rest, base + used as u64) {
                    Ok((consumed, done)) => {
                        used += consumed;
                        if !done {
                            return (Next::Receive, used);
                        }
                        continue;
                    }
                    // It was answered already; what follows can't be told from the body.
                    Err(()) => return (Next::Linger, bytes.len()),
                }
            }
            if self.last {
                let linger = self.still_sending || !rest.is_empty();
                return (if linger { Next::Linger } else { Next::Close }, bytes.len());
            }
            if rest.is_empty() {
                return (Next::Receive, used);
            }
            if self.stream.unflushed() > HIGH_WATER {
                return (Next::Flush, used);
            }
            let start = base + used as u64;
            let guest = self.guest.as_deref();
            if answer::answer_again(&self.site, &mut self.stream, guest, rest, start) {
                *parser = RequestParser::new();
                self.clock_runs = false;
                return (Next::Receive, bytes.len());
            }
            let mut storage = HeaderStorage::new();
            match parser.parse(rest, &self.site.options.limits, &mut storage) {
                Ok(Progress::Incomplete) => return (Next::Receive, used),
                Ok(Progress::Complete { request, consumed }) => {
                    let host = self.site.host(&request).cloned();
                    let site = host.as_ref().unwrap_or(&self.site);
                    if let Some(credentials) = admission::unchecked(site, &request)
                        && wrong != Some(&credentials)
                    {
                        let site = Arc::clone(site);
                        return (Next::Check(Box::new((site, credentials))), used);
                    }
                    used += consumed;
                    let end = base + used as u64;
                    let head = &rest[..consumed];
                    let label = format_args!("{} {}", request.method(), Sent(head));
                    if let Some(taker) = answer::taker(site, head, &request) {
                        let site = Arc::clone(site);
                        return (self.take_from(site, taker, head, &request, start), used);
                    }
                    let length = consumed as u64;
                    self.expect_body(&request, start, label);
                    if self.body.is_none() {
                        self.stream.mark(Direction::Received, start..end, label);
                    }
                    match self.answer(host.as_ref(), head, &request) {
                        Left::Nothing => {
                            if let Some(guest) = &self.guest {
                                guest.answered(head, &request, length);
                            }
                        }
                        Left::File(file, range) => {
                            self.begin(head, &request, length);
                            return (Next::File(Box::new((file, range))), used);
                        }
                        Left::Work(work) => {
                            self.begin(head, &request, length);
                            let site = Arc::clone(host.as_ref().unwrap_or(&self.site));
                            return (self.working(site, work, &request), used);
                        }
                        Left::Reply(reply) => {
                            self.begin(head, &request, length);
                            return (self.outgoing(*reply, &request), used);
                        }
                    }
                }
                Err(error) => {
                    let (status, detail) = (error.status(), error.to_string());
                    self.refuse_head(rest, start, status, &detail);
                    return (Next::Linger, bytes.len());
                }
            }
        }
    }

    /// Prepares for the body of a request that began at `start` in the stream.
    fn expect_body(&mut self, request: &Request<'_, '_>, start: u64, label: fmt::Arguments<'_>) {
        match request.body() {
            Framing::None | Framing::Length(0) => {}
            // The client waits for a word before it sends what is not wanted.
            _ if request.expect_continue() => self.still_sending = true,
            Framing::Length(length) if length > LONGEST_BODY => self.still_sending = true,
            framing => {
                let limits = BodyLimits { content_bytes: LONGEST_BODY, ..BodyLimits::default() };
                let decoder = BodyDecoder::new(framing, limits);
                self.body =
                    Some(Box::new(Body { decoder, start, label: label.to_string().into() }));
            }
        }
    }

    /// Answers a request whose body, if it has one, is still to come.
    fn answer(&mut self, host: Option<&Arc<Site>>, head: &[u8], request: &Request<'_, '_>) -> Left {
        let mut persistence = request.persistence();
        // Somebody who asked to stay may have sent the next request already.
        let stopping = sockeye_engine::stopping();
        self.still_sending |= stopping && persistence != Persistence::Close;
        if self.still_sending {
            persistence = Persistence::Close;
        }
        self.last = persistence == Persistence::Close;
        self.clock_runs = false;
        if self.guest.as_ref().is_some_and(|guest| !guest.may_ask()) {
            self.site.hit(Limit::Rate);
            return Left::Reply(Box::new(answer::too_many()));
        }
        let site = host.unwrap_or(&self.site);
        answer::answer(site, &mut self.stream, head, request, persistence)
    }

    /// Notes a request whose answer is not sent at once.
    fn begin(&mut self, head: &[u8], request: &Request<'_, '_>, received: u64) {
        if let Some(guest) = &mut self.guest {
            guest.begin(head, request, received, self.stream.written());
        }
    }

    /// A reply to a request that was answered with it.
    fn outgoing(&self, reply: Reply, request: &Request<'_, '_>) -> Next {
        let persistence = if self.last { Persistence::Close } else { request.persistence() };
        let reply = Outgoing::new(reply, request.method(), request.version(), persistence);
        Next::Reply(Box::new(reply))
    }

    /// A reply to a request that is yet to be made.
    fn working(&self, site: Arc<Site>, work: Work, request: &Request<'_, '_>) -> Next {
        let persistence = if self.last { Persistence::Close } else { request.persistence() };
        let (method, version) = (request.method().clone(), request.version());
        Next::Work(Box::new(Working { site, work, method, version, persistence }))
    }

    /// Hands over the content of a request that began at `start` in the stream.
    fn take_from(
        &mut self,
        site: Arc<Site>,
        taker: Box<dyn Taker>,
        head: &[u8],
        request: &Request<'_, '_>,
        start: u64,
    ) -> Next {
        self.clock_runs = false;
        self.begin(head, request, head.len() as u64);
        self.taken = self.taken.saturating_add(1);
        let persistence = request.persistence();
        let asked = Asked::new(head, request);
        Next::Take(Box::new(Taken { site, asked, taker, start, persistence }))
    }

    /// Skips the body that `rest`, at `offset` in the stream, is a part of: the bytes used, and
    /// whether it ends there.
    fn skip_body(&mut self, rest: &[u8], offset: u64) -> Result<(usize, bool), ()> {
        let Some(body) = &mut self.body else {
            return Ok((0, true));
        };
        let skipped = body.decoder.skip(rest).map_err(drop)?;
        if skipped.done {
            let range = body.start..offset + skipped.consumed as u64;
            self.stream.mark(Direction::Received, range, format_args!("{}", body.label));
            self.body = None;
            self.clock_runs = false;
        }
        Ok((skipped.consumed, skipped.done))
    }
}

/// An answer that is being sent: it is written down when it has ended, also when that was by dropping
/// the connection.
struct Sending<'c> {
    connection: &'c mut Connection,
    is_over: bool,
}

impl Sending<'_> {
    fn begin(connection: &mut Connection) -> Sending<'_> {
        Sending { connection, is_over: false }
    }

    /// `sent` says how it went, or that it took too long.
    fn end(mut self, sent: Either<io::Result<()>, ()>) -> Next {
        self.over(!matches!(sent, Either::One(Ok(()))));
        let connection = &mut *self.connection;
        match sent {
            Either::One(Ok(())) => connection.go_on(),
            Either::One(Err(error)) => connection.not_sent(&error),
            Either::Other(()) => {
                connection.site.hit(Limit::Total);
                Next::End
            }
        }
    }

    fn over(&mut self, cut: bool) {
        self.is_over = true;
        let written = self.connection.stream.written();
        if let Some(guest) = &mut self.connection.guest {
            guest.end(written, cut);
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.over(true);
        }
    }
}
