//! The file server, with clients that send valid, pipelined, split, slow and malformed requests.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sockeye_engine::sim::{Net, Random};
use sockeye_engine::{Stream, sleep};
use sockeye_services::http::{Site, SiteOptions};

use super::runner::{self, Tell, connect, explained, next, serve};
use crate::support::{Folder, pattern};

const PORT: u16 = 80;

/// The shortest deadline of the site is that for a head, 15 seconds; a little less of delay may
/// already be too much with what else takes time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A site for six clients.
pub(crate) struct Scenario {
    folder: Folder,
}

impl Scenario {
    pub(crate) fn new() -> Scenario {
        let folder = Folder::usual();
        folder.file("middle.txt", &pattern(40_000));
        folder.file("empty", b"");
        Scenario { folder }
    }
}

impl runner::Scenario for Scenario {
    fn name(&self) -> &'static str {
        "file server"
    }

    fn clients(&self) -> u8 {
        6
    }

    fn serve(&self, net: &Net, tell: &Tell) {
        // A new one each time: what it has cached would tell two runs apart.
        let site = Site::open(self.folder.path(), SiteOptions::default(), |_| ());
        let site = Arc::new(site.expect("the folder is there"));
        serve(net, PORT, tell, move |stream| Arc::clone(&site).serve(stream));
    }

    fn client(&self, number: u8, net: Net, tell: Tell) -> impl Future<Output = ()> + 'static {
        client(number, net, tell)
    }
}

async fn client(number: u8, net: Net, tell: Tell) {
    let mut random = net.random(1 + u64::from(number));
    sleep(random.micros(Duration::from_secs(1))).await;
    for _ in 0..1 + random.below(2) {
        let Some((stream, conn)) = connect(number, PORT, &net, &tell).await else { return };
        let style = Style::draw(&mut random);
        let asked = asked(style, &mut random);
        let mut client = Client { stream, random: random.clone(), came: Vec::new(), ended: None };
        client.talk(style, &asked).await;
        let why = explained(&net, conn, style.patience());
        if let Err(wrong) = judge(style, &asked, &client.came, client.ended.as_ref(), why) {
            tell.wrong(format_args!("c{conn}: {style:?}: {wrong}"));
        }
    }
}

/// How a client goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// One request after another's answer.
    InTurn,
    /// All at once, then all answers.
    Pipelined,
    /// In small pieces, with short pauses between.
    Split,
    /// With a pause in the last head, which may be longer than the server waits.
    Slow { pause: Duration },
    /// The last request is none.
    Malformed,
    /// It goes away in the middle.
    Leaves,
}

impl Style {
    fn draw(random: &mut Random) -> Style {
        // With the delay that is still no excuse, together less than the deadline for a head.
        let short = Duration::from_secs(3);
        let long = Duration::from_secs(20);
        let pause = if random.one_in(2) { long } else { random.micros(short) };
        let styles = [
            Style::InTurn,
            Style::Pipelined,
            Style::Split,
            Style::Slow { pause },
            Style::Malformed,
            Style::Leaves,
        ];
        styles[random.index(styles.len())]
    }

    /// How much delay explains nothing. To somebody who goes on after it gave up on a head, the site
    /// listens for two seconds more; what it said and was lost is not sent again after that.
    fn patience(self) -> Duration {
        if self.may_be_late() { Duration::from_secs(1) } else { PATIENCE }
    }

    /// The server may give up on a head.
    fn may_be_late(self) -> bool {
        matches!(self, Style::Slow { pause } if pause > PATIENCE)
    }
}

/// A request, and what must come back.
struct Asked {
    bytes: Vec<u8>,
    status: Expected,
    body: Option<Vec<u8>>,
    /// No body follows the head, whatever its length says.
    head_only: bool,
}

enum Expected {
    Exactly(u16),
    /// It is refused, somehow.
    Refused,
}

/// All of it finds room on its way, so that a client that does not read yet is never held up.
const LONGEST: usize = 3500;

fn asked(style: Style, random: &mut Random) -> Vec<Asked> {
    let count = 1 + random.below(if style == Style::Pipelined { 40 } else { 5 });
    let mut left = LONGEST;
    let requests = (0..count).map(|_| request(random)).take_while(|request| {
        left = left.saturating_sub(request.bytes.len());
        left > 0
    });
    let mut all: Vec<Asked> = requests.collect();
    if style == Style::Malformed {
        let bytes: &[u8] = match random.below(5) {
            0 => b"GET  / HTTP/1.1\r\n\r\n",
            1 => b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            2 => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
            3 => b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
            _ => b"GET / HTTP/1.1\r\nHost: a\r\n bad: fold\r\n\r\n",
        };
        let status = Expected::Refused;
        all.push(Asked { bytes: bytes.to_vec(), status, body: None, head_only: false });
    }
    all
}

fn request(random: &mut Random) -> Asked {
    let (path, status, body): (_, _, Option<Vec<u8>>) = match random.below(10) {
        0 | 1 => ("/hello.txt", 200, Some(b"hello\n".to_vec())),
        2..=5 => ("/middle.txt", 200, Some(pattern(40_000))),
        6 => ("/big.bin", 200, Some(pattern(300_000))),
        7 => ("/empty", 200, Some(Vec::new())),
        8 => ("/nothing%20here", 404, None),
        _ => ("/", 200, None),
    };
    let head_only = random.one_in(4);
    let method = if head_only { "HEAD" } else { "GET" };
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n");
    let content = random.one_in(5).then(|| "x".repeat(random.index(400)));
    if let Some(content) = &content {
        bytes.push_str(&format!("Content-Length: {}\r\n", content.len()));
    }
    bytes.push_str("\r\n");
    bytes.push_str(content.as_deref().unwrap_or_default());
    Asked { bytes: bytes.into_bytes(), status: Expected::Exactly(status), body, head_only }
}

