//! A connection that means no good, with what went over it in either direction.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::AddAssign;

use rustix::net::sockopt;

use crate::kit::PATIENCE;
use crate::kit::client;

/// Bytes over connections, as the attacker sees them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        self.sent += other.sent;
        self.received += other.received;
    }
}

pub(super) struct Attacker {
    stream: TcpStream,
    traffic: Traffic,
}

impl Attacker {
    pub(super) fn connect(address: SocketAddr) -> Attacker {
        Attacker::of(TcpStream::connect(address).unwrap())
    }

    /// One with a receive buffer so small that the server soon has to wait for it.
    pub(super) fn connect_narrow(address: SocketAddr) -> Attacker {
        let socket = client::socket();
        sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        Attacker::of(socket.into())
    }

    fn of(stream: TcpStream) -> Attacker {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Attacker { stream, traffic: Traffic::default() }
    }

    /// Sends it, or as much as the server takes before it has had enough.
    pub(super) fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => {
                    self.traffic.sent += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.must_be_over(&error),
            }
        }
    }

    /// Takes one byte.
    pub(super) fn sip(&mut self) {
        self.stream.read_exact(&mut [0]).unwrap();
        self.traffic.received += 1;
    }

    /// Takes all that is still to come.
    pub(super) fn finish(mut self) -> Traffic {
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.traffic,
                Ok(count) => self.traffic.received += count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.must_be_over(&error);
                    return self.traffic;
                }
            }
        }
    }

    /// Goes without taking what has come.
    pub(super) fn go(mut self) -> Traffic {
        self.traffic.received += rustix::io::ioctl_fionread(&self.stream).unwrap();
        self.traffic
    }

    /// A server that has had enough closes, and may do so with a reset; it never leaves one hanging.
    fn must_be_over(&self, error: &io::Error) {
        let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
}
