//! Where clients come in: accepting, limits, and when it is over.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use rustix::net::UCred;
use rustix::net::sockopt::socket_peercred;
use sockeye_engine::{Address, Datagram, Listening, Stream, UnixAddress, sleep, spawn};

use super::access::Access;
use super::service::Trade;
use crate::args;
use crate::output::say;

/// How long accepting pauses when it can't.
const PAUSE: Duration = Duration::from_millis(100);

/// Programs at once, unless told otherwise.
const PROGRAMS: usize = 100;

/// Somebody who connected.
pub(super) struct Client {
    pub(super) socket: Socket,
    /// As it is shown; without control characters.
    pub(super) peer: String,
}

/// A connection.
pub(super) enum Socket {
    Stream(Stream),
    /// A Unix socket of sequenced packets.
    Packets(Datagram),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All that was to be done is.
    Done,
    /// By SIGINT.
    Interrupted,
    /// By SIGTERM.
    Stopped,
}

/// What all who accept share.
pub(super) struct Door {
    pub(super) args: args::Listen,
    pub(super) access: Access,
    most: usize,
    inside: Cell<usize>,
    /// Sockets of datagrams that are not closed yet.
    sockets: Cell<usize>,
    /// Nobody else is let in (`--once`).
    closed: Cell<bool>,
    result: RefCell<Option<anyhow::Result<()>>>,
    waiting: RefCell<Vec<Waker>>,
    /// That it is full has been said.
    told: Cell<bool>,
}

/// One client inside, until it is dropped.
pub(super) struct Inside {
    door: Rc<Door>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.door.inside.set(self.door.inside.get() - 1);
        self.door.wake();
    }
}

impl Door {
    pub(super) fn new(args: args::Listen) -> Door {
        let most = match args.max_connections {
            Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
            None if args.service.exec.is_some() => PROGRAMS,
            None => crate::serve::most_connections(args.driver),
        };
        Door {
            access: Access::new(&args.allow, &args.deny),
            args,
            most,
            inside: Cell::new(0),
            sockets: Cell::new(0),
            closed: Cell::new(false),
            result: RefCell::new(None),
            waiting: RefCell::default(),
            told: Cell::new(false),
        }
    }

    /// How many clients there may be at once.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Lets in whoever comes to this socket, beside all else.
    pub(super) fn open(self: &Rc<Self>, trade: &Rc<Trade>, listening: Listening, local: String) {
        let (door, trade) = (Rc::clone(self), Rc::clone(trade));
        spawn(async move {
            match listening {
                Listening::Datagram(socket) => {
                    door.sockets.set(door.sockets.get() + 1);
                    let result = trade.datagrams(&door, socket, &local).await;
                    door.sockets.set(door.sockets.get() - 1);
                    door.wake();
                    if let Err(error) = result {
                        door.finish(Err(error.context(local)));
                    } else if door.args.once {
                        door.finish(Ok(()));
                    }
                }
                listening => door.accept(&trade, listening, &local).await,
            }
        });
    }