struct Client {
    stream: Stream,
    random: Random,
    came: Vec<u8>,
    /// How the server's side ended; None if it did not.
    ended: Option<io::Result<()>>,
}

impl Client {
    async fn talk(&mut self, style: Style, asked: &[Asked]) {
        // Who can't write any more may still have something to read.
        let written = self.ask(style, asked).await;
        if style == Style::Leaves {
            return;
        }
        let last = asked.last().is_some_and(|last| matches!(last.status, Expected::Refused));
        let half = !last && written.is_ok() && self.random.one_in(2);
        if half && self.stream.shutdown_write().is_err() {
            self.ended.get_or_insert(Err(io::ErrorKind::NotConnected.into()));
        }
        if half || last || matches!(style, Style::Slow { .. }) || written.is_err() {
            while self.receive().await {}
        } else {
            while answers(&self.came, asked).len() < asked.len() && self.receive().await {}
        }
    }

    async fn ask(&mut self, style: Style, asked: &[Asked]) -> io::Result<()> {
        for (index, request) in asked.iter().enumerate() {
            match style {
                Style::Split => {
                    for piece in request.bytes.chunks(1 + self.random.index(40)) {
                        self.send(piece).await?;
                        sleep(self.random.micros(Duration::from_millis(50))).await;
                    }
                }
                Style::Slow { pause } if index + 1 == asked.len() => {
                    let (one, other) = request.bytes.split_at(self.random.index(20) + 1);
                    self.send(one).await?;
                    sleep(pause).await;
                    self.send(other).await?;
                }
                Style::Malformed if index + 1 == asked.len() => {
                    self.send(&request.bytes).await?;
                    // It goes on, as somebody would who meant something by it.
                    for _ in 0..self.random.below(4) {
                        sleep(self.random.micros(Duration::from_millis(50))).await;
                        self.send(b"more of the same").await?;
                    }
                }
                _ => self.send(&request.bytes).await?,
            }
            if style == Style::Leaves && self.random.one_in(3) {
                return Ok(());
            }
            if matches!(style, Style::InTurn | Style::Slow { .. }) {
                let soon = &asked[..=index];
                let all = asked.len();
                while index + 1 < all && answers(&self.came, soon).len() <= index {
                    if !self.receive().await {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write(bytes);
        self.stream.flush().await
    }

    /// Whether something came, rather than an end.
    async fn receive(&mut self) -> bool {
        if self.random.one_in(10) {
            sleep(self.random.micros(Duration::from_millis(300))).await;
        }
        match next(&mut self.stream).await {
            Ok(Some(bytes)) => {
                self.came.extend(bytes);
                true
            }
            Ok(None) => {
                self.ended = Some(Ok(()));
                false
            }
            Err(error) => {
                self.ended = Some(Err(error));
                false
            }
        }
    }
}

/// A whole answer.
struct Answer<'a> {
    status: u16,
    head: &'a str,
    body: &'a [u8],
}

/// The whole answers among what came, one for each request at most.
fn answers<'a>(came: &'a [u8], asked: &[Asked]) -> Vec<Answer<'a>> {
    let mut answers = Vec::new();
    let mut rest = came;
    for request in asked {
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { break };
        let head = std::str::from_utf8(&rest[..end + 4]).unwrap_or_default();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let length = if request.head_only { 0 } else { length };
        let Some(body) = rest.get(end + 4..end + 4 + length) else { break };
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        answers.push(Answer { status, head, body });
        rest = &rest[end + 4 + length..];
    }
    answers
}

/// Whether all that came is right, and all is there or `explained`.
fn judge(
    style: Style,
    asked: &[Asked],
    came: &[u8],
    ended: Option<&io::Result<()>>,
    explained: bool,
) -> Result<(), String> {
    let answers = answers(came, asked);
    let mut late = false;
    for (answer, asked) in answers.iter().zip(asked) {
        // The site gives up on a head that takes too long, its client's fault or the network's.
        late |= answer.status == 408 && (style.may_be_late() || explained);
        if late {
            break;
        }
        let right = match asked.status {
            Expected::Exactly(status) => answer.status == status,
            Expected::Refused => (400..=505).contains(&answer.status),
        };
        let body = asked.body.as_ref().filter(|_| !asked.head_only);
        if !right || body.is_some_and(|body| answer.body != body) {
            return Err(format!("wrong answer: {:?}, {} bytes", answer.head, answer.body.len()));
        }
        // The run begins with the year 2100 and lasts an hour at most.
        if !answer.head.contains("\r\nDate: Fri, 01 Jan 2100 00:") {
            return Err(format!("the date is not the simulation's: {:?}", answer.head));
        }
    }
    if explained || late || style == Style::Leaves {
        return Ok(());
    }
    if answers.len() < asked.len() {
        let (came, all, bytes) = (answers.len(), asked.len(), came.len());
        return Err(format!("{came} of {all} answers came, {bytes} bytes; then {ended:?}"));
    }
    match ended {
        Some(Err(error)) => Err(format!("all came, and then {error}")),
        _ => Ok(()),
    }
}
