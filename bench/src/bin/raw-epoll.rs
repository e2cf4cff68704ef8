//! The yardstick: the leanest single-threaded, edge-triggered HTTP loop we can write by hand.
//!
//! It knows nothing of HTTP but where a request head ends (an empty line, RFC 9112 §2.1), and
//! answers each head with the bytes of one file, sent as they are. It therefore does the system
//! calls any server must do for the same traffic and almost nothing else; what a real server
//! costs beyond them is its ratio to this loop. One kept-alive request is three calls: a share
//! of `epoll_wait`, one `recv`, one `send`.
//!
//! Not here, on purpose: methods, targets, bodies, `Connection: close`, limits, timeouts.

#[path = "../listening.rs"]
mod listening;

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

use listening::{data_of, listen_on, slot_of};

/// Answer every HTTP request head with the bytes of RESPONSE, from one thread.
#[derive(Parser)]
struct Args {
    /// File holding one whole response: status line, headers and body.
    response: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let response = std::fs::read(&args.response)
        .with_context(|| format!("{}: cannot read", args.response.display()))?;
    if response.is_empty() {
        bail!("{}: an empty file is no response", args.response.display());
    }
    let (listener, address) = listen_on(args.port)?;
    let mut out = io::stdout().lock();
    writeln!(out, "serving raw-epoll on http://{address}/")?;
    out.flush()?;
    drop(out);
    Loop::new(listener, response)?.run()
}

/// Bytes one `recv` may take. A shorter result means the socket was drained, so no second call
/// is needed to hear EAGAIN.
const READ_SIZE: usize = 16 * 1024;

/// Responses laid end to end, so that a pipelined batch still leaves in one `send`.
const BATCH: usize = 64;

const EVENTS: usize = 1024;

struct Loop {
    epoll: OwnedFd,
    listener: OwnedFd,
    responses: Responses,
    /// Indexed by descriptor.
    connections: Vec<Option<Connection>>,
    buffer: Box<[u8; READ_SIZE]>,
}

impl Loop {
    fn new(listener: OwnedFd, response: Vec<u8>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, data_of(&listener), EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            epoll,
            listener,
            responses: Responses::new(&response),
            connections: Vec::new(),
            buffer: Box::new([0; READ_SIZE]),
        })
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
                    // OUT belongs to the first registration: under ET it costs one event now and
                    // saves an epoll_ctl whenever a send falls short.
                    let interest =
                        EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(&self.epoll, &socket, data_of(&socket), interest)?;
                    let slot = slot_of(&socket);
                    if slot >= self.connections.len() {
                        self.connections.resize_with(slot + 1, || None);
                    }
                    self.connections[slot] = Some(Connection::new(socket));
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
        if connection.ready(flags, &self.responses, &mut self.buffer[..]) == Next::Close {
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
    scanner: Scanner,
    /// Bytes of answers still to send; while there are any, nothing more is read.
    owed: usize,
}

impl Connection {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, scanner: Scanner::default(), owed: 0 }
    }

    fn ready(&mut self, flags: EventFlags, responses: &Responses, buffer: &mut [u8]) -> Next {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            return Next::Close;
        }
        // An edge for IN may have been spent while answers were owed, so a cleared debt reads on.
        let was_owed = self.owed > 0;
        if was_owed {
            match self.pay(responses) {
                Ok(()) if self.owed > 0 => return Next::Wait,
                Ok(()) => {}
                Err(_) => return Next::Close,
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
            self.owed = self.scanner.heads(&buffer[..got]) * responses.one;
            match self.pay(responses) {
                Ok(()) if self.owed > 0 => return Next::Wait,
                Ok(()) => {}
                Err(_) => return Next::Close,
            }
            // tcp(7), epoll(7): a short read on a stream has emptied it. After RDHUP the end of
            // file is still to be read.
            if got < buffer.len() && !ending {
                return Next::Wait;
            }
        }
    }

    /// Sends what is owed; a remainder waits for the next OUT edge.
    fn pay(&mut self, responses: &Responses) -> Result<(), Errno> {
        while self.owed > 0 {
            let piece = responses.tail(self.owed);
            match send(&self.socket, piece, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.owed -= sent;
                    // The kernel took less than it was offered: its buffer is full, and the OUT
                    // edge is armed.
                    if sent < piece.len() {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The response, [`BATCH`] times end to end.
struct Responses {
    bytes: Vec<u8>,
    one: usize,
}

impl Responses {
    fn new(response: &[u8]) -> Self {
        Self { bytes: response.repeat(BATCH), one: response.len() }
    }

    /// The next bytes to send when `owed` are left: whole responses all end alike, so a debt is
    /// always a tail of the repetition, or the first part of a longer one.
    fn tail(&self, owed: usize) -> &[u8] {
        let past = (self.one - owed % self.one) % self.one;
        let end = self.bytes.len().min(past + owed);
        &self.bytes[past..end]
    }
}

/// Counts the ends of request heads in a stream that arrives in any pieces.
#[derive(Default)]
struct Scanner {
    /// How much of `\r\n\r\n` the stream ends with so far.
    matched: u8,
}

impl Scanner {
    fn heads(&mut self, bytes: &[u8]) -> usize {
        let mut heads = 0;
        let mut at = 0;
        while at < bytes.len() {
            // With nothing matched, the byte three ahead rules out every position before it
            // unless it is CR or LF itself.
            if self.matched == 0
                && let Some(&ahead) = bytes.get(at + 3)
                && ahead != b'\r'
                && ahead != b'\n'
            {
                at += 4;
                continue;
            }
            self.matched = match (self.matched, bytes[at]) {
                (1 | 3, b'\n') => self.matched + 1,
                (2, b'\r') => 3,
                (_, b'\r') => 1,
                _ => 0,
            };
            if self.matched == 4 {
                heads += 1;
                self.matched = 0;
            }
            at += 1;
        }
        heads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_the_stream_is_cut() {
        let stream = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /\r\r\n\r\n\r\n\r\n\n\r\n\rX\r\n\r\n";
        let expected = Scanner::default().heads_slowly(stream);
        assert_eq!(expected, 4);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut scanner = Scanner::default();
                let heads = scanner.heads(&stream[..first])
                    + scanner.heads(&stream[first..second])
                    + scanner.heads(&stream[second..]);
                assert_eq!(heads, expected, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_debt_is_paid_from_where_the_last_send_stopped() {
        let responses = Responses::new(b"abcde");
        assert_eq!(responses.tail(5), b"abcde");
        assert_eq!(responses.tail(3), b"cde");
        assert_eq!(responses.tail(8), b"cdeabcde");
        let long = responses.tail(5 * 1000 + 2);
        assert_eq!(long.len(), 5 * BATCH - 3);
        assert!(long.starts_with(b"deabc"));
    }

    impl Scanner {
        /// The definition: each non-overlapping occurrence of the empty line, left to right.
        fn heads_slowly(&mut self, bytes: &[u8]) -> usize {
            let mut heads = 0;
            let mut at = 0;
            while at + 4 <= bytes.len() {
                let found = &bytes[at..at + 4] == b"\r\n\r\n";
                heads += usize::from(found);
                at += if found { 4 } else { 1 };
            }
            heads
        }
    }
}
