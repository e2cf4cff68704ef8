//! The yardstick of the echo benchmark: the leanest single-threaded, edge-triggered echo loop we
//! can write by hand.
//!
//! A message is one `recv` and one `send`, and a share of `epoll_wait`. With `--discard` it only
//! receives. What another server costs beyond these calls is its ratio to this loop.

#[path = "../listening.rs"]
mod listening;

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use anyhow::Context;
use clap::Parser;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

use listening::{data_of, listen_on, slot_of};

/// Send back what is received, from one thread.
#[derive(Parser)]
struct Args {
    /// Drop what is received instead.
    #[arg(long)]
    discard: bool,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (listener, address) = listen_on(args.port)?;
    let mut out = io::stdout().lock();
    writeln!(out, "raw-echo on tcp://{address}")?;
    out.flush()?;
    drop(out);
    Loop::new(listener, args.discard)?.run()
}

/// Bytes one `recv` may take; the same in every hand-written server of the benchmark. A shorter
/// result means the socket was drained, so no second call is needed to hear EAGAIN.
const READ_SIZE: usize = 64 * 1024;

const EVENTS: usize = 1024;

struct Loop {
    epoll: OwnedFd,
    listener: OwnedFd,
    discard: bool,
    /// Indexed by descriptor.
    connections: Vec<Option<Connection>>,
    buffer: Box<[u8]>,
}

impl Loop {
    fn new(listener: OwnedFd, discard: bool) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, data_of(&listener), EventFlags::IN | EventFlags::ET)?;
        let buffer = vec![0; READ_SIZE].into_boxed_slice();
        Ok(Self { epoll, listener, discard, connections: Vec::new(), buffer })
    }

    fn run(mut self) -> anyhow::Result<()> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        let listener = data_of(&self.listener).u64();
        loop {
            let ready = match epoll::wait(&self.epoll, &mut events[..], None) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("epoll_wait"),
            };
            for event in ready.iter() {
                if event.data.u64() == listener {
                    self.accept()?;
                } else {
                    let slot = usize::try_from(event.data.u64())?;
                    self.serve(slot, event.flags);
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    let interest =
                        EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(&self.epoll, &socket, data_of(&socket), interest)?;
                    let slot = slot_of(&socket);
                    if slot >= self.connections.len() {
                        self.connections.resize_with(slot + 1, || None);
                    }
                    self.connections[slot] = Some(Connection { socket, owed: Vec::new() });
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error).context("accept4"),
            }
        }
    }

    fn serve(&mut self, slot: usize, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if connection.ready(flags, self.discard, &mut self.buffer) == Next::Close {
            self.connections[slot] = None;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Wait,
    Close,
}

struct Connection {
    socket: OwnedFd,
    /// What a `send` did not take; while there is any, nothing more is read.
    owed: Vec<u8>,
}

impl Connection {
    fn ready(&mut self, flags: EventFlags, discard: bool, buffer: &mut [u8]) -> Next {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            return Next::Close;
        }
        // An edge for IN may have been spent while bytes were owed, so a cleared debt reads on.
        let was_owed = !self.owed.is_empty();
        if was_owed {
            match send_all(&self.socket, &self.owed) {
                Ok(sent) => drop(self.owed.drain(..sent)),
                Err(_) => return Next::Close,
            }
            if !self.owed.is_empty() {
                return Next::Wait;
            }
        }
        if !was_owed && !flags.intersects(EventFlags::IN | EventFlags::RDHUP) {
            return Next::Wait;
        }
        let ending = flags.contains(EventFlags::RDHUP);
        loop {
            let got = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => return Next::Close,
                Ok((_, got)) => got,
                Err(Errno::AGAIN) => return Next::Wait,
                Err(Errno::INTR) => continue,
                Err(_) => return Next::Close,
            };
            if !discard {
                match send_all(&self.socket, &buffer[..got]) {
                    Ok(sent) if sent < got => {
                        self.owed.extend_from_slice(&buffer[sent..got]);
                        return Next::Wait;
                    }
                    Ok(_) => {}
                    Err(_) => return Next::Close,
                }
            }
            // epoll(7): a short read on a stream has emptied it. After RDHUP the end of file is
            // still to be read.
            if got < buffer.len() && !ending {
                return Next::Wait;
            }
        }
    }
}

/// Sends until all is taken or the kernel's buffer is full; how much was taken.
fn send_all(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut sent = 0;
    while sent < bytes.len() {
        match send(socket, &bytes[sent..], SendFlags::NOSIGNAL) {
            Ok(more) => sent += more,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
