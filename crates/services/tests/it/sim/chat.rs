//! A room in which five people talk at their own pace.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sockeye_engine::sim::{Net, Random};
use sockeye_engine::{Reader, Writer, sleep};
use sockeye_services::chat::{Chat, ChatOptions};

use super::runner::{self, Tell, connect, explained, serve};

const CHAT: u16 = 23;

/// The room waits a minute for a name; a little less may already be too long with what else takes
/// time.
const PATIENCE: Duration = Duration::from_secs(50);

pub(crate) struct Scenario {
    /// Each person says so many; fewer than may be said at once.
    pub(crate) lines: usize,
}

impl runner::Scenario for Scenario {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn clients(&self) -> u8 {
        5
    }

    fn serve(&self, net: &Net, tell: &Tell) {
        let chat = Arc::new(Chat::new(ChatOptions::default()));
        serve(net, CHAT, tell, move |stream| {
            let served = Arc::clone(&chat).serve(stream);
            async move {
                let _ = served.await;
            }
        });
    }

    fn client(&self, number: u8, net: Net, tell: Tell) -> impl Future<Output = ()> + 'static {
        let lines = self.lines;
        async move {
            let Some((stream, conn)) = connect(number, CHAT, &net, &tell).await else { return };
            let random = net.random(200 + u64::from(number));
            let (mut reader, mut writer) = stream.split();
            let mut heard = Vec::new();
            let ended =
                both(talk(number, lines, random, &mut writer), hear(&mut reader, &mut heard)).await;
            if let Err(error) = &ended
                && !explained(&net, conn, PATIENCE)
            {
                tell.wrong(format_args!("c{conn}: {error}"));
            }
            if let Err(wrong) = judge(number, &heard, ended.is_ok()) {
                tell.wrong(format_args!("c{conn}: {wrong}"));
            }
        }
    }
}

async fn talk(number: u8, lines: usize, mut random: Random, writer: &mut Writer) -> io::Result<()> {
    writer.write(format!("p{number}\n").as_bytes());
    writer.flush().await?;
    for line in 0..lines {
        if random.one_in(2) {
            sleep(random.micros(Duration::from_secs(1))).await;
        }
        writer.write(format!("line {line}\n").as_bytes());
        writer.flush().await?;
    }
    writer.shutdown_write()
}

async fn hear(reader: &mut Reader, heard: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let chunk = reader.recv().await?;
        if chunk.is_empty() {
            return Ok(());
        }
        heard.extend_from_slice(&chunk);
    }
}

/// What each of the others says is heard in order and without gaps, from some line on; and nothing
/// else is.
fn judge(own: u8, heard: &[u8], whole: bool) -> Result<(), String> {
    let mut text = std::str::from_utf8(heard).map_err(|error| error.to_string())?;
    if !whole {
        text = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    }
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(format!("half a line at the end: {text:?}"));
    }
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with("* ")) {
        let said = line.split_once(": line ").and_then(|(name, said)| {
            let named = name.strip_prefix('p')?.parse::<u8>().is_ok_and(|name| name != own);
            Some((name, said.parse::<usize>().ok().filter(|_| named)?))
        });
        let Some((name, said)) = said else { return Err(format!("nobody says {line:?}")) };
        if last.insert(name, said).is_some_and(|before| before + 1 != said) {
            return Err(format!("{line:?} is out of order"));
        }
    }
    Ok(())
}

/// Both at once; the first error ends it, and so does the end of what is heard.
async fn both(
    talk: impl Future<Output = io::Result<()>>,
    hear: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let (mut talk, mut hear) = (pin!(talk), pin!(hear));
    let mut said = false;
    poll_fn(|cx| {
        if !said && let Poll::Ready(result) = talk.as_mut().poll(cx) {
            said = true;
            if result.is_err() {
                return Poll::Ready(result);
            }
        }
        hear.as_mut().poll(cx)
    })
    .await
}
