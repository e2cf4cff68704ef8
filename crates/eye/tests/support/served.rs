//! The engine's part in these tests: makes calls and reports them to the probe.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use sockeye_engine::probe::{Call, ConnId, Opened, Operation, Probe, Role, Stamp};

/// Our end of a connection, reporting what it does as the engine would.
pub(crate) struct Served<'a> {
    pub(crate) probe: &'a dyn Probe,
    pub(crate) conn: ConnId,
    pub(crate) stream: TcpStream,
    offsets: [u64; 2],
}

impl<'a> Served<'a> {
    pub(crate) fn accept(probe: &'a dyn Probe, listener: &TcpListener, conn: u64) -> Served<'a> {
        let (stream, peer) = listener.accept().unwrap();
        let conn = ConnId(conn);
        let (local, peer) = (stream.local_addr().unwrap().into(), peer.into());
        let opened = Opened { conn, role: Role::Server, local, peer, at: Stamp::now() };
        probe.opened(Some(stream.as_fd()), &opened);
        Served { probe, conn, stream, offsets: [0; 2] }
    }

    /// Connects as the engine does, which tells of the connection when it has begun it.
    pub(crate) fn connect(probe: &'a dyn Probe, to: SocketAddr, conn: u64) -> Served<'a> {
        let start = Stamp::now();
        let stream = TcpStream::connect(to).unwrap();
        let conn = ConnId(conn);
        let (local, peer) = (stream.local_addr().unwrap().into(), to.into());
        let opened = Opened { conn, role: Role::Client, local, peer, at: start };
        probe.opened(Some(stream.as_fd()), &opened);
        let mut made = Served { probe, conn, stream, offsets: [0; 2] };
        made.report(Operation::Connect, start, 0, Ok(0));
        made
    }

    fn report(&mut self, operation: Operation, start: Stamp, asked: u64, result: Result<u64, i32>) {
        let index = usize::from(operation == Operation::Send);
        let offset = self.offsets[index];
        let call = Call { operation, start, end: Stamp::now(), asked, result, offset };
        self.probe.call(self.conn, &call);
        self.offsets[index] += result.unwrap_or(0);
    }

    /// Reads once; says how many bytes came.
    pub(crate) fn recv(&mut self) -> u64 {
        let mut buffer = [0; 4096];
        let start = Stamp::now();
        let result = self.stream.read(&mut buffer).map(|count| count as u64);
        let count = *result.as_ref().unwrap_or(&0);
        let result = result.map_err(|error| error.raw_os_error().unwrap_or(0));
        self.report(Operation::Recv, start, 4096, result);
        count
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let start = Stamp::now();
        self.stream.write_all(bytes).unwrap();
        self.report(Operation::Send, start, bytes.len() as u64, Ok(bytes.len() as u64));
    }

    pub(crate) fn close(self) {
        self.probe.closing(self.conn, Some(self.stream.as_fd()));
        let start = Stamp::now();
        drop(self.stream);
        let call = Call {
            operation: Operation::Close,
            start,
            end: Stamp::now(),
            asked: 0,
            result: Ok(0),
            offset: 0,
        };
        self.probe.call(self.conn, &call);
        self.probe.closed(self.conn);
    }
}
