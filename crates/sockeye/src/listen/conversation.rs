//! One connection that is talked to, both ways until both have ended.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use sockeye_engine::{Datagram, Reader, Stream};
use sockeye_services::broker::{Delivered, MemberId, deliver, deliver_packets};
use sockeye_wire::frame::{FrameError, Framing};

use super::alone;
use super::door::{Socket, is_gone};
use super::hall::{Hall, Place};
use super::service::say_truncated;
use crate::talk::{Direction, Flow};

/// Talks to one client until it and the input have ended.
pub(super) async fn with(hall: &Rc<Hall>, socket: Socket, peer: &str) -> anyhow::Result<()> {
    let socket = match (socket, hall.alone()) {
        (Socket::Stream(stream), Some(input)) => return alone::with(hall, stream, input).await,
        (socket, _) => socket,
    };
    let Some(place) = hall.enter(peer) else {
        anyhow::bail!("turned away: as many are here as may be (--max-connections)");
    };
    let Some(member) = place.member else { return Ok(()) };
    match socket {
        Socket::Stream(stream) => over_stream(hall, stream, &place, member, peer).await,
        Socket::Packets(socket) => over_packets(hall, &socket, &place, member, peer).await,
    }
}

async fn over_stream(
    hall: &Rc<Hall>,
    stream: Stream,
    place: &Place,
    member: MemberId,
    peer: &str,
) -> anyhow::Result<()> {
    let [mut flow_in, flow_out] = [Direction::In, Direction::Out].map(|direction| {
        let mut flow = Flow::new(&hall.door.args.talk, peer, direction);
        flow.mark_with(stream.marker());
        flow
    });
    let (mut reader, mut writer) = stream.split();
    let up = async {
        let tell = |offset, wire: &Bytes| flow_out.mark_wire(offset, wire);
        let delivered = deliver(&hall.hub, &mut writer, member, tell).await?;
        expelled(delivered)?;
        writer.shutdown_write()
    };
    let down = async {
        receive(hall, &mut reader, member, &mut flow_in).await?;
        hall.half_closed(place);
        Ok(())
    };
    both(up, down).await
}

async fn over_packets(
    hall: &Rc<Hall>,
    socket: &Datagram,
    place: &Place,
    member: MemberId,
    peer: &str,
) -> anyhow::Result<()> {
    socket.set_room(hall.door.args.talk.max_frame);
    let up = async {
        let flow = Flow::new(&hall.door.args.talk, peer, Direction::Out);
        let tell = |wire: &Bytes| flow.mark_datagram(socket, wire);
        let delivered = deliver_packets(&hall.hub, socket, member, tell).await?;
        expelled(delivered)?;
        socket.shutdown_write()
    };
    let down = async {
        let mut flow = Flow::new(&hall.door.args.talk, peer, Direction::In);
        while let Some(message) = socket.recv_idle().await?.filter(|message| message.len > 0) {
            if message.truncated {
                say_truncated(peer, None, message.len);
            }
            flow.mark_datagram(socket, &message.bytes);
            let shown = hall.printer.datagram(&mut flow, &message.bytes).await;
            shown.map_err(|error| explained(hall, error))?;
        }
        hall.half_closed(place);
        Ok(())
    };
    both(up, down).await
}

/// Both directions until both have ended. One that can't be sent to any more may still have sent
/// something; one that can't be received from is gone.
pub(super) async fn both(
    up: impl Future<Output = io::Result<()>>,
    down: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let (mut sent, mut received) = (None, None);
    poll_fn(|cx| {
        if sent.is_none()
            && let Poll::Ready(ended) = up.as_mut().poll(cx)
        {
            sent = Some(ended);
        }
        if received.is_none()
            && let Poll::Ready(ended) = down.as_mut().poll(cx)
        {
            received = Some(ended);
        }
        let over = match (&sent, &received) {
            (_, Some(Err(_))) | (Some(_), Some(Ok(()))) => true,
            (Some(Err(error)), None) => !is_gone(error),
            _ => false,
        };
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    received.unwrap_or(Ok(()))?;
    match sent {
        // It has closed without a word about what was still to come.
        Some(Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(())) | None => Ok(()),
    }
}

/// Shows all that comes.
async fn receive(
    hall: &Rc<Hall>,
    reader: &mut Reader,
    member: MemberId,
    flow: &mut Flow,
) -> anyhow::Result<()> {
    let args = &hall.door.args;
    let printer = &hall.printer;
    let silence = match args.talk.frame {
        Framing::Gap(silence) => Some(silence),
        _ => None,
    };
    let mut sent = 0;
    loop {
        let gap = silence.filter(|_| flow.pending() > 0);
        reader.set_deadline(gap.or(args.idle_timeout));
        let chunk = match reader.recv_idle().await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                if gap.is_some() {
                    if let Some(frame) = flow.silence()? {
                        printer.message(flow, &frame).await?;
                    }
                    continue;
                }
                let so_far = hall.hub().sent(member);
                if std::mem::replace(&mut sent, so_far) != so_far {
                    continue;
                }
                anyhow::bail!("nothing was sent or received for so long (--idle-timeout)");
            }
            result => result?,
        };
        let Some(chunk) = chunk.filter(|chunk| !chunk.is_empty()) else { break };
        let shown = printer.bytes(flow, &chunk).await;
        shown.map_err(|error| explained(hall, error))?;
    }
    printer.finish(flow).await.map_err(|error| explained(hall, error))
}

/// A wrong frame is told with the framing that it is wrong by.
fn explained(hall: &Hall, error: anyhow::Error) -> anyhow::Error {
    let frame = error.is::<FrameError>();
    if frame { error.context(format!("--frame {}", hall.door.args.talk.frame)) } else { error }
}

fn expelled(delivered: Delivered) -> io::Result<()> {
    match delivered {
        Delivered::All => Ok(()),
        Delivered::Expelled => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "dropped: it took nothing of the input while others did",
        )),
    }
}
