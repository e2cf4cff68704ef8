//! One end of a connection: makes the calls of a scene and reports them as the engine does.

use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{self, set_socket_linger};
use rustix::net::{RecvFlags, SendFlags, Shutdown, shutdown};
use sockeye_engine::probe::{Call, ConnId, Direction, Opened, Operation, Probe, Role, Stamp};

use crate::place::settle;

/// One end. Calls block, unless it is told otherwise.
pub(crate) struct End {
    probe: Rc<dyn Probe>,
    conn: ConnId,
    socket: Option<OwnedFd>,
    offsets: [u64; 2],
    /// When connect(2) was called, and what it said, while it is not known how it ends.
    pub(crate) connecting: Option<(Stamp, rustix::io::Result<()>)>,
}

/// Bytes that were moved, or why none were.
pub(crate) type Result = std::result::Result<u64, Errno>;

impl End {
    /// Of a connection that exists, or is being made since then.
    pub(crate) fn new(
        probe: &Rc<dyn Probe>,
        conn: u64,
        socket: OwnedFd,
        role: Role,
        peer: SocketAddr,
        at: Stamp,
    ) -> End {
        let conn = ConnId(conn);
        let local: SocketAddr =
            rustix::net::getsockname(&socket).unwrap().try_into().expect("of the internet");
        let opened = Opened { conn, role, local: local.into(), peer: peer.into(), at };
        probe.opened(Some(socket.as_fd()), &opened);
        End {
            probe: Rc::clone(probe),
            conn,
            socket: Some(socket),
            offsets: [0; 2],
            connecting: None,
        }
    }

    /// Waits until the connection is there, or is not.
    pub(crate) fn finish_connecting(&mut self) -> std::result::Result<(), Errno> {
        let (start, begun) = self.connecting.take().expect("it connects");
        let result = match begun {
            Err(Errno::INPROGRESS) => {
                poll(&mut [PollFd::new(&self.fd(), PollFlags::OUT)], None).unwrap();
                sockopt::socket_error(self.fd()).unwrap()
            }
            known => known,
        };
        rustix::io::ioctl_fionbio(self.fd(), false).unwrap();
        self.tell(Operation::Connect, start, 0, result.map(|()| 0)).map(|_| ())
    }

    /// Tells of an accept(2): the engine leaves out the time it slept in it.
    pub(crate) fn accepted(&mut self, at: Stamp) {
        let call = Call {
            operation: Operation::Accept,
            start: at,
            end: at,
            asked: 0,
            result: Ok(0),
            offset: 0,
        };
        self.probe.call(self.conn, &call);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_ref().expect("it is open").as_fd()
    }

    /// Sends all of it, and waits until it is acknowledged.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.try_send(bytes, SendFlags::empty()), Ok(bytes.len() as u64));
        settle();
    }

    /// The same, and means it as one message of its own.
    pub(crate) fn say(&mut self, label: &str) {
        self.wrote(label.len() as u64, label);
        self.send(label.as_bytes());
    }

    /// Sends messages with one call.
    pub(crate) fn say_together(&mut self, messages: &[&str]) {
        let mut start = self.offsets[1];
        for message in messages {
            let end = start + message.len() as u64;
            self.message(Direction::Sent, start..end, message);
            start = end;
        }
        self.send(messages.concat().as_bytes());
    }

    /// Messages that make up all that was received so far.
    pub(crate) fn decoded_together(&self, messages: &[&str]) {
        let mut start = 0;
        for message in messages {
            let end = start + message.len() as u64;
            self.decoded(start..end, message);
            start = end;
        }
    }

    /// Makes one call and waits for nothing.
    pub(crate) fn try_send(&mut self, bytes: &[u8], flags: SendFlags) -> Result {
        let start = Stamp::now();
        let result = rustix::net::send(self.fd(), bytes, flags | SendFlags::NOSIGNAL);
        self.tell(Operation::Send, start, bytes.len(), result.map(|count| count as u64))
    }

    /// Waits for bytes, or the end, and takes as many as there is room for.
    pub(crate) fn recv(&mut self, room: usize) -> Result {
        let mut buffer = vec![0; room];
        let start = Stamp::now();
        let result = rustix::net::recv(self.fd(), &mut buffer[..], RecvFlags::empty());
        self.tell(Operation::Recv, start, room, result.map(|(count, _)| count as u64))
    }

    /// Takes so many bytes with as many calls as it takes.
    pub(crate) fn drain(&mut self, mut count: u64, room: usize) {
        while count > 0 {
            count -= self.recv(room).expect("bytes");
        }
    }

    /// The next so many bytes sent are a message.
    pub(crate) fn wrote(&self, length: u64, label: &str) {
        self.will_write(0, length, label);
    }

    /// The same of bytes that begin behind so many that are sent before.
    pub(crate) fn will_write(&self, behind: u64, length: u64, label: &str) {
        let start = self.offsets[1] + behind;
        self.message(Direction::Sent, start..start + length, label);
    }

    /// These bytes were received and are a message.
    pub(crate) fn decoded(&self, range: Range<u64>, label: &str) {
        self.message(Direction::Received, range, label);
    }

    fn message(&self, direction: Direction, range: Range<u64>, label: &str) {
        self.probe.message(self.conn, direction, range, format_args!("{label}"));
    }

    /// Ends what it sends.
    pub(crate) fn shutdown(&mut self) {
        self.shutdown_now();
        settle();
    }

    /// The same, and waits for nothing.
    pub(crate) fn shutdown_now(&mut self) {
        let start = Stamp::now();
        let result = shutdown(self.fd(), Shutdown::Write).map(|()| 0);
        self.tell(Operation::ShutdownWrite, start, 0, result).unwrap();
    }

    /// Closes it, and waits until the peer's kernel knows.
    pub(crate) fn close(&mut self) {
        self.close_now();
        settle();
    }

    /// The same, and waits for nothing.
    pub(crate) fn close_now(&mut self) {
        let socket = self.socket.take().expect("it is open");
        self.probe.closing(self.conn, Some(socket.as_fd()));
        let start = Stamp::now();
        drop(socket);
        self.tell(Operation::Close, start, 0, Ok(0)).unwrap();
    }

    /// Tells that it is closed, at the end of the scene: a while later the eye asks the kernel what
    /// became of both ends, and a busy machine may not have come that far.
    pub(crate) fn over(&self) {
        if self.socket.is_none() {
            self.probe.closed(self.conn);
        }
    }

    /// Has close(2) reset the connection (socket(7), `SO_LINGER`).
    pub(crate) fn linger_zero(&self) {
        set_socket_linger(self.fd(), Some(Duration::ZERO)).unwrap();
    }

    pub(crate) fn nonblocking(&self) {
        rustix::io::ioctl_fionbio(self.fd(), true).unwrap();
    }

    pub(crate) fn tell(
        &mut self,
        operation: Operation,
        start: Stamp,
        asked: usize,
        result: Result,
    ) -> Result {
        let index = usize::from(operation == Operation::Send);
        let offset = self.offsets[index];
        let told = result.map_err(Errno::raw_os_error);
        let end = Stamp::now();
        self.probe.call(
            self.conn,
            &Call { operation, start, end, asked: asked as u64, result: told, offset },
        );
        self.offsets[index] += result.unwrap_or(0);
        result
    }
}
