//! Talking over a socket whose messages keep their borders: UDP, Unix datagrams, and sequenced
//! packets.

use std::collections::HashMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use sockeye_engine::{Address, CallError, Datagram, EndpointKind};

use super::conversation::{Conversation, Ended};
use super::sending::{Next, Sending};
use super::watch::Watch;
use crate::output::say;
use crate::talk::{Direction, Flow, Message};

/// How long to wait for answers where no end of them is ever said, unless told otherwise.
const LINGER: Duration = Duration::from_secs(1);

/// The longest datagram there can be of UDP (RFC 768): what is longer need not be asked for.
const LONGEST: usize = 65_535;

/// Of so many of those who answer it is known where they left off.
const PEERS: usize = 1024;

pub(super) async fn talk(
    conversation: &Conversation<'_>,
    socket: &Datagram,
    connected: bool,
    mut sending: Sending,
) -> anyhow::Result<ExitCode> {
    let args = conversation.args;
    let to: Vec<String> = socket.destinations().iter().map(ToString::to_string).collect();
    if args.verbose && !to.is_empty() {
        say(format_args!("sockeye: sending to {}", to.join(", ")));
    }
    let mut watch = Watch::new(args, true);
    let longest = if args.endpoint.kind() == EndpointKind::Udp { LONGEST } else { usize::MAX };
    socket.set_room(args.talk.max_frame.min(longest));
    let typed = sending.is_typed();
    // Who waits for something certain waits for that.
    let unbounded = connected || !watch.is_idle();
    let linger = args.close_after.or((!unbounded).then_some(LINGER));
    let up = send(conversation, socket, connected, &mut sending);
    let down = receive(conversation, socket, connected, &mut watch);
    conversation.both(typed, linger, up, down).await?;
    conversation.conclude(&watch)
}

async fn send(
    conversation: &Conversation<'_>,
    socket: &Datagram,
    connected: bool,
    sending: &mut Sending,
) -> anyhow::Result<()> {
    let mut flow = conversation.flow(Direction::Out);
    loop {
        match sending.next().await? {
            Next::Message(message) => {
                let sent = socket.send(&message.wire).await;
                sent.map_err(|error| too_long(conversation, &message, error))?;
                flow.mark_datagram(socket, &message.wire);
                conversation.count_sent(message.wire.len() as u64);
                conversation.printer.sent(&mut flow, &message).await?;
            }
            // Files come as messages or datagrams where messages have borders.
            Next::File(..) => {}
            Next::End => break,
        }
    }
    match connected {
        true => socket.shutdown_write().map_err(|error| conversation.failed(error)),
        false => Ok(()),
    }
}

async fn receive(
    conversation: &Conversation<'_>,
    socket: &Datagram,
    connected: bool,
    watch: &mut Watch,
) -> anyhow::Result<Ended> {
    let args = conversation.args;
    let mut only = conversation.flow(Direction::In);
    let mut peers: HashMap<Address, Flow> = HashMap::new();
    // Many may answer what is sent to many.
    let many = !socket.destinations().is_empty();
    if many {
        conversation.printer.name_peers();
    }
    loop {
        let received = socket.recv().await.map_err(|error| conversation.failed(error))?;
        if connected && received.len == 0 {
            break;
        }
        conversation.count_received(received.bytes.len());
        if received.truncated {
            conversation.tell_cut(received.len, received.bytes.len());
        }
        let flow = match &received.from {
            Some(peer) if many => {
                if peers.len() >= PEERS && !peers.contains_key(peer) {
                    peers.clear();
                }
                peers.entry(peer.clone()).or_insert_with(|| conversation.flow_from(peer))
            }
            _ => &mut only,
        };
        let frames = match flow.datagram(&received.bytes) {
            Ok(frames) => frames,
            Err(error) => {
                anyhow::bail!("{}: --frame {}: {error}", args.endpoint, args.talk.frame)
            }
        };
        flow.mark_datagram(socket, &received.bytes);
        drop(received);
        for frame in frames {
            if conversation.show(flow, watch, &frame).await? {
                return Ok(Ended::Seen);
            }
        }
    }
    conversation.printer.finish(&mut only).await?;
    Ok(Ended::Over)
}

fn too_long(conversation: &Conversation<'_>, message: &Message, error: io::Error) -> anyhow::Error {
    let number = CallError::of(&error).and_then(CallError::raw_os_error);
    if number != Some(rustix::io::Errno::MSGSIZE.raw_os_error()) {
        return conversation.failed(error);
    }
    let args = conversation.args;
    let way_out = match args.talk.is_raw() && args.send.is_empty() {
        true => "make them shorter with --datagram",
        false => "send less at once; input without --frame is cut to fit, see --datagram",
    };
    let (endpoint, len) = (&args.endpoint, message.wire.len());
    anyhow::anyhow!("{endpoint}: a message of {len} B is too long for one datagram ({way_out})")
}
