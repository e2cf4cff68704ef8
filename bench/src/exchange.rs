//! One request and its response over a kept-alive connection, byte for byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// Longer than any server on loopback takes, shorter than a run that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A head longer than this is not one of the servers measured here.
const HEAD_LIMIT: usize = 64 * 1024;

/// A client connection, kept alive until dropped.
pub(crate) struct Client {
    stream: TcpStream,
    host: SocketAddr,
}

/// A response as it came over the wire, read to the end of its head at least.
pub(crate) struct Response {
    pub(crate) bytes: Vec<u8>,
    head: usize,
    /// Value of Content-Length (RFC 9110 §8.6).
    pub(crate) length: usize,
}

impl Client {
    pub(crate) fn connect(host: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&host, PATIENCE)
            .with_context(|| format!("{host}: connect"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, host })
    }

    /// Asks for `target` with the very request wrk sends, and reads the whole response.
    pub(crate) fn get(&mut self, target: &str) -> anyhow::Result<Response> {
        self.ask(target)?;
        self.answer(target)
    }

    /// Asks for `target`; an [`answer`](Client::answer) is owed from then on.
    pub(crate) fn ask(&mut self, target: &str) -> anyhow::Result<()> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes()).context("sending the request")
    }

    /// The whole response to what was asked for.
    pub(crate) fn answer(&mut self, target: &str) -> anyhow::Result<Response> {
        let mut response = self.head_of_answer(target)?;
        let mut have = response.bytes.len();
        let whole = response.head.checked_add(response.length).context("Content-Length")?;
        if have > whole {
            bail!("{}: {} bytes more than the response holds", self.host, have - whole);
        }
        response.bytes.resize(whole, 0);
        while have < whole {
            match self.stream.read(&mut response.bytes[have..]).context("reading the body")? {
                0 => bail!("{}: closed {} bytes before the end", self.host, whole - have),
                got => have += got,
            }
        }
        Ok(response)
    }

    /// As [`Client::get`], but stops at the end of the head; the connection is good for nothing
    /// afterwards but to be dropped.
    pub(crate) fn get_head(&mut self, target: &str) -> anyhow::Result<Response> {
        self.ask(target)?;
        self.head_of_answer(target)
    }

    fn head_of_answer(&mut self, target: &str) -> anyhow::Result<Response> {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = self.stream.read(&mut piece);
            if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                bail!("{}: no answer within {} s", self.host, PATIENCE.as_secs());
            }
            match read.context("reading the head")? {
                0 => bail!("{}: closed before the end of the head", self.host),
                got => bytes.extend_from_slice(&piece[..got]),
            }
            if let Some(head) = end_of_head(&bytes) {
                let length = check_head(&bytes[..head])
                    .with_context(|| format!("GET {target} from {}", self.host))?;
                return Ok(Response { bytes, head, length });
            }
            if bytes.len() > HEAD_LIMIT {
                bail!("{}: no end of the head within {HEAD_LIMIT} bytes", self.host);
            }
        }
    }

    /// Whether the server has neither closed the connection nor sent more.
    pub(crate) fn is_idle(&self) -> bool {
        let waits = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
        self.stream.set_nonblocking(true).is_ok()
            && self.stream.peek(&mut [0]).is_err_and(waits)
            && self.stream.set_nonblocking(false).is_ok()
    }
}

impl Response {
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.head..]
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Refuses anything but 200 with a Content-Length, and returns that length.
fn check_head(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head).context("head")?;
    let (status, fields) = head.split_once("\r\n").context("status line")?;
    if status.split(' ').nth(1) != Some("200") {
        bail!("answered {}", status.escape_debug());
    }
    let length = fields
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("no Content-Length")?
        .1;
    length.trim().parse().context("Content-Length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_read_from_a_plain_200_alone() {
        let head = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 12\r\n\r\n";
        assert_eq!(end_of_head(head), Some(head.len()));
        assert_eq!(check_head(head).expect("length"), 12);
        check_head(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n").expect_err("404");
        check_head(b"HTTP/1.1 200 OK\r\n\r\n").expect_err("no length");
        check_head(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").expect_err("negative");
    }
}
