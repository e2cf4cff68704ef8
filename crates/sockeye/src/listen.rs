//! `sockeye listen`: sockets that others find, and whoever connects.
//!
//! Everything runs on one thread of one engine: standard input and output belong to it, and so does
//! the room in which clients meet. Where a driver blocks, that thread waits in poll(2).

mod access;
mod alone;
mod conversation;
mod datagrams;
mod door;
mod hall;
mod service;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use clap::error::ErrorKind;
use sockeye_engine::{
    Address, BoundSocket, EndpointKind, Engine, Listening, Source, Stopper, sleep,
};

use crate::output::{self, say};
use crate::signals::{self, Signals};
use crate::{args, eye, talk};
use door::{Door, Outcome};
use service::Trade;
use sockeye_engine::{Either, first};

/// Exit status of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// After the grace: what standard output takes at once, it still gets.
const LAST: Duration = Duration::from_millis(100);

pub(crate) fn run(args: args::Listen) -> anyhow::Result<ExitCode> {
    fits(&args);
    if !args.service.is_some() {
        output::is_open()?;
    }
    // From now on signals are ours, so that one which comes early is not lost.
    let signals = signals::watch().context("signals can't be caught")?;
    let mut bound = Vec::new();
    for endpoint in &args.endpoints {
        bound.extend(endpoint.bind()?);
    }
    let of = |kind| -> Vec<SocketAddr> {
        let of_kind = bound.iter().filter(|bound| bound.kind() == kind);
        of_kind.filter_map(|bound| bound.local_addr().ip()).collect()
    };
    let (of_tcp, of_udp) = (of(EndpointKind::Tcp), of(EndpointKind::Udp));
    let eye = eye::open_for_talk(&args.eye, &of_tcp, &of_udp, args.service.is_some())?;
    let engine = match &eye {
        Some(eye) => Engine::with_probe(args.driver, &*eye.source()),
        None => Engine::new(args.driver),
    };
    let engine = engine.with_context(|| format!("--driver {}", args.driver))?;
    if let Some(eye) = &eye {
        let names: Vec<String> = bound.iter().map(|bound| bound.local_addr().to_string()).collect();
        eye.show(&names.join(", "));
    }
    let ended = engine.block_on(serve(args, bound, &signals, engine.stopper()));
    drop(engine);
    if let Some(eye) = eye {
        eye.close();
    }
    match ended {
        Ok(Outcome::Interrupted) => Ok(ExitCode::from(signals.status())),
        Ok(Outcome::Stopped | Outcome::Done) => Ok(ExitCode::SUCCESS),
        Err(error) if talk::nobody_reads(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

/// Ends the program, as wrong usage does, where a service can't be had at an endpoint.
fn fits(args: &args::Listen) {
    use EndpointKind::{Tcp, Udp, Unix, UnixDatagram};
    let service = &args.service;
    if service.exec.is_some() && args.idle_timeout.is_some() {
        let why = "--idle-timeout: with --exec the program has the socket for itself (bound its time: \
                   --exec 'timeout 60 COMMAND')";
        args::wrong(ErrorKind::ArgumentConflict, why);
    }
    for endpoint in &args.endpoints {
        let needs_stream = match service {
            args::Service { chat: true, .. } => Some("--chat"),
            args::Service { exec: Some(_), .. } => Some("--exec"),
            _ => None,
        };
        let why = match (endpoint.kind(), needs_stream) {
            (Tcp | Unix, _) => continue,
            (_, Some(option)) => format!(
                "{option} needs a stream, and {endpoint} is none (write tcp://HOST:PORT or unix:///PATH)"
            ),
            (Udp | UnixDatagram, None) if args.once && service.is_some() => format!(
                "--once counts clients, and at {endpoint} a service has none, only datagrams (leave it out)"
            ),
            _ => continue,
        };
        args::wrong(ErrorKind::ArgumentConflict, why);
    }
}

async fn serve(
    args: args::Listen,
    bound: Vec<BoundSocket>,
    signals: &Signals,
    stopper: Stopper,
) -> anyhow::Result<Outcome> {
    let told = signals.told.try_clone().context("signals can't be caught")?;
    let mut signal = Source::adopt(told)?;
    let grace = args.grace;
    let (shows, json) = (args.talk.show_socket, args.talk.json);
    let door = Rc::new(Door::new(args));
    let trade = Rc::new(Trade::open(&door)?);
    let mut listening = Vec::new();
    for bound in bound {
        let local = shown(bound.local_addr(), &bound);
        listening.push((bound.watch().with_context(|| local.clone())?, local));
    }
    for (listening, local) in listening {
        if let Listening::Datagram(socket) = &listening {
            // Before the first one is sent. Only Unix sockets know who sends.
            let _ = socket.ask_credentials();
        }
        say(format_args!("listening on {local}"));
        if shows {
            talk::socket::show(&listening.describe()?, json);
        }
        Door::open(&door, &trade, listening, local);
    }
    let ended = match first(door.ended(), signal.read()).await {
        Either::One(ended) => Some(ended?),
        Either::Other(_) => None,
    };
    stopper.stop();
    trade.stop();
    if let Some(outcome) = ended {
        let all = async {
            first(door.empty(), sleep(grace)).await;
            trade.flush().await
        };
        // Standard output may be slow for as long as nobody asks for an end.
        if let Either::One(flushed) = first(all, signal.read()).await {
            return flushed.map(|()| outcome);
        }
    }
    let all = async {
        door.empty().await;
        trade.flush().await
    };
    let flushed = match first(all, sleep(grace)).await {
        Either::One(flushed) => Either::One(flushed),
        Either::Other(()) => first(trade.flush(), sleep(LAST)).await,
    };
    if let Either::One(flushed) = flushed {
        flushed?;
    }
    match trade.unwritten() {
        0 => {}
        left => anyhow::bail!(
            "{left} B, and what came behind them, were not written to standard output (it took nothing \
             more; allow it more time with --grace)"
        ),
    }
    Ok(if signals.status() == INTERRUPTED { Outcome::Interrupted } else { Outcome::Stopped })
}

/// An address as an endpoint is written.
fn shown(local: &Address, bound: &BoundSocket) -> String {
    match local {
        Address::Ip(address) => format!("{}://{address}", bound.kind()),
        Address::Unix(_) => local.to_string().replacen("unix", bound.kind().scheme(), 1),
    }
}
