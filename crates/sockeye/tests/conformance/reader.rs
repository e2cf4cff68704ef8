//! Responses as they come, read by a client that has nothing of Sockeye in it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A response whose framing was followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Response {
    pub(super) version: String,
    pub(super) status: u16,
    /// Names in small letters.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// What is wrong with it, if anything is.
    pub(super) fault: Option<String>,
    /// Its end is that of the connection.
    pub(super) until_close: bool,
}

impl Response {
    pub(super) fn all<'a>(&'a self, name: &str) -> Vec<&'a str> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// All values as one list; None if there is no such field.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let all = self.all(name);
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// What came instead of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// The server closed the connection.
    Closed,
    /// It is silent.
    Silent,
    /// It sent something else: the start of it.
    NoHttp(String),
}

pub(super) struct Connection {
    socket: TcpStream,
    received: Vec<u8>,
    patience: Duration,
    ended: bool,
}

impl Connection {
    pub(super) fn open(address: SocketAddr, patience: Duration) -> Connection {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(patience)).unwrap();
        Connection { socket, received: Vec::new(), patience, ended: false }
    }

    /// Sends; whether somebody reads it shows in the answer.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    pub(super) fn finish(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// The next response, interim ones included.
    pub(super) fn response(&mut self, to_head: bool) -> Result<Response, Nothing> {
        let deadline = Instant::now() + self.patience;
        let head = loop {
            let start = &self.received[..self.received.len().min(5)];
            if !b"HTTP/".starts_with(start) {
                let shown = &self.received[..self.received.len().min(40)];
                return Err(Nothing::NoHttp(shown.escape_ascii().to_string()));
            }
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break self.received.drain(..at + 4).collect::<Vec<u8>>();
            }
            self.more(deadline)?;
        };
        let mut response = parse(&head);
        let bodiless = to_head || matches!(response.status, 100..=199 | 204 | 304);
        let lengths = response.all("content-length");
        if bodiless {
            return Ok(response);
        }
        if response.get("transfer-encoding").is_some() {
            response.body = self.chunks(deadline)?;
        } else if let Some(length) = lengths.first() {
            let Ok(length) = length.parse::<usize>() else {
                response.fault = Some(format!("Content-Length: {length}"));
                return Ok(response);
            };
            while self.received.len() < length {
                self.more(deadline)?;
            }
            response.body = self.received.drain(..length).collect();
        } else {
            response.until_close = true;
            while self.more(deadline).is_ok() {}
            response.body = std::mem::take(&mut self.received);
        }
        Ok(response)
    }

    /// A chunked body, read strictly.
    fn chunks(&mut self, deadline: Instant) -> Result<Vec<u8>, Nothing> {
        let mut body = Vec::new();
        loop {
            let line = self.line(deadline)?;
            let digits = line.split(';').next().unwrap_or_default();
            let Ok(size) = usize::from_str_radix(digits, 16) else {
                return Err(Nothing::NoHttp(format!("a chunk of size {}", line.escape_debug())));
            };
            if size == 0 {
                while !self.line(deadline)?.is_empty() {}
                return Ok(body);
            }
            while self.received.len() < size + 2 {
                self.more(deadline)?;
            }
            body.extend(self.received.drain(..size));
            if !self.line(deadline)?.is_empty() {
                return Err(Nothing::NoHttp("a chunk without its CRLF".to_owned()));
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String, Nothing> {
        loop {
            if let Some(at) = self.received.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.more(deadline)?;
        }
    }

    /// Lets go of what was received.
    pub(super) fn forget(&mut self) {
        self.received.clear();
    }

    /// How it ends: closed, silent, or with something that nobody asked for.
    pub(super) fn end(&mut self) -> Nothing {
        let deadline = Instant::now() + self.patience;
        let ended = self.more(deadline);
        if !self.received.is_empty() {
            let shown = &self.received[..self.received.len().min(40)];
            return Nothing::NoHttp(shown.escape_ascii().to_string());
        }
        ended.err().unwrap_or(Nothing::Silent)
    }

    fn more(&mut self, deadline: Instant) -> Result<(), Nothing> {
        let mut buffer = [0; 64 * 1024];
        while !self.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Nothing::Silent);
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Err(Nothing::Silent);
                }
                // A reset: whatever was answered came before it.
                Err(_) => self.ended = true,
            }
        }
        Err(Nothing::Closed)
    }
}

/// Reads a head by the letter of RFC 9112 §4 and §5, and says what does not keep to it.
fn parse(head: &[u8]) -> Response {
    let text = String::from_utf8_lossy(head);
    let mut response = Response::default();
    let mut fault = |what: String| response.fault.get_or_insert(what).truncate(100);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let line = lines.next().unwrap_or_default();
    let mut parts = line.splitn(3, ' ');
    response.version = parts.next().unwrap_or_default().to_owned();
    let status = parts.next().unwrap_or_default();
    response.status = status.parse().unwrap_or(0);
    let digits = response.version.as_bytes();
    if digits.len() != 8 || !digits[5].is_ascii_digit() || !digits[7].is_ascii_digit() {
        fault(format!("the version {}", response.version));
    }
    if status.len() != 3 || parts.next().is_none() {
        fault(format!("the status-line {line}"));
    }
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            fault(format!("a line without a colon: {line}"));
            continue;
        };
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            fault(format!("the name of a field: {name}"));
        }
        if value.chars().any(|c| c.is_ascii_control() && c != '\t') {
            fault(format!("the value of a field: {}", value.escape_debug()));
        }
        let value = value.trim_matches([' ', '\t']).to_owned();
        response.fields.push((name.to_ascii_lowercase(), value));
    }
    response
}
