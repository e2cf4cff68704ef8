//! One client and no other (`--once`), whose bytes nobody looks at: they go from socket to pipe and
//! from pipe to socket without being copied through this program.

use std::io;
use std::rc::Rc;

use anyhow::Context as _;
use sockeye_engine::{Reader, RelayError, Stream, Writer, stopped};

use super::conversation::both;
use super::hall::Hall;
use crate::talk::{Direction, Flow, Input};
use sockeye_engine::{Either, first};

/// Talks to the client until it and the input have ended.
pub(super) async fn with(hall: &Rc<Hall>, stream: Stream, mut input: Input) -> anyhow::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let up = async {
        match first(send(&mut input, &mut writer), stopped()).await {
            Either::One(sent) => sent,
            Either::Other(()) => Ok(()),
        }
    };
    let down = async {
        match first(receive(hall, &mut reader), stopped()).await {
            Either::One(received) => received,
            Either::Other(()) => finish(hall, &mut reader).await,
        }
    };
    both(up, down).await
}

async fn send(input: &mut Input, writer: &mut Writer) -> io::Result<()> {
    let mut nothing = true;
    loop {
        match input.source().relay(writer).await {
            // Where there never was input, its end says nothing.
            Ok(0) if nothing => return Ok(()),
            Ok(0) => return writer.shutdown_write(),
            Ok(_) => nothing = false,
            Err(RelayError::Here(error)) => {
                return Err(io::Error::other(format!("standard input: {error}")));
            }
            Err(RelayError::There(error)) => return Err(error),
        }
    }
}

async fn receive(hall: &Rc<Hall>, reader: &mut Reader) -> anyhow::Result<()> {
    let printer = &hall.printer;
    let mut sink = printer.lend().context("standard output is in use")?;
    loop {
        match sink.relay(reader).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(RelayError::Here(error)) => return Err(printer.failed(error)),
            Err(RelayError::There(error)) => return Err(error.into()),
        }
    }
}

/// The thread stops: what has come already is written.
async fn finish(hall: &Rc<Hall>, reader: &mut Reader) -> anyhow::Result<()> {
    let mut flow = Flow::new(&hall.door.args.talk, "", Direction::In);
    while let Some(chunk) = reader.recv_idle().await?.filter(|chunk| !chunk.is_empty()) {
        hall.printer.bytes(&mut flow, &chunk).await?;
    }
    Ok(())
}
