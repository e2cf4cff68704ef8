//! An HTTP client with nothing between the test and the socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::PATIENCE;

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Received and not taken yet.
    pending: Vec<u8>,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::of(TcpStream::connect(address).unwrap())
    }

    /// One with a receive buffer so small that the server soon has to wait for it.
    pub(crate) fn connect_narrow(address: SocketAddr) -> Client {
        let socket = socket();
        sockopt::set_socket_recv_buffer_size(&socket, 32 * 1024).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        Client::of(socket.into())
    }

    pub(crate) fn of(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, pending: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// A request that leaves the connection open.
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.get_with(target, "")
    }

    /// The same with further header lines.
    pub(crate) fn get_with(&mut self, target: &str, lines: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{lines}\r\n"));
        self.answer()
    }

    /// The next answer to a GET.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().unwrap()
    }

    pub(crate) fn try_answer(&mut self) -> io::Result<Answer> {
        let (status, head, length) = self.try_head()?;
        while self.pending.len() < length {
            self.receive()?;
        }
        let body = self.pending.drain(..length).collect();
        Ok(Answer { status, head, body })
    }

    /// The head of the next answer, with its status and the length it announces.
    pub(crate) fn head(&mut self) -> (u16, String, usize) {
        self.try_head().unwrap()
    }

    fn try_head(&mut self) -> io::Result<(u16, String, usize)> {
        let end = loop {
            let end = self.pending.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.receive()?,
            }
        };
        let head = String::from_utf8(self.pending.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
        Ok((status, head, length))
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let count = loop {
            match self.stream.read(&mut buffer) {
                // A socket with a time-out gives up at any signal, one that was ignored included.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pending.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// Up to `buffer.len()` bytes, those first that came with a head.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() {
            return self.stream.read(buffer);
        }
        let count = self.pending.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.pending.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    /// Whether the server has closed and nothing is left to read.
    pub(crate) fn is_over(&mut self) -> bool {
        self.pending.is_empty() && matches!(self.stream.read(&mut [0]), Ok(0))
    }
}

impl Answer {
    /// The value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// For connections that begin in another way than usual. No child may inherit it: with a copy in
/// another process, closing it would end nothing.
pub(crate) fn socket() -> OwnedFd {
    let (kind, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
    rustix::net::socket_with(AddressFamily::INET, kind, flags, None).unwrap()
}

/// Asks on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str) -> Answer {
    let mut client = Client::connect(address);
    client.get_with(target, "Connection: close\r\n")
}
