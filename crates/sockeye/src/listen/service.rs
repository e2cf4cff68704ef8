//! What is done with clients: talked to, or served by one of the services.

use std::ffi::OsString;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sockeye_engine::{Datagram, Stream};
use sockeye_services::broker::{Broker, BrokerOptions, datagram::broker_datagrams};
use sockeye_services::chat::{Chat, ChatOptions};
use sockeye_services::echo::{Patience, discard, echo};
use sockeye_services::exec;
use sockeye_services::guard::StormLimits;
use sockeye_services::small::datagram::{Small, SmallNotice, answer_datagrams, answer_packets};
use sockeye_services::small::{chargen, daytime};
use sockeye_wire::escape::Escaped;
use sockeye_wire::frame::Framing;
use sockeye_wire::text::Encoding;

use super::door::{Client, Door, Socket, is_gone};
use super::hall::Hall;
use super::{conversation, datagrams};
use crate::args;
use crate::output::say;

/// How long a client of a service may be silent unless told otherwise.
const IDLE: Duration = Duration::from_secs(60);

/// What is done with clients.
pub(super) enum Trade {
    Talk(Rc<Hall>),
    Small(Small),
    Chat(Arc<Chat>),
    Broker(Arc<Broker>),
    Exec(Arc<OsString>),
}

impl Trade {
    /// As the command line says.
    pub(super) fn open(door: &Rc<Door>) -> anyhow::Result<Trade> {
        let args = &door.args;
        let framing = Some(args.talk.frame.clone()).filter(|framing| *framing != Framing::Raw);
        Ok(match &args.service {
            args::Service { echo: true, .. } => Trade::Small(Small::Echo),
            args::Service { discard: true, .. } => Trade::Small(Small::Discard),
            args::Service { chargen: true, .. } => Trade::Small(Small::Chargen),
            args::Service { daytime: true, .. } => Trade::Small(Small::Daytime),
            args::Service { chat: true, .. } => {
                let mut options = ChatOptions {
                    idle: args.idle_timeout,
                    encoding: args.talk.encoding.unwrap_or(Encoding::UTF_8),
                    ..ChatOptions::default()
                };
                options.limits.members = door.most();
                Trade::Chat(Arc::new(Chat::new(options)))
            }
            args::Service { broker: true, .. } => {
                let mut options = BrokerOptions::default();
                options.limits.members = door.most();
                if framing.is_some() {
                    options.max_frame = args.talk.max_frame.min(MAX_BROKER_FRAME);
                    options.limits.bytes = options.limits.bytes.max(8 * options.max_frame);
                }
                options.framing = framing;
                options.idle = args.idle_timeout;
                Trade::Broker(Arc::new(Broker::new(options)))
            }
            args::Service { exec: Some(command), .. } => Trade::Exec(Arc::new(command.clone())),
            _ => Trade::Talk(Hall::open(door)?),
        })
    }

    /// Deals with one client until it is done.
    pub(super) async fn client(&self, door: &Rc<Door>, client: Client) -> anyhow::Result<()> {
        let patience = door.args.idle_timeout.unwrap_or(IDLE);
        let (socket, peer) = (client.socket, client.peer);
        let served = match (self, socket) {
            (Trade::Talk(hall), socket) => return conversation::with(hall, socket, &peer).await,
            (Trade::Small(small), Socket::Stream(stream)) => {
                small_stream(*small, stream, patience).await
            }
            (Trade::Small(small), Socket::Packets(socket)) => {
                answer_packets(socket, *small, patience).await.map(drop)
            }
            (Trade::Chat(chat), Socket::Stream(stream)) => Arc::clone(chat).serve(stream).await,
            (Trade::Broker(broker), Socket::Stream(stream)) => {
                Arc::clone(broker).serve(stream).await.map(drop)
            }
            (Trade::Broker(broker), Socket::Packets(socket)) => {
                Arc::clone(broker).serve_packets(socket).await.map(drop)
            }
            (Trade::Exec(command), Socket::Stream(stream)) => {
                let status = exec::exec(stream, Arc::clone(command), door.args.grace).await?;
                match exec::told(status) {
                    Some(told) if door.args.once => anyhow::bail!("--exec: {told}"),
                    Some(told) => door.remark(format_args!("{peer}: {told}")),
                    None => {}
                }
                return Ok(());
            }
            // Refused with the command line.
            (Trade::Chat(_) | Trade::Exec(_), Socket::Packets(_)) => Ok(()),
        };
        match served {
            // Services go on until their clients go, in whatever way.
            Err(error) if is_gone(&error) => {
                door.remark(format_args!("{peer}: {error}"));
                Ok(())
            }
            served => Ok(served?),
        }
    }

    /// Deals with all who send datagrams to this socket.
    pub(super) async fn datagrams(
        &self,
        door: &Rc<Door>,
        socket: Datagram,
        local: &str,
    ) -> anyhow::Result<()> {
        socket.set_room(door.args.talk.max_frame);
        match self {
            Trade::Talk(hall) => datagrams::with(hall, socket, local).await,
            Trade::Small(small) => {
                let told = |notice: SmallNotice<'_>| match notice {
                    SmallNotice::Storm(storm) => say(format_args!("sockeye: {local}: {storm}")),
                    SmallNotice::Truncated(from, len) => say_truncated(local, from, len),
                    SmallNotice::Unsent(to, error) => {
                        door.remark(format_args!("{local}: to {to}: {error}"));
                    }
                };
                let lets_in = |from: &_| door.access.lets_in(Some(from));
                answer_datagrams(socket, *small, StormLimits::answers(), lets_in, told).await?;
                Ok(())
            }
            Trade::Broker(_) => {
                let told = |storm| say(format_args!("sockeye: {local}: {storm}"));
                let lets_in = |from: &_| door.access.lets_in(Some(from));
                broker_datagrams(socket, StormLimits::default(), lets_in, told).await?;
                Ok(())
            }
            // Refused with the command line.
            Trade::Chat(_) | Trade::Exec(_) => Ok(()),
        }
    }

    /// The thread stops: whoever waits for input is not to wait any longer.
    pub(super) fn stop(&self) {
        if let Trade::Talk(hall) = self {
            hall.stop();
        }
    }

    /// Waits until all that was received is written.
    pub(super) async fn flush(&self) -> anyhow::Result<()> {
        match self {
            Trade::Talk(hall) => hall.printer.flush().await,
            _ => Ok(()),
        }
    }

    /// Bytes that were received and are not written.
    pub(super) fn unwritten(&self) -> usize {
        match self {
            Trade::Talk(hall) => hall.printer.unwritten(),
            _ => 0,
        }
    }
}

/// The longest frame a broker passes on: for each client there is room for some of them.
const MAX_BROKER_FRAME: usize = 1 << 20;

async fn small_stream(small: Small, stream: Stream, patience: Duration) -> io::Result<()> {
    let both = Patience { idle: patience, write: patience };
    match small {
        Small::Echo => echo(stream, both).await.map(drop),
        Small::Discard => discard(stream, both).await.map(drop),
        Small::Chargen => chargen(stream, patience).await.map(drop),
        Small::Daytime => daytime(stream, patience).await.map(drop),
    }
}

/// A datagram was longer than there was room for.
pub(super) fn say_truncated(local: &str, from: Option<&sockeye_engine::Address>, len: usize) {
    let from = from.map_or_else(|| "somebody".to_owned(), ToString::to_string);
    let from = Escaped(from.as_bytes());
    say(format_args!(
        "sockeye: {local}: a datagram of {len} B from {from} was cut (allow more with --max-frame)"
    ));
}
