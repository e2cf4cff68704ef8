//! Echo and discard, with clients that write in pieces, read now and then, and end one half first.

use std::future::Future;
use std::io;
use std::task::Poll;
use std::time::Duration;

use sockeye_engine::sim::{Net, Random};
use sockeye_engine::{Stream, sleep};
use sockeye_services::echo::{Patience, discard, echo};

use super::runner::{self, Tell, connect, explained, next, serve};

const ECHO: u16 = 7;
const DISCARD: u16 = 9;

/// Bytes a client has sent and not yet got back, at most: always less than there is room for.
const UNDER_WAY: usize = 4000;

/// The services wait a minute; a little less may already be too long with what else takes time.
const PATIENCE: Duration = Duration::from_secs(50);

/// Echo and discard for seven clients.
pub(crate) struct Scenario {
    hasty: bool,
    discards: bool,
}

impl Scenario {
    /// The service as it is.
    pub(crate) fn whole() -> Scenario {
        Scenario { hasty: false, discards: false }
    }

    /// With clients of discard alone.
    pub(crate) fn discards() -> Scenario {
        Scenario { hasty: false, discards: true }
    }

    /// One with a mistake in it.
    pub(crate) fn hasty() -> Scenario {
        Scenario { hasty: true, discards: false }
    }
}

/// A broken echo: it doesn't wait for what does not leave at once. That goes with what comes next;
/// and if nothing comes next, it is lost.
async fn hasty_echo(mut stream: Stream) {
    while let Ok(Some(chunk)) = stream.recv_idle().await {
        if chunk.is_empty() {
            return;
        }
        stream.write(&chunk);
        drop(chunk);
        let mut flush = std::pin::pin!(stream.flush());
        std::future::poll_fn(|cx| Poll::Ready(flush.as_mut().poll(cx).is_ready())).await;
    }
}

impl runner::Scenario for Scenario {
    fn name(&self) -> &'static str {
        match self {
            Scenario { hasty: true, .. } => "hasty echo",
            Scenario { discards: true, .. } => "discard",
            Scenario { .. } => "echo",
        }
    }

    fn clients(&self) -> u8 {
        7
    }

    fn serve(&self, net: &Net, tell: &Tell) {
        if self.hasty {
            serve(net, ECHO, tell, hasty_echo);
        } else {
            serve(net, ECHO, tell, |stream| async {
                // How it ended is for the client to judge.
                let _ = echo(stream, Patience::default()).await;
            });
        }
        serve(net, DISCARD, tell, |stream| async {
            let _ = discard(stream, Patience::default()).await;
        });
    }

    fn client(&self, number: u8, net: Net, tell: Tell) -> impl Future<Output = ()> + 'static {
        client(number, self.discards, net, tell)
    }
}

async fn client(number: u8, discards: bool, net: Net, tell: Tell) {
    let mut random = net.random(1 + u64::from(number));
    let port = if random.one_in(5) || discards { DISCARD } else { ECHO };
    sleep(random.micros(Duration::from_secs(1))).await;
    let Some((stream, conn)) = connect(number, port, &net, &tell).await else { return };
    let len = usize::try_from(random.below(30_000)).expect("it is small");
    let content = random.bytes(len);
    let mut client = Client { stream, random, content, sent: 0, came: Vec::new() };
    let ended = if port == ECHO { client.echo().await } else { client.discard().await };
    client.judge(port, &ended, &mut |what| {
        if !explained(&net, conn, PATIENCE) {
            tell.wrong(format_args!("c{conn}: {what}"));
        }
    });
    if !client.content.starts_with(&client.came) {
        tell.wrong(format_args!("c{conn}: other bytes came back than were sent"));
    }
}

struct Client {
    stream: Stream,
    random: Random,
    content: Vec<u8>,
    sent: usize,
    came: Vec<u8>,
}

impl Client {
    async fn echo(&mut self) -> io::Result<()> {
        while self.sent < self.content.len() {
            self.pause().await;
            let room = UNDER_WAY - (self.sent - self.came.len());
            let left = (self.content.len() - self.sent).min(room);
            let piece = 1 + self.random.index(left.clamp(1, 1500));
            if left == 0 || (self.sent > self.came.len() && self.random.one_in(3)) {
                if !self.receive().await? {
                    return Ok(());
                }
                continue;
            }
            self.send(piece.min(left)).await?;
        }
        self.stream.shutdown_write()?;
        while self.receive().await? {
            self.pause().await;
        }
        Ok(())
    }

    async fn discard(&mut self) -> io::Result<()> {
        while self.sent < self.content.len() {
            self.pause().await;
            let left = self.content.len() - self.sent;
            let piece = 1 + self.random.index(left);
            self.send(piece).await?;
        }
        self.stream.shutdown_write()?;
        self.receive().await.map(drop)
    }

    async fn pause(&mut self) {
        if self.random.one_in(4) {
            sleep(self.random.micros(Duration::from_millis(200))).await;
        }
    }

    async fn send(&mut self, count: usize) -> io::Result<()> {
        self.stream.write(&self.content[self.sent..self.sent + count]);
        self.sent += count;
        self.stream.flush().await
    }

    /// Whether something came, rather than the end.
    async fn receive(&mut self) -> io::Result<bool> {
        let bytes = next(&mut self.stream).await?;
        self.came.extend(bytes.iter().flatten());
        Ok(bytes.is_some())
    }

    fn judge(&self, port: u16, ended: &io::Result<()>, wrong: &mut dyn FnMut(String)) {
        let expected = if port == ECHO { self.content.len() } else { 0 };
        match ended {
            Err(error) => wrong(error.to_string()),
            Ok(()) if self.came.len() != expected => {
                wrong(format!("{} of {expected} bytes came back", self.came.len()));
            }
            Ok(()) => {}
        }
    }
}
