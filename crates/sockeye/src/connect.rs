//! `sockeye connect`: a socket, and standard input and output.

mod conversation;
mod datagrams;
mod sending;
mod stream;
mod telnet;
mod wait;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use sockeye_engine::{Address, Connected, Credentials, Endpoint, Engine, Source, sleep};

use crate::args;
use crate::eye;
use crate::output::{self, say};
use crate::signals::{self, Signals};
use crate::talk;
use conversation::Conversation;
use sending::{Given, Sending};
use sockeye_engine::{Either, first};

/// The first and the longest pause before connecting is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

pub(crate) fn run(args: &args::Connect) -> anyhow::Result<ExitCode> {
    // What is wrong with it should be known before anybody is called.
    let given = Given::new(args)?;
    output::is_open()?;
    let signals = signals::watch().context("signals can't be caught")?;
    let driver = || format!("--driver {}", args.driver);
    let eye = eye::open_for_client(&args.eye, &args.endpoint)?;
    let engine = match &eye {
        Some(eye) => Engine::with_probe(args.driver, &*eye.source()),
        None => Engine::new(args.driver),
    };
    let engine = engine.with_context(driver)?;
    let ended = engine.block_on(until_interrupted(args, given, signals));
    drop(engine);
    if let Some(eye) = eye {
        eye.close();
    }
    ended
}

async fn until_interrupted(
    args: &args::Connect,
    given: Option<Given>,
    signals: Signals,
) -> anyhow::Result<ExitCode> {
    let told = signals.told.try_clone().context("signals can't be caught")?;
    let mut interrupted = Source::adopt(told)?;
    match first(interrupted.read(), talk(args, given)).await {
        Either::One(_) => Ok(ExitCode::from(signals.status())),
        Either::Other(Err(error)) if talk::nobody_reads(&error) => Ok(ExitCode::SUCCESS),
        Either::Other(ended) => ended,
    }
}

async fn talk(args: &args::Connect, given: Option<Given>) -> anyhow::Result<ExitCode> {
    let connected = connect(args).await?;
    if args.talk.show_socket {
        talk::socket::show(&connected.describe()?, args.talk.json);
    }
    let (sending, printer) = match given {
        Some(given) => (Sending::Given(given), talk::show(&args.talk)?),
        None => {
            let datagram = args.talk.datagram(args.endpoint.kind());
            let (input, printer) = talk::open(&args.talk, datagram)?;
            (Sending::Input(Box::new(input)), printer)
        }
    };
    let conversation = |peer: Option<Address>| {
        let peer = peer.map_or_else(|| args.endpoint.to_string(), |peer| peer.to_string());
        Conversation::new(args, printer, peer)
    };
    match connected {
        Connected::Stream(stream) => {
            let conversation = conversation(stream.peer().ok());
            greet(args, &conversation, stream.peer_credentials().ok());
            stream::talk(&conversation, stream, sending).await
        }
        Connected::Datagram(socket) => {
            let conversation = conversation(None);
            greet(args, &conversation, None);
            datagrams::talk(&conversation, &socket, false, sending).await
        }
        Connected::Seqpacket(socket) => {
            let conversation = conversation(None);
            greet(args, &conversation, None);
            datagrams::talk(&conversation, &socket, true, sending).await
        }
        Connected::Standard => anyhow::bail!("-: nothing to connect to; write tcp://HOST:PORT"),
    }
}

/// Connects, and tries again as often as it may.
async fn connect(args: &args::Connect) -> anyhow::Result<Connected> {
    let mut endpoint: Endpoint = args.endpoint.clone();
    if args.connect_timeout.is_some() {
        endpoint.options_mut().connect_timeout = args.connect_timeout;
    }
    let (mut pause, longest) = PAUSES;
    let mut left = args.retry;
    loop {
        let connected = endpoint.connect().await;
        match connected.map_err(|error| error.as_written(&args.endpoint)) {
            Ok(connected) => return Ok(connected),
            Err(error) if left == 0 => return Err(error.into()),
            Err(error) => {
                left -= 1;
                if args.verbose {
                    let again = humantime::format_duration(pause);
                    say(format_args!("sockeye: {error}; again in {again}"));
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Says to whom it is connected, where somebody wants to know.
fn greet(args: &args::Connect, conversation: &Conversation<'_>, credentials: Option<Credentials>) {
    if !args.verbose {
        return;
    }
    let peer = &conversation.peer;
    match credentials {
        Some(process) => say(format_args!(
            "sockeye: connected to {peer} (pid {}, uid {}, gid {})",
            process.pid, process.uid, process.gid
        )),
        None => say(format_args!("sockeye: connected to {peer}")),
    }
}