    async fn accept(self: Rc<Self>, trade: &Rc<Trade>, listening: Listening, local: &str) {
        loop {
            self.room(local).await;
            let accepted = match &listening {
                Listening::Stream(listener) => {
                    listener.accept().await.map(|accepted| accepted.map(Socket::Stream))
                }
                Listening::Seqpacket(listener) => {
                    listener.accept().await.map(|accepted| accepted.map(Socket::Packets))
                }
                Listening::Datagram(_) => return,
            };
            let socket = match accepted {
                None => return,
                Some(Ok(socket)) => socket,
                Some(Err(error)) => {
                    say(format_args!(
                        "sockeye: {error}; going on (out of descriptors? see: ulimit -n)"
                    ));
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if self.closed.get() {
                return;
            }
            let (address, peer) = socket.named();
            if !self.access.lets_in(address.as_ref()) {
                self.remark(format_args!("{peer} turned away from {local} (--allow, --deny)"));
                continue;
            }
            self.closed.set(self.args.once);
            self.inside.set(self.inside.get() + 1);
            let inside = Inside { door: Rc::clone(&self) };
            let (door, trade) = (Rc::clone(&self), Rc::clone(trade));
            let client = Client { socket, peer: peer.clone() };
            let local = local.to_owned();
            spawn(async move {
                // Whoever reads this finds the client among the others.
                door.remark(format_args!("{peer} connected to {local}"));
                let served = trade.client(&door, client).await;
                drop(inside);
                door.served(&peer, served);
            });
            if self.closed.get() {
                // The port is free for others while the one client is served.
                return;
            }
        }
    }

    fn served(&self, peer: &str, served: anyhow::Result<()>) {
        match served {
            Err(error) if self.args.once || crate::talk::nobody_reads(&error) => {
                let error = if crate::talk::nobody_reads(&error) {
                    error
                } else {
                    error.context(peer.to_owned())
                };
                self.finish(Err(error));
            }
            Err(error) => {
                say(format_args!("sockeye: {peer}: {}", crate::told(&error)));
            }
            Ok(()) => {
                self.remark(format_args!("{peer} is done"));
                if self.args.once {
                    self.finish(Ok(()));
                }
            }
        }
    }

    /// Ends the whole; the first result counts.
    pub(super) fn finish(&self, result: anyhow::Result<()>) {
        self.result.borrow_mut().get_or_insert(result);
        self.wake();
    }

    /// Waits for the end of the whole, which comes by `--once` or by a failure.
    pub(super) async fn ended(&self) -> anyhow::Result<Outcome> {
        self.until(|| self.result.borrow_mut().take()).await.map(|()| Outcome::Done)
    }

    /// Waits until nobody is inside and no datagram can come any more.
    pub(super) async fn empty(&self) {
        self.until(|| (self.inside.get() + self.sockets.get() == 0).then_some(())).await;
    }

    /// Waits until one more may come in.
    async fn room(&self, local: &str) {
        if self.inside.get() >= self.most && !self.told.replace(true) {
            let most = self.most;
            say(format_args!(
                "sockeye: {local}: {most} clients are here, as many as may be (--max-connections); \
                 others wait"
            ));
        }
        self.until(|| (self.inside.get() < self.most).then_some(())).await;
    }

    async fn until<T>(&self, is_so: impl Fn() -> Option<T>) -> T {
        poll_fn(|cx| match is_so() {
            Some(so) => Poll::Ready(so),
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// A line for those who want to know (`--verbose`).
    pub(super) fn remark(&self, line: std::fmt::Arguments<'_>) {
        if self.args.verbose {
            say(format_args!("sockeye: {line}"));
        }
    }
}

impl Socket {
    /// Who it is, and how that is shown: the address, or behind a Unix socket the process.
    fn named(&self) -> (Option<Address>, String) {
        let mut process = None;
        let look = |fd: BorrowedFd<'_>| process = socket_peercred(fd).ok();
        let address = match self {
            Socket::Stream(stream) => {
                stream.with_fd(look);
                stream.peer().ok()
            }
            Socket::Packets(socket) => {
                socket.with_fd(look);
                Some(Address::Unix(UnixAddress::Unnamed))
            }
        };
        let shown = match (&address, process) {
            (Some(Address::Unix(_)), Some(UCred { pid, uid, gid })) => {
                shown_process(pid.as_raw_nonzero().get(), uid.as_raw(), gid.as_raw())
            }
            (Some(address), _) => address.to_string(),
            (None, _) => "somebody".to_owned(),
        };
        (address, shown)
    }
}

/// A process of this machine, by the kernel's word (unix(7), `SO_PEERCRED`).
pub(super) fn shown_process(pid: i32, uid: u32, gid: u32) -> String {
    format!("pid {pid} uid {uid} gid {gid}")
}

/// Whether an error only says that the peer is gone.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
