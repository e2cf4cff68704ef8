//! Talking over a stream: TCP, or a Unix socket.

use std::process::ExitCode;

use bytes::Bytes;
use sockeye_engine::{Chunk, Reader, RelayError, Stream, Writer, sleep};
use sockeye_wire::frame::Framing;

use super::conversation::{Conversation, Ended};
use super::sending::{Next, Sending};
use super::telnet::Session;
use super::watch::Watch;
use crate::talk::{Direction, Flow};
use sockeye_engine::{Either, first};

pub(super) async fn talk(
    conversation: &Conversation<'_>,
    stream: Stream,
    mut sending: Sending,
) -> anyhow::Result<ExitCode> {
    let args = conversation.args;
    let mut watch = Watch::new(args, false);
    let session = args.telnet.then(Session::new);
    let typed = sending.is_typed();
    // What Telnet makes of a message lies elsewhere on the stream.
    let marker = stream.marker().filter(|_| session.is_none());
    let [flow_in, flow_out] = [Direction::In, Direction::Out].map(|direction| {
        let mut flow = conversation.flow(direction);
        flow.mark_with(marker.clone());
        flow
    });
    let (mut reader, mut writer) = stream.split();
    // Bytes that nobody looks at need not pass through here. Whoever waits for a time wants to know of
    // each of them.
    let unseen = session.is_none() && !args.eye.is_open() && args.idle_timeout.is_none();
    let up = send(conversation, session.as_ref(), unseen, &mut writer, flow_out, &mut sending);
    let down = receive(conversation, session.as_ref(), unseen, &mut reader, flow_in, &mut watch);
    conversation.both(typed, args.close_after, up, down).await?;
    conversation.conclude(&watch)
}

/// Sends all there is, and says so to the peer.
async fn send(
    conversation: &Conversation<'_>,
    session: Option<&Session>,
    unseen: bool,
    writer: &mut Writer,
    mut flow: Flow,
    sending: &mut Sending,
) -> anyhow::Result<()> {
    if let Sending::Input(input) = sending
        && (unseen && input.is_plain() && !conversation.printer.shows_sent())
    {
        loop {
            match input.source().relay(writer).await {
                Ok(0) => break,
                Ok(count) => conversation.count_sent(count as u64),
                Err(RelayError::Here(error)) => return Err(error.into()),
                Err(RelayError::There(error)) => return Err(conversation.failed(error)),
            }
        }
        return writer.shutdown_write().map_err(|error| conversation.failed(error));
    }
    loop {
        let next = match session {
            None => sending.next().await?,
            Some(session) => match first(session.answer(), sending.next()).await {
                Either::Other(next) => next?,
                Either::One(answer) => {
                    writer.write_shared(answer.into());
                    writer.flush().await.map_err(|error| conversation.failed(error))?;
                    continue;
                }
            },
        };
        match next {
            Next::Message(message) => {
                let wire = match session {
                    Some(session) => Bytes::from(session.encoded(&message.wire)),
                    None => message.wire.clone(),
                };
                let count = wire.len();
                flow.mark_sent(writer.written(), &message);
                writer.write_shared(wire);
                writer.flush().await.map_err(|error| conversation.failed(error))?;
                conversation.count_sent(count as u64);
                conversation.printer.sent(&mut flow, &message).await?;
            }
            Next::File(file, len) => {
                let sent = writer.send_file(&file, 0..len, conversation.args.idle_timeout).await;
                sent.map_err(|error| conversation.failed(error))?;
                conversation.count_sent(len);
            }
            Next::End => break,
        }
    }
    writer.shutdown_write().map_err(|error| conversation.failed(error))
}

/// Shows all that comes.
async fn receive(
    conversation: &Conversation<'_>,
    session: Option<&Session>,
    unseen: bool,
    reader: &mut Reader,
    mut flow: Flow,
    watch: &mut Watch,
) -> anyhow::Result<Ended> {
    let printer = &conversation.printer;
    if unseen
        && watch.is_idle()
        && printer.is_plain()
        // Of what a terminal shows it is known where the last line ends.
        && !printer.is_terminal()
        && let Some(mut sink) = printer.lend()
    {
        loop {
            match sink.relay(reader).await {
                Ok(0) => return Ok(Ended::Over),
                Ok(count) => conversation.count_received(count),
                Err(RelayError::Here(error)) => return Err(printer.failed(error)),
                Err(RelayError::There(error)) => return Err(conversation.failed(error)),
            }
        }
    }
    loop {
        let received = next(conversation, reader, &mut flow, watch).await?;
        let chunk = match received {
            Some(chunk) if chunk.is_empty() => break,
            Some(chunk) => chunk,
            None => return Ok(Ended::Seen),
        };
        conversation.count_received(chunk.len());
        let bytes = match session {
            Some(session) => Bytes::from(session.data(&chunk)),
            None if watch.is_idle() && printer.is_plain() => {
                printer.bytes(&mut flow, &chunk).await?;
                continue;
            }
            None => Bytes::copy_from_slice(&chunk),
        };
        drop(chunk);
        flow.push(bytes);
        while let Some(frame) = flow.next().map_err(|error| wrong(conversation, error))? {
            if conversation.show(&mut flow, watch, &frame).await? {
                return Ok(Ended::Seen);
            }
        }
    }
    while let Some(frame) = flow.finish().map_err(|error| wrong(conversation, error))? {
        if conversation.show(&mut flow, watch, &frame).await? {
            return Ok(Ended::Seen);
        }
    }
    printer.finish(&mut flow).await?;
    Ok(Ended::Over)
}

/// The next bytes; the message that a silence ends is shown meanwhile, and None says that it was the
/// one that was waited for.
async fn next(
    conversation: &Conversation<'_>,
    reader: &mut Reader,
    flow: &mut Flow,
    watch: &mut Watch,
) -> anyhow::Result<Option<Chunk>> {
    let failed = |error| conversation.failed(error);
    let Framing::Gap(silence) = conversation.args.talk.frame else {
        return reader.recv().await.map(Some).map_err(failed);
    };
    if flow.pending() > 0 {
        match first(reader.recv(), sleep(silence)).await {
            Either::One(chunk) => return chunk.map(Some).map_err(failed),
            Either::Other(()) => {}
        }
        let ended = flow.silence().map_err(|error| wrong(conversation, error))?;
        if let Some(frame) = ended
            && conversation.show(flow, watch, &frame).await?
        {
            return Ok(None);
        }
    }
    reader.recv().await.map(Some).map_err(failed)
}

/// What came does not hold to the framing.
fn wrong(conversation: &Conversation<'_>, error: sockeye_wire::frame::FrameError) -> anyhow::Error {
    let args = conversation.args;
    anyhow::anyhow!("{}: --frame {}: {error}", args.endpoint, args.talk.frame)
}
